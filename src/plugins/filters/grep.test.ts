import assert from 'node:assert/strict'
import { test } from 'node:test'
import { filterRecords, ODD, odd, section, withEnds } from '../../../test/harness/filter_run.ts'
import { checkConfiguration } from '../../../test/harness/pipeline.ts'

const grep = (...properties: string[]): string => section('grep', ...properties)

/** [property, whether Fluent Bit 5.1.1 passes ODD] */
const ON_ODD = [
  ['regex a y', true],
  ['regex a ^x', false],
  ['exclude a ^x', true],
  ['regex i 5', false],
  ['exclude i 5', true],
  ['exclude t true', true],
  ['exclude b bin', true],
  ['exclude bky binkey', true],
  ['exclude m v', true],
  ['exclude n null', true],
  ['regex nope .', false],
  ['exclude nope .', true],
  ["exclude $m['k'] v", false],
  ["regex $m['k'] ^v$", true],
  ['exclude $l[1] two', false],
  ['exclude $l[2] .', true],
  ['regex bad ^.a.?$', true],
  ['regex bad a', true]
] as const

for (const [property, passes] of ON_ODD) {
  test(`grep ${property} ${passes ? 'passes' : 'drops'} a record of odd values`, async () => {
    const { records } = await filterRecords(grep(property), [ODD])
    assert.deepEqual(records, passes ? [odd()] : [])
  })
}

const BOTH = { a: '1', b: '2' }
const A = { a: '1' }
const B = { b: '2' }
const C = { c: '3' }

/** [properties, what passes of BOTH, A, B and C] */
const COMBINED = [
  [
    ['regex a 1', 'regex b 2'],
    [BOTH, A]
  ],
  [['exclude a 1', 'regex b 2'], [B]],
  [
    ['regex b 2', 'exclude a 1'],
    [BOTH, B]
  ],
  [['exclude a 1', 'exclude b 2'], [C]],
  [['logical_op and', 'regex a 1', 'regex b 2'], [BOTH]],
  [
    ['logical_op OR', 'regex a 1', 'regex b 2'],
    [BOTH, A, B]
  ],
  [
    ['logical_op AND', 'exclude a 1', 'exclude b 2'],
    [A, B, C]
  ],
  [['logical_op or', 'exclude a 1', 'exclude b 2'], [C]],
  [
    ['logical_op other', 'regex a 1', 'regex b 2'],
    [BOTH, A]
  ],
  [[], [BOTH, A, B, C]],
  [['logical_op and'], [BOTH, A, B, C]]
] as const

for (const [properties, passing] of COMBINED) {
  test(`grep with ${properties.join(', ') || 'no rules'} keeps the right ones of four records`, async () => {
    const { records } = await filterRecords(grep(...properties), [BOTH, A, B, C])
    const expected = passing.map(
      record =>
        `{${Object.entries(record)
          .map(([key, value]) => `"${key}"=>"${value}"`)
          .join(', ')}}`
    )
    assert.deepEqual(records, expected)
  })
}

const TEXTS = [
  ['regex a   y', [{ a: 'x  y' }, { a: 'y' }], ['{"a"=>"x  y"}']],
  ['regex a x y', [{ a: 'x y' }, { a: 'y' }], ['{"a"=>"x y"}']],
  ['regex a /^X$/i', [{ a: 'x' }, { a: 'xx' }], ['{"a"=>"x"}']],
  ['regex a ^b$', [{ a: 'a\nb\nc' }, { a: 'ab' }], ['{"a"=>"a\\nb\\nc"}']],
  ['regex a ^$', [{ a: '' }, { a: ' ' }], ['{"a"=>""}']],
  ['regex log.level ^i', [{ 'log.level': 'i' }, { log: 'i' }], ['{"log"=>"i"}']]
] as const

for (const [property, input, expected] of TEXTS) {
  test(`grep reads "${property}" as Fluent Bit does`, async () => {
    const { records } = await filterRecords(grep(property), input)
    assert.deepEqual(records, expected)
  })
}

const MODES = [
  ['logical_op AND', ['[ info] [filter:grep:grep.0] AND mode']],
  ['logical_op or', ['[ info] [filter:grep:grep.0] OR mode']],
  ['logical_op Legacy', ['[ info] [filter:grep:grep.0] legacy mode']],
  ['logical_op other', []],
  ['regex a .', []]
] as const

for (const [property, expected] of MODES) {
  test(`grep with ${property} logs ${expected.length === 0 ? 'nothing' : 'its mode'}`, async () => {
    const { log } = await filterRecords(grep(property), [])
    assert.deepEqual(log, expected)
  })
}

const REFUSED = [
  [
    ['regex a'],
    '6:11: Cannot set "regex" on filter grep: value must be a key and a regular expression: current value is "a"'
  ],
  [
    ['exclude a b', 'exclude a [bad'],
    '7:13: Cannot set "exclude" on filter grep: cannot compile regular expression "[bad": Unclosed character class'
  ],
  [
    ['regex $a[ b'],
    `6:11: Cannot set "regex" on filter grep: cannot read record accessor "$a[": "$a[" is no key, wanted is $key or $key['sub'][0]`
  ],
  [
    ['logical_op or', 'regex a y', 'exclude b b'],
    '8:13: Cannot set "exclude" on filter grep: with logical_op "OR" it excludes "regex"'
  ]
] as const

for (const [properties, message] of REFUSED) {
  test(`grep refuses ${properties.join(', ')}`, async () => {
    const { errors } = await checkConfiguration(withEnds(grep(...properties)))
    assert.deepEqual(errors, [`fluent-bit.conf:${message}`])
  })
}
