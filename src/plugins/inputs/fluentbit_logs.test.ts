import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import {
  checkConfiguration,
  type PipelineOptions,
  startPipeline,
  type TestPipeline
} from '../../../test/harness/pipeline.ts'
import type { Logger } from '../../base/log.ts'
import { defineInput, type Plugin } from '../../plugin/define.ts'

const LOGS = '[INPUT]\n    name fluentbit_logs\n    tag logs\n'
const COLLECT = '[OUTPUT]\n    name collect\n    match logs\n'

async function started(
  t: TestContext,
  text: string,
  options: PipelineOptions = {}
): Promise<TestPipeline> {
  const run = await startPipeline(text, options)
  t.after(() => run.stop())
  return run
}

/** An input whose log a test writes to. */
function talker(logs: Logger[]): Plugin {
  return defineInput({
    name: 'talker',
    summary: 'Logs what a test says',
    options: {},
    create: (_, context) => ({ start: () => void logs.push(context.log) })
  })
}

/** Lines of the log as the input makes records of them. */
function recordsOf(lines: readonly string[]): unknown[] {
  return lines.map(line => {
    const [, level, message] = /^\[ *(\w+)\] (.*)$/s.exec(line) ?? []
    return { level, message }
  })
}

test('all lines of the log are records, from when the configuration was read', async t => {
  const run = await started(t, `[INPUT]\n    name lib\n    tag app\n${LOGS}${COLLECT}`)
  run.clock.advance(1000)
  assert.deepEqual(run.bodies, recordsOf(run.log))
  const bodies = run.bodies as { message: string }[]
  assert.match(bodies[0]?.message ?? '', /^\[storage\] ver=/)
  const [first] = run.taken.flatMap(({ events }) => events)
  assert.deepEqual([first?.time, first?.metadata], [[1_700_000_000, 123_000_000], {}])
})

test('what outputs say of deliveries comes too, in the words and with the level of the log', async t => {
  const talkers: Logger[] = []
  const text = `[INPUT]
    name lib
    tag app
${LOGS}${COLLECT}[OUTPUT]
    name collect
    match app
    answer retry
    retry_limit no_retries
`
  const run = await started(t, text, { plugins: [talker(talkers)] })
  run.push('app', { n: 1 })
  run.clock.advance(1000)
  await new Promise(setImmediate)
  run.clock.advance(2000)
  const line = run.log.find(one => one.includes('is not retried'))
  assert.ok(line !== undefined)
  assert.deepEqual(
    run.bodies.filter(body => JSON.stringify(body).includes('is not retried')),
    recordsOf([line])
  )
})

test('lines of plugins in threads come with the others', async t => {
  const text = `[INPUT]
    name lib
    tag app
${LOGS}${COLLECT}[OUTPUT]
    name http
    match app
    host 127.0.0.1
    port 1
    workers 1
    retry_limit no_retries
`
  const run = await started(t, text)
  run.push('app', { n: 1 })
  run.clock.advance(1000)
  await run.until(() => run.log.some(line => line.includes('is not retried')))
  run.clock.advance(2000)
  assert.deepEqual(run.bodies, recordsOf(run.log))
  const message = '[output:http:http.1] no upstream connections available to 127.0.0.1:1'
  assert.ok(run.bodies.some(body => JSON.stringify(body).includes(message)))
})

test('more lines at once than the queue holds are counted, not kept', async t => {
  const talkers: Logger[] = []
  const text = `[INPUT]\n    name talker\n${LOGS}${COLLECT}`
  const run = await started(t, text, { plugins: [talker(talkers)] })
  run.clock.advance(1000)
  const before = run.bodies.length
  for (let n = 0; n < 1100; n++) talkers[0]?.info(`line ${n}`)
  run.clock.advance(1000)
  assert.equal(run.bodies.length - before, 1024)
  const labels = { kind: 'input', name: 'fluentbit_logs.1', reason: 'queue_full' }
  assert.equal(run.counter('spillway_dropped_records_total', labels), 76)
  for (let n = 0; n < 20; n++) talkers[0]?.info('x'.repeat(100_000))
  run.clock.advance(1000)
  assert.equal(run.bodies.length - before, 1024 + 9)
  assert.equal(run.counter('spillway_dropped_records_total', labels), 76 + 11)
  // What was handed on takes no room.
  for (let n = 0; n < 9; n++) talkers[0]?.info('x'.repeat(100_000))
  run.clock.advance(1000)
  assert.equal(run.bodies.length - before, 1024 + 9 + 9)
  assert.equal(run.counter('spillway_dropped_records_total', labels), 76 + 11)
})

