/**
 * MessagePack to JSON, bytes to bytes: the one transcoder behind every output that writes JSON.
 * Source: Fluent Bit 5.1.1 src/flb_pack.c msgpack2json(), src/flb_utils.c flb_utils_write_str(); reference 11.1.
 * Differs: Fluent Bit leaves a DEL (0x7f) in a 16-byte block that has nothing else to escape; here it is always
 * `\u007f`. As on x86-64, where the reference was recorded; ARM64 builds of Fluent Bit print broken UTF-8 otherwise.
 *
 * @hot bench/pipelines.ts
 */
import { kernel, kernelBase } from './byte_kernel.ts'
import {
  CONTROL,
  ESCAPE,
  HIGH_BITS,
  isTrailingPair,
  lowestByte,
  PLAIN,
  plainEnd,
  SEQUENCE_BYTES,
  validSequenceBytes,
  writeUnicodeEscape
} from './json_text.ts'
import { KEY_WORDS_BYTES, type KeyLayout, LAYOUT_KEYS_MAX, learnKeys } from './key_layout.ts'
import {
  contentCount,
  headerSize,
  isString,
  readInteger,
  skip,
  uint16,
  uint32
} from './msgpack_reader.ts'
import { MsgpackWriter } from './msgpack_writer.ts'
import {
  formatF,
  G16_TEXT_BYTES,
  INTEGER_TEXT_BYTES,
  writeG16,
  writeInteger
} from './number_text.ts'

const FALSE = Buffer.from('false')
const TRUE = Buffer.from('true')
const NULL = Buffer.from('null')
const HEX = Buffer.from('0123456789abcdef')

/** Up to this many bytes a copy loop beats `latin1Write` and `copy`, which cross into C++. */
const LOOP_COPY_BYTES = 24

/** Strings from this many bytes on are scanned first and copied by `Buffer.copy`, which costs about 30 ns a call. */
const BULK_COPY_BYTES = 256

/** Room kept beyond the bytes still to copy: the largest escape (`\ud83d\ude00`), a quote, a colon. */
const SLACK = 32

/** Room for a short key, a scalar and the separators of a pair. */
const PAIR_ROOM = 64

/** Maps with more keys than this look for repeated keys through a table and not by comparing all with all. */
const QUADRATIC_KEYS_MAX = 32

/** Doubles below this size that are whole numbers are written as `1.0`; larger ones as `1e+20`. */
const INT64_LIMIT = 9223372036854775808

/** The hash of a key that is not a string; such keys never count as repeated. */
const NO_STRING = 0

/** A key that a caller writes itself, in front of the pairs of a map. */
export class JsonKey {
  /** `"key":`, escaped. */
  readonly json: Buffer
  /** The key as MessagePack. */
  readonly encoded: Buffer
  /** The key's bytes as one character each. */
  readonly latin1: string
  readonly hash: number

  constructor(text: string, options: JsonWriterOptions = {}) {
    const json = new JsonWriter({ ...options, capacity: 64 })
    json.string(text)
    json.byte(0x3a)
    this.json = Buffer.from(json.written())
    const encoded = new MsgpackWriter(64)
    encoded.string(text)
    this.encoded = Buffer.from(encoded.written())
    this.latin1 = Buffer.from(text).latin1Slice()
    this.hash = keyHash(this.encoded, 0)
  }
}

export interface JsonWriterOptions {
  /** `json.escape_unicode`: write code points beyond ASCII as `\uxxxx`; default true. */
  readonly escapeUnicode?: boolean
  /** `json.convert_nan_to_null`; default false, which writes `nan`. */
  readonly nanToNull?: boolean
  /** Bytes to start with; the buffer doubles when it is full. */
  readonly capacity?: number
  /** A buffer to start with, which the caller gives up; instead of `capacity`. */
  readonly buffer?: Buffer
}

export class JsonWriter {
  /** The buffer in use; replaced when it grows, so read it anew after a write. */
  bytes: Buffer
  /** Bytes written; set it back to undo what was written after. */
  length = 0

