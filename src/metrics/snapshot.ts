/**
 * The figures of the program as metrics: what the monitoring server shows and `fluentbit_metrics` sends.
 * Source of the order: Fluent Bit 5.1.1 src/flb_metrics_exporter.c, src/flb_metrics.c
 */
import type { Family, MetricsRegistry } from './registry.ts'
import type { FamilyParts, MetricFamily } from './model.ts'

/** Parts of names that Fluent Bit keeps apart, in the order in which it shows what they are about. */
const SUBSYSTEMS: readonly string[] = [
  '',
  'build',
  'logger',
  'routing_logs',
  'storage',
  'input',
  'filter',
  'processor',
  'output'
]

/** Kinds of families in Fluent Bit's order. */
const KINDS: readonly Family['type'][] = ['counter', 'gauge', 'histogram']

/** @param nowMs Milliseconds since the epoch. */
export function snapshot(registry: MetricsRegistry, nowMs: number): MetricFamily[] {
  const time = BigInt(Math.round(nowMs * 1e3)) * 1000n
  const families = [...registry.families()].map(family => ({ family, parts: partsOf(family) }))
  families.sort((a, b) => rank(a) - rank(b))
  return families.map(({ family, parts }) => familyOf(family, parts, time))
}

/** The place of a family; what Fluent Bit does not have comes last of its kind. */
function rank({ family, parts }: { family: Family; parts: FamilyParts }): number {
  const subject =
    parts.namespace === 'fluentbit' ? SUBSYSTEMS.indexOf(parts.subsystem) : SUBSYSTEMS.length
  return KINDS.indexOf(family.type) * 100 + subject
}

function partsOf({ name, help, series }: Family): FamilyParts {
  const end = name.indexOf('_')
  const rest = name.slice(end + 1)
  const subsystem = SUBSYSTEMS.find(known => known !== '' && rest.startsWith(`${known}_`)) ?? ''
  const [first] = series
  return {
    namespace: name.slice(0, end),
    subsystem,
    name: subsystem === '' ? rest : rest.slice(subsystem.length + 1),
    help,
    unit: '',
    labels: Object.keys(first?.labels ?? {})
  }
}

function familyOf(family: Family, parts: FamilyParts, time: bigint): MetricFamily {
  const aggregation = 'cumulative' as const
  if (family.type === 'histogram') {
    const [first] = family.series
    const samples = family.series.map(({ labels, figure }) => {
      let below = 0
      const buckets = figure.buckets.map(count => (below += count))
      return { labels: Object.values(labels), time, buckets, sum: figure.sum, count: figure.count }
    })
    return { ...parts, kind: 'histogram', aggregation, bounds: first?.figure.bounds ?? [], samples }
  }
  const samples = family.series.map(({ labels, figure }) => {
    return { labels: Object.values(labels), time, value: figure.value }
  })
  if (family.type === 'gauge') return { ...parts, kind: 'gauge', samples }
  return { ...parts, kind: 'counter', aggregation, samples }
}
