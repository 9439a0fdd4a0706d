/**
 * Parser of format `logfmt`: `key=value key="quoted value" bare`.
 * Source: Fluent Bit 5.1.1 src/flb_parser_logfmt.c; https://brandur.org/logfmt.
 *
 *     message = *(garbage / pair)
 *     pair    = key "=" value / key "=" / key
 *     key     = 1*ident
 *     value   = *ident / DQUOTE *(any byte but DQUOTE and "\" / "\" any byte) [DQUOTE]
 *     ident   = any byte above SP but "=" and DQUOTE
 *
 * @hot bench/pipelines.ts
 */
import type { MsgpackWriter } from '../codec/msgpack_writer.ts'
import { BARE_KEY, ESCAPED_VALUE, PairWriter, PLAIN_VALUE } from './pair_writer.ts'
import type { PairOptions } from './pair_writer.ts'
import type { Parser, TextBlock } from './parser.ts'

const SPACE = 0x20
const QUOTE = 0x22
const EQUALS = 0x3d
const BACKSLASH = 0x5c
const LINE_FEED = 0x0a
const CARRIAGE_RETURN = 0x0d

export interface LogfmtOptions extends PairOptions {
  /** A key without `=` fails the text. */
  readonly refusesBareKeys: boolean
}

export class LogfmtParser implements Parser {
  readonly name: string
  seconds = 0
  nanoseconds = 0
  readonly #refusesBareKeys: boolean
  readonly #pairs: PairWriter
  #value = 0
  #valueEnd = 0
  #form = PLAIN_VALUE

  constructor(options: LogfmtOptions) {
    this.name = options.name
    this.#refusesBareKeys = options.refusesBareKeys
    this.#pairs = new PairWriter(options)
  }

  parse(block: TextBlock, start: number, end: number, out: MsgpackWriter): boolean {
    const { bytes } = block
    const pairs = this.#pairs
    pairs.begin(out)
    let at = start
    while (at < end) {
      while (at < end && !isIdent(bytes[at])) at++
      if (at === end) break
      const key = at
      while (at < end && isIdent(bytes[at])) at++
      const keyEnd = at
      at = this.#readValue(bytes, at, end)
      if (this.#form === BARE_KEY && keyEnd === at && this.#refusesBareKeys) return pairs.fail()
      if (!pairs.add(bytes, key, keyEnd, this.#value, this.#valueEnd, this.#form))
        return pairs.fail()
      if (at < end && (bytes[at] === LINE_FEED || bytes[at] === CARRIAGE_RETURN)) break
    }
    if (!pairs.finish()) return false
    this.seconds = pairs.seconds
    this.nanoseconds = pairs.nanoseconds
    return true
  }

  /** Reads what follows a key into the value fields; returns the position after it. */
  #readValue(bytes: Buffer, start: number, end: number): number {
    this.#value = start
    this.#valueEnd = start
    this.#form = BARE_KEY
    if (start === end || bytes[start] !== EQUALS) return start
    let at = start + 1
    if (at < end && bytes[at] === QUOTE) return this.#readQuoted(bytes, at + 1, end)
    this.#value = at
    while (at < end && isIdent(bytes[at])) at++
    this.#valueEnd = at
    // Fluent Bit gives `key=` the value true, too.
    if (at > this.#value) this.#form = PLAIN_VALUE
    return at
  }

  #readQuoted(bytes: Buffer, start: number, end: number): number {
    this.#value = start
    this.#form = PLAIN_VALUE
    let at = start
    while (at < end && bytes[at] !== QUOTE) {
      if (bytes[at] === BACKSLASH) {
        this.#form = ESCAPED_VALUE
        at++
      }
      if (at < end) at++
    }
    this.#valueEnd = at
    return at < end ? at + 1 : at
  }
}

function isIdent(byte: number): boolean {
  return byte > SPACE && byte !== EQUALS && byte !== QUOTE
}
