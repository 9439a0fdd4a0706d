/** Outputs that take a part of a chunk, and outputs that answer what no output may. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { drop, OK, partial, retry } from '../../src/plugin/delivery.ts'
import { type Arrival, balanced, ledger, Machine } from '../harness/machine.ts'
import { seededRandom } from '../harness/random.ts'
import type { TestPipeline } from '../harness/pipeline.ts'

const ONE_OUTPUT = `
[SERVICE]
    storage.path  STORE
[INPUT]
    name          source
    tag           app
    storage.type  filesystem
[OUTPUT]
    name         target
    match        *
    retry_limit  no_limits
`
const IN_MEMORY = ONE_OUTPUT.replace('filesystem', 'memory')
const TWO_OUTPUTS = `${ONE_OUTPUT}
[OUTPUT]
    name         target
    match        *
    retry_limit  no_limits
`

const bodies = (...numbers: readonly number[]): { n: number }[] => numbers.map(n => ({ n }))
const numbersOf = (all: readonly unknown[]): number[] => all.map(body => (body as { n: number }).n)

function dropped(run: TestPipeline, reason: string, name = 'target.0'): number {
  return run.counter('spillway_dropped_records_total', { kind: 'output', name, reason })
}

function output(run: TestPipeline, what: string): number {
  return run.counter(`fluentbit_output_${what}_total`, { name: 'target.0' })
}

for (const [what, text] of [
  ['memory', IN_MEMORY],
  ['a file', ONE_OUTPUT]
] as const) {
  test(`of a chunk in ${what}, only events that are to be sent again are sent again`, async t => {
    const machine = new Machine(t)
    const answers = [
      partial({ retry: [1, 2, 5], drop: [{ reason: 'bad', events: [0] }], reason: 'busy' }),
      partial({ retry: [1, 2], drop: [] }),
      retry('refused'),
      partial({ retry: [0], drop: [{ reason: 'old', events: [1] }] }),
      OK
    ]
    machine.answer = () => answers.shift()
    const run = await machine.start(text)
    machine.push('app', ...bodies(0, 1, 2, 3, 4, 5))
    run.flush()
    balanced(run)
    for (let second = 0; second < 200; second++) {
      await run.clock.advanceSlowly(1000, 1000)
      balanced(run)
    }
    assert.deepEqual(
      machine.arrivals.map(({ bodies: seen }) => numbersOf(seen)),
      [[0, 1, 2, 3, 4, 5], [1, 2, 5], [2, 5], [2, 5], [2]]
    )
    assert.deepEqual(numbersOf(machine.taken()), [3, 4, 1, 2])
    assert.deepEqual(ledger(run), {
      'input source.0': '6 ingested = 4 delivered + 2 dropped (bad 1, old 1)',
      'route source.0 > target.0': '6 ingested = 4 delivered + 2 dropped (bad 1, old 1)'
    })
    assert.deepEqual([dropped(run, 'bad'), dropped(run, 'old')], [1, 1])
    assert.deepEqual(
      [output(run, 'retries'), output(run, 'retried_records'), output(run, 'errors')],
      [4, 3 + 2 + 2 + 1, 2]
    )
    assert.deepEqual(machine.files(), [])
    await run.stop()
  })
}

test('fluentbit_output_proc_records_total counts each event once, however many attempts a chunk took', async t => {
  const machine = new Machine(t)
  machine.answer = ({ attempt }) => (attempt === 1 ? partial({ retry: [1, 3] }) : OK)
  const run = await machine.start(ONE_OUTPUT)
  machine.push('app', ...bodies(0, 1, 2, 3))
  await run.clock.advanceSlowly(15_000, 1000)
  assert.equal(machine.taken().length, 4)
  assert.equal(output(run, 'proc_records'), 4)
  await run.stop()
})

test('fluentbit_output_proc_bytes_total counts the bytes of events that were taken in part', async t => {
  const machine = new Machine(t)
  machine.answer = () => partial({ drop: [{ reason: 'bad', events: [0, 1] }] })
  const run = await machine.start(ONE_OUTPUT)
  machine.push('app', ...bodies(0, 1, 2, 3))
  const bytes = run.counter('fluentbit_input_bytes_total', { name: 'source.0' })
  run.flush()
  assert.equal(output(run, 'proc_bytes'), bytes / 2)
  await run.stop()
})

test('a chunk whose every event is given up ends, with each reason counted', async t => {
  const machine = new Machine(t)
  machine.answer = () =>
    partial({
      drop: [
        { reason: 'bad', events: [0, 2] },
        { reason: 'old', events: [1] }
      ]
    })
  const run = await machine.start(ONE_OUTPUT)
  machine.push('app', ...bodies(0, 1, 2))
  run.flush()
  assert.deepEqual(ledger(run), {
    'input source.0': '3 ingested = 3 dropped (bad 2, old 1)',
    'route source.0 > target.0': '3 ingested = 3 dropped (bad 2, old 1)'
  })
  assert.equal(run.pipeline.pendingTasks, 0)
  assert.deepEqual(machine.files(), [])
  await run.stop()
})

test('an empty partial answer means that all was taken', async t => {
  const machine = new Machine(t)
  machine.answer = () => partial({})
  const run = await machine.start(ONE_OUTPUT)
  machine.push('app', ...bodies(0, 1))
  run.flush()
  assert.deepEqual(ledger(run)['route source.0 > target.0'], '2 ingested = 2 delivered')
  await run.stop()
})

test('waitMs of a partial answer is the shortest wait', async t => {
  const machine = new Machine(t)
  const times: number[] = []
  machine.answer = ({ attempt }) => {
    times.push(run.clock.now())
    return attempt === 1 ? partial({ retry: [0], waitMs: 100_500 }) : OK
  }
  const run = await machine.start(IN_MEMORY)
  machine.push('app', ...bodies(0, 1))
  await run.clock.advanceSlowly(200_000, 500)
  assert.equal(times[1] - times[0], 101_000)
  await run.stop()
})

test('retries that a partial answer begins end at retry_limit, with only what is left given up', async t => {
  const machine = new Machine(t)
  machine.answer = ({ attempt }) => (attempt === 1 ? partial({ retry: [1] }) : retry('refused'))
  const run = await machine.start(ONE_OUTPUT.replace('no_limits', '2'))
  machine.push('app', ...bodies(0, 1, 2))
  await run.clock.advanceSlowly(100_000, 1000)
  assert.equal(machine.arrivals.length, 3)
  assert.deepEqual(ledger(run), {
    'input source.0': '3 ingested = 2 delivered + 1 dropped (retries_exhausted 1)',
    'route source.0 > target.0': '3 ingested = 2 delivered + 1 dropped (retries_exhausted 1)'
  })
  assert.equal(output(run, 'dropped_records'), 1)
  assert.equal(output(run, 'retries_failed'), 1)
  await run.stop()
})

test('with retry_limit no_retries what a partial answer leaves is given up', async t => {
  const machine = new Machine(t)
  machine.answer = () => partial({ retry: [0, 2] })
  const run = await machine.start(ONE_OUTPUT.replace('no_limits', 'no_retries'))
  machine.push('app', ...bodies(0, 1, 2))
  run.flush()
  assert.deepEqual(
    ledger(run)['route source.0 > target.0'],
    '3 ingested = 1 delivered + 2 dropped (no_retries 2)'
  )
  await run.stop()
})

test('what two outputs lost of a chunk counts once for the input, by the first reason', async t => {
  const machine = new Machine(t)
  machine.answer = ({ output: name }) =>
    name === 'target.0'
      ? partial({ drop: [{ reason: 'bad', events: [0, 1] }] })
      : partial({ drop: [{ reason: 'old', events: [1, 2] }] })
  const run = await machine.start(TWO_OUTPUTS)
  machine.push('app', ...bodies(0, 1, 2, 3))
  run.flush()
  assert.deepEqual(ledger(run), {
    'input source.0': '4 ingested = 1 delivered + 3 dropped (bad 2, old 1)',
    'route source.0 > target.0': '4 ingested = 2 delivered + 2 dropped (bad 2)',
    'route source.0 > target.1': '4 ingested = 2 delivered + 2 dropped (old 2)'
  })
  await run.stop()
})

// --- a crash

test('after a crash only the events that were left are sent, to the outputs that they were left for', async t => {
  const machine = new Machine(t)
  const first: Record<string, unknown> = {
    'target.0': partial({ retry: [1, 3], drop: [{ reason: 'bad', events: [0] }] }),
    'target.1': partial({ retry: [0] })
  }
  machine.answer = ({ output: name, attempt }) => (attempt === 1 ? first[name] : retry('refused'))
  const crashed = await machine.start(TWO_OUTPUTS)
  machine.push('app', ...bodies(0, 1, 2, 3))
  crashed.flush()
  machine.answer = () => OK
  const run = await machine.start(TWO_OUTPUTS)
  await run.until(() => machine.files().length === 0)
  assert.deepEqual(numbersOf(machine.taken('target.0')), [2, 1, 3])
  assert.deepEqual(numbersOf(machine.taken('target.1')), [1, 2, 3, 0])
  assert.deepEqual(ledger(run), {
    'input source.0': '4 recovered = 4 delivered',
    'route source.0 > target.0': '2 recovered = 2 delivered',
    'route source.0 > target.1': '1 recovered = 1 delivered'
  })
  await run.stop()
})

test('what a stop saves of a chunk in memory is what was left', async t => {
  const machine = new Machine(t)
  machine.answer = ({ attempt }) => (attempt === 1 ? partial({ retry: [1] }) : retry('refused'))
  const stopped = await machine.start(IN_MEMORY)
  machine.push('app', ...bodies(0, 1, 2))
  await stopped.stop()
  machine.answer = () => OK
  const run = await machine.start(IN_MEMORY)
  await run.until(() => machine.files().length === 0)
  assert.deepEqual(numbersOf(machine.taken()), [0, 2, 1])
  await run.stop()
})

test('with random answers of two outputs and crashes between them, each event comes once', async t => {
  const random = seededRandom(99)
  const machine = new Machine(t)
  const given = new Map<string, number[]>([
    ['target.0', []],
    ['target.1', []]
  ])
  machine.answer = ({ output: name, bodies: seen }: Arrival) => {
    const fates = seen.map(() => random())
    const all = fates.map((_, index) => index)
    const lost = all.filter(index => fates[index] < 0.1)
    given.get(name)?.push(...numbersOf(lost.map(index => seen[index])))
    return partial({
      retry: all.filter(index => fates[index] > 0.6),
      drop: [{ reason: 'bad', events: lost }]
    })
  }
  let next = 0
  for (let restart = 0; restart < 12; restart++) {
    const run = await machine.start(TWO_OUTPUTS)
    await run.until(
      () => run.log.filter(line => / register /.test(line)).length === machine.chunkFiles().length
    )
    for (let count = Math.floor(random() * 8); count > 0; count--) {
      machine.push('app', ...Array.from({ length: 5 }, () => ({ n: next++ })))
    }
    await run.clock.advanceSlowly(20_000 * random(), 1000)
    balanced(run)
  }
  const last = await machine.start(TWO_OUTPUTS)
  await last.until(() => last.log.some(line => line.includes('[engine] Shutdown Grace')))
  await last.clock.advanceSlowly(5000, 1000)
  machine.answer = () => OK
  await last.clock.advanceSlowly(10_000_000, 50_000)
  assert.deepEqual(machine.files(), [])
  for (const [name, lost] of given) {
    const all = [...numbersOf(machine.taken(name)), ...lost].toSorted((a, b) => a - b)
    assert.deepEqual(
      all,
      Array.from({ length: next }, (_, n) => n),
      name
    )
  }
  balanced(last)
  await last.stop()
})

// --- with processors

/** An output with a processor that takes away events whose `drop` is yes. */
const PROCESSED = `
service:
  storage.path: STORE
pipeline:
  inputs:
    - { name: source, tag: app, storage.type: filesystem }
  outputs:
    - name: target
      match: '*'
      retry_limit: no_limits
      processors:
        logs:
          - { name: record_modifier, record: seen yes }
          - { name: grep, exclude: drop yes }
`

