/**
 * The contract of parsers: one text in, one MessagePack map and perhaps a time out.
 * Source: Fluent Bit 5.1.1 src/flb_parser.c flb_parser_do().
 *
 * @hot bench/pipelines.ts
 */
import { isAscii } from 'node:buffer'
import type { MsgpackWriter } from '../codec/msgpack_writer.ts'

const LINE_FEED = 0x0a
const CARRIAGE_RETURN = 0x0d

/** Parses texts of one format. Parsers keep the result's time, so use it before the next `parse`. */
export interface Parser {
  /** As configured; unique among the parsers of a configuration. */
  readonly name: string
  /** The time found in the last text, in seconds since the epoch; 0 when there is none. */
  seconds: number
  /** Nanoseconds of that second, 0 to 999,999,999. */
  nanoseconds: number
  /**
   * Parses one line or value of a block.
   *
   * @param start Position in `block.bytes`; for a block of lines the start of a line.
   * @param end Position after the text, which holds no line end.
   * @param out Takes one map on success; its length is unchanged on failure.
   * @returns False when the text does not fit the format.
   */
  parse(block: TextBlock, start: number, end: number, out: MsgpackWriter): boolean
}

/**
 * The bytes that a parser looks at, with what can be said about all of them at once. Reuse one block for a whole
 * input: nothing is kept but the last content.
 */
export class TextBlock {
  bytes: Buffer = Buffer.alloc(0)
  /** Position of the first byte of the block in `bytes`. */
  start = 0
  /** Position after its last byte. */
  end = 0
  /** True when `parse` gets single lines of the block; false when it gets all of it, which may hold line feeds. */
  holdsLines = false
  #latin1: string | undefined
  #isAscii: boolean | undefined
  #hasCarriageReturns: boolean | undefined
  #hasLineFeeds: boolean | undefined

  /** Takes a block of lines, each ended by a line feed or the end of the block. */
  setLines(bytes: Buffer, start: number, end: number): void {
    this.#set(bytes, start, end)
    this.holdsLines = true
  }

  /** Takes one value, such as a string inside a record. */
  setValue(bytes: Buffer, start: number, end: number): void {
    this.#set(bytes, start, end)
    this.holdsLines = false
  }

  /** The block with each byte as one character; decoded once. */
  latin1(): string {
    this.#latin1 ??= this.bytes.latin1Slice(this.start, this.end)
    return this.#latin1
  }

  isAscii(): boolean {
    this.#isAscii ??= isAscii(this.bytes.subarray(this.start, this.end))
    return this.#isAscii
  }

  hasCarriageReturns(): boolean {
    this.#hasCarriageReturns ??= this.#has(CARRIAGE_RETURN)
    return this.#hasCarriageReturns
  }

  hasLineFeeds(): boolean {
    this.#hasLineFeeds ??= this.#has(LINE_FEED)
    return this.#hasLineFeeds
  }

  #set(bytes: Buffer, start: number, end: number): void {
    this.bytes = bytes
    this.start = start
    this.end = end
    this.#latin1 = undefined
    this.#isAscii = undefined
    this.#hasCarriageReturns = undefined
    this.#hasLineFeeds = undefined
  }

  #has(byte: number): boolean {
    const at = this.bytes.indexOf(byte, this.start)
    return at >= 0 && at < this.end
  }
}

const VALUE_BLOCK = new TextBlock()

/** Parses a value of a record: `bytes[start, end)` as a whole, line feeds and all. */
export function parseValue(
  parser: Parser,
  bytes: Buffer,
  start: number,
  end: number,
  out: MsgpackWriter
): boolean {
  VALUE_BLOCK.setValue(bytes, start, end)
  return parser.parse(VALUE_BLOCK, start, end, out)
}
