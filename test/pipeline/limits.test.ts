/** What holds inputs back, and what gives events up to make room: each with its counters, log lines and row of the ledger. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Delivery, OK, retry } from '../../src/plugin/delivery.ts'
import { balanced, ledger, Machine } from '../harness/machine.ts'
import { encodeEvent } from '../harness/odd_events.ts'
import { checkConfiguration, type TestPipeline } from '../harness/pipeline.ts'

/** An input with these keys and an output that retries for ever. */
function configuration(input: readonly string[], service: readonly string[] = []): string {
  const lines = (keys: readonly string[]): string => keys.map(key => `    ${key}\n`).join('')
  return `[SERVICE]\n${lines(['flush 1', ...service])}[INPUT]\n${lines(['name source', 'tag app', ...input])}[OUTPUT]\n${lines(['name target', 'match *', 'retry_limit no_limits'])}`
}

/** Bytes of an event with a body of one small number. */
const EVENT_BYTES = encodeEvent([1, 0], { n: 0 }).length

const bodies = (...numbers: readonly number[]): { n: number }[] => numbers.map(n => ({ n }))

function inputLines(run: TestPipeline): string[] {
  return run.log.filter(line => line.includes('[input]'))
}

/** Sends one event as a chunk of its own. */
function chunk(machine: Machine, run: TestPipeline, n: number, tag = 'app'): void {
  machine.push(tag, { n })
  run.flush()
  balanced(run)
}

// --- mem_buf_limit

test('mem_buf_limit pauses an input in memory at its limit, keeps what crossed it, and lets it go on below', async t => {
  const machine = new Machine(t)
  machine.answer = () => retry('refused')
  const run = await machine.start(configuration([`mem_buf_limit ${3 * EVENT_BYTES}`]))
  chunk(machine, run, 0)
  chunk(machine, run, 1)
  assert.deepEqual(machine.calls, [])
  chunk(machine, run, 2)
  assert.deepEqual(machine.calls, ['pause app'])
  assert.equal(machine.context().paused, true)
  // Who does not heed the pause loses nothing.
  chunk(machine, run, 3)
  machine.answer = () => OK
  await run.clock.advanceSlowly(60_000, 1000)
  assert.deepEqual(machine.calls, ['pause app', 'resume app'])
  assert.equal(machine.taken().length, 4)
  const limit = 3 * EVENT_BYTES
  assert.deepEqual(inputLines(run), [
    `[ warn] [input] source.0 paused (mem buf overlimit - event of size ${EVENT_BYTES}B exceeded limit ${limit} to ${limit}B)`,
    '[ info] [input] pausing source.0',
    '[ info] [input] resume source.0',
    `[ info] [input] source.0 resume (mem buf overlimit - buf size ${2 * EVENT_BYTES}B now below limit ${limit}B)`
  ])
  assert.deepEqual(ledger(run), {
    'input source.0': '4 ingested = 4 delivered',
    'route source.0 > target.0': '4 ingested = 4 delivered'
  })
  await run.stop()
})

test('without mem_buf_limit an input in memory is never paused', async t => {
  const machine = new Machine(t)
  machine.answer = () => retry('refused')
  const run = await machine.start(configuration([]))
  machine.push('app', ...Array.from({ length: 50 }, () => ({ load: 'x'.repeat(100_000) })))
  run.flush()
  assert.deepEqual(machine.calls, [])
})

test('an event that is given up frees memory as a delivered one does', async t => {
  const machine = new Machine(t)
  machine.answer = () => ({ kind: 'drop', reason: 'too old' })
  const run = await machine.start(configuration([`mem_buf_limit ${EVENT_BYTES}`]))
  chunk(machine, run, 0)
  assert.deepEqual(machine.calls, ['pause app', 'resume app'])
  assert.equal(machine.context().paused, false)
  await run.stop()
})

// --- storage.type memrb

