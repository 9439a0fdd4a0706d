/**
 * stdout: prints events as readable text or JSON.
 * Source: Fluent Bit 5.1.1 plugins/out_stdout/stdout.c.
 * Metrics are printed as text, whatever the format.
 * Differs: a chunk that nobody gets (the pipe is closed, the disk behind it full) is counted as given up; under
 * the formats otlp_json and otlp_json_pretty metrics are text too, where Fluent Bit prints JSON; traces are not taken.
 */
import { JsonWriter } from '../../codec/json_writer.ts'
import { skip } from '../../codec/msgpack_reader.ts'
import { printObject } from '../../codec/msgpack_text.ts'
import { writePadded } from '../../codec/number_text.ts'
import type { Values } from '../../config/options.ts'
import type { ChunkView, OutputContext } from '../../plugin/context.ts'
import { defineOutput } from '../../plugin/define.ts'
import { type Delivery, OK } from '../../plugin/delivery.ts'
import {
  eventBodyAt,
  eventMetadataAt,
  eventNanoseconds,
  eventSeconds,
  GROUP_START_SECONDS,
  isGroupMark
} from '../../record/event.ts'
import { OtlpJson } from '../../record/otlp_json.ts'
import {
  eventJsonOf,
  isMsgpackFormat,
  JSON_FORMAT_OPTIONS,
  jsonFormatOption,
  PIECE_BYTES,
  reportJsonDate,
  writeJsonPieces
} from '../common/json_format.ts'
import { Printer } from '../common/printer.ts'

export const stdout = defineOutput({
  name: 'stdout',
  summary: 'Prints events to standard output',
  upstream: 'plugins/out_stdout/stdout.c',
  signals: ['logs', 'metrics'],
  options: JSON_FORMAT_OPTIONS,
  create(values, context) {
    const out = new JsonWriter(context.json)
    const write = writerOf(values, context, out)
    const printer = new Printer(context)
    return {
      start() {
        if (values.format !== undefined && !isKnown(values.format)) {
          context.log.error("unrecognized 'format' option. Using 'msgpack'")
        }
        reportJsonDate(values, context.log)
      },
      flush(chunk: ChunkView): Delivery | Promise<Delivery> {
        if (chunk.signal === 'metrics') return printMetrics(chunk)
        const delivery = printer.pieces(take => write(chunk, take))
        out.clear()
        return delivery
      }
    }

    async function printMetrics(chunk: ChunkView): Promise<Delivery> {
      // Much code, for those who have metrics.
      const { metricsText, readMetricsChunk } = await import('../common/metrics_chunk.ts')
      const { contexts, answer } = readMetricsChunk(chunk, context)
      const printed = printer.print(metricsText(contexts))
      return printed === OK ? answer : printed
    }
  }
})

/** Hands the text of a chunk on in pieces. */
type ChunkWriter = (chunk: ChunkView, take: (piece: Buffer) => void) => void

function writerOf(
  values: Values<typeof JSON_FORMAT_OPTIONS>,
  context: OutputContext,
  out: JsonWriter
): ChunkWriter {
  const format = jsonFormatOption(values.format)
  if (format !== undefined) {
    const json = eventJsonOf(values, context)
    return (chunk, take) => {
      writeJsonPieces(chunk.bytes, format, json, out, take)
      if (format !== 'json_lines') take(NEWLINE)
    }
  }
  const otlp = otlpFormat(values.format)
  if (otlp === undefined) return (chunk, take) => writeText(chunk, out, take)
  const json = new OtlpJson(out, otlp === 'pretty')
  return (chunk, take) => writeOtlp(chunk.bytes, json, out, take)
}

const NEWLINE = Buffer.from('\n')

function isKnown(format: string): boolean {
  return (
    isMsgpackFormat(format) ||
    jsonFormatOption(format) !== undefined ||
    otlpFormat(format) !== undefined
  )
}

function otlpFormat(format: string | undefined): 'compact' | 'pretty' | undefined {
  const word = format?.toLowerCase()
  if (word === 'otlp_json') return 'compact'
  return word === 'otlp_json_pretty' ? 'pretty' : undefined
}

function writeOtlp(
  bytes: Buffer,
  json: OtlpJson,
  out: JsonWriter,
  take: (piece: Buffer) => void
): void {
  json.begin()
  for (let at = 0; at < bytes.length;) {
    if (isGroupMark(bytes, at)) at = skip(bytes, eventBodyAt(bytes, at))
    else at = json.record(bytes, at)
    if (out.length >= PIECE_BYTES) handOn(out, take)
  }
  json.end()
  out.byte(0x0a)
  handOn(out, take)
}

/** `[n] <tag>: [[<seconds>.<nanoseconds>, <metadata>], <body>]` for each event, counted from 0 in each chunk. */
function writeText(
  { bytes, tag }: ChunkView,
  out: JsonWriter,
  take: (piece: Buffer) => void
): void {
  const label = Buffer.from(`] ${tag}: [[`)
  let number = 0
  let groupAt = -1
  for (let at = 0; at < bytes.length;) {
    if (isGroupMark(bytes, at)) {
      groupAt = eventSeconds(bytes, at) === GROUP_START_SECONDS ? at : -1
      at = skip(bytes, eventBodyAt(bytes, at))
      continue
    }
    if (groupAt >= 0) printGroup(bytes, groupAt, out)
    out.byte(0x5b)
    out.integer(number++)
    out.raw(label)
    at = printEvent(bytes, at, out)
    if (out.length >= PIECE_BYTES) handOn(out, take)
  }
  handOn(out, take)
}

function printEvent(bytes: Buffer, at: number, out: JsonWriter): number {
  out.integer(eventSeconds(bytes, at))
  out.byte(0x2e)
  out.reserve(9)
  out.length = writePadded(out.bytes, out.length, eventNanoseconds(bytes, at), 9)
  out.ascii(', ')
  printObject(bytes, eventMetadataAt(at), out)
  out.ascii('], ')
  const next = printObject(bytes, eventBodyAt(bytes, at), out)
  out.ascii(']\n')
  return next
}

/** What the group says, which stands before each of its events. */
function printGroup(bytes: Buffer, groupAt: number, out: JsonWriter): void {
  out.ascii('GROUP METADATA : \n\n')
  printObject(bytes, eventMetadataAt(groupAt), out)
  out.ascii('\n\nGROUP ATTRIBUTES : \n\n')
  printObject(bytes, eventBodyAt(bytes, groupAt), out)
  out.ascii('\n\n')
}

function handOn(out: JsonWriter, take: (piece: Buffer) => void): void {
  take(out.written())
  out.length = 0
}
