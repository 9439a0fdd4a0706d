/**
 * Figures of the whole program, one registry. A counter is an object with a number, so that counting costs an addition; a
 * gauge is worked out when someone looks.
 */

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

export type Labels = Readonly<Record<string, string>>

/** All figures of one name. */
export interface Family {
  readonly name: string
  readonly help: string
  readonly type: 'counter' | 'gauge'
  readonly series: ReadonlyMap<string, { readonly labels: Labels; readonly figure: Figure }>
}

interface GrowingFamily extends Family {
  readonly series: Map<string, { readonly labels: Labels; readonly figure: Figure }>
}

export class MetricsRegistry {
  readonly #families = new Map<string, GrowingFamily>()

  /** The counter of a name and labels; the same ones give the same counter. */
  counter(name: string, help: string, labels: Labels): Counter {
    const { series } = this.#family(name, help, 'counter')
    const key = JSON.stringify(labels)
    const found = series.get(key)
    if (found?.figure instanceof Counter) return found.figure
    const counter = new Counter()
    series.set(key, { labels, figure: counter })
    return counter
  }

  /** Adds a figure that `read` gives whenever it is wanted; the same name and labels replace it. */
  gauge(name: string, help: string, labels: Labels, read: () => number): void {
    const figure = {
      get value() {
        return read()
      }
    }
    this.#family(name, help, 'gauge').series.set(JSON.stringify(labels), { labels, figure })
  }

  /** All families in the order of their first use. */
  families(): Iterable<Family> {
    return this.#families.values()
  }

  #family(name: string, help: string, type: Family['type']): GrowingFamily {
    let family = this.#families.get(name)
    if (family === undefined) {
      family = { name, help, type, series: new Map() }
      this.#families.set(name, family)
    }
    return family
  }
}
