import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { isDeepStrictEqual } from 'node:util'
import type { Family } from '../../src/metrics/registry.ts'
import type { InputContext } from '../../src/plugin/context.ts'
import { defineFilter, defineInput, type Plugin } from '../../src/plugin/define.ts'
import { writeEventHeader } from '../../src/record/event.ts'
import {
  checkConfiguration,
  type PipelineOptions,
  startPipeline,
  type TestPipeline
} from '../harness/pipeline.ts'
import { freePort } from '../harness/peers.ts'

const RECORDED = join(import.meta.dirname, '../data/monitoring')

/** Families that belong to the program, which these tests have not. */
const OF_THE_PROGRAM = /^fluentbit_(?:uptime|hot_reloaded|process_start|build_info)/

/** What depends on the time that things took, or is counted otherwise on purpose (docs/differences.md). */
const OTHER_VALUES =
  /^fluentbit_(?:logger_|storage_|input_(?:rate_|storage_)|filter_(?:bytes|drop_bytes)_|output_(?:retries_|retried_|chunk_|latency|backpressure))/

test('all series of Fluent Bit are there, with its help texts, labels and values', async t => {
  const folder = mkdtempSync(join(tmpdir(), 'spillway-series-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  const text = readFileSync(join(RECORDED, 'series.yaml'), 'utf8')
  const environment = { FOLDER: folder, PORT: String(await freePort()) }
  const run = await startPipeline(text, { yaml: true, environment })
  t.after(() => run.stop())
  run.clock.advance(5000)
  // The threaded input has the machine's clock.
  const drops = { input: 'dummy.5', output: 'unmatched' }
  await run.until(
    () =>
      run.counter('fluentbit_routing_logs_drop_records_total', drops) === 2 &&
      run.counter('fluentbit_output_dropped_records_total', { name: 'http.3' }) === 2 &&
      run.counter('fluentbit_output_retries_total', { name: 'http.2' }) > 0
  )
  const theirs = recorded(readFileSync(join(RECORDED, 'series.prom'), 'utf8'))
  const ours = shown(run)
  const wanted = [...theirs].filter(([name]) => !OF_THE_PROGRAM.test(name))
  for (const [name, { help, type, series }] of wanted) {
    const family = ours.get(name)
    assert.deepEqual([name, family?.help, family?.type], [name, help, type])
    const keys = [...(family?.series.keys() ?? [])]
    for (const [key, value] of series) {
      assert.ok(keys.includes(key), `${name}{${key}} is missing, there are: ${keys.join(' ')}`)
      if (!OTHER_VALUES.test(name)) {
        assert.equal(family?.series.get(key), value, `${name}{${key}}`)
      }
    }
  }
  assert.equal(wanted.length, 60)
})

interface ShownFamily {
  readonly help: string
  readonly type: string
  /** Values by labels as the text has them; of histograms how many were observed. */
  readonly series: ReadonlyMap<string, number>
}

/** What a text of Prometheus says. */
function recorded(text: string): Map<string, ShownFamily> {
  const families = new Map<string, ShownFamily>()
  for (const block of text.split(/^# HELP /m).slice(1)) {
    const [head = '', type = '', ...lines] = block.trimEnd().split('\n')
    const name = head.slice(0, head.indexOf(' '))
    const series = new Map<string, number>()
    for (const line of lines) {
      const match = /^(?<full>\w+)(?:\{(?<labels>.*)\})? (?<value>\S+)$/.exec(line)
      assert.ok(match?.groups !== undefined, line)
      const { full, labels = '', value } = match.groups
      if (full === name || full === `${name}_count`) series.set(labels, Number(value))
    }
    families.set(name, {
      help: head.slice(head.indexOf(' ') + 1),
      type: type.slice(type.lastIndexOf(' ') + 1),
      series
    })
  }
  return families
}

function shown(run: TestPipeline): Map<string, ShownFamily> {
  return new Map(
    [...run.metrics.families()].map(({ name, help, type, series }: Family) => [
      name,
      {
        help,
        type,
        series: new Map(
          series.map(({ labels, figure }) => [
            Object.entries(labels)
              .map(([label, value]) => `${label}="${value}"`)
              .join(','),
            'count' in figure ? figure.count : figure.value
          ])
        )
      }
    ])
  )
}

/** Values of a family by its labels' values. */
function values(run: TestPipeline, name: string): Record<string, number> {
  const family = [...run.metrics.families()].find(one => one.name === name)
  return Object.fromEntries(
    (family?.series ?? []).map(({ labels, figure }) => [
      Object.values(labels).join(' '),
      'count' in figure ? figure.count : figure.value
    ])
  )
}

/** A pipeline that is stopped at the end of the test. */
async function started(
  t: { after(end: () => unknown): void },
  text: string,
  options: PipelineOptions = {}
): Promise<TestPipeline> {
  const run = await startPipeline(text, options)
  t.after(() => run.stop())
  return run
}

const LIB = '[INPUT]\n    name lib\n    tag app\n'
const COLLECT = '[OUTPUT]\n    name collect\n    match app\n'

test('rates are those of the last whole window, per second', async t => {
  const run = await started(t, `${LIB}    rate_window 2s\n${COLLECT}`)
  const rates = (): unknown[] => [
    values(run, 'fluentbit_input_rate_records'),
    values(run, 'fluentbit_input_rate_bytes')
  ]
  assert.deepEqual(rates(), [{ 'lib.0': 0 }, { 'lib.0': 0 }])
  run.push('app', { n: 1 }, { n: 2 }, { n: 3 }, { n: 4 })
  const bytes = run.counter('fluentbit_input_bytes_total', { name: 'lib.0' })
  assert.deepEqual(rates(), [{ 'lib.0': 0 }, { 'lib.0': 0 }])
  run.clock.advance(2000)
  assert.deepEqual(rates(), [{ 'lib.0': 2 }, { 'lib.0': bytes / 2 }])
  run.clock.advance(2000)
  assert.deepEqual(rates(), [{ 'lib.0': 0 }, { 'lib.0': 0 }])
})

test('the rate gate shows that it is closed, and the chunks and retries that lower its limits', async t => {
  const gate = '    rate_gate on\n    rate_gate.max_records 3\n'
  const run = await started(t, `${LIB}${gate}${COLLECT}    retry_limit 3\n    answer retry\n`)
  const figures = (): unknown[] =>
    [
      'rate_gate_limited',
      'rate_gate_busy_chunks',
      'rate_gate_retry_attempts',
      'ingestion_paused'
    ].map(what => values(run, `fluentbit_input_${what}`)['lib.0'])
  assert.deepEqual(figures(), [0, 0, 0, 0])
  run.push('app', { n: 1 }, { n: 2 })
  run.clock.advance(1000)
  await run.until(() => values(run, 'fluentbit_input_rate_gate_retry_attempts')['lib.0'] === 1)
  assert.deepEqual(figures(), [0, 1, 1, 0])
  run.push('app', { n: 3 }, { n: 4 })
  assert.deepEqual(figures(), [1, 1, 1, 1])
})

test('without backpressure in the rate gate its figures are 0', async t => {
  const gate = '    rate_gate on\n    rate_gate.backpressure off\n'
  const run = await started(t, `${LIB}${gate}${COLLECT}    retry_limit 3\n    answer retry\n`)
  run.push('app', { n: 1 })
  run.clock.advance(1000)
  await run.until(() => run.counter('fluentbit_output_retries_total', { name: 'collect.0' }) === 1)
  assert.deepEqual(values(run, 'fluentbit_input_rate_gate_busy_chunks'), { 'lib.0': 0 })
  assert.deepEqual(values(run, 'fluentbit_input_rate_gate_retry_attempts'), { 'lib.0': 0 })
})

test('ingestion_paused is 1 while mem_buf_limit holds the input back', async t => {
  const run = await started(t, `${LIB}    mem_buf_limit 20\n${COLLECT}`)
  run.push('app', { text: 'longer than the limit' })
  assert.deepEqual(values(run, 'fluentbit_input_ingestion_paused'), { 'lib.0': 1 })
  run.flush()
  await run.until(() => values(run, 'fluentbit_input_ingestion_paused')['lib.0'] === 0)
})

test('a route counts what was delivered and what was lost, with the events that processors left', async t => {
  const output = `${LIB}[OUTPUT]
    name collect
    alias sink
    match app
    retry_limit no_retries
`
  let answer: 'ok' | 'drop' | 'retry' = 'ok'
  const run = await started(t, output, { answer: () => ({ kind: answer, reason: 'no' }) })
  for (const [round, next] of (['ok', 'drop', 'retry', 'ok'] as const).entries()) {
    answer = next
    run.push('app', { n: 1 }, { n: 2 })
    run.flush()
    const settled = (): number =>
      (values(run, 'fluentbit_routing_logs_records_total')['lib.0 sink'] ?? 0) +
      (values(run, 'fluentbit_routing_logs_drop_records_total')['lib.0 sink'] ?? 0)
    await run.until(() => settled() === 2 * (round + 1))
  }
  const bytes = run.counter('fluentbit_input_bytes_total', { name: 'lib.0' })
  assert.deepEqual(
    ['records', 'bytes', 'drop_records', 'drop_bytes'].map(what =>
      values(run, `fluentbit_routing_logs_${what}_total`)
    ),
    [
      { 'lib.0 sink': 4 },
      { 'lib.0 sink': bytes / 2 },
      { 'lib.0 sink': 4 },
      { 'lib.0 sink': bytes / 2 }
    ]
  )
})

test('latency_seconds is the age of chunks when they are delivered, by input', async t => {
  const run = await started(t, `${LIB}${COLLECT}`, {
    answer: (_, attempt) => (attempt === 1 ? { kind: 'retry', reason: 'no' } : { kind: 'ok' })
  })
  run.push('app', { n: 1 })
  run.flush()
  const waits = (): Record<string, number> =>
    values(run, 'fluentbit_output_backpressure_wait_seconds')
  await run.until(() => waits()['collect.0'] === 1)
  assert.deepEqual(values(run, 'fluentbit_output_latency_seconds'), {})
  run.clock.advance(60_000)
  await run.until(() => values(run, 'fluentbit_output_latency_seconds')['lib.0 collect.0'] === 1)
  const histograms = [...run.metrics.families()].filter(({ type }) => type === 'histogram')
  const [wait, latency] = histograms.map(({ series }) => series[0]?.figure)
  const seconds = Number(/retry in (\d+) seconds/.exec(run.log.join('\n'))?.[1])
  assert.ok(seconds > 0)
  assert.ok(wait !== undefined && 'sum' in wait && latency !== undefined && 'sum' in latency)
  assert.equal(wait.sum, seconds)
  // A second until the flush, then the wait.
  assert.ok(Math.abs(latency.sum - (1 + seconds)) < 0.001, `${latency.sum}`)
  assert.deepEqual(wait.bounds, [0.01, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 15, 30, 60])
  assert.deepEqual(latency.bounds, [0.5, 1, 1.5, 2.5, 5, 10, 20, 30])
})

test('chunk_available_capacity_percent is what storage.total_limit_size leaves', async t => {
  const text = `[SERVICE]
    storage.path \${FOLDER}
${LIB}    storage.type filesystem
${COLLECT}    storage.total_limit_size 1k
    answer retry
    retry_limit no_limits
[OUTPUT]
    name collect
    alias free
    match app
`
  const folder = mkdtempSync(join(tmpdir(), 'spillway-series-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  const run = await started(t, text, { environment: { FOLDER: folder } })
  const left = (): unknown => values(run, 'fluentbit_output_chunk_available_capacity_percent')
  assert.deepEqual(left(), { 'collect.0': 100, free: 100 })
  run.push('app', { text: 'x'.repeat(200) })
  const bytes = run.counter('fluentbit_input_bytes_total', { name: 'lib.0' })
  assert.deepEqual(left(), { 'collect.0': 100 * (1 - bytes / 1000), free: 100 })
})

test('the backlog counts what it found, as an input', async t => {
  const folder = mkdtempSync(join(tmpdir(), 'spillway-series-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  const text = (answer: string): string => `[SERVICE]
    storage.path \${FOLDER}
    grace 0
${LIB}    storage.type filesystem
${COLLECT}    answer ${answer}
    retry_limit no_limits
`
  const environment = { FOLDER: folder }
  const first = await startPipeline(text('retry'), { environment })
  first.push('app', { n: 1 }, { n: 2 })
  await first.stop()
  const run = await started(t, text('ok'), { environment })
  const route = 'storage_backlog.1 collect.0'
  await run.until(() => values(run, 'fluentbit_routing_logs_records_total')[route] === 2)
  assert.deepEqual(values(run, 'fluentbit_input_records_total'), {
    'lib.0': 0,
    'storage_backlog.1': 2
  })
  assert.deepEqual(values(run, 'fluentbit_output_latency_seconds'), { [route]: 1 })
})

test('an output that drops in its processors has processed what they left', async t => {
  const text = `
pipeline:
  inputs:
    - name: lib
      tag: app
      processors:
        logs:
          - name: modify
            add: a b
            condition:
              op: and
              rules:
                - field: $n
                  op: eq
                  value: none
          - name: grep
            exclude: n ^1$
  outputs:
    - name: collect
      match: app
      processors:
        logs:
          - name: grep
            exclude: n ^2$
`
  const run = await started(t, text, { yaml: true })
  run.push('app', { n: '1' }, { n: '2' }, { n: '3' }, { n: '4' })
  run.flush()
  await run.until(() => run.bodies.length === 2)
  assert.deepEqual(values(run, 'fluentbit_output_proc_records_total'), { 'collect.0': 2 })
  const modifyIn = 'input lib.0 modify 0 logs'
  const grepIn = 'input lib.0 grep 1 logs'
  const grepOut = 'output collect.0 grep 0 logs'
  const counted = (what: string): unknown => values(run, `fluentbit_processor_${what}_total`)
  assert.deepEqual(counted('invocations'), { [grepOut]: 1, [modifyIn]: 1, [grepIn]: 1 })
  assert.deepEqual(counted('items_in'), { [grepOut]: 3, [modifyIn]: 4, [grepIn]: 4 })
  assert.deepEqual(counted('items_out'), { [grepOut]: 2, [modifyIn]: 4, [grepIn]: 3 })
  assert.deepEqual(counted('items_drop'), { [grepOut]: 1, [grepIn]: 1, [modifyIn]: 0 })
  assert.deepEqual(counted('items_add'), { [grepOut]: 0, [grepIn]: 0, [modifyIn]: 0 })
  assert.deepEqual(counted('errors'), { [grepOut]: 0, [grepIn]: 0, [modifyIn]: 0 })
  // A condition does not hide events from the counters, as in Fluent Bit.
  assert.equal(run.counter('fluentbit_filter_records_total', { name: 'modify.0' }), 4)
})

test('filters count the bytes of what they made of the records, and none where they changed nothing', async t => {
  const filters = `[FILTER]
    name modify
    match app
    condition key_exists b
    add more text
[FILTER]
    name stdout
    match app
[FILTER]
    name grep
    match app
    exclude a ^2$
`
  const run = await started(t, `${LIB}${filters}${COLLECT}`)
  const bytes = (): unknown => values(run, 'fluentbit_filter_bytes_total')
  run.push('app', { a: '1' })
  run.flush()
  await run.until(() => run.bodies.length === 1)
  assert.deepEqual(bytes(), { 'modify.0': 0, 'stdout.1': 0, 'grep.2': 0 })
  const before = run.counter('fluentbit_output_proc_bytes_total', { name: 'collect.0' })
  run.push('app', { a: '1', b: '1' }, { a: '2', b: '1' })
  run.flush()
  await run.until(() => run.bodies.length === 2)
  const out = run.counter('fluentbit_output_proc_bytes_total', { name: 'collect.0' }) - before
  assert.deepEqual(bytes(), { 'modify.0': 2 * out, 'stdout.1': 0, 'grep.2': out })
})

test('a processor that throws has an error for each batch, and its records go on', async t => {
  const broken = defineFilter({
    name: 'broken',
    summary: 'Throws',
    options: {},
    create: () => ({
      filter() {
        throw new Error('it is broken')
      }
    })
  })
  const text = `
pipeline:
  inputs:
    - name: lib
      tag: app
      processors:
        logs:
          - name: broken
  outputs:
    - name: collect
      match: app
`
  const run = await started(t, text, { yaml: true, plugins: [broken] })
  run.push('app', { n: '1' }, { n: '2' })
  run.push('app', { n: '3' })
  run.flush()
  await run.until(() => run.bodies.length === 3)
  const series = 'input lib.0 broken 0 logs'
  assert.deepEqual(values(run, 'fluentbit_processor_errors_total'), { [series]: 2 })
  assert.deepEqual(values(run, 'fluentbit_processor_items_out_total'), { [series]: 3 })
})

test('the log is counted by level, and goes through a queue in which nothing waits', async t => {
  const run = await started(t, `${LIB}    mem_buf_limit 20\n${COLLECT}`)
  const before = values(run, 'fluentbit_logger_logs_total')
  run.push('app', { text: 'longer than the limit' })
  const after = values(run, 'fluentbit_logger_logs_total')
  assert.deepEqual(Object.keys(after), ['error', 'warn', 'info', 'debug', 'trace'])
  assert.equal(after['warn'], Number(before['warn']) + 1)
  const lines = run.log.length
  assert.deepEqual(
    ['enqueued', 'dropped', 'drained'].map(what =>
      Object.values(values(run, `fluentbit_logger_queue_${what}_total`))
    ),
    [[lines], [0], [lines]]
  )
})

test('the ledger is shown for each input and each route', async t => {
  const text = `${LIB}[FILTER]
    name grep
    match app
    exclude n ^1$
${COLLECT}    retry_limit no_retries
`
  let taken = 0
  const run = await started(t, text, {
    answer: () => (taken++ === 0 ? { kind: 'ok' } : { kind: 'drop', reason: 'refused' })
  })
  for (let round = 0; round < 2; round++) {
    run.push('app', { n: '1' }, { n: '2' })
    run.flush()
    await run.until(() => taken === round + 1 && run.pipeline.pendingTasks === 0)
  }
  run.push('app', { n: '3' })
  const events = (whose: string): Record<string, number> => values(run, `spillway_ledger_${whose}`)
  assert.deepEqual(events('input_events_total'), {
    'lib.0 ingested': 5,
    'lib.0 added': 0,
    'lib.0 recovered': 0,
    'lib.0 delivered': 1,
    'lib.0 filtered': 2
  })
  assert.deepEqual(events('input_dropped_events_total'), { 'lib.0 refused': 1 })
  assert.deepEqual(events('input_buffered_events'), { 'lib.0': 1 })
  assert.deepEqual(events('route_events_total'), {
    'lib.0 collect.0 ingested': 3,
    'lib.0 collect.0 added': 0,
    'lib.0 collect.0 recovered': 0,
    'lib.0 collect.0 delivered': 1,
    'lib.0 collect.0 filtered': 0
  })
  assert.deepEqual(events('route_dropped_events_total'), { 'lib.0 collect.0 refused': 1 })
  assert.deepEqual(events('route_buffered_events'), { 'lib.0 collect.0': 1 })
})

for (const workers of [0, 1]) {
  test(`connections of an output with ${workers} workers are counted, and those in use`, async t => {
    const requests: ServerResponse[] = []
    const server = createServer((_, response) => void requests.push(response))
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    t.after(() => void server.close())
    t.after(() => server.closeAllConnections())
    const output = `[OUTPUT]
    name http
    match app
    host 127.0.0.1
    port \${PORT}
    workers ${workers}
`
    const environment = { PORT: String((server.address() as AddressInfo).port) }
    const run = await started(t, `${LIB}${output}`, { environment })
    const connections = (): unknown =>
      ['total', 'busy'].map(
        what => values(run, `fluentbit_output_upstream_${what}_connections`)['http.0']
      )
    assert.deepEqual(connections(), [0, 0])
    run.push('app', { n: 1 })
    run.flush()
    await run.until(() => requests.length === 1 && isDeepStrictEqual(connections(), [1, 1]))
    requests[0]?.end()
    await run.until(() => isDeepStrictEqual(connections(), [1, 0]))
    server.closeAllConnections()
    await run.until(() => isDeepStrictEqual(connections(), [0, 0]))
  })
}

test('batches of a threaded input are writes to its ring buffer', async t => {
  const input = `[INPUT]
    name dummy
    threaded on
    flush_on_startup on
    samples 1
`
  const run = await started(t, `${input}[OUTPUT]\n    name null\n    match *\n`)
  await run.until(() => values(run, 'fluentbit_input_ring_buffer_writes_total')['dummy.0'] === 1)
  assert.deepEqual(values(run, 'fluentbit_input_ring_buffer_retries_total'), { 'dummy.0': 0 })
  assert.deepEqual(values(run, 'fluentbit_input_ring_buffer_retry_failures_total'), {
    'dummy.0': 0
  })
})

const TAGGED = (telemetry: string): string => `
service:
  telemetry:
    metrics:
      logs:
        tag_records: { enabled: on${telemetry} }
pipeline:
  inputs:
    - name: source
    - name: source
      alias: other
    - name: source
      alias: silent
      telemetry: { metrics: { logs: { tag_records: { enabled: off } } } }
  outputs:
    - name: collect
      match: "*"
`

/** An input that sends under any tag. */
function sources(contexts: Map<string, InputContext>): Plugin {
  return defineInput({
    name: 'source',
    summary: 'Sends under any tag',
    options: {},
    create: (_, context) => ({ start: () => void contexts.set(context.label, context) })
  })
}

function send(context: InputContext | undefined, tag: string, count: number): void {
  const sink = context?.sink(tag)
  for (let n = 0; n < count && sink !== undefined; n++) {
    writeEventHeader(sink.writer, 1, 0)
    sink.writer.value({ n })
  }
  sink?.commit(count)
}

test('telemetry counts records by tag, as far as tags and their lengths are not too many', async t => {
  const contexts = new Map<string, InputContext>()
  const run = await started(t, TAGGED(', max_series: 3, max_tag_length: 4'), {
    yaml: true,
    plugins: [sources(contexts)]
  })
  const [first, other, silent] = ['source.0', 'other', 'silent'].map(name => contexts.get(name))
  send(first, 'a', 2)
  send(first, 'a', 3)
  send(other, 'a', 1)
  send(first, 'éé', 1)
  send(first, 'ééx', 4)
  send(other, 'b', 5)
  send(silent, 'a', 6)
  send(other, 'a', 1)
  assert.deepEqual(values(run, 'fluentbit_input_logs_tag_records_total'), {
    'source.0 a': 5,
    'other a': 2,
    'source.0 éé': 1
  })
  assert.deepEqual(values(run, 'fluentbit_input_logs_tag_records_untracked_total'), {
    'source.0 tag_length_limit': 4,
    'other max_series': 5
  })
})

test('an input may be counted by tag although the service says no; limits of 0 are none', async t => {
  const text = TAGGED(', max_series: 0, max_tag_length: "0"')
    .replace('enabled: on,', 'enabled: off,')
    .replace('enabled: off }', 'enabled: true }')
  const contexts = new Map<string, InputContext>()
  const run = await started(t, text, { yaml: true, plugins: [sources(contexts)] })
  const long = 'x'.repeat(500)
  send(contexts.get('silent'), long, 1)
  send(contexts.get('other'), long, 1)
  assert.deepEqual(values(run, 'fluentbit_input_logs_tag_records_total'), { [`silent ${long}`]: 1 })
})

for (const [block, message] of [
  ['telemetry: on', 'Cannot use "telemetry": it must be a nested block'],
  ['telemetry.metrics: on', 'Cannot use "telemetry.metrics": it must be a nested block'],
  ['telemetry: { metrics: on }', 'Cannot use "telemetry.metrics": it must be a nested block'],
  [
    'telemetry: { metrics: { logs: { tag_records: on } } }',
    'Cannot use "telemetry.metrics.logs.tag_records": it must be a nested block'
  ],
  ['telemetry: { metricz: {} }', 'Unknown key "metricz" in "telemetry": known keys are metrics'],
  [
    'telemetry: { metrics: { logs: { tags: 1 } } }',
    'Unknown key "tags" in "telemetry.metrics.logs": known keys are tag_records'
  ],
  [
    'telemetry: { metrics: { logs: { tag_records: { max: 1 } } } }',
    'Unknown key "max" in "telemetry.metrics.logs.tag_records": known keys are enabled, max_series, max_tag_length'
  ],
  [
    'telemetry: { metrics: { logs: { tag_records: { max_series: 1k } } } }',
    'Cannot use "telemetry.metrics.logs.tag_records.max_series": it must be an integer'
  ],
  [
    'telemetry: { metrics: { logs: { tag_records: { enabled: 2 } } } }',
    'Cannot use "telemetry.metrics.logs.tag_records.enabled": it must be on or off'
  ]
] as const) {
  test(`refused: ${block}`, async () => {
    const pipeline =
      'pipeline: { inputs: [{ name: lib }], outputs: [{ name: "null", match: "*" }] }'
    const text = `service:\n  ${block}\n${pipeline}\n`
    const { errors } = await checkConfiguration(text, { yaml: true })
    assert.deepEqual(
      errors.map(error => error.replace(/^\S+ /, '')),
      [message]
    )
  })
}

test('limits of telemetry belong to the service section', async () => {
  const text = `pipeline:
  inputs:
    - name: lib
      telemetry: { metrics: { logs: { tag_records: { max_series: 1 } } } }
  outputs:
    - { name: "null", match: "*" }
`
  const { errors } = await checkConfiguration(text, { yaml: true })
  assert.deepEqual(errors, [
    'fluent-bit.yaml:4:54: Unknown key "max_series" in "telemetry.metrics.logs.tag_records": known keys are enabled'
  ])
})
