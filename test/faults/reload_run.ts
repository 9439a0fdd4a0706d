/**
 * Reloads the program again and again while files grow and senders send, each time with another configuration, and says
 * what became of the lines and of the memory. The choices follow from a seed; the time that they take does not.
 */
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { createServer, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { freePort } from '../harness/peers.ts'
import { seededRandom } from '../harness/random.ts'
import {
  ChangingConfiguration,
  type ConfigurationChange,
  type Ports
} from './changing_configuration.ts'
import { HttpDestination, lineOf, readFrom } from './destination.ts'
import { GrowingFiles } from './growing_files.ts'
import { ledgerMistakes, type LedgerLine, readLedger } from './ledger_lines.ts'
import { Life } from './life.ts'
import { LineTallies, LineTally } from './line_tally.ts'
import { growth, medians, type Sample, sampleProcess } from './process_figures.ts'
import { ForwardSender, HttpSender, type Sender, TcpSender } from './senders.ts'

/** Every so often the configuration is as in the beginning, and a look at the process tells what it has gathered. */
const SAMPLE_EACH = 25

/** Reloads that the process may need to get its size. */
const WARM_UP = 100

/** Time between two reloads. */
const PAUSE_MS_MAX = 60

const RELOAD_LIMIT_MS = 20_000
const DELIVERY_LIMIT_MS = 60_000
const STOP_LIMIT_MS = 15_000

const LOOK_MS = 5

/** What the last input says when it has started. */
const STARTED = '[input:tcp:lasting] listening on'

/** Without a database a name is all that is known of a file: each is to be seen before it is renamed. */
const PLAIN_REST_MS = 3_000

/** Characters of what the program says on standard error. */
const LOG_SHOWN = 1_000

const CHANGES_SHOWN = 8

const LINE_FEED = 0x0a

/** Log lines that nothing may bring about. */
const ALARMING = /BUG|cannot be started again|stop failed|hands? over its events|does not stop/

export interface ReloadPlan {
  readonly reloads: number
  readonly seed: number
  readonly keepFolder?: boolean
  /** Told after each sample. */
  readonly progress?: (sample: Sample, reloads: number) => void
}

export interface ReloadReport {
  /** Reloads that were to succeed, and those that were to be refused. */
  readonly done: number
  readonly halted: number
  readonly sent: number
  /** Of the two destinations, which both get all lines. */
  readonly arrived: readonly number[]
  readonly duplicates: readonly number[]
  /** Lines that were sent again, as they were not acknowledged, and came twice. */
  readonly repeats: readonly number[]
  readonly samples: readonly Sample[]
  readonly ledger: readonly LedgerLine[]
  /** What went wrong, for each mistake a sentence; empty when all is well. */
  readonly problems: readonly string[]
  readonly folder: string
}

/** Runs a plan to its end; its files are removed. */
export async function runReloads(plan: ReloadPlan): Promise<ReloadReport> {
  const folder = mkdtempSync(join(tmpdir(), 'spillway-reload-'))
  const tallies = { file: new LineTally(), sink: new LineTally() }
  const sink = await HttpDestination.start(tallies.sink, 'before_taking')
  sink.begin(0, plan.seed + 1)
  const blocker = createServer().listen(0, '127.0.0.1')
  await once(blocker, 'listening')
  const run = new ReloadRun(plan, { folder, tallies, sink, blocker, ports: await ports(blocker) })
  try {
    return await run.run()
  } finally {
    await run.close()
    if (plan.keepFolder !== true) rmSync(folder, { recursive: true, force: true })
  }
}

async function ports(blocker: Server): Promise<Ports> {
  const address = blocker.address()
  return {
    monitoring: [await freePort(), await freePort()],
    forward: await freePort(),
    http: await freePort(),
    tcp: await freePort(),
    exporter: await freePort(),
    taken: typeof address === 'object' ? (address?.port ?? 0) : 0
  }
}

interface RunParts {
  readonly folder: string
  readonly tallies: { readonly file: LineTally; readonly sink: LineTally }
  readonly sink: HttpDestination
  readonly blocker: Server
  readonly ports: Ports
}

class ReloadRun {
  readonly #plan: ReloadPlan
  readonly #parts: RunParts
  readonly #random: () => number
  readonly #configuration: ChangingConfiguration
  readonly #life: Life
  readonly #looks: NodeJS.Timeout
  readonly #files: GrowingFiles[] = []
  readonly #senders: Sender[] = []
  readonly #samples: Sample[] = []
  readonly #problems: string[] = []
  /** Bytes that were read of the files of the output. */
  readonly #read = new Map<string, number>()
  /** What the program has logged, and where the last reload begins. */
  #log = ''
  #logBytes = 0
  #done = 0
  #halted = 0
  /** What was changed last, the latest first. */
  #changes: string[] = []

  constructor(plan: ReloadPlan, parts: RunParts) {
    const { folder, sink } = parts
    this.#plan = plan
    this.#parts = parts
    this.#random = seededRandom(plan.seed)
    for (const name of ['delivered', 'logs/plain', 'logs/stored', 'logs/threaded']) {
      mkdirSync(join(folder, name), { recursive: true })
    }
    this.#configuration = new ChangingConfiguration({
      folder,
      ports: parts.ports,
      sink: sink.properties,
      random: this.#random
    })
    const args = ['-c', 'fluent-bit.conf', '-e', 'stamp.mjs']
    this.#life = new Life(folder, args, {
      LIFE: '0',
      EXPORTER_PORT: String(parts.ports.exporter),
      // Each thread that ends leaves its arena to the allocator, up to eight for each core: 100 MB that hide any leak.
      MALLOC_ARENA_MAX: '2'
    })
    this.#looks = setInterval(() => this.#look(), 20)
  }

  async run(): Promise<ReloadReport> {
    if (!(await this.#until(() => this.#log.includes(STARTED)))) {
      throw new Error(`Cannot run: the program does not start\n${this.#life.log}${this.#log}`)
    }
    this.#startLoad()
    await this.#reloadAll()
    await this.#finish()
    const { file, sink } = this.#parts.tallies
    return {
      done: this.#done,
      halted: this.#halted,
      sent: file.sent,
      arrived: [file.arrived, sink.arrived],
      duplicates: [file.duplicates, sink.duplicates],
      repeats: [file.repeats, sink.repeats],
      samples: this.#samples,
      ledger: readLedger(this.#log),
      problems: this.#problems,
      folder: this.#parts.folder
    }
  }

  async close(): Promise<void> {
    clearInterval(this.#looks)
    for (const files of this.#files) files.stop()
    for (const sender of this.#senders) sender.close()
    this.#life.signal('SIGKILL')
    await this.#life.ended
    this.#parts.blocker.close()
    await this.#parts.sink.close()
  }

  #startLoad(): void {
    const { folder, tallies, ports } = this.#parts
    const tally = new LineTallies([tallies.file, tallies.sink])
    const { seed } = this.#plan
    for (const [kind, names] of Object.entries({
      plain: ['a', 'b'],
      stored: ['c', 'd'],
      threaded: ['e', 'f']
    })) {
      const random = seededRandom(seed + 10 + this.#files.length)
      const restMs = kind === 'plain' ? PLAIN_REST_MS : 0
      const files = new GrowingFiles(join(folder, 'logs', kind), names, random, tally, restMs)
      this.#files.push(files)
      files.start()
    }
    this.#senders.push(
      new ForwardSender(ports.forward, 'app.forward', seededRandom(seed + 20), tally),
      new HttpSender(ports.http, 'app.http', seededRandom(seed + 21), tally),
      new TcpSender(ports.tcp, seededRandom(seed + 22), tally)
    )
  }

  // --- reloading

  async #reloadAll(): Promise<void> {
    const { reloads, progress } = this.#plan
    for (let number = 1; number <= reloads && this.#problems.length === 0; number++) {
      const port = this.#configuration.monitoringPort
      const isSample = number % SAMPLE_EACH === 0
      const change = isSample ? this.#configuration.reset() : this.#configuration.change()
      this.#changes = [change.names.join(', '), ...this.#changes].slice(0, CHANGES_SHOWN)
      await this.#reload(port, change)
      this.#checkOften()
      if (isSample && this.#life.isRunning) {
        const sample = await sampleProcess(this.#life.pid, number)
        this.#samples.push(sample)
        progress?.(sample, number)
      } else await delay(this.#random() * PAUSE_MS_MAX)
    }
  }

  async #reload(port: number, { names, outcome }: ConfigurationChange): Promise<void> {
    const from = this.#log.length
    if (this.#random() < 0.5) this.#life.signal('SIGHUP')
    else {
      const url = `http://127.0.0.1:${port}/api/v2/reload`
      const reply = await fetch(url, { method: 'POST' })
      const { reload } = (await reply.json()) as { readonly reload: string }
      if (reload !== 'done') this.#problems.push(`the reload was answered with ${reload}`)
    }
    const ended = /\[reload\] successful reload done|Reloading is halted/
    const hasEnded = await this.#until(() => ended.test(this.#log.slice(from)))
    const isDone = this.#log.slice(from).includes('successful reload done')
    if (hasEnded && isDone === (outcome === 'done')) {
      this.#done += isDone ? 1 : 0
      this.#halted += isDone ? 0 : 1
      return
    }
    const became = hasEnded ? (isDone ? 'was done' : 'was halted') : 'did not end'
    this.#problems.push(
      `a reload ${became}: ${names.join(', ')}\n${this.#life.log.slice(-LOG_SHOWN)}${this.#log.slice(from)}`
    )
  }

  /** A line that comes twice is found where it happens; one that is missing shows at the end. */
  #checkOften(): void {
    const { file, sink } = this.#parts.tallies
    if (file.duplicates + file.strangeCount + sink.duplicates + sink.strangeCount === 0) return
    const changes = this.#changes.map(names => `\n  ${names}`)
    this.#problems.push(`lines came wrong after these changes, the last first:${changes.join('')}`)
  }

  // --- the end

  async #finish(): Promise<void> {
    for (const files of this.#files.splice(0)) files.stop()
    const limit = delay(DELIVERY_LIMIT_MS, false, { ref: false })
    const hasSent = Promise.all(this.#senders.map(sender => sender.finish())).then(() => true)
    if (!(await Promise.race([hasSent, limit]))) {
      this.#problems.push('the senders did not get their acknowledgements')
    }
    const { file, sink } = this.#parts.tallies
    await this.#until(() => file.isComplete && sink.isComplete, DELIVERY_LIMIT_MS)
    if (this.#senders.some(sender => sender instanceof TcpSender && sender.wasClosed)) {
      this.#problems.push('the connection of an input that did not change was closed')
    }
    await this.#checkCount()
    await this.#stop()
    this.#checkTally('file', file)
    this.#checkTally('sink', sink)
    this.#checkLog()
    this.#checkGrowth()
  }

  async #checkCount(): Promise<void> {
    if (!this.#life.isRunning) return
    const reply = await fetch(
      `http://127.0.0.1:${this.#configuration.monitoringPort}/api/v2/reload`
    )
    const { hot_reload_count: count } = (await reply.json()) as { hot_reload_count: number }
    if (count !== this.#done) {
      this.#problems.push(`hot_reload_count is ${count} after ${this.#done} reloads`)
    }
  }

  async #stop(): Promise<void> {
    for (const sender of this.#senders) sender.close()
    this.#life.signal('SIGTERM')
    const limit = setTimeout(() => this.#life.signal('SIGKILL'), STOP_LIMIT_MS)
    const code = await this.#life.ended
    clearTimeout(limit)
    this.#look()
    if (code !== 0) {
      this.#problems.push(`the stop ended with ${code}\n${this.#life.log}${this.#log.slice(-5000)}`)
    }
  }

  #checkTally(name: string, tally: LineTally): void {
    const { sent, arrived, duplicates, twice, strange, strangeCount } = tally
    if (arrived < sent) {
      const places = tally
        .missing()
        .map(({ file, first, last }) => `\n  ${file} ${first} to ${last}`)
      this.#problems.push(`${name}: ${sent - arrived} lines are missing:${places.join('')}`)
    }
    if (duplicates > 0) {
      this.#problems.push(`${name}: ${duplicates} lines arrived twice: ${twice.join(', ')}`)
    }
    if (strangeCount > 0) {
      const shown = strange.map(line => `\n  ${JSON.stringify(line.slice(0, 200))}`)
      this.#problems.push(`${name}: ${strangeCount} lines were never sent:${shown.join('')}`)
    }
  }

  #checkLog(): void {
    const ledger = readLedger(this.#log)
    if (ledger.length === 0) this.#problems.push('the program printed no ledger')
    for (const line of ledger) this.#problems.push(...ledgerMistakes(line))
    const alarms = this.#log.split('\n').filter(line => ALARMING.test(line))
    this.#problems.push(...alarms.slice(0, 10))
  }

  /** Compares the end with what followed the warm-up. */
  #checkGrowth(): void {
    const { reloads } = this.#plan
    const tenth = Math.max(reloads / 10, 2 * SAMPLE_EACH)
    const warm = Math.min(WARM_UP, reloads / 4)
    const early = this.#samples.filter(({ at }) => at > warm && at <= warm + tenth)
    const late = this.#samples.filter(({ at }) => at > reloads - tenth)
    if (early.length === 0 || late.length === 0) return
    this.#problems.push(...growth(medians(early), medians(late)))
  }

  // --- what the program writes

  #look(): void {
    const { folder, tallies } = this.#parts
    const log = wholeLines(readFrom(join(folder, 'agent.log'), this.#logBytes))
    this.#logBytes += Buffer.byteLength(log)
    this.#log += log
    for (const name of readdirSync(join(folder, 'delivered'))) {
      const position = this.#read.get(name) ?? 0
      const text = wholeLines(readFrom(join(folder, 'delivered', name), position))
      this.#read.set(name, position + Buffer.byteLength(text))
      for (const line of text.split('\n').slice(0, -1)) tallies.file.arrive(logOf(line))
    }
  }

  async #until(condition: () => boolean, limitMs = RELOAD_LIMIT_MS): Promise<boolean> {
    const deadline = performance.now() + limitMs
    while (this.#life.isRunning && performance.now() < deadline) {
      this.#look()
      if (condition()) return true
      await delay(LOOK_MS)
    }
    return condition()
  }
}

function wholeLines(bytes: Buffer): string {
  return bytes.toString('utf8', 0, bytes.lastIndexOf(LINE_FEED) + 1)
}

/** The line in a record; what is no record is a line that nobody sent. */
function logOf(text: string): string {
  try {
    return lineOf(JSON.parse(text) as Record<string, unknown>)
  } catch {
    return text
  }
}
