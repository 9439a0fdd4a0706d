import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Clock, Timer } from '../../base/clock.ts'
import type { InputContext } from '../../plugin/context.ts'
import { intervalInput, readInterval } from './interval.ts'

/** A clock whose only timer the test fires, as late as it wants. */
class HandClock implements Clock {
  nowMs: number
  delayMs = NaN
  isCancelled = false
  #callback: () => void = () => {}

  constructor(nowMs: number) {
    this.nowMs = nowMs
  }

  /** Of the day; its seconds do not begin with those of `monotonic`. */
  now(): number {
    return 1_700_000_000_000 + this.nowMs
  }

  monotonic(): number {
    return 5_000_500 + this.nowMs
  }

  after(delayMs: number, callback: () => void): Timer {
    this.delayMs = delayMs
    this.#callback = callback
    return { cancel: () => (this.isCancelled = true) }
  }

  every(): Timer {
    throw new Error('not used')
  }

  fire(lateMs: number): void {
    this.nowMs += this.delayMs + lateMs
    this.#callback()
  }
}

interface Start {
  readonly clock: HandClock
  readonly context: { paused: boolean }
  /** What `collect` was called with. */
  readonly calls: number[]
  readonly stop: () => void
}

function start(nowMs: number, seconds: number, nanoseconds: number): Start {
  const clock = new HandClock(nowMs)
  const context = { paused: false, clock }
  const calls: number[] = []
  // Nothing else of the context is used.
  const input = intervalInput(
    context as unknown as InputContext,
    { seconds, nanoseconds },
    intervals => calls.push(intervals)
  )
  input.start()
  return { clock, context, calls, stop: () => input.stop() }
}

const INTERVALS: readonly [seconds: number, nanoseconds: number, expected: [number, number]][] = [
  [1, 0, [1, 0]],
  [0, 0, [1, 0]],
  [-1, -1, [1, 0]],
  [0, 5, [0, 5]],
  [-1, 5, [0, 5]],
  [3, -5, [3, 0]],
  [2, 1_500_000_000, [2, 1_500_000_000]]
]

for (const [interval_sec, interval_nsec, [seconds, nanoseconds]] of INTERVALS) {
  test(`an interval of ${interval_sec} s and ${interval_nsec} ns is read`, () => {
    assert.deepEqual(readInterval({ interval_sec, interval_nsec }), { seconds, nanoseconds })
  })
}

test('the first collection comes at the begin of a second, or at once for shorter intervals', () => {
  assert.equal(start(123, 1, 0).clock.delayMs, 877)
  assert.equal(start(123, 3, 500_000_000).clock.delayMs, 2877)
  assert.equal(start(123, 0, 500_000_000).clock.delayMs, 0)
})

test('late timers do not shift the beat', () => {
  const { clock, calls } = start(0, 1, 0)
  clock.fire(30)
  assert.equal(clock.delayMs, 970)
  clock.fire(-0.5)
  assert.equal(clock.delayMs, 1000.5)
  assert.deepEqual(calls, [1, 1])
})

test('a timer that is later than an interval says how many it missed', () => {
  const { clock, calls } = start(0, 0, 250_000)
  clock.fire(1.1)
  assert.deepEqual(calls, [5])
  assert.ok(Math.abs(clock.delayMs - 0.15) < 1e-6)
})

test('nothing is collected while the input is held back, and it is not made up for', () => {
  const { clock, calls, context } = start(0, 1, 0)
  context.paused = true
  clock.fire(0)
  clock.fire(0)
  context.paused = false
  clock.fire(0)
  assert.deepEqual(calls, [1])
})

test('an interval that is longer than a timer can be is waited for in parts', () => {
  const { clock, calls } = start(0, 3_000_000, 0)
  assert.equal(clock.delayMs, 2 ** 31 - 1)
  clock.fire(0)
  assert.deepEqual(calls, [])
  assert.equal(clock.delayMs, 3_000_000_000 - (2 ** 31 - 1))
  clock.fire(0)
  assert.deepEqual(calls, [1])
})

test('stop cancels the timer', () => {
  const { clock, stop } = start(0, 1, 0)
  stop()
  assert.equal(clock.isCancelled, true)
})
