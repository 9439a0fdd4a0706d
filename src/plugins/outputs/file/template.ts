/**
 * The format `template`: a text with `{key}` in it.
 * Source: Fluent Bit 5.1.1 plugins/out_file/file.c template_output(). Its oddities are kept: any beginning of `time`,
 * even `{}`, is the time; what is not closed or not found stays as it is written; of braces within braces the last counts.
 *
 * @hot bench/pipelines.ts
 */
import type { JsonWriter } from '../../../codec/json_writer.ts'
import { contentCount, headerSize, isMap, isString, skip } from '../../../codec/msgpack_reader.ts'
import { printObject } from '../../../codec/msgpack_text.ts'
import { eventBodyAt, eventNanoseconds, eventSeconds } from '../../../record/event.ts'
import { writeDecimalSeconds } from '../../common/time_text.ts'
import type { LineFormat } from './formats.ts'

type Piece =
  | { readonly kind: 'text'; readonly written: Buffer }
  | { readonly kind: 'time' }
  /** `written` has the braces, for records without the key. */
  | { readonly kind: 'key'; readonly written: Buffer; readonly key: Buffer }

/** A brace pair without another opening brace in it. */
const PLACEHOLDER = /\{([^{}]*)\}/g

/** The template with its values. A string has no quotes, other values are as in csv. */
export class TemplateLine implements LineFormat {
  readonly #pieces: readonly Piece[]

  constructor(template: string) {
    this.#pieces = piecesOf(template)
  }

  begin(): void {
    // A line depends on nothing but its event.
  }

  line(out: JsonWriter, bytes: Buffer, at: number): number {
    const bodyAt = eventBodyAt(bytes, at)
    for (let index = 0; index < this.#pieces.length; index++) {
      const piece = this.#pieces[index]
      if (piece.kind === 'text') out.raw(piece.written)
      else if (piece.kind === 'key') writeValue(out, bytes, bodyAt, piece.key, piece.written)
      else writeDecimalSeconds(out, eventSeconds(bytes, at), eventNanoseconds(bytes, at))
    }
    out.byte(0x0a)
    return skip(bytes, bodyAt)
  }
}

function piecesOf(template: string): Piece[] {
  const pieces: Piece[] = []
  let end = 0
  for (const match of template.matchAll(PLACEHOLDER)) {
    const [written, key] = match
    if (match.index > end) pieces.push(textPiece(template.slice(end, match.index)))
    end = match.index + written.length
    pieces.push(
      'time'.startsWith(key)
        ? { kind: 'time' }
        : { kind: 'key', written: Buffer.from(written), key: Buffer.from(key) }
    )
  }
  if (end < template.length) pieces.push(textPiece(template.slice(end)))
  return pieces
}

function textPiece(text: string): Piece {
  return { kind: 'text', written: Buffer.from(text) }
}

/** Writes the value of the first key with this name, or `otherwise`. */
function writeValue(
  out: JsonWriter,
  bytes: Buffer,
  bodyAt: number,
  key: Buffer,
  otherwise: Buffer
): void {
  const valueAt = findFirst(bytes, bodyAt, key)
  if (valueAt < 0) {
    out.raw(otherwise)
  } else if (isString(bytes[valueAt])) {
    const start = valueAt + headerSize(bytes[valueAt])
    out.raw(bytes, start, start + contentCount(bytes, valueAt))
  } else {
    printObject(bytes, valueAt, out)
  }
}

/** The position of the value of the first pair with this key, or -1. */
function findFirst(bytes: Buffer, bodyAt: number, key: Buffer): number {
  if (!isMap(bytes[bodyAt])) return -1
  let at = bodyAt + headerSize(bytes[bodyAt])
  for (let left = contentCount(bytes, bodyAt); left > 0; left--) {
    const valueAt = skip(bytes, at)
    if (isString(bytes[at]) && isSame(bytes, at + headerSize(bytes[at]), valueAt, key))
      return valueAt
    at = skip(bytes, valueAt)
  }
  return -1
}

function isSame(bytes: Buffer, start: number, end: number, key: Buffer): boolean {
  if (end - start !== key.length) return false
  for (let index = 0; index < key.length; index++) {
    if (bytes[start + index] !== key[index]) return false
  }
  return true
}
