/**
 * A view of one event that filters look at and edit without decoding it: for each top-level key and
 * value, where its MessagePack bytes lie. Editing moves these spans; `encode` copies them into the
 * next chunk. What no filter touches is copied byte for byte, so nothing that JavaScript cannot
 * hold is lost.
 *
 * Spans point into one of three buffers: the batch that was loaded, the constants that filters
 * encoded when they were made, or scratch space that lives until the next event is loaded.
 *
 * @hot bench/pipelines.ts
 */
import {
  bytesToString,
  contentCount,
  decode,
  type Decoded,
  headerSize,
  isMap,
  isString,
  skip,
  typeOf,
  type ValueType
} from '../codec/msgpack_reader.ts'
import { type Encodable, MsgpackWriter } from '../codec/msgpack_writer.ts'
import {
  eventBodyAt,
  eventMetadataAt,
  eventNanoseconds,
  eventSeconds,
  writeEventHeader
} from './event.ts'
import { type KeyPattern, keyPrint } from './key_pattern.ts'

const BATCH = 0
const CONSTANT = 1
const SCRATCH = 2

/**
 * An entry is seven numbers in one array: where its key lies (buffer, start, end), where its value
 * does, and the print of the key. With one array a removal or an insertion is one move of memory:
 * 25 ns, against 130 ns with an array for each number.
 */
const SPAN = 7
const KEY_START = 1
const KEY_END = 2
const VALUE_FROM = 3
const VALUE_START = 4
const VALUE_END = 5
const KEY_PRINT = 6

/** Entries that a new view has room for. */
const ENTRIES_FIRST = 64

/** All constants of all filters; they live as long as the process, as configurations are small. */
const constants = new MsgpackWriter(1024)

/** An encoded value that any event can refer to: its place among the constants. */
export interface Constant {
  readonly start: number
  readonly end: number
  /** Its print as a key; see `keyPrint`. */
  readonly print: number
}

/** Encodes a value once, at start, for use in `append`, `replace` and `rename`. */
export function constant(value: Encodable): Constant {
  const start = constants.length
  constants.value(value)
  const end = constants.length
  return { start, end, print: keyPrint(constants.bytes, start, end) }
}

/** The name of a top-level key, encoded once for `find`. */
export class Key {
  readonly name: string
  readonly constant: Constant
  /** The name in UTF-8. */
  readonly bytes: Buffer

  constructor(name: string) {
    this.name = name
    this.constant = constant(name)
    this.bytes = Buffer.from(name)
  }
}

export class EventView {
  /** Number of top-level entries; 0 when the body is not a map. */
  size = 0
  /** True when an edit makes the event differ from the loaded bytes. */
  modified = false
  /** Where the loaded event starts and ends in the batch. */
  start = 0
  end = 0
  /**
   * Computed keys and values are written here and then put in place, as with `appendScratch`;
   * emptied by `load`.
   */
  readonly scratch = new MsgpackWriter(1024)

  #batch: Buffer = Buffer.alloc(0)
  #bodyAt = 0
  #bodyIsMap = true
  #seconds = 0
  #nanoseconds = 0
  #metadataStart = -1
  #spans = new Int32Array(ENTRIES_FIRST * SPAN)

  /** Loads the event at `at`; afterwards `end` is the position of the next one. */
  load(batch: Buffer, at: number): void {
    this.#batch = batch
    this.start = at
    this.modified = false
    this.scratch.length = 0
    this.#metadataStart = -1
    this.#seconds = eventSeconds(batch, at)
    this.#nanoseconds = eventNanoseconds(batch, at)
    const bodyAt = eventBodyAt(batch, at)
    this.#bodyAt = bodyAt
    this.#bodyIsMap = isMap(batch[bodyAt])
    if (this.#bodyIsMap) {
      this.end = this.#index(batch, bodyAt)
    } else {
      this.size = 0
      this.end = skip(batch, bodyAt)
    }
  }

  /** Seconds of the event time since the epoch. */
  get seconds(): number {
    return this.#seconds
  }

  /** Nanoseconds within the second. */
  get nanoseconds(): number {
    return this.#nanoseconds
  }

  /** False for the rare body that is not a map; it can only be kept or dropped. */
  get bodyIsMap(): boolean {
    return this.#bodyIsMap
  }

  setTime(seconds: number, nanoseconds: number): void {
    this.#seconds = seconds
    this.#nanoseconds = nanoseconds
    this.modified = true
  }

