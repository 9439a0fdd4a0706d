import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { JsonWriter } from '../../codec/json_writer.ts'
import { formatF } from '../../codec/number_text.ts'
import { writeDecimalSeconds } from './time_text.ts'

function written(seconds: number, nanoseconds: number): string {
  const out = new JsonWriter()
  writeDecimalSeconds(out, seconds, nanoseconds)
  return out.written().toString()
}

test('writeDecimalSeconds has six digits, rounded from the double', () => {
  const times = [
    [1_700_000_000, 123_456_789, '1700000000.123457'],
    [1_700_000_000, 0, '1700000000.000000'],
    [1_700_000_000, 999_999_999, '1700000001.000000'],
    [1_700_000_000, 7_812_500, '1700000000.007812'],
    [1_700_000_000, 23_437_500, '1700000000.023438'],
    [4_294_967_295, 500_000_500, '4294967295.500000'],
    [0, 0, '0.000000'],
    [1, 999_999_999, '2.000000'],
    [5, 7_000, '5.000007']
  ] as const
  assert.deepEqual(
    times.map(([seconds, nanoseconds]) => written(seconds, nanoseconds)),
    times.map(([, , text]) => text)
  )
})

test('writeDecimalSeconds is %f of the double for all times', () => {
  const seconds = fc.oneof(
    fc.integer({ min: 0, max: 40_000 }),
    fc.integer({ min: 0, max: 2 ** 32 - 1 })
  )
  const nanoseconds = fc.oneof(
    fc.integer({ min: 0, max: 999_999_999 }),
    fc.integer({ min: 0, max: 999_999 }).map(micros => micros * 1000 + 500)
  )
  fc.assert(
    fc.property(seconds, nanoseconds, (whole, rest) => {
      assert.equal(written(whole, rest), formatF(whole + rest / 1e9, 6))
    })
  )
})