test('partial answers count events as the processors of the output left them', async t => {
  const machine = new Machine(t)
  const answers = [partial({ retry: [0, 2], drop: [{ reason: 'bad', events: [1] }] }), OK]
  machine.answer = () => answers.shift()
  const run = await machine.start(PROCESSED, { yaml: true })
  machine.push('app', { drop: 'yes' }, { n: 1 }, { n: 2 }, { drop: 'yes' }, { n: 3 }, { n: 4 })
  await run.clock.advanceSlowly(20_000, 1000)
  assert.deepEqual(
    machine.arrivals.map(({ bodies: seen }) => seen),
    [[1, 2, 3, 4].map(n => ({ n, seen: 'yes' })), [1, 3].map(n => ({ n, seen: 'yes' }))]
  )
  assert.deepEqual(numbersOf(machine.taken()), [4, 1, 3])
  assert.deepEqual(
    ledger(run)['route source.0 > target.0'],
    '6 ingested = 3 delivered + 2 filtered + 1 dropped (bad 1)'
  )
  await run.stop()
})

test('a retry runs the processors again, and counts what they take away once', async t => {
  const machine = new Machine(t)
  machine.answer = ({ attempt }) => (attempt < 3 ? retry('refused') : OK)
  const run = await machine.start(PROCESSED, { yaml: true })
  machine.push('app', { drop: 'yes' }, { n: 1 })
  await run.clock.advanceSlowly(100_000, 1000)
  assert.deepEqual(machine.taken(), [{ n: 1, seen: 'yes' }])
  assert.equal(machine.arrivals.length, 3)
  assert.deepEqual(
    ledger(run)['route source.0 > target.0'],
    '2 ingested = 1 delivered + 1 filtered'
  )
  await run.stop()
})

