/**
 * Reads MessagePack in place: skipping, looking at headers, and decoding where a value is wanted.
 * All functions trust that a value is complete; `skip` with a limit is the check for untrusted bytes.
 *
 * @hot bench/pipelines.ts
 */
import { isAscii, isUtf8 } from 'node:buffer'
import { Extension, Float } from './msgpack_writer.ts'

/** What a header byte introduces. */
export type ValueType =
  | 'nil'
  | 'boolean'
  | 'integer'
  | 'float'
  | 'string'
  | 'binary'
  | 'array'
  | 'map'
  | 'extension'

/** A decoded value: 64-bit integers beyond 2^53 are bigint, doubles with a whole value are `Float`. */
export type Decoded =
  | null
  | boolean
  | number
  | bigint
  | string
  | Float
  | Extension
  | Buffer
  | Decoded[]
  | Map<Decoded, Decoded>

/** Nesting beyond this is refused by `skip` and shown as nil by decoders; Fluent Bit's unpacker stops at 32 on the stack. */
export const NESTING_MAX = 512

/** Bytes of payload by header byte for values of a fixed size; -1 where a length follows. */
const FIXED_SIZE = new Int8Array(256).fill(-1)
for (let byte = 0; byte < 0x80; byte++) FIXED_SIZE[byte] = 1
for (let byte = 0xa0; byte < 0xc0; byte++) FIXED_SIZE[byte] = 1 + (byte & 0x1f)
for (let byte = 0xe0; byte < 0x100; byte++) FIXED_SIZE[byte] = 1
for (const [byte, size] of [
  [0xc0, 1],
  [0xc2, 1],
  [0xc3, 1],
  [0xca, 5],
  [0xcb, 9],
  [0xcc, 2],
  [0xcd, 3],
  [0xce, 5],
  [0xcf, 9],
  [0xd0, 2],
  [0xd1, 3],
  [0xd2, 5],
  [0xd3, 9],
  [0xd4, 3],
  [0xd5, 4],
  [0xd6, 6],
  [0xd7, 10],
  [0xd8, 18]
]) {
  FIXED_SIZE[byte] = size
}

/** The position after the value at `at`, which must be complete and well formed. */
export function skip(bytes: Uint8Array, at: number): number {
  let pending = 1
  while (pending > 0) {
    pending--
    const byte = bytes[at]
    const size = FIXED_SIZE[byte]
    if (size > 0) {
      at += size
    } else if (byte < 0x90) {
      pending += (byte & 0x0f) * 2
      at++
    } else if (byte < 0xa0) {
      pending += byte & 0x0f
      at++
    } else {
      switch (byte) {
        case 0xd9:
        case 0xc4:
          at += 2 + bytes[at + 1]
          break
        case 0xda:
        case 0xc5:
          at += 3 + uint16(bytes, at + 1)
          break
        case 0xdb:
        case 0xc6:
          at += 5 + uint32(bytes, at + 1)
          break
        case 0xc7:
          at += 3 + bytes[at + 1]
          break
        case 0xc8:
          at += 4 + uint16(bytes, at + 1)
          break
        case 0xc9:
          at += 6 + uint32(bytes, at + 1)
          break
        case 0xdc:
          pending += uint16(bytes, at + 1)
          at += 3
          break
        case 0xdd:
          pending += uint32(bytes, at + 1)
          at += 5
          break
        case 0xde:
          pending += uint16(bytes, at + 1) * 2
          at += 3
          break
        case 0xdf:
          pending += uint32(bytes, at + 1) * 2
          at += 5
          break
        default:
          throw new Error(`Cannot skip a value: byte 0x${(byte ?? 0).toString(16)} starts none`)
      }
    }
  }
  return at
}

/**
 * Goes over values that may come in pieces and may be anything: no value is looked at twice, and how deep they nest or how
 * long they say they are costs nothing.
 */
export class ValueScanner {
  /** Where the next value starts; beyond the bytes that are there when one is cut. */
  at = 0
  /** Values that are still to come. */
  pending = 0
  /** Arrays and maps so far: values do not nest deeper than that. */
  containers = 0

  /** Begins with one value at `at`. */
  start(at: number): void {
    this.at = at
    this.pending = 1
    this.containers = 0
  }

  /**
   * Goes on up to `end`. The value is complete when `pending` is 0 and `at` not beyond `end`.
   *
   * @returns False when this is not MessagePack.
   */
  scan(bytes: Uint8Array, end: number): boolean {
    let { at, pending } = this
    while (pending > 0 && at < end) {
      const byte = bytes[at]
      const size = FIXED_SIZE[byte]
      if (size > 0) {
        at += size
        pending--
      } else if (byte < 0xa0) {
        pending += byte < 0x90 ? (byte & 0x0f) * 2 - 1 : (byte & 0x0f) - 1
        this.containers++
        at++
      } else {
        const header = headerSize(byte)
        if (header === 1) return false
        if (at + header > end) break
        const count = contentCount(bytes, at)
        at += header
        pending--
        if (byte < 0xdc) at += count
        else {
          pending += byte < 0xde ? count : count * 2
          this.containers++
        }
      }
    }
    this.at = at
    this.pending = pending
    return true
  }
}

