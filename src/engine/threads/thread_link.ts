/** In a thread: what plugins take for the log, the counters and standard output of the program goes to the main thread. */
import { getSystemErrorMessage, getSystemErrorName } from 'node:util'
import type { MessagePort } from 'node:worker_threads'
import { Logger } from '../../base/log.ts'
import { type Figure, MetricsRegistry } from '../../metrics/registry.ts'
import type { TextOutput } from '../../plugin/context.ts'
import { Parcels } from './parcel.ts'
import type {
  CounterChange,
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
  /** Values of counters that the main thread has. */
  readonly #sent = new Map<Figure, number>()
  readonly #parcels = new Parcels(0)
  readonly #printed = new Int32Array(new SharedArrayBuffer(4))

  constructor(port: MessagePort, { level, colour }: ThreadTask['log']) {
    this.#port = port
    this.log = new Logger({
      level,
      sink: {
        colour,
        write: (text, lineLevel = 'info') => {
          if (!this.isQuiet) this.post({ kind: 'log', text, level: lineLevel })
        }
      }
    })
  }

  post(message: ThreadMessage | InputMessage | OutputMessage, transfer: ArrayBuffer[] = []): void {
    this.#port.postMessage(message, transfer)
  }

  /** Tells what was counted since the last time. */
  sendCounters(): void {
    const changes: CounterChange[] = []
    for (const { name, help, type, series } of this.metrics.families()) {
      // Plugins have nothing but counters.
      if (type !== 'counter') continue
      for (const { labels, figure } of series) {
        const added = figure.value - (this.#sent.get(figure) ?? 0)
        if (added === 0) continue
        this.#sent.set(figure, figure.value)
        changes.push({ name, help, labels, added })
      }
    }
    if (changes.length > 0) this.post({ kind: 'counters', changes })
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
