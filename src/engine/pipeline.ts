/**
 * The engine: makes the instances of a configuration, runs them, and stops them in order.
 * Source of the life cycle and its log lines: Fluent Bit 5.1.1 src/flb_engine.c; reference section 1.4.
 */
import assert from 'node:assert/strict'
import type { Timer } from '../base/clock.ts'
import { Diagnostics } from '../config/diagnostics.ts'
import type { ServiceSettings } from '../config/service.ts'
import type { MetricsScope } from '../metrics/registry.ts'
import { basename } from 'node:path'
import { humanSize } from '../base/human_size.ts'
import { systemError } from '../base/system_error.ts'
import { VERSION } from '../base/version.ts'
import { type Chunk, ChunkNames } from '../storage/chunk.ts'
import type { FoundFile } from '../storage/chunk_store.ts'
import { Backlog } from './backlog.ts'
import { type ChunkHolder, registerStorageMetrics, type StorageStats } from './chunk_stats.ts'
import { Emitters } from './emitter.ts'
import { Change } from './change.ts'
import type { InputRuntime, InputWorld } from './input_runtime.ts'
import { type InstanceSpec, type InstanceTitle, labelOf } from './instance.ts'
import { InstanceFactory } from './instance_factory.ts'
import type { Layout } from './layout.ts'
import { inputName, Ledger, type LedgerRow, routeName, rowText } from './ledger.ts'
import { registerLedgerMetrics } from './ledger_metrics.ts'
import type { OutputRuntime } from './output_runtime.ts'
import { Leftovers } from './persistence.ts'
import type { StorageType } from './receipt.ts'
import { Storage } from './storage.ts'
import { RouteDelivery, Task, type TaskOwner } from './task.ts'
import type { EngineWorld, PipelineSpec } from './world.ts'

export class Pipeline {
  readonly #spec: PipelineSpec
  readonly #world: EngineWorld
  /** Set by `create`. */
  #layout: Layout | undefined
  readonly #names: ChunkNames
  readonly #tasks = new Map<number, Task>()
  /** No task has a lower number that is free. */
  #lowestFreeId = 0
  /** Tasks that were kept or given up at the stop. */
  readonly #left = new Set<Task>()
  readonly ledger = new Ledger()
  readonly storage: Storage
  /** By `storage.path`, one for each that there was: what is there is read once, and known from then on. */
  readonly #backlogs = new Map<string, Backlog>()
  readonly #emitters = new Emitters()
  #flushTimer: Timer | undefined
  #storageMetrics: MetricsScope | undefined
  /** Instances that a reload has ended and that have undelivered chunks. */
  readonly #leavingInputs = new Set<InputRuntime>()
  readonly #leavingOutputs = new Set<OutputRuntime>()
  /** A reload that is under way. */
  #changing: Promise<void> | undefined
  #change: Change | undefined
  #stopping: Promise<void> | undefined
  #exitCode = 0
  #drained: (() => void) | undefined
  readonly #stopped = Promise.withResolvers<number>()

  constructor(spec: PipelineSpec, world: EngineWorld) {
    this.#spec = spec
    this.#world = world
    this.#names = new ChunkNames(world.clock.now)
    this.storage = new Storage(spec.service, world, () => {
      for (const input of this.inputs) input.checkChunks()
    })
  }

  /** Resolves with the exit code when the pipeline has stopped. */
  get stopped(): Promise<number> {
    return this.#stopped.promise
  }

