/**
 * The account of every event. For each input and each route ingested + added + recovered = delivered + filtered + dropped +
 * buffered, at every moment: after each commit, flush, answer, timer, crash and stop.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Delivery, drop, OK, partial, retry } from '../../src/plugin/delivery.ts'
import { SmallDisk } from '../harness/faulty_disk.ts'
import { balanced, ledger, Machine } from '../harness/machine.ts'
import { seededRandom } from '../harness/random.ts'
import { type PipelineOptions, type TestPipeline } from '../harness/pipeline.ts'

const ENDS = `
[INPUT]
    name  source
    tag   app
[OUTPUT]
    name         target
    match        *
    retry_limit  no_limits
`

const bodies = (...numbers: readonly number[]): { n: number }[] => numbers.map(n => ({ n }))

/** Pushes, and looks at the ledger after the push, the flush and each of so many seconds. */
async function pass(
  machine: Machine,
  run: TestPipeline,
  tag: string,
  events: Parameters<Machine['push']>[1][],
  seconds = 0
): Promise<void> {
  machine.push(tag, ...events)
  balanced(run)
  run.flush()
  balanced(run)
  for (let second = 0; second < seconds; second++) {
    await run.clock.advanceSlowly(1000, 1000)
    balanced(run)
  }
}

test('events are ingested and buffered, then delivered', async t => {
  const machine = new Machine(t)
  const { promise, resolve } = Promise.withResolvers<Delivery>()
  const answers = [retry('refused'), promise]
  machine.answer = () => answers.shift()
  const run = await machine.start(ENDS)
  assert.deepEqual(ledger(run), {})
  machine.push('app', ...bodies(0, 1, 2))
  const buffered = {
    'input source.0': '3 ingested = 3 buffered',
    'route source.0 > target.0': '3 ingested = 3 buffered'
  }
  assert.deepEqual(ledger(run), buffered)
  run.flush()
  assert.deepEqual(ledger(run), buffered)
  await run.clock.advanceSlowly(15_000, 1000)
  assert.deepEqual(ledger(run), buffered)
  resolve(OK)
  await run.until(() => run.pipeline.pendingTasks === 0)
  assert.deepEqual(ledger(run), {
    'input source.0': '3 ingested = 3 delivered',
    'route source.0 > target.0': '3 ingested = 3 delivered'
  })
  await run.stop()
})

test('events that filters drop are filtered, and never come to a route', async t => {
  const machine = new Machine(t)
  const run = await machine.start(
    `${ENDS}[FILTER]\n    name grep\n    match *\n    exclude drop yes\n[FILTER]\n    name grep\n    match *\n    exclude drop later\n`
  )
  await pass(machine, run, 'app', [{ drop: 'yes' }, { n: 0 }, { drop: 'later' }, { drop: 'yes' }])
  await pass(machine, run, 'app', [{ drop: 'yes' }])
  assert.deepEqual(ledger(run), {
    'input source.0': '5 ingested = 1 delivered + 4 filtered',
    'route source.0 > target.0': '1 ingested = 1 delivered'
  })
  await run.stop()
})

test('events that processors of an input drop are filtered', async t => {
  const machine = new Machine(t)
  const run = await machine.start(
    `
pipeline:
  inputs:
    - name: source
      tag: app
      processors: { logs: [ { name: grep, exclude: drop yes } ] }
  filters:
    - { name: grep, match: '*', exclude: drop later }
  outputs:
    - { name: target, match: '*' }
`,
    { yaml: true }
  )
  await pass(machine, run, 'app', [{ drop: 'yes' }, { n: 0 }, { drop: 'later' }])
  assert.deepEqual(ledger(run), {
    'input source.0': '3 ingested = 1 delivered + 2 filtered',
    'route source.0 > target.0': '1 ingested = 1 delivered'
  })
  await run.stop()
})

test('events that processors of an output drop are filtered on the way to it alone', async t => {
  const machine = new Machine(t)
  machine.answer = ({ attempt }) => (attempt === 1 ? retry('refused') : OK)
  const run = await machine.start(
    `
pipeline:
  inputs:
    - { name: source, tag: app }
  outputs:
    - name: target
      match: '*'
      processors: { logs: [ { name: grep, exclude: drop yes } ] }
    - { name: target, match: '*' }
`,
    { yaml: true }
  )
  await pass(machine, run, 'app', [{ drop: 'yes' }, { n: 0 }], 15)
  assert.deepEqual(ledger(run), {
    'input source.0': '2 ingested = 2 delivered',
    'route source.0 > target.0': '2 ingested = 1 delivered + 1 filtered',
    'route source.0 > target.1': '2 ingested = 2 delivered'
  })
  await run.stop()
})

