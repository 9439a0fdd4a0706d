/**
 * In a thread: stands in for the engine towards an input. What the input commits is collected by tag and sent in
 * batches, at the end of a turn of the event loop or when a batch is full, as far as the main thread has room.
 */
import type { Timer } from '../../base/clock.ts'
import {
  CHUNK_BYTES_BUSY,
  CHUNK_BYTES_FIRST,
  THREAD_BATCH_BYTES,
  THREAD_BYTES_MAX
} from '../../base/limits.ts'
import { type Signal, SIGNALS } from '../../base/signal.ts'
import { MsgpackWriter } from '../../codec/msgpack_writer.ts'
import type { EventSink } from '../../plugin/context.ts'
import type { Input } from '../../plugin/define.ts'
import { BufferPool } from '../../storage/chunk.ts'
import type { InputDesk } from '../plugin_context.ts'
import { type Parcel, Parcels } from './parcel.ts'
import type { InputEntry, InputRequest } from './protocol.ts'
import type { ThreadLink } from './thread_link.ts'

/** Room of a batch and the block that filled it. */
const POOLED_BYTES = 2 * THREAD_BATCH_BYTES

export class HostedInput implements InputDesk {
  paused = false
  /** Set before anything else is called. */
  plugin: Input | undefined
  readonly #link: Pick<ThreadLink, 'post' | 'sendFigures'>
  readonly #batchesMax: number
  readonly #timers: ReadonlySet<Timer>
  readonly #pool = new BufferPool(POOLED_BYTES)
  readonly #parcels = new Parcels(POOLED_BYTES)
  readonly #sinks: Readonly<Record<Signal, Map<string, ThreadSink>>> = {
    logs: new Map(),
    metrics: new Map(),
    traces: new Map()
  }
  /** Sinks with events that are in no batch yet. */
  readonly #open = new Set<ThreadSink>()
  /** What was not sent, in order. */
  readonly #outgoing: InputEntry[] = []
  /** What was sent and the main thread has no room for yet. */
  #sentBatches = 0
  #sentBytes = 0
  #lastNumber = 0
  /** Receipts by the number of their batch. */
  readonly #receipts = new Map<number, readonly (() => void)[]>()
  #awaitsTurn = false
  #room: PromiseWithResolvers<void> | undefined

  /** @param timers Of the input; they end with it. */
  constructor(
    link: Pick<ThreadLink, 'post' | 'sendFigures'>,
    batchesMax: number,
    timers: ReadonlySet<Timer>
  ) {
    this.#link = link
    this.#batchesMax = batchesMax
    this.#timers = timers
  }

  start(): void | Promise<void> {
    return this.plugin?.start()
  }

  hear(request: InputRequest): void {
    switch (request.kind) {
      case 'pause':
        this.paused = true
        this.plugin?.pause?.()
        return
      case 'resume':
        this.paused = false
        this.plugin?.resume?.()
        return
      case 'drain':
        this.#sendAll()
        this.#link.post({ kind: 'drained' })
        return
      case 'taken':
        return this.#taken(request.parcels)
      case 'settled':
        return this.#settled(request.number)
    }
  }

  /** Stops the input; what it had left is sent. */
  async stop(): Promise<void> {
    for (const timer of this.#timers) timer.cancel()
    await this.plugin?.stop?.()
    this.#sendAll()
  }

  // --- called by the input

  sink(tag: string, signal: Signal = 'logs'): EventSink {
    const sinks = this.#sinks[signal]
    let sink = sinks.get(tag)
    if (sink === undefined) {
      sink = new ThreadSink(tag, signal, this.#pool, committed => this.#committed(committed))
      sinks.set(tag, sink)
    }
    return sink
  }

  forget(tag: string): void {
    const sinks = SIGNALS.flatMap(signal => this.#sinks[signal].get(tag) ?? [])
    if (sinks.length === 0) return
    for (const sink of sinks) {
      this.#seal(sink)
      sink.release()
      this.#sinks[sink.signal].delete(tag)
    }
    this.#outgoing.push({ kind: 'forget', tag })
    this.#send()
  }

  flush(): void {
    this.#sealAll()
    this.#outgoing.push({ kind: 'flush' })
    this.#send()
  }

  ready(): Promise<void> | undefined {
    if (this.#hasRoom) return undefined
    this.#room ??= Promise.withResolvers()
    return this.#room.promise
  }

  get #hasRoom(): boolean {
    return this.#hasCredit && this.#sentBytes < THREAD_BYTES_MAX
  }

  /** True while another batch may be sent. */
  get #hasCredit(): boolean {
    return this.#sentBatches < this.#batchesMax
  }

  // --- batches

  #committed(sink: ThreadSink): void {
    this.#open.add(sink)
    if (sink.bytes >= THREAD_BATCH_BYTES) {
      this.#seal(sink)
      this.#send()
    } else this.#awaitTurn()
  }

  #awaitTurn(): void {
    if (this.#awaitsTurn) return
    this.#awaitsTurn = true
    setImmediate(() => {
      this.#awaitsTurn = false
      // Without credit, small batches grow until the main thread has room again.
      if (this.#hasCredit) this.#sealAll()
      this.#send()
      this.#link.sendFigures()
    })
  }

  #sealAll(): void {
    for (const sink of this.#open) this.#seal(sink)
  }

  #seal(sink: ThreadSink): void {
    this.#open.delete(sink)
    if (sink.events === 0) return
    const number = ++this.#lastNumber
    const { tag, signal } = sink
    const { parcel, events, receipts } = sink.take(this.#parcels)
    const hasReceipt = receipts.length > 0
    if (hasReceipt) this.#receipts.set(number, receipts)
    this.#outgoing.push({ kind: 'batch', number, tag, signal, parcel, events, hasReceipt })
  }

  /** Sends all that the input has committed, whether there is credit or not: the main thread waits for it. */
  #sendAll(): void {
    this.#sealAll()
    this.#send(Infinity)
    this.#link.sendFigures()
  }

  #send(batchesMax = this.#batchesMax): void {
    const entries: InputEntry[] = []
    const transfer: ArrayBuffer[] = []
    for (const entry of this.#outgoing) {
      if (entry.kind === 'batch') {
        if (this.#sentBatches >= batchesMax) break
        this.#sentBatches++
        this.#sentBytes += entry.parcel.length
        transfer.push(entry.parcel.buffer)
      }
      entries.push(entry)
    }
    if (entries.length === 0) return
    this.#outgoing.splice(0, entries.length)
    this.#link.post({ kind: 'entries', entries }, transfer)
  }

  #taken(parcels: readonly Parcel[]): void {
    for (const { buffer, length } of parcels) {
      this.#sentBatches--
      this.#sentBytes -= length
      this.#parcels.give(buffer)
    }
    if (this.#hasCredit) this.#sealAll()
    this.#send()
    if (!this.#hasRoom) return
    this.#room?.resolve()
    this.#room = undefined
  }

  #settled(number: number): void {
    const receipts = this.#receipts.get(number) ?? []
    this.#receipts.delete(number)
    for (const receipt of receipts) receipt()
  }
}

