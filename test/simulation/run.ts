/** One run of the program in a simulation: a pipeline between the sources and remotes, on the disk of the world. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Logger } from '../../src/base/log.ts'
import {
  type ConfigurationSource,
  type ConfigurationWorld,
  loadConfiguration,
  type LoadedConfiguration,
  reloadConfiguration
} from '../../src/cli/configuration.ts'
import { Diagnostics } from '../../src/config/diagnostics.ts'
import type { ServiceSettings } from '../../src/config/service.ts'
import { imbalance, rowText } from '../../src/engine/ledger.ts'
import { MetricsRegistry } from '../../src/metrics/registry.ts'
import { Catalog } from '../../src/plugin/catalog.ts'
import { SHIPPED } from '../../src/plugins/all.ts'
import { FakeClock } from '../harness/fake_clock.ts'
import { outputLabels } from './config_text.ts'
import { EngineClock } from './engine_clock.ts'
import { Life } from './life.ts'
import { BROKEN, type Plan } from './plan.ts'
import { type Remote, remotePlugins } from './remotes.ts'
import { COMMIT_EVENTS_MAX, type Source, sourcePlugins } from './sources.ts'
import type { World } from './world.ts'

export interface RunOptions {
  readonly world: World
  readonly sources: readonly Source[]
  readonly remotes: readonly Remote[]
  readonly number: number
  readonly configuration: Configuration
  /** What the configuration was written from. */
  readonly plan: Plan
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

/** A reload may take so much longer than the waits in it: it is looked at after a step. */
const RELOAD_SLACK_MS = 3_700_000

/** What stands for the output where events reach none. */
const REASONS: readonly string[] = ['unmatched', 'not_routable', 'dlq', 'storage']

const GIVEN_UP = /chunk '(?<chunk>[^']+)' (?:cannot be|is not) retried.* > output=(?<output>\S+)/

/** Bytes of an event beside its text; filters may add some. */
const EVENT_BYTES_MAX = 200

export class Run {
  readonly life: Life
  readonly complaints: Complaints = { write: 0, read: 0, remove: 0, letter: 0, unrouted: 0 }
  readonly #options: RunOptions
  readonly #clock: FakeClock
  readonly #engineClock: EngineClock
  readonly #metrics = new MetricsRegistry()
  readonly #world: ConfigurationWorld
  #loaded: LoadedConfiguration | undefined
  /** Configurations by what the engine has of them. */
  readonly #plans = new Map<ServiceSettings, Plan>()
  /** Buffers of the pool that somebody has. */
  readonly #taken = new Set<Buffer>()
  /** The reload that is under way. */
  #reload: { readonly plan: Plan; readonly startMs: number } | undefined

  constructor(options: RunOptions) {
    this.#options = options
    this.#clock = new FakeClock(options.nowMs)
    this.#engineClock = new EngineClock(this.#clock)
    this.life = new Life(options.number, options.onDeath)
    this.#world = this.#newWorld()
  }

