/** Processors, conditions and routes, as YAML configurations write them. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { checkConfiguration, startPipeline, type TestPipeline } from '../harness/pipeline.ts'

/** What the outputs got: tag and bodies of each chunk. */
function taken(run: TestPipeline): unknown[] {
  return run.taken.map(({ tag, events }) => [tag, ...events.map(event => event.body)])
}

test('processors of an input run before the filters, those of an output on its own copy', async () => {
  const run = await startPipeline(
    `
pipeline:
  inputs:
    - name: lib
      tag: app
      processors:
        logs:
          - name: record_modifier
            record: [ "step input", "by a" ]
  filters:
    - name: record_modifier
      match: '*'
      record: step filter
  outputs:
    - name: collect
      match: '*'
      processors:
        logs:
          - name: record_modifier
            record: step output
    - name: collect
      match: '*'
`,
    { yaml: true }
  )
  run.push('app', { n: 1 })
  run.flush()
  assert.deepEqual(taken(run), [
    ['app', { n: 1, by: 'a', step: 'output' }],
    ['app', { n: 1, by: 'a', step: 'filter' }]
  ])
  await run.stop()
})

test('a processor with a condition leaves other records as they are', async () => {
  const run = await startPipeline(
    `
pipeline:
  inputs:
    - name: lib
      tag: app
      processors:
        logs:
          - name: record_modifier
            record: seen yes
            condition:
              op: and
              rules:
                - field: $level
                  op: eq
                  value: error
                - field: $code
                  op: gte
                  value: 500
  outputs:
    - name: collect
      match: '*'
`,
    { yaml: true }
  )
  run.push(
    'app',
    { level: 'error', code: 503 },
    { level: 'error', code: 404 },
    { level: 'info', code: 503 },
    {}
  )
  run.flush()
  assert.deepEqual(run.bodies, [
    { level: 'error', code: 503, seen: 'yes' },
    { level: 'error', code: 404 },
    { level: 'info', code: 503 },
    {}
  ])
  await run.stop()
})

const ROUTES = `
pipeline:
  inputs:
    - name: lib
      tag: app
      routes:
        logs:
          - name: errors
            condition:
              op: or
              rules:
                - { field: $level, op: eq, value: error }
                - { field: $level, op: regex, value: ^crit }
            to:
              outputs: [ alarm ]
          - name: slow
            condition:
              rules:
                - { field: $ms, op: gt, value: 100 }
            to:
              outputs: [ alarm, archive ]
          - name: rest
            condition:
              default: true
            to:
              outputs:
                - name: nowhere
                  fallback: archive
  outputs:
    - { name: collect, alias: alarm }
    - { name: collect, alias: archive }
    - { name: collect, alias: other, match: '*' }
`

test('conditional routes split records into chunks of their own, the default taking what no other wants', async () => {
  const run = await startPipeline(ROUTES, { yaml: true })
  run.push(
    'app',
    { level: 'error', ms: 1 },
    { level: 'critical', ms: 500 },
    { level: 'info', ms: 1 }
  )
  run.flush()
  assert.deepEqual(taken(run), [
    ['errors', { level: 'error', ms: 1 }, { level: 'critical', ms: 500 }],
    ['slow', { level: 'critical', ms: 500 }],
    ['slow', { level: 'critical', ms: 500 }],
    ['rest', { level: 'info', ms: 1 }]
  ])
  assert.deepEqual(
    run.diagnostics.list.map(entry => entry.message),
    ['Output "nowhere" of route "rest" does not exist: "archive" is used']
  )
  await run.stop()
})

test('records that no conditional route wants are counted as unmatched', async () => {
  const run = await startPipeline(ROUTES.replace(/ {10}- name: rest[^]*?fallback: archive\n/, ''), {
    yaml: true
  })
  run.push('app', { level: 'info', ms: 1 })
  run.flush()
  assert.deepEqual(taken(run), [])
  const labels = { input: 'lib.0', output: 'unmatched' }
  assert.equal(run.counter('fluentbit_routing_logs_drop_records_total', labels), 1)
  await run.stop()
})

test('a route without a condition adds its outputs to those that match the tag', async () => {
  const run = await startPipeline(
    `
pipeline:
  inputs:
    - name: lib
      tag: app
      routes:
        logs:
          - name: extra
            to: { outputs: [ two ] }
  outputs:
    - { name: collect, alias: one, match: app }
    - { name: collect, alias: two }
    - { name: collect, alias: three, match: nothing }
`,
    { yaml: true }
  )
  run.push('app', { n: 1 })
  run.flush()
  assert.deepEqual(taken(run), [
    ['app', { n: 1 }],
    ['app', { n: 1 }]
  ])
  await run.stop()
})