test('where processors took nothing away, a crash between partial answers sends only what was left', async t => {
  const machine = new Machine(t)
  machine.answer = ({ attempt }) => (attempt === 1 ? partial({ retry: [1] }) : retry('refused'))
  const crashed = await machine.start(PROCESSED, { yaml: true })
  machine.push('app', ...bodies(0, 1, 2))
  crashed.flush()
  machine.answer = () => OK
  const run = await machine.start(PROCESSED, { yaml: true })
  await run.until(() => machine.files().length === 0)
  assert.deepEqual(numbersOf(machine.taken()), [0, 2, 1])
  await run.stop()
})

test('where processors took events away, nobody knows which ones were taken: after a crash all are sent again', async t => {
  const machine = new Machine(t)
  machine.answer = ({ attempt }) => (attempt === 1 ? partial({ retry: [1] }) : retry('refused'))
  const crashed = await machine.start(PROCESSED, { yaml: true })
  machine.push('app', { drop: 'yes' }, ...bodies(0, 1, 2))
  crashed.flush()
  machine.answer = () => OK
  const run = await machine.start(PROCESSED, { yaml: true })
  await run.until(() => machine.files().length === 0)
  assert.deepEqual(numbersOf(machine.taken()), [0, 2, 0, 1, 2])
  await run.stop()
})