  /** The configuration that is in force. */
  get plan(): Plan {
    const service = this.#loaded?.pipeline.service
    return (service && this.#plans.get(service)) ?? this.#options.plan
  }

  get isReloading(): boolean {
    return this.#reload !== undefined
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
    const diagnostics = new Diagnostics()
    this.#note(this.#options.plan)
    this.#loaded = await loadConfiguration(this.#source, this.#world, diagnostics)
    this.#plans.set(this.#loaded.service, this.#options.plan)
    this.#watchPool()
    const { errors } = diagnostics
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

  /**
   * Goes on with what the configuration's file says now; resolves once it is read.
   *
   * @param isRefused It has a mistake.
   */
  async reload(plan: Plan, isRefused: boolean): Promise<void> {
    const { world } = this.#options
    const { pipeline } = this
    const before = this.#seriesNames()
    const diagnostics = new Diagnostics()
    const catalog = this.#world.catalog.renewed()
    const { change, service } = await reloadConfiguration(
      pipeline,
      this.#source,
      { ...this.#world, catalog },
      diagnostics
    )
    if (diagnostics.errors.length > 0) {
      if (!isRefused) world.fail(`a reload is refused: ${diagnostics.errors[0].message}`)
      change.discard()
      const after = this.#seriesNames()
      // Deliveries go on meanwhile, and the first of a route makes figures of that route.
      const left = after.filter(name => !before.includes(name) && !name.includes('"input":'))
      const gone = before.filter(name => !after.includes(name))
      if (left.length + gone.length > 0)
        world.fail(`a refused reload leaves metrics behind: ${[...left, ...gone].join(', ')}`)
      return
    }
    if (isRefused) world.fail('a bad configuration is taken')
    world.trace.add(`reload: ${change.summary}`)
    this.#note(plan)
    this.#plans.set(service, plan)
    const old = pipeline.service
    this.#reload = { plan, startMs: this.clockMs }
    world.reloadMs = world.nowMs
    pipeline.change(change).then(
      () => this.#reloaded(service),
      (error: unknown) => this.#notReloaded(old, error)
    )
  }

  #reloaded(service: ServiceSettings): void {
    if (!this.life.isAlive) return
    const { world } = this.#options
    world.trace.add('reloaded')
    if (this.#reload?.plan.seats.inputs.includes(BROKEN) === true) {
      world.fail('an input that does not start is not missed')
    }
    this.#endReload(service)
  }

  #notReloaded(old: ServiceSettings, error: unknown): void {
    if (!this.life.isAlive) return
    const { world } = this.#options
    world.trace.add(`not reloaded: ${String(error)}`)
    // Sources keep positions and hand over nothing: one that cannot settle its events has to stay.
    const isExpected = /simulated|has events that no output has taken|the program stops/.test(
      String(error)
    )
    if (!isExpected) world.fail(`the reload fails: ${describe(error)}`)
    const plan = this.#plans.get(old) ?? this.plan
    if (this.#reload?.plan.service.path === plan.service.path) world.changes(plan)
    else world.found(plan)
    this.#endReload(old)
  }

  #endReload(service: ServiceSettings): void {
    this.#reload = undefined
    const { world, sources } = this.#options
    if (this.pipeline.service !== service) world.fail('another configuration is in force')
    const { seats } = this.plan
    if (this.life.isStopping) return
    for (const [number, { isOpen }] of sources.entries()) {
      if (isOpen === seats.inputs.includes(number)) continue
      world.fail(`source ${number} is ${isOpen ? '' : 'not '}read after a reload`)
    }
    const { outputs } = this.pipeline.instances
    const wanted = outputLabels(this.plan).map(([label]) => label)
    const found = outputs.map(({ label }) => label)
    if (wanted.join() !== found.join()) world.fail(`outputs are ${found.join()} after a reload`)
  }

  /** Notes what outputs of a configuration are called. */
  #note(plan: Plan): void {
    const { labels } = this.#options.world
    for (const [label, alias] of outputLabels(plan)) {
      const called = labels.get(label) ?? new Set()
      labels.set(label, called.add(alias))
    }
  }

  /** What is left over once nothing is on its way any more. */
  checkRest(): void {
    const { world } = this.#options
    const { filters, seats } = this.plan
    const { instances } = this.pipeline
    const wanted =
      seats.inputs.length + filters.filter(({ step }) => step.kind === 'rewrite').length
    const here = this.pipeline.inputs
    if (here.length !== wanted) {
      world.fail(`${here.length} inputs are there: ${here.map(({ label }) => label).join()}`)
    }
    const owners = [...here, ...instances.filters, ...instances.outputs].map(({ label }) => label)
    const known = new Set([...owners, ...REASONS])
    for (const { name, labels } of this.#series()) {
      // Processors have figures of filters, under names of their own; what is lost stays counted.
      if (/_(?:filter|ledger|dead_letter)_/.test(name)) continue
      const strangers = [labels['name'], labels['output']].filter(
        label => label !== undefined && !known.has(label) && !label.startsWith('storage_backlog.')
      )
      if (strangers.length === 0) continue
      world.fail(`metrics are left of ${strangers.join()}: ${name}`)
    }
    let sinks = 0
    for (const input of here) sinks += input.sinks.length
    if (this.#taken.size > sinks) world.fail(`${this.#taken.size} buffers are not given back`)
  }

  /** After a stop. */
  checkTimers(): void {
    const { pending } = this.#engineClock
    if (pending.length > 0) this.#options.world.fail(`timers are left: ${pending.join(', ')}`)
  }

  *#series(): Iterable<{ name: string; labels: Readonly<Record<string, string>> }> {
    for (const { name, series } of this.#metrics.families()) {
      for (const { labels } of series) yield { name, labels }
    }
  }

