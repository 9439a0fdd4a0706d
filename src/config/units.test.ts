/** Expectations were compared with Fluent Bit 5.1.1's own functions (libfluent-bit.so). */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  parseBinarySize,
  parseBoolean,
  parseDouble,
  parseInteger,
  parseSize,
  parseTimeSeconds,
  splitCommaList,
  splitSpaceList
} from './units.ts'

test('booleans are six words in any case and nothing else', () => {
  const read = ['true', 'On', 'YES', 'false', 'Off', 'NO', '1', '0', '', 'enabled'].map(
    parseBoolean
  )
  const none = undefined
  assert.deepEqual(read, [true, true, true, false, false, false, none, none, none, none])
})

const SIZES: readonly (readonly [text: string, bytes: number | undefined])[] = [
  ['0', 0],
  ['512', 512],
  ['1K', 1000],
  ['1kb', 1000],
  ['5M', 5_000_000],
  ['5mB', 5_000_000],
  ['2G', 2_000_000_000],
  ['2gb', 2_000_000_000],
  ['1.5M', 1_500_000],
  ['.5k', 500],
  ['1.9', 1],
  ['1e3', 1000],
  ['-1', -1],
  ['false', 0],
  ['False', 0],
  ['5 MB', undefined],
  ['5 M', undefined],
  ['5KiB', undefined],
  ['5T', undefined],
  ['5.', undefined],
  ['5x3', undefined],
  ['M', undefined],
  ['', undefined],
  ['true', undefined],
  ['10000000G', undefined]
]

test('sizes step by 1000', () => {
  assert.deepEqual(
    SIZES.map(([text]) => [text, parseSize(text)]),
    SIZES
  )
})

const BINARY_SIZES: readonly (readonly [text: string, bytes: number | undefined])[] = [
  ['512', 512],
  ['2K', 2048],
  ['2kb', 2048],
  ['2KiB', 2048],
  ['2M', 2_097_152],
  ['1.5MiB', 1_572_864],
  ['1GiB', 1_073_741_824],
  ['2 MiB', 2_097_152],
  ['false', 0],
  ['2Ki', undefined],
  ['2TiB', undefined],
  ['', undefined]
]

test('binary sizes step by 1024', () => {
  assert.deepEqual(
    BINARY_SIZES.map(([text]) => [text, parseBinarySize(text)]),
    BINARY_SIZES
  )
})

const TIMES: readonly (readonly [text: string, seconds: number, ignored: string])[] = [
  ['5', 5, ''],
  ['5s', 5, ''],
  ['2m', 120, ''],
  ['2M', 120, ''],
  ['3h', 10_800, ''],
  ['1D', 86_400, ''],
  ['5 m', 300, ''],
  ['-1', -1, ''],
  ['1.5m', 60, '.5'],
  ['10ms', 10, 'm'],
  ['5 min', 5, ' min'],
  ['m', 0, 'm'],
  ['', 0, '']
]

test('times are whole numbers with one letter', () => {
  assert.deepEqual(
    TIMES.map(([text]) => [text, parseTimeSeconds(text).value, parseTimeSeconds(text).ignored]),
    TIMES
  )
})

const INTEGERS: readonly (readonly [text: string, value: number, ignored: string])[] = [
  ['5', 5, ''],
  ['+5', 5, ''],
  ['-5', -5, ''],
  ['-0', 0, ''],
  ['007', 7, ''],
  [' 5', 5, ''],
  ['5x', 5, 'x'],
  ['5.9', 5, '.9'],
  ['x5', 0, 'x5'],
  ['', 0, ''],
  ['2147483647', 2_147_483_647, ''],
  ['2147483648', 2_147_483_647, '2147483648'],
  ['-2147483649', -2_147_483_648, '-2147483649']
]

test('integers stop at the first other character and stay within 32 bits', () => {
  assert.deepEqual(
    INTEGERS.map(([text]) => [text, parseInteger(text).value, parseInteger(text).ignored]),
    INTEGERS
  )
})

const DOUBLES: readonly (readonly [text: string, value: number, ignored: string])[] = [
  ['1', 1, ''],
  ['1.5', 1.5, ''],
  ['.5', 0.5, ''],
  ['5.', 5, ''],
  ['-1.5e-3', -0.0015, ''],
  ['1e', 1, 'e'],
  ['0x10', 16, ''],
  ['-0x10', -16, ''],
  ['0x1.8p3', 12, ''],
  ['0x.4', 0.25, ''],
  ['0x1p', 1, 'p'],
  ['0xp1', 0, 'xp1'],
  ['inf', Infinity, ''],
  ['-Infinity', -Infinity, ''],
  ['nan', NaN, ''],
  ['1.5s', 1.5, 's'],
  ['abc', 0, 'abc'],
  ['', 0, '']
]

test('doubles stop at the first other character', () => {
  assert.deepEqual(
    DOUBLES.map(([text]) => [text, parseDouble(text).value, parseDouble(text).ignored]),
    DOUBLES
  )
})

const WORDS: readonly (readonly [text: string, splitMax: number | undefined, words: string[]])[] = [
  ['a b  c', undefined, ['a', 'b', 'c']],
  ['  a ', undefined, ['a']],
  ['', undefined, []],
  ['"a b" c', undefined, ['a b', 'c']],
  ['"a \\" b" c', undefined, ['a " b', 'c']],
  ['"a"b', undefined, ['a', 'b']],
  ['a"b c"', undefined, ['a"b', 'c"']],
  ['"" a', undefined, ['', 'a']],
  ['a "b c', undefined, ['a', 'b c']],
  ['a "', undefined, ['a']],
  ['a\tb', undefined, ['a\tb']],
  ['a b c d', 1, ['a', 'b c d']],
  ['a  "b c" d', 1, ['a', '"b c" d']],
  ['a b', 3, ['a', 'b']],
  ['"x y" b  c d', 2, ['x y', 'b', 'c d']]
]

test('words are separated by spaces, quotes hold them together, the last takes the rest', () => {
  assert.deepEqual(
    WORDS.map(([text, splitMax]) => [text, splitMax, splitSpaceList(text, splitMax)]),
    WORDS
  )
})

test('comma lists drop empty words and spaces, and nothing else', () => {
  assert.deepEqual(splitCommaList(' a b,,c , ,"d,e",\tf '), ['a b', 'c', '"d', 'e"', '\tf'])
  assert.deepEqual(splitCommaList(''), [])
})
