import assert from 'node:assert/strict'
import { test } from 'node:test'
import { filterRecords, ODD, odd, section, withEnds } from '../../../test/harness/filter_run.ts'
import { checkConfiguration } from '../../../test/harness/pipeline.ts'

const expect = (...properties: string[]): string => section('expect', ...properties)

const PREFIX = '[filter:expect:expect.0]'
const ODD_JSON =
  '{"a":"y","i":5,"f":1.0,"n":null,"t":true,"m":{"k":"v","l":{"z":1}},"l":[1,"two",null],' +
  '"bad":"a\ue080","b":"bin","bky":"binkey",5:"intkey"}'

/** [properties, why ODD is not as expected in Fluent Bit 5.1.1; undefined when it is] */
const CHECKS: readonly (readonly [readonly string[], string | undefined])[] = [
  [['key_exists a', "key_exists $m['l']['z']", 'key_exists n', 'key_exists $m.k'], undefined],
  [['key_exists a', 'key_exists nope'], "#1 'key_exists', key 'nope' not found"],
  [["key_exists $m['k']['no']"], "#0 'key_exists', key '$m['k']['no']' not found"],
  [['key_exists l'], "#0 'key_exists', key 'l' not found"],
  [['key_not_exists zz', 'key_not_exists l'], undefined],
  [['key_not_exists zz', 'key_not_exists a'], "#1 'key_not_exists', key 'a' exists"],
  [['key_not_exists $l[0]'], "#0 'key_not_exists', key '$l[0]' exists"],
  [['key_val_is_null n'], undefined],
  [['key_val_is_null i'], "#0 'key_val_is_null', key 'i' contains a value type 'integer'"],
  [['key_val_is_null f'], "#0 'key_val_is_null', key 'f' contains a value type 'float / double'"],
  [['key_val_is_null t'], "#0 'key_val_is_null', key 't' contains a value type 'boolean'"],
  [['key_val_is_null a'], "#0 'key_val_is_null', key 'a' contains a value type 'string'"],
  [['key_val_is_null m'], "#0 'key_val_is_null', key 'm' contains a value type 'boolean'"],
  [['key_val_is_null b'], "#0 'key_val_is_null', key 'b' contains a value type 'UNKNOWN'"],
  [['key_val_is_null zz'], "#0 'key_val_is_null', key 'zz' not found"],
  [
    ['key_val_is_not_null a', 'key_val_is_not_null n'],
    "#1 'key_val_is_not_null', key 'n' contains a value type 'null'"
  ],
  [['key_val_is_not_null q'], "#0 'key_val_is_not_null', key 'q' not found"],
  [['key_val_eq a y', 'key_val_eq i 6'], undefined],
  [['key_val_eq a x'], "#0 'key_val_eq', key value 'y' is different than expected: 'x'"],
  [['key_val_eq q y z'], "#0 'key_val_is_null', key 'q y z' not found"],
  [['action warn', 'key_exists a', 'key_exists nope'], "#2 'key_exists', key 'nope' not found"]
]

for (const [properties, reason] of CHECKS) {
  test(`expect ${properties.join(', ')} ${reason === undefined ? 'holds' : 'fails'}`, async () => {
    const { records, log, exitCode } = await filterRecords(expect(...properties), [ODD])
    const lines = [
      `[error] ${PREFIX} exception on rule ${reason}. Record content:\n${ODD_JSON}`,
      `[ warn] ${PREFIX} expect check failed`
    ]
    assert.deepEqual(records, [odd()])
    assert.deepEqual(log, reason === undefined ? [] : lines)
    assert.equal(exitCode, 0)
  })
}

test('expect compares texts with all that follows the key, quotes and all', async () => {
  const filters = expect('key_val_eq s a b', 'key_val_eq s "a b"')
  const { log } = await filterRecords(filters, [{ s: 'a b' }])
  assert.deepEqual(log, [
    `[error] ${PREFIX} exception on rule #1 'key_val_eq', key value 'a b' is different than expected: '"a b"'. Record content:\n{"s":"a b"}`,
    `[ warn] ${PREFIX} expect check failed`
  ])
})

test('expect takes a lone word of key_val_eq for key and value', async () => {
  const { log } = await filterRecords(expect('key_val_eq $s'), [{ s: '$s' }, { s: 'x' }])
  assert.deepEqual(log, [
    `[error] ${PREFIX} exception on rule #0 'key_val_eq', key value 'x' is different than expected: '$s'. Record content:\n{"s":"x"}`,
    `[ warn] ${PREFIX} expect check failed`
  ])
})

test('expect exits with 255 at the first failure of a batch and delivers all records', async () => {
  const filters = expect('action exit', 'key_exists nope')
  const { records, log, exitCode } = await filterRecords(filters, [{ a: 1 }, { a: 2 }])
  assert.deepEqual(records, ['{"a"=>1}', '{"a"=>2}'])
  assert.deepEqual(log, [
    `[error] ${PREFIX} exception on rule #1 'key_exists', key 'nope' not found. Record content:\n{"a":1}`
  ])
  assert.equal(exitCode, 255)
})

test('expect puts the result in front of each record with the action result_key', async () => {
  const filters = expect('action result_key', 'key_exists nope')
  const { records, log } = await filterRecords(filters, [{ a: 1 }, { nope: 2 }])
  assert.deepEqual(records, ['{"matched"=>false, "a"=>1}', '{"matched"=>true, "nope"=>2}'])
  assert.deepEqual(log, [
    `[error] ${PREFIX} exception on rule #1 'key_exists', key 'nope' not found. Record content:\n{"a":1}`
  ])
})

test('expect names the result as result_key says, taken literally', async () => {
  const filters = expect('action RESULT_KEY', 'result_key $r x', 'key_exists nope')
  const { records } = await filterRecords(filters, [{ nope: 2, '$r x': 9 }])
  assert.deepEqual(records, ['{"$r x"=>true, "nope"=>2, "$r x"=>9}'])
})

test('expect warns when it has no rules, but not when it has an action', async () => {
  const variants = [
    [[], [`[ warn] ${PREFIX} no rules has been defined`]],
    [['result_key q'], [`[ warn] ${PREFIX} no rules has been defined`]],
    [['action warn'], []]
  ] as const
  for (const [properties, expected] of variants) {
    const { records, log } = await filterRecords(expect(...properties), [{ a: 1 }])
    assert.deepEqual(records, ['{"a"=>1}'])
    assert.deepEqual(log, expected)
  }
})

const REFUSED = [
  ['action foo', '"action"', 'value must be one of warn, exit, result_key: current value is "foo"'],
  [
    'key_exists $m[',
    '"key_exists"',
    `cannot read record accessor "$m[": "$m[" is no key, wanted is $key or $key['sub'][0]`
  ]
] as const

for (const [property, key, reason] of REFUSED) {
  test(`expect refuses ${property}`, async () => {
    const { errors } = await checkConfiguration(withEnds(expect(property)))
    const column = 6 + property.indexOf(' ')
    assert.deepEqual(errors, [
      `fluent-bit.conf:6:${column}: Cannot set ${key} on filter expect: ${reason}`
    ])
  })
}
