/**
 * Counts the log records of an input by tag, as `telemetry` says: as many tags as there may be series, none too long.
 * Source: Fluent Bit 5.1.1 src/flb_input_chunk.c update_logs_tag_records_metrics().
 */
import type { Counter, MetricsRegistry } from '../metrics/registry.ts'
import type { TagRecordsLimits } from './telemetry_spec.ts'

const FAMILY = 'fluentbit_input_logs_tag_records_total'

export class TagRecords {
  readonly #metrics: Pick<MetricsRegistry, 'counter'>
  readonly #name: string
  readonly #limits: TagRecordsLimits
  readonly #seriesCount: () => number
  readonly #tags = new Map<string, Counter>()

  /**
   * @param registry Knows the series of all inputs: the limit is theirs together.
   * @param metrics Of the input.
   */
  constructor(
    registry: Pick<MetricsRegistry, 'seriesCount'>,
    metrics: Pick<MetricsRegistry, 'counter'>,
    name: string,
    limits: TagRecordsLimits
  ) {
    this.#metrics = metrics
    this.#name = name
    this.#limits = limits
    this.#seriesCount = () => registry.seriesCount(FAMILY)
  }

  add(tag: string, records: number): void {
    if (records === 0) return
    const counter = this.#tags.get(tag) ?? this.#newCounter(tag)
    counter.value += records
  }

  #newCounter(tag: string): Counter {
    const { tagBytesMax, seriesMax } = this.#limits
    if (tagBytesMax > 0 && Buffer.byteLength(tag) > tagBytesMax) {
      return this.#untracked('tag_length_limit')
    }
    if (seriesMax > 0 && this.#seriesCount() >= seriesMax) return this.#untracked('max_series')
    const labels = { name: this.#name, tag }
    const counter = this.#metrics.counter(FAMILY, 'Number of input log records by tag.', labels)
    this.#tags.set(tag, counter)
    return counter
  }

  #untracked(reason: string): Counter {
    return this.#metrics.counter(
      'fluentbit_input_logs_tag_records_untracked_total',
      'Number of input log records not tracked by tag.',
      { name: this.#name, reason }
    )
  }
}
