import assert from 'node:assert/strict'
import { test } from 'node:test'
import { filterRecords, ODD, odd, section, withEnds } from '../../../test/harness/filter_run.ts'
import { checkConfiguration, startPipeline } from '../../../test/harness/pipeline.ts'

/** A filter that matches the tag of the records only. */
const rewriteTag = (...properties: string[]): string =>
  section('rewrite_tag', ...properties).replace('match *', 'match app')

test('rewrite_tag sends a record back under a new tag and drops the old one', async () => {
  const { records, log } = await filterRecords(rewriteTag('rule $a ^(.)$ new.$TAG.$1.x false'), [
    ODD
  ])
  assert.deepEqual(records, [`new.app.y.x ${odd()}`])
  assert.deepEqual(log, [])
})

test('rewrite_tag keeps the record too when the rule says so', async () => {
  const { records } = await filterRecords(rewriteTag('rule $a y new true'), [ODD])
  assert.deepEqual(records, [odd(), `new ${odd()}`])
})

test('rewrite_tag uses the first rule that matches', async () => {
  const filters = rewriteTag('rule $a ^q$ one false', 'rule a y two TRUE', 'rule $a . three false')
  const { records } = await filterRecords(filters, [{ a: 'y' }, { a: 'q' }, { a: 'z' }])
  assert.deepEqual(records, ['{"a"=>"y"}', 'two {"a"=>"y"}', 'one {"a"=>"q"}', 'three {"a"=>"z"}'])
})

test('rewrite_tag passes records whose value does not match or is no text', async () => {
  for (const rule of [
    'rule $a ^q$ new false',
    'rule $i 5 new false',
    'rule $nope . new false',
    'rule $m . new false'
  ]) {
    const { records } = await filterRecords(rewriteTag(rule), [ODD])
    assert.deepEqual(records, [odd()])
  }
})

/** [pattern, new tag, the tag that Fluent Bit 5.1.1 makes of TAGGED with the tag aa.bb] */
const TAGGED = {
  a: 'hello',
  m: { k: 'v', z: 1 },
  t: true,
  n: null,
  f: 1.5,
  b: Buffer.from('bin'),
  l: [1]
}
const TAGS = [
  ['^(h)(x)?', '$TAG.$0.$1.$2.$3.z', 'aa.bb.h.h...z'],
  ['l+', 'x.$0.y', 'x..y'],
  ['(?<n>l+)', 'x.$0.$1.y', 'x.ll.ll.y'],
  ['(?<n>l+)(o)', 'x.$0.$1.$2.y', 'x.llo.ll..y'],
  ['(q)?(l+)', 'x.$1.$2', 'x..ll'],
  ['.', "$TAG[0]-$TAG[1].$TAG[9].$m['k'].$m['z']", 'aa-bb..v.1'],
  ['.', '$t.$n.$f.$b.$l.$nope.end', 'true.null.1.500000.62696e...end'],
  ['.', 'x.$m.y', 'x.{"k":"v","z":1}.y'],
  ['(.)', '$TAG[0]$1', 'aa$1'],
  ['.', '$TAGx', 'aa.bbx']
] as const

for (const [pattern, tag, expected] of TAGS) {
  test(`rewrite_tag makes the tag ${expected} of ${tag}`, async () => {
    const filters = section('rewrite_tag', `rule $a ${pattern} ${tag} false`).replace(
      'match *',
      'match aa.bb'
    )
    const { records } = await filterRecords(filters, [TAGGED], { tag: 'aa.bb' })
    assert.deepEqual(
      records.map(record => record.slice(0, record.indexOf(' {"a"'))),
      [expected]
    )
  })
}

test('rewrite_tag takes words in quotes and has no use for a fifth', async () => {
  const filters = rewriteTag('rule $a "^[xy] ?z$" x false', 'rule $a y five false true')
  const { records } = await filterRecords(filters, [{ a: 'x z' }, { a: 'y' }])
  assert.deepEqual(records, ['x {"a"=>"x z"}', 'five {"a"=>"y"}'])
})

test('rewrite_tag takes any word but true, on and yes for false', async () => {
  const { records } = await filterRecords(rewriteTag('rule $a 1 x maybe', 'rule $a 2 x YES'), [
    { a: '1' },
    { a: '2' }
  ])
  assert.deepEqual(records, ['{"a"=>"2"}', 'x {"a"=>"1"}', 'x {"a"=>"2"}'])
})

test('rewrite_tag rejects a record of its own emitter once and reports the cycle once', async () => {
  const filters = section('rewrite_tag', 'rule $a y x.$TAG true')
  const { records, log } = await filterRecords(filters, [{ a: 'y' }, { a: 'n' }, { a: 'y' }])
  assert.deepEqual(records, [
    '{"a"=>"y"}',
    '{"a"=>"n"}',
    '{"a"=>"y"}',
    'x.app {"a"=>"y"}',
    'x.app {"a"=>"y"}'
  ])
  assert.deepEqual(log, [
    "[ warn] [filter:rewrite_tag:rewrite_tag.0] 'Match' may cause infinite loop.",
    '[error] [input:emitter:emitter_for_rewrite_tag.0] emitter cycle detected: the filter attached to this emitter ' +
      'matches the records it emits (tag=x.x.app), the emission is rejected. Adjust the filter ' +
      "'Match' or its rules so emitted records are not processed again"
  ])
})

