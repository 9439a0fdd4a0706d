/**
 * Delivers chunks to one output. Each (chunk, output) pair is a delivery of its own: a dead output delays no other.
 * Source of retry rules and log lines: Fluent Bit 5.1.1 src/flb_engine.c handle_output_event(), src/flb_task.c.
 */
import type { Clock, Timer } from '../base/clock.ts'
import type { Logger } from '../base/log.ts'
import { MsgpackWriter } from '../codec/msgpack_writer.ts'
import type { Counter } from '../metrics/registry.ts'
import type { ChunkView } from '../plugin/context.ts'
import type { Output } from '../plugin/define.ts'
import { type Delivery, retry } from '../plugin/delivery.ts'
import type { FilterChain } from './filter_chain.ts'
import { NO_LIMIT, retryDelaySeconds } from './retry.ts'
import type { Task } from './task.ts'

/** What an output has done, as Fluent Bit's metrics name it. */
export interface OutputCounters {
  readonly records: Counter
  readonly bytes: Counter
  readonly errors: Counter
  readonly retries: Counter
  readonly retriesFailed: Counter
  readonly droppedRecords: Counter
  readonly retriedRecords: Counter
}

/** Counts records that an output gave up, by reason. */
export type DropCounter = (reason: string, records: number, bytes: number) => void

export interface OutputSettings {
  readonly name: string
  /** The alias when there is one, else the name; used in log lines. */
  readonly label: string
  readonly id: number
  /** `plugin/name`, as pending tasks are shown. */
  readonly route: string
  readonly matches: (tag: string) => boolean
  /** `NO_LIMIT`, 0 for none, or the number of retries. */
  readonly retryLimit: number
  readonly concurrency: number
  readonly processors: FilterChain | undefined
}

export interface DeliveryWorld {
  readonly log: Logger
  readonly clock: Clock
  readonly random: () => number
  readonly schedulerBase: number
  readonly schedulerCap: number
}

interface Attempt {
  readonly task: Task
  failures: number
  timer: Timer | undefined
}

export class OutputRuntime {
  readonly settings: OutputSettings
  readonly #output: Output
  readonly #world: DeliveryWorld
  readonly #counters: OutputCounters
  readonly #countDrop: DropCounter
  readonly #queue: Attempt[] = []
  readonly #waiting = new Set<Attempt>()
  #active = 0
  #stopping = false
  readonly #processed = new MsgpackWriter(0)

  constructor(
    settings: OutputSettings,
    output: Output,
    world: DeliveryWorld,
    counters: OutputCounters,
    countDrop: DropCounter
  ) {
    this.settings = settings
    this.#output = output
    this.#world = world
    this.#counters = counters
    this.#countDrop = countDrop
  }

  get name(): string {
    return this.settings.name
  }

  matches(tag: string): boolean {
    return this.settings.matches(tag)
  }

  async start(): Promise<void> {
    await this.#output.start?.()
  }

  /** Takes a chunk for delivery; the task is told when it ends. */
  deliver(task: Task): void {
    this.#queue.push({ task, failures: 0, timer: undefined })
    this.#pump()
  }

  /** From now on pending retries fire at once, then every second. */
  hurry(): void {
    this.#stopping = true
    // A copy: what fails again at once waits again, in the same set.
    for (const attempt of Array.from(this.#waiting)) {
      attempt.timer?.cancel()
      this.#again(attempt)
    }
  }

  /** Ends every delivery that has not ended: the chunks were not delivered when the program stopped. */
  abandon(): void {
    for (const attempt of this.#waiting) {
      attempt.timer?.cancel()
      this.#giveUp(attempt, 'shutdown')
    }
    this.#waiting.clear()
    for (const attempt of this.#queue.splice(0)) this.#giveUp(attempt, 'shutdown')
  }

  async stop(): Promise<void> {
    await this.#output.stop?.()
  }

  #pump(): void {
    while (this.#active < this.settings.concurrency) {
      const attempt = this.#queue.shift()
      if (attempt === undefined) return
      this.#active++
      void this.#run(attempt)
    }
  }

  async #run(attempt: Attempt): Promise<void> {
    let delivery: Delivery
    try {
      const flushed = this.#output.flush(this.#processedChunk(attempt.task))
      delivery = flushed instanceof Promise ? await flushed : flushed
    } catch (error) {
      this.#world.log.error(`[output:${this.settings.label}] flush failed: ${describe(error)}`)
      delivery = retry('exception')
    }
    this.#active--
    this.#settle(attempt, delivery)
    this.#pump()
  }

