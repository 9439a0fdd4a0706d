/**
 * collectd's binary protocol: each part of a packet says one thing about the values that follow it, or has values.
 * Source: Fluent Bit 5.1.1 plugins/in_collectd/netprot.c; collectd's wiki, "Binary protocol".
 *
 *     packet = *part
 *     part   = type(2) length(2) content            ; big endian; the length counts all four fields
 *     text   = *any NUL                             ; host, plugin, plugin instance, type, type instance
 *     number = 8 bytes                              ; times and intervals, in seconds or in 2^-30 seconds
 *     values = count(2) *kind(1) *value(8)          ; gauges are little endian doubles
 */
import { MsgpackWriter } from '../../../codec/msgpack_writer.ts'
import { logText } from '../../common/log_text.ts'
import type { RefusedInput } from '../../common/refused_input.ts'
import { beginEvent } from '../../common/send_event.ts'
import type { DataType, DataTypes } from './types_db.ts'

/** Gets what makes no record, to count it. */
type Refused = Pick<RefusedInput, 'add'>

const HOST = 0x0000
const TIME = 0x0001
const PLUGIN = 0x0002
const PLUGIN_INSTANCE = 0x0003
const TYPE = 0x0004
const TYPE_INSTANCE = 0x0005
const VALUES = 0x0006
const INTERVAL = 0x0007
const TIME_HR = 0x0008
const INTERVAL_HR = 0x0009
const MESSAGE = 0x0100
const ENCRYPTED = 0x0210

const GAUGE = 1
const DERIVE = 2
const ABSOLUTE = 3

const PART_HEAD_BYTES = 4
const NUMBER_BYTES = 8
const COUNT_BYTES = 2
/** A kind and a value. */
const VALUE_BYTES = 9

/** High-resolution times are in these units a second. */
const HR_PER_SECOND = 2 ** 30
const UINT32 = 2 ** 32

const KEYS = {
  type: key('type'),
  typeInstance: key('type_instance'),
  time: key('time'),
  interval: key('interval'),
  plugin: key('plugin'),
  pluginInstance: key('plugin_instance'),
  host: key('host')
} as const

function key(name: string): Buffer {
  const out = new MsgpackWriter(32)
  out.string(name)
  return out.written()
}

/** A text within the packet; it is missing while `start` is negative. */
class Text {
  start = -1
  end = -1

  clear(): void {
    this.start = -1
  }

  /** Text parts without their NUL change nothing. */
  set(bytes: Buffer, start: number, end: number): boolean {
    if (end === start || bytes[end - 1] !== 0) return false
    this.start = start
    this.end = bytes.indexOf(0, start)
    return true
  }
}

export class PacketDecoder {
  readonly #types: DataTypes
  readonly #refused: Refused
  readonly #host = new Text()
  readonly #plugin = new Text()
  readonly #pluginInstance = new Text()
  readonly #typeName = new Text()
  readonly #typeInstance = new Text()
  #type: DataType | undefined
  /** Seconds; 0 while they are not known. */
  #time = 0
  #interval = 0

  constructor(types: DataTypes, refused: Refused) {
    this.#types = types
    this.#refused = refused
  }

  /** Writes the events of a packet, with `timeMs` as their time, and says how many. */
  decode(bytes: Buffer, timeMs: number, out: MsgpackWriter): number {
    this.#forget()
    let count = 0
    let at = 0
    while (bytes.length - at >= PART_HEAD_BYTES) {
      const part = bytes.readUInt16BE(at)
      const length = bytes.readUInt16BE(at + 2)
      const remaining = bytes.length - at
      if (length < PART_HEAD_BYTES || length > remaining) {
        const problem = `invalid part length (${length}, remaining ${remaining})`
        this.#refused.add('malformed', 1, remaining, problem)
        return count
      }
      const start = at + PART_HEAD_BYTES
      const end = at + length
      if (part === VALUES) {
        if (this.#writeValues(bytes, start, end, timeMs, out)) count++
      } else if (!this.#keep(part, bytes, start, end)) {
        const problem = `data truncated (${end - start} < ${NUMBER_BYTES})`
        this.#refused.add('malformed', 1, remaining, problem)
        return count
      }
      at = end
    }
    return count
  }

  #forget(): void {
    this.#host.clear()
    this.#plugin.clear()
    this.#pluginInstance.clear()
    this.#typeName.clear()
    this.#typeInstance.clear()
    this.#type = undefined
    this.#time = 0
    this.#interval = 0
  }