test('storage.type memrb gives the oldest chunks up at mem_buf_limit, counts them, and never pauses', async t => {
  const machine = new Machine(t)
  machine.answer = () => retry('refused')
  const run = await machine.start(
    configuration(['storage.type memrb', `mem_buf_limit ${3 * EVENT_BYTES}`])
  )
  for (let n = 0; n < 10; n++) {
    chunk(machine, run, n)
    assert.ok((run.pipeline.inputs[0]?.memoryBytes ?? 0) <= 3 * EVENT_BYTES)
  }
  assert.deepEqual(machine.calls, [])
  const labels = { name: 'source.0' }
  assert.equal(run.counter('fluentbit_input_memrb_dropped_chunks', labels), 7)
  assert.equal(run.counter('fluentbit_input_memrb_dropped_bytes', labels), 7 * EVENT_BYTES)
  assert.equal(
    run.counter('spillway_dropped_records_total', {
      kind: 'output',
      name: 'target.0',
      reason: 'memrb_overrun'
    }),
    7
  )
  machine.answer = () => OK
  await run.clock.advanceSlowly(200_000, 1000)
  assert.deepEqual(
    machine.taken().toSorted((a, b) => (a as { n: number }).n - (b as { n: number }).n),
    bodies(7, 8, 9)
  )
  assert.deepEqual(ledger(run), {
    'input source.0': '10 ingested = 3 delivered + 7 dropped (memrb_overrun 7)',
    'route source.0 > target.0': '10 ingested = 3 delivered + 7 dropped (memrb_overrun 7)'
  })
  await run.stop()
})

test('storage.type memrb keeps a chunk that an output works on, and takes the next oldest', async t => {
  const machine = new Machine(t)
  const { promise, resolve } = Promise.withResolvers<Delivery>()
  machine.answer = ({ bodies: [body] }) => ((body as { n: number }).n === 0 ? promise : OK)
  const run = await machine.start(
    configuration(['storage.type memrb', `mem_buf_limit ${2 * EVENT_BYTES}`])
  )
  for (let n = 0; n < 4; n++) chunk(machine, run, n)
  resolve(OK)
  await run.until(() => run.pipeline.pendingTasks === 0)
  assert.deepEqual(machine.taken(), bodies(0, 3))
  assert.equal(run.counter('fluentbit_input_memrb_dropped_chunks', { name: 'source.0' }), 2)
  balanced(run)
  await run.stop()
})

test('storage.type memrb without mem_buf_limit gives nothing up', async t => {
  const machine = new Machine(t)
  machine.answer = () => retry('refused')
  const run = await machine.start(configuration(['storage.type memrb']))
  for (let n = 0; n < 10; n++) chunk(machine, run, n)
  assert.equal(run.pipeline.pendingTasks, 10)
})

// --- storage.max_chunks_up with storage.pause_on_chunks_overlimit

const PAUSING = configuration(
  ['storage.type filesystem', 'storage.pause_on_chunks_overlimit on'],
  ['storage.path STORE', 'storage.max_chunks_up 3']
)

test('storage.pause_on_chunks_overlimit pauses an input while storage.max_chunks_up chunks are up', async t => {
  const machine = new Machine(t)
  machine.answer = () => retry('refused')
  const run = await machine.start(PAUSING)
  chunk(machine, run, 0)
  chunk(machine, run, 1)
  assert.deepEqual(machine.calls, [])
  chunk(machine, run, 2)
  assert.deepEqual(machine.calls, ['pause app'])
  assert.equal(run.pipeline.storageStats().filesystemUp, 3)
  let isOpen = true
  machine.answer = () => {
    const answer = isOpen ? OK : retry('refused')
    isOpen = false
    return answer
  }
  await run.clock.advanceSlowly(15_000, 1000)
  assert.equal(machine.taken().length, 1)
  assert.deepEqual(machine.calls, ['pause app', 'resume app'])
  assert.deepEqual(inputLines(run), [
    '[ warn] [input] source.0 paused (storage buf overlimit 3/3)',
    '[ info] [input] pausing source.0',
    '[ info] [input] resume source.0',
    '[ info] [input] source.0 resume (storage buf overlimit 2/3)'
  ])
})

test('without storage.pause_on_chunks_overlimit nothing pauses at storage.max_chunks_up', async t => {
  const machine = new Machine(t)
  machine.answer = () => retry('refused')
  const run = await machine.start(PAUSING.replace('overlimit on', 'overlimit off'))
  for (let n = 0; n < 10; n++) chunk(machine, run, n)
  assert.deepEqual(machine.calls, [])
  assert.equal(run.pipeline.storageStats().filesystem, 10)
})

// --- storage.total_limit_size