  #view: DataView
  /** Length of `bytes`: reading it from the buffer takes a dozen instructions. */
  #capacity: number
  readonly #escapeUnicode: boolean
  readonly #nanToNull: boolean
  /** The buffer read last, and a view of it: words are read and written unaligned. */
  #source: Buffer
  #sourceView: DataView
  /** Where both lie in the kernel's memory, or -1: with both there, texts are copied by it. */
  #sourceBase: number
  #base: number
  /** Keys of the maps being written, outermost first: hash, position in the source, start of the pair in `bytes`. */
  #keyHash = new Int32Array(64)
  #keyAt = new Int32Array(64)
  #pairStart = new Int32Array(64)
  #keyCount = 0
  /** Keys of the caller's own pairs; their position is -1 minus their index here. */
  readonly #ownKeys: JsonKey[] = []
  /** By number of keys. */
  readonly #layouts: (KeyLayout | undefined)[] = Array.from({ length: LAYOUT_KEYS_MAX + 1 })
  #ownCount = 0

  constructor(options: JsonWriterOptions = {}) {
    this.#escapeUnicode = options.escapeUnicode ?? true
    this.#nanToNull = options.nanToNull ?? false
    this.bytes = options.buffer ?? Buffer.allocUnsafeSlow(options.capacity ?? 4096)
    this.#view = viewOf(this.bytes)
    this.#capacity = this.bytes.length
    this.#source = this.bytes
    this.#sourceView = this.#view
    this.#base = kernelBase(this.bytes)
    this.#sourceBase = this.#base
  }

