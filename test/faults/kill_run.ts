/**
 * Kills the program again and again while its files grow and its output fails, and says what became of the lines.
 * The choices follow from a seed; the time that they take does not, so that a run can be repeated only nearly.
 */
import { globSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { seededRandom } from '../harness/random.ts'
import { type Destination, FileDestination, HttpDestination } from './destination.ts'
import { GrowingFiles } from './growing_files.ts'
import { ledgerMistakes, type LedgerLine, readLedger } from './ledger_lines.ts'
import { Life, section } from './life.ts'
import { LineTally, type MissingLines } from './line_tally.ts'

/** Latest time of a kill: about half of them hit the start. */
const LIFE_MS_MAX = 600

/** One life in so many lasts longer, so that retries and rotations happen between two kills. */
const LONG_LIFE_EACH = 10
const LONG_LIFE_MS_MAX = 3_000

/** Longest time that the program stays down. */
const PAUSE_MS_MAX = 300

/** How long the last life may take to deliver what is left. */
const DELIVERY_LIMIT_MS = 60_000

/** How long a stop may take: the grace of the configuration and some more. */
const STOP_LIMIT_MS = 10_000

const LOOK_MS = 20

export type StorageKind = 'memory' | 'filesystem'
export type OutputKind = 'plugin' | 'http'

export interface KillPlan {
  readonly kills: number
  readonly seed: number
  readonly storage: StorageKind
  readonly output: OutputKind
  /** Ends the kills early; what was sent is delivered and checked all the same. */
  readonly signal?: AbortSignal
  /** Leaves the folder of the run as it is at the end. */
  readonly keepFolder?: boolean
  /** Told after each kill. */
  readonly progress?: (kills: number, tally: LineTally) => void
}

export interface KillReport {
  readonly kills: number
  readonly sent: number
  readonly arrived: number
  readonly duplicates: number
  /** Ledger lines of the last life. */
  readonly ledger: readonly LedgerLine[]
  /** What went wrong, for each mistake a sentence; empty when all is well. */
  readonly problems: readonly string[]
  readonly folder: string
}

/** Runs a plan to its end; its files are removed. */
export async function runKills(plan: KillPlan): Promise<KillReport> {
  const folder = mkdtempSync(join(tmpdir(), 'spillway-kill-'))
  const tally = new LineTally()
  const destination =
    plan.output === 'plugin'
      ? new FileDestination(folder, tally)
      : await HttpDestination.start(tally)
  const run = new KillRun(plan, folder, tally, destination)
  try {
    return await run.run()
  } finally {
    await run.close()
    if (plan.keepFolder !== true) rmSync(folder, { recursive: true, force: true })
  }
}

class KillRun {
  readonly #plan: KillPlan
  readonly #folder: string
  readonly #tally: LineTally
  readonly #destination: Destination
  readonly #files: GrowingFiles
  readonly #looks: NodeJS.Timeout
  readonly #problems: string[] = []
  #life: Life | undefined
  #lives = 0
  #kills = 0

  constructor(plan: KillPlan, folder: string, tally: LineTally, destination: Destination) {
    this.#plan = plan
    this.#folder = folder
    this.#tally = tally
    this.#destination = destination
    mkdirSync(join(folder, 'logs'))
    writeFileSync(join(folder, 'fluent-bit.conf'), configuration(plan, destination))
    const names = ['a', 'b', 'c']
    this.#files = new GrowingFiles(join(folder, 'logs'), names, seededRandom(plan.seed), tally)
    this.#looks = setInterval(() => destination.look(), LOOK_MS)
  }

  async run(): Promise<KillReport> {
    await this.#check()
    this.#files.start()
    try {
      await this.#killAll()
    } finally {
      this.#files.stop()
    }
    const log = await this.#deliverAll()
    const ledger = readLedger(log)
    this.#checkLines()
    if (this.#problems.length === 0) this.#checkLedger(ledger)
    const { sent, arrived, duplicates } = this.#tally
    return {
      kills: this.#kills,
      sent,
      arrived,
      duplicates,
      ledger,
      problems: this.#problems,
      folder: this.#folder
    }
  }

  async close(): Promise<void> {
    clearInterval(this.#looks)
    this.#life?.signal('SIGKILL')
    await this.#life?.ended
    await this.#destination.close()
  }

  /** A configuration that is refused says so at once; this also warms the cache of compiled code. */
  async #check(): Promise<void> {
    const life = this.#begin(['--dry-run'])
    const code = await life.ended
    if (code !== 0) throw new Error(`Cannot run: the configuration is refused\n${life.log}`)
  }

  async #killAll(): Promise<void> {
    const random = seededRandom(this.#plan.seed + 1)
    while (this.#kills < this.#plan.kills && this.#plan.signal?.aborted !== true) {
      const isLong = this.#kills % LONG_LIFE_EACH === LONG_LIFE_EACH - 1
      const lifeMs = random() * (isLong ? LONG_LIFE_MS_MAX : LIFE_MS_MAX)
      const pauseMs = random() < 0.5 ? 0 : random() * PAUSE_MS_MAX
      const life = this.#begin()
      await delay(lifeMs)
      life.signal('SIGKILL')
      const end = await life.ended
      this.#destination.end()
      if (end !== 'SIGKILL') {
        this.#problems.push(`the program ended by itself with ${end}\n${life.log}`)
        return
      }
      this.#kills++
      this.#plan.progress?.(this.#kills, this.#tally)
      if (pauseMs > 0) await delay(pauseMs)
    }
  }

  /** The last life: it delivers all that is left and stops in order. Gives its log. */
  async #deliverAll(): Promise<string> {
    const life = this.#begin()
    const deadline = performance.now() + DELIVERY_LIMIT_MS
    while (!this.#tally.isComplete && life.isRunning && performance.now() < deadline) {
      await delay(LOOK_MS)
    }
    life.signal('SIGTERM')
    const limit = setTimeout(() => life.signal('SIGKILL'), STOP_LIMIT_MS)
    const code = await life.ended
    clearTimeout(limit)
    this.#destination.end()
    if (code !== 0) {
      this.#problems.push(`the stop ended with ${code}, not with exit code 0\n${life.log}`)
    }
    return life.log
  }

  #begin(args: readonly string[] = []): Life {
    const seed = this.#plan.seed + 2 + this.#lives
    this.#destination.begin(this.#lives, seed)
    this.#life = new Life(
      this.#folder,
      ['-c', 'fluent-bit.conf', ...this.#destination.args, ...args],
      { LIFE: String(this.#lives), SEED: String(seed) }
    )
    this.#lives++
    return this.#life
  }

  #checkLines(): void {
    const { sent, arrived, strange, strangeCount } = this.#tally
    if (arrived < sent) {
      const places = this.#tally.missing().map(lines => `\n  ${this.#placeOf(lines)}`)
      this.#problems.push(`${sent - arrived} lines did not arrive, the first:${places.join('')}`)
    }
    if (strangeCount > 0) {
      const shown = strange.map(line => `\n  ${JSON.stringify(line.slice(0, 200))}`)
      this.#problems.push(`${strangeCount} lines were never sent, the first:${shown.join('')}`)
    }
  }

  /** Where lines lie that did not arrive. */
  #placeOf({ file, first, last }: MissingLines): string {
    const lines = `${file} ${first}${last > first ? ` to ${last}` : ''}`
    for (const path of globSync('logs/*', { cwd: this.#folder })) {
      const content = `\n${readFileSync(join(this.#folder, path), 'latin1')}`
      const at = content.indexOf(`\n${file} ${first} `)
      if (at >= 0) return `${lines}, in ${path} from byte ${at}`
    }
    return `${lines}, in no file that is left`
  }

  #checkLedger(ledger: readonly LedgerLine[]): void {
    const routes = ledger.filter(({ name }) => name.startsWith('route '))
    if (routes.length === 0 || routes.length === ledger.length) {
      this.#problems.push('the program printed no ledger of its inputs and routes')
      return
    }
    for (const line of ledger) {
      this.#problems.push(...ledgerMistakes(line))
      this.#checkDrops(line)
    }
    const delivered = routes.reduce((sum, line) => sum + line.delivered, 0)
    const { accepted } = this.#destination
    if (delivered !== accepted) {
      this.#problems.push(
        `the routes say ${delivered} delivered, the output accepted ${accepted} events`
      )
    }
  }

  /** Without a limit of retries only memory loses events, those that the stop found not delivered. */
  #checkDrops(line: LedgerLine): void {
    const allowed = this.#plan.storage === 'memory' ? (line.reasons['shutdown'] ?? 0) : 0
    if (line.dropped > allowed) this.#problems.push(`events were dropped: ${line.text}`)
  }
}

/** The configuration, as a user writes it. */
function configuration({ storage }: KillPlan, destination: Destination): string {
  const onDisk = storage === 'filesystem'
  return [
    section('SERVICE', {
      flush: 0.2,
      grace: 5,
      'scheduler.base': 1,
      'scheduler.cap': 2,
      ...(onDisk ? { 'storage.path': 'store' } : {})
    }),
    section('INPUT', {
      name: 'tail',
      path: 'logs/*.log*',
      tag: 'app.*',
      db: 'positions.db',
      read_from_head: 'on',
      refresh_interval: 1,
      rotate_wait: 2,
      ...(onDisk ? { 'storage.type': 'filesystem' } : { mem_buf_limit: '1M' })
    }),
    section('OUTPUT', { ...destination.properties, match: 'app.*', retry_limit: 'no_limits' })
  ].join('\n')
}
