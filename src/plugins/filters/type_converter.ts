/**
 * type_converter: converts values and appends them under another key, or under the same one.
 * Source: Fluent Bit 5.1.1 plugins/filter_type_converter/type_converter.c, src/flb_typecast.c.
 *
 * Each rule names the type that the value has and the type that it gets; a type may be cut short
 * (`s`, `str`). Rules see the record as it came. A value that cannot be converted is appended as it
 * is. Text becomes a number as C reads it, and 0 counts as a failure except for floats; numbers
 * wrap to 64 bits as x86-64 does.
 *
 * Differs: an unknown type is refused, where Fluent Bit crashes. Fluent Bit forgets what it
 * appended when no record of a batch could be converted.
 */
import type { Logger } from '../../base/log.ts'
import {
  contentCount,
  headerSize,
  isString,
  readInteger,
  readNumber,
  skip,
  typeOf
} from '../../codec/msgpack_reader.ts'
import type { MsgpackWriter } from '../../codec/msgpack_writer.ts'
import { formatF, formatG16 } from '../../codec/number_text.ts'
import { many, type Values, words } from '../../config/options.ts'
import { parseDouble } from '../../config/units.ts'
import { encodedKey } from '../../parser/record_key.ts'
import type { FilterContext } from '../../plugin/context.ts'
import { defineFilter, type Filter } from '../../plugin/define.ts'
import type { EventView } from '../../record/event_view.ts'
import { type Field, propertyField } from '../common/field.ts'

const OPTIONS = {
  int_key: many(words(3, { doc: 'KEY NEW_KEY TYPE: convert a signed integer' })),
  uint_key: many(words(3, { doc: 'KEY NEW_KEY TYPE: convert an unsigned integer' })),
  float_key: many(words(3, { doc: 'KEY NEW_KEY TYPE: convert a float' })),
  str_key: many(words(3, { doc: 'KEY NEW_KEY TYPE: convert a text' }))
}

export const typeConverter = defineFilter({
  name: 'type_converter',
  summary: 'Convert values to other types',
  upstream: 'plugins/filter_type_converter/type_converter.c',
  options: OPTIONS,
  create(values, context) {
    const rules = SOURCES.flatMap(([key, from]) => readRules(key, from, values, context))
    if (rules.length > 0) return new TypeConverter(rules, context)
    const message = 'no rule is given: one of str_key, int_key, uint_key and float_key is needed'
    throw context.invalid('str_key', message)
  }
})

/** Writes a converted value and returns undefined; or writes nothing and returns why. */
type Convert = (bytes: Buffer, at: number, out: MsgpackWriter) => string | undefined

type Whole = 'int' | 'uint'
const TARGETS = ['int', 'uint', 'float', 'hex', 'string', 'bool'] as const
type Target = (typeof TARGETS)[number]

/** Rules run in this order, whatever that of the configuration. */
const SOURCES = [
  ['str_key', 'string'],
  ['int_key', 'int'],
  ['uint_key', 'uint'],
  ['float_key', 'float']
] as const

interface Rule {
  /** As written, for messages. */
  readonly name: string
  readonly field: Field
  readonly newKey: Buffer
  readonly convert: Convert
}

class TypeConverter implements Filter {
  readonly #rules: readonly Rule[]
  readonly #log: Logger
  /** Reasons come from the core and have no plugin's name in Fluent Bit. */
  readonly #coreLog: Logger

  constructor(rules: readonly Rule[], context: FilterContext) {
    this.#rules = rules
    this.#log = context.log
    this.#coreLog = context.log.child('')
  }

  filter(event: EventView): boolean {
    const { scratch } = event
    const start = scratch.length
    const map = scratch.beginMap()
    let count = 0
    for (let index = 0; index < this.#rules.length; index++) {
      const rule = this.#rules[index]
      if (!rule.field.findPair(event)) continue
      scratch.raw(rule.newKey, 0, rule.newKey.length)
      this.#convert(rule, scratch)
      count++
    }
    if (count === 0) return true
    scratch.endMap(map, count)
    event.appendScratchMap(start)
    return true
  }

  /** Writes the converted value of the rule's field, or the value as it is. */
  #convert({ name, field, convert }: Rule, out: MsgpackWriter): void {
    const { bytes, at } = field
    const reason = convert(bytes, at, out)
    if (reason === undefined) return
    this.#coreLog.error(reason)
    this.#log.error(`failed to convert. key=${name}`)
    out.raw(bytes, at, skip(bytes, at))
  }
}

function readRules(
  key: keyof typeof OPTIONS,
  from: 'string' | 'float' | Whole,
  values: Values<typeof OPTIONS>,
  context: FilterContext
): Rule[] {
  return values[key].flatMap((words, index) => {
    if (words.length !== 3) {
      const found = words.length
      context.log.error(`invalid record parameters, expects 'from_key to_key type' ${found}`)
      return []
    }
    const [name, newKey, typeName] = words
    const target = TARGETS.find(type => type.startsWith(typeName.toLowerCase()))
    if (target === undefined) {
      const wanted = `one of ${TARGETS.join(', ')}`
      throw context.invalid(
        key,
        `the type must be ${wanted}: current value is "${typeName}"`,
        index
      )
    }
    const field = propertyField(context, key, name, index)
    return [{ name, field, newKey: encodedKey(newKey), convert: converter(from, target) }]
  })
}

