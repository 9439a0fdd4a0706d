import assert from 'node:assert/strict'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { event, FileRun, filesAfter } from '../../../../test/harness/file_run.ts'
import { encodeEvent } from '../../../../test/harness/odd_events.ts'

const PLAIN = '    format plain\n    fallback_path FOLDER\n    fallback_file rest\n'

test('path and file may name values of the record, parts of the tag and its time', async () => {
  const run = await FileRun.start(
    "    path FOLDER/%Y/$ns\n    file $TAG[1]-%d-$app['name']\n    enable_strftime on\n    mkdir on\n" +
      PLAIN
  )
  const at = (seconds: number, ns: string, n: number): Buffer =>
    encodeEvent([seconds, 0], { ns, app: { name: 'web' }, n })
  const events = [
    at(1_700_000_000, 'one', 1),
    at(1_725_920_000, 'two', 2),
    at(1_700_000_001, 'one', 3)
  ]
  await run.send('k.pod', ...events)
  const line = (ns: string, n: number): string => `{"ns":"${ns}","app":{"name":"web"},"n":${n}}\n`
  assert.deepEqual(await run.stop(), {
    '2023/one/pod-14-web': line('one', 1) + line('one', 3),
    '2024/two/pod-09-web': line('two', 2)
  })
})

test('a percent sign is itself unless enable_strftime is on', async () => {
  const files = await filesAfter('    path FOLDER\n    file a%Y\n    format plain\n', [
    event({ n: 1 })
  ])
  assert.deepEqual(files, { 'a%Y': '{"n":1}\n' })
})

test('csv names come once a chunk and file', async () => {
  const properties = `    path FOLDER\n    file f$v\n${PLAIN}`.replace(
    'plain',
    'csv\n    csv_column_names on'
  )
  const files = await filesAfter(properties, [event({ v: 1 }), event({ v: 2 }), event({ v: 1 })])
  const time = '1700000000.000000000'
  assert.deepEqual(files, {
    f1: `timestamp,"v"\n${time},1\n${time},1\n`,
    f2: `timestamp,"v"\n${time},2\n`
  })
})

test('values of all types become names as in Fluent Bit', async () => {
  // A map is no name because of its quotes, an array has no text.
  const names = {
    1: 'v-1',
    1.5: 'v-1.500000',
    true: 'v-true',
    null: 'v-null',
    '{"a":1}': 'rest',
    '[1]': 'rest',
    '18446744073709551615': 'v--1',
    '"a b%c"': 'v-a b%c',
    '"c:d"': 'rest',
    '"\\t"': 'rest',
    '"é"': 'v-é',
    '""': 'v-'
  }
  for (const [json, name] of Object.entries(names)) {
    const value = json.length === 20 ? 2n ** 64n - 1n : JSON.parse(json)
    const files = await filesAfter(
      `    path FOLDER\n    file v-$v\n    on_missing_field fallback\n${PLAIN}`,
      [event({ v: value })]
    )
    assert.deepEqual(Object.keys(files), [name], json)
  }
})

/** What is wrong, how it comes about with `MIXED`, and the reason that is counted. */
const PROBLEMS: readonly (readonly [message: string, properties: string, reason: string])[] = [
  [
    'record accessor field missing from path',
    '    path FOLDER/$ns\n    file out\n',
    'missing_field'
  ],
  ['record accessor field missing from file', '    path FOLDER\n    file $ns\n', 'missing_field'],
  [
    'unsafe dynamic output destination',
    '    path FOLDER/$bad\n    file out\n',
    'unsafe_destination'
  ],
  ['unsafe dynamic output destination', '    path FOLDER\n    file $bad\n', 'unsafe_destination'],
  [
    'max_dynamic_files limit reached',
    '    path FOLDER\n    file f$n\n    max_dynamic_files 1\n',
    'limit_reached'
  ]
]

/** The first event has all fields; the others lack `ns` and have a dangerous `bad`. */
const MIXED = [
  event({ ns: 'in', bad: 'in', n: 1 }),
  event({ bad: '..', n: 2 }),
  event({ bad: '..', n: 3 })
]

