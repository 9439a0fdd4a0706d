/**
 * mem: memory and swap of the machine in kilobytes, and on request the memory of one process.
 * Source: Fluent Bit 5.1.1 plugins/in_mem/mem.c, plugins/in_mem/proc.c.
 * Differs: the figures come from /proc/meminfo and /proc/PID/status, which hold what sysinfo(2) and the page counts
 * of /proc/PID/stat say; `proc_hr` is the text that the documentation shows, where Fluent Bit sends the address of
 * that text.
 */
import { join } from 'node:path'
import { int } from '../../config/options.ts'
import { defineInput } from '../../plugin/define.ts'
import { INTERVAL_OPTIONS, intervalInput } from '../common/interval.ts'
import { sendEvent } from '../common/send_event.ts'
import { readSystemFile } from '../common/system_files.ts'

const UNITS = ['b', 'K', 'M', 'G', 'T', 'P', 'E']

export const mem = defineInput({
  name: 'mem',
  summary: 'Memory and swap usage',
  upstream: 'plugins/in_mem/mem.c',
  options: {
    ...INTERVAL_OPTIONS,
    pid: int({ default: '0', doc: 'Process whose memory is added; 0 is none' })
  },
  create(values, context) {
    const { log, root } = context
    // Unlike other inputs this one looks at each key alone: interval_nsec adds to at least one second.
    const seconds = values.interval_sec <= 0 ? 1 : values.interval_sec
    const interval = { seconds, nanoseconds: Math.max(0, values.interval_nsec) }
    let { pid } = values
    return intervalInput(context, interval, () => {
      const process = pid === 0 ? undefined : readResidentBytes(root, pid)
      if (pid !== 0 && process === undefined) {
        log.warn(`could not measure PID ${pid}`)
        pid = 0
      }
      const memory = readMemory(root)
      if (memory === undefined) {
        log.error(`Cannot read "${join(root, '/proc/meminfo')}": it must hold the memory figures`)
        return
      }
      const ofProcess =
        process === undefined ? {} : { proc_bytes: process, proc_hr: readableSize(process) }
      sendEvent(context, { ...memory, ...ofProcess })
    })
  }
})

/** Memory and swap in kilobytes; undefined when the kernel does not say. */
function readMemory(root: string): Readonly<Record<string, number>> | undefined {
  const text = readSystemFile(join(root, '/proc/meminfo'))
  if (text === undefined) return undefined
  const total = kilobytes(text, 'MemTotal')
  const free = kilobytes(text, 'MemFree')
  const swapTotal = kilobytes(text, 'SwapTotal')
  const swapFree = kilobytes(text, 'SwapFree')
  return {
    'Mem.total': total,
    'Mem.used': total - free,
    'Mem.free': free,
    'Swap.total': swapTotal,
    'Swap.used': swapTotal - swapFree,
    'Swap.free': swapFree
  }
}

/** Bytes of a process that are in memory; undefined when there is no such process. */
function readResidentBytes(root: string, pid: number): number | undefined {
  const text = readSystemFile(join(root, `/proc/${pid}/status`))
  return text === undefined ? undefined : kilobytes(text, 'VmRSS') * 1024
}

/** The figure of a line such as `MemFree:  1234 kB`; 0 when there is none (VmRSS of kernel threads). */
function kilobytes(text: string, name: string): number {
  return Number(new RegExp(`^${name}:\\s*(\\d+)`, 'm').exec(text)?.[1] ?? 0)
}

/** Bytes for people: `20.03M`, or `512 b` below a kilobyte. */
function readableSize(bytes: number): string {
  let power = 0
  while (bytes >= 1024 ** (power + 1)) power++
  // Fluent Bit keeps the quotient as a 32-bit float.
  return power === 0
    ? `${bytes} b`
    : `${Math.fround(bytes / 1024 ** power).toFixed(2)}${UNITS[power]}`
}
