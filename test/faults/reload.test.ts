/** The program as a process that is reloaded under load; `npm run reload` does more of it. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { runReloads } from './reload_run.ts'

const RELOADS = 60

/** Another seed is another run, but none of them may lose a line. */
const SEED = 20_261_123

test(`${RELOADS} reloads lose nothing and send nothing twice`, async t => {
  const report = await runReloads({ reloads: RELOADS, seed: SEED })
  const { done, halted, sent, problems, repeats } = report
  assert.deepEqual(problems, [])
  assert.equal(done + halted, RELOADS)
  assert.ok(halted > 0)
  assert.ok(sent > 0)
  t.diagnostic(`${halted} of them refused, ${sent} lines sent, ${repeats[0]} twice as they had to`)
})
