/**
 * A thread with a plugin instance, as the main thread holds it. One that dies is started again: without threads, what
 * a plugin does wrong in a timer ends the program.
 */
import type { Worker } from 'node:worker_threads'
import type { Timer } from '../../base/clock.ts'
import { THREAD_STOP_MS_MAX } from '../../base/limits.ts'
import { systemError } from '../../base/system_error.ts'
import type { Metrics } from '../../metrics/registry.ts'
import type { PluginContext } from '../../plugin/context.ts'
import { contentOf } from './parcel.ts'
import { errorOf, failureOf, type ThreadMessage } from './protocol.ts'
import type { ThreadGauges } from './thread_gauges.ts'

/** How long a thread that has died stays away. */
const RESTART_MS = 1_000

/** Stands for an error without a number, where only a number can be told. */
const EIO = 5

/** Where what a thread says of itself goes. */
export interface ThreadOwner<Message> {
  /** What log lines call the thread: `worker #0`. */
  readonly title: string
  /** Of the instance. */
  readonly context: PluginContext
  readonly metrics: Metrics
  /** Of all threads of the instance. */
  readonly gauges: ThreadGauges
  launch(): Worker
  /** The plugin has started, for the first time or again. */
  started(): void
  hear(message: Message, worker: Worker): void
  /** The thread is gone, and what was sent to it too. */
  died(): void
}

export class KeptThread<Request, Message extends { readonly kind: string }> {
  readonly #owner: ThreadOwner<Message>
  #worker: Worker | undefined
  #isStarted = false
  #isStopping = false
  #restart: Timer | undefined
  /** False when the thread did not answer. */
  readonly #stopped = Promise.withResolvers<boolean>()

  constructor(owner: ThreadOwner<Message>) {
    this.#owner = owner
  }

  /** True while the plugin runs. */
  get isRunning(): boolean {
    return this.#isStarted && this.#worker !== undefined
  }

  /** Resolves when the plugin has started; rejects with the plugin's error when it did not. */
  async start(): Promise<void> {
    const worker = this.#owner.launch()
    const started = Promise.withResolvers<void>()
    let cause: unknown
    this.#worker = worker
    this.#isStarted = false
    worker.on('message', (message: ThreadMessage | Message) => {
      if (message.kind === 'started') started.resolve()
      else this.#hear(message, worker, started.reject)
    })
    worker.on('error', error => {
      cause = error
    })
    worker.on('exit', exitCode => {
      const why =
        cause === undefined ? `it ended with exit code ${exitCode}` : failureOf(cause).stack
      // It has no effect on one that has started.
      started.reject(new Error(why))
      this.#ended(worker, why)
    })
    await started.promise
    if (this.#isStopping) return
    this.#isStarted = true
    // From here on timers of the engine keep the program alive.
    worker.unref()
    this.#owner.started()
  }

  /** Sends a message, if the thread is alive. */
  post(request: Request, transfer: ArrayBuffer[] = []): void {
    this.#worker?.postMessage(request, transfer)
  }

  /** Has the plugin stopped, then ends the thread; one that does not answer is ended all the same. */
  async stop(): Promise<void> {
    const { title, context } = this.#owner
    this.#isStopping = true
    this.#restart?.cancel()
    const worker = this.#worker
    if (worker === undefined) return
    worker.postMessage({ kind: 'stop' })
    const limit = context.clock.after(THREAD_STOP_MS_MAX, () => {
      context.log.error(`${title} does not stop: it is ended`)
      this.#leave(false)
    })
    const hasStopped = await this.#stopped.promise
    limit.cancel()
    const ended = worker.terminate()
    // One that hangs in the operating system cannot be ended before that lets it go.
    if (hasStopped) await ended
  }

  #hear(message: ThreadMessage | Message, worker: Worker, fail: (error: Error) => void): void {
    const { context, metrics } = this.#owner
    const own = message as ThreadMessage
    switch (own.kind) {
      case 'failed':
        fail(errorOf(own.failure))
        void worker.terminate()
        return
      case 'stopped':
        return this.#leave(true)
      case 'stop_program':
        return context.stop(own.exitCode)
      case 'log':
        return context.log.relay(own.line)
      case 'counters':
        for (const { name, help, labels, added } of own.changes) {
          metrics.counter(name, help, labels).add(added)
        }
        return
      case 'gauges':
        return this.#owner.gauges.set(worker, own.values)
      case 'print':
        return this.#print(contentOf(own.parcel), own.answer)
      default:
        this.#owner.hear(message as Message, worker)
    }
  }

  #print(bytes: Buffer, answer: Int32Array): void {
    let result = 1
    try {
      this.#owner.context.stdout.write(bytes)
    } catch (cause) {
      result = -(systemError(cause).number || EIO)
    }
    Atomics.store(answer, 0, result)
    Atomics.notify(answer, 0)
  }

  /** What becomes of the thread from here on is of no interest. */
  #leave(hasStopped: boolean): void {
    this.#worker = undefined
    this.#stopped.resolve(hasStopped)
  }

  #ended(worker: Worker, why: string): void {
    if (worker !== this.#worker) return
    const wasStarted = this.#isStarted
    this.#isStarted = false
    this.#worker = undefined
    this.#owner.gauges.forget(worker)
    if (wasStarted || this.#isStopping) this.#report(why)
    this.#owner.died()
    if (this.#isStopping) this.#stopped.resolve(true)
    else if (wasStarted) this.#startAgain()
  }

  #report(why: string): void {
    const { title, context } = this.#owner
    context.log.error(`${title} died: ${why}`)
    context
      .counter('spillway_thread_deaths_total', 'Threads that ended without being told to.')
      .add(1)
  }

  #startAgain(): void {
    const { title, context } = this.#owner
    this.#restart = context.clock.after(RESTART_MS, () => {
      this.start().catch((error: unknown) => {
        if (this.#isStopping) return
        context.log.error(`${title} cannot be started again: ${failureOf(error).message}`)
        this.#startAgain()
      })
    })
  }
}