  /** Keeps what a part says; false when it is too short for its number. */
  #keep(part: number, bytes: Buffer, start: number, end: number): boolean {
    switch (part) {
      case HOST:
        this.#host.set(bytes, start, end)
        return true
      case PLUGIN:
        this.#plugin.set(bytes, start, end)
        return true
      case PLUGIN_INSTANCE:
        this.#pluginInstance.set(bytes, start, end)
        return true
      case TYPE:
        if (this.#typeName.set(bytes, start, end)) {
          this.#type = this.#types.get(bytes.latin1Slice(start, this.#typeName.end))
        }
        return true
      case TYPE_INSTANCE:
        this.#typeInstance.set(bytes, start, end)
        return true
      case TIME:
      case TIME_HR:
        if (end - start < NUMBER_BYTES) return false
        this.#time = uint64(bytes, start) / (part === TIME ? 1 : HR_PER_SECOND)
        return true
      case INTERVAL:
      case INTERVAL_HR:
        if (end - start < NUMBER_BYTES) return false
        this.#interval = uint64(bytes, start) / (part === INTERVAL ? 1 : HR_PER_SECOND)
        return true
      case MESSAGE:
        this.#refused.add('notification', 1, end - start)
        return true
      case ENCRYPTED:
        this.#refused.add('encrypted', 1, end - start, 'encrypted data is passed over')
        return true
      default:
        return true
    }
  }

  /** Writes the event of a part with values; false, and nothing is written, when it is refused. */
  #writeValues(
    bytes: Buffer,
    start: number,
    end: number,
    timeMs: number,
    out: MsgpackWriter
  ): boolean {
    const size = end - start
    const name = this.#typeName
    if (name.start < 0) return this.#refuseValues('malformed', 'invalid data (type is NULL)', size)
    const count = size < COUNT_BYTES ? 0 : bytes.readUInt16BE(start)
    if (size !== COUNT_BYTES + count * VALUE_BYTES) {
      const problem = `data corrupted (size=${size}, count=${count})`
      return this.#refuseValues('malformed', problem, size)
    }
    const type = this.#type
    if (type === undefined) {
      const problem = `no such type found '${logText(bytes, name.start, name.end)}'`
      return this.#refuseValues('unknown_type', problem, size)
    }
    const expected = type.values.length
    if (expected !== count) {
      const shown = logText(bytes, name.start, name.end)
      const problem = `invalid value for '${shown}' (${expected} != ${count})`
      return this.#refuseValues('unknown_type', problem, size)
    }
    const kinds = start + COUNT_BYTES
    for (let at = kinds; at < kinds + count; at++) {
      if (bytes[at] <= ABSOLUTE) continue
      return this.#refuseValues('malformed', `unknown data type ${bytes[at]}`, size)
    }
    beginEvent(out, timeMs)
    const mapAt = out.beginMap()
    const pairs = this.#writeHead(bytes, type, out)
    for (let index = 0; index < count; index++) {
      append(out, type.values[index])
      writeValue(bytes, kinds + count + index * NUMBER_BYTES, bytes[kinds + index], out)
    }
    out.endMap(mapAt, pairs + count)
    return true
  }

  #refuseValues(reason: string, problem: string, size: number): false {
    this.#refused.add(reason, 1, size, problem)
    return false
  }

  /** Writes what is known of the values and says how many pairs it is. */
  #writeHead(bytes: Buffer, type: DataType, out: MsgpackWriter): number {
    append(out, KEYS.type)
    append(out, type.name)
    let pairs = 1
    pairs += writeText(KEYS.typeInstance, this.#typeInstance, bytes, out)
    pairs += writeSeconds(KEYS.time, this.#time, out)
    pairs += writeSeconds(KEYS.interval, this.#interval, out)
    pairs += writeText(KEYS.plugin, this.#plugin, bytes, out)
    pairs += writeText(KEYS.pluginInstance, this.#pluginInstance, bytes, out)
    pairs += writeText(KEYS.host, this.#host, bytes, out)
    return pairs
  }
}

function append(out: MsgpackWriter, constant: Buffer): void {
  out.raw(constant, 0, constant.length)
}

function writeText(name: Buffer, text: Text, bytes: Buffer, out: MsgpackWriter): number {
  if (text.start < 0) return 0
  append(out, name)
  out.stringBytes(bytes, text.start, text.end)
  return 1
}

function writeSeconds(name: Buffer, seconds: number, out: MsgpackWriter): number {
  if (seconds === 0) return 0
  append(out, name)
  out.double(seconds)
  return 1
}

function writeValue(bytes: Buffer, at: number, kind: number, out: MsgpackWriter): void {
  if (kind === GAUGE) {
    // The bytes as they are: a number would lose the sign of a NaN.
    out.reserve(VALUE_BYTES)
    out.bytes[out.length] = 0xcb
    for (let index = 0; index < NUMBER_BYTES; index++) {
      out.bytes[out.length + NUMBER_BYTES - index] = bytes[at + index]
    }
    out.length += VALUE_BYTES
    return
  }
  const isSmall = bytes[at] === 0 && bytes[at + 1] < 0x20
  if (isSmall) out.integer(uint64(bytes, at))
  else out.bigint(kind === DERIVE ? bytes.readBigInt64BE(at) : bytes.readBigUInt64BE(at))
}

/** An unsigned 64-bit integer, rounded where a double cannot hold it. */
function uint64(bytes: Buffer, at: number): number {
  return bytes.readUInt32BE(at) * UINT32 + bytes.readUInt32BE(at + 4)
}
