import assert from 'node:assert/strict'
import { test } from 'node:test'
import { filterRecords, ODD, odd, section, withEnds } from '../../../test/harness/filter_run.ts'
import { Encoded } from '../../../test/harness/odd_events.ts'
import { checkConfiguration } from '../../../test/harness/pipeline.ts'

const converter = (...properties: string[]): string => section('type_converter', ...properties)

/**
 * What a conversion of `value` from `from` to `to` appends under `new`, as recorded from Fluent Bit
 * 5.1.1.
 */
async function convert(from: string, to: string, value: unknown): Promise<string> {
  const { records } = await filterRecords(converter(`${from}_key v new ${to}`), [
    [['v', value as number]]
  ])
  return /, "new"=>(.*)\}$/.exec(records[0])?.[1] ?? 'nothing'
}

const F32 = new Encoded('ca3fc00000')
const double = (value: number): Encoded => {
  const bytes = Buffer.alloc(9, 0xcb)
  bytes.writeDoubleBE(value, 1)
  return new Encoded(bytes.toString('hex'))
}

const NUMBERS = [
  ['int', 'string', 5, '"5"'],
  ['int', 'string', -3, '"-3"'],
  ['int', 'string', 2n ** 64n - 1n, '"-1"'],
  ['int', 'float', -3, 'f64:-3'],
  ['int', 'uint', 5, '5'],
  ['int', 'uint', -3, '18446744073709551613'],
  ['uint', 'string', -3, '"18446744073709551613"'],
  ['uint', 'string', 2n ** 64n - 1n, '"18446744073709551615"'],
  ['uint', 'float', 2n ** 64n - 1n, 'f64:18446744073709552000'],
  ['uint', 'int', 2n ** 64n - 1n, '-1'],
  ['uint', 'int', 5, '5'],
  ['float', 'string', double(1), '"1.0"'],
  ['float', 'string', 1.5, '"1.5"'],
  ['float', 'string', F32, '"1.5"'],
  ['float', 'string', double(1e15), '"1000000000000000.0"'],
  ['float', 'string', double(1e20), '"1e+20"'],
  ['float', 'string', double(-0), '"-0.0"'],
  ['float', 'string', double(Number.NaN), '"nan"'],
  ['float', 'string', double(-Infinity), '"-inf"'],
  ['float', 'int', -5.5, '-5'],
  ['float', 'int', double(1e20), '-9223372036854775808'],
  ['float', 'int', double(Number.NaN), '-9223372036854775808'],
  ['float', 'uint', -2.7, '18446744073709551614'],
  ['float', 'uint', double(1e19), '10000000000000000000'],
  ['float', 'uint', double(2e19), '0'],
  ['float', 'uint', double(-Infinity), '9223372036854775808']
] as const

const TEXTS = [
  ['int', '12abc', '12'],
  ['int', '  12', '12'],
  ['int', '+7', '7'],
  ['int', '-5', '-5'],
  ['int', '12 34', '12'],
  ['int', '1\u00002', '1'],
  ['int', '99999999999999999999', '9223372036854775807'],
  ['int', '-99999999999999999999', '-9223372036854775808'],
  ['uint', '-5', '18446744073709551611'],
  ['uint', '99999999999999999999', '18446744073709551615'],
  ['uint', '-99999999999999999999', '18446744073709551615'],
  ['hex', '0xff', '255'],
  ['hex', '+0x10', '16'],
  ['hex', '1f', '31'],
  ['hex', '-18446744073709551615', '18446744073709551615'],
  ['float', '1.25e3x', 'f64:1250'],
  ['float', '0', 'f64:0'],
  ['float', 'abc', 'f64:0'],
  ['float', 'inf', 'f64:Infinity'],
  ['bool', 'TRUEX', 'true'],
  ['bool', 'falsex', 'false']
] as const

for (const [from, to, value, expected] of NUMBERS) {
  const shown = value instanceof Encoded ? value.bytes.toString('hex') : String(value)
  test(`type_converter makes ${expected} of the ${from} ${shown} as ${to}`, async () => {
    assert.equal(await convert(from, to, value), expected)
  })
}

for (const [to, value, expected] of TEXTS) {
  test(`type_converter makes ${expected} of the text ${JSON.stringify(value)} as ${to}`, async () => {
    assert.equal(await convert('str', to, value), expected)
  })
}

