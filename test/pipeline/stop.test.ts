/** What a stop delivers, keeps and reports, and what the next start makes of it. */
import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { defineInput, type Plugin } from '../../src/plugin/define.ts'
import { type Delivery, OK, retry } from '../../src/plugin/delivery.ts'
import { writeEventHeader } from '../../src/record/event.ts'
import { SmallDisk } from '../harness/faulty_disk.ts'
import { backlogRead, balanced, ledger, Machine } from '../harness/machine.ts'
import { encodeEvent } from '../harness/odd_events.ts'
import type { TestPipeline } from '../harness/pipeline.ts'
import { folder, RunningProgram, type RunResult } from '../harness/process.ts'

/** An input with these keys and two outputs. */
function configuration(service: readonly string[], input: readonly string[] = []): string {
  const lines = (keys: readonly string[]): string => keys.map(key => `    ${key}\n`).join('')
  const output = lines(['name target', 'match *', 'retry_limit no_limits'])
  return `[SERVICE]\n${lines(service)}[INPUT]\n${lines(['name source', 'tag app', ...input])}[OUTPUT]\n${output}[OUTPUT]\n${output}`
}

const STORE = 'storage.path STORE'
const FILESYSTEM = 'storage.type filesystem'
const EVENT_BYTES = encodeEvent([1, 0], { n: 0 }).length

const bodies = (...numbers: readonly number[]): { n: number }[] => numbers.map(n => ({ n }))

function engineLines(run: TestPipeline): string[] {
  return run.log.filter(line => /not delivered|service (will|has)/.test(line))
}

/** How long a stop took by the clock of the pipeline, in seconds. */
async function secondsToStop(run: TestPipeline): Promise<number> {
  const start = run.clock.now()
  assert.equal(await run.stop(), 0)
  return (run.clock.now() - start) / 1000
}

// --- within grace

test('a stop delivers open chunks at once and ends', async t => {
  const machine = new Machine(t)
  const run = await machine.start(configuration(['grace 5']))
  machine.push('app', ...bodies(0, 1))
  assert.equal(await secondsToStop(run), 0)
  assert.deepEqual(
    [machine.taken('target.0'), machine.taken('target.1')],
    [bodies(0, 1), bodies(0, 1)]
  )
  assert.deepEqual(engineLines(run), [
    '[ warn] [engine] service will shutdown in max 5 seconds',
    '[ info] [engine] service has stopped (0 pending tasks)'
  ])
})

test('a stop sends what waits for a retry at once, and then every second', async t => {
  const machine = new Machine(t)
  const times: number[] = []
  machine.answer = ({ output, attempt }) => {
    if (output === 'target.1') return OK
    times.push((run.clock.now() - start) / 1000)
    return attempt < 4 ? retry('refused') : OK
  }
  const run = await machine.start(configuration(['grace 5']))
  machine.push('app', { n: 0 })
  run.flush()
  const start = run.clock.now()
  times.length = 0
  const seconds = await secondsToStop(run)
  assert.deepEqual(times, [0, 1, 2])
  assert.equal(seconds, 2)
  assert.deepEqual(machine.taken('target.0'), bodies(0))
})

test('a stop waits for a working output, and no longer than until it answers', async t => {
  const machine = new Machine(t)
  const { promise, resolve } = Promise.withResolvers<Delivery>()
  machine.answer = () => promise
  const run = await machine.start(configuration(['grace 30']))
  machine.push('app', { n: 0 })
  run.clock.after(3000, () => resolve(OK))
  const seconds = await secondsToStop(run)
  assert.ok(seconds >= 2 && seconds <= 3.2, `${seconds} s`)
  assert.deepEqual(machine.taken('target.0'), bodies(0))
})

test('a stop gives a hanging output grace seconds', async t => {
  const machine = new Machine(t)
  machine.answer = ({ output }) => (output === 'target.0' ? new Promise(() => undefined) : OK)
  const run = await machine.start(configuration(['grace 3', STORE]))
  machine.push('app', { n: 0 })
  const seconds = await secondsToStop(run)
  assert.ok(seconds >= 3 && seconds <= 4.2, `${seconds} s`)
  assert.deepEqual(machine.taken('target.1'), bodies(0))
  assert.equal(machine.chunkFiles().length, 1)
})

test('grace -1 waits until everything is delivered', async t => {
  const machine = new Machine(t)
  machine.answer = ({ attempt }) => (attempt < 100 ? retry('refused') : OK)
  const run = await machine.start(configuration(['grace -1']))
  machine.push('app', { n: 0 })
  const seconds = await secondsToStop(run)
  assert.ok(seconds > 90, `${seconds} s`)
  assert.deepEqual(engineLines(run), [
    '[ warn] [engine] service will shutdown when all remaining tasks are flushed',
    '[ info] [engine] service has stopped (0 pending tasks)'
  ])
})

