/**
 * Events from a body of JSON that has come whole.
 *
 *     *( MAP | "[" *MAP "]" ), between them white space and commas, any number of both
 *
 * Source: Fluent Bit 5.1.1 plugins/in_http/http_prot.c parse_payload_json_ng(), process_pack_ng(), whose reader does not
 * look closely at commas either.
 * Differs: of several arrays that follow each other all are read, where Fluent Bit reads the first; what is no map within
 * an array is left out and counted, where Fluent Bit makes an event of it that no output can read.
 *
 * @hot bench/pipelines.ts
 */
import { MALFORMED, skipWhiteSpace, transcodeJson, TRUNCATED } from '../../codec/json_reader.ts'
import { MsgpackWriter } from '../../codec/msgpack_writer.ts'
import { EVENT_HEADER_BYTES, writeEventHeader } from '../../record/event.ts'

const EMPTY = Buffer.alloc(0)

const OPEN_BRACE = 0x7b
const OPEN_BRACKET = 0x5b
const CLOSE_BRACKET = 0x5d
const COMMA = 0x2c

/** What was read of a body. */
export interface JsonBody {
  /** Written to the output. */
  readonly events: number
  /** Values in arrays that are no maps. */
  readonly others: number
  /**
   * `incomplete`: the last value breaks off, those before it are taken. `malformed` text, or a value that is neither map nor
   * array: nothing is taken.
   */
  readonly end: 'complete' | 'incomplete' | 'malformed' | 'not_an_event'
  /** Bytes that were not taken. */
  readonly restBytes: number
}

/** Changes an event that was just written; its map is the last one in the writer. */
export type FinishEvent = (out: MsgpackWriter, mapAt: number) => void

export class JsonBodyReader {
  readonly #other = new MsgpackWriter(256)
  #body: Buffer = EMPTY
  #out = this.#other
  #finish: FinishEvent | undefined
  #seconds = 0
  #nanoseconds = 0
  #events = 0
  #others = 0

  /**
   * Writes an event for each map, all with the same time.
   *
   * @param timeMs Since the epoch.
   */
  read(body: Buffer, out: MsgpackWriter, timeMs: number, finish?: FinishEvent): JsonBody {
    this.#body = body
    this.#out = out
    this.#finish = finish
    this.#seconds = Math.floor(timeMs / 1000)
    this.#nanoseconds = Math.floor((timeMs - this.#seconds * 1000) * 1e6)
    this.#events = 0
    this.#others = 0
    const start = out.length
    const end = body.length
    let at = this.#skipBetween(0)
    if (at === end) return this.#result('incomplete', 0)
    while (at < end) {
      const mark = out.length
      const events = this.#events
      const others = this.#others
      const byte = body[at]
      const isRecords = byte === OPEN_BRACE || byte === OPEN_BRACKET
      const next = byte === OPEN_BRACKET ? this.#array(at + 1) : this.#value(at)
      if (next === TRUNCATED) {
        out.length = mark
        this.#events = events
        this.#others = others
        return this.#result('incomplete', at)
      }
      if (next === MALFORMED || !isRecords) {
        out.length = start
        this.#events = 0
        this.#others = 0
        return this.#result(next === MALFORMED ? 'malformed' : 'not_an_event', 0)
      }
      at = this.#skipBetween(next)
    }
    return this.#result('complete', end)
  }

  /** The body's memory is free from then on. */
  #result(end: JsonBody['end'], takenBytes: number): JsonBody {
    const restBytes = this.#body.length - takenBytes
    this.#body = EMPTY
    this.#out = this.#other
    return { events: this.#events, others: this.#others, end, restBytes }
  }

  /** Reads the array whose bracket is before `at`. */
  #array(at: number): number {
    const body = this.#body
    for (;;) {
      at = this.#skipBetween(at)
      if (at === body.length) return TRUNCATED
      if (body[at] === CLOSE_BRACKET) return at + 1
      at = this.#value(at)
      if (at < 0) return at
    }
  }

  #skipBetween(at: number): number {
    const body = this.#body
    const end = body.length
    at = skipWhiteSpace(body, at, end)
    while (at < end && body[at] === COMMA) at = skipWhiteSpace(body, at + 1, end)
    return at
  }

  #value(at: number): number {
    const body = this.#body
    const out = this.#out
    if (body[at] !== OPEN_BRACE) {
      this.#other.length = 0
      this.#others++
      return transcodeJson(body, at, body.length, this.#other)
    }
    const mapAt = out.length + EVENT_HEADER_BYTES
    writeEventHeader(out, this.#seconds, this.#nanoseconds)
    const next = transcodeJson(body, at, body.length, out)
    if (next >= 0) {
      this.#events++
      this.#finish?.(out, mapAt)
    }
    return next
  }
}
