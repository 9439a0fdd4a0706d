/**
 * The bytes of JSON strings: which need an escape, how to skip those that do not, and UTF-8.
 * Source: Fluent Bit 5.1.1 src/flb_utils.c json_escape_table, flb_utf8_validate_char(); src/flb_utf8.c.
 *
 * @hot bench/pipelines.ts
 */

/** In `ESCAPE`: copied as it is. */
export const PLAIN = 0
/** In `ESCAPE`: the start of a UTF-8 sequence, or a byte that belongs to none. */
const NOT_ASCII = 1
/** In `ESCAPE`: written as `\u00xx`. Other values are the letter after the backslash. */
export const CONTROL = 2

/** What to do with each byte of a string. */
export const ESCAPE = new Uint8Array(256)
ESCAPE.fill(CONTROL, 0, 0x20)
ESCAPE[0x7f] = CONTROL
ESCAPE.fill(NOT_ASCII, 0x80)
for (const [byte, letter] of ['""', '\\\\', '\nn', '\rr', '\tt', '\bb', '\ff']) {
  ESCAPE[byte.charCodeAt(0)] = letter.charCodeAt(0)
}

const HEX = Buffer.from('0123456789abcdef')

/** The high bit of each byte of a word. */
export const HIGH_BITS = 0x80808080 | 0

/**
 * The position of the first byte from `from` on that a JSON string cannot hold as it is, or a position at most 15
 * bytes before `end`. Each byte of a word is tested by one addition that carries into its high bit: at least 0x20,
 * not 0x22, not 0x5c, below 0x7f. A byte that fails may upset those above it in its word, never those below.
 */
export function plainEnd(view: DataView, from: number, end: number): number {
  const lastBlock = end - 16
  while (from <= lastBlock) {
    const a = view.getInt32(from, true)
    const b = view.getInt32(from + 4, true)
    const c = view.getInt32(from + 8, true)
    const d = view.getInt32(from + 12, true)
    const printable =
      (a + 0x60606060) &
      (b + 0x60606060) &
      (c + 0x60606060) &
      (d + 0x60606060) &
      ~((a + 0x01010101) | (b + 0x01010101) | (c + 0x01010101) | (d + 0x01010101))
    const unquoted =
      ((a ^ 0x22222222) + 0x7f7f7f7f) &
      ((b ^ 0x22222222) + 0x7f7f7f7f) &
      ((c ^ 0x22222222) + 0x7f7f7f7f) &
      ((d ^ 0x22222222) + 0x7f7f7f7f)
    const unescaped =
      ((a ^ 0x5c5c5c5c) + 0x7f7f7f7f) &
      ((b ^ 0x5c5c5c5c) + 0x7f7f7f7f) &
      ((c ^ 0x5c5c5c5c) + 0x7f7f7f7f) &
      ((d ^ 0x5c5c5c5c) + 0x7f7f7f7f)
    if ((printable & unquoted & unescaped & HIGH_BITS) !== HIGH_BITS) break
    from += 16
  }
  return from
}

/** The index, 0 to 3, of the lowest byte whose high bit is set in `mask`, which is not 0. */
export function lowestByte(mask: number): number {
  return (31 - Math.clz32(mask & -mask)) >> 3
}

/** True for two bytes that continue a UTF-8 sequence. */
export function isTrailingPair(first: number, second: number): boolean {
  return ((first & 0xc0) | ((second & 0xc0) >> 2)) === 0xa0
}

/** Bytes of the UTF-8 sequence that each byte from 0x80 on announces; 1 for those that start none. */
export const SEQUENCE_BYTES = new Uint8Array(128).fill(1)
SEQUENCE_BYTES.fill(2, 0x40)
SEQUENCE_BYTES.fill(3, 0x60)
SEQUENCE_BYTES.fill(4, 0x70)
SEQUENCE_BYTES.fill(5, 0x78)
SEQUENCE_BYTES.fill(6, 0x7c)

/** Bytes of the well-formed UTF-8 sequence at `from`, 2 to 4, or 0 when it is not well formed. */
export function validSequenceBytes(source: Buffer, from: number, end: number): number {
  const lead = source[from]
  const second = from + 1 < end ? source[from + 1] : 0
  if (lead < 0xc2 || lead > 0xf4) return 0
  if (lead === 0xe0 && second < 0xa0) return 0
  if (lead === 0xed && second > 0x9f) return 0
  if (lead === 0xf0 && second < 0x90) return 0
  if (lead === 0xf4 && second > 0x8f) return 0
  const length = SEQUENCE_BYTES[lead - 0x80]
  if (from + length > end) return 0
  for (let index = 1; index < length; index++) {
    if ((source[from + index] & 0xc0) !== 0x80) return 0
  }
  return length
}

/** Writes `\uxxxx`; returns the position after it. */
export function writeUnicodeEscape(bytes: Buffer, at: number, codeUnit: number): number {
  bytes[at] = 0x5c
  bytes[at + 1] = 0x75
  bytes[at + 2] = HEX[codeUnit >> 12]
  bytes[at + 3] = HEX[(codeUnit >> 8) & 0x0f]
  bytes[at + 4] = HEX[(codeUnit >> 4) & 0x0f]
  bytes[at + 5] = HEX[codeUnit & 0x0f]
  return at + 6
}

/** Writes a code point as UTF-8; returns the position after it. */
export function writeUtf8(bytes: Buffer, at: number, codePoint: number): number {
  if (codePoint < 0x80) {
    bytes[at] = codePoint
    return at + 1
  }
  if (codePoint < 0x800) {
    bytes[at] = 0xc0 | (codePoint >> 6)
    bytes[at + 1] = 0x80 | (codePoint & 0x3f)
    return at + 2
  }
  if (codePoint < 0x10000) {
    bytes[at] = 0xe0 | (codePoint >> 12)
    bytes[at + 1] = 0x80 | ((codePoint >> 6) & 0x3f)
    bytes[at + 2] = 0x80 | (codePoint & 0x3f)
    return at + 3
  }
  bytes[at] = 0xf0 | (codePoint >> 18)
  bytes[at + 1] = 0x80 | ((codePoint >> 12) & 0x3f)
  bytes[at + 2] = 0x80 | ((codePoint >> 6) & 0x3f)
  bytes[at + 3] = 0x80 | (codePoint & 0x3f)
  return at + 4
}
