/**
 * Records that end with a separator: lines, mostly.
 *
 *     *( *any separator )          empty records are passed over
 *
 * @hot bench/pipelines.ts
 */
import type { MsgpackWriter } from '../../../codec/msgpack_writer.ts'
import { type RecordFormat, TOO_LONG } from './record_stream.ts'

/** Makes an event of a text. What it cannot use it counts itself. */
export interface TextWriter {
  /** Called before the texts of a buffer. */
  begin(bytes: Buffer, timeMs: number): void
  /** False when there is no event, and nothing was written. */
  write(bytes: Buffer, start: number, end: number, out: MsgpackWriter): boolean
  /** Called after the last one. */
  end(): void
}

const LINE_FEED = 0x0a
const CARRIAGE_RETURN = 0x0d

export interface TextSeparators {
  readonly separator: Buffer
  /** A byte that ends a record, too. */
  readonly orByte?: number
  /** What is read may begin with a CR or LF that belongs to no record. */
  readonly skipsLineEnd?: boolean
  /** The end of what is read ends a record, too. */
  readonly endsWithRead?: boolean
}

export class TextRecords implements RecordFormat {
  count = 0
  position = 0
  readonly #separator: Buffer | number
  readonly #separatorBytes: number
  readonly #lastByte: number
  readonly #orByte: number | undefined
  readonly #skipsLineEnd: boolean
  readonly #endsWithRead: boolean
  readonly #bytesMax: number
  readonly #writer: TextWriter

  /** @param bytesMax Longest record, with its separator. */
  constructor(separators: TextSeparators, bytesMax: number, writer: TextWriter) {
    const { separator, orByte, skipsLineEnd = false, endsWithRead = false } = separators
    const lastByte = separator[separator.length - 1]
    this.#separator = separator.length === 1 ? lastByte : separator
    this.#separatorBytes = separator.length
    this.#lastByte = lastByte
    this.#orByte = orByte
    this.#skipsLineEnd = skipsLineEnd
    this.#endsWithRead = endsWithRead
    this.#bytesMax = bytesMax
    this.#writer = writer
  }

  read(bytes: Buffer, timeMs: number, out: MsgpackWriter): number {
    const writer = this.#writer
    const byte = this.#orByte
    let other = byte === undefined ? -1 : bytes.indexOf(byte)
    let isTooLong = false
    let count = 0
    let at = this.#skipsLineEnd && isLineEnd(bytes[0]) ? 1 : 0
    writer.begin(bytes, timeMs)
    for (;;) {
      let end = bytes.indexOf(this.#separator, at)
      let next = end + this.#separatorBytes
      if (other >= 0) {
        if (other < at) other = bytes.indexOf(byte ?? 0, at)
        if (other >= 0 && (end < 0 || other < end)) {
          end = other
          next = other + 1
        }
      }
      if (end < 0) {
        if (!this.#endsWithRead || at === bytes.length) break
        end = bytes.length
        next = end
      }
      isTooLong = next - at > this.#bytesMax
      if (isTooLong) break
      if (end > at && writer.write(bytes, at, end, out)) count++
      at = next
    }
    writer.end()
    this.count = count
    this.position = at
    return isTooLong ? TOO_LONG : at
  }

  completes(piece: Buffer): boolean {
    return (
      piece.includes(this.#lastByte) || (this.#orByte !== undefined && piece.includes(this.#orByte))
    )
  }
}

function isLineEnd(byte: number | undefined): boolean {
  return byte === LINE_FEED || byte === CARRIAGE_RETURN
}
