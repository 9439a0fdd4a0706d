/**
 * Figures of the whole program, one registry. A counter is an object with a number, so that counting costs an addition; a
 * gauge is worked out when someone looks. Each figure belongs to those who asked for it: an instance asks through a scope
 * of its own, and a figure that nobody has any more is gone.
 */
import assert from 'node:assert/strict'

/** Something that has a value now. */
export interface Figure {
  readonly value: number
}

export class Counter implements Figure {
  value = 0

  add(count: number): void {
    this.value += count
  }
}

/** Observations by size. */
export class Histogram {
  /** Upper bounds of the buckets, ascending; one without a bound follows them. */
  readonly bounds: readonly number[]
  /** Observations of each bucket alone. */
  readonly buckets: number[]
  sum = 0
  count = 0

  constructor(bounds: readonly number[]) {
    this.bounds = bounds
    this.buckets = Array.from({ length: bounds.length + 1 }, () => 0)
  }

  observe(value: number): void {
    const bucket = this.bounds.findIndex(bound => value <= bound)
    this.buckets[bucket === -1 ? this.bounds.length : bucket]++
    this.sum += value
    this.count++
  }
}

export type Labels = Readonly<Record<string, string>>

export interface Series<F> {
  readonly labels: Labels
  readonly figure: F
}

/** All figures of one name; their labels have the same names. */
export type Family = { readonly name: string; readonly help: string } & (
  | { readonly type: 'counter' | 'gauge'; readonly series: readonly Series<Figure>[] }
  | { readonly type: 'histogram'; readonly series: readonly Series<Histogram>[] }
)

/** Where who counts something gets the figures for it. */
export interface Metrics {
  /** The counter of a name and labels; the same ones give the same counter. */
  counter(name: string, help: string, labels: Labels): Counter
  /** Adds a figure that `read` gives whenever it is wanted; it goes before an older one of the same name and labels. */
  gauge(name: string, help: string, labels: Labels, read: () => number): void
  /** The histogram of a name and labels; bounds are those of the first of the name. */
  histogram(name: string, help: string, labels: Labels, bounds: readonly number[]): Histogram
}

/** A figure and how many have it; of gauges each has its own, and the last one counts. */
interface Owned {
  readonly labels: Labels
  readonly figures: (Figure | Histogram)[]
}

interface OwnedFamily {
  readonly name: string
  readonly help: string
  readonly type: Family['type']
  readonly series: Map<string, Owned>
}

export class MetricsRegistry implements Metrics {
  readonly #families = new Map<string, OwnedFamily>()
  /** What belongs to the program as long as it runs. */
  readonly #lasting = this.scope()

  counter(name: string, help: string, labels: Labels): Counter {
    return this.#lasting.counter(name, help, labels)
  }

  gauge(name: string, help: string, labels: Labels, read: () => number): void {
    this.#lasting.gauge(name, help, labels, read)
  }

  histogram(name: string, help: string, labels: Labels, bounds: readonly number[]): Histogram {
    return this.#lasting.histogram(name, help, labels, bounds)
  }

  /** For someone who may leave before the program ends. */
  scope(): MetricsScope {
    return new MetricsScope(this.#families)
  }

  /** All families that have figures, in the order of their first use. */
  *families(): Iterable<Family> {
    for (const { name, help, type, series } of this.#families.values()) {
      if (series.size > 0) yield { name, help, type, series: seriesOf(series) } as Family
    }
  }
}

/** Figures of one owner. */
export class MetricsScope implements Metrics {
  readonly #families: Map<string, OwnedFamily>
  /** What this owner has: by family and key of its labels. */
  readonly #held = new Map<OwnedFamily, Map<string, Figure | Histogram>>()

  constructor(families: Map<string, OwnedFamily>) {
    this.#families = families
  }

  counter(name: string, help: string, labels: Labels): Counter {
    const figure = this.#take(name, help, 'counter', labels, () => new Counter())
    assert(figure instanceof Counter, `BUG: ${name} is no counter`)
    return figure
  }

  gauge(name: string, help: string, labels: Labels, read: () => number): void {
    const figure = {
      get value() {
        return read()
      }
    }
    this.#take(name, help, 'gauge', labels, () => figure)
  }

  histogram(name: string, help: string, labels: Labels, bounds: readonly number[]): Histogram {
    const figure = this.#take(name, help, 'histogram', labels, () => new Histogram(bounds))
    assert(figure instanceof Histogram, `BUG: ${name} is no histogram`)
    return figure
  }

  /** Leaves: what nobody else has is gone. */
  release(): void {
    for (const [family, figures] of this.#held) {
      for (const [key, figure] of figures) {
        const owned = family.series.get(key)
        if (owned === undefined) continue
        owned.figures.splice(owned.figures.indexOf(figure), 1)
        if (owned.figures.length === 0) family.series.delete(key)
      }
    }
    this.#held.clear()
  }

  #take(
    name: string,
    help: string,
    type: Family['type'],
    labels: Labels,
    make: () => Figure | Histogram
  ): Figure | Histogram {
    let family = this.#families.get(name)
    if (family === undefined) {
      family = { name, help, type, series: new Map() }
      this.#families.set(name, family)
    }
    const key = JSON.stringify(labels)
    let mine = this.#held.get(family)
    if (mine === undefined) {
      mine = new Map()
      this.#held.set(family, mine)
    }
    const held = mine.get(key)
    if (held !== undefined && type !== 'gauge') return held
    let owned = family.series.get(key)
    if (owned === undefined) {
      owned = { labels, figures: [] }
      family.series.set(key, owned)
    }
    if (held !== undefined) owned.figures.splice(owned.figures.indexOf(held), 1)
    const figure = type === 'gauge' ? make() : (owned.figures[0] ?? make())
    owned.figures.push(figure)
    mine.set(key, figure)
    return figure
  }
}

function seriesOf(series: ReadonlyMap<string, Owned>): Series<Figure | Histogram>[] {
  return Array.from(series.values(), ({ labels, figures }) => {
    const figure = figures.at(-1)
    assert(figure !== undefined, 'BUG: a figure that nobody has is still there')
    return { labels, figure }
  })
}
