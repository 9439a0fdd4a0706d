import assert from 'node:assert/strict'
import { test } from 'node:test'
import { MsgpackWriter } from '../codec/msgpack_writer.ts'
import { compileOnigmo } from './onigmo.ts'
import { checkContract, double, KeptLog, parse, recordOf, testParser } from './parser.cases.ts'
import { type Parser, TextBlock } from './parser.ts'
import type { ParserDefinition } from './registry.ts'
import { readCastTypes } from './types.ts'

function regexParser(pattern: string, more: Partial<ParserDefinition> = {}, log?: KeptLog): Parser {
  const definition = {
    name: 'r',
    format: 'regex',
    matcher: compileOnigmo(pattern),
    ...more
  } as const
  return testParser(definition, log)
}

const TIMED = { timeFormat: '%Y-%m-%d', timeKey: 'time' } as const
const DAY = 1_614_816_000

test('named groups become keys in their order, unnamed ones do not', () => {
  const parser = regexParser('(?<b>\\w+) (\\d+) (?<a>.*)')
  assert.deepEqual(Object.entries(recordOf(parser, 'x 12 é y') as object), [
    ['b', 'x'],
    ['a', 'é y']
  ])
})

test('empty groups are left out unless skip_empty_values is off', () => {
  const pattern = '^(?<a>[^ ]*) (?<b>[^ ]*)( (?<c>x))?'
  assert.deepEqual(recordOf(regexParser(pattern), ' b'), { b: 'b' })
  const keeping = regexParser(pattern, { skipsEmptyValues: false })
  assert.deepEqual(recordOf(keeping, ' b'), { a: '', b: 'b', c: '' })
  assert.deepEqual(recordOf(regexParser('^(?<a>[^ ]*)'), ' b'), {})
})

test('the text fails when no named group takes part in the match', () => {
  const parser = regexParser('^(?:(?<a>x)|y)$')
  assert.equal(recordOf(parser, 'y'), undefined)
  assert.deepEqual(recordOf(parser, 'x'), { a: 'x' })
  assert.equal(recordOf(regexParser('^(y)$'), 'y'), undefined)
  assert.equal(recordOf(regexParser('^y$'), 'y'), undefined)
})

test('a name given to several groups is written once for each that took part', () => {
  const parser = regexParser('(?<a>x)(?<a>y)|(?<a>z)')
  const out = new MsgpackWriter(16)
  const block = new TextBlock()
  block.set(Buffer.from('xy'), 0, 2)
  assert.equal(parser.parse(block, 0, 2, out), true)
  assert.deepEqual(out.written(), Buffer.from('82a161a178a161a179', 'hex'))
})

test('the time is taken from its key, which is dropped or kept', () => {
  const pattern = '^(?<time>[^ ]*) (?<a>.*)$'
  const expected = { seconds: DAY, nanoseconds: 0 }
  const text = '2021-03-04 x'
  assert.deepEqual(parse(regexParser(pattern, TIMED), text), { ...expected, record: { a: 'x' } })
  assert.deepEqual(parse(regexParser(pattern, { ...TIMED, keepsTime: true }), text), {
    ...expected,
    record: { time: '2021-03-04', a: 'x' }
  })
  assert.deepEqual(parse(regexParser(pattern, { timeFormat: '%Y-%m-%d' }), text), {
    ...expected,
    record: { a: 'x' }
  })
})

test('a time that does not fit is dropped even when it should be kept, and logged', () => {
  const log = new KeptLog()
  const parser = regexParser('^(?<time>[^ ]*) (?<a>.*)$', { ...TIMED, keepsTime: true }, log)
  assert.deepEqual(parse(parser, '2021-03-04 x')?.seconds, DAY)
  assert.deepEqual(parse(parser, 'today x'), { seconds: 0, nanoseconds: 0, record: { a: 'x' } })
  assert.deepEqual(log.lines, [
    "error [parser] cannot parse 'today'",
    "warn [parser:r] invalid time format %Y-%m-%d for 'today'"
  ])
})

