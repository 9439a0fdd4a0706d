import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { Encoded, encodeEvent, EncodedInput, type Pair } from '../../../test/harness/odd_events.ts'
import { startPipeline, type TestPipeline } from '../../../test/harness/pipeline.ts'

const root = mkdtempSync(join(tmpdir(), 'spillway-plot-'))
after(() => rmSync(root, { recursive: true }))

/** 0.1 as a double of 32 bits. */
const FLOAT32 = new Encoded('ca3dcccccd')

/** The bodies that Fluent Bit's output was recorded for. */
const BODIES: readonly (readonly Pair[])[] = [
  [
    ['n', 1],
    ['z', 1]
  ],
  [
    ['n', -5],
    ['z', 1]
  ],
  [
    ['n', 1.25],
    ['z', 1]
  ],
  [
    ['z', 'y'],
    ['n', 77]
  ],
  [
    ['n', new Encoded('cb4415af1d78b58c40')],
    ['z', 1]
  ],
  [
    ['n', 'x'],
    ['z', 1]
  ],
  [
    ['n', 2n ** 64n - 1n],
    ['z', 1]
  ],
  [
    ['n', FLOAT32],
    ['z', 1]
  ],
  [
    ['n', true],
    ['z', 1]
  ],
  [
    ['n', Number.NaN],
    ['z', 1]
  ]
]

interface Outcome {
  readonly run: TestPipeline
  readonly log: string[]
}

async function plotted(
  properties: (folder: string) => string,
  bodies: readonly (readonly Pair[])[],
  tag = 'app'
): Promise<{ file: (name: string) => string; outcome: Outcome }> {
  const input = new EncodedInput()
  const directory = mkdtempSync(join(root, 'run-'))
  const run = await startPipeline(
    `[INPUT]\n    name encoded\n[OUTPUT]\n    name plot\n    match *\n${properties(directory)}`,
    { plugins: [input.plugin], directory }
  )
  input.push(
    tag.replace('FOLDER', directory),
    ...bodies.map((pairs, index) => encodeEvent([1_700_000_000 + index, 123_456_789], pairs))
  )
  run.flush()
  await run.until(() => run.pipeline.pendingTasks === 0)
  await run.stop()
  const log = run.log.filter(line => line.includes('output:plot'))
  return { file: name => readFileSync(`${directory}/${name}`, 'utf8'), outcome: { run, log } }
}

const NO_NUMBER = '[error] [output:plot:plot.0] value must be integer, negative integer or float'

test('plot writes the first value of each record unless a key is given', async () => {
  const { file, outcome } = await plotted(folder => `    file ${folder}/data\n`, BODIES)
  assert.equal(
    file('data'),
    '1700000000.123457 1\n1700000001.123457 -5\n1700000002.123457 1.250000\n' +
      '1700000004.123457 100000000000000000000.000000\n1700000006.123457 18446744073709551615\n' +
      '1700000009.123457 nan\n'
  )
  assert.deepEqual(outcome.log, [NO_NUMBER])
})

test('plot finds the key anywhere and names the file by the tag', async () => {
  const { file } = await plotted(() => '    key n\n', BODIES.slice(0, 4), 'FOLDER/by tag')
  assert.equal(
    file('by tag'),
    '1700000000.123457 1\n1700000001.123457 -5\n1700000002.123457 1.250000\n1700000003.123457 77\n'
  )
})

const ENDINGS: readonly (readonly [string, readonly (readonly Pair[])[], string, string])[] = [
  [
    'does not have the key',
    [[['n', 1]], [['m', 2]], [['n', 3]]],
    'missing_field',
    "unmatched key 'n'"
  ],
  ['is empty', [[['n', 1]], [], [['n', 3]]], 'missing_field', "unmatched key 'n'"],
  ['has a key that is no text', [[['n', 1]], [[true, 2]], [['n', 3]]], 'bad_key', '']
]

for (const [what, bodies, reason, message] of ENDINGS) {
  test(`plot keeps what came before and gives up the chunk at a record that ${what}`, async () => {
    const { file, outcome } = await plotted(
      folder => `    file ${folder}/data\n    key n\n`,
      bodies
    )
    assert.equal(file('data'), '1700000000.123457 1\n')
    assert.deepEqual(outcome.log, message === '' ? [] : [`[error] [output:plot:plot.0] ${message}`])
    const labels = { kind: 'output', name: 'plot.0', reason }
    assert.equal(outcome.run.counter('spillway_dropped_records_total', labels), 3)
  })
}

test('plot prints when it cannot open its file', async () => {
  const { outcome } = await plotted(folder => `    file ${folder}\n`, BODIES.slice(0, 1))
  assert.equal(outcome.run.stdout, '1700000000.123457 1\n')
  assert.deepEqual(outcome.log, [
    '[error] [output:plot:plot.0] [errno=21] Is a directory',
    `[ warn] [output:plot:plot.0] could not open ${outcome.run.directory}, switching to STDOUT`
  ])
})

test('plot sends a chunk again that the disk has no room for', async () => {
  const { outcome } = await plotted(
    () => '    file /dev/full\n    retry_limit no_retries\n',
    BODIES.slice(0, 1)
  )
  assert.deepEqual(outcome.log, [
    '[error] [output:plot:plot.0] [errno=28] No space left on device',
    '[error] [output:plot:plot.0] error writing: /dev/full'
  ])
  const labels = { kind: 'output', name: 'plot.0', reason: 'no_retries' }
  assert.equal(outcome.run.counter('spillway_dropped_records_total', labels), 1)
})
