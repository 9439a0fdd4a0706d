import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import {
  MALFORMED,
  skipWhiteSpace,
  transcodeJson,
  transcodeJsonStream,
  TRUNCATED
} from './json_reader.ts'
import { decode, decodeAll, type Decoded, NESTING_MAX } from './msgpack_reader.ts'
import { Float, MsgpackWriter } from './msgpack_writer.ts'

/**
 * JSON texts and their MessagePack in hex. Recorded from Fluent Bit 5.1.1: lines `{"k": TEXT}` read by in_tail with a
 * json parser, written by out_file with format msgpack.
 */
const READ: readonly (readonly [string, string])[] = [
  ['0', '00'],
  ['-0', '00'],
  ['127', '7f'],
  ['128', 'cc80'],
  ['255', 'ccff'],
  ['256', 'cd0100'],
  ['65535', 'cdffff'],
  ['65536', 'ce00010000'],
  ['4294967295', 'ceffffffff'],
  ['4294967296', 'cf0000000100000000'],
  ['9007199254740993', 'cf0020000000000001'],
  ['9223372036854775807', 'cf7fffffffffffffff'],
  ['9223372036854775808', 'cf8000000000000000'],
  ['18446744073709551615', 'cfffffffffffffffff'],
  ['18446744073709551616', 'cb43f0000000000000'],
  ['123456789012345678901234567890', 'cb45f8ee90ff6c373e'],
  ['-1', 'ff'],
  ['-32', 'e0'],
  ['-33', 'd0df'],
  ['-128', 'd080'],
  ['-129', 'd1ff7f'],
  ['-32768', 'd18000'],
  ['-32769', 'd2ffff7fff'],
  ['-2147483648', 'd280000000'],
  ['-2147483649', 'd3ffffffff7fffffff'],
  ['-9223372036854775808', 'd38000000000000000'],
  ['-9223372036854775809', 'cbc3e0000000000000'],
  ['1.0', 'cb3ff0000000000000'],
  ['-0.0', 'cb8000000000000000'],
  ['0.1', 'cb3fb999999999999a'],
  ['1e5', 'cb40f86a0000000000'],
  ['1E+5', 'cb40f86a0000000000'],
  ['1e-5', 'cb3ee4f8b588e368f1'],
  ['1.5e3', 'cb4097700000000000'],
  ['0e0', 'cb0000000000000000'],
  ['1e22', 'cb4480f0cf064dd592'],
  ['1e23', 'cb44b52d02c7e14af6'],
  ['123456789012345e10', 'cb44f056e0f36a642b'],
  ['0.30000000000000004', 'cb3fd3333333333334'],
  ['3.141592653589793238462643383279', 'cb400921fb54442d18'],
  ['9007199254740993.0', 'cb4340000000000000'],
  ['1e308', 'cb7fe1ccf385ebc8a0'],
  ['5e-324', 'cb0000000000000001'],
  ['1e-400', 'cb0000000000000000'],
  ['true', 'c3'],
  ['false', 'c2'],
  ['null', 'c0'],
  ['""', 'a0'],
  ['"a"', 'a161'],
  ['"\\u0041\\u00e9\\u20ac\\u0000"', 'a741c3a9e282ac00'],
  ['"\\ud83d\\ude00"', 'a4f09f9880'],
  ['"\\ud83d"', 'a3efbfbd'],
  ['"\\ude00"', 'a3efbfbd'],
  ['"\\ud800\\udfff"', 'a4f0908fbf'],
  ['"\\udbff\\udc00"', 'a4f48fb080'],
  ['"\\ud800"', 'a3efbfbd'],
  ['"\\udfff"', 'a3efbfbd'],
  ['"\\ud7ff\\ue000"', 'a6ed9fbfee8080'],
  ['"\\ud83dx"', 'a4efbfbd78'],
  ['"\\ud83d\\u0041"', 'a3efbfbd'],
  ['"\\ud83d\\n"', 'a4efbfbd0a'],
  ['"\\u12"', 'a45c753132'],
  ['"\\uzzzz"', 'a55c757a7a7a'],
  ['"\\b\\f\\n\\r\\t\\"\\\\\\/"', 'a8080c0a0d09225c2f'],
  ['"tab\tctl\u0001"', 'a87461620963746c01'],
  ['"é€😀"', 'a9c3a9e282acf09f9880'],
  ['[]', '90'],
  ['[[[]],1]', '9291' + '9001'],
  ['{}', '80'],
  [' { "a" :1 ,\t"b": [ 2 , 3 ] } ', '82a16101a162920203'],
  ['{"a":1,"a":2}', '82a16101a16102'],
  ['{"__proto__":{"x":1}}', '81a95f5f70726f746f5f5f81a17801'],
  [`"${'x'.repeat(31)}"`, `bf${'78'.repeat(31)}`],
  [`"${'x'.repeat(32)}"`, `d920${'78'.repeat(32)}`],
  [`"${'x'.repeat(255)}"`, `d9ff${'78'.repeat(255)}`],
  [`"${'x'.repeat(256)}"`, `da0100${'78'.repeat(256)}`],
  [`"\\n${'x'.repeat(30)}"`, `bf0a${'78'.repeat(30)}`],
  [`"\\n${'x'.repeat(31)}"`, `d9200a${'78'.repeat(31)}`],
  [`"${'x'.repeat(255)}\\n"`, `da0100${'78'.repeat(255)}0a`],
  [`"${'y'.repeat(70000)}"`, `db00011170${'79'.repeat(70000)}`],
  [`"\\n${'y'.repeat(70000)}"`, `db000111710a${'79'.repeat(70000)}`],
  [`[${'0,'.repeat(14)}0]`, `9f${'00'.repeat(15)}`],
  [`[${'0,'.repeat(15)}0]`, `dc0010${'00'.repeat(16)}`],
  [`[${'0,'.repeat(70000)}0]`, `dd00011171${'00'.repeat(70001)}`],
  [`{${'"k":0,'.repeat(15)}"k":0}`, `de0010${'a16b00'.repeat(16)}`],
  [`{${'"k":0,'.repeat(70000)}"k":0}`, `df00011171${'a16b00'.repeat(70001)}`]
]

