/** What outputs give up and `storage.keep.rejected` keeps. */
import assert from 'node:assert/strict'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { drop, OK, partial, retry } from '../../src/plugin/delivery.ts'
import { SlowDisk, SmallDisk, systemFailure } from '../harness/faulty_disk.ts'
import { bodiesOf, readLetters, replayOn } from '../harness/letters.ts'
import { type Answer, backlogRead, balanced, ledger, Machine } from '../harness/machine.ts'
import { checkConfiguration, type TestPipeline } from '../harness/pipeline.ts'

const KEEPING = `
[SERVICE]
    storage.path           STORE
    storage.keep.rejected  on
[INPUT]
    name          source
    tag           app.log
    storage.type  filesystem
[OUTPUT]
    name         target
    match        *
    retry_limit  2
`

const NO_RETRIES = KEEPING.replace('retry_limit  2', 'retry_limit  no_retries')

const range = (from: number, to: number): { n: number }[] =>
  Array.from({ length: to - from }, (_, index) => ({ n: from + index }))

/** A pipeline whose target has given up what was pushed, one event. */
async function givenUp(machine: Machine, configuration: string): Promise<TestPipeline> {
  machine.answer = () => drop('bad_request')
  const run = await machine.start(configuration)
  machine.push('app.log', { n: 1 })
  run.flush()
  return run
}

function dlqLines(run: TestPipeline): string[] {
  return run.log.filter(line => /DLQ|quarantined|rejected chunk/.test(line))
}

function kept(run: TestPipeline): number {
  return run.counter('spillway_dead_letter_records_total', { name: 'target.0' })
}

function lost(run: TestPipeline, reason: string): number {
  return run.counter('spillway_dead_letter_lost_records_total', { name: 'target.0', reason })
}

// --- configuration

test('without storage.keep.rejected nothing is kept', async t => {
  const machine = new Machine(t)
  const run = await givenUp(machine, KEEPING.replace('rejected  on', 'rejected  off'))
  await run.stop()
  assert.deepEqual(machine.files(), [])
  assert.deepEqual(dlqLines(run), [])
})

test('storage.keep.rejected without storage.path keeps nothing, and the check says so', async t => {
  const configuration = KEEPING.replace('    storage.path           STORE\n', '').replace(
    'storage.type  filesystem',
    ''
  )
  const machine = new Machine(t)
  const run = await givenUp(machine, configuration)
  await run.stop()
  assert.deepEqual(machine.files(), [])
  const { errors, warnings } = await checkConfiguration(
    '[SERVICE]\n    storage.keep.rejected  on\n'
  )
  assert.deepEqual(errors, [])
  assert.deepEqual(warnings, [
    'fluent-bit.conf:2:28: Key "storage.keep.rejected" has no effect without "storage.path": nothing is kept of what outputs give up'
  ])
})

test('storage.rejected.limit 0 keeps nothing, and the check says so', async t => {
  const limited = KEEPING.replace('rejected  on', 'rejected  on\n    storage.rejected.limit  0')
  const machine = new Machine(t)
  const run = await givenUp(machine, limited)
  assert.deepEqual(dlqLines(run), ["[ warn] [storage] invalid DLQ size limit '0'"])
  assert.deepEqual([kept(run), lost(run, 'limit')], [0, 1])
  await run.stop()
  assert.deepEqual(machine.files(), [])
  const { warnings } = await checkConfiguration(
    '[SERVICE]\n    storage.path  store\n    storage.keep.rejected  on\n    storage.rejected.limit  0\n'
  )
  assert.deepEqual(warnings, [
    'fluent-bit.conf:4:29: Value of "storage.rejected.limit" is 0: as in Fluent Bit, nothing is kept of what outputs give up'
  ])
})

test('a configuration that keeps letters is checked without a word', async () => {
  const { errors, warnings } = await checkConfiguration(
    '[SERVICE]\n    storage.path  store\n    storage.keep.rejected  on\n    storage.rejected.limit  1M\n'
  )
  assert.deepEqual([errors, warnings], [[], []])
})

for (const [written, folder] of [
  ['dlq', 'dlq'],
  ['dlq/', 'dlq'],
  ['./dlq', 'dlq'],
  ['deep/dlq', 'deep/dlq']
]) {
  test(`storage.rejected.path ${written} is the folder of letters, which no start takes for a backlog`, async t => {
    const configuration = KEEPING.replace(
      'rejected  on',
      `rejected  on\n    storage.rejected.path  ${written}`
    )
    const machine = new Machine(t)
    await (await givenUp(machine, configuration)).stop()
    const [letter, ...others] = machine.files()
    assert.match(letter, new RegExp(`^${folder}/app\\.log_0_target\\.0_0x[0-9a-f]+\\.flb$`))
    assert.deepEqual(others, [])
    const again = await machine.start(configuration)
    again.flush()
    await again.stop()
    assert.deepEqual(machine.files(), [letter])
    assert.equal(machine.arrivals.length, 1)
  })
}

