/**
 * Records as syslog messages of RFC 3164 or RFC 5424.
 *
 *     <14>Nov 14 22:13:20 host app[7]: text
 *     <14>1 2023-11-14T22:13:20.123456Z host app 7 id [sd key="value"] BOM text
 *
 * Source: Fluent Bit 5.1.1 plugins/out_syslog/syslog.c msgpack_to_syslog(), syslog_rfc3164(), syslog_rfc5424().
 * Differs: a severity or facility that is a known name is not reported as invalid, and one that is not known is reported
 * once; a double with more than 47 characters is written whole (Fluent Bit sends what lies behind it on its stack).
 *
 * @hot bench/pipelines.ts
 */
import type { Logger } from '../../../base/log.ts'
import { JsonWriter } from '../../../codec/json_writer.ts'
import {
  contentCount,
  headerSize,
  isMap,
  readInteger,
  readNumber,
  skip,
  typeOf
} from '../../../codec/msgpack_reader.ts'
import { formatF, writePadded } from '../../../codec/number_text.ts'
import type { EventEncoder } from '../../common/event_messages.ts'
import { eventBodyAt, eventNanoseconds, eventSeconds } from '../../../record/event.ts'

/** A part of the message: the key that holds it, and what it is without. */
export interface PartSettings {
  readonly key: string | undefined
  readonly preset?: string | undefined
}

export interface SyslogSettings {
  readonly format: 'rfc3164' | 'rfc5424'
  /** Longer messages are cut, between any two bytes. */
  readonly bytesMax: number
  /** Each message ends with a line feed, which does not count for its length. */
  readonly hasLineEnds: boolean
  readonly severity: { readonly key: string | undefined; readonly preset: number }
  readonly facility: { readonly key: string | undefined; readonly preset: number }
  readonly hostname: PartSettings
  readonly appname: PartSettings
  readonly procid: PartSettings
  readonly msgid: PartSettings
  readonly message: PartSettings
  /** Keys of maps that become structured data. */
  readonly structuredData: readonly string[]
  /** Names in structured data may have more than 32 bytes. */
  readonly longNames: boolean
}

const SEVERITIES = ['emerg', 'alert', 'crit', 'err', 'warning', 'notice', 'info', 'debug']
/** Number 15 has no name. */
const FACILITIES =
  'kern user mail daemon auth syslog lpr news uucp cron authpriv ftp ntp security console  local0 local1 local2 local3 local4 local5 local6 local7'.split(
    ' '
  )
export const SEVERITY_MAX = SEVERITIES.length - 1
export const FACILITY_MAX = FACILITIES.length - 1

const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec']

/** Bytes that RFC 5424 allows. */
const HOSTNAME_BYTES_MAX = 255
const APPNAME_BYTES_MAX = 48
const PROCID_BYTES_MAX = 128
const MSGID_BYTES_MAX = 32
const NAME_BYTES_MAX = 32

/** Says that the text is UTF-8. */
const BYTE_ORDER_MARK = Buffer.from([0x20, 0xef, 0xbb, 0xbf])

const UNDERSCORE = 0x5f
const SPACE = 0x20
const QUOTE = 0x22
const BACKSLASH = 0x5c
const BRACKET = 0x5d
const LESS_THAN = 0x3c

/** What each byte of a name in structured data becomes: all but printable ASCII, `=`, `]` and `"` is an underscore. */
const NAME_BYTES = Buffer.alloc(256, UNDERSCORE)
for (let byte = 0x21; byte < 0x7f; byte++) NAME_BYTES[byte] = byte
for (const byte of Buffer.from('"=]')) NAME_BYTES[byte] = UNDERSCORE

const FLOAT_32 = 0xca
const TRUE = Buffer.from('true')
const FALSE = Buffer.from('false')

/** A text of the event at hand: bytes of the event itself, the digits of a number, or the preset. */
class Part {
  /** Undefined where no key is configured. */
  readonly key: Buffer | undefined
  readonly #preset: Buffer | undefined
  readonly #bytesMax: number
  bytes: Buffer = TRUE
  start = 0
  end = 0
  isSet = false

  constructor({ key, preset }: PartSettings, bytesMax = Number.POSITIVE_INFINITY) {
    this.key = key === undefined ? undefined : Buffer.from(key)
    this.#preset = preset === undefined ? undefined : Buffer.from(preset)
    this.#bytesMax = bytesMax
  }