for (const [text, hex] of READ) {
  test(`${shortened(text)} becomes ${shortened(hex)}`, () => {
    assert.deepEqual(read(text), { hex, next: text.trimEnd().length })
  })
}

/** Refused by Fluent Bit in the same way: the line is kept as `{"log": LINE}`. */
const REFUSED = [
  '01',
  '-01',
  '+1',
  '.5',
  '1.x',
  '1e400',
  '-1e400',
  `1${'0'.repeat(400)}`,
  '1ex',
  '1e+x',
  '-x',
  'NaN',
  'nan',
  'Infinity',
  'trux',
  'True',
  'nulx',
  "'a'",
  '"\\x41"',
  '"\\a"',
  '[1,]',
  '[,1]',
  '[1 2]',
  '[1}',
  '{"a":1,}',
  '{,}',
  '{a:1}',
  '{1:2}',
  '{"a"}',
  '{"a" 1}',
  '{"a":}',
  '{"a":1 "b":2}',
  '{"a":1]',
  '/**/1',
  ']',
  '}',
  ',',
  ':',
  '\ufeff1'
]

for (const text of REFUSED) {
  test(`${shortened(text)} is refused`, () => {
    assert.deepEqual(read(`${text} `), { hex: '', next: MALFORMED })
  })
}

test('bytes that are not UTF-8 are kept', () => {
  const text = Buffer.from('22ff5c6ec3e282eda08022', 'hex')
  const out = new MsgpackWriter()
  assert.deepEqual(
    [transcodeJson(text, 0, text.length, out), out.written().toString('hex')],
    [text.length, 'a8ff0ac3e282eda080']
  )
})

test('a text that is cut anywhere is truncated and leaves the writer as it was', () => {
  const text =
    ' {"a" : [1.5e+3 , -2, true,false ,null],"b\\n\\ud83d\\ude00é":{"c":"x\\"y\\u00e9","d":[{}]}, "long":"' +
    `${'z'.repeat(300)}"}`
  const bytes = Buffer.from(text)
  const out = new MsgpackWriter(1)
  out.string('before')
  for (let end = 0; end < bytes.length; end++) {
    assert.equal(transcodeJson(bytes, 0, end, out), TRUNCATED, `cut at ${end}`)
    assert.equal(out.written().toString('hex'), 'a66265666f7265')
  }
  assert.equal(transcodeJson(bytes, 0, bytes.length, out), bytes.length)
})

test('a number that touches the end is complete', () => {
  assert.deepEqual(
    [read('12'), read('-1.5')],
    [
      { hex: '0c', next: 2 },
      { hex: 'cbbff8000000000000', next: 4 }
    ]
  )
})

