/**
 * Onigmo patterns as a small tree of pieces: what plain patterns are made of, with options and
 * shorthands resolved. What is not plain (lookaround, back references, possessive quantifiers, ...)
 * is left to oniguruma-to-es.
 */
import { parse } from 'oniguruma-parser/parser'
import type {
  AlternativeElementNode,
  AlternativeNode,
  CharacterClassElementNode,
  CharacterClassNode,
  CharacterSetNode,
  GroupNode
} from 'oniguruma-parser/parser'
import { charSet, complement, foldAsciiCase, intersection } from './char_set.ts'
import type { CharSet } from './char_set.ts'

export type Piece =
  | SetPiece
  | AssertionPiece
  | SequencePiece
  | ChoicePiece
  | RepeatPiece
  | GroupPiece

/** One character out of a set. */
export interface SetPiece {
  readonly kind: 'set'
  readonly set: CharSet
  /** True when the set is known for ASCII only: what lies beyond follows Unicode rules. */
  readonly isAsciiOnly: boolean
}

export interface AssertionPiece {
  readonly kind: 'assertion'
  readonly at: AssertionPlace
}

export type AssertionPlace =
  | 'line start'
  | 'line end'
  | 'text start'
  | 'text end'
  | 'last line end'
  | 'word boundary'
  | 'no word boundary'

export interface SequencePiece {
  readonly kind: 'sequence'
  readonly items: readonly Piece[]
}

/** The first option that leads to a match. */
export interface ChoicePiece {
  readonly kind: 'choice'
  readonly options: readonly Piece[]
}

export interface RepeatPiece {
  readonly kind: 'repeat'
  readonly body: Piece
  readonly min: number
  /** May be Infinity. */
  readonly max: number
  readonly isLazy: boolean
}

/** A capturing group; numbers count from 1. */
export interface GroupPiece {
  readonly kind: 'group'
  readonly number: number
  readonly body: Piece
}

export interface Pattern {
  /**
   * Named groups in the order that Onigmo calls them back: by first occurrence of the name, then by
   * number.
   */
  readonly groupNames: readonly string[]
  /** The group number of each name. */
  readonly groupNumbers: readonly number[]
  readonly groupCount: number
  /** Undefined when the pattern is not plain. */
  readonly piece: Piece | undefined
}

const LINE_FEED = charSet([[0x0a, 0x0a]])

const HEX_DIGITS = charSet([
  [0x30, 0x39],
  [0x41, 0x46],
  [0x61, 0x66]
])

/** POSIX brackets within ASCII. */
const ASCII_POSIX: Readonly<Record<string, CharSet>> = {
  alnum: charSet([
    [0x30, 0x39],
    [0x41, 0x5a],
    [0x61, 0x7a]
  ]),
  alpha: charSet([
    [0x41, 0x5a],
    [0x61, 0x7a]
  ]),
  ascii: charSet([[0x00, 0x7f]]),
  blank: charSet([
    [0x09, 0x09],
    [0x20, 0x20]
  ]),
  cntrl: charSet([
    [0x00, 0x1f],
    [0x7f, 0x7f]
  ]),
  digit: charSet([[0x30, 0x39]]),
  graph: charSet([[0x21, 0x7e]]),
  lower: charSet([[0x61, 0x7a]]),
  print: charSet([[0x20, 0x7e]]),
  punct: charSet([
    [0x21, 0x2f],
    [0x3a, 0x40],
    [0x5b, 0x60],
    [0x7b, 0x7e]
  ]),
  space: charSet([
    [0x09, 0x0d],
    [0x20, 0x20]
  ]),
  upper: charSet([[0x41, 0x5a]]),
  word: charSet([
    [0x30, 0x39],
    [0x41, 0x5a],
    [0x5f, 0x5f],
    [0x61, 0x7a]
  ]),
  xdigit: HEX_DIGITS
}

const ASSERTIONS: Readonly<Record<string, AssertionPlace>> = {
  line_start: 'line start',
  line_end: 'line end',
  string_start: 'text start',
  string_end: 'text end',
  string_end_newline: 'last line end'
}

/**
 * Reads a pattern that `rubyToOniguruma` has prepared.
 *
 * @throws {Error} With the reason when the pattern is invalid.
 */
export function readPattern(source: string, flags: string): Pattern {
  const { body, flags: options } = parse(source, { flags, normalizeUnknownPropertyNames: true })
  const groups = new Map<string, number[]>()
  const groupCount = collectGroups(body, groups)
  return {
    groupNames: [...groups].flatMap(([name, numbers]) => numbers.map(() => name)),
    groupNumbers: [...groups.values()].flat(),
    groupCount,
    piece: choiceOf(body, options)
  }
}

/** Puts the numbers of named groups into `groups`; returns the number of groups. */
function collectGroups(nodes: readonly AlternativeNode[], groups: Map<string, number[]>): number {
  let count = 0
  for (const node of nodes.flatMap(alternative => alternative.body)) {
    const inner = unquantified(node)
    if (inner.type === 'CapturingGroup') {
      count++
      const numbers = inner.name === undefined ? undefined : groups.get(inner.name)
      if (numbers !== undefined) numbers.push(inner.number)
      else if (inner.name !== undefined) groups.set(inner.name, [inner.number])
    }
    if (holdsAlternatives(inner)) count += collectGroups(inner.body, groups)
  }
  return count
}

