/**
 * The record accessor: `$key['sub'][0]` names a value of a record, and a text may mix such names with others.
 *
 *     text    := ( literal | key | '$TAG' | '$TAG[' n ']' | '$' digit )*
 *     key     := '$' identifier ( '[' ( quoted | n ) ']' )*
 *     identifier := [_A-Za-z][A-Za-z0-9_./-]*        a '.', ' ', ',' or '"' ends a key
 *     quoted  := '\'' text '\''                      '' is one quote; dots are allowed
 *
 * Source: Fluent Bit 5.1.1 src/flb_record_accessor.c, src/flb_ra_key.c, src/record_accessor/ra.l and ra.y;
 * reference 7. Its oddities are kept, as configurations rely on what they do: a single '.', ' ', ',' or '"' after the
 * last key is lost, and a '$' right behind `$TAG` or `$TAG[n]` is literal.
 *
 * @hot bench/pipelines.ts
 */
import { JsonWriter } from '../codec/json_writer.ts'
import {
  bytesToString,
  contentCount,
  headerSize,
  isArray,
  isMap,
  isString,
  readInteger,
  readNumber,
  readString,
  skip,
  typeOf
} from '../codec/msgpack_reader.ts'
import { formatF } from '../codec/number_text.ts'
import { type EventView, Key } from './event_view.ts'
import { tagPart } from './tag.ts'

/** Why a text is no record accessor. */
export interface AccessorError {
  readonly error: string
}

/** What a regular expression captured, by number; 0 is the whole match. */
export type Captures = ArrayLike<string | undefined>

type Part =
  | { readonly kind: 'literal'; readonly text: string }
  | { readonly kind: 'key'; readonly key: Accessor }
  | { readonly kind: 'tag' }
  | { readonly kind: 'tagPart'; readonly index: number }
  | { readonly kind: 'capture'; readonly index: number }

/** Fluent Bit prints a float into a buffer of 31 bytes, one of them for the end. */
const FLOAT_TEXT_MAX = 30

const json = new JsonWriter({ capacity: 256 })

/** Names one value of a record: a top-level key, and keys or indexes within its value. */
export class Accessor {
  /** The top-level key. */
  readonly root: Key
  /** Keys (bytes) and array indexes below it. */
  readonly path: readonly (Buffer | number)[]

  constructor(root: string, path: readonly (string | number)[]) {
    this.root = new Key(root)
    this.path = path.map(step => (typeof step === 'number' ? step : Buffer.from(step)))
  }

  /** The position of the value in the record whose map is at `mapAt`, or -1. */
  find(source: Buffer, mapAt: number): number {
    const at = findKey(source, mapAt, this.root.bytes)
    return at < 0 ? -1 : this.findNested(source, at)
  }

  /**
   * The index of the view's entry with the top-level key, or -1; of repeated keys the last one counts. Then
   * `findNested(view.valueBuffer(index), view.valueAt(index))` is the position of the value.
   */
  findEntry(view: EventView): number {
    let found = view.find(this.root)
    let next = found
    while (next >= 0) {
      found = next
      next = view.find(this.root, found + 1)
    }
    return found
  }

  /**
   * The position of the value within the value of the top-level key, or -1. When that is neither a map nor an
   * array it is the result itself, whatever the path says.
   */
  findNested(source: Buffer, valueAt: number): number {
    const { path } = this
    if (path.length === 0 || !isContainer(source[valueAt])) return valueAt
    let at = valueAt
    for (let index = 0; index < path.length && at >= 0; index++) {
      const step = path[index]
      at = typeof step === 'number' ? findItem(source, at, step) : findKey(source, at, step)
    }
    return at
  }
}

/** A text with names of values in it. */
export class Template {
  readonly text: string
  readonly #parts: readonly Part[]

  constructor(text: string, parts: readonly Part[]) {
    this.text = text
    this.#parts = parts
  }

  /** True when the result depends on nothing but the tag. */
  get isStatic(): boolean {
    return this.#parts.every(part => part.kind !== 'key' && part.kind !== 'capture')
  }

  /** The only part, when it names a value of the record. */
  get singleKey(): Accessor | undefined {
    const [part] = this.#parts
    return this.#parts.length === 1 && part.kind === 'key' ? part.key : undefined
  }

  /**
   * The text with every name replaced; by nothing where the record has no such value, or an array or extension.
   *
   * @param mapAt Position of the record's map, or -1 without a record.
   */
  render(source: Buffer, mapAt: number, tag: string, captures?: Captures): string {
    let text = ''
    for (const part of this.#parts) {
      text +=
        part.kind === 'key'
          ? (keyText(part.key, source, mapAt) ?? '')
          : otherText(part, tag, captures)
    }
    return text
  }

