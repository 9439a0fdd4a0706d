import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import {
  bytesToString,
  contentCount,
  decode,
  decodeAll,
  type Decoded,
  headerSize,
  isArray,
  isMap,
  isString,
  isValidText,
  NESTING_MAX,
  readInteger,
  readNumber,
  readString,
  skip,
  skipChecked,
  typeOf,
  uint16,
  uint32,
  ValueScanner,
  type ValueType
} from './msgpack_reader.ts'
import { Extension, Float } from './msgpack_writer.ts'

/** Each form of the MessagePack specification: hex, type, header bytes, items or content bytes, value. */
const FORMS: readonly (readonly [string, ValueType, number, number, Decoded])[] = [
  ['c0', 'nil', 1, 0, null],
  ['c2', 'boolean', 1, 0, false],
  ['c3', 'boolean', 1, 0, true],
  ['00', 'integer', 1, 0, 0],
  ['7f', 'integer', 1, 0, 127],
  ['e0', 'integer', 1, 0, -32],
  ['ff', 'integer', 1, 0, -1],
  ['ccff', 'integer', 1, 1, 255],
  ['cdffff', 'integer', 1, 2, 65535],
  ['ceffffffff', 'integer', 1, 4, 4294967295],
  ['cf001fffffffffffff', 'integer', 1, 8, Number.MAX_SAFE_INTEGER],
  ['cfffffffffffffffff', 'integer', 1, 8, 18446744073709551615n],
  ['d080', 'integer', 1, 1, -128],
  ['d18000', 'integer', 1, 2, -32768],
  ['d280000000', 'integer', 1, 4, -2147483648],
  ['d38000000000000000', 'integer', 1, 8, -9223372036854775808n],
  ['d3ffffffffffffffff', 'integer', 1, 8, -1],
  ['ca3fc00000', 'float', 1, 4, 1.5],
  ['cb3ff8000000000000', 'float', 1, 8, 1.5],
  ['cb3ff0000000000000', 'float', 1, 8, new Float(1)],
  ['cb8000000000000000', 'float', 1, 8, new Float(-0)],
  ['a0', 'string', 1, 0, ''],
  ['a3e282ac', 'string', 1, 3, '€'],
  ['d90161', 'string', 2, 1, 'a'],
  ['da000161', 'string', 3, 1, 'a'],
  ['db0000000161', 'string', 5, 1, 'a'],
  ['a1ff', 'string', 1, 1, '\ufffd'],
  ['c401ff', 'binary', 2, 1, Buffer.from('ff', 'hex')],
  ['c50001ff', 'binary', 3, 1, Buffer.from('ff', 'hex')],
  ['c600000001ff', 'binary', 5, 1, Buffer.from('ff', 'hex')],
  ['d4ffaa', 'extension', 2, 1, new Extension(-1, Buffer.from('aa', 'hex'))],
  ['d501aabb', 'extension', 2, 2, new Extension(1, Buffer.from('aabb', 'hex'))],
  ['d60100000000', 'extension', 2, 4, new Extension(1, Buffer.alloc(4))],
  ['d7000000000000000000', 'extension', 2, 8, new Extension(0, Buffer.alloc(8))],
  [`d801${'00'.repeat(16)}`, 'extension', 2, 16, new Extension(1, Buffer.alloc(16))],
  ['c70005', 'extension', 3, 0, new Extension(5, Buffer.alloc(0))],
  ['c7010541', 'extension', 3, 1, new Extension(5, Buffer.from('A'))],
  ['c800010541', 'extension', 4, 1, new Extension(5, Buffer.from('A'))],
  ['c9000000010541', 'extension', 6, 1, new Extension(5, Buffer.from('A'))],
  ['90', 'array', 1, 0, []],
  ['9201c0', 'array', 1, 2, [1, null]],
  ['dc000101', 'array', 3, 1, [1]],
  ['dd0000000101', 'array', 5, 1, [1]],
  ['80', 'map', 1, 0, new Map()],
  [
    '8201020304',
    'map',
    1,
    2,
    new Map([
      [1, 2],
      [3, 4]
    ])
  ],
  ['de0001a16101', 'map', 3, 1, new Map([['a', 1]])],
  ['df00000001a16191c0', 'map', 5, 1, new Map([['a', [null]]])],
  ['81a95f5f70726f746f5f5f01', 'map', 1, 1, new Map([['__proto__', 1]])]
]

for (const [hex, type, header, count, value] of FORMS) {
  test(`${hex.slice(0, 24)} is read as ${type}`, () => {
    const bytes = Buffer.from(`c1${hex}c1`, 'hex')
    const end = bytes.length - 1
    assert.deepEqual(
      [
        typeOf(bytes[1]),
        headerSize(bytes[1]),
        contentCount(bytes, 1),
        skip(bytes, 1),
        skipChecked(bytes, 1, end),
        decode(bytes, 1)
      ],
      [type, header, count, end, end, value]
    )
    assert.deepEqual(
      [isString(bytes[1]), isMap(bytes[1]), isArray(bytes[1])],
      [type === 'string', type === 'map', type === 'array']
    )
  })

  test(`${hex.slice(0, 24)} is seen to be incomplete wherever it is cut`, () => {
    const bytes = Buffer.from(hex, 'hex')
    for (let end = 0; end < bytes.length; end++) assert.equal(skipChecked(bytes, 0, end), -1)
  })
}

