/**
 * modify: changes the keys of records by rules, when all conditions hold.
 * Source: Fluent Bit 5.1.1 plugins/filter_modify/modify.c.
 *
 * Rules run in the order of the configuration, each on the result of the one before. Keys may be
 * strings or binary data, and repeated keys are all changed. A rule with three words is a rename of
 * the first to the third, whatever its name, because Fluent Bit leaves its kind at the first of the
 * list.
 *
 * Differs: a key shorter than a wildcard does not match it; Fluent Bit compares the bytes that
 * follow the key too. `hard_copy` of a key to itself does nothing, where Fluent Bit garbles the
 * record. Words of rules that use no regular expression need not be valid ones. Mistakes in the
 * patterns and keys of conditions are refused at start, where Fluent Bit crashes at the first
 * record; so are `$`, `$TAG` and `$0` for a key, which never exist there. A rule with three words
 * is warned of.
 *
 * @hot bench/pipelines.ts
 */
import { contentCount, headerSize, isString } from '../../codec/msgpack_reader.ts'
import type { ConfigError } from '../../config/diagnostics.ts'
import { many, text } from '../../config/options.ts'
import type { Matcher } from '../../parser/onigmo.ts'
import type { FilterContext } from '../../plugin/context.ts'
import { defineFilter, type Filter } from '../../plugin/define.ts'
import { constant, type EventView } from '../../record/event_view.ts'
import { KeyPattern } from '../../record/key_pattern.ts'
import { propertyField, propertyPattern } from '../common/field.ts'
import { splitQuoted } from '../common/split_quoted.ts'

const OPTIONS = {
  Set: many(text({ doc: 'KEY VALUE: set KEY to VALUE, at the end of the record' })),
  Add: many(text({ doc: 'KEY VALUE: add KEY when the record has none' })),
  Remove: many(text({ doc: 'KEY: remove it' })),
  Remove_wildcard: many(text({ doc: 'KEY: remove all keys that start with it' })),
  Remove_regex: many(text({ doc: 'REGEX: remove all keys that match' })),
  Move_To_Start: many(text({ doc: 'KEY: move keys that start with it to the start' })),
  Move_To_End: many(text({ doc: 'KEY: move keys that start with it to the end' })),
  Rename: many(text({ doc: 'KEY NEW: rename KEY when the record has no NEW' })),
  Hard_Rename: many(text({ doc: 'KEY NEW: rename KEY in place of any NEW' })),
  Copy: many(text({ doc: 'KEY NEW: copy KEY when the record has no NEW' })),
  Hard_copy: many(text({ doc: 'KEY NEW: copy KEY in place of any NEW' })),
  Condition: many(text({ doc: 'Kind and its words; the rules apply when all conditions hold' }))
}

export const modify = defineFilter({
  name: 'modify',
  summary: 'Change the keys of records by rules and conditions',
  upstream: 'plugins/filter_modify/modify.c',
  options: OPTIONS,
  create(_values, context) {
    const rules: Rule[] = []
    const conditions: Condition[] = []
    for (const property of ownProperties(context)) {
      if (property.key === 'Condition') conditions.push(readCondition(property))
      else rules.push(readRule(property))
    }
    return new Modify(conditions, rules)
  }
})

type Rule = (event: EventView) => void
type Condition = (event: EventView) => boolean

/** A property that is being read. */
interface Property {
  readonly key: keyof typeof OPTIONS
  readonly text: string
  readonly words: readonly string[]
  /** How many of the same key stand before it. */
  readonly index: number
  readonly context: FilterContext
}

class Modify implements Filter {
  readonly #conditions: readonly Condition[]
  readonly #rules: readonly Rule[]

  constructor(conditions: readonly Condition[], rules: readonly Rule[]) {
    this.#conditions = conditions
    this.#rules = rules
  }

  filter(event: EventView): boolean {
    if (!event.bodyIsMap) return true
    const conditions = this.#conditions
    for (let index = 0; index < conditions.length; index++) {
      if (!conditions[index](event)) return true
    }
    const rules = this.#rules
    for (let index = 0; index < rules.length; index++) rules[index](event)
    return true
  }
}

/** Longest list of words: a kind and two more for conditions. */
const WORDS_MAX = 3

function ownProperties(context: FilterContext): Property[] {
  const counts = new Map<string, number>()
  const found: Property[] = []
  for (const { key, text } of context.properties) {
    if (!isOwn(key)) continue
    const index = counts.get(key) ?? 0
    counts.set(key, index + 1)
    const words = splitQuoted(text, WORDS_MAX)
    if (words === undefined || words.length === 0 || words.length > WORDS_MAX) {
      const wanted = `1 to ${WORDS_MAX} words, in quotes where they hold spaces`
      throw context.invalid(key, `value must have ${wanted}: current value is "${text}"`, index)
    }
    found.push({ key, text, words, index, context })
  }
  return found
}

