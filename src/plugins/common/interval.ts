/**
 * Inputs that collect at an interval: their two keys, and a timer that keeps step with the clock.
 * Source: Fluent Bit 5.1.1 lib/monkey/mk_core/mk_event_epoll.c _mk_event_timeout_create(), and the `interval_sec` and
 * `interval_nsec` of the inputs.
 * Differs: a negative part of the interval counts as 0, and nanoseconds may be a second or more; Fluent Bit then starts
 * without the input.
 */
import type { Timer } from '../../base/clock.ts'
import { int } from '../../config/options.ts'
import type { InputContext } from '../../plugin/context.ts'

/** The longest time that a timer of Node can wait, nearly 25 days. */
const DELAY_MS_MAX = 2 ** 31 - 1

/** Timers of Node count whole milliseconds and drop the fraction. */
const EARLY_MS_MAX = 1

export const INTERVAL_OPTIONS = {
  interval_sec: int({ default: '1', doc: 'Seconds between two collections' }),
  interval_nsec: int({ default: '0', doc: 'Nanoseconds to add to interval_sec' })
}

/** The time between two collections: both parts are 0 or more, and one is more. */
export interface Interval {
  readonly seconds: number
  readonly nanoseconds: number
}

/** The interval that the two keys stand for; one second when neither is above 0. */
export function readInterval(values: {
  readonly interval_sec: number
  readonly interval_nsec: number
}): Interval {
  const seconds = Math.max(0, values.interval_sec)
  const nanoseconds = Math.max(0, values.interval_nsec)
  return seconds === 0 && nanoseconds === 0
    ? { seconds: 1, nanoseconds: 0 }
    : { seconds, nanoseconds }
}

/** An input, or the part of one, that needs no more than to be started and stopped. */
export interface IntervalInput {
  start(): void
  stop(): void
}

/**
 * An input that does nothing but collect at an interval, except while it is held back.
 *
 * The first collection comes up to a second early, at the begin of a second, and at once for intervals under a second:
 * so do Fluent Bit's timers, on the seconds of another clock. Later ones keep to that beat, however late a single timer
 * is; Node's `setInterval` would be slower by about a millisecond each time.
 *
 * @param collect Gets the number of intervals that have passed since the last call, which is 1 unless the timer was late.
 * @param begin Runs at start, before the timer is set; what it throws stops the start.
 */
export function intervalInput(
  context: InputContext,
  interval: Interval,
  collect: (intervals: number) => void,
  begin?: () => void
): IntervalInput {
  const { clock } = context
  const lengthMs = interval.seconds * 1000 + interval.nanoseconds / 1e6
  let dueMs = 0
  let timer: Timer | undefined
  const set = (): void => {
    const delayMs = Math.max(0, dueMs - clock.monotonic())
    timer = clock.after(Math.min(delayMs, DELAY_MS_MAX), wake)
  }
  const wake = (): void => {
    const lateMs = clock.monotonic() - dueMs
    if (lateMs < -EARLY_MS_MAX) return set()
    const intervals = 1 + Math.max(0, Math.floor(lateMs / lengthMs))
    dueMs += intervals * lengthMs
    set()
    if (!context.paused) collect(intervals)
  }
  return {
    start() {
      begin?.()
      const firstMs = interval.seconds * 1000 - (clock.now() % 1000)
      dueMs = clock.monotonic() + Math.max(0, firstMs)
      set()
    },
    stop() {
      timer?.cancel()
    }
  }
}
