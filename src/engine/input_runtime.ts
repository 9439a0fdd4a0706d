/**
 * One input (or emitter) in the engine: its sinks by tag, where its chunks are kept, and what holds it back.
 * Source of limits and log lines: Fluent Bit 5.1.1 src/flb_input_chunk.c; reference section 4.1.
 *
 * @hot bench/pipelines.ts
 */
import type { Clock, Timer } from '../base/clock.ts'
import { CHUNK_BYTES_FIRST, CHUNKS_UNDER_WAY_MAX, TAGS_IDLE_MAX } from '../base/limits.ts'
import type { Logger } from '../base/log.ts'
import { type Signal, SIGNALS } from '../base/signal.ts'
import { Chunk } from '../storage/chunk.ts'
import type { ChunkFile } from '../storage/chunk_file.ts'
import type { ChunkHolder } from './chunk_stats.ts'
import type { ChunkTap } from './chunk_trace.ts'
import { type ConditionalRoute, RouteSplitter } from './conditional_routes.ts'
import type { DiskGuard, Waiting } from './disk_guard.ts'
import type { FilterChain } from './filter_chain.ts'
import type { InputCounters, InputGauges } from './input_figures.ts'
import type { Account, Ledger } from './ledger.ts'
import type { OutputRuntime } from './output_runtime.ts'
import { Pauses, type RunningInput } from './pauses.ts'
import type { RateGate } from './rate_gate.ts'
import type { RateWindow } from './rate_window.ts'
import type { ReceiptMoment, StorageType } from './receipt.ts'
import { type EmittedRecords, type SinkOwner, type SinkPath, TagSink } from './tag_sink.ts'
import type { TagRecords } from './tag_records.ts'
import type { Task, TaskOwner } from './task.ts'
import type { UpChunks } from './up_chunks.ts'

/** How long a fast input waits for chunks that are under way before it goes on without them. */
const READY_WAIT_MS = 1_000

export interface InputSettings {
  readonly name: string
  readonly label: string
  /** Name of the plugin. */
  readonly plugin: string
  readonly storage: StorageType
  readonly receiptMoment: ReceiptMoment
  /** Whether the plugin goes on from what its receipts say. */
  readonly keepsPosition: boolean
  /** See `TaskOwner`. */
  readonly trustsDisk: boolean
  /** Bytes, 0 is none. */
  readonly memBufLimit: number
  /** Of an emitter, which keeps it itself. */
  readonly emitterLimit?: number
  /** Wait when `storage.max_chunks_up` is reached. */
  readonly pausesOnChunks: boolean
  readonly rateWindow: RateWindow
  readonly rateGate: RateGate | undefined
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
  readonly clock: Clock
  readonly ledger: Ledger
  readonly up: UpChunks
  readonly disk: DiskGuard
  readonly emitters: EmittedRecords
  /** The filters that match a tag; undefined when there are none. */
  chain(tag: string): FilterChain | undefined
  /** The outputs that match a tag and take the signal. */
  outputs(tag: string, signal: Signal): readonly OutputRuntime[]
  takeBuffer(): Buffer
  giveBuffer(buffer: Buffer): void
  nextChunkId(): string
  /** The file of a new chunk. */
  newFile(chunk: Chunk, label: string): ChunkFile
  /** Sends a sealed chunk to its outputs. */
  dispatch(chunk: Chunk, outputs: readonly OutputRuntime[], input: InputRuntime): Task
  /** All inputs but emitters: what an emitter gets, one of them has read. */
  readingInputs(): readonly Waiting[]
}

export class InputRuntime implements SinkOwner, TaskOwner, Waiting, ChunkHolder, InputGauges {
  /** Those of the plugin; they end with it. */
  readonly timers = new Set<Timer>()
  /** Set while the input is traced; it ends with the input. */
  tap: ChunkTap | undefined
  #settings: InputSettings
  #account: Account | undefined
  readonly isBacklog = false
  readonly trustsDisk: boolean
  countsReceipts = false
  readonly isEmitter: boolean
  readonly #world: InputWorld
  readonly #counters: InputCounters
  readonly #tagRecords: TagRecords | undefined
  readonly #pauses: Pauses
  readonly #sinks = new Map<string, TagSink>()
  /** Sinks of conditional routes by route name; made with the first sink. */
  readonly #routeSinks = new Map<string, TagSink>()
  /** Chunks on their way, oldest first. */
  readonly #tasks = new Set<Task>()
  readonly #underWay = new Set<Task>()
  /** Receipts of an input that has to wait for them at a reload. */
  #receipts = 0
  #allReceived: (() => void) | undefined
  #endSettling: (() => void) | undefined
  #retired: (() => void) | undefined
  #waiting: { promise: Promise<void>; resolve: () => void; timer: Timer } | undefined
  #rateTimer: Timer | undefined
  /** Bytes in chunks that are open or on their way, of an input that keeps them in memory. */
  #memoryBytes = 0