  /** As `render`, from a view. */
  renderView(view: EventView, tag: string, captures?: Captures): string {
    let text = ''
    for (const part of this.#parts) {
      text +=
        part.kind === 'key' ? (viewText(part.key, view) ?? '') : otherText(part, tag, captures)
    }
    return text
  }

  /** True when the record has every value that the text names. */
  isComplete(source: Buffer, mapAt: number): boolean {
    return this.#parts.every(
      part => part.kind !== 'key' || keyText(part.key, source, mapAt) !== undefined
    )
  }
}

/**
 * Compiles the name of one value. A text without `$` names the top-level key with exactly that name; of several names
 * the first counts.
 */
export function compileAccessor(text: string): Accessor | AccessorError {
  const parts = parse(text)
  if (!Array.isArray(parts)) return parts
  const part = parts[0]
  if (part?.kind === 'key') return part.key
  if (part?.kind === 'literal') return new Accessor(part.text, [])
  return {
    error: `Cannot read record accessor "${text}": it names no key, wanted is $key or $key['sub'][0]`
  }
}

/** Compiles a text with names of values in it. */
export function compileTemplate(text: string): Template | AccessorError {
  const parts = parse(text)
  return Array.isArray(parts) ? new Template(text, parts) : parts
}

/** The position of the value of `key` in the map at `mapAt`, or -1; of repeated keys the last one counts. */
export function findKey(source: Buffer, mapAt: number, key: Buffer): number {
  if (!isMap(source[mapAt])) return -1
  let found = -1
  let at = mapAt + headerSize(source[mapAt])
  for (let left = contentCount(source, mapAt); left > 0; left--) {
    const valueAt = skip(source, at)
    if (isKey(source, at, valueAt, key)) found = valueAt
    at = skip(source, valueAt)
  }
  return found
}

/** The position of item `index` of the array at `arrayAt`, or -1. */
export function findItem(source: Buffer, arrayAt: number, index: number): number {
  if (!isArray(source[arrayAt]) || index >= contentCount(source, arrayAt)) return -1
  let at = arrayAt + headerSize(source[arrayAt])
  for (let left = index; left > 0; left--) at = skip(source, at)
  return at
}

/**
 * The value at `at` as Fluent Bit puts it into a text: strings as they are, `%d`, `%f`, `true`, `null`, maps as JSON,
 * binary data in hex; undefined for arrays and extensions, which it cannot.
 */
export function valueText(source: Buffer, at: number): string | undefined {
  const byte = source[at]
  switch (typeOf(byte)) {
    case 'string':
      return readString(source, at)
    case 'integer':
      return integerText(readInteger(source, at))
    case 'float':
      return floatText(source, at)
    case 'boolean':
      return byte === 0xc3 ? 'true' : 'false'
    case 'nil':
      return 'null'
    case 'map':
      json.clear()
      json.value(source, at)
      return bytesToString(json.bytes, 0, json.length)
    case 'binary': {
      const start = at + headerSize(byte)
      return source.toString('hex', start, start + contentCount(source, at))
    }
    default:
      return undefined
  }
}

function isContainer(byte: number): boolean {
  return isMap(byte) || isArray(byte)
}

function isKey(source: Buffer, at: number, end: number, key: Buffer): boolean {
  const { length } = key
  if (!isString(source[at]) || contentCount(source, at) !== length) return false
  const start = end - length
  for (let index = 0; index < length; index++) {
    if (source[start + index] !== key[index]) return false
  }
  return true
}

/** Unsigned integers beyond 2^63 are printed as signed ones. */
function integerText(value: number | bigint | undefined): string {
  return typeof value === 'bigint' ? String(BigInt.asIntN(64, value)) : String(value)
}

function floatText(source: Buffer, at: number): string {
  const value = readNumber(source, at)
  if (Number.isNaN(value) && source[at + 1] > 0x7f) return '-nan'
  return formatF(value, 6).slice(0, FLOAT_TEXT_MAX)
}

function keyText(key: Accessor, source: Buffer, mapAt: number): string | undefined {
  const at = mapAt < 0 ? -1 : key.find(source, mapAt)
  return at < 0 ? undefined : valueText(source, at)
}

function viewText(key: Accessor, view: EventView): string | undefined {
  const index = key.findEntry(view)
  if (index < 0) return undefined
  const source = view.valueBuffer(index)
  const at = key.findNested(source, view.valueAt(index))
  return at < 0 ? undefined : valueText(source, at)
}

