/** Deliveries as users see them: order, retries, limits, what is dropped and what counts it. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { drop, OK, retry } from '../../src/plugin/delivery.ts'
import { startPipeline } from '../harness/pipeline.ts'

const ONE_OUTPUT = `
[INPUT]
    name  lib
    tag   app
[OUTPUT]
    name         collect
    match        app
    retry_limit  2
`

test('records reach a matching output at the flush, in order, as one chunk for each tag', async () => {
  const run = await startPipeline(`
[INPUT]
    name  lib
    tag   a
[OUTPUT]
    name   collect
    match  *
`)
  run.push('a', { n: 1 })
  run.push('b', { n: 2 })
  run.push('a', { n: 3 })
  assert.equal(run.taken.length, 0)
  run.flush()
  assert.deepEqual(
    run.taken.map(({ tag, events }) => [tag, events.map(event => event.body)]),
    [
      ['a', [{ n: 1 }, { n: 3 }]],
      ['b', [{ n: 2 }]]
    ]
  )
  assert.equal(await run.stop(), 0)
})

test('a failed chunk is sent again after base to base * 2 ** attempt seconds, then given up at the limit', async () => {
  const attempts: number[] = []
  const run = await startPipeline(ONE_OUTPUT, {
    nowMs: 1_700_000_000_000,
    random: () => 0.5,
    answer: () => {
      attempts.push((run.clock.now() - 1_700_000_000_000) / 1000)
      return retry('refused')
    }
  })
  run.push('app', { n: 1 })
  await run.clock.advanceSlowly(60_000, 1000)
  // random 0.5: 5 + floor(0.5 * 6) + 1 = 9 s after the first failure, 5 + floor(0.5 * 16) + 1 = 14 s after the second.
  assert.deepEqual(attempts, [1, 10, 24])
  assert.equal(run.counter('fluentbit_output_retries_total', { name: 'collect.0' }), 2)
  assert.equal(run.counter('fluentbit_output_retries_failed_total', { name: 'collect.0' }), 1)
  assert.equal(run.counter('fluentbit_output_dropped_records_total', { name: 'collect.0' }), 1)
  assert.equal(
    run.counter('spillway_dropped_records_total', {
      kind: 'output',
      name: 'collect.0',
      reason: 'retries_exhausted'
    }),
    1
  )
  const chunk = /chunk '(?<id>[^']+)'/.exec(
    run.log.find(line => line.includes('failed to flush')) ?? ''
  )
  const id = chunk?.groups?.['id'] ?? 'none'
  assert.deepEqual(
    run.log.filter(line => line.includes(id)),
    [
      `[ warn] [engine] failed to flush chunk '${id}', retry in 9 seconds: task_id=0, input=lib.0 > output=collect.0 (out_id=0)`,
      `[ warn] [engine] failed to flush chunk '${id}', retry in 14 seconds: task_id=0, input=lib.0 > output=collect.0 (out_id=0)`,
      `[error] [engine] chunk '${id}' cannot be retried: task_id=0, input=lib.0 > output=collect.0`
    ]
  )
  await run.stop()
})

test('a chunk that succeeds at a retry is reported and counted once', async () => {
  const run = await startPipeline(ONE_OUTPUT, {
    answer: (_, attempt) => (attempt === 1 ? retry('busy') : OK)
  })
  run.push('app', { n: 1 }, { n: 2 })
  await run.clock.advanceSlowly(30_000, 1000)
  assert.deepEqual(run.bodies, [{ n: 1 }, { n: 2 }])
  assert.equal(run.counter('fluentbit_output_proc_records_total', { name: 'collect.0' }), 2)
  assert.ok(
    run.log.some(line =>
      line.includes('succeeded at retry 1: task_id=0, input=lib.0 > output=collect.0 (out_id=0)')
    )
  )
  await run.stop()
})

for (const [limit, expected] of [
  ['no_retries', 1],
  ['1', 2],
  ['3', 4],
  ['', 2],
  ['true', 2],
  ['0', 2]
] as const) {
  test(`retry_limit "${limit}" gives a chunk ${expected} attempts`, async () => {
    let attempts = 0
    const run = await startPipeline(
      ONE_OUTPUT.replace('2\n', limit === '' ? '${EMPTY:-}\n' : `${limit}\n`),
      {
        answer: () => {
          attempts++
          return retry('refused')
        }
      }
    )
    run.push('app', { n: 1 })
    await run.clock.advanceSlowly(200_000, 1000)
    assert.equal(attempts, expected)
    await run.stop()
  })
}

for (const word of ['no_limits', 'false', 'off']) {
  test(`retry_limit ${word} sends a chunk until it is taken`, async () => {
    let attempts = 0
    const run = await startPipeline(ONE_OUTPUT.replace('2\n', `${word}\n`), {
      answer: () => (++attempts < 8 ? retry('refused') : OK)
    })
    run.push('app', { n: 1 })
    await run.clock.advanceSlowly(3_000_000, 1000)
    assert.deepEqual(run.bodies, [{ n: 1 }])
    assert.equal(attempts, 8)
    await run.stop()
  })
}

test('a chunk that an output drops is not sent again, and counts with the reason', async () => {
  const run = await startPipeline(ONE_OUTPUT, { answer: () => drop('bad request') })
  run.push('app', { n: 1 })
  run.flush()
  await run.clock.advanceSlowly(60_000, 1000)
  assert.equal(run.counter('fluentbit_output_errors_total', { name: 'collect.0' }), 1)
  assert.equal(
    run.counter('spillway_dropped_records_total', {
      kind: 'output',
      name: 'collect.0',
      reason: 'bad request'
    }),
    1
  )
  await run.stop()
})

test('an output that fails delays no other', async () => {
  const run = await startPipeline(`
[INPUT]
    name  lib
    tag   app
[OUTPUT]
    name    collect
    match   *
    answer  retry
    alias   dead
[OUTPUT]
    name   collect
    match  *
    alias  alive
`)
  for (let n = 0; n < 5; n++) {
    run.push('app', { n })
    run.flush()
  }
  assert.deepEqual(
    run.bodies,
    [0, 1, 2, 3, 4].map(n => ({ n }))
  )
  await run.stop()
})

test('records whose tag matches no output are dropped and counted', async () => {
  const run = await startPipeline(`
[INPUT]
    name  lib
    tag   app
[OUTPUT]
    name   collect
    match  other.*
`)
  run.push('app', { n: 1 }, { n: 2 })
  run.flush()
  assert.deepEqual(run.taken, [])
  assert.equal(
    run.counter('fluentbit_routing_logs_drop_records_total', {
      input: 'lib.0',
      output: 'unmatched'
    }),
    2
  )
  await run.stop()
})

test('the only output takes everything when it has no match, as there is one input', async () => {
  const run = await startPipeline(`
[INPUT]
    name  lib
    tag   app
[OUTPUT]
    name  collect
`)
  run.push('app', { n: 1 })
  run.flush()
  assert.deepEqual(run.bodies, [{ n: 1 }])
  await run.stop()
})

test('match_regex counts from the start of the tag only', async () => {
  const run = await startPipeline(`
[INPUT]
    name  lib
    tag   kube.x
[OUTPUT]
    name         collect
    match_regex  kube
`)
  run.push('kube.x', { n: 1 })
  run.push('my.kube', { n: 2 })
  run.flush()
  assert.deepEqual(run.bodies, [{ n: 1 }])
  await run.stop()
})

test('a full chunk goes out at once', async () => {
  const run = await startPipeline(ONE_OUTPUT)
  const text = 'x'.repeat(100_000)
  for (let n = 0; n < 21; n++) run.push('app', { text })
  assert.equal(run.bodies.length, 21)
  await run.stop()
})

test('mem_buf_limit pauses the input with the record that crossed it kept, and resumes when there is room', async () => {
  let isOpen = false
  const run = await startPipeline(
    ONE_OUTPUT.replace('tag   app', 'tag   app\n    mem_buf_limit  1K').replace(
      '2\n',
      'no_limits\n'
    ),
    {
      answer: () => (isOpen ? OK : retry('closed'))
    }
  )
  run.push('app', { text: 'x'.repeat(1500) })
  run.flush()
  assert.deepEqual(
    run.log.filter(line => line.includes('paus')),
    [
      '[ warn] [input] lib.0 paused (mem buf overlimit - event of size 1522B exceeded limit 1000 to 1522B)',
      '[ info] [input] pausing lib.0'
    ]
  )
  isOpen = true
  await run.clock.advanceSlowly(60_000, 1000)
  assert.deepEqual(
    run.log.filter(line => line.includes('resume')),
    [
      '[ info] [input] resume lib.0',
      '[ info] [input] lib.0 resume (mem buf overlimit - buf size 0B now below limit 1000B)'
    ]
  )
  assert.equal(run.bodies.length, 1)
  await run.stop()
})

test('a stop delivers what is open, retries at once, and reports what it could not deliver', async () => {
  const run = await startPipeline(`
[SERVICE]
    grace  2
[INPUT]
    name  lib
    tag   app
[OUTPUT]
    name         collect
    retry_limit  no_limits
    answer       retry
`)
  run.push('app', { n: 1 })
  assert.equal(await run.stop(), 0)
  const lines = run.log.filter(
    line => /engine\]|\[input\]|\[task\]/.test(line) && !line.includes('failed to flush')
  )
  assert.deepEqual(lines, [
    '[ info] [engine] Shutdown Grace Period=2, Shutdown Input Grace Period=1',
    '[ warn] [engine] service will shutdown in max 2 seconds',
    '[ info] [engine] pausing all inputs..',
    '[ info] [input] pausing lib.0',
    '[ info] [engine] pending chunk count: memory=1, filesystem=0; grace_timer=1',
    '[ info] [task] lib/lib.0 has 1 pending task(s):',
    '[ info] [task]   task_id=0 still running on route(s): collect/collect.0',
    '[ info] [engine] pending chunk count: memory=1, filesystem=0; grace_timer=2',
    '[ info] [task] lib/lib.0 has 1 pending task(s):',
    '[ info] [task]   task_id=0 still running on route(s): collect/collect.0',
    '[ info] [engine] service has stopped (1 pending tasks)',
    '[error] [engine] not delivered, lost, as there is no storage.path: input=lib.0 > output=collect.0 (1 chunks, 1 records, 17 bytes)',
    '[ info] [input] pausing lib.0'
  ])
  assert.deepEqual(
    run.log.filter(line => line.includes('[ledger]')),
    [
      '[ info] [ledger] input lib.0: 1 ingested + 0 added + 0 recovered = 0 delivered + 0 filtered + 1 dropped (shutdown 1) + 0 buffered',
      '[ info] [ledger] route lib.0 > collect.0: 1 ingested + 0 added + 0 recovered = 0 delivered + 0 filtered + 1 dropped (shutdown 1) + 0 buffered'
    ]
  )
  assert.equal(
    run.counter('spillway_dropped_records_total', {
      kind: 'output',
      name: 'collect.0',
      reason: 'shutdown'
    }),
    1
  )
})