const checker = new ValueScanner()

/**
 * The position after the value at `at`, or -1 when it is not complete before `end`,
 * or -2 when it is not MessagePack or nests deeper than `NESTING_MAX`.
 */
export function skipChecked(bytes: Uint8Array, at: number, end: number): number {
  checker.start(at)
  if (!checker.scan(bytes, end)) return -2
  if (checker.containers > NESTING_MAX && nestsTooDeep(bytes, at, Math.min(checker.at, end))) {
    return -2
  }
  return checker.pending > 0 || checker.at > end ? -1 : checker.at
}

/** Whether a value that is well formed up to `end` nests deeper than `NESTING_MAX`. */
function nestsTooDeep(bytes: Uint8Array, start: number, end: number): boolean {
  /** Values that are left in each array and map around the next one. */
  const left: number[] = []
  let at = start
  while (at < end) {
    const byte = bytes[at]
    const type = typeOf(byte)
    const header = headerSize(byte)
    if (at + header > end) return false
    const count = contentCount(bytes, at)
    if (left.length > 0) left[left.length - 1]--
    at += header
    if (type === 'array' || type === 'map') {
      // The outermost one is at depth 0.
      if (left.length > NESTING_MAX) return true
      left.push(type === 'map' ? count * 2 : count)
    } else at += count
    while (left.at(-1) === 0) left.pop()
  }
  return false
}

/** The kind of value that a header byte introduces. */
export function typeOf(byte: number): ValueType {
  if (byte < 0x80 || byte >= 0xe0) return 'integer'
  if (byte < 0x90) return 'map'
  if (byte < 0xa0) return 'array'
  if (byte < 0xc0) return 'string'
  if (byte === 0xc0 || byte === 0xc1) return 'nil'
  if (byte <= 0xc3) return 'boolean'
  if (byte <= 0xc6) return 'binary'
  if (byte <= 0xc9) return 'extension'
  if (byte <= 0xcb) return 'float'
  if (byte <= 0xd3) return 'integer'
  if (byte <= 0xd8) return 'extension'
  if (byte <= 0xdb) return 'string'
  return byte <= 0xdd ? 'array' : 'map'
}

/** True when the header byte introduces a string. */
export function isString(byte: number): boolean {
  return (byte >= 0xa0 && byte < 0xc0) || (byte >= 0xd9 && byte <= 0xdb)
}

/** True when the header byte introduces a map. */
export function isMap(byte: number): boolean {
  return (byte >= 0x80 && byte < 0x90) || byte === 0xde || byte === 0xdf
}

/** True when the header byte introduces an array. */
export function isArray(byte: number): boolean {
  return (byte >= 0x90 && byte < 0xa0) || byte === 0xdc || byte === 0xdd
}

/** Bytes of the header: the type byte, its length field, and the type of an extension. */
export function headerSize(byte: number): number {
  if (byte < 0xc4 || byte >= 0xe0) return 1
  switch (byte) {
    case 0xc4:
    case 0xd9:
      return 2
    case 0xc5:
    case 0xda:
    case 0xdc:
    case 0xde:
      return 3
    case 0xc6:
    case 0xdb:
    case 0xdd:
    case 0xdf:
      return 5
    case 0xc7:
      return 3
    case 0xc8:
      return 4
    case 0xc9:
      return 6
    default:
      return byte >= 0xd4 && byte <= 0xd8 ? 2 : 1
  }
}

/** Bytes of payload after the header, or the number of items (array) or pairs (map). */
export function contentCount(bytes: Uint8Array, at: number): number {
  const byte = bytes[at]
  if (byte < 0x80 || byte >= 0xe0) return 0
  if (byte < 0xa0) return byte & 0x0f
  if (byte < 0xc0) return byte & 0x1f
  switch (byte) {
    case 0xc4:
    case 0xc7:
    case 0xd9:
      return bytes[at + 1]
    case 0xc5:
    case 0xc8:
    case 0xda:
    case 0xdc:
    case 0xde:
      return uint16(bytes, at + 1)
    case 0xc6:
    case 0xc9:
    case 0xdb:
    case 0xdd:
    case 0xdf:
      return uint32(bytes, at + 1)
    default: {
      const size = FIXED_SIZE[byte]
      return size < 0 ? 0 : size - headerSize(byte)
    }
  }
}

/**
 * The text of a string (or of binary data) at `at`. Bytes that are not UTF-8 become U+FFFD;
 * use the bytes themselves where they must survive.
 */
export function readString(bytes: Buffer, at: number): string {
  const start = at + headerSize(bytes[at])
  return bytesToString(bytes, start, start + contentCount(bytes, at))
}

