/** One run of the program in a simulation: a pipeline between the sources and remotes, on the disk of the world. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Logger } from '../../src/base/log.ts'
import { loadConfiguration, type LoadedConfiguration } from '../../src/cli/configuration.ts'
import { Diagnostics } from '../../src/config/diagnostics.ts'
import { imbalance, rowText } from '../../src/engine/ledger.ts'
import { MetricsRegistry } from '../../src/metrics/registry.ts'
import { Catalog } from '../../src/plugin/catalog.ts'
import { SHIPPED } from '../../src/plugins/all.ts'
import { FakeClock } from '../harness/fake_clock.ts'
import { Life } from './life.ts'
import { type Remote, remotePlugins } from './remotes.ts'
import { COMMIT_EVENTS_MAX, type Source, sourcePlugins } from './sources.ts'
import type { World } from './world.ts'

export interface RunOptions {
  readonly world: World
  readonly sources: readonly Source[]
  readonly remotes: readonly Remote[]
  readonly number: number
  readonly configuration: Configuration
  /** What its clock starts with. */
  readonly nowMs: number
  readonly random: () => number
  readonly onDeath: () => void
}

/** A file with a configuration in a folder that all runs share: it is written anew when it has changed. */
export class Configuration {
  readonly directory: string
  file = ''
  text = ''

  constructor(directory: string) {
    this.directory = directory
  }

  write(text: string, isYaml: boolean): void {
    if (text === this.text) return
    this.text = text
    this.file = isYaml ? 'fluent-bit.yaml' : 'fluent-bit.conf'
    writeFileSync(join(this.directory, this.file), text)
  }
}

/** What the program has said about failures of the disk. */
export interface Complaints {
  write: number
  read: number
  remove: number
  /** Dead letters that could not be kept. */
  letter: number
  /** Found chunks that no output wants. */
  unrouted: number
}

const COMPLAINTS: readonly (readonly [keyof Complaints, RegExp])[] = [
  ['write', /cannot write (?:to )?chunk/],
  ['read', /cannot (?:read (?:chunk|\/)|list|be set aside)/],
  ['remove', /cannot remove/],
  ['letter', /DLQ (?:write|size limit)/],
  ['unrouted', /no matching route/]
]

const EVICTED = /evicted from output queue.* > output=(?<output>\S+) .*limit=(?<limit>\d+)/

/** The program tries again to write what the disk did not take once in this time, and some. */
const DISK_RETRY_MS = 1_500

const GIVEN_UP = /chunk '(?<chunk>[^']+)' (?:cannot be|is not) retried.* > output=(?<output>\S+)/

/** Bytes of an event beside its text; filters may add some. */
const EVENT_BYTES_MAX = 200

export class Run {
  readonly life: Life
  readonly complaints: Complaints = { write: 0, read: 0, remove: 0, letter: 0, unrouted: 0 }
  readonly #options: RunOptions
  readonly #clock: FakeClock
  readonly #diagnostics = new Diagnostics()
  #loaded: LoadedConfiguration | undefined

  constructor(options: RunOptions) {
    this.#options = options
    this.#clock = new FakeClock(options.nowMs)
    this.life = new Life(options.number, options.onDeath)
  }

  get pipeline(): LoadedConfiguration['pipeline'] {
    if (this.#loaded === undefined) throw new Error('the pipeline is not loaded')
    return this.#loaded.pipeline
  }

  get clockMs(): number {
    return this.#clock.now()
  }

  /** Starts it; false when it died, or ended with an error of the disk. */
  async start(): Promise<boolean> {
    const { world } = this.#options
    this.#loaded = await this.#load()
    const { errors } = this.#diagnostics
    if (errors.length > 0) world.fail(`the configuration is refused: ${errors[0].message}`)
    try {
      await this.pipeline.start()
    } catch (error) {
      if (this.life.isAlive && !/simulated/.test(String(error))) {
        world.fail(`the start fails: ${String(error)}`)
      }
      this.life.end('process')
    }
    return this.life.isAlive
  }

  /** Moves time on and lets promises settle. */
  async advance(ms: number): Promise<void> {
    try {
      this.#clock.advance(ms)
    } catch (error) {
      if (this.life.isAlive) this.#options.world.fail(`thrown in a timer: ${describe(error)}`)
    }
    await turn()
    if (this.life.isAlive) this.#check()
  }

  #load(): Promise<LoadedConfiguration> {
    const { world, sources, remotes, configuration, random } = this.#options
    const { life } = this
    const clock = this.#clock
    const catalog = new Catalog(SHIPPED)
    const plugins = [...sourcePlugins(sources, life), ...remotePlugins(remotes, life)]
    for (const plugin of plugins) catalog.add(plugin)
    const sink = { colour: false, write: (line: string) => this.#said(withoutTime(line)) }
    return loadConfiguration(
      {
        file: configuration.file,
        commandLine: undefined,
        workingDirectory: configuration.directory,
        processEnvironment: {}
      },
      {
        log: new Logger({ sink, level: 'info', now: clock.now }),
        clock,
        random,
        metrics: new MetricsRegistry(),
        catalog,
        stdout: { write() {} },
        root: '',
        disk: world.disk.attach(life, () => clock)
      },
      this.#diagnostics
    )
  }

  /** What holds between two steps. */
  #check(): void {
    const { world } = this.#options
    for (const row of this.pipeline.ledgerRows()) {
      if (imbalance(row) !== 0) world.fail(`the ledger: ${rowText(row)}`)
    }
    this.#checkActive()
    this.#checkStorage()
    for (const [index, { memoryBytes, settings, paused }] of this.pipeline.inputs.entries()) {
      const plan = world.plan.inputs[index]
      if (settings.storage !== 'memory' || settings.memBufLimit === 0 || plan === undefined)
        continue
      const commitBytes = COMMIT_EVENTS_MAX * (plan.textBytesMax + EVENT_BYTES_MAX)
      const copies = 1 + plan.routes.length
      if (memoryBytes > settings.memBufLimit + commitBytes * copies) {
        world.fail(
          `input ${index} holds ${memoryBytes} bytes, its limit is ${settings.memBufLimit}`
        )
      }
      if (memoryBytes >= settings.memBufLimit && !paused) {
        world.fail(`input ${index} is over its limit and not paused`)
      }
    }
  }