test('nothing before the start and behind the end is looked at', () => {
  const bytes = Buffer.from('["x1","y2"]')
  const out = new MsgpackWriter()
  const positions = [transcodeJson(bytes, 1, 5, out), transcodeJson(bytes, 6, 9, out)]
  assert.deepEqual([positions, out.written().toString('hex')], [[5, TRUNCATED], 'a27831'])
})

test('nesting is limited', () => {
  const nested = (depth: number): string =>
    '[{"a":'.repeat(depth / 2) + '0' + '}]'.repeat(depth / 2)
  const deepest = nested(NESTING_MAX)
  assert.equal(read(deepest).next, deepest.length)
  assert.deepEqual(read(nested(NESTING_MAX + 2)), { hex: '', next: MALFORMED })
  assert.deepEqual(read('['.repeat(100_000)), { hex: '', next: MALFORMED })
})

test('any JSON is read as JSON.parse reads it', () => {
  fc.assert(
    fc.property(fc.json({ maxDepth: 4 }), fc.nat(3), (text, indent) => {
      const value: unknown = JSON.parse(text)
      const { hex } = read(JSON.stringify(value, null, indent))
      assert.deepEqual(plain(decode(Buffer.from(hex, 'hex'), 0)), JSON.parse(JSON.stringify(value)))
    }),
    { numRuns: 300 }
  )
})

test('any double is read as JavaScript reads it', () => {
  const double = fc.double({ noNaN: true, noDefaultInfinity: true })
  fc.assert(
    fc.property(double, fc.boolean(), (value, exponential) => {
      const text = exponential ? value.toExponential() : value.toPrecision(20)
      const { hex } = read(text)
      const expected = Buffer.alloc(8)
      expected.writeDoubleBE(Number(text))
      const isInteger = /^-?\d+$/.test(text)
      return isInteger || hex === `cb${expected.toString('hex')}`
    })
  )
})

test('any text is read or refused without harm', () => {
  const fragments = fc.constantFrom(
    '{',
    '}',
    '[',
    ']',
    ',',
    ':',
    '"',
    '\\',
    'u',
    '0',
    '9',
    '-',
    '.',
    'e',
    't',
    'true',
    'null',
    ' ',
    '\u0000',
    'é'
  )
  fc.assert(
    fc.property(fc.array(fragments, { maxLength: 40 }), parts => {
      const bytes = Buffer.from(parts.join(''))
      const out = new MsgpackWriter(1)
      const next = transcodeJson(bytes, 0, bytes.length, out)
      if (next < 0) return out.length === 0
      return decodeAll(Buffer.from(out.written())).length === 1
    }),
    { numRuns: 2000 }
  )
})

test('values that follow each other are read one by one', () => {
  const text = Buffer.from(' {"a":1}\n{"b":2}[3] "x"4 {"c":')
  const out = new MsgpackWriter()
  const values: string[] = []
  const result = transcodeJsonStream(text, 0, text.length, out, (start, end) => {
    values.push(out.bytes.toString('hex', start, end))
  })
  assert.deepEqual(
    [values, result],
    [
      ['81a16101', '81a16202', '9103', 'a178', '04'],
      { next: text.indexOf('{"c"'), malformed: false }
    ]
  )
})

test('a stream stops at what is not JSON, and a callback may take values out again', () => {
  const text = Buffer.from('1 2 x 3')
  const out = new MsgpackWriter()
  const result = transcodeJsonStream(text, 0, text.length, out, start => {
    out.length = start
  })
  assert.deepEqual([out.length, result], [0, { next: 4, malformed: true }])
})

test('white space is what JSON says', () => {
  const text = Buffer.from(' \t\r\n\u000bx')
  assert.deepEqual([skipWhiteSpace(text, 0, text.length), skipWhiteSpace(text, 0, 2)], [4, 2])
})

function read(text: string): { hex: string; next: number } {
  const bytes = Buffer.from(text)
  const out = new MsgpackWriter(1)
  const next = transcodeJson(bytes, 0, bytes.length, out)
  const characters = next < 0 ? next : bytes.toString('utf8', 0, next).length
  return { hex: out.written().toString('hex'), next: characters }
}

/** What JSON.parse would have made of it: maps as objects, every number a double. */
function plain(value: Decoded): unknown {
  if (value instanceof Float) return value.value
  if (typeof value === 'bigint') return Number(value)
  if (Array.isArray(value)) return value.map(plain)
  if (!(value instanceof Map)) return value
  return Object.fromEntries(Array.from(value, ([key, item]) => [key, plain(item)]))
}

function shortened(text: string): string {
  return text.length > 60 ? `${text.slice(0, 40)}... (${text.length})` : text
}
