/** In a thread: what plugins take for the log, the counters and standard output of the program goes to the main thread. */
import { getSystemErrorMessage, getSystemErrorName } from 'node:util'
import type { MessagePort } from 'node:worker_threads'
import { Logger } from '../../base/log.ts'
import { type Figure, MetricsRegistry } from '../../metrics/registry.ts'
import type { TextOutput } from '../../plugin/context.ts'
import { Parcels } from './parcel.ts'
import type {
  CounterChange,
  GaugeValue,
  InputMessage,
  OutputMessage,
  ThreadMessage,
  ThreadTask
} from './protocol.ts'

export class ThreadLink {
  readonly log: Logger
  readonly metrics = new MetricsRegistry()
  readonly stdout: TextOutput = { write: bytes => this.#print(bytes) }
  /** While true, nothing is logged: the main thread has said it. */
  isQuiet = false
  readonly #port: MessagePort
  /** Values that the main thread has. */
  readonly #sent = new Map<Figure, number>()
  readonly #parcels = new Parcels(0)
  readonly #printed = new Int32Array(new SharedArrayBuffer(4))

  constructor(port: MessagePort, level: ThreadTask['logLevel']) {
    this.#port = port
    this.log = new Logger({ level, sink: { colour: false, write() {} } })
    this.log.follow(line => {
      if (!this.isQuiet) this.post({ kind: 'log', line })
    })
  }

  post(message: ThreadMessage | InputMessage | OutputMessage, transfer: ArrayBuffer[] = []): void {
    this.#port.postMessage(message, transfer)
  }

  /** Tells what has changed since the last time. */
  sendFigures(): void {
    const changes: CounterChange[] = []
    const values: GaugeValue[] = []
    for (const { name, help, type, series } of this.metrics.families()) {
      // Instances have no histograms of their own.
      if (type === 'histogram') continue
      for (const { labels, figure } of series) {
        const { value } = figure
        const added = value - (this.#sent.get(figure) ?? 0)
        if (added === 0) continue
        this.#sent.set(figure, value)
        if (type === 'counter') changes.push({ name, help, labels, added })
        else values.push({ name, help, labels, value })
      }
    }
    if (changes.length > 0) this.post({ kind: 'counters', changes })
    if (values.length > 0) this.post({ kind: 'gauges', values })
  }

  /** Waits until the main thread has printed: who prints wants to know whether it went well. */
  #print(bytes: Buffer): void {
    const parcel = this.#parcels.pack(bytes)
    Atomics.store(this.#printed, 0, 0)
    this.post({ kind: 'print', parcel, answer: this.#printed }, [parcel.buffer])
    Atomics.wait(this.#printed, 0, 0)
    const errno = Atomics.load(this.#printed, 0)
    if (errno > 0) return
    throw Object.assign(new Error(getSystemErrorMessage(errno)), {
      code: getSystemErrorName(errno),
      errno
    })
  }
}
