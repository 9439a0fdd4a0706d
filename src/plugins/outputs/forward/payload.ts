/**
 * Chunks as frames of the forward protocol, in Fluent Bit's own encoding; see inputs/forward/frame.ts for what they hold.
 *
 *     logs               [tag, [[[time, metadata], map], …], options?]    the bytes of the chunk as they are
 *     without metadata   [tag, [[time, map], …], options?]
 *     times as integers  [tag, [[seconds, map], …], options?]
 *     compressed         [tag, bin of events, options]
 *     tags from records  [tag, time, map, options] for each event
 *     metrics, traces    [tag, bin of contexts, options] or, for Fluentd, [tag, [[time, [context, …]]], options]
 *
 * Source: Fluent Bit 5.1.1 plugins/out_forward/forward_format.c, forward.c flush_forward_mode().
 *
 * @hot bench/pipelines.ts
 */
import { SIGNALS } from '../../../base/signal.ts'
import { compress } from '../../../codec/compression.ts'
import { contentCount, skip } from '../../../codec/msgpack_reader.ts'
import { MsgpackWriter } from '../../../codec/msgpack_writer.ts'
import type { ChunkView } from '../../../plugin/context.ts'
import {
  eventBodyAt,
  eventMetadataAt,
  eventSeconds,
  isGroupMark,
  writeTimestamp
} from '../../../record/event.ts'
import type { ForwardSettings } from './settings.ts'

/** Bytes around the events of a frame, which are not copied, and around each event that is. */
const FRAME_BYTES = 512

/** `dd` and four bytes: how Fluent Bit begins an event that it writes anew. */
const PAIR_HEADER = Buffer.from([0xdd, 0, 0, 0, 2])

const TIMESTAMP_BYTES = 10

/** Frames of single events, each with an acknowledgement of its own. */
export interface Messages {
  readonly bytes: Buffer
  /** Where each frame ends. */
  readonly ends: readonly number[]
}

/**
 * The parts of a chunk that are to have a frame each: of metrics and traces every context, as Fluent Bit reads no more
 * than the first of a frame.
 */
export function frames(
  chunk: ChunkView,
  { isFluentdCompatible }: Pick<ForwardSettings, 'isFluentdCompatible'>
): readonly ChunkView[] {
  const { bytes, signal } = chunk
  if (signal === 'logs' || isFluentdCompatible) return [chunk]
  const parts: ChunkView[] = []
  for (let at = 0, next = 0; at < bytes.length; at = next) {
    next = skip(bytes, at)
    parts.push({ ...chunk, bytes: bytes.subarray(at, next), events: 1 })
  }
  return parts
}

/** A chunk as one frame; `token` is what the server is to acknowledge. */
export async function framePayload(
  chunk: ChunkView,
  settings: ForwardSettings,
  token: string | undefined,
  nowMs: number
): Promise<readonly Buffer[]> {
  const { bytes, signal } = chunk
  const isLog = signal === 'logs'
  const { isIntegerTime, keepsMetadata, isCompressed, isFluentdCompatible } = settings
  const isRewritten = isLog && (isIntegerTime || !keepsMetadata)
  const body = isRewritten ? rewritten(bytes, isIntegerTime) : { bytes, events: chunk.events }
  const hasOptions = settings.sendsOptions || !isLog
  const out = new MsgpackWriter(FRAME_BYTES)
  out.arrayHeader(hasOptions ? 3 : 2)
  out.string(settings.tag?.render(bytes, -1, chunk.tag) ?? chunk.tag)
  let content = body.bytes
  if (isCompressed) {
    content = await compress('gzip', content)
    binaryHeader(out, content.length)
  } else if (isLog) out.arrayHeader(body.events)
  else if (isFluentdCompatible) contextsHeader(out, bytes, nowMs)
  else binaryHeader(out, content.length)
  const headEnd = out.length
  if (hasOptions) {
    writeOptions(out, settings, {
      token,
      events: isLog ? body.events : 0,
      isCompressed,
      signal: SIGNALS.indexOf(signal)
    })
  }
  const frame = out.written()
  return [frame.subarray(0, headEnd), content, frame.subarray(headEnd)]
}

/**
 * The events of a chunk of logs as frames of their own, as their tags are made of what is in them.
 *
 * @param token Gives what the server is to acknowledge for an event, by its number.
 */
