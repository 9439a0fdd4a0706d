/**
 * The contract of parsers: one text in, one MessagePack map and perhaps a time out.
 * Source: Fluent Bit 5.1.1 src/flb_parser.c flb_parser_do().
 *
 * @hot bench/pipelines.ts
 */
import type { MsgpackWriter } from '../codec/msgpack_writer.ts'

/**
 * Parses texts of one format. Parsers keep the result's time, so use it before the next `parse`.
 */
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
   * @param start Position in `block.bytes`.
   * @param end Position after the text, not counting a line end.
   * @param out Takes one map on success; its length is unchanged on failure.
   * @returns False when the text does not fit the format.
   */
  parse(block: TextBlock, start: number, end: number, out: MsgpackWriter): boolean
}

/**
 * The bytes that a parser looks at. Reuse one block for a whole input: nothing is kept but the last
 * content.
 */
export class TextBlock {
  bytes: Buffer = Buffer.alloc(0)
  /** Position of the first byte of the block in `bytes`. */
  start = 0
  /** Position after its last byte. */
  end = 0

  /** Takes `bytes[start, end)`: one value, or lines with their ends. */
  set(bytes: Buffer, start: number, end: number): void {
    this.bytes = bytes
    this.start = start
    this.end = end
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
  VALUE_BLOCK.set(bytes, start, end)
  return parser.parse(VALUE_BLOCK, start, end, out)
}
