/**
 * Sealed chunks on their way: a task is a chunk, and has a delivery for each output that the chunk goes to. It ends when
 * the last of them has ended.
 */
import type { Timer } from '../base/clock.ts'
import { skip } from '../codec/msgpack_reader.ts'
import { MsgpackWriter } from '../codec/msgpack_writer.ts'
import type { ChunkView } from '../plugin/context.ts'
import type { Chunk } from '../storage/chunk.ts'
import type { ChunkTap } from './chunk_trace.ts'
import type { FilterChain } from './filter_chain.ts'
import type { Account } from './ledger.ts'

/** Where chunks come from: an input, or the store of an earlier run. */
export interface TaskOwner {
  /** `tail`. */
  readonly plugin: string
  /** `tail.0`. */
  readonly name: string
  /** Alias or name. */
  readonly label: string
  /** True for chunks of an earlier run. */
  readonly isBacklog: boolean
  /** Receipts may be called for what a stop has written to disk; false where they are to wait for delivery. */
  readonly trustsDisk: boolean
  /** Follows the chunks, while the input is traced. */
  readonly tap?: ChunkTap | undefined
  /** The first delivery ended or waits for a retry: nobody should wait for this chunk any more. */
  release(task: Task): void
  /** All deliveries have ended. */
  ended(task: Task): void
}

export class Task {
  readonly id: number
  readonly chunk: Chunk
  readonly owner: TaskOwner
  /** Alias or name of the input that the events came from. */
  readonly inputLabel: string
  /** Account of that input. */
  readonly account: Account
  readonly #open = new Set<RouteDelivery>()
  /** Identities of the outputs that have taken the chunk, or given it up. */
  readonly doneBy: string[] = []
  readonly #onEnd: (task: Task) => void
  #underWay = true
  /** Reason of the first loss of all events, or of single ones. */
  #allLost: string | undefined
  readonly #lost = new Map<number, string>()
  readonly #lostWithoutNumber: { readonly reason: string; readonly events: number }[] = []
  #keptEvents: number | undefined

  constructor(
    id: number,
    chunk: Chunk,
    owner: TaskOwner,
    input: { readonly label: string; readonly account: Account },
    onEnd: (task: Task) => void
  ) {
    this.id = id
    this.chunk = chunk
    this.owner = owner
    this.inputLabel = input.label
    this.account = input.account
    this.#onEnd = onEnd
  }

  /** Deliveries that have not ended. */
  get deliveries(): ReadonlySet<RouteDelivery> {
    return this.#open
  }

  /** True while no delivery has ended or waits for a retry: the input may wait for it. */
  get underWay(): boolean {
    return this.#underWay && this.#open.size > 0
  }

