import assert from 'node:assert/strict'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { checkConfiguration, startPipeline } from '../../../test/harness/pipeline.ts'
import { SystemRoot } from '../../../test/harness/system_root.ts'

const PARSERS = `
[PARSER]
    Name   pair
    Format regex
    Regex  ^(?<k>[a-z]+)=(?<v>\\d+)$
[PARSER]
    Name        timed
    Format      regex
    Regex       ^(?<time>[^ ]+) (?<msg>.*)$
    Time_Key    time
    Time_Format %Y-%m-%dT%H:%M:%S
`

function configuration(keys: string): string {
  return `
[SERVICE]
    parsers_file parsers.conf
[INPUT]
    name  exec
    tag   out
${keys}
[OUTPUT]
    name  collect
    match *
`
}

const FILES = { files: { 'parsers.conf': PARSERS } }

/** Bodies for what a command prints, as Fluent Bit 5.1.1 gave them. */
const TABLE: readonly [title: string, printed: string, keys: string, bodies: readonly object[]][] =
  [
    [
      'each line, its carriage return and an unfinished last line',
      'a\\nb\\r\\n\\nlast',
      '',
      ['a', 'b\r', '', 'last'].map(exec => ({ exec }))
    ],
    [
      'lines of more than buf_size in pieces',
      'abcdefghij\\nk\\n',
      '    buf_size 5',
      ['abcd', 'efgh', 'ij', 'k'].map(exec => ({ exec }))
    ],
    [
      'an empty piece for the line end after a full one',
      'abcd\\nk\\n',
      '    buf_size 5',
      ['abcd', '', 'k'].map(exec => ({ exec }))
    ],
    ['lines up to a NUL', 'ab\\000cd\\n\\000x\\nk\\n', '', ['ab', '', 'k'].map(exec => ({ exec }))],
    [
      'what a parser finds',
      'a=1\\nbad\\n\\nb=2\\n',
      '    parser pair',
      [
        { k: 'a', v: '1' },
        { k: 'b', v: '2' }
      ]
    ],
    [
      'lines as they are when there is no such parser',
      'a=1\\n',
      '    parser nosuch',
      [{ exec: 'a=1' }]
    ]
  ]

for (const [title, printed, keys, bodies] of TABLE) {
  test(`exec sends ${title}`, async () => {
    const command = `    command printf '${printed}'\n    exit_after_oneshot on`
    const run = await startPipeline(configuration(`${command}\n${keys}`), FILES)
    assert.equal(await run.stopped, 0)
    assert.deepEqual(run.bodies, bodies)
    assert.equal(run.taken[0].tag, 'out')
    await run.remove()
  })
}

test('exec gives lines the time at which they came, or that of the parser', async () => {
  const command = "    command printf '2024-01-02T03:04:05 hello\\n'\n    exit_after_oneshot on"
  const parsed = await startPipeline(configuration(`${command}\n    parser timed`), FILES)
  await parsed.stopped
  assert.deepEqual(parsed.taken[0].events, [
    { time: [1704164645, 0], metadata: {}, body: { msg: 'hello' } }
  ])
  await parsed.remove()
  const plain = await startPipeline(configuration(command), FILES)
  await plain.stopped
  assert.deepEqual(plain.taken[0].events, [
    {
      time: [1700000000, 123000000],
      metadata: {},
      body: { exec: '2024-01-02T03:04:05 hello' }
    }
  ])
  await plain.remove()
})

test('exec reports and counts lines that a parser does not understand', async () => {
  const keys = "    command printf 'a=1\\nbad\\n'\n    exit_after_oneshot on\n    parser pair"
  const run = await startPipeline(configuration(keys), FILES)
  await run.stopped
  const line = '[error] [input:exec:exec.0] parser returned an error'
  assert.deepEqual(
    run.log.filter(text => text === line),
    [line]
  )
  const labels = { kind: 'input', name: 'exec.0', reason: 'unparsed' }
  assert.equal(run.counter('spillway_dropped_records_total', labels), 1)
  await run.remove()
})

test('exec names a parser that is missing', async () => {
  const keys = '    command true\n    exit_after_oneshot on\n    parser nosuch'
  const run = await startPipeline(configuration(keys), FILES)
  await run.stopped
  assert.ok(run.log.includes("[error] [input:exec:exec.0] requested parser 'nosuch' not found"))
  await run.remove()
})

