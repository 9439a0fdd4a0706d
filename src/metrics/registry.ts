/**
 * Counters of the whole program, one registry. A counter is an object with a number, so that counting costs an addition.
 */

export class Counter {
  value = 0

  add(count: number): void {
    this.value += count
  }
}

export type Labels = Readonly<Record<string, string>>

/** All counters of one name. */
export interface CounterFamily {
  readonly name: string
  readonly help: string
  readonly series: ReadonlyMap<string, { readonly labels: Labels; readonly counter: Counter }>
}

export class MetricsRegistry {
  readonly #families = new Map<
    string,
    { name: string; help: string; series: Map<string, { labels: Labels; counter: Counter }> }
  >()

  /** The counter of a name and labels; the same ones give the same counter. */
  counter(name: string, help: string, labels: Labels): Counter {
    let family = this.#families.get(name)
    if (family === undefined) {
      family = { name, help, series: new Map() }
      this.#families.set(name, family)
    }
    const key = JSON.stringify(labels)
    let entry = family.series.get(key)
    if (entry === undefined) {
      entry = { labels, counter: new Counter() }
      family.series.set(key, entry)
    }
    return entry.counter
  }

  /** All families in the order of their first use. */
  families(): Iterable<CounterFamily> {
    return this.#families.values()
  }
}
