import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { float, startPipeline, type TestPipeline } from '../../../test/harness/pipeline.ts'
import { retry } from '../../plugin/delivery.ts'

const DUMMY = { message: 'dummy' }

function configuration(keys = ''): string {
  return `
[INPUT]
    name  dummy
    tag   made
${keys}
[OUTPUT]
    name  collect
    match *
`
}

function times(run: TestPipeline): readonly (readonly [number, number])[] {
  return run.taken.flatMap(chunk => chunk.events.map(event => event.time))
}

/** What the plugin itself says, after the two lines that every input starts with. */
function ownLines(run: TestPipeline): readonly string[] {
  const prefix = '[input:dummy:dummy.0] '
  return run.log
    .filter(line => line.includes(prefix))
    .slice(2)
    .map(line => line.replace(prefix, ''))
}

test('dummy makes its record once a second', async () => {
  const run = await startPipeline(configuration())
  run.clock.advance(3000)
  assert.deepEqual(
    run.taken,
    [1, 2, 3].map(second => ({
      tag: 'made',
      events: [{ time: [1700000000 + second, 0], metadata: {}, body: DUMMY }]
    }))
  )
  assert.equal(await run.stop(), 0)
})

/** Templates and what Fluent Bit 5.1.1 made of them in one round. */
const TEMPLATES: readonly [
  title: string,
  keys: string,
  bodies: readonly object[],
  log: string[]
][] = [
  [
    'one map',
    '    dummy {"a":1,"b":1.0,"c":[true,null]}',
    [{ a: 1, b: float(1), c: [true, null] }],
    []
  ],
  [
    'several values, of which only maps are records',
    '    dummy {"a":1}[1]{"b":1.0}  trailing',
    [{ a: 1 }, { b: float(1) }],
    []
  ],
  ['text behind the first map', '    dummy {"a":1},{"b":1}', [{ a: 1 }], []],
  ['no map', '    dummy [1]', [], ['[error] log chunk size == 0']],
  [
    'text that is not JSON',
    '    dummy {bad',
    [DUMMY],
    [
      '[ warn] data is incomplete. Use default string.',
      '[ warn] failed to parse JSON template, using cached body'
    ]
  ],
  [
    'metadata that is not JSON',
    '    metadata xx',
    [DUMMY],
    [
      '[ warn] data is incomplete. Use default string.',
      '[ warn] failed to parse JSON template, using cached metadata'
    ]
  ],
  [
    'metadata that is not a map, as a mistake',
    '    metadata [1]',
    [DUMMY],
    [
      '[ warn] data is incomplete. Use default string.',
      '[ warn] failed to parse JSON template, using cached metadata'
    ]
  ],
  [
    'a variable that is not set',
    '    dummy ${NOPE}',
    [DUMMY],
    ['[ warn] environment variable resolution failed for dummy message, using default']
  ],
  [
    'a variable for metadata that is not set',
    '    metadata ${NOPE}',
    [DUMMY],
    ['[ warn] environment variable resolution failed for metadata, using default']
  ],
  ['no copies', '    copies 0', [], ['[error] log chunk size == 0']]
]

for (const [title, keys, bodies, log] of TEMPLATES) {
  test(`dummy takes ${title}`, async () => {
    const run = await startPipeline(configuration(keys))
    run.clock.advance(1000)
    assert.deepEqual(run.bodies, bodies)
    assert.deepEqual(ownLines(run), log)
    await run.stop()
  })
}

test('dummy adds metadata', async () => {
  const run = await startPipeline(configuration('    metadata {"m":1}'))
  run.clock.advance(1000)
  assert.deepEqual(run.taken[0].events, [
    { time: [1700000001, 0], metadata: { m: 1 }, body: DUMMY }
  ])
  await run.stop()
})

/** Rounds in the first two seconds of a clock that starts at 0.123 s, by the keys for the interval. */
const INTERVALS: readonly [keys: string, milliseconds: readonly number[]][] = [
  ['    rate 1', [1000, 2000]],
  ['    rate 0', [1000, 2000]],
  ['    rate -5', [1000, 2000]],
  ['    rate 2', [123, 623, 1123, 1623, 2123]],
  ['    rate 4\n    interval_sec 2', [2000]],
  ['    rate 4\n    interval_nsec 700000000', [123, 823, 1523]],
  ['    interval_sec 1\n    interval_nsec 500000000', [1000]],
  ['    interval_sec -1\n    interval_nsec 500000000', [1000, 2000]]
]

for (const [keys, milliseconds] of INTERVALS) {
  test(`dummy keeps the beat of ${keys.trim().replace(/\s+/g, ' ')}`, async () => {
    const run = await startPipeline(configuration(keys))
    run.clock.advance(2000)
    await run.stop()
    assert.deepEqual(
      times(run).map(([seconds, nanoseconds]) => (seconds - 1700000000) * 1000 + nanoseconds / 1e6),
      milliseconds
    )
  })
}

test('dummy makes more rounds a second than timers can wait for', async () => {
  const run = await startPipeline(configuration('    rate 3000'))
  run.clock.advance(1000)
  await run.stop()
  assert.equal(run.bodies.length, 3001)
})

