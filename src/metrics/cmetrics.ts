/**
 * Metrics as bytes: the MessagePack of cmetrics, version 2, which is what chunks hold and the forward protocol carries.
 * Source: Fluent Bit 5.1.1 lib/cmetrics/src/cmt_encode_msgpack.c, cmt_decode_msgpack.c, cmt_variant_utils.h.
 * Differs: keys that it does not know are skipped, and maps and arrays may be longer than 10 and 65,535; Fluent Bit refuses
 * the context. An integer sample is an int64 unless it is too large for one, whatever it was before. Bytes of labels that
 * are not UTF-8 become U+FFFD.
 *
 *     context = {meta: {cmetrics: map, external: map, processing: {static_labels: [[name, value], …]}}, metrics: [family, …]}
 *     family  = {meta: {ver: 2, type, opts: {ns, ss, name, desc, unit}, labels: [name, …], buckets | quantiles: [double, …],
 *                aggregation_type}, values: [sample, …]}
 *     sample  = {ts, start_ts, value | histogram | exp_histogram | summary, value_type, value_int64 | value_uint64,
 *                labels: [string | nil, …], hash}
 */
import { decode, type Decoded } from '../codec/msgpack_reader.ts'
import type { MsgpackWriter } from '../codec/msgpack_writer.ts'
import { CmetricsReader, readList } from './cmetrics_reader.ts'
import {
  readExpHistogramSample,
  readHistogramSample,
  readNumberSample,
  readSummarySample
} from './cmetrics_samples.ts'
import {
  type Aggregation,
  byKind,
  type ExpHistogramSample,
  type FamilyParts,
  fullName,
  type HistogramSample,
  type Metadata,
  type MetricFamily,
  type MetricKind,
  type MetricsContext,
  type NumberSample,
  type SampleParts,
  type SummarySample
} from './model.ts'
import { hashOf } from './sample_hash.ts'

const VERSION = 2

/** By their number. */
const KINDS: readonly MetricKind[] = [
  'counter',
  'gauge',
  'histogram',
  'summary',
  'untyped',
  'exp_histogram'
]
const AGGREGATIONS: readonly Aggregation[] = ['unspecified', 'delta', 'cumulative']

/** The order of families in a context. */
const WRITTEN: readonly MetricKind[] = [
  'counter',
  'gauge',
  'untyped',
  'summary',
  'histogram',
  'exp_histogram'
]

const INT64 = 1
const UINT64 = 2
const INT64_MAX = 2n ** 63n - 1n

const DOUBLE = new Float64Array(1)
const DOUBLE_BITS = new BigUint64Array(DOUBLE.buffer)

/** Writes one context: one event of a chunk of metrics. */
export function writeContext(writer: MsgpackWriter, context: MetricsContext): void {
  writer.mapHeader(2)
  writer.string('meta')
  writer.mapHeader(3)
  writer.string('cmetrics')
  writer.value(context.internal)
  writer.string('external')
  writer.value(context.external)
  writer.string('processing')
  writer.mapHeader(1)
  writer.string('static_labels')
  writer.value(context.staticLabels)
  writer.string('metrics')
  writer.arrayHeader(context.families.length)
  for (const family of byKind(context.families, WRITTEN)) writeFamily(writer, family)
}

function writeFamily(writer: MsgpackWriter, family: MetricFamily): void {
  const name = fullName(family)
  writer.mapHeader(2)
  writer.string('meta')
  writeMeta(writer, family)
  writer.string('values')
  writer.arrayHeader(family.samples.length)
  switch (family.kind) {
    case 'histogram':
      for (const sample of family.samples) {
        startSample(writer, sample, 0)
        writeHistogram(writer, sample, family.bounds.length)
        endSample(writer, name, sample)
      }
      break
    case 'exp_histogram':
      for (const sample of family.samples) {
        startSample(writer, sample, 0)
        writeExpHistogram(writer, sample)
        endSample(writer, name, sample)
      }
      break
    case 'summary':
      for (const sample of family.samples) {
        startSample(writer, sample, 0)
        writeSummary(writer, sample, family.quantiles.length)
        endSample(writer, name, sample)
      }
      break
    case 'counter':
    case 'gauge':
    case 'untyped':
      for (const sample of family.samples) {
        startSample(writer, sample, typeof sample.value === 'bigint' ? 2 : 0)
        writeNumber(writer, sample)
        endSample(writer, name, sample)
      }
  }
}

