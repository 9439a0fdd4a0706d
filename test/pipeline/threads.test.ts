/** `workers` of outputs and `threaded` of inputs, as users see them: the same events, through threads of their own. */
import assert from 'node:assert/strict'
import { existsSync, readFileSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { imbalance } from '../../src/engine/ledger.ts'
import { OK, retry } from '../../src/plugin/delivery.ts'
import { FileRun, event } from '../harness/file_run.ts'
import {
  checkConfiguration,
  type PipelineOptions,
  startPipeline,
  type TestPipeline
} from '../harness/pipeline.ts'
import { folder, runProgram, RunningProgram } from '../harness/process.ts'

const PLUGINS = new URL('./thread_plugins.ts', import.meta.url)

const SERVICE = '[SERVICE]\n    plugins_file plugins.conf\n    parsers_file parsers.conf\n'
const FILES = {
  'plugins.conf': `[PLUGINS]\n    path ${fileURLToPath(PLUGINS)}\n`,
  'parsers.conf':
    '[PARSER]\n    name pair\n    format regex\n    regex ^(?<time>\\d+) (?<n>\\d+)$\n' +
    '    time_key time\n    time_format %s\n    types n:integer\n'
}

function section(kind: string, keys: readonly string[]): string {
  return `[${kind}]\n${keys.map(key => `    ${key}\n`).join('')}`
}

/** An input that runs in a thread, and `collect`. */
function startInput(keys: readonly string[], options: PipelineOptions = {}): Promise<TestPipeline> {
  const text =
    SERVICE +
    section('INPUT', keys) +
    section('OUTPUT', ['name collect', 'match *', 'retry_limit no_limits'])
  return startPipeline(text, { ...options, files: { ...FILES, ...options.files } })
}

/** The input `lib`, and the output `obedient` in threads. */
function startObedient(
  keys: readonly string[],
  options: PipelineOptions = {}
): Promise<TestPipeline> {
  const output = ['name obedient', 'match *', 'retry_limit 3', ...keys]
  const text = SERVICE + section('INPUT', ['name lib', 'tag app']) + section('OUTPUT', output)
  return startPipeline(text, { ...options, files: FILES })
}

/** Threads and numbers that `obedient` took, in its order. */
function taken(run: TestPipeline): { thread: string; n: number }[] {
  const path = join(run.directory, 'taken')
  const lines = existsSync(path) ? readFileSync(path, 'utf8').trim().split('\n') : []
  return lines.map(line => ({ thread: line.split(' ')[0], n: Number(line.split(' ')[1]) }))
}

/** Lets time pass until all that was sent has been settled. */
async function settle(run: TestPipeline): Promise<void> {
  run.flush()
  await run.until(() => {
    run.clock.advance(100)
    return run.pipeline.pendingTasks === 0
  })
}

/** Stops, letting time pass while chunks hold the stop up, or, if a thread `hangs`, until it is over. */
async function stopSlowly(run: TestPipeline, hangs = false): Promise<void> {
  let isStopped = false
  void run.pipeline.stop().then(() => (isStopped = true))
  await run.until(() => {
    // A thread answers in real time: the clock must not run away from it.
    const isDrained = run.log.some(line => line.includes('service has stopped'))
    if (hangs || !isDrained) run.clock.advance(100)
    return isStopped
  }, 20_000)
  await run.remove()
}

function assertBalance(run: TestPipeline): void {
  for (const row of run.pipeline.ledgerRows()) assert.equal(imbalance(row), 0, row.name)
}

function numerically(numbers: readonly number[]): number[] {
  return numbers.toSorted((one, other) => one - other)
}

function bodies(run: TestPipeline, key: string): unknown[] {
  return run.bodies.map(body => (body as Record<string, unknown>)[key])
}

function outputLog(run: TestPipeline, plugin: string): string[] {
  return run.log.filter(line => line.includes(`[output:${plugin}:`))
}

// --- configuration

test('only threads that the configuration asks for are started', async () => {
  const run = await startPipeline(`
[INPUT]
    name  dummy
[OUTPUT]
    name   stdout
    match  *
`)
  await run.stop()
  assert.deepEqual(
    run.log.filter(line => /worker|thread/.test(line)),
    []
  )
})

test('limits of the ring buffer are those of Fluent Bit; its window has no effect and says so', async () => {
  const check = (...keys: string[]): ReturnType<typeof checkConfiguration> =>
    checkConfiguration(
      section('INPUT', ['name dummy', ...keys]) + section('OUTPUT', ['name null', 'match *'])
    )
  assert.deepEqual((await check('threaded on', 'thread.ring_buffer.capacity 0')).errors, [
    'fluent-bit.conf:4:33: Cannot set "thread.ring_buffer.capacity" on input dummy: value must be 1 or more: current value is 0'
  ])
  assert.deepEqual((await check('thread.ring_buffer.window 101')).errors, [
    'fluent-bit.conf:3:31: Cannot set "thread.ring_buffer.window" on input dummy: value must be 1 to 100: current value is 101'
  ])
  assert.deepEqual((await check('threaded on', 'thread.ring_buffer.window 10')).warnings, [
    'fluent-bit.conf:4:31: Key "thread.ring_buffer.window" has no effect on input dummy: the engine is told of each batch at once'
  ])
})

test('standard input is read in the main thread, whatever threaded says', async () => {
  const text = section('INPUT', ['name stdin', 'threaded on']) + section('OUTPUT', ['name null'])
  const { warnings } = await checkConfiguration(text)
  assert.equal(
    warnings[0],
    'fluent-bit.conf:3:14: Key "threaded" has no effect on input stdin: what it reads belongs to the main thread'
  )
})

// --- workers

test('the output file with two workers writes what it writes without', async () => {
  const files = async (workers: string): Promise<Record<string, readonly string[]>> => {
    const run = await FileRun.start(`    path FOLDER\n${workers}`)
    for (let n = 0; n < 20; n++) {
      await run.send(`tag${n % 3}`, event({ n, text: 'é"\\' }), event({ n, float: 1.5 }))
    }
    // Many at once, so that both threads have some.
    const lines = Array.from({ length: 500 }, (_, n) => event({ n }))
    for (let n = 0; n < 10; n++) await run.send(`many${n}`, ...lines)
    const written = await run.stop()
    return Object.fromEntries(
      Object.entries(written).map(([name, text]) => [name, text.split('\n').toSorted()])
    )
  }
  assert.deepEqual(await files('    workers 2\n'), await files(''))
})

test('the output stdout with two workers prints what it prints without', async () => {
  const print = async (workers: string): Promise<string[]> => {
    const output = ['name stdout', 'match *', 'format json_lines', workers]
    const run = await startPipeline(
      section('INPUT', ['name lib', 'tag t']) + section('OUTPUT', output)
    )
    for (let n = 0; n < 50; n++) run.push(`tag${n % 5}`, { n }, { n, text: 'x'.repeat(n) })
    await settle(run)
    await run.stop()
    return run.stdout.split('\n').toSorted()
  }
  assert.deepEqual(await print('workers 2'), await print('workers 0'))
})

test("a user's plugin works in as many threads as there are workers", async () => {
  const run = await startObedient(['workers 2'])
  assert.deepEqual(outputLog(run, 'obedient').toSorted(), [
    '[ info] [output:obedient:obedient.0] worker #0 started',
    '[ info] [output:obedient:obedient.0] worker #1 started'
  ])
  run.push('a', { n: 1, busy: true })
  run.push('b', { n: 2, busy: true })
  run.push('c', { n: 3 })
  run.flush()
  // One chunk each at a time: the third waits for a thread.
  await run.until(() => run.pipeline.pendingTasks === 3)
  run.write('go', '')
  await settle(run)
  const events = taken(run)
  assert.deepEqual(numerically(events.map(({ n }) => n)), [1, 2, 3])
  assert.equal(new Set(events.map(({ thread }) => thread)).size, 2)
  assert.ok(!events.some(({ thread }) => thread === '0'), 'the main thread has worked')
  assertBalance(run)
  await run.stop()
  assert.deepEqual(outputLog(run, 'obedient').slice(2).toSorted(), [
    '[ info] [output:obedient:obedient.0] thread worker #0 stopped',
    '[ info] [output:obedient:obedient.0] thread worker #0 stopping...',
    '[ info] [output:obedient:obedient.0] thread worker #1 stopped',
    '[ info] [output:obedient:obedient.0] thread worker #1 stopping...'
  ])
})

test('each instance is started and stopped in its thread', async t => {
  const directory = folder(t)
  const run = await startObedient(['workers 3'], { directory })
  await run.stop()
  const threads = readFileSync(join(directory, 'stopped'), 'utf8').trim().split('\n')
  assert.equal(new Set(threads).size, 3)
})

test('a busy thread delays no other output', async () => {
  const text =
    SERVICE +
    section('INPUT', ['name lib', 'tag app']) +
    section('OUTPUT', ['name obedient', 'match *', 'workers 1']) +
    section('OUTPUT', ['name collect', 'match *'])
  const run = await startPipeline(text, { files: FILES })
  run.push('app', { n: 1, busy: true })
  run.flush()
  for (let n = 2; n < 10; n++) {
    run.push('app', { n })
    run.flush()
    await run.until(() => bodies(run, 'n').includes(n))
  }
  assert.deepEqual(taken(run), [])
  run.write('go', '')
  await settle(run)
  assert.equal(taken(run).length, 9)
  await run.stop()
})

for (const [once, reason] of [
  ['retry', undefined],
  ['throw', /^\[error\] \[output:obedient\.0\] flush failed: Error: told to throw\n/],
  [
    'exit',
    /^\[error\] \[output:obedient:obedient\.0\] worker #\d died: it ended with exit code 7$/
  ],
  [
    'timer',
    /^\[error\] \[output:obedient:obedient\.0\] worker #\d died: Error: told to throw later\n/
  ]
] as const) {
  test(`nothing is lost when a worker answers a chunk with "${once}"`, async () => {
    const run = await startObedient(['workers 2'])
    run.push('a', { n: 1, once })
    run.push('b', { n: 2 })
    await settle(run)
    run.push('a', { n: 3 })
    await settle(run)
    assert.deepEqual(numerically(taken(run).map(({ n }) => n)), [1, 2, 3])
    if (reason !== undefined) {
      assert.equal(run.log.filter(line => reason.test(line)).length, 1, run.log.join('\n'))
    }
    const name = { name: 'obedient.0' }
    assert.equal(run.counter('fluentbit_output_retries_total', name), 1)
    assert.equal(run.counter('fluentbit_output_proc_records_total', name), 3)
    const deaths = once === 'exit' || once === 'timer' ? 1 : 0
    assert.equal(run.counter('spillway_thread_deaths_total', name), deaths)
    assertBalance(run)
    await run.stop()
  })
}

test('a worker that died is started again after a second; chunks wait for it', async () => {
  const run = await startObedient(['workers 1'])
  const count = (text: string): number => run.log.filter(line => line.endsWith(text)).length
  run.push('app', { n: 1, once: 'exit' })
  run.flush()
  await run.until(() => count('worker #0 died: it ended with exit code 7') === 1)
  run.push('app', { n: 2 })
  // It is not the time yet, and it cannot start the first time.
  run.clock.advance(999)
  run.write('no start', '')
  assert.equal(count('worker #0 started'), 1)
  run.clock.advance(1)
  await run.until(() => count('worker #0 cannot be started again: it is not the time') === 1)
  assert.deepEqual(taken(run), [])
  rmSync(join(run.directory, 'no start'))
  run.clock.advance(1000)
  await run.until(() => taken(run).length === 1)
  assert.equal(count('worker #0 started'), 2)
  await settle(run)
  assert.deepEqual(
    taken(run).map(({ n }) => n),
    [2, 1]
  )
  // Only the chunk that it had when it died.
  assert.equal(run.counter('fluentbit_output_retries_total', { name: 'obedient.0' }), 1)
  await run.stop()
})

test('log lines, counters and drops of a worker are those of its output', async () => {
  const run = await startObedient(['workers 2', 'alias mine'])
  run.push('app', { n: 1, once: 'log' }, { n: 2 })
  await settle(run)
  assert.ok(run.log.includes('[ info] [output:obedient:mine] told to log'))
  assert.ok(!run.log.some(line => line.includes('for nobody')))
  assert.equal(run.counter('obedient_events_total', { name: 'mine' }), 2)
  const labels = { kind: 'output', name: 'mine', reason: 'told_to' }
  assert.equal(run.counter('spillway_dropped_records_total', labels), 2)
  assert.equal(run.counter('spillway_dropped_bytes_total', labels), 20)
  await run.stop()
})

test('the log level of an instance holds in its threads', async () => {
  const run = await startObedient(['workers 1', 'log_level debug'])
  run.push('app', { n: 1, once: 'log' })
  await settle(run)
  assert.ok(run.log.includes('[debug] [output:obedient:obedient.0] for nobody'))
  await run.stop()
})

test('an output that cannot start in a thread stops the start with its error', async () => {
  const message = 'Cannot start obedient: it was told so'
  await assert.rejects(startObedient(['fails_to_start on']), { message })
  await assert.rejects(startObedient(['fails_to_start on', 'workers 2']), { message })
})

test('a worker that hangs does not hold up the stop for long', async () => {
  const run = await startObedient(['workers 2', 'retry_limit 1'])
  run.push('a', { n: 1, busy: true })
  run.push('b', { n: 2 })
  run.flush()
  await run.until(() => taken(run).length === 1)
  await stopSlowly(run, true)
  const lines = outputLog(run, 'obedient')
  assert.ok(lines.some(line => /worker #\d does not stop: it is ended/.test(line)))
  assertBalance(run)
})

test('an output in a thread can ask for the stop of the program', async () => {
  const output = ['name exit', 'match *', 'workers 1']
  const run = await startPipeline(
    section('INPUT', ['name lib', 'tag t']) + section('OUTPUT', output)
  )
  run.push('t', { n: 1 })
  run.flush()
  assert.equal(await run.stopped, 0)
  await run.remove()
})

// --- threaded

test('dummy in a thread sends its records, with the variables of the configuration', async () => {
  const keys = ['name dummy', 'threaded on', 'flush_on_startup on', 'samples 1']
  const run = await startPipeline(
    '@SET own=${OUTER} is not expanded\n' +
      section('INPUT', [...keys, 'dummy {"own":"${own}","outer":"${OUTER}"}']) +
      section('OUTPUT', ['name collect', 'match *']),
    { environment: { OUTER: 'here' } }
  )
  await run.until(() => run.counter('fluentbit_input_records_total', { name: 'dummy.0' }) > 0)
  run.flush()
  assert.deepEqual(run.bodies, [{ own: '${OUTER} is not expanded', outer: 'here' }])
  assert.ok(run.log.includes('[ info] [input:dummy:dummy.0] thread instance initialized'))
  assertBalance(run)
  assert.equal(await run.stop(), 0)
})

test('a threaded tail parses, logs and counts as one without a thread', async t => {
  const directory = folder(t, {
    'a.log': '1700000001 1\n1700000002 2\n',
    'b.log': 'no pair\n1700000003 3\n'
  })
  const follow = async (...more: string[]): Promise<Record<string, unknown>> => {
    const path = `path ${join(directory, '*.log')}`
    const keys = ['name tail', path, 'tag t.*', 'read_from_head on', 'parser pair', ...more]
    const run = await startInput(keys, { directory })
    const own = (): string[] => run.log.filter(line => line.includes('[input:tail:tail.0]'))
    await run.until(() => own().filter(line => line.includes('inotify_fs_add')).length === 2)
    run.flush()
    await run.stop()
    return {
      taken: run.taken.map(({ tag, events }) => [
        tag.replace(/.*\.(?=[ab]\.log)/, ''),
        // A line that the parser does not take has the time of reading.
        events.map(({ time, body }) => [Object.hasOwn(body as object, 'n') ? time : 'now', body])
      ]),
      log: own().filter(line => !line.includes('thread instance initialized')),
      opened: run.counter('fluentbit_input_files_opened_total', { name: 'tail.0' })
    }
  }
  const threaded = await follow('threaded on')
  assert.deepEqual(threaded['taken'], [
    [
      'a.log',
      [
        [[1_700_000_001, 0], { n: 1 }],
        [[1_700_000_002, 0], { n: 2 }]
      ]
    ],
    [
      'b.log',
      [
        ['now', { log: 'no pair' }],
        [[1_700_000_003, 0], { n: 3 }]
      ]
    ]
  ])
  assert.equal(threaded['opened'], 2)
  assert.deepEqual(threaded, await follow())
})

test('positions of a threaded tail move when its events are delivered, not before', async t => {
  const directory = folder(t, { 'a.log': 'one\ntwo\n' })
  const at = (name: string): string => join(directory, name)
  const keys = ['name tail', `path ${at('a.log')}`, `db ${at('pos.db')}`, 'read_from_head on']
  let isOpen = false
  const start = (): Promise<TestPipeline> =>
    startInput([...keys, 'threaded on'], {
      directory,
      answer: () => (isOpen ? OK : retry('closed'))
    })
  const position = (): unknown => {
    const database = new DatabaseSync(at('pos.db'), { readOnly: true })
    const row = database.prepare('SELECT offset FROM in_tail_files').get()
    database.close()
    return row?.['offset']
  }
  const first = await start()
  await first.until(() => first.counter('fluentbit_input_records_total', { name: 'tail.0' }) === 2)
  await stopSlowly(first)
  assert.equal(position(), 0)
  isOpen = true
  const second = await start()
  await second.until(
    () => second.counter('fluentbit_input_records_total', { name: 'tail.0' }) === 2
  )
  await settle(second)
  assert.deepEqual(bodies(second, 'log'), ['one', 'two'])
  // The receipt comes while it runs, and what is read at the stop is delivered too.
  await second.until(() => position() === 8)
  await second.stop()
  assert.equal(position(), statSync(at('a.log')).size)
})

test('mem_buf_limit pauses a threaded input; afterwards all of it comes', async t => {
  const lines = Array.from({ length: 200_000 }, (_, n) => `${n} ${'x'.repeat(90)}\n`)
  const directory = folder(t, { 'a.log': lines.join('') })
  let isOpen = false
  const path = `path ${join(directory, 'a.log')}`
  const run = await startInput(
    ['name tail', path, 'read_from_head on', 'threaded on', 'mem_buf_limit 1M'],
    { directory, answer: () => (isOpen ? OK : retry('closed')) }
  )
  run.flush()
  const isPaused = (): boolean =>
    run.log.some(line => line.includes('tail.0 paused (mem buf overlimit'))
  await run.until(isPaused)
  // What was on its way when it was paused, and nothing more: time alone brings no events.
  const name = { name: 'tail.0' }
  const bytes = (): number => run.counter('fluentbit_input_bytes_total', name)
  for (let turn = 0; turn < 20; turn++) {
    await new Promise(resolve => setImmediate(resolve))
    run.clock.advance(100)
  }
  assert.ok(bytes() < 10_000_000, `${bytes()} bytes came`)
  isOpen = true
  await run.until(() => {
    run.clock.advance(1000)
    return run.bodies.length === lines.length
  }, 20_000)
  assertBalance(run)
  await run.stop()
})

test('an input that does not ask for room loses nothing when there is none', async () => {
  const keys = ['name numbers', 'threaded on', 'thread.ring_buffer.capacity 2', 'count 30000']
  const run = await startInput([...keys, 'bytes 200'])
  await run.until(() => {
    run.flush()
    return run.bodies.length === 30_000
  })
  assert.deepEqual(
    bodies(run, 'n'),
    Array.from({ length: 30_000 }, (_, n) => n)
  )
  assertBalance(run)
  await run.stop()
})

test('the stop waits for what a thread has committed', async () => {
  const run = await startInput(['name numbers', 'threaded on', 'count 30000', 'bytes 200'])
  await run.stop()
  assert.equal(run.bodies.length, 30_000)
  assertBalance(run)
})

test('a threaded input that died is started again and goes on from its receipts', async t => {
  const directory = folder(t)
  const run = await startInput(['name mortal', 'threaded on'], { directory })
  const has = (text: string): boolean => run.log.some(line => line.includes(text))
  await run.until(() => has('[error] [input:mortal:mortal.0] thread died: Error: it was time\n'))
  await settle(run)
  assert.equal(run.counter('spillway_thread_deaths_total', { name: 'mortal.0' }), 1)
  await run.until(() => {
    run.clock.advance(100)
    return Math.max(...(bodies(run, 'n') as number[])) > 60
  })
  await run.stop()
  const numbers = new Set(bodies(run, 'n') as number[])
  const end = Number(readFileSync(join(directory, 'end'), 'utf8'))
  assert.deepEqual(
    numerically([...numbers]),
    Array.from({ length: end }, (_, n) => n)
  )
  // All were delivered, and told so before the thread was stopped.
  assert.equal(Number(readFileSync(join(directory, 'position'), 'utf8')), end)
})

test('an input that cannot start in a thread stops the start with its error', async () => {
  const keys = ['name tail', 'path *.log', 'db /proc/none/pos.db']
  const errors: string[] = []
  for (const more of [[], ['threaded on']]) {
    await startInput([...keys, ...more]).catch((error: unknown) => {
      errors.push(String(error))
    })
  }
  assert.match(errors[0], /could not open\/create database/)
  assert.equal(errors[1], errors[0])
})

// --- the program

test('the program runs with threads on both sides', async t => {
  const text =
    '[SERVICE]\n    flush 0.1\n' +
    section('INPUT', [
      'name tail',
      'path a.log',
      'tag t',
      'threaded on',
      'read_from_head on',
      'exit_on_eof on'
    ]) +
    section('OUTPUT', ['name file', 'match *', 'file out', 'format plain', 'workers 2']) +
    section('OUTPUT', ['name stdout', 'match *', 'format json_lines', 'workers 1'])
  const dir = folder(t, { 'a.log': 'one\ntwo\n', 'fluent-bit.conf': text })
  const { code, stdout, stderr } = await runProgram(t, dir, ['-c', 'fluent-bit.conf'])
  assert.equal(code, 0, stderr)
  assert.equal(readFileSync(join(dir, 'out'), 'utf8'), '{"log":"one"}\n{"log":"two"}\n')
  assert.equal(stdout.replaceAll(/"date":[\d.]+,/g, ''), '{"log":"one"}\n{"log":"two"}\n')
})

test('a worker learns that nobody reads what it prints', async t => {
  const words = [
    '-i',
    'dummy',
    '-p',
    'flush_on_startup=on',
    '-o',
    'stdout',
    '-p',
    'workers=1',
    '-f',
    '0.1'
  ]
  const program = new RunningProgram(t, folder(t), words)
  program.child.stdout?.destroy()
  await program.until(() => program.stderr.includes('cannot print: Broken pipe'))
  program.child.kill('SIGTERM')
  const { code, log } = await program.ended
  assert.equal(code, 0)
  assert.ok(
    log.some(line => /ledger\].*dropped \(cannot_print [1-9]/.test(line)),
    log.join('\n')
  )
})
