import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { daysBeforeMonth, daysSinceEpoch, isLeapYear, yearOfDay } from './calendar.ts'

const DAY_MS = 86_400_000

test('days since the epoch and years of days are those of Date', () => {
  const days = fc.integer({ min: -1_000_000, max: 3_000_000 })
  fc.assert(
    fc.property(days, day => {
      const date = new Date(day * DAY_MS)
      const year = date.getUTCFullYear()
      assert.equal(yearOfDay(day), year)
      assert.equal(daysSinceEpoch(year, date.getUTCMonth(), date.getUTCDate()), day)
    }),
    { numRuns: 2000 }
  )
})

test('the months of a leap year begin a day later from March on', () => {
  assert.deepEqual([1900, 2000, 2023, 2024].map(isLeapYear), [false, true, false, true])
  assert.deepEqual(
    [0, 1, 2, 12].map(month => daysBeforeMonth(2024, month)),
    [0, 31, 60, 366]
  )
  assert.deepEqual(
    [0, 1, 2, 12].map(month => daysBeforeMonth(2023, month)),
    [0, 31, 59, 365]
  )
})

test('a day out of range runs on into the months around', () => {
  assert.equal(daysSinceEpoch(1970, 0, 0), -1)
  assert.equal(daysSinceEpoch(1970, 0, 32), daysSinceEpoch(1970, 1, 1))
  assert.equal(daysSinceEpoch(1969, 12, 1), 0)
})
