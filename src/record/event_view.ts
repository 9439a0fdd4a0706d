/**
 * A view of one event that filters look at and edit without decoding it: for each top-level key and value, where its
 * MessagePack bytes lie. Editing moves these spans; `encode` copies them into the next chunk. What no filter
 * touches is copied byte for byte, so nothing that JavaScript cannot hold is lost.
 *
 * Spans point into one of three buffers: the batch that was loaded, the constants that filters encoded when they
 * were made, or scratch space that lives until the next event is loaded.
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
  EVENT_HEADER_BYTES,
  eventBodyAt,
  eventMetadataAt,
  eventNanoseconds,
  eventSeconds,
  writeTimestamp
} from './event.ts'

const BATCH = 0
const CONSTANT = 1
const SCRATCH = 2

/** All constants of all filters; they live as long as the process, as configurations are small. */
const constants = new MsgpackWriter(1024)

/** An encoded value that any event can refer to: its place among the constants. */
export interface Constant {
  readonly start: number
  readonly end: number
}

/** Encodes a value once, at start, for use in `append`, `replace` and `rename`. */
export function constant(value: Encodable): Constant {
  const start = constants.length
  constants.value(value)
  return { start, end: constants.length }
}

/** The name of a top-level key, encoded once for `find`. */
export class Key {
  readonly name: string
  readonly constant: Constant
  /** Where the text starts in the constant, after its header. */
  readonly textStart: number

