/**
 * Events as GELF 1.1, the JSON of Graylog: `{"version":"1.1", "host":"a", "_key":1, "timestamp":1.500}`.
 * Source: Fluent Bit 5.1.1 src/flb_pack_gelf.c flb_msgpack_to_gelf(); docs.graylog.org "GELF Payload Specification".
 * Differs: an unusual level is reported once for an instance, not with each record; an event that would be longer than
 * 16 MB cannot be sent.
 *
 * What a reader might not expect, and Fluent Bit does: nulls and floats of four bytes are left out at the top level;
 * text in an array is not escaped, so that a quote there breaks the JSON.
 *
 * @hot bench/pipelines.ts
 */
import type { Logger } from '../base/log.ts'
import { JsonWriter } from '../codec/json_writer.ts'
import {
  bytesToString,
  contentCount,
  headerSize,
  isMap,
  isString,
  readInteger,
  readNumber,
  skip,
  typeOf
} from '../codec/msgpack_reader.ts'
import { formatF } from '../codec/number_text.ts'
import { eventBodyAt, eventNanoseconds, eventSeconds } from './event.ts'

/** Which keys of a record hold the fields that GELF knows; GELF's own names unless given. */
export interface GelfKeys {
  readonly timestamp?: string | undefined
  readonly host?: string | undefined
  readonly shortMessage?: string | undefined
  readonly fullMessage?: string | undefined
  readonly level?: string | undefined
}

/** A name stands before each value of its map: a long one with many values would make any amount of text. */
const MESSAGE_BYTES_MAX = 16_777_216

const VERSION = '{"version":"1.1"'
const LEVELS = ['emerg', 'alert', 'crit', 'err', 'warning', 'notice', 'info', 'debug']
const ID = Buffer.from('id')
const HEX = Buffer.from('0123456789abcdef')
const FLOAT_32 = 0xca
const UNDERSCORE = 0x5f

/** What each byte of a name becomes. */
const NAME_BYTES = Buffer.alloc(256, UNDERSCORE)
for (const byte of Buffer.from(
  '-.0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'
)) {
  NAME_BYTES[byte] = byte
}

/** A field that GELF knows. */
interface Field {
  /** Where the record has it. */
  readonly key: Buffer
  readonly name: Buffer
  /** It counts once in an event. */
  isSeen: boolean
}

export class GelfEncoder {
  /** Where events are appended; the caller takes them from here and clears it. */
  readonly out = new JsonWriter()
  readonly #log: Logger
  readonly #level: Field
  readonly #shortMessage: Field
  readonly #timestamp: Field
  readonly #fields: readonly Field[]
  /** Names of the maps around a value, joined; within an array a new path begins after the one so far. */
  #paths: Buffer = Buffer.alloc(256)
  #hasReportedLevel = false
  /** Where `out` has too much of the event at hand. */
  #limit = 0

