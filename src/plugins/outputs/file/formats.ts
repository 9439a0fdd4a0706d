/**
 * The forms in which an event becomes a line of a file.
 * Source: Fluent Bit 5.1.1 plugins/out_file/file.c write_log_record(); reference 11.5. Each class shows its line.
 *
 * @hot bench/pipelines.ts
 */
import type { JsonWriter } from '../../../codec/json_writer.ts'
import { contentCount, headerSize, isMap, skip } from '../../../codec/msgpack_reader.ts'
import { printObject } from '../../../codec/msgpack_text.ts'
import { INTEGER_TEXT_BYTES, writeInteger, writePadded } from '../../../codec/number_text.ts'
import { eventBodyAt, eventNanoseconds, eventSeconds } from '../../../record/event.ts'
import { writeDecimalSeconds } from '../../common/time_text.ts'

const NEWLINE = 0x0a
const SPACE = 0x20
const COMMA = 0x2c
const DOT = 0x2e
const CLOSING_BRACKET = 0x5d

const NANOSECOND_DIGITS = 9

export interface LineFormat {
  /** Called before the first line of a flush. */
  begin(tag: string): void
  /** Writes the line of the event at `at`, which is not a group mark; returns the position after the event. */
  line(out: JsonWriter, bytes: Buffer, at: number): number
}

/** `<tag>: [<seconds>.<nanoseconds>, {json}]` */
export class TagTimeJson implements LineFormat {
  /** `<tag>: [<seconds>.` of the last event: neighbours mostly share it. */
  #prefix = Buffer.alloc(0)
  #prefixLength = 0
  #tagLength = 0
  #seconds = -1

  begin(tag: string): void {
    const label = Buffer.from(`${tag}: [`)
    this.#tagLength = label.length
    this.#prefix = Buffer.alloc(label.length + INTEGER_TEXT_BYTES + 1)
    label.copy(this.#prefix)
    this.#seconds = -1
  }

  line(out: JsonWriter, bytes: Buffer, at: number): number {
    const seconds = eventSeconds(bytes, at)
    if (seconds !== this.#seconds) this.#setSeconds(seconds)
    const length = this.#prefixLength
    out.reserve(length + NANOSECOND_DIGITS + 2)
    const text = out.bytes
    let to = out.length
    // A loop: `copy` costs more than the 24 bytes of most tags.
    for (let from = 0; from < length; from++) text[to++] = this.#prefix[from]
    to = writePadded(text, to, eventNanoseconds(bytes, at), NANOSECOND_DIGITS)
    text[to] = COMMA
    text[to + 1] = SPACE
    out.length = to + 2
    const next = out.value(bytes, eventBodyAt(bytes, at))
    out.byte(CLOSING_BRACKET)
    out.byte(NEWLINE)
    return next
  }

  #setSeconds(seconds: number): void {
    const end = writeInteger(this.#prefix, this.#tagLength, seconds)
    this.#prefix[end] = DOT
    this.#prefixLength = end + 1
    this.#seconds = seconds
  }
}

/** `{json}` */
export class PlainJson implements LineFormat {
  begin(): void {
    // A line depends on nothing but its event.
  }

  line(out: JsonWriter, bytes: Buffer, at: number): number {
    const next = out.value(bytes, eventBodyAt(bytes, at))
    out.byte(NEWLINE)
    return next
  }
}

/** The event as it is in the chunk. */
export class RawEvents implements LineFormat {
  begin(): void {
    // An event depends on nothing before it.
  }

  line(out: JsonWriter, bytes: Buffer, at: number): number {
    const next = skip(bytes, eventBodyAt(bytes, at))
    out.raw(bytes, at, next)
    return next
  }
}

/** `<seconds>.<nanoseconds>,<value>,<value>`; an empty record has no line. */
export class Csv implements LineFormat {
  readonly #delimiter: string
  readonly #names: boolean
  #namesDue = false

  /** @param names Write the keys of the first record of each flush before it. */
  constructor(delimiter: string, names: boolean) {
    this.#delimiter = delimiter
    this.#names = names
  }

  begin(): void {
    this.#namesDue = this.#names
  }

  line(out: JsonWriter, bytes: Buffer, at: number): number {
    const bodyAt = eventBodyAt(bytes, at)
    const pairs = isMap(bytes[bodyAt]) ? contentCount(bytes, bodyAt) : 0
    const isHeaded = this.#namesDue
    // An empty record takes the line of names with it.
    this.#namesDue = false
    if (pairs === 0) return skip(bytes, bodyAt)
    const firstAt = bodyAt + headerSize(bytes[bodyAt])
    if (isHeaded) this.#writeNames(out, bytes, firstAt, pairs)
    writeTime(out, bytes, at)
    let next = firstAt
    for (let left = pairs; left > 0; left--) {
      out.ascii(this.#delimiter)
      next = printObject(bytes, skip(bytes, next), out)
    }
    out.byte(NEWLINE)
    return next
  }

  #writeNames(out: JsonWriter, bytes: Buffer, at: number, pairs: number): void {
    out.ascii('timestamp')
    for (let left = pairs; left > 0; left--) {
      out.ascii(this.#delimiter)
      at = skip(bytes, printObject(bytes, at, out))
    }
    out.byte(NEWLINE)
  }
}

/** `"time":<seconds>.<micros>\t<key>:<value>\t<key>:<value>`; an empty record has no line. */
export class Ltsv implements LineFormat {
  readonly #delimiter: string
  readonly #labelDelimiter: string

  constructor(delimiter: string, labelDelimiter: string) {
    this.#delimiter = delimiter
    this.#labelDelimiter = labelDelimiter
  }

  begin(): void {
    // A line depends on nothing but its event.
  }

  line(out: JsonWriter, bytes: Buffer, at: number): number {
    const bodyAt = eventBodyAt(bytes, at)
    const pairs = isMap(bytes[bodyAt]) ? contentCount(bytes, bodyAt) : 0
    if (pairs === 0) return skip(bytes, bodyAt)
    out.ascii('"time"')
    out.ascii(this.#labelDelimiter)
    writeDecimalSeconds(out, eventSeconds(bytes, at), eventNanoseconds(bytes, at))
    let next = bodyAt + headerSize(bytes[bodyAt])
    for (let left = pairs; left > 0; left--) {
      out.ascii(this.#delimiter)
      next = printObject(bytes, next, out)
      out.ascii(this.#labelDelimiter)
      next = printObject(bytes, next, out)
    }
    out.byte(NEWLINE)
    return next
  }
}

/** `<seconds>.<nanoseconds>` */
function writeTime(out: JsonWriter, bytes: Buffer, at: number): void {
  out.integer(eventSeconds(bytes, at))
  out.byte(DOT)
  out.reserve(NANOSECOND_DIGITS)
  const nanoseconds = eventNanoseconds(bytes, at)
  out.length = writePadded(out.bytes, out.length, nanoseconds, NANOSECOND_DIGITS)
}
