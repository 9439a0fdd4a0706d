/**
 * Events as JSON, in the forms that stdout, http, tcp, file and others share: a date, what the event's group and
 * metadata say, and the body.
 * Source: Fluent Bit 5.1.1 src/flb_pack.c flb_pack_msgpack_to_json_format(); reference 11.3.
 *
 * @hot bench/pipelines.ts
 */
import { JsonKey, type JsonWriter, type JsonWriterOptions } from '../codec/json_writer.ts'
import { isMap, skip } from '../codec/msgpack_reader.ts'
import { writePadded } from '../codec/number_text.ts'
import {
  eventBodyAt,
  eventMetadataAt,
  eventNanoseconds,
  eventSeconds,
  GROUP_START_SECONDS,
  isGroupMark
} from './event.ts'

/** `json_date_format`: seconds as a double or an integer, milliseconds, or UTC text with microseconds. */
export type DateFormat = 'double' | 'epoch' | 'epoch_ms' | 'iso8601' | 'java_sql_timestamp'

/** `format`: one array of maps, a map a line, or maps that follow each other. */
export type JsonFormat = 'json' | 'json_lines' | 'json_stream'

const DATE_FORMATS: ReadonlyMap<string, DateFormat> = new Map([
  ['double', 'double'],
  ['epoch', 'epoch'],
  ['epoch_ms', 'epoch_ms'],
  ['epoch_millis', 'epoch_ms'],
  ['epoch_milliseconds', 'epoch_ms'],
  ['iso8601', 'iso8601'],
  ['java_sql_timestamp', 'java_sql_timestamp']
])

const COMMA = 0x2c
const NEWLINE = 0x0a
const NANOSECONDS = 1e9

/** `2023-11-14T22:13:20`, without the fraction. */
const SECOND_TEXT_BYTES = 19

/** The format that a `json_date_format` value names, in any case; undefined when there is none. */
export function dateFormatOf(text: string): DateFormat | undefined {
  return DATE_FORMATS.get(text.toLowerCase())
}

/** The format that a `format` value names, in any case; undefined for `msgpack`, `otlp_json` and unknown words. */
export function jsonFormatOf(text: string): JsonFormat | undefined {
  const format = text.toLowerCase()
  return format === 'json' || format === 'json_lines' || format === 'json_stream'
    ? format
    : undefined
}

/** The key that a `json_date_key` value names; undefined for `false`, `off` and `no`, which leave the date out. */
export function dateKeyOf(text: string): string | undefined {
  return /^(?:false|off|no)$/i.test(text) ? undefined : text
}

export interface EventJsonOptions extends JsonWriterOptions {
  /** `json_date_key`; undefined leaves the date out. */
  readonly dateKey: string | undefined
  readonly dateFormat: DateFormat
}

/** Writes events of a chunk as JSON into a `JsonWriter`. */
export class EventJson {
  readonly #dateKey: JsonKey | undefined
  readonly #dateFormat: DateFormat
  readonly #internalKey: JsonKey
  readonly #logKey: JsonKey
  /** The text of one second, since neighbours mostly share it. */
  readonly #secondText = Buffer.alloc(SECOND_TEXT_BYTES)
  #second = -1
  /** Position of the body of the group mark that is in force, or -1. */
  #groupAt = -1

  constructor(options: EventJsonOptions) {
    this.#dateKey =
      options.dateKey === undefined ? undefined : new JsonKey(options.dateKey, options)
    this.#dateFormat = options.dateFormat
    this.#internalKey = new JsonKey('__internal__')
    this.#logKey = new JsonKey('log')
  }

  /**
   * Writes all events of a chunk. Group marks are not shown; what they say is added to the events of the group.
   *
   * @returns How many events were written.
   */
  chunk(chunk: Buffer, format: JsonFormat, out: JsonWriter): number {
    this.#groupAt = -1
    let events = 0
    let at = 0
    if (format === 'json') out.byte(0x5b)
    while (at < chunk.length) {
      if (isGroupMark(chunk, at)) {
        at = this.#groupMark(chunk, at)
        continue
      }
      if (format === 'json' && events > 0) out.byte(COMMA)
      at = this.#event(chunk, at, out)
      if (format === 'json_lines') out.byte(NEWLINE)
      events++
    }
    if (format === 'json') out.byte(0x5d)
    return events
  }

