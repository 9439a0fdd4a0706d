/**
 * MessagePack encoder over one growable buffer.
 * Source: the MessagePack specification; integers and lengths take their shortest form, as msgpack-c packs them.
 *
 * @hot bench/pipelines.ts
 */

const FLOAT = new Float64Array(1)
const FLOAT_BYTES = new Uint8Array(FLOAT.buffer)
const FLOAT_BITS = new BigUint64Array(FLOAT.buffer)

/** Below this many bytes a copy loop beats `latin1Write` and `copy`, which cross into C++. */
const LOOP_COPY_LIMIT = 24

/** A double that must stay a double even when its value is a whole number. */
export class Float {
  readonly value: number

  constructor(value: number) {
    this.value = value
  }
}

/** An extension value: type -128 to 127 and its payload. */
export class Extension {
  readonly type: number
  readonly data: Buffer

  constructor(type: number, data: Buffer) {
    this.type = type
    this.data = data
  }
}

/**
 * What can be written from JavaScript. Whole numbers become integers, others doubles; `Float` forces a double,
 * `Uint8Array` is binary data, a `Map` keeps keys that an object cannot hold.
 */
export type Encodable =
  | null
  | undefined
  | boolean
  | number
  | bigint
  | string
  | Float
  | Extension
  | Uint8Array
  | readonly Encodable[]
  | ReadonlyMap<Encodable, Encodable>
  | { readonly [key: string]: Encodable }

export class MsgpackWriter {
  /** The buffer in use; replaced when it grows, so read it anew after a write. */
  bytes: Buffer
  /** Bytes written; set it back to undo what was written after. */
  length = 0

  /** Starts empty, over a new buffer of `capacity` bytes or over a buffer that the caller gives up. */
  constructor(capacity: number | Buffer = 4096) {
    this.bytes = typeof capacity === 'number' ? Buffer.allocUnsafeSlow(capacity) : capacity
  }

  /** Makes room for `count` more bytes. */
  reserve(count: number): void {
    if (this.length + count > this.bytes.length) this.#grow(count)
  }

  /** Goes on in another buffer, which must be larger than what is written; the old one is free. */
  moveTo(buffer: Buffer): void {
    this.bytes.copy(buffer, 0, 0, this.length)
    this.bytes = buffer
  }

  /** The written bytes, shared with the writer until it grows or is reset. */
  written(): Buffer {
    return this.bytes.subarray(0, this.length)
  }

  nil(): void {
    this.#byte(0xc0)
  }

  boolean(value: boolean): void {
    this.#byte(value ? 0xc3 : 0xc2)
  }

  /** Writes a whole number; |value| <= 2^53. */
  integer(value: number): void {
    this.reserve(9)
    if (value >= 0) this.#unsigned(value)
    else this.#negative(value)
  }

  /** Writes a 64-bit integer; values outside [-2^63, 2^64) are a bug of the caller. */
  bigint(value: bigint): void {
    if (value >= -9007199254740992n && value <= 9007199254740992n) {
      this.integer(Number(value))
      return
    }
    // `writeBigUInt64BE` is several times slower: it calculates with bigint.
    FLOAT_BITS[0] = value
    this.#eightBytes(value > 0n ? 0xcf : 0xd3)
  }

  double(value: number): void {
    FLOAT[0] = value
    this.#eightBytes(0xcb)
  }

  arrayHeader(count: number): void {
    this.#containerHeader(count, 0x90, 0xdc)
  }

  mapHeader(count: number): void {
    this.#containerHeader(count, 0x80, 0xde)
  }

  /** Writes the header of a string of `byteLength` bytes, which the caller writes next. */
  stringHeader(byteLength: number): void {
    this.reserve(byteLength + 5)
    const { bytes } = this
    if (byteLength < 32) {
      bytes[this.length++] = 0xa0 | byteLength
    } else if (byteLength < 256) {
      bytes[this.length++] = 0xd9
      bytes[this.length++] = byteLength
    } else if (byteLength < 65536) {
      bytes[this.length++] = 0xda
      this.#uint16(byteLength)
    } else {
      bytes[this.length++] = 0xdb
      this.#uint32(byteLength)
    }
  }

  string(value: string): void {
    const { length } = value
    if (length <= LOOP_COPY_LIMIT) {
      this.#shortString(value)
      return
    }
    const byteLength = Buffer.byteLength(value)
    this.stringHeader(byteLength)
    this.length +=
      byteLength === length
        ? this.bytes.latin1Write(value, this.length)
        : this.bytes.utf8Write(value, this.length)
  }

