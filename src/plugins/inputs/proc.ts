/**
 * proc: whether a process runs, and its memory and open files.
 * Source: Fluent Bit 5.1.1 plugins/in_proc/in_proc.c.
 * Differs: the memory of a process that does not run is 0, where Fluent Bit sends what its stack happens to hold.
 */
import { closeSync, openSync, readSync } from 'node:fs'
import { join } from 'node:path'
import { flag, text } from '../../config/options.ts'
import { defineInput } from '../../plugin/define.ts'
import { INTERVAL_OPTIONS, intervalInput, readInterval } from '../common/interval.ts'
import { sendEvent } from '../common/send_event.ts'
import { readSystemFile, readSystemFolder } from '../common/system_files.ts'

/** As much of a command line is looked at. */
const COMMAND_BYTES_MAX = 256

/** Lines of `/proc/PID/status` that are sent, in this order. */
const MEMORY_LINES = [
  'VmPeak',
  'VmSize',
  'VmLck',
  'VmHWM',
  'VmRSS',
  'VmData',
  'VmStk',
  'VmExe',
  'VmLib',
  'VmPTE',
  'VmSwap'
]

export const proc = defineInput({
  name: 'proc',
  summary: 'Process health',
  upstream: 'plugins/in_proc/in_proc.c',
  options: {
    ...INTERVAL_OPTIONS,
    alert: flag({ default: 'false', doc: 'Send records only while the process does not run' }),
    mem: flag({ default: 'true', doc: 'Add the memory of the process' }),
    fd: flag({ default: 'true', doc: 'Add the number of open files of the process' }),
    proc_name: text({
      doc: 'Name of the program: the last part of the first word of its command line'
    })
  },
  create(values, context) {
    const { proc_name: name, alert, mem, fd } = values
    if (name === undefined) {
      throw context.invalid('proc_name', 'it is not set, it must name a program')
    }
    const { log } = context
    const folder = join(context.root, '/proc')
    return intervalInput(context, readInterval(values), () => {
      const pid = findProcess(folder, name)
      const alive = pid >= 0
      if (alive && alert) return
      const body: Record<string, boolean | number | string> = { alive, proc_name: name, pid }
      if (mem) {
        const path = join(folder, `${pid}/status`)
        const status = alive ? readSystemFile(path) : ''
        if (status === undefined) log.error(`open error: ${path}`)
        for (const line of MEMORY_LINES) body[`mem.${line}`] = memoryBytes(status ?? '', line)
      }
      if (fd) {
        const path = join(folder, `${pid}/fd`)
        const files = alive ? readSystemFolder(path) : []
        if (files === undefined) log.error(`opendir error ${path}`)
        body['fd'] = files?.length ?? 0
      }
      sendEvent(context, body)
    })
  }
})

/** The id of the first process, by the text of its id, that runs the program; -1 when none does. */
function findProcess(folder: string, name: string): number {
  for (const entry of readSystemFolder(folder) ?? []) {
    if (/^\d+$/.test(entry) && readProgramName(join(folder, entry, 'cmdline')) === name) {
      return Number(entry)
    }
  }
  return -1
}

const command = Buffer.alloc(COMMAND_BYTES_MAX)

/** The last part of the first word of a command line; undefined for kernel threads, which have none. */
function readProgramName(path: string): string | undefined {
  const length = readCommand(path)
  if (length === 0) return undefined
  const zero = command.indexOf(0)
  // A word that fills the buffer loses its last byte to the end mark that C needs.
  const end = zero >= 0 && zero < length ? zero : Math.min(length, COMMAND_BYTES_MAX - 1)
  return baseName(command.toString('utf8', 0, end))
}

/** Reads into `command` and returns the number of bytes; 0 for a process that has just ended. */
function readCommand(path: string): number {
  let file: number
  try {
    file = openSync(path, 'r')
  } catch {
    return 0
  }
  try {
    return readSync(file, command)
  } catch {
    return 0
  } finally {
    closeSync(file)
  }
}

/** As POSIX `basename`: slashes at the end do not count. */
function baseName(path: string): string {
  const trimmed = path.replace(/\/+$/, '')
  if (trimmed === '') return path === '' ? '.' : '/'
  return trimmed.slice(trimmed.lastIndexOf('/') + 1)
}

/** Bytes of a line in kB, which Fluent Bit takes for thousands; 0 when there is no such line. */
function memoryBytes(status: string, line: string): number {
  return Number(new RegExp(`^${line}:\\s*(\\d+)`, 'm').exec(status)?.[1] ?? 0) * 1000
}
