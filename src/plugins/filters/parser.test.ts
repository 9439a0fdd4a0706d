import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  filterRecords,
  section,
  type TestRecord,
  withEnds
} from '../../../test/harness/filter_run.ts'
import { checkConfiguration, startPipeline } from '../../../test/harness/pipeline.ts'

const parser = (...properties: string[]): string => section('parser', ...properties)

const PARSERS = String.raw`[PARSER]
    Name   kv
    Format regex
    Regex  ^(?<k>[a-z]+)=(?<v>[^ ]*)$
[PARSER]
    Name   num
    Format regex
    Regex  ^(?<n>\d+)$
    Types  n:integer
[PARSER]
    Name   js
    Format json
[PARSER]
    Name        timed
    Format      regex
    Regex       ^(?<time>\d+) (?<m>.*)$
    Time_Key    time
    Time_Format %s
`
const files = { 'parsers.conf': PARSERS }

const RECORDS: readonly TestRecord[] = [
  { a: 1, log: 'x=1', b: { c: 2 } },
  { log: '12', z: 1 },
  { log: 'nope' },
  { log: 5 },
  { nolog: 'x=1' },
  [
    ['log', 'x=1'],
    ['log', 'y=2'],
    ['q', 1]
  ],
  [
    ['log', 'x=1'],
    ['log', 7],
    ['q', 1]
  ],
  [
    [Buffer.from('log'), 'b=1'],
    ['q', 2]
  ],
  [['log', Buffer.from('z=9')]],
  [
    ['log', 'bad'],
    ['log', 'y=2'],
    ['q', 1]
  ],
  [
    ['log', 'y=2'],
    ['log', 'bad'],
    ['q', 1]
  ],
  { log: '{"a":1}', k: 'orig' }
]

/** Records that no variant below changes, by their index, and what they stay. */
const UNCHANGED: readonly (readonly [number, string])[] = [
  [2, '{"log"=>"nope"}'],
  [3, '{"log"=>5}'],
  [4, '{"nolog"=>"x=1"}'],
  [10, '{"log"=>"y=2", "log"=>"bad", "q"=>1}'],
  [11, '{"log"=>"{\\"a\\":1}", "k"=>"orig"}']
]

/** [properties, what Fluent Bit 5.1.1 makes of the other RECORDS] */
const VARIANTS: readonly (readonly [readonly string[], readonly string[]])[] = [
  [
    ['parser kv'],
    [
      '{"k"=>"x", "v"=>"1"}',
      '{"log"=>"12", "z"=>1}',
      '{"k"=>"y", "v"=>"2"}',
      '{"k"=>"x", "v"=>"1"}',
      '{"k"=>"b", "v"=>"1"}',
      '{"k"=>"z", "v"=>"9"}',
      '{"k"=>"y", "v"=>"2"}'
    ]
  ],
  [
    ['parser kv', 'parser num', 'reserve_data on'],
    [
      '{"k"=>"x", "v"=>"1", "a"=>1, "b"=>{"c"=>2}}',
      '{"n"=>12, "z"=>1}',
      '{"k"=>"y", "v"=>"2", "q"=>1}',
      '{"k"=>"x", "v"=>"1", "log"=>7, "q"=>1}',
      '{"k"=>"b", "v"=>"1", "q"=>2}',
      '{"k"=>"z", "v"=>"9"}',
      '{"k"=>"y", "v"=>"2", "log"=>"bad", "q"=>1}'
    ]
  ],
  [
    ['parser kv', 'preserve_key on'],
    [
      '{"k"=>"x", "v"=>"1", "log"=>"x=1"}',
      '{"log"=>"12", "z"=>1}',
      '{"k"=>"y", "v"=>"2", "log"=>"y=2"}',
      '{"k"=>"x", "v"=>"1", "log"=>"x=1"}',
      '{"k"=>"b", "v"=>"1", bin:6c6f67=>"b=1"}',
      '{"k"=>"z", "v"=>"9", "log"=>bin:7a3d39}',
      '{"k"=>"y", "v"=>"2", "log"=>"y=2"}'
    ]
  ],
  [
    ['parser kv', 'preserve_key on', 'reserve_data on'],
    [
      '{"k"=>"x", "v"=>"1", "a"=>1, "log"=>"x=1", "b"=>{"c"=>2}}',
      '{"log"=>"12", "z"=>1}',
      '{"k"=>"y", "v"=>"2", "log"=>"x=1", "log"=>"y=2", "q"=>1}',
      '{"k"=>"x", "v"=>"1", "log"=>"x=1", "log"=>7, "q"=>1}',
      '{"k"=>"b", "v"=>"1", bin:6c6f67=>"b=1", "q"=>2}',
      '{"k"=>"z", "v"=>"9", "log"=>bin:7a3d39}',
      '{"k"=>"y", "v"=>"2", "log"=>"bad", "log"=>"y=2", "q"=>1}'
    ]
  ]
]

