/**
 * A chunk: events of one tag, as bytes. It is open while its input appends, then sealed, then settled when every
 * output has taken or given up its events.
 */
import { POOLED_BUFFERS_MAX, CHUNK_BYTES } from '../base/limits.ts'
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

  constructor(id: string, tag: string, input: string, buffer: number | Buffer) {
    this.id = id
    this.tag = tag
    this.input = input
    this.writer = new MsgpackWriter(buffer)
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

/** Keeps the buffers of settled full chunks: allocating and clearing 2 MB per chunk costs more than filling it. */
export class BufferPool {
  readonly #free: Buffer[] = []

  take(): Buffer {
    return this.#free.pop() ?? Buffer.allocUnsafeSlow(CHUNK_BYTES + CHUNK_BYTES / 4)
  }

  /** Takes a buffer back; the giver must not use it any more. Small ones are left to the collector. */
  give(buffer: Buffer): void {
    if (buffer.length >= CHUNK_BYTES && this.#free.length < POOLED_BUFFERS_MAX) {
      this.#free.push(buffer)
    }
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