function isOwn(key: string): key is keyof typeof OPTIONS {
  return Object.hasOwn(OPTIONS, key)
}

function mistake(property: Property, wanted: string): ConfigError {
  const { key, text, index, context } = property
  return context.invalid(key, `value must ${wanted}: current value is "${text}"`, index)
}

function readRule(property: Property): Rule {
  const { key, words, context } = property
  const [first] = words
  if (words.length === WORDS_MAX) {
    context.log.warn(
      `Rule "${key} ${property.text}" has three words and works as "Rename ${first} ${words[2]}"`
    )
    return rename(first, words[2])
  }
  if (words.length === 1) return ruleOfKey(property, first)
  return ruleOfPair(property, first, words[1])
}

function ruleOfKey(property: Property, name: string): Rule {
  switch (property.key) {
    case 'Remove':
      return removeKeys(new KeyPattern(name))
    case 'Remove_wildcard':
      return removeKeys(new KeyPattern(name, { prefix: true }))
    case 'Remove_regex':
      return removeRegex(readPattern(property, name))
    case 'Move_To_Start':
      return moveToStart(new KeyPattern(name, { prefix: true }))
    case 'Move_To_End':
      return moveToEnd(new KeyPattern(name, { prefix: true }))
    default:
      throw mistake(property, 'have two words')
  }
}

function ruleOfPair(property: Property, first: string, second: string): Rule {
  switch (property.key) {
    case 'Set':
      return set(first, second)
    case 'Add':
      return add(first, second)
    case 'Rename':
      return rename(first, second)
    case 'Hard_Rename':
      return hardRename(first, second)
    case 'Copy':
      return copy(first, second)
    case 'Hard_copy':
      return hardCopy(first, second, property.context)
    default:
      throw mistake(property, 'have one word')
  }
}

/** An empty pattern matches everything, which nobody wants; Fluent Bit refuses it too. */
function readPattern(property: Property, pattern: string | undefined): Matcher {
  if (pattern === undefined || pattern === '') {
    throw mistake(property, 'hold a regular expression that is not empty')
  }
  return propertyPattern(property.context, property.key, pattern, property.index)
}

function set(name: string, value: string): Rule {
  const pattern = new KeyPattern(name)
  const key = constant(name)
  const content = constant(value)
  return event => {
    event.removeMatching(pattern)
    event.append(key, content)
  }
}

function add(name: string, value: string): Rule {
  const pattern = new KeyPattern(name)
  const key = constant(name)
  const content = constant(value)
  return event => {
    if (event.findMatching(pattern) < 0) event.append(key, content)
  }
}

function removeKeys(pattern: KeyPattern): Rule {
  return event => event.removeMatching(pattern)
}

function removeRegex(matcher: Matcher): Rule {
  return event => {
    for (let index = event.size - 1; index >= 0; index--) {
      if (testText(matcher, event.keyBuffer(index), event.keyAt(index))) event.remove(index)
    }
  }
}

function moveToStart(pattern: KeyPattern): Rule {
  return event => {
    let to = 0
    for (let index = 0; index < event.size; index++) {
      if (event.keyMatches(index, pattern)) event.move(index, to++)
    }
  }
}

function moveToEnd(pattern: KeyPattern): Rule {
  return event => {
    let index = 0
    for (let left = event.size; left > 0; left--) {
      if (event.keyMatches(index, pattern)) event.move(index, event.size - 1)
      else index++
    }
  }
}

function rename(from: string, to: string): Rule {
  const source = new KeyPattern(from)
  const target = new KeyPattern(to)
  const key = constant(to)
  return event => {
    let index = event.findMatching(source)
    if (index < 0 || event.findMatching(target) >= 0) return
    for (; index >= 0; index = event.findMatching(source, index + 1)) event.rename(index, key)
  }
}

function hardRename(from: string, to: string): Rule {
  const source = new KeyPattern(from)
  const target = new KeyPattern(to)
  const key = constant(to)
  return event => {
    if (event.findMatching(source) < 0) return
    event.removeMatching(target)
    let index = event.findMatching(source)
    for (; index >= 0; index = event.findMatching(source, index + 1)) event.rename(index, key)
  }
}