// --- what is kept

for (const [limit, answer, reason, attempts] of [
  ['2', drop('http_400'), 'http_400', 1],
  ['2', retry('refused'), 'retries_exhausted: refused', 3],
  ['no_retries', retry('refused'), 'no_retries: refused', 1],
  ['no_retries', retry(''), 'no_retries', 1]
] as const) {
  test(`with retry_limit ${limit}, ${JSON.stringify(answer)} makes a letter that says "${reason}", attempts ${attempts}`, async t => {
    const machine = new Machine(t)
    machine.answer = () => answer
    const run = await machine.start(KEEPING.replace('retry_limit  2', `retry_limit  ${limit}`))
    const startMs = run.clock.now()
    machine.push('app.log', { n: 1 }, { n: 2 })
    await run.clock.advanceSlowly(60_000, 1000)
    const [letter, ...others] = readLetters(machine)
    assert.deepEqual(others, [])
    const { time, ...note } = letter.note
    assert.deepEqual(note, {
      tag: 'app.log',
      input: 'source.0',
      output: 'target.0',
      reason,
      attempts,
      events: 2
    })
    const waitedMs = Date.parse(time) - startMs
    assert.equal(waitedMs, attempts === 1 ? 1000 : 24_000)
    assert.deepEqual(bodiesOf(letter), [{ n: 1 }, { n: 2 }])
    assert.deepEqual(dlqLines(run), [
      `[ info] [storage] quarantined rejected chunk into DLQ stream (bytes=${letter.content.length})`
    ])
    assert.equal(kept(run), 2)
    assert.deepEqual(machine.chunkFiles(), [])
    await run.stop()
  })
}

test('an exception of an output is a reason to try again, and then one to keep', async t => {
  const machine = new Machine(t)
  machine.answer = () => {
    throw new Error('a bug')
  }
  const run = await machine.start(NO_RETRIES)
  machine.push('app.log', { n: 1 })
  run.flush()
  assert.deepEqual(
    readLetters(machine).map(({ note }) => note.reason),
    ['no_retries: exception']
  )
  await run.stop()
})

test('of a chunk that is taken in part, each reason has a letter of its own', async t => {
  const machine = new Machine(t)
  machine.answer = ({ attempt }) =>
    attempt === 1
      ? partial({
          retry: [4, 6],
          reason: 'busy',
          drop: [
            { reason: 'too large', events: [0, 2] },
            { reason: 'bad field', events: [5] }
          ]
        })
      : partial({ drop: [{ reason: 'bad field', events: [1] }] })
  const run = await machine.start(KEEPING)
  machine.push('app.log', ...range(0, 8))
  await run.clock.advanceSlowly(30_000, 1000)
  assert.deepEqual(
    readLetters(machine).map(letter => [
      letter.note.reason,
      letter.note.attempts,
      bodiesOf(letter)
    ]),
    [
      ['too large', 1, [{ n: 0 }, { n: 2 }]],
      ['bad field', 1, [{ n: 5 }]],
      ['bad field', 2, [{ n: 6 }]]
    ]
  )
  assert.deepEqual(machine.taken(), [{ n: 1 }, { n: 3 }, { n: 7 }, { n: 4 }])
  assert.equal(kept(run), 4)
  assert.deepEqual(
    ledger(run)['route source.0 > target.0'],
    '8 ingested = 4 delivered + 4 dropped (too large 2, bad field 2)'
  )
  await run.stop()
})

test('a letter holds what the processors of the output made of the events', async t => {
  const machine = new Machine(t)
  machine.answer = () => drop('bad_request')
  const run = await machine.start(
    `
service:
  storage.path: STORE
  storage.keep.rejected: on
pipeline:
  inputs:
    - { name: source, tag: app.log }
  outputs:
    - name: target
      match: '*'
      processors:
        logs:
          - { name: grep, exclude: 'level debug' }
          - { name: modify, add: 'by processor' }
`,
    { yaml: true }
  )
  for (const level of ['info', 'debug', 'error']) machine.push('app.log', { level })
  run.flush()
  const [letter] = readLetters(machine)
  assert.deepEqual(bodiesOf(letter), [
    { level: 'info', by: 'processor' },
    { level: 'error', by: 'processor' }
  ])
  assert.equal(letter.note.events, 2)
  await run.stop()
})