  /** Failed attempts of all deliveries that go on. */
  get failures(): number {
    let failures = 0
    for (const delivery of this.#open) failures += delivery.failures
    return failures
  }

  add(delivery: RouteDelivery): void {
    this.#open.add(delivery)
  }

  /** Notes what an output did not get. */
  lose(reason: string, lost: Lost): void {
    if (lost === 'all') this.#allLost ??= reason
    else if (typeof lost === 'number') this.#lostWithoutNumber.push({ reason, events: lost })
    else for (const event of lost) if (!this.#lost.has(event)) this.#lost.set(event, reason)
  }

  /** The chunk's file turned out to be damaged: it is not to be removed. */
  isDamaged = false

  /** Numbers of the chunk's events that some output did not get, ascending. */
  get lost(): readonly number[] {
    if (this.#allLost === undefined) return [...this.#lost.keys()].toSorted((a, b) => a - b)
    return Array.from({ length: this.chunk.events }, (_, event) => event)
  }

  /** A delivery has ended, well or not. */
  ended(delivery: RouteDelivery): void {
    if (!this.#open.delete(delivery)) return
    this.doneBy.push(delivery.output.identity)
    this.stalled()
    if (this.#open.size > 0) return
    this.#settle()
    this.#onEnd(this)
  }

  /** A delivery waits for a retry, or has ended. */
  stalled(): void {
    if (!this.#underWay) return
    this.#underWay = false
    this.owner.release(this)
  }

  /**
   * The program stops with the chunk undelivered.
   *
   * @param keptEvents Its first events that are on disk; the others are lost.
   */
  abandon(keptEvents: number): void {
    this.#keptEvents = keptEvents
    this.account.drop('shutdown', this.chunk.events - keptEvents)
  }

  /** Events that count as buffered in the account of the input. */
  get buffered(): number {
    return this.#keptEvents ?? this.chunk.events
  }

  #settle(): void {
    const { account, chunk } = this
    for (const reason of this.#lost.values()) account.drop(reason, 1)
    let others = chunk.events - this.#lost.size
    for (const { reason, events } of this.#lostWithoutNumber) {
      // Which ones they are nobody knows; they may be among those with a number.
      const counted = this.#allLost === undefined ? Math.min(events, others) : 0
      account.drop(reason, counted)
      others -= counted
    }
    if (this.#allLost === undefined) account.delivered += others
    else account.drop(this.#allLost, others)
  }
}

/**
 * Events that an output did not get: their numbers in the chunk, or how many they are where processors of the output took
 * or made some, so that what it saw has no numbers.
 */
export type Lost = 'all' | readonly number[] | number

/** The output that a delivery is for, as the delivery and who holds it see it. */
export interface DeliveryTarget {
  /** Alias or name. */
  readonly label: string
  /** `http/http.0`, as pending tasks are shown. */
  readonly route: string
  /** Tells it from others in notes on disk: outputs of the next configuration may have its name. */
  readonly identity: string
  /** Sends a chunk when its turn comes. */
  deliver(delivery: RouteDelivery): void
  /** Gives a delivery up, unless it is under way. */
  evict(delivery: RouteDelivery, reason: string): void
  /** Counts what is lost at the stop: all but the chunk's first events, which are on disk. */
  abandon(delivery: RouteDelivery, keptEvents: number): void
}

/**
 * - `held`: a chunk of an earlier run that is not due yet.
 * - `queued`: waits for its turn at the output.
 * - `active`: the output is working on it.
 * - `waiting`: failed, and is sent again when its timer fires.
 * - `left`: the program stops, and nobody works on it any more.
 */
export type DeliveryState = 'held' | 'queued' | 'active' | 'waiting' | 'left' | 'ended'

/** The way of one chunk to one output: how far it is, and which events are still to be delivered. */
export class RouteDelivery {
  readonly task: Task
  /** Another one from a reload on that changes the output. */
  output: DeliveryTarget
  /** Account of the route, and the output that it is for. */
  readonly account: Account
  readonly accountLabel: string
  state: DeliveryState = 'held'
  /** Failed attempts. */
  failures = 0
  timer: Timer | undefined
  /** Numbers of the chunk's events that are still to be delivered; undefined for all. */
  left: readonly number[] | undefined
  /** False once processors of the output took or made events. */
  #hasNumbers = true
  /** What processors made of events and the output has not taken yet; kept once some of it was taken. */
  #processed: { readonly bytes: Buffer; readonly events: number } | undefined

  constructor(task: Task, output: DeliveryTarget, account: Account) {
    this.task = task
    this.output = output
    this.account = account
    this.accountLabel = output.label
  }

  /** Gives it up, unless the output is working on it. */
  evict(reason: string): void {
    this.output.evict(this, reason)
  }

  /** Events that are still to be delivered. */
  get events(): number {
    return this.#processed?.events ?? this.left?.length ?? this.task.chunk.events
  }

  /** True once the output has taken some of the events. */
  get isPartlyTaken(): boolean {
    return this.left !== undefined || this.#processed !== undefined
  }

  /** What the output is to get now; the chunk must be up. */
  view(processors: FilterChain | undefined, out: MsgpackWriter): ChunkView {
    const { chunk } = this.task
    const { id, tag, input, signal } = chunk
    if (this.#processed !== undefined) return { id, tag, input, signal, ...this.#processed }
    const { left } = this
    const bytes = left === undefined ? chunk.bytes : pick(chunk.bytes, left)
    const events = left?.length ?? chunk.events
    if (processors === undefined || signal !== 'logs')
      return { id, tag, input, signal, bytes, events }
    out.length = 0
    // Processors run again at each attempt, as in Fluent Bit.
    const kept = processors.run(bytes, bytes.length, tag, input, out)
    return { id, tag, input, signal, bytes: out.written(), events: kept }
  }

  /** Takes note of what processors did, once a part of the view or all of it has come to its end. */
  countProcessed(view: ChunkView): void {
    const difference = view.events - this.events
    if (difference > 0) this.account.added += difference
    else this.account.filtered -= difference
  }

  /**
   * Leaves only some events of a view to be delivered.
   *
   * @param events Their numbers in the view, ascending.
   */
  keepOnly(view: ChunkView, events: readonly number[], isProcessed: boolean): void {
    this.#hasNumbers &&= view.events === this.events
    // What one output has processed stays so at another one that has no processors.
    if (isProcessed || this.#processed !== undefined) {
      this.#processed = { bytes: pick(view.bytes, events), events: events.length }
    }
    this.left = this.#hasNumbers ? this.inChunk(events) : undefined
  }

  /** What is lost with a view, or with some events of it by their numbers there. */
  lostOf(view: ChunkView | undefined, events?: readonly number[]): Lost {
    const given = view?.events ?? this.events
    if (!this.#hasNumbers || given !== this.events) return events?.length ?? given
    return events === undefined ? (this.left ?? 'all') : this.inChunk(events)
  }

  /** Gives up all events but the first of the chunk. */
  keepFirst(events: number): void {
    const all = this.left ?? Array.from({ length: this.task.chunk.events }, (_, index) => index)
    this.#processed = undefined
    this.left = all.filter(event => event < events)
  }

  /** Bytes of the events that are still to be delivered. */
  get bytes(): number {
    const { chunk } = this.task
    if (this.#processed !== undefined) return this.#processed.bytes.length
    if (this.left === undefined) return chunk.size
    // Of a chunk that is down nothing is read for it.
    if (!chunk.isUp) return Math.round((chunk.size * this.left.length) / chunk.events)
    return pick(chunk.bytes, this.left).length
  }

  /** Numbers in the chunk of events of an unprocessed view. */
  inChunk(events: readonly number[]): readonly number[] {
    const { left } = this
    return left === undefined ? events : events.map(event => left[event])
  }
}

/** Copies some of the events in `bytes`; their numbers are ascending. */
export function pick(bytes: Buffer, events: readonly number[]): Buffer {
  const out = new MsgpackWriter(bytes.length)
  let event = 0
  let at = 0
  for (const wanted of events) {
    while (event < wanted) {
      at = skip(bytes, at)
      event++
    }
    const next = skip(bytes, at)
    out.raw(bytes, at, next)
    at = next
    event++
  }
  return out.written()
}
