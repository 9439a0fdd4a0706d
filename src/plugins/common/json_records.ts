/**
 * Events from a stream of JSON values that comes in parts of any size.
 *
 *     *( MAP | "[" TIME "," MAP "]" | "[[" TIME "," METADATA "]," MAP "]" ), with or without white space between them
 *
 * Source: Fluent Bit 5.1.1 plugins/in_stdin/in_stdin.c process_pack(), src/flb_log_event_decoder.c.
 *
 * @hot bench/pipelines.ts
 */
import { skipWhiteSpace, transcodeJson, TRUNCATED } from '../../codec/json_reader.ts'
import {
  contentCount,
  headerSize,
  isArray,
  isMap,
  readNumber,
  skip,
  typeOf
} from '../../codec/msgpack_reader.ts'
import { MsgpackWriter } from '../../codec/msgpack_writer.ts'
import type { EventSink, InputContext } from '../../plugin/context.ts'
import { writeTimestamp } from '../../record/event.ts'
import { beginEvent } from './send_event.ts'

const EMPTY = Buffer.alloc(0)

const LINE_FEED = 0x0a
const OPEN_BRACE = 0x7b
const OPEN_BRACKET = 0x5b

/** Of the extension that holds the time of an event. */
const TIMESTAMP_BYTES = 10

/**
 * Makes events of JSON as it comes. What is no event is counted and left out: text that is not JSON up to the next line
 * that starts with a map or an array, values longer than `bytesMax` (the input's `buffer_size`), other values alone.
 */
export class JsonRecords {
  readonly #bytesMax: number
  readonly #context: InputContext
  /** A value that is not a map, until it is known what it is. */
  readonly #other = new MsgpackWriter(1024)
  /** The begin of a value whose end has not come yet. */
  #rest = EMPTY
  /** True while what comes belongs to a value that is too long. */
  #isSkipping = false
  #timeMs = 0
  #count = 0

  constructor(bytesMax: number, context: InputContext) {
    this.#bytesMax = bytesMax
    this.#context = context
  }

  /** Takes the next bytes, which may be used again when this returns. */
  take(read: Buffer): void {
    const bytes = this.#rest.length === 0 ? read : Buffer.concat([this.#rest, read])
    const end = bytes.length
    this.#timeMs = this.#context.clock.now()
    this.#count = 0
    let at = skipWhiteSpace(bytes, this.#isSkipping ? this.#skipTooLong(bytes) : 0, end)
    while (at < end) {
      const next =
        bytes[at] === OPEN_BRACE ? this.#takeMap(bytes, at, end) : this.#takeOther(bytes, at, end)
      if (next === TRUNCATED) break
      at = skipWhiteSpace(bytes, next < 0 ? this.#skipMalformed(bytes, at) : next, end)
    }
    if (this.#count > 0) this.#sink.commit(this.#count)
    this.#keep(bytes, at)
  }

  /** What has come of a value whose end has not. */
  get rest(): Buffer {
    return this.#rest
  }

  /** Nothing more comes. */
  end(): void {
    if (this.#rest.length > 0) this.#context.dropped('incomplete', 1, this.#rest.length)
    this.#rest = EMPTY
  }

  get #sink(): EventSink {
    return this.#context.sink(this.#context.tag)
  }

  #takeMap(bytes: Buffer, at: number, end: number): number {
    const { writer } = this.#sink
    const mark = writer.length
    beginEvent(writer, this.#timeMs)
    const next = transcodeJson(bytes, at, end, writer)
    if (next >= 0 && next - at <= this.#bytesMax) {
      this.#count++
      return next
    }
    writer.length = mark
    if (next >= 0) this.#reportTooLong(next - at)
    return next
  }

  #takeOther(bytes: Buffer, at: number, end: number): number {
    const other = this.#other
    other.length = 0
    const next = transcodeJson(bytes, at, end, other)
    if (next < 0) return next
    if (next - at > this.#bytesMax) {
      this.#reportTooLong(next - at)
    } else if (!isArray(other.bytes[0])) {
      this.#context.log.error("invalid record found, it's not a JSON map or array")
      this.#context.dropped('not_an_event', 1, next - at)
    } else if (writeArrayEvent(other.bytes, this.#sink.writer)) {
      this.#count++
    } else {
      this.#context.dropped('not_an_event', 1, next - at)
    }
    return next
  }

  /** Keeps an incomplete value for the next read, unless it is too long already. */
  #keep(bytes: Buffer, at: number): void {
    const length = bytes.length - at
    if (length <= this.#bytesMax) {
      this.#rest = length === 0 ? EMPTY : Buffer.from(bytes.subarray(at))
      return
    }
    this.#rest = EMPTY
    this.#isSkipping = true
    this.#reportTooLong(length)
  }

  /** Where reading goes on after a value that is too long; the end when more of it is to come. */
  #skipTooLong(bytes: Buffer): number {
    const next = nextLineStart(bytes, 0)
    this.#isSkipping = next < 0
    const skipped = next < 0 ? bytes.length : next
    this.#context.dropped('too_long', 0, skipped)
    return skipped
  }

  /** Where reading goes on after text that is not JSON; the end when no line looks like an event. */
  #skipMalformed(bytes: Buffer, at: number): number {
    const next = nextLineStart(bytes, at)
    const end = next < 0 ? bytes.length : next
    this.#context.log.debug('invalid JSON message, skipping')
    this.#context.dropped('malformed', 1, end - at)
    return end
  }

