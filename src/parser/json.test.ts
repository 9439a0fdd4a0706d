import assert from 'node:assert/strict'
import { test } from 'node:test'
import { checkContract, double, KeptLog, parse, recordOf, testParser } from './parser.cases.ts'
import type { Parser } from './parser.ts'
import type { ParserDefinition } from './registry.ts'

function jsonParser(more: Partial<ParserDefinition> = {}, log?: KeptLog): Parser {
  return testParser({ name: 'j', format: 'json', ...more }, log)
}

const TIMED = { timeFormat: '%Y-%m-%dT%H:%M:%S.%L', timeKey: 't' } as const
const SECOND = 1_614_834_367

/** Texts and records, as the json parser of Fluent Bit 5.1.1 gives them. */
const KNOWN: readonly (readonly [text: string, record: unknown])[] = [
  ['{}', {}],
  [
    ' \t{"a":1,"b":[true,null,1.5],"c":{"d":"\\u00e9"}} ',
    { a: 1, b: [true, null, 1.5], c: { d: 'é' } }
  ],
  ['{"a":1.0,"b":18446744073709551615}', { a: double(1), b: 18_446_744_073_709_551_615n }],
  ['{"a":1} trailing', { a: 1 }],
  ['{"a":1},', { a: 1 }],
  ['{"a":1}{"b":', { a: 1 }],
  ['{"a":1}{"b":2}', undefined],
  ['{"a":1} 5', undefined],
  ['{"a":1} null', undefined],
  ['[1]', undefined],
  ['[{"a":1}]', undefined],
  ['"a"', undefined],
  ['5', undefined],
  ['{"a":1', undefined],
  ["{'a':1}", undefined],
  ['{"a":1,}', undefined],
  ['', undefined],
  [' ', undefined],
  ['text', undefined]
]

for (const [text, record] of KNOWN) {
  test(`json takes ${JSON.stringify(text)}`, () => {
    assert.deepEqual(recordOf(jsonParser(), text), record)
  })
}

test('the time is taken from its key, which is dropped or kept', () => {
  const text = '{"a":1,"t":"2021-03-04T05:06:07.25Z","b":{"t":2}}'
  const expected = { seconds: SECOND, nanoseconds: 250_000_000 }
  assert.deepEqual(parse(jsonParser(TIMED), text), { ...expected, record: { a: 1, b: { t: 2 } } })
  assert.deepEqual(parse(jsonParser({ ...TIMED, keepsTime: true }), text), {
    ...expected,
    record: { a: 1, t: '2021-03-04T05:06:07.25Z', b: { t: 2 } }
  })
})

test('without time_key the key is "time"', () => {
  const parser = jsonParser({ timeFormat: '%s' })
  assert.deepEqual(parse(parser, '{"time":"12"}'), { seconds: 12, nanoseconds: 0, record: {} })
})

test('only the first key of the name counts, and only when it is a string', () => {
  const first = parse(jsonParser({ timeFormat: '%s' }), '{"time":"12","time":"13"}')
  assert.deepEqual(first, { seconds: 12, nanoseconds: 0, record: { time: '13' } })
  const number = parse(jsonParser({ timeFormat: '%s' }), '{"time":12,"time":"13"}')
  assert.deepEqual(number?.seconds, 0)
  assert.equal(parse(jsonParser({ timeFormat: '%s' }), '{"x":{"time":"12"}}')?.seconds, 0)
})

test('a time that does not fit stays in the record, and is logged', () => {
  const log = new KeptLog()
  const parser = jsonParser(TIMED, log)
  assert.equal(parse(parser, '{"t":"2021-03-04T05:06:07.25"}')?.seconds, SECOND)
  assert.deepEqual(parse(parser, '{"t":"now"}'), {
    seconds: 0,
    nanoseconds: 0,
    record: { t: 'now' }
  })
  assert.deepEqual(log.lines, [
    "error [parser] cannot parse 'now'",
    "warn [parser:j] invalid time format %Y-%m-%dT%H:%M:%S.%L for 'now'"
  ])
})

test('types do not apply', () => {
  const parser = jsonParser({ types: new Map([['a', 'integer']]) })
  assert.deepEqual(recordOf(parser, '{"a":"5"}'), { a: '5' })
})

test('cutting the time out of sixteen keys leaves a narrow map', () => {
  const keys = Array.from({ length: 15 }, (_, index) => `"k${index}":${index}`)
  const parser = jsonParser({ timeFormat: '%s' })
  const record = recordOf(parser, `{${keys.slice(0, 7).join()},"time":"1",${keys.slice(7).join()}}`)
  assert.deepEqual(record, JSON.parse(`{${keys.join()}}`))
})

test('any text is parsed or refused', () => {
  const samples = [
    '{"time":"2021-03-04T05:06:07.25Z","a":[1,-2.5e3,"\\ud83d\\ude00",{}]}',
    '{"a":"é","time":12} x'
  ]
  checkContract(jsonParser(), samples)
  checkContract(jsonParser({ timeFormat: '%Y-%m-%dT%H:%M:%S.%L' }), samples)
})