test('the row of the input counts every event that is given up behind processors that dropped some', async t => {
  const machine = new Machine(t)
  const answers = [
    partial({ retry: [1, 2], drop: [{ reason: 'bad', events: [0] }] }),
    partial({ drop: [{ reason: 'bad', events: [0] }] })
  ]
  machine.answer = () => answers.shift()
  const run = await machine.start(PROCESSED, { yaml: true })
  machine.push('app', { drop: 'yes' }, ...bodies(0, 1, 2))
  await run.clock.advanceSlowly(20_000, 1000)
  assert.deepEqual(ledger(run), {
    'input source.0': '4 ingested = 2 delivered + 2 dropped (bad 2)',
    'route source.0 > target.0': '4 ingested = 1 delivered + 1 filtered + 2 dropped (bad 2)'
  })
  await run.stop()
})

test('the row of the input counts as dropped only what was, where processors dropped some and the rest was taken in part', async t => {
  const machine = new Machine(t)
  machine.answer = ({ attempt }) => (attempt === 1 ? partial({ retry: [1] }) : drop('bad'))
  const run = await machine.start(PROCESSED, { yaml: true })
  machine.push('app', { drop: 'yes' }, ...bodies(0, 1, 2))
  await run.clock.advanceSlowly(20_000, 1000)
  assert.deepEqual(ledger(run), {
    'input source.0': '4 ingested = 3 delivered + 1 dropped (bad 1)',
    'route source.0 > target.0': '4 ingested = 2 delivered + 1 filtered + 1 dropped (bad 1)'
  })
  await run.stop()
})

// --- answers that no output may give

