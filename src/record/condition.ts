/**
 * Conditions on records: `condition` of processors and routes.
 *
 * A rule renders its field to text as the record accessor does (1.5 is `1.500000`, a missing field the empty string)
 * and compares that text; gt, lt, gte and lte compare the number at its start, 0 when there is none. A field without
 * `$` is literal text. An array never meets a rule.
 *
 * Source: Fluent Bit 5.1.1 src/flb_conditionals.c, flb_router_condition.c, flb_cfl_record_accessor.c; reference 2.7, 2.8.
 * Differs: processors may use the contexts that Fluent Bit only has for routes; a map renders as JSON with escapes;
 * gt, lt, gte and lte of a processor compare numbers whether the rule's value is an integer, a fraction or in quotes,
 * where Fluent Bit reads the bytes of integers and quoted values as if they were a double (`gt 3` acts as `gt 0`).
 *
 * @hot bench/pipelines.ts
 */
import { isArray, readString, typeOf } from '../codec/msgpack_reader.ts'
import { MsgpackWriter } from '../codec/msgpack_writer.ts'
import { type Accessor, compileTemplate, findKey, type Template, valueText } from './accessor.ts'
import { eventBodyAt, eventMetadataAt } from './event.ts'
import type { EventView } from './event_view.ts'

/** Where a rule looks for its field. */
export type RuleContext =
  | 'metadata'
  | 'body'
  | 'group_metadata'
  | 'group_attributes'
  | 'otel_resource_attributes'
  | 'otel_scope_attributes'
  | 'otel_scope_metadata'

/** One entry of `rules`, as written. */
export interface RuleSpec {
  readonly field: string
  /** eq, neq, gt, lt, gte, lte, regex, not_regex, in or not_in, in any case. */
  readonly op: string
  /**
   * A number is what the user wrote without quotes in a processor: eq, neq and the regex rules want text, and never find a
   * number equal. Routes turn every scalar into text before.
   */
  readonly value: string | number | boolean | readonly (string | number | boolean)[]
  readonly context: RuleContext
}

export interface ConditionSpec {
  readonly op: 'and' | 'or'
  readonly rules: readonly RuleSpec[]
  /** Where the condition stands in the configuration. */
  readonly at: { readonly file: string; readonly line: number; readonly column: number }
}

/** The group that an event belongs to: where the mark that started it lies. */
export interface EventGroup {
  readonly bytes: Buffer
  readonly markAt: number
}

/** What a regex rule needs of the parser layer. */
export interface PatternTest {
  test(text: string): boolean
}

/** Compiles a pattern; a bad one is a reason, or a thrown error whose message is one. */
export type CompilePattern = (pattern: string) => PatternTest | { readonly error: string }

export type CompiledCondition =
  | { readonly ok: true; readonly matches: (event: EventView, group?: EventGroup) => boolean }
  | { readonly ok: false; readonly error: string }

/** Says of a field's text whether it meets the rule. */
type TextTest = (text: string) => boolean

const CONTEXTS: ReadonlyMap<string, RuleContext> = new Map<string, RuleContext>([
  ['metadata', 'metadata'],
  ['record_metadata', 'metadata'],
  ['attributes', 'metadata'],
  ['body', 'body'],
  ['record', 'body'],
  ['message', 'body'],
  ['record_body', 'body'],
  ['group_metadata', 'group_metadata'],
  ['group_attributes', 'group_attributes'],
  ['group_body', 'group_attributes'],
  ['otel_resource_attributes', 'otel_resource_attributes'],
  ['otel_scope_attributes', 'otel_scope_attributes'],
  ['otel_scope_name', 'otel_scope_metadata'],
  ['otel_scope_version', 'otel_scope_metadata'],
  ['otel_scope_metadata', 'otel_scope_metadata']
])

const RESOURCE = Buffer.from('resource')
const SCOPE = Buffer.from('scope')
const ATTRIBUTES = Buffer.from('attributes')

/** The context that a word names, in any case; undefined when it names none. */
export function ruleContextOf(word: string): RuleContext | undefined {
  return CONTEXTS.get(word.toLowerCase())
}

/** Compiles a condition. `and` without rules holds for every event, `or` for none. */
export function compileCondition(
  spec: ConditionSpec,
  compilePattern: CompilePattern
): CompiledCondition {
  const rules: Rule[] = []
  for (const rule of spec.rules) {
    const field = compileTemplate(rule.field)
    if ('error' in field) return { ok: false, error: field.error }
    const test = compileTest(rule, compilePattern)
    if (typeof test !== 'function') return { ok: false, error: test.error }
    rules.push(new Rule(field, test, rule.context))
  }
  return { ok: true, matches: spec.op === 'and' ? allOf(rules) : anyOf(rules) }
}

function allOf(rules: readonly Rule[]): (event: EventView, group?: EventGroup) => boolean {
  return (event, group) => {
    for (const rule of rules) if (!rule.matches(event, group)) return false
    return true
  }
}

function anyOf(rules: readonly Rule[]): (event: EventView, group?: EventGroup) => boolean {
  return (event, group) => {
    for (const rule of rules) if (rule.matches(event, group)) return true
    return false
  }
}

class Rule {
  readonly #field: Template
  readonly #key: Accessor | undefined
  readonly #test: TextTest
  readonly #context: RuleContext
  /** Metadata of the event under test. */
  readonly #metadata = new MsgpackWriter(64)