  /** The chunk as the output's processors leave it; they run again at each attempt, as in Fluent Bit. */
  #processedChunk(task: Task): ChunkView {
    const { chunk } = task
    const { processors, concurrency } = this.settings
    if (processors === undefined) return chunk
    const out = concurrency === 1 ? this.#processed : new MsgpackWriter(chunk.size)
    out.length = 0
    const events = processors.run(chunk.bytes, chunk.size, chunk.tag, chunk.input, out)
    return { id: chunk.id, tag: chunk.tag, input: chunk.input, bytes: out.written(), events }
  }

  #settle(attempt: Attempt, delivery: Delivery): void {
    const { task } = attempt
    if (delivery.kind === 'ok') this.#succeeded(attempt)
    else if (delivery.kind === 'drop') {
      this.#counters.errors.add(1)
      this.#giveUp(attempt, delivery.reason)
    } else if (this.settings.retryLimit === 0) {
      this.#world.log.info(
        `[engine] chunk '${task.chunk.id}' is not retried (no retry config): ${this.#where(task)}`
      )
      this.#giveUp(attempt, 'no_retries')
    } else if (
      this.settings.retryLimit !== NO_LIMIT &&
      attempt.failures >= this.settings.retryLimit
    ) {
      this.#world.log.error(
        `[engine] chunk '${task.chunk.id}' cannot be retried: task_id=${task.id}, ` +
          `input=${task.inputLabel} > output=${this.settings.label}`
      )
      this.#counters.retriesFailed.add(1)
      this.#giveUp(attempt, 'retries_exhausted')
    } else this.#retryLater(attempt, delivery.waitMs)
  }

  #succeeded(attempt: Attempt): void {
    const { task, failures } = attempt
    if (failures > 0) {
      this.#world.log.info(
        `[engine] flush chunk '${task.chunk.id}' succeeded at retry ${failures}: ${this.#where(task)}`
      )
    }
    this.#counters.records.add(task.chunk.events)
    this.#counters.bytes.add(task.chunk.size)
    task.ended(this.settings.route)
  }

  #retryLater(attempt: Attempt, waitMs: number | undefined): void {
    const { task } = attempt
    const { schedulerBase, schedulerCap, random, clock, log } = this.#world
    attempt.failures++
    this.#counters.retries.add(1)
    this.#counters.retriedRecords.add(task.chunk.events)
    const backoff = retryDelaySeconds(attempt.failures, schedulerBase, schedulerCap, random)
    const seconds = this.#stopping ? 1 : Math.max(backoff, Math.ceil((waitMs ?? 0) / 1000))
    log.warn(
      `[engine] failed to flush chunk '${task.chunk.id}', retry in ${seconds} seconds: ${this.#where(task)}`
    )
    this.#waiting.add(attempt)
    task.stalled()
    attempt.timer = clock.after(seconds * 1000, () => this.#again(attempt))
  }

  #again(attempt: Attempt): void {
    this.#waiting.delete(attempt)
    attempt.timer = undefined
    this.#queue.push(attempt)
    this.#pump()
  }

  #giveUp(attempt: Attempt, reason: string): void {
    const { chunk } = attempt.task
    this.#counters.droppedRecords.add(chunk.events)
    this.#countDrop(reason, chunk.events, chunk.size)
    attempt.task.ended(this.settings.route)
  }

  #where(task: Task): string {
    const { label, id } = this.settings
    return `task_id=${task.id}, input=${task.inputLabel} > output=${label} (out_id=${id})`
  }
}

function describe(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error)
}