test('an answer that comes after the stop changes nothing', async t => {
  const machine = new Machine(t)
  const { promise, resolve } = Promise.withResolvers<Delivery>()
  machine.answer = () => promise
  const run = await machine.start(configuration(['grace 1', STORE]))
  const receipt = machine.push('app', { n: 0 })
  await run.stop()
  const before = ledger(run)
  assert.equal(receipt.due, 1)
  resolve(OK)
  await new Promise(done => setImmediate(done))
  assert.deepEqual(ledger(run), before)
  assert.equal(machine.chunkFiles().length, 1)
  assert.equal(receipt.due, 1)
})

test('a second stop waits for the first', async t => {
  const machine = new Machine(t)
  const run = await machine.start(configuration(['grace 5']))
  machine.push('app', { n: 0 })
  const first = run.pipeline.stop(3)
  assert.equal(run.pipeline.stop(), first)
  await first
  assert.equal(await run.pipeline.stopped, 3)
})

// --- what is left

test('with storage.path, what is left in memory is saved, and the next start delivers it', async t => {
  const machine = new Machine(t)
  machine.answer = ({ output }) => (output === 'target.0' ? OK : retry('refused'))
  const stopped = await machine.start(configuration(['grace 1', STORE]))
  for (const body of bodies(0, 1, 2)) {
    machine.push('app', body)
    stopped.flush()
  }
  await stopped.stop()
  assert.deepEqual(engineLines(stopped).slice(2), [
    `[ info] [engine] not delivered, kept on disk: input=source.0 > output=target.1 (3 chunks, 3 records, ${3 * EVENT_BYTES} bytes)`
  ])
  assert.equal(machine.chunkFiles().length, 3)
  assert.deepEqual(ledger(stopped), {
    'input source.0': '3 ingested = 3 buffered',
    'route source.0 > target.0': '3 ingested = 3 delivered',
    'route source.0 > target.1': '3 ingested = 3 buffered'
  })
  assert.equal(stopped.counter('fluentbit_output_dropped_records_total', { name: 'target.1' }), 0)
  machine.answer = () => OK
  const run = await machine.start(configuration(['grace 1', STORE]))
  await run.until(() => machine.files().length === 0)
  assert.deepEqual(
    [machine.taken('target.0'), machine.taken('target.1')],
    [bodies(0, 1, 2), bodies(0, 1, 2)]
  )
  await run.stop()
})

test('chunks on disk stay there, and the next start delivers them', async t => {
  const machine = new Machine(t)
  machine.answer = () => retry('refused')
  const text = configuration(['grace 1', STORE], [FILESYSTEM])
  const stopped = await machine.start(text)
  machine.push('app', ...bodies(0, 1))
  stopped.flush()
  machine.push('app', ...bodies(2))
  const before = machine.chunkFiles()
  assert.equal(before.length, 2)
  await stopped.stop()
  assert.deepEqual(machine.chunkFiles(), before)
  machine.answer = () => OK
  const run = await machine.start(text)
  await run.until(() => machine.files().length === 0)
  assert.deepEqual(
    [machine.taken('target.0'), machine.taken('target.1')],
    [bodies(0, 1, 2), bodies(0, 1, 2)]
  )
  await run.stop()
})

for (const [plugin, what, line] of [
  [
    'lib',
    'nobody has any more is lost',
    '[error] [engine] not delivered, lost, as there is no storage.path: input=lib.0'
  ],
  [
    'source',
    'can be had again is left to its source',
    '[ warn] [engine] not delivered, to be had again from where it came from: input=source.0'
  ],
  [
    'sender',
    'was acknowledged is lost',
    '[error] [engine] not delivered, lost, as there is no storage.path: input=sender.0'
  ]
] as const) {
  test(`without storage.path, what ${what}: reported exactly, and counted as shutdown`, async t => {
    const machine = new Machine(t)
    machine.answer = ({ output }) => (output === 'target.0' ? OK : retry('refused'))
    const run = await machine.start(
      configuration(['grace 1']).replace('name source', `name ${plugin}`)
    )
    for (const body of bodies(0, 1)) {
      if (plugin === 'lib') run.push('app', body)
      else machine.push('app', body)
      run.flush()
    }
    await run.stop()
    assert.deepEqual(engineLines(run).slice(2), [
      `${line} > output=target.1 (2 chunks, 2 records, ${2 * EVENT_BYTES} bytes)`
    ])
    const name = `${plugin}.0`
    assert.deepEqual(ledger(run), {
      [`input ${name}`]: '2 ingested = 2 dropped (shutdown 2)',
      [`route ${name} > target.0`]: '2 ingested = 2 delivered',
      [`route ${name} > target.1`]: '2 ingested = 2 dropped (shutdown 2)'
    })
    const labels = { kind: 'output', name: 'target.1', reason: 'shutdown' }
    assert.equal(run.counter('spillway_dropped_records_total', labels), 2)
    assert.equal(run.counter('spillway_dropped_bytes_total', labels), 2 * EVENT_BYTES)
  })
}

