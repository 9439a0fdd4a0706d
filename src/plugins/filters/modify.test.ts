import assert from 'node:assert/strict'
import { test } from 'node:test'
import { filterRecords, ODD, odd, section, withEnds } from '../../../test/harness/filter_run.ts'
import { checkConfiguration, startPipeline } from '../../../test/harness/pipeline.ts'

const modify = (...properties: string[]): string => section('modify', ...properties)

/** [what is shown, properties, ODD afterwards in Fluent Bit 5.1.1] */
const RULES: readonly (readonly [string, readonly string[], string])[] = [
  [
    'set puts a text at the end and removes every key of the name',
    ['set a new', 'set i 7', 'set zz "q r"'],
    odd(['a', 'i'], '"a"=>"new"', '"i"=>"7"', '"zz"=>"q r"')
  ],
  [
    'add leaves a key that exists',
    ['add a new', 'add z "q r"', 'add bky 1', 'add ky 1'],
    odd([], '"z"=>"q r"', '"ky"=>"1"')
  ],
  [
    'remove takes all keys of a name, binary ones too',
    ['remove a', 'remove bky', 'remove A'],
    odd(['a', 'bky'])
  ],
  ['remove_wildcard takes all keys with a start', ['remove_wildcard b'], odd(['bad', 'b', 'bky'])],
  ['remove_wildcard takes a * literally', ['remove_wildcard b*'], odd()],
  ['remove_regex takes keys that are text', ['remove_regex ^[bn]'], odd(['bad', 'b', 'n'])],
  [
    'rename renames every key of a name in place',
    ['rename a A', 'rename i a'],
    odd().replace('"i"', '"a"').replaceAll('"a"=>"', '"A"=>"')
  ],
  [
    'rename does nothing when the new name exists',
    ['rename a i', 'rename nope x', 'rename f f'],
    odd()
  ],
  [
    'hard_rename replaces keys of the new name',
    ['hard_rename b i'],
    odd(['i']).replace('"b"=>', '"i"=>')
  ],
  ['hard_rename of a repeated key', ['hard_rename a i'], odd(['i']).replaceAll('"a"=>', '"i"=>')],
  ['hard_rename to a repeated key', ['hard_rename i a'], odd(['a']).replace('"i"=>', '"a"=>')],
  ['hard_rename of a key to itself removes it', ['hard_rename i i'], odd(['i'])],
  [
    'copy puts the copy behind the key',
    ['copy i j', 'copy m mm'],
    odd()
      .replace('"i"=>5', '"i"=>5, "j"=>5')
      .replace(
        '"m"=>{"k"=>"v", "l"=>{"z"=>1}}',
        '"m"=>{"k"=>"v", "l"=>{"z"=>1}}, "mm"=>{"k"=>"v", "l"=>{"z"=>1}}'
      )
  ],
  [
    'copy needs a single source and a new name',
    ['copy a q', 'copy i a', 'copy f f', 'copy no x'],
    odd()
  ],
  [
    'hard_copy replaces a later key of the new name',
    ['hard_copy i n', 'hard_copy bky kk'],
    odd(['n']).replace('"i"=>5', '"i"=>5, "n"=>5').replace('"binkey"', '"binkey", "kk"=>"binkey"')
  ],
  [
    'hard_copy replaces an earlier key of the new name',
    ['hard_copy n i'],
    odd(['i']).replace('"n"=>nil', '"n"=>nil, "i"=>nil')
  ],
  ['hard_copy of a key to itself does nothing', ['hard_copy f f', 'hard_copy no x'], odd()],
  [
    'move_to_start moves all keys with a start, in their order',
    ['move_to_start b'],
    `{${['"bad"=>"\u00ffa\u0080"', '"b"=>bin:62696e', 'bin:626b79=>"binkey"'].join(', ')}, ${odd(['bad', 'b', 'bky']).slice(1)}`
  ],
  [
    'move_to_end moves all keys with a start',
    ['move_to_end a'],
    odd(['a'], '"a"=>"x"', '"a"=>"y"')
  ],
  [
    'words may stand in quotes',
    [
      'add "a b" "c d"',
      "add 'e f' 'g h'",
      'add e"f g',
      'add "q\\"u" \'s\\\\t\'',
      'add "x"  y',
      'add v ""',
      'add "" w'
    ],
    odd(
      [],
      '"a b"=>"c d"',
      '"e f"=>"g h"',
      '"e\\"f"=>"g"',
      '"q\\"u"=>"s\\\\t"',
      '"x"=>"y"',
      '"v"=>""',
      '""=>"w"'
    )
  ]
]

