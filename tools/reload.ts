/**
 * Reloads the program a thousand times, each time with another configuration, while files grow and senders send, and
 * checks that every line arrives once and that the process does not grow.
 *
 *     npm run reload                             1,000 reloads
 *     npm run reload -- --reloads 200 --seed 7   with the choices of an earlier run
 *     npm run reload -- --keep                   leaves the files of the run for a look
 *
 * It ends with exit code 1 when a line is lost or comes twice, a reload ends otherwise than it should, the ledger does not
 * balance, or the process has grown.
 */
import { randomInt } from 'node:crypto'
import { parseArgs } from 'node:util'
import { runReloads } from '../test/faults/reload_run.ts'

const SEED_MAX = 2 ** 30

const { values } = parseArgs({
  options: {
    reloads: { type: 'string', default: '1000' },
    seed: { type: 'string', default: String(randomInt(SEED_MAX)) },
    keep: { type: 'boolean', default: false }
  }
})
const reloads = Number(values.reloads)
const seed = Number(values.seed)
console.log(`${reloads} reloads, seed ${seed}`)
const start = performance.now()
const report = await runReloads({
  reloads,
  seed,
  keepFolder: values.keep,
  progress: ({ at, rss, files, threads }) => {
    console.log(`  ${at} reloads: ${rss} MB, ${files} open files, ${threads} threads`)
  }
})
const seconds = Math.round((performance.now() - start) / 1000)
const { done, halted, sent, arrived, duplicates, repeats, ledger, problems } = report
const lost = arrived.map(count => sent - count)
console.log(`  ${done} reloads done, ${halted} refused, in ${seconds} s`)
console.log(
  `  ${sent} lines sent to each of two destinations: ${lost.join(' and ')} lost, ${duplicates.join(' and ')} twice ` +
    `(${repeats.join(' and ')} that were sent again unacknowledged)`
)
for (const { text } of ledger) console.log(`  ${text}`)
for (const problem of problems) console.log(`  problem: ${problem}`)
if (values.keep) console.log(`  files: ${report.folder}`)
if (problems.length > 0) process.exitCode = 1
