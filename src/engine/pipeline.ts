/**
 * The engine: makes the instances of a configuration, runs them, and stops them in order.
 * Source of the life cycle and its log lines: Fluent Bit 5.1.1 src/flb_engine.c; reference section 1.4.
 */
import assert from 'node:assert/strict'
import type { Timer } from '../base/clock.ts'
import type { Logger } from '../base/log.ts'
import type { Diagnostics } from '../config/diagnostics.ts'
import { BufferPool, type Chunk, ChunkNames } from '../storage/chunk.ts'
import { Emitters } from './emitter.ts'
import { FilterChain, type FilterStep } from './filter_chain.ts'
import type { InputRuntime, InputWorld } from './input_runtime.ts'
import { type FilterRuntime, InstanceFactory } from './instance_factory.ts'
import type { OutputRuntime } from './output_runtime.ts'
import { Router } from './router.ts'
import { Task } from './task.ts'
import type { EngineWorld, PipelineSpec } from './world.ts'

export class Pipeline {
  readonly #spec: PipelineSpec
  readonly #world: EngineWorld
  readonly #pool = new BufferPool()
  readonly #names: ChunkNames
  readonly #tasks = new Map<number, { task: Task; input: InputRuntime }>()
  readonly #emitters = new Emitters()
  readonly #timers = new Set<Timer>()
  readonly #inputs: InputRuntime[] = []
  readonly #filters: FilterRuntime[] = []
  readonly #outputs: OutputRuntime[] = []
  #filterRouter = new Router<FilterRuntime>([])
  #outputRouter = new Router<OutputRuntime>([])
  readonly #chains = new Map<string, FilterChain | undefined>()
  #isRouted = false
  #stopping: Promise<void> | undefined
  #exitCode = 0
  #drained: (() => void) | undefined
  readonly #stopped = Promise.withResolvers<number>()

  constructor(spec: PipelineSpec, world: EngineWorld) {
    this.#spec = spec
    this.#world = world
    this.#names = new ChunkNames(world.clock.now)
  }

  /** Resolves with the exit code when the pipeline has stopped. */
  get stopped(): Promise<number> {
    return this.#stopped.promise
  }

  /** Every instance's runtime by name, for dumps. */
  get inputs(): readonly InputRuntime[] {
    return this.#inputs
  }

  /** Chunks on their way to outputs. */
  get pendingTasks(): number {
    return this.#tasks.size
  }

  /**
   * Makes all instances without touching the world; every mistake that a plugin finds becomes a diagnostic.
   */
  create(diagnostics: Diagnostics): void {
    const factory = new InstanceFactory(this.#world, this.#spec.service, diagnostics, {
      inputs: this.#inputs,
      world: label => this.#inputWorld(label),
      timers: this.#timers,
      emitters: this.#emitters,
      stop: exitCode => void this.stop(exitCode)
    })
    for (const spec of this.#spec.outputs) {
      this.#outputs.push(...factory.output(spec, this.#spec))
    }
    for (const spec of this.#spec.inputs) {
      this.#inputs.push(...factory.input(spec, this.#outputs))
    }
    for (const spec of this.#spec.filters) this.#filters.push(...factory.filter(spec))
    this.#filterRouter = new Router(this.#filters)
    this.#outputRouter = new Router(this.#outputs)
    this.#isRouted = true
  }

