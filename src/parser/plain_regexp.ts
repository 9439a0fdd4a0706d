/**
 * Writes plain patterns as JavaScript regular expressions without flags, which V8's linear-time
 * engine can take over when they backtrack too much.
 *
 * That engine (V8 14.6 src/regexp/experimental) takes no `i`, `u` or `v` flag, no lookahead and no
 * repetition of more than 16, so case is part of the sets already and `x{20}` is split.
 */
import { charSetText } from './char_set.ts'
import { isNullable } from './first_set.ts'
import type { AssertionPiece, Piece, RepeatPiece } from './pattern.ts'

/** Repetitions that V8's linear engine unrolls at most, over all nested quantifiers. */
const LINEAR_REPEAT_MAX = 16

/** A single character is repeated by several quantifiers up to this count. */
const SPLIT_REPEAT_MAX = 512

/** A pattern for texts without line feeds. */
export interface PlainRegExp {
  readonly text: string
  /** False when a repetition is too much for the linear engine. */
  readonly isLinear: boolean
  /** True when texts beyond ASCII need Unicode rules, which this form does not have. */
  readonly isAsciiOnly: boolean
}

export function writePlainRegExp(piece: Piece): PlainRegExp {
  const writer = new Writer()
  const text = writer.piece(piece)
  return { text, isLinear: writer.isLinear, isAsciiOnly: writer.isAsciiOnly }
}

class Writer {
  isLinear = true
  isAsciiOnly = false
  /** How often the linear engine copies what is written now. */
  #copies = 1

  piece(piece: Piece): string {
    switch (piece.kind) {
      case 'set':
        if (piece.isAsciiOnly) this.isAsciiOnly = true
        return charSetText(piece.set)
      case 'assertion':
        return this.#assertion(piece)
      case 'sequence':
        return piece.items.map(item => this.#item(item)).join('')
      case 'choice':
        return piece.options.map(option => this.piece(option)).join('|')
      case 'group':
        return `(${this.piece(piece.body)})`
      default:
        return this.#repeat(piece)
    }
  }

  #item(piece: Piece): string {
    return piece.kind === 'choice' ? `(?:${this.piece(piece)})` : this.piece(piece)
  }

  #assertion({ at }: AssertionPiece): string {
    switch (at) {
      case 'line start':
      case 'text start':
        return '^'
      case 'word boundary':
      case 'no word boundary':
        this.isAsciiOnly = true
        return at === 'word boundary' ? '\\b' : '\\B'
      default:
        return '$'
    }
  }

  #repeat(piece: RepeatPiece): string {
    const { body, min, max } = piece
    const lazy = piece.isLazy ? '?' : ''
    const copies = Math.max(min, max === Infinity ? 1 : max, 1)
    if (body.kind === 'set' && copies > LINEAR_REPEAT_MAX && copies <= SPLIT_REPEAT_MAX) {
      if (this.#copies > 1) this.isLinear = false
      return splitRepeat(this.piece(body), min, max, lazy)
    }
    const outerCopies = this.#copies
    this.#copies *= copies
    if (this.#copies > LINEAR_REPEAT_MAX) this.isLinear = false
    const text = this.piece(body)
    this.#copies = outerCopies
    // JavaScript refuses a round that matches nothing, Onigmo does not.
    if (min === 0 && max === 1 && isNullable(body))
      return piece.isLazy ? `(?:|${text})` : `(?:${text}|)`
    const isOne = body.kind === 'set' || body.kind === 'group'
    return `${isOne ? text : `(?:${text})`}${repeatText(min, max)}${lazy}`
  }
}

/** The shortest way to write how often something repeats. */
function repeatText(min: number, max: number): string {
  if (max === Infinity) return min === 0 ? '*' : min === 1 ? '+' : `{${min},}`
  if (min === 0 && max === 1) return '?'
  return min === max ? `{${min}}` : `{${min},${max}}`
}

/** `x{20,40}` as `x{16}x{4}x{0,16}x{0,4}`: the same strings in the same order of preference. */
function splitRepeat(text: string, min: number, max: number, lazy: string): string {
  let written = ''
  for (let left = min; left > 0; left -= LINEAR_REPEAT_MAX) {
    const count = Math.min(left, LINEAR_REPEAT_MAX)
    written += text + repeatText(count, count)
  }
  if (max === Infinity) return `${written}${text}*${lazy}`
  for (let left = max - min; left > 0; left -= LINEAR_REPEAT_MAX) {
    written += `${text}{0,${Math.min(left, LINEAR_REPEAT_MAX)}}${lazy}`
  }
  return written
}