function converter(from: 'string' | 'float' | Whole, to: Target): Convert {
  if (from === 'string') return fromText(to)
  return from === 'float' ? fromFloat(to) : fromInteger(from, to)
}

function fromText(to: Target): Convert {
  return (bytes, at, out) => {
    if (!isString(bytes[at])) return 'flb_typecast_value_conv: src type is not str'
    if (to === 'string') return 'flb_typecast_conv_str: str to str. nothing to do.'
    const text = cText(bytes, at)
    return writeText(text, to, out)
      ? undefined
      : `flb_typecast_conv_str: convert error. input=${text}`
  }
}

function fromInteger(from: Whole, to: Target): Convert {
  return (bytes, at, out) => {
    const read = readInteger(bytes, at)
    if (read === undefined) return `flb_typecast_value_conv: src type is not ${from}`
    const value = wrap(read, from)
    if (to === 'string') out.latin1String(String(value))
    else if (to === 'float') out.double(Number(value))
    else if (to !== from && (to === 'int' || to === 'uint')) writeWhole(wrap(value, to), out)
    else return `flb_typecast_conv_${from}: type ${to} is not supported`
    return undefined
  }
}

function fromFloat(to: Target): Convert {
  return (bytes, at, out) => {
    if (typeOf(bytes[at]) !== 'float') return 'flb_typecast_value_conv: src type is not float'
    const value = readNumber(bytes, at)
    if (to === 'string') out.latin1String(floatText(value))
    else if (to === 'int') writeWhole(signedOf(value), out)
    else if (to === 'uint') writeWhole(unsignedOf(value), out)
    else return `flb_typecast_conv_float: type ${to} is not supported`
    return undefined
  }
}

/** The text up to its first NUL, each byte one character. */
function cText(bytes: Buffer, at: number): string {
  const start = at + headerSize(bytes[at])
  const text = bytes.latin1Slice(start, start + contentCount(bytes, at))
  const end = text.indexOf('\0')
  return end < 0 ? text : text.slice(0, end)
}

const DECIMAL = /^[ \t\n\v\f\r]*([+-]?)(\d+)/
const HEXADECIMAL = /^[ \t\n\v\f\r]*([+-]?)(?:0x(?=[\da-f]))?([\da-f]+)/i

const INT64_MAX = 2n ** 63n - 1n
const UINT64_MAX = 2n ** 64n - 1n

/** Writes what the text says; false, and nothing, when that is no boolean, no number or 0. */
function writeText(text: string, to: Exclude<Target, 'string'>, out: MsgpackWriter): boolean {
  switch (to) {
    case 'float':
      out.double(parseDouble(text).value)
      return true
    case 'bool':
      return writeBoolean(text.toLowerCase(), out)
    case 'int':
      return writeNonZero(signedText(text), out)
    case 'uint':
      return writeNonZero(unsignedText(DECIMAL.exec(text), ''), out)
    case 'hex':
      return writeNonZero(unsignedText(HEXADECIMAL.exec(text), '0x'), out)
  }
}

function writeBoolean(word: string, out: MsgpackWriter): boolean {
  const value = word.startsWith('true')
  if (!value && !word.startsWith('false')) return false
  out.boolean(value)
  return true
}

/** C's `strtoimax`: the nearest 64-bit integer when there are too many digits. */
function signedText(text: string): bigint {
  const match = DECIMAL.exec(text)
  if (match === null) return 0n
  const isNegative = match[1] === '-'
  const limit = isNegative ? INT64_MAX + 1n : INT64_MAX
  const digits = BigInt(match[2])
  const held = digits > limit ? limit : digits
  return isNegative ? -held : held
}

/**
 * C's `strtoumax`: the largest 64-bit integer when there are too many digits; a minus sign wraps
 * round.
 */
function unsignedText(match: RegExpExecArray | null, prefix: string): bigint {
  if (match === null) return 0n
  const digits = BigInt(prefix + match[2])
  if (digits > UINT64_MAX) return UINT64_MAX
  return match[1] === '-' ? BigInt.asUintN(64, -digits) : digits
}

function writeNonZero(value: bigint, out: MsgpackWriter): boolean {
  if (value === 0n) return false
  out.bigint(value)
  return true
}

/** The same 64 bits as a signed or an unsigned integer. */
function wrap(value: number | bigint, type: Whole): number | bigint {
  if (type === 'uint') return value < 0 ? BigInt.asUintN(64, BigInt(value)) : value
  return typeof value === 'bigint' ? BigInt.asIntN(64, value) : value
}

function writeWhole(value: number | bigint, out: MsgpackWriter): void {
  if (typeof value === 'bigint') out.bigint(value)
  else out.integer(value)
}

const TWO_63 = 2 ** 63
const TWO_64 = 2 ** 64

/** C's cast to `int64_t` on x86-64: what does not fit becomes -2^63. */
function signedOf(value: number): bigint {
  return value >= -TWO_63 && value < TWO_63 ? BigInt(Math.trunc(value)) : -(2n ** 63n)
}

/** C's cast to `uint64_t` on x86-64: what is too large becomes 0, a negative number wraps round. */
function unsignedOf(value: number): bigint {
  if (value >= TWO_64) return 0n
  if (value >= TWO_63) return BigInt(value)
  return BigInt.asUintN(64, signedOf(value))
}

function floatText(value: number): string {
  const isWhole = Number.isInteger(value) && value >= -TWO_63 && value < TWO_63
  return isWhole ? formatF(value, 1) : formatG16(value)
}