const EXITS: readonly [command: string, propagates: string, exitCode: number][] = [
  ['echo x; exit 7', 'on', 7],
  ['echo x; exit 7', 'off', 0],
  ['echo x; kill -9 $$', 'on', 137],
  ['nosuchcommand 2>/dev/null', 'on', 127]
]

for (const [command, propagates, exitCode] of EXITS) {
  test(`exec stops with ${exitCode} after "${command}" with propagate_exit_code ${propagates}`, async () => {
    const keys = `    command ${command}\n    exit_after_oneshot on\n    propagate_exit_code ${propagates}`
    const run = await startPipeline(configuration(keys), FILES)
    assert.equal(await run.stopped, exitCode)
    const line = '[ info] [input:exec:exec.0] one-shot command exited, terminating fluent-bit'
    assert.deepEqual(
      run.log.filter(text => text === line),
      [line]
    )
    await run.remove()
  })
}

test('exec with oneshot runs the command once and goes on', async t => {
  const root = new SystemRoot(t, {})
  const runs = join(root.path, 'runs')
  const run = await startPipeline(
    configuration(`    command echo run >> ${runs}; echo done\n    oneshot on`),
    FILES
  )
  await run.until(() => run.counter('fluentbit_input_records_total', { name: 'exec.0' }) === 1)
  await run.clock.advanceSlowly(5000)
  assert.deepEqual(run.bodies, [{ exec: 'done' }])
  assert.equal(readFileSync(runs, 'utf8'), 'run\n')
  assert.equal(await run.stop(), 0)
})

test('exec runs the command at each interval, and at once after a run that took longer', async t => {
  const root = new SystemRoot(t, {})
  const go = join(root.path, 'go')
  const keys = `    command echo start; while [ ! -e ${go} ]; do sleep 0.01; done; echo end`
  const run = await startPipeline(configuration(keys), FILES)
  const records = (): number => run.counter('fluentbit_input_records_total', { name: 'exec.0' })
  run.clock.advance(1000)
  await run.until(() => records() === 1)
  run.clock.advance(3000)
  writeFileSync(go, '')
  await run.until(() => records() === 4)
  run.clock.advance(1000)
  await run.until(() => records() === 6)
  run.flush()
  assert.deepEqual(
    run.bodies.slice(0, 6),
    ['start', 'end', 'start', 'end', 'start', 'end'].map(exec => ({ exec }))
  )
  await run.stop()
})

test('exec ends a command that still runs, with all that it started, when it stops', async t => {
  const root = new SystemRoot(t, {})
  const ended = join(root.path, 'ended')
  const command = `exec 2>/dev/null; (trap "echo x > ${ended}; exit" TERM; echo ready; for turn in $(seq 2000); do sleep 0.01; done) & wait`
  const run = await startPipeline(configuration(`    command ${command}\n    oneshot on`), FILES)
  await run.until(() => run.counter('fluentbit_input_records_total', { name: 'exec.0' }) === 1)
  assert.equal(await run.stop(), 0)
  await run.until(() => existsSync(ended))
})

test('exec lets a command wait that prints more than mem_buf_limit allows, and loses nothing', async () => {
  const count = 100_000
  const keys = `    command seq 1 ${count}\n    oneshot on\n    mem_buf_limit 10K`
  const run = await startPipeline(configuration(keys), FILES)
  const records = (): number => run.counter('fluentbit_input_records_total', { name: 'exec.0' })
  await run.until(() => run.log.includes('[ info] [input] pausing exec.0'))
  const before = records()
  for (let turn = 0; turn < 100; turn++) await nextTurn()
  assert.equal(records(), before)
  await run.until(() => {
    run.clock.advance(1000)
    return run.bodies.length >= count
  })
  assert.deepEqual(
    run.bodies,
    Array.from({ length: count }, (_, index) => ({ exec: String(index + 1) }))
  )
  await run.stop()
})

const REFUSED: readonly [keys: string, error: string][] = [
  ['', '4:1: Cannot set "command" on input exec: it is not set, it must be a command'],
  [
    '    command true\n    propagate_exit_code on',
    '8:25: Cannot set "propagate_exit_code" on input exec: it makes no sense without "exit_after_oneshot on"'
  ],
  [
    '    command true\n    buf_size 1',
    '8:14: Cannot set "buf_size" on input exec: value must be 2 or more: current value is 1'
  ]
]

for (const [keys, error] of REFUSED) {
  test(`exec refuses ${keys.trim().replace(/\s+/g, ' ')}`, async () => {
    const { errors } = await checkConfiguration(configuration(keys), FILES)
    assert.deepEqual(errors, [`fluent-bit.conf:${error}`])
  })
}