  /** Writes a string whose char codes are its bytes (ASCII text, or bytes decoded as latin1). */
  latin1String(value: string): void {
    const { length } = value
    this.stringHeader(length)
    if (length > LOOP_COPY_LIMIT) {
      this.length += this.bytes.latin1Write(value, this.length)
      return
    }
    const { bytes } = this
    let at = this.length
    for (let index = 0; index < length; index++) bytes[at++] = value.charCodeAt(index)
    this.length = at
  }

  /** Writes a string from its bytes, valid UTF-8 or not. */
  stringBytes(source: Buffer, start: number, end: number): void {
    this.stringHeader(end - start)
    this.raw(source, start, end)
  }

  binary(value: Uint8Array): void {
    const { length } = value
    this.reserve(length + 5)
    if (length < 256) {
      this.bytes[this.length++] = 0xc4
      this.bytes[this.length++] = length
    } else if (length < 65536) {
      this.bytes[this.length++] = 0xc5
      this.#uint16(length)
    } else {
      this.bytes[this.length++] = 0xc6
      this.#uint32(length)
    }
    this.bytes.set(value, this.length)
    this.length += length
  }

  extension(value: Extension): void {
    const { length } = value.data
    this.reserve(length + 6)
    const fixed = [1, 2, 4, 8, 16].indexOf(length)
    if (fixed >= 0) {
      this.bytes[this.length++] = 0xd4 + fixed
    } else if (length < 256) {
      this.bytes[this.length++] = 0xc7
      this.bytes[this.length++] = length
    } else if (length < 65536) {
      this.bytes[this.length++] = 0xc8
      this.#uint16(length)
    } else {
      this.bytes[this.length++] = 0xc9
      this.#uint32(length)
    }
    this.bytes[this.length++] = value.type & 0xff
    this.raw(value.data, 0, length)
  }

  /** Copies bytes as they are: an encoded value, or part of one. */
  raw(source: Buffer, start: number, end: number): void {
    const count = end - start
    this.reserve(count)
    const { bytes } = this
    if (count > LOOP_COPY_LIMIT) {
      source.copy(bytes, this.length, start, end)
      this.length += count
      return
    }
    let at = this.length
    for (let index = start; index < end; index++) bytes[at++] = source[index]
    this.length = at
  }

  /**
   * Starts a map whose size is not known yet; pass the result to `endMap`.
   */
  beginMap(): number {
    this.#byte(0x80)
    return this.length - 1
  }

  /** Completes a map started at `position` that holds `count` pairs; 16 and more move its content by 2 to 4 bytes. */
  endMap(position: number, count: number): void {
    if (count < 16) {
      this.bytes[position] = 0x80 | count
      return
    }
    const extra = count < 65536 ? 2 : 4
    this.reserve(extra)
    this.bytes.copyWithin(position + 1 + extra, position + 1, this.length)
    this.bytes[position] = extra === 2 ? 0xde : 0xdf
    if (extra === 2) this.bytes.writeUInt16BE(count, position + 1)
    else this.bytes.writeUInt32BE(count, position + 1)
    this.length += extra
  }

  /**
   * Adds `extra` pairs, which were written after it, to the last map of the buffer.
   *
   * @param position Where the map starts.
   */
  extendMap(position: number, extra: number): void {
    const byte = this.bytes[position]
    if (byte < 0x90) {
      this.bytes[position] = 0x80
      this.endMap(position, (byte & 0x0f) + extra)
    } else if (byte === 0xde && this.bytes.readUInt16BE(position + 1) + extra < 65536) {
      this.bytes.writeUInt16BE(this.bytes.readUInt16BE(position + 1) + extra, position + 1)
    } else if (byte === 0xdf) {
      this.bytes.writeUInt32BE(this.bytes.readUInt32BE(position + 1) + extra, position + 1)
    } else {
      const count = this.bytes.readUInt16BE(position + 1) + extra
      this.reserve(2)
      this.bytes.copyWithin(position + 5, position + 3, this.length)
      this.bytes[position] = 0xdf
      this.bytes.writeUInt32BE(count, position + 1)
      this.length += 2
    }
  }