  /** What a remote is working on must not be given up under its hands. */
  #checkActive(): void {
    const { world, remotes } = this.#options
    if (this.life.isStopping || remotes.every(({ active }) => active.size === 0)) return
    const active = new Set<string>()
    for (const { chunk, deliveries } of this.pipeline.tasks) {
      for (const { output, state } of deliveries) {
        if (state === 'active') active.add(`${world.labels.get(output.label)} ${chunk.id}`)
      }
    }
    for (const { plan, active: chunks } of remotes) {
      for (const chunk of chunks) {
        if (active.has(`${plan.alias} ${chunk}`)) continue
        world.fail(`chunk ${chunk} was given up while ${plan.alias} was working on it`)
      }
    }
  }

  #checkStorage(): void {
    const { world } = this.#options
    const { storage, inputs, tasks } = this.pipeline
    const { plan, disk } = world
    if (storage.guard.count > 0) {
      // Names of files that could not be listed may be given again, with a clock that goes back.
      const isUsed = this.complaints.read > 0 || !disk.isWellFor(DISK_RETRY_MS, world.nowMs)
      if (!isUsed) world.fail('the disk is well and not used')
      if (!inputs.some(({ paused }) => paused)) world.fail('no input waits for the disk')
    }
    const mayExceed = plan.inputs.some(({ pausesOnChunks }) => pausesOnChunks)
    if (mayExceed || this.complaints.write > 0 || this.life.isStopping) return
    let up = storage.up.max
    for (const { openChunks } of inputs) up += openChunks.length
    for (const { deliveries } of tasks) {
      for (const { state } of deliveries) if (state === 'active') up++
    }
    if (storage.up.count > up) {
      world.fail(`${storage.up.count} chunks are up, the limit is ${storage.up.max}`)
    }
  }

  /** Chunks are evicted when an output has more than its limit, not before. */
  #checkEviction(line: Readonly<Partial<Record<string, string>>> | undefined): void {
    if (line === undefined) return
    let bytes = 0
    for (const { sinks } of this.pipeline.inputs) {
      for (const { openChunk, path } of sinks) {
        const isForOutput = path.outputs.some(({ label }) => label === line['output'])
        if (isForOutput && openChunk?.stored !== undefined) bytes += openChunk.size
      }
    }
    for (const { chunk, deliveries } of this.pipeline.tasks) {
      const isForOutput = [...deliveries].some(({ output }) => output.label === line['output'])
      if (isForOutput && chunk.stored !== undefined) bytes += chunk.size
    }
    if (bytes > Number(line['limit'])) return
    this.#options.world.fail(`${line['output']} has ${bytes} bytes, and one of its chunks goes`)
  }

  /** Reads a line of the log. */
  #said(line: string): void {
    const { world, remotes } = this.#options
    if (!this.life.isAlive) return
    world.trace.add(`${this.life.number} ${line}`)
    for (const [kind, pattern] of COMPLAINTS) if (pattern.test(line)) this.complaints[kind]++
    this.#checkEviction(EVICTED.exec(line)?.groups)
    const { chunk = '', output } = GIVEN_UP.exec(line)?.groups ?? {}
    const alias = world.labels.get(output ?? '')
    const remote = remotes.find(({ plan }) => plan.alias === alias)
    if (remote === undefined) return
    const events = remote.lastSent.get(chunk)
    if (events === undefined) remote.isBlind = true
    for (const event of events ?? []) remote.givenUp.add(event)
  }
}

/** A line of the log behind its time, which is local, and without the stack of an error. */
function withoutTime(line: string): string {
  return line.slice(line.indexOf('] ') + 2, line.indexOf('\n'))
}

/** Lets everything run that is due. */
export function turn(): Promise<void> {
  return new Promise(resolve => {
    setImmediate(resolve)
  })
}

function describe(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error)
}
