/**
 * Writes the plain part of Onigmo's language as JavaScript regular expressions without flags, which V8's
 * linear-time engine can take over when they backtrack too much. What is not plain (lookaround, back
 * references, possessive quantifiers, ...) is left to oniguruma-to-es.
 *
 * The linear engine (V8 14.6 src/regexp/experimental) takes no `i`, `u` or `v` flag, no lookahead and
 * no repetition of more than 16, so case is expanded into classes and `x{20}` is split.
 */
import { parse } from 'oniguruma-parser/parser'
import type {
  AlternativeElementNode,
  AlternativeNode,
  CharacterClassNode,
  CharacterSetNode,
  QuantifierNode,
  RegexNode
} from 'oniguruma-parser/parser'
import { writeBlockPattern } from './block_pattern.ts'
import type { BlockPattern } from './block_pattern.ts'
import { ASCII_POSIX, PlainWriter } from './plain_writer.ts'

/** What a pattern turned out to be. */
export interface PlainPattern {
  /** Named groups in the order that Onigmo calls them back: by first occurrence of the name, then by number. */
  readonly groupNames: readonly string[]
  /** The group number of each name. */
  readonly groupNumbers: readonly number[]
  readonly groupCount: number
  /** Undefined when the pattern is not plain. */
  readonly plain: PlainForms | undefined
}

export interface PlainForms {
  /** For subjects without a line feed; no flags. */
  readonly line: string
  /** For a line inside a block of lines; undefined when the pattern may match elsewhere than at its start. */
  readonly block: BlockPattern | undefined
  /** False when a repetition is too much for the linear engine. */
  readonly isLinear: boolean
  /** True when letters beyond ASCII in the subject need the Unicode rules of the general form. */
  readonly asciiOnly: boolean
}

/**
 * Reads a pattern that `rubyToOniguruma` has prepared.
 *
 * @throws {Error} With the reason when the pattern is invalid.
 */
export function readPattern(source: string, flags: string): PlainPattern {
  const ast = parse(source, { flags, normalizeUnknownPropertyNames: true })
  const groups = new Map<string, number[]>()
  const groupCount = collectGroups(ast.body, groups)
  const groupNumbers = [...groups.values()].flat()
  return {
    groupNames: [...groups].flatMap(([name, numbers]) => numbers.map(() => name)),
    groupNumbers,
    groupCount,
    plain: isPlain(ast.body) ? plainForms(ast, groupNumbers) : undefined
  }
}

/** Puts the numbers of named groups into `groups`; returns the number of groups. */
function collectGroups(nodes: readonly AlternativeNode[], groups: Map<string, number[]>): number {
  let count = 0
  for (const node of nodes.flatMap(alternative => alternative.body)) {
    const inner = node.type === 'Quantifier' ? quantified(node) : node
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

/** What the innermost of directly nested quantifiers repeats. */
function quantified(node: QuantifierNode): AlternativeElementNode {
  return node.body.type === 'Quantifier' ? quantified(node.body) : node.body
}

function isPlain(alternatives: readonly AlternativeNode[]): boolean {
  return alternatives.every(alternative => alternative.body.every(isPlainElement))
}

function isPlainElement(node: AlternativeElementNode): boolean {
  switch (node.type) {
    case 'Character':
      return node.value <= 0xffff
    case 'CharacterSet':
      return isPlainSet(node)
    case 'CharacterClass':
      return isPlainClass(node)
    case 'Assertion':
      return node.kind !== 'search_start' && node.kind !== 'text_segment_boundary'
    case 'Group':
      return node.atomic !== true && isPlain(node.body)
    case 'CapturingGroup':
      return isPlain(node.body)
    case 'Quantifier':
      return node.kind !== 'possessive' && isPlainElement(node.body)
    default:
      return false
  }
}

function isPlainSet(node: CharacterSetNode): boolean {
  if (node.kind === 'posix') return node.value in ASCII_POSIX
  return node.kind === 'dot' || node.kind === 'any' || node.kind === 'hex' || isNotNewline(node)
}

/** `\N`: anything but a line feed. */
function isNotNewline(node: CharacterSetNode): boolean {
  return node.kind === 'newline' && node.negate === true
}

function isPlainClass(node: CharacterClassNode): boolean {
  return node.body.every(element => {
    if (element.type === 'CharacterClass') return isPlainClass(element)
    return element.type !== 'CharacterSet' || isPlainSet(element)
  })
}

function plainForms(ast: RegexNode, groups: readonly number[]): PlainForms {
  const { flags, body } = ast
  const line = new PlainWriter('line', flags)
  const text = line.alternatives(body)
  const block = startsAtLineStart(body) ? writeBlockPattern(body, flags, groups) : undefined
  return { line: text, block, isLinear: line.isLinear, asciiOnly: line.asciiOnly }
}

/** True when every way through the pattern begins with `^` or `\A`. */
function startsAtLineStart(alternatives: readonly AlternativeNode[]): boolean {
  return alternatives.every(alternative => {
    const first = alternative.body.at(0)
    if (first?.type === 'Group' || first?.type === 'CapturingGroup') {
      return startsAtLineStart(first.body)
    }
    return first?.type === 'Assertion' && (first.kind === 'line_start' || first.kind === 'string_start')
  })
}
