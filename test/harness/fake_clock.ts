/** A clock that a test moves. Timers fire in the order of their time. */
import type { Clock, Timer } from '../../src/base/clock.ts'

interface Pending {
  dueMs: number
  readonly intervalMs: number | undefined
  readonly order: number
  readonly callback: () => void
}

export class FakeClock implements Clock {
  #nowMs: number
  #order = 0
  readonly #pending = new Set<Pending>()

  constructor(startMs: number) {
    this.#nowMs = startMs
  }

  readonly now = (): number => this.#nowMs

  readonly monotonic = (): number => this.#nowMs

  after(delayMs: number, callback: () => void): Timer {
    return this.#add(delayMs, undefined, callback)
  }

  every(intervalMs: number, callback: () => void): Timer {
    return this.#add(intervalMs, intervalMs, callback)
  }

  /** Moves time on and fires what becomes due, in order. */
  advance(ms: number): void {
    const end = this.#nowMs + ms
    for (;;) {
      const next = this.#next()
      if (next === undefined || next.dueMs > end) break
      this.#nowMs = Math.max(this.#nowMs, next.dueMs)
      if (next.intervalMs === undefined) this.#pending.delete(next)
      else next.dueMs += next.intervalMs
      next.callback()
    }
    this.#nowMs = end
  }

  /** Like `advance`, and lets promises settle between timers. */
  async advanceSlowly(ms: number, stepMs = 100): Promise<void> {
    for (let left = ms; left > 0; left -= stepMs) {
      this.advance(Math.min(stepMs, left))
      await new Promise(resolve => setImmediate(resolve))
    }
  }

  #next(): Pending | undefined {
    let first: Pending | undefined
    for (const pending of this.#pending) {
      const earlier =
        first === undefined ||
        pending.dueMs < first.dueMs ||
        (pending.dueMs === first.dueMs && pending.order < first.order)
      if (earlier) first = pending
    }
    return first
  }

  #add(delayMs: number, intervalMs: number | undefined, callback: () => void): Timer {
    const safeInterval = intervalMs === undefined ? undefined : Math.max(intervalMs, 0.001)
    const pending: Pending = {
      dueMs: this.#nowMs + delayMs,
      intervalMs: safeInterval,
      order: this.#order++,
      callback
    }
    this.#pending.add(pending)
    return { cancel: () => this.#pending.delete(pending) }
  }
}
