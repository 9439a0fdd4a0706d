/**
 * Fluent Bit's chunk files: read so that what it left on disk is delivered, written for dead letters.
 *
 *     file     = C1 00 crc32 padding(4) length(4) padding(8) metadata-length(2) metadata content zeros
 *     metadata = F1 77 type flags tag                     ; since 1.8.10
 *              | F1 77 type flags tag 00 length(2) routes ; with flag DIRECT_ROUTES
 *              | tag                                      ; before
 *              | nothing                                  ; dead letters
 *     routes   = count(2) id* label-length(2)* label* plugin-length(2)* plugin*
 *
 * Numbers are big endian. `length` is that of the content, MessagePack events one after the other. `crc32` is over
 * everything from the metadata's length to the end of the content, and zero with `storage.checksum off`. While a chunk
 * is open, it is not finished: inverted and little endian, which Fluent Bit itself refuses after a crash.
 * Source: Fluent Bit 5.1.1 CHUNKS.md, src/flb_input_chunk.c, src/flb_mp.c flb_mp_validate_log_chunk(),
 * lib/chunkio/src/cio_file.c and include/chunkio/cio_file_st.h.
 */
import { type Signal, SIGNALS } from '../base/signal.ts'
import { crc32 } from 'node:zlib'
import {
  contentCount,
  headerSize,
  isArray,
  isMap,
  readInteger,
  skipChecked,
  typeOf
} from '../codec/msgpack_reader.ts'

/** Kinds of content by their number. Fluent Bit never writes the one of blobs: their chunks say logs. */
const TYPES = [...SIGNALS, 'blobs', 'profiles'] as const

export type SignalType = (typeof TYPES)[number]

const FILE_MAGIC = 0xc100
const CHECKSUM_AT = 2
const CONTENT_LENGTH_AT = 10
const METADATA_LENGTH_AT = 22
const FILE_HEADER_BYTES = 24

const METADATA_MAGIC = 0xf177
const METADATA_HEADER_BYTES = 4
const METADATA_BYTES_MAX = 0xffff

const FLAG_DIRECT_ROUTES = 1
const FLAG_LABELS = 2
const FLAG_WIDE_IDS = 4
const FLAG_PLUGINS = 8

const ALIAS_MARK = 0x8000

/** An output that conditional routing chose when the chunk was made. */
export interface FluentBitRoute {
  /** Position of the output among all outputs at that time. */
  readonly id: number
  /** Alias or name of the output; undefined before 4.2, when only the id was kept. */
  readonly label: string | undefined
  /** True when the label is an alias, or may be one because the plugin is not known. */
  readonly isAlias: boolean
  /** Name of the output's plugin. */
  readonly plugin: string | undefined
}

export interface FluentBitChunk {
  /** Empty in Fluent Bit's dead letters, whose file is named after it; with conditional routing, the route's name. */
  readonly tag: string
  /** `logs` where the file does not say, as in dead letters. */
  readonly signal: SignalType
  /** Empty when the tag decides. */
  readonly routes: readonly FluentBitRoute[]
  /** True when there are routes that cannot be read; the tag decides, as in Fluent Bit, which warns. */
  readonly hasBadRoutes: boolean
  /** Shared with the file's bytes. */
  readonly content: Buffer
  /** Where the content ends in the file. */
  readonly end: number
}

/**
 * `empty`: no events were written yet. `truncated`: the file ends before its content. `unknown_signal`: the number of
 * the content's kind is none that Fluent Bit 5.1 has.
 */
export type FluentBitChunkProblem =
  | 'empty'
  | 'bad_header'
  | 'truncated'
  | 'unknown_signal'
  | 'bad_checksum'

export type FluentBitChunkResult =
  | { readonly ok: true; readonly chunk: FluentBitChunk }
  | {
      readonly ok: false
      readonly reason: FluentBitChunkProblem
      /** What is there all the same; after `bad_checksum` any of it may be wrong. Undefined when nothing is usable. */
      readonly rest: FluentBitChunk | undefined
    }

/**
 * Reads the bytes of a chunk file; never throws. The events of its content are not looked at: see `wholeEvents`.
 *
 * @param options.checksum Check it. A file that was written without one is taken, which Fluent Bit refuses.
 */