for (const [title, properties, expected] of RULES) {
  test(`modify: ${title}`, async () => {
    const { records, log } = await filterRecords(modify(...properties), [ODD])
    assert.deepEqual(records, [expected])
    assert.deepEqual(
      log.filter(line => !line.includes('HARD_COPY')),
      []
    )
  })
}

test('modify runs its rules in the order of the configuration, each on the result of the one before', async () => {
  const filters = modify('add z 1', 'rename z y', 'copy y w', 'set y 9', 'remove w', 'add w 3')
  const { records } = await filterRecords(filters, [{ a: 1 }])
  assert.deepEqual(records, ['{"a"=>1, "y"=>"9", "w"=>"3"}'])
})

test('modify keeps the order of different keys in YAML too', async () => {
  const run = await startPipeline(
    `pipeline:
  inputs:
    - {name: lib, tag: app}
  filters:
    - name: modify
      match: '*'
      rename: a b
      add: [c 1, d 2]
      copy: d e
  outputs:
    - {name: collect, match: '*'}
`,
    { yaml: true }
  )
  run.push('app', { a: 1 })
  run.flush()
  assert.deepEqual(run.bodies, [{ b: 1, c: '1', d: '2', e: '2' }])
  await run.stop()
})

test('modify warns when hard_copy has several keys to choose from', async () => {
  const { records, log } = await filterRecords(modify('hard_copy a q', 'hard_copy i a'), [ODD])
  assert.deepEqual(records, [odd()])
  assert.deepEqual(log, [
    '[ warn] [filter:modify:modify.0] Rule HARD_COPY a TO q : Multiple keys matching a found, not applying rule',
    '[ warn] [filter:modify:modify.0] Rule HARD_COPY i TO a : Multiple target keys matching a found, not applying rule'
  ])
})

test('modify takes any rule with three words for a rename, as Fluent Bit does, and says so', async () => {
  const { records, log } = await filterRecords(modify('add a 1 Z'), [{ a: 5 }])
  assert.deepEqual(records, ['{"Z"=>5}'])
  assert.deepEqual(log, [
    '[ warn] [filter:modify:modify.0] Rule "Add a 1 Z" has three words and works as "Rename a Z"'
  ])
})

test('modify tests boolean keys against true and false', async () => {
  const record = [
    [true, 1],
    [false, 2],
    ['x', 3]
  ] as const
  const { records } = await filterRecords(modify('remove_regex ^true$'), [record])
  assert.deepEqual(records, ['{false=>2, "x"=>3}'])
})

test('modify does not remove a key that is shorter than the wildcard', async () => {
  const { records } = await filterRecords(modify('remove_wildcard abc'), [
    { ab: 99, abc: 1, abcd: 2 }
  ])
  assert.deepEqual(records, ['{"ab"=>99}'])
})

test('modify takes values that are no regular expressions', async () => {
  const { records } = await filterRecords(modify('add x [bad'), [{ a: 1 }])
  assert.deepEqual(records, ['{"a"=>1, "x"=>"[bad"}'])
})

const PLAIN = { x: 'hello', y: true, z: 'a b' }

