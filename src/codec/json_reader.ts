/**
 * JSON text to MessagePack, bytes to bytes, without strings or objects on the way.
 * Source: Fluent Bit 5.1.1 src/flb_pack.c pack_json_to_msgpack_yyjson() and flb_pack_json_state(); reference 11.2.
 *
 * As there, strings may hold raw control characters and bytes that are not UTF-8, which are kept; a `\u` escape of half
 * a surrogate pair becomes U+FFFD; integers beyond 64 bits become doubles.
 * Differs: one grammar for all callers, where Fluent Bit has a strict reader (parsers, most API replies) and a lax one
 * (stdin, tcp, http) that also takes `{"a" 1}` or `01`; nesting beyond `NESTING_MAX` is refused here, where Fluent Bit
 * reads it and then cannot read its own chunk.
 *
 * @hot bench/pipelines.ts
 */
import { kernel, kernelBase, KERNEL_SLACK } from './byte_kernel.ts'
import { HIGH_BITS, lowestByte, writeUtf8 } from './json_text.ts'
import { NESTING_MAX } from './msgpack_reader.ts'
import type { MsgpackWriter } from './msgpack_writer.ts'
import { POWERS_OF_TEN } from './number_text.ts'

/** The text is not JSON. */
export const MALFORMED = -1

/** The text ends within a value. */
export const TRUNCATED = -2

/** Strings from this many bytes on are copied by `Buffer.copy`, which costs about 30 ns a call. */
const BULK_COPY_BYTES = 256

/** A word loop may write this many bytes too much, which what follows overwrites. */
const SPILL_BYTES = 8

/** Bytes of the largest string header and of the spill. */
const STRING_ROOM = 5 + SPILL_BYTES

/** Integers of at most this many digits are exact in a double. */
const SAFE_DIGITS = 15

/** What the letter after a backslash stands for; 0 for letters that stand for nothing. */
const UNESCAPED = new Uint8Array(256)
for (const [letter, byte] of ['""', '\\\\', '//', 'b\b', 'f\f', 'n\n', 'r\r', 't\t']) {
  UNESCAPED[letter.charCodeAt(0)] = byte.charCodeAt(0)
}

/** The value of a hex digit; -1 for other bytes. */
const HEX_VALUE = new Int8Array(256).fill(-1)
for (const digit of '0123456789abcdefABCDEF')
  HEX_VALUE[digit.charCodeAt(0)] = Number.parseInt(digit, 16)

/**
 * Appends one JSON value to `out` as MessagePack. White space before the value is skipped, what follows it is not
 * looked at: a number that touches `end` counts as complete.
 *
 * @param start Where the text starts in `source`.
 * @param end Where it ends, at most `source.length`.
 * @returns The position after the value, or `MALFORMED` or `TRUNCATED`; `out` is then as it was.
 */
export function transcodeJson(
  source: Buffer,
  start: number,
  end: number,
  out: MsgpackWriter
): number {
  return reader.read(source, start, end, out)
}

/**
 * Appends all values of a text in which they follow each other, with or without white space between them.
 *
 * @param onValue Called after each value with its place in `out.bytes`; it may change `out.length`.
 * @returns The position after the last complete value and the white space behind it; the rest is incomplete or, when
 *   `malformed` is true, not JSON.
 */
export function transcodeJsonStream(
  source: Buffer,
  start: number,
  end: number,
  out: MsgpackWriter,
  onValue: (valueStart: number, valueEnd: number) => void
): { readonly next: number; readonly malformed: boolean } {
  let next = skipWhiteSpace(source, start, end)
  while (next < end) {
    const valueStart = out.length
    const after = reader.read(source, next, end, out)
    if (after < 0) return { next, malformed: after === MALFORMED }
    onValue(valueStart, out.length)
    next = skipWhiteSpace(source, after, end)
  }
  return { next, malformed: false }
}

/** The position of the first byte from `at` on that is not JSON white space, or `end`. */
export function skipWhiteSpace(source: Buffer, at: number, end: number): number {
  while (at < end) {
    const byte = source[at]
    if (byte !== 0x20 && byte !== 0x0a && byte !== 0x0d && byte !== 0x09) break
    at++
  }
  return at
}

