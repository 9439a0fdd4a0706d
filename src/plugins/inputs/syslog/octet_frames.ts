/**
 * Messages with their length before them.
 *
 *     *( length SP message [ LF ] )        length: decimal, bytes of the message
 *
 * Source: RFC 6587 section 3.4.1; Fluent Bit 5.1.1 plugins/in_syslog/syslog_prot.c syslog_prot_process().
 *
 * @hot bench/pipelines.ts
 */
import type { MsgpackWriter } from '../../../codec/msgpack_writer.ts'
import { LOST, type RecordFormat, TOO_LONG } from '../../common/payload/record_stream.ts'
import type { TextWriter } from '../../common/payload/text_records.ts'

const LINE_FEED = 0x0a
const SPACE = 0x20
const ZERO = 0x30

/** Digits of a length, more than any that is allowed. */
const DIGITS_MAX = 10

export class OctetFrames implements RecordFormat {
  count = 0
  position = 0
  readonly #bytesMax: number
  readonly #writer: TextWriter
  /** Bytes of the frame that is not whole, with its length; 0 while that is not known. */
  #wanted = 0

  /** @param bytesMax Longest frame. */
  constructor(bytesMax: number, writer: TextWriter) {
    this.#bytesMax = bytesMax
    this.#writer = writer
  }

  read(bytes: Buffer, timeMs: number, out: MsgpackWriter): number {
    this.count = 0
    this.#wanted = 0
    this.#writer.begin(bytes, timeMs)
    const result = this.#readFrames(bytes, out)
    this.#writer.end()
    return result
  }

  completes(_piece: Buffer, total: number): boolean {
    return total >= this.#wanted
  }

  #readFrames(bytes: Buffer, out: MsgpackWriter): number {
    let at = 0
    for (;;) {
      while (bytes[at] === LINE_FEED) at++
      this.position = at
      let start = at
      let length = 0
      while (start < bytes.length && isDigit(bytes[start]) && start - at < DIGITS_MAX) {
        length = length * 10 + bytes[start++] - ZERO
      }
      if (start === bytes.length) return at
      if (bytes[start] !== SPACE || start === at) return LOST
      start++
      const end = start + length
      if (end - at > this.#bytesMax) return TOO_LONG
      if (end > bytes.length) {
        this.#wanted = end - at
        return at
      }
      if (length > 0 && this.#writer.write(bytes, start, end, out)) this.count++
      at = end
    }
  }
}

function isDigit(byte: number): boolean {
  return byte >= ZERO && byte <= 0x39
}
