/**
 * Writes plain nodes of a parsed pattern as JavaScript regular expression text without the `i`, `u` and `v` flags.
 */
import type {
  AlternativeElementNode,
  AlternativeNode,
  CharacterClassElementNode,
  CharacterClassNode,
  CharacterSetNode,
  GroupNode,
  QuantifierNode
} from 'oniguruma-parser/parser'
import { charSet, charSetText, complement, foldAsciiCase, intersection } from './char_set.ts'
import type { CharSet } from './char_set.ts'

/** Repetitions that V8's linear engine unrolls at most, over all nested quantifiers. */
const LINEAR_REPEAT_MAX = 16

/** A single character is repeated by several quantifiers up to this count. */
const SPLIT_REPEAT_MAX = 512

const LINE_FEED = charSet([[0x0a, 0x0a]])

const HEX_DIGITS = charSet([[0x30, 0x39], [0x41, 0x46], [0x61, 0x66]])

/** Unicode POSIX brackets within ASCII, which is all that an ASCII subject can tell. */
export const ASCII_POSIX: Readonly<Record<string, CharSet>> = {
  alnum: charSet([[0x30, 0x39], [0x41, 0x5a], [0x61, 0x7a]]),
  alpha: charSet([[0x41, 0x5a], [0x61, 0x7a]]),
  ascii: charSet([[0x00, 0x7f]]),
  blank: charSet([[0x09, 0x09], [0x20, 0x20]]),
  cntrl: charSet([[0x00, 0x1f], [0x7f, 0x7f]]),
  digit: charSet([[0x30, 0x39]]),
  graph: charSet([[0x21, 0x7e]]),
  lower: charSet([[0x61, 0x7a]]),
  print: charSet([[0x20, 0x7e]]),
  punct: charSet([[0x21, 0x2f], [0x3a, 0x40], [0x5b, 0x60], [0x7b, 0x7e]]),
  space: charSet([[0x09, 0x0d], [0x20, 0x20]]),
  upper: charSet([[0x41, 0x5a]]),
  word: charSet([[0x30, 0x39], [0x41, 0x5a], [0x5f, 0x5f], [0x61, 0x7a]]),
  xdigit: HEX_DIGITS
}

/**
 * What the text is for: a subject without line feeds, or a line inside a block of lines, which must not be left. In a
 * block without carriage returns the flag `m` does for `^` and `$`.
 */
export type PlainForm = 'line' | 'block' | 'block with carriage returns'

/** Options of a pattern or a group. */
export interface PlainOptions {
  readonly ignoreCase: boolean
  readonly dotAll: boolean
}

/** Writes plain nodes as JavaScript; ask `isPlain` first. */
export class PlainWriter {
  /** False once a repetition was too much for the linear engine. */
  isLinear = true
  /** True once letters beyond ASCII in a subject would need Unicode rules. */
  asciiOnly = false
  readonly #form: PlainForm
  #options: PlainOptions
  /** How often the linear engine copies what is written now. */
  #copies = 1

  constructor(form: PlainForm, options: PlainOptions) {
    this.#form = form
    this.#options = { ignoreCase: options.ignoreCase, dotAll: options.dotAll }
  }

  alternatives(nodes: readonly AlternativeNode[]): string {
    return nodes.map(node => this.elements(node.body)).join('|')
  }

  elements(nodes: readonly AlternativeElementNode[]): string {
    return nodes.map(node => this.#element(node)).join('')
  }

  #element(node: AlternativeElementNode): string {
    switch (node.type) {
      case 'Character':
      case 'CharacterSet':
      case 'CharacterClass':
        return this.#setText(this.#set(node))
      case 'Assertion':
        return this.#assertion(node.kind, node.negate === true)
      case 'Group':
        return `(?:${this.withFlags(node.flags, () => this.alternatives(node.body))})`
      case 'CapturingGroup':
        return `(${this.alternatives(node.body)})`
      case 'Quantifier':
        return this.#quantifier(node)
      default:
        throw new Error(`Cannot write ${node.type}: isPlain() must be asked first`)
    }
  }

