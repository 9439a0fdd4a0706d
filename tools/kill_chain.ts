/**
 * Kills an agent and the aggregator that it sends to over mutual TLS, each at random, and checks that every line arrives.
 *
 *     npm run kill:chain                        250 kills of each program, twice
 *     npm run kill:chain -- --kills 20 --seed 7
 *
 * The aggregator acknowledges what is stored in the first half and what is delivered in the second. It ends with exit code
 * 1 when a line is lost or a line arrives that was never sent.
 */
import { randomInt } from 'node:crypto'
import { parseArgs } from 'node:util'
import { runChain } from '../test/faults/chain_run.ts'
import { certificates } from '../test/harness/certificates.ts'
import { freePort } from '../test/harness/peers.ts'

/** Kills between two lines of progress. */
const PROGRESS_EACH = 25

const SEED_MAX = 2 ** 30

const { values } = parseArgs({
  options: {
    kills: { type: 'string', default: '250' },
    seed: { type: 'string', default: String(randomInt(SEED_MAX)) }
  }
})
const kills = Number(values.kills)
const seed = Number(values.seed)
for (const acknowledge of ['stored', 'delivered'] as const) {
  console.log(`acknowledge ${acknowledge}: ${kills} kills of each program, seed ${seed}`)
  const report = await runChain({
    kills,
    seed,
    acknowledge,
    port: await freePort(),
    keys: certificates(),
    progress: (done, { sent, arrived, duplicates }) => {
      if (done % PROGRESS_EACH !== 0) return
      console.log(`  ${done} kills: ${sent} sent, ${arrived} arrived, ${duplicates} duplicates`)
    }
  })
  const { sent, arrived, duplicates, problems } = report
  console.log(
    `  ${report.kills} kills: ${sent} lines sent, ${arrived} arrived, ${duplicates} duplicates, ${sent - arrived} lost`
  )
  for (const problem of problems) console.log(`  problem: ${problem}`)
  if (problems.length > 0) process.exitCode = 1
}