test('a stream is decoded value by value', () => {
  const bytes = Buffer.concat(FORMS.map(([hex]) => Buffer.from(hex, 'hex')))
  assert.deepEqual(
    decodeAll(bytes),
    FORMS.map(([, , , , value]) => value)
  )
})

test('the byte that starts no value is refused', () => {
  const bytes = Buffer.from('9301c102', 'hex')
  assert.equal(skipChecked(bytes, 0, bytes.length), -2)
  assert.throws(() => skip(bytes, 0), { message: 'Cannot skip a value: byte 0xc1 starts none' })
})

test('any bytes are skipped or refused within their end', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 60 }), content => {
      const bytes = Buffer.from(content)
      const next = skipChecked(bytes, 0, bytes.length)
      if (next < 0) return next === -1 || next === -2
      return next <= bytes.length && skip(bytes, 0) === next && decode(bytes, 0) !== undefined
    }),
    { numRuns: 2000 }
  )
})

test('nesting is limited when it is checked, and read as nil beyond', () => {
  const nested = (depth: number): Buffer =>
    Buffer.concat([Buffer.alloc(depth, 0x91), Buffer.from([1])])
  const deepest = nested(NESTING_MAX)
  const deeper = nested(NESTING_MAX + 2)
  assert.equal(skipChecked(deepest, 0, deepest.length), deepest.length)
  assert.equal(skipChecked(deeper, 0, deeper.length), -2)
  assert.equal(skip(deeper, 0), deeper.length)
  let innermost = decode(deeper, 0)
  while (Array.isArray(innermost) && innermost.length > 0) innermost = innermost[0]
  assert.equal(innermost, null)
})

test('a huge count without content is incomplete', () => {
  for (const hex of ['ddffffffff', 'dfffffffff', 'dbffffffff', 'c6ffffffff', 'c9ffffffff05']) {
    assert.equal(skipChecked(Buffer.from(hex, 'hex'), 0, hex.length / 2), -1)
  }
})

test('numbers are read from every numeric form, and only from those', () => {
  const texts = [
    '05',
    'd3ffffffffffffffff',
    'ca3fc00000',
    'cb3ff8000000000000',
    'cf0020000000000001',
    'a135',
    'c3'
  ]
  const read = texts.map(hex => readNumber(Buffer.from(hex, 'hex'), 0))
  assert.deepEqual(read, [5, -1, 1.5, 1.5, 9007199254740992, Number.NaN, Number.NaN])
  assert.equal(readInteger(Buffer.from('ca3fc00000', 'hex'), 0), undefined)
})

test('strings and binary data are read as text, long or short, ASCII or not', () => {
  const texts = [
    '',
    'short',
    'é',
    'x'.repeat(24),
    'x'.repeat(25),
    `${'x'.repeat(24)}é`,
    'é'.repeat(300)
  ]
  for (const text of texts) {
    const bytes = Buffer.from(`##${text}##`)
    assert.equal(bytesToString(bytes, 2, bytes.length - 2), text)
  }
  assert.deepEqual(
    [readString(Buffer.from('c40161', 'hex'), 0), readString(Buffer.from('a2c3a9', 'hex'), 0)],
    ['a', 'é']
  )
})

test('text is valid when it is UTF-8', () => {
  const texts = ['a2c3a9', 'a1c3', 'a3eda080', 'a0']
  const valid = texts.map(hex => isValidText(Buffer.from(hex, 'hex'), 0))
  assert.deepEqual(valid, [true, false, false, true])
})

test('unsigned numbers are read big endian', () => {
  const bytes = Buffer.from('ff80000001', 'hex')
  assert.deepEqual([uint16(bytes, 0), uint32(bytes, 1)], [0xff80, 0x80000001])
})

test('values that come in pieces are scanned as when they come whole', () => {
  const bytes = Buffer.concat(FORMS.map(([hex]) => Buffer.from(hex, 'hex')))
  for (let piece = 1; piece < bytes.length; piece++) {
    const scanner = new ValueScanner()
    const ends: number[] = []
    scanner.start(0)
    for (let end = piece; end < bytes.length + piece; end += piece) {
      const limit = Math.min(end, bytes.length)
      while (scanner.at < limit) {
        assert.ok(scanner.scan(bytes, limit))
        if (scanner.pending > 0 || scanner.at > limit) break
        ends.push(scanner.at)
        scanner.start(scanner.at)
      }
    }
    let at = 0
    assert.deepEqual(
      ends,
      FORMS.map(([hex]) => (at += hex.length / 2))
    )
  }
})
