import assert from 'node:assert/strict'
import { test } from 'node:test'
import { JsonWriter } from '../codec/json_writer.ts'
import { type Encodable, MsgpackWriter } from '../codec/msgpack_writer.ts'
import {
  EVENT_HEADER_BYTES,
  GROUP_END_SECONDS,
  GROUP_START_SECONDS,
  writeEventHeader
} from './event.ts'
import {
  type DateFormat,
  dateFormatOf,
  dateKeyOf,
  EventJson,
  type JsonFormat,
  jsonFormatOf
} from './event_json.ts'

interface TestEvent {
  readonly seconds?: number
  readonly nanoseconds?: number
  readonly metadata?: Encodable
  readonly body?: Encodable
}

/** Recorded from out_stdout of Fluent Bit 5.1.1 for events of 1700000000.123456789, sent by in_forward. */
const DATES: readonly (readonly [DateFormat, string])[] = [
  ['double', '1700000000.123457'],
  ['epoch', '1700000000'],
  ['epoch_ms', '1700000000123'],
  ['iso8601', '"2023-11-14T22:13:20.123456Z"'],
  ['java_sql_timestamp', '"2023-11-14 22:13:20.123456"']
]

for (const [dateFormat, date] of DATES) {
  test(`date format ${dateFormat} writes ${date}`, () => {
    assert.equal(lines([{ body: { a: 1 } }], { dateFormat }), `{"date":${date},"a":1}\n`)
  })
}

test('each event has its own date', () => {
  const events = [
    { seconds: 0, nanoseconds: 0 },
    { seconds: 1, nanoseconds: 999999999 },
    { seconds: 1, nanoseconds: 1000 },
    { seconds: 4294967293, nanoseconds: 5 }
  ]
  assert.deepEqual(
    [
      lines(events, { dateFormat: 'iso8601' }),
      lines(events, { dateFormat: 'double' }),
      lines(events, { dateFormat: 'epoch_ms' })
    ],
    [
      '{"date":"1970-01-01T00:00:00.000000Z"}\n{"date":"1970-01-01T00:00:01.999999Z"}\n' +
        '{"date":"1970-01-01T00:00:01.000001Z"}\n{"date":"2106-02-07T06:28:13.000000Z"}\n',
      '{"date":0.0}\n{"date":1.999999999}\n{"date":1.000001}\n{"date":4294967293.0}\n',
      '{"date":0}\n{"date":1999}\n{"date":1000}\n{"date":4294967293000}\n'
    ]
  )
})

test('the date can have another key, or be left out', () => {
  const events = [{ body: { a: 1 } }, { body: {} }]
  assert.deepEqual(
    [lines(events, { dateKey: 'ké' }), lines(events, { dateKey: undefined })],
    ['{"k\\u00e9":1700000000,"a":1}\n{"k\\u00e9":1700000000}\n', '{"a":1}\n{}\n']
  )
})

test('a key of the body that equals the date key wins', () => {
  const events = [{ body: { a: 1, date: 'mine' } }, { body: { d: { date: 2 } } }]
  assert.equal(lines(events, {}), '{"a":1,"date":"mine"}\n{"date":1700000000,"d":{"date":2}}\n')
})

test('metadata goes under __internal__, unless the body has that key', () => {
  const events = [
    { metadata: { m: 1, date: 3 }, body: { a: 1 } },
    { metadata: { m: 1 }, body: { __internal__: 2 } },
    { metadata: {}, body: { a: 1 } }
  ]
  assert.equal(
    lines(events, {}),
    '{"date":1700000000,"__internal__":{"log_metadata":{"m":1,"date":3}},"a":1}\n' +
      '{"date":1700000000,"__internal__":2}\n{"date":1700000000,"a":1}\n'
  )
})

