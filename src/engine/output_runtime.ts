/**
 * Delivers chunks to one output. Each (chunk, output) pair is a delivery of its own: a dead output delays no other.
 * Source of retry rules and log lines: Fluent Bit 5.1.1 src/flb_engine.c handle_output_event(), src/flb_task.c,
 * src/flb_input_chunk.c flb_input_chunk_release_space().
 */
import type { Clock } from '../base/clock.ts'
import type { Logger } from '../base/log.ts'
import type { Signal } from '../base/signal.ts'
import { systemError } from '../base/system_error.ts'
import type { ServiceSettings } from '../config/service.ts'
import { MsgpackWriter } from '../codec/msgpack_writer.ts'
import type { ChunkView } from '../plugin/context.ts'
import type { Output } from '../plugin/define.ts'
import { type Delivery, drop, OK, type PartialDelivery, retry } from '../plugin/delivery.ts'
import type { Chunk } from '../storage/chunk.ts'
import { answerProblem } from './answer_check.ts'
import type { FilterChain } from './filter_chain.ts'
import type { OutputCounters, OutputFigures } from './output_figures.ts'
import { NO_LIMIT, retryDelaySeconds } from './retry.ts'
import { type DeliveryTarget, pick, type RouteDelivery, type Task } from './task.ts'
import type { UpChunks } from './up_chunks.ts'

/** Counts records that an output gave up, by reason. */
export type DropCounter = (reason: string, records: number, bytes: number) => void

export interface OutputSettings {
  readonly name: string
  /** The alias when there is one, else the name; used in log lines. */
  readonly label: string
  readonly id: number
  /** `plugin/name`, as pending tasks are shown. */
  readonly route: string
  /** See `DeliveryTarget`. */
  readonly identity: string
  readonly matches: (tag: string) => boolean
  /** What the plugin takes. */
  readonly signals: readonly Signal[]
  /** `NO_LIMIT`, 0 for none, or the number of retries. */
  readonly retryLimit: number
  readonly concurrency: number
  readonly processors: FilterChain | undefined
  /** `storage.total_limit_size` in bytes; undefined for none. */
  readonly storedBytesMax: number | undefined
}

/** Events that an output gave up and that may be kept as a dead letter. */
export interface GivenUp {
  readonly chunk: Chunk
  readonly bytes: Buffer
  readonly events: number
  readonly input: string
  readonly output: string
  readonly reason: string
  readonly attempts: number
}

export interface DeliveryWorld {
  readonly log: Logger
  readonly clock: Clock
  readonly random: () => number
  /** As the configuration that runs now has it. */
  service(): Pick<ServiceSettings, 'scheduler.base' | 'scheduler.cap'>
  readonly up: UpChunks
  /** Keeps what was given up, where dead letters are on. */
  keep(given: GivenUp): void
}

/** Errors of a file that may be gone the next time; any other means that the chunk is lost. */
const PASSING_READ_ERRORS: readonly string[] = ['EIO', 'EMFILE', 'ENFILE', 'EACCES', 'ENOMEM']

export class OutputRuntime implements DeliveryTarget {
  #settings: OutputSettings
  readonly #output: Output
  readonly #world: DeliveryWorld
  readonly #figures: OutputFigures
  readonly #counters: OutputCounters
  readonly #countDrop: DropCounter
  /** All that have not ended, oldest first. */
  readonly #deliveries = new Set<RouteDelivery>()
  readonly #queue: RouteDelivery[] = []
  #active = 0
  #isPumping = false
  #stopping = false
  /** Bytes of chunks with a file that are to come here. */
  #storedBytes = 0
  readonly #processed = new MsgpackWriter(0)
  #isStarted = false
  #successor: OutputRuntime | undefined
  /** True once it has stopped after a reload: nothing may come here any more. */
  #hasLeft = false
  #retired: (() => void) | undefined