/** What a user's plugin with a mistake answers the first time, for a chunk of four events. */
const WRONG: readonly (readonly [what: string, answer: unknown])[] = [
  ['undefined', undefined],
  ['null', null],
  ['true', true],
  ['the number 200', 200],
  ['the text ok', 'ok'],
  ['an empty object', {}],
  ['a kind in capitals', { kind: 'OK' }],
  ['a kind that does not exist', { kind: 'later', reason: 'x' }],
  ['a partial answer without lists', { kind: 'partial' }],
  ['a partial answer whose retry is no list', { kind: 'partial', retry: 2, drop: [], reason: '' }],
  ['an event beyond the chunk to retry', partial({ retry: [1, 4] })],
  ['an event far beyond the chunk to retry', partial({ retry: [1_000_000] })],
  ['a negative event to retry', partial({ retry: [-1, 2] })],
  ['a fraction of an event to retry', partial({ retry: [1.5] })],
  ['an event to retry that is no number', partial({ retry: [Number.NaN] })],
  ['events to retry in descending order', partial({ retry: [3, 1] })],
  ['an event to retry twice', partial({ retry: [1, 1] })],
  ['an event beyond the chunk to drop', partial({ drop: [{ reason: 'bad', events: [9] }] })],
  ['events to drop in descending order', partial({ drop: [{ reason: 'bad', events: [2, 0] }] })],
  [
    'an event to drop twice',
    partial({
      drop: [
        { reason: 'bad', events: [1] },
        { reason: 'old', events: [1] }
      ]
    })
  ],
  [
    'an event both to retry and to drop',
    partial({ retry: [1], drop: [{ reason: 'bad', events: [1] }] })
  ],
  ['no reason to drop the chunk', { kind: 'drop' }],
  [
    'no reason to drop an event',
    { kind: 'partial', retry: [], drop: [{ events: [0] }], reason: '' }
  ],
  [
    'nothing where events to drop should be',
    { kind: 'partial', retry: [], drop: [null], reason: '' }
  ],
  [
    'no list of events to drop',
    { kind: 'partial', retry: [], drop: [{ reason: 'bad' }], reason: '' }
  ],
  ['a rejection', Promise.reject(new Error('a text'))]
]

for (const [what, answer] of WRONG) {
  // A rejection that nobody has taken yet is no failure of the test.
  if (answer instanceof Promise) answer.catch(() => undefined)
  test(`an output that answers ${what} loses nothing, and gets the whole chunk again`, async t => {
    const machine = new Machine(t)
    machine.answer = ({ attempt, tag }) => (attempt === 1 && tag === 'app' ? answer : OK)
    const run = await machine.start(IN_MEMORY)
    const receipt = machine.push('app', ...bodies(0, 1, 2, 3))
    await run.clock.advanceSlowly(3000, 1000)
    balanced(run)
    assert.equal(receipt.due, 0)
    await run.clock.advanceSlowly(20_000, 1000)
    assert.deepEqual(
      machine.arrivals.map(({ bodies: seen }) => numbersOf(seen)),
      [
        [0, 1, 2, 3],
        [0, 1, 2, 3]
      ]
    )
    assert.equal(receipt.due, 1)
    assert.deepEqual(ledger(run), {
      'input source.0': '4 ingested = 4 delivered',
      'route source.0 > target.0': '4 ingested = 4 delivered'
    })
    assert.ok(run.log.some(line => line.startsWith('[error] [output:target.0]')))
    // The output goes on with what follows.
    machine.push('other', { n: 9 })
    run.flush()
    assert.deepEqual(numbersOf(machine.taken()).at(-1), 9)
    await run.stop()
  })
}

for (const [what, waitMs] of [
  ['no number', Number.NaN],
  ['below zero', -5000],
  ['without end', Number.POSITIVE_INFINITY],
  ['a text', '5 seconds']
] as const) {
  test(`a wait that is ${what} counts as none`, async t => {
    const machine = new Machine(t)
    const times: number[] = []
    machine.answer = () => {
      times.push(run.clock.now())
      return times.length === 1 ? retry('busy', waitMs as number) : OK
    }
    const run = await machine.start(IN_MEMORY)
    machine.push('app', { n: 0 })
    await run.clock.advanceSlowly(60_000, 1000)
    // With a random number of 0.5 the backoff is 9 seconds.
    assert.equal(times[1] - times[0], 9000)
    await run.stop()
  })
}

test('an exception of an output counts as a retry and is reported with its place', async t => {
  const machine = new Machine(t)
  machine.answer = ({ attempt }) => {
    if (attempt === 1) throw new Error('a mistake of the plugin')
    return OK
  }
  const run = await machine.start(IN_MEMORY)
  machine.push('app', { n: 0 })
  await run.clock.advanceSlowly(20_000, 1000)
  assert.deepEqual(machine.taken(), bodies(0))
  const line = run.log.find(text => text.includes('flush failed'))
  assert.match(
    line ?? '',
    /^\[error\] \[output:target\.0\] flush failed: Error: a mistake of the plugin\n {4}at /
  )
  await run.stop()
})