  /** Takes the first text that a record has for it. */
  offer(bytes: Buffer, start: number, end: number): void {
    if (this.isSet) return
    this.isSet = true
    this.bytes = bytes
    this.start = start
    this.end = end
  }

  offerPreset(): void {
    if (this.#preset !== undefined) this.offer(this.#preset, 0, this.#preset.length)
  }

  write(out: JsonWriter): void {
    out.raw(this.bytes, this.start, Math.min(this.end, this.start + this.#bytesMax))
  }
}

/** A severity or a facility. */
class Level {
  readonly key: Buffer | undefined
  readonly #kind: string
  readonly #names: readonly string[]
  readonly #preset: number
  readonly #digits: RegExp
  readonly #log: Logger
  #hasReported = false
  #value = -1

  constructor(
    kind: string,
    names: readonly string[],
    digits: RegExp,
    { key, preset }: SyslogSettings['severity'],
    log: Logger
  ) {
    this.key = key === undefined ? undefined : Buffer.from(key)
    this.#kind = kind
    this.#names = names
    this.#preset = preset
    this.#digits = digits
    this.#log = log
  }

  /** Takes the first number or name that a record has for it. */
  offer(bytes: Buffer, start: number, end: number): void {
    if (this.#value >= 0) return
    const text = bytes.latin1Slice(start, end)
    const number = this.#digits.test(text) ? Number(text) : this.#nameValue(text)
    if (number >= 0 && number < this.#names.length) this.#value = number
    else if (!this.#hasReported) {
      this.#hasReported = true
      this.#log.warn(`invalid ${this.#kind}: '${bytes.utf8Slice(start, end)}'`)
    }
  }

  /** The number that was found, or the preset; forgets it. */
  take(): number {
    const value = this.#value < 0 ? this.#preset : this.#value
    this.#value = -1
    return value
  }

  #nameValue(text: string): number {
    return text === '' ? -1 : this.#names.indexOf(text.toLowerCase())
  }
}

export class SyslogWriter implements EventEncoder {
  /** Where messages are appended; the caller takes them from here and clears it. */
  readonly out = new JsonWriter()
  readonly #format: SyslogSettings['format']
  readonly #bytesMax: number
  readonly #hasLineEnds: boolean
  readonly #severity: Level
  readonly #facility: Level
  readonly #hostname: Part
  readonly #appname: Part
  readonly #procid: Part
  readonly #msgid: Part
  readonly #message: Part
  /** What a key is looked up in, in this order. */
  readonly #parts: readonly (Part | Level)[]
  readonly #structuredKeys: readonly Buffer[]
  readonly #nameBytesMax: number
  /** Structured data of the event at hand. */
  readonly #structured = new JsonWriter({ capacity: 512 })
  /** Digits of the numbers of the event at hand. */
  readonly #digits = new JsonWriter({ capacity: 512 })
  /** The text of one second, as neighbours mostly share it. */
  #second = -1
  #secondText: Buffer = TRUE

  constructor(settings: SyslogSettings, log: Logger) {
    const { severity, facility, format } = settings
    const isShort = format === 'rfc5424'
    this.#format = format
    this.#bytesMax = settings.bytesMax
    this.#hasLineEnds = settings.hasLineEnds
    this.#severity = new Level('severity', SEVERITIES, /^[0-7]$/, severity, log)
    this.#facility = new Level('facility', FACILITIES, /^(?:\d|[0-2]\d)$/, facility, log)
    this.#hostname = new Part(settings.hostname, isShort ? HOSTNAME_BYTES_MAX : undefined)
    this.#appname = new Part(settings.appname, isShort ? APPNAME_BYTES_MAX : undefined)
    this.#procid = new Part(settings.procid, isShort ? PROCID_BYTES_MAX : undefined)
    this.#msgid = new Part(settings.msgid, MSGID_BYTES_MAX)
    this.#message = new Part(settings.message)
    this.#parts = [
      this.#severity,
      this.#facility,
      this.#hostname,
      this.#appname,
      this.#procid,
      this.#msgid,
      this.#message
    ].filter(({ key }) => key !== undefined)
    this.#structuredKeys = settings.structuredData.map(key => Buffer.from(key))
    this.#nameBytesMax = settings.longNames ? Number.POSITIVE_INFINITY : NAME_BYTES_MAX
  }

  /** Appends the message for the event at `at` of a chunk. Group marks are not events: the caller passes them over. */
  append(chunk: Buffer, at: number): undefined {
    const { out } = this
    const start = out.length
    this.#read(chunk, eventBodyAt(chunk, at))
    const priority = this.#facility.take() * 8 + this.#severity.take()
    const message = this.#message
    if (message.isSet && message.end > message.start && isLessThan(message)) {
      // Already a message of its own.
      message.write(out)
    } else if (this.#format === 'rfc3164') {
      this.#rfc3164(priority, eventSeconds(chunk, at))
    } else {
      this.#rfc5424(priority, eventSeconds(chunk, at), eventNanoseconds(chunk, at))
    }
    if (out.length - start > this.#bytesMax) out.length = start + this.#bytesMax
    if (this.#hasLineEnds) out.byte(0x0a)
  }

  #read(source: Buffer, mapAt: number): void {
    this.#hostname.isSet = false
    this.#appname.isSet = false
    this.#procid.isSet = false
    this.#msgid.isSet = false
    this.#message.isSet = false
    this.#structured.length = 0
    this.#digits.length = 0
    let at = mapAt + headerSize(source[mapAt])
    const count = isMap(source[mapAt]) ? contentCount(source, mapAt) : 0
    for (let left = count; left > 0; left--) {
      const valueAt = skip(source, at)
      if (hasText(source[at])) this.#pair(source, at + headerSize(source[at]), valueAt)
      at = skip(source, valueAt)
    }
    this.#hostname.offerPreset()
    this.#appname.offerPreset()
    this.#procid.offerPreset()
    this.#msgid.offerPreset()
  }

  #pair(source: Buffer, keyStart: number, valueAt: number): void {
    if (isMap(source[valueAt])) {
      const isWanted = this.#structuredKeys.some(key => isSame(source, keyStart, valueAt, key))
      if (isWanted) this.#structuredData(source, keyStart, valueAt)
      return
    }
    for (let index = 0; index < this.#parts.length; index++) {
      const part = this.#parts[index]
      if (part.key === undefined || !isSame(source, keyStart, valueAt, part.key)) continue
      this.#offer(part, source, valueAt)
      return
    }
  }

  #offer(part: Part | Level, source: Buffer, at: number): void {
    const start = at + headerSize(source[at])
    switch (typeOf(source[at])) {
      case 'string':
      case 'binary':
        part.offer(source, start, start + contentCount(source, at))
        break
      case 'boolean': {
        const word = source[at] === 0xc3 ? TRUE : FALSE
        part.offer(word, 0, word.length)
        break
      }
      case 'integer':
      case 'float': {
        const from = this.#digits.length
        if (!writeNumber(this.#digits, source, at)) break
        part.offer(this.#digits.bytes, from, this.#digits.length)
        break
      }
      default:
      // Nulls, arrays and extensions have no text.
    }
  }

  /** Writes `[name key="value" …]`. */
  #structuredData(source: Buffer, nameStart: number, mapAt: number): void {
    const out = this.#structured
    out.byte(0x5b)
    this.#name(source, nameStart, mapAt)
    let at = mapAt + headerSize(source[mapAt])
    for (let left = contentCount(source, mapAt); left > 0; left--) {
      const valueAt = skip(source, at)
      if (hasText(source[at])) this.#parameter(source, at + headerSize(source[at]), valueAt)
      at = skip(source, valueAt)
    }
    out.byte(BRACKET)
  }

  #parameter(source: Buffer, keyStart: number, at: number): void {
    const out = this.#structured
    const before = out.length
    out.byte(SPACE)
    this.#name(source, keyStart, at)
    out.ascii('="')
    const start = at + headerSize(source[at])
    let hasValue = true
    switch (typeOf(source[at])) {
      case 'string':
      case 'binary':
        writeEscaped(out, source, start, start + contentCount(source, at))
        break
      case 'boolean':
        out.raw(source[at] === 0xc3 ? TRUE : FALSE)
        break
      case 'integer':
      case 'float':
        hasValue = writeNumber(out, source, at)
        break
      default:
        hasValue = false
    }
    if (hasValue) out.byte(QUOTE)
    else out.length = before
  }

  #name(source: Buffer, start: number, end: number): void {
    const out = this.#structured
    const last = Math.min(end, start + this.#nameBytesMax)
    out.reserve(last - start)
    for (let index = start; index < last; index++) {
      out.bytes[out.length++] = NAME_BYTES[source[index]]
    }
  }

  #rfc3164(priority: number, seconds: number): void {
    const { out } = this
    this.#priority(priority)
    if (seconds !== this.#second) {
      const date = new Date(seconds * 1000)
      const day = String(date.getUTCDate()).padStart(2)
      this.#setSecond(
        seconds,
        `${MONTHS[date.getUTCMonth()]} ${day} ${date.toISOString().slice(11, 19)} `
      )
    }
    out.raw(this.#secondText)
    if (this.#hostname.isSet) {
      this.#hostname.write(out)
      out.byte(SPACE)
    }
    if (this.#appname.isSet) {
      this.#appname.write(out)
      if (this.#procid.isSet) {
        out.byte(0x5b)
        this.#procid.write(out)
        out.byte(BRACKET)
      }
      out.ascii(': ')
    }
    if (this.#message.isSet) this.#message.write(out)
  }

  #rfc5424(priority: number, seconds: number, nanoseconds: number): void {
    const { out } = this
    this.#priority(priority)
    out.ascii('1 ')
    if (seconds !== this.#second) {
      this.#setSecond(seconds, new Date(seconds * 1000).toISOString().slice(0, 20))
    }
    out.raw(this.#secondText)
    out.reserve(6)
    out.length = writePadded(out.bytes, out.length, Math.floor(nanoseconds / 1000), 6)
    out.ascii('Z ')
    this.#column(this.#hostname)
    this.#column(this.#appname)
    this.#column(this.#procid)
    this.#column(this.#msgid)
    if (this.#structured.length > 0) out.raw(this.#structured.bytes, 0, this.#structured.length)
    else out.byte(0x2d)
    if (this.#message.isSet) {
      out.raw(BYTE_ORDER_MARK)
      this.#message.write(out)
    }
  }

  #priority(priority: number): void {
    this.out.byte(LESS_THAN)
    this.out.integer(priority)
    this.out.byte(0x3e)
  }

  #setSecond(seconds: number, text: string): void {
    this.#second = seconds
    this.#secondText = Buffer.from(text)
  }

  #column(part: Part): void {
    if (part.isSet) part.write(this.out)
    else this.out.byte(0x2d)
    this.out.byte(SPACE)
  }
}

function isLessThan({ bytes, start }: Part): boolean {
  return bytes[start] === LESS_THAN
}

function hasText(byte: number): boolean {
  const type = typeOf(byte)
  return type === 'string' || type === 'binary'
}

function isSame(source: Buffer, start: number, end: number, bytes: Buffer): boolean {
  if (end - start !== bytes.length) return false
  for (let index = 0; index < bytes.length; index++) {
    if (source[start + index] !== bytes[index]) return false
  }
  return true
}

/** Writes an integer, or a double as `%f`; false, with nothing written, for a float of four bytes. */
function writeNumber(out: JsonWriter, source: Buffer, at: number): boolean {
  if (source[at] === FLOAT_32) return false
  const integer = readInteger(source, at)
  if (typeof integer === 'number') out.integer(integer)
  else if (integer !== undefined) out.ascii(String(integer))
  else {
    const value = readNumber(source, at)
    // glibc prints the sign of a NaN, which only its bytes show.
    if (Number.isNaN(value) && source[at + 1] > 0x7f) out.byte(0x2d)
    out.ascii(formatF(value, 6))
  }
  return true
}

/** Copies bytes with a backslash before each `"`, `\` and `]`. */
function writeEscaped(out: JsonWriter, source: Buffer, start: number, end: number): void {
  out.reserve((end - start) * 2)
  const { bytes } = out
  let to = out.length
  for (let index = start; index < end; index++) {
    const byte = source[index]
    if (byte === QUOTE || byte === BACKSLASH || byte === BRACKET) bytes[to++] = BACKSLASH
    bytes[to++] = byte
  }
  out.length = to
}
