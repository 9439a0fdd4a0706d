/**
 * Walks over contexts of cmetrics.
 * Source: Fluent Bit 5.1.1 lib/cmetrics/src/cmt_mpack_utils.c.
 */
import {
  bytesToString,
  contentCount,
  headerSize,
  readInteger,
  readString,
  skip,
  typeOf,
  ValueScanner,
  type ValueType
} from '../codec/msgpack_reader.ts'

const DOUBLE = new Float64Array(1)
const DOUBLE_BITS = new BigUint64Array(DOUBLE.buffer)

const SCANNER = new ValueScanner()

/** Keys that were seen last, by a few of their bytes; a power of two. */
const KEYS: string[] = Array.from({ length: 128 }, () => '')
const KEY_BYTES_MAX = 32

/** Bytes that should be contexts are not. */
export class CmetricsError extends Error {
  override readonly name = 'CmetricsError'
  /** Where the context starts that is at fault; those before it are fine. */
  readonly at: number

  constructor(message: string, at: number) {
    super(message)
    this.at = at
  }
}

/**
 * Goes through one context after the other, each of which it has checked to be complete. All counts are then at most the number of
 * bytes, so memory is bounded by them; what is read has a fixed depth, but for metadata, which `decode` bounds.
 */
export class CmetricsReader {
  readonly bytes: Buffer
  at = 0
  #context = 0

  constructor(bytes: Buffer) {
    this.bytes = bytes
  }

  begin(): void {
    this.#context = this.at
    SCANNER.start(this.at)
    if (!SCANNER.scan(this.bytes, this.bytes.length)) this.refuse('it is not MessagePack')
    if (SCANNER.pending > 0 || SCANNER.at > this.bytes.length) this.refuse('it is cut off')
  }

  refuse(reason: string): never {
    throw new CmetricsError(
      `Cannot read metrics at byte ${this.#context}: ${reason}`,
      this.#context
    )
  }

  /** Enters a map and gives the number of its pairs. */
  map(what: string): number {
    return this.#enter('map', what)
  }

  /** Enters an array and gives the number of its items. */
  array(what: string): number {
    return this.#enter('array', what)
  }

  /** The text of a key: mostly one that came before, which costs no new string. */
  key(): string {
    this.#expect('string', 'a key')
    const { bytes } = this
    const start = this.at + headerSize(bytes[this.at])
    const length = contentCount(bytes, this.at)
    this.at = start + length
    const slot = (length * 31 + bytes[start] * 7 + bytes[this.at - 1]) & (KEYS.length - 1)
    if (!isTextAt(bytes, start, length, KEYS[slot])) {
      const key = bytesToString(bytes, start, this.at)
      // A long key is no key of cmetrics, and not to be kept.
      if (length > KEY_BYTES_MAX) return key
      KEYS[slot] = key
    }
    return KEYS[slot]
  }

  string(what: string): string {
    this.#expect('string', what)
    const { at } = this
    this.at = at + headerSize(this.bytes[at]) + contentCount(this.bytes, at)
    return readString(this.bytes, at)
  }

  /** A string, or undefined for nil. */
  optionalString(what: string): string | undefined {
    if (this.bytes[this.at] !== 0xc0) return this.string(what)
    this.at++
    return undefined
  }

  double(what: string): number {
    if (this.bytes[this.at] !== 0xcb) this.refuse(`${what} is not a double`)
    const value = this.bytes.readDoubleBE(this.at + 1)
    this.at += 9
    return value
  }

  integer(what: string): number | bigint {
    const value = readInteger(this.bytes, this.at)
    if (value === undefined) this.refuse(`${what} is not an integer`)
    this.at = skip(this.bytes, this.at)
    return value
  }

  unsigned(what: string): bigint {
    if (this.bytes[this.at] === 0xcf) {
      this.at += 9
      return this.bytes.readBigUInt64BE(this.at - 8)
    }
    const value = BigInt(this.integer(what))
    if (value < 0n) this.refuse(`${what} is negative`)
    return value
  }

  count(what: string): number {
    const value = Number(this.integer(what))
    if (value < 0) this.refuse(`${what} is negative`)
    return value
  }

  /** In the range of 32 bits. */
  small(what: string): number {
    const value = Number(this.integer(what))
    if ((value | 0) !== value) this.refuse(`${what} is out of range`)
    return value
  }

  /** A double whose bits are written as an integer. */
  bits(what: string): number {
    DOUBLE_BITS[0] = this.unsigned(what)
    return DOUBLE[0]
  }

  skip(): void {
    this.at = skip(this.bytes, this.at)
  }

  #enter(type: 'map' | 'array', what: string): number {
    this.#expect(type, what)
    const count = contentCount(this.bytes, this.at)
    this.at += headerSize(this.bytes[this.at])
    return count
  }

  #expect(type: ValueType, what: string): void {
    const found = typeOf(this.bytes[this.at])
    if (found !== type) this.refuse(`${what} is of type ${found}: wanted ${type}`)
  }
}

/** Reads an array of values that `readItem` takes. */
export function readList<T>(
  reader: CmetricsReader,
  what: string,
  readItem: (reader: CmetricsReader) => T
): T[] {
  const items: T[] = []
  for (let left = reader.array(what); left > 0; left--) items.push(readItem(reader))
  return items
}

/** Whether the bytes are this text, which is ASCII or is never found. */
function isTextAt(bytes: Buffer, start: number, length: number, text: string): boolean {
  if (text.length !== length) return false
  for (let index = 0; index < length; index++) {
    if (text.charCodeAt(index) !== bytes[start + index]) return false
  }
  return true
}
