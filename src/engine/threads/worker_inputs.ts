/**
 * A server in several threads, as `workers` says: each listens on the same address, and the system deals out
 * connections and datagrams to them.
 * Source: Fluent Bit 5.1.1 src/flb_input_ingress.c, plugins/in_tcp/tcp.c (workers)
 */
import type { PendingBatches, RunningInput } from '../pauses.ts'

export class WorkerInputs implements RunningInput {
  readonly #workers: readonly RunningInput[]

  constructor(workers: readonly RunningInput[]) {
    this.#workers = workers
  }

  async start(): Promise<void> {
    for (const worker of this.#workers) await worker.start()
  }

  pause(): void {
    for (const worker of this.#workers) worker.pause?.()
  }

  resume(): void {
    for (const worker of this.#workers) worker.resume?.()
  }

  get pending(): PendingBatches {
    const sum = { batches: 0, bytes: 0 }
    for (const { pending } of this.#workers) {
      sum.batches += pending?.batches ?? 0
      sum.bytes += pending?.bytes ?? 0
    }
    return sum
  }

  async drain(): Promise<void> {
    await Promise.all(this.#workers.map(async worker => worker.drain?.()))
  }

  async stop(): Promise<void> {
    await Promise.all(this.#workers.map(async worker => worker.stop?.()))
  }
}
