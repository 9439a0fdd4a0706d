import assert from 'node:assert/strict'
import { test } from 'node:test'
import { filterRecords, section, withEnds } from '../../../test/harness/filter_run.ts'
import { startPipeline, type TestPipeline } from '../../../test/harness/pipeline.ts'

const throttle = (...properties: string[]): string => section('throttle', ...properties)

/** [properties, records of twelve that pass at once], as in Fluent Bit 5.1.1. */
const AT_ONCE = [
  [[], 5],
  [['rate 2', 'window 2'], 4],
  [['rate 1.5', 'window 3'], 5],
  [['rate 1', 'window 1'], 5],
  [['rate 0.5', 'window 3'], 3],
  [['rate 3', 'window 2', 'interval 1m'], 6]
] as const

for (const [properties, expected] of AT_ONCE) {
  test(`throttle with ${properties.join(', ') || 'its defaults'} passes ${expected} records at once`, async () => {
    const input = Array.from({ length: 12 }, (_, index) => ({ index }))
    const { records } = await filterRecords(throttle(...properties), input)
    assert.deepEqual(
      records,
      input.slice(0, expected).map(({ index }) => `{"index"=>${index}}`)
    )
  })
}

/** Pushes records one by one and returns the numbers of those that passed. */
function passed(run: TestPipeline, from: number, to: number): unknown[] {
  const before = run.bodies.length
  for (let index = from; index < to; index++) run.push('app', { index })
  run.flush()
  return run.bodies.slice(before).map(body => (body as { index: number }).index)
}

test('throttle makes room when an interval leaves the window', async () => {
  const run = await startPipeline(withEnds(throttle('rate 3', 'window 2', 'interval 1')))
  // `passed` moves the clock on by a second each time.
  assert.deepEqual(passed(run, 0, 5), [0, 1, 2, 3, 4])
  assert.deepEqual(passed(run, 5, 8), [5])
  assert.deepEqual(passed(run, 8, 20), [8, 9, 10, 11, 12])
  assert.deepEqual(passed(run, 20, 22), [20])
  await run.stop()
})

test('throttle moves its window once an interval, with units', async () => {
  const run = await startPipeline(withEnds(throttle('rate 2', 'window 2', 'interval 0.1m')))
  assert.deepEqual(passed(run, 0, 6), [0, 1, 2, 3])
  run.clock.advance(4000)
  assert.deepEqual(passed(run, 6, 8), [])
  run.clock.advance(6000)
  assert.deepEqual(passed(run, 8, 10), [8, 9])
  await run.stop()
})

test('throttle logs its state at the start of each interval', async () => {
  const run = await startPipeline(
    withEnds(throttle('rate 3', 'window 2', 'print_status on', 'interval 1s')),
    { nowMs: 1_700_000_000_250 }
  )
  for (let index = 0; index < 12; index++) run.push('app', { index })
  run.clock.advance(2000)
  const line = (seconds: number, rate: number): string =>
    `[ info] [filter:throttle:throttle.0] ${seconds}: limit is 3.00 per 1s with window size of 2, ` +
    `current rate is: ${rate} per interval`
  assert.deepEqual(
    run.log.filter(text => text.includes('throttle')),
    [line(1_700_000_000, 0), line(1_700_000_001, 3), line(1_700_000_002, 0)]
  )
  await run.stop()
})

const INTERVALS = ['x', '0', '-5', '2x', '1 m', 's']

for (const interval of INTERVALS) {
  test(`throttle warns of the interval ${interval}`, async () => {
    const { log } = await filterRecords(throttle(`interval ${interval}`), [])
    assert.deepEqual(log, [
      `[ warn] [filter:throttle:throttle.0] invalid time interval ${interval} falling back to default: 1 second`
    ])
  })
}

test('throttle treats an interval below one second as one second', async () => {
  const run = await startPipeline(
    withEnds(throttle('rate 2', 'window 2', 'interval 0.1', 'print_status on'))
  )
  run.clock.advance(3000)
  assert.equal(run.log.filter(text => text.includes('limit is 2.00 per 0.1')).length, 4)
  await run.stop()
})
