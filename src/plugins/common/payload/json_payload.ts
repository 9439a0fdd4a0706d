/**
 * Records of JSON: a map is a record, an array becomes the record `{"msg": ARRAY}`.
 *
 *     *( value / white-space / "," )
 *
 * Source: Fluent Bit 5.1.1 plugins/in_tcp/tcp_conn.c process_pack(), src/flb_pack.c flb_pack_json_state().
 *
 * @hot bench/pipelines.ts
 */
import { skipWhiteSpace, transcodeJson, TRUNCATED } from '../../../codec/json_reader.ts'
import { MsgpackWriter } from '../../../codec/msgpack_writer.ts'
import { FailureCounter } from '../../../parser/failure_log.ts'
import type { InputContext } from '../../../plugin/context.ts'
import { nextLineStart } from '../json_records.ts'
import { beginEvent } from '../send_event.ts'
import { type RecordFormat, TOO_LONG } from './record_stream.ts'
import type { SourcePair } from './source_pair.ts'

const QUOTE = 0x22
const COMMA = 0x2c
const OPEN_BRACKET = 0x5b
const BACKSLASH = 0x5c
const CLOSE_BRACKET = 0x5d
const OPEN_BRACE = 0x7b
const CLOSE_BRACE = 0x7d

/** Counts what is no record, for all connections of an input, and says so in the log. */
export class JsonRefusals {
  readonly #context: InputContext
  readonly #malformed = new FailureCounter()
  readonly #notEvents = new FailureCounter()

  constructor(context: InputContext) {
    this.#context = context
  }

  malformed(bytes: number): void {
    this.#context.dropped('malformed', 1, bytes)
    if (this.#malformed.add()) this.#context.log.warn('invalid JSON message, skipping')
  }

  notEvent(bytes: number): void {
    this.#context.dropped('not_an_event', 1, bytes)
    if (!this.#notEvents.add()) return
    this.#context.log.error("invalid record found, it's not a JSON map or array")
  }
}

/**
 * Text that is not JSON is passed over up to the next line that starts with a map or an array, or else all of it: what
 * comes next is looked at afresh.
 */
export class JsonPayload implements RecordFormat {
  count = 0
  position = 0
  readonly #bytesMax: number
  readonly #source: SourcePair
  readonly #refusals: JsonRefusals
  /** Takes values that are no records. */
  readonly #other = new MsgpackWriter(64)
  readonly #end = new JsonEnd()

  constructor(bytesMax: number, source: SourcePair, refusals: JsonRefusals) {
    this.#bytesMax = bytesMax
    this.#source = source
    this.#refusals = refusals
  }

  read(bytes: Buffer, timeMs: number, out: MsgpackWriter): number {
    const end = bytes.length
    this.#end.reset()
    this.count = 0
    let at = skipBetween(bytes, 0, end)
    while (at < end) {
      const mark = out.length
      const next = this.#value(bytes, at, end, timeMs, out)
      if (next - at > this.#bytesMax) {
        out.length = mark
        this.position = at
        return TOO_LONG
      }
      if (next === TRUNCATED) break
      if (next < 0) {
        const start = nextLineStart(bytes, at)
        const after = start < 0 ? end : start
        this.#refusals.malformed(after - at)
        at = after
      } else {
        if (out.length > mark) this.count++
        else this.#refusals.notEvent(next - at)
        at = next
      }
      at = skipBetween(bytes, at, end)
    }
    this.position = at
    return at
  }

  completes(piece: Buffer): boolean {
    return this.#end.find(piece)
  }

  /** Writes the event of a value; nothing where it is none. Gives where it ends, or what is wrong with it. */
  #value(bytes: Buffer, at: number, end: number, timeMs: number, out: MsgpackWriter): number {
    const mark = out.length
    const byte = bytes[at]
    if (byte !== OPEN_BRACE && byte !== OPEN_BRACKET) {
      this.#other.length = 0
      return transcodeJson(bytes, at, end, this.#other)
    }
    beginEvent(out, timeMs)
    const mapAt = out.length
    if (byte === OPEN_BRACKET) {
      out.mapHeader(1)
      out.string('msg')
    }
    const next = transcodeJson(bytes, at, end, out)
    if (next < 0) out.length = mark
    else this.#source.addTo(out, mapAt)
    return next
  }
}

/** Values may be separated by white space and, as Fluent Bit's reader has it, by commas. */
function skipBetween(bytes: Buffer, at: number, end: number): number {
  let next = skipWhiteSpace(bytes, at, end)
  while (next < end && bytes[next] === COMMA) next = skipWhiteSpace(bytes, next + 1, end)
  return next
}

/** Finds the end of one value that comes in parts, by its brackets and quotes alone. */
class JsonEnd {
  #isNew = true
  #isScalar = false
  #depth = 0
  #isInText = false
  #isEscaped = false

  reset(): void {
    this.#isNew = true
    this.#isScalar = false
    this.#depth = 0
    this.#isInText = false
    this.#isEscaped = false
  }

  /** Goes over the next part; true when the value may have ended in it. */
  find(part: Buffer): boolean {
    if (this.#isNew) {
      this.#isNew = false
      const first = part[0]
      this.#isScalar = first !== OPEN_BRACE && first !== OPEN_BRACKET && first !== QUOTE
    }
    if (this.#isScalar) return true
    for (let at = 0; at < part.length; at++) {
      const byte = part[at]
      if (this.#isEscaped) this.#isEscaped = false
      else if (this.#isInText) {
        if (byte === BACKSLASH) this.#isEscaped = true
        else if (byte === QUOTE) {
          this.#isInText = false
          if (this.#depth === 0) return true
        }
      } else if (byte === QUOTE) this.#isInText = true
      else if (byte === OPEN_BRACE || byte === OPEN_BRACKET) this.#depth++
      else if ((byte === CLOSE_BRACE || byte === CLOSE_BRACKET) && --this.#depth === 0) return true
    }
    return false
  }
}
