/**
 * Two programs in a chain, an agent that tails growing files and an aggregator that writes what it gets to a file, with
 * mutual TLS between them. Both are killed again and again, each at times of its own.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { certificates } from '../harness/certificates.ts'
import { seededRandom } from '../harness/random.ts'
import { readFrom } from './destination.ts'
import { GrowingFiles } from './growing_files.ts'
import { Life, section } from './life.ts'
import { LineTally } from './line_tally.ts'

/** Latest time of a kill; some of them hit the start. */
const LIFE_MS_MAX = 1_200

/** Longest time that a program stays down. */
const PAUSE_MS_MAX = 400

/** How long the last lives may take to deliver what is left. */
const DELIVERY_LIMIT_MS = 60_000

const STOP_LIMIT_MS = 10_000

const LOOK_MS = 20

const LINE_FEED = 0x0a

export interface ChainPlan {
  /** Of each program. */
  readonly kills: number
  readonly seed: number
  /** Where the aggregator listens. */
  readonly port: number
  readonly keys: ReturnType<typeof certificates>
  /** When the aggregator acknowledges. */
  readonly acknowledge: 'stored' | 'delivered'
  readonly progress?: (kills: number, tally: LineTally) => void
}

export interface ChainReport {
  readonly kills: number
  readonly sent: number
  readonly arrived: number
  readonly duplicates: number
  /** What went wrong, for each mistake a sentence; empty when all is well. */
  readonly problems: readonly string[]
}

/** Runs a plan to its end; its files are removed. */
export async function runChain(plan: ChainPlan): Promise<ChainReport> {
  const folder = mkdtempSync(join(tmpdir(), 'spillway-chain-'))
  const run = new ChainRun(plan, folder)
  try {
    return await run.run()
  } finally {
    await run.close()
    rmSync(folder, { recursive: true, force: true })
  }
}

/** One of the two programs, over all its lives. */
class Program {
  readonly name: 'agent' | 'aggregator'
  readonly #folder: string
  kills = 0
  lives = 0
  life: Life | undefined