export function messages(
  chunk: ChunkView,
  settings: ForwardSettings,
  token: ((event: number) => string) | undefined
): Messages {
  const { bytes } = chunk
  const out = new MsgpackWriter(bytes.length + FRAME_BYTES)
  const ends: number[] = []
  for (let at = 0, next = 0; at < bytes.length; at = next) {
    const bodyAt = eventBodyAt(bytes, at)
    next = skip(bytes, bodyAt)
    if (isGroupMark(bytes, at)) continue
    out.arrayHeader(4)
    out.string(settings.tag?.render(bytes, bodyAt, chunk.tag) ?? chunk.tag)
    if (settings.isIntegerTime) out.integer(eventSeconds(bytes, at))
    else out.raw(bytes, at + 2, at + 2 + TIMESTAMP_BYTES)
    out.raw(bytes, bodyAt, next)
    const metadataAt = eventMetadataAt(at)
    const hasMetadata = contentCount(bytes, metadataAt) > 0
    writeOptions(out, settings, {
      token: token?.(ends.length),
      events: 0,
      isCompressed: false,
      signal: 0,
      ...(hasMetadata && { metadata: bytes.subarray(metadataAt, bodyAt) })
    })
    ends.push(out.length)
  }
  return { bytes: out.written(), ends }
}

/** The events without metadata and group marks. */
function rewritten(
  bytes: Buffer,
  isIntegerTime: boolean
): { readonly bytes: Buffer; readonly events: number } {
  const out = new MsgpackWriter(bytes.length + FRAME_BYTES)
  let events = 0
  for (let at = 0, next = 0; at < bytes.length; at = next) {
    const bodyAt = eventBodyAt(bytes, at)
    next = skip(bytes, bodyAt)
    if (isGroupMark(bytes, at)) continue
    if (isIntegerTime) {
      out.arrayHeader(2)
      out.integer(eventSeconds(bytes, at))
    } else {
      out.raw(PAIR_HEADER, 0, PAIR_HEADER.length)
      out.raw(bytes, at + 2, at + 2 + TIMESTAMP_BYTES)
    }
    out.raw(bytes, bodyAt, next)
    events++
  }
  return { bytes: out.written(), events }
}

/** One event of now, whose record is the array of all contexts. */
function contextsHeader(out: MsgpackWriter, bytes: Buffer, nowMs: number): void {
  let contexts = 0
  for (let at = 0; at < bytes.length; at = skip(bytes, at)) contexts++
  out.arrayHeader(1)
  out.arrayHeader(2)
  out.reserve(TIMESTAMP_BYTES)
  const seconds = Math.floor(nowMs / 1000)
  writeTimestamp(out.bytes, out.length, seconds, Math.floor((nowMs - seconds * 1000) * 1e6))
  out.length += TIMESTAMP_BYTES
  out.arrayHeader(contexts)
}

/** The header of binary data whose bytes are sent from elsewhere. */
function binaryHeader(out: MsgpackWriter, byteLength: number): void {
  const { length } = out
  out.reserve(5)
  if (byteLength < 256) out.length = out.bytes.writeUInt16BE(0xc400 | byteLength, length)
  else if (byteLength < 65_536) {
    out.bytes[length] = 0xc5
    out.length = out.bytes.writeUInt16BE(byteLength, length + 1)
  } else {
    out.bytes[length] = 0xc6
    out.length = out.bytes.writeUInt32BE(byteLength, length + 1)
  }
}

interface FrameOptions {
  readonly token: string | undefined
  /** 0 for what has no `size`. */
  readonly events: number
  readonly isCompressed: boolean
  /** Number of the signal. */
  readonly signal: number
  readonly metadata?: Buffer
}

function writeOptions(
  out: MsgpackWriter,
  { options }: ForwardSettings,
  { token, events, isCompressed, signal, metadata }: FrameOptions
): void {
  const start = out.length
  let count = 1 + options.length
  // Fluent Bit's header has four bytes for the count, which it writes last.
  out.reserve(5)
  out.length += 5
  if (token !== undefined) {
    out.string('chunk')
    out.string(token)
    count++
  }
  if (events > 0) {
    out.string('size')
    out.integer(events)
    count++
  }
  if (isCompressed) {
    out.string('compressed')
    out.string('gzip')
    count++
  }
  out.string('fluent_signal')
  out.integer(signal)
  for (const [key, value] of options) {
    out.string(key)
    out.string(value)
  }
  if (metadata !== undefined) {
    out.string('metadata')
    out.raw(metadata, 0, metadata.length)
    count++
  }
  out.bytes[start] = 0xdf
  out.bytes.writeUInt32BE(count, start + 1)
}
