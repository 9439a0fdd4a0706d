/**
 * Events as OTLP JSON, all in one resource and one scope:
 *
 *     {"resourceLogs":[{"resource":{},"scopeLogs":[{"scope":{},"logRecords":[ record, … ]}]}]}
 *     record := {"timeUnixNano":"…","observedTimeUnixNano":"…","severityNumber":9,"severityText":"…",
 *                "attributes":[…],"traceId":"…","spanId":"…","body":{"stringValue":"…"}}
 *
 * The body is the value of `log`, else of `message`, else the whole record; it is left out when it holds an extension or
 * a key that is no string. All other fields come from the metadata key `otlp`.
 * Source: Fluent Bit 5.1.1 src/opentelemetry/flb_opentelemetry_otlp_json.c; text as yyjson writes it.
 * Differs: events of a group are shown without their resource and scope; a chunk with a NaN, an infinity or text that is
 * not UTF-8 is written like any other, where Fluent Bit writes all its numbers and escapes in another way.
 */
import type { JsonWriter } from '../codec/json_writer.ts'
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
import { eventBodyAt, eventMetadataAt, eventNanoseconds, eventSeconds } from './event.ts'

/** Bytes of a trace id and of a span id, which are written in hex; others in base 64. */
const TRACE_ID_BYTES = 16
const SPAN_ID_BYTES = 8

const INDENT = '  '

/** Writes the records of one chunk: `begin`, `record` for each event, `end`. */
export class OtlpJson {
  readonly #out: JsonWriter
  readonly #isPretty: boolean
  #depth = 0
  /** Nothing has been written in the object or array that is open. */
  #isEmpty = true

  /** @param isPretty A line for each item, indented by two spaces. */
  constructor(out: JsonWriter, isPretty: boolean) {
    this.#out = out
    this.#isPretty = isPretty
  }

  begin(): void {
    this.#depth = 0
    this.#open('{')
    this.#key('resourceLogs')
    this.#open('[')
    this.#item()
    this.#open('{')
    this.#emptyObject('resource')
    this.#key('scopeLogs')
    this.#open('[')
    this.#item()
    this.#open('{')
    this.#emptyObject('scope')
    this.#key('logRecords')
    this.#open('[')
  }

  end(): void {
    for (const bracket of [']', '}', ']', '}', ']', '}']) this.#close(bracket)
  }

  /** Writes the event at `at`, which is not a group mark; returns the position after it. */
  record(chunk: Buffer, at: number): number {
    const bodyAt = eventBodyAt(chunk, at)
    const otlpAt = findAnyCase(chunk, eventMetadataAt(at), 'otlp')
    this.#item()
    this.#open('{')
    const nanoseconds =
      integerText(chunk, findAnyCase(chunk, otlpAt, 'timestamp')) ?? eventTime(chunk, at)
    if (nanoseconds !== '0') this.#textField('timeUnixNano', nanoseconds)
    if (otlpAt >= 0) this.#metadata(chunk, otlpAt)
    this.#body(chunk, bodyAt)
    this.#close('}')
    return skip(chunk, bodyAt)
  }