  /** The event's metadata, decoded; an empty map for nearly every event. */
  metadata(): Decoded {
    if (this.#metadataStart >= 0) return decode(this.scratch.bytes, this.#metadataStart)
    return decode(this.#batch, eventMetadataAt(this.start))
  }

  /** Replaces the metadata, which must be a map. */
  setMetadata(value: Encodable): void {
    this.#metadataStart = this.scratch.length
    this.scratch.value(value)
    this.modified = true
  }

  /**
   * Index of the first entry at or after `from` with this key, which must be a string; -1 when
   * there is none.
   */
  find(key: Key, from = 0): number {
    const { bytes } = key
    const { print } = key.constant
    const spans = this.#spans
    const end = this.size
    for (let index = from, span = from * SPAN; index < end; index++, span += SPAN) {
      if (spans[span + KEY_PRINT] !== print) continue
      const source = this.#buffer(spans[span])
      if (!isString(source[spans[span + KEY_START]])) continue
      if (endsWith(source, spans[span + KEY_END], bytes)) return index
    }
    return -1
  }

  /**
   * Index of the first entry at or after `from` whose key, string or binary, matches; -1 when there
   * is none.
   */
  findMatching(pattern: KeyPattern, from = 0): number {
    const { print, mask } = pattern
    const spans = this.#spans
    const end = this.size
    for (let index = from, span = from * SPAN; index < end; index++, span += SPAN) {
      if ((spans[span + KEY_PRINT] & mask) !== print) continue
      if (pattern.matches(this.#buffer(spans[span]), spans[span + KEY_START])) return index
    }
    return -1
  }

  /** True when the key of entry `index` matches the pattern. */
  keyMatches(index: number, pattern: KeyPattern): boolean {
    return pattern.matches(this.keyBuffer(index), this.keyAt(index))
  }

  /** True when the key of entry `index` matches one of the patterns. */
  keyMatchesAny(index: number, patterns: readonly KeyPattern[]): boolean {
    const spans = this.#spans
    const span = index * SPAN
    const print = spans[span + KEY_PRINT]
    for (let position = 0; position < patterns.length; position++) {
      const pattern = patterns[position]
      if ((print & pattern.mask) !== pattern.print) continue
      if (pattern.matches(this.#buffer(spans[span]), spans[span + KEY_START])) return true
    }
    return false
  }

  /** The buffer that holds the key of entry `index`, from `keyAt(index)` to `keyEnd(index)`. */
  keyBuffer(index: number): Buffer {
    return this.#buffer(this.#spans[index * SPAN])
  }

  keyAt(index: number): number {
    return this.#spans[index * SPAN + KEY_START]
  }

  keyEnd(index: number): number {
    return this.#spans[index * SPAN + KEY_END]
  }

  /**
   * The buffer that holds the value of entry `index`, from `valueAt(index)` to `valueEnd(index)`.
   */
  valueBuffer(index: number): Buffer {
    return this.#buffer(this.#spans[index * SPAN + VALUE_FROM])
  }

  valueAt(index: number): number {
    return this.#spans[index * SPAN + VALUE_START]
  }

  valueEnd(index: number): number {
    return this.#spans[index * SPAN + VALUE_END]
  }

  valueType(index: number): ValueType {
    return typeOf(this.valueBuffer(index)[this.valueAt(index)])
  }

  /** The key of entry `index` as text; undefined when it is not a string. */
  keyText(index: number): string | undefined {
    return textAt(this.keyBuffer(index), this.keyAt(index))
  }

  /** The value of entry `index` as text; undefined when it is not a string. */
  valueText(index: number): string | undefined {
    return textAt(this.valueBuffer(index), this.valueAt(index))
  }

  /** The value of entry `index`, decoded. */
  value(index: number): Decoded {
    return decode(this.valueBuffer(index), this.valueAt(index))
  }

  /** The decoded value of a key, or undefined when the event has none. */
  get(key: Key): Decoded | undefined {
    const index = this.find(key)
    return index < 0 ? undefined : this.value(index)
  }

  /** Sets a key to a value: in place when the key exists, else at the end. */
  set(key: Key, value: Encodable): void {
    const index = this.find(key)
    const start = this.scratch.length
    this.scratch.value(value)
    if (index < 0) this.appendScratch(key.constant, start)
    else this.replaceWithScratch(index, start)
  }

  /** Removes entry `index`; later entries move up by one. */
  remove(index: number): void {
    const last = --this.size
    this.modified = true
    if (index === last) return
    this.#spans.copyWithin(index * SPAN, (index + 1) * SPAN, (last + 1) * SPAN)
  }

  /** Removes every entry whose key matches the pattern. */
  removeMatching(pattern: KeyPattern): void {
    let index = this.findMatching(pattern)
    for (; index >= 0; index = this.findMatching(pattern, index)) this.remove(index)
  }

  /** Removes every entry whose key matches none of the patterns. */
  retainMatching(patterns: readonly KeyPattern[]): void {
    let kept = 0
    for (let index = 0; index < this.size; index++) {
      if (this.keyMatchesAny(index, patterns)) this.#copyEntry(index, kept++)
    }
    this.truncate(kept)
  }

  /**
   * Writes keys and values of the entries whose key matches one of the patterns and removes them;
   * returns how many.
   */
  takeMatching(patterns: readonly KeyPattern[], out: MsgpackWriter): number {
    const { size } = this
    let kept = 0
    for (let index = 0; index < size; index++) {
      if (this.keyMatchesAny(index, patterns)) this.writeEntry(index, out)
      else this.#copyEntry(index, kept++)
    }
    this.truncate(kept)
    return size - kept
  }

  /** Removes the entries from index `size` on. */
  truncate(size: number): void {
    if (size >= this.size) return
    this.size = size
    this.modified = true
  }

  /** Appends an entry made of two constants. */
  append(key: Constant, value: Constant): void {
    const index = this.#open()
    this.#setKey(index, CONSTANT, key.start, key.end, key.print)
    this.#setValue(index, CONSTANT, value.start, value.end)
  }

  /** Appends a constant key with the value that was written to `scratch` from `start` on. */
  appendScratch(key: Constant, start: number): void {
    const index = this.#open()
    this.#setKey(index, CONSTANT, key.start, key.end, key.print)
    this.#setValue(index, SCRATCH, start, this.scratch.length)
  }

  /**
   * Appends an entry whose key and value were both written to `scratch`: the key from `keyStart`,
   * the value from `valueStart` on.
   */
  appendScratchPair(keyStart: number, valueStart: number): void {
    const index = this.#open()
    this.#setScratchKey(index, keyStart, valueStart)
    this.#setValue(index, SCRATCH, valueStart, this.scratch.length)
  }

  /**
   * Appends all pairs of the map at `at` of a buffer that is neither the batch nor scratch. They
   * are copied to scratch first. The map must be complete.
   */
  appendMap(source: Buffer, at: number): void {
    const { scratch } = this
    const from = scratch.length
    scratch.raw(source, at, skip(source, at))
    this.appendScratchMap(from)
  }

  /** Appends all pairs of the map that was written to `scratch` at `start`. */
  appendScratchMap(start: number): void {
    const { bytes } = this.scratch
    const count = contentCount(bytes, start)
    const index = this.size
    this.#openMany(index, count)
    this.#setPairs(index, count, SCRATCH, bytes, start + headerSize(bytes[start]))
  }

  /** Puts all pairs of the map that was written to `scratch` at `start` before the entries. */
  prependScratchMap(start: number): void {
    const { bytes } = this.scratch
    const count = contentCount(bytes, start)
    this.#openMany(0, count)
    this.#setPairs(0, count, SCRATCH, bytes, start + headerSize(bytes[start]))
  }

  /** Appends all pairs of the map that is the value of entry `index`. */
  appendInner(index: number): void {
    const from = this.#spans[index * SPAN + VALUE_FROM]
    const bytes = this.#buffer(from)
    const start = this.valueAt(index)
    const count = contentCount(bytes, start)
    const first = this.size
    this.#openMany(first, count)
    this.#setPairs(first, count, from, bytes, start + headerSize(bytes[start]))
  }

  /** Gives entry `index` another key. */
  rename(index: number, key: Constant): void {
    this.#setKey(index, CONSTANT, key.start, key.end, key.print)
    this.modified = true
  }

  /** Gives entry `index` the key that was written to `scratch` from `start` on. */
  renameWithScratch(index: number, start: number): void {
    this.#setScratchKey(index, start, this.scratch.length)
    this.modified = true
  }

  /** Gives entry `index` a constant value. */
  replace(index: number, value: Constant): void {
    this.#setValue(index, CONSTANT, value.start, value.end)
    this.modified = true
  }

  /** Gives entry `index` the value that was written to `scratch` from `start` on. */
  replaceWithScratch(index: number, start: number): void {
    this.#setValue(index, SCRATCH, start, this.scratch.length)
    this.modified = true
  }

  /** Copies entry `index` to position `to` under another key; entries from `to` on move down. */
  copyTo(index: number, to: number, key: Constant): void {
    this.#openMany(to, 1)
    const spans = this.#spans
    const source = (index >= to ? index + 1 : index) * SPAN
    this.#setKey(to, CONSTANT, key.start, key.end, key.print)
    this.#setValue(
      to,
      spans[source + VALUE_FROM],
      spans[source + VALUE_START],
      spans[source + VALUE_END]
    )
  }

  /** Moves entry `index` to position `to`, keeping the order of the others. */
  move(index: number, to: number): void {
    if (index === to) return
    const spans = this.#spans
    const span = index * SPAN
    const keyFrom = spans[span]
    const keyStart = spans[span + KEY_START]
    const keyEnd = spans[span + KEY_END]
    const valueFrom = spans[span + VALUE_FROM]
    const valueStart = spans[span + VALUE_START]
    const valueEnd = spans[span + VALUE_END]
    const print = spans[span + KEY_PRINT]
    if (index < to) spans.copyWithin(span, span + SPAN, (to + 1) * SPAN)
    else spans.copyWithin((to + 1) * SPAN, to * SPAN, span)
    this.#setKey(to, keyFrom, keyStart, keyEnd, print)
    this.#setValue(to, valueFrom, valueStart, valueEnd)
    this.modified = true
  }

  /** Writes key and value of entry `index` into `out`, as two MessagePack values. */
  writeEntry(index: number, out: MsgpackWriter): void {
    const spans = this.#spans
    const span = index * SPAN
    if (
      spans[span] === spans[span + VALUE_FROM] &&
      spans[span + KEY_END] === spans[span + VALUE_START]
    ) {
      out.raw(this.#buffer(spans[span]), spans[span + KEY_START], spans[span + VALUE_END])
      return
    }
    this.writeKey(index, out)
    this.writeValue(index, out)
  }

  writeKey(index: number, out: MsgpackWriter): void {
    out.raw(this.keyBuffer(index), this.keyAt(index), this.keyEnd(index))
  }

  writeValue(index: number, out: MsgpackWriter): void {
    out.raw(this.valueBuffer(index), this.valueAt(index), this.valueEnd(index))
  }

  /** Writes the event as it is now. */
  encode(out: MsgpackWriter): void {
    if (!this.modified) {
      out.raw(this.#batch, this.start, this.end)
      return
    }
    this.#encodeHeader(out)
    this.encodeBody(out)
  }

  /** Writes the metadata as it is now: a map, empty for nearly every event. */
  encodeMetadata(out: MsgpackWriter): void {
    if (this.#metadataStart >= 0) {
      const { bytes } = this.scratch
      out.raw(bytes, this.#metadataStart, skip(bytes, this.#metadataStart))
    } else {
      out.raw(this.#batch, eventMetadataAt(this.start), this.#bodyAt)
    }
  }

  /** Writes the body as it is now. */
  encodeBody(out: MsgpackWriter): void {
    if (!this.#bodyIsMap) {
      out.raw(this.#batch, this.#bodyAt, this.end)
      return
    }
    out.mapHeader(this.size)
    // Neighbours that were neighbours in their buffer are copied in one go.
    const spans = this.#spans
    let from = BATCH
    let start = 0
    let end = 0
    for (let span = 0, last = this.size * SPAN; span < last; span += SPAN) {
      if (spans[span] !== from || spans[span + KEY_START] !== end) {
        if (end > start) out.raw(this.#buffer(from), start, end)
        from = spans[span]
        start = spans[span + KEY_START]
      }
      end = spans[span + KEY_END]
      if (spans[span + VALUE_FROM] !== from || spans[span + VALUE_START] !== end) {
        out.raw(this.#buffer(from), start, end)
        from = spans[span + VALUE_FROM]
        start = spans[span + VALUE_START]
      }
      end = spans[span + VALUE_END]
    }
    if (end > start) out.raw(this.#buffer(from), start, end)
  }

  #encodeHeader(out: MsgpackWriter): void {
    writeEventHeader(out, this.#seconds, this.#nanoseconds)
    const metadataAt = eventMetadataAt(this.start)
    if (this.#metadataStart < 0 && this.#bodyAt === metadataAt + 1) return
    // Not the empty map that the header ends with.
    out.length--
    this.encodeMetadata(out)
  }

  /** Notes where the entries of the map at `at` lie; returns the position after the map. */
  #index(batch: Buffer, at: number): number {
    const count = contentCount(batch, at)
    if (count * SPAN > this.#spans.length) this.#grow(count)
    this.size = count
    return this.#setPairs(0, count, BATCH, batch, at + headerSize(batch[at]))
  }

  /**
   * Notes `count` pairs that follow each other in a buffer from `position` on; returns the position
   * after them.
   */
  #setPairs(index: number, count: number, from: number, bytes: Buffer, position: number): number {
    const spans = this.#spans
    const end = (index + count) * SPAN
    for (let span = index * SPAN; span < end; span += SPAN) {
      spans[span] = from
      spans[span + KEY_START] = position
      // Most keys and values are short strings: worth a test in place instead of a call.
      const first = bytes[position]
      if ((first & 0xe0) === 0xa0 && first !== 0xa0) {
        const end = position + first - 0x9f
        spans[span + KEY_PRINT] =
          ((first & 0x1f) << 16) | (bytes[position + 1] << 8) | bytes[end - 1]
        position = end
      } else {
        const end = skip(bytes, position)
        spans[span + KEY_PRINT] = keyPrint(bytes, position, end)
        position = end
      }
      spans[span + KEY_END] = position
      spans[span + VALUE_FROM] = from
      spans[span + VALUE_START] = position
      const second = bytes[position]
      position = (second & 0xe0) === 0xa0 ? position + second - 0x9f : skip(bytes, position)
      spans[span + VALUE_END] = position
    }
    return position
  }

  #buffer(from: number): Buffer {
    if (from === BATCH) return this.#batch
    return from === CONSTANT ? constants.bytes : this.scratch.bytes
  }

  #setKey(index: number, from: number, start: number, end: number, print: number): void {
    const spans = this.#spans
    const span = index * SPAN
    spans[span] = from
    spans[span + KEY_START] = start
    spans[span + KEY_END] = end
    spans[span + KEY_PRINT] = print
  }

  /** Gives entry `index` the key in scratch that starts at `start` and ends at `end`. */
  #setScratchKey(index: number, start: number, end: number): void {
    this.#setKey(index, SCRATCH, start, end, keyPrint(this.scratch.bytes, start, end))
  }

  #setValue(index: number, from: number, start: number, end: number): void {
    const spans = this.#spans
    const span = index * SPAN
    spans[span + VALUE_FROM] = from
    spans[span + VALUE_START] = start
    spans[span + VALUE_END] = end
  }

  /** Copies entry `index` over entry `to`; faster than `copyWithin` for a single one. */
  #copyEntry(index: number, to: number): void {
    if (index === to) return
    const spans = this.#spans
    const source = index * SPAN
    const target = to * SPAN
    for (let part = 0; part < SPAN; part++) spans[target + part] = spans[source + part]
  }

  /** Makes room for an entry at the end; returns its index. */
  #open(): number {
    const { size } = this
    if ((size + 1) * SPAN > this.#spans.length) this.#grow(size + 1)
    this.size = size + 1
    this.modified = true
    return size
  }

  /** Makes room for `count` entries at `index`; later entries move down. */
  #openMany(index: number, count: number): void {
    const size = this.size + count
    if (size * SPAN > this.#spans.length) this.#grow(size)
    if (index < this.size) {
      this.#spans.copyWithin((index + count) * SPAN, index * SPAN, this.size * SPAN)
    }
    this.size = size
    this.modified = true
  }

  #grow(count: number): void {
    const larger = new Int32Array(Math.max(count * SPAN, this.#spans.length * 2))
    larger.set(this.#spans)
    this.#spans = larger
  }
}

function endsWith(bytes: Buffer, end: number, text: Buffer): boolean {
  const start = end - text.length
  for (let offset = 0; offset < text.length; offset++) {
    if (bytes[start + offset] !== text[offset]) return false
  }
  return true
}

function textAt(bytes: Buffer, at: number): string | undefined {
  const byte = bytes[at]
  if (!isString(byte)) return undefined
  const start = at + headerSize(byte)
  return bytesToString(bytes, start, start + contentCount(bytes, at))
}