test('dummy makes copies of all its maps, and as many chunks as they need', async () => {
  const run = await startPipeline(configuration('    copies 1500\n    dummy {"a":1}{"b":2}'))
  run.clock.advance(1000)
  assert.equal(run.bodies.length, 3000)
  assert.deepEqual(run.bodies.slice(-3), [{ b: 2 }, { a: 1 }, { b: 2 }])
  assert.equal(run.counter('fluentbit_input_records_total', { name: 'dummy.0' }), 3000)
  await run.stop()
})

test('dummy stops after as many rounds as samples says', async () => {
  const run = await startPipeline(configuration('    samples 2\n    copies 2'))
  run.clock.advance(5000)
  assert.deepEqual(run.bodies, [DUMMY, DUMMY, DUMMY, DUMMY])
  await run.stop()
})

/** Times of two rounds half a second apart; the program starts at 1700000000.123 and makes the first round at once. */
const TIMES: readonly [keys: string, expected: readonly (readonly [number, number])[]][] = [
  [
    '',
    [
      [1700000000, 123000000],
      [1700000000, 623000000]
    ]
  ],
  [
    '    fixed_timestamp on',
    [
      [1700000000, 123000000],
      [1700000000, 123000000]
    ]
  ],
  [
    '    start_time_nsec 7',
    [
      [0, 7],
      [0, 500000007]
    ]
  ],
  [
    '    start_time_sec 5',
    [
      [5, 0],
      [5, 500000000]
    ]
  ],
  [
    '    start_time_sec 5\n    start_time_nsec 600000000',
    [
      [5, 600000000],
      [6, 100000000]
    ]
  ],
  [
    '    start_time_sec 5\n    start_time_nsec 7\n    fixed_timestamp on',
    [
      [5, 7],
      [5, 7]
    ]
  ]
]

for (const [keys, expected] of TIMES) {
  test(`dummy times its records: ${keys.trim().replace(/\s+/g, ' ')}`, async () => {
    const run = await startPipeline(configuration(`    rate 2\n    samples 2\n${keys}`))
    run.clock.advance(2000)
    assert.deepEqual(times(run), expected)
    await run.stop()
  })
}

test('dummy with flush_on_startup makes its first record at start', async () => {
  const run = await startPipeline(configuration('    flush_on_startup on'))
  assert.equal(run.counter('fluentbit_input_records_total', { name: 'dummy.0' }), 1)
  run.clock.advance(1000)
  assert.deepEqual(times(run), [
    [1700000000, 123000000],
    [1700000001, 0]
  ])
  await run.stop()
})

const REFRESHING = `
env:
  - name: WORD
    uri: file://FILE
    refresh_interval: 1s
pipeline:
  inputs:
    - name: dummy
      tag: made
      dummy: '{"word":"\${WORD}"}'
      metadata: '{"word":"\${WORD}"}'
KEYS
  outputs:
    - name: collect
      match: '*'
`

/** Starts with a variable whose value is in a file. */
async function startRefreshing(keys: string): Promise<TestPipeline> {
  const directory = mkdtempSync(join(tmpdir(), 'spillway-test-'))
  const file = join(directory, 'word')
  writeFileSync(file, 'one')
  const yaml = REFRESHING.replace('FILE', file).replace('KEYS', keys)
  return startPipeline(yaml, { yaml: true, directory })
}

test('dummy looks variables up again for each round', async t => {
  const run = await startRefreshing('')
  t.after(() => rmSync(run.directory, { recursive: true }))
  run.clock.advance(1000)
  run.write('word', 'two')
  run.clock.advance(2000)
  run.write('word', '"')
  run.clock.advance(2000)
  const words = run.taken.flatMap(chunk => chunk.events.map(event => [event.metadata, event.body]))
  assert.deepEqual(words, [
    [{ word: 'one' }, { word: 'one' }],
    [{ word: 'two' }, { word: 'two' }],
    [{ word: 'two' }, { word: 'two' }],
    // What the first reading gave stands in for a text that is not JSON.
    [{ word: 'one' }, { word: 'one' }],
    [{ word: 'one' }, { word: 'one' }]
  ])
  assert.deepEqual(ownLines(run).slice(0, 2), [
    '[ warn] failed to parse JSON template, using cached body',
    '[ warn] failed to parse JSON template, using cached metadata'
  ])
  await run.stop()
})

test('dummy sends its first record again when samples are counted and the time is fixed', async t => {
  const run = await startRefreshing('      samples: 3\n      fixed_timestamp: on')
  t.after(() => rmSync(run.directory, { recursive: true }))
  run.clock.advance(1000)
  run.write('word', 'two')
  run.clock.advance(4000)
  assert.deepEqual(run.bodies, [{ word: 'one' }, { word: 'one' }, { word: 'one' }])
  await run.stop()
})

test('dummy makes nothing while it is held back', async () => {
  const run = await startPipeline(configuration('    mem_buf_limit 10\n    rate 1000'), {
    answer: () => retry('later')
  })
  run.clock.advance(3000)
  assert.equal(run.counter('fluentbit_input_records_total', { name: 'dummy.0' }), 1)
  await run.stop()
})

test('dummy with test_hang_on_exit does not stop for 1000 seconds', async () => {
  const run = await startPipeline(configuration('    test_hang_on_exit on'))
  let isStopped = false
  const stopping = run.pipeline.stop().then(() => (isStopped = true))
  await run.clock.advanceSlowly(999_000, 10_000)
  assert.equal(isStopped, false)
  await run.clock.advanceSlowly(20_000, 10_000)
  await stopping
  await run.remove()
})
