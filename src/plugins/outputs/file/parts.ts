/**
 * What a flush writes, cut into parts, so that the next one can be made while the last is being written.
 *
 * @hot bench/pipelines.ts
 */
import type { JsonWriter } from '../../../codec/json_writer.ts'
import { skip } from '../../../codec/msgpack_reader.ts'
import type { ChunkView } from '../../../plugin/context.ts'
import { eventBodyAt, isGroupMark } from '../../../record/event.ts'
import type { LineFormat } from './formats.ts'

/**
 * Bytes of text that are written at once. While a thread of the pool writes one part, the next is made: 8 % less time
 * than `writeSync` for 240 MB of plain JSON; 256 KB and 1 MB are slower.
 */
export const PART_BYTES = 524_288

/** Text to be written, in parts. */
export interface PartSource {
  /** Fills an empty part up to about `PART_BYTES`; false when nothing is left. */
  fill(part: JsonWriter): boolean
}

/** The lines of all events of a chunk. */
export class AllEvents implements PartSource {
  readonly #bytes: Buffer
  readonly #format: LineFormat
  #at = 0

  constructor(chunk: ChunkView, format: LineFormat) {
    this.#bytes = chunk.bytes
    this.#format = format
  }

  fill(part: JsonWriter): boolean {
    const bytes = this.#bytes
    const format = this.#format
    let at = this.#at
    while (at < bytes.length && part.length < PART_BYTES) {
      at = isGroupMark(bytes, at)
        ? skip(bytes, eventBodyAt(bytes, at))
        : format.line(part, bytes, at)
    }
    this.#at = at
    return at < bytes.length
  }
}

/** The lines of the events at some positions. */
export class SomeEvents implements PartSource {
  readonly #bytes: Buffer
  readonly #positions: readonly number[]
  readonly #format: LineFormat
  #index = 0

  constructor(chunk: ChunkView, positions: readonly number[], format: LineFormat) {
    this.#bytes = chunk.bytes
    this.#positions = positions
    this.#format = format
  }

  fill(part: JsonWriter): boolean {
    const positions = this.#positions
    while (this.#index < positions.length && part.length < PART_BYTES) {
      this.#format.line(part, this.#bytes, positions[this.#index++])
    }
    return this.#index < positions.length
  }
}

/** Bytes as they are. */
export class RawBytes implements PartSource {
  readonly #bytes: Buffer
  #at = 0

  constructor(bytes: Buffer) {
    this.#bytes = bytes
  }

  fill(part: JsonWriter): boolean {
    const end = Math.min(this.#bytes.length, this.#at + PART_BYTES)
    part.raw(this.#bytes, this.#at, end)
    this.#at = end
    return end < this.#bytes.length
  }
}
