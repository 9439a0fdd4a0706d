import assert from 'node:assert/strict'
import { allocateLasting } from './byte_kernel.ts'
import { isUtf8 } from 'node:buffer'
import { test } from 'node:test'
import fc from 'fast-check'
import { JsonKey, JsonWriter, type JsonWriterOptions } from './json_writer.ts'
import { type Encodable, MsgpackWriter } from './msgpack_writer.ts'

/**
 * MessagePack in hex, its JSON, and its JSON with `json.escape_unicode off` where that differs. Recorded from Fluent
 * Bit 5.1.1 on x86-64: `{"k": VALUE}` sent to in_forward, read from out_file with format plain.
 */
const RECORDED: readonly (readonly [string, string, string?])[] = [
  ['c0', 'null'],
  ['c3', 'true'],
  ['c2', 'false'],
  ['00', '0'],
  ['ff', '-1'],
  ['e0', '-32'],
  ['ccff', '255'],
  ['cdfffe', '65534'],
  ['ceff000001', '4278190081'],
  ['cf0020000000000001', '9007199254740993'],
  ['cfffffffffffffffff', '18446744073709551615'],
  ['d080', '-128'],
  ['d18000', '-32768'],
  ['d280000000', '-2147483648'],
  ['d38000000000000000', '-9223372036854775808'],
  ['d3ffffffffffffffff', '-1'],
  ['ca3dcccccd', '0.1000000014901161'],
  ['caffc00000', '-nan'],
  ['cb0000000000000000', '0.0'],
  ['cb8000000000000000', '-0.0'],
  ['cb3ff0000000000000', '1.0'],
  ['cbbff8000000000000', '-1.5'],
  ['cb3fb999999999999a', '0.1'],
  ['cb405770a3d70a3d71', '93.76000000000001'],
  ['cb430c6bf526340000', '1000000000000000.0'],
  ['cb4341c37937e08000', '10000000000000000.0'],
  ['cb4340000000000000', '9007199254740992.0'],
  ['cb43abc16d674ec800', '1000000000000000000.0'],
  ['cb43e0000000000000', '9.223372036854776e+18'],
  ['cbc3e0000000000000', '-9223372036854775808.0'],
  ['cb4415af1d78b58c40', '1e+20'],
  ['cb3f1a36e2eb1c432d', '0.0001'],
  ['cb3ee4f8b588e368f1', '1e-05'],
  ['cb3fd3333333333334', '0.3'],
  ['cb41d954fc4007e6b7', '1700000000.123457'],
  ['cb0000000000000001', '4.940656458412465e-324'],
  ['cb7ff0000000000000', 'inf'],
  ['cbfff0000000000000', '-inf'],
  ['cb7ff8000000000000', 'nan'],
  ['cbfff8000000000000', '-nan'],
  ['d90b225c2f080c0a0d09001f7f', '"\\"\\\\/\\b\\f\\n\\r\\t\\u0000\\u001f\\u007f"'],
  ['d902c3a9', '"\\u00e9"', '"\u00e9"'],
  ['d903e282ac', '"\\u20ac"', '"\u20ac"'],
  ['d904f09f9880', '"\\ud83d\\ude00"', '"\u{1f600}"'],
  ['d904f48fbfbf', '"\\udbff\\udfff"', '"\u{10ffff}"'],
  ['d904f4908080', '"\ue0f4\ue090\ue080\ue080"', '"\ufffd\ufffd\ufffd\ufffd"'],
  ['d903eda080', '"\ue0ed\ue0a0\ue080"', '"\ufffd\ufffd\ufffd"'],
  ['d902c080', '"\\u0000"', '"\ufffd\ufffd"'],
  ['d904e0808078', '"\\u0000x"', '"\ufffd\ufffd\ufffdx"'],
  ['d903618062', '"a\ue080b"', '"a\ufffdb"'],
  ['d903e28278', '"\ue0e2\ue082x"', '"\ufffd\ufffdx"'],
  ['d904f09f9878', '"\ue0f0\ue09f\ue098x"', '"\ufffd\ufffd\ufffdx"'],
  ['d90378e282', '"x\ue082"', '"x\ufffd\ufffd"'],
  ['d90278c3', '"x"', '"x\ufffd"'],
  ['d90278ff', '"x"', '"x\ufffd"'],
  ['d907ff616263646566', '"\ue0ffabcdef"', '"\ufffdabcdef"'],
  ['d904ff616263', '"abc"', '"\ufffdabc"'],
  ['d906f86162636465', '"\ue0f8abcde"', '"\ufffdabcde"'],
  [
    'd90b61c3a922f09f98800a807a',
    '"a\\u00e9\\"\\ud83d\\ude00\\n\ue080z"',
    '"a\u00e9\\"\u{1f600}\\n\ufffdz"'
  ],
  ['c4036100ff', '"a\\u0000"', '"a\\u0000\ufffd"'],
  ['d401ab', '"\\xffffffab"'],
  ['c70305007f80', '"\\x00\\x7f\\xffffff80"'],
  ['9301c090', '[1,null,[]]'],
  ['dc00020102', '[1,2]'],
  ['dd0000000101', '[1]'],
  ['de0001a16101', '{"a":1}'],
  ['df00000001a16101', '{"a":1}'],
  ['da000161', '"a"'],
  ['db0000000161', '"a"'],
  ['c5000161', '"a"'],
  ['c60000000161', '"a"'],
  ['c800010541', '"\\x41"'],
  ['80', '{}'],
  ['82a16101a16281a002', '{"a":1,"b":{"":2}}'],
  ['84a16101a16202d9016103a16304', '{"b":2,"a":3,"c":4}'],
  ['83a16101a16182a16105a16106a16103', '{"a":3}'],
  ['8205010502', '{5:1,5:2}'],
  ['83c4016101c4016102a16103', '{"a":1,"a":2,"a":3}'],
  ['8181a16101920102', '{{"a":1}:[1,2]}']
]

