/**
 * Events of one tag of one input, on their way through processors and filters into a chunk.
 *
 * @hot bench/pipelines.ts
 */
import { CHUNK_BYTES, CHUNK_BYTES_BUSY, CHUNK_BYTES_FIRST } from '../base/limits.ts'
import type { Signal } from '../base/signal.ts'
import { MsgpackWriter } from '../codec/msgpack_writer.ts'
import type { EventSink } from '../plugin/context.ts'
import type { Chunk } from '../storage/chunk.ts'
import type { ChunkTap } from './chunk_trace.ts'
import type { RouteSink, RouteSplitter } from './conditional_routes.ts'
import type { FilterChain } from './filter_chain.ts'
import type { Account } from './ledger.ts'
import type { OutputRuntime } from './output_runtime.ts'
import { type ReceiptMoment, SharedReceipt } from './receipt.ts'

/** How the events of a tag come from the input to a chunk. */
export interface SinkPath {
  readonly tag: string
  readonly signal: Signal
  /** Run on what the input wrote, before the filters. */
  readonly processors: FilterChain | undefined
  /** The filters that match the tag. */
  readonly filters: FilterChain | undefined
  readonly splitter: RouteSplitter | undefined
  readonly outputs: readonly OutputRuntime[]
  /** True where a route chose the outputs, not the tag: the chunk's file has to say so. */
  readonly isRouted: boolean
}

/** What filters emit while a sink runs them. */
export interface EmittedRecords {
  /** What the events that filters see now have as their receipt. */
  receipt: SharedReceipt | undefined
  /** Hands on what was emitted. */
  drain(): void
}

/** The input that a sink belongs to, as the sink sees it. */
export interface SinkOwner {
  /** Name of the instance, or of the emitter. */
  readonly name: string
  readonly label: string
  /** Of the input, and of its way to each output of the sink. */
  readonly account: Account
  routeAccount(output: OutputRuntime): Account
  readonly receiptMoment: ReceiptMoment
  /** True where `counted` is to have each receipt. */
  readonly countsReceipts: boolean
  counted(receipt: () => void): () => void
  readonly emitters: EmittedRecords
  /** Follows the events of the input, while it is traced. */
  readonly tap: ChunkTap | undefined
  /** What comes in was made of other records; see `Ledger`. */
  readonly isEmitter: boolean
  /** Counts what comes to the filters. */
  countRecords(sink: TagSink, records: number, bytes: number): void
  /** @param isBusy Whether the tag's last chunk was large. */
  newChunk(sink: TagSink, isBusy: boolean): Chunk
  takeBuffer(): Buffer
  giveBuffer(buffer: Buffer): void
  /** Events that no output wants. */
  unmatched(events: number, bytes: number): void
  /** Events were added to a chunk. */
  appended(chunk: Chunk, sink: TagSink, bytes: number): void
  dispatch(chunk: Chunk, outputs: readonly OutputRuntime[]): void
}

export class TagSink implements EventSink, RouteSink {
  readonly tag: string
  readonly #owner: SinkOwner
  #path: SinkPath
  #accounts: readonly Account[]
  /** Where the input writes when its events do not go straight into the chunk. */
  #staging: MsgpackWriter | undefined
  /** Between processors and what follows them. */
  #processed: MsgpackWriter | undefined
  /** Bytes of the open chunk that are committed. */
  #committed = 0
  #chunk: Chunk | undefined
  /** What receipts of the events that are being committed wait for. */
  #moment: ReceiptMoment
  #lastSize = 0

  constructor(path: SinkPath, owner: SinkOwner) {
    this.tag = path.tag
    this.#owner = owner
    this.#moment = owner.receiptMoment
    this.#path = path
    this.#accounts = accountsOf(path, owner)
    this.#staging = stagingOf(path)
    this.#processed = processedOf(path)
  }

  get path(): SinkPath {
    return this.#path
  }

  /** Sends what comes from now on another way; not between an input's writing and its commit. */
  reroute(path: SinkPath): void {
    this.close()
    this.#path = path
    this.#accounts = accountsOf(path, this.#owner)
    this.#staging = stagingOf(path)
    this.#processed = processedOf(path)
  }

  get writer(): MsgpackWriter {
    return this.#staging ?? this.#open().writer
  }

  /** @param moment What the receipt waits for, where that is not what the input's receipts wait for. */
  commit(count: number, receipt?: () => void, moment = this.#owner.receiptMoment): void {
    const { account, emitters, isEmitter } = this.#owner
    if (isEmitter) account.added += count
    else account.ingested += count
    const isTaken = moment === 'taken'
    this.#moment = moment
    const isCounted = receipt !== undefined && this.#owner.countsReceipts
    const later = isTaken ? undefined : isCounted ? this.#owner.counted(receipt) : receipt
    const staging = this.#staging
    if (staging === undefined) {
      const chunk = this.#open()
      this.#came(chunk, chunk.writer, this.#committed, count)
      this.#append(chunk, count, later)
    } else {
      this.#commitStaged(staging, count, later)
      staging.length = 0
      emitters.drain()
    }
    if (isTaken) receipt?.()
  }

  /** Takes over events that a conditional route has chosen and written; who splits them accounts for them. */
  commitRouted(count: number, receipt: SharedReceipt | undefined): void {
    this.#moment = receipt?.moment ?? this.#owner.receiptMoment
    const staging = this.#staging
    if (staging === undefined) {
      const chunk = this.#open()
      this.#came(chunk, chunk.writer, this.#committed, count)
      this.#append(chunk, count, receipt?.release)
      return
    }
    this.#process(staging, count, receipt?.release)
    staging.length = 0
  }

