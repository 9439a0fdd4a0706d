import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startPipeline, type TestPipeline } from '../../../test/harness/pipeline.ts'

function start(properties: string): Promise<TestPipeline> {
  return startPipeline(
    `[SERVICE]\n    flush 1\n[INPUT]\n    name lib\n[OUTPUT]\n    name exit\n    match *\n${properties}`
  )
}

/** How many chunks of two records pass before the pipeline stops by itself; 9 is never. */
async function chunksBeforeStop(properties: string): Promise<number> {
  const run = await start(properties)
  let chunks = 0
  while (chunks < 9 && !run.log.some(line => line.includes('service will shutdown'))) {
    run.push('app', { n: 1 }, { n: 2 })
    run.flush()
    chunks++
    await new Promise(resolve => setImmediate(resolve))
  }
  assert.equal(await run.stop(), 0)
  return chunks
}

const CASES = [
  ['', 1, 'the first chunk, when nothing is set'],
  ['    flush_count 3\n', 3, 'that many chunks'],
  ['    flush_count 0\n', 1, 'the first chunk, when the count is zero'],
  ['    record_count 4\n', 3, 'the chunk after the one that reaches the count'],
  ['    record_count 3\n    flush_count 1\n', 3, 'the records first, whatever the chunks'],
  ['    time_count 3\n', 4, 'the first chunk after that time'],
  ['    flush_count -2\n', 9, 'nothing, for other negative numbers']
] as const

for (const [properties, chunks, when] of CASES) {
  test(`exit stops with code 0 at ${when}`, async () => {
    assert.equal(await chunksBeforeStop(properties), chunks)
  })
}
