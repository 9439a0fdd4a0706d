/**
 * Copies events as they come over the forward protocol into the form that chunks have:
 *
 *     [time, map], [[time, metadata], map]   →   [[EventTime, metadata], map]
 *     time  an integer of seconds, a float, or an EventTime: extension 0 of eight bytes
 *
 * Events that have this form already are copied in long runs.
 * Source: Fluent Bit 5.1.1 src/flb_log_event_decoder.c flb_event_decoder_decode_object().
 *
 * @hot bench/pipelines.ts
 */
import {
  contentCount,
  headerSize,
  isArray,
  isMap,
  readInteger,
  readNumber,
  skip,
  skipChecked,
  typeOf,
  uint32
} from '../../../codec/msgpack_reader.ts'
import type { MsgpackWriter } from '../../../codec/msgpack_writer.ts'
import {
  EVENT_HEADER_BYTES,
  GROUP_END_SECONDS,
  writeEventHeader,
  writeTimestamp
} from '../../../record/event.ts'

const NANOSECONDS = 1_000_000_000

/** First byte of the nanoseconds of a second. */
const NANOSECONDS_BYTE = 0x3b

export class EventCopier {
  /** Events that the last copy has written. */
  written = 0
  /** What it could not use: single events, or the rest from where the bytes are no MessagePack. */
  dropped = 0
  droppedBytes = 0
  /** Where it ended: behind the last event, or -1 when it gave up before. */
  at = 0
  #seconds = 0
  #nanoseconds = 0

  /** Copies the events between `start` and `end`, no more than `count`. */
  copy(
    source: Buffer,
    start: number,
    end: number,
    out: MsgpackWriter,
    count = Number.POSITIVE_INFINITY
  ): void {
    let at = start
    /** Start of the bytes that can be copied as they are. */
    let run = start
    this.written = 0
    this.dropped = 0
    this.droppedBytes = 0
    for (let left = count; left > 0 && at < end; left--) {
      const plainEnd = chunkEventEnd(source, at, end)
      if (plainEnd > 0) {
        at = plainEnd
        this.written++
        continue
      }
      if (run < at) out.raw(source, run, at)
      const next = packedEventEnd(source, at, end)
      if (next > 0) {
        copyPacked(source, at, next, out)
        this.written++
      }
      at = next > 0 ? next : this.#copyOther(source, at, end, out)
      run = at
      if (at < 0) {
        this.at = -1
        return
      }
    }
    if (run < at) out.raw(source, run, at)
    this.at = at
  }

  /**
   * Writes one event from its parts.
   *
   * @returns False when the time is none.
   */
  write(
    source: Buffer,
    timeAt: number,
    metadataAt: number,
    bodyAt: number,
    out: MsgpackWriter
  ): boolean {
    if (!this.#readTime(source, timeAt)) return false
    writeEventHeader(out, this.#seconds, this.#nanoseconds)
    if (metadataAt >= 0) {
      // In the place of the empty metadata that the header ends with.
      out.length--
      out.raw(source, metadataAt, skip(source, metadataAt))
    }
    out.raw(source, bodyAt, skip(source, bodyAt))
    return true
  }

  /** Copies an event of any form, or drops it; returns where the next one starts, -1 when that cannot be known. */
  #copyOther(source: Buffer, at: number, end: number, out: MsgpackWriter): number {
    const next = skipChecked(source, at, end)
    if (next > 0 && this.#copyPair(source, at, out)) {
      this.written++
      return next
    }
    this.dropped++
    this.droppedBytes += (next > 0 ? next : end) - at
    return next > 0 ? next : -1
  }

  #copyPair(source: Buffer, at: number, out: MsgpackWriter): boolean {
    if (!isArray(source[at]) || contentCount(source, at) !== 2) return false
    const headAt = at + headerSize(source[at])
    const bodyAt = skip(source, headAt)
    if (!isMap(source[bodyAt])) return false
    if (!isArray(source[headAt])) return this.write(source, headAt, -1, bodyAt, out)
    if (contentCount(source, headAt) !== 2) return false
    const timeAt = headAt + headerSize(source[headAt])
    const metadataAt = skip(source, timeAt)
    return isMap(source[metadataAt]) && this.write(source, timeAt, metadataAt, bodyAt, out)
  }

