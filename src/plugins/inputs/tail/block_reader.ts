/**
 * Reads files in blocks and turns their lines into events. One block serves all files of an input: what a block leaves
 * of a line is kept with its file until the next.
 *
 * @hot bench/pipelines.ts
 */
import { allocateLasting, releaseLasting } from '../../../codec/byte_kernel.ts'
import type { InputContext } from '../../../plugin/context.ts'
import { READ_BLOCK_BYTES } from '../../../base/limits.ts'
import type { Parser } from '../../../parser/parser.ts'
import type { FileEncoding } from './file_encoding.ts'
import type { FollowedFile } from './followed_file.ts'
import { LinePacker, type LongLine, type PackSettings } from './line_packer.ts'
import type { TailValues } from './options.ts'

const LINE_FEED = 0x0a

/** Latest nanosecond that a block starts with, so that a nanosecond a line stays within the second. */
const NANOSECONDS_MAX = 999_000_000

/** Told when the position of a file that is settled has changed. */
export type SettledListener = (file: FollowedFile) => void

export class BlockReader {
  readonly #context: InputContext
  readonly #values: TailValues
  readonly #settled: SettledListener | undefined
  #block: Buffer
  readonly #pack: PackSettings
  readonly #skippedLines: { add(count: number): void }
  readonly #truncatedLines: { add(count: number): void }
  /** The file whose block is being packed, for messages. */
  #current: FollowedFile | undefined

