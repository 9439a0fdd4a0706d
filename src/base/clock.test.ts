import assert from 'node:assert/strict'
import { test } from 'node:test'
import { systemClock } from './clock.ts'

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS

for (const days of [1, 24, 25, 30, 60, 400]) {
  test(`a wait of ${days} days ends after that time, though a timer of Node holds less than 25`, t => {
    t.mock.timers.enable({ apis: ['setTimeout'] })
    let calls = 0
    systemClock.after(days * DAY_MS, () => calls++)
    const hours = days * 24
    for (let hour = 0; hour < hours; hour++) {
      assert.equal(calls, 0, `after ${hour} hours`)
      t.mock.timers.tick(HOUR_MS)
    }
    // A timer that is set while the mocked clock ticks begins at the end of the tick.
    for (let part = 0; part < days / 24; part++) t.mock.timers.tick(HOUR_MS)
    assert.equal(calls, 1)
    t.mock.timers.tick(400 * DAY_MS)
    assert.equal(calls, 1)
  })

  test(`a wait of ${days} days can be cancelled at any time`, t => {
    t.mock.timers.enable({ apis: ['setTimeout'] })
    for (let day = 0; day < days; day++) {
      let calls = 0
      const timer = systemClock.after(days * DAY_MS, () => calls++)
      t.mock.timers.tick(day * DAY_MS)
      timer.cancel()
      t.mock.timers.tick(400 * DAY_MS)
      assert.equal(calls, 0, `after ${day} days`)
    }
  })
}