function writeMeta(writer: MsgpackWriter, family: MetricFamily): void {
  const { kind } = family
  writer.mapHeader(
    4 + ('aggregation' in family ? 1 : 0) + (kind === 'histogram' || kind === 'summary' ? 1 : 0)
  )
  writer.string('ver')
  writer.integer(VERSION)
  writer.string('type')
  writer.integer(KINDS.indexOf(kind))
  writer.string('opts')
  writer.mapHeader(5)
  writer.string('ns')
  writer.string(family.namespace)
  writer.string('ss')
  writer.string(family.subsystem)
  writer.string('name')
  writer.string(family.name)
  writer.string('desc')
  writer.string(family.help)
  writer.string('unit')
  writer.string(family.unit)
  writer.string('labels')
  writer.value(family.labels)
  if (kind === 'histogram') {
    writer.string('buckets')
    writeDoubles(writer, family.bounds)
  }
  if (kind === 'summary') {
    writer.string('quantiles')
    writeDoubles(writer, family.quantiles)
  }
  if ('aggregation' in family) {
    writer.string('aggregation_type')
    writer.integer(AGGREGATIONS.indexOf(family.aggregation))
  }
}

function writeDoubles(writer: MsgpackWriter, values: readonly number[]): void {
  writer.arrayHeader(values.length)
  for (const value of values) writer.double(value)
}

/** @param extra Pairs beside those that all samples have. */
function startSample(writer: MsgpackWriter, sample: SampleParts, extra: number): void {
  const { startTime } = sample
  writer.mapHeader(
    3 + (sample.labels.length > 0 ? 1 : 0) + (startTime === undefined ? 0 : 1) + extra
  )
  writer.string('ts')
  writer.bigint(sample.time)
  if (startTime === undefined) return
  writer.string('start_ts')
  writer.bigint(startTime)
}

function endSample(writer: MsgpackWriter, name: string, sample: SampleParts): void {
  const { labels } = sample
  if (labels.length > 0) {
    writer.string('labels')
    writer.value(labels)
  }
  writer.string('hash')
  writer.bigint(hashOf(name, sample))
}

function writeNumber(writer: MsgpackWriter, { value }: NumberSample): void {
  writer.string('value')
  writer.double(Number(value))
  if (typeof value !== 'bigint') return
  writer.string('value_type')
  writer.integer(value > INT64_MAX ? UINT64 : INT64)
  writer.string(value > INT64_MAX ? 'value_uint64' : 'value_int64')
  writer.bigint(value)
}

function writeHistogram(writer: MsgpackWriter, sample: HistogramSample, bounds: number): void {
  writer.string('histogram')
  writer.mapHeader(3)
  writer.string('buckets')
  writeCounts(writer, sample.buckets, bounds + 1)
  writer.string('sum')
  writer.double(sample.sum)
  writer.string('count')
  writer.integer(sample.count)
}

/** Writes exactly `count` of them: readers refuse another number. */
function writeCounts(writer: MsgpackWriter, counts: readonly number[], count: number): void {
  writer.arrayHeader(count)
  for (let index = 0; index < count; index++) writer.integer(counts[index] ?? 0)
}

