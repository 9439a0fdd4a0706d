/** Events that an input makes itself, with the time of their making. */
import type { Encodable, MsgpackWriter } from '../../codec/msgpack_writer.ts'
import type { Parser, TextBlock } from '../../parser/parser.ts'
import type { InputContext } from '../../plugin/context.ts'
import { setEventTime, writeEventHeader } from '../../record/event.ts'

/** Writes the head of an event with this time (milliseconds since the epoch) and empty metadata; the body follows. */
export function beginEvent(out: MsgpackWriter, timeMs: number): void {
  const seconds = Math.floor(timeMs / 1000)
  writeEventHeader(out, seconds, Math.floor((timeMs - seconds * 1000) * 1e6))
}

/** Hands one event to the engine, with the input's tag and the time of now. */
export function sendEvent(context: InputContext, body: Encodable): void {
  const sink = context.sink(context.tag)
  const { writer } = sink
  beginEvent(writer, context.clock.now())
  writer.value(body)
  sink.commit(1)
}

/**
 * Writes an event from a text that a parser understands: with the time in the text, or else `timeMs`.
 *
 * @returns False, and nothing is written, when the text does not fit the parser.
 */
export function writeParsed(
  parser: Parser,
  block: TextBlock,
  start: number,
  end: number,
  timeMs: number,
  out: MsgpackWriter
): boolean {
  const at = out.length
  beginEvent(out, timeMs)
  if (!parser.parse(block, start, end, out)) {
    out.length = at
    return false
  }
  if (parser.seconds !== 0 || parser.nanoseconds !== 0) {
    setEventTime(out.bytes, at, parser.seconds, parser.nanoseconds)
  }
  return true
}