/** Keeps the buffers and the views of them that the methods share, so that they are made once a block. */
class JsonReader {
  #source: Buffer = Buffer.alloc(0)
  #view: DataView = new DataView(new ArrayBuffer(0))
  #end = 0
  /** Where source and output lie in the kernel's memory, or -1. */
  #base = -1
  #outBase = -1
  #outBytes: Buffer = this.#source
  #outView: DataView = this.#view

  read(source: Buffer, start: number, end: number, out: MsgpackWriter): number {
    if (source !== this.#source) {
      this.#source = source
      this.#base = kernelBase(source)
      this.#view = new DataView(source.buffer, source.byteOffset, source.length)
    }
    this.#end = end
    const { length } = out
    const next = this.#value(skipWhiteSpace(source, start, end), out, 0)
    if (next < 0) out.length = length
    return next
  }

  #value(at: number, out: MsgpackWriter, depth: number): number {
    if (at >= this.#end) return TRUNCATED
    const byte = this.#source[at]
    if (byte === 0x22) return this.#string(at + 1, out)
    if (byte === 0x7b) return this.#object(at + 1, out, depth + 1)
    if (byte === 0x5b) return this.#array(at + 1, out, depth + 1)
    if (byte === 0x2d || (byte >= 0x30 && byte <= 0x39)) return this.#number(at, out)
    return this.#literal(at, out)
  }

