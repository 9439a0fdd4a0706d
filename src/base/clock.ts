/** Time as the engine and the plugins see it, so that a test can run hours in milliseconds. */

/** A timer that was set; `cancel` is idempotent. */
export interface Timer {
  cancel(): void
}

export interface Clock {
  /** Milliseconds since the epoch, with a fraction when the source has one. */
  now(): number
  /** Milliseconds of a clock that never goes back. */
  monotonic(): number
  /** Calls `callback` once after at least `delayMs`. */
  after(delayMs: number, callback: () => void): Timer
  /** Calls `callback` every `intervalMs` until cancelled. */
  every(intervalMs: number, callback: () => void): Timer
}

/** The machine's clock. */
export const systemClock: Clock = {
  now: () => performance.timeOrigin + performance.now(),
  monotonic: () => performance.now(),
  after(delayMs, callback) {
    const timer = setTimeout(callback, delayMs)
    return { cancel: () => clearTimeout(timer) }
  },
  every(intervalMs, callback) {
    const timer = setInterval(callback, intervalMs)
    return { cancel: () => clearInterval(timer) }
  }
}
