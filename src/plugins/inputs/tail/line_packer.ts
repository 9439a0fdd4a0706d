/**
 * Cuts a block of a file into lines and writes each as an event: the parser's map, or the line under its key, with
 * `path_key` and `offset_key` where they are wanted.
 * Source: Fluent Bit 5.1.1 plugins/in_tail/tail_file.c process_content(), flb_tail_file_pack_line(), flb_tail_pack_line_map().
 *
 * @hot bench/pipelines.ts
 */
import { MsgpackWriter } from '../../../codec/msgpack_writer.ts'
import { type Parser, TextBlock } from '../../../parser/parser.ts'
import { EVENT_HEADER_BYTES, setEventTime, writeEventHeader } from '../../../record/event.ts'

const CARRIAGE_RETURN = 0x0d

/** The same for all files of an input. */
export interface PackSettings {
  readonly key: string
  readonly pathKey: string | undefined
  readonly offsetKey: string | undefined
  readonly skipEmptyLines: boolean
  /** Bytes of the longest line that is kept whole, its line feed not counted. */
  readonly lineBytesMax: number
  readonly parser: Parser | undefined
  /** Told of a line that is too long; see `LongLine`. */
  readonly longLine: (line: LongLine) => number
}

/** A line that does not fit the buffer. */
export interface LongLine {
  readonly bytes: Buffer
  readonly start: number
  /** Where it ends, or where the block ends. */
  readonly end: number
}

/** Writes events of one file. One packer serves all files with the same path key value. */
export class LinePacker {
  readonly #settings: PackSettings
  readonly #block = new TextBlock()
  /** Event head, map header and the keys and values before the line, for a line that no parser took. */
  readonly #prefix: Buffer
  /** Where the position is written in the prefix's place; see `#packRaw`. */
  readonly #lineKey: Buffer
  /** `path_key` and its value, then the name of `offset_key`, appended to what the parser gave. */
  readonly #suffix: Buffer
  readonly #suffixPairs: number

  constructor(settings: PackSettings, path: string) {
    const { key, pathKey, offsetKey } = settings
    this.#settings = settings
    const pairs = new MsgpackWriter(256)
    let count = 0
    if (pathKey !== undefined) {
      pairs.string(pathKey)
      pairs.string(path)
      count++
    }
    if (offsetKey !== undefined) {
      pairs.string(offsetKey)
      count++
    }
    this.#suffix = Buffer.from(pairs.written())
    this.#suffixPairs = count
    const prefix = new MsgpackWriter(256)
    writeEventHeader(prefix, 0, 0)
    prefix.mapHeader(count + 1)
    prefix.raw(this.#suffix, 0, this.#suffix.length)
    const lineKey = new MsgpackWriter(64)
    lineKey.string(key)
    this.#lineKey = Buffer.from(lineKey.written())
    if (offsetKey === undefined) prefix.raw(this.#lineKey, 0, this.#lineKey.length)
    this.#prefix = Buffer.from(prefix.written())
  }

  /** Position after the last complete line of the block that was packed. */
  consumed = 0

  /**
   * Packs the complete lines of `bytes[start, end)`.
   *
   * @param offset Position of `start` in the file, for `offset_key`.
   * @param seconds Time for lines whose parser finds none; each line is a nanosecond later than the one before, so
   *   that equal lines stay apart in stores that drop repeats.
   * @returns Events written; `consumed` is where the first incomplete line starts.
   */
  pack(
    bytes: Buffer,
    start: number,
    end: number,
    offset: number,
    seconds: number,
    nanoseconds: number,
    out: MsgpackWriter
  ): number {
    const { skipEmptyLines, lineBytesMax, parser } = this.#settings
    const block = this.#block
    block.setLines(bytes, start, end)
    const text = block.latin1()
    const shift = offset - start
    let count = 0
    let at = start
    for (;;) {
      const feed = text.indexOf('\n', at - start)
      if (feed < 0) break
      const lineEnd = feed + start
      const length = lineEnd - at
      const endsInReturn = length > 0 && bytes[lineEnd - 1] === CARRIAGE_RETURN
      if (skipEmptyLines && (length === 0 || (length === 1 && endsInReturn))) {
        at = lineEnd + 1
        continue
      }
      if (length > lineBytesMax) {
        const kept = this.#settings.longLine({ bytes, start: at, end: lineEnd })
        if (kept > 0) {
          this.#packRaw(bytes, at, at + kept, at + shift, seconds, nanoseconds + count, out)
          count++
        }
        at = lineEnd + 1
        continue
      }
      const textEnd = endsInReturn && length > 1 ? lineEnd - 1 : lineEnd
      if (parser === undefined) {
        this.#packRaw(bytes, at, textEnd, at + shift, seconds, nanoseconds + count, out)
      } else if (!this.#packParsed(parser, at, textEnd, at + shift, seconds, nanoseconds + count, out)) {
        // What no parser takes keeps its carriage return, as in Fluent Bit.
        this.#packRaw(bytes, at, lineEnd, at + shift, seconds, nanoseconds + count, out)
      }
      count++
      at = lineEnd + 1
    }
    this.consumed = at
    return count
  }

  /** Packs the start of a line that is cut off. */
  packCut(
    bytes: Buffer,
    start: number,
    end: number,
    offset: number,
    seconds: number,
    nanoseconds: number,
    out: MsgpackWriter
  ): void {
    this.#packRaw(bytes, start, end, offset, seconds, nanoseconds, out)
  }

  #packRaw(
    bytes: Buffer,
    start: number,
    end: number,
    offset: number,
    seconds: number,
    nanoseconds: number,
    out: MsgpackWriter
  ): void {
    const prefix = this.#prefix
    const { length } = prefix
    out.reserve(length + 5 + end - start)
    const target = out.bytes
    const at = out.length
    for (let index = 0; index < length; index++) target[at + index] = prefix[index]
    setEventTime(target, at, seconds, nanoseconds)
    out.length = at + length
    if (this.#settings.offsetKey !== undefined) {
      out.integer(offset)
      out.raw(this.#lineKey, 0, this.#lineKey.length)
    }
    out.stringBytes(bytes, start, end)
  }

  #packParsed(
    parser: Parser,
    start: number,
    end: number,
    offset: number,
    seconds: number,
    nanoseconds: number,
    out: MsgpackWriter
  ): boolean {
    const at = out.length
    writeEventHeader(out, seconds, nanoseconds)
    if (!parser.parse(this.#block, start, end, out)) {
      out.length = at
      return false
    }
    if (parser.seconds !== 0 || parser.nanoseconds !== 0) {
      setEventTime(out.bytes, at, parser.seconds, parser.nanoseconds)
    }
    if (this.#suffixPairs > 0) {
      out.raw(this.#suffix, 0, this.#suffix.length)
      if (this.#settings.offsetKey !== undefined) out.integer(offset)
      out.extendMap(at + EVENT_HEADER_BYTES, this.#suffixPairs)
    }
    return true
  }
}
