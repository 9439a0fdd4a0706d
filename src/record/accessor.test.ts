import assert from 'node:assert/strict'
import { test } from 'node:test'
import { transcodeJson } from '../codec/json_reader.ts'
import { decode } from '../codec/msgpack_reader.ts'
import { MsgpackWriter } from '../codec/msgpack_writer.ts'
import {
  Accessor,
  compileAccessor,
  compileTemplate,
  findItem,
  findKey,
  Template,
  valueText
} from './accessor.ts'
import { writeEventHeader } from './event.ts'
import { EventView } from './event_view.ts'

const RECORD = encodedJson(
  '{"k":"hello","a":{"b":{"c.d":"deep","n":7}},"l":[10,{"x":"y"},[1,2]],"i":-5,"u":18446744073709551615,' +
    '"big":9007199254740993,"f":1.5,"f2":1e300,"t":true,"z":null,"e":"","a.b":"dotted","k2":"v2","dup":1,"dup":2,' +
    '"_x-y/z":"id","q":{"it\'s":"quote"},"m":{"é":[1,"é"]},"timestamp":"ts"}'
)
const TAG = 'aa.bb.cc'
const CAPTURES = ['hel', 'h', 'el']

/**
 * Templates and what they give for the record above. Recorded from Fluent Bit 5.1.1: in_dummy with the record and tag
 * aa.bb.cc, filter_rewrite_tag with `$k ^(h)(el) TEMPLATE false`, the new tag as out_file prints it.
 */
const RENDERED: readonly (readonly [string, string])[] = [
  ['x', 'x'],
  ['x$', 'x$'],
  ['xy$', 'xy'],
  ['$k', 'hello'],
  ['$k.', 'hello'],
  ['$k..', 'hello..'],
  ['$k.x', 'hello.x'],
  ['$k.x.', 'hello.x.'],
  ['$k.$k2', 'hello.v2'],
  ['$k,$k2', 'hello,v2'],
  ['$k,,', 'hello,,'],
  ['a$k.b$k2.c', 'ahello.bv2.c'],
  ['$a', '{"b":{"c.d":"deep","n":7}}'],
  ["$a['b']['c.d']", 'deep'],
  ["$a['b']['c.d'].z", 'deep.z'],
  ["$a['b']['c.d']['z']", ''],
  ["$a['b']['n']-", '7'],
  ['$l', ''],
  ['$l[0]', '10'],
  ['$l[1]', '{"x":"y"}'],
  ["$l[1]['x']", 'y'],
  ['$l[2]', ''],
  ['$l[2][1]', '2'],
  ['$l[9]', ''],
  ['$i', '-5'],
  ['$u', '-1'],
  ['$big', '9007199254740993'],
  ['$f', '1.500000'],
  ['$f2', '100000000000000005250476025520'],
  ['$t', 'true'],
  ['$z', 'null'],
  ['a$e', 'a'],
  ['$a.b', '{"b":{"c.d":"deep","n":7}}.b'],
  ['$nope', ''],
  ['x$nope.y', 'x.y'],
  ['$dup', '2'],
  ['$_x-y/z', 'id'],
  ["$q['it''s']", 'quote'],
  ['$m', '{"\\u00e9":[1,"\\u00e9"]}'],
  ["$k['sub']", 'hello'],
  ["$i['sub'][3]", '-5'],
  ['$@timestamp', 'ts'],
  ['$TAG', 'aa.bb.cc'],
  ['$TAG.', 'aa.bb.cc.'],
  ['$TAGx', 'aa.bb.ccx'],
  ['$tag', ''],
  ['$TAG$', 'aa.bb.cc$'],
  ['$TAG$k', 'aa.bb.cc$k'],
  ['$TAG[', 'aa.bb.cc['],
  ['$TAG[1', 'bb[1'],
  ['$TAG[x]', 'aa'],
  ['$TAG[0]', 'aa'],
  ['$TAG[2]', 'cc'],
  ['$TAG[9]', ''],
  ['$TAG[0]x', 'aax'],
  ['$TAG[0].$TAG[1]', 'aa.bb'],
  ['$TAG[0]$TAG[1]', 'aa$TAG[1]'],
  ['p.$TAG[1].s', 'p.bb.s'],
  ['$0', 'hel'],
  ['$1$2', 'hel'],
  ['$1.$2', 'h.el'],
  ['$12', '2'],
  ['$3', ''],
  ['$9x', 'x'],
  ['a.$1.b', 'a.h.b'],
  ['a.b.$1.', 'a.b.h.'],
  ['$1$k', 'hhello'],
  ['$k.$1', 'hello.h'],
  ["x.$a['b']['n'].y.$TAG[1].z.$1.w", 'x.7.y.bb.z.h.w']
]

for (const [text, expected] of RENDERED) {
  test(`template ${text} gives "${expected}"`, () => {
    const template = compiledTemplate(text)
    assert.deepEqual(
      [
        template.render(RECORD, 0, TAG, CAPTURES),
        template.renderView(viewOf(RECORD), TAG, CAPTURES)
      ],
      [expected, expected]
    )
  })
}