for (const [what, routes, message] of [
  ['no name', '- to: { outputs: [ a ] }', 'Cannot use route: it has no "name"'],
  [
    'no outputs',
    '- name: r',
    'Cannot use "to": it must be a mapping with a list of outputs: current value is a map'
  ],
  [
    'an operator that does not exist',
    '- { name: r, condition: { rules: [ { field: $a, op: like, value: b } ] }, to: { outputs: [ o ] } }',
    'Cannot use rule operator "like": known are eq, neq, gt, lt, gte, lte, regex, not_regex, in, not_in'
  ],
  [
    'rules without a value',
    '- { name: r, condition: { rules: [ { field: $a, op: eq } ] }, to: { outputs: [ o ] } }',
    'Cannot use condition: a rule has no "value"'
  ]
] as const) {
  test(`a route is refused: ${what}`, async () => {
    const { errors } = await checkConfiguration(
      `pipeline:\n  inputs:\n    - name: lib\n      routes:\n        logs:\n          ${routes}\n  outputs:\n    - { name: collect, alias: o }\n`,
      { yaml: true }
    )
    assert.deepEqual(
      errors.map(text => text.replace(/^[^ ]*: /, '')),
      [message]
    )
  })
}

for (const [what, text, expected] of [
  [
    'an unknown plugin',
    '[OUTPUT]\n    name  colect\n    match *\n',
    'fluent-bit.conf:2:11: Cannot use output plugin "colect": there is no such output in this version; "collect" is near'
  ],
  [
    'a plugin of Windows',
    '[INPUT]\n    name  winlog\n',
    'fluent-bit.conf:2:11: Cannot use input plugin "winlog": it exists on Windows only'
  ],
  [
    'an unknown key',
    '[INPUT]\n    name  lib\n    mem_buf_limt  5M\n',
    'fluent-bit.conf:3:5: Cannot set "mem_buf_limt" on input lib: it has no keys of its own; "mem_buf_limit" is near'
  ],
  [
    'a bad size',
    '[INPUT]\n    name  lib\n    mem_buf_limit  5 MB\n',
    'fluent-bit.conf:3:20: Cannot set "mem_buf_limit" on input lib: value must be a size such as 512, 32K, 5M or 1G: current value is "5 MB"'
  ],
  [
    'a filter without a match',
    '[FILTER]\n    name  grep\n',
    'fluent-bit.conf:1:1: Cannot start filter grep: it needs "match" or "match_regex"'
  ],
  [
    'a bad match_regex',
    '[OUTPUT]\n    name  collect\n    match_regex  [\n',
    'fluent-bit.conf:3:18: Cannot compile regular expression "[": '
  ],
  [
    'a repeated key',
    '[OUTPUT]\n    name  collect\n    match *\n    answer  ok\n    answer  drop\n',
    'fluent-bit.conf:5:5: Cannot set "answer" on output collect again: the key may stand once, and stands in line 4 already'
  ],
  [
    'filesystem storage without a path',
    '[INPUT]\n    name  lib\n    storage.type  filesystem\n',
    'fluent-bit.conf:3:19: Cannot use storage.type filesystem on input lib.0: "storage.path" of the service section is not set'
  ],
  [
    'an unknown synchronization',
    '[SERVICE]\n    storage.sync  fast\n',
    'fluent-bit.conf:2:19: Cannot set "storage.sync" on the service section: value must be normal or full: current value is "fast"'
  ],
  [
    'a flush of zero',
    '[SERVICE]\n    flush  0\n',
    'fluent-bit.conf:2:12: Cannot set "flush" on the service section: value must be above 0: current value is 0'
  ]
] as const) {
  test(`refused with place and advice: ${what}`, async () => {
    const { errors } = await checkConfiguration(text)
    assert.equal(errors.length, 1)
    assert.ok(errors[0].startsWith(expected), errors[0])
  })
}

for (const [what, text, expected] of [
  [
    'an unknown service key',
    '[SERVICE]\n    flsh  1\n',
    'fluent-bit.conf:2:5: Unknown key "flsh" on the service section has no effect; "flush" is near'
  ],
  [
    'a number with a tail',
    '[SERVICE]\n    grace  5x\n',
    'fluent-bit.conf:2:12: Value of "grace" on the service section is read as 5: "x" is ignored'
  ],
  [
    'an unset variable',
    '[INPUT]\n    name  lib\n    tag  ${NOPE}x\n',
    'fluent-bit.conf:3:10: Variable "${NOPE}" is used but not set: it stands for nothing here'
  ],
  [
    'a feature of a later version',
    '[SERVICE]\n    security.fips_mode  on\n',
    'fluent-bit.conf:2:25: Key "security.fips_mode" is read and has no effect in this version'
  ],
  [
    'a generic key given twice',
    '[INPUT]\n    name  lib\n    tag  a\n    tag  b\n',
    'fluent-bit.conf:4:5: Key "tag" on input lib stands in line 3 already: "b" replaces that value'
  ]
] as const) {
  test(`accepted with a warning: ${what}`, async () => {
    const { errors, warnings } = await checkConfiguration(text)
    assert.deepEqual(errors, [])
    assert.deepEqual(warnings, [expected])
  })
}
