/**
 * Parser of format `regex`: the named groups of a pattern become the keys of the record.
 * Source: Fluent Bit 5.1.1 src/flb_parser_regex.c.
 *
 * @hot bench/pipelines.ts
 */
import type { MsgpackWriter } from '../codec/msgpack_writer.ts'
import { FailureCounter } from './failure_log.ts'
import type { ParserLog } from './failure_log.ts'
import type { FieldDecoders } from './decoders.ts'
import { NO_MATCH, UNDECIDED } from './byte_matcher.ts'
import { decodeSubject } from './onigmo.ts'
import type { Captures, Matcher } from './onigmo.ts'
import type { Parser, TextBlock } from './parser.ts'
import type { TimeReader } from './time.ts'
import type { Caster, CastType } from './types.ts'
import { PairKey, TextPairs } from './text_pairs.ts'

export interface RegexParserOptions {
  readonly name: string
  readonly matcher: Matcher
  /** Leaves out groups that are empty or did not take part. */
  readonly skipsEmptyValues: boolean
  readonly timeKey: string
  readonly time: TimeReader | undefined
  /** Keeps the key that the time was read from. */
  readonly keepsTime: boolean
  readonly types: ReadonlyMap<string, CastType>
  readonly caster: Caster
  readonly decoders: FieldDecoders | undefined
  readonly log: ParserLog
}

interface Group {
  readonly name: string
  /** Index among the captures. */
  readonly number: number
  /** Where its start stands among the spans. */
  readonly spanIndex: number
  readonly key: PairKey
  readonly isTime: boolean
  readonly type: CastType | undefined
}

export class RegexParser implements Parser {
  readonly name: string
  seconds = 0
  nanoseconds = 0
  readonly #matcher: Matcher
  readonly #groups: readonly Group[]
  readonly #skipsEmptyValues: boolean
  readonly #time: TimeReader | undefined
  readonly #keepsTime: boolean
  readonly #caster: Caster
  readonly #decoders: FieldDecoders | undefined
  readonly #log: ParserLog
  readonly #timeFailures = new FailureCounter()
  /** Start and end of each group in the bytes at hand, by number as in `Matcher.spans`. */
  readonly #spans: Int32Array
  readonly #pairs = new TextPairs()

  constructor(options: RegexParserOptions) {
    const { matcher, time, timeKey, types } = options
    this.name = options.name
    this.#matcher = matcher
    this.#skipsEmptyValues = options.skipsEmptyValues
    this.#time = time
    this.#keepsTime = options.keepsTime
    this.#caster = options.caster
    this.#decoders = options.decoders
    this.#log = options.log
    this.#groups = matcher.groupNames.map((name, index) => ({
      name,
      number: matcher.groupNumbers[index],
      spanIndex: matcher.groupNumbers[index] * 2,
      key: new PairKey(name),
      isTime: time !== undefined && name === timeKey,
      type: types.get(name)
    }))
    this.#spans = matcher.spans
  }

  parse(block: TextBlock, start: number, end: number, out: MsgpackWriter): boolean {
    const { bytes } = block
    const found = this.#matcher.findInBytes(bytes, start, end)
    if (found === NO_MATCH) return false
    if (found !== UNDECIDED) return this.#writeMap(bytes, out)
    const text = decodeSubject(bytes, start, end)
    const captures = this.#matcher.execDecoded(text)
    if (captures === null) return false
    return this.#writeMap(this.#encode(captures, text.length < end - start), out)
  }

  /** Puts captured texts into bytes of their own and sets the spans there. */
  #encode(captures: Captures, isUtf8: boolean): Buffer {
    let text = ''
    let at = 0
    this.#spans.fill(-1)
    for (const { number } of this.#groups) {
      const value = captures[number]
      if (value === undefined) continue
      text += value
      this.#spans[number * 2] = at
      at += isUtf8 ? Buffer.byteLength(value) : value.length
      this.#spans[number * 2 + 1] = at
    }
    return Buffer.from(text, isUtf8 ? 'utf8' : 'latin1')
  }

  /** Writes the map; false when no named group took part in the match. */
  #writeMap(bytes: Buffer, out: MsgpackWriter): boolean {
    this.seconds = 0
    this.nanoseconds = 0
    const groups = this.#groups
    const spans = this.#spans
    const pairs = this.#pairs
    const map = out.beginMap()
    let count = 0
    let hasParticipant = false
    pairs.begin(bytes, out)
    for (let index = 0; index < groups.length; index++) {
      const group = groups[index]
      let start = spans[group.spanIndex]
      let end = spans[group.spanIndex + 1]
      if (start >= 0) hasParticipant = true
      if (start === end) {
        if (this.#skipsEmptyValues) continue
        // A group without a part in the match has no place: an empty text, too.
        start = 0
        end = 0
      }
      if (group.isTime && !(this.#readTime(bytes, start, end) && this.#keepsTime)) continue
      if (group.type === undefined) pairs.pair(group.key, start, end)
      else this.#writeCast(group, group.type, bytes, start, end, out)
      count++
    }
    pairs.end()
    if (!hasParticipant) {
      out.length = map
      return false
    }
    out.endMap(map, count)
    this.#decoders?.decode(out, map)
    return true
  }

  #writeCast(
    group: Group,
    type: CastType,
    bytes: Buffer,
    start: number,
    end: number,
    out: MsgpackWriter
  ): void {
    this.#pairs.key(group.key)
    this.#pairs.end()
    this.#caster.write(type, group.name, bytes, start, end, out)
    this.#pairs.begin(bytes, out)
  }

  #readTime(bytes: Buffer, start: number, end: number): boolean {
    const time = this.#time
    if (time === undefined) return false
    if (!time.read(bytes, start, end)) {
      if (this.#timeFailures.add()) this.#reportTime(time, bytes.toString('utf8', start, end))
      return false
    }
    this.seconds = time.seconds
    this.nanoseconds = time.nanoseconds
    return true
  }

  #reportTime(time: TimeReader, value: string): void {
    this.#log.error(`[parser] cannot parse '${value}'`)
    this.#log.warn(`[parser:${this.name}] invalid time format ${time.format} for '${value}'`)
  }
}