/** Fluent Bit does not start with these. */
const REFUSED: readonly (readonly [text: string, part: string])[] = [
  ['$k-$k2', '$k-$k2'],
  ["$a['b']['n']x", "$a['b']['n']x"],
  ["$a['b']['n']-x", "$a['b']['n']-x"],
  ["$a['b']['n']:1", "$a['b']['n']:1"],
  ['$l[01]', '$l[01]'],
  ['$k$1', '$k$1'],
  ['$k:x', '$k:x'],
  ['$k[', '$k['],
  ["$k['", "$k['"],
  ['$[0]', '$[0]'],
  ['$a[b]', '$a[b]'],
  ['$$k', '$$k'],
  ['$a[ 0 ]', '$a['],
  ['x$.k', '$'],
  ['$-', '$-'],
  ['$k;x', '$k;x'],
  ['$k]', '$k]']
]

for (const [text, part] of REFUSED) {
  test(`template ${text} is refused`, () => {
    assert.deepEqual(compileTemplate(text), {
      error: `Cannot read record accessor "${text}": "${part}" is no key, wanted is $key or $key['sub'][0]`
    })
  })
}

test('a template without a record gives its other parts', () => {
  assert.equal(compiledTemplate('a.$k.$TAG[1].$1').render(Buffer.alloc(0), -1, TAG), 'a..bb.')
})

test('a template knows whether it depends on the record', () => {
  const texts = ['a.$TAG.$TAG[0]', '$k', 'a.$1', '']
  assert.deepEqual(
    texts.map(text => compiledTemplate(text).isStatic),
    [true, false, false, true]
  )
})

test('a template is complete when the record has all that it names', () => {
  const texts = ['$k.$a', '$k.$nope', '$l', 'a.$TAG']
  const complete = texts.map(text => compiledTemplate(text).isComplete(RECORD, 0))
  assert.deepEqual(complete, [true, false, false, true])
})

test('a template of one key gives that key', () => {
  const texts = ["$a['b']", 'x$a', '$a.$k', 'a', '']
  const names = texts.map(text => compiledTemplate(text).singleKey?.root.name)
  assert.deepEqual(names, ['a', undefined, undefined, undefined, undefined])
})

const FOUND: readonly (readonly [string, unknown])[] = [
  ['$k', 'hello'],
  ['k', 'hello'],
  ['a.b', 'dotted'],
  ["$a['b']['n']", 7],
  ["$a['b']['x']", undefined],
  ["$a['x']['n']", undefined],
  ['$a[0]', undefined],
  ['$l[2]', [1, 2]],
  ["$l['x']", undefined],
  ['$l[3]', undefined],
  ['$dup', 2],
  ["$k['sub'][1]", 'hello'],
  ['$nope', undefined],
  ['$k.$k2', 'hello']
]

for (const [text, expected] of FOUND) {
  test(`accessor ${text} finds ${JSON.stringify(expected)}`, () => {
    const accessor = compiledAccessor(text)
    const at = accessor.find(RECORD, 0)
    const view = viewOf(RECORD)
    const index = accessor.findEntry(view)
    const inView =
      index < 0 ? -1 : accessor.findNested(view.valueBuffer(index), view.valueAt(index))
    assert.deepEqual(
      [
        at < 0 ? undefined : decode(RECORD, at),
        inView < 0 ? undefined : decode(view.valueBuffer(index), inView)
      ],
      [expected, expected]
    )
  })
}

test('a text that names no key is no accessor', () => {
  for (const text of ['', '$TAG', '$1', '$']) {
    assert.deepEqual(compileAccessor(text), {
      error: `Cannot read record accessor "${text}": it names no key, wanted is $key or $key['sub'][0]`
    })
  }
})

test('keys are found in maps only, items in arrays only', () => {
  const list = encodedJson('[1,[2,3]]')
  assert.deepEqual(
    [
      findKey(list, 0, Buffer.from('k')),
      findItem(RECORD, 0, 0),
      findItem(list, 0, 1),
      findItem(list, 0, 2)
    ],
    [-1, -1, 2, -1]
  )
})

test('keys that are not strings, or have a longer header, are told apart', () => {
  const record = Buffer.from('83' + 'c4016101' + 'd9016102' + '0503', 'hex')
  assert.equal(findKey(record, 0, Buffer.from('a')), 8)
})

test('values become text as Fluent Bit prints them', () => {
  const values = [
    'c403610aff',
    'd401ab',
    '90',
    'cbfff8000000000000',
    'ca3fc00000',
    'a1ff',
    'cfffffffffffffffff'
  ]
  const texts = values.map(hex => valueText(Buffer.from(hex, 'hex'), 0))
  assert.deepEqual(texts, ['610aff', undefined, undefined, '-nan', '1.500000', '\ufffd', '-1'])
})

function compiledTemplate(text: string): Template {
  const template = compileTemplate(text)
  assert.ok(template instanceof Template)
  return template
}

function compiledAccessor(text: string): Accessor {
  const accessor = compileAccessor(text)
  assert.ok(accessor instanceof Accessor)
  return accessor
}

function encodedJson(text: string): Buffer {
  const out = new MsgpackWriter()
  const bytes = Buffer.from(text)
  assert.equal(transcodeJson(bytes, 0, bytes.length, out), bytes.length)
  return Buffer.from(out.written())
}

function viewOf(body: Buffer): EventView {
  const out = new MsgpackWriter()
  writeEventHeader(out, 1, 2)
  out.raw(body, 0, body.length)
  const view = new EventView()
  view.load(Buffer.from(out.written()), 0)
  return view
}