for (const [hex, escaped, raw = escaped] of RECORDED) {
  test(`${hex} becomes ${escaped}`, () => {
    const encoded = Buffer.from(hex, 'hex')
    assert.deepEqual([json(encoded), json(encoded, { escapeUnicode: false })], [escaped, raw])
  })
}

test('convert_nan_to_null writes null for each kind of NaN', () => {
  const values = ['cb7ff8000000000000', 'cbfff8000000000000', 'caffc00000', 'cb7ff0000000000000']
  const texts = values.map(hex => json(Buffer.from(hex, 'hex'), { nanToNull: true }))
  assert.deepEqual(texts, ['null', 'null', 'null', 'inf'])
})

test('value returns the position after the value', () => {
  const encoded = Buffer.from('c0a161920182a0c20300', 'hex')
  const out = new JsonWriter()
  const first = out.value(encoded, 1)
  const second = out.value(encoded, first)
  assert.deepEqual([first, second, out.written().toString()], [3, 10, '"a"[1,{"":false,3:0}]'])
})

test('strings of any bytes and length are escaped as Fluent Bit escapes them', () => {
  const edges = fc.constantFrom(
    0x80,
    0x8f,
    0x90,
    0x9f,
    0xa0,
    0xbf,
    0xdf,
    0xe0,
    0xed,
    0xf0,
    0xf4,
    0xf8,
    0xfc
  )
  const mixed = fc.array(fc.oneof(edges, fc.nat(255)), { maxLength: 20 })
  const bytes = fc.oneof(fc.uint8Array({ maxLength: 60 }), mixed)
  fc.assert(
    fc.property(bytes, content => {
      const text = Buffer.from(content)
      const encoded = encode(text, 'bytes')
      return json(encoded).slice(1, -1) === escapedModel(text)
    }),
    { numRuns: 3000 }
  )
})

test('without escaping, UTF-8 is copied and each other byte replaced', () => {
  const edges = [
    0x41, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc1, 0xc2, 0xdf, 0xe0, 0xe1, 0xed, 0xef, 0xf0, 0xf1,
    0xf4, 0xf5
  ]
  const bytes = fc.array(fc.constantFrom(...edges), { maxLength: 20 })
  fc.assert(
    fc.property(bytes, content => {
      const text = Buffer.from(content)
      return json(encode(text, 'bytes'), { escapeUnicode: false }).slice(1, -1) === rawModel(text)
    }),
    { numRuns: 3000 }
  )
})

test('one byte that needs an escape is found wherever it stands in a long string', () => {
  const characters = ['"', '\\', '\n', '\u0001', '\u007f', 'é', '€', '😀']
  for (const length of [1, 7, 8, 9, 16, 40, 255, 256, 257, 300, 600]) {
    for (const character of characters) {
      for (let at = 0; at < length; at += at < 40 || at > length - 40 ? 1 : 13) {
        const text = `${'x'.repeat(at)}${character}${'y'.repeat(length - at - 1)}`
        assert.deepEqual(JSON.parse(json(encode(text))), text)
      }
    }
  }
})

test('JSON reads back as the value that was encoded', () => {
  const leaf = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.maxSafeInteger(),
    fc.boolean(),
    fc.constant(null)
  )
  const value = fc.letrec<{ value: Encodable }>(tie => ({
    value: fc.oneof(
      { depthSize: 'small', withCrossShrink: true },
      leaf,
      fc.array(tie('value'), { maxLength: 40 }),
      fc.dictionary(fc.string(), tie('value'), { maxKeys: 40, noNullPrototype: true })
    )
  })).value
  fc.assert(
    fc.property(value, content => {
      const writer = new MsgpackWriter()
      writer.value(content)
      for (const escapeUnicode of [true, false]) {
        const text = json(Buffer.from(writer.written()), { escapeUnicode })
        assert.deepEqual(JSON.parse(text), JSON.parse(JSON.stringify(content)))
      }
    }),
    { numRuns: 40 }
  )
})

