/**
 * Which bytes a piece of a pattern can begin with. What a piece can begin with tells whether the
 * piece before it ever needs to give characters back.
 */
import type { CharSet } from './char_set.ts'
import type { Piece } from './pattern.ts'

/** Bytes that may come next. Never too few, so it may be used to rule out. */
export interface FirstSet {
  /** 1 for each ASCII character. */
  readonly ascii: Uint8Array
  /** Characters beyond ASCII. */
  readonly hasOthers: boolean
  /** The end of the text. */
  readonly hasEnd: boolean
  /** Anything, also the end: nothing more has to match. */
  readonly isFree: boolean
}

export const FREE: FirstSet = {
  ascii: new Uint8Array(128).fill(1),
  hasOthers: true,
  hasEnd: true,
  isFree: true
}

const NOTHING: FirstSet = {
  ascii: new Uint8Array(128),
  hasOthers: false,
  hasEnd: false,
  isFree: false
}
const END: FirstSet = { ...NOTHING, hasEnd: true }
const LINE_END: FirstSet = { ...END, ascii: asciiOf([[0x0a, 0x0a]]) }

/** 1 for each ASCII character of a set. */
export function asciiOf(set: CharSet): Uint8Array {
  const ascii = new Uint8Array(128)
  for (const [min, max] of set) ascii.fill(1, Math.min(min, 128), Math.min(max + 1, 128))
  return ascii
}

/** True when a set holds characters beyond ASCII. */
export function hasOthers(set: CharSet): boolean {
  return set.some(([, max]) => max > 0x7f)
}

export function union(left: FirstSet, right: FirstSet): FirstSet {
  return {
    ascii: left.ascii.map((value, index) => value | right.ascii[index]),
    hasOthers: left.hasOthers || right.hasOthers,
    hasEnd: left.hasEnd || right.hasEnd,
    isFree: left.isFree || right.isFree
  }
}

/** True when no character is in both; the end of the text does not count. */
export function isDisjoint(left: FirstSet, right: FirstSet): boolean {
  if (left.isFree || right.isFree || (left.hasOthers && right.hasOthers)) return false
  return left.ascii.every((value, index) => (value & right.ascii[index]) === 0)
}

/**
 * True when the piece may match the empty string wherever it stands, so that what follows matters.
 */
export function isNullable(piece: Piece): boolean {
  switch (piece.kind) {
    case 'set':
      return false
    case 'assertion':
      return firstOfAssertion(piece.at) === undefined
    case 'sequence':
      return piece.items.every(isNullable)
    case 'choice':
      return piece.options.some(isNullable)
    case 'group':
      return isNullable(piece.body)
    default:
      return piece.min === 0 || isNullable(piece.body)
  }
}

/** What the piece can begin with, when it does not match the empty string. */
export function firstOf(piece: Piece): FirstSet {
  switch (piece.kind) {
    case 'set':
      return {
        ascii: asciiOf(piece.set),
        hasOthers: piece.isAsciiOnly || hasOthers(piece.set),
        hasEnd: false,
        isFree: false
      }
    case 'assertion':
      return firstOfAssertion(piece.at) ?? NOTHING
    case 'sequence':
      return firstOfSequence(piece.items)
    case 'choice':
      return piece.options.map(firstOf).reduce(union)
    default:
      return firstOf(piece.body)
  }
}

function firstOfSequence(items: readonly Piece[]): FirstSet {
  let first = NOTHING
  for (const item of items) {
    first = union(first, firstOf(item))
    if (!isNullable(item)) break
  }
  return first
}

/** Undefined for assertions that say nothing about the next character. */
function firstOfAssertion(at: string): FirstSet | undefined {
  if (at === 'line end' || at === 'last line end') return LINE_END
  return at === 'text end' ? END : undefined
}