  #reportTooLong(length: number): void {
    const { log } = this.#context
    log.error(`Cannot take message: it is longer than buffer_size, which is ${this.#bytesMax}`)
    this.#context.dropped('too_long', 1, length)
  }
}

/** The start of the next line that begins with a map or an array, or the end if it is one of a line; else -1. */
export function nextLineStart(bytes: Buffer, from: number): number {
  let feed = bytes.indexOf(LINE_FEED, from)
  while (feed >= 0) {
    const at = feed + 1
    const isStart = bytes[at] === OPEN_BRACE || bytes[at] === OPEN_BRACKET
    if (isStart || at === bytes.length) return at
    feed = bytes.indexOf(LINE_FEED, at)
  }
  return -1
}

/**
 * Writes the event that an array stands for: `[time, body]` or `[[time, metadata], body]`, where the time is in seconds.
 *
 * @returns False, and nothing is written, when the array is none of the two.
 */
function writeArrayEvent(bytes: Buffer, out: MsgpackWriter): boolean {
  const first = headerSize(bytes[0])
  const hasMetadata = contentCount(bytes, 0) === 2 && isArray(bytes[first])
  const timeAt = hasMetadata ? first + headerSize(bytes[first]) : first
  if (contentCount(bytes, 0) !== 2) return false
  if (hasMetadata && contentCount(bytes, first) !== 2) return false
  const time = readTime(bytes, timeAt)
  const metadataAt = skip(bytes, timeAt)
  const bodyAt = skip(bytes, first)
  if (time === undefined || !isMap(bytes[bodyAt])) return false
  if (hasMetadata && !isMap(bytes[metadataAt])) return false
  const seconds = Math.floor(time)
  out.arrayHeader(2)
  out.arrayHeader(2)
  out.reserve(TIMESTAMP_BYTES)
  writeTimestamp(out.bytes, out.length, seconds, Math.floor((time - seconds) * 1e9))
  out.length += TIMESTAMP_BYTES
  if (hasMetadata) out.raw(bytes, metadataAt, skip(bytes, metadataAt))
  else out.mapHeader(0)
  out.raw(bytes, bodyAt, skip(bytes, bodyAt))
  return true
}

/** Seconds since the epoch; undefined when the value is not a number, or below 0. */
function readTime(bytes: Buffer, at: number): number | undefined {
  const type = typeOf(bytes[at])
  if (type !== 'integer' && type !== 'float') return undefined
  const seconds = readNumber(bytes, at)
  return seconds >= 0 ? seconds : undefined
}
