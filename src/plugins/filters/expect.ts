/**
 * expect: checks that records have the keys and values that are expected.
 * Source: Fluent Bit 5.1.1 plugins/filter_expect/expect.c.
 *
 * The first rule that fails ends the check of a record. Rules are numbered in the order of the
 * configuration, and `action` counts as one. A map counts as a boolean, and an array as no value at
 * all. `key_val_eq` compares texts only: any other value passes.
 *
 * Differs: the core's line "[ra key] cannot process key value" for an array is left out.
 */
import { JsonWriter } from '../../codec/json_writer.ts'
import { readString, typeOf } from '../../codec/msgpack_reader.ts'
import { MsgpackWriter } from '../../codec/msgpack_writer.ts'
import { choice, many, text, words } from '../../config/options.ts'
import type { FilterContext } from '../../plugin/context.ts'
import { defineFilter, type Filter } from '../../plugin/define.ts'
import { type Constant, constant, type EventView } from '../../record/event_view.ts'
import { type Field, propertyField } from '../common/field.ts'

const OPTIONS = {
  key_exists: many(text({ doc: 'Key that must be there' })),
  key_not_exists: many(text({ doc: 'Key that must not be there' })),
  key_val_is_null: many(text({ doc: 'Key whose value must be null' })),
  key_val_is_not_null: many(text({ doc: 'Key whose value must not be null' })),
  key_val_eq: many(words(1, { doc: 'KEY VALUE: the text that a key must have' })),
  action: choice(['warn', 'exit', 'result_key'], {
    default: 'warn',
    doc: 'What to do when a rule fails: warn, exit or result_key'
  }),
  result_key: text({ default: 'matched', doc: 'Key of the result, for the action result_key' })
}

type Action = 'warn' | 'exit' | 'result_key'

export const expect = defineFilter({
  name: 'expect',
  summary: 'Check keys and values of records',
  upstream: 'plugins/filter_expect/expect.c',
  options: OPTIONS,
  create(values, context) {
    const rules = readRules(context)
    if (!context.properties.some(({ key }) => isRule(key) || key === 'action')) {
      context.log.warn('no rules has been defined')
    }
    return new Expect(rules, values.action, values.result_key, context)
  }
})

type RuleKey = Exclude<keyof typeof OPTIONS, 'action' | 'result_key'>

interface Rule {
  readonly key: RuleKey
  readonly number: number
  /** The property's text, for messages. */
  readonly text: string
  readonly field: Field
  /** Wanted by `key_val_eq`. */
  readonly value: string
}

class Expect implements Filter {
  readonly #rules: readonly Rule[]
  readonly #action: Action
  readonly #resultKey: Constant
  readonly #context: FilterContext
  readonly #json: JsonWriter
  readonly #body = new MsgpackWriter(1024)
  /** With `exit`, records of a batch after the first failure are not checked. */
  #hasExited = false

  constructor(rules: readonly Rule[], action: Action, resultKey: string, context: FilterContext) {
    this.#rules = rules
    this.#action = action
    this.#resultKey = constant(resultKey)
    this.#context = context
    this.#json = new JsonWriter(context.json)
  }

  begin(): void {
    this.#hasExited = false
  }

  filter(event: EventView): boolean {
    if (this.#hasExited) return true
    const reason = this.#check(event)
    if (reason !== undefined) this.#report(event, reason)
    if (this.#action === 'result_key') {
      event.append(this.#resultKey, reason === undefined ? TRUE : FALSE)
      event.move(event.size - 1, 0)
    }
    return true
  }

  /** Why the event is not as expected. */
  #check(event: EventView): string | undefined {
    for (let index = 0; index < this.#rules.length; index++) {
      const rule = this.#rules[index]
      const reason = check(rule, event)
      if (reason !== undefined) return `exception on rule #${rule.number} ${reason}`
    }
    return undefined
  }

  #report(event: EventView, reason: string): void {
    const { log } = this.#context
    log.error(`${reason}. Record content:\n${this.#jsonOf(event)}`)
    if (this.#action === 'warn') log.warn('expect check failed')
    if (this.#action !== 'exit') return
    this.#hasExited = true
    this.#context.stop(255)
  }

  #jsonOf(event: EventView): string {
    this.#body.length = 0
    event.encodeBody(this.#body)
    this.#json.clear()
    this.#json.value(this.#body.bytes, 0)
    return this.#json.written().toString()
  }
}

const TRUE = constant(true)
const FALSE = constant(false)

function isRule(key: string): key is RuleKey {
  return key !== 'action' && key !== 'result_key' && Object.hasOwn(OPTIONS, key)
}

function readRules(context: FilterContext): Rule[] {
  const rules: Rule[] = []
  const counts = new Map<string, number>()
  let number = 0
  for (const { key, text } of context.properties) {
    if (isRule(key)) {
      const index = counts.get(key) ?? 0
      counts.set(key, index + 1)
      const [name, value] = key === 'key_val_eq' ? splitPair(text) : [text, '']
      rules.push({ key, number, text, value, field: propertyField(context, key, name, index) })
    }
    if (isRule(key) || key === 'action') number++
  }
  return rules
}

/** The first word and all the rest; a lone word is both. */
function splitPair(text: string): [name: string, value: string] {
  const [, name = text, value = ''] = /^ *([^ ]+) *([^]*?) *$/.exec(text) ?? []
  return [name, value === '' ? name : value]
}

function check(rule: Rule, event: EventView): string | undefined {
  const type = typeFound(rule.field, event)
  switch (rule.key) {
    case 'key_exists':
      return type === undefined ? `'key_exists', key '${rule.text}' not found` : undefined
    case 'key_not_exists':
      return type === undefined ? undefined : `'key_not_exists', key '${rule.text}' exists`
    case 'key_val_is_null':
      return type === 'null' ? undefined : wrongType(rule, type)
    case 'key_val_is_not_null':
      return type === undefined || type === 'null' ? wrongType(rule, type) : undefined
    case 'key_val_eq':
      return type === undefined
        ? `'key_val_is_null', key '${rule.text}' not found`
        : checkText(rule, type)
  }
}

function wrongType({ key, text }: Rule, type: string | undefined): string {
  return type === undefined
    ? `'${key}', key '${text}' not found`
    : `'${key}', key '${text}' contains a value type '${type}'`
}

function checkText({ field, value }: Rule, type: string): string | undefined {
  if (type !== 'string') return undefined
  const found = readString(field.bytes, field.at)
  return found === value
    ? undefined
    : `'key_val_eq', key value '${found}' is different than expected: '${value}'`
}

/**
 * The type of the value as Fluent Bit calls it; undefined without one, and for what it has no type
 * for.
 */
function typeFound(field: Field, event: EventView): string | undefined {
  if (!field.find(event)) return undefined
  switch (typeOf(field.bytes[field.at])) {
    case 'boolean':
    case 'map':
      return 'boolean'
    case 'integer':
      return 'integer'
    case 'float':
      return 'float / double'
    case 'string':
      return 'string'
    case 'nil':
      return 'null'
    case 'binary':
      return 'UNKNOWN'
    default:
      return undefined
  }
}
