/**
 * Values of a record that filters look at: a record accessor with where its value lies, and the
 * regular expressions that are tested on it. A mistake in either is a ConfigError at the property
 * that it stands in.
 * Source: Fluent Bit 5.1.1 src/flb_record_accessor.c flb_ra_get_kv_pair(), flb_ra_regex_match().
 *
 * @hot bench/pipelines.ts
 */
import { messageOf } from '../../base/error_message.ts'
import { contentCount, headerSize, isArray, isMap, isString } from '../../codec/msgpack_reader.ts'
import { Matcher } from '../../parser/onigmo.ts'
import type { PluginContext } from '../../plugin/context.ts'
import {
  type Accessor,
  compileAccessor,
  compileTemplate,
  type Template
} from '../../record/accessor.ts'
import type { EventView } from '../../record/event_view.ts'

/** A record accessor, and the place of the value that it found last. */
export class Field {
  /** The buffer of the value found last. */
  bytes: Buffer = Buffer.alloc(0)
  /** The value's position in `bytes`. */
  at = 0
  readonly #accessor: Accessor
  readonly #namesItem: boolean

  constructor(accessor: Accessor) {
    this.#accessor = accessor
    this.#namesItem = typeof accessor.path.at(-1) === 'number'
  }

  /** Finds the value in an event; false when the event has none. */
  find(event: EventView): boolean {
    const index = this.#accessor.findEntry(event)
    if (index < 0) return false
    this.bytes = event.valueBuffer(index)
    this.at = this.#accessor.findNested(this.bytes, event.valueAt(index))
    return this.at >= 0
  }

  /**
   * Like `find`, but false for an item of an array: Fluent Bit asks for a key with the value, and
   * there is none.
   */
  findPair(event: EventView): boolean {
    return this.find(event) && !(this.#namesItem && this.#isNested(event))
  }

  /**
   * Finds the value; false also when it is no string, or a string that the pattern does not match.
   */
  matches(event: EventView, pattern: Matcher): boolean {
    if (!this.find(event) || !isString(this.bytes[this.at])) return false
    const { bytes, at } = this
    const start = at + headerSize(bytes[at])
    return pattern.testBytes(bytes, start, start + contentCount(bytes, at))
  }

  /** False when the path was of no use because the top-level key holds neither map nor array. */
  #isNested(event: EventView): boolean {
    const index = this.#accessor.findEntry(event)
    const byte = event.valueBuffer(index)[event.valueAt(index)]
    return isMap(byte) || isArray(byte)
  }
}

/**
 * The field that a text in the property `key` names: a record accessor, or the name of a top-level
 * key.
 *
 * @param index Counts repeats of the property.
 * @throws {ConfigError} When the text is no accessor; a user's mistake.
 */
export function propertyField(context: PluginContext, key: string, text: string, index = 0): Field {
  const accessor = compileAccessor(text)
  if ('error' in accessor) throw context.invalid(key, lowerFirst(accessor.error), index)
  return new Field(accessor)
}

/**
 * The text with record accessors in it that stands in the property `key`.
 *
 * @param index Counts repeats of the property.
 * @throws {ConfigError} When an accessor in it is none; a user's mistake.
 */
export function propertyTemplate(
  context: PluginContext,
  key: string,
  text: string,
  index = 0
): Template {
  const template = compileTemplate(text)
  if ('error' in template) throw context.invalid(key, lowerFirst(template.error), index)
  return template
}

/**
 * The regular expression that stands in the property `key`.
 *
 * @param index Counts repeats of the property.
 * @throws {ConfigError} When the pattern is invalid; a user's mistake.
 */
export function propertyPattern(
  context: PluginContext,
  key: string,
  pattern: string,
  index = 0
): Matcher {
  try {
    return new Matcher(pattern)
  } catch (cause) {
    const reason = messageOf(cause)
    throw context.invalid(key, `cannot compile regular expression "${pattern}": ${reason}`, index)
  }
}

function lowerFirst(text: string): string {
  return text.charAt(0).toLowerCase() + text.slice(1)
}
