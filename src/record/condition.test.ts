import assert from 'node:assert/strict'
import { test } from 'node:test'
import { transcodeJson } from '../codec/json_reader.ts'
import { type Encodable, MsgpackWriter } from '../codec/msgpack_writer.ts'
import {
  type CompilePattern,
  type CompiledCondition,
  compileCondition,
  type EventGroup,
  ruleContextOf,
  type RuleSpec
} from './condition.ts'
import { EVENT_HEADER_BYTES, writeEventHeader } from './event.ts'
import { EventView } from './event_view.ts'

const AT = { file: 'pipeline.yaml', line: 1, column: 1 }

/** Bodies, by the letter that the table below uses. */
const BODIES: Readonly<Record<string, string>> = {
  a: '{"k":"hello","n":5}',
  b: '{"k":5}',
  c: '{"k":1.5}',
  d: '{"k":"5"}',
  e: '{"k":""}',
  f: '{"x":1}',
  g: '{"k":null}',
  h: '{"k":true}',
  i: '{"k":[1,2]}',
  j: '{"k":{"a":1}}',
  l: '{"k":"10abc"}',
  m: '{"k":-3}',
  n: '{"k":18446744073709551615}',
  o: '{"k":{"s":"hello"}}',
  p: '{"k":"a","k":"hello"}',
  q: '{"k":" 7"}'
}

/**
 * Rules and the bodies that meet them. Recorded from Fluent Bit 5.1.1: content_modifier processors with such a
 * condition. Left out are gt to lte with an integer or a quoted number, which the program compares with garbage.
 */
const MET: readonly (readonly [
  field: string,
  op: string,
  value: RuleSpec['value'],
  met: string
])[] = [
  ['$k', 'eq', 'hello', 'ap'],
  ['$k', 'eq', '5', 'bd'],
  ['$k', 'eq', 5, ''],
  ['$k', 'neq', 'hello', 'bcdefghjlmnoq'],
  ['$k', 'eq', '1.5', ''],
  ['$k', 'eq', '1.500000', 'c'],
  ['$k', 'gt', 3.5, 'bdlq'],
  ['$k', 'lt', 5.5, 'abcdefghjmnop'],
  ['$k', 'regex', '^h', 'ap'],
  ['$k', 'not_regex', '^h', 'bcdefghjlmnoq'],
  ['$k', 'regex', '^$', 'ef'],
  ['$k', 'in', ['a', 'hello'], 'ap'],
  ['$k', 'not_in', ['a', 'hello'], 'bcdefghjlmnoq'],
  ['$k', 'eq', 'null', 'g'],
  ['$k', 'eq', 'true', 'h'],
  ["$k['s']", 'eq', 'hello', 'aop'],
  ["$k['s']", 'neq', 'hello', 'bcdefghijlmnq'],
  ['k', 'eq', 'k', 'abcdefghijlmnopq'],
  ['x$k', 'eq', 'x5', 'bd'],
  ['$k', 'eq', '{"a":1}', 'j'],
  ['$k', 'regex', '^-1$', 'n']
]

for (const [field, op, value, met] of MET) {
  test(`${field} ${op} ${JSON.stringify(value)} holds as in Fluent Bit`, () => {
    const matches = compiled([{ field, op, value, context: 'body' }])
    const holding = Object.keys(BODIES).filter(letter => matches(loaded(BODIES[letter])))
    assert.equal(holding.join(''), met)
  })
}

test('numbers are compared whether the rule has them in quotes or not', () => {
  const compare = (op: string, value: string | number): string => {
    const matches = compiled([{ field: '$k', op, value, context: 'body' }])
    return Object.keys(BODIES)
      .filter(letter => matches(loaded(BODIES[letter])))
      .join('')
  }
  assert.deepEqual(
    [
      compare('gt', 3),
      compare('GT', '3'),
      compare('gte', 5),
      compare('lte', '5'),
      compare('lt', -1.5),
      compare('gt', 5),
      compare('lt', 5)
    ],
    ['bdlq', 'bdlq', 'bdlq', 'abcdefghjmnop', 'm', 'lq', 'acefghjmnop']
  )
})

test('words for numbers without end are numbers', () => {
  const body = (text: string): EventView => loaded(`{"k":"${text}"}`)
  const above = compiled([{ field: '$k', op: 'gt', value: 1e300, context: 'body' }])
  const below = compiled([{ field: '$k', op: 'lt', value: -1e300, context: 'body' }])
  const words = ['inf', '-INFINITY', 'nan', 'word']
  assert.deepEqual(
    words.map(word => [above(body(word)), below(body(word))]),
    [
      [true, false],
      [false, true],
      [false, false],
      [false, false]
    ]
  )
})

test('and wants all rules, or wants one', () => {
  const rules: RuleSpec[] = [
    { field: '$k', op: 'eq', value: 'hello', context: 'body' },
    { field: '$n', op: 'eq', value: '5', context: 'body' }
  ]
  const bodies = ['{"k":"hello","n":5}', '{"k":"hello"}', '{"n":5}', '{}'].map(loaded)
  assert.deepEqual(
    [
      bodies.map(body => compiled(rules, 'and')(body)),
      bodies.map(body => compiled(rules, 'or')(body))
    ],
    [
      [true, false, false, false],
      [true, true, true, false]
    ]
  )
  assert.deepEqual([compiled([], 'and')(bodies[0]), compiled([], 'or')(bodies[0])], [true, false])
})

test('a rule sees what earlier filters changed', () => {
  const view = loaded('{"k":"old"}')
  const start = view.scratch.length
  view.scratch.string('new')
  view.replaceWithScratch(0, start)
  assert.equal(compiled([{ field: '$k', op: 'eq', value: 'new', context: 'body' }])(view), true)
})