/** Events of one tag for the next batch. */
class ThreadSink implements EventSink {
  readonly tag: string
  readonly signal: Signal
  readonly writer = new MsgpackWriter(CHUNK_BYTES_FIRST)
  events = 0
  #receipts: (() => void)[] = []
  /** Set while the tag is busy: bytes are copied faster in the memory of the byte kernel. */
  #pooled: Buffer | undefined
  readonly #pool: BufferPool
  readonly #committed: (sink: ThreadSink) => void

  constructor(
    tag: string,
    signal: Signal,
    pool: BufferPool,
    committed: (sink: ThreadSink) => void
  ) {
    this.tag = tag
    this.signal = signal
    this.#pool = pool
    this.#committed = committed
  }

  get bytes(): number {
    return this.writer.length
  }

  commit(count: number, receipt?: () => void): void {
    if (count === 0) {
      receipt?.()
      return
    }
    this.events += count
    if (receipt !== undefined) this.#receipts.push(receipt)
    this.#committed(this)
  }

  /** What was committed, for a batch; the sink begins anew. */
  take(parcels: Parcels): {
    readonly parcel: Parcel
    readonly events: number
    readonly receipts: readonly (() => void)[]
  } {
    const { writer, events } = this
    const isBusy = writer.length >= CHUNK_BYTES_BUSY
    const batch = { parcel: parcels.pack(writer.written()), events, receipts: this.#receipts }
    writer.length = 0
    this.events = 0
    this.#receipts = []
    if (!isBusy || this.#pooled !== writer.bytes) this.release()
    if (isBusy && this.#pooled === undefined) {
      this.#pooled = this.#pool.take()
      writer.bytes = this.#pooled
    }
    return batch
  }

  /** Gives the buffer back that a busy tag has. */
  release(): void {
    if (this.#pooled === undefined) return
    this.#pool.give(this.#pooled)
    this.#pooled = undefined
    this.writer.bytes = Buffer.allocUnsafeSlow(CHUNK_BYTES_FIRST)
  }
}