test('of repeated keys only the last pair is written, at its own place', () => {
  const key = fc.constantFrom('a', 'b', 'ab', 'é', '', '__proto__', 'a"b', 'x'.repeat(40))
  const pairs = fc.array(fc.tuple(key, fc.nat(9)), { maxLength: 80 })
  fc.assert(
    fc.property(pairs, fc.boolean(), (list, nested) => {
      const writer = new MsgpackWriter()
      if (nested) {
        writer.mapHeader(2)
        writer.string('a')
      }
      writeMap(writer, list)
      if (nested) writer.value({ tail: { tail: 1 } })
      const kept = list.filter(
        ([name], index) => !list.slice(index + 1).some(([later]) => later === name)
      )
      const map = `{${kept.map(([name, value]) => `${escapedText(name)}:${value}`).join(',')}}`
      const expected = nested ? `{"a":${map},{"tail":{"tail":1}}:null}` : map
      if (nested) writer.nil()
      return json(Buffer.from(writer.written())) === expected
    })
  )
})

test('repeated keys are dropped in maps within maps without touching the outer ones', () => {
  const inner = 'k'.repeat(5)
  const writer = new MsgpackWriter()
  writer.mapHeader(3)
  writer.string(inner)
  writeMap(writer, [
    [inner, 1],
    ['z', 2],
    [inner, 3]
  ])
  writer.string('o')
  writer.arrayHeader(1)
  writeMap(writer, [
    ['o', 4],
    ['o', 5]
  ])
  writer.string(inner)
  writer.integer(6)
  assert.equal(json(Buffer.from(writer.written())), '{"o":[{"o":5}],"kkkkk":6}')
})

test('own pairs come first, and give way to pairs of the map with the same key', () => {
  const date = new JsonKey('date')
  const extra = new JsonKey('é"')
  const bodies: Encodable[] = [{ a: 1 }, { date: 2, b: 3 }, {}, { 'é"': 4 }, { n: { date: 5 } }]
  assert.deepEqual(
    bodies.map(body => withOwnPairs([date, extra], body)),
    [
      '{"date":0,"\\u00e9\\"":1,"a":1}',
      '{"\\u00e9\\"":1,"date":2,"b":3}',
      '{"date":0,"\\u00e9\\"":1}',
      '{"date":0,"\\u00e9\\"":4}',
      '{"date":0,"\\u00e9\\"":1,"n":{"date":5}}'
    ]
  )
})

test('own pairs give way in large maps too, but not to pairs of a map within', () => {
  const many = Object.fromEntries(Array.from({ length: 40 }, (_, index) => [`k${index}`, index]))
  const rest = JSON.stringify(many).slice(1)
  const date = new JsonKey('date')
  assert.deepEqual(
    [
      withOwnPairs([date], { ...many, date: 7 }),
      withOwnPairs([date], many),
      withOwnPairs([date], { n: { ...many, date: 7 } })
    ],
    [
      `{${rest.slice(0, -1)},"date":7}`,
      `{"date":0,${rest}`,
      `{"date":0,"n":{${rest.slice(0, -1)},"date":7}}`
    ]
  )
})

test('a map without own pairs and without pairs is empty', () => {
  assert.equal(withOwnPairs([], {}), '{}')
})

test('everything is written the same into a buffer that must grow at every step', () => {
  for (const [hex, escaped] of RECORDED) {
    const encoded = Buffer.concat([Buffer.from('91', 'hex'), Buffer.from(hex, 'hex')])
    for (let capacity = 1; capacity < 70; capacity += 3) {
      const out = new JsonWriter({ capacity })
      out.value(encoded, 0)
      assert.equal(out.written().toString(), `[${escaped}]`)
    }
  }
})

test('pieces are appended as they are', () => {
  const out = new JsonWriter({ capacity: 1 })
  out.byte(0x5b)
  out.ascii('12')
  out.ascii(`,"${'x'.repeat(40)}"`)
  out.raw(Buffer.from('##,true##'), 2, 7)
  out.raw(Buffer.from(`,"${'y'.repeat(40)}"`))
  out.byte(0x2c)
  out.integer(-34)
  out.byte(0x2c)
  out.double(0.5)
  out.byte(0x2c)
  out.string('a"é')
  out.byte(0x2c)
  out.string('plain')
  out.byte(0x2c)
  out.string('"'.repeat(30))
  out.byte(0x5d)
  assert.equal(
    out.written().toString(),
    `[12,"${'x'.repeat(40)}",true,"${'y'.repeat(40)}",-34,0.5,"a\\"\\u00e9","plain","${'\\"'.repeat(30)}"]`
  )
})