test('a chunk of which an output processor leaves nothing ends as filtered', async t => {
  const machine = new Machine(t)
  const run = await machine.start(
    `
pipeline:
  inputs:
    - { name: source, tag: app }
  outputs:
    - name: target
      match: '*'
      processors: { logs: [ { name: grep, exclude: drop yes } ] }
`,
    { yaml: true }
  )
  await pass(machine, run, 'app', [{ drop: 'yes' }, { drop: 'yes' }])
  assert.deepEqual(ledger(run), {
    'input source.0': '2 ingested = 2 delivered',
    'route source.0 > target.0': '2 ingested = 2 filtered'
  })
  await run.stop()
})

test('events that no output wants are dropped as unmatched, those of routable false as not_routable', async t => {
  const machine = new Machine(t)
  const unmatched = await machine.start(ENDS.replace('match        *', 'match        other'))
  await pass(machine, unmatched, 'app', bodies(0, 1))
  await pass(machine, unmatched, 'other', bodies(2))
  assert.deepEqual(ledger(unmatched), {
    'input source.0': '3 ingested = 1 delivered + 2 dropped (unmatched 2)',
    'route source.0 > target.0': '1 ingested = 1 delivered'
  })
  await unmatched.stop()
  const hidden = await machine.start(ENDS.replace('tag   app', 'tag   app\n    routable false'))
  await pass(machine, hidden, 'app', bodies(0, 1))
  assert.deepEqual(ledger(hidden), {
    'input source.0': '2 ingested = 2 dropped (not_routable 2)'
  })
  await hidden.stop()
})

const ROUTES = `
pipeline:
  inputs:
    - name: source
      tag: app
      routes:
        logs:
          - name: errors
            condition: { rules: [ { field: $level, op: eq, value: error } ] }
            to: { outputs: [ alarm ] }
          - name: slow
            condition: { rules: [ { field: $ms, op: gt, value: 100 } ] }
            to: { outputs: [ alarm, archive ] }
          - name: rest
            condition: { default: true }
            to: { outputs: [ archive ] }
  outputs:
    - { name: target, alias: alarm }
    - { name: target, alias: archive }
`

test('what conditional routes make of one event more is added', async t => {
  const machine = new Machine(t)
  machine.answer = ({ output, attempt }) =>
    output === 'archive' && attempt === 1 ? retry('refused') : OK
  const run = await machine.start(ROUTES, { yaml: true })
  await pass(
    machine,
    run,
    'app',
    [
      { level: 'error', ms: 500 },
      { level: 'error' },
      { level: 'info' },
      { level: 'info', ms: 500 }
    ],
    15
  )
  assert.deepEqual(ledger(run), {
    'input source.0': '4 ingested + 1 added = 5 delivered',
    'route source.0 > alarm': '4 ingested = 4 delivered',
    'route source.0 > archive': '3 ingested = 3 delivered'
  })
  await run.stop()
})

test('events that no conditional route wants are dropped as unmatched', async t => {
  const machine = new Machine(t)
  const run = await machine.start(ROUTES.replace(/ {10}- name: rest[^]*?archive \] \}\n/, ''), {
    yaml: true
  })
  await pass(machine, run, 'app', [{ level: 'error', ms: 500 }, { level: 'info' }])
  assert.deepEqual(ledger(run), {
    'input source.0': '2 ingested + 1 added = 2 delivered + 1 dropped (unmatched 1)',
    'route source.0 > alarm': '2 ingested = 2 delivered',
    'route source.0 > archive': '1 ingested = 1 delivered'
  })
  await run.stop()
})

test('a plain route beside conditional ones takes every event as well', async t => {
  const machine = new Machine(t)
  const run = await machine.start(
    ROUTES.replace(
      '          - name: slow',
      '          - name: all\n            to: { outputs: [ copy ] }\n          - name: slow'
    ).replace('outputs:\n    -', 'outputs:\n    - { name: target, alias: copy }\n    -'),
    { yaml: true }
  )
  await pass(machine, run, 'app', [{ level: 'error', ms: 500 }, { level: 'info' }])
  assert.deepEqual(ledger(run), {
    'input source.0': '2 ingested + 3 added = 5 delivered',
    'route source.0 > copy': '2 ingested = 2 delivered',
    'route source.0 > alarm': '2 ingested = 2 delivered',
    'route source.0 > archive': '2 ingested = 2 delivered'
  })
  await run.stop()
})