  constructor(name: string) {
    this.name = name
    this.constant = constant(name)
    this.textStart = this.constant.end - Buffer.byteLength(name)
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
  /** Computed values are written here; see `scratchValue`. */
  readonly scratch = new MsgpackWriter(1024)

  #batch: Buffer = Buffer.alloc(0)
  #bodyAt = 0
  #bodyIsMap = true
  #seconds = 0
  #nanoseconds = 0
  #metadataStart = -1
  #capacity = 64
  #keyFrom = new Uint8Array(64)
  #keyStart = new Int32Array(64)
  #keyEnd = new Int32Array(64)
  #valueFrom = new Uint8Array(64)
  #valueStart = new Int32Array(64)
  #valueEnd = new Int32Array(64)

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

  /** Index of the first entry with this key, or -1. */
  find(key: Key): number {
    const wanted = constants.bytes
    const wantedStart = key.textStart
    const length = key.constant.end - wantedStart
    const { size } = this
    for (let index = 0; index < size; index++) {
      const keyStart = this.#keyStart[index]
      const spare = this.#keyEnd[index] - keyStart - length
      // The header of a string has 1 to 5 bytes, not always the shortest form.
      if (spare < 1 || spare > 5) continue
      const bytes = this.#buffer(this.#keyFrom[index])
      if (headerSize(bytes[keyStart]) !== spare || !isString(bytes[keyStart])) continue
      const at = keyStart + spare
      let offset = 0
      while (offset < length && bytes[at + offset] === wanted[wantedStart + offset]) offset++
      if (offset === length) return index
    }
    return -1
  }

  /** The buffer that holds the key of entry `index`, at `keyAt(index)`. */
  keyBuffer(index: number): Buffer {
    return this.#buffer(this.#keyFrom[index])
  }

  keyAt(index: number): number {
    return this.#keyStart[index]
  }

  /** The buffer that holds the value of entry `index`, from `valueAt(index)` to `valueEnd(index)`. */
  valueBuffer(index: number): Buffer {
    return this.#buffer(this.#valueFrom[index])
  }

  valueAt(index: number): number {
    return this.#valueStart[index]
  }

  valueEnd(index: number): number {
    return this.#valueEnd[index]
  }

  valueType(index: number): ValueType {
    return typeOf(this.#buffer(this.#valueFrom[index])[this.#valueStart[index]])
  }

  /** The key of entry `index` as text; undefined when it is not a string. */
  keyText(index: number): string | undefined {
    return textAt(this.#buffer(this.#keyFrom[index]), this.#keyStart[index])
  }

  /** The value of entry `index` as text; undefined when it is not a string. */
  valueText(index: number): string | undefined {
    return textAt(this.#buffer(this.#valueFrom[index]), this.#valueStart[index])
  }

  /** The value of entry `index`, decoded. */
  value(index: number): Decoded {
    return decode(this.#buffer(this.#valueFrom[index]), this.#valueStart[index])
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
    this.#keyFrom.copyWithin(index, index + 1, last + 1)
    this.#keyStart.copyWithin(index, index + 1, last + 1)
    this.#keyEnd.copyWithin(index, index + 1, last + 1)
    this.#valueFrom.copyWithin(index, index + 1, last + 1)
    this.#valueStart.copyWithin(index, index + 1, last + 1)
    this.#valueEnd.copyWithin(index, index + 1, last + 1)
  }

  /** Removes every entry. */
  clear(): void {
    this.size = 0
    this.modified = true
  }

  /** Appends an entry made of two constants. */
  append(key: Constant, value: Constant): void {
    const index = this.#open(this.size)
    this.#setKey(index, CONSTANT, key.start, key.end)
    this.#setValue(index, CONSTANT, value.start, value.end)
  }

  /** Appends a constant key with the value that was written to `scratch` from `start` on. */
  appendScratch(key: Constant, start: number): void {
    const index = this.#open(this.size)
    this.#setKey(index, CONSTANT, key.start, key.end)
    this.#setValue(index, SCRATCH, start, this.scratch.length)
  }

  /**
   * Appends an entry whose key and value were both written to `scratch`: the key from `keyStart`, the value from
   * `valueStart` on.
   */
  appendScratchPair(keyStart: number, valueStart: number): void {
    const index = this.#open(this.size)
    this.#setKey(index, SCRATCH, keyStart, valueStart)
    this.#setValue(index, SCRATCH, valueStart, this.scratch.length)
  }

  /**
   * Appends all pairs of the map at `at` of a buffer that is neither the batch nor scratch. They are copied to
   * scratch first. The map must be complete.
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
    let at = start + headerSize(bytes[start])
    for (let left = contentCount(bytes, start); left > 0; left--) {
      const valueAt = skip(bytes, at)
      const next = skip(bytes, valueAt)
      const index = this.#open(this.size)
      this.#setKey(index, SCRATCH, at, valueAt)
      this.#setValue(index, SCRATCH, valueAt, next)
      at = next
    }
  }

  /** Appends all pairs of the map that is the value of entry `index`. */
  appendInner(index: number): void {
    const from = this.#valueFrom[index]
    const bytes = this.#buffer(from)
    const start = this.#valueStart[index]
    let at = start + headerSize(bytes[start])
    for (let left = contentCount(bytes, start); left > 0; left--) {
      const valueAt = skip(bytes, at)
      const next = skip(bytes, valueAt)
      const added = this.#open(this.size)
      this.#setKey(added, from, at, valueAt)
      this.#setValue(added, from, valueAt, next)
      at = next
    }
  }

  /** Gives entry `index` another key. */
  rename(index: number, key: Constant): void {
    this.#setKey(index, CONSTANT, key.start, key.end)
    this.modified = true
  }

  /** Gives entry `index` the key that was written to `scratch` from `start` on. */
  renameWithScratch(index: number, start: number): void {
    this.#setKey(index, SCRATCH, start, this.scratch.length)
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
    const opened = this.#open(to)
    const source = index >= opened ? index + 1 : index
    this.#setKey(opened, CONSTANT, key.start, key.end)
    this.#setValue(
      opened,
      this.#valueFrom[source],
      this.#valueStart[source],
      this.#valueEnd[source]
    )
  }

  /** Moves entry `index` to position `to`, keeping the order of the others. */
  move(index: number, to: number): void {
    if (index === to) return
    const keyFrom = this.#keyFrom[index]
    const keyStart = this.#keyStart[index]
    const keyEnd = this.#keyEnd[index]
    const valueFrom = this.#valueFrom[index]
    const valueStart = this.#valueStart[index]
    const valueEnd = this.#valueEnd[index]
    this.remove(index)
    const opened = this.#open(to)
    this.#setKey(opened, keyFrom, keyStart, keyEnd)
    this.#setValue(opened, valueFrom, valueStart, valueEnd)
  }

  /** Writes key and value of entry `index` into `out`, as two MessagePack values. */
  writeEntry(index: number, out: MsgpackWriter): void {
    this.writeKey(index, out)
    this.writeValue(index, out)
  }

  writeKey(index: number, out: MsgpackWriter): void {
    out.raw(this.#buffer(this.#keyFrom[index]), this.#keyStart[index], this.#keyEnd[index])
  }

  writeValue(index: number, out: MsgpackWriter): void {
    out.raw(this.#buffer(this.#valueFrom[index]), this.#valueStart[index], this.#valueEnd[index])
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

  /** Writes the body as it is now. */
  encodeBody(out: MsgpackWriter): void {
    if (!this.#bodyIsMap) {
      out.raw(this.#batch, this.#bodyAt, this.end)
      return
    }
    const { size } = this
    out.mapHeader(size)
    // Neighbours that were neighbours in their buffer are copied in one go.
    let from = 0
    let start = 0
    let end = -1
    for (let index = 0; index < size; index++) {
      if (this.#keyFrom[index] !== from || this.#keyStart[index] !== end) {
        if (end > start) out.raw(this.#buffer(from), start, end)
        from = this.#keyFrom[index]
        start = this.#keyStart[index]
      }
      end = this.#keyEnd[index]
      if (this.#valueFrom[index] !== from || this.#valueStart[index] !== end) {
        out.raw(this.#buffer(from), start, end)
        from = this.#valueFrom[index]
        start = this.#valueStart[index]
      }
      end = this.#valueEnd[index]
    }
    if (end > start) out.raw(this.#buffer(from), start, end)
  }

  #encodeHeader(out: MsgpackWriter): void {
    out.reserve(EVENT_HEADER_BYTES)
    const at = out.length
    out.bytes[at] = 0x92
    out.bytes[at + 1] = 0x92
    writeTimestamp(out.bytes, at + 2, this.#seconds, this.#nanoseconds)
    out.length = eventMetadataAt(at)
    if (this.#metadataStart >= 0) {
      const { bytes } = this.scratch
      out.raw(bytes, this.#metadataStart, skip(bytes, this.#metadataStart))
    } else {
      out.raw(this.#batch, eventMetadataAt(this.start), this.#bodyAt)
    }
  }

  /** Notes where the entries of the map at `at` lie; returns the position after the map. */
  #index(batch: Buffer, at: number): number {
    const count = contentCount(batch, at)
    if (count > this.#capacity) this.#grow(count)
    let position = at + headerSize(batch[at])
    for (let index = 0; index < count; index++) {
      this.#keyFrom[index] = BATCH
      this.#valueFrom[index] = BATCH
      this.#keyStart[index] = position
      position = skip(batch, position)
      this.#keyEnd[index] = position
      this.#valueStart[index] = position
      position = skip(batch, position)
      this.#valueEnd[index] = position
    }
    this.size = count
    return position
  }

  #buffer(from: number): Buffer {
    if (from === BATCH) return this.#batch
    return from === CONSTANT ? constants.bytes : this.scratch.bytes
  }

  #setKey(index: number, from: number, start: number, end: number): void {
    this.#keyFrom[index] = from
    this.#keyStart[index] = start
    this.#keyEnd[index] = end
  }

  #setValue(index: number, from: number, start: number, end: number): void {
    this.#valueFrom[index] = from
    this.#valueStart[index] = start
    this.#valueEnd[index] = end
  }

  /** Makes room for an entry at `index`; later entries move down by one. */
  #open(index: number): number {
    const { size } = this
    if (size === this.#capacity) this.#grow(size + 1)
    if (index < size) {
      this.#keyFrom.copyWithin(index + 1, index, size)
      this.#keyStart.copyWithin(index + 1, index, size)
      this.#keyEnd.copyWithin(index + 1, index, size)
      this.#valueFrom.copyWithin(index + 1, index, size)
      this.#valueStart.copyWithin(index + 1, index, size)
      this.#valueEnd.copyWithin(index + 1, index, size)
    }
    this.size = size + 1
    this.modified = true
    return index
  }

  #grow(count: number): void {
    const capacity = Math.max(count, this.#capacity * 2)
    this.#keyFrom = extended(this.#keyFrom, new Uint8Array(capacity))
    this.#keyStart = extended(this.#keyStart, new Int32Array(capacity))
    this.#keyEnd = extended(this.#keyEnd, new Int32Array(capacity))
    this.#valueFrom = extended(this.#valueFrom, new Uint8Array(capacity))
    this.#valueStart = extended(this.#valueStart, new Int32Array(capacity))
    this.#valueEnd = extended(this.#valueEnd, new Int32Array(capacity))
    this.#capacity = capacity
  }
}

function extended<T extends Uint8Array | Int32Array>(old: T, larger: T): T {
  larger.set(old)
  return larger
}

function textAt(bytes: Buffer, at: number): string | undefined {
  const byte = bytes[at]
  if (!isString(byte)) return undefined
  const start = at + headerSize(byte)
  return bytesToString(bytes, start, start + contentCount(bytes, at))
}