  /** The chunk that has events and waits for more, or for the flush. */
  get openChunk(): Chunk | undefined {
    return this.isIdle ? undefined : this.#chunk
  }

  /** Events of the open chunk. */
  get openEvents(): number {
    return this.openChunk?.events ?? 0
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
    this.#owner.dispatch(chunk, this.#path.outputs)
  }

  /** Sends the open chunk on its way, and keeps none. */
  close(): void {
    this.seal()
    if (this.#chunk?.pooled !== undefined) this.#owner.giveBuffer(this.#chunk.pooled)
    this.#chunk = undefined
  }

  #commitStaged(staging: MsgpackWriter, count: number, receipt: (() => void) | undefined): void {
    const { emitters } = this.#owner
    if (receipt === undefined) {
      this.#process(staging, count, undefined)
      return
    }
    // What filters emit while they run is a part of what the receipt stands for.
    const shared = new SharedReceipt(receipt, this.#moment)
    emitters.receipt = shared
    this.#process(staging, count, shared.release)
    emitters.receipt = undefined
  }

  #process(staging: MsgpackWriter, written: number, receipt: (() => void) | undefined): void {
    const { tag, processors, filters, splitter, outputs } = this.#path
    const { name, account } = this.#owner
    let source = staging
    let count = written
    if (processors !== undefined) {
      source = this.#processed ?? this.#open().writer
      if (this.#processed !== undefined) source.length = 0
      const before = count
      count = processors.run(staging.bytes, staging.length, tag, name, source)
      account.filtered += before - count
    }
    let pending = receipt
    if (splitter !== undefined) {
      pending = this.#split(splitter, source, count, receipt)
      if (outputs.length === 0) {
        pending?.()
        return
      }
    }
    const start = source === staging || source === this.#processed ? 0 : this.#committed
    const chunk = this.#open()
    this.#came(chunk, source, start, count)
    if (filters !== undefined) {
      const { tap } = this.#owner
      const before = count
      count =
        tap === undefined
          ? filters.run(source.bytes, source.length, tag, name, chunk.writer)
          : tap.filter(chunk, filters, source.bytes, source.length, tag, name, chunk.writer)
      account.filtered += before - count
    } else if (source !== chunk.writer) {
      chunk.writer.raw(source.bytes, 0, source.length)
    }
    this.#append(chunk, count, pending)
  }

  /** Events have come to the filters: what a writer has from `start` on. */
  #came(chunk: Chunk, { bytes, length }: MsgpackWriter, start: number, count: number): void {
    const { tap } = this.#owner
    this.#owner.countRecords(this, count, length - start)
    if (tap !== undefined) tap.received(chunk, bytes, start, length)
  }

  /** Copies events to the sinks of conditional routes; gives what is left of the receipt. */
  #split(
    splitter: RouteSplitter,
    source: MsgpackWriter,
    count: number,
    receipt: (() => void) | undefined
  ): (() => void) | undefined {
    const { account } = this.#owner
    const shared = receipt === undefined ? undefined : new SharedReceipt(receipt, this.#moment)
    const { copies, unwanted, unwantedBytes } = splitter.split(source.bytes, source.length, shared)
    const goesOn = this.#path.outputs.length > 0
    account.added += copies - (count - unwanted) + (goesOn ? count - unwanted : 0)
    if (unwanted > 0 && !goesOn) this.#owner.unmatched(unwanted, unwantedBytes)
    return shared?.release
  }

  /** Takes over what was written to the chunk since the last commit. */
  #append(chunk: Chunk, count: number, receipt: (() => void) | undefined): void {
    const { tap } = this.#owner
    const bytes = chunk.writer.length - this.#committed
    if (tap !== undefined) tap.appended(chunk, chunk.writer.length)
    if (count === 0) {
      receipt?.()
      return
    }
    if (this.#accounts.length === 0) {
      tap?.forget(chunk)
      chunk.writer.length = this.#committed
      this.#owner.unmatched(count, bytes)
      receipt?.()
      return
    }
    chunk.events += count
    this.#committed = chunk.writer.length
    for (const account of this.#accounts) account.ingested += count
    this.#owner.appended(chunk, this, bytes)
    if (receipt !== undefined) this.#promise(chunk, receipt)
    if (this.#committed >= CHUNK_BYTES) this.seal()
    else if (chunk.pooled === undefined && this.#committed >= CHUNK_BYTES_BUSY) {
      chunk.moveTo(this.#owner.takeBuffer())
    }
  }

  #promise(chunk: Chunk, receipt: () => void): void {
    const { file } = chunk
    if (this.#moment === 'stored' && file !== undefined) {
      file.whenStored(this.#committed, receipt)
    } else chunk.receipts.push(receipt)
  }

  #open(): Chunk {
    this.#chunk ??= this.#owner.newChunk(this, this.#lastSize >= CHUNK_BYTES_BUSY)
    return this.#chunk
  }
}

function accountsOf({ outputs }: SinkPath, owner: SinkOwner): Account[] {
  return outputs.map(output => owner.routeAccount(output))
}

function stagingOf({ processors, filters, splitter }: SinkPath): MsgpackWriter | undefined {
  const isDirect = processors === undefined && filters === undefined && splitter === undefined
  return isDirect ? undefined : new MsgpackWriter(CHUNK_BYTES_FIRST)
}

function processedOf({ processors, filters, splitter }: SinkPath): MsgpackWriter | undefined {
  const follows = filters !== undefined || splitter !== undefined
  return processors !== undefined && follows ? new MsgpackWriter(CHUNK_BYTES_FIRST) : undefined
}
