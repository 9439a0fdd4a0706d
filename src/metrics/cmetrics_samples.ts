/**
 * Reads the samples of one family of a cmetrics context.
 * Source: Fluent Bit 5.1.1 lib/cmetrics/src/cmt_decode_msgpack.c unpack_metric().
 */
import { type CmetricsReader, readList } from './cmetrics_reader.ts'
import type {
  ExpHistogramSample,
  HistogramSample,
  NumberSample,
  SampleParts,
  SummarySample
} from './model.ts'

type HistogramValues = Omit<HistogramSample, keyof SampleParts>
type ExpHistogramValues = Omit<ExpHistogramSample, keyof SampleParts>
type SummaryValues = Omit<SummarySample, keyof SampleParts>

export function readNumberSample(reader: CmetricsReader): NumberSample {
  const parts = newParts()
  let value: number | bigint = 0
  let isInteger = false
  for (let pairs = reader.map('a sample'); pairs > 0; pairs--) {
    const key = reader.key()
    if (key === 'value') {
      const double = reader.double('value')
      if (!isInteger) value = double
    } else if (key === 'value_int64' || key === 'value_uint64') {
      value = BigInt(reader.integer(key))
      isInteger = true
    } else readPart(reader, key, parts)
  }
  return { ...parts, value }
}

export function readHistogramSample(reader: CmetricsReader, length: number): HistogramSample {
  const parts = newParts()
  let values: HistogramValues = {
    buckets: Array.from({ length }, () => 0),
    sum: 0,
    count: 0
  }
  for (let pairs = reader.map('a sample'); pairs > 0; pairs--) {
    const key = reader.key()
    if (key === 'histogram') values = readHistogram(reader, length)
    else readPart(reader, key, parts)
  }
  return { ...parts, ...values }
}

function readHistogram(reader: CmetricsReader, length: number): HistogramValues {
  const values = { buckets: [] as number[], sum: 0, count: 0 }
  for (let pairs = reader.map('histogram'); pairs > 0; pairs--) {
    switch (reader.key()) {
      case 'buckets':
        values.buckets = readList(reader, 'buckets', readCount)
        break
      case 'sum':
        values.sum = reader.double('sum')
        break
      case 'count':
        values.count = reader.count('count')
        break
      default:
        reader.skip()
    }
  }
  if (values.buckets.length !== length) reader.refuse(`a histogram has not ${length} buckets`)
  return values
}

export function readExpHistogramSample(reader: CmetricsReader): ExpHistogramSample {
  const parts = newParts()
  let values: ExpHistogramValues = newExpHistogram()
  for (let pairs = reader.map('a sample'); pairs > 0; pairs--) {
    const key = reader.key()
    if (key === 'exp_histogram') values = readExpHistogram(reader)
    else readPart(reader, key, parts)
  }
  return { ...parts, ...values }
}

function newExpHistogram() {
  return {
    scale: 0,
    zeroCount: 0,
    zeroThreshold: 0,
    positive: { offset: 0, counts: [] as number[] },
    negative: { offset: 0, counts: [] as number[] },
    sum: undefined as number | undefined,
    count: 0
  }
}

function readExpHistogram(reader: CmetricsReader): ExpHistogramValues {
  const values = newExpHistogram()
  let sum = 0
  for (let pairs = reader.map('exp_histogram'); pairs > 0; pairs--) {
    switch (reader.key()) {
      case 'scale':
        values.scale = reader.small('scale')
        break
      case 'zero_count':
        values.zeroCount = reader.count('zero_count')
        break
      case 'zero_threshold':
        values.zeroThreshold = reader.double('zero_threshold')
        break
      case 'positive_offset':
        values.positive.offset = reader.small('positive_offset')
        break
      case 'positive_buckets':
        values.positive.counts = readList(reader, 'positive_buckets', readCount)
        break
      case 'negative_offset':
        values.negative.offset = reader.small('negative_offset')
        break
      case 'negative_buckets':
        values.negative.counts = readList(reader, 'negative_buckets', readCount)
        break
      case 'count':
        values.count = reader.count('count')
        break
      case 'sum_set':
        values.sum = reader.count('sum_set') > 0 ? sum : undefined
        break
      case 'sum':
        sum = reader.bits('sum')
        if (values.sum !== undefined) values.sum = sum
        break
      default:
        reader.skip()
    }
  }
  return values
}

export function readSummarySample(reader: CmetricsReader, quantiles: number): SummarySample {
  const parts = newParts()
  let values: SummaryValues = newSummary(quantiles)
  for (let pairs = reader.map('a sample'); pairs > 0; pairs--) {
    const key = reader.key()
    if (key === 'summary') values = readSummary(reader, quantiles)
    else readPart(reader, key, parts)
  }
  return { ...parts, ...values }
}

function newSummary(quantiles: number) {
  return {
    values: Array.from({ length: quantiles }, (): number | undefined => undefined),
    sum: 0,
    count: 0
  }
}

function readSummary(reader: CmetricsReader, quantiles: number): SummaryValues {
  const summary = newSummary(quantiles)
  let isSet = false
  for (let pairs = reader.map('summary'); pairs > 0; pairs--) {
    switch (reader.key()) {
      case 'quantiles_set':
        isSet = reader.count('quantiles_set') > 0
        break
      case 'quantiles':
        summary.values = readList(reader, 'quantiles', readQuantile)
        break
      case 'count':
        summary.count = reader.count('count')
        break
      case 'sum':
        summary.sum = reader.bits('sum')
        break
      default:
        reader.skip()
    }
  }
  if (summary.values.length !== quantiles) reader.refuse(`a summary has not ${quantiles} quantiles`)
  if (!isSet) summary.values.fill(undefined)
  return summary
}

function readQuantile(reader: CmetricsReader): number | undefined {
  return reader.bits('a quantile')
}

function readCount(reader: CmetricsReader): number {
  return reader.count('a bucket')
}

/** What all samples have. */
interface ReadParts {
  labels: readonly (string | undefined)[]
  time: bigint
  startTime?: bigint
  hash?: bigint
}

function newParts(): ReadParts {
  return { labels: [], time: 0n }
}

function readPart(reader: CmetricsReader, key: string, parts: ReadParts): void {
  switch (key) {
    case 'ts':
      parts.time = reader.unsigned('ts')
      break
    case 'start_ts':
      parts.startTime = reader.unsigned('start_ts')
      break
    case 'labels':
      parts.labels = readList(reader, 'labels', readLabel)
      break
    case 'hash':
      readHash(reader, parts)
      break
    default:
      reader.skip()
  }
}

function readHash(reader: CmetricsReader, parts: ReadParts): void {
  const hash = reader.unsigned('hash')
  // That of a sample without labels is zero anyway.
  if (hash !== 0n || parts.labels.length > 0) parts.hash = hash
}

function readLabel(reader: CmetricsReader): string | undefined {
  return reader.optionalString('a label')
}
