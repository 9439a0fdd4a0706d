/**
 * Decoders of fields: `decode_field` and `decode_field_as` of a parser.
 * Source: Fluent Bit 5.1.1 src/flb_parser_decoder.c.
 * Differs: with `decode_field` on several fields, the keys of all of them are added, not only those
 * of the last.
 *
 * @hot bench/pipelines.ts
 */
import { contentCount, headerSize, isString, skip } from '../codec/msgpack_reader.ts'
import { MsgpackWriter } from '../codec/msgpack_writer.ts'
import { FailureCounter } from './failure_log.ts'
import type { ParserLog } from './failure_log.ts'
import { transcodeJsonMap } from './json_map.ts'
import { encodedKey, startsWithKey } from './record_key.ts'
import { Unescaper } from './unescape.ts'

const BACKENDS = ['json', 'escaped', 'escaped_utf8', 'mysql_quoted'] as const
type Backend = (typeof BACKENDS)[number]

/** One `decode_field` (adds keys) or `decode_field_as` (replaces the value). */
export interface DecoderRule {
  readonly field: string
  readonly backend: Backend
  readonly replaces: boolean
  /** What follows a failure: the next rule of the field, or none. */
  readonly goesOnAfterFailure: boolean
  /** What follows a success. */
  readonly goesOnAfterSuccess: boolean
}

/** Reads `decoder field [try_next|do_next]`; the reason when it cannot be read. */
export function readDecoderRule(text: string, replaces: boolean): DecoderRule | string {
  const [decoder = '', field, action = ''] = text.split(' ').filter(word => word !== '')
  if (field === undefined) return 'it must be a decoder and a field'
  const backend = BACKENDS.find(name => name === decoder.toLowerCase())
  if (backend === undefined) return `the decoder must be one of ${BACKENDS.join(', ')}`
  const isDoNext = action.toLowerCase() === 'do_next'
  return {
    field,
    backend,
    replaces,
    goesOnAfterFailure: isDoNext || action.toLowerCase() === 'try_next',
    goesOnAfterSuccess: isDoNext
  }
}

interface DecodedField {
  /** The name as a MessagePack string. */
  readonly key: Buffer
  readonly rules: readonly DecoderRule[]
}

/** Decodes the fields of encoded maps. */
export class FieldDecoders {
  readonly #fields: readonly DecodedField[]
  readonly #log: ParserLog
  readonly #failures = new FailureCounter()
  readonly #unescaper = new Unescaper()
  readonly #pairs = new MsgpackWriter()
  readonly #added = new MsgpackWriter()
  #addedCount = 0
  // The text that the next rule decodes.
  #source: Buffer = Buffer.alloc(0)
  #start = 0
  #end = 0
  /** The map that a value became, when `#isMap`; else its text is the one above. */
  readonly #map = new MsgpackWriter()
  #isMap = false
  /** The map whose pairs a field adds to the record, when `#addsMap`. */
  readonly #addition = new MsgpackWriter()
  #addsMap = false

  /** @param rules In the order of the configuration; those of one field form a chain. */
  constructor(rules: readonly DecoderRule[], log: ParserLog) {
    const fields = Map.groupBy(rules, rule => rule.field)
    this.#fields = [...fields].map(([name, chain]) => ({ key: encodedKey(name), rules: chain }))
    this.#log = log
  }

  /** Decodes the map at `map`, which is the last value in `out`. */
  decode(out: MsgpackWriter, map: number): void {
    const { bytes } = out
    const first = map + headerSize(bytes[map])
    const count = contentCount(bytes, map)
    if (!this.#holdsField(bytes, first, count)) return
    this.#pairs.length = 0
    this.#added.length = 0
    this.#addedCount = 0
    this.#decodePairs(bytes, first, count)
    out.length = map
    out.mapHeader(count + this.#addedCount)
    out.raw(this.#pairs.bytes, 0, this.#pairs.length)
    out.raw(this.#added.bytes, 0, this.#added.length)
  }

  #holdsField(bytes: Buffer, first: number, count: number): boolean {
    let at = first
    for (let left = count; left > 0; left--) {
      if (this.#fieldOf(bytes, at) !== undefined) return true
      at = skip(bytes, skip(bytes, at))
    }
    return false
  }

  #fieldOf(bytes: Buffer, key: number): DecodedField | undefined {
    for (const field of this.#fields) {
      if (startsWithKey(bytes, key, field.key)) return field
    }
    return undefined
  }

  #decodePairs(bytes: Buffer, first: number, count: number): void {
    let at = first
    for (let left = count; left > 0; left--) {
      const value = skip(bytes, at)
      const next = skip(bytes, value)
      const field = isString(bytes[value]) ? this.#fieldOf(bytes, at) : undefined
      if (field === undefined) {
        this.#pairs.raw(bytes, at, next)
      } else {
        this.#pairs.raw(bytes, at, value)
        this.#decodeValue(field, bytes, value + headerSize(bytes[value]), next)
      }
      at = next
    }
  }

  #decodeValue(field: DecodedField, bytes: Buffer, start: number, end: number): void {
    this.#source = bytes
    this.#start = start
    this.#end = end
    this.#isMap = false
    this.#addsMap = false
    this.#runRules(field.rules)
    if (this.#isMap) this.#pairs.raw(this.#map.bytes, 0, this.#map.length)
    else this.#pairs.stringBytes(this.#source, this.#start, this.#end)
    if (!this.#addsMap) return
    const addition = this.#addition.bytes
    this.#added.raw(addition, headerSize(addition[0]), this.#addition.length)
    this.#addedCount += contentCount(addition, 0)
  }

  #runRules(rules: readonly DecoderRule[]): void {
    for (const rule of rules) {
      const hasAdded = this.#addsMap && !rule.replaces && rule.goesOnAfterSuccess
      if (hasAdded || this.#isMap) continue
      const goesOn = this.#runRule(rule) ? rule.goesOnAfterSuccess : rule.goesOnAfterFailure
      if (!goesOn) return
    }
  }

  /** False when the decoder fails. */
  #runRule(rule: DecoderRule): boolean {
    if (rule.backend === 'json') {
      const target = rule.replaces ? this.#map : this.#addition
      if (!this.#decodeJson(target)) return false
      if (rule.replaces) this.#isMap = true
      else this.#addsMap = true
      return true
    }
    if (!rule.replaces) {
      if (this.#failures.add()) this.#log.error('[parser_decoder] string type is not allowed')
      this.#addsMap = false
      return true
    }
    const unescaper = this.#unescaper
    // An unescaped text may be unescaped once more where it is: it never grows.
    if (rule.backend === 'escaped') unescaper.c(this.#source, this.#start, this.#end)
    else if (rule.backend === 'escaped_utf8') unescaper.utf8(this.#source, this.#start, this.#end)
    else unescaper.mysql(this.#source, this.#start, this.#end)
    this.#source = unescaper.bytes
    this.#start = 0
    this.#end = unescaper.length
    return true
  }

  /** One JSON map, spaces before it and text that is no JSON behind it allowed. */
  #decodeJson(target: MsgpackWriter): boolean {
    const source = this.#source
    let at = this.#start
    while (at < this.#end && source[at] === 0x20) at++
    target.length = 0
    return at < this.#end && source[at] === 0x7b && transcodeJsonMap(source, at, this.#end, target)
  }
}
