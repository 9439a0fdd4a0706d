/**
 * Kills the program a thousand times while its files grow and its output fails, and checks that every line arrives.
 *
 *     npm run kill                                      250 kills of each kind of buffer and output
 *     npm run kill -- --kills 50 --storage memory --output http
 *     npm run kill -- --seed 7                          with the choices of an earlier run
 *     npm run kill -- --keep                            leaves the files of the runs for a look
 *
 * An interrupt (Ctrl-C) ends the kills early; what was sent until then is checked all the same.
 *
 * It ends with exit code 1 when a line is lost, a line arrives that was never sent, or the ledger does not balance.
 */
import { randomInt } from 'node:crypto'
import { parseArgs } from 'node:util'
import {
  type KillReport,
  type OutputKind,
  runKills,
  type StorageKind
} from '../test/faults/kill_run.ts'
import type { LineTally } from '../test/faults/line_tally.ts'

/** Kills between two lines of progress. */
const PROGRESS_EACH = 25

/** Seeds of the output are numbers a little above. */
const SEED_MAX = 2 ** 30

const { values } = parseArgs({
  options: {
    kills: { type: 'string', default: '1000' },
    seed: { type: 'string', default: String(randomInt(SEED_MAX)) },
    storage: { type: 'string', default: 'both' },
    output: { type: 'string', default: 'both' },
    keep: { type: 'boolean', default: false }
  }
})
const storages = kinds<StorageKind>('storage', values.storage, ['memory', 'filesystem'])
const outputs = kinds<OutputKind>('output', values.output, ['plugin', 'http'])
const variants = storages.flatMap(storage => outputs.map(output => ({ storage, output })))
const seed = wholeNumber('seed', values.seed)
const kills = Math.ceil(wholeNumber('kills', values.kills) / variants.length)

const interruption = new AbortController()
process.once('SIGINT', () => interruption.abort())
let failures = 0
for (const { storage, output } of variants) {
  if (interruption.signal.aborted) break
  console.log(`${storage} > ${output}: ${kills} kills, seed ${seed}`)
  const report = await runKills({
    kills,
    seed,
    storage,
    output,
    signal: interruption.signal,
    keepFolder: values.keep,
    progress: showProgress
  })
  show(report)
  if (report.problems.length > 0) failures++
  console.log(
    `  again: npm run kill -- --kills ${kills} --seed ${seed} --storage ${storage} --output ${output}`
  )
  if (values.keep) console.log(`  files: ${report.folder}`)
}
process.exitCode = failures === 0 ? 0 : 1

function showProgress(done: number, { sent, arrived, duplicates }: LineTally): void {
  if (done % PROGRESS_EACH !== 0) return
  console.log(`  ${done} kills: ${sent} sent, ${arrived} arrived, ${duplicates} duplicates`)
}

function show({ kills: done, sent, arrived, duplicates, ledger, problems }: KillReport): void {
  console.log(
    `  ${done} kills: ${sent} lines sent, ${arrived} arrived, ${duplicates} duplicates, ` +
      `${sent - arrived} lost`
  )
  for (const { text } of ledger) console.log(`  ${text}`)
  for (const problem of problems) console.log(`  problem: ${problem}`)
}

/** The kinds that an option names: one of them, or both. */
function kinds<Kind extends string>(
  option: string,
  value: string,
  all: readonly Kind[]
): readonly Kind[] {
  if (value === 'both') return all
  const kind = all.find(name => name === value)
  if (kind !== undefined) return [kind]
  throw new Error(`Cannot use --${option} ${value}: it must be ${all.join(', ')} or both`)
}

function wholeNumber(option: string, value: string): number {
  if (/^\d+$/.test(value)) return Number(value)
  throw new Error(`Cannot use --${option} ${value}: it must be a whole number`)
}
