import assert from 'node:assert/strict'
import { test } from 'node:test'
import { checkContract, KeptLog, parse, recordOf, testParser } from './parser.cases.ts'
import type { Parser } from './parser.ts'
import type { ParserDefinition } from './registry.ts'
import { readCastTypes } from './types.ts'

function logfmtParser(more: Partial<ParserDefinition> = {}, log?: KeptLog): Parser {
  return testParser({ name: 'l', format: 'logfmt', ...more }, log)
}

/** Texts and records, as the logfmt parser of Fluent Bit 5.1.1 gives them. */
const KNOWN: readonly (readonly [text: string, record: unknown])[] = [
  ['a=1 b="x y" c', { a: '1', b: 'x y', c: true }],
  ['a= b="" c="', { a: true, b: '', c: '' }],
  ['a="x\\"y\\\\\\n\\u00e9"', { a: 'x"y\\\né' }],
  ['a="x\\u0000y"', { a: 'x' }],
  ['a="open', { a: 'open' }],
  ['a="open\\', { a: 'open\\' }],
  ['a=b=c d', { a: 'b', c: true, d: true }],
  ['"a" ==b=1', { a: true, b: '1' }],
  ['é=ü', { é: 'ü' }],
  ['  a  =  b  ', { a: true, b: true }],
  ['a=1\nb=2', { a: '1' }],
  ['a=1\rb=2', { a: '1' }],
  ['a="1"b="2"', { a: '1', b: '2' }],
  ['', undefined],
  [' = "', undefined]
]

for (const [text, record] of KNOWN) {
  test(`logfmt takes ${JSON.stringify(text)}`, () => {
    assert.deepEqual(recordOf(logfmtParser(), text), record)
  })
}

test('with logfmt_no_bare_keys a key without "=" fails the text', () => {
  const parser = logfmtParser({ refusesBareKeys: true })
  assert.equal(recordOf(parser, 'a=1 b'), undefined)
  assert.deepEqual(recordOf(parser, 'a=1 b='), { a: '1', b: true })
})

test('with types values stay as written, and a bare key is the empty text', () => {
  const parser = logfmtParser({ types: readCastTypes('n:integer') })
  const record = recordOf(parser, 'n=5 q="x\\"y" bare e=')
  assert.deepEqual(record, { n: 5, q: 'x\\"y', bare: '', e: '' })
})

test('the time is taken from its key, which is dropped or kept', () => {
  const timed = { timeKey: 'ts', timeFormat: '%Y-%m-%d' }
  const dropped = parse(logfmtParser(timed), 'ts="2021-03-04" a=1')
  assert.deepEqual(dropped, { seconds: 1_614_816_000, nanoseconds: 0, record: { a: '1' } })
  const kept = parse(logfmtParser({ ...timed, keepsTime: true }), 'ts=2021-03-04')
  assert.deepEqual(kept?.record, { ts: '2021-03-04' })
  assert.equal(parse(logfmtParser(timed), 'ts=2021-03-04'), undefined)
  assert.deepEqual(recordOf(logfmtParser(timed), 'ts a=1'), { ts: true, a: '1' })
})

test('a time that does not fit fails the text, and is logged', () => {
  const log = new KeptLog()
  assert.equal(parse(logfmtParser({ timeFormat: '%s' }, log), 'a=1 time=x'), undefined)
  assert.deepEqual(log.lines, [
    "error [parser] cannot parse 'x'",
    'error [parser:l] Invalid time format %s'
  ])
})

test('any text is parsed or refused', () => {
  const samples = ['time=12 a="x\\u00e9\\"" b=', 'a=1 b c="2']
  checkContract(logfmtParser(), samples)
  checkContract(logfmtParser({ timeFormat: '%s', types: readCastTypes('a:integer') }), samples)
  checkContract(logfmtParser({ refusesBareKeys: true }), samples)
})