test('a reason for no events makes no letter', async t => {
  const machine = new Machine(t)
  machine.answer = () => partial({ drop: [{ reason: 'bad field', events: [] }] })
  const run = await machine.start(KEEPING)
  machine.push('app.log', { n: 1 })
  run.flush()
  assert.deepEqual(machine.taken(), [{ n: 1 }])
  assert.deepEqual(machine.files(), [])
  assert.deepEqual(dlqLines(run), [])
  await run.stop()
})

test('each output that gives a chunk up keeps it by itself', async t => {
  const machine = new Machine(t)
  const second = '[OUTPUT]\n    name   target\n    match  *\n    alias  second\n'
  const third = '[OUTPUT]\n    name   target\n    match  *\n    alias  third\n'
  machine.answer = ({ output }) => (output === 'third' ? OK : drop(`of ${output}`))
  const run = await machine.start(KEEPING + second + third)
  machine.push('app.log', { n: 1 })
  run.flush()
  assert.deepEqual(
    readLetters(machine).map(({ note }) => [note.output, note.reason]),
    [
      ['second', 'of second'],
      ['target.0', 'of target.0']
    ]
  )
  await run.stop()
})

test('a chunk of an earlier run that is given up says which input it came from', async t => {
  const machine = new Machine(t)
  machine.answer = () => retry('refused')
  await machine.start(KEEPING)
  machine.push('app.log', { n: 1 })
  machine.answer = () => drop('bad_request')
  const run = await machine.start(KEEPING)
  await backlogRead(run, 1)
  await run.until(() => readLetters(machine).length === 1)
  assert.equal(readLetters(machine)[0].note.input, 'source.0')
  balanced(run)
  await run.stop()
})

// --- what is not kept

test('what storage.total_limit_size evicts is no letter', async t => {
  const machine = new Machine(t)
  machine.answer = () => retry('refused')
  const run = await machine.start(
    `${KEEPING.replace('limit  2', 'limit  no_limits')}    storage.total_limit_size  1K\n`
  )
  for (const n of [1, 2, 3]) {
    machine.push('app.log', { n, text: 'x'.repeat(500) })
    run.flush()
  }
  assert.match(run.log.join('\n'), /evicted from output queue/)
  assert.deepEqual(readLetters(machine), [])
  assert.deepEqual(dlqLines(run), [])
  await run.stop()
})

test('what a ring buffer lets go is no letter', async t => {
  const machine = new Machine(t)
  machine.answer = () => retry('refused')
  const run = await machine.start(
    KEEPING.replace('limit  2', 'limit  no_limits').replace(
      'storage.type  filesystem',
      'storage.type  memrb\n    mem_buf_limit  1K'
    )
  )
  for (const n of [1, 2, 3]) {
    machine.push('app.log', { n, text: 'x'.repeat(500) })
    run.flush()
  }
  assert.ok(run.counter('fluentbit_input_memrb_dropped_chunks', { name: 'source.0' }) > 0)
  assert.deepEqual(readLetters(machine), [])
  await run.stop()
})

test('what is not delivered at the stop stays in its chunk and is no letter', async t => {
  const machine = new Machine(t)
  machine.answer = () => retry('refused')
  const run = await machine.start(KEEPING.replace('limit  2', 'limit  no_limits'))
  machine.push('app.log', { n: 1 })
  await run.stop()
  assert.equal(machine.chunkFiles().length, 1)
  assert.deepEqual(readLetters(machine), [])
})

// --- limits and failures

test('near storage.rejected.limit it warns, and over it letters are skipped and counted', async t => {
  const machine = new Machine(t)
  machine.answer = () => drop('bad_request')
  const run = await machine.start(
    KEEPING.replace('rejected  on', 'rejected  on\n    storage.rejected.limit  1K')
  )
  const sizes: number[] = []
  for (let n = 0; n < 5; n++) {
    machine.push('app.log', { n, text: 'x'.repeat(100) })
    run.flush()
    sizes.push(
      machine.files('bad_request').reduce((sum, path) => sum + machine.read(path).length, 0)
    )
  }
  const [first, second, third] = sizes
  const one = first
  assert.deepEqual(sizes, [one, one * 2, one * 3, one * 3, one * 3])
  assert.ok(second < 900 && third >= 900 && third + one > 1000, String(sizes))
  const bytes = (third - second - dlqOverhead(machine)).toString()
  const keptLine = `[ info] [storage] quarantined rejected chunk into DLQ stream (bytes=${bytes})`
  const skipped = `[ warn] [storage] DLQ size limit exceeded (${third} + ${one} > 1000 bytes), rejected chunk copy skipped`
  assert.deepEqual(dlqLines(run), [
    keptLine,
    keptLine,
    `[ warn] [storage] DLQ content size is at ${third}/1000 bytes (>=90% of limit)`,
    keptLine,
    skipped,
    skipped
  ])
  assert.deepEqual([kept(run), lost(run, 'limit')], [3, 2])
  await run.stop()
})

