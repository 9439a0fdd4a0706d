/**
 * A whole life of the program under one seed: runs that die or stop, a storm of faults and the calm after it, in which
 * everything must come to its end. The same seed gives the same steps.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { inspect } from 'node:util'
import { STOP_SYNC_MS_MAX } from '../../src/base/limits.ts'
import { configurationText, outputLabels } from './config_text.ts'
import { Dice } from './dice.ts'
import { Crash, type Death } from './life.ts'
import type { Shown } from './known_bugs.ts'
import { type Fate, makePlan, type Plan } from './plan.ts'
import { Remote } from './remotes.ts'
import { Configuration, Run, turn } from './run.ts'
import { NO_DISK_FAULTS } from './sim_disk.ts'
import { makeSources, type Source } from './sources.ts'
import { Trace } from './trace.ts'
import { Verdict } from './verdict.ts'
import { World } from './world.ts'

const START_MS = 1_700_000_000_000

/** Virtual time without any progress, in the calm, after which the program counts as stalled. */
const STALL_MS = 3_600_000

/** A stop may take so much longer than its grace: a second for what inputs bring last, the disk twice, and steps. */
const STOP_SLACK_MS = 9_000 + 2 * STOP_SYNC_MS_MAX

/** A sync takes no longer. */
const SYNC_MS_MAX = 25_000

/** Steps of one simulation: a bug must not make it run for ever. */
const STEPS_MAX = 5_000

export interface SimulationOptions {
  /** Known bugs that are to be shown. */
  readonly shown: Shown
  /** Gets every line of the trace. */
  readonly print?: (line: string) => void
}

/** What a simulation did. */
export interface Outcome {
  readonly seed: number
  /** What is wrong; undefined when all is well. */
  readonly problem: string | undefined
  /** The configuration of the last run. */
  readonly text: string
  readonly lastLines: readonly string[]
  /** The same for the same seed. */
  readonly hash: string
  readonly steps: number
  readonly runs: number
  readonly events: number
  readonly deaths: number
}

/**
 * Runs simulations one after the other. A rejection that nobody handles ends the program in real life, and a simulation
 * here: they are collected as long as a simulator is open.
 */
export class Simulator {
  readonly #configuration = new Configuration(mkdtempSync(join(tmpdir(), 'spillway-simulation-')))
  readonly #rejections: unknown[] = []
  readonly #others = process.listeners('unhandledRejection')
  readonly #collect = (reason: unknown): void => void this.#rejections.push(reason)

