/**
 * Tests of a key against a name or the start of one, on its bytes. Keys are strings or, rarely, binary data;
 * keys of other types match nothing.
 * Source: Fluent Bit 5.1.1 plugins/filter_modify, filter_nest and filter_record_modifier, which compare keys alike.
 *
 * @hot bench/pipelines.ts
 */
import { contentCount, headerSize, typeOf } from '../codec/msgpack_reader.ts'

/** How a pattern compares; by default the whole key, byte by byte. */
export interface KeyPatternOptions {
  /** The key only has to start with the text. */
  readonly prefix?: boolean
  /** ASCII letters match whatever their case. */
  readonly ignoreCase?: boolean
}

export class KeyPattern {
  readonly #wanted: Buffer
  readonly #isPrefix: boolean
  readonly #ignoreCase: boolean

  constructor(text: string, options: KeyPatternOptions = {}) {
    this.#wanted = Buffer.from(text)
    this.#isPrefix = options.prefix ?? false
    this.#ignoreCase = options.ignoreCase ?? false
    if (this.#ignoreCase) lowerAscii(this.#wanted)
  }

  /** True when the key that is encoded at `at` matches. */
  matches(bytes: Uint8Array, at: number): boolean {
    const header = bytes[at]
    let start = at + 1
    let length = header & 0x1f
    if (header < 0xa0 || header > 0xbf) {
      const type = typeOf(header)
      if (type !== 'string' && type !== 'binary') return false
      start = at + headerSize(header)
      length = contentCount(bytes, at)
    }
    const wanted = this.#wanted
    if (this.#isPrefix ? length < wanted.length : length !== wanted.length) return false
    return this.#ignoreCase
      ? equalsIgnoringCase(bytes, start, wanted)
      : equalsBytes(bytes, start, wanted)
  }
}

/** True when one of the patterns matches the key that is encoded at `at`. */
export function matchesAny(
  patterns: readonly KeyPattern[],
  bytes: Uint8Array,
  at: number
): boolean {
  for (let index = 0; index < patterns.length; index++) {
    if (patterns[index].matches(bytes, at)) return true
  }
  return false
}

function equalsBytes(bytes: Uint8Array, start: number, wanted: Uint8Array): boolean {
  for (let offset = 0; offset < wanted.length; offset++) {
    if (bytes[start + offset] !== wanted[offset]) return false
  }
  return true
}

function equalsIgnoringCase(bytes: Uint8Array, start: number, wanted: Uint8Array): boolean {
  for (let offset = 0; offset < wanted.length; offset++) {
    const byte = bytes[start + offset]
    const lower = byte >= 0x41 && byte <= 0x5a ? byte + 32 : byte
    if (lower !== wanted[offset]) return false
  }
  return true
}

function lowerAscii(bytes: Uint8Array): void {
  for (let index = 0; index < bytes.length; index++) {
    const byte = bytes[index]
    if (byte >= 0x41 && byte <= 0x5a) bytes[index] = byte + 32
  }
}
