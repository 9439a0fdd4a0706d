/**
 * Figures of one input under Fluent Bit's names.
 * Source: Fluent Bit 5.1.1 src/flb_input.c flb_input_instance_init(), src/flb_input_chunk.c append_to_ring_buffer().
 *
 * Differs: the ring buffer of a threaded input is what its thread may have on the way; a retry is a wait for room, and
 * none fails. What is pending of an HTTP server with `workers` is what has come from them and not made room yet.
 */
import type { Counter, Metrics } from '../metrics/registry.ts'
import type { StorageType } from './receipt.ts'

export interface InputCounters {
  readonly records: Counter
  readonly bytes: Counter
  /** Of `storage.type memrb`: what it gave up. */
  readonly overrun: { readonly chunks: Counter; readonly bytes: Counter } | undefined
  /** Counts events that reached no output, by reason. */
  dropped(reason: string, records: number, bytes: number): void
}

/** What an input has to show whenever someone looks. */
export interface InputGauges {
  readonly paused: boolean
  readonly isRateLimited: boolean
  /** What lowers the limits of the rate gate; 0 where nothing does. */
  readonly gatePressure: { readonly chunks: number; readonly retries: number }
  /** Per second. */
  readonly rate: { readonly records: number; readonly bytes: number }
  /** What came from the workers of an HTTP server and waits for room. */
  readonly pending: { readonly batches: number; readonly bytes: number }
}

/** Of what never pauses and has no rate gate. */
export const NO_GAUGES: InputGauges = {
  paused: false,
  isRateLimited: false,
  gatePressure: { chunks: 0, retries: 0 },
  rate: { records: 0, bytes: 0 },
  pending: { batches: 0, bytes: 0 }
}

export interface RingCounters {
  readonly writes: Counter
  readonly retries: Counter
}

export function inputCounters(metrics: Metrics, name: string, storage: StorageType): InputCounters {
  const counter = (what: string, help: string): Counter =>
    metrics.counter(`fluentbit_input_${what}`, help, { name })
  const bytes = counter('bytes_total', 'Number of input bytes.')
  const records = counter('records_total', 'Number of input records.')
  ringCounters(metrics, name)
  const overrun =
    storage === 'memrb'
      ? {
          chunks: counter('memrb_dropped_chunks', 'Number of memrb dropped chunks.'),
          bytes: counter('memrb_dropped_bytes', 'Number of memrb dropped bytes.')
        }
      : undefined
  return {
    records,
    bytes,
    overrun,
    dropped(reason, droppedRecords, droppedBytes) {
      const route = { input: name, output: reason }
      const drops = routeDrops(metrics, route)
      drops.records.add(droppedRecords)
      drops.bytes.add(droppedBytes)
    }
  }
}

/** What was lost on the way from an input to an output; Fluent Bit has `unmatched` for the output where there is none. */
export function routeDrops(
  metrics: Metrics,
  route: { readonly input: string; readonly output: string }
): { readonly records: Counter; readonly bytes: Counter } {
  return {
    records: metrics.counter(
      'fluentbit_routing_logs_drop_records_total',
      'Total log records dropped during routing',
      route
    ),
    bytes: metrics.counter(
      'fluentbit_routing_logs_drop_bytes_total',
      'Total bytes dropped during routing (logs)',
      route
    )
  }
}

/** Of the ring buffer that a threaded input writes to; all inputs have them. */
export function ringCounters(metrics: Metrics, name: string): RingCounters {
  const counter = (what: string, help: string): Counter =>
    metrics.counter(`fluentbit_input_ring_buffer_${what}_total`, help, { name })
  const writes = counter('writes', 'Number of ring buffer writes.')
  const retries = counter('retries', 'Number of ring buffer retries.')
  counter('retry_failures', 'Number of ring buffer retry failures.')
  return { writes, retries }
}

export function registerInputGauges(metrics: Metrics, name: string, input: InputGauges): void {
  const gauge = (what: string, help: string, read: () => number): void =>
    metrics.gauge(`fluentbit_input_${what}`, help, { name }, read)
  gauge('rate_bytes', 'Current input bytes per second.', () => input.rate.bytes)
  gauge('rate_records', 'Current input records per second.', () => input.rate.records)
  gauge('rate_gate_limited', 'Is the input rate gate currently limiting ingestion?', () =>
    Number(input.isRateLimited)
  )
  gauge(
    'rate_gate_busy_chunks',
    'Busy chunks considered by the input rate gate.',
    () => input.gatePressure.chunks
  )
  gauge(
    'rate_gate_retry_attempts',
    'Retry attempts considered by the input rate gate.',
    () => input.gatePressure.retries
  )
  gauge('ingestion_paused', 'Is the input paused or not?', () => Number(input.paused))
}

/** What inputs have that serve HTTP. */
export function registerIngressFigures(metrics: Metrics, name: string, input: InputGauges): void {
  const full = (what: string): string => `fluentbit_input_http_server_ingress_queue_${what}`
  const help = (what: string): string => `${what} HTTP server ingress queue`
  metrics.counter(full('busy_total'), `${help('Number of deferred')} busy events.`, { name })
  metrics.gauge(
    full('pending_events'),
    `${help('Current number of deferred')} events.`,
    { name },
    () => input.pending.batches
  )
  metrics.gauge(
    full('pending_bytes'),
    `${help('Current number of deferred')} bytes.`,
    { name },
    () => input.pending.bytes
  )
}
