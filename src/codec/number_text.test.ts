import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import {
  formatF,
  formatG,
  formatG16,
  formatG17,
  G16_TEXT_BYTES,
  INTEGER_TEXT_BYTES,
  writeG16,
  writeInteger,
  writePadded
} from './number_text.ts'

/** Printed by a C program with glibc 2.36: the value, `%.16g`, `%f`. */
const PRINTED: readonly (readonly [number, string, string])[] = [
  [0, '0', '0.000000'],
  [-0, '-0', '-0.000000'],
  [1, '1', '1.000000'],
  [-1.5, '-1.5', '-1.500000'],
  [0.1, '0.1', '0.100000'],
  [93.76, '93.76000000000001', '93.760000'],
  [0.30000000000000004, '0.3', '0.300000'],
  [0.0001, '0.0001', '0.000100'],
  [0.00009999999999999999, '9.999999999999999e-05', '0.000100'],
  [0.00001, '1e-05', '0.000010'],
  [999999999999999.9, '999999999999999.9', '999999999999999.875000'],
  [1e15, '1000000000000000', '1000000000000000.000000'],
  [1e16, '1e+16', '10000000000000000.000000'],
  [1e20, '1e+20', '100000000000000000000.000000'],
  [1e22, '1e+22', '10000000000000000000000.000000'],
  [123456789.1234565, '123456789.1234565', '123456789.123456'],
  [1700000000.1234567, '1700000000.123457', '1700000000.123457'],
  [1700000000.0078125, '1700000000.007812', '1700000000.007812'],
  [1700000000.0234375, '1700000000.023438', '1700000000.023438'],
  [1999999999.9999998, '2000000000', '2000000000.000000'],
  [9999999999.999998, '9999999999.999998', '9999999999.999998'],
  [4503599627370495.5, '4503599627370496', '4503599627370495.500000'],
  [100000000000000.25, '100000000000000.2', '100000000000000.250000'],
  [100000000000000.75, '100000000000000.8', '100000000000000.750000'],
  [1e21, '1e+21', '1000000000000000000000.000000'],
  [0.0000005, '5e-07', '0.000000'],
  [0.0000015, '1.5e-06', '0.000002'],
  [2.0000005, '2.0000005', '2.000001'],
  [5e-324, '4.940656458412465e-324', '0.000000'],
  [-1e-9, '-1e-09', '-0.000000'],
  [Number.NaN, 'nan', 'nan'],
  [Number.POSITIVE_INFINITY, 'inf', 'inf'],
  [Number.NEGATIVE_INFINITY, '-inf', '-inf']
]

for (const [value, general, fixed] of PRINTED) {
  test(`${value} is printed as %.16g and %f of C print it`, () => {
    assert.deepEqual(
      [formatG16(value), written(value), formatF(value, 6)],
      [general, general, fixed]
    )
  })
}

test('%f takes any number of digits and rounds a tie to the even one', () => {
  const texts = [formatF(2.5, 0), formatF(3.5, 0), formatF(0.125, 2), formatF(-0.375, 2)]
  assert.deepEqual(texts, ['2', '4', '0.12', '-0.38'])
})

test('writing %.16g to bytes and to a string are the same', () => {
  fc.assert(fc.property(fc.double(), value => written(value) === formatG16(value)))
})

test('numbers half way between two texts are the same either way', () => {
  const halves = fc.tuple(fc.integer({ min: 1, max: 2 ** 50 }), fc.integer({ min: 0, max: 12 }))
  fc.assert(
    fc.property(halves, ([value, shift]) => {
      const number = value / 2 ** shift
      return written(number) === formatG16(number)
    }),
    { numRuns: 3000 }
  )
})

test('%.16g has 16 correct digits', () => {
  fc.assert(
    fc.property(fc.double({ noNaN: true, min: -1e308, max: 1e308 }), value => {
      const distance = Math.abs(Number(formatG16(value)) - value)
      return distance <= Math.abs(value) * 1e-15 || distance <= Number.MIN_VALUE
    })
  )
})

test('times in seconds are written with the microseconds of their double', () => {
  const seconds = fc.double({ min: 2 ** 30, max: 9999999999, noNaN: true })
  fc.assert(fc.property(seconds, value => written(value) === formatG16(value)))
})

test('integers are written as their digits', () => {
  const integers = fc.maxSafeInteger()
  fc.assert(
    fc.property(integers, value => {
      const bytes = Buffer.alloc(INTEGER_TEXT_BYTES)
      return bytes.latin1Slice(0, writeInteger(bytes, 0, value)) === String(value)
    })
  )
})

test('integers at the borders of the digit counts are written whole', () => {
  const values = Array.from({ length: 16 }, (_, digits) => [10 ** digits - 1, 10 ** digits]).flat()
  const bytes = Buffer.alloc(INTEGER_TEXT_BYTES)
  for (const value of [...values, 2 ** 31 - 1, 2 ** 31, 2 ** 53]) {
    assert.equal(bytes.latin1Slice(0, writeInteger(bytes, 0, value)), String(value))
  }
})

test('padded numbers have leading zeros', () => {
  const bytes = Buffer.alloc(9)
  assert.equal(bytes.latin1Slice(0, writePadded(bytes, 0, 12345, 9)), '000012345')
})

function written(value: number): string {
  const bytes = Buffer.alloc(G16_TEXT_BYTES)
  return bytes.latin1Slice(0, writeG16(bytes, 0, value))
}

/** Printed by a C program with glibc 2.36: the value, `%g`, `%.17g`. */
const SIGNIFICANT: readonly (readonly [number, string, string])[] = [
  [0, '0', '0'],
  [-0, '-0', '-0'],
  [0.10000000000000001, '0.1', '0.10000000000000001'],
  [1, '1', '1'],
  [-1.5, '-1.5', '-1.5'],
  [100000, '100000', '100000'],
  [999999.5, '1e+06', '999999.5'],
  [1000000, '1e+06', '1000000'],
  [123456.5, '123456', '123456.5'],
  [123457.5, '123458', '123457.5'],
  [1234565, '1.23456e+06', '1234565'],
  [0.0001, '0.0001', '0.0001'],
  [1.0000000000000001e-5, '1e-05', '1.0000000000000001e-05'],
  [262144.5, '262144', '262144.5'],
  [9007199254740991, '9.0072e+15', '9007199254740991'],
  [9007199254740992, '9.0072e+15', '9007199254740992'],
  [9007199254740992, '9.0072e+15', '9007199254740992'],
  [72057594037927952, '7.20576e+16', '72057594037927952'],
  [1e17, '1e+17', '1e+17'],
  [1.2345678901234568e17, '1.23457e+17', '1.2345678901234568e+17'],
  [1e22, '1e+22', '1e+22'],
  [4.9406564584124654e-324, '4.94066e-324', '4.9406564584124654e-324'],
  [1.7976931348623157e308, '1.79769e+308', '1.7976931348623157e+308'],
  [0.33333333333333331, '0.333333', '0.33333333333333331'],
  [4.0000038146972656, '4', '4.0000038146972656'],
  [1 + 2 ** -17, '1.00001', '1.0000076293945312'],
  [2 + 2 ** -17, '2.00001', '2.0000076293945312'],
  [1.0000038146972656, '1', '1.0000038146972656'],
  [Infinity, 'inf', 'inf'],
  [-Infinity, '-inf', '-inf'],
  [NaN, 'nan', 'nan']
]

for (const [value, six, seventeen] of SIGNIFICANT) {
  test(`%g and %.17g of ${value} are those of C`, () => {
    assert.deepEqual([formatG(value, 6), formatG17(value)], [six, seventeen])
  })
}
