import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startPipeline } from '../../../test/harness/pipeline.ts'

function configuration(keys = ''): string {
  return `
[INPUT]
    name  random
    tag   dice
${keys}
[OUTPUT]
    name  collect
    match *
`
}

test('random sends an unsigned 64-bit number a second', async () => {
  const draws = [0, 0, 0.5, 0.25, 1 - 2 ** -53, 1 - 2 ** -53]
  const run = await startPipeline(configuration(), { random: () => draws.shift() ?? 0 })
  run.clock.advance(3000)
  const events = [0, 0x8000000040000000n, 0xffffffffffffffffn].map((rand_value, index) => ({
    time: [1700000001 + index, 0],
    metadata: {},
    body: { rand_value }
  }))
  assert.deepEqual(
    run.taken,
    events.map(event => ({ tag: 'dice', events: [event] }))
  )
  await run.stop()
})

for (const [samples, records] of [
  [-1, 5],
  [0, 0],
  [2, 2]
]) {
  test(`random with samples ${samples} sends ${records} records in five seconds`, async () => {
    const run = await startPipeline(configuration(`    samples ${samples}`))
    run.clock.advance(5000)
    assert.equal(run.bodies.length, records)
    await run.stop()
  })
}
