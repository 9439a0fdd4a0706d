import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { decode, type Decoded } from './msgpack_reader.ts'
import { type Encodable, Extension, Float, MsgpackWriter } from './msgpack_writer.ts'

/** Values and their bytes by the MessagePack specification; integers and lengths in their shortest form. */
const VALUES: readonly (readonly [Encodable, string])[] = [
  [null, 'c0'],
  [undefined, 'c0'],
  [false, 'c2'],
  [true, 'c3'],
  [0, '00'],
  [127, '7f'],
  [128, 'cc80'],
  [255, 'ccff'],
  [256, 'cd0100'],
  [65535, 'cdffff'],
  [65536, 'ce00010000'],
  [4294967295, 'ceffffffff'],
  [4294967296, 'cf0000000100000000'],
  [Number.MAX_SAFE_INTEGER, 'cf001fffffffffffff'],
  [-1, 'ff'],
  [-32, 'e0'],
  [-33, 'd0df'],
  [-128, 'd080'],
  [-129, 'd1ff7f'],
  [-32768, 'd18000'],
  [-32769, 'd2ffff7fff'],
  [-2147483648, 'd280000000'],
  [-2147483649, 'd3ffffffff7fffffff'],
  [Number.MIN_SAFE_INTEGER, 'd3ffe0000000000001'],
  [5n, '05'],
  [-5n, 'fb'],
  [9007199254740992n, 'cf0020000000000000'],
  [9007199254740993n, 'cf0020000000000001'],
  [0xffffffffffffffffn, 'cfffffffffffffffff'],
  [-9007199254740993n, 'd3ffdfffffffffffff'],
  [-0x8000000000000000n, 'd38000000000000000'],
  [1.5, 'cb3ff8000000000000'],
  [-0, 'cb8000000000000000'],
  [1e300, 'cb7e37e43c8800759c'],
  [Number.POSITIVE_INFINITY, 'cb7ff0000000000000'],
  [new Float(1), 'cb3ff0000000000000'],
  ['', 'a0'],
  ['é€😀', 'a9c3a9e282acf09f9880'],
  ['\ud800', 'a3efbfbd'],
  ['x'.repeat(31), `bf${'78'.repeat(31)}`],
  ['x'.repeat(32), `d920${'78'.repeat(32)}`],
  ['x'.repeat(255), `d9ff${'78'.repeat(255)}`],
  ['x'.repeat(256), `da0100${'78'.repeat(256)}`],
  ['x'.repeat(65536), `db00010000${'78'.repeat(65536)}`],
  ['é'.repeat(20), `d928${'c3a9'.repeat(20)}`],
  ['é'.repeat(100), `d9c8${'c3a9'.repeat(100)}`],
  [Buffer.from('ff', 'hex'), 'c401ff'],
  [Buffer.alloc(256), `c50100${'00'.repeat(256)}`],
  [Buffer.alloc(65536), `c600010000${'00'.repeat(65536)}`],
  [new Extension(0, Buffer.from('0102030405060708', 'hex')), 'd7000102030405060708'],
  [new Extension(-1, Buffer.from('aa', 'hex')), 'd4ffaa'],
  [new Extension(5, Buffer.alloc(16)), `d805${'00'.repeat(16)}`],
  [new Extension(5, Buffer.alloc(3)), 'c70305000000'],
  [new Extension(5, Buffer.alloc(256)), `c8010005${'00'.repeat(256)}`],
  [new Extension(5, Buffer.alloc(65536)), `c90001000005${'00'.repeat(65536)}`],
  [[], '90'],
  [[1, [2]], '92019102'],
  [new Array<number>(16).fill(0), `dc0010${'00'.repeat(16)}`],
  [new Array<number>(65536).fill(0), `dd00010000${'00'.repeat(65536)}`],
  [{}, '80'],
  [{ a: 1, b: { c: null } }, '82a16101a16281a163c0'],
  [new Map<Encodable, Encodable>([[1, 2]]), '810102'],
  [JSON.parse('{"__proto__":1}') as Encodable, '81a95f5f70726f746f5f5f01']
]

for (const [value, hex] of VALUES) {
  test(`${described(value)} is written as ${described(hex)}`, () => {
    const writer = new MsgpackWriter(1)
    writer.value(value)
    assert.equal(writer.written().toString('hex'), hex)
  })
}

test('what is written reads back, whatever room the writer started with', () => {
  const value = fc.letrec<{ value: Encodable }>(tie => ({
    value: fc.oneof(
      { depthSize: 'small' },
      fc.string({ unit: 'binary', maxLength: 30 }),
      fc.maxSafeInteger(),
      fc.double({ noNaN: true }),
      fc.boolean(),
      fc.array(tie('value'), { maxLength: 20 }),
      fc.dictionary(fc.string(), tie('value'), { maxKeys: 20, noNullPrototype: true })
    )
  })).value
  fc.assert(
    fc.property(value, fc.integer({ min: 1, max: 200 }), (content, capacity) => {
      const writer = new MsgpackWriter(capacity)
      writer.value(content)
      assert.deepEqual(plain(decode(Buffer.from(writer.written()), 0)), content)
    }),
    { numRuns: 40 }
  )
})

test('a string of three-byte characters is written whole when the buffer is nearly full', () => {
  const text = '€'.repeat(24)
  for (let capacity = 70; capacity < 90; capacity++) {
    const writer = new MsgpackWriter(capacity)
    writer.string(text)
    assert.equal(decode(Buffer.from(writer.written()), 0), text)
  }
})

test('strings are written from bytes and from characters that stand for bytes', () => {
  const writer = new MsgpackWriter(1)
  writer.stringBytes(Buffer.from('00ff41ff', 'hex'), 1, 3)
  writer.latin1String('\u00ffA')
  writer.latin1String('\u00ff'.repeat(40))
  assert.equal(writer.written().toString('hex'), `a2ff41a2ff41d928${'ff'.repeat(40)}`)
})

test('a map of unknown size gets the header that its size needs', () => {
  for (const [count, header] of [
    [0, '80'],
    [15, '8f'],
    [16, 'de0010'],
    [65535, 'deffff'],
    [65536, 'df00010000']
  ] as const) {
    const writer = new MsgpackWriter(1)
    writer.nil()
    const position = writer.beginMap()
    for (let index = 0; index < count; index++) {
      writer.integer(1)
      writer.nil()
    }
    writer.endMap(position, count)
    writer.boolean(true)
    assert.equal(writer.written().toString('hex'), `c0${header}${'01c0'.repeat(count)}c3`)
  }
})

test('the length can be set back to undo what was written after', () => {
  const writer = new MsgpackWriter(1)
  writer.string('kept')
  const { length } = writer
  writer.string('x'.repeat(1000))
  writer.length = length
  writer.raw(Buffer.from('00c3c300', 'hex'), 1, 3)
  writer.raw(Buffer.alloc(30, 0xc2), 0, 30)
  assert.equal(writer.written().toString('hex'), `a46b657074c3c3${'c2'.repeat(30)}`)
})

/** Decoded maps as objects and forced doubles as numbers. */
function plain(value: Decoded): unknown {
  if (value instanceof Float) return value.value
  if (Array.isArray(value)) return value.map(plain)
  if (!(value instanceof Map)) return value
  return Object.fromEntries(Array.from(value, ([key, item]) => [key, plain(item)]))
}

function described(value: Encodable): string {
  const text =
    typeof value === 'string'
      ? value
      : typeof value === 'bigint'
        ? `${value}n`
        : (JSON.stringify(value) ?? 'undefined')
  return text.length > 40 ? `${text.slice(0, 30)}... (${text.length})` : text
}