/** Decodes UTF-8, by the fast latin1 path when it is ASCII. */
export function bytesToString(bytes: Buffer, start: number, end: number): string {
  if (end - start <= 24) {
    for (let index = start; index < end; index++) {
      if (bytes[index] > 0x7f) return bytes.utf8Slice(start, end)
    }
    return bytes.latin1Slice(start, end)
  }
  return isAscii(bytes.subarray(start, end))
    ? bytes.latin1Slice(start, end)
    : bytes.utf8Slice(start, end)
}

/** True when the string at `at` is valid UTF-8. */
export function isValidText(bytes: Buffer, at: number): boolean {
  const start = at + headerSize(bytes[at])
  return isUtf8(bytes.subarray(start, start + contentCount(bytes, at)))
}

/** The number at `at`: integers beyond 2^53 lose precision; NaN for other types. */
export function readNumber(bytes: Buffer, at: number): number {
  const value = readInteger(bytes, at)
  if (value !== undefined) return Number(value)
  if (bytes[at] === 0xca) return bytes.readFloatBE(at + 1)
  return bytes[at] === 0xcb ? bytes.readDoubleBE(at + 1) : Number.NaN
}

/** The integer at `at`, as bigint beyond 2^53; undefined for other types. */
export function readInteger(bytes: Buffer, at: number): number | bigint | undefined {
  const byte = bytes[at]
  if (byte < 0x80) return byte
  if (byte >= 0xe0) return byte - 256
  switch (byte) {
    case 0xcc:
      return bytes[at + 1]
    case 0xcd:
      return uint16(bytes, at + 1)
    case 0xce:
      return uint32(bytes, at + 1)
    case 0xcf:
      return narrow(bytes.readBigUInt64BE(at + 1))
    case 0xd0:
      return bytes.readInt8(at + 1)
    case 0xd1:
      return bytes.readInt16BE(at + 1)
    case 0xd2:
      return bytes.readInt32BE(at + 1)
    case 0xd3:
      return narrow(bytes.readBigInt64BE(at + 1))
    default:
      return undefined
  }
}

/** Decodes the value at `at` with everything in it. */
export function decode(bytes: Buffer, at: number): Decoded {
  return decodeNested(bytes, { at }, 0)
}

/** Decodes all values of a stream. */
export function decodeAll(bytes: Buffer): Decoded[] {
  const cursor = { at: 0 }
  const values: Decoded[] = []
  while (cursor.at < bytes.length) values.push(decodeNested(bytes, cursor, 0))
  return values
}

function decodeNested(bytes: Buffer, cursor: { at: number }, depth: number): Decoded {
  const { at } = cursor
  const byte = bytes[at]
  const type = typeOf(byte)
  const header = headerSize(byte)
  const count = contentCount(bytes, at)
  if (type === 'array' || type === 'map') {
    if (depth > NESTING_MAX) {
      cursor.at = skip(bytes, at)
      return null
    }
    cursor.at = at + header
    return type === 'array'
      ? decodeArray(bytes, cursor, count, depth)
      : decodeMap(bytes, cursor, count, depth)
  }
  cursor.at = at + header + count
  const start = at + header
  switch (type) {
    case 'nil':
      return null
    case 'boolean':
      return byte === 0xc3
    case 'integer':
      cursor.at = at + FIXED_SIZE[byte]
      return readInteger(bytes, at) ?? null
    case 'float':
      cursor.at = at + FIXED_SIZE[byte]
      return float(readNumber(bytes, at))
    case 'string':
      return bytesToString(bytes, start, start + count)
    case 'binary':
      return Buffer.from(bytes.subarray(start, start + count))
    default:
      return new Extension(
        bytes.readInt8(start - 1),
        Buffer.from(bytes.subarray(start, start + count))
      )
  }
}

function decodeArray(
  bytes: Buffer,
  cursor: { at: number },
  count: number,
  depth: number
): Decoded[] {
  const items: Decoded[] = []
  for (let index = 0; index < count; index++) items.push(decodeNested(bytes, cursor, depth + 1))
  return items
}

function decodeMap(
  bytes: Buffer,
  cursor: { at: number },
  count: number,
  depth: number
): Map<Decoded, Decoded> {
  const map = new Map<Decoded, Decoded>()
  for (let index = 0; index < count; index++) {
    const key = decodeNested(bytes, cursor, depth + 1)
    map.set(key, decodeNested(bytes, cursor, depth + 1))
  }
  return map
}

function float(value: number): number | Float {
  return Number.isInteger(value) ? new Float(value) : value
}

function narrow(value: bigint): number | bigint {
  return value >= -9007199254740991n && value <= 9007199254740991n ? Number(value) : value
}

export function uint16(bytes: Uint8Array, at: number): number {
  return (bytes[at] << 8) | bytes[at + 1]
}

export function uint32(bytes: Uint8Array, at: number): number {
  return bytes[at] * 16777216 + ((bytes[at + 1] << 16) | (bytes[at + 2] << 8) | bytes[at + 3])
}
