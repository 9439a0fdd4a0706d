/**
 * fluentbit_logs: the log of the program itself as records.
 * Source: Fluent Bit 5.1.1 plugins/in_fluentbit_logs/fluentbit_logs.c, src/flb_log.c log_pipeline_mirror().
 *
 * Lines from before the start of the input come too, as far back as its configuration was read.
 *
 * Differs: lines that records of this input cause while they pass filters are not taken, so that a filter that logs its
 * records does not do so for ever, as it does in Fluent Bit. Lines wait a tenth of a second for others. Those of the stop
 * come too. What the queue has no room for is counted.
 */
import type { Timer } from '../../base/clock.ts'
import type { LogLine } from '../../base/log.ts'
import type { InputContext } from '../../plugin/context.ts'
import { defineInput, type Input } from '../../plugin/define.ts'
import { beginEvent } from '../common/send_event.ts'

/** Lines that wait, as in Fluent Bit, and the characters in them. */
const LINES_MAX = 1_024
const LETTERS_MAX = 1_000_000

/** How often lines are handed on: with the limit above it bounds what deliveries that log can make of themselves. */
const HAND_ON_MS = 100

export const fluentbitLogs = defineInput({
  name: 'fluentbit_logs',
  summary: 'Log lines of the program itself',
  upstream: 'plugins/in_fluentbit_logs/fluentbit_logs.c',
  options: {},
  inMainThread: true,
  losses: () => [
    {
      when: 'running',
      message: `log lines are passed over while ${LINES_MAX} others wait, and those that its own records cause in filters`
    }
  ],
  create: (_, context) => new FluentbitLogs(context)
})

class FluentbitLogs implements Input {
  readonly #context: InputContext
  /** Of the first line that is wanted. */
  readonly #from: number
  #lines: LogLine[] = []
  #letters = 0
  #timer: Timer | undefined
  #isHandingOn = false
  #unfollow: (() => void) | undefined

  constructor(context: InputContext) {
    this.#context = context
    this.#from = context.program.logPosition
  }

  start(left?: unknown): void {
    const from = typeof left === 'number' ? left : this.#from
    this.#unfollow = this.#context.program.followLog(line => this.#take(line), from)
  }

  resume(): void {
    this.#handOnSoon()
  }

  stop(): void {
    this.#unfollow?.()
    this.#timer?.cancel()
    this.#handOn()
  }

  /** The first line that this instance has not taken. */
  handOver(): number {
    this.stop()
    return this.#context.program.logPosition
  }

  #take(line: LogLine): void {
    const { length } = line.text
    const isFull = this.#lines.length >= LINES_MAX || this.#letters + length > LETTERS_MAX
    if (this.#isHandingOn || isFull) {
      const reason = isFull ? 'queue_full' : 'own_line'
      this.#context.dropped(reason, 1, Buffer.byteLength(line.text))
      return
    }
    this.#lines.push(line)
    this.#letters += length
    this.#handOnSoon()
  }

  #handOnSoon(): void {
    if (this.#lines.length === 0) return
    this.#timer ??= this.#context.clock.after(HAND_ON_MS, () => {
      this.#timer = undefined
      if (!this.#context.paused) this.#handOn()
    })
  }

  #handOn(): void {
    const lines = this.#lines
    if (lines.length === 0) return
    this.#lines = []
    this.#letters = 0
    const sink = this.#context.sink(this.#context.tag)
    const { writer } = sink
    for (const { level, text, timeMs } of lines) {
      beginEvent(writer, timeMs)
      writer.value({ level, message: text })
    }
    this.#isHandingOn = true
    sink.commit(lines.length)
    this.#isHandingOn = false
  }
}
