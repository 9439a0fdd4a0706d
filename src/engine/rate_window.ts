/**
 * What came in the current window of time, and how much a second that was in the one before.
 * Source: Fluent Bit 5.1.1 src/flb_input.c flb_input_rate_update(). Differs: a rate that is looked at is that of the last
 * whole window, where Fluent Bit shows the one that was known when something came last.
 */

export class RateWindow {
  readonly windowMs: number
  /** In the current window. */
  records = 0
  bytes = 0
  /** A second, in the window before. */
  recordRate = 0
  byteRate = 0
  #startMs: number | undefined

  constructor(windowMs: number) {
    this.windowMs = windowMs
  }

  add(nowMs: number, records: number, bytes: number): void {
    this.#startMs ??= nowMs
    const elapsed = nowMs - this.#startMs
    if (elapsed >= this.windowMs || elapsed < 0) this.#begin(nowMs, elapsed)
    this.records += records
    this.bytes += bytes
  }

  /** Milliseconds until the window ends, at least 1. */
  leftMs(nowMs: number): number {
    return Math.max(1, Math.ceil((this.#startMs ?? nowMs) + this.windowMs - nowMs))
  }

  #begin(nowMs: number, elapsed: number): void {
    // After a whole window without anything, or when time has gone back, the last one says nothing.
    const isNext = elapsed >= 0 && elapsed < 2 * this.windowMs
    const seconds = this.windowMs / 1000
    this.recordRate = isNext ? this.records / seconds : 0
    this.byteRate = isNext ? this.bytes / seconds : 0
    this.#startMs = elapsed < 0 ? nowMs : nowMs - (elapsed % this.windowMs)
    this.records = 0
    this.bytes = 0
  }
}
