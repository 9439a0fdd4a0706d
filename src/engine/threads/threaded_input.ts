/**
 * An input whose plugin runs in a thread: what it commits comes in batches and goes to the sinks here, and what becomes
 * of it is told to the thread.
 */
import type { Worker } from 'node:worker_threads'
import { THREAD_STOP_MS_MAX } from '../../base/limits.ts'
import type { Metrics } from '../../metrics/registry.ts'
import type { PluginContext } from '../../plugin/context.ts'
import type { InputDesk } from '../plugin_context.ts'
import { type RingCounters, ringCounters } from '../input_figures.ts'
import type { PendingBatches, RunningInput } from '../pauses.ts'
import { KeptThread, type ThreadOwner } from './kept_thread.ts'
import { contentOf, type Parcel } from './parcel.ts'
import type { InputEntry, InputMessage, InputRequest } from './protocol.ts'
import { ThreadGauges } from './thread_gauges.ts'

export class ThreadedInput implements RunningInput, ThreadOwner<InputMessage> {
  readonly title = 'thread'
  readonly context: PluginContext
  readonly metrics: Metrics
  readonly gauges: ThreadGauges
  readonly launch: () => Worker
  readonly #ring: RingCounters
  readonly #desk: InputDesk
  readonly #thread = new KeptThread<InputRequest, InputMessage>(this)
  /** What was taken and not yet acknowledged. */
  #taken: Parcel[] = []
  #waitsForRoom = false
  #isPaused = false
  #drained: (() => void) | undefined

  /** @param desk Of the input in the main thread. */
  constructor(context: PluginContext, desk: InputDesk, metrics: Metrics, launch: () => Worker) {
    this.context = context
    this.metrics = metrics
    this.gauges = new ThreadGauges(metrics)
    this.launch = launch
    this.#ring = ringCounters(metrics, context.label)
    this.#desk = desk
  }

  start(): Promise<void> {
    return this.#thread.start()
  }

  pause(): void {
    this.#isPaused = true
    this.#thread.post({ kind: 'pause' })
  }

  resume(): void {
    this.#isPaused = false
    this.#thread.post({ kind: 'resume' })
  }

  /** Batches that are here and have not made room for others yet. */
  get pending(): PendingBatches {
    let bytes = 0
    for (const { length } of this.#taken) bytes += length
    return { batches: this.#taken.length, bytes }
  }

  /** Waits until all events that the plugin has committed are here. */
  async drain(): Promise<void> {
    if (!this.#thread.isRunning) return
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#drained = resolve
    this.#thread.post({ kind: 'drain' })
    const limit = this.context.clock.after(THREAD_STOP_MS_MAX, () => {
      this.context.log.error(`${this.title} does not hand over its events: they are left to it`)
      resolve()
    })
    await promise
    limit.cancel()
  }

  stop(): Promise<void> {
    return this.#thread.stop()
  }

  started(): void {
    this.context.log.info('thread instance initialized')
    if (this.#isPaused) this.#thread.post({ kind: 'pause' })
  }

  hear(message: InputMessage, worker: Worker): void {
    if (message.kind === 'drained') this.#drained?.()
    else {
      for (const entry of message.entries) this.#take(entry, worker)
      this.#acknowledge()
    }
  }

  died(): void {
    this.#taken = []
    this.#drained?.()
  }

  #take(entry: InputEntry, worker: Worker): void {
    if (entry.kind === 'forget') this.#desk.forget(entry.tag)
    else if (entry.kind === 'flush') this.#desk.flush()
    else {
      const { number, tag, signal, parcel, events, hasReceipt } = entry
      const sink = this.#desk.sink(tag, signal)
      sink.writer.raw(contentOf(parcel), 0, parcel.length)
      // To this very thread: one that takes its place has other batches.
      const receipt = (): void => worker.postMessage({ kind: 'settled', number })
      sink.commit(events, hasReceipt ? receipt : undefined)
      this.#taken.push(parcel)
      this.#ring.writes.value++
    }
  }

  /** Lets the thread send more, once the chunks that are under way have made room. */
  #acknowledge(): void {
    if (this.#waitsForRoom || this.#taken.length === 0) return
    const room = this.#desk.ready()
    if (room === undefined) {
      const parcels = this.#taken
      this.#taken = []
      this.#thread.post(
        { kind: 'taken', parcels },
        parcels.map(({ buffer }) => buffer)
      )
      return
    }
    this.#waitsForRoom = true
    this.#ring.retries.value++
    void room.then(() => {
      this.#waitsForRoom = false
      this.#acknowledge()
    })
  }
}