  constructor(
    settings: OutputSettings,
    output: Output,
    world: DeliveryWorld,
    figures: OutputFigures,
    countDrop: DropCounter
  ) {
    this.#settings = settings
    this.#output = output
    this.#world = world
    this.#figures = figures
    this.#counters = figures.counters
    figures.showCapacity(() => this.#capacityPercent)
    this.#countDrop = countDrop
  }

  get settings(): OutputSettings {
    return this.#settings
  }

  get name(): string {
    return this.settings.name
  }

  get label(): string {
    return this.settings.label
  }

  get route(): string {
    return this.settings.route
  }

  get identity(): string {
    return this.settings.identity
  }

  matches(tag: string): boolean {
    return this.settings.matches(tag)
  }

  async start(): Promise<void> {
    await this.#output.start?.()
    this.#isStarted = true
  }

  /** What `storage.total_limit_size` leaves, in percent. */
  get #capacityPercent(): number {
    const { storedBytesMax } = this.settings
    return storedBytesMax === undefined ? 100 : 100 * (1 - this.#storedBytes / storedBytesMax)
  }

  /** Makes room for bytes of a chunk with a file: the oldest chunks go when they are more than the output may have. */
  reserve(chunk: Chunk, bytes: number): void {
    const { storedBytesMax } = this.settings
    if (storedBytesMax === undefined) return
    this.#storedBytes += bytes
    for (const delivery of this.#deliveries) {
      if (this.#storedBytes <= storedBytesMax) return
      const { task, state } = delivery
      if (state !== 'active' && task.chunk !== chunk && task.chunk.stored !== undefined) {
        this.#evictForRoom(delivery, storedBytesMax)
      }
    }
  }

  /** Takes a chunk over; it is not sent before `deliver`. */
  hold(delivery: RouteDelivery): void {
    this.#deliveries.add(delivery)
  }

  deliver(delivery: RouteDelivery): void {
    const { chunk } = delivery.task
    const { storedBytesMax } = this.settings
    if (storedBytesMax !== undefined && chunk.stored !== undefined && chunk.size > storedBytesMax) {
      this.#evictForRoom(delivery, storedBytesMax)
      return
    }
    this.#enqueue(delivery)
    this.#pump()
  }

  evict(delivery: RouteDelivery, reason: string): void {
    const { state } = delivery
    if (state !== 'active' && state !== 'left' && state !== 'ended') this.#giveUp(delivery, reason)
  }

  /** From now on pending retries fire at once, then every second. */
  hurry(): void {
    this.#stopping = true
    for (const delivery of Array.from(this.#deliveries)) {
      if (delivery.state === 'waiting') this.#again(delivery)
    }
  }

  /** Takes everything out of the hands of the output: the program stops. Deliveries stay as they are. */
  leave(): void {
    for (const delivery of this.#deliveries) {
      delivery.timer?.cancel()
      delivery.state = 'left'
    }
    this.#deliveries.clear()
    this.#queue.length = 0
  }

  abandon(delivery: RouteDelivery, keptEvents: number): void {
    const { events, bytes } = delivery
    if (keptEvents < delivery.task.chunk.events) delivery.keepFirst(keptEvents)
    const lost = events - delivery.events
    if (lost > 0) this.#countLost(delivery, 'shutdown', lost, bytes - delivery.bytes)
  }

  /** Once, if it has started. */
  async stop(): Promise<void> {
    if (!this.#isStarted) return
    this.#isStarted = false
    await this.#output.stop?.()
  }

  /** Stays with a new configuration, under another number. */
  stay(name: string, id: number): void {
    const [plugin] = this.settings.route.split('/')
    this.#settings = { ...this.#settings, name, id, route: `${plugin}/${name}` }
  }

  /** All deliveries go to an output with other settings; what is under way goes there if it is to be tried again. */
  handOver(successor: OutputRuntime): void {
    this.#successor = successor
    this.#queue.length = 0
    for (const delivery of Array.from(this.#deliveries)) {
      if (delivery.state !== 'active') this.#move(delivery, successor)
    }
  }

  /** Nothing comes any more: stops when the last delivery has ended, then calls `done`. */
  retire(done: () => void): void {
    this.#retired = done
    this.#leaveWhenDone()
  }

  #leaveWhenDone(): void {
    const retired = this.#retired
    if (retired === undefined || this.#deliveries.size > 0) return
    this.#retired = undefined
    this.#hasLeft = true
    const stopped = this.stop().catch((error: unknown) => {
      this.#world.log.error(`[output:${this.settings.label}] stop failed: ${describe(error)}`)
    })
    void stopped.then(retired)
  }

  /** The last of those that have followed; undefined when that has left too, and what is here is to be sent from here. */
  get #follower(): OutputRuntime | undefined {
    let last = this.#successor
    for (let next = last; next !== undefined; next = next.#successor) last = next
    return last === undefined || last.#hasLeft ? undefined : last
  }

  #move(delivery: RouteDelivery, successor: OutputRuntime): void {
    const { state, task } = delivery
    delivery.timer?.cancel()
    delivery.timer = undefined
    this.#forget(delivery)
    delivery.output = successor
    successor.hold(delivery)
    if (task.chunk.stored !== undefined) successor.reserve(task.chunk, task.chunk.size)
    if (state !== 'held') successor.deliver(delivery)
    this.#leaveWhenDone()
  }

  #forget(delivery: RouteDelivery): void {
    const { chunk } = delivery.task
    this.#deliveries.delete(delivery)
    if (this.settings.storedBytesMax !== undefined && chunk.stored !== undefined) {
      this.#storedBytes -= chunk.size
    }
  }

  #enqueue(delivery: RouteDelivery): void {
    delivery.state = 'queued'
    this.#queue.push(delivery)
  }

  #pump(): void {
    // An output that answers at once comes back here before `#run` returns.
    if (this.#isPumping) return
    this.#isPumping = true
    while (this.#active < this.settings.concurrency) {
      const delivery = this.#queue.shift()
      if (delivery === undefined) break
      if (delivery.state === 'queued') void this.#run(delivery)
    }
    this.#isPumping = false
  }

  async #run(delivery: RouteDelivery): Promise<void> {
    const { up } = this.#world
    const { chunk } = delivery.task
    const { processors, concurrency } = this.settings
    this.#active++
    delivery.state = 'active'
    let view: ChunkView | undefined
    let answer: Delivery
    try {
      up.hold(chunk)
      view = delivery.view(processors, concurrency === 1 ? this.#processed : new MsgpackWriter())
      // Processors may leave nothing to send.
      const flushed = view.events === 0 ? OK : this.#output.flush(view)
      answer = this.#checked(flushed instanceof Promise ? await flushed : flushed, view)
    } catch (error) {
      answer = view === undefined ? this.#unreadable(delivery.task, error) : this.#failed(error)
    }
    this.#active--
    // A delivery that was left at the stop does not count any more.
    if (delivery.state === 'active') {
      delivery.task.owner.tap?.answered(chunk, this.settings, answer)
      this.#settle(delivery, answer, view)
      up.release(chunk)
    }
    this.#pump()
  }

  #checked(answer: Delivery, view: ChunkView): Delivery {
    const problem = answerProblem(answer, view.events)
    if (problem === undefined) return answer
    this.#world.log.error(`[output:${this.settings.label}] flush gave a wrong answer: ${problem}`)
    return retry('wrong_answer')
  }

  #failed(error: unknown): Delivery {
    this.#world.log.error(`[output:${this.settings.label}] flush failed: ${describe(error)}`)
    return retry('exception')
  }

