import assert from 'node:assert/strict'
import { test } from 'node:test'
import { encodeEvent, EncodedInput } from '../../../test/harness/odd_events.ts'
import { startPipeline } from '../../../test/harness/pipeline.ts'

test('counter prints the events of each chunk, with and without group marks', async () => {
  const input = new EncodedInput()
  const run = await startPipeline(
    '[SERVICE]\n    flush 1\n[INPUT]\n    name encoded\n[OUTPUT]\n    name counter\n    match *\n',
    { plugins: [input.plugin], nowMs: 1_700_000_000_123.25 }
  )
  const event = encodeEvent([1, 2], { a: 1 })
  input.push('app', event, event, event)
  run.flush()
  input.push('app', encodeEvent([0xffffffff, 0], {}), event, encodeEvent([0xfffffffe, 0], {}))
  run.flush()
  await run.stop()
  assert.equal(
    run.stdout,
    '{"ts":1700000001.123250,"serialized_events":3,"log_records":3,"total":3}\n' +
      '{"ts":1700000002.123250,"serialized_events":3,"log_records":1,"total":3}\n'
  )
})