function copy(from: string, to: string): Rule {
  const source = new KeyPattern(from)
  const target = new KeyPattern(to)
  const key = constant(to)
  return event => {
    const index = event.findMatching(source)
    if (index < 0 || event.findMatching(source, index + 1) >= 0) return
    if (event.findMatching(target) < 0) event.copyTo(index, index + 1, key)
  }
}

function hardCopy(from: string, to: string, context: FilterContext): Rule {
  const source = new KeyPattern(from)
  const target = new KeyPattern(to)
  const key = constant(to)
  const rule = `Rule HARD_COPY ${from} TO ${to}`
  return event => {
    const index = event.findMatching(source)
    if (index < 0) return
    if (event.findMatching(source, index + 1) >= 0) {
      context.log.warn(`${rule} : Multiple keys matching ${from} found, not applying rule`)
      return
    }
    const old = event.findMatching(target)
    if (old >= 0 && event.findMatching(target, old + 1) >= 0) {
      context.log.warn(`${rule} : Multiple target keys matching ${to} found, not applying rule`)
      return
    }
    event.copyTo(index, index + 1, key)
    // When both names are the same, this takes the copy away again.
    if (old >= 0) event.remove(old < index ? old : old + 1)
  }
}

/** A condition without a further word takes its own name for the key, as in Fluent Bit. */
function readCondition(property: Property): Condition {
  const [kind, name = kind, value] = property.words
  switch (kind.toLowerCase()) {
    case 'key_exists':
      return keyExists(property, name)
    case 'key_does_not_exist':
      return not(keyExists(property, name))
    case 'a_key_matches':
      return someKeyMatches(readPattern(property, name))
    case 'no_key_matches':
      return not(someKeyMatches(readPattern(property, name)))
    case 'key_value_equals':
      return valueEquals(property, name, value ?? '', true)
    case 'key_value_does_not_equal':
      return valueEquals(property, name, value ?? '', false)
    case 'key_value_matches':
      return valueMatches(property, name, readPattern(property, value), true)
    case 'key_value_does_not_match':
      return valueMatches(property, name, readPattern(property, value), false)
    case 'matching_keys_have_matching_values':
      return matchingKeysMatch(readPattern(property, name), readPattern(property, value))
    case 'matching_keys_do_not_have_matching_values':
      return not(matchingKeysMatch(readPattern(property, name), readPattern(property, value)))
    default:
      throw mistake(property, `start with one of ${CONDITIONS.join(', ')}`)
  }
}

const CONDITIONS = [
  'Key_exists',
  'Key_does_not_exist',
  'A_key_matches',
  'No_key_matches',
  'Key_value_equals',
  'Key_value_does_not_equal',
  'Key_value_matches',
  'Key_value_does_not_match',
  'Matching_keys_have_matching_values',
  'Matching_keys_do_not_have_matching_values'
]

function not(condition: Condition): Condition {
  return event => !condition(event)
}

function keyExists({ context, key, index }: Property, name: string): Condition {
  const field = propertyField(context, key, name, index)
  return event => field.findPair(event)
}

/** Only strings and binary data are ever equal; without the key neither form holds. */
function valueEquals(
  { context, key, index }: Property,
  name: string,
  value: string,
  wanted: boolean
): Condition {
  const field = propertyField(context, key, name, index)
  const pattern = new KeyPattern(value)
  return event => field.findPair(event) && pattern.matches(field.bytes, field.at) === wanted
}

function valueMatches(
  { context, key, index }: Property,
  name: string,
  matcher: Matcher,
  wanted: boolean
): Condition {
  const field = propertyField(context, key, name, index)
  return event => field.findPair(event) && testText(matcher, field.bytes, field.at) === wanted
}

function someKeyMatches(matcher: Matcher): Condition {
  return event => {
    for (let index = 0; index < event.size; index++) {
      if (testText(matcher, event.keyBuffer(index), event.keyAt(index))) return true
    }
    return false
  }
}

function matchingKeysMatch(keys: Matcher, values: Matcher): Condition {
  return event => {
    for (let index = 0; index < event.size; index++) {
      if (!testText(keys, event.keyBuffer(index), event.keyAt(index))) continue
      if (!testText(values, event.valueBuffer(index), event.valueAt(index))) return false
    }
    return true
  }
}

/** Strings are tested, and booleans as `true` and `false`; other types never match. */
function testText(matcher: Matcher, bytes: Buffer, at: number): boolean {
  const byte = bytes[at]
  if (isString(byte)) {
    const start = at + headerSize(byte)
    return matcher.testBytes(bytes, start, start + contentCount(bytes, at))
  }
  return (byte === 0xc3 && matcher.test('true')) || (byte === 0xc2 && matcher.test('false'))
}
