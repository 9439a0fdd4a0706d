import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type DecoderRule, readDecoderRule } from './decoders.ts'
import { checkContract, KeptLog, parse, recordOf, testParser } from './parser.cases.ts'
import type { Parser } from './parser.ts'
import type { ParserDefinition } from './registry.ts'

/** Rules as configured: `+` stands for decode_field, `=` for decode_field_as. */
function rulesOf(...texts: readonly string[]): DecoderRule[] {
  return texts.map(text => {
    const rule = readDecoderRule(text.slice(1), text.startsWith('='))
    assert.ok(typeof rule !== 'string')
    return rule
  })
}

function decoding(
  rules: readonly string[],
  more: Partial<ParserDefinition> = {},
  log?: KeptLog
): Parser {
  return testParser({ name: 'd', format: 'json', decoderRules: rulesOf(...rules), ...more }, log)
}

test('a rule is a decoder, a field and what goes on', () => {
  const rule = { field: 'log', backend: 'json', replaces: true }
  const stop = { goesOnAfterFailure: false, goesOnAfterSuccess: false }
  assert.deepEqual(readDecoderRule('JSON  log', true), { ...rule, ...stop })
  assert.deepEqual(readDecoderRule('json log try_next', true), {
    ...rule,
    ...stop,
    goesOnAfterFailure: true
  })
  assert.deepEqual(readDecoderRule('json log Do_Next', true), {
    ...rule,
    goesOnAfterFailure: true,
    goesOnAfterSuccess: true
  })
  assert.deepEqual(readDecoderRule('json log else', true), { ...rule, ...stop })
  assert.equal(readDecoderRule('json', false), 'it must be a decoder and a field')
  assert.equal(
    readDecoderRule('xml log', false),
    'the decoder must be one of json, escaped, escaped_utf8, mysql_quoted'
  )
})

/** Rules, a record and what becomes of it, as Fluent Bit 5.1.1 decodes it. */
const KNOWN: readonly (readonly [rules: readonly string[], text: string, record: unknown])[] = [
  [
    ['+json log'],
    '{"log":"{\\"a\\":1,\\"b\\":[2]}","x":3}',
    { log: '{"a":1,"b":[2]}', x: 3, a: 1, b: [2] }
  ],
  [['+json log'], '{"log":"  {\\"a\\":1} x"}', { log: '  {"a":1} x', a: 1 }],
  [['+json log'], '{"log":"text"}', { log: 'text' }],
  [['+json log'], '{"log":"[1]"}', { log: '[1]' }],
  [['+json log'], '{"log":5}', { log: 5 }],
  [['+json log'], '{"x":"{}"}', { x: '{}' }],
  [['=json log'], '{"log":"{\\"a\\":1}","x":3}', { log: { a: 1 }, x: 3 }],
  [['=json log'], '{"log":"{\\"a\\":1}{}"}', { log: '{"a":1}{}' }],
  [['=escaped log'], '{"log":"a\\\\nb\\\\q"}', { log: 'a\nbq' }],
  [['=escaped_utf8 log'], '{"log":"\\\\u00e9\\\\n"}', { log: 'é\n' }],
  [['=mysql_quoted log'], '{"log":"\'it\\\\\'s\'"}', { log: "it's" }],
  [
    ['=escaped log do_next', '=json log'],
    '{"log":"{\\\\\\"a\\\\\\":\\\\\\"b\\\\\\"}"}',
    { log: { a: 'b' } }
  ],
  [['=json log try_next', '=escaped log'], '{"log":"a\\\\nb"}', { log: 'a\nb' }],
  [['=json log', '=escaped log'], '{"log":"a\\\\nb"}', { log: 'a\\nb' }],
  [['=escaped log', '=json log'], '{"log":"{}"}', { log: '{}' }],
  [
    ['=escaped_utf8 log do_next', '+json log'],
    '{"log":"{\\\\\\"a\\\\\\":1}"}',
    { log: '{"a":1}', a: 1 }
  ],
  [
    ['+json log do_next', '+escaped log do_next'],
    '{"log":"{\\"a\\":1}"}',
    { log: '{"a":1}', a: 1 }
  ],
  [['+json log', '=mysql_quoted q'], '{"q":"\'x\'","log":"{}"}', { q: 'x', log: '{}' }]
]

for (const [rules, text, record] of KNOWN) {
  test(`${rules.join(' then ')} decodes ${text}`, () => {
    assert.deepEqual(recordOf(decoding(rules), text), record)
  })
}

test('keys of every field that is decoded are added, in the order of the record', () => {
  const text = '{"b":"{\\"y\\":2}","a":"{\\"x\\":1}","c":0}'
  const record = recordOf(decoding(['+json a', '+json b']), text)
  assert.equal(JSON.stringify(record), '{"b":"{\\"y\\":2}","a":"{\\"x\\":1}","c":0,"y":2,"x":1}')
})

test('decode_field with a decoder that gives text adds nothing, and says so', () => {
  const log = new KeptLog()
  assert.deepEqual(recordOf(decoding(['+escaped log'], {}, log), '{"log":"a"}'), { log: 'a' })
  assert.deepEqual(log.lines, ['error [parser_decoder] string type is not allowed'])
})

test('the json parser takes the time after decoding, the others before', () => {
  const json = decoding(['+json log'], { timeKey: 't', timeFormat: '%s' })
  assert.equal(parse(json, '{"log":"{\\"t\\":\\"12\\"}"}')?.seconds, 12)
  const ltsv = testParser({
    name: 'l',
    format: 'ltsv',
    timeKey: 't',
    timeFormat: '%s',
    decoderRules: rulesOf('=escaped t', '=escaped a')
  })
  assert.deepEqual(parse(ltsv, 't:12\ta:x\\ty')?.record, { a: 'x\ty' })
})

test('any text is parsed or refused', () => {
  const rules = ['=escaped_utf8 log do_next', '=json log', '+json more', '=mysql_quoted q']
  checkContract(decoding(rules), [
    '{"log":"{\\\\\\"a\\\\\\":1}","more":"{\\"b\\":2}","q":"\'x\'"}',
    '{"log":"\\\\u00e9","more":"x","q":"\\"y\\""}'
  ])
})