  /** @param settled Wanted only where positions are kept: without it, events go without receipts. */
  constructor(
    context: InputContext,
    values: TailValues,
    parser: Parser | undefined,
    settled: SettledListener | undefined
  ) {
    this.#context = context
    this.#values = values
    this.#settled = settled
    // The buffer of Fluent Bit holds a line with its line feed and a closing zero.
    const lineBytesMax = values.buffer_max_size - 2
    this.#block = Buffer.alloc(0)
    this.#pack = {
      key: values.key,
      pathKey: values.path_key,
      offsetKey: values.offset_key,
      skipEmptyLines: values.skip_empty_lines,
      lineBytesMax,
      parser,
      longLine: line => this.#longLine(line)
    }
    this.#skippedLines = context.counter(
      'fluentbit_input_long_line_skipped_total',
      'Total number of skipped occurences for long lines'
    )
    this.#truncatedLines = context.counter(
      'fluentbit_input_long_line_truncated_total',
      'Total number of truncated occurences for long lines'
    )
  }

  /** To be called before anything is read. */
  open(): void {
    this.#block = allocateLasting(READ_BLOCK_BYTES + this.#values.buffer_max_size)
  }

  /** Nothing is read any more. */
  close(): void {
    releaseLasting(this.#block)
    this.#block = Buffer.alloc(0)
  }

  /** A packer for the lines of a file. */
  packer(path: string): LinePacker {
    return new LinePacker(this.#pack, path)
  }

  /**
   * Reads one block and hands on its lines.
   *
   * @returns Bytes read; 0 at the end of the file.
   * @throws The error of `read`.
   */
  read(file: FollowedFile): number {
    const restBytes = this.#restore(file)
    const read = file.read(this.#block, restBytes, READ_BLOCK_BYTES)
    if (read > 0) this.#take(file, this.#block, restBytes + read, file.offset)
    return read
  }

  /** Reads and expands one block of a compressed file; 0 at its end. */
  async readCompressed(file: FollowedFile): Promise<number> {
    const compressed = Buffer.allocUnsafe(READ_BLOCK_BYTES)
    const read = file.read(compressed, 0, READ_BLOCK_BYTES)
    if (read === 0 || file.gzip === undefined) return 0
    const content = await file.gzip.expand(compressed.subarray(0, read))
    const whole = file.rest === undefined ? content : Buffer.concat([file.rest, content])
    // A position inside compressed bytes cannot be gone on from: only the end of all of them counts.
    const end = file.offset >= file.stats().size ? file.offset : 0
    this.#take(file, whole, whole.length, end)
    return read
  }

  /** Puts what the last block left of a line at the start of this one. */
  #restore(file: FollowedFile): number {
    const { rest } = file
    if (rest === undefined) return 0
    rest.copy(this.#block, 0)
    return rest.length
  }

  /**
   * Packs the lines of `bytes[0, end)` and keeps the rest.
   *
   * @param position Position in the file after these bytes, or what is to be stored instead.
   */
  #take(file: FollowedFile, bytes: Buffer, end: number, position: number): void {
    this.#current = file
    const { writer } = file.sink
    const nowMs = this.#context.clock.now()
    const seconds = Math.floor(nowMs / 1000)
    const nanoseconds = Math.min(Math.floor((nowMs - seconds * 1000) * 1e6), NANOSECONDS_MAX)
    const start = this.#firstLine(file, bytes, end)
    let count = 0
    let consumed = end
    if (start < end) {
      const offset = file.lineStart + start
      if (file.encoding === undefined) {
        count = file.packer.pack(bytes, start, end, offset, seconds, nanoseconds, writer)
        consumed = file.packer.consumed
      } else {
        const { encoding } = file
        const lines = this.#packEncoded(file, encoding, bytes, start, end, seconds, nanoseconds)
        count = lines.count
        consumed = lines.consumed
      }
      if (end - consumed > this.#pack.lineBytesMax) {
        const kept = this.#longLine({ bytes, start: consumed, end })
        if (kept > 0) {
          const at = file.lineStart + consumed
          file.packer.packRaw(
            bytes,
            consumed,
            consumed + kept,
            at,
            seconds,
            nanoseconds + count,
            writer
          )
          count++
        }
        file.skippedFrom = file.lineStart + consumed
        consumed = end
      }
    }
    file.lineStart += consumed
    file.rest = consumed < end ? copyOf(bytes, consumed, end) : undefined
    // A line that is not complete is read again from its start after a restart.
    const settles = file.skippedFrom ?? position - (end - consumed)
    this.#handOn(file, count, file.gzip === undefined ? settles : position)
  }

  #handOn(file: FollowedFile, count: number, end: number): void {
    const receipt = this.#settled === undefined ? undefined : file.expect(end, this.#settled)
    if (count > 0) file.sink.commit(count, receipt)
    else receipt?.()
  }

  /** Where the first line starts: after zeros that a truncated file begins with, and after a line that is passed over. */
  #firstLine(file: FollowedFile, bytes: Buffer, end: number): number {
    let at = 0
    if (file.skippedFrom !== undefined) {
      const feed = bytes.indexOf(LINE_FEED)
      if (feed < 0 || feed >= end) return end
      file.skippedFrom = undefined
      at = feed + 1
    }
    if (file.encoding === undefined) while (at < end && bytes[at] === 0) at++
    return at
  }

  /** Converts and packs line by line. */
  #packEncoded(
    file: FollowedFile,
    encoding: FileEncoding,
    bytes: Buffer,
    start: number,
    end: number,
    seconds: number,
    nanoseconds: number
  ): { count: number; consumed: number } {
    let count = 0
    let at = start
    while (true) {
      const feed = encoding.findLineFeed(bytes, at, end)
      if (feed < 0) break
      const text = encoding.decode(bytes, at, feed)
      const line = Buffer.from(
        `${file.lineStart + at === 0 ? text.replace(/^\ufeff/, '') : text}\n`
      )
      const { writer } = file.sink
      const offset = file.lineStart + at
      count += file.packer.pack(line, 0, line.length, offset, seconds, nanoseconds + count, writer)
      at = feed + encoding.unitBytes
    }
    return { count, consumed: at }
  }

  /** Reports a line that is too long; gives the bytes of it that are kept. */
  #longLine(line: LongLine): number {
    const file = this.#current
    if (this.#values.truncate_long_lines) {
      this.#truncatedLines.add(1)
      const wanted = Math.min(this.#values.buffer_max_size - 1, line.end - line.start)
      return wholeCharacters(line.bytes, line.start, line.start + wanted) - line.start
    }
    this.#skippedLines.add(1)
    this.#context.dropped('line_too_long', 1, line.end - line.start)
    if (file !== undefined && !file.reportedLongLine) {
      file.reportedLongLine = true
      if (this.#values.skip_long_lines) {
        this.#context.log.warn(`file=${file.name} have long lines. Skipping long lines.`)
      } else {
        this.#context.log.error(
          `file=${file.name} requires a larger buffer size, lines are too long. Skipping line.`
        )
      }
    }
    return 0
  }
}

function copyOf(bytes: Buffer, start: number, end: number): Buffer {
  const copy = Buffer.allocUnsafe(end - start)
  bytes.copy(copy, 0, start, end)
  return copy
}

/** The end of the last whole UTF-8 character in `bytes[start, end)`. */
function wholeCharacters(bytes: Buffer, start: number, end: number): number {
  let at = end
  // Back over continuation bytes to the lead byte of the character that the cut may have hit.
  while (at > start && at > end - 4 && (bytes[at - 1] & 0xc0) === 0x80) at--
  if (at === start) return end
  const lead = bytes[at - 1]
  const size = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc0 ? 2 : 1
  return at - 1 + size <= end ? end : at - 1
}