  /** Makes room for `count` more bytes. */
  reserve(count: number): void {
    if (this.length + count > this.#capacity) this.#grow(count)
  }

  /** The written bytes, shared with the writer until it grows or is reset. */
  written(): Buffer {
    return this.bytes.subarray(0, this.length)
  }

  /** Forgets what was written, and the source that was read last, so that its memory can be freed. */
  clear(): void {
    this.length = 0
    this.#source = this.bytes
    this.#sourceView = this.#view
    this.#sourceBase = this.#base
  }

  byte(value: number): void {
    if (this.length === this.#capacity) this.#grow(1)
    this.bytes[this.length++] = value
  }

  /** Writes text of ASCII characters as it is. */
  ascii(text: string): void {
    const { length } = text
    this.reserve(length)
    if (length > LOOP_COPY_BYTES) {
      this.length += this.bytes.latin1Write(text, this.length)
      return
    }
    const { bytes } = this
    let at = this.length
    for (let index = 0; index < length; index++) bytes[at++] = text.charCodeAt(index)
    this.length = at
  }

  /** Copies bytes as they are: JSON that is already encoded. */
  raw(source: Buffer, start = 0, end = source.length): void {
    this.reserve(end - start)
    if (end - start > LOOP_COPY_BYTES) {
      this.length += source.copy(this.bytes, this.length, start, end)
      return
    }
    const { bytes } = this
    let at = this.length
    for (let index = start; index < end; index++) bytes[at++] = source[index]
    this.length = at
  }

  /** Writes a whole number; |value| <= 2^53. */
  integer(value: number): void {
    this.reserve(INTEGER_TEXT_BYTES)
    this.length = writeInteger(this.bytes, this.length, value)
  }

  /** Writes a double in Fluent Bit's form: `1.0`, `0.1`, `1e+20`, `nan`. */
  double(value: number): void {
    if (Number.isInteger(value) && value >= -INT64_LIMIT && value < INT64_LIMIT) {
      this.#wholeDouble(value)
    } else if (this.#nanToNull && Number.isNaN(value)) {
      this.ascii('null')
    } else {
      this.reserve(G16_TEXT_BYTES)
      this.length = writeG16(this.bytes, this.length, value)
    }
  }

  /** Writes a JavaScript string as a JSON string. */
  string(value: string): void {
    if (value.length > LOOP_COPY_BYTES || !this.#plainString(value)) {
      const bytes = Buffer.from(value)
      this.stringBytes(bytes, 0, bytes.length)
    }
  }

  /** Writes bytes, valid UTF-8 or not, as a JSON string. */
  stringBytes(source: Buffer, start: number, end: number): void {
    if (source !== this.#source) this.#open(source)
    this.#text(source, start, end)
  }

  /**
   * Writes the JSON of the MessagePack value at `at`, which must be complete.
   *
   * @returns The position after the value.
   */
  value(source: Buffer, at: number): number {
    if (source !== this.#source) this.#open(source)
    if (this.#capacity - this.length < PAIR_ROOM) this.#grow(PAIR_ROOM)
    return this.#any(source, at)
  }

  /**
   * Starts a map that has pairs of the caller's own before those of a MessagePack map, such as the date of an event:
   * `startMap`, then `ownKey` and its value and a comma for each own pair, `pairs`, `endMap`. Not for use within a map.
   */
  startMap(): void {
    this.#keyCount = 0
    this.#ownCount = 0
    this.byte(0x7b)
  }

  /** Writes `"key":`. The pair disappears again when `pairs` meets the same key. */
  ownKey(key: JsonKey): void {
    this.#noteKey(key.hash, -1 - this.#ownCount)
    this.#ownKeys[this.#ownCount++] = key
    this.raw(key.json)
  }

  /** Writes the pairs of the map at `at`, each followed by a comma; returns the position after the map. */
  pairs(source: Buffer, at: number): number {
    if (source !== this.#source) this.#open(source)
    return this.#pairs(source, at + headerSize(source[at]), contentCount(source, at), 0)
  }

  endMap(): void {
    this.#keyCount = 0
    this.#ownCount = 0
    if (this.bytes[this.length - 1] === 0x7b) this.byte(0x7d)
    else this.bytes[this.length - 1] = 0x7d
  }

  /** Writes any value; there must be `PAIR_ROOM`, of which at least one byte is left on return. */
  #any(source: Buffer, at: number): number {
    const byte = source[at]
    if (byte < 0x80) return this.#integer(byte, at + 1)
    if (byte < 0x90) return this.#map(source, at + 1, byte & 0x0f)
    if (byte < 0xa0) return this.#array(source, at + 1, byte & 0x0f)
    if (byte < 0xc0) return this.#text(source, at + 1, at + 1 + (byte & 0x1f))
    if (byte >= 0xe0) return this.#integer(byte - 256, at + 1)
    switch (byte) {
      case 0xc2:
        return this.#literal(FALSE, at + 1)
      case 0xc3:
        return this.#literal(TRUE, at + 1)
      case 0xc4:
      case 0xd9:
        return this.#text(source, at + 2, at + 2 + source[at + 1])
      case 0xc5:
      case 0xda:
        return this.#text(source, at + 3, at + 3 + uint16(source, at + 1))
      case 0xc6:
      case 0xdb:
        return this.#text(source, at + 5, at + 5 + uint32(source, at + 1))
      case 0xca:
        return this.#float(source, at, this.#sourceView.getFloat32(at + 1), at + 5)
      case 0xcb:
        return this.#float(source, at, this.#sourceView.getFloat64(at + 1), at + 9)
      case 0xcc:
        return this.#integer(source[at + 1], at + 2)
      case 0xcd:
        return this.#integer(uint16(source, at + 1), at + 3)
      case 0xce:
        return this.#integer(uint32(source, at + 1), at + 5)
      case 0xd0:
        return this.#integer(this.#sourceView.getInt8(at + 1), at + 2)
      case 0xd1:
        return this.#integer(this.#sourceView.getInt16(at + 1), at + 3)
      case 0xd2:
        return this.#integer(this.#sourceView.getInt32(at + 1), at + 5)
      case 0xcf:
        return this.#wideInteger(source, at, this.#sourceView.getUint32(at + 1))
      case 0xd3:
        return this.#wideInteger(source, at, this.#sourceView.getInt32(at + 1))
      case 0xdc:
        return this.#array(source, at + 3, uint16(source, at + 1))
      case 0xdd:
        return this.#array(source, at + 5, uint32(source, at + 1))
      case 0xde:
        return this.#map(source, at + 3, uint16(source, at + 1))
      case 0xdf:
        return this.#map(source, at + 5, uint32(source, at + 1))
      case 0xc0:
      case 0xc1:
        return this.#literal(NULL, at + 1)
      default:
        return this.#extension(source, at)
    }
  }

  #literal(text: Buffer, next: number): number {
    const { bytes } = this
    let to = this.length
    for (let index = 0; index < text.length; index++) bytes[to++] = text[index]
    this.length = to
    return next
  }

  #integer(value: number, next: number): number {
    this.length = writeInteger(this.bytes, this.length, value)
    return next
  }

  /** Writes the 64-bit integer at `at`, whose upper half is `high`. */
  #wideInteger(source: Buffer, at: number, high: number): number {
    if (high >= -0x200000 && high < 0x200000) {
      return this.#integer(high * 4294967296 + this.#sourceView.getUint32(at + 5), at + 9)
    }
    this.ascii(String(readInteger(source, at)))
    this.reserve(1)
    return at + 9
  }

  #float(source: Buffer, at: number, value: number, next: number): number {
    // glibc prints the sign of a NaN, which only its bytes show.
    if (Number.isNaN(value) && !this.#nanToNull && source[at + 1] > 0x7f) this.byte(0x2d)
    this.double(value)
    this.reserve(1)
    return next
  }

  #wholeDouble(value: number): void {
    if (Math.abs(value) > Number.MAX_SAFE_INTEGER || Object.is(value, -0)) {
      this.ascii(formatF(value, 1))
      return
    }
    this.reserve(INTEGER_TEXT_BYTES + 2)
    const at = writeInteger(this.bytes, this.length, value)
    this.bytes[at] = 0x2e
    this.bytes[at + 1] = 0x30
    this.length = at + 2
  }

  /** Writes `"\x07\xffffff80"`, which is not JSON: Fluent Bit prints the bytes as signed numbers. */
  #extension(source: Buffer, at: number): number {
    const start = at + headerSize(source[at])
    const end = start + contentCount(source, at)
    this.reserve((end - start) * 10 + PAIR_ROOM)
    const { bytes } = this
    let to = this.length
    bytes[to++] = 0x22
    for (let from = start; from < end; from++) {
      const byte = source[from]
      bytes[to++] = 0x5c
      bytes[to++] = 0x78
      if (byte > 0x7f) {
        bytes.fill(0x66, to, to + 6)
        to += 6
      }
      bytes[to++] = HEX[byte >> 4]
      bytes[to++] = HEX[byte & 0x0f]
    }
    bytes[to++] = 0x22
    this.length = to
    return end
  }