  constructor() {
    process.removeAllListeners('unhandledRejection')
    process.on('unhandledRejection', this.#collect)
  }

  async run(seed: number, options: SimulationOptions): Promise<Outcome> {
    this.#rejections.length = 0
    return new Simulation(seed, options, this.#configuration, this.#rejections).run()
  }

  close(): void {
    process.off('unhandledRejection', this.#collect)
    for (const listener of this.#others) process.on('unhandledRejection', listener)
    rmSync(this.#configuration.directory, { recursive: true, force: true })
  }
}

class Simulation {
  readonly #plan: Plan
  readonly #world: World
  readonly #dice: Dice
  readonly #engineDice: Dice
  readonly #sources: readonly Source[]
  readonly #remotes: readonly Remote[]
  readonly #verdict: Verdict
  readonly #configuration: Configuration
  readonly #rejections: unknown[]
  /** Outputs in the configuration, and the run from which on they are. */
  readonly #outputs: Map<string, number>
  #run: Run | undefined
  #nowMs = START_MS
  /** What the clock of the run is ahead. */
  #skewMs = 0
  #runs = 0
  #deaths = 0
  #steps = 0
  /** When the stop began that is under way. */
  #stopMs: number | undefined
  #hasStopped = false
  /** Nothing was left to do, and nothing is synced any more. */
  #isSettled = false

  constructor(
    seed: number,
    options: SimulationOptions,
    configuration: Configuration,
    rejections: unknown[]
  ) {
    this.#plan = makePlan(seed)
    const [disk, sources, remotes] = [3, 4, 5].map(stream => new Dice(seed, stream))
    this.#dice = new Dice(seed, 1)
    this.#engineDice = new Dice(seed, 2)
    const trace = new Trace(options.print)
    this.#world = new World(this.#plan, options.shown, { disk, sources, remotes }, trace)
    this.#world.now = () => this.#now()
    this.#sources = makeSources(this.#world)
    this.#remotes = this.#plan.outputs.map(output => new Remote(this.#world, output))
    this.#verdict = new Verdict(this.#world, this.#remotes)
    this.#configuration = configuration
    this.#rejections = rejections
    const first = this.#plan.outputs.filter(({ isFirst }) => isFirst)
    this.#outputs = new Map(first.map(({ alias }) => [alias, 0]))
  }

  async run(): Promise<Outcome> {
    await this.#storm()
    if (this.#isFine) await this.#calm()
    const { problem, trace, events } = this.#world
    return {
      seed: this.#plan.seed,
      problem,
      text: this.#configuration.text,
      lastLines: trace.last,
      hash: trace.hash,
      steps: this.#steps,
      runs: this.#runs,
      events: events.size,
      deaths: this.#deaths
    }
  }

  get #isFine(): boolean {
    return this.#world.problem === undefined
  }

  #now(): number {
    return this.#run === undefined ? this.#nowMs : this.#run.clockMs - this.#skewMs
  }

  // --- the storm

  async #storm(): Promise<void> {
    const { steps, diskFaults } = this.#plan.storm
    this.#world.disk.faults = diskFaults
    for (let step = 0; step < steps && this.#isFine; step++) {
      const run = this.#run ?? (await this.#start())
      if (run === undefined) continue
      this.#trouble(run)
      await this.#step(this.#stepMs())
    }
  }

  #stepMs(): number {
    const dice = this.#dice
    // While it stops, time goes slowly, so that the bound of the stop can be seen.
    const weights = this.#stopMs === undefined ? { minutes: 1, hour: 0.1 } : {}
    switch (dice.weighted({ moment: 5, second: 10, seconds: 3, ...weights })) {
      case 'moment':
        return dice.int(0, 250)
      case 'second':
        return dice.int(250, 1_000)
      case 'seconds':
        return dice.int(1_000, this.#stopMs === undefined ? 20_000 : 2_000)
      case 'minutes':
        return dice.int(20_000, 300_000)
      case 'hour':
        return 3_600_000
    }
  }

  /** What goes wrong now. */
  #trouble(run: Run): void {
    const { storm, outputs } = this.#plan
    const dice = this.#dice
    if (storm.fillsDisk && dice.chance(0.1)) this.#resizeDisk()
    for (const [index, { outages }] of outputs.entries()) {
      if (!dice.chance(outages)) continue
      const fate: Fate = dice.weighted({ refuse: 4, throw: 1, hang: 1, slow: 1 })
      const lengthMs = dice.pick([5_000, 60_000, 600_000, 3_600_000])
      this.#remotes[index].outage = { untilMs: this.#world.nowMs + lengthMs, fate }
    }
    if (this.#stopMs === undefined && dice.chance(storm.stop)) this.#beginStop(run)
    const death = this.#death()
    if (death === undefined) return
    if (dice.chance(0.4)) run.life.end(death)
    else run.life.arm(dice.int(1, 30), death)
  }

  #death(): Death | undefined {
    const { processCrash, powerLoss } = this.#plan.storm
    if (this.#dice.chance(powerLoss)) return 'power'
    return this.#dice.chance(processCrash) ? 'process' : undefined
  }

  #resizeDisk(): void {
    const { disk } = this.#world
    const bytes = disk.capacity === Infinity ? disk.used + this.#dice.int(0, 600) : Infinity
    disk.resize(bytes, this.#world.nowMs)
    this.#world.trace.add(`disk: capacity ${disk.capacity}`)
  }

  // --- runs

  /** Starts a run; undefined when it does not live that long. */
  async #start(): Promise<Run | undefined> {
    const { world } = this
    const { storm } = this.#plan
    const dice = this.#dice
    const number = this.#runs++
    if (storm.setsClock && dice.chance(0.3)) this.#skewMs = dice.int(-7_200_000, 7_200_000)
    for (const remote of this.#remotes) remote.reset()
    const outputs = new Set(this.#outputs.keys())
    world.labels = outputLabels(this.#plan, outputs)
    const text = configurationText(this.#plan, outputs)
    this.#configuration.write(text, this.#plan.isYaml)
    const run: Run = new Run({
      world,
      sources: this.#sources,
      remotes: this.#remotes,
      number,
      configuration: this.#configuration,
      nowMs: this.#nowMs + this.#skewMs,
      random: this.#engineDice.random,
      onDeath: () => this.#noteEnd(run)
    })
    world.life = run.life
    this.#run = run
    this.#hasStopped = false
    world.trace.add(`start ${number} at ${this.#nowMs}`)
    const death = world.isCalm ? undefined : this.#death()
    if (death !== undefined) run.life.arm(dice.int(1, 20), death)
    const isAlive = await run.start()
    if (!isAlive) await this.#step(0)
    return this.#run
  }

  get world(): World {
    return this.#world
  }

  #beginStop(run: Run): void {
    this.#world.trace.add('stop')
    this.#stopMs = this.#world.nowMs
    run.life.isStopping = true
    run.pipeline.stop().then(
      () => {
        if (run.life.isAlive) this.#hasStopped = true
      },
      (error: unknown) => {
        if (run.life.isAlive) this.#world.fail(`the stop fails: ${String(error)}`)
      }
    )
  }

  /** Moves time on, and looks what has become of the run. */
  async #step(ms: number): Promise<void> {
    const run = this.#run
    if (run === undefined) return
    if (++this.#steps > STEPS_MAX) this.#world.fail('the simulation takes too many steps')
    await run.advance(ms)
    this.#lookAtRejections(run)
    if (run.life.isAlive) for (const remote of this.#remotes) remote.confirm()
    if (!run.life.isAlive) this.#bury(run)
    else if (this.#hasStopped) this.#end(run)
    else this.#checkStop(run)
  }

  #lookAtRejections(run: Run): void {
    const found = this.#rejections.splice(0).find(reason => !(reason instanceof Crash))
    if (found === undefined || !run.life.isAlive) return
    this.#world.fail(`a rejection that nobody handles ends the program: ${inspect(found)}`)
  }

  #noteEnd(run: Run): void {
    this.#verdict.ended({
      number: run.life.number,
      ledger: run.pipeline.ledger,
      death: run.life.death,
      isStopping: run.life.isStopping,
      writeFailures: run.complaints.write,
      letterFailures: run.complaints.letter + run.complaints.read
    })
  }

  #bury(run: Run): void {
    const { disk, trace } = this.#world
    this.#deaths++
    trace.add(`death by ${run.life.death}`)
    this.#forget()
    if (run.life.death === 'power') disk.losePower()
    else disk.detach()
  }

  /** An orderly stop is over. */
  #end(run: Run): void {
    this.#world.trace.add('stopped')
    if (this.#isSettled) this.#checkOpenFiles()
    this.#noteEnd(run)
    run.life.isAlive = false
    this.#forget()
    this.#world.disk.detach()
    if (this.#plan.storm.changes && !this.#world.isCalm) this.#changeOutputs()
  }

  #forget(): void {
    this.#nowMs = this.#world.nowMs + this.#dice.int(20, 30_000)
    this.#run = undefined
    this.#stopMs = undefined
    this.#hasStopped = false
  }

  /** Another configuration: outputs come and go. */
  #changeOutputs(): void {
    const dice = this.#dice
    for (const { alias } of this.#plan.outputs) {
      if (!dice.chance(0.4)) continue
      if (!this.#outputs.delete(alias)) this.#outputs.set(alias, this.#runs)
    }
    if (this.#outputs.size === 0) this.#outputs.set(this.#plan.outputs[0].alias, this.#runs)
  }

  #checkStop(run: Run): void {
    if (this.#stopMs === undefined) return
    const { grace } = this.#plan.service
    const tookMs = this.#world.nowMs - this.#stopMs
    if (grace < 0) {
      // Nobody waits for ever.
      if (!this.#world.isCalm && tookMs > 60_000) run.life.end('process')
    } else if (tookMs > grace * 1000 + STOP_SLACK_MS) {
      this.#world.fail(`the stop takes ${tookMs} ms with a grace of ${grace} s`)
    }
  }

  // --- the calm

  async #calm(): Promise<void> {
    const { disk, trace } = this.#world
    trace.add('calm')
    this.#world.isCalm = true
    disk.faults = NO_DISK_FAULTS
    disk.resize(Infinity, this.#world.nowMs)
    for (const remote of this.#remotes) {
      remote.outage = undefined
      remote.release()
    }
    this.#run?.life.disarm()
    await this.#finishStop()
    await this.#settle(false)
    // What is on disk for an output that is not there stays there.
    const hasAll = !this.#plan.storm.changes || this.#dice.chance(0.5)
    for (const { alias } of hasAll ? this.#plan.outputs : []) {
      if (!this.#outputs.has(alias)) this.#outputs.set(alias, this.#runs)
    }
    await this.#settle(hasAll)
    if (this.#isFine) this.#verdict.final(this.#outputs, hasAll)
  }

  async #finishStop(): Promise<void> {
    while (this.#isFine && this.#stopMs !== undefined) await this.#step(500)
  }

  /** Runs until nothing is left to do, and stops. @param isLast Nothing may be left on disk either. */
  async #settle(isLast: boolean): Promise<void> {
    if (!this.#isFine) return
    this.#isSettled = false
    const run = this.#run ?? (await this.#start())
    if (run === undefined) {
      this.#world.fail('the start fails in the calm')
      return
    }
    // Found files are read one by one.
    for (let files = this.#world.disk.paths.length; files >= 0; files--) await turn()
    await this.#drain(run)
    if (!this.#isFine) return
    // What is synced is closed when that is done.
    for (let waits = 3; waits > 0; waits--) await this.#step(SYNC_MS_MAX)
    this.#checkRest(run, isLast)
    this.#isSettled = true
    this.#beginStop(run)
    await this.#finishStop()
  }

  async #drain(run: Run): Promise<void> {
    let idleMs = 0
    let progress = this.#world.progress
    while (this.#isFine && !this.#isDrained(run)) {
      const ms = idleMs < 5_000 ? 500 : idleMs < 60_000 ? 5_000 : 60_000
      await this.#step(ms)
      idleMs = progress === this.#world.progress ? idleMs + ms : 0
      progress = this.#world.progress
      if (idleMs > STALL_MS) this.#world.fail(`stalled: ${this.#stateOf(run)}`)
    }
  }

  #isDrained(run: Run): boolean {
    if (!this.#sources.every(({ isDone }) => isDone)) return false
    const { inputs, tasks } = run.pipeline
    if (inputs.some(({ sinks }) => sinks.some(({ openEvents }) => openEvents > 0))) return false
    return Array.from(tasks).length === 0
  }

  #stateOf({ pipeline }: Run): string {
    const sources = this.#sources.map(({ state, input }) => `${input.kind}: ${state}`)
    const inputs = pipeline.inputs.map(({ name, paused, memoryBytes }) => {
      return `${name} ${paused ? 'paused' : 'reads'}, ${memoryBytes} bytes`
    })
    const tasks = Array.from(pipeline.tasks, ({ chunk, deliveries }) => {
      const states = [...deliveries].map(({ output, state }) => `${output.label} ${state}`)
      return `${chunk.id} ${states.join(' ')}`
    })
    return [...sources, ...inputs, ...tasks].join('; ')
  }

  #checkRest(run: Run, isLast: boolean): void {
    const { storage } = run.pipeline
    const { read, write, remove, unrouted } = run.complaints
    if (storage.up.count > 0) this.#world.fail(`${storage.up.count} chunks are still up`)
    if (storage.guard.count > 0) this.#world.fail(`${storage.guard.count} chunks wait for the disk`)
    // What the disk did not let go is there until the next start.
    if (!isLast && read + write + remove + unrouted > 0) return
    const left = this.#world.disk.paths.filter(path => path.includes('/.spillway/chunks/'))
    if (left.length > 0) this.#world.fail(`chunks are left while it runs: ${left.join(', ')}`)
    this.#checkOpenFiles()
  }

  #checkOpenFiles(): void {
    const open = this.#world.disk.openFiles
    if (open.length > 0) this.#world.fail(`files are still open: ${open.join(', ')}`)
  }
}
