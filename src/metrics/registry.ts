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

/** A figure that is worked out when someone looks. */
class Reading implements Figure {
  readonly #read: () => number

  constructor(read: () => number) {
    this.#read = read
  }

  get value(): number {
    return this.#read()
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
  /** Like `gauge`, for what only grows and is counted elsewhere. */
  total(name: string, help: string, labels: Labels, read: () => number): void
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
  readonly #collected: (() => Iterable<Family>)[] = []
  /** What belongs to the program as long as it runs. */
  readonly #lasting = this.scope()

  counter(name: string, help: string, labels: Labels): Counter {
    return this.#lasting.counter(name, help, labels)
  }

  gauge(name: string, help: string, labels: Labels, read: () => number): void {
    this.#lasting.gauge(name, help, labels, read)
  }

  total(name: string, help: string, labels: Labels, read: () => number): void {
    this.#lasting.total(name, help, labels, read)
  }

  histogram(name: string, help: string, labels: Labels, bounds: readonly number[]): Histogram {
    return this.#lasting.histogram(name, help, labels, bounds)
  }

  /** For someone who may leave before the program ends. */
  scope(): MetricsScope {
    return new MetricsScope(this.#families)
  }

  /** Adds families that `read` works out whenever they are wanted; their names are theirs alone. */
  collect(read: () => Iterable<Family>): void {
    this.#collected.push(read)
  }

  /** All families that have figures, in the order of their first use; those that are worked out follow. */
  *families(): Iterable<Family> {
    for (const { name, help, type, series } of this.#families.values()) {
      if (series.size > 0) yield { name, help, type, series: seriesOf(series) } as Family
    }
    for (const read of this.#collected) {
      for (const family of read()) if (family.series.length > 0) yield family
    }
  }

  /** The sum of all counters of a name. */
  sum(name: string): number {
    const family = this.#families.get(name)
    if (family?.type !== 'counter') return 0
    let sum = 0
    for (const { figure } of seriesOf(family.series)) if ('value' in figure) sum += figure.value
    return sum
  }

  /** How many series a name has; 0 when there is no such name. */
  seriesCount(name: string): number {
    return this.#families.get(name)?.series.size ?? 0
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
    this.#put(name, help, 'gauge', labels, new Reading(read))
  }

  total(name: string, help: string, labels: Labels, read: () => number): void {
    this.#put(name, help, 'counter', labels, new Reading(read))
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

  /** The figure that this owner has, or that all others have, or a new one. */
  #take(
    name: string,
    help: string,
    type: Family['type'],
    labels: Labels,
    make: () => Figure | Histogram
  ): Figure | Histogram {
    const { owned, mine, key } = this.#find(name, help, type, labels)
    const held = mine.get(key)
    if (held !== undefined) return held
    const figure = owned.figures[0] ?? make()
    owned.figures.push(figure)
    mine.set(key, figure)
    return figure
  }

  /** A figure of this owner alone, instead of an older one that it has. */
  #put(name: string, help: string, type: Family['type'], labels: Labels, figure: Reading): void {
    const { owned, mine, key } = this.#find(name, help, type, labels)
    const held = mine.get(key)
    if (held !== undefined) owned.figures.splice(owned.figures.indexOf(held), 1)
    owned.figures.push(figure)
    mine.set(key, figure)
  }

  /** Where figures of a name and labels are: those of all owners, and this one's. */
  #find(
    name: string,
    help: string,
    type: Family['type'],
    labels: Labels
  ): { owned: Owned; mine: Map<string, Figure | Histogram>; key: string } {
    let family = this.#families.get(name)
    if (family === undefined) {
      family = { name, help, type, series: new Map() }
      this.#families.set(name, family)
    }
    let mine = this.#held.get(family)
    if (mine === undefined) {
      mine = new Map()
      this.#held.set(family, mine)
    }
    const key = JSON.stringify(labels)
    let owned = family.series.get(key)
    if (owned === undefined) {
      owned = { labels, figures: [] }
      family.series.set(key, owned)
    }
    return { owned, mine, key }
  }
}

function seriesOf(series: ReadonlyMap<string, Owned>): Series<Figure | Histogram>[] {
  return Array.from(series.values(), ({ labels, figures }) => {
    const figure = figures.at(-1)
    assert(figure !== undefined, 'BUG: a figure that nobody has is still there')
    return { labels, figure }
  })
}
