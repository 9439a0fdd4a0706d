import assert from 'node:assert/strict'
import { test } from 'node:test'
import { seededRandom } from '../../test/harness/random.ts'
import { NO_LIMIT, parseRetryLimit, retryDelaySeconds } from './retry.ts'

const NEARLY_ONE = 1 - Number.EPSILON

for (const [attempt, base, cap, least, most] of [
  [1, 5, 2000, 6, 11],
  [2, 5, 2000, 6, 21],
  [8, 5, 2000, 6, 1281],
  [9, 5, 2000, 6, 2001],
  [32, 5, 2000, 6, 2001],
  [1_000_000, 5, 2000, 6, 2001],
  [1, 1, 1, 2, 2],
  [3, 10, 5, 11, 11]
] as const) {
  test(`the wait after failure ${attempt} with base ${base} and cap ${cap} is ${least} to ${most} seconds`, () => {
    assert.equal(
      retryDelaySeconds(attempt, base, cap, () => 0),
      least
    )
    assert.equal(
      retryDelaySeconds(attempt, base, cap, () => NEARLY_ONE),
      most
    )
  })
}

test('every whole second of its span is a wait about as often as any other', () => {
  const random = seededRandom(7)
  const counts = new Map<number, number>()
  for (let run = 0; run < 6000; run++) {
    const seconds = retryDelaySeconds(1, 5, 2000, random)
    counts.set(seconds, (counts.get(seconds) ?? 0) + 1)
  }
  assert.deepEqual(
    [...counts.keys()].toSorted((a, b) => a - b),
    [6, 7, 8, 9, 10, 11]
  )
  for (const [seconds, count] of counts) {
    assert.ok(Math.abs(count - 1000) < 150, `${seconds} s: ${count} of 6000`)
  }
})

for (const [text, limit] of [
  ['', 1],
  ['1', 1],
  ['5', 5],
  ['5x', 5],
  ['no_limits', NO_LIMIT],
  ['NO_LIMITS', NO_LIMIT],
  ['false', NO_LIMIT],
  ['False', NO_LIMIT],
  ['off', NO_LIMIT],
  ['no_retries', 0],
  ['No_Retries', 0],
  ['0', undefined],
  ['-1', undefined],
  ['on', undefined],
  ['unlimited', undefined]
] as const) {
  test(`retry_limit "${text}" is ${limit === undefined ? 'no limit that there is' : limit}`, () => {
    assert.equal(parseRetryLimit(text), limit)
  })
}
