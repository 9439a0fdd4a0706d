/** An agent and an aggregator that are killed at random; `npm run kill:chain` does more of it. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { certificates } from '../harness/certificates.ts'
import { freePort, needs } from '../harness/peers.ts'
import { runChain } from './chain_run.ts'

const KILLS = 8

/** Another seed is another run, but none of them may lose a line. */
const SEED = 20_261_123

for (const acknowledge of ['stored', 'delivered'] as const) {
  test(
    `no line is lost between an agent and an aggregator that acknowledges what is ${acknowledge}`,
    needs('openssl'),
    async () => {
      const { sent, arrived, problems } = await runChain({
        kills: KILLS,
        seed: SEED,
        port: await freePort(),
        keys: certificates(),
        acknowledge
      })
      assert.deepEqual(problems, [])
      assert.ok(sent > 1000, `only ${sent} lines were sent`)
      assert.equal(arrived, sent)
    }
  )
}
