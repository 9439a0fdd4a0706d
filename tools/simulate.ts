/**
 * Simulates whole lives of the program, one for each seed: crashes, losses of power, a disk and remotes that fail in every
 * way, all on a virtual clock. It checks that nothing is lost but what was counted, and stops at the first seed for which
 * something is wrong.
 *
 *     npm run simulate                                10,000 seeds
 *     npm run simulate -- --seeds 500 --from 20000
 *     npm run simulate -- --seed 4711 --verbose       one seed, with everything that happens
 *     npm run simulate -- --known all                 with known bugs shown: all, or some by name
 *
 * The exit code is 1 when something is wrong.
 */
import { parseArgs } from 'node:util'
import { KNOWN_BUGS, type KnownBug } from '../test/simulation/known_bugs.ts'
import { type Outcome, Simulator } from '../test/simulation/simulation.ts'

/** Seeds between two lines of progress. */
const PROGRESS_EACH = 500

const { values } = parseArgs({
  options: {
    seeds: { type: 'string', default: '10000' },
    from: { type: 'string', default: '1' },
    seed: { type: 'string' },
    known: { type: 'string', default: '' },
    verbose: { type: 'boolean', default: false }
  }
})
const known = knownBugs(values.known)
const first = wholeNumber('seed', values.seed ?? values.from)
const count = values.seed === undefined ? wholeNumber('seeds', values.seeds) : 1
const simulator = new Simulator()
const startMs = performance.now()
const sum = { seeds: 0, events: 0, runs: 0, deaths: 0 }
for (let seed = first; seed < first + count; seed++) {
  const outcome = await simulator.run(seed, {
    shown: known,
    ...(values.verbose ? { print: (line: string) => console.log(line) } : {})
  })
  sum.seeds++
  sum.events += outcome.events
  sum.runs += outcome.runs
  sum.deaths += outcome.deaths
  if (outcome.problem !== undefined) {
    showFailure(outcome, outcome.problem)
    process.exitCode = 1
    break
  }
  if (sum.seeds % PROGRESS_EACH === 0) showProgress()
}
if (sum.seeds % PROGRESS_EACH !== 0) showProgress()
simulator.close()

function showProgress(): void {
  const { seeds, events, runs, deaths } = sum
  const ms = ((performance.now() - startMs) / seeds).toFixed(1)
  console.log(
    `${seeds} seeds: ${events} events, ${runs} runs, ${deaths} of them died; ${ms} ms a seed`
  )
}

function showFailure({ seed, text, lastLines }: Outcome, problem: string): void {
  const more = known.size === 0 ? '' : ` --known ${[...known].join(',')}`
  console.log(text)
  console.log('\n--- what happened last\n')
  console.log(lastLines.join('\n'))
  console.log(`\nseed ${seed} fails: ${problem}`)
  console.log(`again: npm run simulate -- --seed ${seed} --verbose${more}`)
}

/** The bugs that `--known` names. */
function knownBugs(names: string): ReadonlySet<KnownBug> {
  const all = Object.keys(KNOWN_BUGS) as KnownBug[]
  if (names === 'all') return new Set(all)
  const wanted = names.split(',').filter(name => name !== '')
  const unknown = wanted.find(name => !(all as string[]).includes(name))
  if (unknown === undefined) return new Set(all.filter(name => wanted.includes(name)))
  throw new Error(`Cannot use --known ${unknown}: it must be all, or some of ${all.join(', ')}`)
}

function wholeNumber(option: string, value: string): number {
  if (/^\d+$/.test(value)) return Number(value)
  throw new Error(`Cannot use --${option} ${value}: it must be a whole number`)
}
