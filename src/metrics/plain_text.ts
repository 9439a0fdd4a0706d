/**
 * Metrics as lines for people: what `stdout` and `file` print, and `/api/v2/metrics`.
 *
 *     2026-08-21T06:03:47.527264814Z fluentbit_uptime{hostname="h"} = 6
 *
 * Source: Fluent Bit 5.1.1 lib/cmetrics/src/cmt_encode_text.c.
 * Differs: a NaN is never `-nan`.
 */
import { formatG, formatG17 } from '../codec/number_text.ts'
import { exemplarsOf } from './exemplars.ts'
import {
  byKind,
  type ExpBuckets,
  type ExpHistogramSample,
  fullName,
  type HistogramSample,
  type Metadata,
  type MetricFamily,
  type SampleParts,
  SHOWN_KINDS,
  type StaticLabels,
  type SummarySample
} from './model.ts'

const NANOS_PER_SECOND = 1_000_000_000n

export interface PlainTextOptions {
  /** Shown before the labels of each sample. */
  readonly labels?: StaticLabels
  /** Metadata of the context, which may have exemplars. */
  readonly external?: Metadata
}

/** All samples, a line each; by kind, and within a kind as they come. */
export function plainText(
  families: readonly MetricFamily[],
  options: PlainTextOptions = {}
): string {
  const lines = new Lines(options)
  for (const family of byKind(families, SHOWN_KINDS)) lines.family(family)
  return lines.text
}

class Lines {
  text = ''
  readonly #external: Metadata | undefined
  /** `name="value",…` of the static labels. */
  readonly #staticLabels: string
  /** The last time and how it looks: most samples have the same. */
  #time = -1n
  #timeText = ''

  constructor({ labels = [], external }: PlainTextOptions) {
    this.#external = external
    this.#staticLabels = labels.map(([name, value]) => `${name}="${value}"`).join(',')
  }

  family(family: MetricFamily): void {
    const name = fullName(family)
    const exemplars = exemplarsOf(this.#external, family.kind, name)
    switch (family.kind) {
      case 'histogram':
        for (const sample of family.samples) {
          this.#line(name, family.labels, sample, histogramText(family.bounds, sample))
          if (exemplars !== undefined) this.text += exemplars.text(sample)
        }
        break
      case 'exp_histogram':
        for (const sample of family.samples) {
          this.#line(name, family.labels, sample, expHistogramText(sample))
          if (exemplars !== undefined) this.text += exemplars.text(sample)
        }
        break
      case 'summary':
        for (const sample of family.samples) {
          this.#line(name, family.labels, sample, summaryText(family.quantiles, sample))
          if (exemplars !== undefined) this.text += exemplars.text(sample)
        }
        break
      case 'counter':
      case 'gauge':
      case 'untyped':
        for (const sample of family.samples) {
          this.#line(name, family.labels, sample, formatG17(Number(sample.value)))
          if (exemplars !== undefined) this.text += exemplars.text(sample)
        }
    }
  }

  #line(name: string, names: readonly string[], sample: SampleParts, value: string): void {
    const labels = this.#labels(names, sample)
    this.text += this.#timeOf(sample.time)
    this.text += labels === '' ? name : `${name}{${labels}}`
    this.text += ` = ${value}\n`
  }

  #labels(names: readonly string[], { labels }: SampleParts): string {
    let text = this.#staticLabels
    const count = Math.min(names.length, labels.length)
    for (let index = 0; index < count; index++) {
      const value = labels[index]
      if (value === undefined) continue
      if (text !== '') text += ','
      text += `${names[index]}="${value}"`
    }
    return text
  }

  #timeOf(time: bigint): string {
    if (time !== this.#time) {
      this.#time = time
      const seconds = new Date(Number(time / NANOS_PER_SECOND) * 1000).toISOString().slice(0, 19)
      this.#timeText = `${seconds}.${String(time % NANOS_PER_SECOND).padStart(9, '0')}Z `
    }
    return this.#timeText
  }
}

function histogramText(
  bounds: readonly number[],
  { buckets, sum, count }: HistogramSample
): string {
  let text = '{ buckets = { '
  for (let index = 0; index < bounds.length; index++) {
    text += `${formatG(bounds[index], 6)}=${buckets[index] ?? 0}, `
  }
  return `${text}+Inf=${buckets[bounds.length] ?? 0} }, sum=${formatG(sum, 6)}, count=${count} }`
}

function summaryText(quantiles: readonly number[], { values, sum, count }: SummarySample): string {
  const shown = quantiles.map(
    (quantile, index) => `${formatG(quantile, 6)}=${formatG(values[index] ?? 0, 6)}`
  )
  const list = shown.length === 0 ? '' : `${shown.join(', ')} `
  return `{ quantiles = { ${list}}, sum=${formatG(sum, 6)}, count=${count} }`
}

function expHistogramText(sample: ExpHistogramSample): string {
  const { scale, zeroCount, zeroThreshold, positive, negative, sum, count } = sample
  return (
    `{ scale=${scale}, zero_count=${zeroCount}, zero_threshold=${formatG17(zeroThreshold)}, ` +
    `positive=${sideText(positive)}, negative=${sideText(negative)}, ` +
    `count=${count}, sum=${sum === undefined ? 'unset' : formatG17(sum)} }`
  )
}

function sideText({ offset, counts }: ExpBuckets): string {
  return `{offset=${offset}, bucket_counts=[${counts.join(', ')}]}`
}