/** Two outputs that keep chunks on disk, `small` with a limit. */
function withLimit(limit: string): string {
  return `
[SERVICE]
    storage.path  STORE
[INPUT]
    name          source
    tag           app
    storage.type  filesystem
[OUTPUT]
    name                      target
    alias                     small
    match                     *
    retry_limit               no_limits
    storage.total_limit_size  ${limit}
[OUTPUT]
    name         target
    alias        other
    match        *
    retry_limit  no_limits
`
}

test('storage.total_limit_size gives the oldest chunks of its output up, says so and counts them; the other output gets all', async t => {
  const machine = new Machine(t)
  machine.answer = () => retry('refused')
  const run = await machine.start(withLimit(String(3 * EVENT_BYTES)))
  for (let n = 0; n < 5; n++) chunk(machine, run, n)
  assert.deepEqual(
    run.log
      .filter(line => line.includes('evicted'))
      .map(line => line.replace(/chunk '[^']+'/, "chunk 'ID'")),
    [0, 1].map(
      task =>
        `[ warn] [input chunk] chunk 'ID' evicted from output queue to make room under storage.total_limit_size: task_id=${task}, input=source.0 > output=small (out_id=0), bytes=${EVENT_BYTES}, limit=${3 * EVENT_BYTES}`
    )
  )
  assert.equal(machine.chunkFiles().length, 5)
  machine.answer = () => OK
  await run.clock.advanceSlowly(200_000, 1000)
  const sorted = (output: string): unknown[] =>
    machine.taken(output).toSorted((a, b) => (a as { n: number }).n - (b as { n: number }).n)
  assert.deepEqual(sorted('small'), bodies(2, 3, 4))
  assert.deepEqual(sorted('other'), bodies(0, 1, 2, 3, 4))
  assert.equal(
    run.counter('spillway_dropped_records_total', {
      kind: 'output',
      name: 'small',
      reason: 'storage_limit'
    }),
    2
  )
  assert.equal(run.counter('fluentbit_output_dropped_records_total', { name: 'small' }), 2)
  assert.deepEqual(ledger(run), {
    'input source.0': '5 ingested = 3 delivered + 2 dropped (storage_limit 2)',
    'route source.0 > small': '5 ingested = 3 delivered + 2 dropped (storage_limit 2)',
    'route source.0 > other': '5 ingested = 5 delivered'
  })
  assert.deepEqual(machine.files(), [])
  await run.stop()
})

test('what storage.total_limit_size gave up stays given up after a crash', async t => {
  const machine = new Machine(t)
  machine.answer = () => retry('refused')
  const crashed = await machine.start(withLimit(String(2 * EVENT_BYTES)))
  for (let n = 0; n < 4; n++) chunk(machine, crashed, n)
  machine.answer = () => OK
  const run = await machine.start(withLimit(String(2 * EVENT_BYTES)))
  await run.until(() => machine.files().length === 0)
  assert.deepEqual(machine.taken('small'), bodies(2, 3))
  assert.deepEqual(machine.taken('other'), bodies(0, 1, 2, 3))
  await run.stop()
})

test('storage.total_limit_size holds for a backlog, too, of which the oldest go', async t => {
  const machine = new Machine(t)
  machine.answer = () => retry('refused')
  const crashed = await machine.start(withLimit('off'))
  for (let n = 0; n < 5; n++) chunk(machine, crashed, n)
  const run = await machine.start(withLimit(String(2 * EVENT_BYTES)))
  await run.until(() => run.log.filter(line => line.includes('register')).length === 5)
  machine.answer = () => OK
  await run.clock.advanceSlowly(60_000, 1000)
  const numbers = machine.taken('small').map(body => (body as { n: number }).n)
  assert.deepEqual(
    numbers.toSorted((a, b) => a - b),
    [3, 4]
  )
  assert.equal(machine.taken('other').length, 5)
  balanced(run)
  await run.stop()
})

test('a chunk that alone is larger than storage.total_limit_size is given up', async t => {
  const machine = new Machine(t)
  const run = await machine.start(withLimit(String(EVENT_BYTES)))
  machine.push('app', ...bodies(0, 1))
  run.flush()
  assert.deepEqual([machine.taken('small'), machine.taken('other')], [[], bodies(0, 1)])
  assert.equal(run.log.filter(line => line.includes('evicted')).length, 1)
  chunk(machine, run, 2)
  assert.deepEqual(machine.taken('small'), bodies(2))
  balanced(run)
  await run.stop()
})

test('storage.total_limit_size keeps a chunk that its output works on', async t => {
  const machine = new Machine(t)
  const { promise, resolve } = Promise.withResolvers<Delivery>()
  machine.answer = ({ output, bodies: [body] }) =>
    output === 'small' && (body as { n: number }).n === 0 ? promise : OK
  const run = await machine.start(withLimit(String(2 * EVENT_BYTES)))
  for (let n = 0; n < 4; n++) chunk(machine, run, n)
  resolve(OK)
  await run.until(() => run.pipeline.pendingTasks === 0)
  assert.deepEqual(machine.taken('small'), bodies(0, 3))
  await run.stop()
})

test('room that chunks had is there again once they are delivered', async t => {
  const machine = new Machine(t)
  const run = await machine.start(withLimit(String(2 * EVENT_BYTES)))
  for (let n = 0; n < 50; n++) chunk(machine, run, n)
  assert.equal(machine.taken('small').length, 50)
  assert.deepEqual(
    run.log.filter(line => line.includes('evicted')),
    []
  )
  await run.stop()
})

test('storage.total_limit_size does not count chunks in memory', async t => {
  const machine = new Machine(t)
  machine.answer = () => retry('refused')
  const run = await machine.start(withLimit('1').replace('filesystem', 'memory'))
  for (let n = 0; n < 5; n++) chunk(machine, run, n)
  machine.answer = () => OK
  await run.clock.advanceSlowly(100_000, 1000)
  assert.equal(machine.taken('small').length, 5)
  await run.stop()
})

for (const limit of ['off', 'false', 'OFF', 'False', '0', '0M']) {
  test(`storage.total_limit_size ${limit} is no limit`, async t => {
    const machine = new Machine(t)
    machine.answer = () => retry('refused')
    const run = await machine.start(withLimit(limit))
    for (let n = 0; n < 5; n++) chunk(machine, run, n)
    machine.answer = () => OK
    await run.clock.advanceSlowly(100_000, 1000)
    assert.equal(machine.taken('small').length, 5)
    await run.stop()
  })
}

for (const limit of ['on', 'much', '5 MB', '-1', '-5M']) {
  test(`storage.total_limit_size ${limit} is refused`, async () => {
    const { errors } = await checkConfiguration(
      `[OUTPUT]\n    name collect\n    match *\n    storage.total_limit_size ${limit}\n`
    )
    assert.deepEqual(errors, [
      `fluent-bit.conf:4:30: Cannot set "storage.total_limit_size" on output collect: value must be a size (bytes, K, M, G) or off: current value is "${limit}"`
    ])
  })
}

// --- rate_gate

const GATE = ['rate_gate on', 'rate_gate.max_records 10', 'rate_gate.backpressure off']

test('rate_gate pauses above its records a second, and lets the input go on in a window with less', async t => {
  const machine = new Machine(t)
  const run = await machine.start(configuration(GATE))
  machine.push('app', ...bodies(...Array.from({ length: 10 }, (_, n) => n)))
  assert.deepEqual(machine.calls, [])
  machine.push('app', { n: 10 })
  assert.deepEqual(machine.calls, ['pause app'])
  run.clock.advance(999)
  assert.deepEqual(machine.calls, ['pause app'])
  run.clock.advance(1)
  assert.deepEqual(machine.calls, ['pause app', 'resume app'])
  assert.deepEqual(inputLines(run), [
    '[ warn] [input] source.0 paused (rate gate limit exceeded)',
    '[ info] [input] pausing source.0',
    '[ info] [input] resume source.0',
    '[ info] [input] source.0 resume (rate gate)'
  ])
  run.flush()
  assert.equal(machine.taken().length, 11)
  await run.stop()
})

test('rate_gate.max_bytes counts bytes', async t => {
  const machine = new Machine(t)
  const run = await machine.start(
    configuration(['rate_gate on', `rate_gate.max_bytes ${2 * EVENT_BYTES}`])
  )
  machine.push('app', ...bodies(0, 1))
  assert.deepEqual(machine.calls, [])
  machine.push('app', { n: 2 })
  assert.deepEqual(machine.calls, ['pause app'])
  await run.stop()
})

test('rate_window is the time over which rates are measured', async t => {
  const machine = new Machine(t)
  const run = await machine.start(configuration([...GATE, 'rate_window 5s']))
  machine.push('app', ...Array.from({ length: 50 }, (_, n) => ({ n })))
  assert.deepEqual(machine.calls, [])
  run.clock.advance(4000)
  machine.push('app', { n: 50 })
  assert.deepEqual(machine.calls, ['pause app'])
  run.clock.advance(999)
  assert.deepEqual(machine.calls, ['pause app'])
  run.clock.advance(1)
  assert.deepEqual(machine.calls, ['pause app', 'resume app'])
  await run.stop()
})

test('a window that is no time at all is a second', async t => {
  const machine = new Machine(t)
  const run = await machine.start(configuration([...GATE, 'rate_window 0']))
  machine.push('app', ...Array.from({ length: 11 }, (_, n) => ({ n })))
  assert.deepEqual(machine.calls, ['pause app'])
  run.clock.advance(1000)
  assert.deepEqual(machine.calls, ['pause app', 'resume app'])
  await run.stop()
})

test('chunks under way and their retries lower the limit of rate_gate, and it rises as they end', async t => {
  const machine = new Machine(t)
  machine.answer = () => retry('refused')
  const run = await machine.start(configuration(['rate_gate on', 'rate_gate.max_records 12']))
  chunk(machine, run, 0)
  // One chunk and one retry: 12 records a second become 4.
  run.clock.advance(1000)
  machine.push('app', ...bodies(1, 2, 3, 4))
  assert.deepEqual(machine.calls, [])
  machine.push('app', { n: 5 })
  assert.deepEqual(machine.calls, ['pause app'])
  await run.clock.advanceSlowly(3000, 1000)
  machine.answer = () => OK
  await run.clock.advanceSlowly(60_000, 1000)
  assert.equal(machine.taken().length, 6)
  assert.deepEqual(machine.calls, ['pause app', 'resume app'])
  machine.push('app', ...bodies(6, 7, 8, 9, 10))
  assert.deepEqual(machine.calls, ['pause app', 'resume app'])
  await run.stop()
})

test('rate_gate.backpressure off leaves the limit as it is', async t => {
  const machine = new Machine(t)
  machine.answer = () => retry('refused')
  const run = await machine.start(configuration(GATE))
  for (let n = 0; n < 5; n++) chunk(machine, run, n)
  run.clock.advance(1000)
  machine.push('app', ...Array.from({ length: 10 }, (_, n) => ({ n })))
  assert.deepEqual(machine.calls, [])
})

for (const [ratio, what, calls] of [
  ['0.6', 'goes on within the window', ['pause app', 'resume app']],
  ['0.5', 'waits for the next window', ['pause app']]
] as const) {
  test(`with rate_gate.resume_ratio ${ratio}, 7 records of 12 and no chunk under way any more, the input ${what}`, async t => {
    const machine = new Machine(t)
    const { promise, resolve } = Promise.withResolvers<Delivery>()
    machine.answer = () => promise
    const run = await machine.start(
      configuration(['rate_gate on', 'rate_gate.max_records 12', `rate_gate.resume_ratio ${ratio}`])
    )
    chunk(machine, run, 0)
    // One chunk under way: 12 records a second become 6.
    machine.push('app', ...bodies(1, 2, 3, 4, 5, 6, 7))
    assert.deepEqual(machine.calls, ['pause app'])
    resolve(OK)
    await run.until(() => machine.taken().length === 1)
    assert.deepEqual(machine.calls, calls)
    run.clock.advance(1000)
    assert.deepEqual(machine.calls, ['pause app', 'resume app'])
  })
}

for (const ratio of ['0', '1', '1.5', '-0.5']) {
  test(`rate_gate.resume_ratio ${ratio} is refused`, async () => {
    const { errors } = await checkConfiguration(
      `[INPUT]\n    name lib\n    rate_gate on\n    rate_gate.resume_ratio ${ratio}\n`
    )
    assert.deepEqual(errors, [
      `fluent-bit.conf:4:28: Cannot set "rate_gate.resume_ratio" on input lib: value must be above 0 and below 1: current value is ${ratio}`
    ])
  })
}

test('without rate_gate its limits have no effect', async t => {
  const machine = new Machine(t)
  const run = await machine.start(configuration(['rate_gate.max_records 1']))
  machine.push('app', ...bodies(0, 1, 2, 3))
  assert.deepEqual(machine.calls, [])
  await run.stop()
})
