/**
 * Patterns for lines inside a block of lines that is one text, and where their groups stand.
 *
 * V8 tells the text of a capture but, at full speed, not its position. Reading the characters of a capture costs
 * more than matching (5 ns each: it is a view of the block), while copying bytes of the block costs a fifth of
 * that. So the pattern gets a capture for each stretch of unknown length between its groups, and the positions follow by
 * adding up lengths.
 */
import type {
  AlternativeElementNode,
  AlternativeNode,
  QuantifierNode
} from 'oniguruma-parser/parser'
import { isSingleCharacter, PlainWriter, repeatText } from './plain_writer.ts'
import type { PlainOptions } from './plain_writer.ts'

export interface BlockPattern {
  /** For blocks without carriage returns; with the flags `ym`. Cannot match a line feed or look beyond it. */
  readonly text: string
  /** For all other blocks; with the flag `y`. Uses lookahead, which the linear engine does not have. */
  readonly textWithCarriageReturns: string
  readonly plan: CapturePlan
}

/** How to find the positions of groups from the lengths of captures. */
export interface CapturePlan {
  /** The index of the capture of each named group, in the order of `groupNames`. */
  readonly captures: readonly number[]
  /**
   * Three numbers a step: what to do, its operand, and a capture without which the step does not count.
   * See `PLAN_STEP`.
   */
  readonly steps: readonly number[]
}

export const PLAN_STEP = {
  /** Go on by a fixed number of characters: the operand. */
  advance: 0,
  /** Go on by the length of the capture. */
  gap: 1,
  /** The group whose place in `captures` is the operand starts here. */
  start: 2,
  /** That group ends: go on after it. */
  end: 3
} as const

/**
 * Writes a plain pattern that starts at a line start.
 *
 * @param groups Numbers of the named groups, in the order of `groupNames`.
 * @returns Undefined when a group stands in a repetition, so that its position cannot be told.
 */
export function writeBlockPattern(
  body: readonly AlternativeNode[],
  options: PlainOptions,
  groups: readonly number[]
): BlockPattern | undefined {
  const writer = new BlockWriter(new PlainWriter('block', options), groups)
  const text = writer.write(body)
  if (text === undefined) return undefined
  const other = new BlockWriter(new PlainWriter('block with carriage returns', options), groups)
  const textWithCarriageReturns = other.write(body) ?? text
  const captures = groups.map(number => writer.captures.get(number) ?? 0)
  return { text, textWithCarriageReturns, plan: { captures, steps: writer.steps } }
}

class BlockWriter {
  /** Capture index by group number. */
  readonly captures = new Map<number, number>()
  readonly steps: number[] = []
  readonly #writer: PlainWriter
  readonly #groups: readonly number[]
  #count = 0
  #isPossible = true

  constructor(writer: PlainWriter, groups: readonly number[]) {
    this.#writer = writer
    this.#groups = groups
  }

  write(body: readonly AlternativeNode[]): string | undefined {
    const text = this.#alternatives(body, false)
    return this.#isPossible ? text : undefined
  }

  #alternatives(nodes: readonly AlternativeNode[], isOptional: boolean): string {
    return nodes
      .map(node => this.#sequence(node.body, isOptional || nodes.length > 1))
      .join('|')
  }

  /**
   * Writes a sequence. What is fixed in an optional one counts when a group of the sequence took part; without
   * such a group it gets a capture of its own.
   */
  #sequence(nodes: readonly AlternativeElementNode[], isOptional: boolean): string {
    let text = ''
    let gap: AlternativeElementNode[] = []
    let witness = isOptional ? -1 : 0
    for (const node of nodes) {
      if (!holdsGroup(node)) {
        gap.push(node)
        continue
      }
      const isWitness = node.type === 'CapturingGroup'
      text += this.#gap(gap, witness < 0 && isWitness ? this.#count + 1 : witness)
      gap = []
      if (isWitness && isOptional) witness = this.#count + 1
      text += this.#element(node, isOptional)
    }
    return text + this.#gap(gap, witness)
  }

  /** Writes what stands between groups; behind the last group nothing needs to be counted. */
  #gap(nodes: readonly AlternativeElementNode[], witness: number): string {
    const text = this.#writer.elements(nodes)
    const width = fixedWidth(nodes)
    if (this.captures.size === this.#groups.length || width === 0) return text
    if (width !== undefined && witness >= 0) {
      this.steps.push(PLAN_STEP.advance, width, witness)
      return text
    }
    this.#count++
    this.steps.push(PLAN_STEP.gap, 0, this.#count)
    return `(${text})`
  }

  #element(node: AlternativeElementNode, isOptional: boolean): string {
    if (node.type === 'CapturingGroup') return this.#group(node.number, node.body, isOptional)
    if (node.type === 'Group') {
      const write = (): string => this.#alternatives(node.body, isOptional)
      return `(?:${this.#writer.withFlags(node.flags, write)})`
    }
    if (node.type === 'Quantifier') return this.#quantifier(node)
    this.#isPossible = false
    return ''
  }

  #group(number: number, body: readonly AlternativeNode[], isOptional: boolean): string {
    const capture = ++this.#count
    const place = this.#groups.indexOf(number)
    this.captures.set(number, capture)
    this.steps.push(PLAN_STEP.start, place, capture)
    const text = body.some(alternative => alternative.body.some(holdsGroup))
      ? this.#alternatives(body, isOptional)
      : this.#writer.alternatives(body)
    this.steps.push(PLAN_STEP.end, place, capture)
    return `(${text})`
  }

  #quantifier(node: QuantifierNode): string {
    if (node.max > 1 || node.body.type === 'Quantifier') {
      this.#isPossible = false
      return ''
    }
    const text = this.#element(node.body, true)
    return `${text}${repeatText(node.min, node.max)}${node.kind === 'lazy' ? '?' : ''}`
  }
}

function holdsGroup(node: AlternativeElementNode): boolean {
  if (node.type === 'CapturingGroup') return true
  if (node.type === 'Quantifier') return holdsGroup(node.body)
  return node.type === 'Group' && node.body.some(alternative => alternative.body.some(holdsGroup))
}

/** Characters that nodes match, when it is always the same number. */
function fixedWidth(nodes: readonly AlternativeElementNode[]): number | undefined {
  let width = 0
  for (const node of nodes) {
    if (isSingleCharacter(node)) {
      width++
    } else if (node.type === 'Quantifier' && node.min === node.max && isSingleCharacter(node.body)) {
      width += node.min
    } else if (node.type !== 'Assertion') {
      return undefined
    }
  }
  return width
}
