/**
 * parser: replaces records by what a parser finds in one of their values, or adds that to them.
 * Source: Fluent Bit 5.1.1 plugins/filter_parser/filter_parser.c.
 *
 * Parsed keys come first, then the ones that `reserve_data` and `preserve_key` keep. With a key
 * that is repeated, every value is parsed: the last result counts, and when the last value does not
 * parse the record stays as it is. A value that a record accessor names is kept by `reserve_data`
 * in any case.
 *
 * Differs: bodies that are no maps pass, where Fluent Bit drops them. The core's line "[ra key]
 * cannot process key value" for an array is left out.
 *
 * @hot bench/pipelines.ts
 */
import { contentCount, headerSize, typeOf } from '../../codec/msgpack_reader.ts'
import { flag, many, refused, text, type Values } from '../../config/options.ts'
import { type Parser, parseValue } from '../../parser/parser.ts'
import type { FilterContext } from '../../plugin/context.ts'
import { defineFilter, type Filter } from '../../plugin/define.ts'
import type { EventView } from '../../record/event_view.ts'
import { KeyPattern } from '../../record/key_pattern.ts'
import { type Field, propertyField } from '../common/field.ts'

const OPTIONS = {
  Key_Name: text({ doc: 'Key, or record accessor, of the value to parse' }),
  Parser: many(text({ doc: 'Name of a parser; the first that takes the value counts' })),
  Preserve_Key: flag({ default: 'false', doc: 'Keep the parsed key' }),
  Reserve_Data: flag({ default: 'false', doc: 'Keep the other keys' }),
  Unescape_key: refused(
    text({ doc: 'Deprecated; Fluent Bit 5.1 refuses it too' }),
    'it is deprecated and has no effect: remove it'
  )
}

export const parser = defineFilter({
  name: 'parser',
  summary: 'Parse a value of records',
  upstream: 'plugins/filter_parser/filter_parser.c',
  options: OPTIONS,
  create(values, context) {
    const { Key_Name: name } = values
    if (name === undefined) throw context.invalid('Key_Name', 'it is required, and not set')
    const parsers = new ParserList(readParsers(values, context))
    if (!name.startsWith('$')) return new KeyParser(name, parsers, values)
    return new FieldParser(propertyField(context, 'Key_Name', name), parsers, values.Reserve_Data)
  }
})

/** The parsers that exist; a mistake when there is none. */
function readParsers(values: Values<typeof OPTIONS>, context: FilterContext): Parser[] {
  const parsers: Parser[] = []
  const missing: string[] = []
  for (const name of values.Parser) {
    const found = context.parser(name)
    if (found === undefined) missing.push(name)
    else parsers.push(found)
  }
  if (parsers.length === 0) {
    if (missing.length > 0) throw context.unknownParser('Parser', missing[0])
    throw context.invalid('Parser', 'value must name a parser: it is not set')
  }
  for (const name of missing) context.log.error(`requested parser '${name}' not found`)
  return parsers
}

/** Parses a value with the first parser that takes it. */
class ParserList {
  readonly #parsers: readonly Parser[]

  constructor(parsers: readonly Parser[]) {
    this.#parsers = parsers
  }

  /**
   * Parses the string or binary data at `at` into the event's scratch space and takes over the time
   * found.
   *
   * @returns False for other types, and when no parser takes it.
   */
  parse(event: EventView, bytes: Buffer, at: number): boolean {
    const start = at + headerSize(bytes[at])
    const end = start + contentCount(bytes, at)
    const parsers = this.#parsers
    for (let index = 0; index < parsers.length; index++) {
      const parser = parsers[index]
      if (!parseValue(parser, bytes, start, end, event.scratch)) continue
      const { seconds, nanoseconds } = parser
      if (seconds !== 0 || nanoseconds !== 0) event.setTime(seconds, nanoseconds)
      return true
    }
    return false
  }
}

function isText(byte: number): boolean {
  const type = typeOf(byte)
  return type === 'string' || type === 'binary'
}

/** Parses the value of a top-level key. */
class KeyParser implements Filter {
  readonly #key: KeyPattern
  readonly #parsers: ParserList
  readonly #preserves: boolean
  readonly #reserves: boolean
  /** Entries of the current event that were parsed. */
  readonly #parsed: number[] = []

  constructor(name: string, parsers: ParserList, values: Values<typeof OPTIONS>) {
    this.#key = new KeyPattern(name)
    this.#parsers = parsers
    this.#preserves = values.Preserve_Key
    this.#reserves = values.Reserve_Data
  }

  filter(event: EventView): boolean {
    const map = this.#parse(event)
    if (map < 0) return true
    if (this.#reserves) {
      if (!this.#preserves) this.#removeParsed(event)
    } else if (this.#preserves) {
      event.move(this.#parsed[this.#parsed.length - 1], 0)
      event.truncate(1)
    } else {
      event.truncate(0)
    }
    event.prependScratchMap(map)
    return true
  }

  /**
   * Parses every value of the key; returns where the last result lies in scratch, or -1 when the
   * last try failed.
   */
  #parse(event: EventView): number {
    this.#parsed.length = 0
    let map = -1
    let index = event.findMatching(this.#key)
    for (; index >= 0; index = event.findMatching(this.#key, index + 1)) {
      const bytes = event.valueBuffer(index)
      const at = event.valueAt(index)
      if (!isText(bytes[at])) continue
      const start = event.scratch.length
      if (this.#parsers.parse(event, bytes, at)) {
        map = start
        this.#parsed.push(index)
      } else {
        map = -1
      }
    }
    return map
  }

  #removeParsed(event: EventView): void {
    for (let last = this.#parsed.length - 1; last >= 0; last--) event.remove(this.#parsed[last])
  }
}

/** Parses a value that a record accessor names. */
class FieldParser implements Filter {
  readonly #field: Field
  readonly #parsers: ParserList
  readonly #reserves: boolean

  constructor(field: Field, parsers: ParserList, reserves: boolean) {
    this.#field = field
    this.#parsers = parsers
    this.#reserves = reserves
  }

  filter(event: EventView): boolean {
    if (!this.#field.find(event)) return true
    const { bytes, at } = this.#field
    const start = event.scratch.length
    if (!isText(bytes[at]) || !this.#parsers.parse(event, bytes, at)) return true
    if (!this.#reserves) event.truncate(0)
    event.prependScratchMap(start)
    return true
  }
}
