/**
 * Exemplars: observations that OpenTelemetry names beside a sample, kept in the metadata of a context.
 * Source: Fluent Bit 5.1.1 lib/cmetrics/src/cmt_encode_text.c append_metric_exemplars().
 *
 *     external = {otlp: {metrics: {<kind>: {<name>: {datapoints: {'<hash in hex>:<time>': {exemplars: [map, …]}}}}}}}
 */
import type { Decoded } from '../codec/msgpack_reader.ts'
import { Float } from '../codec/msgpack_writer.ts'
import { formatG17 } from '../codec/number_text.ts'
import { type Metadata, type MetricKind, type SampleParts } from './model.ts'
import { hashOf } from './sample_hash.ts'

/** Those of one family; undefined where it has none. */
export function exemplarsOf(
  external: Metadata | undefined,
  kind: MetricKind,
  name: string
): Exemplars | undefined {
  let found: Metadata | undefined = external
  for (const key of ['otlp', 'metrics', kind, name, 'datapoints']) found = mapAt(found, key)
  return found === undefined ? undefined : new Exemplars(name, found)
}

class Exemplars {
  readonly #name: string
  readonly #points: Metadata

  constructor(name: string, points: Metadata) {
    this.#name = name
    this.#points = points
  }

  /** The line below that of the sample, or nothing. */
  text(sample: SampleParts): string {
    const point = mapAt(this.#points, `${hashOf(this.#name, sample).toString(16)}:${sample.time}`)
    const list = point?.get('exemplars')
    if (!Array.isArray(list) || list.length === 0) return ''
    return `  exemplars=[${list
      .filter(item => item instanceof Map)
      .map(textOf)
      .join(', ')}]\n`
  }
}

function mapAt(map: Metadata | undefined, key: string): Metadata | undefined {
  const value = map?.get(key)
  return value instanceof Map ? value : undefined
}

function textOf(value: Decoded): string {
  switch (typeof value) {
    case 'string':
      return `"${value}"`
    case 'boolean':
    case 'bigint':
      return String(value)
    case 'number':
      return formatG17(value)
    default:
  }
  if (value instanceof Float) return formatG17(value.value)
  if (Buffer.isBuffer(value)) return value.toString('hex')
  if (Array.isArray(value)) return `[${value.map(textOf).join(', ')}]`
  if (value instanceof Map) {
    return `{${Array.from(value, ([key, item]) => `${typeof key === 'string' ? key : ''}=${textOf(item)}`).join(', ')}}`
  }
  return '<unsupported>'
}
