import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { encodeEvent, EncodedInput, ODD_EVENTS } from '../../../test/harness/odd_events.ts'
import { recordedMetrics } from '../../../test/harness/metrics_recordings.ts'
import { startPipeline } from '../../../test/harness/pipeline.ts'

const { bytes: METRICS_HEX, text: METRICS_TEXT } = recordedMetrics('event_type')
const METRICS = Buffer.from(METRICS_HEX, 'hex')

const RECORDED = join(import.meta.dirname, '../../../test/parity/output_stdout')

/** What an output stdout with these properties prints for encoded events, and its log lines. */
async function printed(
  properties: string,
  events: readonly Buffer[],
  service = ''
): Promise<{ text: string; log: string[] }> {
  const input = new EncodedInput()
  const run = await startPipeline(
    `[SERVICE]\n    flush 1\n${service}[INPUT]\n    name encoded\n[OUTPUT]\n    name stdout\n    match *\n${properties}`,
    { plugins: [input.plugin] }
  )
  input.push('app', ...events)
  run.flush()
  await run.stop()
  return { text: run.stdout, log: run.log.filter(line => line.includes('output:stdout')) }
}

/** As the harness gives the text: bytes that are not UTF-8 become U+FFFD. */
function recorded(name: string): string {
  return readFileSync(join(RECORDED, `${name}.txt`), 'utf8')
}

const FORMATS = {
  text: '',
  json: '    format json\n',
  json_lines: '    format json_lines\n',
  json_stream: '    format JSON_Stream\n',
  iso8601: '    format json_lines\n    json_date_format iso8601\n    json_date_key ts\n',
  java_sql_timestamp: '    format json_lines\n    json_date_format java_sql_timestamp\n',
  epoch: '    format json_lines\n    json_date_format epoch\n',
  epoch_ms: '    format json_lines\n    json_date_format epoch_millis\n',
  no_date: '    format json_lines\n    json_date_key off\n'
}

for (const [name, properties] of Object.entries(FORMATS)) {
  test(`stdout prints odd events as Fluent Bit does: ${name}`, async () => {
    const { text, log } = await printed(properties, ODD_EVENTS)
    assert.deepEqual(text.split('\n'), recorded(name).split('\n'))
    assert.deepEqual(log, [])
  })
}

for (const name of ['otlp_json', 'otlp_json_pretty']) {
  test(`stdout prints odd events as Fluent Bit does: ${name}`, async () => {
    const events = ODD_EVENTS.filter((_, index) => index !== 2 && index !== 5)
    const { text } = await printed(`    format ${name}\n`, events)
    assert.deepEqual(text.split('\n'), recorded(name).split('\n'))
  })
}

test('otlp_json takes its fields from the metadata and its body from log or message', async () => {
  const metadata = {
    OTLP: {
      timestamp: 5,
      observed_timestamp: 7,
      severity_number: 9,
      severity_text: 'WARN',
      attributes: { a: 1 },
      trace_id: Buffer.alloc(16, 1),
      span_id: Buffer.alloc(3, 2)
    }
  }
  const { text } = await printed('    format otlp_json\n', [
    encodeEvent([0, 0], { Message: 'm', LOG: 'l' }, metadata),
    encodeEvent([0, 0], { log: null, message: 'm' }, { otlp: { severity_number: -1 } }),
    encodeEvent([1, 2], { a: new Map([[1, 2]]) }),
    encodeEvent([1, 2], { a: [null, 1e300] })
  ])
  const records = [
    '{"timeUnixNano":"5","observedTimeUnixNano":"7","severityNumber":9,"severityText":"WARN",' +
      '"attributes":[{"key":"a","value":{"intValue":"1"}}],' +
      '"traceId":"01010101010101010101010101010101","spanId":"AgIC","body":{"stringValue":"l"}}',
    '{}',
    '{"timeUnixNano":"1000000002"}',
    '{"timeUnixNano":"1000000002","body":{"kvlistValue":{"values":[{"key":"a","value":' +
      '{"arrayValue":{"values":[{},{"doubleValue":1e300}]}}}]}}}'
  ]
  assert.equal(
    text,
    `{"resourceLogs":[{"resource":{},"scopeLogs":[{"scope":{},"logRecords":[${records.join(',')}]}]}]}\n`
  )
})

test('a body key with the name of the date replaces the date', async () => {
  const event = encodeEvent([1_700_000_000, 0], { a: 1, date: 'mine' })
  const { text } = await printed('    format json_lines\n', [event])
  assert.equal(text, '{"a":1,"date":"mine"}\n')
})

test('the service section says whether JSON is ASCII', async () => {
  const event = encodeEvent([1_700_000_000, 0], { é: 'ё' })
  const { text } = await printed(
    '    format json_lines\n',
    [event],
    '    json.escape_unicode off\n'
  )
  assert.equal(text, '{"date":1700000000.0,"é":"ё"}\n')
})