/** [source, target, value, reason]: the value is appended as it is. */
const FAILURES = [
  ['str', 'int', 'x1', 'flb_typecast_conv_str: convert error. input=x1'],
  ['str', 'int', '0', 'flb_typecast_conv_str: convert error. input=0'],
  ['str', 'uint', '', 'flb_typecast_conv_str: convert error. input='],
  ['str', 'hex', '  0xZZ', 'flb_typecast_conv_str: convert error. input=  0xZZ'],
  ['str', 'int', 'x\u00001', 'flb_typecast_conv_str: convert error. input=x'],
  ['str', 'bool', 'tru', 'flb_typecast_conv_str: convert error. input=tru'],
  ['str', 'string', 'x', 'flb_typecast_conv_str: str to str. nothing to do.'],
  ['str', 'int', 5, 'flb_typecast_value_conv: src type is not str'],
  ['int', 'string', null, 'flb_typecast_value_conv: src type is not int'],
  ['uint', 'string', true, 'flb_typecast_value_conv: src type is not uint'],
  ['float', 'string', 5, 'flb_typecast_value_conv: src type is not float'],
  ['int', 'int', 5, 'flb_typecast_conv_int: type int is not supported'],
  ['int', 'bool', 5, 'flb_typecast_conv_int: type bool is not supported'],
  ['uint', 'hex', 5, 'flb_typecast_conv_uint: type hex is not supported'],
  ['float', 'float', 1.5, 'flb_typecast_conv_float: type float is not supported']
] as const

for (const [from, to, value, reason] of FAILURES) {
  test(`type_converter appends ${JSON.stringify(value)} as it is when ${from} to ${to} fails`, async () => {
    const filters = converter(`${from}_key v new ${to}`)
    const { records, log } = await filterRecords(filters, [[['v', value]]])
    const [, text] = /^\{"v"=>(.*), "new"=>/.exec(records[0]) ?? []
    assert.equal(records[0], `{"v"=>${text}, "new"=>${text}}`)
    assert.deepEqual(log, [
      `[error] ${reason}`,
      '[error] [filter:type_converter:type_converter.0] failed to convert. key=v'
    ])
  })
}

test('type_converter appends str_key, int_key, uint_key and float_key results in this order', async () => {
  const filters = converter(
    'float_key f fi int',
    'uint_key i iu string',
    'int_key i is string',
    'str_key b bb int',
    'str_key a an float'
  )
  const { records } = await filterRecords(filters, [{ i: 5, a: '1', f: 2.5 }])
  assert.deepEqual(records, [
    '{"i"=>5, "a"=>"1", "f"=>f64:2.5, "an"=>f64:1, "is"=>"5", "iu"=>"5", "fi"=>2}'
  ])
})

test('type_converter looks at the record as it came, not at earlier results', async () => {
  const filters = converter('str_key x y int', 'int_key y z string', 'str_key x x float')
  const { records } = await filterRecords(filters, [{ x: '7', a: 1 }])
  assert.deepEqual(records, ['{"x"=>"7", "a"=>1, "y"=>7, "x"=>f64:7}'])
})

test('type_converter finds nested values but no items of arrays', async () => {
  const filters = converter(
    "int_key $m['l']['z'] new string",
    'int_key $l[0] item string',
    'int_key m.l no string'
  )
  const { records } = await filterRecords(filters, [ODD, { a: 1 }])
  assert.deepEqual(records, [odd([], '"new"=>"1"'), '{"a"=>1}'])
})

test('type_converter takes types that are cut short', async () => {
  const filters = converter('str_key x y i', 'int_key i s S', 'int_key i u Uint', 'str_key x z ""')
  const { records } = await filterRecords(filters, [{ x: '7', i: 3 }])
  assert.deepEqual(records, ['{"x"=>"7", "i"=>3, "y"=>7, "z"=>7, "s"=>"3", "u"=>3}'])
})

test('type_converter skips a rule with four words and says so', async () => {
  const filters = converter('str_key x y int more', 'str_key x z int')
  const { records, log } = await filterRecords(filters, [{ x: '7' }])
  assert.deepEqual(records, ['{"x"=>"7", "z"=>7}'])
  assert.deepEqual(log, [
    "[error] [filter:type_converter:type_converter.0] invalid record parameters, expects 'from_key to_key type' 4"
  ])
})

const REFUSED = [
  [
    ['int_key a b string', 'int_key x y integer'],
    '7:13: Cannot set "int_key" on filter type_converter: the type must be one of int, uint, float, hex, string, bool: current value is "integer"'
  ],
  [
    ['str_key $x[ y int'],
    `6:13: Cannot set "str_key" on filter type_converter: cannot read record accessor "$x[": "$x[" is no key, wanted is $key or $key['sub'][0]`
  ],
  [
    [],
    '3:1: Cannot set "str_key" on filter type_converter: no rule is given: one of str_key, int_key, uint_key and float_key is needed'
  ]
] as const

for (const [properties, message] of REFUSED) {
  test(`type_converter refuses ${properties.join(', ') || 'to run without rules'}`, async () => {
    const { errors } = await checkConfiguration(withEnds(converter(...properties)))
    assert.deepEqual(errors, [`fluent-bit.conf:${message}`])
  })
}
