import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import {
  checkConfiguration,
  startPipeline,
  type TestPipeline
} from '../../../test/harness/pipeline.ts'

/** Begins a whole second, so that timers do. */
const NOW_MS = 1_700_000_000_000

async function start(t: TestContext, keys: string): Promise<TestPipeline> {
  const text = `
[SERVICE]
    flush 1
[INPUT]
    name fluentbit_metrics
    tag  own
${keys}
[OUTPUT]
    name stdout
    match own
`
  const run = await startPipeline(text, { nowMs: NOW_MS })
  t.after(() => run.stop())
  return run
}

function scrapes(run: TestPipeline): number {
  return run.counter('fluentbit_input_metrics_scrapes_total', { name: 'fluentbit_metrics.0' })
}

/** How often it has scraped after each second. */
async function course(t: TestContext, keys: string, seconds: number): Promise<number[]> {
  const run = await start(t, keys)
  return Array.from({ length: seconds }, () => {
    run.clock.advance(1000)
    return scrapes(run)
  })
}

test('fluentbit_metrics sends the figures of the program every two seconds', async t => {
  const run = await start(t, '')
  run.clock.advance(2000)
  assert.equal(scrapes(run), 1)
  run.flush()
  await run.until(() => run.pipeline.pendingTasks === 0)
  const lines = run.stdout.trimEnd().split('\n')
  assert.ok(
    lines.includes(
      '2023-11-14T22:13:22.000000000Z fluentbit_input_metrics_scrapes_total{name="fluentbit_metrics.0"} = 1'
    ),
    run.stdout
  )
  assert.ok(
    lines.includes(
      '2023-11-14T22:13:22.000000000Z fluentbit_output_proc_records_total{name="stdout.0"} = 0'
    )
  )
  const labels = { name: 'fluentbit_metrics.0' }
  assert.equal(run.counter('fluentbit_input_records_total', labels), 1)
  run.clock.advance(3000)
  await run.until(() => run.pipeline.pendingTasks === 0)
  assert.ok(
    run.stdout.includes('fluentbit_output_proc_records_total{name="stdout.0"} = 1\n'),
    run.stdout
  )
})

test('scrape_interval says how often', async t => {
  assert.deepEqual(await course(t, '    scrape_interval 3', 7), [0, 0, 1, 1, 1, 2, 2])
})

test('scrape_on_start scrapes once after five seconds, as Fluent Bit does', async t => {
  const keys = '    scrape_interval 3\n    scrape_on_start on'
  assert.deepEqual(await course(t, keys, 11), [0, 0, 1, 1, 2, 3, 3, 3, 4, 4, 4])
})

test('scrape_on_start has no effect on intervals of two seconds or less', async t => {
  const keys = '    scrape_interval 2\n    scrape_on_start on'
  assert.deepEqual(await course(t, keys, 7), [0, 1, 1, 2, 2, 3, 3])
})

test('an interval below a second is refused', async () => {
  const { errors } = await checkConfiguration(
    '[INPUT]\n    name fluentbit_metrics\n    scrape_interval 0\n[OUTPUT]\n    name stdout\n    match *\n'
  )
  assert.deepEqual(errors, [
    'fluent-bit.conf:3:21: Cannot set "scrape_interval" on input fluentbit_metrics: value must be a second or more: current value is 0'
  ])
})
