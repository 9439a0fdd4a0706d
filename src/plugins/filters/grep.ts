/**
 * grep: keeps or drops records by regular expressions on their values.
 * Source: Fluent Bit 5.1.1 plugins/filter_grep/grep.c.
 *
 * Only strings match: a number, a boolean and a missing key never do. With `logical_op legacy` the
 * rules are tried in order: a `regex` rule keeps or drops at once, so that no rule after it counts,
 * and an `exclude` rule that matches drops.
 *
 * Differs: `AND` or `OR` without rules keeps every record, where Fluent Bit crashes; a key such as
 * `$TAG` or `$0`, which never matches there, is a mistake.
 *
 * @hot bench/pipelines.ts
 */
import { many, text, type Values } from '../../config/options.ts'
import type { Matcher } from '../../parser/onigmo.ts'
import type { FilterContext } from '../../plugin/context.ts'
import { defineFilter, type Filter } from '../../plugin/define.ts'
import type { EventView } from '../../record/event_view.ts'
import { type Field, propertyField, propertyPattern } from '../common/field.ts'

const OPTIONS = {
  regex: many(text({ doc: 'KEY REGEX: keep records whose KEY matches' })),
  exclude: many(text({ doc: 'KEY REGEX: drop records whose KEY matches' })),
  logical_op: text({ default: 'legacy', doc: 'legacy, AND or OR: how several rules go together' })
}

export const grep = defineFilter({
  name: 'grep',
  summary: 'Keep or drop records by regular expressions',
  upstream: 'plugins/filter_grep/grep.c',
  options: OPTIONS,
  create(values, context) {
    const operation = readOperation(values, context)
    const rules = readRules(context)
    if (operation === 'legacy') return new OrderedGrep(rules)
    const { regex, exclude } = values
    if (regex.length > 0 && exclude.length > 0) {
      throw context.invalid('exclude', `with logical_op "${operation}" it excludes "regex"`)
    }
    return new LogicalGrep(rules, operation === 'AND')
  }
})

type Operation = 'legacy' | 'AND' | 'OR'

interface Rule {
  readonly excludes: boolean
  readonly field: Field
  readonly pattern: Matcher
}

/** Rules one after the other: the first that decides. */
class OrderedGrep implements Filter {
  readonly #rules: readonly Rule[]

  constructor(rules: readonly Rule[]) {
    this.#rules = rules
  }

  filter(event: EventView): boolean {
    const rules = this.#rules
    for (let index = 0; index < rules.length; index++) {
      const { excludes, field, pattern } = rules[index]
      const matches = field.matches(event, pattern)
      if (!excludes) return matches
      if (matches) return false
    }
    return true
  }
}

/** Rules of one kind: all must match, or one. */
class LogicalGrep implements Filter {
  readonly #rules: readonly Rule[]
  readonly #needsAll: boolean
  readonly #excludes: boolean

  constructor(rules: readonly Rule[], needsAll: boolean) {
    this.#rules = rules
    this.#needsAll = needsAll
    this.#excludes = rules[0]?.excludes ?? true
  }

  filter(event: EventView): boolean {
    return this.#rules.length === 0 || this.#isFound(event) !== this.#excludes
  }

  #isFound(event: EventView): boolean {
    const rules = this.#rules
    const needsAll = this.#needsAll
    for (let index = 0; index < rules.length; index++) {
      const { field, pattern } = rules[index]
      if (field.matches(event, pattern) !== needsAll) return !needsAll
    }
    return needsAll
  }
}

/** Any word but AND and OR is `legacy`, as in Fluent Bit. */
function readOperation(values: Values<typeof OPTIONS>, context: FilterContext): Operation {
  const word = values.logical_op.toUpperCase()
  const isWritten = context.properties.some(({ key }) => key === 'logical_op')
  const operation = word === 'AND' || word === 'OR' ? word : 'legacy'
  if (isWritten && word === operation.toUpperCase()) context.log.info(`${operation} mode`)
  return operation
}

/** The rules of both keys in the order of the configuration. */
function readRules(context: FilterContext): Rule[] {
  const counts = { regex: 0, exclude: 0 }
  const rules: Rule[] = []
  for (const { key, text: rule } of context.properties) {
    if (key === 'regex' || key === 'exclude') {
      rules.push(readRule(key, rule, counts[key]++, context))
    }
  }
  return rules
}

/** The key is the first word; all that follows the space behind it is the pattern. */
function readRule(
  key: 'regex' | 'exclude',
  rule: string,
  index: number,
  context: FilterContext
): Rule {
  const [, name, pattern] = /^ *([^ ]+) ([^]+)$/.exec(rule) ?? []
  if (name === undefined) {
    const message = `value must be a key and a regular expression: current value is "${rule}"`
    throw context.invalid(key, message, index)
  }
  return {
    excludes: key === 'exclude',
    field: propertyField(context, key, name.startsWith('$') ? name : `$${name}`, index),
    pattern: propertyPattern(context, key, pattern, index)
  }
}