  #metadata(chunk: Buffer, otlpAt: number): void {
    const observed = integerText(chunk, findAnyCase(chunk, otlpAt, 'observed_timestamp'))
    if (observed !== undefined) this.#textField('observedTimeUnixNano', observed)
    const severity = integerText(chunk, findAnyCase(chunk, otlpAt, 'severity_number'))
    if (severity !== undefined) {
      this.#key('severityNumber')
      this.#out.ascii(severity)
    }
    const severityAt = findAnyCase(chunk, otlpAt, 'severity_text')
    if (severityAt >= 0 && isString(chunk[severityAt])) {
      this.#key('severityText')
      this.#string(chunk, severityAt)
    }
    const attributesAt = findAnyCase(chunk, otlpAt, 'attributes')
    if (attributesAt >= 0 && isMap(chunk[attributesAt]) && contentCount(chunk, attributesAt) > 0) {
      this.#optional('attributes', () => this.#pairs(chunk, attributesAt))
    }
    this.#id('traceId', chunk, findAnyCase(chunk, otlpAt, 'trace_id'), TRACE_ID_BYTES)
    this.#id('spanId', chunk, findAnyCase(chunk, otlpAt, 'span_id'), SPAN_ID_BYTES)
  }

  #body(chunk: Buffer, bodyAt: number): void {
    let valueAt = findAnyCase(chunk, bodyAt, 'log')
    if (valueAt < 0) valueAt = findAnyCase(chunk, bodyAt, 'message')
    if (valueAt < 0) valueAt = bodyAt
    if (typeOf(chunk[valueAt]) === 'nil') return
    this.#optional('body', () => this.#anyValue(chunk, valueAt))
  }

  #id(key: string, chunk: Buffer, at: number, hexBytes: number): void {
    if (at < 0 || typeOf(chunk[at]) !== 'binary') return
    const start = at + headerSize(chunk[at])
    const length = contentCount(chunk, at)
    const encoding = length === hexBytes ? 'hex' : 'base64'
    this.#textField(key, chunk.toString(encoding, start, start + length))
  }

  /** Writes a field, or nothing when its value cannot be shown. */
  #optional(key: string, write: () => boolean): void {
    const { length } = this.#out
    const depth = this.#depth
    const isEmpty = this.#isEmpty
    this.#key(key)
    if (write()) return
    this.#out.length = length
    this.#depth = depth
    this.#isEmpty = isEmpty
  }

  /** Writes an AnyValue; false when it holds something that has none. */
  #anyValue(chunk: Buffer, at: number): boolean {
    const byte = chunk[at]
    this.#open('{')
    switch (typeOf(byte)) {
      case 'nil':
        break
      case 'boolean':
        this.#key('boolValue')
        this.#out.ascii(byte === 0xc3 ? 'true' : 'false')
        break
      case 'integer':
        this.#textField('intValue', String(readInteger(chunk, at)))
        break
      case 'float':
        this.#key('doubleValue')
        this.#out.ascii(doubleText(readNumber(chunk, at)))
        break
      case 'string':
        this.#key('stringValue')
        this.#string(chunk, at)
        break
      case 'binary': {
        const start = at + headerSize(byte)
        this.#textField(
          'bytesValue',
          chunk.toString('base64', start, start + contentCount(chunk, at))
        )
        break
      }
      case 'array':
        if (!this.#values('arrayValue', () => this.#items(chunk, at))) return false
        break
      case 'map':
        if (!this.#values('kvlistValue', () => this.#pairs(chunk, at))) return false
        break
      default:
        return false
    }
    this.#close('}')
    return true
  }

  #values(key: string, write: () => boolean): boolean {
    this.#key(key)
    this.#open('{')
    this.#key('values')
    if (!write()) return false
    this.#close('}')
    return true
  }

  #items(chunk: Buffer, arrayAt: number): boolean {
    this.#open('[')
    let at = arrayAt + headerSize(chunk[arrayAt])
    for (let left = contentCount(chunk, arrayAt); left > 0; left--) {
      this.#item()
      if (!this.#anyValue(chunk, at)) return false
      at = skip(chunk, at)
    }
    this.#close(']')
    return true
  }

  #pairs(chunk: Buffer, mapAt: number): boolean {
    this.#open('[')
    let at = mapAt + headerSize(chunk[mapAt])
    for (let left = contentCount(chunk, mapAt); left > 0; left--) {
      if (!isString(chunk[at])) return false
      this.#item()
      this.#open('{')
      this.#key('key')
      this.#string(chunk, at)
      const valueAt = skip(chunk, at)
      this.#key('value')
      if (!this.#anyValue(chunk, valueAt)) return false
      this.#close('}')
      at = skip(chunk, valueAt)
    }
    this.#close(']')
    return true
  }

  #textField(key: string, text: string): void {
    this.#key(key)
    this.#out.ascii(`"${text}"`)
  }

  #emptyObject(key: string): void {
    this.#key(key)
    this.#open('{')
    this.#close('}')
  }

  #key(name: string): void {
    this.#item()
    this.#out.ascii(this.#isPretty ? `"${name}": ` : `"${name}":`)
  }

  /** Starts an item of the array or a field of the object that is open. */
  #item(): void {
    if (!this.#isEmpty) this.#out.byte(0x2c)
    this.#isEmpty = false
    this.#lineBreak()
  }

  #open(bracket: string): void {
    this.#out.ascii(bracket)
    this.#depth++
    this.#isEmpty = true
  }

  #close(bracket: string): void {
    this.#depth--
    if (!this.#isEmpty) this.#lineBreak()
    this.#isEmpty = false
    this.#out.ascii(bracket)
  }

  #lineBreak(): void {
    if (this.#isPretty) this.#out.ascii(`\n${INDENT.repeat(this.#depth)}`)
  }

  /** Writes a string; bytes beyond ASCII stay as they are. */
  #string(chunk: Buffer, at: number): void {
    const start = at + headerSize(chunk[at])
    const end = start + contentCount(chunk, at)
    this.#out.byte(0x22)
    for (let from = start; from < end; from++) {
      const byte = chunk[from]
      if (byte >= 0x20 && byte !== 0x22 && byte !== 0x5c) this.#out.byte(byte)
      else this.#out.ascii(ESCAPES.get(byte) ?? unicodeEscape(byte))
    }
    this.#out.byte(0x22)
  }
}

