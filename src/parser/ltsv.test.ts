import assert from 'node:assert/strict'
import { test } from 'node:test'
import { checkContract, KeptLog, parse, recordOf, testParser } from './parser.cases.ts'
import type { Parser } from './parser.ts'
import type { ParserDefinition } from './registry.ts'
import { readCastTypes } from './types.ts'

function ltsvParser(more: Partial<ParserDefinition> = {}, log?: KeptLog): Parser {
  return testParser({ name: 'l', format: 'ltsv', ...more }, log)
}

/** Texts and records, as the ltsv parser of Fluent Bit 5.1.1 gives them. */
const KNOWN: readonly (readonly [text: string, record: unknown])[] = [
  ['a:1\tb-c.d_E:x y:z', { a: '1', 'b-c.d_E': 'x y:z' }],
  ['a:é\tb:', { a: 'é', b: '' }],
  ['a:1\t', { a: '1' }],
  ['a:1\tb', { a: '1' }],
  ['a:1\tb c:2\td:3', { a: '1' }],
  ['a:1\t:2\tc:3', { a: '1', c: '3' }],
  ['a:1\r\nb:2', { a: '1' }],
  ['a:1\0b:2', { a: '1' }],
  ['a:1\t\tb:2', { a: '1' }],
  ['a', undefined],
  [':1', undefined],
  ['é:1', undefined],
  ['', undefined]
]

for (const [text, record] of KNOWN) {
  test(`ltsv takes ${JSON.stringify(text)}`, () => {
    assert.deepEqual(recordOf(ltsvParser(), text), record)
  })
}

test('the time is taken from its key, which is dropped or kept', () => {
  const timed = { timeKey: 'ts', timeFormat: '%s' }
  const dropped = parse(ltsvParser(timed), 'ts:12\ta:1')
  assert.deepEqual(dropped, { seconds: 12, nanoseconds: 0, record: { a: '1' } })
  const kept = parse(ltsvParser({ ...timed, keepsTime: true }), 'ts:12\ta:1')
  assert.deepEqual(kept, { seconds: 12, nanoseconds: 0, record: { ts: '12', a: '1' } })
  assert.equal(parse(ltsvParser(timed), 'ts:12'), undefined)
  assert.deepEqual(parse(ltsvParser(timed), 'ts:\ta:1')?.record, { ts: '', a: '1' })
})

test('a time that does not fit fails the text, and is logged', () => {
  const log = new KeptLog()
  assert.equal(parse(ltsvParser({ timeFormat: '%s' }, log), 'a:1\ttime:x'), undefined)
  assert.deepEqual(log.lines, [
    "error [parser] cannot parse 'x'",
    'error [parser:l] Invalid time format %s'
  ])
})

test('types cast values', () => {
  const types = readCastTypes('a:integer b:bool')
  assert.deepEqual(recordOf(ltsvParser({ types }), 'a:5\tb:true\tc:5'), { a: 5, b: true, c: '5' })
})

test('any text is parsed or refused', () => {
  checkContract(ltsvParser({ timeFormat: '%s', types: readCastTypes('a:hex') }), [
    'time:12\ta:1f\tb:x',
    'a:1\tb:2\tc:3'
  ])
})
