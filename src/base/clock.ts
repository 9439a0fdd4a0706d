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

/** The longest that Node's timers wait: they take 32 bits. */
const TIMER_MS_MAX = 2_147_483_647

/** The machine's clock. */
export const systemClock: Clock = {
  now: () => performance.timeOrigin + performance.now(),
  monotonic: () => performance.now(),
  after(delayMs, callback) {
    if (delayMs <= TIMER_MS_MAX) {
      const timer = setTimeout(callback, delayMs)
      return { cancel: () => clearTimeout(timer) }
    }
    let rest = delayMs
    let timer: NodeJS.Timeout
    const wait = (): void => {
      const next = Math.min(rest, TIMER_MS_MAX)
      rest -= next
      timer = setTimeout(rest > 0 ? wait : callback, next)
    }
    wait()
    return { cancel: () => clearTimeout(timer) }
  },
  every(intervalMs, callback) {
    const timer = setInterval(callback, intervalMs)
    return { cancel: () => clearInterval(timer) }
  }
}