  /** The group marks of chunks, whose seconds no real time has, can only come as an EventTime. */
  #readTime(source: Buffer, at: number): boolean {
    const type = typeOf(source[at])
    if (type === 'extension') {
      const timeAt = at + headerSize(source[at])
      if (source[timeAt - 1] !== 0 || contentCount(source, at) !== 8) return false
      this.#seconds = uint32(source, timeAt)
      this.#nanoseconds = uint32(source, timeAt + 4)
      return isEventTime(source, timeAt)
    }
    const value = type === 'integer' ? readInteger(source, at) : readNumber(source, at)
    if (typeof value !== 'number' || !(value >= 0 && value < GROUP_END_SECONDS)) return false
    this.#seconds = Math.floor(value)
    this.#nanoseconds = Math.floor((value - this.#seconds) * NANOSECONDS)
    return true
  }
}

/** The end of an event that is written as chunks have it; -1 when it is not. */
function chunkEventEnd(source: Buffer, at: number, end: number): number {
  if (
    source[at] !== 0x92 ||
    source[at + 1] !== 0x92 ||
    source[at + 2] !== 0xd7 ||
    source[at + 3] !== 0 ||
    !isEventTime(source, at + 4)
  ) {
    return -1
  }
  const metadataAt = at + EVENT_HEADER_BYTES - 1
  let bodyAt = metadataAt + 1
  if (source[metadataAt] !== 0x80) {
    bodyAt = isMap(source[metadataAt]) ? skipChecked(source, metadataAt, end) : -1
  }
  return bodyAt > 0 && bodyAt < end && isMap(source[bodyAt]) ? skipChecked(source, bodyAt, end) : -1
}

/** The time and the body of an event without metadata, behind the header of its array. */
const PACKED_TIME = 1
const PACKED_BODY = 11

/** The end of an event without metadata and with an EventTime of the usual form; -1 when it is not one. */
function packedEventEnd(source: Buffer, at: number, end: number): number {
  if (
    source[at] !== 0x92 ||
    source[at + PACKED_TIME] !== 0xd7 ||
    source[at + PACKED_TIME + 1] !== 0 ||
    !isEventTime(source, at + PACKED_TIME + 2) ||
    !isMap(source[at + PACKED_BODY])
  ) {
    return -1
  }
  return skipChecked(source, at + PACKED_BODY, end)
}

function copyPacked(source: Buffer, at: number, next: number, out: MsgpackWriter): void {
  const bodyAt = at + PACKED_BODY
  out.reserve(EVENT_HEADER_BYTES + next - bodyAt)
  const { bytes, length } = out
  bytes[length] = 0x92
  bytes[length + 1] = 0x92
  const timeAt = at + PACKED_TIME + 2
  writeTimestamp(bytes, length + 2, uint32(source, timeAt), uint32(source, timeAt + 4))
  bytes[length + EVENT_HEADER_BYTES - 1] = 0x80
  out.length = length + EVENT_HEADER_BYTES
  out.raw(source, bodyAt, next)
}

/** Whether the eight bytes are a time, or a mark of a group, which has no nanoseconds. */
function isEventTime(source: Buffer, at: number): boolean {
  const highest = source[at + 4]
  if (highest > NANOSECONDS_BYTE) return false
  if (highest === NANOSECONDS_BYTE && uint32(source, at + 4) >= NANOSECONDS) return false
  return (
    source[at] !== 0xff || uint32(source, at) < GROUP_END_SECONDS || uint32(source, at + 4) === 0
  )
}
