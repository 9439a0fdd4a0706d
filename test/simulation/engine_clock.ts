/** The clock of the engine in a run: it knows which timers are set, and where. */
import type { Clock, Timer } from '../../src/base/clock.ts'

export class EngineClock implements Clock {
  readonly now: () => number
  readonly monotonic: () => number
  readonly #clock: Clock
  readonly #timers = new Map<object, string>()

  constructor(clock: Clock) {
    this.#clock = clock
    this.now = () => clock.now()
    this.monotonic = () => clock.monotonic()
  }

  /** Timers that have neither fired nor been cancelled. */
  get pending(): readonly string[] {
    return [...this.#timers.values()]
  }

  after(delayMs: number, callback: () => void): Timer {
    return this.#track(`after ${delayMs}`, done =>
      this.#clock.after(delayMs, () => {
        done()
        callback()
      })
    )
  }

  every(intervalMs: number, callback: () => void): Timer {
    return this.#track(`every ${intervalMs}`, () => this.#clock.every(intervalMs, callback))
  }

  #track(what: string, set: (done: () => void) => Timer): Timer {
    const key = {}
    this.#timers.set(key, what)
    const timer = set(() => this.#timers.delete(key))
    return {
      cancel: () => {
        this.#timers.delete(key)
        timer.cancel()
      }
    }
  }
}
