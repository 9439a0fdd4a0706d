/**
 * Holds an input back that brings more than it may, and more so while its chunks are not delivered.
 * Source: Fluent Bit 5.1.1 src/flb_input.c flb_input_rate_gate_*(), flb_input_rate_update().
 */

export interface RateGateSettings {
  readonly windowMs: number
  /** Per second, 0 is none. */
  readonly maxBytes: number
  readonly maxRecords: number
  /** Divide the limits by chunks under way and their retries, plus one. */
  readonly usesPressure: boolean
  /** Share of a limit, between 0 and 1, below which the input goes on. */
  readonly resumeRatio: number
}

/** Counts what came in the current window. */
export class RateGate {
  readonly #settings: RateGateSettings
  #windowStartMs: number | undefined
  #records = 0
  #bytes = 0

  constructor(settings: RateGateSettings) {
    this.#settings = settings
  }

  add(nowMs: number, records: number, bytes: number): void {
    const { windowMs } = this.#settings
    this.#windowStartMs ??= nowMs
    const elapsed = nowMs - this.#windowStartMs
    if (elapsed >= windowMs || elapsed < 0) {
      this.#windowStartMs = elapsed < 0 ? nowMs : nowMs - (elapsed % windowMs)
      this.#records = 0
      this.#bytes = 0
    }
    this.#records += records
    this.#bytes += bytes
  }

  /** True when more came than is allowed. @param pressure Chunks under way and retries of them. */
  isOver(pressure: number): boolean {
    return this.#exceeds(this.#divisor(pressure))
  }

  /** True when so little came that the input may go on. */
  isCalm(pressure: number): boolean {
    return !this.#exceeds(this.#divisor(pressure) / this.#settings.resumeRatio)
  }

  /** Milliseconds until the window ends, at least 1. */
  leftMs(nowMs: number): number {
    return Math.max(1, Math.ceil((this.#windowStartMs ?? nowMs) + this.#settings.windowMs - nowMs))
  }

  #divisor(pressure: number): number {
    return this.#settings.usesPressure ? pressure + 1 : 1
  }

  #exceeds(divisor: number): boolean {
    const { maxBytes, maxRecords, windowMs } = this.#settings
    const seconds = windowMs / 1000
    const over = (count: number, max: number): boolean => max > 0 && count / seconds > max / divisor
    return over(this.#records, maxRecords) || over(this.#bytes, maxBytes)
  }
}