  constructor(field: Template, test: TextTest, context: RuleContext) {
    this.#field = field
    this.#key = field.singleKey
    this.#test = test
    this.#context = context
  }

  matches(event: EventView, group: EventGroup | undefined): boolean {
    if (this.#context === 'body') return event.bodyIsMap && this.#matchesBody(event)
    if (this.#context === 'metadata') {
      this.#metadata.length = 0
      this.#metadata.value(event.metadata())
      return this.#matchesMap(this.#metadata.bytes, 0)
    }
    if (group === undefined) return false
    const mapAt = groupMapAt(group, this.#context)
    return mapAt >= 0 && this.#matchesMap(group.bytes, mapAt)
  }

  #matchesBody(event: EventView): boolean {
    const key = this.#key
    if (key === undefined) return this.#test(this.#field.renderView(event, ''))
    const index = key.findEntry(event)
    if (index < 0) return this.#test('')
    const source = event.valueBuffer(index)
    return this.#matchesValue(source, key.findNested(source, event.valueAt(index)))
  }

  #matchesMap(source: Buffer, mapAt: number): boolean {
    const key = this.#key
    if (key === undefined) return this.#test(this.#field.render(source, mapAt, ''))
    return this.#matchesValue(source, key.find(source, mapAt))
  }

  #matchesValue(source: Buffer, at: number): boolean {
    if (at < 0) return this.#test('')
    if (isArray(source[at])) return false
    const isBinary = typeOf(source[at]) === 'binary'
    return this.#test(isBinary ? readString(source, at) : (valueText(source, at) ?? ''))
  }
}

/** Position of the map that a context means in the group's mark, or -1. */
function groupMapAt(group: EventGroup, context: RuleContext): number {
  const { bytes, markAt } = group
  if (context === 'group_metadata') return eventMetadataAt(markAt)
  const attributesAt = eventBodyAt(bytes, markAt)
  if (context === 'group_attributes') return attributesAt
  if (context === 'otel_scope_metadata') return findKey(bytes, attributesAt, SCOPE)
  const owner = context === 'otel_resource_attributes' ? RESOURCE : SCOPE
  const ownerAt = findKey(bytes, attributesAt, owner)
  return ownerAt < 0 ? -1 : findKey(bytes, ownerAt, ATTRIBUTES)
}

function compileTest(
  rule: RuleSpec,
  compilePattern: CompilePattern
): TextTest | { readonly error: string } {
  switch (rule.op.toLowerCase()) {
    case 'eq':
      return equalTest(rule, true)
    case 'neq':
      return equalTest(rule, false)
    case 'gt':
      return numberTest(rule, (left, right) => left > right)
    case 'lt':
      return numberTest(rule, (left, right) => left < right)
    case 'gte':
      return numberTest(rule, (left, right) => left >= right)
    case 'lte':
      return numberTest(rule, (left, right) => left <= right)
    case 'regex':
      return patternTest(rule, compilePattern, true)
    case 'not_regex':
      return patternTest(rule, compilePattern, false)
    case 'in':
      return listTest(rule, true)
    case 'not_in':
      return listTest(rule, false)
    default:
      return {
        error: `Cannot use rule operator "${rule.op}": known are eq, neq, gt, lt, gte, lte, regex, not_regex, in, not_in`
      }
  }
}

function equalTest(
  { op, value }: RuleSpec,
  wanted: boolean
): TextTest | { readonly error: string } {
  if (typeof value === 'string' && value !== '') return text => (text === value) === wanted
  if (Number.isInteger(value)) return () => !wanted
  return badValue(op, value, 'text that is not empty')
}

function numberTest(
  { op, value }: RuleSpec,
  compare: (left: number, right: number) => boolean
): TextTest | { readonly error: string } {
  const limit = typeof value === 'string' && value.trim() !== '' ? Number(value) : value
  if (typeof limit !== 'number' || Number.isNaN(limit)) return badValue(op, value, 'a number')
  return text => compare(leadingNumber(text), limit)
}

function patternTest(
  { op, value }: RuleSpec,
  compilePattern: CompilePattern,
  wanted: boolean
): TextTest | { readonly error: string } {
  if (Number.isInteger(value)) return () => !wanted
  if (typeof value !== 'string' || value === '') return badValue(op, value, 'a regular expression')
  try {
    const pattern = compilePattern(value)
    return 'error' in pattern ? pattern : text => pattern.test(text) === wanted
  } catch (cause) {
    return { error: (cause as Error).message }
  }
}

function listTest({ op, value }: RuleSpec, wanted: boolean): TextTest | { readonly error: string } {
  const isList =
    Array.isArray(value) && value.length > 0 && value.every(item => typeof item === 'string')
  if (!isList) return badValue(op, value, 'a list of texts in quotes')
  const texts = new Set<string>(value)
  return text => texts.has(text) === wanted
}

function badValue(
  op: string,
  value: RuleSpec['value'],
  wanted: string
): { readonly error: string } {
  return {
    error: `Cannot use value ${JSON.stringify(value)} with rule operator "${op}": it must be ${wanted}`
  }
}

/** The number at the start of a text, as C's atof reads it; 0 when there is none. */
function leadingNumber(text: string): number {
  const number = Number.parseFloat(text)
  if (!Number.isNaN(number)) return number
  const word = /^\s*([+-]?)(nan|inf)/i.exec(text)
  if (word === null) return 0
  if (word[2].toLowerCase() === 'nan') return Number.NaN
  return word[1] === '-' ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY
}
