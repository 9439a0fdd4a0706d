/**
 * throttle: passes at most `rate` records an interval, on average over a window of intervals.
 * Source: Fluent Bit 5.1.1 plugins/filter_throttle/throttle.c, window.c.
 *
 * The window is a ring of panes, one for each interval. Records count into the newest pane; while
 * the panes together hold `rate` times their number, records are dropped.
 *
 * Differs: an interval below one second works as one second, as panes are told apart by whole
 * seconds; Fluent Bit runs its ticker without a pause then. A negative window is the default one.
 */
import type { Timer } from '../../base/clock.ts'
import { double, flag, int, text, type Values } from '../../config/options.ts'
import { parseDouble } from '../../config/units.ts'
import type { FilterContext } from '../../plugin/context.ts'
import { defineFilter, type Filter } from '../../plugin/define.ts'

const OPTIONS = {
  rate: double({ default: '1', doc: 'Records to pass in each interval; 1 or less is 1' }),
  window: int({ default: '5', doc: 'Intervals to take the average over; 1 or less is 5' }),
  print_status: flag({
    default: 'false',
    doc: 'Log the limit and the current rate in each interval'
  }),
  interval: text({ default: '1', doc: 'Length of an interval: a number with s, m, h or d' })
}

export const throttle = defineFilter({
  name: 'throttle',
  summary: 'Limit the rate of records',
  upstream: 'plugins/filter_throttle/throttle.c',
  options: OPTIONS,
  create: (values, context) => new Throttle(values, context)
})

const RATE_DEFAULT = 1
const WINDOW_DEFAULT = 5
const INTERVAL_SECONDS_MIN = 1
/** Timers cannot wait for longer: 24 days. */
const INTERVAL_SECONDS_MAX = 2_147_483

const UNIT_SECONDS: ReadonlyMap<string, number> = new Map([
  ['', 1],
  ['s', 1],
  ['m', 60],
  ['h', 3600],
  ['d', 86_400]
])

class Throttle implements Filter {
  readonly #rate: number
  readonly #intervalSeconds: number
  readonly #printsStatus: boolean
  readonly #interval: string
  readonly #window: SlidingWindow
  readonly #context: FilterContext
  #ticker: Timer | undefined

  constructor(values: Values<typeof OPTIONS>, context: FilterContext) {
    this.#rate = values.rate <= 1 ? RATE_DEFAULT : values.rate
    this.#window = new SlidingWindow(values.window <= 1 ? WINDOW_DEFAULT : values.window)
    this.#interval = values.interval
    this.#intervalSeconds = readIntervalSeconds(values.interval, context)
    this.#printsStatus = values.print_status
    this.#context = context
  }

  start(): void {
    this.#tick()
    this.#ticker = this.#context.clock.every(this.#intervalSeconds * 1000, () => this.#tick())
  }

  filter(): boolean {
    const window = this.#window
    if (window.total / window.size >= this.#rate) return false
    window.add()
    return true
  }

  stop(): void {
    this.#ticker?.cancel()
  }

  #tick(): void {
    const { clock, log } = this.#context
    const window = this.#window
    const seconds = Math.floor(clock.now() / 1000)
    window.moveTo(seconds)
    if (!this.#printsStatus) return
    log.info(
      `${seconds}: limit is ${this.#rate.toFixed(2)} per ${this.#interval} with window size of ` +
        `${window.size}, current rate is: ${Math.trunc(window.total / window.size)} per interval`
    )
  }
}

/** Counts of the last `size` intervals. */
class SlidingWindow {
  readonly size: number
  /** Sum of all panes. */
  total = 0
  /** When each pane began, in seconds since the epoch. */
  readonly #seconds: Float64Array
  readonly #counts: Float64Array
  /** The pane that records count into. */
  #current = 0
  /** The pane that was begun last. */
  #newest = -1

  constructor(size: number) {
    this.size = size
    this.#seconds = new Float64Array(size)
    this.#counts = new Float64Array(size)
  }

  /** Counts a record. */
  add(): void {
    this.#counts[this.#current]++
    this.total++
  }

  /** Begins the pane of a second, in place of the oldest one, unless there is one already. */
  moveTo(seconds: number): void {
    const known = this.#seconds.indexOf(seconds)
    if (known >= 0) {
      this.#current = known
      return
    }
    this.#newest = (this.#newest + 1) % this.size
    this.#current = this.#newest
    this.total -= this.#counts[this.#current]
    this.#counts[this.#current] = 0
    this.#seconds[this.#current] = seconds
  }
}

/**
 * Whole seconds; a text that is not understood is warned of, and its number counts all the same.
 */
function readIntervalSeconds(interval: string, context: FilterContext): number {
  const { value, ignored } = parseDouble(interval)
  const factor = UNIT_SECONDS.get(ignored)
  if (factor === undefined || !(value > 0)) {
    context.log.warn(`invalid time interval ${interval} falling back to default: 1 second`)
  }
  const seconds = Math.trunc(value * (factor ?? 1))
  return Math.min(Math.max(seconds, INTERVAL_SECONDS_MIN), INTERVAL_SECONDS_MAX)
}