  /** @param tagRecords Where `telemetry` wants records counted by tag. */
  constructor(
    settings: InputSettings,
    world: InputWorld,
    counters: InputCounters,
    tagRecords: TagRecords | undefined
  ) {
    this.#settings = settings
    this.trustsDisk = settings.trustsDisk
    this.isEmitter = settings.plugin === 'emitter'
    this.#world = world
    this.#counters = counters
    this.#tagRecords = tagRecords
    this.#pauses = new Pauses(world.log, settings.label)
  }

  /** It begins with the use of the input: a configuration that is refused leaves none. */
  get account(): Account {
    this.#account ??= this.#world.ledger.input(this.label)
    return this.#account
  }

  get settings(): InputSettings {
    return this.#settings
  }

  get name(): string {
    return this.settings.name
  }

  get label(): string {
    return this.settings.label
  }

  get plugin(): string {
    return this.settings.plugin
  }

  get receiptMoment(): ReceiptMoment {
    return this.settings.receiptMoment
  }

  get emitters(): EmittedRecords {
    return this.#world.emitters
  }

  get input(): RunningInput | undefined {
    return this.#pauses.input
  }

  set input(input: RunningInput) {
    this.#pauses.input = input
    this.countsReceipts = this.settings.keepsPosition
  }

  /** True when it leaves all that it knows to the one that follows it, and takes the same: one in a thread cannot. */
  get handsOver(): boolean {
    return this.input?.handOver !== undefined
  }

  /** True while the input must not read. */
  get paused(): boolean {
    return this.#pauses.isPaused
  }

  get isRateLimited(): boolean {
    return this.#pauses.has('rate')
  }