test('a writer can be cleared and used on another source of the same memory', () => {
  const source = Buffer.from('a161', 'hex')
  const out = new JsonWriter()
  out.value(source, 0)
  out.clear()
  source[1] = 0x62
  out.value(source, 0)
  assert.equal(out.written().toString(), '"b"')
})

function json(encoded: Buffer, options: JsonWriterOptions = {}): string {
  const out = new JsonWriter({ capacity: 16, ...options })
  assert.equal(out.value(encoded, 0), encoded.length)
  return out.written().toString()
}

function encode(value: Encodable | Buffer, as?: 'bytes'): Buffer {
  const writer = new MsgpackWriter()
  if (as === 'bytes' && Buffer.isBuffer(value)) writer.stringBytes(value, 0, value.length)
  else writer.value(value)
  return Buffer.from(writer.written())
}

function writeMap(writer: MsgpackWriter, pairs: readonly (readonly [string, number])[]): void {
  writer.mapHeader(pairs.length)
  for (const [key, value] of pairs) {
    writer.string(key)
    writer.integer(value)
  }
}

/** Writes own pairs with their index as value, then the body. */
function withOwnPairs(keys: readonly JsonKey[], body: Encodable): string {
  const out = new JsonWriter()
  out.startMap()
  for (const [index, key] of keys.entries()) {
    out.ownKey(key)
    out.integer(index)
    out.byte(0x2c)
  }
  out.pairs(encode(body), 0)
  out.endMap()
  return out.written().toString()
}

function escapedText(text: string): string {
  return `"${escapedModel(Buffer.from(text))}"`
}

/** Well-formed sequences as they are, U+FFFD for each byte of the others; no byte here needs an escape. */
function rawModel(bytes: Buffer): string {
  let text = ''
  for (let at = 0; at < bytes.length;) {
    const size = [1, 2, 3, 4].find(
      length => at + length <= bytes.length && isUtf8(bytes.subarray(at, at + length))
    )
    text += size === undefined ? '\ufffd' : bytes.toString('utf8', at, at + size)
    at += size ?? 1
  }
  return text
}

/** What flb_utils_write_str() does on x86-64, byte by byte; see reference 11.1. */
function escapedModel(bytes: Buffer): string {
  const short: Record<string, string> = {
    '"': '\\"',
    '\\': '\\\\',
    '\n': '\\n',
    '\r': '\\r',
    '\t': '\\t',
    '\b': '\\b',
    '\f': '\\f'
  }
  const unit = (code: number): string => `\\u${code.toString(16).padStart(4, '0')}`
  let text = ''
  for (let at = 0; at < bytes.length;) {
    const byte = bytes[at]
    if (byte < 0x80) {
      const character = String.fromCharCode(byte)
      text += short[character] ?? (byte < 0x20 || byte === 0x7f ? unit(byte) : character)
      at++
      continue
    }
    const size =
      byte < 0xc0 ? 1 : byte < 0xe0 ? 2 : byte < 0xf0 ? 3 : byte < 0xf8 ? 4 : byte < 0xfc ? 5 : 6
    if (at + size > bytes.length) {
      at++
      continue
    }
    let good = 1
    while (good < size && bytes[at + good] >> 6 === 2) good++
    let code = byte & (0xff >> (size + 1))
    for (let index = 1; index < good; index++) code = code * 64 + (bytes[at + index] & 63)
    const isValid =
      size > 1 && size < 5 && good === size && code < 0x110000 && !(code >= 0xd800 && code < 0xe000)
    if (isValid) {
      text +=
        code > 0xffff
          ? unit(0xd800 + ((code - 0x10000) >> 10)) + unit(0xdc00 + (code & 0x3ff))
          : unit(code)
      at += size
      continue
    }
    text += String.fromCharCode(0xe000 + byte)
    at++
  }
  return text
}

test('a text that makes the writer outgrow its buffer in the byte kernel is written whole, and nothing beside it', () => {
  const text = `${'plain '.repeat(5)}${'"'.repeat(20)}`.repeat(80)
  const source = allocateLasting(8192)
  const writer = new MsgpackWriter(source)
  writer.string(text)
  // Room for the text as it is, and not for its escapes.
  const buffer = allocateLasting(text.length + 100)
  const neighbour = allocateLasting(4096).fill(0x2e)
  const json = new JsonWriter({ buffer })
  json.value(source, 0)
  assert.equal(json.written().toString(), JSON.stringify(text))
  assert.equal(writer.bytes, source)
  assert.ok(neighbour.every(byte => byte === 0x2e))
})