test('a chunk that is left for one output in part is reported with what was left of it', async t => {
  const machine = new Machine(t)
  machine.answer = ({ output, attempt }) => {
    if (output === 'target.0') return OK
    return attempt === 1 ? { kind: 'partial', retry: [2], drop: [], reason: '' } : retry('refused')
  }
  const run = await machine.start(configuration(['grace 1']).replace('name source', 'name sender'))
  machine.push('app', ...bodies(0, 1, 2))
  run.flush()
  await run.stop()
  assert.deepEqual(engineLines(run).slice(2), [
    `[error] [engine] not delivered, lost, as there is no storage.path: input=sender.0 > output=target.1 (1 chunks, 1 records, ${EVENT_BYTES} bytes)`
  ])
  const labels = { kind: 'output', name: 'target.1', reason: 'shutdown' }
  assert.equal(run.counter('spillway_dropped_bytes_total', labels), EVENT_BYTES)
})

test('what the disk has no room for at the stop is reported and counted, and the rest is kept', async t => {
  const machine = new Machine(t)
  machine.answer = () => retry('refused')
  const small = new SmallDisk()
  const stopped = await machine.start(
    configuration(['grace 1', STORE]).replace('name source', 'name sender'),
    {
      disk: small.disk
    }
  )
  for (const body of bodies(0, 1, 2)) {
    machine.push('app', body)
    stopped.flush()
  }
  // One chunk fits, and a part of the next.
  small.room = 140
  await stopped.stop()
  assert.equal(machine.chunkFiles().length, 1)
  assert.deepEqual(
    engineLines(stopped).slice(2).toSorted(),
    [0, 1]
      .flatMap(output => [
        `[ info] [engine] not delivered, kept on disk: input=sender.0 > output=target.${output} (1 chunks, 1 records, ${EVENT_BYTES} bytes)`,
        `[error] [engine] not delivered, lost, as No space left on device: input=sender.0 > output=target.${output} (2 chunks, 2 records, ${2 * EVENT_BYTES} bytes)`
      ])
      .toSorted()
  )
  assert.deepEqual(ledger(stopped), {
    'input sender.0': '3 ingested = 2 dropped (shutdown 2) + 1 buffered',
    'route sender.0 > target.0': '3 ingested = 2 dropped (shutdown 2) + 1 buffered',
    'route sender.0 > target.1': '3 ingested = 2 dropped (shutdown 2) + 1 buffered'
  })
  machine.answer = () => OK
  const run = await machine.start(configuration([STORE]).replace('name source', 'name sender'))
  await run.until(() => machine.files().length === 0)
  assert.deepEqual(machine.taken('target.0'), bodies(0))
  await run.stop()
})

test('of a chunk on disk whose last commits the disk did not take, a stop reports those alone, as to be had again', async t => {
  const machine = new Machine(t)
  machine.answer = () => retry('refused')
  const small = new SmallDisk()
  const run = await machine.start(configuration(['grace 1', STORE], [FILESYSTEM]), {
    disk: small.disk
  })
  const first = machine.push('app', { n: 0 })
  small.room = 0
  const second = machine.push('app', { n: 1 })
  await run.stop()
  assert.deepEqual([first.due, second.due], [1, 0])
  assert.deepEqual(
    engineLines(run).slice(2),
    [0, 1].flatMap(output => [
      `[ info] [engine] not delivered, kept on disk: input=source.0 > output=target.${output} (1 chunks, 1 records, ${EVENT_BYTES} bytes)`,
      `[ warn] [engine] not delivered, to be had again from where it came from: input=source.0 > output=target.${output} (1 chunks, 1 records, ${EVENT_BYTES} bytes)`
    ])
  )
})

