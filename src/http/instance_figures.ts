/**
 * The counters of all instances as the first version of the API shows them: the same keys for each instance, used or not.
 * Source: Fluent Bit 5.1.1 src/flb_metrics_exporter.c collect_metrics(), src/http_server/api/v1/metrics.c
 */
import type { InstanceTitle } from '../engine/instance.ts'
import { labelText } from '../metrics/prometheus_text.ts'
import type { MetricsRegistry } from '../metrics/registry.ts'

/** In the order in which they were made. */
export interface Instances {
  readonly inputs: readonly InstanceTitle[]
  readonly filters: readonly InstanceTitle[]
  readonly outputs: readonly InstanceTitle[]
}

type Kind = 'input' | 'filter' | 'output'

/** Counters by kind, label and key. */
export type InstanceFigures = Readonly<
  Record<Kind, Readonly<Record<string, Readonly<Record<string, number>>>>>
>

const KEYS: Readonly<Record<Kind, readonly string[]>> = {
  input: ['records', 'bytes'],
  filter: ['drop_records', 'add_records', 'records', 'bytes', 'drop_bytes'],
  output: [
    'proc_records',
    'proc_bytes',
    'errors',
    'retries',
    'retries_failed',
    'dropped_records',
    'retried_records'
  ]
}

/** What plugins add to the keys of their kind. */
const PLUGIN_KEYS: Readonly<Record<string, readonly string[]>> = {
  'input tail': [
    'files_opened',
    'files_closed',
    'files_rotated',
    'multiline_truncated',
    'long_line_truncated',
    'long_line_skipped'
  ],
  'filter rewrite_tag': ['emit_records'],
  'filter multiline': ['emit_records', 'emit_truncated']
}

export function instanceFigures(
  { inputs, filters, outputs }: Instances,
  metrics: MetricsRegistry
): InstanceFigures {
  const counters = countersByName(metrics)
  const ofKind = (kind: Kind, names: readonly InstanceTitle[]): InstanceFigures[Kind] =>
    Object.fromEntries(
      names.map(({ plugin, label }) => {
        const keys = [...KEYS[kind], ...(PLUGIN_KEYS[`${kind} ${plugin}`] ?? [])]
        const read = (key: string): number => counters.get(metricName(kind, key))?.get(label) ?? 0
        return [label, Object.fromEntries(keys.map(key => [key, read(key)]))]
      })
    )
  return {
    input: ofKind('input', inputs),
    filter: ofKind('filter', filters),
    output: ofKind('output', outputs)
  }
}

/** Values by the name of the metric and the label `name`, of counters that have no other label. */
function countersByName(metrics: MetricsRegistry): Map<string, Map<string, number>> {
  const counters = new Map<string, Map<string, number>>()
  for (const { name: metric, type, series } of metrics.families()) {
    if (type !== 'counter') continue
    const values = new Map<string, number>()
    for (const { labels, figure } of series) {
      const { name, ...others } = labels
      if (name !== undefined && Object.keys(others).length === 0) values.set(name, figure.value)
    }
    counters.set(metric, values)
  }
  return counters
}

function metricName(kind: string, key: string): string {
  return `fluentbit_${kind}_${key}_total`
}

/**
 * Help of the metrics whose names hold a text; the first that does counts. Fluent Bit looks at the labels too, and so
 * helps with the name of an instance.
 */
const HELP: readonly (readonly [part: string, help: string])[] = [
  ['input_bytes', 'Number of input bytes.'],
  ['input_records', 'Number of input records.'],
  ['output_errors', 'Number of output errors.'],
  [
    'output_retries_failed',
    'Number of abandoned batches because the maximum number of re-tries was reached.'
  ],
  ['output_retries', 'Number of output retries.'],
  ['output_proc_records', 'Number of processed output records.'],
  ['output_proc_bytes', 'Number of processed output bytes.'],
  ['output_dropped_records', 'Number of dropped records.'],
  ['output_retried_records', 'Number of retried records.']
]

/**
 * Sorted by name and label, with a time on each line. Differs: Fluent Bit does not escape labels, and a quote in an alias
 * breaks its text.
 *
 * @param nowMs Milliseconds since the epoch.
 */
export function instanceFiguresText(figures: InstanceFigures, nowMs: number): string {
  const families = new Map<string, string[]>()
  for (const [kind, instances] of Object.entries(figures)) {
    for (const [label, values] of Object.entries(instances)) {
      for (const [key, value] of Object.entries(values)) {
        const name = metricName(kind, key)
        const lines = families.get(name) ?? []
        families.set(name, lines)
        lines.push(`${name}{${labelText('name', label)}} ${value} ${Math.trunc(nowMs)}\n`)
      }
    }
  }
  return [...families]
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, lines]) => {
      const help = HELP.find(([part]) => name.includes(part))?.[1] ?? 'Fluentbit metrics.'
      return `${headOf(name, help, 'counter')}${lines.toSorted().join('')}`
    })
    .join('')
}

/** The lines before the values of a metric. */
export function headOf(name: string, help: string, type: 'counter' | 'gauge'): string {
  return `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n`
}