/** [condition, whether it holds for ODD, for PLAIN], as in Fluent Bit 5.1.1. */
const CONDITIONS: readonly (readonly [string, boolean, boolean])[] = [
  ['key_exists a', true, false],
  ['KEY_EXISTS a', true, false],
  ["key_exists $m['l']['z']", true, false],
  ["key_exists $m['l'] zzz", true, false],
  ['key_exists $m.l', true, false],
  ['key_exists b$ad', true, false],
  ['key_exists $l[1]', false, false],
  ['key_exists $i[0]', true, false],
  ['key_exists bky', false, false],
  ['key_exists', false, false],
  ['key_does_not_exist a', false, true],
  ['a_key_matches ^b', true, false],
  ['a_key_matches zz', false, false],
  ['a_key_matches', false, false],
  ['no_key_matches ^b', false, true],
  ['key_value_equals a y', true, false],
  ['key_value_equals a x', false, false],
  ['key_value_equals i 5', false, false],
  ['key_value_equals b bin', true, false],
  ['key_value_equals x', false, false],
  ["key_value_equals z 'a b'", false, true],
  ['key_value_does_not_equal a x', true, false],
  ['key_value_does_not_equal a y', false, false],
  ['key_value_does_not_equal nope x', false, false],
  ['key_value_does_not_equal i 5', true, false],
  ['key_value_matches t tru', true, false],
  ['key_value_matches y ^true$', false, true],
  ['key_value_matches i 5', false, false],
  ['key_value_matches b bin', false, false],
  ['key_value_matches bad a', true, false],
  ['key_value_matches z "a b"', false, true],
  ['key_value_does_not_match i 5', true, false],
  ['key_value_does_not_match nope 5', false, false],
  ['matching_keys_have_matching_values ^[xz]$ .', true, true],
  ['matching_keys_have_matching_values ^q .', true, true],
  ['matching_keys_do_not_have_matching_values ^q .', false, false],
  ['matching_keys_do_not_have_matching_values ^[ai]$ .', true, false]
]

for (const [condition, onOdd, onPlain] of CONDITIONS) {
  test(`modify condition ${condition} is ${onOdd} and ${onPlain}`, async () => {
    const filters = modify(`condition ${condition}`, 'set R 1')
    const { records } = await filterRecords(filters, [ODD, PLAIN])
    const plain = '{"x"=>"hello", "y"=>true, "z"=>"a b"'
    assert.deepEqual(records, [
      onOdd ? odd([], '"R"=>"1"') : odd(),
      onPlain ? `${plain}, "R"=>"1"}` : `${plain}}`
    ])
  })
}

test('modify needs all conditions, wherever they stand', async () => {
  const records = [{ a: 1 }, { a: 1, b: 2 }]
  const both = modify('condition key_exists a', 'set R 1', 'condition key_exists b')
  assert.deepEqual((await filterRecords(both, records)).records, [
    '{"a"=>1}',
    '{"a"=>1, "b"=>2, "R"=>"1"}'
  ])
})

const REFUSED = [
  [
    'set y 1 2 3',
    '"Set"',
    'value must have 1 to 3 words, in quotes where they hold spaces: current value is "y 1 2 3"'
  ],
  [
    'add "a b',
    '"Add"',
    'value must have 1 to 3 words, in quotes where they hold spaces: current value is ""a b"'
  ],
  ['add x', '"Add"', 'value must have two words: current value is "x"'],
  ['remove a b', '"Remove"', 'value must have one word: current value is "a b"'],
  [
    'remove_regex [bad',
    '"Remove_regex"',
    'cannot compile regular expression "[bad": Unclosed character class'
  ],
  [
    'condition bad a',
    '"Condition"',
    'value must start with one of Key_exists, Key_does_not_exist, A_key_matches, No_key_matches, Key_value_equals, ' +
      'Key_value_does_not_equal, Key_value_matches, Key_value_does_not_match, Matching_keys_have_matching_values, ' +
      'Matching_keys_do_not_have_matching_values: current value is "bad a"'
  ],
  [
    'condition key_value_matches x',
    '"Condition"',
    'value must hold a regular expression that is not empty: current value is "key_value_matches x"'
  ],
  [
    'condition a_key_matches [bad',
    '"Condition"',
    'cannot compile regular expression "[bad": Unclosed character class'
  ],
  [
    'condition key_exists $x[',
    '"Condition"',
    `cannot read record accessor "$x[": "$x[" is no key, wanted is $key or $key['sub'][0]`
  ]
] as const

for (const [property, key, reason] of REFUSED) {
  test(`modify refuses ${property}`, async () => {
    const { errors } = await checkConfiguration(withEnds(modify('add ok 1', property)))
    const column = 6 + property.indexOf(' ')
    assert.deepEqual(errors, [
      `fluent-bit.conf:7:${column}: Cannot set ${key} on filter modify: ${reason}`
    ])
  })
}