test('a stop while the disk is full writes what is missing if there is room by then', async t => {
  const machine = new Machine(t)
  machine.answer = () => retry('refused')
  const small = new SmallDisk()
  const stopped = await machine.start(configuration(['grace 1', STORE], [FILESYSTEM]), {
    disk: small.disk
  })
  small.room = 0
  const receipt = machine.push('app', ...bodies(0, 1))
  assert.equal(receipt.due, 0)
  const stopping = stopped.stop()
  small.room = Number.POSITIVE_INFINITY
  await stopping
  assert.equal(receipt.due, 1)
  machine.answer = () => OK
  const run = await machine.start(configuration([STORE], [FILESYSTEM]))
  await run.until(() => machine.files().length === 0)
  assert.deepEqual(machine.taken('target.0'), bodies(0, 1))
  await run.stop()
})

test('a stop does not use up the retries of chunks that it can keep', async t => {
  const machine = new Machine(t)
  machine.answer = () => retry('refused')
  const run = await machine.start(
    configuration(['grace 5', STORE], [FILESYSTEM]).replaceAll('no_limits', '2')
  )
  machine.push('app', { n: 0 })
  run.flush()
  await run.stop()
  assert.equal(machine.chunkFiles().length, 1)
  assert.deepEqual(ledger(run)['input source.0'], '1 ingested = 1 buffered')
})

// --- the backlog

/** Leaves chunks of one event each on disk. */
async function leaveChunks(machine: Machine, count: number): Promise<void> {
  machine.answer = () => retry('refused')
  const crashed = await machine.start(configuration([STORE], [FILESYSTEM]))
  for (let n = 0; n < count; n++) {
    machine.push('app', { n })
    crashed.flush()
  }
}

/** Makes targets hang at the chunk that begins with `{ n: 0 }`, until the returned function is called. */
function hangAtFirst(machine: Machine): () => void {
  const { promise, resolve } = Promise.withResolvers<Delivery>()
  machine.answer = ({ bodies: [body] }) => ((body as { n: number }).n === 0 ? promise : OK)
  return () => resolve(OK)
}

test('backlog that was not sent yet stays on disk, without a word of loss', async t => {
  const machine = new Machine(t)
  await leaveChunks(machine, 4)
  hangAtFirst(machine)
  const limit = 'storage.backlog.mem_limit 1'
  const run = await machine.start(configuration(['grace 1', STORE, limit], [FILESYSTEM]))
  await backlogRead(run, 4)
  const before = machine.chunkFiles()
  await run.stop()
  assert.deepEqual(machine.chunkFiles(), before)
  assert.deepEqual(
    run.log.filter(line => line.startsWith('[error]')),
    []
  )
  assert.deepEqual(ledger(run)['input source.0'], '4 recovered = 4 buffered')
})

test('a stop sends no more of the backlog, even if what is on its way is taken by then', async t => {
  const machine = new Machine(t)
  await leaveChunks(machine, 3)
  const goOn = hangAtFirst(machine)
  const limit = 'storage.backlog.mem_limit 1'
  const run = await machine.start(configuration(['grace 5', STORE, limit], [FILESYSTEM]))
  await backlogRead(run, 3)
  run.clock.after(1000, goOn)
  await run.stop()
  assert.deepEqual(machine.taken('target.0'), bodies(0))
  assert.equal(machine.chunkFiles().length, 2)
})

test('storage.backlog.flush_on_shutdown sends all of it', async t => {
  const machine = new Machine(t)
  await leaveChunks(machine, 4)
  const goOn = hangAtFirst(machine)
  const keys = ['grace 5', STORE, 'storage.backlog.mem_limit 1']
  const run = await machine.start(
    configuration([...keys, 'storage.backlog.flush_on_shutdown on'], [FILESYSTEM])
  )
  await backlogRead(run, 4)
  run.clock.after(1000, goOn)
  await run.stop()
  const numbers = machine.taken('target.0').map(body => (body as { n: number }).n)
  assert.deepEqual(
    numbers.toSorted((a, b) => a - b),
    [0, 1, 2, 3]
  )
  assert.deepEqual(machine.files(), [])
})

test('storage.backlog.flush_on_shutdown sends what a stop right after the start finds unread', async t => {
  const machine = new Machine(t)
  await leaveChunks(machine, 4)
  machine.answer = () => OK
  const run = await machine.start(
    configuration(['grace 5', STORE, 'storage.backlog.flush_on_shutdown on'], [FILESYSTEM])
  )
  await run.stop()
  assert.equal(machine.taken('target.0').length, 4)
})

// --- inputs

