/**
 * kmsg: the kernel's log.
 * Source: Fluent Bit 5.1.1 plugins/in_kmsg/in_kmsg.c; Linux Documentation/ABI/testing/dev-kmsg:
 *
 *     PRIORITY "," SEQUENCE "," MICROSECONDS "," FLAGS ";" TEXT "\n" *(" " KEY "=" VALUE "\n")
 *
 * Differs: records over 4095 bytes are read too; new records are looked for every 100 ms, as Node cannot wait for a
 * device without holding up a thread.
 */
import { closeSync, constants, openSync, readSync } from 'node:fs'
import { join } from 'node:path'
import { systemError } from '../../base/system_error.ts'
import { int } from '../../config/options.ts'
import type { InputContext } from '../../plugin/context.ts'
import { defineInput, type Input } from '../../plugin/define.ts'
import { writeEventHeader } from '../../record/event.ts'
import { readSystemFile } from '../common/system_files.ts'

const POLL_MS = 100

/** The kernel gives one record a read, of 8 KB at most. */
const RECORD_BYTES_MAX = 16_384

const LINE_FEED = 0x0a
const SPACE = 0x20

const HEAD = /^(?<priority>\d+),(?<sequence>\d+),(?<time>\d+)[^;]*;/

export const kmsg = defineInput({
  name: 'kmsg',
  summary: 'Kernel log buffer',
  upstream: 'plugins/in_kmsg/in_kmsg.c',
  options: {
    prio_level: int({
      default: '8',
      doc: 'Drop records with a priority number above this (0 to 8)'
    })
  },
  create: (values, context) => new KernelLog(values.prio_level, context)
})

class KernelLog implements Input {
  readonly #context: InputContext
  readonly #priorityMax: number
  readonly #buffer = Buffer.alloc(RECORD_BYTES_MAX)
  #device: number | undefined
  #bootSeconds = 0

  constructor(priorityMax: number, context: InputContext) {
    this.#priorityMax = priorityMax
    this.#context = context
  }

  start(): void {
    const { root, clock } = this.#context
    const uptimePath = join(root, '/proc/uptime')
    const uptime = readSystemFile(uptimePath)
    if (uptime === undefined) {
      throw new Error(`Cannot read "${uptimePath}": it must hold the time since the kernel started`)
    }
    this.#bootSeconds = bootSeconds(uptime, clock.now())
    this.#device = openDevice(join(root, '/dev/kmsg'))
    this.#context.every(POLL_MS, () => this.#collect())
    this.#collect()
  }

  stop(): void {
    if (this.#device !== undefined) closeSync(this.#device)
    this.#device = undefined
  }

  /** Reads records until there are no more, or the input is held back. */
  #collect(): void {
    while (!this.#context.paused) {
      const length = this.#read()
      if (length === 0) return
      for (let start = 0; start < length;) {
        const end = recordEnd(this.#buffer, start, length)
        this.#take(start, end)
        start = end
      }
    }
  }

  /** Bytes of the next record; 0 when there is none. */
  #read(): number {
    if (this.#device === undefined) return 0
    for (;;) {
      try {
        return readSync(this.#device, this.#buffer)
      } catch (cause) {
        // The kernel has overwritten the next record; the read after this one gives the oldest that is left.
        if ((cause as NodeJS.ErrnoException).code !== 'EPIPE') return 0
      }
    }
  }

  #take(start: number, end: number): void {
    const { log } = this.#context
    const text = this.#buffer.utf8Slice(start, end)
    const head = HEAD.exec(text)
    if (head?.groups === undefined) return
    const priority = Number(head.groups['priority']) & 7
    if (priority > this.#priorityMax) return
    const sequence = BigInt.asUintN(64, BigInt(head.groups['sequence']))
    const microseconds = Number(head.groups['time'])
    const sec = Math.floor(microseconds / 1e6)
    const usec = microseconds % 1e6
    const msg = text.slice(head[0].length, -1)
    const sink = this.#context.sink(this.#context.tag)
    writeEventHeader(sink.writer, this.#bootSeconds + sec, usec * 1000)
    sink.writer.value({ priority, sequence, sec, usec, msg })
    sink.commit(1)
    log.debug(`pri=${priority} seq=${sequence} sec=${sec} usec=${usec} msg_length=${msg.length}`)
  }
}

function openDevice(path: string): number {
  try {
    return openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
  } catch (cause) {
    throw new Error(`Cannot open "${path}": ${systemError(cause).text}`, { cause })
  }
}

/** The end of the record at `start`: after the line that no line with a space at its start follows. */
function recordEnd(bytes: Buffer, start: number, end: number): number {
  let at = start
  while (at < end) {
    const lineEnd = bytes.indexOf(LINE_FEED, at)
    if (lineEnd < 0 || lineEnd >= end) return end
    at = lineEnd + 1
    if (at === end || bytes[at] !== SPACE) return at
  }
  return end
}

/**
 * Seconds since the epoch at which the kernel started, as Fluent Bit has it: `12.34` means 12 seconds and 34
 * microseconds, and what is left of a second is dropped.
 */
function bootSeconds(uptime: string, nowMs: number): number {
  const [seconds, fraction] = uptime.split(' ', 1)[0].split('.')
  const nowMicroseconds = Math.floor(nowMs * 1000)
  return Math.floor((nowMicroseconds - Number(seconds) * 1e6 - Number(fraction)) / 1e6)
}
