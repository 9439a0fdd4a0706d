/**
 * Writes pairs of a known key and a text into a map, the fastest way there is: by words of four
 * bytes. A loop over bytes takes twice as long from 16 bytes on, and `Buffer.copy` costs 30 ns a
 * call.
 *
 * @hot bench/pipelines.ts
 */
import { MsgpackWriter } from '../codec/msgpack_writer.ts'

/** Longer texts are copied by `Buffer.copy`. */
const WORD_COPY_MAX = 64

/** Bytes of a string header, and of the words that may be written beyond the end of a text. */
const ROOM = 5 + 8

/** A key as a MessagePack string, in words and in bytes. */
export class PairKey {
  readonly words: Int32Array
  readonly byteLength: number

  constructor(key: string) {
    const writer = new MsgpackWriter(64)
    writer.string(key)
    const padded = Buffer.alloc(Math.ceil(writer.length / 4) * 4)
    writer.written().copy(padded)
    this.byteLength = writer.length
    this.words = Int32Array.from({ length: padded.length / 4 }, (_, index) =>
      padded.readInt32LE(index * 4)
    )
  }
}

const NO_BYTES = Buffer.alloc(0)

/** Writes to a `MsgpackWriter` whose length is behind until `end`. */
export class TextPairs {
  #source: Buffer = NO_BYTES
  #sourceView = viewOf(NO_BYTES)
  #target: Buffer = NO_BYTES
  #targetView = viewOf(NO_BYTES)
  #out = new MsgpackWriter(16)
  #at = 0

  /** Starts writing texts of `source` behind what is in `out`. */
  begin(source: Buffer, out: MsgpackWriter): void {
    if (source !== this.#source) {
      this.#source = source
      this.#sourceView = viewOf(source)
    }
    this.#out = out
    this.#at = out.length
    this.#followTarget()
  }

  /** Lets `out` be written to directly again. */
  end(): void {
    this.#out.length = this.#at
  }

  /** Writes a key alone: its value is written to `out` between `end` and `begin`. */
  key(key: PairKey): void {
    this.#reserve(key.byteLength + ROOM)
    this.#at = this.#writeKey(key)
  }

  /** Writes a key and the string `source[start, end)`. */
  pair(key: PairKey, start: number, end: number): void {
    const length = end - start
    this.#reserve(key.byteLength + length + ROOM)
    const target = this.#target
    let at = this.#writeKey(key)
    if (length < 32) {
      target[at++] = 0xa0 | length
    } else if (length < 256) {
      target[at++] = 0xd9
      target[at++] = length
    } else {
      this.#out.length = at
      this.#out.stringHeader(length)
      this.#followTarget()
      at = this.#out.length
    }
    if (length > WORD_COPY_MAX || end + 8 > this.#source.length) {
      this.#source.copy(this.#target, at, start, end)
    } else {
      const from = this.#sourceView
      const to = this.#targetView
      let write = at
      for (let read = start; read < end; read += 8) {
        to.setInt32(write, from.getInt32(read, true), true)
        to.setInt32(write + 4, from.getInt32(read + 4, true), true)
        write += 8
      }
    }
    this.#at = at + length
  }

  #writeKey(key: PairKey): number {
    const { words } = key
    const to = this.#targetView
    let at = this.#at
    for (let index = 0; index < words.length; index++) {
      to.setInt32(at, words[index], true)
      at += 4
    }
    return this.#at + key.byteLength
  }

  #reserve(count: number): void {
    if (this.#at + count <= this.#target.length) return
    this.#out.length = this.#at
    this.#out.reserve(count)
    this.#followTarget()
  }

  /** The writer replaces its buffer when it grows. */
  #followTarget(): void {
    const target = this.#out.bytes
    if (target === this.#target) return
    this.#target = target
    this.#targetView = viewOf(target)
  }
}

function viewOf(bytes: Buffer): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
}
