/**
 * cpu: how busy the processors were since the last look, in percent; or one process.
 * Source: Fluent Bit 5.1.1 plugins/in_cpu/cpu.c.
 * Differs: a processor that is taken away later shows 0, where Fluent Bit takes the next line of /proc/stat for it.
 */
import { join } from 'node:path'
import { type Encodable, Float } from '../../codec/msgpack_writer.ts'
import { int } from '../../config/options.ts'
import type { InputContext } from '../../plugin/context.ts'
import { defineInput } from '../../plugin/define.ts'
import {
  INTERVAL_OPTIONS,
  type Interval,
  type IntervalInput,
  intervalInput,
  readInterval
} from '../common/interval.ts'
import { sendEvent } from '../common/send_event.ts'
import { readSystemFile } from '../common/system_files.ts'

/** Ticks of `/proc/stat` a second; the kernel converts to this figure on every machine (USER_HZ). */
const TICKS_PER_SECOND = 100

const PROCESSOR_LINE = /^cpu\d* +(?<user>\d+) (?<nice>\d+) (?<system>\d+) \d+ \d+/

/** Ticks that a processor, or all of them, or a process has spent. */
interface Ticks {
  /** In user space, low priority included. */
  readonly user: number
  readonly system: number
}

const NO_TICKS: Ticks = { user: 0, system: 0 }

export const cpu = defineInput({
  name: 'cpu',
  summary: 'Processor usage',
  upstream: 'plugins/in_cpu/cpu.c',
  options: {
    pid: int({ default: '-1', doc: 'Process to measure instead of the machine; -1 is none' }),
    ...INTERVAL_OPTIONS
  },
  create(values, context) {
    const interval = readInterval(values)
    return values.pid < 0
      ? machineInput(context, interval)
      : processInput(context, interval, values.pid)
  }
})

function machineInput(context: InputContext, interval: Interval): IntervalInput {
  const { log } = context
  const path = join(context.root, '/proc/stat')
  let last: readonly Ticks[] = []
  return intervalInput(
    context,
    interval,
    () => {
      const now = readMachine(path)
      if (now === undefined) {
        log.error('error retrieving overall system CPU stats')
        return
      }
      sendEvent(context, machineBody(last, now, interval))
      last = now
    },
    () => {
      const first = readMachine(path)
      if (first === undefined)
        throw new Error(`Cannot read "${path}": it must hold processor times`)
      last = first
    }
  )
}

function processInput(context: InputContext, interval: Interval, pid: number): IntervalInput {
  const { log, root } = context
  const path = join(root, `/proc/${pid}/stat`)
  let processors = 1
  let last = NO_TICKS
  return intervalInput(
    context,
    interval,
    () => {
      const now = readProcess(path)
      if (now === undefined) {
        log.error(`error opening stats file ${path}`)
        log.error('error retrieving PID CPU stats')
        return
      }
      const body = usage(last, now, ['cpu_p', 'user_p', 'system_p'], (from, to) =>
        machinePercent(from, to, processors, interval)
      )
      sendEvent(context, Object.fromEntries(body))
      last = now
    },
    () => {
      processors = Math.max(1, (readMachine(join(root, '/proc/stat'))?.length ?? 0) - 1)
      const first = readProcess(path)
      // As in Fluent Bit, process 0 is missed only at the first collection.
      if (first === undefined && pid > 0) {
        throw new Error(`Cannot read "${path}": process ${pid} must run when input cpu starts`)
      }
      last = first ?? NO_TICKS
    }
  )
}

function machineBody(last: readonly Ticks[], now: readonly Ticks[], interval: Interval): Encodable {
  const processors = last.length - 1
  const body = usage(last[0], now[0], ['cpu_p', 'user_p', 'system_p'], (from, to) =>
    machinePercent(from, to, processors, interval)
  )
  for (let index = 0; index < processors; index++) {
    const names = [`cpu${index}.p_cpu`, `cpu${index}.p_user`, `cpu${index}.p_system`] as const
    const from = last[index + 1]
    body.push(
      ...usage(from, now[index + 1] ?? from, names, (before, after) =>
        processorPercent(before, after, interval)
      )
    )
  }
  return Object.fromEntries(body)
}

/** The shares of all, user and system time under these names. */
function usage(
  last: Ticks,
  now: Ticks,
  [all, user, system]: readonly [string, string, string],
  percent: (from: number, to: number) => number
): [string, Float][] {
  return [
    [all, new Float(percent(last.user + last.system, now.user + now.system))],
    [user, new Float(percent(last.user, now.user))],
    [system, new Float(percent(last.system, now.system))]
  ]
}

/** Percent of all processors; the order of the operations decides the last digit. */
function machinePercent(from: number, to: number, processors: number, interval: Interval): number {
  if (from === to) return 0
  return ((Math.abs(to - from) / TICKS_PER_SECOND) * 100) / processors / lengthSeconds(interval)
}

/** Percent of one processor. */
function processorPercent(from: number, to: number, interval: Interval): number {
  if (from === to) return 0
  return (Math.abs(to - from) * 100) / TICKS_PER_SECOND / lengthSeconds(interval)
}

function lengthSeconds(interval: Interval): number {
  return interval.seconds + 1e-9 * interval.nanoseconds
}

/** The ticks of all processors together and of each; undefined when the file does not hold them. */
function readMachine(path: string): readonly Ticks[] | undefined {
  const ticks: Ticks[] = []
  for (const line of (readSystemFile(path) ?? '').split('\n')) {
    const found = PROCESSOR_LINE.exec(line)?.groups
    if (found === undefined) break
    ticks.push({
      user: Number(found['user']) + Number(found['nice']),
      system: Number(found['system'])
    })
  }
  return ticks.length === 0 ? undefined : ticks
}

/** The ticks of a process; undefined when there is none. */
function readProcess(path: string): Ticks | undefined {
  const text = readSystemFile(path)
  if (text === undefined) return undefined
  // The name of the process, in parentheses, may hold spaces; user and system time are fields 14 and 15.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
  return { user: Number(fields[11]), system: Number(fields[12]) }
}