test('types cast groups, also the time that is kept', () => {
  const types = readCastTypes('i:integer f:float b:bool h:hex time:integer')
  const pattern = '^(?<time>[^ ]*) (?<i>[^ ]*) (?<f>[^ ]*) (?<b>[^ ]*) (?<h>[^ ]*) (?<s>.*)'
  const parser = regexParser(pattern, { types, ...TIMED, keepsTime: true })
  assert.deepEqual(recordOf(parser, '2021-03-04 -5 2 true ff 7'), {
    time: 2021,
    i: -5,
    f: double(2),
    b: true,
    h: 255,
    s: '7'
  })
})

test('patterns that need lookaround parse as others do', () => {
  const parser = regexParser('^(?!#)(?<time>\\S+) (?<a>é.*)$', TIMED)
  assert.deepEqual(parse(parser, '2021-03-04 é1'), {
    seconds: DAY,
    nanoseconds: 0,
    record: { a: 'é1' }
  })
  assert.equal(parse(parser, '#2021-03-04 é1'), undefined)
})

test('bytes that are not UTF-8 come out as they went in', () => {
  for (const pattern of ['^(?<a>[^ ]*) ', '^(?!#)(?<a>[^ ]*) ']) {
    const out = new MsgpackWriter(1)
    const block = new TextBlock()
    const line = Buffer.from('\xfe\xff\xe9 x', 'latin1')
    block.set(line, 0, line.length)
    assert.equal(regexParser(pattern).parse(block, 0, line.length, out), true)
    assert.deepEqual(out.written(), Buffer.from('81a161a3feffe9', 'hex'))
  }
})

test('lines of a block are parsed one by one', () => {
  const bytes = Buffer.from('--a 1\nb 2\r\nbad\nc 3')
  const block = new TextBlock()
  const parser = regexParser('^(?<k>\\w) (?<v>\\d)$')
  block.set(bytes, 2, bytes.length)
  assert.equal(block.bytes.latin1Slice(block.start, block.end), 'a 1\nb 2\r\nbad\nc 3')
  const found: unknown[] = []
  for (const [start, end] of [
    [2, 5],
    [6, 9],
    [6, 10],
    [11, 14],
    [15, 18]
  ]) {
    found.push(parser.parse(block, start, end, new MsgpackWriter(1)))
  }
  assert.deepEqual(found, [true, true, false, false, true])
})

test('more than fifteen groups make a wide map', () => {
  const names = Array.from({ length: 20 }, (_, index) => `g${index}`)
  const parser = regexParser(`^${names.map(name => `(?<${name}>.)`).join('')}`)
  const text = 'abcdefghijklmnopqrst'
  const expected = Object.fromEntries(names.map((name, index) => [name, text[index]]))
  assert.deepEqual(recordOf(parser, text), expected)
})

const ACCESS =
  '^(?<host>[^ ]*) [^ ]* (?<user>[^ ]*) \\[(?<time>[^\\]]*)\\] "(?<method>\\S+)(?: +(?<path>[^ ]*) +\\S*)?" ' +
  '(?<code>[^ ]*) (?<size>[^ ]*)(?: "(?<referer>[^\\"]*)" "(?<agent>.*)")?$'
const ACCESS_LINE = '::1 - é [10/Oct/2000:13:55:36 -0700] "GET /a HTTP/1.1" 200 5 "-" "curl"'

test('any text is parsed or refused', () => {
  const time = { timeFormat: '%d/%b/%Y:%H:%M:%S %z' }
  const types = readCastTypes('code:integer size:float user:bool host:hex')
  checkContract(regexParser(ACCESS, time), [ACCESS_LINE])
  checkContract(regexParser(ACCESS, { ...time, types, skipsEmptyValues: false }), [ACCESS_LINE])
  checkContract(regexParser(`(?=.)${ACCESS}`, time), [ACCESS_LINE])
})
