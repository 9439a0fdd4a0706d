/**
 * Figures of one output, and of the ways to it, under Fluent Bit's names.
 * Source: Fluent Bit 5.1.1 src/flb_output.c flb_output_init_all(), src/flb_engine.c handle_output_event(), src/flb_router.c.
 *
 * Differs: the capacity is that of chunks with a file, which alone `storage.total_limit_size` is about. A chunk of an
 * earlier run counts from when it was made; Fluent Bit takes it for one of 1970. All that is lost on a route is in its
 * drop counters, also at a stop.
 */
import type { Counter, Histogram, Metrics } from '../metrics/registry.ts'
import { routeDrops } from './input_figures.ts'

/** What an output has done. */
export interface OutputCounters {
  readonly records: Counter
  readonly bytes: Counter
  readonly errors: Counter
  readonly retries: Counter
  readonly retriesFailed: Counter
  readonly droppedRecords: Counter
  readonly retriedRecords: Counter
}

/** What an output has done with the log events of one input. */
export interface RouteFigures {
  readonly records: Counter
  readonly bytes: Counter
  readonly drops: { readonly records: Counter; readonly bytes: Counter }
}

const LATENCY_BOUNDS = [0.5, 1, 1.5, 2.5, 5, 10, 20, 30]
const WAIT_BOUNDS = [0.01, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 15, 30, 60]

export class OutputFigures {
  readonly counters: OutputCounters
  readonly #metrics: Metrics
  readonly #name: string
  /** By input: what has been there is asked for at each chunk. */
  readonly #routes = new Map<string, RouteFigures>()
  readonly #latencies = new Map<string, Histogram>()

  constructor(metrics: Metrics, name: string) {
    const counter = (what: string, help: string): Counter =>
      metrics.counter(`fluentbit_output_${what}_total`, help, { name })
    this.#metrics = metrics
    this.#name = name
    this.counters = {
      records: counter('proc_records', 'Number of processed output records.'),
      bytes: counter('proc_bytes', 'Number of processed output bytes.'),
      errors: counter('errors', 'Number of output errors.'),
      retries: counter('retries', 'Number of output retries.'),
      retriesFailed: counter(
        'retries_failed',
        'Number of abandoned batches because the maximum number of re-tries was reached.'
      ),
      droppedRecords: counter('dropped_records', 'Number of dropped records.'),
      retriedRecords: counter('retried_records', 'Number of retried records.')
    }
  }

  /** Has the room that `storage.total_limit_size` leaves shown. @param read In percent. */
  showCapacity(read: () => number): void {
    const what = 'fluentbit_output_chunk_available_capacity_percent'
    this.#metrics.gauge(what, 'Available chunk capacity (percent)', { name: this.#name }, read)
  }

  /** The way from an input, by its alias or name. */
  route(input: string): RouteFigures {
    let figures = this.#routes.get(input)
    if (figures === undefined) {
      const labels = { input, output: this.#name }
      const counter = (what: string, help: string): Counter =>
        this.#metrics.counter(`fluentbit_routing_logs_${what}_total`, help, labels)
      figures = {
        records: counter('records', 'Total log records routed from input to output'),
        bytes: counter('bytes', 'Total bytes routed from input to output (logs)'),
        drops: routeDrops(this.#metrics, labels)
      }
      this.#routes.set(input, figures)
    }
    return figures
  }

  /** A chunk of an input was delivered so many seconds after it was begun. */
  delivered(input: string, seconds: number): void {
    let latency = this.#latencies.get(input)
    if (latency === undefined) {
      latency = this.#metrics.histogram(
        'fluentbit_output_latency_seconds',
        'End-to-end latency in seconds',
        { input, output: this.#name },
        LATENCY_BOUNDS
      )
      this.#latencies.set(input, latency)
    }
    latency.observe(seconds)
  }

  /** A chunk is to be retried after so many seconds. */
  waits(seconds: number): void {
    const what = 'fluentbit_output_backpressure_wait_seconds'
    const help = 'Output backpressure wait in seconds'
    this.#metrics.histogram(what, help, { output: this.#name }, WAIT_BOUNDS).observe(seconds)
  }
}

/** Connections of an output, as its plugin's network has them. */
export function registerConnections(
  metrics: Metrics,
  name: string,
  connections: () => { readonly total: number; readonly busy: number }
): void {
  const gauge = (what: string, help: string, read: () => number): void =>
    metrics.gauge(`fluentbit_output_upstream_${what}_connections`, help, { name }, read)
  gauge('total', 'Total Connection count.', () => connections().total)
  gauge('busy', 'Busy Connection count.', () => connections().busy)
}