  #seriesNames(): string[] {
    return Array.from(this.#series(), ({ name, labels }) => `${name} ${JSON.stringify(labels)}`)
  }

  /** A buffer has one user at a time. */
  #watchPool(): void {
    const { pool } = this.pipeline.storage
    const { world } = this.#options
    const [take, give] = [pool.take.bind(pool), pool.give.bind(pool)]
    pool.take = () => {
      const buffer = take()
      if (this.#taken.has(buffer)) world.fail('a buffer of the pool is taken twice')
      this.#taken.add(buffer)
      return buffer
    }
    pool.give = buffer => {
      if (!this.#taken.delete(buffer)) world.fail('a buffer of the pool is given back twice')
      give(buffer)
    }
  }

  get #source(): ConfigurationSource {
    const { file, directory } = this.#options.configuration
    return {
      file,
      commandLine: undefined,
      workingDirectory: directory,
      processEnvironment: {}
    }
  }

  #newWorld(): ConfigurationWorld {
    const { world, sources, remotes, random } = this.#options
    const { life } = this
    const clock = this.#clock
    const catalog = new Catalog(SHIPPED)
    const plugins = [...sourcePlugins(sources, life), ...remotePlugins(remotes, life, clock)]
    for (const plugin of plugins) catalog.add(plugin)
    const sink = { colour: false, write: (line: string) => this.#said(withoutTime(line)) }
    return {
      log: new Logger({ sink, level: 'info', now: clock.now }),
      clock: this.#engineClock,
      random,
      metrics: this.#metrics,
      catalog,
      stdout: { write() {} },
      root: '',
      disk: world.disk.attach(life, () => clock)
    }
  }

  /** What holds between two steps. */
  #check(): void {
    const { world } = this.#options
    for (const row of this.pipeline.ledgerRows()) {
      if (imbalance(row) !== 0) world.fail(`the ledger: ${rowText(row)}`)
    }
    this.#checkActive()
    this.#checkStorage()
    this.#checkReload()
    const { inputs, seats } = this.plan
    for (const [index, { memoryBytes, settings, paused }] of this.pipeline.inputs.entries()) {
      const plan = inputs[seats.inputs[index]]
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

  /** Inputs that keep a position are waited for one after the other, each as long as the grace is. */
  #checkReload(): void {
    if (this.#reload === undefined) return
    const { world } = this.#options
    const tookMs = this.clockMs - this.#reload.startMs
    const graces = world.plans.map(({ service }) => (service.grace < 0 ? Infinity : service.grace))
    const most = Math.max(...graces) * 1_000 * world.plan.inputs.length
    if (tookMs > most + RELOAD_SLACK_MS) world.fail(`the reload takes ${tookMs} ms`)
  }

  /** What a remote is working on must not be given up under its hands. */
  #checkActive(): void {
    const { world, remotes } = this.#options
    if (this.life.isStopping || remotes.every(({ active }) => active.size === 0)) return
    const active = new Set<string>()
    for (const { chunk, deliveries } of this.pipeline.tasks) {
      for (const { output, state } of deliveries) {
        if (state !== 'active') continue
        for (const alias of world.outputsCalled(output.label)) active.add(`${alias} ${chunk.id}`)
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
    const { disk } = world
    if (storage.guard.count > 0) {
      // Names of files that could not be listed may be given again, with a clock that goes back.
      const isUsed = this.complaints.read > 0 || !disk.isWellFor(DISK_RETRY_MS, world.nowMs)
      if (!isUsed) world.fail('the disk is well and not used')
      if (!inputs.some(({ paused }) => paused)) world.fail('no input waits for the disk')
    }
    const mayExceed = world.plans.some(({ inputs }) => inputs.some(input => input.pausesOnChunks))
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
    const called = world.outputsCalled(output)
    const candidates = remotes.filter(({ plan }) => called.has(plan.alias))
    const sent = candidates.filter(remote => remote.lastSent.has(chunk))
    if (sent.length === 0) for (const remote of candidates) remote.isBlind = true
    for (const remote of sent) {
      for (const event of remote.lastSent.get(chunk) ?? []) remote.givenUp.add(event)
    }
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