/** An input that has one event left when it is stopped. */
const lastWords: Plugin = defineInput({
  name: 'last_words',
  summary: 'One event at the stop',
  options: {},
  create: (_, context) => ({
    start: () => undefined,
    stop: () => {
      const { writer } = context.sink(context.tag)
      writeEventHeader(writer, 1_700_000_000, 0)
      writer.value({ n: 7 })
      context.sink(context.tag).commit(1)
    }
  })
})

test('what inputs hand over while they stop is delivered or kept', async t => {
  for (const answer of [OK, retry('refused')]) {
    const machine = new Machine(t)
    machine.answer = () => answer
    const run = await machine.start(
      `[SERVICE]\n    grace 1\n    ${STORE}\n[INPUT]\n    name last_words\n    tag app\n[OUTPUT]\n    name target\n    match *\n    retry_limit no_limits\n`,
      { plugins: [lastWords] }
    )
    await run.stop()
    balanced(run)
    assert.deepEqual(machine.taken(), answer === OK ? bodies(7) : [])
    assert.equal(machine.chunkFiles().length, answer === OK ? 0 : 1)
  }
})

// --- the program

/** A listener that is never there, and a file that is tailed. */
const PROGRAM = `
[SERVICE]
    flush         0.2
    grace         1
    STORAGE
[INPUT]
    name              tail
    path              in.log
    db                positions
    read_from_head    on
    refresh_interval  1
[OUTPUT]
    name         http
    match        *
    host         127.0.0.1
    port         9
    retry_limit  no_limits
`

/** Starts the program, waits until it has tried to send, and stops it. */
async function stoppedProgram(
  t: Parameters<typeof folder>[0],
  directory: string
): Promise<RunResult> {
  const program = new RunningProgram(t, directory, ['-c', 'fluent-bit.conf'])
  await program.until(() => program.stderr.includes('failed to flush chunk'))
  program.child.kill('SIGTERM')
  return program.ended
}

test('SIGTERM with events that cannot be delivered ends with 0 after grace, and the next start has them', async t => {
  const directory = folder(t, {
    'fluent-bit.conf': PROGRAM.replace('STORAGE', 'storage.path  store'),
    'in.log': 'one\ntwo\n'
  })
  const { code, log } = await stoppedProgram(t, directory)
  assert.equal(code, 0)
  const kept = log.filter(line => line.includes('not delivered'))
  assert.equal(kept.length, 1)
  assert.match(
    kept[0],
    /^\[ info\] \[engine\] not delivered, kept on disk: input=tail\.0 > output=http\.0 \(1 chunks, 2 records, \d+ bytes\)$/
  )
  assert.deepEqual(
    log.filter(line => line.includes('[ledger] input tail.0')),
    [
      '[ info] [ledger] input tail.0: 2 ingested + 0 added + 0 recovered = 0 delivered + 0 filtered + 0 dropped + 2 buffered'
    ]
  )
  writeFileSync(
    join(directory, 'fluent-bit.conf'),
    PROGRAM.replace('STORAGE', 'storage.path  store').replace(
      /\[OUTPUT\][^]*/,
      '[OUTPUT]\n    name   file\n    alias  http.0\n    match  *\n    file   out\n    format template\n    template {log}\n'
    )
  )
  const again = new RunningProgram(t, directory, ['-c', 'fluent-bit.conf'])
  await again.until(() => existsSync(join(directory, 'out')))
  again.child.kill('SIGTERM')
  assert.equal((await again.ended).code, 0)
  assert.equal(readFileSync(join(directory, 'out'), 'utf8'), 'one\ntwo\n')
  assert.deepEqual(readdirSync(join(directory, 'store/.spillway/chunks/tail.0')), [])
})

test('SIGTERM without storage.path leaves the position where it was, so that the next start reads again', async t => {
  const directory = folder(t, {
    'fluent-bit.conf': PROGRAM.replace('STORAGE', ''),
    'in.log': 'one\ntwo\n'
  })
  const { code, log } = await stoppedProgram(t, directory)
  assert.equal(code, 0)
  assert.equal(
    log.filter(line => line.includes('to be had again from where it came from')).length,
    1
  )
  writeFileSync(
    join(directory, 'fluent-bit.conf'),
    PROGRAM.replace('STORAGE', '').replace(
      /\[OUTPUT\][^]*/,
      '[OUTPUT]\n    name   file\n    match  *\n    file   out\n    format template\n    template {log}\n'
    )
  )
  const again = new RunningProgram(t, directory, ['-c', 'fluent-bit.conf'])
  await again.until(() => existsSync(join(directory, 'out')))
  again.child.kill('SIGTERM')
  assert.equal((await again.ended).code, 0)
  assert.equal(readFileSync(join(directory, 'out'), 'utf8'), 'one\ntwo\n')
})