test('processors of a conditional route filter its copies', async t => {
  const machine = new Machine(t)
  const run = await machine.start(
    ROUTES.replace(
      'to: { outputs: [ alarm, archive ] }',
      'processors: [ { name: grep, exclude: drop yes } ]\n            to: { outputs: [ alarm, archive ] }'
    ),
    { yaml: true }
  )
  await pass(machine, run, 'app', [
    { level: 'error', ms: 500, drop: 'yes' },
    { level: 'info', ms: 500 }
  ])
  assert.deepEqual(ledger(run), {
    'input source.0': '2 ingested + 1 added = 2 delivered + 1 filtered',
    'route source.0 > alarm': '2 ingested = 2 delivered',
    'route source.0 > archive': '1 ingested = 1 delivered'
  })
  await run.stop()
})

for (const [keeps, row] of [
  ['false', '3 ingested = 1 delivered + 2 filtered'],
  ['true', '3 ingested = 3 delivered']
] as const) {
  test(`what rewrite_tag sends on, keeping ${keeps}, is added at its emitter`, async t => {
    const machine = new Machine(t)
    machine.answer = ({ attempt }) => (attempt === 1 ? retry('refused') : OK)
    const run = await machine.start(
      `${ENDS}[FILTER]\n    name rewrite_tag\n    match app\n    rule $n ^x$ new ${keeps}\n`
    )
    await pass(machine, run, 'app', [{ n: 'x' }, { n: 'y' }, { n: 'x' }], 15)
    const kept = keeps === 'true' ? 3 : 1
    assert.deepEqual(ledger(run), {
      'input source.0': row,
      'input emitter_for_rewrite_tag.0': '2 added = 2 delivered',
      'route source.0 > target.0': `${kept} ingested = ${kept} delivered`,
      'route emitter_for_rewrite_tag.0 > target.0': '2 ingested = 2 delivered'
    })
    await run.stop()
  })
}

test('records that go round between two filters for ever balance, too', async t => {
  const machine = new Machine(t)
  const run = await machine.start(
    `${ENDS}
[FILTER]
    name   rewrite_tag
    match  app
    rule   $n . b false
[FILTER]
    name   rewrite_tag
    match  b
    rule   $n . app false
`
  )
  await pass(machine, run, 'app', [{ n: 'x' }, { n: 'x' }], 3)
})

test('the emitter that has no room leaves events where they were', async t => {
  const machine = new Machine(t)
  machine.answer = () => retry('refused')
  const run = await machine.start(
    `${ENDS}[FILTER]\n    name rewrite_tag\n    match app\n    rule $n . new false\n    emitter_mem_buf_limit 50\n`
  )
  await pass(
    machine,
    run,
    'app',
    Array.from({ length: 5 }, () => ({ n: 'x' })),
    3
  )
  assert.deepEqual(ledger(run)['input emitter_for_rewrite_tag.0'], '2 added = 2 buffered')
})

for (const [what, answer, reason, limit] of [
  ['drops', () => drop('bad request'), 'bad request', 'no_limits'],
  ['may not retry', () => retry('refused'), 'no_retries', 'no_retries'],
  ['has no retries left', () => retry('refused'), 'retries_exhausted', '2'],
  [
    'throws for ever',
    () => {
      throw new Error('a mistake')
    },
    'retries_exhausted',
    '1'
  ],
  ['gives no answer', () => undefined, 'retries_exhausted', '1']
] as readonly (readonly [string, () => unknown, string, string])[]) {
  test(`what an output ${what} is dropped with the reason, for its route and for the input`, async t => {
    const machine = new Machine(t)
    machine.answer = answer
    const run = await machine.start(ENDS.replace('no_limits', limit))
    await pass(machine, run, 'app', bodies(0, 1), 60)
    assert.deepEqual(ledger(run), {
      'input source.0': `2 ingested = 2 dropped (${reason} 2)`,
      'route source.0 > target.0': `2 ingested = 2 dropped (${reason} 2)`
    })
    assert.equal(
      run.counter('spillway_dropped_records_total', { kind: 'output', name: 'target.0', reason }),
      2
    )
    await run.stop()
  })
}