const ESCAPES: ReadonlyMap<number, string> = new Map([
  [0x22, '\\"'],
  [0x5c, '\\\\'],
  [0x08, '\\b'],
  [0x0c, '\\f'],
  [0x0a, '\\n'],
  [0x0d, '\\r'],
  [0x09, '\\t']
])

function unicodeEscape(byte: number): string {
  return `\\u00${byte.toString(16).toUpperCase().padStart(2, '0')}`
}

/** The position of the value of the first key of this name, in any case, in the map at `mapAt`, or -1. */
function findAnyCase(chunk: Buffer, mapAt: number, name: string): number {
  if (mapAt < 0 || !isMap(chunk[mapAt])) return -1
  let at = mapAt + headerSize(chunk[mapAt])
  for (let left = contentCount(chunk, mapAt); left > 0; left--) {
    const valueAt = skip(chunk, at)
    const isAsLong = isString(chunk[at]) && contentCount(chunk, at) === name.length
    const start = valueAt - name.length
    if (isAsLong && bytesToString(chunk, start, valueAt).toLowerCase() === name) return valueAt
    at = skip(chunk, valueAt)
  }
  return -1
}

/** The digits of an integer of zero or more; undefined for anything else. */
function integerText(chunk: Buffer, at: number): string | undefined {
  const value = at < 0 ? undefined : readInteger(chunk, at)
  return value === undefined || value < 0 ? undefined : String(value)
}

/** Nanoseconds since the epoch. */
function eventTime(chunk: Buffer, at: number): string {
  return String(
    BigInt(eventSeconds(chunk, at)) * 1_000_000_000n + BigInt(eventNanoseconds(chunk, at))
  )
}

/** The shortest text that gives the double again, `1.0` for whole numbers, `1e300` for large ones. */
function doubleText(value: number): string {
  if (Number.isNaN(value)) return 'nan'
  if (!Number.isFinite(value)) return value > 0 ? 'inf' : '-inf'
  const text = Object.is(value, -0) ? '-0' : String(value)
  return /^-?\d+$/.test(text) ? `${text}.0` : text.replace('e+', 'e')
}