  /**
   * Writes the event at `at`, which is not a group mark, as one map.
   *
   * @param groupAt Position of the body of the group mark before it, or -1.
   * @returns The position after the event.
   */
  event(chunk: Buffer, at: number, out: JsonWriter, groupAt = -1): number {
    this.#groupAt = groupAt
    return this.#event(chunk, at, out)
  }

  #groupMark(chunk: Buffer, at: number): number {
    const bodyAt = eventBodyAt(chunk, at)
    this.#groupAt = eventSeconds(chunk, at) === GROUP_START_SECONDS ? bodyAt : -1
    return skip(chunk, bodyAt)
  }

  #event(chunk: Buffer, at: number, out: JsonWriter): number {
    const metadataAt = eventMetadataAt(at)
    const bodyAt = eventBodyAt(chunk, at)
    out.startMap()
    if (this.#dateKey !== undefined) {
      out.ownKey(this.#dateKey)
      this.#date(eventSeconds(chunk, at), eventNanoseconds(chunk, at), out)
      out.byte(COMMA)
    }
    if (
      isFilledMap(chunk, metadataAt) ||
      (this.#groupAt >= 0 && isFilledMap(chunk, this.#groupAt))
    ) {
      this.#internal(chunk, metadataAt, out)
    }
    const next = isMap(chunk[bodyAt])
      ? out.pairs(chunk, bodyAt)
      : this.#bareBody(chunk, bodyAt, out)
    out.endMap()
    return next
  }

  #internal(chunk: Buffer, metadataAt: number, out: JsonWriter): void {
    out.ownKey(this.#internalKey)
    out.byte(0x7b)
    if (this.#groupAt >= 0) {
      out.ascii('"group_attributes":')
      out.value(chunk, this.#groupAt)
      out.byte(COMMA)
    }
    out.ascii('"log_metadata":')
    out.value(chunk, metadataAt)
    out.ascii('},')
  }

  #bareBody(chunk: Buffer, bodyAt: number, out: JsonWriter): number {
    out.ownKey(this.#logKey)
    const next = out.value(chunk, bodyAt)
    out.byte(COMMA)
    return next
  }

  #date(seconds: number, nanoseconds: number, out: JsonWriter): void {
    switch (this.#dateFormat) {
      case 'double':
        out.double(seconds + nanoseconds / NANOSECONDS)
        break
      case 'epoch':
        out.integer(seconds)
        break
      case 'epoch_ms':
        out.integer(seconds * 1000 + Math.floor(nanoseconds / 1e6))
        break
      case 'iso8601':
        this.#dateText(seconds, nanoseconds, 0x54, out)
        out.ascii('Z"')
        break
      default:
        this.#dateText(seconds, nanoseconds, 0x20, out)
        out.byte(0x22)
    }
  }

  /** Writes the opening quote, date, `separator`, time and six digits; the fraction is cut, not rounded. */
  #dateText(seconds: number, nanoseconds: number, separator: number, out: JsonWriter): void {
    if (seconds !== this.#second) {
      this.#secondText.latin1Write(
        new Date(seconds * 1000).toISOString().slice(0, SECOND_TEXT_BYTES)
      )
      this.#secondText[10] = separator
      this.#second = seconds
    }
    out.reserve(SECOND_TEXT_BYTES + 8)
    out.byte(0x22)
    out.raw(this.#secondText)
    out.byte(0x2e)
    out.length = writePadded(out.bytes, out.length, Math.floor(nanoseconds / 1000), 6)
  }
}

function isFilledMap(chunk: Buffer, at: number): boolean {
  const byte = chunk[at]
  return byte !== 0x80 && isMap(byte)
}
