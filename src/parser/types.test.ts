import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { decode, type Decoded } from '../codec/msgpack_reader.ts'
import { MsgpackWriter } from '../codec/msgpack_writer.ts'
import { double, KeptLog } from './parser.cases.ts'
import { Caster, type CastType, readCastTypes } from './types.ts'

test('types are read word by word, and the first word for a key counts', () => {
  const types = readCastTypes('a:integer  b:FLOAT c:bool d:hex e:string f:date g a:hex h:')
  assert.deepEqual(
    [...types],
    [
      ['a', 'integer'],
      ['b', 'float'],
      ['c', 'bool'],
      ['d', 'hex'],
      ['e', 'string'],
      ['f', 'string'],
      ['h', 'string']
    ]
  )
  assert.equal(readCastTypes('').size, 0)
})

function cast(type: CastType, text: string, log = new KeptLog()): Decoded {
  const bytes = Buffer.from(`9${text}9`)
  const out = new MsgpackWriter(1)
  new Caster(log).write(type, 'key', bytes, 1, bytes.length - 1, out)
  return decode(out.bytes, 0)
}

/** As flb_parser_typecast() of Fluent Bit 5.1.1 casts them. */
const KNOWN: readonly (readonly [type: CastType, text: string, value: Decoded])[] = [
  ['integer', '0', 0],
  ['integer', '-5', -5],
  ['integer', '+7', 7],
  ['integer', ' \t42x', 42],
  ['integer', '12.9', 12],
  ['integer', '', 0],
  ['integer', 'abc', 0],
  ['integer', '-', 0],
  ['integer', '999999999999999', 999_999_999_999_999],
  ['integer', '9007199254740993', 9_007_199_254_740_993n],
  ['integer', '9223372036854775807', 9_223_372_036_854_775_807n],
  ['integer', '9223372036854775808', 9_223_372_036_854_775_807n],
  ['integer', '-9223372036854775809', -9_223_372_036_854_775_808n],
  ['float', '1', double(1)],
  ['float', '-1.5e-3', -0.0015],
  ['float', '.5x', 0.5],
  ['float', '', double(0)],
  ['float', 'abc', double(0)],
  ['float', '0x1f', double(31)],
  ['float', 'inf', Infinity],
  ['float', '-Infinity', -Infinity],
  ['float', '1e400', Infinity],
  ['bool', 'true', true],
  ['bool', 'TRUEx', true],
  ['bool', 'False', false],
  ['bool', 'fals', 'fals'],
  ['bool', '', ''],
  ['bool', '1', '1'],
  ['hex', '1f', 31],
  ['hex', '0xFF', 255],
  ['hex', '0x', 0],
  ['hex', '0xg', 0],
  ['hex', 'g', 0],
  ['hex', '-1', 18_446_744_073_709_551_615n],
  ['hex', 'ffffffffffffffff', 18_446_744_073_709_551_615n],
  ['hex', '10000000000000000', 18_446_744_073_709_551_615n],
  ['string', '12', '12']
]

for (const [type, text, value] of KNOWN) {
  test(`${JSON.stringify(text)} as ${type} is cast`, () => {
    assert.deepEqual(cast(type, text), value)
  })
}

test('integers of any length are those of 64 bits', () => {
  fc.assert(
    fc.property(fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }), value => {
      const isSafe = value >= -9_007_199_254_740_991n && value <= 9_007_199_254_740_991n
      assert.deepEqual(cast('integer', String(value)), isSafe ? Number(value) : value)
    })
  )
})

test('text that is no boolean is logged once, then at every tenfold count', () => {
  const log = new KeptLog()
  const caster = new Caster(log)
  const out = new MsgpackWriter(16)
  for (let count = 0; count < 100; count++)
    caster.write('bool', 'ok', Buffer.from('maybe'), 0, 5, out)
  const line = 'warn [PARSER] key=ok cast error. save as string.'
  assert.deepEqual(log.lines, [line, line, line])
})