test('formats that are not known are reported, and the default is used', async () => {
  const { text, log } = await printed('    format nope\n    json_date_format nope\n', [
    ODD_EVENTS[0]
  ])
  assert.equal(
    text,
    '[0] app: [[1700000000.123456789, {}], {"message"=>"abc", "n"=>1, "neg"=>-5}]\n'
  )
  assert.deepEqual(log, [
    "[error] [output:stdout:stdout.0] unrecognized 'format' option. Using 'msgpack'",
    "[error] [output:stdout:stdout.0] invalid json_date_format 'nope'. Using 'double' type"
  ])
})

test('numbers count from 0 in each chunk', async () => {
  const input = new EncodedInput()
  const run = await startPipeline(
    '[INPUT]\n    name encoded\n[OUTPUT]\n    name stdout\n    match *\n',
    { plugins: [input.plugin] }
  )
  const event = encodeEvent([1, 2], { a: 1 })
  input.push('x', event, event)
  run.flush()
  input.push('x', event)
  run.flush()
  await run.stop()
  const line = 'x: [[1.000000002, {}], {"a"=>1}]'
  assert.equal(run.stdout, `[0] ${line}\n[1] ${line}\n[0] ${line}\n`)
})

test('events of a group stand behind what the group says, and the marks are not events', async () => {
  const start = encodeEvent([0xffffffff, 0], { resource: 'r' }, { id: 1 })
  const end = encodeEvent([0xfffffffe, 0], {})
  const event = encodeEvent([1, 2], { a: 1 })
  const { text } = await printed('', [start, event, event, end, event])
  const group = 'GROUP METADATA : \n\n{"id"=>1}\n\nGROUP ATTRIBUTES : \n\n{"resource"=>"r"}\n\n'
  const line = 'app: [[1.000000002, {}], {"a"=>1}]\n'
  assert.equal(text, `${group}[0] ${line}${group}[1] ${line}[2] ${line}`)
  const later = encodeEvent([1, 2], {}, { m: 1 })
  const json = await printed('    format json_lines\n    json_date_key no\n', [
    start,
    event,
    end,
    later
  ])
  assert.equal(
    json.text,
    '{"__internal__":{"group_attributes":{"resource":"r"},"log_metadata":{}},"a":1}\n' +
      '{"__internal__":{"log_metadata":{"m":1}}}\n'
  )
})

test('a large chunk is printed in pieces that fit together', async () => {
  const events = Array.from({ length: 5000 }, (_, n) =>
    encodeEvent([n, 0], { text: 'x'.repeat(40) })
  )
  const expected: Readonly<Record<string, string>> = {
    msgpack: events
      .map((_, n) => `[${n}] app: [[${n}.000000000, {}], {"text"=>"${'x'.repeat(40)}"}]\n`)
      .join(''),
    json: `[${events.map((_, n) => `{"date":${n}.0,"text":"${'x'.repeat(40)}"}`).join(',')}]\n`
  }
  for (const [format, text] of Object.entries(expected)) {
    assert.equal((await printed(`    format ${format}\n`, events)).text, text, format)
  }
})

for (const format of ['msgpack', 'json_lines', 'otlp_json']) {
  test(`stdout prints metrics as text under the format ${format}`, async () => {
    const input = new EncodedInput()
    const run = await startPipeline(
      `[INPUT]\n    name encoded\n[OUTPUT]\n    name stdout\n    match *\n    format ${format}\n`,
      { plugins: [input.plugin] }
    )
    input.pushAs('metrics', 'app', METRICS, METRICS)
    run.flush()
    await run.stop()
    assert.equal(run.stdout, METRICS_TEXT + METRICS_TEXT)
    assert.equal(run.counter('fluentbit_output_proc_records_total', { name: 'stdout.0' }), 2)
  })
}

test('stdout counts metrics that it cannot read and prints the others', async () => {
  const input = new EncodedInput()
  const run = await startPipeline(
    '[INPUT]\n    name encoded\n[OUTPUT]\n    name stdout\n    match *\n',
    { plugins: [input.plugin] }
  )
  input.pushAs('metrics', 'app', Buffer.of(1), METRICS, Buffer.of(0xc0))
  run.flush()
  await run.stop()
  assert.equal(run.stdout, METRICS_TEXT)
  const labels = { kind: 'output', name: 'stdout.0', reason: 'malformed' }
  assert.equal(run.counter('spillway_dropped_records_total', labels), 2)
  assert.deepEqual(
    run.log.filter(line => line.includes('[error]')),
    [
      '[error] [output:stdout:stdout.0] could not process metrics payload: Cannot read metrics at byte 0: a context is of type integer: wanted map'
    ]
  )
})