  /** Runs `write` with the options that a group switches on and off. */
  withFlags(flags: GroupNode['flags'], write: () => string): string {
    const outer = this.#options
    this.#options = {
      ignoreCase: isOn(outer.ignoreCase, flags?.enable?.ignoreCase, flags?.disable?.ignoreCase),
      dotAll: isOn(outer.dotAll, flags?.enable?.dotAll, flags?.disable?.dotAll)
    }
    const text = write()
    this.#options = outer
    return text
  }

  #assertion(kind: string, isNegated: boolean): string {
    switch (kind) {
      case 'line_start':
      case 'string_start':
        return this.#form === 'block with carriage returns' ? '(?<![^\\n])' : '^'
      case 'word_boundary':
        this.asciiOnly = true
        return isNegated ? '\\B' : '\\b'
      default:
        return this.#form === 'block with carriage returns' ? '(?![^\\n])' : '$'
    }
  }

  #quantifier(node: QuantifierNode): string {
    const { body, min, max } = node
    const lazy = node.kind === 'lazy' ? '?' : ''
    const isSingle = isSingleCharacter(body)
    const copies = Math.max(min, max === Infinity ? 1 : max, 1)
    if (isSingle && copies > LINEAR_REPEAT_MAX && copies <= SPLIT_REPEAT_MAX) {
      if (this.#copies > 1) this.isLinear = false
      return splitRepeat(this.#element(body), min, max, lazy)
    }
    const outerCopies = this.#copies
    this.#copies *= copies
    if (this.#copies > LINEAR_REPEAT_MAX) this.isLinear = false
    const text = this.#element(body)
    this.#copies = outerCopies
    return `${body.type === 'Quantifier' ? `(?:${text})` : text}${repeatText(min, max)}${lazy}`
  }

  #setText(set: CharSet): string {
    return charSetText(this.#form === 'line' ? set : intersection(set, complement(LINE_FEED)))
  }

  #set(node: CharacterClassElementNode | CharacterSetNode): CharSet {
    switch (node.type) {
      case 'Character':
        return this.#folded(charSet([[node.value, node.value]]))
      case 'CharacterClassRange':
        return this.#folded(charSet([[node.min.value, node.max.value]]))
      case 'CharacterClass':
        return this.#class(node)
      default:
        return this.#characterSet(node)
    }
  }

  #class(node: CharacterClassNode): CharSet {
    const parts = node.body.map(element => this.#set(element))
    const set =
      node.kind === 'intersection'
        ? parts.reduce(intersection)
        : charSet(parts.flat())
    return node.negate ? complement(set) : set
  }

  #characterSet(node: CharacterSetNode): CharSet {
    if (node.kind === 'posix') {
      this.asciiOnly = true
      const set = this.#folded(ASCII_POSIX[node.value])
      return node.negate ? complement(set) : set
    }
    if (node.kind === 'hex') return node.negate === true ? complement(HEX_DIGITS) : HEX_DIGITS
    if (node.kind === 'any' || (node.kind === 'dot' && this.#options.dotAll)) return complement([])
    return complement(LINE_FEED)
  }

  #folded(set: CharSet): CharSet {
    if (!this.#options.ignoreCase) return set
    this.asciiOnly = true
    return foldAsciiCase(set)
  }
}

function isOn(outer: boolean, enable: true | undefined, disable: true | undefined): boolean {
  return (outer || enable === true) && disable !== true
}

/** True for nodes that always match one character. */
export function isSingleCharacter(node: AlternativeElementNode): boolean {
  return (
    node.type === 'Character' || node.type === 'CharacterSet' || node.type === 'CharacterClass'
  )
}

/** The shortest way to write how often something repeats. */
export function repeatText(min: number, max: number): string {
  if (max === Infinity) return min === 0 ? '*' : min === 1 ? '+' : `{${min},}`
  if (min === 0 && max === 1) return '?'
  return min === max ? `{${min}}` : `{${min},${max}}`
}

/** `x{20,40}` as `x{16}x{4}x{0,16}x{0,4}`: the same strings in the same order of preference. */
function splitRepeat(text: string, min: number, max: number, lazy: string): string {
  let written = ''
  for (let left = min; left > 0; left -= LINEAR_REPEAT_MAX) {
    written += text + repeatText(Math.min(left, LINEAR_REPEAT_MAX), Math.min(left, LINEAR_REPEAT_MAX))
  }
  if (max === Infinity) return `${written}${text}*${lazy}`
  for (let left = max - min; left > 0; left -= LINEAR_REPEAT_MAX) {
    written += `${text}{0,${Math.min(left, LINEAR_REPEAT_MAX)}}${lazy}`
  }
  return written
}
