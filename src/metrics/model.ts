/**
 * Metrics as events: what inputs make, chunks carry and outputs send. A context is one batch of families that were looked
 * at together; it is one event of a chunk whose signal is `metrics`.
 * Source: Fluent Bit 5.1.1 lib/cmetrics (cmt.h, cmt_map.h, cmt_metric.h).
 */
import type { Decoded } from '../codec/msgpack_reader.ts'

export interface MetricsContext {
  readonly families: readonly MetricFamily[]
  /** Labels that every sample has beside its own. */
  readonly staticLabels: readonly (readonly [name: string, value: string])[]
  /** What producers say of themselves (`cmetrics`) and what OpenTelemetry has beside metrics (`external`); handed on as it is. */
  readonly internal: Metadata
  readonly external: Metadata
}

export type Metadata = ReadonlyMap<Decoded, Decoded>

/** Names and values that are set beside the labels of samples. */
export type StaticLabels = MetricsContext['staticLabels']

/** All samples of one name. */
export type MetricFamily =
  | NumberFamily
  | (FamilyParts & {
      readonly kind: 'histogram'
      /** Upper bounds of the buckets, ascending; the one without a bound is not among them. */
      readonly bounds: readonly number[]
      readonly aggregation: Aggregation
      readonly samples: readonly HistogramSample[]
    })
  | (FamilyParts & {
      readonly kind: 'summary'
      /** In [0, 1], ascending. */
      readonly quantiles: readonly number[]
      readonly samples: readonly SummarySample[]
    })
  | (FamilyParts & {
      readonly kind: 'exp_histogram'
      readonly aggregation: Aggregation
      readonly samples: readonly ExpHistogramSample[]
    })

export type NumberFamily = FamilyParts &
  (
    | {
        readonly kind: 'counter'
        readonly aggregation: Aggregation
        readonly samples: readonly NumberSample[]
      }
    | { readonly kind: 'gauge' | 'untyped'; readonly samples: readonly NumberSample[] }
  )

export type MetricKind = MetricFamily['kind']

/** The order in which texts show families. */
export const SHOWN_KINDS: readonly MetricKind[] = [
  'counter',
  'gauge',
  'summary',
  'histogram',
  'exp_histogram',
  'untyped'
]

/** Whether values count since the last sample or since the beginning. */
export type Aggregation = 'unspecified' | 'delta' | 'cumulative'

export interface FamilyParts {
  /** The parts of the name, joined by `_`; empty ones are left out. */
  readonly namespace: string
  readonly subsystem: string
  readonly name: string
  readonly help: string
  readonly unit: string
  /** Names of the samples' labels. */
  readonly labels: readonly string[]
}

export interface SampleParts {
  /** Values of the family's labels, in their order; one that is missing or undefined is not set. */
  readonly labels: readonly (string | undefined)[]
  /** Nanoseconds since the epoch. */
  readonly time: bigint
  /** When counting began; undefined where nobody says. */
  readonly startTime?: bigint | undefined
  /** By what metadata know it; undefined: the one that cmetrics works out from name and labels. Leave it out in new samples. */
  readonly hash?: bigint | undefined
}

export interface NumberSample extends SampleParts {
  /** A bigint where the producer says that it is an integer of 64 bits. */
  readonly value: number | bigint
}

export interface HistogramSample extends SampleParts {
  /** Observations in each bucket and, last, all of them; cumulative, as cmetrics keeps them. */
  readonly buckets: readonly number[]
  readonly sum: number
  readonly count: number
}

export interface SummarySample extends SampleParts {
  /** By quantile; all undefined where there are none. */
  readonly values: readonly (number | undefined)[]
  readonly sum: number
  readonly count: number
}

export interface ExpHistogramSample extends SampleParts {
  readonly scale: number
  readonly zeroCount: number
  readonly zeroThreshold: number
  readonly positive: ExpBuckets
  readonly negative: ExpBuckets
  readonly sum: number | undefined
  readonly count: number
}

export interface ExpBuckets {
  readonly offset: number
  readonly counts: readonly number[]
}

/** `fluentbit_input_records_total`. */
export function fullName({ namespace, subsystem, name }: FamilyParts): string {
  const subject = subsystem === '' ? name : `${subsystem}_${name}`
  return namespace === '' ? subject : `${namespace}_${subject}`
}

/** Families by kind, in the order in which something shows kinds. */
export function byKind(
  families: readonly MetricFamily[],
  kinds: readonly MetricKind[]
): MetricFamily[] {
  return kinds.flatMap(kind => families.filter(family => family.kind === kind))
}