  constructor(keys: GelfKeys, log: Logger) {
    this.#log = log
    this.#level = field('level', keys.level)
    this.#shortMessage = field('short_message', keys.shortMessage)
    this.#timestamp = field('timestamp', keys.timestamp)
    // The first one has a key that is named for two.
    this.#fields = [
      field('host', keys.host),
      this.#shortMessage,
      this.#timestamp,
      this.#level,
      field('full_message', keys.fullMessage)
    ]
  }

  /**
   * Appends the event at `at` of a chunk to `out`. Group marks are not events: the caller passes them over.
   *
   * @param extra An encoded key and its value, which the record has after its own.
   * @returns Why the event cannot be sent, in Fluent Bit's words; nothing was appended then.
   */
  event(chunk: Buffer, at: number, extra?: Buffer): string | undefined {
    const { out } = this
    const start = out.length
    this.#limit = start + MESSAGE_BYTES_MAX
    for (let index = 0; index < this.#fields.length; index++) this.#fields[index].isSeen = false
    out.ascii(VERSION)
    const problem = this.#pairs(chunk, eventBodyAt(chunk, at), extra)
    if (problem !== undefined) {
      out.length = start
      return problem
    }
    if (!this.#timestamp.isSeen) this.#time(eventSeconds(chunk, at), eventNanoseconds(chunk, at))
    out.byte(0x7d)
    return undefined
  }

  #pairs(source: Buffer, mapAt: number, extra: Buffer | undefined): string | undefined {
    let at = mapAt + headerSize(source[mapAt])
    let isGood = true
    const count = isMap(source[mapAt]) ? contentCount(source, mapAt) : 0
    for (let left = count; left > 0; left--) {
      const valueAt = skip(source, at)
      isGood &&= this.#pair(source, at, valueAt)
      at = skip(source, valueAt)
    }
    if (extra !== undefined) isGood &&= this.#pair(extra, 0, skip(extra, 0))
    if (this.#isTooLong) return `message too big: more than ${MESSAGE_BYTES_MAX} bytes`
    if (!isGood) return 'level must be a non-negative integer or a string'
    return this.#shortMessage.isSeen ? undefined : 'missing short_message key'
  }

  get #isTooLong(): boolean {
    return this.out.length > this.#limit
  }

  #time(seconds: number, nanoseconds: number): void {
    const { out } = this
    this.#key(this.#timestamp.name, 0, this.#timestamp.name.length, false)
    out.integer(seconds)
    out.ascii(`.${String(Math.floor(nanoseconds / 1e6)).padStart(3, '0')}`)
  }

  /** False for a level that is none. */
  #pair(source: Buffer, keyAt: number, valueAt: number): boolean {
    const type = typeOf(source[keyAt])
    if (type !== 'string' && type !== 'binary') return true
    const start = keyAt + headerSize(source[keyAt])
    const known = this.#known(source, start, valueAt)
    if (known === undefined) {
      if (!isSame(source, start, valueAt, ID)) {
        this.#value(source, start, valueAt, true, source, valueAt)
      }
      return true
    }
    if (known.isSeen) return true
    known.isSeen = true
    if (known === this.#level) return this.#levelValue(source, valueAt)
    this.#value(known.name, 0, known.name.length, false, source, valueAt)
    return true
  }

  #known(source: Buffer, start: number, end: number): Field | undefined {
    for (let index = 0; index < this.#fields.length; index++) {
      if (isSame(source, start, end, this.#fields[index].key)) return this.#fields[index]
    }
    return undefined
  }

  #levelValue(source: Buffer, at: number): boolean {
    const { name } = this.#level
    const number = levelNumber(source, at)
    if (number === undefined) return false
    if (number >= 0 && number < LEVELS.length) {
      this.#key(name, 0, name.length, false)
      this.out.integer(number)
      return true
    }
    this.#reportLevel(source, at)
    this.#value(name, 0, name.length, false, source, at)
    return true
  }

  #reportLevel(source: Buffer, at: number): void {
    if (this.#hasReportedLevel) return
    this.#hasReportedLevel = true
    const start = at + headerSize(source[at])
    const text = isString(source[at])
      ? `'${bytesToString(source, start, start + contentCount(source, at))}'`
      : String(readInteger(source, at))
    this.#log.warn(`level is ${text}, but should be in 0..7 or a syslog keyword`)
  }

  /** Writes a field of the top level; its name lies in `names`. An own field gets an underscore before its name. */
  #value(
    names: Buffer,
    start: number,
    end: number,
    isOwn: boolean,
    source: Buffer,
    at: number
  ): void {
    const byte = source[at]
    if (isMap(byte)) {
      this.#reserve(0, end - start + 1)
      this.#paths[0] = UNDERSCORE
      let length = 1
      // A zero byte ends the name; what would follow are zeros too.
      let isEnded = false
      for (let index = start; index < end; index++) {
        isEnded ||= names[index] === 0
        this.#paths[length++] = isEnded ? UNDERSCORE : NAME_BYTES[names[index]]
      }
      this.#nested(source, at, 0, length, false)
    } else if (typeOf(byte) !== 'nil' && byte !== FLOAT_32) {
      this.#key(names, start, end, isOwn)
      this.#nested(source, at, 0, 0, false)
    }
  }

  #key(names: Buffer, start: number, end: number, isOwn: boolean): void {
    const { out } = this
    out.ascii(isOwn ? ', "_' : ', "')
    this.#name(names, start, end)
    out.ascii('":')
  }

  #name(names: Buffer, start: number, end: number): void {
    const { out } = this
    out.reserve(end - start)
    for (let index = start; index < end; index++) {
      out.bytes[out.length++] = NAME_BYTES[names[index]]
    }
  }

  /**
   * Writes a value, of which a map at any depth becomes fields with long names; in an array all is text.
   *
   * @param pathStart Of the path to this value in `#paths`; empty where nothing is before a key.
   * @returns The position after the value.
   */
  #nested(
    source: Buffer,
    at: number,
    pathStart: number,
    pathEnd: number,
    isInArray: boolean
  ): number {
    const { out } = this
    const byte = source[at]
    const start = at + headerSize(byte)
    switch (typeOf(byte)) {
      case 'map':
        return this.#map(source, at, pathStart, pathEnd, isInArray)
      case 'array':
        return this.#array(source, at, pathEnd, isInArray)
      case 'nil':
        out.ascii('null')
        break
      case 'boolean':
        if (!isInArray) out.byte(0x22)
        out.ascii(byte === 0xc3 ? 'true' : 'false')
        if (!isInArray) out.byte(0x22)
        break
      case 'integer':
        this.#integer(source, at)
        break
      case 'float':
        // glibc prints the sign of a NaN, which only its bytes show.
        out.ascii(formatSigned(readNumber(source, at), source[at + 1] > 0x7f))
        break
      case 'extension':
        this.#extension(source, start, start + contentCount(source, at), isInArray)
        break
      default:
        if (isInArray) out.raw(source, start, start + contentCount(source, at))
        else out.stringBytes(source, start, start + contentCount(source, at))
    }
    return skip(source, at)
  }

  #integer(source: Buffer, at: number): void {
    const value = readInteger(source, at)
    if (typeof value === 'number') this.out.integer(value)
    else this.out.ascii(String(value))
  }

  #extension(source: Buffer, start: number, end: number, isInArray: boolean): void {
    const { out } = this
    if (!isInArray) out.byte(0x22)
    out.reserve((end - start) * 4)
    for (let index = start; index < end; index++) {
      out.bytes[out.length++] = 0x5c
      out.bytes[out.length++] = 0x78
      out.bytes[out.length++] = HEX[source[index] >> 4]
      out.bytes[out.length++] = HEX[source[index] & 0x0f]
    }
    if (!isInArray) out.byte(0x22)
  }

  #array(source: Buffer, arrayAt: number, top: number, isInArray: boolean): number {
    const { out } = this
    let at = arrayAt + headerSize(source[arrayAt])
    if (!isInArray) out.byte(0x22)
    const count = contentCount(source, arrayAt)
    for (let index = 0; index < count; index++) {
      if (index > 0) out.ascii(', ')
      at = this.#nested(source, at, top, top, true)
    }
    if (!isInArray) out.byte(0x22)
    return at
  }

  #map(
    source: Buffer,
    mapAt: number,
    pathStart: number,
    pathEnd: number,
    isInArray: boolean
  ): number {
    let at = mapAt + headerSize(source[mapAt])
    const count = contentCount(source, mapAt)
    for (let index = 0; index < count; index++) {
      if (this.#isTooLong) return skip(source, mapAt)
      const keyAt = at
      const valueAt = skip(source, keyAt)
      at = valueAt
      if (!isString(source[keyAt])) at = skip(source, valueAt)
      else if (isMap(source[valueAt])) {
        const end = this.#extendPath(source, keyAt, valueAt, pathStart, pathEnd)
        at = this.#map(source, valueAt, pathStart, end, isInArray)
      } else {
        this.#nestedKey(source, keyAt, valueAt, pathStart, pathEnd, isInArray, index > 0)
        at = this.#nested(source, valueAt, pathEnd, pathEnd, isInArray)
      }
    }
    return at
  }

  /** Adds a key to the path that ends at `pathEnd`, which stays a path of its own; returns the new end. */
  #extendPath(
    source: Buffer,
    keyAt: number,
    keyEnd: number,
    pathStart: number,
    pathEnd: number
  ): number {
    this.#reserve(pathEnd, 1 + keyEnd - keyAt)
    let end = pathEnd
    if (pathEnd > pathStart) this.#paths[end++] = UNDERSCORE
    return end + source.copy(this.#paths, end, keyAt + headerSize(source[keyAt]), keyEnd)
  }

  #nestedKey(
    source: Buffer,
    keyAt: number,
    keyEnd: number,
    pathStart: number,
    pathEnd: number,
    isInArray: boolean,
    isFollowing: boolean
  ): void {
    const { out } = this
    if (!isInArray) out.ascii(', "')
    else if (isFollowing) out.byte(0x20)
    if (pathEnd > pathStart) {
      this.#name(this.#paths, pathStart, pathEnd)
      out.byte(UNDERSCORE)
    }
    this.#name(source, keyAt + headerSize(source[keyAt]), keyEnd)
    if (isInArray) out.byte(0x3d)
    else out.ascii('":')
  }

  #reserve(used: number, more: number): void {
    if (used + more <= this.#paths.length) return
    const larger = Buffer.alloc(Math.max(used + more, this.#paths.length * 2))
    this.#paths.copy(larger, 0, 0, used)
    this.#paths = larger
  }
}

function field(name: string, key = name): Field {
  return { key: Buffer.from(key), name: Buffer.from(name), isSeen: false }
}

function isSame(source: Buffer, start: number, end: number, bytes: Buffer): boolean {
  if (end - start !== bytes.length) return false
  for (let index = 0; index < bytes.length; index++) {
    if (source[start + index] !== bytes[index]) return false
  }
  return true
}

/** A syslog severity by number, digit or keyword; -1 for other numbers and texts, undefined for what is neither. */
function levelNumber(source: Buffer, at: number): number | undefined {
  const number = readInteger(source, at)
  if (number !== undefined) return number < 0 ? undefined : Math.min(Number(number), LEVELS.length)
  if (!isString(source[at])) return undefined
  const start = at + headerSize(source[at])
  const text = bytesToString(source, start, start + contentCount(source, at))
  if (/^[0-7]$/.test(text)) return Number(text)
  return LEVELS.indexOf(text.toLowerCase())
}

function formatSigned(value: number, isNegative: boolean): string {
  return `${Number.isNaN(value) && isNegative ? '-' : ''}${formatF(value, 6)}`
}