export function readFluentBitChunk(
  file: Buffer,
  options: { readonly checksum: boolean }
): FluentBitChunkResult {
  if (file.length === 0) return failure('empty')
  const start = Buffer.from([0xc1, 0x00]).subarray(0, file.length)
  if (!file.subarray(0, start.length).equals(start)) return failure('bad_header')
  if (file.length < FILE_HEADER_BYTES) return failure('truncated')
  const contentAt = FILE_HEADER_BYTES + file.readUInt16BE(METADATA_LENGTH_AT)
  if (contentAt > file.length) return failure('truncated')
  const metadata = readMetadata(file.subarray(FILE_HEADER_BYTES, contentAt))
  if (metadata === undefined) return failure('unknown_signal')
  const contentEnd = contentAt + contentLength(file, contentAt)
  const end = Math.min(contentEnd, file.length)
  const chunk = { ...metadata, content: file.subarray(contentAt, end), end }
  if (contentEnd === contentAt) return failure('empty', chunk)
  if (contentEnd > file.length) return failure('truncated', chunk)
  if (options.checksum && !isIntact(file, end)) return failure('bad_checksum', chunk)
  return { ok: true, chunk }
}

function failure(reason: FluentBitChunkProblem, rest?: FluentBitChunk): FluentBitChunkResult {
  return { ok: false, reason, rest }
}

/**
 * The length that the header states. Old versions left it zero, and a crash may: no event starts with a zero byte, so
 * where there is another one, content goes to the file's end, and may have padding behind it.
 */
function contentLength(file: Buffer, contentAt: number): number {
  const length = file.readUInt32BE(CONTENT_LENGTH_AT)
  if (length > 0 || file[contentAt] === 0) return length
  return file.length - contentAt
}

function isIntact(file: Buffer, end: number): boolean {
  if (file.readUInt32BE(CHECKSUM_AT) === 0) return true
  const checksum = crc32(file.subarray(METADATA_LENGTH_AT, end))
  const isFinished = file.readUInt32BE(CHECKSUM_AT) === checksum
  return isFinished || file.readInt32LE(CHECKSUM_AT) === ~checksum
}

type Metadata = Omit<FluentBitChunk, 'content' | 'end'>

/** Reads metadata; undefined when the kind of content is unknown. */
function readMetadata(metadata: Buffer): Metadata | undefined {
  if (metadata.length < METADATA_HEADER_BYTES || metadata.readUInt16BE(0) !== METADATA_MAGIC) {
    return { tag: metadata.toString(), signal: 'logs', routes: [], hasBadRoutes: false }
  }
  const signal = TYPES.at(metadata[2])
  if (signal === undefined) return undefined
  const flags = metadata[3]
  const text = metadata.subarray(METADATA_HEADER_BYTES)
  const tagEnd = text.indexOf(0)
  const tag = text.toString('utf8', 0, tagEnd < 0 ? text.length : tagEnd)
  if ((flags & FLAG_DIRECT_ROUTES) === 0) return { tag, signal, routes: [], hasBadRoutes: false }
  const routes = tagEnd < 0 ? undefined : readRoutes(text.subarray(tagEnd + 1), flags)
  return { tag, signal, routes: routes ?? [], hasBadRoutes: routes === undefined }
}

/** Reads the routes behind a tag; undefined when they do not fit into the length that they state. */
function readRoutes(bytes: Buffer, flags: number): FluentBitRoute[] | undefined {
  if (bytes.length < 2) return undefined
  const payload = bytes.subarray(2, 2 + bytes.readUInt16BE(0))
  if (payload.length < bytes.readUInt16BE(0) || payload.length < 2) return undefined
  const count = payload.readUInt16BE(0)
  const idBytes = (flags & FLAG_WIDE_IDS) === 0 ? 2 : 4
  const idsEnd = 2 + count * idBytes
  const hasPlugins = (flags & FLAG_PLUGINS) !== 0
  const labels = readTexts(payload, idsEnd, (flags & FLAG_LABELS) === 0 ? 0 : count, ALIAS_MARK)
  if (labels === undefined) return undefined
  const plugins = readTexts(payload, labels.end, hasPlugins ? count : 0, 0)
  if (plugins === undefined) return undefined
  return Array.from({ length: count }, (_, index) => ({
    id: payload.readUIntBE(2 + index * idBytes, idBytes),
    label: labels.texts[index],
    isAlias: labels.texts[index] !== undefined && (labels.marks[index] || !hasPlugins),
    plugin: plugins.texts[index]
  }))
}

interface Texts {
  /** Undefined for each that has no bytes. */
  readonly texts: readonly (string | undefined)[]
  /** For each, whether its length has the mark. */
  readonly marks: readonly boolean[]
  /** Position behind the last text. */
  readonly end: number
}

/** Reads lengths of two bytes, one of whose bits may be a mark, and the texts behind all of them. */
function readTexts(bytes: Buffer, at: number, count: number, mark: number): Texts | undefined {
  const texts: (string | undefined)[] = []
  const marks: boolean[] = []
  let end = at + count * 2
  if (end > bytes.length) return undefined
  for (let index = 0; index < count; index++) {
    const marked = bytes.readUInt16BE(at + index * 2)
    const next = end + (marked & ~mark)
    if (next > bytes.length) return undefined
    texts.push(next === end ? undefined : bytes.toString('utf8', end, next))
    marks.push((marked & mark) !== 0)
    end = next
  }
  return { texts, marks, end }
}