function writeExpHistogram(writer: MsgpackWriter, sample: ExpHistogramSample): void {
  writer.string('exp_histogram')
  writer.mapHeader(10)
  writer.string('scale')
  writer.integer(sample.scale)
  writer.string('zero_count')
  writer.integer(sample.zeroCount)
  writer.string('zero_threshold')
  writer.double(sample.zeroThreshold)
  writer.string('positive_offset')
  writer.integer(sample.positive.offset)
  writer.string('positive_buckets')
  writeCounts(writer, sample.positive.counts, sample.positive.counts.length)
  writer.string('negative_offset')
  writer.integer(sample.negative.offset)
  writer.string('negative_buckets')
  writeCounts(writer, sample.negative.counts, sample.negative.counts.length)
  writer.string('count')
  writer.integer(sample.count)
  writer.string('sum_set')
  writer.integer(sample.sum === undefined ? 0 : 1)
  writer.string('sum')
  writeBits(writer, sample.sum ?? 0)
}

function writeSummary(writer: MsgpackWriter, sample: SummarySample, quantiles: number): void {
  const { values } = sample
  writer.string('summary')
  writer.mapHeader(4)
  writer.string('quantiles_set')
  writer.integer(values.some(value => value !== undefined) ? 1 : 0)
  writer.string('quantiles')
  writer.arrayHeader(quantiles)
  for (let index = 0; index < quantiles; index++) writeBits(writer, values[index] ?? 0)
  writer.string('count')
  writer.integer(sample.count)
  writer.string('sum')
  writeBits(writer, sample.sum)
}

/** Writes the bits of a double as an integer. */
function writeBits(writer: MsgpackWriter, value: number): void {
  DOUBLE[0] = value
  writer.bigint(DOUBLE_BITS[0])
}

/**
 * Reads contexts, one after the other, as a chunk has them.
 *
 * @throws {CmetricsError} When one is not complete, or not a context of version 2.
 */
export function decodeContexts(bytes: Buffer): MetricsContext[] {
  const contexts: MetricsContext[] = []
  const reader = new CmetricsReader(bytes)
  while (reader.at < bytes.length) {
    reader.begin()
    contexts.push(readContext(reader))
  }
  return contexts
}

function readContext(reader: CmetricsReader): MetricsContext {
  const context = {
    families: [] as MetricFamily[],
    staticLabels: [] as [string, string][],
    internal: new Map<Decoded, Decoded>() as Metadata,
    external: new Map<Decoded, Decoded>() as Metadata
  }
  for (let pairs = reader.map('a context'); pairs > 0; pairs--) {
    switch (reader.key()) {
      case 'meta':
        readContextMeta(reader, context)
        break
      case 'metrics':
        context.families = readList(reader, 'metrics', readFamily)
        break
      default:
        reader.skip()
    }
  }
  return context
}

function readContextMeta(
  reader: CmetricsReader,
  context: { staticLabels: [string, string][]; internal: Metadata; external: Metadata }
): void {
  for (let pairs = reader.map('meta'); pairs > 0; pairs--) {
    switch (reader.key()) {
      case 'cmetrics':
        context.internal = readMetadata(reader, 'cmetrics')
        break
      case 'external':
        context.external = readMetadata(reader, 'external')
        break
      case 'processing':
        context.staticLabels = readProcessing(reader)
        break
      default:
        reader.skip()
    }
  }
}

function readMetadata(reader: CmetricsReader, what: string): Metadata {
  const value = decode(reader.bytes, reader.at)
  if (!(value instanceof Map)) reader.refuse(`${what} is not a map`)
  reader.skip()
  return value
}

function readProcessing(reader: CmetricsReader): [string, string][] {
  let labels: [string, string][] = []
  for (let pairs = reader.map('processing'); pairs > 0; pairs--) {
    if (reader.key() === 'static_labels') {
      labels = readList(reader, 'static_labels', readStaticLabel)
    } else reader.skip()
  }
  return labels
}

function readStaticLabel(reader: CmetricsReader): [string, string] {
  if (reader.array('a static label') !== 2) reader.refuse('a static label is no pair')
  return [reader.string('a static label'), reader.string('a static label')]
}