  /** Writes any JavaScript value; a bug to call with a function or a symbol. */
  value(value: Encodable): void {
    switch (typeof value) {
      case 'string':
        return this.string(value)
      case 'number':
        return Number.isSafeInteger(value) && !Object.is(value, -0)
          ? this.integer(value)
          : this.double(value)
      case 'boolean':
        return this.boolean(value)
      case 'bigint':
        return this.bigint(value)
      case 'object':
        return value === null ? this.nil() : this.#object(value)
      default:
        return this.nil()
    }
  }

  #object(value: Exclude<Encodable, null | undefined | boolean | number | bigint | string>): void {
    if (value instanceof Float) {
      this.double(value.value)
    } else if (Array.isArray(value)) {
      this.arrayHeader(value.length)
      for (const item of value) this.value(item)
    } else if (value instanceof Uint8Array) {
      this.binary(value)
    } else if (value instanceof Map) {
      this.mapHeader(value.size)
      for (const [key, item] of value) {
        this.value(key as Encodable)
        this.value(item as Encodable)
      }
    } else if (value instanceof Extension) {
      this.extension(value)
    } else {
      const entries = Object.entries(value as Record<string, Encodable>)
      this.mapHeader(entries.length)
      for (const [key, item] of entries) {
        this.string(key)
        this.value(item)
      }
    }
  }

  #shortString(value: string): void {
    this.reserve(LOOP_COPY_LIMIT * 3 + 5)
    const { bytes } = this
    const { length } = value
    let at = this.length + 1
    for (let index = 0; index < length; index++) {
      const code = value.charCodeAt(index)
      if (code > 0x7f) {
        const byteLength = Buffer.byteLength(value)
        this.stringHeader(byteLength)
        this.length += bytes.utf8Write(value, this.length)
        return
      }
      bytes[at++] = code
    }
    bytes[this.length] = 0xa0 | length
    this.length = at
  }

  /** Writes what FLOAT holds. */
  #eightBytes(header: number): void {
    this.reserve(9)
    const { bytes } = this
    let at = this.length
    bytes[at++] = header
    for (let index = 7; index >= 0; index--) bytes[at++] = FLOAT_BYTES[index]
    this.length = at
  }

  #byte(value: number): void {
    this.reserve(1)
    this.bytes[this.length++] = value
  }

  #uint16(value: number): void {
    this.bytes[this.length++] = value >>> 8
    this.bytes[this.length++] = value & 0xff
  }

  #uint32(value: number): void {
    this.#uint16(value >>> 16)
    this.#uint16(value & 0xffff)
  }

  #unsigned(value: number): void {
    const { bytes } = this
    if (value < 128) {
      bytes[this.length++] = value
    } else if (value < 256) {
      bytes[this.length++] = 0xcc
      bytes[this.length++] = value
    } else if (value < 65536) {
      bytes[this.length++] = 0xcd
      this.#uint16(value)
    } else if (value < 4294967296) {
      bytes[this.length++] = 0xce
      this.#uint32(value)
    } else {
      bytes[this.length++] = 0xcf
      this.#uint32(Math.floor(value / 4294967296))
      this.#uint32(value % 4294967296)
    }
  }

  #negative(value: number): void {
    const { bytes } = this
    if (value >= -32) {
      bytes[this.length++] = value & 0xff
    } else if (value >= -128) {
      bytes[this.length++] = 0xd0
      bytes[this.length++] = value & 0xff
    } else if (value >= -32768) {
      bytes[this.length++] = 0xd1
      this.#uint16(value & 0xffff)
    } else if (value >= -2147483648) {
      bytes[this.length++] = 0xd2
      this.#uint32(value >>> 0)
    } else {
      bytes[this.length++] = 0xd3
      bytes.writeBigInt64BE(BigInt(value), this.length)
      this.length += 8
    }
  }

  #containerHeader(count: number, fixed: number, wide: number): void {
    this.reserve(5)
    const { bytes } = this
    if (count < 16) {
      bytes[this.length++] = fixed | count
    } else if (count < 65536) {
      bytes[this.length++] = wide
      this.#uint16(count)
    } else {
      bytes[this.length++] = wide + 1
      this.#uint32(count)
    }
  }

  #grow(count: number): void {
    const needed = this.length + count
    const larger = Buffer.allocUnsafeSlow(Math.max(needed, this.bytes.length * 2))
    larger.set(this.bytes.subarray(0, this.length))
    this.bytes = larger
  }
}