test('a rule can look at the metadata', () => {
  const view = loaded('{"k":"body"}', { k: 'meta' })
  const matches = compiled([{ field: '$k', op: 'eq', value: 'meta', context: 'metadata' }])
  const mixed = compiled([{ field: 'x$k', op: 'eq', value: 'xmeta', context: 'metadata' }])
  assert.deepEqual(
    [matches(view), mixed(view), matches(loaded('{"k":"meta"}'))],
    [true, true, false]
  )
})

test('a rule can look at the group of the event, and fails without one', () => {
  const group = groupOf(
    { m: 'g' },
    { t: 'a', resource: { attributes: { r: 1 } }, scope: { name: 'lib', attributes: { s: 2 } } }
  )
  const view = loaded('{}')
  const rules: RuleSpec[] = [
    { field: '$m', op: 'eq', value: 'g', context: 'group_metadata' },
    { field: '$t', op: 'eq', value: 'a', context: 'group_attributes' },
    { field: '$r', op: 'eq', value: '1', context: 'otel_resource_attributes' },
    { field: '$s', op: 'eq', value: '2', context: 'otel_scope_attributes' },
    { field: '$name', op: 'eq', value: 'lib', context: 'otel_scope_metadata' }
  ]
  const without = groupOf({}, {})
  assert.deepEqual(
    rules.map(rule => [
      compiled([rule])(view, group),
      compiled([rule])(view),
      compiled([rule])(view, without)
    ]),
    [
      [true, false, false],
      [true, false, false],
      [true, false, false],
      [true, false, false],
      [true, false, false]
    ]
  )
})

test('context words are those of Fluent Bit', () => {
  const words = ['Metadata', 'attributes', 'message', 'group_body', 'otel_scope_version', 'other']
  assert.deepEqual(words.map(ruleContextOf), [
    'metadata',
    'metadata',
    'body',
    'group_attributes',
    'otel_scope_metadata',
    undefined
  ])
})

const BAD: readonly (readonly [rule: Partial<RuleSpec>, error: string])[] = [
  [
    { field: '$$' },
    `Cannot read record accessor "$$": "$$" is no key, wanted is $key or $key['sub'][0]`
  ],
  [
    { op: 'is' },
    'Cannot use rule operator "is": known are eq, neq, gt, lt, gte, lte, regex, not_regex, in, not_in'
  ],
  [{ value: '' }, 'Cannot use value "" with rule operator "eq": it must be text that is not empty'],
  [
    { value: 1.5 },
    'Cannot use value 1.5 with rule operator "eq": it must be text that is not empty'
  ],
  [{ op: 'gt', value: 'x' }, 'Cannot use value "x" with rule operator "gt": it must be a number'],
  [{ op: 'gt', value: ' ' }, 'Cannot use value " " with rule operator "gt": it must be a number'],
  [
    { op: 'regex', value: '' },
    'Cannot use value "" with rule operator "regex": it must be a regular expression'
  ],
  [
    { op: 'in', value: 'x' },
    'Cannot use value "x" with rule operator "in": it must be a list of texts in quotes'
  ],
  [
    { op: 'in', value: [] },
    'Cannot use value [] with rule operator "in": it must be a list of texts in quotes'
  ],
  [
    { op: 'in', value: ['a', 1] },
    'Cannot use value ["a",1] with rule operator "in": it must be a list of texts in quotes'
  ]
]

for (const [rule, error] of BAD) {
  test(`a rule with ${JSON.stringify(rule)} is refused`, () => {
    assert.deepEqual(
      compileRules([{ field: '$k', op: 'eq', value: 'x', context: 'body', ...rule }]),
      { ok: false, error }
    )
  })
}

test('a pattern that cannot be compiled is refused with its reason', () => {
  const rules: RuleSpec[] = [{ field: '$k', op: 'regex', value: '(', context: 'body' }]
  const thrown = compileRules(rules, 'and', () => {
    throw new Error('Cannot compile "("')
  })
  const returned = compileRules(rules, 'and', () => ({ error: 'no' }))
  assert.deepEqual(
    [thrown, returned],
    [
      { ok: false, error: 'Cannot compile "("' },
      { ok: false, error: 'no' }
    ]
  )
})

test('a number is never text or a match', () => {
  const view = loaded('{"k":"5"}')
  const results = ['regex', 'not_regex', 'eq', 'neq'].map(op =>
    compiled([{ field: '$k', op, value: 5, context: 'body' }])(view)
  )
  assert.deepEqual(results, [false, true, false, true])
})

function compileRules(
  rules: readonly RuleSpec[],
  op: 'and' | 'or' = 'and',
  compilePattern: CompilePattern = pattern => new RegExp(pattern)
): CompiledCondition {
  return compileCondition({ op, rules, at: AT }, compilePattern)
}

function compiled(
  rules: readonly RuleSpec[],
  op: 'and' | 'or' = 'and'
): (event: EventView, group?: EventGroup) => boolean {
  const condition = compileRules(rules, op)
  assert.ok(condition.ok)
  return condition.matches
}

function loaded(body: string, metadata: Encodable = {}): EventView {
  const out = new MsgpackWriter()
  writeEventHeader(out, 1, 2)
  out.length = EVENT_HEADER_BYTES - 1
  out.value(metadata)
  const text = Buffer.from(body)
  transcodeJson(text, 0, text.length, out)
  const view = new EventView()
  view.load(Buffer.from(out.written()), 0)
  return view
}

function groupOf(metadata: Encodable, attributes: Encodable): EventGroup {
  const out = new MsgpackWriter()
  out.nil()
  writeEventHeader(out, 0xffffffff, 0)
  out.length--
  out.value(metadata)
  out.value(attributes)
  return { bytes: Buffer.from(out.written()), markAt: 1 }
}
