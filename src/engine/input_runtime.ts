/**
 * One input (or emitter) in the engine: its open chunks by tag, the filters between it and them, its memory limit.
 * Source of limits and log lines: Fluent Bit 5.1.1 src/flb_input_chunk.c; reference section 4.1.
 *
 * @hot bench/pipelines.ts
 */
import type { Timer } from '../base/clock.ts'
import {
  CHUNK_BYTES,
  CHUNK_BYTES_BUSY,
  CHUNK_BYTES_FIRST,
  CHUNKS_UNDER_WAY_MAX,
  TAGS_IDLE_MAX
} from '../base/limits.ts'
import type { Logger } from '../base/log.ts'
import { MsgpackWriter } from '../codec/msgpack_writer.ts'
import type { Counter } from '../metrics/registry.ts'
import type { EventSink } from '../plugin/context.ts'
import type { Input } from '../plugin/define.ts'
import { Chunk } from '../storage/chunk.ts'
import { afterAll, type ConditionalRoute, RouteSplitter } from './conditional_routes.ts'
import type { FilterChain } from './filter_chain.ts'
import type { OutputRuntime } from './output_runtime.ts'
import type { Task } from './task.ts'

/** How long a fast input waits for chunks that are under way before it goes on without them. */
const READY_WAIT_MS = 1_000

export interface InputCounters {
  readonly records: Counter
  readonly bytes: Counter
}

export interface InputSettings {
  readonly name: string
  readonly label: string
  /** Name of the plugin. */
  readonly plugin: string
  /** Bytes, 0 is none. */
  readonly memBufLimit: number
  /** False keeps the events from every output, as `routable false` says. */
  readonly routable: boolean
  readonly processors: FilterChain | undefined
  readonly routes: readonly InputRoute[]
}

/** One entry of `routes:`. A plain one adds its outputs to those that match the tag. */
export interface InputRoute {
  readonly outputs: readonly OutputRuntime[]
  readonly processors: FilterChain | undefined
  /** Undefined for a route without `condition` and `per_record_routing`. */
  readonly conditional: ConditionalRoute | undefined
}

/** What an input needs of the pipeline that it belongs to. */
export interface InputWorld {
  readonly log: Logger
  /** The filters that match a tag; undefined when there are none. */
  chain(tag: string): FilterChain | undefined
  outputs(tag: string): readonly OutputRuntime[]
  takeBuffer(): Buffer
  giveBuffer(buffer: Buffer): void
  nextChunkId(): string
  /** Sends a sealed chunk to its outputs. */
  dispatch(chunk: Chunk, outputs: readonly OutputRuntime[], input: InputRuntime): Task
  /** Counts events of a tag that matches no output. */
  unmatched(input: InputRuntime, events: number, bytes: number): void
  /** Lets emitters hand on what filters gave them during a commit. */
  drainEmitters(): void
  after(delayMs: number, callback: () => void): Timer
}

export class InputRuntime {
  readonly settings: InputSettings
  /** Set once the plugin is created; emitters have none. */
  input: Input | undefined
  readonly #world: InputWorld
  readonly #counters: InputCounters
  readonly #sinks = new Map<string, TagSink>()
  /** Sinks of conditional routes by route name; made with the first sink. */
  readonly #routeSinks = new Map<string, TagSink>()
  readonly #underWay = new Set<Task>()
  #waiting: { resolve: () => void; timer: Timer } | undefined
  #bufferedBytes = 0
  #overLimit = false
  #stopped = false

  constructor(settings: InputSettings, world: InputWorld, counters: InputCounters) {
    this.settings = settings
    this.#world = world
    this.#counters = counters
  }

  get name(): string {
    return this.settings.name
  }

  /** True while the input must not read. */
  get paused(): boolean {
    return this.#overLimit || this.#stopped
  }

  /** True while the memory limit holds the input back. */
  get overLimit(): boolean {
    return this.#overLimit
  }

  /** Bytes in chunks that are open or on their way. */
  get bufferedBytes(): number {
    return this.#bufferedBytes
  }

  sink(tag: string): EventSink {
    let sink = this.#sinks.get(tag)
    if (sink === undefined) {
      sink = this.#newSink(tag)
      this.#sinks.set(tag, sink)
    }
    return sink
  }

  /** Forgets a tag whose source is gone; its open chunk goes out first. */
  forget(tag: string): void {
    this.#sinks.get(tag)?.seal()
    this.#sinks.delete(tag)
  }

  /** Tags that have a sink. */
  get tagCount(): number {
    return this.#sinks.size
  }

