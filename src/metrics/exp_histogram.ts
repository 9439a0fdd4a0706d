/**
 * Exponential histograms as ordinary ones: what formats show that know only those.
 * Source: Fluent Bit 5.1.1 lib/cmetrics/src/cmt_exp_histogram.c cmt_exp_histogram_to_explicit().
 */
import type { ExpHistogramSample } from './model.ts'

interface ExplicitBuckets {
  /** Upper bounds, ascending. */
  readonly bounds: number[]
  /** Cumulative; the last one, without a bound, has all. */
  readonly buckets: number[]
}

/** Undefined where bounds are out of a double's range. */
export function explicitBuckets(sample: ExpHistogramSample): ExplicitBuckets | undefined {
  const { scale, zeroCount, zeroThreshold, positive, negative } = sample
  const base = 2 ** (2 ** -scale)
  if (!Number.isFinite(base) || base <= 1) return undefined
  const bounds: number[] = []
  const buckets: number[] = []
  let below = 0
  const add = (bound: number, count: number): void => {
    below += count
    bounds.push(bound)
    buckets.push(below)
  }
  for (let index = negative.counts.length - 1; index >= 0; index--) {
    add(-(base ** (negative.offset + index)), negative.counts[index])
  }
  if (showsZero(sample)) {
    if (zeroThreshold > 0) add(-zeroThreshold, 0)
    add(0, zeroCount)
    if (zeroThreshold > 0) add(zeroThreshold, 0)
  }
  for (const [index, count] of positive.counts.entries()) {
    add(base ** (positive.offset + index + 1), count)
  }
  if (!bounds.every(Number.isFinite)) return undefined
  buckets.push(sample.count)
  return { bounds, buckets }
}

/** Zero has a bucket unless all observations are known to be on one side of it. */
function showsZero({ zeroCount, zeroThreshold, positive, negative }: ExpHistogramSample): boolean {
  const hasPositive = positive.counts.length > 0
  const hasNegative = negative.counts.length > 0
  return zeroCount > 0 || zeroThreshold > 0 || hasPositive === hasNegative
}