for (const [message, properties, reason] of PROBLEMS) {
  const common = `${properties}    mkdir on\n${PLAIN}`
  const action = reason === 'limit_reached' ? 'on_limit_reached' : 'on_missing_field'
  const where = properties.trim().replaceAll(/\n +/g, ', ')

  test(`under error the chunk ends: ${message} (${where})`, async () => {
    const run = await FileRun.start(common)
    await run.send('app', ...MIXED)
    assert.deepEqual(Object.values(await run.stop()), ['{"ns":"in","bad":"in","n":1}\n'])
    assert.deepEqual(run.log, [`[error] ${message}`])
    assert.equal(run.dropped(reason), 2)
  })

  test(`under drop records are left out and counted: ${message} (${where})`, async () => {
    const run = await FileRun.start(`${common}    ${action} drop\n`)
    await run.send('app', ...MIXED, MIXED[0])
    assert.deepEqual(Object.values(await run.stop()), ['{"ns":"in","bad":"in","n":1}\n'.repeat(2)])
    assert.deepEqual(run.log, [`[ warn] dropping record: ${message}`])
    assert.equal(run.dropped(reason), 2)
  })

  test(`under fallback records go to the other file: ${message} (${where})`, async () => {
    const run = await FileRun.start(`${common}    ${action} fallback\n`)
    await run.send('app', ...MIXED)
    const files = await run.stop()
    assert.equal(files['rest'], '{"bad":"..","n":2}\n{"bad":"..","n":3}\n')
    assert.deepEqual(run.log, [])
  })
}

test('names with dangerous characters, empty ones and dots are unsafe', async () => {
  const unsafe = [
    'a/b',
    'a\\b',
    'a:b',
    'a*',
    'a?',
    'a"',
    'a<',
    'a>',
    'a|',
    'a\n',
    '\u007f',
    '',
    '.',
    '..'
  ]
  const run = await FileRun.start(
    `    path FOLDER\n    file $v\n    on_missing_field drop\n${PLAIN}`
  )
  await run.send('app', ...unsafe.map(name => event({ v: name })), event({ v: 'a b%c~' }))
  assert.deepEqual(Object.keys(await run.stop()), ['a b%c~'])
  assert.equal(run.dropped('unsafe_destination'), unsafe.length)
})

test('paths may have slashes, but no dots as folders and no control characters', async () => {
  const run = await FileRun.start(
    `    path FOLDER/$v\n    file out\n    mkdir on\n    on_missing_field drop\n${PLAIN}`
  )
  const values = ['a/b', '..a', 'a//c', 'a/..', './a', '..', 'a\n', 'x\u007f']
  await run.send('app', ...values.map(value => event({ v: value })))
  assert.deepEqual(Object.keys(await run.stop()).toSorted(), ['..a/out', 'a/b/out', 'a/c/out'])
  assert.equal(run.dropped('unsafe_destination'), 5)
})

test('a file that could not be opened does not count for max_dynamic_files', async () => {
  const run = await FileRun.start(
    `    path FOLDER/$ns\n    file out\n    max_dynamic_files 1\n${PLAIN}`
  )
  await run.send('app', event({ ns: 'one' }))
  mkdirSync(join(run.folder, 'two'))
  await run.send('app', event({ ns: 'two' }))
  assert.deepEqual(await run.stop(), { 'two/out': '{"ns":"two"}\n' })
  assert.deepEqual(run.log, [
    '[error] [errno=2] No such file or directory',
    '[error] error opening: FOLDER/one/out'
  ])
})

test('max_dynamic_files counts over all chunks', async () => {
  const run = await FileRun.start(
    `    path FOLDER\n    file $v\n    max_dynamic_files 1\n    on_limit_reached drop\n${PLAIN}`
  )
  for (const name of ['one', 'two', 'one']) await run.send('app', event({ v: name }))
  assert.deepEqual(await run.stop(), { one: '{"v":"one"}\n'.repeat(2) })
  assert.equal(run.dropped('limit_reached'), 1)
})

test('max_dynamic_files 0 is no limit, and files in use do not count again', async () => {
  const events = Array.from({ length: 40 }, (_, n) => event({ v: n % 20 }))
  const properties = `    path FOLDER\n    file f$v\n    on_limit_reached fallback\n${PLAIN}`
  const open = await filesAfter(`${properties}    max_dynamic_files 0\n`, events)
  assert.equal(Object.keys(open).length, 20)
  const bounded = await filesAfter(`${properties}    max_dynamic_files 19\n`, events)
  assert.equal(Object.keys(bounded).length, 20)
  assert.equal(bounded['rest'], '{"v":19}\n{"v":19}\n')
})
