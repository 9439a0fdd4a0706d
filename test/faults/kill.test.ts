/** The program as a process that is killed while its files grow and its output fails; `npm run kill` does more of it. */
import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { runKills } from './kill_run.ts'

const KILLS = 10

/** Another seed is another run, but none of them may lose a line. */
const SEED = 20_261_123

suite('no line is lost when the program is killed', { concurrency: true }, () => {
  for (const [storage, output] of [
    ['memory', 'plugin'],
    ['filesystem', 'http']
  ] as const) {
    test(`${KILLS} kills with chunks in ${storage} storage, a failing ${output} output`, async t => {
      const { signal } = t
      const report = await runKills({ kills: KILLS, seed: SEED, storage, output, signal })
      assert.deepEqual(report.problems, [])
      assert.equal(report.kills, KILLS)
      assert.ok(report.sent > 0)
      t.diagnostic(`${report.sent} lines sent, ${report.duplicates} duplicates`)
    })
  }
})
