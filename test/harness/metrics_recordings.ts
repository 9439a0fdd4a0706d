/** Metrics that the real program made, and the texts that it made of them: test/data/metrics. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'

const FOLDER = join(import.meta.dirname, '../data/metrics')

export const RECORDED_METRICS = [
  'event_type',
  'fluentbit_metrics',
  'made',
  'node_exporter_metrics',
  'opentelemetry',
  'prometheus_textfile',
  'statsd'
] as const

interface RecordedMetrics {
  /** A context, in hexadecimal. */
  readonly bytes: string
  /** Of `stdout`. */
  readonly text: string
  /** Of `prometheus_exporter`, without and with times. */
  readonly prometheus: string
  readonly prometheus_timestamps: string
}

export function recordedMetrics(name: (typeof RECORDED_METRICS)[number]): RecordedMetrics {
  return JSON.parse(readFileSync(join(FOLDER, `${name}.json`), 'utf8')) as RecordedMetrics
}