function otherText(
  part: Exclude<Part, { kind: 'key' }>,
  tag: string,
  captures: Captures | undefined
): string {
  switch (part.kind) {
    case 'literal':
      return part.text
    case 'tag':
      return tag
    case 'tagPart':
      return tagPart(tag, part.index)
    case 'capture':
      return captures?.[part.index] ?? ''
  }
}

/** Splits a text into its parts. */
function parse(text: string): Part[] | AccessorError {
  const parts: Part[] = []
  /** Where the text that is not in a part yet starts. */
  let pending = 0
  let at = text.indexOf('$')
  while (at >= 0) {
    addLiteral(parts, text.slice(pending, at))
    pending = at
    if (at + 1 === text.length) break
    const next = text.charCodeAt(at + 1)
    if (next >= 0x30 && next <= 0x39) {
      // All digits give the number, but only the first is taken from the text.
      parts.push({ kind: 'capture', index: Number.parseInt(text.slice(at + 1), 10) })
      pending = at + 2
      at = text.indexOf('$', pending)
    } else if (text.startsWith('TAG', at + 1)) {
      pending = addTag(parts, text, at)
      at = text.indexOf('$', pending + 1)
    } else {
      const end = keyEnd(text, at)
      const key = parseKey(text.slice(at, end), text)
      if ('error' in key) return key
      parts.push({ kind: 'key', key })
      pending = end
      at = text.indexOf('$', end + 1)
      // What ended the last key is lost when nothing follows it.
      if (at < 0 && end + 1 >= text.length) return parts
    }
  }
  // A lone '$' at the end is lost, except behind one single character.
  if (at < 0 || at === 1) addLiteral(parts, text.slice(pending))
  return parts
}

function addLiteral(parts: Part[], text: string): void {
  if (text !== '') parts.push({ kind: 'literal', text })
}

/** Adds `$TAG` or `$TAG[n]` at `at`; returns the position after it. */
function addTag(parts: Part[], text: string, at: number): number {
  const bracket = at + 4
  if (text[bracket] !== '[' || bracket + 1 >= text.length) {
    parts.push({ kind: 'tag' })
    return bracket
  }
  const index = Number.parseInt(text.slice(bracket + 1), 10)
  parts.push({ kind: 'tagPart', index: Number.isNaN(index) ? 0 : index })
  const close = text.indexOf(']', bracket)
  return close < 0 ? bracket : close + 1
}

/** Where the key that starts at `start` ends: before a '.', which quotes protect, or a ' ', ',' or '"'. */
function keyEnd(text: string, start: number): number {
  let quotes = 0
  for (let at = start + 1; at < text.length; at++) {
    const character = text[at]
    if (character === "'") quotes++
    else if (character === '.' && (quotes & 1) === 1) continue
    else if (character === '.' || character === ' ' || character === ',' || character === '"')
      return at
  }
  return text.length
}

/** A token, or a character that starts none: Fluent Bit complains about those and goes on without them. */
const TOKEN =
  /(?<space>[ \t\n]+)|(?<index>[1-9][0-9]*|0)|(?<quoted>'(?:[^']|'')*')|(?<name>[_A-Za-z][\w.\-/]*)|(?<mark>[$[\].,;])|(?<bad>[^])/gy

function parseKey(text: string, whole: string): Accessor | AccessorError {
  const tokens = Array.from(text.matchAll(TOKEN), match => match.groups ?? {}).filter(
    token => token.space === undefined && token.bad === undefined
  )
  const wanted: AccessorError = {
    error: `Cannot read record accessor "${whole}": "${text}" is no key, wanted is $key or $key['sub'][0]`
  }
  const name = tokens[1]?.name
  if (tokens[0]?.mark !== '$' || name === undefined) return wanted
  const path: (string | number)[] = []
  for (let at = 2; at < tokens.length; at += 3) {
    const step = readStep(tokens[at], tokens[at + 1], tokens[at + 2])
    if (step === undefined) return wanted
    path.push(step)
  }
  return new Accessor(name, path)
}

type Token = Readonly<Record<string, string | undefined>>

/** The key or index between two brackets; undefined when the tokens are others. */
function readStep(open: Token, middle?: Token, close?: Token): string | number | undefined {
  if (open.mark !== '[' || close?.mark !== ']') return undefined
  if (middle?.index !== undefined) return Number(middle.index)
  return middle?.quoted?.slice(1, -1).replaceAll("''", "'")
}