for (const [properties, parsed] of VARIANTS) {
  test(`parser with ${properties.join(', ')} does what Fluent Bit does`, async () => {
    const { records, log } = await filterRecords(parser('key_name log', ...properties), RECORDS, {
      files
    })
    const expected = [...parsed]
    for (const [index, record] of UNCHANGED) expected.splice(index, 0, record)
    assert.deepEqual(records, expected)
    assert.deepEqual(log, [])
  })
}

test('parser replaces a record by the map of a JSON text', async () => {
  const filters = parser('key_name log', 'parser js', 'reserve_data on')
  const input = [
    { log: '{"a":1}', k: 'o' },
    { log: '{}', k: 'o' },
    { log: '12', k: 'o' }
  ]
  const { records } = await filterRecords(filters, input, { files })
  assert.deepEqual(records, ['{"a"=>1, "k"=>"o"}', '{"k"=>"o"}', '{"log"=>"12", "k"=>"o"}'])
})

/**
 * A value that a record accessor names stays with reserve_data, and preserve_key has no effect on
 * it.
 */
const ACCESSORS = [
  [['parser kv'], '{"k"=>"x", "v"=>"1"}'],
  [['parser kv', 'preserve_key on'], '{"k"=>"x", "v"=>"1"}'],
  [
    ['parser kv', 'reserve_data on'],
    '{"k"=>"x", "v"=>"1", "a"=>{"b"=>"x=1", "c"=>2}, "l"=>[1, "x=2"]}'
  ]
] as const

for (const [properties, expected] of ACCESSORS) {
  test(`parser finds a nested value with ${properties.join(', ')}`, async () => {
    const record = { a: { b: 'x=1', c: 2 }, l: [1, 'x=2'] }
    const filters = parser("key_name $a['b']", ...properties)
    const { records } = await filterRecords(filters, [record, { a: 1 }], { files })
    assert.deepEqual(records, [expected, '{"a"=>1}'])
  })
}

test('parser finds an item of an array', async () => {
  const { records } = await filterRecords(
    parser('key_name $l[1]', 'parser kv'),
    [{ l: [1, 'x=2'] }],
    { files }
  )
  assert.deepEqual(records, ['{"k"=>"x", "v"=>"2"}'])
})

test('parser gives an event the time that it finds, and leaves the metadata', async () => {
  const run = await startPipeline(
    `[SERVICE]\n    parsers_file parsers.conf\n${withEnds(parser('key_name log', 'parser timed'))}`,
    { files }
  )
  const event = (log: string): Parameters<typeof run.pushEvents>[1] => ({
    time: [1_700_000_000, 5],
    metadata: { m: 1 },
    body: { log }
  })
  run.pushEvents('app', event('1600000000 hi'), event('0 hi'), event('none'))
  run.flush()
  assert.deepEqual(run.taken[0].events, [
    { time: [1_600_000_000, 0], metadata: { m: 1 }, body: { m: 'hi' } },
    { time: [1_700_000_000, 5], metadata: { m: 1 }, body: { m: 'hi' } },
    { time: [1_700_000_000, 5], metadata: { m: 1 }, body: { log: 'none' } }
  ])
  await run.stop()
})

test('parser goes on without a parser that does not exist when another one does', async () => {
  const filters = parser('key_name log', 'parser zz', 'parser kv')
  const { records, log } = await filterRecords(filters, [{ log: 'x=1' }], { files })
  assert.deepEqual(records, ['{"k"=>"x", "v"=>"1"}'])
  assert.deepEqual(log, ["[error] [filter:parser:parser.0] requested parser 'zz' not found"])
})

const REFUSED = [
  [['parser kv'], '5:1: Cannot set "Key_Name" on filter parser: it is required, and not set'],
  [
    ['key_name log'],
    '5:1: Cannot set "Parser" on filter parser: value must name a parser: it is not set'
  ],
  [
    ['key_name log', 'parser kv, num'],
    '9:12: Cannot set "Parser" on filter parser: there is no parser "kv, num": known parsers are kv, num, js, timed'
  ],
  [
    ['key_name $l[', 'parser kv'],
    `8:14: Cannot set "Key_Name" on filter parser: cannot read record accessor "$l[": "$l[" is no key, wanted is $key or $key['sub'][0]`
  ],
  [
    ['key_name log', 'parser kv', 'unescape_key on'],
    '10:5: Cannot set "unescape_key" on filter parser: it is deprecated and has no effect: remove it'
  ]
] as const

for (const [properties, message] of REFUSED) {
  test(`parser refuses ${properties.join(', ')}`, async () => {
    const text = `[SERVICE]\n    parsers_file parsers.conf\n${withEnds(parser(...properties))}`
    const { errors } = await checkConfiguration(text, { files })
    assert.deepEqual(errors, [`fluent-bit.conf:${message}`])
  })
}
