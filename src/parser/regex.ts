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
import { PLAN_STEP } from './block_pattern.ts'
import type { CapturePlan } from './block_pattern.ts'
import { decodeSubject } from './onigmo.ts'
import type { Captures, Matcher } from './onigmo.ts'
import type { Parser, TextBlock } from './parser.ts'
import type { TimeReader } from './time.ts'
import type { Caster, CastType } from './types.ts'
import { encodedKey } from './record_key.ts'

/** Below this many bytes a loop beats `copy`, and the string header is one byte. */
const COPY_LOOP_MAX = 32

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
  /** The name as a MessagePack string. */
  readonly key: Buffer
  readonly isTime: boolean
  readonly type: CastType | undefined
}

export class RegexParser implements Parser {
  readonly name: string
  seconds = 0
  nanoseconds = 0
  readonly #matcher: Matcher
  readonly #plan: CapturePlan | undefined
  readonly #groups: readonly Group[]
  readonly #skipsEmptyValues: boolean
  readonly #time: TimeReader | undefined
  readonly #keepsTime: boolean
  readonly #caster: Caster
  readonly #decoders: FieldDecoders | undefined
  readonly #log: ParserLog
  readonly #timeFailures = new FailureCounter()
  /** Position and length of each group of the match at hand; a length of -1 when it did not take part. */
  readonly #starts: number[]
  readonly #lengths: number[]

  constructor(options: RegexParserOptions) {
    const { matcher, time, timeKey, types } = options
    this.name = options.name
    this.#matcher = matcher
    this.#plan = matcher.blockPlan
    this.#skipsEmptyValues = options.skipsEmptyValues
    this.#time = time
    this.#keepsTime = options.keepsTime
    this.#caster = options.caster
    this.#decoders = options.decoders
    this.#log = options.log
    this.#groups = matcher.groupNames.map((name, index) => ({
      name,
      number: matcher.groupNumbers[index],
      key: encodedKey(name),
      isTime: time !== undefined && name === timeKey,
      type: types.get(name)
    }))
    this.#starts = this.#groups.map(() => 0)
    this.#lengths = this.#groups.map(() => -1)
  }

  parse(block: TextBlock, start: number, end: number, out: MsgpackWriter): boolean {
    const plan = this.#plan
    if (plan !== undefined && block.isAscii() && (block.holdsLines || !block.hasLineFeeds())) {
      const captures = this.#matcher.execInBlock(
        block.latin1(),
        start - block.start,
        block.hasCarriageReturns()
      )
      if (captures === null) return false
      this.#locate(plan, captures, start)
      return this.#writeMap(block.bytes, out)
    }
    const text = decodeSubject(block.bytes, start, end)
    const captures = this.#matcher.exec(text)
    if (captures === null) return false
    return this.#writeMap(this.#encode(captures, text.length < end - start), out)
  }

  /** Finds the groups in the bytes of the block. */
  #locate(plan: CapturePlan, captures: Captures, start: number): void {
    const { steps } = plan
    const starts = this.#starts
    const lengths = this.#lengths
    lengths.fill(-1)
    let at = start
    for (let index = 0; index < steps.length; index += 3) {
      const capture = captures[steps[index + 2]]
      if (capture === undefined) continue
      const operand = steps[index + 1]
      switch (steps[index]) {
        case PLAN_STEP.advance:
          at += operand
          break
        case PLAN_STEP.gap:
          at += capture.length
          break
        case PLAN_STEP.start:
          starts[operand] = at
          lengths[operand] = capture.length
          break
        default:
          at = starts[operand] + capture.length
      }
    }
  }

  /** Puts the captured texts into bytes of their own. */
  #encode(captures: Captures, isUtf8: boolean): Buffer {
    const values = this.#groups.map(({ number }) => captures[number])
    const bytes = Buffer.from(values.join(''), isUtf8 ? 'utf8' : 'latin1')
    let at = 0
    for (const [index, value] of values.entries()) {
      const length = value === undefined ? -1 : isUtf8 ? Buffer.byteLength(value) : value.length
      this.#starts[index] = at
      this.#lengths[index] = length
      at += Math.max(0, length)
    }
    return bytes
  }

  /** Writes the map; false when no named group took part in the match. */
  #writeMap(bytes: Buffer, out: MsgpackWriter): boolean {
    this.seconds = 0
    this.nanoseconds = 0
    const groups = this.#groups
    const map = out.beginMap()
    let count = 0
    let hasParticipant = false
    for (let index = 0; index < groups.length; index++) {
      const length = this.#lengths[index]
      if (length >= 0) hasParticipant = true
      if (length <= 0 && this.#skipsEmptyValues) continue
      const start = this.#starts[index]
      if (this.#writeGroup(groups[index], bytes, start, start + Math.max(0, length), out)) count++
    }
    if (!hasParticipant) {
      out.length = map
      return false
    }
    out.endMap(map, count)
    this.#decoders?.decode(out, map)
    return true
  }

  /** False when the group does not become a key of the record. */
  #writeGroup(group: Group, bytes: Buffer, start: number, end: number, out: MsgpackWriter): boolean {
    if (group.isTime && !(this.#readTime(bytes, start, end) && this.#keepsTime)) return false
    if (group.type === undefined) {
      writeText(group.key, bytes, start, end, out)
    } else {
      out.raw(group.key, 0, group.key.length)
      this.#caster.write(group.type, group.name, bytes, start, end, out)
    }
    return true
  }

  #readTime(bytes: Buffer, start: number, end: number): boolean {
    const time = this.#time
    if (time === undefined) return false
    if (!time.read(bytes, start, end)) {
      this.#reportTime(time, bytes.toString('utf8', start, end))
      return false
    }
    this.seconds = time.seconds
    this.nanoseconds = time.nanoseconds
    return true
  }

  #reportTime(time: TimeReader, value: string): void {
    if (!this.#timeFailures.add()) return
    this.#log.error(`[parser] cannot parse '${value}'`)
    this.#log.warn(`[parser:${this.name}] invalid time format ${time.format} for '${value}'`)
  }
}

/** Writes an encoded key and a string: `out.raw` and `out.stringBytes` in one, which is a fifth of all work here. */
function writeText(key: Buffer, bytes: Buffer, start: number, end: number, out: MsgpackWriter): void {
  const length = end - start
  out.reserve(key.length + length + 5)
  const target = out.bytes
  let at = out.length
  for (let index = 0; index < key.length; index++) target[at++] = key[index]
  if (length >= COPY_LOOP_MAX) {
    out.length = at
    out.stringHeader(length)
    bytes.copy(target, out.length, start, end)
    out.length += length
    return
  }
  target[at++] = 0xa0 | length
  for (let index = start; index < end; index++) target[at++] = bytes[index]
  out.length = at
}