/** A family without its samples. */
interface Meta {
  readonly kind: MetricKind
  readonly parts: FamilyParts
  /** Of buckets, or quantiles. */
  readonly bounds: readonly number[]
  readonly aggregation: Aggregation
}

function readFamily(reader: CmetricsReader): MetricFamily {
  let meta: Meta | undefined
  let family: MetricFamily | undefined
  for (let pairs = reader.map('a metric'); pairs > 0; pairs--) {
    switch (reader.key()) {
      case 'meta':
        meta = readMeta(reader)
        break
      case 'values':
        if (meta === undefined) reader.refuse('values come before their meta')
        family = readValues(reader, meta)
        break
      default:
        reader.skip()
    }
  }
  return family ?? reader.refuse('a metric has no meta or no values')
}

function readMeta(reader: CmetricsReader): Meta {
  let kind: MetricKind | undefined
  let names: Omit<FamilyParts, 'labels'> | undefined
  let labels: string[] = []
  let bounds: number[] = []
  let aggregation: Aggregation | undefined = 'unspecified'
  for (let pairs = reader.map('meta'); pairs > 0; pairs--) {
    switch (reader.key()) {
      case 'ver':
        if (reader.integer('ver') !== VERSION) reader.refuse('its version is unknown')
        break
      case 'type':
        kind = KINDS[reader.count('type')]
        break
      case 'opts':
        names = readNames(reader)
        break
      case 'labels':
        labels = readList(reader, 'labels', readLabelName)
        break
      case 'buckets':
        bounds = readList(reader, 'buckets', readBound)
        break
      case 'quantiles':
        bounds = readList(reader, 'quantiles', readBound)
        break
      case 'aggregation_type':
        aggregation = AGGREGATIONS[reader.count('aggregation_type')]
        break
      default:
        reader.skip()
    }
  }
  if (kind === undefined) reader.refuse('the type of a metric is unknown')
  if (aggregation === undefined) reader.refuse('the aggregation_type of a metric is unknown')
  if (names === undefined) reader.refuse('a metric has no name')
  return { kind, parts: { ...names, labels }, bounds, aggregation }
}

function readNames(reader: CmetricsReader): Omit<FamilyParts, 'labels'> {
  const names = { namespace: '', subsystem: '', name: '', help: '', unit: '' }
  for (let pairs = reader.map('opts'); pairs > 0; pairs--) {
    switch (reader.key()) {
      case 'ns':
        names.namespace = reader.string('ns')
        break
      case 'ss':
        names.subsystem = reader.string('ss')
        break
      case 'name':
        names.name = reader.string('name')
        break
      case 'desc':
        names.help = reader.string('desc')
        break
      case 'unit':
        names.unit = reader.string('unit')
        break
      default:
        reader.skip()
    }
  }
  return names
}

function readLabelName(reader: CmetricsReader): string {
  return reader.optionalString('the name of a label') ?? ''
}

function readBound(reader: CmetricsReader): number {
  return reader.double('a bound')
}

function readValues(
  reader: CmetricsReader,
  { kind, parts, bounds, aggregation }: Meta
): MetricFamily {
  const buckets = bounds.length + 1
  switch (kind) {
    case 'counter': {
      const samples = readList(reader, 'values', readNumberSample)
      return { ...parts, kind, aggregation, samples }
    }
    case 'gauge':
    case 'untyped': {
      const samples = readList(reader, 'values', readNumberSample)
      return { ...parts, kind, samples }
    }
    case 'histogram': {
      const samples = readList(reader, 'values', () => readHistogramSample(reader, buckets))
      return { ...parts, kind, bounds, aggregation, samples }
    }
    case 'exp_histogram': {
      const samples = readList(reader, 'values', readExpHistogramSample)
      return { ...parts, kind, aggregation, samples }
    }
    case 'summary': {
      const samples = readList(reader, 'values', () => readSummarySample(reader, bounds.length))
      return { ...parts, kind, quantiles: bounds, samples }
    }
  }
}
