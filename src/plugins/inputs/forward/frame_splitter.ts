/**
 * Cuts what a connection brings into frames, each a MessagePack array.
 *
 * A frame that comes in one piece stays where it is. Only what a frame lacks at the end of a piece is copied, once, into a
 * buffer that grows with what has come, not with what a frame says of its length.
 *
 * @hot bench/pipelines.ts
 */
import { isArray, ValueScanner } from '../../../codec/msgpack_reader.ts'

/** Buffers that are kept for the next frame that needs one. */
const SPARE_BUFFERS_MAX = 4
const BUFFER_BYTES_FIRST = 65_536

const EMPTY = Buffer.alloc(0)

/** Buffers that connections hand on: one between two frames has none. */
export class SpareBuffers {
  readonly #spare: Buffer[] = []
  readonly #bytesMax: number

  /** @param bytesMax Larger ones are not kept. */
  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax
  }

  /** A buffer of at least this many bytes. */
  take(bytes: number): Buffer {
    const index = this.#spare.findIndex(({ length }) => length >= bytes)
    if (index >= 0) return this.#spare.splice(index, 1)[0] ?? EMPTY
    return Buffer.allocUnsafeSlow(Math.max(bytes, BUFFER_BYTES_FIRST))
  }

  give(buffer: Buffer): void {
    if (buffer.length <= this.#bytesMax && this.#spare.length < SPARE_BUFFERS_MAX) {
      this.#spare.push(buffer)
    }
  }
}

export class FrameSplitter {
  /** Where the frame lies that `next` has found; until bytes are added. */
  bytes: Buffer = EMPTY
  start = 0
  end = 0
  /** Why nothing more can come of this connection; undefined while all is well. */
  fault: 'not_a_frame' | 'too_large' | undefined
  readonly #bytesMax: number
  readonly #spares: SpareBuffers
  readonly #scanner = new ValueScanner()
  /** End of what has come. */
  #limit = 0
  /** True while `bytes` is from the spares. */
  #isOwn = false
  /** True when the frame after `end` has been looked at. */
  #isScanning = false

  /** @param bytesMax Longest frame. */
  constructor(bytesMax: number, spares: SpareBuffers) {
    this.#bytesMax = bytesMax
    this.#spares = spares
  }

  /** Bytes that have come and belong to no frame yet. */
  get unread(): number {
    return this.#limit - this.end
  }

  /** Adds what has come; it is the splitter's from then on. */
  push(received: Buffer): void {
    if (this.unread > 0) {
      this.#append(received)
      return
    }
    this.release()
    this.bytes = received
    this.#limit = received.length
  }

  /** Looks for the next frame; false when it has not come whole. */
  next(): boolean {
    const { bytes, end: from } = this
    const scanner = this.#scanner
    const limit = this.#limit
    if (from === limit || this.fault !== undefined) return false
    if (!this.#isScanning) {
      this.#isScanning = true
      scanner.start(from)
    }
    if (!isArray(bytes[from]) || !scanner.scan(bytes, limit)) {
      this.fault = 'not_a_frame'
      return false
    }
    const isWhole = scanner.pending === 0 && scanner.at <= limit
    // Every value that is to come has at least one byte.
    if (scanner.at - from + scanner.pending > this.#bytesMax) {
      this.fault = 'too_large'
      return false
    }
    if (!isWhole) return false
    this.#isScanning = false
    this.start = from
    this.end = scanner.at
    return true
  }

  /** Gives back the buffer, with what is in it. */
  release(): void {
    if (this.#isOwn) this.#spares.give(this.bytes)
    this.#isOwn = false
    this.bytes = EMPTY
    this.start = 0
    this.end = 0
    this.#limit = 0
  }

  #append(received: Buffer): void {
    const { unread, bytes } = this
    const needed = unread + received.length
    if (!this.#isOwn || this.#limit + received.length > bytes.length) {
      const isRoomy = this.#isOwn && needed <= bytes.length
      // A buffer that has to grow grows to twice what is there, so that each byte moves few times.
      const target = isRoomy ? bytes : this.#spares.take(this.#isOwn ? needed * 2 : needed)
      bytes.copy(target, 0, this.end, this.#limit)
      if (this.#isOwn && !isRoomy) this.#spares.give(bytes)
      this.#scanner.at -= this.end
      this.bytes = target
      this.#isOwn = true
      this.start = 0
      this.end = 0
      this.#limit = unread
    }
    received.copy(this.bytes, this.#limit)
    this.#limit += received.length
  }
}