  get gatePressure(): InputGauges['gatePressure'] {
    if (this.settings.rateGate?.usesPressure !== true) return { chunks: 0, retries: 0 }
    let retries = 0
    for (const { failures } of this.#tasks) retries += failures
    return { chunks: this.#tasks.size, retries }
  }

  /** Of the last whole window. */
  get rate(): InputGauges['rate'] {
    const { rateWindow } = this.settings
    rateWindow.add(this.#world.clock.now(), 0, 0)
    return { records: rateWindow.recordRate, bytes: rateWindow.byteRate }
  }

  get pending(): InputGauges['pending'] {
    return this.input?.pending ?? { batches: 0, bytes: 0 }
  }

  /** True while undelivered events are more than `mem_buf_limit`. */
  get overLimit(): boolean {
    const { memBufLimit } = this.settings
    return memBufLimit > 0 && this.memoryBytes >= memBufLimit
  }

  /** Bytes in memory of chunks that are open or on their way. */
  get memoryBytes(): number {
    return this.settings.storage === 'filesystem'
      ? this.#world.up.bytesOf(this.name)
      : this.#memoryBytes
  }

  get memoryBytesMax(): number {
    return this.settings.emitterLimit ?? this.settings.memBufLimit
  }

  get openChunks(): readonly Chunk[] {
    return this.sinks.flatMap(({ openChunk }) => openChunk ?? [])
  }

  /** Chunks on their way, oldest first. */
  get tasks(): ReadonlySet<Task> {
    return this.#tasks
  }

  /** All sinks, for dumps and the ledger. */
  get sinks(): readonly TagSink[] {
    return [...this.#sinks.values(), ...this.#routeSinks.values()]
  }

  sink(tag: string, signal: Signal = 'logs'): TagSink {
    const key = sinkKey(tag, signal)
    let sink = this.#sinks.get(key)
    if (sink === undefined) {
      sink = new TagSink(signal === 'logs' ? this.#path(tag) : this.#plainPath(tag, signal), this)
      this.#sinks.set(key, sink)
    }
    return sink
  }

  /** Forgets a tag whose source is gone; its open chunk goes out first. */
  forget(tag: string): void {
    for (const signal of SIGNALS) {
      const key = sinkKey(tag, signal)
      this.#sinks.get(key)?.close()
      this.#sinks.delete(key)
    }
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
    for (const [key, sink] of this.#sinks) if (sink.isIdle) this.#sinks.delete(key)
  }

  /** Sends every open chunk on its way. */
  flush(): void {
    for (const sink of this.#sinks.values()) sink.seal()
    for (const sink of this.#routeSinks.values()) sink.seal()
  }

  /** Undefined when the input may go on reading; see `InputContext.ready`. */
  ready(): Promise<void> | undefined {
    if (this.#underWay.size < CHUNKS_UNDER_WAY_MAX) return undefined
    if (this.#waiting !== undefined) return this.#waiting.promise
    const { promise, resolve } = Promise.withResolvers<void>()
    const timer = this.#world.clock.after(READY_WAIT_MS, () => {
      // A hanging output must not hold up the others: go on as if these chunks were retried.
      this.#underWay.clear()
      this.#goOnReading()
    })
    this.#waiting = { promise, resolve, timer }
    return promise
  }

  /** Waits for events that the input has committed in a thread. */
  async drain(): Promise<void> {
    await this.input?.drain?.()
  }

  async stop(): Promise<void> {
    await this.input?.stop?.()
    await this.tap?.end()
  }

  /** Stops the input for a changed one to go on; gives what that one needs to know, if anything. */
  async handOver(): Promise<unknown> {
    const { input } = this
    if (input?.handOver !== undefined) return input.handOver()
    await input?.stop?.()
    return undefined
  }

  /**
   * Holds the input back until all its receipts are due, which one that keeps its position and cannot hand over more has
   * to wait for; gives whether they are within `limitMs`, negative for any time.
   */
  async settle(limitMs: number): Promise<boolean> {
    this.#pauses.pause('reload', 'its events are to be settled')
    await this.drain()
    this.flush()
    if (this.#receipts === 0) return true
    const { promise, resolve } = Promise.withResolvers<boolean>()
    this.#allReceived = () => resolve(true)
    this.#endSettling = () => resolve(false)
    const limit = limitMs < 0 ? undefined : this.#world.clock.after(limitMs, this.#endSettling)
    const isSettled = await promise
    limit?.cancel()
    this.#allReceived = undefined
    this.#endSettling = undefined
    return isSettled
  }

  /** Goes on after `settle`, or without waiting for its end. */
  unsettle(): void {
    this.#endSettling?.()
    this.#pauses.resume('reload', 'it stays as it is')
  }

  /** Stays with a new configuration: under another number, and with other outputs behind its routes. */
  stay(name: string, routes: readonly InputRoute[]): void {
    this.#settings = { ...this.#settings, name, routes }
    this.#account = this.#world.ledger.input(this.label)
  }

  /** Sends the events of all tags on the ways that the configuration has now. */
  reroute(): void {
    for (const sink of this.#routeSinks.values()) sink.close()
    this.#routeSinks.clear()
    for (const sink of this.#sinks.values()) {
      const { tag, signal } = sink.path
      sink.reroute(signal === 'logs' ? this.#path(tag) : this.#plainPath(tag, signal))
    }
  }

  /** Nothing comes in any more: calls `done` when the last chunk is settled. */
  retire(done: () => void): void {
    // A tap that `stop` has not ended.
    void this.tap?.end()
    this.#retired = done
    this.#leaveWhenSettled()
  }

  /** Holds the input back for good: the engine is stopping. */
  hold(): void {
    this.#pauses.stop()
    this.#rateTimer?.cancel()
  }

  cancelTimers(): void {
    for (const timer of this.timers) timer.cancel()
  }

  waitForDisk(): void {
    this.#pauses.pause('disk', 'storage cannot be written')
  }

  goOn(): void {
    this.#pauses.resume('disk', 'storage is written')
  }

  /** Looks whether fewer chunks are up than the limit again. */
  checkChunks(): void {
    const { up } = this.#world
    if (!this.#pauses.has('chunks') || up.isFull) return
    this.#pauses.resume('chunks', `storage buf overlimit ${up.count}/${up.max}`)
  }

  // --- called by sinks

  counted(receipt: () => void): () => void {
    this.#receipts++
    return () => {
      receipt()
      if (--this.#receipts === 0) this.#allReceived?.()
    }
  }

  routeAccount(output: OutputRuntime): Account {
    return this.#world.ledger.route(this.label, output.label)
  }

  countRecords({ tag, path }: TagSink, records: number, bytes: number): void {
    this.#counters.records.value += records
    this.#counters.bytes.value += bytes
    this.settings.rateWindow.add(this.#world.clock.now(), records, bytes)
    if (path.signal === 'logs') this.#tagRecords?.add(tag, records)
  }

  newChunk({ tag, path }: TagSink, isBusy: boolean): Chunk {
    const world = this.#world
    const buffer = isBusy ? world.takeBuffer() : CHUNK_BYTES_FIRST
    const { signal } = path
    const parts = { id: world.nextChunkId(), tag, input: this.name, signal }
    const chunk = new Chunk(parts, buffer)
    if (path.isRouted) chunk.routedTo = path.outputs.map(output => output.label)
    if (this.settings.storage === 'filesystem' && path.outputs.length > 0) {
      chunk.file = world.newFile(chunk, this.label)
      chunk.stored = chunk.file
    }
    return chunk
  }

  takeBuffer(): Buffer {
    return this.#world.takeBuffer()
  }

  giveBuffer(buffer: Buffer): void {
    this.#world.giveBuffer(buffer)
  }

  appended(chunk: Chunk, sink: TagSink, bytes: number): void {
    if (chunk.file === undefined) {
      this.#memoryBytes += bytes
      if (this.settings.storage === 'memrb') this.#makeRoom(bytes)
    } else {
      this.#world.up.add(chunk)
      this.#world.disk.store(chunk, this.isEmitter ? this.#world.readingInputs() : [this])
      for (const output of sink.path.outputs) output.reserve(chunk, bytes)
    }
    this.#protect(bytes)
  }

  unmatched(events: number, bytes: number): void {
    const reason = this.settings.routable ? 'unmatched' : 'not_routable'
    this.account.drop(reason, events)
    this.#counters.dropped(reason, events, bytes)
  }

  /** Sends a sealed chunk on its way. */
  dispatch(chunk: Chunk, outputs: readonly OutputRuntime[]): void {
    chunk.file?.seal()
    const task = this.#world.dispatch(chunk, outputs, this)
    if (task.deliveries.size === 0) return
    this.#tasks.add(task)
    if (task.underWay) this.#underWay.add(task)
    if (chunk.file === undefined) return
    const { up } = this.#world
    const isFull = up.count > up.max || this.overLimit
    if (isFull && !this.settings.pausesOnChunks) up.lower(chunk)
  }

  // --- called by tasks

  release(task: Task): void {
    this.#underWay.delete(task)
    if (this.#underWay.size < CHUNKS_UNDER_WAY_MAX) this.#goOnReading()
  }

  ended(task: Task): void {
    const { chunk } = task
    this.#tasks.delete(task)
    if (chunk.file === undefined) this.#memoryBytes -= chunk.size
    for (const receipt of chunk.receipts) receipt()
    const { memBufLimit } = this.settings
    if (this.#pauses.has('memory') && this.#memoryBytes < memBufLimit) {
      this.#pauses.resume(
        'memory',
        `mem buf overlimit - buf size ${this.#memoryBytes}B now below limit ${memBufLimit}B`
      )
    }
    this.#checkRate()
    this.#leaveWhenSettled()
  }

  #leaveWhenSettled(): void {
    const retired = this.#retired
    if (retired === undefined || this.#tasks.size > 0) return
    this.#retired = undefined
    retired()
  }

  // --- limits

  /** Pauses the input where it has brought more than it may; in the order in which Fluent Bit looks. */
  #protect(bytes: number): void {
    const { memBufLimit, storage, pausesOnChunks, rateGate, rateWindow } = this.settings
    const { up, clock } = this.#world
    if (storage === 'filesystem' && pausesOnChunks && up.isFull) {
      this.#pauses.pause('chunks', `storage buf overlimit ${up.count}/${up.max}`)
    }
    if (rateGate?.isOver(this.#pressure()) === true) {
      this.#pauses.pause('rate', 'rate gate limit exceeded')
      this.#lookAgain(rateWindow.leftMs(clock.now()))
    }
    if (storage === 'memory' && memBufLimit > 0 && this.#memoryBytes >= memBufLimit) {
      const sizes = `event of size ${bytes}B exceeded limit ${memBufLimit} to ${this.#memoryBytes}B`
      this.#pauses.pause('memory', `mem buf overlimit - ${sizes}`)
    }
  }

  /** Chunks under way and their retries, which lower the limits of the rate gate. */
  #pressure(): number {
    const { chunks, retries } = this.gatePressure
    return chunks + retries
  }

  #lookAgain(delayMs: number): void {
    this.#rateTimer ??= this.#world.clock.after(delayMs, () => {
      this.#rateTimer = undefined
      this.#checkRate()
    })
  }

  #checkRate(): void {
    const { rateGate, rateWindow } = this.settings
    if (rateGate === undefined || !this.#pauses.has('rate') || this.#pauses.has('stop')) return
    const nowMs = this.#world.clock.now()
    rateWindow.add(nowMs, 0, 0)
    if (rateGate.isCalm(this.#pressure())) {
      this.#rateTimer?.cancel()
      this.#rateTimer = undefined
      this.#pauses.resume('rate', 'rate gate')
    } else this.#lookAgain(rateWindow.leftMs(nowMs))
  }

  /** Gives up the oldest chunks for new events, apart from those that an output is working on. */
  #makeRoom(bytes: number): void {
    const { memBufLimit } = this.settings
    if (memBufLimit === 0 || this.#memoryBytes - bytes < memBufLimit) return
    let freed = 0
    for (const task of this.#tasks) {
      if (freed >= bytes) return
      const { size } = task.chunk
      if (!this.#giveUp(task)) continue
      freed += size
      this.#counters.overrun?.chunks.add(1)
      this.#counters.overrun?.bytes.add(size)
    }
  }

  /** Gives up a chunk for all outputs; false when one of them is working on it. */
  #giveUp(task: Task): boolean {
    const deliveries = [...task.deliveries]
    if (deliveries.some(({ state }) => state === 'active' || state === 'left')) return false
    for (const delivery of deliveries) delivery.evict('memrb_overrun')
    return true
  }

  // --- sinks

  #path(tag: string): SinkPath {
    const { processors, routes, routable } = this.settings
    const plain = routes.filter(route => route.conditional === undefined)
    const direct = plain.flatMap(route => route.outputs)
    // With a conditional route, only routes decide; otherwise they add to what the tag matches.
    const isSplit = plain.length < routes.length
    const matching = routable && !isSplit ? this.#world.outputs(tag, 'logs') : []
    return {
      tag,
      signal: 'logs',
      processors,
      filters: this.#world.chain(tag),
      splitter: isSplit ? this.#newSplitter() : undefined,
      outputs: [...new Set([...matching, ...direct])],
      isRouted: direct.length > 0
    }
  }

  /** For what no processor, filter or condition of a route reads. */
  #plainPath(tag: string, signal: Signal): SinkPath {
    const { routes, routable } = this.settings
    const direct = routes.flatMap(route => (route.conditional === undefined ? route.outputs : []))
    const taking = direct.filter(output => output.settings.signals.includes(signal))
    const matching = routable ? this.#world.outputs(tag, signal) : []
    const outputs = [...new Set([...matching, ...taking])]
    const none = { processors: undefined, filters: undefined, splitter: undefined }
    return { tag, signal, ...none, outputs, isRouted: taking.length > 0 }
  }

  #newSplitter(): RouteSplitter {
    const branches = []
    for (const { conditional, processors, outputs } of this.settings.routes) {
      if (conditional === undefined) continue
      const tag = conditional.name
      let sink = this.#routeSinks.get(tag)
      if (sink === undefined) {
        const filters = this.#world.chain(tag)
        const signal = 'logs' as const
        const path = {
          tag,
          signal,
          processors,
          filters,
          splitter: undefined,
          outputs,
          isRouted: true
        }
        sink = new TagSink(path, this)
        this.#routeSinks.set(tag, sink)
      }
      branches.push({ route: conditional, sink })
    }
    return new RouteSplitter(branches)
  }

  #goOnReading(): void {
    const waiting = this.#waiting
    if (waiting === undefined) return
    this.#waiting = undefined
    waiting.timer.cancel()
    waiting.resolve()
  }
}

/** A tag has a sink for each signal. */
function sinkKey(tag: string, signal: Signal): string {
  return signal === 'logs' ? tag : `${signal}\0${tag}`
}
