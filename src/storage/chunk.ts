/**
 * A chunk: events of one tag, as bytes. It is open while its input appends, then sealed, then settled when every
 * output has taken or given up its events.
 */
import { POOLED_BUFFERS_MAX, CHUNK_BYTES } from '../base/limits.ts'
import { allocateLasting } from '../codec/byte_kernel.ts'
import { MsgpackWriter } from '../codec/msgpack_writer.ts'

export class Chunk {
  /** `<pid>-<seconds>.<nanoseconds>.flb`, the name that log lines and files use. */
  readonly id: string
  readonly tag: string
  /** Name of the input that made it. */
  readonly input: string
  /** Events are appended here while the chunk is open. */
  readonly writer: MsgpackWriter
  events = 0
  /** Called when the chunk is settled; see `EventSink.commit`. */
  readonly receipts: (() => void)[] = []
  /** The buffer of the pool that the chunk has, to be given back when it is settled. */
  pooled: Buffer | undefined

  constructor(id: string, tag: string, input: string, buffer: number | Buffer) {
    this.id = id
    this.tag = tag
    this.input = input
    this.writer = new MsgpackWriter(buffer)
    this.pooled = typeof buffer === 'number' ? undefined : buffer
  }

  /** Goes on in a larger buffer of the pool. */
  moveTo(buffer: Buffer): void {
    this.writer.moveTo(buffer)
    this.pooled = buffer
  }

  /** The events, shared with the chunk. */
  get bytes(): Buffer {
    return this.writer.written()
  }

  /** Bytes of all events. */
  get size(): number {
    return this.writer.length
  }
}

/** Room for a full chunk and the block that filled it. */
const POOLED_BYTES = CHUNK_BYTES + CHUNK_BYTES / 4

/**
 * Buffers for chunks that fill up: allocating and clearing 2 MB for each costs more than filling it. The first ones lie in
 * the byte kernel's memory and are used for ever.
 */
export class BufferPool {
  readonly #free: Buffer[] = []
  #lasting = 0

  take(): Buffer {
    const free = this.#free.pop()
    if (free !== undefined) return free
    if (this.#lasting === POOLED_BUFFERS_MAX) return Buffer.allocUnsafeSlow(POOLED_BYTES)
    this.#lasting++
    return allocateLasting(POOLED_BYTES)
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

  next(): string {
    const now = BigInt(Math.round(this.#now() * 1000)) * 1000n
    this.#last = now > this.#last ? now : this.#last + 1n
    const nanoseconds = String(this.#last % 1_000_000_000n).padStart(9, '0')
    return `${process.pid}-${this.#last / 1_000_000_000n}.${nanoseconds}.flb`
  }
}
