/**
 * The event as it lies in a chunk: MessagePack `[[timestamp, metadata], body]`, Fluent Bit's v2 form.
 * The timestamp is extension 0 with eight bytes: seconds and nanoseconds, big endian, unsigned.
 * Source: Fluent Bit 5.1.1 include/fluent-bit/flb_log_event.h; reference section 10.
 *
 * @hot bench/pipelines.ts
 */
import { decode, type Decoded, skip, uint32 } from '../codec/msgpack_reader.ts'
import type { MsgpackWriter } from '../codec/msgpack_writer.ts'

/** Bytes before the body of an event with empty metadata, which is nearly every event. */
export const EVENT_HEADER_BYTES = 13

/** Position of the metadata in an event that starts with a fixed-size timestamp. */
const METADATA_OFFSET = 12

/** Seconds that mark the start of a group of events (OpenTelemetry resources), -1 as unsigned. */
export const GROUP_START_SECONDS = 0xffffffff

/** Seconds that mark the end of a group of events, -2 as unsigned. */
export const GROUP_END_SECONDS = 0xfffffffe

/** Writes the head of an event with empty metadata; the body follows. */
export function writeEventHeader(out: MsgpackWriter, seconds: number, nanoseconds: number): void {
  out.reserve(EVENT_HEADER_BYTES)
  const { bytes } = out
  const at = out.length
  bytes[at] = 0x92
  bytes[at + 1] = 0x92
  writeTimestamp(bytes, at + 2, seconds, nanoseconds)
  bytes[at + METADATA_OFFSET] = 0x80
  out.length = at + EVENT_HEADER_BYTES
}

/** Overwrites the time of an event written at `at` with `writeEventHeader`. */
export function setEventTime(
  bytes: Buffer,
  at: number,
  seconds: number,
  nanoseconds: number
): void {
  writeTimestamp(bytes, at + 2, seconds, nanoseconds)
}

/** Overwrites the nanoseconds of an event at `at`. */
export function setEventNanoseconds(bytes: Buffer, at: number, nanoseconds: number): void {
  bytes[at + 8] = nanoseconds >>> 24
  bytes[at + 9] = (nanoseconds >>> 16) & 0xff
  bytes[at + 10] = (nanoseconds >>> 8) & 0xff
  bytes[at + 11] = nanoseconds & 0xff
}

/** Writes the ten bytes of a timestamp extension at `at`. */
export function writeTimestamp(
  bytes: Buffer,
  at: number,
  seconds: number,
  nanoseconds: number
): void {
  bytes[at] = 0xd7
  bytes[at + 1] = 0
  bytes[at + 2] = seconds >>> 24
  bytes[at + 3] = (seconds >>> 16) & 0xff
  bytes[at + 4] = (seconds >>> 8) & 0xff
  bytes[at + 5] = seconds & 0xff
  bytes[at + 6] = nanoseconds >>> 24
  bytes[at + 7] = (nanoseconds >>> 16) & 0xff
  bytes[at + 8] = (nanoseconds >>> 8) & 0xff
  bytes[at + 9] = nanoseconds & 0xff
}

/** Seconds of the event at `at`; group marks have GROUP_START_SECONDS and GROUP_END_SECONDS. */
export function eventSeconds(bytes: Buffer, at: number): number {
  return uint32(bytes, at + 4)
}

/** Nanoseconds of the event at `at`, 0 to 999,999,999. */
export function eventNanoseconds(bytes: Buffer, at: number): number {
  return uint32(bytes, at + 8)
}

/** Position of the metadata map of the event at `at`. */
export function eventMetadataAt(at: number): number {
  return at + METADATA_OFFSET
}

/** Position of the body of the event at `at`. */
export function eventBodyAt(bytes: Buffer, at: number): number {
  const metadataAt = at + METADATA_OFFSET
  return bytes[metadataAt] === 0x80 ? metadataAt + 1 : skip(bytes, metadataAt)
}

/** True when the event is a group mark and not a record. */
export function isGroupMark(bytes: Buffer, at: number): boolean {
  return bytes[at + 4] === 0xff && eventSeconds(bytes, at) >= GROUP_END_SECONDS
}

/** An event as JavaScript values. */
export interface DecodedEvent {
  readonly seconds: number
  readonly nanoseconds: number
  readonly metadata: Decoded
  readonly body: Decoded
}

/** Decodes events one after the other: for outputs that want values and not bytes. */
export function* decodeEvents(bytes: Buffer): Generator<DecodedEvent> {
  let at = 0
  while (at < bytes.length) {
    const bodyAt = eventBodyAt(bytes, at)
    yield {
      seconds: eventSeconds(bytes, at),
      nanoseconds: eventNanoseconds(bytes, at),
      metadata: decode(bytes, eventMetadataAt(at)),
      body: decode(bytes, bodyAt)
    }
    at = skip(bytes, bodyAt)
  }
}