test('a filter that logs each record does not do so for ever', async t => {
  const filter = '[FILTER]\n    name expect\n    match logs\n    key_exists none\n    action warn\n'
  const run = await started(t, `${LOGS}${filter}${COLLECT}`)
  run.clock.advance(10_000)
  const own = run.log.filter(line => line.includes('[filter:expect:expect.0]'))
  // Two lines for each record.
  assert.equal(own.length, 2 * run.bodies.length)
  assert.deepEqual(run.bodies, recordsOf(run.log.filter(line => !own.includes(line))))
  const labels = { kind: 'input', name: 'fluentbit_logs.0', reason: 'own_line' }
  assert.equal(run.counter('spillway_dropped_records_total', labels), own.length)
})

test('an output that logs at each delivery makes one delivery of it, not more', async t => {
  const text = `${LOGS}[OUTPUT]
    name collect
    match logs
    answer drop
    log_level debug
[OUTPUT]
    name collect
    match logs
    retry_limit 1
    answer retry
`
  const run = await started(t, text)
  for (let second = 0; second < 100; second++) {
    run.clock.advance(1000)
    await new Promise(setImmediate)
  }
  // A failed delivery a second, each tried twice: three lines.
  assert.ok(run.log.length < 3 * 100 + 20, `${run.log.length} lines`)
})

test('while the input is held back, lines wait', async t => {
  const talkers: Logger[] = []
  const text = `[INPUT]\n    name talker\n${LOGS}    mem_buf_limit 10\n${COLLECT}`
  const run = await started(t, text, { plugins: [talker(talkers)] })
  run.clock.advance(100)
  assert.ok(run.log.some(line => line.includes('fluentbit_logs.1 paused (mem buf overlimit')))
  const read = (): number =>
    run.counter('fluentbit_input_records_total', { name: 'fluentbit_logs.1' })
  const before = read()
  talkers[0]?.info('said meanwhile')
  run.clock.advance(400)
  const said = (): number =>
    run.bodies.filter(body => JSON.stringify(body).includes('said meanwhile')).length
  assert.equal(read(), before)
  run.clock.advance(5000)
  await run.until(() => {
    run.clock.advance(1000)
    return said() === 1
  })
})

test('the last lines before the end are delivered', async () => {
  const run = await startPipeline(`${LOGS}${COLLECT}`)
  await run.stop()
  const messages = run.bodies.map(body => (body as { message: string }).message)
  assert.ok(messages.includes('[engine] pausing all inputs..'))
  assert.deepEqual(run.bodies, recordsOf(run.log).slice(0, run.bodies.length))
})

test('a reload that changes the input loses no line and has none twice', async t => {
  const text = (key: string): string => `${LOGS}${key}${COLLECT}`
  const run = await started(t, text(''))
  await run.reload(text('    mem_buf_limit 1M\n'))
  run.clock.advance(2000)
  assert.deepEqual(run.bodies, recordsOf(run.log))
})

test('threaded has no effect: the log is in the main thread', async () => {
  const { errors, warnings } = await checkConfiguration(`${LOGS}    threaded on\n${COLLECT}`)
  assert.deepEqual(errors, [])
  assert.deepEqual(warnings, [
    'fluent-bit.conf:4:14: Key "threaded" has no effect on input fluentbit_logs: what it reads belongs to the main thread'
  ])
})
