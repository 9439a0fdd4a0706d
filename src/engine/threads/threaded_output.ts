/** An output whose plugin runs in threads, one instance in each: to the engine it is an output like any other. */
import type { Worker } from 'node:worker_threads'
import type { Metrics } from '../../metrics/registry.ts'
import type { ChunkView, PluginContext } from '../../plugin/context.ts'
import type { Output } from '../../plugin/define.ts'
import { type Delivery, retry } from '../../plugin/delivery.ts'
import { POOLED_BYTES } from '../../storage/chunk.ts'
import { KeptThread, type ThreadOwner } from './kept_thread.ts'
import { Parcels } from './parcel.ts'
import { errorOf, type OutputMessage, type OutputRequest } from './protocol.ts'
import { ThreadGauges } from './thread_gauges.ts'

export interface OutputThreads {
  readonly workers: number
  /** Chunks that each instance may have at once. */
  readonly concurrency: number
  /** Of the output in the main thread. */
  readonly context: PluginContext
  readonly metrics: Metrics
  launch(number: number): Worker
}

/** A chunk that was handed over, and who waits for its answer. */
interface Job {
  readonly chunk: ChunkView
  resolve(delivery: Delivery): void
  reject(error: Error): void
}

export class ThreadedOutput implements Output {
  readonly #threads: readonly OutputThread[]
  readonly #concurrency: number
  /** Chunks for which no thread is free: some are away, as the engine hands over no more than all can take. */
  readonly #waiting: Job[] = []

  constructor(threads: OutputThreads) {
    this.#concurrency = threads.concurrency
    const gauges = new ThreadGauges(threads.metrics)
    this.#threads = Array.from(
      { length: threads.workers },
      (_, number) => new OutputThread(threads, number, gauges, () => this.#pump())
    )
  }

  async start(): Promise<void> {
    await Promise.all(this.#threads.map(thread => thread.start()))
  }

  flush(chunk: ChunkView): Promise<Delivery> {
    const { promise, resolve, reject } = Promise.withResolvers<Delivery>()
    this.#waiting.push({ chunk, resolve, reject })
    this.#pump()
    return promise
  }

  async stop(): Promise<void> {
    this.#waiting.length = 0
    await Promise.all(this.#threads.map(thread => thread.stop()))
  }

  /** Gives waiting chunks to the threads that have the fewest. */
  #pump(): void {
    while (this.#waiting.length > 0) {
      const thread = this.#free()
      const job = thread && this.#waiting.shift()
      if (job === undefined) return
      thread?.give(job)
    }
  }

  #free(): OutputThread | undefined {
    let best: OutputThread | undefined
    for (const thread of this.#threads) {
      const isFree = thread.isRunning && thread.load < this.#concurrency
      if (isFree && thread.load < (best?.load ?? Infinity)) best = thread
    }
    return best
  }
}

class OutputThread implements ThreadOwner<OutputMessage> {
  readonly title: string
  readonly context: PluginContext
  readonly metrics: Metrics
  readonly gauges: ThreadGauges
  readonly launch: () => Worker
  readonly #thread = new KeptThread<OutputRequest, OutputMessage>(this)
  readonly #isFree: () => void
  readonly #jobs = new Map<number, Job>()
  readonly #parcels = new Parcels(POOLED_BYTES)
  #lastNumber = 0

  /** @param isFree Called when it can take one more chunk. */
  constructor(threads: OutputThreads, number: number, gauges: ThreadGauges, isFree: () => void) {
    this.title = `worker #${number}`
    this.context = threads.context
    this.metrics = threads.metrics
    this.gauges = gauges
    this.launch = () => threads.launch(number)
    this.#isFree = isFree
  }

  get isRunning(): boolean {
    return this.#thread.isRunning
  }

  /** Chunks that it is working on. */
  get load(): number {
    return this.#jobs.size
  }

  start(): Promise<void> {
    return this.#thread.start()
  }

  give(job: Job): void {
    const { bytes, ...chunk } = job.chunk
    const number = ++this.#lastNumber
    this.#jobs.set(number, job)
    const parcel = this.#parcels.pack(bytes)
    this.#thread.post({ kind: 'chunk', number, chunk, parcel }, [parcel.buffer])
  }

  async stop(): Promise<void> {
    if (!this.isRunning) return this.#thread.stop()
    this.context.log.info(`thread ${this.title} stopping...`)
    await this.#thread.stop()
    this.context.log.info(`thread ${this.title} stopped`)
  }

  started(): void {
    this.context.log.info(`${this.title} started`)
    this.#isFree()
  }

  hear(message: OutputMessage): void {
    const job = this.#jobs.get(message.number)
    this.#parcels.give(message.buffer)
    this.#jobs.delete(message.number)
    if (message.kind === 'answered') job?.resolve(message.delivery)
    else job?.reject(errorOf(message.failure))
    this.#isFree()
  }

  died(): void {
    const jobs = [...this.#jobs.values()]
    this.#jobs.clear()
    for (const job of jobs) job.resolve(retry('worker_died'))
  }
}