  constructor(name: 'agent' | 'aggregator', folder: string, configuration: string) {
    this.name = name
    this.#folder = join(folder, name)
    mkdirSync(this.#folder)
    writeFileSync(join(this.#folder, 'fluent-bit.conf'), configuration)
  }

  begin(): Life {
    const environment = { LIFE: String(this.lives++) }
    this.life = new Life(this.#folder, ['-c', 'fluent-bit.conf'], environment)
    return this.life
  }

  /** The file that a life writes; each has its own, as a kill may cut the last line. */
  file(life: number): string {
    return join(this.#folder, `delivered.${life}`)
  }
}

class ChainRun {
  readonly #plan: ChainPlan
  readonly #tally = new LineTally()
  readonly #files: GrowingFiles
  readonly #agent: Program
  readonly #aggregator: Program
  readonly #looks: NodeJS.Timeout
  readonly #problems: string[] = []
  /** Bytes that were read of the file of the aggregator's life. */
  #read = { life: 0, bytes: 0 }

  constructor(plan: ChainPlan, folder: string) {
    const logs = join(folder, 'logs')
    mkdirSync(logs)
    this.#plan = plan
    this.#agent = new Program('agent', folder, agentConfiguration(plan, logs))
    this.#aggregator = new Program('aggregator', folder, aggregatorConfiguration(plan))
    this.#files = new GrowingFiles(logs, ['a', 'b', 'c'], seededRandom(plan.seed), this.#tally)
    this.#looks = setInterval(() => this.#look(), LOOK_MS)
  }

  async run(): Promise<ChainReport> {
    this.#files.start()
    try {
      await Promise.all([this.#killOften(this.#agent, 1), this.#killOften(this.#aggregator, 2)])
    } finally {
      this.#files.stop()
    }
    await this.#deliverAll()
    this.#check()
    const { sent, arrived, duplicates } = this.#tally
    const kills = this.#agent.kills + this.#aggregator.kills
    return { kills, sent, arrived, duplicates, problems: this.#problems }
  }

  async close(): Promise<void> {
    clearInterval(this.#looks)
    for (const { life } of [this.#agent, this.#aggregator]) {
      life?.signal('SIGKILL')
      await life?.ended
    }
  }

  async #killOften(program: Program, offset: number): Promise<void> {
    const random = seededRandom(this.#plan.seed + offset)
    while (program.kills < this.#plan.kills && this.#problems.length === 0) {
      const lifeMs = random() * LIFE_MS_MAX
      const pauseMs = random() < 0.5 ? 0 : random() * PAUSE_MS_MAX
      const life = program.begin()
      await delay(lifeMs)
      life.signal('SIGKILL')
      const end = await life.ended
      if (end !== 'SIGKILL') {
        this.#problems.push(`the ${program.name} ended by itself with ${end}\n${life.log}`)
        return
      }
      program.kills++
      this.#plan.progress?.(this.#agent.kills + this.#aggregator.kills, this.#tally)
      if (pauseMs > 0) await delay(pauseMs)
    }
  }

  /** The last lives deliver all that is left and stop in order, the agent first. */
  async #deliverAll(): Promise<void> {
    if (this.#problems.length > 0) return
    const lives = { aggregator: this.#aggregator.begin(), agent: this.#agent.begin() }
    const deadline = performance.now() + DELIVERY_LIMIT_MS
    while (!this.#tally.isComplete && performance.now() < deadline) await delay(LOOK_MS)
    for (const name of ['agent', 'aggregator'] as const) {
      const life = lives[name]
      life.signal('SIGTERM')
      const limit = setTimeout(() => life.signal('SIGKILL'), STOP_LIMIT_MS)
      const code = await life.ended
      clearTimeout(limit)
      if (code !== 0 || !this.#tally.isComplete) {
        this.#problems.push(`the ${name} ended with ${code}\n${life.log}`)
      }
    }
    this.#look()
  }

  /** Counts what the aggregator has written since the last look, in all its lives. */
  #look(): void {
    for (;;) {
      const { life, bytes } = this.#read
      const piece = readFrom(this.#aggregator.file(life), bytes)
      const end = piece.lastIndexOf(LINE_FEED) + 1
      for (const line of piece.toString('utf8', 0, end).split('\n').slice(0, -1)) {
        this.#tally.arrive(logOf(line))
      }
      this.#read = { life, bytes: bytes + end }
      // What the kill has cut off is written again by the next life.
      if (life + 1 >= this.#aggregator.lives || end > 0) return
      this.#read = { life: life + 1, bytes: 0 }
    }
  }

  #check(): void {
    const { sent, arrived, strange, strangeCount } = this.#tally
    if (arrived < sent) {
      const places = this.#tally
        .missing()
        .map(({ file, first, last }) => `\n  ${file} ${first} to ${last}`)
      this.#problems.push(`${sent - arrived} lines did not arrive, the first:${places.join('')}`)
    }
    if (strangeCount > 0) {
      const shown = strange.map(line => `\n  ${JSON.stringify(line.slice(0, 200))}`)
      this.#problems.push(`${strangeCount} lines were never sent, the first:${shown.join('')}`)
    }
  }
}

/** The line in a record; what is no record is a line that nobody sent. */
function logOf(text: string): string {
  try {
    const { log } = JSON.parse(text) as { readonly log?: unknown }
    return typeof log === 'string' ? log : text
  } catch {
    return text
  }
}

const SERVICE = {
  flush: 0.2,
  grace: 5,
  'scheduler.base': 1,
  'scheduler.cap': 2,
  'storage.path': 'store'
}

function agentConfiguration({ port, keys }: ChainPlan, logs: string): string {
  return [
    section('SERVICE', SERVICE),
    section('INPUT', {
      name: 'tail',
      path: `${logs}/*.log*`,
      tag: 'app.*',
      db: 'positions.db',
      read_from_head: 'on',
      refresh_interval: 1,
      rotate_wait: 2,
      'storage.type': 'filesystem'
    }),
    section('OUTPUT', {
      name: 'forward',
      match: 'app.*',
      host: 'localhost',
      port,
      require_ack_response: 'on',
      retry_limit: 'no_limits',
      tls: 'on',
      'tls.verify_hostname': 'on',
      'tls.ca_file': keys.authority,
      'tls.crt_file': keys.client.certificate,
      'tls.key_file': keys.client.key
    })
  ].join('\n')
}

function aggregatorConfiguration({ port, keys, acknowledge }: ChainPlan): string {
  return [
    section('SERVICE', SERVICE),
    section('INPUT', {
      name: 'forward',
      listen: '127.0.0.1',
      port,
      'storage.type': 'filesystem',
      acknowledge,
      tls: 'on',
      'tls.verify_client_cert': 'on',
      'tls.ca_file': keys.authority,
      'tls.crt_file': keys.server.certificate,
      'tls.key_file': keys.server.key
    }),
    section('OUTPUT', {
      name: 'file',
      match: 'app.*',
      path: '.',
      file: 'delivered.${LIFE}',
      format: 'plain',
      retry_limit: 'no_limits'
    })
  ].join('\n')
}