function unquantified(node: AlternativeElementNode): AlternativeElementNode {
  return node.type === 'Quantifier' ? unquantified(node.body) : node
}

function holdsAlternatives(
  node: AlternativeElementNode
): node is Extract<AlternativeElementNode, { body: AlternativeNode[] }> {
  return (
    node.type === 'CapturingGroup' ||
    node.type === 'Group' ||
    node.type === 'LookaroundAssertion' ||
    node.type === 'AbsenceFunction'
  )
}

interface Options {
  readonly ignoreCase: boolean
  readonly dotAll: boolean
}

/** The functions below return undefined for what is not plain. */
function choiceOf(nodes: readonly AlternativeNode[], options: Options): Piece | undefined {
  const pieces: Piece[] = []
  for (const node of nodes) {
    const piece = sequenceOf(node.body, options)
    if (piece === undefined) return undefined
    pieces.push(piece)
  }
  return pieces.length === 1 ? pieces[0] : { kind: 'choice', options: pieces }
}

function sequenceOf(nodes: readonly AlternativeElementNode[], options: Options): Piece | undefined {
  const items: Piece[] = []
  for (const node of nodes) {
    const piece = pieceOf(node, options)
    if (piece === undefined) return undefined
    items.push(piece)
  }
  return items.length === 1 ? items[0] : { kind: 'sequence', items }
}

function pieceOf(node: AlternativeElementNode, options: Options): Piece | undefined {
  switch (node.type) {
    case 'Character':
    case 'CharacterSet':
    case 'CharacterClass':
      return setOf(node, options)
    case 'Assertion':
      return assertionOf(node.kind, node.negate === true)
    case 'Group':
      return node.atomic === true ? undefined : choiceOf(node.body, groupOptions(node, options))
    case 'CapturingGroup': {
      const body = choiceOf(node.body, options)
      return body === undefined ? undefined : { kind: 'group', number: node.number, body }
    }
    case 'Quantifier': {
      const { min, max, kind } = node
      const body = kind === 'possessive' ? undefined : pieceOf(node.body, options)
      return body === undefined
        ? undefined
        : { kind: 'repeat', body, min, max, isLazy: kind === 'lazy' }
    }
    default:
      return undefined
  }
}

function groupOptions({ flags }: GroupNode, outer: Options): Options {
  const { enable, disable } = flags ?? {}
  return {
    ignoreCase: (outer.ignoreCase || enable?.ignoreCase === true) && disable?.ignoreCase !== true,
    dotAll: (outer.dotAll || enable?.dotAll === true) && disable?.dotAll !== true
  }
}

function assertionOf(kind: string, isNegated: boolean): Piece | undefined {
  if (kind === 'word_boundary') {
    return { kind: 'assertion', at: isNegated ? 'no word boundary' : 'word boundary' }
  }
  const at = ASSERTIONS[kind]
  return at === undefined ? undefined : { kind: 'assertion', at }
}

function setOf(
  node: CharacterClassElementNode | CharacterSetNode,
  options: Options
): SetPiece | undefined {
  switch (node.type) {
    case 'Character':
      return folded(charSet([[node.value, node.value]]), options)
    case 'CharacterClassRange':
      return folded(charSet([[node.min.value, node.max.value]]), options)
    case 'CharacterClass':
      return classOf(node, options)
    default:
      return characterSetOf(node, options)
  }
}

function classOf(node: CharacterClassNode, options: Options): SetPiece | undefined {
  const parts: SetPiece[] = []
  for (const element of node.body) {
    const part = setOf(element, options)
    if (part === undefined) return undefined
    parts.push(part)
  }
  const sets = parts.map(part => part.set)
  const set = node.kind === 'intersection' ? sets.reduce(intersection) : charSet(sets.flat())
  const isAsciiOnly = parts.some(part => part.isAsciiOnly)
  return { kind: 'set', set: node.negate ? complement(set) : set, isAsciiOnly }
}

function characterSetOf(node: CharacterSetNode, options: Options): SetPiece | undefined {
  const { kind } = node
  if (kind === 'posix') {
    const posix = ASCII_POSIX[node.value]
    if (posix === undefined) return undefined
    const { set } = folded(posix, options)
    return { kind: 'set', set: node.negate ? complement(set) : set, isAsciiOnly: true }
  }
  if (kind === 'hex') return plainSet(node.negate === true ? complement(HEX_DIGITS) : HEX_DIGITS)
  if (kind !== 'dot') return undefined
  return plainSet(complement(options.dotAll ? [] : LINE_FEED))
}

function plainSet(set: CharSet): SetPiece {
  return { kind: 'set', set, isAsciiOnly: false }
}

/** Besides letters beyond ASCII, `s` and `k` have other cases there: U+017F and U+212A. */
const FOLDS_BEYOND_ASCII = charSet([
  [0x4b, 0x4b],
  [0x53, 0x53],
  [0x6b, 0x6b],
  [0x73, 0x73],
  [0x80, 0x10ffff]
])

function folded(set: CharSet, options: Options): SetPiece {
  if (!options.ignoreCase) return plainSet(set)
  const isAsciiOnly = intersection(set, FOLDS_BEYOND_ASCII).length > 0
  return { kind: 'set', set: foldAsciiCase(set), isAsciiOnly }
}
