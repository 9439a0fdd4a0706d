/** Bodies of requests, by format. */
import { JsonWriter } from '../../../codec/json_writer.ts'
import { skip } from '../../../codec/msgpack_reader.ts'
import type { ChunkView, OutputContext } from '../../../plugin/context.ts'
import { eventBodyAt, isGroupMark } from '../../../record/event.ts'
import { jsonFormatOf } from '../../../record/event_json.ts'
import { type GelfKeys, GelfEncoder } from '../../../record/gelf.ts'
import { eventJsonOf, writeJsonPieces } from '../../common/json_format.ts'

/** What a chunk becomes. */
export interface Body {
  /** Not shared with anything that changes. */
  readonly pieces: readonly Buffer[]
  /** Numbers of the events that are left out, as they cannot be written in the format. */
  readonly refused: readonly number[]
}

export interface BodyFormat {
  readonly contentType: string
  write(chunk: ChunkView): Body
}

const LINE_FEED = 0x0a

/** The format that the word names; msgpack for what is not known, as in Fluent Bit. */
export function bodyFormat(
  word: string,
  date: Parameters<typeof eventJsonOf>[0],
  gelf: GelfKeys,
  context: OutputContext
): BodyFormat {
  const format = jsonFormatOf(word)
  if (format !== undefined) return jsonBodies(format, date, context)
  return word.toLowerCase() === 'gelf' ? gelfBodies(gelf, context) : MSGPACK
}

function jsonBodies(
  format: 'json' | 'json_lines' | 'json_stream',
  date: Parameters<typeof eventJsonOf>[0],
  context: OutputContext
): BodyFormat {
  const json = eventJsonOf(date, context)
  const out = new JsonWriter(context.json)
  return {
    contentType: format === 'json_lines' ? 'application/x-ndjson' : 'application/json',
    write({ bytes }) {
      const pieces: Buffer[] = []
      writeJsonPieces(bytes, format, json, out, piece => pieces.push(Buffer.from(piece)))
      return { pieces, refused: [] }
    }
  }
}

/** A line for each event. */
function gelfBodies(keys: GelfKeys, context: OutputContext): BodyFormat {
  const encoder = new GelfEncoder(keys, context.log)
  const { out } = encoder
  return {
    contentType: 'application/json',
    write({ bytes }) {
      const refused: number[] = []
      let problem: string | undefined
      let number = 0
      for (let at = 0; at < bytes.length; at = skip(bytes, eventBodyAt(bytes, at)), number++) {
        if (isGroupMark(bytes, at)) continue
        const found = encoder.event(bytes, at)
        if (found === undefined) out.byte(LINE_FEED)
        else refused.push(number)
        problem ??= found
      }
      if (problem !== undefined) {
        context.log.error(`error encoding to GELF: ${problem} (${refused.length} records)`)
      }
      const piece = Buffer.from(out.written())
      out.clear()
      return { pieces: piece.length === 0 ? [] : [piece], refused }
    }
  }
}

/** The events as they are. */
const MSGPACK: BodyFormat = {
  contentType: 'application/msgpack',
  write: ({ bytes }) => ({ pieces: [bytes], refused: [] })
}
