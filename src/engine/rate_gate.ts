/**
 * Holds an input back that brings more than it may, and more so while its chunks are not delivered.
 * Source: Fluent Bit 5.1.1 src/flb_input.c flb_input_rate_gate_*().
 */
import type { RateWindow } from './rate_window.ts'

export interface RateGateSettings {
  /** Per second, 0 is none. */
  readonly maxBytes: number
  readonly maxRecords: number
  /** Divide the limits by chunks under way and their retries, plus one. */
  readonly usesPressure: boolean
  /** Share of a limit, between 0 and 1, below which the input goes on. */
  readonly resumeRatio: number
}

/** Looks at what came in the current window. */
export class RateGate {
  readonly #settings: RateGateSettings
  readonly #window: RateWindow

  constructor(settings: RateGateSettings, window: RateWindow) {
    this.#settings = settings
    this.#window = window
  }

  get usesPressure(): boolean {
    return this.#settings.usesPressure
  }

  /** True when more came than is allowed. @param pressure Chunks under way and retries of them. */
  isOver(pressure: number): boolean {
    return this.#exceeds(this.#divisor(pressure))
  }

  /** True when so little came that the input may go on. */
  isCalm(pressure: number): boolean {
    return !this.#exceeds(this.#divisor(pressure) / this.#settings.resumeRatio)
  }

  #divisor(pressure: number): number {
    return this.usesPressure ? pressure + 1 : 1
  }

  #exceeds(divisor: number): boolean {
    const { maxBytes, maxRecords } = this.#settings
    const { records, bytes, windowMs } = this.#window
    const seconds = windowMs / 1000
    const over = (count: number, max: number): boolean => max > 0 && count / seconds > max / divisor
    return over(records, maxRecords) || over(bytes, maxBytes)
  }
}