  /**
   * Forgets tags without an open chunk when there are more than `TAGS_IDLE_MAX`. Only for who asks for the sink anew
   * each time: a sink that is forgotten and still held would never be flushed.
   */
  trim(): void {
    if (this.#sinks.size <= TAGS_IDLE_MAX) return
    for (const [tag, sink] of this.#sinks) if (sink.isIdle) this.#sinks.delete(tag)
  }

  /** Sends every open chunk on its way. */
  flush(): void {
    for (const sink of this.#sinks.values()) sink.seal()
    for (const sink of this.#routeSinks.values()) sink.seal()
  }

  /** Undefined when the input may go on reading; see `InputContext.ready`. */
  ready(): Promise<void> | undefined {
    if (this.#underWay.size < CHUNKS_UNDER_WAY_MAX) return undefined
    const { promise, resolve } = Promise.withResolvers<void>()
    const timer = this.#world.after(READY_WAIT_MS, () => {
      // A hanging output must not hold up the others: go on as if these chunks were retried.
      this.#underWay.clear()
      this.#release()
    })
    this.#waiting = { resolve, timer }
    return promise
  }

  async stop(): Promise<void> {
    await this.input?.stop?.()
  }

  /** Holds the input back for good: the engine is stopping. */
  hold(): void {
    this.#world.log.info(`[input] pausing ${this.settings.label}`)
    if (this.#stopped) return
    this.#stopped = true
    if (!this.#overLimit) this.input?.pause?.()
  }

  /** Called by sinks after events were added to a chunk. */
  account(records: number, bytes: number): void {
    this.#counters.records.value += records
    this.#counters.bytes.value += bytes
    this.#bufferedBytes += bytes
    const { memBufLimit, label } = this.settings
    if (memBufLimit === 0 || this.#overLimit || this.#bufferedBytes < memBufLimit) return
    this.#world.log.warn(
      `[input] ${label} paused (mem buf overlimit - event of size ${bytes}B exceeded limit ` +
        `${memBufLimit} to ${this.#bufferedBytes}B)`
    )
    if (!this.#stopped) {
      this.#world.log.info(`[input] pausing ${label}`)
      this.input?.pause?.()
    }
    this.#overLimit = true
  }

  /** Counts what never reached a chunk of this input. */
  countUnmatched(events: number, bytes: number): void {
    this.#counters.records.value += events
    this.#counters.bytes.value += bytes
    this.#world.unmatched(this, events, bytes)
  }

  /** Sends a sealed chunk on its way. */
  dispatch(chunk: Chunk, outputs: readonly OutputRuntime[]): void {
    const task = this.#world.dispatch(chunk, outputs, this)
    if (task.underWay) this.#underWay.add(task)
  }

  /** A chunk of this input needs no waiting for: it ended or it waits for a retry. */
  release(task: Task): void {
    this.#underWay.delete(task)
    if (this.#underWay.size < CHUNKS_UNDER_WAY_MAX) this.#release()
  }

  /** A chunk was settled: its bytes are free and positions may be saved. */
  settled(chunk: Chunk): void {
    this.#bufferedBytes -= chunk.size
    if (chunk.pooled !== undefined) this.#world.giveBuffer(chunk.pooled)
    for (const receipt of chunk.receipts) receipt()
    const { memBufLimit, label } = this.settings
    if (!this.#overLimit || this.#bufferedBytes >= memBufLimit) return
    this.#overLimit = false
    if (this.#stopped) return
    this.input?.resume?.()
    this.#world.log.info(`[input] resume ${label}`)
    this.#world.log.info(
      `[input] ${label} resume (mem buf overlimit - buf size ${this.#bufferedBytes}B ` +
        `now below limit ${memBufLimit}B)`
    )
  }

  #newSink(tag: string): TagSink {
    const { processors, routes, routable } = this.settings
    const plain = routes.filter(route => route.conditional === undefined)
    const direct = plain.flatMap(route => route.outputs)
    // With a conditional route, only routes decide; otherwise they add to what the tag matches.
    const isSplit = plain.length < routes.length
    const matching = routable && !isSplit ? this.#world.outputs(tag) : []
    return new TagSink(
      {
        tag,
        processors,
        filters: this.#world.chain(tag),
        splitter: isSplit ? this.#newSplitter() : undefined,
        outputs: [...new Set([...matching, ...direct])]
      },
      this,
      this.#world
    )
  }

  #newSplitter(): RouteSplitter {
    const branches = []
    for (const { conditional, processors, outputs } of this.settings.routes) {
      if (conditional === undefined) continue
      const tag = conditional.name
      let sink = this.#routeSinks.get(tag)
      if (sink === undefined) {
        const filters = this.#world.chain(tag)
        sink = new TagSink(
          { tag, processors, filters, splitter: undefined, outputs },
          this,
          this.#world
        )
        this.#routeSinks.set(tag, sink)
      }
      branches.push({ route: conditional, sink })
    }
    return new RouteSplitter(branches)
  }

  #release(): void {
    const waiting = this.#waiting
    if (waiting === undefined) return
    this.#waiting = undefined
    waiting.timer.cancel()
    waiting.resolve()
  }
}

/** How the events of a tag come from the input to a chunk. */
interface SinkPath {
  readonly tag: string
  /** Run on what the input wrote, before the filters. */
  readonly processors: FilterChain | undefined
  /** The filters that match the tag. */
  readonly filters: FilterChain | undefined
  readonly splitter: RouteSplitter | undefined
  readonly outputs: readonly OutputRuntime[]
}

/** Events of one tag of one input, on their way into a chunk. */
class TagSink implements EventSink {
  readonly tag: string
  readonly #path: SinkPath
  readonly #input: InputRuntime
  readonly #world: InputWorld
  /** Where the input writes when its events do not go straight into the chunk. */
  readonly #staging: MsgpackWriter | undefined
  /** Between processors and what follows them. */
  readonly #processed: MsgpackWriter | undefined
  /** Bytes of the open chunk that are committed. */
  #committed = 0
  #chunk: Chunk | undefined
  #lastSize = 0

  constructor(path: SinkPath, input: InputRuntime, world: InputWorld) {
    const { tag, processors, filters, splitter } = path
    this.tag = tag
    this.#path = path
    this.#input = input
    this.#world = world
    const follows = filters !== undefined || splitter !== undefined
    const direct = processors === undefined && !follows
    this.#staging = direct ? undefined : new MsgpackWriter(CHUNK_BYTES_FIRST)
    this.#processed =
      processors !== undefined && follows ? new MsgpackWriter(CHUNK_BYTES_FIRST) : undefined
  }

  get writer(): MsgpackWriter {
    return this.#staging ?? this.#open().writer
  }

  commit(count: number, settled?: () => void): void {
    const staging = this.#staging
    if (staging === undefined) {
      this.#append(this.#open(), count, settled)
      return
    }
    this.#commitStaged(staging, count, settled)
    staging.length = 0
    this.#world.drainEmitters()
  }

  /** True while no event waits for the flush. */
  get isIdle(): boolean {
    return this.#committed === 0
  }

  /** Sends the open chunk on its way, if it has events. */
  seal(): void {
    const chunk = this.#chunk
    if (chunk === undefined || this.#committed === 0) return
    this.#chunk = undefined
    this.#lastSize = this.#committed
    this.#committed = 0
    this.#input.dispatch(chunk, this.#path.outputs)
  }

  #commitStaged(staging: MsgpackWriter, written: number, settled: (() => void) | undefined): void {
    const { tag, processors, filters, splitter, outputs } = this.#path
    const { name } = this.#input
    let source = staging
    let count = written
    let receipt = settled
    if (processors !== undefined) {
      source = this.#processed ?? this.#open().writer
      if (this.#processed !== undefined) source.length = 0
      count = processors.run(staging.bytes, staging.length, tag, name, source)
    }
    if (splitter !== undefined) {
      receipt = afterAll(splitter.size + 1, settled)
      splitter.split(source.bytes, source.length, receipt, (events, bytes) =>
        this.#world.unmatched(this.#input, events, bytes)
      )
      if (outputs.length === 0) {
        receipt?.()
        return
      }
    }
    const chunk = this.#open()
    if (filters !== undefined) {
      count = filters.run(source.bytes, source.length, tag, name, chunk.writer)
    } else if (source !== chunk.writer) {
      chunk.writer.raw(source.bytes, 0, source.length)
    }
    this.#append(chunk, count, receipt)
  }

  /** Takes over what was written to the chunk since the last commit. */
  #append(chunk: Chunk, count: number, settled: (() => void) | undefined): void {
    const bytes = chunk.writer.length - this.#committed
    if (count === 0) {
      settled?.()
      return
    }
    if (this.#path.outputs.length === 0) {
      chunk.writer.length = this.#committed
      this.#input.countUnmatched(count, bytes)
      settled?.()
      return
    }
    chunk.events += count
    this.#committed = chunk.writer.length
    if (settled !== undefined) chunk.receipts.push(settled)
    this.#input.account(count, bytes)
    if (this.#committed >= CHUNK_BYTES) this.seal()
    else if (chunk.pooled === undefined && this.#committed >= CHUNK_BYTES_BUSY) {
      chunk.moveTo(this.#world.takeBuffer())
    }
  }

  #open(): Chunk {
    this.#chunk ??= new Chunk(
      this.#world.nextChunkId(),
      this.tag,
      this.#input.name,
      this.#lastSize >= CHUNK_BYTES_BUSY ? this.#world.takeBuffer() : CHUNK_BYTES_FIRST
    )
    return this.#chunk
  }
}