  #array(source: Buffer, at: number, count: number): number {
    this.bytes[this.length++] = 0x5b
    for (let left = count; left > 0; left--) {
      if (this.#capacity - this.length < PAIR_ROOM) this.#grow(PAIR_ROOM)
      at = this.#any(source, at)
      this.bytes[this.length++] = 0x2c
    }
    // The last comma becomes the bracket.
    if (count === 0) this.length++
    this.bytes[this.length - 1] = 0x5d
    this.reserve(1)
    return at
  }

  #map(source: Buffer, at: number, count: number): number {
    this.bytes[this.length++] = 0x7b
    const next = this.#pairs(source, at, count, this.#keyCount)
    if (count === 0) this.length++
    this.bytes[this.length - 1] = 0x7d
    this.reserve(1)
    return next
  }

  /** Writes `"key":value,` for each pair. Keys of this map are noted from index `first` on. */
  #pairs(source: Buffer, at: number, count: number, first: number): number {
    if (count > 1 && count <= LAYOUT_KEYS_MAX && first === this.#keyCount) {
      const layout = this.#layouts[count]
      if (layout !== undefined) {
        const next = this.#pairsAsBefore(source, at, count, layout)
        if (next >= 0) return next
      }
      if (layout === undefined || layout.isDueAgain())
        this.#layouts[count] = learnKeys(source, at, count)
    }
    if (count > QUADRATIC_KEYS_MAX) return this.#manyPairs(source, at, count, first)
    if (count === 1 && first === this.#keyCount) return this.#pair(source, at)
    let seen = 0
    for (let index = first; index < this.#keyCount; index++)
      seen |= 1 << (this.#keyHash[index] & 31)
    for (let left = count; left > 0; left--) {
      const hash = keyHash(source, at)
      // One bit a key: nearly all keys are seen to be new without comparing.
      const bit = 1 << (hash & 31)
      if ((seen & bit) !== 0 && hash !== NO_STRING) this.#dropRepeated(source, at, hash, first)
      seen |= bit
      this.#noteKey(hash, at)
      at = this.#pair(source, at)
    }
    this.#keyCount = first
    return at
  }

  /**
   * Writes the pairs of a map that has the keys of an earlier one, which are known to differ and to need no escapes.
   *
   * @returns The position after the map; -1, with nothing written, when a key is another.
   */
  #pairsAsBefore(source: Buffer, at: number, count: number, layout: KeyLayout): number {
    const start = this.length
    const { keys, masks, keyEnds, keyBytes, json, jsonEnds } = layout
    // Words are read beyond a key's end: the last pairs of a buffer are written the usual way.
    const lastAt = this.#sourceView.byteLength - KEY_WORDS_BYTES
    if (keyEnds.length !== count) return -1
    let key = 0
    let text = 0
    for (let index = 0; index < count; index++) {
      if (at > lastAt) return this.#abandon(start)
      if (this.#capacity - this.length < PAIR_ROOM) this.#grow(PAIR_ROOM)
      for (let from = at, end = keyEnds[index]; key < end; key++, from += 4) {
        if ((this.#sourceView.getInt32(from, true) & masks[key]) !== keys[key]) {
          return this.#abandon(start)
        }
      }
      let to = this.length
      for (const end = jsonEnds[index]; text < end; text++, to += 4) {
        this.#view.setInt32(to, json[text], true)
      }
      at += keyBytes[index]
      this.length += keyBytes[index] + 2
      at =
        source[at] === 0xd9
          ? this.#text(source, at + 2, at + 2 + source[at + 1])
          : this.#any(source, at)
      this.bytes[this.length++] = 0x2c
    }
    return at
  }

  #abandon(start: number): -1 {
    this.length = start
    return -1
  }

  #pair(source: Buffer, at: number): number {
    if (this.#capacity - this.length < PAIR_ROOM) this.#grow(PAIR_ROOM)
    at = this.#key(source, at)
    const byte = source[at]
    if (byte === 0xd9) at = this.#text(source, at + 2, at + 2 + source[at + 1])
    else at = this.#any(source, at)
    this.bytes[this.length++] = 0x2c
    return at
  }

  #noteKey(hash: number, at: number): void {
    const index = this.#keyCount++
    if (index === this.#keyHash.length) {
      this.#keyHash = doubled(this.#keyHash)
      this.#keyAt = doubled(this.#keyAt)
      this.#pairStart = doubled(this.#pairStart)
    }
    this.#keyHash[index] = hash
    this.#keyAt[index] = at
    this.#pairStart[index] = this.length
  }

  /** Takes the earlier pair with the same key as the one at `at`, if there is one, out of what was written. */
  #dropRepeated(source: Buffer, at: number, hash: number, first: number): void {
    for (let index = this.#keyCount - 1; index >= first; index--) {
      if (this.#keyHash[index] === hash && this.#isSameKey(source, index, at)) {
        this.#dropPair(index)
        return
      }
    }
  }

  #isSameKey(source: Buffer, index: number, at: number): boolean {
    const earlier = this.#keyAt[index]
    if (earlier >= 0) return isSameString(source, earlier, source, at)
    return isSameString(this.#ownKeys[-1 - earlier].encoded, 0, source, at)
  }

  #dropPair(index: number): void {
    const last = this.#keyCount - 1
    const start = this.#pairStart[index]
    const end = index === last ? this.length : this.#pairStart[index + 1]
    this.bytes.copyWithin(start, end, this.length)
    this.length -= end - start
    for (let moved = index; moved < last; moved++) {
      this.#keyHash[moved] = this.#keyHash[moved + 1]
      this.#keyAt[moved] = this.#keyAt[moved + 1]
      this.#pairStart[moved] = this.#pairStart[moved + 1] - (end - start)
    }
    this.#keyCount = last
  }

  /** Pairs of a large map: a first pass notes the last position of every key. */
  #manyPairs(source: Buffer, at: number, count: number, first: number): number {
    const lastAt = lastPositions(source, at, count)
    for (let index = this.#keyCount - 1; index >= first; index--) {
      if (lastAt.has(this.#ownKeys[-1 - this.#keyAt[index]].latin1)) this.#dropPair(index)
    }
    for (let left = count; left > 0; left--) {
      const name = stringBytesAsLatin1(source, at)
      if (name !== undefined && lastAt.get(name) !== at) {
        at = skip(source, skip(source, at))
        continue
      }
      at = this.#pair(source, at)
    }
    return at
  }

  /** Writes a key and its colon, and keeps the room for a scalar. Most keys are short and need no escape. */
  #key(source: Buffer, at: number): number {
    const length = source[at] - 0xa0
    if (length >= 0 && length < 32) {
      const { bytes } = this
      const end = at + 1 + length
      let from = at + 1
      let to = this.length
      bytes[to++] = 0x22
      while (from < end) {
        const byte = source[from]
        if (ESCAPE[byte] !== PLAIN) break
        bytes[to++] = byte
        from++
      }
      if (from === end) {
        bytes[to] = 0x22
        bytes[to + 1] = 0x3a
        this.length = to + 2
        return end
      }
    }
    const next = this.#any(source, at)
    this.bytes[this.length++] = 0x3a
    this.reserve(PAIR_ROOM)
    return next
  }

  /** Writes a string with its quotes; returns `end`. */
  #text(source: Buffer, start: number, end: number): number {
    this.reserve(end - start + SLACK)
    let { bytes } = this
    let view = this.#view
    const sourceView = this.#sourceView
    let at = this.length
    let from = start
    bytes[at++] = 0x22
    // Asked again after each escape: growing moves the text out of the kernel's memory.
    let isFast = this.#base >= 0 && this.#sourceBase >= 0
    if (!isFast && end - start >= BULK_COPY_BYTES) {
      from = plainEnd(sourceView, start, end)
      source.copy(bytes, at, start, from)
      at += from - start
    }
    while (from < end) {
      // Eight bytes at a time: see `plainEnd` for the arithmetic. All eight are copied, and what follows the first
      // byte to escape is overwritten again.
      const lastWord = end - 8
      if (isFast) {
        const base = this.#sourceBase
        const count = kernel.copyPlain(base + from, base + end, this.#base + at)
        from += count
        at += count
        if (from === end) break
      }
      while (!isFast && from <= lastWord) {
        const low = sourceView.getInt32(from, true)
        const high = sourceView.getInt32(from + 4, true)
        view.setInt32(at, low, true)
        view.setInt32(at + 4, high, true)
        const plainLow =
          (low + 0x60606060) &
          ((low ^ 0x22222222) + 0x7f7f7f7f) &
          ((low ^ 0x5c5c5c5c) + 0x7f7f7f7f) &
          ~(low + 0x01010101)
        const plainHigh =
          (high + 0x60606060) &
          ((high ^ 0x22222222) + 0x7f7f7f7f) &
          ((high ^ 0x5c5c5c5c) + 0x7f7f7f7f) &
          ~(high + 0x01010101)
        if ((plainLow & plainHigh & HIGH_BITS) !== HIGH_BITS) {
          const mask = ~plainLow & HIGH_BITS
          const skipped = mask === 0 ? 4 + lowestByte(~plainHigh & HIGH_BITS) : lowestByte(mask)
          from += skipped
          at += skipped
          break
        }
        from += 8
        at += 8
      }
      // The tail byte by byte, or the byte that stopped the words.
      while (from < end) {
        const byte = source[from]
        const escape = ESCAPE[byte]
        if (escape === PLAIN) {
          if (from <= lastWord) break
          bytes[at++] = byte
          from++
          continue
        }
        if (escape > CONTROL) {
          bytes[at] = 0x5c
          bytes[at + 1] = escape
          at += 2
          from++
        } else {
          this.length = at
          from = escape === CONTROL ? this.#control(byte, from) : this.#notAscii(source, from, end)
          at = this.length
        }
        if (this.#capacity - at < end - from + SLACK) {
          this.length = at
          this.#grow(end - from + SLACK)
        }
        bytes = this.bytes
        view = this.#view
        isFast = this.#base >= 0 && this.#sourceBase >= 0
      }
    }
    bytes[at] = 0x22
    this.length = at + 1
    return end
  }

  /** Writes a control character; returns the position after it. */
  #control(byte: number, from: number): number {
    this.length = writeUnicodeEscape(this.bytes, this.length, byte)
    return from + 1
  }

  /** Writes bytes beyond ASCII up to the next ASCII byte; returns its position, or `end`. */
  #notAscii(source: Buffer, from: number, end: number): number {
    return this.#escapeUnicode
      ? this.#escapedSequences(source, from, end)
      : this.#rawSequences(source, from, end)
  }

  /** Writes UTF-8 sequences as `\uxxxx`. Well-formed ones of two and three bytes are done here. */
  #escapedSequences(source: Buffer, from: number, end: number): number {
    while (from < end) {
      const lead = source[from]
      if (lead < 0x80) break
      this.reserve(end - from + SLACK)
      if (lead >= 0xc2 && lead < 0xe0 && from + 1 < end && (source[from + 1] & 0xc0) === 0x80) {
        const codePoint = ((lead & 0x1f) << 6) | (source[from + 1] & 0x3f)
        this.length = writeUnicodeEscape(this.bytes, this.length, codePoint)
        from += 2
      } else if (
        lead > 0xe0 &&
        lead < 0xf0 &&
        lead !== 0xed &&
        from + 2 < end &&
        isTrailingPair(source[from + 1], source[from + 2])
      ) {
        const codePoint =
          ((lead & 0x0f) << 12) | ((source[from + 1] & 0x3f) << 6) | (source[from + 2] & 0x3f)
        this.length = writeUnicodeEscape(this.bytes, this.length, codePoint)
        from += 3
      } else {
        from = this.#escapedSequence(source, from, end)
      }
    }
    return from
  }

  /**
   * Writes any sequence as `\uxxxx`, a surrogate pair beyond the basic plane. As Fluent Bit does, one that the
   * string's end cuts loses its first byte, and each byte B of another broken one becomes U+E000+B, raw.
   */
  #escapedSequence(source: Buffer, from: number, end: number): number {
    const length = SEQUENCE_BYTES[source[from] - 0x80]
    if (from + length > end) return from + 1
    if (length === 1 || length > 4) return this.#fragments(source, from, from + 1)
    let codePoint = source[from] & (0x7f >> length)
    for (let index = 1; index < length; index++) {
      const byte = source[from + index]
      if ((byte & 0xc0) !== 0x80) return this.#fragments(source, from, from + index)
      codePoint = (codePoint << 6) | (byte & 0x3f)
    }
    if (codePoint > 0x10ffff || (codePoint >= 0xd800 && codePoint <= 0xdfff)) {
      // The last byte is then seen as a broken sequence of its own.
      return this.#fragments(source, from, from + length - 1)
    }
    if (codePoint > 0xffff) {
      const high = 0xd800 + ((codePoint - 0x10000) >> 10)
      this.length = writeUnicodeEscape(this.bytes, this.length, high)
      codePoint = 0xdc00 + (codePoint & 0x3ff)
    }
    this.length = writeUnicodeEscape(this.bytes, this.length, codePoint)
    return from + length
  }

  #fragments(source: Buffer, from: number, end: number): number {
    this.reserve((end - from) * 3 + SLACK)
    const { bytes } = this
    let at = this.length
    for (let index = from; index < end; index++) {
      bytes[at++] = 0xee
      bytes[at++] = 0x80 | (source[index] >> 6)
      bytes[at++] = 0x80 | (source[index] & 0x3f)
    }
    this.length = at
    return end
  }

  /** Copies UTF-8 sequences; each byte that belongs to none becomes U+FFFD. */
  #rawSequences(source: Buffer, from: number, end: number): number {
    while (from < end && source[from] > 0x7f) {
      this.reserve(end - from + SLACK)
      const { bytes } = this
      const length = validSequenceBytes(source, from, end)
      let at = this.length
      if (length === 0) {
        bytes[at] = 0xef
        bytes[at + 1] = 0xbf
        bytes[at + 2] = 0xbd
        this.length = at + 3
        from++
        continue
      }
      for (const next = from + length; from < next; from++) bytes[at++] = source[from]
      this.length = at
    }
    return from
  }

  /** Writes a short string if it needs no escape; false when it does. */
  #plainString(value: string): boolean {
    this.reserve(LOOP_COPY_BYTES + 2)
    const { bytes } = this
    let at = this.length
    bytes[at++] = 0x22
    for (let index = 0; index < value.length; index++) {
      const code = value.charCodeAt(index)
      if (code > 0x7f || ESCAPE[code] !== PLAIN) return false
      bytes[at++] = code
    }
    bytes[at] = 0x22
    this.length = at + 1
    return true
  }

  #open(source: Buffer): void {
    this.#source = source
    this.#sourceView = viewOf(source)
    this.#sourceBase = kernelBase(source)
  }

  #grow(count: number): void {
    const larger = Buffer.allocUnsafeSlow(Math.max(this.length + count, this.#capacity * 2))
    this.bytes.copy(larger, 0, 0, this.length)
    this.bytes = larger
    this.#view = viewOf(larger)
    this.#base = kernelBase(larger)
    this.#capacity = larger.length
  }
}

