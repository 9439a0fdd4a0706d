/**
 * The `types` key of parsers: casts texts to integers, floats, booleans and hexadecimal numbers.
 * Source: Fluent Bit 5.1.1 src/flb_parser.c proc_types_str(), flb_parser_typecast().
 *
 * @hot bench/pipelines.ts
 */
import type { MsgpackWriter } from '../codec/msgpack_writer.ts'
import { parseDouble } from '../config/units.ts'
import { FailureCounter } from './failure_log.ts'
import type { ParserLog } from './failure_log.ts'

export type CastType = 'integer' | 'float' | 'bool' | 'hex' | 'string'

const CAST_TYPES: readonly string[] = ['integer', 'float', 'bool', 'hex'] satisfies CastType[]

const INT64_MAX = 2n ** 63n - 1n
const UINT64_MAX = 2n ** 64n - 1n

/** Digits that a double holds exactly. */
const EXACT_DIGITS = 15
const EXACT_HEX_DIGITS = 13

/**
 * Reads `key:type key:type`. Words without a colon mean nothing, unknown types are strings, and the
 * first word for a key counts.
 */
export function readCastTypes(text: string): Map<string, CastType> {
  const types = new Map<string, CastType>()
  for (const word of text.split(' ')) {
    const colon = word.indexOf(':')
    const key = word.slice(0, colon)
    if (colon < 0 || types.has(key)) continue
    const type = word.slice(colon + 1).toLowerCase()
    types.set(key, CAST_TYPES.includes(type) ? (type as CastType) : 'string')
  }
  return types
}

/** Casts the values of one parser. */
export class Caster {
  readonly #log: ParserLog
  readonly #failures = new FailureCounter()

  constructor(log: ParserLog) {
    this.#log = log
  }

  /** Writes `bytes[start, end)` as a value of the type; text that is no boolean stays a string. */
  write(
    type: CastType,
    key: string,
    bytes: Buffer,
    start: number,
    end: number,
    out: MsgpackWriter
  ): void {
    switch (type) {
      case 'integer':
        return writeInteger(bytes, start, end, out)
      case 'hex':
        return writeHex(bytes, start, end, out)
      case 'float':
        return out.double(floatOf(bytes.latin1Slice(start, end)))
      case 'bool':
        return this.#writeBoolean(key, bytes, start, end, out)
      default:
        return out.stringBytes(bytes, start, end)
    }
  }

  #writeBoolean(key: string, bytes: Buffer, start: number, end: number, out: MsgpackWriter): void {
    const word = bytes.latin1Slice(start, Math.min(end, start + 5)).toLowerCase()
    if (word.startsWith('true')) return out.boolean(true)
    if (word === 'false') return out.boolean(false)
    if (this.#failures.add()) {
      this.#log.warn(`[PARSER] key=${key} cast error. save as string.`)
    }
    out.stringBytes(bytes, start, end)
  }
}

/** As C's `atoll`: 0 without digits, the nearest 64-bit integer when there are too many. */
function writeInteger(bytes: Buffer, start: number, end: number, out: MsgpackWriter): void {
  let at = skipSpace(bytes, start, end)
  const isNegative = bytes[at] === 0x2d
  if (at < end && (isNegative || bytes[at] === 0x2b)) at++
  const first = at
  let value = 0
  while (at < end && bytes[at] >= 0x30 && bytes[at] <= 0x39) value = value * 10 + bytes[at++] - 0x30
  if (at - first <= EXACT_DIGITS) {
    out.integer(isNegative ? -value : value)
    return
  }
  const exact = BigInt(bytes.latin1Slice(first, at))
  const limit = isNegative ? INT64_MAX + 1n : INT64_MAX
  const held = exact > limit ? limit : exact
  out.bigint(isNegative ? -held : held)
}

/**
 * As C's `strtoull` with base 16: a sign and `0x` may stand before the digits, a minus sign wraps
 * round.
 */
function writeHex(bytes: Buffer, start: number, end: number, out: MsgpackWriter): void {
  let at = skipSpace(bytes, start, end)
  const isNegative = bytes[at] === 0x2d
  if (at < end && (isNegative || bytes[at] === 0x2b)) at++
  const hasPrefix =
    at + 2 < end &&
    bytes[at] === 0x30 &&
    (bytes[at + 1] | 0x20) === 0x78 &&
    hexDigit(bytes[at + 2]) >= 0
  if (hasPrefix) at += 2
  const first = at
  let value = 0
  while (at < end && hexDigit(bytes[at]) >= 0) value = value * 16 + hexDigit(bytes[at++])
  if (at - first <= EXACT_HEX_DIGITS && !isNegative) {
    out.integer(value)
    return
  }
  const exact = first === at ? 0n : BigInt(`0x${bytes.latin1Slice(first, at)}`)
  if (exact > UINT64_MAX) out.bigint(UINT64_MAX)
  else out.bigint(isNegative ? BigInt.asUintN(64, -exact) : exact)
}

/** As C's `atof`, which also knows hexadecimal numbers, `inf` and `nan`. */
function floatOf(text: string): number {
  const value = Number.parseFloat(text)
  return value === 0 || Number.isNaN(value) ? parseDouble(text).value : value
}

function skipSpace(bytes: Buffer, start: number, end: number): number {
  let at = start
  while (at < end && (bytes[at] === 0x20 || (bytes[at] >= 0x09 && bytes[at] <= 0x0d))) at++
  return at
}

function hexDigit(byte: number): number {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30
  const letter = byte | 0x20
  return letter >= 0x61 && letter <= 0x66 ? letter - 0x57 : -1
}