test('what one output took and another dropped is dropped for the input, by the first reason', async t => {
  const machine = new Machine(t)
  machine.answer = ({ output }) => (output === 'target.0' ? OK : drop('late'))
  const two = `${ENDS}[OUTPUT]\n    name target\n    match *\n[OUTPUT]\n    name target\n    match *\n`
  const run = await machine.start(two)
  await pass(machine, run, 'app', bodies(0, 1))
  assert.deepEqual(ledger(run), {
    'input source.0': '2 ingested = 2 dropped (late 2)',
    'route source.0 > target.0': '2 ingested = 2 delivered',
    'route source.0 > target.1': '2 ingested = 2 dropped (late 2)',
    'route source.0 > target.2': '2 ingested = 2 dropped (late 2)'
  })
  await run.stop()
})

test('two inputs have accounts of their own', async t => {
  const machine = new Machine(t)
  const run = await machine.start(
    `${ENDS}[INPUT]\n    name source\n    tag other\n    alias second\n`
  )
  await pass(machine, run, 'app', bodies(0))
  await pass(machine, run, 'other', bodies(1, 2))
  assert.deepEqual(ledger(run), {
    'input source.0': '1 ingested = 1 delivered',
    'input second': '2 ingested = 2 delivered',
    'route source.0 > target.0': '1 ingested = 1 delivered',
    'route second > target.0': '2 ingested = 2 delivered'
  })
  await run.stop()
})

// --- on disk

const STORED = `
[SERVICE]
    storage.path  STORE
${ENDS.replace('tag   app', 'tag   app\n    storage.type filesystem')}
[OUTPUT]
    name         target
    match        *
    retry_limit  no_limits
`

test('after a crash what the store holds is recovered, for the input and for the routes that want it', async t => {
  const machine = new Machine(t)
  machine.answer = ({ output }) => (output === 'target.0' ? OK : retry('refused'))
  const crashed = await machine.start(STORED)
  await pass(machine, crashed, 'app', bodies(0, 1))
  machine.push('app', ...bodies(2))
  assert.deepEqual(ledger(crashed), {
    'input source.0': '3 ingested = 3 buffered',
    'route source.0 > target.0': '3 ingested = 2 delivered + 1 buffered',
    'route source.0 > target.1': '3 ingested = 3 buffered'
  })
  const run = await machine.start(STORED)
  while (run.pipeline.pendingTasks < 2) {
    balanced(run)
    await new Promise(resolve => setImmediate(resolve))
  }
  await pass(machine, run, 'app', bodies(3))
  assert.deepEqual(ledger(run), {
    'input source.0': '1 ingested + 3 recovered = 4 buffered',
    'route source.0 > target.0': '1 ingested + 1 recovered = 2 delivered',
    'route source.0 > target.1': '1 ingested + 3 recovered = 4 buffered'
  })
  await run.stop()
  const printed = run.log.filter(line => line.includes('[ledger]'))
  assert.deepEqual(printed, [
    '[ info] [ledger] input source.0: 1 ingested + 0 added + 3 recovered = 0 delivered + 0 filtered + 0 dropped + 4 buffered',
    '[ info] [ledger] route source.0 > target.1: 1 ingested + 0 added + 3 recovered = 0 delivered + 0 filtered + 0 dropped + 4 buffered',
    '[ info] [ledger] route source.0 > target.0: 1 ingested + 0 added + 1 recovered = 2 delivered + 0 filtered + 0 dropped + 0 buffered'
  ])
})

test('what is on disk of an input that is gone has an account', async t => {
  const machine = new Machine(t)
  machine.answer = () => retry('refused')
  const crashed = await machine.start(STORED.replace('tag   app', 'tag app\n    alias gone'))
  await pass(machine, crashed, 'app', bodies(0, 1))
  machine.answer = () => OK
  const run = await machine.start(STORED)
  await run.until(() => machine.files().length === 0)
  assert.deepEqual(ledger(run), {
    'input gone': '2 recovered = 2 delivered',
    'route gone > target.0': '2 recovered = 2 delivered',
    'route gone > target.1': '2 recovered = 2 delivered'
  })
  await run.stop()
})

