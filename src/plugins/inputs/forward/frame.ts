/**
 * A frame of the forward protocol, as it lies in the bytes of a connection:
 *
 *     message  [tag, time, map, options?]
 *     forward  [tag, [event, …], options?]                event  [time, map] or [[time, metadata], map]
 *     packed   [tag, bin or str of events, options?]      also compressed, and metrics and traces
 *     options  nil or {"chunk": str, "size": n, "compressed": "gzip" or "zstd", "fluent_signal": n, "metadata": map}
 *
 * Source: Fluent Bit 5.1.1 plugins/in_forward/fw_prot.c fw_prot_process().
 */
import { TAG_BYTES_MAX } from '../../../base/limits.ts'
import { type Signal, SIGNALS } from '../../../base/signal.ts'
import {
  contentCount,
  headerSize,
  isArray,
  isMap,
  isString,
  readInteger,
  skip,
  typeOf
} from '../../../codec/msgpack_reader.ts'

export type FrameMode = 'message' | 'forward' | 'packed'

/** The places of one frame, read anew for each. */
export class Frame {
  mode: FrameMode = 'message'
  tagAt = 0
  tagEnd = 0
  /** Of a message its time, of the other modes their events: the array, or the first of the packed bytes. */
  eventsAt = 0
  /** Of a message its map, of packed bytes their end. */
  eventsEnd = 0
  /** The string of the option `chunk`, to be acknowledged; -1 without one. */
  chunkAt = -1
  /** The map of the option `metadata`, -1 without one. */
  metadataAt = -1
  signal: Signal = 'logs'
  compressed: 'gzip' | 'zstd' | undefined
  hasOptions = false
  /** Values of the frame's array. */
  #items = 0

  /**
   * Reads a frame, which must be a complete array; of mode `forward` without its options, which are behind the events.
   *
   * @returns What is wrong with it, if something is.
   */
  read(bytes: Buffer, start: number): string | undefined {
    this.chunkAt = -1
    this.metadataAt = -1
    this.signal = 'logs'
    this.compressed = undefined
    this.hasOptions = false
    this.#items = contentCount(bytes, start)
    if (this.#items < 2) return 'array of invalid size'
    const nameAt = start + headerSize(bytes[start])
    if (!isString(bytes[nameAt])) return 'invalid tag format'
    this.tagAt = nameAt + headerSize(bytes[nameAt])
    this.tagEnd = this.tagAt + contentCount(bytes, nameAt)
    if (this.tagEnd - this.tagAt > TAG_BYTES_MAX) return 'tag is too long'
    return this.#readEvents(bytes, this.tagEnd)
  }

  /** Reads the options at `at`, where the frame has some. */
  readOptions(bytes: Buffer, at: number): string | undefined {
    const byte = bytes[at]
    if (this.#items <= (this.mode === 'message' ? 3 : 2) || byte === 0xc0) return undefined
    if (!isMap(byte)) return 'invalid options field'
    this.hasOptions = true
    let keyAt = at + headerSize(byte)
    for (let left = contentCount(bytes, at); left > 0; left--) {
      const valueAt = skip(bytes, keyAt)
      const fault = isString(bytes[keyAt]) ? this.#readOption(bytes, keyAt, valueAt) : undefined
      if (fault !== undefined) return fault
      keyAt = skip(bytes, valueAt)
    }
    return undefined
  }

  #readEvents(bytes: Buffer, at: number): string | undefined {
    const byte = bytes[at]
    if (isArray(byte)) {
      this.mode = 'forward'
      this.eventsAt = at
      return undefined
    }
    const type = typeOf(byte)
    if (type === 'string' || type === 'binary') {
      this.mode = 'packed'
      this.eventsAt = at + headerSize(byte)
      this.eventsEnd = this.eventsAt + contentCount(bytes, at)
      return this.readOptions(bytes, this.eventsEnd)
    }
    if (type !== 'integer' && type !== 'extension') return 'invalid data format'
    if (this.#items < 3) return 'message mode requires at least 3 elements'
    this.mode = 'message'
    this.eventsAt = at
    this.eventsEnd = skip(bytes, at)
    if (!isMap(bytes[this.eventsEnd])) return 'invalid data format, map expected'
    return this.#items > 3 ? this.readOptions(bytes, skip(bytes, this.eventsEnd)) : undefined
  }

  #readOption(bytes: Buffer, keyAt: number, valueAt: number): string | undefined {
    const key = bytes.latin1Slice(keyAt + headerSize(bytes[keyAt]), valueAt)
    const byte = bytes[valueAt]
    switch (key) {
      case 'chunk':
        if (!isString(byte)) return 'invalid options field'
        if (this.chunkAt < 0) this.chunkAt = valueAt
        return undefined
      case 'metadata':
        if (this.mode !== 'message') return undefined
        if (!isMap(byte)) return 'invalid options field'
        if (this.metadataAt < 0) this.metadataAt = valueAt
        return undefined
      case 'compressed':
        if (this.mode === 'packed' && isString(byte)) this.#readCompression(bytes, valueAt)
        return undefined
      case 'fluent_signal':
        return this.mode === 'packed' ? this.#readSignal(bytes, valueAt) : undefined
      default:
        return undefined
    }
  }

  #readCompression(bytes: Buffer, at: number): void {
    const start = at + headerSize(bytes[at])
    const word = bytes.latin1Slice(start, start + contentCount(bytes, at))
    if (word === 'gzip' || word === 'zstd') this.compressed ??= word
  }

  #readSignal(bytes: Buffer, at: number): string | undefined {
    const number = readInteger(bytes, at)
    if (typeof number !== 'number') return 'invalid value type in options fluent_signal'
    const signal = SIGNALS[number]
    if (signal === undefined) return 'invalid value in options fluent_signal'
    this.signal = signal
    return undefined
  }
}
