import assert from 'node:assert/strict'
import { test } from 'node:test'
import { filterRecords, ODD, odd, section, withEnds } from '../../../test/harness/filter_run.ts'
import { checkConfiguration } from '../../../test/harness/pipeline.ts'

const nest = (...properties: string[]): string => section('nest', ...properties)

/** Repeated keys, of which the last is no map. */
const REPEATED = [
  ['a', 1],
  ['m', { x: 1, y: 2 }],
  ['k', 'v'],
  ['m', { p: { q: 1 } }],
  ['m', 's']
] as const

test('nest moves keys that match any wildcard under a new key at the end', async () => {
  const filters = nest('operation nest', 'wildcard a', 'wildcard b*', 'nest_under N')
  const { records } = await filterRecords(filters, [ODD])
  const nested =
    '"N"=>{"a"=>"x", "a"=>"y", "bad"=>"\u00ffa\u0080", "b"=>bin:62696e, bin:626b79=>"binkey"}'
  assert.deepEqual(records, [odd(['a', 'bad', 'b', 'bky'], nested)])
})

test('nest leaves an existing key of the new name in front', async () => {
  const { records } = await filterRecords(nest('operation nest', 'wildcard a', 'nest_under m'), [
    ODD
  ])
  assert.deepEqual(records, [odd(['a'], '"m"=>{"a"=>"x", "a"=>"y"}')])
})

test('nest passes records unchanged when no key matches or no wildcard is given', async () => {
  for (const properties of [['wildcard zz*'], ['wildcard A'], []]) {
    const { records } = await filterRecords(nest('operation nest', 'nest_under N', ...properties), [
      ODD
    ])
    assert.deepEqual(records, [odd()])
  }
})

test('nest adds a prefix to the keys that it moves, which makes binary keys text', async () => {
  const filters = nest(
    'operation nest',
    'wildcard b*',
    'wildcard i',
    'nest_under N',
    'add_prefix P'
  )
  const { records } = await filterRecords(filters, [ODD])
  const nested = '"N"=>{"Pi"=>5, "Pbad"=>"\u00ffa\u0080", "Pb"=>bin:62696e, "Pbky"=>"binkey"}'
  assert.deepEqual(records, [odd(['i', 'bad', 'b', 'bky'], nested)])
})

test('nest takes a prefix from the keys that have it', async () => {
  const filters = nest('operation nest', 'wildcard b*', 'nest_under N', 'remove_prefix ba')
  const { records } = await filterRecords(filters, [ODD, { bab: 1, ba: 2 }])
  const nested = '"N"=>{"d"=>"\u00ffa\u0080", "b"=>bin:62696e, "bky"=>"binkey"}'
  assert.deepEqual(records, [odd(['bad', 'b', 'bky'], nested), '{"N"=>{"b"=>1, ""=>2}}'])
})

test('nest takes a lone * for all keys that are text', async () => {
  const { records } = await filterRecords(nest('operation nest', 'wildcard *', 'nest_under N'), [
    [
      ['a', 1],
      [5, 2],
      ['b', 3]
    ]
  ])
  assert.deepEqual(records, ['{5=>2, "N"=>{"a"=>1, "b"=>3}}'])
})

test('nest builds maps of more than 15 keys', async () => {
  const names = Array.from({ length: 20 }, (_, index) => `k${index}`)
  const record = { z: 0, ...Object.fromEntries(names.map(name => [name, 1])) }
  const { records } = await filterRecords(nest('operation nest', 'wildcard k*', 'nest_under N'), [
    record
  ])
  const nested = names.map(name => `"${name}"=>1`).join(', ')
  assert.deepEqual(records, [`{"z"=>0, "N"=>{${nested}}}`])
})

test('nest does not match a key that is shorter than the wildcard', async () => {
  const filters = nest('operation nest', 'wildcard abc*', 'nest_under N')
  const { records } = await filterRecords(filters, [{ ab: 99 }, { abcd: 1 }])
  assert.deepEqual(records, ['{"ab"=>99}', '{"N"=>{"abcd"=>1}}'])
})

