/**
 * A whole life of the program under one seed: runs that die or stop, a storm of faults and the calm after it, in which
 * everything must come to its end. The same seed gives the same steps.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { inspect } from 'node:util'
import { STOP_SYNC_MS_MAX } from '../../src/base/limits.ts'
import { brokenPlan, changedPlan } from './changes.ts'
import { configurationText } from './config_text.ts'
import { Dice } from './dice.ts'
import { Crash, type Death } from './life.ts'
import type { Shown } from './known_bugs.ts'
import { BROKEN, type Fate, makePlan, type Plan } from './plan.ts'
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

/** A section that no configuration may have, at the end of one. */
const BAD_CLASSIC = '[OUTPUT]\n    name no_such_plugin'
const BAD_YAML = '    - name: no_such_plugin'

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
  /** What the next run begins with, or what this one has. */
  #plan: Plan
  readonly #world: World
  readonly #dice: Dice
  readonly #engineDice: Dice
  readonly #changeDice: Dice
  readonly #sources: readonly Source[]
  readonly #remotes: readonly Remote[]
  readonly #verdict: Verdict
  readonly #configuration: Configuration
  readonly #rejections: unknown[]
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
  /** Files that were found and that may not be read yet; one is read between two steps. */
  #unread = 0
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
    this.#changeDice = new Dice(seed, 7)
    const trace = new Trace(options.print)
    this.#world = new World(this.#plan, options.shown, { disk, sources, remotes }, trace)
    this.#world.now = () => this.#now()
    this.#world.planNow = () => this.#run?.plan ?? this.#plan
    this.#sources = makeSources(this.#world)
    this.#remotes = this.#plan.outputs.map((_, number) => new Remote(this.#world, number))
    this.#verdict = new Verdict(this.#world, this.#remotes)
    this.#configuration = configuration
    this.#rejections = rejections
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
      if (this.#run === run && run.life.isAlive) await this.#mayReload(run)
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

  // --- reloads

  async #mayReload(run: Run): Promise<void> {
    const dice = this.#changeDice
    const { storm, isYaml } = this.#plan
    if (this.#stopMs !== undefined || run.isReloading || !dice.chance(storm.reload)) return
    this.#plan = run.plan
    const next = changedPlan(this.#plan, dice)
    const kind = dice.weighted({ good: 8, broken: 2, refused: 1 })
    const death = storm.processCrash > 0 && dice.chance(0.1) ? this.#kindOfDeath() : undefined
    if (death !== undefined) run.life.arm(dice.int(1, 12), death)
    if (kind === 'good') await this.#reload(run, next)
    else if (kind === 'broken') await this.#reload(run, brokenPlan(next, dice))
    else {
      const text = configurationText(next)
      this.#configuration.write(isYaml ? `${text}\n${BAD_YAML}` : `${text}\n${BAD_CLASSIC}`, isYaml)
      await run.reload(next, true)
    }
  }

  #kindOfDeath(): Death {
    return this.#plan.storm.powerLoss > 0 && this.#changeDice.chance(0.5) ? 'power' : 'process'
  }

  async #reload(run: Run, next: Plan): Promise<void> {
    const { world } = this
    this.#configuration.write(configurationText(next), next.isYaml)
    world.plans.push(next)
    const hasOtherPath = next.service.path !== this.#plan.service.path
    if (hasOtherPath) this.#unread = world.disk.paths.length
    if (hasOtherPath || this.#unread > 0) world.found(next)
    else world.changes(next)
    await run.reload(next, false)
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
    world.labels.clear()
    this.#configuration.write(configurationText(this.#plan), this.#plan.isYaml)
    world.found(this.#plan)
    this.#unread = world.disk.paths.length
    const run: Run = new Run({
      world,
      sources: this.#sources,
      remotes: this.#remotes,
      number,
      configuration: this.#configuration,
      plan: this.#plan,
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
    this.#unread--
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
    this.#forget(run)
    if (run.life.death === 'power') disk.losePower()
    else disk.detach()
  }

  /** An orderly stop is over. */
  #end(run: Run): void {
    this.#world.trace.add('stopped')
    if (this.#isSettled) {
      this.#checkOpenFiles()
      run.checkTimers()
    }
    this.#noteEnd(run)
    run.life.isAlive = false
    this.#forget(run)
    this.#world.disk.detach()
    if (this.#plan.storm.changes && !this.#world.isCalm) this.#changeOutputs()
  }

  #forget(run: Run): void {
    this.#plan = run.plan
    for (const source of this.#sources) source.abandon()
    const { inputs, outputs } = run.plan.seats
    if ([...inputs, ...outputs].includes(BROKEN)) {
      const works = (seat: number): boolean => seat !== BROKEN
      this.#use({ inputs: inputs.filter(works), outputs: outputs.filter(works) })
    }
    this.#nowMs = this.#world.nowMs + this.#dice.int(20, 30_000)
    this.#run = undefined
    this.#stopMs = undefined
    this.#hasStopped = false
  }

  /** Another configuration: outputs come and go. */
  #changeOutputs(): void {
    const dice = this.#dice
    const seats = new Set(this.#plan.seats.outputs)
    for (const seat of this.#plan.outputs.keys()) {
      if (!dice.chance(0.4)) continue
      if (!seats.delete(seat)) seats.add(seat)
    }
    if (seats.size === 0) seats.add(0)
    this.#use({ ...this.#plan.seats, outputs: [...seats].toSorted((a, b) => a - b) })
  }

  #use(seats: Plan['seats'], path = this.#plan.service.path): void {
    this.#plan = { ...this.#plan, seats, service: { ...this.#plan.service, path } }
    this.#world.plans.push(this.#plan)
  }

  #checkStop(run: Run): void {
    if (this.#stopMs === undefined) return
    if (run.isReloading) {
      // A stop waits for a reload that is under way.
      this.#stopMs = this.#world.nowMs
      return
    }
    const { grace } = run.plan.service
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
    await this.#finishReload()
    await this.#settle(false)
    // What is on disk for an output that is not there stays there.
    const { storm } = this.#plan
    const hasAll = (!storm.changes && storm.reload === 0) || this.#dice.chance(0.5)
    const { inputs, outputs, seats } = this.#plan
    const all = { inputs: [...inputs.keys()], outputs: [...outputs.keys()] }
    for (const path of this.#paths) {
      this.#use({ ...all, outputs: hasAll ? all.outputs : seats.outputs }, path)
      await this.#settle(hasAll)
    }
    if (this.#isFine) this.#verdict.final(hasAll)
  }

  /** All that was `storage.path` at some time, that of now first. */
  get #paths(): ReadonlySet<string | undefined> {
    const { path } = this.#plan.service
    return new Set([path, ...this.#world.plans.map(({ service }) => service.path)])
  }

  async #finishReload(): Promise<void> {
    for (let steps = 0; this.#isFine && this.#run?.isReloading === true; steps++) {
      await this.#step(500)
      if (steps === STEPS_MAX / 2) this.#world.fail('the reload hangs')
    }
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
    const isRead = (number: number): boolean => this.#sources[number].isDone
    if (!run.plan.seats.inputs.every(isRead)) return false
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
    run.checkRest()
    if (!isLast && read + write + remove + unrouted > 0) return
    const folder = `${run.plan.service.path}/.spillway/chunks/`
    const left = this.#world.disk.paths.filter(path => path.startsWith(folder))
    if (left.length > 0) this.#world.fail(`chunks are left while it runs: ${left.join(', ')}`)
    this.#checkOpenFiles()
  }

  #checkOpenFiles(): void {
    const open = this.#world.disk.openFiles
    if (open.length > 0) this.#world.fail(`files are still open: ${open.join(', ')}`)
  }
}