test('the ledger balances while the disk is full', async t => {
  const machine = new Machine(t)
  machine.answer = ({ attempt }) => (attempt < 3 ? retry('refused') : OK)
  const small = new SmallDisk()
  const run = await machine.start(STORED, { disk: small.disk })
  await pass(machine, run, 'app', bodies(0), 2)
  small.room = 50
  await pass(machine, run, 'app', bodies(1, 2), 5)
  small.room = Number.POSITIVE_INFINITY
  await pass(machine, run, 'app', bodies(3), 100)
  assert.deepEqual(ledger(run), {
    'input source.0': '4 ingested = 4 delivered',
    'route source.0 > target.0': '4 ingested = 4 delivered',
    'route source.0 > target.1': '4 ingested = 4 delivered'
  })
  await run.stop()
})

// --- everything at once

/** A configuration with all of the above. */
const EVERYTHING = `
service:
  storage.path: STORE
  storage.max_chunks_up: 3
  storage.backlog.mem_limit: 200
pipeline:
  inputs:
    - name: source
      tag: app
      storage.type: filesystem
      processors: { logs: [ { name: grep, exclude: drop early } ] }
    - { name: source, tag: ring, storage.type: memrb, mem_buf_limit: 200 }
    - name: source
      tag: split
      storage.type: filesystem
      routes:
        logs:
          - name: errors
            condition: { rules: [ { field: $level, op: eq, value: error } ] }
            to: { outputs: [ one ] }
          - name: slow
            condition: { rules: [ { field: $ms, op: gt, value: 100 } ] }
            processors: [ { name: grep, exclude: drop late } ]
            to: { outputs: [ one, two ] }
    - { name: source, tag: nowhere, routable: false }
  filters:
    - { name: grep, match: '*', exclude: drop filter }
    - name: rewrite_tag
      match: app
      rule: $again ^yes$ new.$TAG true
      emitter_storage.type: filesystem
  outputs:
    - name: target
      alias: one
      match: '*'
      retry_limit: 3
      storage.total_limit_size: 300
    - name: target
      alias: two
      match_regex: app|new
      retry_limit: no_limits
      processors: { logs: [ { name: grep, exclude: drop output } ] }
`

for (const seed of [1, 2, 3, 4, 5, 6, 7, 8]) {
  test(`with everything at once, random answers and crashes, the ledger balances at every step (seed ${seed})`, async t => {
    const random = seededRandom(seed)
    const pickOne = <T>(items: readonly T[]): T => items[Math.floor(random() * items.length)]
    const machine = new Machine(t)
    const late: (() => void)[] = []
    machine.answer = ({ bodies: seen }) => {
      const fate = random()
      if (fate < 0.3) return OK
      if (fate < 0.5) return retry('refused')
      if (fate < 0.55) return drop('bad')
      if (fate < 0.6) throw new Error('a mistake')
      if (fate < 0.75) {
        return new Promise<Delivery>(
          resolve => void late.push(() => resolve(pickOne([OK, retry('late')])))
        )
      }
      const all = seen.map((_, index) => index)
      const again = all.filter(() => random() < 0.4)
      const rest = all.filter(index => !again.includes(index) && random() < 0.3)
      return partial({ retry: again, drop: [{ reason: 'partly', events: rest }] })
    }
    const event = (): Record<string, string | number> => ({
      n: Math.floor(random() * 100),
      drop: pickOne(['no', 'no', 'no', 'early', 'filter', 'output', 'late']),
      again: pickOne(['yes', 'no']),
      level: pickOne(['error', 'info']),
      ms: pickOne([1, 500])
    })
    const options: PipelineOptions = { yaml: true, random }
    for (let restart = 0; restart < 4; restart++) {
      const run = await machine.start(EVERYTHING, options)
      for (let step = 0; step < 60; step++) {
        const what = random()
        if (what < 0.5) {
          const count = 1 + Math.floor(random() * 4)
          machine.push(
            pickOne(['app', 'ring', 'split', 'nowhere']),
            ...Array.from({ length: count }, event)
          )
        } else if (what < 0.8) run.clock.advance(Math.floor(random() * 4000))
        else late.shift()?.()
        balanced(run)
        await new Promise(resolve => setImmediate(resolve))
        balanced(run)
      }
      if (restart % 2 === 1) {
        await run.stop()
        balanced(run)
        assert.deepEqual(
          run.log.filter(line => line.includes('BUG')),
          []
        )
      }
    }
  })
}
