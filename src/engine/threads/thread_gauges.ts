/** Gauges of the threads of one instance: what is shown is their sum. */
import type { Worker } from 'node:worker_threads'
import type { Metrics } from '../../metrics/registry.ts'
import type { GaugeValue } from './protocol.ts'

export class ThreadGauges {
  readonly #metrics: Metrics
  /** Values of the threads by name and labels. */
  readonly #gauges = new Map<string, Map<Worker, number>>()

  constructor(metrics: Metrics) {
    this.#metrics = metrics
  }

  /** Takes what a thread says of its gauges. */
  set(worker: Worker, gauges: readonly GaugeValue[]): void {
    for (const { name, help, labels, value } of gauges) {
      const key = JSON.stringify([name, labels])
      let values = this.#gauges.get(key)
      if (values === undefined) {
        const sums = new Map<Worker, number>()
        values = sums
        this.#gauges.set(key, sums)
        // It goes before that of the instance in the main thread, which does nothing.
        this.#metrics.gauge(name, help, labels, () => sum(sums))
      }
      values.set(worker, value)
    }
  }

  /** A thread is gone. */
  forget(worker: Worker): void {
    for (const values of this.#gauges.values()) values.delete(worker)
  }
}

function sum(values: ReadonlyMap<Worker, number>): number {
  let total = 0
  for (const value of values.values()) total += value
  return total
}
