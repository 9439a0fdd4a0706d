/**
 * Parser of format `ltsv`: `label:value` pairs separated by tabs.
 * Source: Fluent Bit 5.1.1 src/flb_parser_ltsv.c; http://ltsv.org.
 *
 *     record = [field *(TAB field)]
 *     field  = label ":" value
 *     label  = 1*(letter / digit / "_" / "." / "-")
 *     value  = *(any byte but NUL, TAB, LF, CR)
 *
 * @hot bench/pipelines.ts
 */
import type { MsgpackWriter } from '../codec/msgpack_writer.ts'
import type { Parser, TextBlock } from './parser.ts'
import { PairWriter, PLAIN_VALUE } from './pair_writer.ts'
import type { PairOptions } from './pair_writer.ts'

const TAB = 0x09
const COLON = 0x3a

/** 1 for the bytes of a label, 2 for those of a value. */
const CLASSES = new Uint8Array(256).fill(2)
CLASSES.fill(0, 0, 1)
for (const byte of Buffer.from('\t\n\r')) CLASSES[byte] = 0
for (const byte of Buffer.from(
  'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-'
)) {
  CLASSES[byte] = 3
}

export class LtsvParser implements Parser {
  readonly name: string
  seconds = 0
  nanoseconds = 0
  readonly #pairs: PairWriter

  constructor(options: PairOptions) {
    this.name = options.name
    this.#pairs = new PairWriter(options)
  }

  parse(block: TextBlock, start: number, end: number, out: MsgpackWriter): boolean {
    const { bytes } = block
    const pairs = this.#pairs
    pairs.begin(out)
    let at = start
    while (at < end) {
      const label = at
      while (at < end && (CLASSES[bytes[at]] & 1) !== 0) at++
      if (at === end || bytes[at] !== COLON) break
      const value = ++at
      while (at < end && (CLASSES[bytes[at]] & 2) !== 0) at++
      if (value - 1 > label && !pairs.add(bytes, label, value - 1, value, at, PLAIN_VALUE)) {
        return pairs.fail()
      }
      // A byte that is neither value nor tab (CR, LF, NUL) ends the record; NUL cannot start a
      // label either.
      if (at === end || bytes[at] !== TAB) break
      at++
    }
    if (!pairs.finish()) return false
    this.seconds = pairs.seconds
    this.nanoseconds = pairs.nanoseconds
    return true
  }
}