test('rewrite_tag keeps a record of its own emitter even when the rule drops it', async () => {
  const { records } = await filterRecords(section('rewrite_tag', 'rule $a y x false'), [{ a: 'y' }])
  assert.deepEqual(records, ['x {"a"=>"y"}'])
})

test('rewrite_tag emits what the filters before it made, and all filters see it again', async () => {
  const seen = section('record_modifier', 'record seen 1')
  const { records } = await filterRecords(seen + rewriteTag('rule $a y new false') + seen, [
    { a: 'y' }
  ])
  assert.deepEqual(records, ['new {"a"=>"y", "seen"=>"1", "seen"=>"1", "seen"=>"1"}'])
})

test('rewrite_tag keeps time and metadata and counts what it emits', async () => {
  const run = await startPipeline(withEnds(rewriteTag('rule $a . new.$a false')))
  const event = { time: [1_600_000_000, 7] as const, metadata: { m: 1 }, body: { a: 'x' } }
  run.pushEvents('app', event, { ...event, body: { b: 1 } })
  run.flush()
  assert.deepEqual(run.taken, [
    { tag: 'app', events: [{ ...event, body: { b: 1 } }] },
    { tag: 'new.x', events: [event] }
  ])
  const { counter } = run
  assert.equal(
    counter.call(run, 'fluentbit_filter_emit_records_total', { name: 'rewrite_tag.0' }),
    1
  )
  assert.equal(
    counter.call(run, 'fluentbit_filter_drop_records_total', { name: 'rewrite_tag.0' }),
    1
  )
  assert.equal(
    counter.call(run, 'fluentbit_input_records_total', { name: 'emitter_for_rewrite_tag.0' }),
    1
  )
  await run.stop()
})

test('rewrite_tag names its emitter after emitter_name, else after its alias', async () => {
  const variants = [
    [['emitter_name em', 'alias al'], 'em'],
    [['alias al'], 'emitter_for_al']
  ] as const
  for (const [properties, name] of variants) {
    const run = await startPipeline(withEnds(rewriteTag('rule $a . new false', ...properties)))
    run.push('app', { a: 'x' })
    run.flush()
    assert.equal(run.counter('fluentbit_input_records_total', { name }), 1)
    await run.stop()
  }
})

test('rewrite_tag keeps records while its emitter holds emitter_mem_buf_limit bytes', async () => {
  /** Makes an event of exactly 50 bytes. */
  const first = 'x'.repeat(32)
  let accepts = false
  const text = withEnds(rewriteTag('rule $a . new false', 'emitter_mem_buf_limit 50'))
  const run = await startPipeline(
    text.replace('collect\n', 'collect\n    retry_limit no_limits\n'),
    {
      answer: ({ tag }) =>
        tag === 'new' && !accepts ? { kind: 'retry', reason: 'busy' } : { kind: 'ok' }
    }
  )
  run.push('app', { a: first })
  run.push('app', { a: 'second' })
  run.flush()
  assert.deepEqual(
    run.taken.map(({ tag }) => tag),
    ['app']
  )
  assert.deepEqual(run.bodies, [{ a: 'second' }])
  accepts = true
  await run.clock.advanceSlowly(30_000, 1000)
  assert.deepEqual(run.bodies, [{ a: 'second' }, { a: first }])
  await run.stop()
})

test('rewrite_tag without rules passes records and warns', async () => {
  const { records, log } = await filterRecords(rewriteTag(), [{ a: 1 }])
  assert.deepEqual(records, ['{"a"=>1}'])
  assert.deepEqual(log, ['[ warn] [filter:rewrite_tag:rewrite_tag.0] no rules have defined'])
})

const REFUSED = [
  [
    'rule $a y x',
    'rule',
    'value must be 4 words, of which 3 were found: current value is "$a y x"'
  ],
  [
    'rule a [bad x true',
    'rule',
    'cannot compile regular expression "[bad": Unclosed character class'
  ],
  [
    'rule $a[ b x true',
    'rule',
    `cannot read record accessor "$a[": "$a[" is no key, wanted is $key or $key['sub'][0]`
  ],
  [
    'rule $a y $x[ true',
    'rule',
    `cannot read record accessor "$x[": "$x[" is no key, wanted is $key or $key['sub'][0]`
  ],
  [
    'emitter_storage.type disk',
    'emitter_storage.type',
    'value must be memory or filesystem: current value is "disk"'
  ]
] as const

for (const [property, key, reason] of REFUSED) {
  test(`rewrite_tag refuses ${property}`, async () => {
    const { errors } = await checkConfiguration(withEnds(rewriteTag(property)))
    const column = 6 + property.indexOf(' ')
    assert.deepEqual(errors, [
      `fluent-bit.conf:6:${column}: Cannot set "${key}" on filter rewrite_tag: ${reason}`
    ])
  })
}