  /** Every instance's runtime by name, for dumps. */
  get inputs(): readonly InputRuntime[] {
    return [...(this.#layout?.inputs ?? []), ...this.#leavingInputs]
  }

  get isStopping(): boolean {
    return this.#stopping !== undefined
  }

  /** The service section of the configuration that runs. */
  get service(): ServiceSettings {
    return this.#layout?.spec.service ?? this.#spec.service
  }

  /** Chunks on their way to outputs. */
  get pendingTasks(): number {
    return this.#tasks.size - this.#heldTasks
  }

  /** All chunks that are sealed and not settled. */
  get tasks(): Iterable<Task> {
    return this.#tasks.values()
  }

  /** The ledger as it is now, with what is buffered counted where it is. */
  ledgerRows(): LedgerRow[] {
    const buffered = new Map<string, number>()
    const add = (name: string, events: number): void => {
      buffered.set(name, (buffered.get(name) ?? 0) + events)
    }
    for (const { unrouted } of this.#backlogs.values()) {
      for (const [row, events] of unrouted) add(row, events)
    }
    for (const { label, sinks } of this.inputs) {
      for (const { openEvents, path } of sinks) {
        add(inputName(label), openEvents)
        for (const output of path.outputs) add(routeName(label, output.label), openEvents)
      }
    }
    for (const task of this.#tasks.values()) {
      add(inputName(task.inputLabel), task.buffered)
      for (const { accountLabel, events } of task.deliveries) {
        add(routeName(task.inputLabel, accountLabel), events)
      }
    }
    return this.ledger.rows(buffered)
  }

  /** Inputs, emitters and the backlog, as those that hold chunks. */
  get chunkHolders(): readonly ChunkHolder[] {
    return [...this.inputs, ...this.#backlogs.values()]
  }

  /** Filters and outputs in the order of the configuration. */
  get instances(): Readonly<Record<'filters' | 'outputs', readonly InstanceTitle[]>> {
    const titles = (places: readonly { spec: InstanceSpec }[]): InstanceTitle[] =>
      places.map(({ spec }) => ({ plugin: spec.plugin.name, label: labelOf(spec) }))
    const { filterPlaces, outputPlaces } = this.#running
    return { filters: titles(filterPlaces), outputs: titles(outputPlaces) }
  }

  /** Chunks that are open or on their way, by where they are. */
  storageStats(): StorageStats {
    const stats = { memory: 0, filesystem: 0, filesystemUp: 0 }
    const count = (chunk: Chunk): void => {
      stats[chunk.stored === undefined ? 'memory' : 'filesystem']++
      if (chunk.stored !== undefined && chunk.isUp) stats.filesystemUp++
    }
    for (const { openChunks, tasks } of this.chunkHolders) {
      for (const chunk of openChunks) count(chunk)
      for (const { chunk } of tasks) count(chunk)
    }
    return stats
  }

  /**
   * Makes all instances without touching the world; every mistake that a plugin finds becomes a diagnostic.
   */
  create(diagnostics: Diagnostics): void {
    const layout = this.#factory(this.#spec, this.#world, diagnostics).layout()
    this.#layout = layout
    this.#emitters.use(layout.emitters)
    layout.settle()
    this.#addBacklog()
    this.#registerStorage()
  }

  /**
   * What a changed configuration would change, checked and not done. Mistakes become diagnostics; with one, the change is
   * to be discarded.
   */
  prepare(spec: PipelineSpec, world: EngineWorld, diagnostics: Diagnostics): Change {
    const { log } = this.#world
    const old = this.#running
    return new Change(old, this.#factory(spec, world, diagnostics).layout(old), {
      log,
      switchTo: layout => this.#switchTo(layout),
      switchBack: layout => this.#switchTo(layout, true),
      inputLeaves: (runtime, done) => this.#inputLeaves(runtime, done),
      outputLeaves: (runtime, done) => this.#outputLeaves(runtime, done)
    })
  }

  /**
   * Goes on with another configuration; one change at a time.
   *
   * @throws What an instance threw that did not start; all is as before then.
   */
  async change(change: Change): Promise<void> {
    assert(this.#changing === undefined, 'BUG: two changes at a time')
    this.#change = change
    const applied = change.apply()
    this.#changing = applied.catch(() => undefined)
    try {
      await applied
    } finally {
      this.#changing = undefined
      this.#change = undefined
    }
  }

  /**
   * The outputs of a pipeline that was created and has no mistakes, made once more, for events that have been through a
   * pipeline: no processors touch them again, and what is given up is not kept.
   */
  outputsAlone(): readonly OutputRuntime[] {
    const service = {
      ...this.#spec.service,
      'storage.path': undefined,
      'storage.keep.rejected': false
    }
    const outputs = this.#spec.outputs.map(spec => ({ ...spec, processors: [] }))
    const alone = new Pipeline({ service, inputs: [], filters: [], outputs }, this.#world)
    alone.create(new Diagnostics())
    return alone.#running.outputs
  }

  /** Starts outputs, filters and inputs; a plugin that cannot start stops the start with its error. */
  async start(): Promise<void> {
    const { log } = this.#world
    const { grace } = this.service
    const { inputs, inputPlaces, filters, outputs } = this.#running
    registerLedgerMetrics(this.#world.metrics, () => this.ledgerRows())
    const found = this.#openStorage(this.#running)
    for (const { settings } of inputs) {
      const prefix = `[input:${settings.plugin}:${settings.label}]`
      log.info(`${prefix} initializing`)
      log.info(`${prefix} storage_strategy=${STRATEGIES[settings.storage]}`)
    }
    for (const { plugin, name } of this.#backlogs.values()) {
      const prefix = `[input:${plugin}:${name}]`
      log.info(`${prefix} initializing`)
      log.info(`${prefix} storage_strategy=${STRATEGIES.memory}`)
      const limit = humanSize(this.service['storage.backlog.mem_limit'])
      log.info(`${prefix} queue memory limit: ${limit}`)
    }
    for (const output of outputs) await output.start()
    for (const { filter } of filters) await filter.start?.()
    const inputGrace = Math.trunc(grace / 2)
    log.info(`[engine] Shutdown Grace Period=${grace}, Shutdown Input Grace Period=${inputGrace}`)
    this.#setFlushTimer()
    for (const { runtime } of inputPlaces) await runtime.input?.start()
    for (const backlog of this.#backlogs.values()) backlog.read(found)
  }

  /** Stops in order, within `grace`; further calls wait for the first. */
  stop(exitCode?: number): Promise<void> {
    if (exitCode !== undefined && exitCode !== 0) this.#exitCode = exitCode
    this.#stopping ??= this.#shutDown()
    return this.#stopping
  }

  /** Chunks of earlier runs that are not on their way yet. */
  get #heldTasks(): number {
    let count = 0
    for (const { held } of this.#backlogs.values()) count += held.size
    return count
  }

  get #running(): Layout {
    assert(this.#layout !== undefined, 'BUG: the pipeline was not created')
    return this.#layout
  }

  /** What works on chunks, of the configuration that runs and of earlier ones. */
  get #outputs(): readonly OutputRuntime[] {
    return [...this.#running.outputs, ...this.#leavingOutputs]
  }

  #factory(spec: PipelineSpec, world: EngineWorld, diagnostics: Diagnostics): InstanceFactory {
    return new InstanceFactory(world, spec, diagnostics, {
      world: this.#inputWorld(),
      emitters: this.#emitters,
      storage: this.storage,
      service: () => this.service,
      stop: exitCode => void this.stop(exitCode)
    })
  }

  /** From here on, events go the ways of another configuration; open chunks go the old ones. */
  #switchTo(layout: Layout, isForced = false): void {
    const { service } = layout.spec
    this.#flush()
    const before = this.storage.use(service)
    const path = service['storage.path']
    const isNewPath = path !== undefined && !this.#backlogs.has(path)
    let found: FoundFile[] = []
    try {
      if (isNewPath) found = this.#openStorage(layout)
      else this.storage.store?.open(layout.inputNames)
    } catch (error) {
      if (!isForced) {
        this.storage.use(before)
        throw error
      }
      this.#world.log.error(`[storage] cannot make folders: ${systemError(error).text}`)
    }
    this.#layout = layout
    this.#emitters.use(layout.emitters)
    layout.settle()
    for (const input of layout.inputs) input.reroute()
    if (service.flush !== before.flush) this.#setFlushTimer()
    if (isNewPath) this.#addBacklog()?.read(found)
    this.#registerStorage()
  }

  #setFlushTimer(): void {
    this.#flushTimer?.cancel()
    this.#flushTimer = this.#world.clock.every(this.service.flush * 1000, () => this.#flush())
  }

  #inputLeaves(runtime: InputRuntime, done: () => void): void {
    this.#leavingInputs.add(runtime)
    runtime.flush()
    runtime.retire(() => {
      this.#leavingInputs.delete(runtime)
      done()
      this.#registerStorage()
    })
  }

  #outputLeaves(runtime: OutputRuntime, done: () => void): void {
    this.#leavingOutputs.add(runtime)
    runtime.retire(() => {
      this.#leavingOutputs.delete(runtime)
      done()
    })
  }

  /** Has the figures of the storage count what there is now. */
  #registerStorage(): void {
    this.#storageMetrics?.release()
    this.#storageMetrics = undefined
    if (!this.service['storage.metrics']) return
    this.#storageMetrics = this.#world.metrics.scope()
    // Of two with one name, the one that takes events counts.
    const { inputs } = this.#running
    const holders = [...this.#leavingInputs, ...inputs, ...this.#backlogs.values()]
    registerStorageMetrics(this.#storageMetrics, holders, () => this.storageStats())
  }

  /** What is in `storage.path` and was left by an earlier run; undefined without one. */
  #addBacklog(): Backlog | undefined {
    const { store } = this.storage
    const { service } = this
    const path = service['storage.path']
    if (store === undefined || path === undefined) return undefined
    const { inputs } = this.#running.spec
    const backlog = new Backlog(inputs.length, service['storage.backlog.mem_limit'], {
      log: this.#world.log,
      clock: this.#world.clock,
      ledger: this.ledger,
      metrics: this.#world.metrics,
      store,
      outputs: () => this.#running.outputs,
      route: (tag, signal) => this.#running.route(tag, signal),
      newTask: (chunk, owner, input) => this.#newTask(chunk, owner, input),
      countBad: (reason, bytes) => this.storage.countBad(reason, bytes)
    })
    this.#backlogs.set(path, backlog)
    return backlog
  }

  #inputWorld(): InputWorld {
    return {
      log: this.#world.log,
      clock: this.#world.clock,
      ledger: this.ledger,
      up: this.storage.up,
      disk: this.storage.guard,
      emitters: this.#emitters,
      chain: tag => this.#running.chain(tag),
      outputs: (tag, signal) => this.#running.route(tag, signal),
      takeBuffer: () => this.storage.pool.take(),
      giveBuffer: buffer => this.storage.pool.give(buffer),
      nextChunkId: () => this.#names.next(),
      newFile: (chunk, input) => {
        const { store } = this.storage
        assert(store !== undefined, 'BUG: a chunk wants a file and there is no storage.path')
        return store.newFile(chunk, input)
      },
      dispatch: (chunk, outputs, input) => this.#dispatch(chunk, outputs, input),
      readingInputs: () => this.inputs.filter(input => !input.isEmitter)
    }
  }

