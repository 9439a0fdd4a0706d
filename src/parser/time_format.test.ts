import assert from 'node:assert/strict'
import { test } from 'node:test'
import { readTimeFormat, TIME_STEP } from './time_format.ts'

function kinds(format: string): (string | undefined)[] {
  const names = new Map<number, string>(
    Object.entries(TIME_STEP).map(([name, kind]) => [kind, name])
  )
  return readTimeFormat(format).steps.map(({ kind, code }) =>
    code === 0 ? names.get(kind) : String.fromCharCode(code)
  )
}

test('directives, literals and white space become steps', () => {
  assert.deepEqual(kinds('%Y/%m é%%'), ['year', '/', 'month', 'space', 'Ã', '©', '%'])
  assert.deepEqual(kinds('%F%n%Ey'), [
    'currentYear',
    'space',
    'year',
    '-',
    'month',
    '-',
    'day',
    'settle',
    'space',
    'year2'
  ])
})

test('a format without a year starts with the current one', () => {
  assert.deepEqual(kinds('%H'), ['currentYear', 'space', 'hour'])
  assert.deepEqual(kinds('%s'), ['epoch'])
  assert.equal(readTimeFormat('%D').hasYear, false)
})

test('the first %L parts the format', () => {
  const { steps, afterFraction } = readTimeFormat('%Y.%L %L')
  assert.equal(steps.length, 2)
  assert.deepEqual(
    afterFraction?.map(step => step.kind),
    [TIME_STEP.space, TIME_STEP.unsupported]
  )
  assert.equal(readTimeFormat('%Y').afterFraction, undefined)
})

test('a zone in the text is seen by its directive or by a literal Z behind the seconds', () => {
  const formats = ['%z', '%Z', '%H:%M:%SZ', '%S.%LZ', '%S.%L Z', '%S Z', '%T']
  assert.deepEqual(
    formats.map(format => readTimeFormat(format).hasZone),
    [true, true, true, true, false, false, false]
  )
})

test('directives that Fluent Bit does not have are named', () => {
  assert.deepEqual(readTimeFormat('%Y%f %Ed%N%').unsupported, ['%f', '%Ed', '%N', '%'])
})