  /** Starts outputs, filters and inputs; a plugin that cannot start stops the start with its error. */
  async start(): Promise<void> {
    const { log, clock } = this.#world
    const { grace, flush } = this.#spec.service
    for (const { settings } of this.#inputs) {
      const prefix = `[input:${settings.plugin}:${settings.label}]`
      log.info(`${prefix} initializing`)
      log.info(`${prefix} storage_strategy='memory' (memory only)`)
    }
    for (const output of this.#outputs) await output.start()
    for (const filter of this.#filters) await filter.filter.start?.()
    const inputGrace = Math.trunc(grace / 2)
    log.info(`[engine] Shutdown Grace Period=${grace}, Shutdown Input Grace Period=${inputGrace}`)
    this.#timers.add(clock.every(flush * 1000, () => this.#flush()))
    for (const input of this.#inputs) await input.input?.start()
  }

  /** Stops in order, within `grace`; further calls wait for the first. */
  stop(exitCode?: number): Promise<void> {
    if (exitCode !== undefined && exitCode !== 0) this.#exitCode = exitCode
    this.#stopping ??= this.#shutDown()
    return this.#stopping
  }

  #inputWorld(log: Logger): InputWorld {
    return {
      log,
      chain: tag => this.#chain(tag),
      outputs: tag => {
        assert(this.#isRouted, 'BUG: an input asked for a sink before it was started')
        return this.#outputRouter.route(tag)
      },
      takeBuffer: () => this.#pool.take(),
      giveBuffer: buffer => this.#pool.give(buffer),
      nextChunkId: () => this.#names.next(),
      dispatch: (chunk, outputs, input) => this.#dispatch(chunk, outputs, input),
      unmatched: (input, events, bytes) => this.#countUnmatched(input, events, bytes),
      drainEmitters: () => this.#emitters.drain(),
      after: (delayMs, callback) => this.#world.clock.after(delayMs, callback)
    }
  }

  /** The filters that match a tag, as one chain; chains are shared by all inputs. */
  #chain(tag: string): FilterChain | undefined {
    const filters = this.#filterRouter.route(tag)
    if (filters.length === 0) return undefined
    const key = filters.map(filter => filter.name).join('\n')
    let chain = this.#chains.get(key)
    if (chain === undefined) {
      chain = new FilterChain(filters satisfies readonly FilterStep[])
      this.#chains.set(key, chain)
    }
    return chain
  }

  #flush(): void {
    this.#emitters.drain()
    for (const input of this.#inputs) input.flush()
  }

  #dispatch(chunk: Chunk, outputs: readonly OutputRuntime[], input: InputRuntime): Task {
    const task = new Task(
      this.#nextTaskId(),
      chunk,
      input.settings.label,
      outputs.map(output => output.settings.route),
      ended => this.#ended(ended, input),
      stalled => input.release(stalled)
    )
    this.#tasks.set(task.id, { task, input })
    for (const output of outputs) output.deliver(task)
    return task
  }

  #ended(task: Task, input: InputRuntime): void {
    this.#tasks.delete(task.id)
    input.release(task)
    input.settled(task.chunk)
    if (this.#tasks.size === 0) this.#drained?.()
  }

  /** The lowest number that no task has. */
  #nextTaskId(): number {
    let id = 0
    while (this.#tasks.has(id)) id++
    return id
  }

  #countUnmatched(input: InputRuntime, events: number, bytes: number): void {
    const { metrics } = this.#world
    const labels = { input: input.settings.label, output: 'unmatched' }
    metrics
      .counter(
        'fluentbit_routing_logs_drop_records_total',
        'Total log records dropped during routing',
        labels
      )
      .add(events)
    metrics
      .counter(
        'fluentbit_routing_logs_drop_bytes_total',
        'Total bytes of log records dropped during routing',
        labels
      )
      .add(bytes)
  }

  async #shutDown(): Promise<void> {
    const { log } = this.#world
    const { grace } = this.#spec.service
    log.warn(
      grace < 0
        ? '[engine] service will shutdown when all remaining tasks are flushed'
        : `[engine] service will shutdown in max ${grace} seconds`
    )
    log.info('[engine] pausing all inputs..')
    for (const input of this.#inputs) input.hold()
    this.#flush()
    for (const output of this.#outputs) output.hurry()
    await this.#drain(grace)
    const pending = this.#tasks.size
    log.info(`[engine] service has stopped (${pending} pending tasks)`)
    for (const timer of this.#timers) timer.cancel()
    for (const input of this.#inputs) {
      input.hold()
      await input.stop()
    }
    for (const output of this.#outputs) output.abandon()
    for (const filter of this.#filters) await filter.filter.stop?.()
    for (const output of this.#outputs) await output.stop()
    this.#stopped.resolve(this.#exitCode)
  }

  /** Waits until every chunk is settled, or for `grace` seconds; negative waits for ever. */
  async #drain(grace: number): Promise<void> {
    if (this.#tasks.size === 0) return
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
    log.info(
      `[engine] pending chunk count: memory=${this.#tasks.size}, filesystem=0; grace_timer=${elapsed}`
    )
    for (const input of this.#inputs) {
      const tasks = [...this.#tasks.values()].filter(entry => entry.input === input)
      if (tasks.length === 0) continue
      log.info(`[task] ${input.settings.plugin}/${input.name} has ${tasks.length} pending task(s):`)
      for (const { task } of tasks) {
        const routes = task.openOutputs.map(output => `${output} `).join('')
        log.info(`[task]   task_id=${task.id} still running on route(s): ${routes}`)
      }
    }
  }
}