  /** Opens `storage.path` and lists what is there; it is read once everything has started. */
  #openStorage({ spec, inputNames }: Layout): FoundFile[] {
    const { log } = this.#world
    const { service } = spec
    const path = service['storage.path']
    const { store } = this.storage
    if (store?.open(inputNames) === true) {
      log.info(`[storage] created root path ${path}`)
    }
    log.info(
      `[storage] ver=${VERSION}, type=${store === undefined ? 'memory' : 'memory+filesystem'}, ` +
        `sync=${service['storage.sync']}, ` +
        `checksum=${service['storage.checksum'] ? 'on' : 'off'}, ` +
        `max_chunks_up=${this.storage.up.max}`
    )
    if (store === undefined) return []
    log.info(`[storage] backlog input plugin: storage_backlog.${spec.inputs.length}`)
    const found = store.find((folder, failure) => {
      log.error(
        `[storage] cannot list ${folder}, what is there waits for the next start: ${systemError(failure).text}`
      )
    })
    for (const { path: file, isOwn } of found) if (isOwn) this.#names.startAfter(basename(file))
    return found
  }

  #flush(): void {
    this.#emitters.drain()
    for (const input of this.inputs) input.flush()
  }

  #dispatch(chunk: Chunk, outputs: readonly OutputRuntime[], input: InputRuntime): Task {
    const task = this.#newTask(chunk, input, input.label)
    const deliveries = outputs.map(output => {
      const account = this.ledger.route(input.label, output.label)
      const delivery = new RouteDelivery(task, output, account)
      task.add(delivery)
      output.hold(delivery)
      return delivery
    })
    for (const delivery of deliveries) delivery.output.deliver(delivery)
    return task
  }

  #newTask(chunk: Chunk, owner: TaskOwner, label: string): Task {
    while (this.#tasks.has(this.#lowestFreeId)) this.#lowestFreeId++
    const id = this.#lowestFreeId
    const input = { label, account: this.ledger.input(label) }
    const task = new Task(id, chunk, owner, input, ended => this.#ended(ended))
    this.#tasks.set(id, task)
    return task
  }

  #ended(task: Task): void {
    const { chunk, id, owner } = task
    this.#tasks.delete(id)
    this.#lowestFreeId = Math.min(this.#lowestFreeId, id)
    this.storage.guard.forget(chunk)
    this.storage.up.remove(chunk)
    this.#letGo(task)
    if (chunk.pooled !== undefined) this.storage.pool.give(chunk.pooled)
    owner.ended(task)
    if (this.#undelivered === 0) this.#drained?.()
  }

  async #shutDown(): Promise<void> {
    const { log } = this.#world
    this.#change?.abort()
    await this.#changing
    const { grace } = this.service
    log.warn(
      grace < 0
        ? '[engine] service will shutdown when all remaining tasks are flushed'
        : `[engine] service will shutdown in max ${grace} seconds`
    )
    log.info('[engine] pausing all inputs..')
    const { inputs, filters } = this.#running
    for (const input of inputs) input.hold()
    // Who asked for the stop may be a filter in the middle of a batch.
    await Promise.resolve()
    await Promise.all(inputs.map(input => input.drain()))
    this.#flush()
    for (const backlog of this.#backlogs.values()) await this.#endBacklog(backlog, grace)
    for (const output of this.#outputs) output.hurry()
    await this.#drain(grace)
    log.info(`[engine] service has stopped (${this.pendingTasks} pending tasks)`)
    this.#flushTimer?.cancel()
    for (const input of inputs) input.cancelTimers()
    this.storage.guard.stop()
    await this.#leaveTasks()
    for (const input of inputs) {
      input.hold()
      await input.stop()
    }
    // What inputs had left when they stopped.
    this.#flush()
    await this.#drain(1)
    await this.#leaveTasks()
    for (const { filter } of filters) await filter.stop?.()
    for (const output of this.#outputs) await output.stop()
    for (const row of this.ledgerRows()) log.info(`[ledger] ${rowText(row)}`)
    this.#stopped.resolve(this.#exitCode)
  }

  /** Lets the backlog go on as far as the configuration wants it. */
  async #endBacklog(backlog: Backlog, grace: number): Promise<void> {
    if (this.service['storage.backlog.flush_on_shutdown']) {
      const { promise, resolve } = Promise.withResolvers<void>()
      const timer = grace < 0 ? undefined : this.#world.clock.after(grace * 1000, resolve)
      await Promise.race([backlog.finish(), promise])
      timer?.cancel()
    }
    backlog.stop()
  }

  /** Takes all chunks out of the hands of outputs and keeps them on disk, where there is one. */
  async #leaveTasks(): Promise<void> {
    for (const output of this.#outputs) output.leave()
    const { log, clock } = this.#world
    const leftovers = new Leftovers(this.storage.store, log, clock)
    for (const task of this.#tasks.values()) {
      if (this.#left.has(task)) continue
      this.#left.add(task)
      leftovers.keep(task)
    }
    await leftovers.done()
  }

  /** Removes a chunk's file, or keeps it for a person to look at when it turned out to be damaged. */
  #letGo({ chunk, isDamaged }: Task): void {
    const { log } = this.#world
    try {
      if (isDamaged) {
        log.error(`[storage] chunk '${chunk.id}' is set aside as ${chunk.stored?.setAside()}`)
      } else chunk.stored?.remove()
    } catch (error) {
      log.error(`[storage] cannot remove chunk '${chunk.id}': ${systemError(error).text}`)
    }
  }

  /** Chunks that are on their way, or will be. */
  get #undelivered(): number {
    return this.#left.size > 0 ? this.#tasks.size - this.#left.size : this.pendingTasks
  }

  /** Waits until every chunk is settled, or for `grace` seconds; negative waits for ever. */
  async #drain(grace: number): Promise<void> {
    if (this.#undelivered === 0) return
    const { clock } = this.#world
    const { promise, resolve } = Promise.withResolvers<void>()
    let elapsed = 0
    const timer = clock.every(1000, () => {
      elapsed++
      if (grace >= 0 && elapsed > grace) resolve()
      else this.#reportPending(elapsed)
    })
    this.#drained = resolve
    await promise
    timer.cancel()
  }

  #reportPending(elapsed: number): void {
    const { log } = this.#world
    const { memory, filesystem } = this.storageStats()
    log.info(
      `[engine] pending chunk count: memory=${memory}, filesystem=${filesystem}; grace_timer=${elapsed}`
    )
    const pending = Map.groupBy(this.#tasks.values(), task => task.owner)
    for (const [owner, tasks] of pending) {
      log.info(`[task] ${owner.plugin}/${owner.name} has ${tasks.length} pending task(s):`)
      for (const { id, deliveries } of tasks) {
        const routes = [...deliveries].map(({ output }) => `${output.route} `).join('')
        log.info(`[task]   task_id=${id} still running on route(s): ${routes}`)
      }
    }
  }
}

const STRATEGIES: Readonly<Record<StorageType, string>> = {
  memory: "'memory' (memory only)",
  filesystem: "'filesystem' (memory + filesystem)",
  memrb: "'memrb' (memory ring buffer)"
}
