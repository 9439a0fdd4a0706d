/**
 * One JSON map as MessagePack: what the json parser and the json decoder take.
 * Source: Fluent Bit 5.1.1 src/flb_parser_json.c, src/flb_pack.c pack_json_to_msgpack_yyjson().
 *
 * @hot bench/pipelines.ts
 */
import { transcodeJson } from '../codec/json_reader.ts'
import { isMap } from '../codec/msgpack_reader.ts'
import type { MsgpackWriter } from '../codec/msgpack_writer.ts'

/**
 * Writes the one JSON map that a text must hold as MessagePack. A second whole JSON value is an
 * error, other text behind the map is ignored.
 *
 * @returns False for any other text; `out.length` is unchanged then.
 */
export function transcodeJsonMap(
  bytes: Buffer,
  start: number,
  end: number,
  out: MsgpackWriter
): boolean {
  const map = out.length
  const after = transcodeJson(bytes, start, end, out)
  if (after < 0) return false
  if (isMap(out.bytes[map]) && !hasSecondValue(bytes, after, end, out)) return true
  out.length = map
  return false
}

function hasSecondValue(bytes: Buffer, start: number, end: number, out: MsgpackWriter): boolean {
  let at = start
  while (at < end && isSpace(bytes[at])) at++
  if (at === end) return false
  const before = out.length
  const hasValue = transcodeJson(bytes, at, end, out) >= 0
  out.length = before
  return hasValue
}

function isSpace(byte: number): boolean {
  return byte === 0x20 || byte === 0x09 || byte === 0x0a || byte === 0x0d
}