test('what a group says is added to the events of the group, whose marks are not shown', () => {
  const start = { seconds: GROUP_START_SECONDS, nanoseconds: 0, metadata: { schema: 'otlp' } }
  const end = { seconds: GROUP_END_SECONDS, nanoseconds: 0 }
  const events: TestEvent[] = [
    { body: { n: 0 } },
    { ...start, body: { r: 1 } },
    { body: { n: 1 } },
    { metadata: { m: 2 }, body: { n: 2 } },
    end,
    { body: { n: 3 } },
    { ...start, body: {} },
    { body: { n: 4 } },
    { metadata: { m: 5 }, body: { n: 5 } },
    { ...start, body: { r: 6 } },
    { body: { n: 6 } }
  ]
  const group = (attributes: string, metadata: string): string =>
    `"__internal__":{"group_attributes":${attributes},"log_metadata":${metadata}}`
  assert.equal(
    lines(events, { dateKey: undefined }),
    `{"n":0}\n{${group('{"r":1}', '{}')},"n":1}\n{${group('{"r":1}', '{"m":2}')},"n":2}\n{"n":3}\n{"n":4}\n` +
      `{${group('{}', '{"m":5}')},"n":5}\n{${group('{"r":6}', '{}')},"n":6}\n`
  )
})

test('a body that is no map goes under log', () => {
  assert.equal(
    lines([{ body: [1] }, { body: 'x' }], {}),
    '{"date":1700000000,"log":[1]}\n{"date":1700000000,"log":"x"}\n'
  )
})

test('the formats put events into an array, on lines, or one after the other', () => {
  const events = [{ body: { a: 1 } }, { body: { a: 2 } }]
  const texts = (['json', 'json_lines', 'json_stream'] as const).map(format =>
    written(events, { dateKey: undefined }, format)
  )
  assert.deepEqual(texts, ['[{"a":1},{"a":2}]', '{"a":1}\n{"a":2}\n', '{"a":1}{"a":2}'])
})

test('a chunk without events is an empty array', () => {
  const out = new JsonWriter()
  const json = new EventJson({ dateKey: 'date', dateFormat: 'epoch' })
  const events = json.chunk(chunkOf([{ seconds: GROUP_END_SECONDS, nanoseconds: 0 }]), 'json', out)
  assert.deepEqual([events, out.written().toString()], [0, '[]'])
})

test('one event is written where its group is', () => {
  const chunk = chunkOf([
    { seconds: GROUP_START_SECONDS, nanoseconds: 0, body: { r: 1 } },
    { body: { a: 1 } }
  ])
  const out = new JsonWriter()
  const json = new EventJson({ dateKey: undefined, dateFormat: 'epoch' })
  const groupAt = EVENT_HEADER_BYTES
  const eventAt = groupAt + 4
  const next = json.event(chunk, eventAt, out, groupAt)
  json.event(chunk, eventAt, out)
  assert.deepEqual(
    [next, out.written().toString()],
    [chunk.length, '{"__internal__":{"group_attributes":{"r":1},"log_metadata":{}},"a":1}{"a":1}']
  )
})

test('words of the configuration name formats and keys', () => {
  assert.deepEqual(
    [
      ['Double', 'epoch_millis', 'EPOCH_MILLISECONDS', 'x'].map(dateFormatOf),
      ['JSON', 'json_lines', 'msgpack', 'x'].map(jsonFormatOf),
      ['date', 'False', 'off', 'no', 'true'].map(dateKeyOf)
    ],
    [
      ['double', 'epoch_ms', 'epoch_ms', undefined],
      ['json', 'json_lines', undefined, undefined],
      ['date', undefined, undefined, undefined, 'true']
    ]
  )
})

interface TestOptions {
  readonly dateKey?: string | undefined
  readonly dateFormat?: DateFormat
}

function lines(events: readonly TestEvent[], options: TestOptions): string {
  return written(events, options, 'json_lines')
}

function written(events: readonly TestEvent[], options: TestOptions, format: JsonFormat): string {
  const out = new JsonWriter({ capacity: 8 })
  const json = new EventJson({ dateKey: 'date', dateFormat: 'epoch', ...options })
  json.chunk(chunkOf(events), format, out)
  return out.written().toString()
}

function chunkOf(events: readonly TestEvent[]): Buffer {
  const out = new MsgpackWriter()
  for (const {
    seconds = 1700000000,
    nanoseconds = 123456789,
    metadata = {},
    body = {}
  } of events) {
    writeEventHeader(out, seconds, nanoseconds)
    out.length--
    out.value(metadata)
    out.value(body)
  }
  return Buffer.from(out.written())
}