  #unreadable(task: Task, error: unknown): Delivery {
    const { code, text } = systemError(error)
    this.#world.log.error(`[storage] cannot read chunk '${task.chunk.id}': ${text}`)
    if (PASSING_READ_ERRORS.includes(code)) return retry('chunk_unreadable')
    task.isDamaged = true
    return drop('chunk_unreadable')
  }

  #settle(delivery: RouteDelivery, answer: Delivery, view: ChunkView | undefined): void {
    if (answer.kind === 'retry') this.#retry(delivery, answer, view)
    else if (answer.kind === 'drop') {
      this.#counters.errors.add(1)
      this.#giveUp(delivery, answer.reason, view)
    } else if (view !== undefined) {
      delivery.countProcessed(view)
      if (answer.kind === 'ok') this.#succeeded(delivery, view)
      else this.#settlePartly(delivery, answer, view)
    }
  }

  #settlePartly(delivery: RouteDelivery, answer: PartialDelivery, view: ChunkView): void {
    const rest = { bytes: pick(view.bytes, answer.retry), events: answer.retry.length }
    let taken = view.events - rest.events
    let takenBytes = view.bytes.length - rest.bytes.length
    for (const { reason, events } of answer.drop) {
      const bytes = pick(view.bytes, events)
      taken -= events.length
      takenBytes -= bytes.length
      this.#keep(delivery, reason, bytes, events.length)
      this.#countLost(delivery, reason, events.length, bytes.length)
      delivery.task.lose(reason, delivery.lostOf(view, events))
    }
    delivery.account.delivered += taken
    this.#countTaken(delivery.task, taken, takenBytes)
    if (answer.drop.length > 0) this.#counters.errors.add(1)
    delivery.keepOnly(view, answer.retry, this.settings.processors !== undefined)
    if (answer.retry.length === 0) {
      this.#end(delivery)
      return
    }
    const hasChanged = answer.retry.length < view.events
    if (delivery.left !== undefined && hasChanged) this.#note(delivery, delivery.left)
    this.#retry(delivery, answer, { ...view, ...rest })
  }

  #succeeded(delivery: RouteDelivery, view: ChunkView): void {
    const { task, failures } = delivery
    const { chunk } = task
    if (failures > 0) {
      this.#world.log.info(
        `[engine] flush chunk '${chunk.id}' succeeded at retry ${failures}: ${this.#where(task)}`
      )
    } else if (task.owner.isBacklog) {
      this.#world.log.info(
        `[engine] flush backlog chunk '${chunk.id}' succeeded: ${this.#where(task)}`
      )
    }
    this.#countTaken(task, view.events, view.bytes.length)
    const seconds = this.#world.clock.now() / 1000 - beginSeconds(chunk.id)
    this.#figures.delivered(task.owner.label, Math.max(seconds, 0))
    delivery.account.delivered += view.events
    this.#end(delivery)
  }

  #retry(
    delivery: RouteDelivery,
    answer: { readonly reason: string; readonly waitMs?: number },
    view: ChunkView | undefined
  ): void {
    const { task } = delivery
    const { retryLimit } = this.settings
    // The hurried retries of a stop do not use up those of a chunk that the next start can send.
    const isKept = this.#stopping && task.chunk.stored !== undefined
    if (retryLimit === 0) {
      this.#world.log.info(
        `[engine] chunk '${task.chunk.id}' is not retried (no retry config): ${this.#where(task)}`
      )
      this.#giveUp(delivery, 'no_retries', view, answer.reason)
    } else if (!isKept && retryLimit !== NO_LIMIT && delivery.failures >= retryLimit) {
      this.#world.log.error(
        `[engine] chunk '${task.chunk.id}' cannot be retried: task_id=${task.id}, ` +
          `input=${task.owner.label} > output=${this.settings.label}`
      )
      this.#counters.retriesFailed.add(1)
      this.#giveUp(delivery, 'retries_exhausted', view, answer.reason)
    } else this.#retryLater(delivery, answer.waitMs)
  }

  #retryLater(delivery: RouteDelivery, waitMs: number | undefined): void {
    const { task } = delivery
    const { random, clock, log } = this.#world
    const { 'scheduler.base': base, 'scheduler.cap': cap } = this.#world.service()
    delivery.failures++
    this.#counters.retries.add(1)
    this.#counters.retriedRecords.add(delivery.events)
    const backoff = retryDelaySeconds(delivery.failures, base, cap, random)
    const seconds = this.#stopping ? 1 : Math.max(backoff, Math.ceil((waitMs ?? 0) / 1000))
    log.warn(
      `[engine] failed to flush chunk '${task.chunk.id}', retry in ${seconds} seconds: ${this.#where(task)}`
    )
    this.#figures.waits(seconds)
    delivery.state = 'waiting'
    task.stalled()
    delivery.timer = clock.after(seconds * 1000, () => this.#again(delivery))
  }

  #again(delivery: RouteDelivery): void {
    const follower = this.#follower
    if (follower !== undefined) {
      this.#move(delivery, follower)
      return
    }
    delivery.timer?.cancel()
    delivery.timer = undefined
    this.#enqueue(delivery)
    this.#pump()
  }

  #evictForRoom(delivery: RouteDelivery, limit: number): void {
    const { chunk, id, owner } = delivery.task
    const { label } = this.settings
    this.#world.log.warn(
      `[input chunk] chunk '${chunk.id}' evicted from output queue to make room under ` +
        `storage.total_limit_size: task_id=${id}, input=${owner.label} > output=${label} ` +
        `(out_id=${this.settings.id}), bytes=${chunk.size}, limit=${limit}`
    )
    this.#giveUp(delivery, 'storage_limit')
  }

  /**
   * @param view What is given up, where the output has seen it: it may become a dead letter.
   * @param cause What the output said last, for the letter.
   */
  #giveUp(delivery: RouteDelivery, reason: string, view?: ChunkView, cause = ''): void {
    const { task } = delivery
    task.lose(reason, delivery.lostOf(view))
    if (view !== undefined) {
      delivery.countProcessed(view)
      this.#keep(delivery, cause === '' ? reason : `${reason}: ${cause}`, view.bytes, view.events)
    }
    const { events } = view ?? delivery
    this.#countLost(delivery, reason, events, view?.bytes.length ?? delivery.bytes)
    this.#end(delivery)
  }

  #countTaken({ owner, chunk }: Task, events: number, bytes: number): void {
    this.#counters.records.add(events)
    this.#counters.bytes.add(bytes)
    if (chunk.signal !== 'logs') return
    const route = this.#figures.route(owner.label)
    route.records.add(events)
    route.bytes.add(bytes)
  }

  #countLost(delivery: RouteDelivery, reason: string, events: number, bytes: number): void {
    delivery.account.drop(reason, events)
    this.#counters.droppedRecords.add(events)
    this.#countDrop(reason, events, bytes)
    const { owner, chunk } = delivery.task
    if (chunk.signal !== 'logs') return
    const { drops } = this.#figures.route(owner.label)
    drops.records.add(events)
    drops.bytes.add(bytes)
  }

  #keep(delivery: RouteDelivery, reason: string, bytes: Buffer, events: number): void {
    const { task, failures } = delivery
    const { label: output } = this.settings
    const { chunk, inputLabel: input } = task
    const attempts = failures + 1
    this.#world.keep({ chunk, bytes, events, input, output, reason, attempts })
  }

  #end(delivery: RouteDelivery): void {
    const { task } = delivery
    delivery.timer?.cancel()
    delivery.timer = undefined
    delivery.state = 'ended'
    this.#forget(delivery)
    // With other outputs to go, a restart must not send it here again.
    if (task.deliveries.size > 1) this.#note(delivery, undefined)
    task.ended(delivery)
    this.#leaveWhenDone()
  }

  /** Notes in the chunk's file what this output needs no more; without the note it is sent again after a crash. */
  #note(delivery: RouteDelivery, left: readonly number[] | undefined): void {
    const { chunk } = delivery.task
    const { identity: output } = this.settings
    try {
      chunk.stored?.settle(left === undefined ? { output } : { output, left })
    } catch (error) {
      this.#world.log.error(`[storage] cannot write to chunk '${chunk.id}': ${describe(error)}`)
    }
  }

  #where(task: Task): string {
    const { label, id } = this.settings
    return `task_id=${task.id}, input=${task.owner.label} > output=${label} (out_id=${id})`
  }
}

function describe(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error)
}

/** When a chunk was begun: its name says it. */
function beginSeconds(id: string): number {
  const time = /-(\d+)\.(\d+)\.\w+$/.exec(id)
  return time === null ? 0 : Number(time[1]) + Number(time[2]) / 1e9
}
