/** Whole lives of the program under many seeds; `npm run simulate` runs thousands, and one with all that happens. */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { type Outcome, Simulator } from './simulation.ts'

const SEEDS = 400

/** Each is of another kind: strict and not, with and without losses of power, classic and YAML. */
const REPLAYED = [3, 12, 44, 92, 148, 297, 549]

let simulator: Simulator

before(() => {
  simulator = new Simulator()
})

after(() => simulator.close())

test(`nothing is lost but what was counted, under ${SEEDS} seeds of crashes and failures`, async () => {
  for (let seed = 1; seed <= SEEDS; seed++) {
    const outcome = await simulator.run(seed, { shown: new Set() })
    assert.equal(outcome.problem, undefined, failureText(outcome))
  }
})

test('the same seed gives the same steps', async () => {
  for (const seed of REPLAYED) {
    const [once, again] = [await run(seed), await run(seed)]
    assert.deepEqual(once, again, `seed ${seed}`)
  }
})

async function run(seed: number): Promise<Partial<Outcome>> {
  const { hash, steps, runs, problem } = await simulator.run(seed, { shown: new Set() })
  return { hash, steps, runs, problem }
}

function failureText({ seed, problem, text, lastLines }: Outcome): string {
  return [
    `seed ${seed}: ${problem}`,
    `npm run simulate -- --seed ${seed} --verbose`,
    text,
    ...lastLines
  ].join('\n')
}