/** Bytes of a letter's file that are no events. */
function dlqOverhead(machine: Machine): number {
  const [{ name, content }] = readLetters(machine)
  return machine.read(join('rejected', name)).length - content.length
}

test('the limit counts the letters of earlier runs', async t => {
  const machine = new Machine(t)
  const limited = KEEPING.replace('rejected  on', 'rejected  on\n    storage.rejected.limit  300')
  await (await givenUp(machine, limited)).stop()
  const run = await givenUp(machine, limited)
  assert.match(dlqLines(run)[0], /DLQ size limit exceeded \(\d+ \+ \d+ > 300 bytes\)/)
  assert.equal(readLetters(machine).length, 1)
  await run.stop()
})

test('a disk without room costs the letter and nothing else, and is counted', async t => {
  const machine = new Machine(t)
  const small = new SmallDisk()
  machine.answer = () => drop('bad_request')
  const run = await machine.start(KEEPING, { disk: small.disk })
  machine.push('app.log', { n: 1 })
  small.room = 10
  run.flush()
  assert.deepEqual(dlqLines(run), [
    '[ warn] [storage] DLQ write/sync failed: No space left on device'
  ])
  assert.deepEqual([kept(run), lost(run, 'disk')], [0, 1])
  assert.deepEqual(machine.files(), [])
  small.room = Number.POSITIVE_INFINITY
  machine.push('app.log', { n: 2 })
  run.flush()
  assert.deepEqual(readLetters(machine).map(bodiesOf), [[{ n: 2 }]])
  balanced(run)
  await run.stop()
})

test('a folder of letters that cannot be made is a failure of the disk', async t => {
  const machine = new Machine(t)
  machine.write('rejected', 'a file')
  const run = await givenUp(machine, KEEPING)
  assert.deepEqual(dlqLines(run), ['[ warn] [storage] DLQ write/sync failed: File exists'])
  assert.equal(lost(run, 'disk'), 1)
  await run.stop()
})

test('with storage.sync full a letter that the medium did not take is reported', async t => {
  const machine = new Machine(t)
  mkdirSync(machine.store)
  const slow = new SlowDisk()
  machine.answer = () => drop('bad_request')
  const run = await machine.start(
    KEEPING.replace('rejected  on', 'rejected  on\n    storage.sync  full').replace(
      'storage.type  filesystem',
      ''
    ),
    { disk: slow.disk }
  )
  machine.push('app.log', { n: 1 })
  run.flush()
  assert.equal(slow.syncing, 1)
  slow.endSync(systemFailure('EIO', -5, 'fdatasync'))
  assert.deepEqual(dlqLines(run).slice(1), [
    '[ warn] [storage] DLQ write/sync failed: Input/output error'
  ])
  await run.stop()
})

// --- the way back

test('of a batch of 100 with 3 bad ones, 97 are delivered once and 3 are letters, until a replay takes them', async t => {
  const machine = new Machine(t)
  const isBad = (n: number): boolean => n % 40 === 7
  const picky: Answer = ({ bodies }) => {
    const bad = bodies.flatMap((body, index) => (isBad((body as { n: number }).n) ? [index] : []))
    return bad.length === 0 ? OK : partial({ drop: [{ reason: 'bad n', events: bad }] })
  }
  machine.answer = picky
  const first = await machine.start(KEEPING)
  machine.push('app.log', ...range(0, 100))
  first.flush()
  const good = range(0, 100).filter(({ n }) => !isBad(n))
  const bad = range(0, 100).filter(({ n }) => isBad(n))
  assert.equal(bad.length, 3)
  assert.deepEqual(machine.taken(), good)
  assert.deepEqual(
    readLetters(machine).map(letter => [letter.note.reason, bodiesOf(letter)]),
    [['bad n', bad]]
  )

  // The process is gone; what it has kept is not.
  const second = await machine.start(KEEPING)
  const [{ name }] = readLetters(machine)
  assert.deepEqual(await replayOn(machine, second), {
    lines: [`${name}: not delivered to target.0: bad n`, '1 letter: 0 delivered, 1 not'],
    allDelivered: false
  })
  assert.deepEqual(readLetters(machine).map(bodiesOf), [bad])

  // The output, or what takes its events, is mended.
  machine.answer = () => OK
  assert.deepEqual(await replayOn(machine, second), {
    lines: [`${name}: 3 records delivered to target.0`, '1 letter: 1 delivered'],
    allDelivered: true
  })
  assert.deepEqual(machine.taken(), [...good, ...bad])
  assert.deepEqual(machine.files(), [])
  await second.stop()
})
