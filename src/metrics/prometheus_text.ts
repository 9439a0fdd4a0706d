/**
 * Metrics as Prometheus reads them: its text format 0.0.4.
 * Source: Fluent Bit 5.1.1 lib/cmetrics/src/cmt_encode_prometheus.c, cmt_exp_histogram.c cmt_exp_histogram_to_explicit().
 * Differs: a NaN is never `-nan`.
 */
import { formatG, formatG17 } from '../codec/number_text.ts'
import { explicitBuckets } from './exp_histogram.ts'
import {
  byKind,
  fullName,
  type HistogramSample,
  type MetricFamily,
  type NumberFamily,
  type SampleParts,
  SHOWN_KINDS,
  type StaticLabels,
  type SummarySample
} from './model.ts'

const ESCAPED_IN_HELP = /[\\\n]/g
const ESCAPED_IN_LABEL = /[\\\n"]/g
const HAS_ESCAPED = /[\\\n"]/

export interface PrometheusTextOptions {
  /** Whether each sample shows its time, in milliseconds. */
  readonly timestamps: boolean
  /** Shown before the labels of each sample. */
  readonly labels?: StaticLabels
}

/** All families that have samples; by kind, and within a kind as they come. */
export function prometheusText(
  families: readonly MetricFamily[],
  options: PrometheusTextOptions
): string {
  const page = new Page(options)
  for (const family of byKind(families, SHOWN_KINDS)) {
    if (family.samples.length > 0) page.family(family)
  }
  return page.text
}

class Page {
  text = ''
  readonly #timestamps: boolean
  /** `name="value",…` of the static labels. */
  readonly #staticLabels: string
  /** The last time and how it looks: most samples have the same. */
  #time = -1n
  #timeText = ''

  constructor({ timestamps, labels = [] }: PrometheusTextOptions) {
    this.#timestamps = timestamps
    this.#staticLabels = labels.map(([name, value]) => labelText(name, value)).join(',')
  }

  family(family: MetricFamily): void {
    const name = fullName(family)
    // A single space is how the parser of the text format says that there was no help.
    const help = family.help === ' ' ? '' : ` ${escaped(family.help, ESCAPED_IN_HELP)}`
    const type = family.kind === 'exp_histogram' ? 'histogram' : family.kind
    this.text += `# HELP ${name}${help}\n# TYPE ${name} ${type}\n`
    switch (family.kind) {
      case 'histogram':
        for (const sample of family.samples) {
          this.#histogram(name, family.labels, family.bounds, sample, sample.sum)
        }
        break
      case 'exp_histogram':
        for (const sample of family.samples) {
          const explicit = explicitBuckets(sample)
          if (explicit === undefined) continue
          const { bounds, buckets } = explicit
          this.#histogram(name, family.labels, bounds, { ...sample, buckets }, sample.sum)
        }
        break
      case 'summary':
        for (const sample of family.samples) {
          this.#summary(name, family.labels, family.quantiles, sample)
        }
        break
      case 'counter':
      case 'gauge':
      case 'untyped':
        this.#numbers(name, family)
    }
  }

  #numbers(name: string, { labels, samples }: NumberFamily): void {
    for (const sample of samples) {
      const shown = this.#labels(labels, sample)
      this.#line(shown === '' ? name : `${name}{${shown}}`, Number(sample.value), sample.time)
    }
  }

  #histogram(
    name: string,
    names: readonly string[],
    bounds: readonly number[],
    sample: Omit<HistogramSample, 'sum'>,
    sum: number | undefined
  ): void {
    const { time, buckets } = sample
    const labels = this.#labels(names, sample)
    const others = labels === '' ? '' : `,${labels}`
    for (let index = 0; index <= bounds.length; index++) {
      const bound = index < bounds.length ? boundText(bounds[index]) : '+Inf'
      this.#line(`${name}_bucket{le="${bound}"${others}}`, buckets[index] ?? 0, time)
    }
    const own = labels === '' ? '' : `{${labels}}`
    if (sum !== undefined) this.#line(`${name}_sum${own}`, sum, time)
    this.#line(`${name}_count${own}`, sample.count, time)
  }

  #summary(
    name: string,
    names: readonly string[],
    quantiles: readonly number[],
    sample: SummarySample
  ): void {
    const { time, values } = sample
    const labels = this.#labels(names, sample)
    if (values.some(value => value !== undefined)) {
      const others = labels === '' ? '' : `,${labels}`
      for (let index = 0; index < quantiles.length; index++) {
        const quantile = boundText(quantiles[index])
        this.#line(`${name}{quantile="${quantile}"${others}}`, values[index] ?? 0, time)
      }
    }
    const own = labels === '' ? '' : `{${labels}}`
    this.#line(`${name}_sum${own}`, sample.sum, time)
    this.#line(`${name}_count${own}`, sample.count, time)
  }

  #labels(names: readonly string[], { labels }: SampleParts): string {
    let text = this.#staticLabels
    const count = Math.min(names.length, labels.length)
    for (let index = 0; index < count; index++) {
      const value = labels[index]
      if (value === undefined) continue
      if (text !== '') text += ','
      text += labelText(names[index], value)
    }
    return text
  }

  #line(series: string, value: number, time: bigint): void {
    this.text += series
    this.text += ' '
    this.text += formatG17(value)
    if (this.#timestamps) this.text += this.#millisecondsOf(time)
    this.text += '\n'
  }

  #millisecondsOf(time: bigint): string {
    if (time !== this.#time) {
      this.#time = time
      this.#timeText = ` ${time / 1_000_000n}`
    }
    return this.#timeText
  }
}

/** `name="value"`. */
export function labelText(name: string, value: string): string {
  return `${name}="${escaped(value, ESCAPED_IN_LABEL)}"`
}

function escaped(text: string, characters: RegExp): string {
  // Almost none has any, and a look is faster than a replacement that finds nothing.
  if (!HAS_ESCAPED.test(text)) return text
  return text.replace(characters, character => (character === '\n' ? '\\n' : `\\${character}`))
}

/** The shorter of `%g` and `%.17g` that says exactly this, with a decimal point. */
function boundText(bound: number): string {
  let text = formatG(bound, 6)
  if (Number(text) !== bound || text.includes('e')) text = formatG(bound, 17)
  return Number.isFinite(bound) && !/[.e]/.test(text) ? `${text}.0` : text
}