  #object(at: number, out: MsgpackWriter, depth: number): number {
    if (depth > NESTING_MAX) return MALFORMED
    const source = this.#source
    const end = this.#end
    out.reserve(1)
    const position = out.length++
    let count = 0
    at = skipWhiteSpace(source, at, end)
    if (at < end && source[at] === 0x7d) {
      out.bytes[position] = 0x80
      return at + 1
    }
    for (;;) {
      if (at >= end) return TRUNCATED
      if (source[at] !== 0x22) return MALFORMED
      at = this.#string(at + 1, out)
      if (at < 0) return at
      if (source[at] !== 0x3a || at >= end) {
        at = skipWhiteSpace(source, at, end)
        if (at >= end) return TRUNCATED
        if (source[at] !== 0x3a) return MALFORMED
      }
      at = this.#value(this.#skip(at + 1), out, depth)
      if (at < 0) return at
      count++
      at = this.#skip(at)
      if (at >= end) return TRUNCATED
      const byte = source[at]
      if (byte === 0x7d) break
      if (byte !== 0x2c) return MALFORMED
      at = this.#skip(at + 1)
    }
    closeContainer(out, position, count, 0x80, 0xde)
    return at + 1
  }

  #array(at: number, out: MsgpackWriter, depth: number): number {
    if (depth > NESTING_MAX) return MALFORMED
    const source = this.#source
    const end = this.#end
    out.reserve(1)
    const position = out.length++
    let count = 0
    at = skipWhiteSpace(source, at, end)
    if (at < end && source[at] === 0x5d) {
      out.bytes[position] = 0x90
      return at + 1
    }
    for (;;) {
      at = this.#value(at, out, depth)
      if (at < 0) return at
      count++
      at = this.#skip(at)
      if (at >= end) return TRUNCATED
      const byte = source[at]
      if (byte === 0x5d) break
      if (byte !== 0x2c) return MALFORMED
      at = this.#skip(at + 1)
    }
    closeContainer(out, position, count, 0x90, 0xdc)
    return at + 1
  }

  /** Skips white space, of which there mostly is none. */
  #skip(at: number): number {
    return at < this.#end && this.#source[at] > 0x20
      ? at
      : skipWhiteSpace(this.#source, at, this.#end)
  }

  #literal(at: number, out: MsgpackWriter): number {
    switch (this.#source[at]) {
      case 0x74:
        return this.#word(at, TRUE, out, 0xc3)
      case 0x66:
        return this.#word(at, FALSE, out, 0xc2)
      case 0x6e:
        return this.#word(at, NULL, out, 0xc0)
      default:
        return MALFORMED
    }
  }

  #word(at: number, word: Buffer, out: MsgpackWriter, encoded: number): number {
    for (let index = 1; index < word.length; index++) {
      if (at + index >= this.#end) return TRUNCATED
      if (this.#source[at + index] !== word[index]) return MALFORMED
    }
    out.reserve(1)
    out.bytes[out.length++] = encoded
    return at + word.length
  }

  #number(start: number, out: MsgpackWriter): number {
    const source = this.#source
    const end = this.#end
    let at = source[start] === 0x2d ? start + 1 : start
    const first = at
    let value = 0
    let byte = 0
    while (at < end && (byte = source[at]) >= 0x30 && byte <= 0x39) {
      value = value * 10 + (byte - 0x30)
      at++
    }
    const digits = at - first
    if (digits === 0) return at < end ? MALFORMED : TRUNCATED
    if (digits > 1 && source[first] === 0x30) return MALFORMED
    if (at < end && (byte === 0x2e || byte === 0x65 || byte === 0x45)) {
      return this.#double(start, first, at, value, out)
    }
    if (digits > SAFE_DIGITS) return this.#wideInteger(start, at, out)
    // As yyjson has it: the integer 0 has no sign.
    if (first === start || value === 0) out.integer(value)
    else out.integer(-value)
    return at
  }

  /** Reads on at the point or the exponent at `at`; `value` is what the digits before it say. */
  #double(start: number, first: number, at: number, value: number, out: MsgpackWriter): number {
    const source = this.#source
    const end = this.#end
    let byte = source[at]
    let digits = at - first
    let scale = 0
    if (byte === 0x2e) {
      const fraction = ++at
      while (at < end && (byte = source[at]) >= 0x30 && byte <= 0x39) {
        value = value * 10 + (byte - 0x30)
        at++
      }
      scale = at - fraction
      if (scale === 0) return at < end ? MALFORMED : TRUNCATED
      digits += scale
    }
    let exponent = 0
    if (at < end && (byte === 0x65 || byte === 0x45)) {
      at++
      const negative = source[at] === 0x2d
      if (at < end && (negative || source[at] === 0x2b)) at++
      const exponentStart = at
      while (at < end && (byte = source[at]) >= 0x30 && byte <= 0x39) {
        exponent = exponent * 10 + (byte - 0x30)
        at++
      }
      if (at === exponentStart) return at < end ? MALFORMED : TRUNCATED
      if (negative) exponent = -exponent
    }
    exponent -= scale
    // Both factors are exact, so one rounding gives the nearest double.
    if (digits <= SAFE_DIGITS && exponent >= -22 && exponent <= 22) {
      value = exponent < 0 ? value / POWERS_OF_TEN[-exponent] : value * POWERS_OF_TEN[exponent]
      out.double(first === start ? value : -value)
      return at
    }
    value = Number(source.latin1Slice(start, at))
    if (!Number.isFinite(value)) return MALFORMED
    out.double(value)
    return at
  }

  #wideInteger(start: number, at: number, out: MsgpackWriter): number {
    const text = this.#source.latin1Slice(start, at)
    const value = BigInt(text)
    if (value <= 0xffffffffffffffffn && value >= -0x8000000000000000n) {
      out.bigint(value)
      return at
    }
    const rounded = Number(text)
    if (!Number.isFinite(rounded)) return MALFORMED
    out.double(rounded)
    return at
  }

  /** Reads the string whose first byte after the quote is at `start`. */
  #string(start: number, out: MsgpackWriter): number {
    if (this.#base >= 0 && start < this.#end) {
      out.reserve(this.#end - start + STRING_ROOM + KERNEL_SLACK)
      this.#follow(out)
      if (this.#outBase >= 0) return this.#kernelString(start, out)
    }
    const stop = this.#special(start)
    if (stop >= this.#end) return TRUNCATED
    if (this.#source[stop] === 0x5c) return this.#escapedString(start, stop, out, false)
    const length = stop - start
    out.reserve(length + STRING_ROOM)
    const { bytes } = out
    let to = out.length
    if (length < 32) {
      bytes[to++] = 0xa0 | length
    } else if (length < 256) {
      bytes[to++] = 0xd9
      bytes[to++] = length
    } else {
      to = writeStringHeader(bytes, to, length)
    }
    this.#copy(start, stop, out, to)
    out.length = to + length
    return stop + 1
  }

  /** Reads a string whose bytes are looked at and copied at once; `out` has room for all that is left. */
  #kernelString(start: number, out: MsgpackWriter): number {
    const textStart = out.length + 2
    const count = kernel.copyText(
      this.#base + start,
      this.#base + this.#end,
      this.#outBase + textStart
    )
    const stop = start + count
    if (stop >= this.#end) return TRUNCATED
    if (this.#source[stop] === 0x5c) return this.#escapedString(start, stop, out, true)
    out.length = textStart + count
    if (count < 32) this.#placeShortHeader(out, textStart, count)
    else placeHeader(out, textStart)
    return stop + 1
  }

  /** Moves a short text back over the byte that its header does not need; by words, as it is not worth a call. */
  #placeShortHeader(out: MsgpackWriter, textStart: number, length: number): void {
    const view = this.#outView
    for (let at = textStart; at < textStart + length; at += 4) {
      view.setInt32(at - 1, view.getInt32(at, true), true)
    }
    out.bytes[textStart - 2] = 0xa0 | length
    out.length--
  }

  /** The position of the first quote or backslash from `at` on, or `#end`. */
  #special(at: number): number {
    const view = this.#view
    const end = this.#end
    const lastWord = end - 8
    while (at <= lastWord) {
      // A byte is zero when subtracting 1 sets its high bit, which was not set; the lowest such byte is exact.
      const low = view.getInt32(at, true)
      const lowQuote = low ^ 0x22222222
      const lowBackslash = low ^ 0x5c5c5c5c
      const lowFound =
        ((lowQuote - 0x01010101) & ~lowQuote) | ((lowBackslash - 0x01010101) & ~lowBackslash)
      if ((lowFound & HIGH_BITS) !== 0) return at + lowestByte(lowFound & HIGH_BITS)
      const high = view.getInt32(at + 4, true)
      const highQuote = high ^ 0x22222222
      const highBackslash = high ^ 0x5c5c5c5c
      const highFound =
        ((highQuote - 0x01010101) & ~highQuote) | ((highBackslash - 0x01010101) & ~highBackslash)
      if ((highFound & HIGH_BITS) !== 0) return at + 4 + lowestByte(highFound & HIGH_BITS)
      at += 8
    }
    const source = this.#source
    while (at < end && source[at] !== 0x22 && source[at] !== 0x5c) at++
    return at
  }

  /** The writer replaces its buffer when it grows. */
  #follow(out: MsgpackWriter): void {
    const { bytes } = out
    if (bytes === this.#outBytes) return
    this.#outBytes = bytes
    this.#outView = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
    this.#outBase = kernelBase(bytes)
  }

  /** Copies bytes to position `to` of `out`, which has room for them and for `SPILL_BYTES`. */
  #copy(start: number, end: number, out: MsgpackWriter, to: number): void {
    const { bytes } = out
    const source = this.#source
    if (end - start >= BULK_COPY_BYTES || end + SPILL_BYTES > source.length) {
      source.copy(bytes, to, start, end)
      return
    }
    this.#follow(out)
    const view = this.#view
    const outView = this.#outView
    for (let from = start; from < end; from += 8) {
      outView.setInt32(to, view.getInt32(from, true), true)
      outView.setInt32(to + 4, view.getInt32(from + 4, true), true)
      to += 8
    }
  }

  /**
   * Reads a string with a backslash at `stop`. Its length is not known before its end: the text is written as if the
   * header took two bytes, and moved if it does not.
   */
  #escapedString(start: number, stop: number, out: MsgpackWriter, isCopied: boolean): number {
    const source = this.#source
    const end = this.#end
    const textStart = out.length + 2
    out.reserve(stop - start + 2 + SPILL_BYTES)
    if (!isCopied) this.#copy(start, stop, out, textStart)
    out.length = textStart + stop - start
    let at = stop
    while (source[at] === 0x5c) {
      if (at + 1 >= end) return TRUNCATED
      const letter = source[at + 1]
      const plain = UNESCAPED[letter]
      if (plain !== 0) {
        out.reserve(1)
        out.bytes[out.length++] = plain
        at += 2
      } else if (letter === 0x75) {
        at = this.#unicodeEscape(at, out)
        if (at < 0) return at
      } else {
        return MALFORMED
      }
      const next = this.#special(at)
      if (next >= end) return TRUNCATED
      out.reserve(next - at + SPILL_BYTES)
      this.#copy(at, next, out, out.length)
      out.length += next - at
      at = next
    }
    placeHeader(out, textStart)
    return at + 1
  }

  /** Writes the UTF-8 of the escape at `at`, and of the second half of a pair; returns the position after it. */
  #unicodeEscape(at: number, out: MsgpackWriter): number {
    let codePoint = this.#hex(at + 2)
    if (codePoint < 0) return codePoint === TRUNCATED ? TRUNCATED : this.#brokenEscape(at, out)
    at += 6
    if (codePoint >= 0xd800 && codePoint < 0xdc00) {
      if (at >= this.#end) return TRUNCATED
      if (this.#source[at] === 0x5c && at + 1 >= this.#end) return TRUNCATED
      if (this.#source[at] === 0x5c && this.#source[at + 1] === 0x75) {
        const low = this.#hex(at + 2)
        if (low === TRUNCATED) return TRUNCATED
        at = low < 0 ? this.#hexEnd(at + 2) : at + 6
        if (low >= 0xdc00 && low < 0xe000) codePoint = paired(codePoint, low)
      }
    }
    if (codePoint >= 0xd800 && codePoint < 0xe000) codePoint = 0xfffd
    out.reserve(4)
    out.length = writeUtf8(out.bytes, out.length, codePoint)
    return at
  }

  /** Keeps `\u` and the hex digits after it, and drops the character that should have been a digit, as yyjson does. */
  #brokenEscape(at: number, out: MsgpackWriter): number {
    const stop = this.#hexEnd(at + 2)
    out.raw(this.#source, at, stop)
    return this.#source[stop] === 0x22 || this.#source[stop] === 0x27 ? stop : stop + 1
  }

  /** The position of the first byte from `at` on that is not a hex digit; there is one. */
  #hexEnd(at: number): number {
    while (HEX_VALUE[this.#source[at]] >= 0) at++
    return at
  }

  /** The value of the four hex digits at `at`. */
  #hex(at: number): number {
    let value = 0
    for (let index = 0; index < 4; index++) {
      if (at + index >= this.#end) return TRUNCATED
      const digit = HEX_VALUE[this.#source[at + index]]
      if (digit < 0) return MALFORMED
      value = value * 16 + digit
    }
    return value
  }
}

const TRUE = Buffer.from('true')
const FALSE = Buffer.from('false')
const NULL = Buffer.from('null')

const reader = new JsonReader()

/** Completes the map or array that started at `position`; 16 and more items move its content by 2 or 4 bytes. */
function closeContainer(
  out: MsgpackWriter,
  position: number,
  count: number,
  fixed: number,
  wide: number
): void {
  if (count < 16) {
    out.bytes[position] = fixed | count
    return
  }
  const extra = count < 65536 ? 2 : 4
  out.reserve(extra)
  const { bytes } = out
  bytes.copyWithin(position + 1 + extra, position + 1, out.length)
  bytes[position] = extra === 2 ? wide : wide + 1
  if (extra === 2) bytes.writeUInt16BE(count, position + 1)
  else bytes.writeUInt32BE(count, position + 1)
  out.length += extra
}

/** The code point of two surrogates. */
function paired(high: number, low: number): number {
  return 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00)
}

/** Writes the header of a string; returns the position after it. */
function writeStringHeader(bytes: Buffer, at: number, length: number): number {
  if (length < 32) {
    bytes[at] = 0xa0 | length
    return at + 1
  }
  if (length < 256) {
    bytes[at] = 0xd9
    bytes[at + 1] = length
    return at + 2
  }
  if (length < 65536) {
    bytes[at] = 0xda
    return bytes.writeUInt16BE(length, at + 1)
  }
  bytes[at] = 0xdb
  return bytes.writeUInt32BE(length, at + 1)
}

/** Puts the header in front of the text from `textStart` to the end, which has two bytes before it. */
function placeHeader(out: MsgpackWriter, textStart: number): void {
  const length = out.length - textStart
  const headerBytes = length < 32 ? 1 : length < 256 ? 2 : length < 65536 ? 3 : 5
  const moved = headerBytes - 2
  if (moved !== 0) {
    out.reserve(3)
    out.bytes.copyWithin(textStart + moved, textStart, out.length)
    out.length += moved
  }
  writeStringHeader(out.bytes, textStart - 2, length)
}
