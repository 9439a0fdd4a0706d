/** Records that filters send back under other tags. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { checkConfiguration, startPipeline } from '../harness/pipeline.ts'

test('an emitted record passes the filters of its new tag, after what was kept', async () => {
  const run = await startPipeline(`
[INPUT]
    name  lib
    tag   app
[FILTER]
    name   rewrite_tag
    match  app
    rule   $level ^error$ alarm.$TAG true
[FILTER]
    name    record_modifier
    match   alarm.*
    record  seen yes
[OUTPUT]
    name   collect
    match  *
`)
  run.push('app', { level: 'error', n: 1 }, { level: 'info', n: 2 })
  run.flush()
  assert.deepEqual(
    run.taken.map(({ tag, events }) => [tag, ...events.map(event => event.body)]),
    [
      ['app', { level: 'error', n: 1 }, { level: 'info', n: 2 }],
      ['alarm.app', { level: 'error', n: 1, seen: 'yes' }]
    ]
  )
  assert.equal(
    run.counter('fluentbit_input_records_total', { name: 'emitter_for_rewrite_tag.0' }),
    1
  )
  await run.stop()
})

test('records that go round between two filters for ever do not stop the pipeline', async () => {
  const run = await startPipeline(`
[INPUT]
    name  lib
    tag   a
[FILTER]
    name   rewrite_tag
    match  a
    rule   $n . b false
[FILTER]
    name   rewrite_tag
    match  b
    rule   $n . a false
[OUTPUT]
    name   collect
    match  *
`)
  run.push('a', { n: 'x' })
  run.push('other', { n: 'y' })
  run.flush()
  assert.ok(run.bodies.some(body => (body as { n: string }).n === 'y'))
  await run.stop()
})

test('tags made from record data do not pile up', async () => {
  const run = await startPipeline(`
[INPUT]
    name  lib
    tag   app
[FILTER]
    name   rewrite_tag
    match  app
    rule   $id .* t.$id false
[OUTPUT]
    name   collect
    match  *
`)
  for (let round = 0; round < 30; round++) {
    run.push('app', ...Array.from({ length: 100 }, (_, index) => ({ id: `${round}-${index}` })))
    run.flush()
  }
  assert.equal(run.bodies.length, 3000)
  const emitter = run.pipeline.inputs.find(input => input.settings.plugin === 'emitter')
  assert.ok((emitter?.tagCount ?? Infinity) <= 1100)
  await run.stop()
})

const TWO_EMITTERS = `
[SERVICE]
    flush  1
[INPUT]
    name  lib
    tag   a
[FILTER]
    name          rewrite_tag
    match         a
    rule          $n .* b.$n false
    emitter_name  same
[FILTER]
    name          rewrite_tag
    match         c
    rule          $n .* b.$n false
    emitter_name  same
`

test('two emitters of one name are refused', async () => {
  const { errors } = await checkConfiguration(TWO_EMITTERS)
  assert.deepEqual(errors, [
    'fluent-bit.conf:16:19: Cannot use emitter_name "same": another filter has an emitter of this name'
  ])
})

test('an emitter over its memory limit leaves records under their old tag', async () => {
  const run = await startPipeline(`
[INPUT]
    name  lib
    tag   a
[FILTER]
    name                   rewrite_tag
    match                  a
    rule                   $n .* b false
    emitter_mem_buf_limit  100
[OUTPUT]
    name   collect
    match  *
`)
  run.push('a', ...Array.from({ length: 5 }, () => ({ n: 'x'.repeat(20) })))
  run.flush()
  assert.deepEqual(
    run.taken.map(({ tag, events }) => [tag, events.length]),
    [
      ['a', 3],
      ['b', 2]
    ]
  )
  await run.stop()
})