/** A hash of the string at `at`, or `NO_STRING`. It looks at the length and three bytes only. */
function keyHash(source: Buffer, at: number): number {
  const byte = source[at]
  if (!isString(byte)) return NO_STRING
  const start = at + headerSize(byte)
  const length = contentCount(source, at)
  if (length === 0) return 1
  const middle = source[start + (length >> 1)]
  const mixed = (length << 24) ^ (source[start] << 16) ^ (middle << 8) ^ source[start + length - 1]
  return (Math.imul(mixed, 0x9e3779b1) >>> 7) | (1 << 26)
}

function isSameString(left: Buffer, leftAt: number, right: Buffer, rightAt: number): boolean {
  const length = contentCount(left, leftAt)
  if (contentCount(right, rightAt) !== length) return false
  const leftStart = leftAt + headerSize(left[leftAt])
  const rightStart = rightAt + headerSize(right[rightAt])
  for (let index = 0; index < length; index++) {
    if (left[leftStart + index] !== right[rightStart + index]) return false
  }
  return true
}

/** The text of the string at `at`, one character a byte; undefined for other types. */
function stringBytesAsLatin1(source: Buffer, at: number): string | undefined {
  if (!isString(source[at])) return undefined
  const start = at + headerSize(source[at])
  return source.latin1Slice(start, start + contentCount(source, at))
}

function lastPositions(source: Buffer, at: number, count: number): Map<string, number> {
  const lastAt = new Map<string, number>()
  for (let left = count; left > 0; left--) {
    const name = stringBytesAsLatin1(source, at)
    if (name !== undefined) lastAt.set(name, at)
    at = skip(source, skip(source, at))
  }
  return lastAt
}

function doubled(array: Int32Array<ArrayBuffer>): Int32Array<ArrayBuffer> {
  const larger = new Int32Array(array.length * 2)
  larger.set(array)
  return larger
}

function viewOf(bytes: Buffer): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
}