test('lift moves the keys of a map to the end of the record', async () => {
  const { records, log } = await filterRecords(nest('operation lift', 'nested_under m'), [ODD])
  assert.deepEqual(records, [odd(['m'], '"k"=>"v"', '"l"=>{"z"=>1}')])
  assert.deepEqual(log, [])
})

test('lift lifts every map of a repeated key and warns of a value that is none', async () => {
  const { records, log } = await filterRecords(nest('operation lift', 'nested_under m'), [REPEATED])
  assert.deepEqual(records, ['{"a"=>1, "k"=>"v", "m"=>"s", "x"=>1, "y"=>2, "p"=>{"q"=>1}}'])
  assert.deepEqual(log, [
    "[ warn] [filter:nest:nest.0] Value of key 'm' is not a map. Will not attempt to lift from here"
  ])
})

test('lift changes the prefix of the lifted keys only', async () => {
  const variants = [
    ['add_prefix p_', '"p_x"=>1, "p_y"=>2, "p_p"=>{"q"=>1}'],
    ['remove_prefix x', '""=>1, "y"=>2, "p"=>{"q"=>1}']
  ]
  for (const [property, lifted] of variants) {
    const filters = nest('operation lift', 'nested_under m', property)
    const { records } = await filterRecords(filters, [REPEATED])
    assert.deepEqual(records, [`{"a"=>1, "k"=>"v", "m"=>"s", ${lifted}}`])
  }
})

test('lift removes a map that is empty', async () => {
  const { records } = await filterRecords(nest('operation lift', 'nested_under m'), [
    { m: {} },
    { a: 1, m: {} }
  ])
  assert.deepEqual(records, ['{}', '{"a"=>1}'])
})

test('lift without nested_under lifts the empty key', async () => {
  const { records } = await filterRecords(nest('operation lift'), [ODD, { '': { a: 1 } }])
  assert.deepEqual(records, [odd(), '{"a"=>1}'])
})

test('lift leaves inner keys that are no text as they are', async () => {
  const filters = nest('operation lift', 'nested_under m', 'add_prefix p')
  const inner = new Map<number | string, number>([
    [1, 2],
    ['z', 3]
  ])
  const { records } = await filterRecords(filters, [{ m: inner }])
  assert.deepEqual(records, ['{1=>2, "pz"=>3}'])
})

test('nest_under and nested_under are one setting of which the last counts', async () => {
  const filters = nest('operation nest', 'nest_under x', 'nested_under y', 'wildcard a')
  const { records } = await filterRecords(filters, [{ a: 1 }])
  assert.deepEqual(records, ['{"y"=>{"a"=>1}}'])
})

test('operation needs its first four letters only, and none at all to nest', async () => {
  for (const properties of [['operation nestle'], []]) {
    const filters = nest(...properties, 'wildcard a', 'nest_under q')
    const { records } = await filterRecords(filters, [{ a: 1 }])
    assert.deepEqual(records, ['{"q"=>{"a"=>1}}'])
  }
})

test('nest without nest_under passes records unchanged and says so', async () => {
  const { records, log } = await filterRecords(nest('operation nest', 'wildcard a*'), [ODD])
  assert.deepEqual(records, [odd()])
  assert.deepEqual(log, [
    '[error] [filter:nest:nest.0] "nest_under" is not set: records pass unchanged'
  ])
})

const REFUSED = [
  [
    'operation NEST',
    'fluent-bit.conf:6:15: Cannot set "Operation" on filter nest: value must be nest or lift: current value is "NEST"'
  ],
  [
    'operation lift\n    add_prefix a\n    remove_prefix b',
    'fluent-bit.conf:8:19: Cannot set "Remove_prefix" on filter nest: it excludes "add_prefix", and both are given'
  ]
] as const

for (const [properties, message] of REFUSED) {
  test(`nest refuses ${properties.replaceAll(/\s+/g, ' ')}`, async () => {
    const { errors } = await checkConfiguration(withEnds(nest(properties)))
    assert.deepEqual(errors, [message])
  })
}
