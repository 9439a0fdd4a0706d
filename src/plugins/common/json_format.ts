/**
 * The options `format`, `json_date_format` and `json_date_key` of outputs that print events as JSON, and printing in
 * pieces of bounded size.
 * Source: Fluent Bit 5.1.1 plugins/out_stdout/stdout.c, plugins/out_null/null.c, src/flb_pack.c.
 */
import type { Logger } from '../../base/log.ts'
import type { JsonWriter } from '../../codec/json_writer.ts'
import { skip } from '../../codec/msgpack_reader.ts'
import { text, type Values } from '../../config/options.ts'
import type { PluginContext } from '../../plugin/context.ts'
import { eventBodyAt, eventSeconds, GROUP_START_SECONDS, isGroupMark } from '../../record/event.ts'
import {
  dateFormatOf,
  dateKeyOf,
  EventJson,
  type JsonFormat,
  jsonFormatOf
} from '../../record/event_json.ts'

export const JSON_FORMAT_OPTIONS = {
  format: text({ doc: 'msgpack (readable text), json, json_lines or json_stream' }),
  json_date_format: text({
    doc: 'double, epoch, epoch_ms, iso8601 or java_sql_timestamp'
  }),
  json_date_key: text({ default: 'date', doc: 'Key of the date; false leaves the date out' })
}

/** Reads the date options; what is not understood is replaced, as `reportJsonDate` says. */
export function eventJsonOf(
  values: Values<typeof JSON_FORMAT_OPTIONS>,
  context: PluginContext
): EventJson {
  return new EventJson({
    ...context.json,
    dateKey: dateKeyOf(values.json_date_key),
    dateFormat: dateFormatOf(values.json_date_format ?? 'double') ?? 'double'
  })
}

/** Reports a date format that is not known; Fluent Bit goes on with seconds, and so does `eventJsonOf`. */
export function reportJsonDate(values: Values<typeof JSON_FORMAT_OPTIONS>, log: Logger): void {
  const { json_date_format: written } = values
  if (written !== undefined && dateFormatOf(written) === undefined) {
    log.error(`invalid json_date_format '${written}'. Using 'double' type`)
  }
}

/** True for `msgpack`, which all these outputs know beside the JSON formats. */
export function isMsgpackFormat(format: string): boolean {
  return format.toLowerCase() === 'msgpack'
}

/** Text is handed on when this much of it is ready. */
export const PIECE_BYTES = 65_536

/**
 * Writes all events of a chunk as JSON and hands the text on in pieces.
 *
 * @param out Empty when called and when `take` returns; the piece is shared with it.
 */
export function writeJsonPieces(
  chunk: Buffer,
  format: JsonFormat,
  json: EventJson,
  out: JsonWriter,
  take: (piece: Buffer) => void
): void {
  for (const piece of jsonPieces(chunk, format, json, out)) take(piece)
}

/** As `writeJsonPieces`; each piece is of use until the next one is asked for. */
export function* jsonPieces(
  chunk: Buffer,
  format: JsonFormat,
  json: EventJson,
  out: JsonWriter
): Generator<Buffer, void> {
  let groupAt = -1
  let at = 0
  let first = true
  if (format === 'json') out.byte(0x5b)
  while (at < chunk.length) {
    if (isGroupMark(chunk, at)) {
      const bodyAt = eventBodyAt(chunk, at)
      groupAt = eventSeconds(chunk, at) === GROUP_START_SECONDS ? bodyAt : -1
      at = skip(chunk, bodyAt)
      continue
    }
    if (format === 'json' && !first) out.byte(0x2c)
    first = false
    at = json.event(chunk, at, out, groupAt)
    if (format === 'json_lines') out.byte(0x0a)
    if (out.length >= PIECE_BYTES) {
      yield out.written()
      out.length = 0
    }
  }
  if (format === 'json') out.byte(0x5d)
  yield out.written()
  out.clear()
}

/** The JSON format that the option names; undefined for `msgpack`, for what is not known, and when it is not set. */
export function jsonFormatOption(format: string | undefined): JsonFormat | undefined {
  return format === undefined ? undefined : jsonFormatOf(format)
}
