/** An OpenTelemetry Collector, which shows what it received. Built from `tools/peers/collector`. */
import type { TestContext } from 'node:test'
import { type Peer, startPeer } from '../peers.ts'

type Receiver = 'fluentforward' | 'splunk_hec' | 'statsd' | 'syslog' | 'tcplog' | 'udplog'

export interface CollectedLog {
  /** Nanoseconds since 1970; 0n where the sender said none. */
  readonly time: bigint
  readonly body: unknown
  readonly attributes: Readonly<Record<string, unknown>>
  readonly resource: Readonly<Record<string, unknown>>
  /** Name and number of the severity, empty and 0 where the sender said none. */
  readonly severity: string
  readonly severityNumber: number
}

export interface CollectedMetric {
  readonly name: string
  /** `gauge`, `sum`, `histogram`, … */
  readonly kind: string
  readonly attributes: Readonly<Record<string, unknown>>
  /** One data point as in OTLP JSON: `asInt`, `asDouble`, `count`, … */
  readonly point: Readonly<Record<string, unknown>>
}

export interface Collector {
  readonly peer: Peer
  /** All log records that have come, in order. */
  logs(): CollectedLog[]
  /** All data points of metrics that have come, in order. */
  metrics(): CollectedMetric[]
}

/**
 * Starts a collector with receivers, each with its settings as in the collector's documentation, such as
 * `{ fluentforward: { endpoint: '127.0.0.1:24224' } }`.
 */
export async function startCollector(
  t: TestContext,
  receivers: Readonly<Partial<Record<Receiver, object>>>
): Promise<Collector> {
  const names = Object.keys(receivers)
  const pipeline = (kept: readonly string[]): object => ({ receivers: kept, exporters: ['file'] })
  const logs = names.filter(name => name !== 'statsd')
  const metrics = names.filter(name => name === 'statsd' || name === 'splunk_hec')
  const configuration = {
    receivers,
    exporters: { file: { path: 'FOLDER/received', flush_interval: '20ms' } },
    service: {
      telemetry: { metrics: { level: 'none' } },
      pipelines: {
        ...(logs.length > 0 && { logs: pipeline(logs) }),
        ...(metrics.length > 0 && { metrics: pipeline(metrics) })
      }
    }
  }
  const peer = await startPeer(t, {
    program: 'collector',
    args: ['--config', 'file:FOLDER/configuration.json'],
    files: { 'configuration.json': JSON.stringify(configuration) },
    ready: ({ output }) => output.includes('Everything is ready')
  })
  return {
    peer,
    logs: () => read(peer).flatMap(logsOf),
    metrics: () => read(peer).flatMap(metricsOf)
  }
}

/*
 * OTLP JSON, as far as it is read here; what is empty is left out:
 * {"resourceLogs": [{"resource": {…}, "scopeLogs": [{"logRecords": [{…}]}]}]} and
 * {"resourceMetrics": [{"scopeMetrics": [{"metrics": [{"name": …, "<kind>": {"dataPoints": [{…}]}}]}]}]}
 */
interface Line {
  readonly resourceLogs?: readonly {
    readonly resource?: { readonly attributes?: readonly KeyValue[] }
    readonly scopeLogs: readonly { readonly logRecords: readonly LogRecord[] }[]
  }[]
  readonly resourceMetrics?: readonly {
    readonly scopeMetrics: readonly { readonly metrics: readonly Metric[] }[]
  }[]
}

interface LogRecord {
  readonly timeUnixNano?: string
  readonly body?: AnyValue
  readonly attributes?: readonly KeyValue[]
  readonly severityText?: string
  readonly severityNumber?: number
}

interface Metric extends Readonly<Record<string, unknown>> {
  readonly name: string
}

interface DataPoint extends Readonly<Record<string, unknown>> {
  readonly attributes?: readonly KeyValue[]
}

interface KeyValue {
  readonly key: string
  readonly value: AnyValue
}

interface AnyValue {
  readonly stringValue?: string
  readonly boolValue?: boolean
  readonly intValue?: string
  readonly doubleValue?: number
  readonly bytesValue?: string
  readonly arrayValue?: { readonly values?: readonly AnyValue[] }
  readonly kvlistValue?: { readonly values?: readonly KeyValue[] }
}

function read(peer: Peer): Line[] {
  return peer.lines('received').map(line => JSON.parse(line) as Line)
}

function logsOf({ resourceLogs = [] }: Line): CollectedLog[] {
  return resourceLogs.flatMap(({ resource, scopeLogs }) =>
    scopeLogs
      .flatMap(({ logRecords }) => logRecords)
      .map(record => ({
        time: BigInt(record.timeUnixNano ?? 0),
        body: plain(record.body ?? {}),
        attributes: plainPairs(record.attributes),
        resource: plainPairs(resource?.attributes),
        severity: record.severityText ?? '',
        severityNumber: record.severityNumber ?? 0
      }))
  )
}

function metricsOf({ resourceMetrics = [] }: Line): CollectedMetric[] {
  return resourceMetrics
    .flatMap(({ scopeMetrics }) => scopeMetrics)
    .flatMap(({ metrics }) => metrics)
    .flatMap(metric =>
      Object.entries(metric).flatMap(([kind, data]) =>
        pointsOf(data).map(({ attributes, ...point }) => ({
          name: metric.name,
          kind,
          attributes: plainPairs(attributes),
          point
        }))
      )
    )
}

function pointsOf(data: unknown): readonly DataPoint[] {
  return (data as { readonly dataPoints?: readonly DataPoint[] }).dataPoints ?? []
}

/** A value without its type: null for none, a number or bigint for an integer, base64 for bytes. */
function plain({ arrayValue, kvlistValue, intValue, ...scalar }: AnyValue): unknown {
  if (arrayValue !== undefined) return (arrayValue.values ?? []).map(plain)
  if (kvlistValue !== undefined) return plainPairs(kvlistValue.values)
  if (intValue !== undefined) return integer(intValue)
  return scalar.stringValue ?? scalar.boolValue ?? scalar.doubleValue ?? scalar.bytesValue ?? null
}

function integer(digits: string): number | bigint {
  const value = Number(digits)
  return Number.isSafeInteger(value) ? value : BigInt(digits)
}

function plainPairs(pairs: readonly KeyValue[] = []): Record<string, unknown> {
  return Object.fromEntries(pairs.map(({ key, value }) => [key, plain(value)]))
}