/**
 * The bytes of a file, without padding, as Fluent Bit reads it with and without `storage.checksum`. A tag that is too
 * long for it is cut, as there.
 *
 * @param parts.content Events; not empty, since Fluent Bit deletes such files.
 */
export function writeFluentBitChunk(parts: {
  readonly tag: string
  readonly signal: SignalType
  readonly content: Buffer
}): Buffer {
  const tag = Buffer.from(parts.tag).subarray(0, METADATA_BYTES_MAX - METADATA_HEADER_BYTES)
  const header = Buffer.alloc(FILE_HEADER_BYTES + METADATA_HEADER_BYTES)
  header.writeUInt16BE(FILE_MAGIC, 0)
  header.writeUInt32BE(parts.content.length, CONTENT_LENGTH_AT)
  header.writeUInt16BE(METADATA_HEADER_BYTES + tag.length, METADATA_LENGTH_AT)
  header.writeUInt16BE(METADATA_MAGIC, FILE_HEADER_BYTES)
  header[FILE_HEADER_BYTES + 2] = TYPES.indexOf(parts.signal)
  const file = Buffer.concat([header, tag, parts.content])
  file.writeUInt32BE(crc32(file.subarray(METADATA_LENGTH_AT)), CHECKSUM_AT)
  return file
}

export interface WholeEvents {
  /** Length of the events. */
  readonly bytes: number
  readonly events: number
  /** True when all of them are as Fluent Bit writes them since 2.1, which is what record/event.ts reads in place. */
  readonly isCurrent: boolean
}

/**
 * Looks how much of a content is log events, up to the first bytes that are none: a cut event, padding, garbage.
 * Takes what Fluent Bit takes: `[[time, metadata], body]` and `[time, body]`, where a time is an extension, an integer
 * or a float. Marks of groups count, too. Never throws.
 */
export function wholeEvents(content: Buffer): WholeEvents {
  let bytes = 0
  let events = 0
  let isCurrent = true
  for (;;) {
    const event = eventAt(content, bytes)
    if (event === undefined) return { bytes, events, isCurrent }
    isCurrent &&= event.isCurrent
    bytes = event.end
    events++
  }
}

/** The same for a content of any signal: metrics and traces are encoded contexts, one value each. */
export function wholeContent(content: Buffer, signal: Signal): WholeEvents {
  if (signal === 'logs') return wholeEvents(content)
  let bytes = 0
  let events = 0
  for (;;) {
    const end = isMap(content[bytes]) ? skipChecked(content, bytes, content.length) : -1
    if (end < 0) return { bytes, events, isCurrent: true }
    bytes = end
    events++
  }
}

interface EventSpan {
  readonly end: number
  readonly isCurrent: boolean
}

function eventAt(content: Buffer, at: number): EventSpan | undefined {
  const headerAt = pairAt(content, at)
  if (headerAt < 0) return undefined
  const innerAt = pairAt(content, headerAt)
  const timeAt = innerAt < 0 ? headerAt : innerAt
  const timeEnd = skipChecked(content, timeAt, content.length)
  if (timeEnd < 0 || !isTime(content, timeAt)) return undefined
  const bodyAt = innerAt < 0 ? timeEnd : mapEnd(content, timeEnd)
  const end = mapEnd(content, bodyAt)
  if (end < 0) return undefined
  // Two arrays with headers of one byte, and the time behind them.
  return { end, isCurrent: timeAt === at + 2 && content[timeAt] === 0xd7 }
}

/** Where the items of an array of two start, -1 when there is none. */
function pairAt(content: Buffer, at: number): number {
  const isPair = isArray(content[at]) && contentCount(content, at) === 2
  return isPair ? at + headerSize(content[at]) : -1
}

/** Where a map ends, negative when there is no whole one; nothing is at a negative position. */
function mapEnd(content: Buffer, at: number): number {
  return isMap(content[at]) ? skipChecked(content, at, content.length) : -1
}

/** True for the value of a time; it must be whole. Negative integers are none: Fluent Bit stops at them. */
function isTime(content: Buffer, at: number): boolean {
  const byte = content[at]
  if (byte === 0xd7) return content[at + 1] === 0
  if (byte === 0xc7) return content[at + 1] === 8 && content[at + 2] === 0
  const type = typeOf(byte)
  return type === 'float' || (type === 'integer' && (readInteger(content, at) ?? -1) >= 0)
}
