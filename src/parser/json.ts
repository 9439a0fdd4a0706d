/**
 * Parser of format `json`: one JSON map, copied from text to MessagePack without objects in
 * between.
 * Source: Fluent Bit 5.1.1 src/flb_parser_json.c, src/flb_pack.c pack_json_to_msgpack_yyjson().
 *
 * @hot bench/pipelines.ts
 */
import { contentCount, headerSize, isString, skip } from '../codec/msgpack_reader.ts'
import type { MsgpackWriter } from '../codec/msgpack_writer.ts'
import type { FieldDecoders } from './decoders.ts'
import { FailureCounter } from './failure_log.ts'
import type { ParserLog } from './failure_log.ts'
import { transcodeJsonMap } from './json_map.ts'
import type { Parser, TextBlock } from './parser.ts'
import { encodedKey, removePair, startsWithKey } from './record_key.ts'
import type { TimeReader } from './time.ts'

export interface JsonParserOptions {
  readonly name: string
  readonly timeKey: string
  readonly time: TimeReader | undefined
  /** Keeps the key that the time was read from. */
  readonly keepsTime: boolean
  readonly decoders: FieldDecoders | undefined
  readonly log: ParserLog
}

export class JsonParser implements Parser {
  readonly name: string
  seconds = 0
  nanoseconds = 0
  readonly #timeKey: Buffer
  readonly #time: TimeReader | undefined
  readonly #keepsTime: boolean
  readonly #decoders: FieldDecoders | undefined
  readonly #log: ParserLog
  readonly #timeFailures = new FailureCounter()

  constructor(options: JsonParserOptions) {
    this.name = options.name
    this.#timeKey = encodedKey(options.timeKey)
    this.#time = options.time
    this.#keepsTime = options.keepsTime
    this.#decoders = options.decoders
    this.#log = options.log
  }

  parse(block: TextBlock, start: number, end: number, out: MsgpackWriter): boolean {
    const map = out.length
    if (!transcodeJsonMap(block.bytes, start, end, out)) return false
    this.seconds = 0
    this.nanoseconds = 0
    this.#decoders?.decode(out, map)
    if (this.#time !== undefined) this.#readTime(this.#time, out, map)
    return true
  }

  /** Takes the time from the first key of its name, when the value is a string. */
  #readTime(time: TimeReader, out: MsgpackWriter, map: number): void {
    const { bytes } = out
    const key = this.#timeKey
    let at = map + headerSize(bytes[map])
    for (let left = contentCount(bytes, map); left > 0; left--) {
      const value = skip(bytes, at)
      if (startsWithKey(bytes, at, key)) {
        if (isString(bytes[value])) this.#readValue(time, out, map, at, value)
        return
      }
      at = skip(bytes, value)
    }
  }

  #readValue(time: TimeReader, out: MsgpackWriter, map: number, key: number, value: number): void {
    const { bytes } = out
    const start = value + headerSize(bytes[value])
    const end = start + contentCount(bytes, value)
    if (!time.read(bytes, start, end)) {
      if (this.#timeFailures.add()) this.#reportFailure(time, bytes.toString('utf8', start, end))
      return
    }
    this.seconds = time.seconds
    this.nanoseconds = time.nanoseconds
    if (!this.#keepsTime) removePair(out, map, key, end)
  }

  #reportFailure(time: TimeReader, value: string): void {
    this.#log.error(`[parser] cannot parse '${value}'`)
    this.#log.warn(`[parser:${this.name}] invalid time format ${time.format} for '${value}'`)
  }
}
