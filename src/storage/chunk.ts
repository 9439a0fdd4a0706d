/**
 * A chunk: events of one tag, as bytes. It is open while its input appends, then sealed, then settled when every
 * output has taken or given up its events. One that is on disk as well may be down: then its bytes are there only.
 */
import assert from 'node:assert/strict'
import { POOLED_BUFFERS_MAX, CHUNK_BYTES } from '../base/limits.ts'
import { allocateLasting } from '../codec/byte_kernel.ts'
import type { Signal } from '../base/signal.ts'
import { MsgpackWriter } from '../codec/msgpack_writer.ts'
import type { ChunkFile, StoredChunk } from './chunk_file.ts'

const NOTHING = Buffer.alloc(0)

/** What a chunk is, beside its events. */
export interface ChunkParts {
  /** `<pid>-<seconds>.<nanoseconds>.flb`, the name that log lines and files use. */
  readonly id: string
  readonly tag: string
  /** Name of the input that made it. */
  readonly input: string
  readonly signal: Signal
}

export class Chunk implements ChunkParts {
  readonly id: string
  readonly tag: string
  readonly input: string
  readonly signal: Signal
  /** Events are appended here while the chunk is open. */
  readonly writer: MsgpackWriter
  events = 0
  /** Called when the chunk is settled; see `EventSink.commit`. */
  readonly receipts: (() => void)[] = []
  /** Aliases or names of the outputs that a route chose; undefined where the tag chooses. */
  routedTo: readonly string[] | undefined
  /** The file that the chunk is in, or came from. */
  stored: StoredChunk | undefined
  /** The file that events are appended to; a chunk in memory and one that was found on disk have none. */
  file: ChunkFile | undefined
  /** The buffer of the pool that the chunk has, to be given back when it is settled. */
  pooled: Buffer | undefined
  #downBytes: number | undefined

  constructor({ id, tag, input, signal }: ChunkParts, buffer: number | Buffer) {
    this.id = id
    this.tag = tag
    this.input = input
    this.signal = signal
    this.writer = new MsgpackWriter(buffer)
    this.pooled = typeof buffer === 'number' ? undefined : buffer
  }

  /** A chunk that is down: its bytes are in the file. */
  static down(parts: ChunkParts, stored: StoredChunk, bytes: number, events: number): Chunk {
    const chunk = new Chunk(parts, NOTHING)
    chunk.pooled = undefined
    chunk.stored = stored
    chunk.events = events
    chunk.#downBytes = bytes
    return chunk
  }

  /** Goes on in a larger buffer of the pool. */
  moveTo(buffer: Buffer): void {
    this.writer.moveTo(buffer)
    this.pooled = buffer
  }

  /** The events, shared with the chunk, which must be up. */
  get bytes(): Buffer {
    assert(this.isUp, `BUG: chunk ${this.id} is read while it is down`)
    return this.writer.written()
  }

  /** Bytes of all events, wherever they are. */
  get size(): number {
    return this.#downBytes ?? this.writer.length
  }

  /** True while the bytes are in memory. */
  get isUp(): boolean {
    return this.#downBytes === undefined
  }

  /** Leaves the bytes to the file alone; gives back the buffer of the pool, if it had one. */
  goDown(): Buffer | undefined {
    assert(this.stored !== undefined, `BUG: chunk ${this.id} has no file to leave its bytes to`)
    this.#downBytes = this.writer.length
    this.writer.bytes = NOTHING
    this.writer.length = 0
    const { pooled } = this
    this.pooled = undefined
    return pooled
  }

  /** Reads the bytes back from the file; throws when they are not there any more. */
  comeUp(): void {
    if (this.#downBytes === undefined) return
    const bytes = this.stored?.load()
    assert(bytes !== undefined, `BUG: chunk ${this.id} is down and has no file`)
    if (bytes.length !== this.#downBytes) throw new Error('the file has changed')
    this.writer.bytes = bytes
    this.writer.length = bytes.length
    this.#downBytes = undefined
  }
}

/** Room for a full chunk and the block that filled it. */
export const POOLED_BYTES = CHUNK_BYTES + CHUNK_BYTES / 4

/**
 * Buffers for chunks that fill up: allocating and clearing 2 MB for each costs more than filling it. The first ones lie in
 * the byte kernel's memory and are used for ever.
 */
export class BufferPool {
  readonly #byteLength: number
  readonly #free: Buffer[] = []
  #lasting = 0

  /** @param byteLength Of each buffer. */
  constructor(byteLength = POOLED_BYTES) {
    this.#byteLength = byteLength
  }

  take(): Buffer {
    const free = this.#free.pop()
    if (free !== undefined) return free
    if (this.#lasting === POOLED_BUFFERS_MAX) return Buffer.allocUnsafeSlow(this.#byteLength)
    this.#lasting++
    return allocateLasting(this.#byteLength)
  }

  /** Takes a buffer back that `take` gave; nobody may use it any more. */
  give(buffer: Buffer): void {
    if (this.#free.length < POOLED_BUFFERS_MAX) this.#free.push(buffer)
  }
}

/** Names chunks: time of creation to the nanosecond, made unique by counting up. */
export class ChunkNames {
  readonly #now: () => number
  #last = 0n

  constructor(now: () => number) {
    this.#now = now
  }

  /** Makes the names that follow differ from one of an earlier run, whatever the clock says. */
  startAfter(name: string): void {
    const parts = /-(\d+)\.(\d{9})\.\w+$/.exec(name)
    if (parts === null) return
    const stamp = BigInt(parts[1]) * 1_000_000_000n + BigInt(parts[2])
    if (stamp > this.#last) this.#last = stamp
  }

  next(): string {
    const now = BigInt(Math.round(this.#now() * 1000)) * 1000n
    this.#last = now > this.#last ? now : this.#last + 1n
    const nanoseconds = String(this.#last % 1_000_000_000n).padStart(9, '0')
    return `${process.pid}-${this.#last / 1_000_000_000n}.${nanoseconds}.flb`
  }
}
