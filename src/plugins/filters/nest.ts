/**
 * nest: moves keys into a map under a new key, or lifts the keys of such a map to the top.
 * Source: Fluent Bit 5.1.1 plugins/filter_nest/nest.c.
 *
 * Moved keys go to the end. A key that exists already stays and the new one follows it; JSON shows
 * the last.
 *
 * Differs: a key that is shorter than a wildcard or prefix does not match it; Fluent Bit compares
 * the bytes that follow the key too. `nest` without `nest_under` passes every record, with one
 * error at start; Fluent Bit logs an error for each batch and drops matching records where others
 * pass. A `lift` warns once of a value that is no map, not up to four times. Inner keys that are no
 * text keep their name when a prefix is added. Without `operation` it nests.
 *
 * @hot bench/pipelines.ts
 */
import { contentCount, headerSize, isMap, typeOf } from '../../codec/msgpack_reader.ts'
import type { MsgpackWriter } from '../../codec/msgpack_writer.ts'
import { many, text, type Values } from '../../config/options.ts'
import type { FilterContext } from '../../plugin/context.ts'
import { defineFilter, type Filter } from '../../plugin/define.ts'
import { type Constant, constant, type EventView } from '../../record/event_view.ts'
import { KeyPattern } from '../../record/key_pattern.ts'

const OPTIONS = {
  Operation: text({ doc: 'nest or lift' }),
  Wildcard: many(text({ doc: 'Key to nest; a final * stands for any rest' })),
  Nest_under: text({ doc: 'Key of the map that the nested keys go to' }),
  Nested_under: text({ doc: 'Key of the map whose keys are lifted' }),
  Add_prefix: text({ doc: 'Text put before each moved key' }),
  Remove_prefix: text({ doc: 'Text taken from the start of each moved key that has it' })
}

export const nest = defineFilter({
  name: 'nest',
  summary: 'Nest keys in a map or lift them out of it',
  upstream: 'plugins/filter_nest/nest.c',
  options: OPTIONS,
  create(values, context) {
    const renamer = readRenamer(values, context)
    const operation = values.Operation ?? 'nest'
    if (operation.startsWith('lift')) return new Lift(mapKey(context) ?? '', renamer, context)
    if (!operation.startsWith('nest')) {
      const message = `value must be nest or lift: current value is "${operation}"`
      throw context.invalid('Operation', message)
    }
    const key = mapKey(context)
    if (key !== undefined) return new Nest(key, values.Wildcard, renamer)
    context.log.error('"nest_under" is not set: records pass unchanged')
    return { filter: () => true }
  }
})

/** `nest_under` and `nested_under` are one setting in Fluent Bit: the last one written counts. */
function mapKey(context: FilterContext): string | undefined {
  return context.properties.findLast(({ key }) => key === 'Nest_under' || key === 'Nested_under')
    ?.text
}

class Nest implements Filter {
  readonly #key: Constant
  readonly #wildcards: readonly KeyPattern[]
  readonly #renamer: Renamer | undefined

  constructor(key: string, wildcards: readonly string[], renamer: Renamer | undefined) {
    this.#key = constant(key)
    this.#wildcards = wildcards.map(wildcard => {
      const prefix = wildcard.endsWith('*')
      return new KeyPattern(prefix ? wildcard.slice(0, -1) : wildcard, { prefix })
    })
    this.#renamer = renamer
  }

  filter(event: EventView): boolean {
    const { scratch } = event
    const start = scratch.length
    const map = scratch.beginMap()
    const count =
      this.#renamer === undefined
        ? event.takeMatching(this.#wildcards, scratch)
        : takeRenamed(event, this.#wildcards, this.#renamer)
    if (count === 0) return true
    scratch.endMap(map, count)
    event.appendScratch(this.#key, start)
    return true
  }
}

/** Like `takeMatching`, with other keys. */
function takeRenamed(event: EventView, patterns: readonly KeyPattern[], renamer: Renamer): number {
  const { scratch } = event
  let count = 0
  for (let index = 0; index < event.size;) {
    if (!event.keyMatchesAny(index, patterns)) {
      index++
      continue
    }
    if (!renamer.writeKey(event, index, scratch)) event.writeKey(index, scratch)
    event.writeValue(index, scratch)
    event.remove(index)
    count++
  }
  return count
}

class Lift implements Filter {
  readonly #name: string
  readonly #key: KeyPattern
  readonly #renamer: Renamer | undefined
  readonly #context: FilterContext

  constructor(name: string, renamer: Renamer | undefined, context: FilterContext) {
    this.#name = name
    this.#key = new KeyPattern(name)
    this.#renamer = renamer
    this.#context = context
  }

  filter(event: EventView): boolean {
    let left = event.size
    for (let index = 0; index < left;) {
      if (event.keyMatches(index, this.#key) && this.#isMap(event, index)) {
        const first = event.size
        event.appendInner(index)
        if (this.#renamer !== undefined) renameFrom(event, first, this.#renamer)
        event.remove(index)
        left--
      } else {
        index++
      }
    }
    return true
  }

  #isMap(event: EventView, index: number): boolean {
    if (isMap(event.valueBuffer(index)[event.valueAt(index)])) return true
    const name = this.#name
    this.#context.log.warn(
      `Value of key '${name}' is not a map. Will not attempt to lift from here`
    )
    return false
  }
}

function renameFrom(event: EventView, first: number, renamer: Renamer): void {
  const { scratch } = event
  for (let index = first; index < event.size; index++) {
    const start = scratch.length
    if (renamer.writeKey(event, index, scratch)) event.renameWithScratch(index, start)
  }
}

function readRenamer(values: Values<typeof OPTIONS>, context: FilterContext): Renamer | undefined {
  const { Add_prefix: added, Remove_prefix: removed } = values
  if (added !== undefined && removed !== undefined) {
    throw context.invalid('Remove_prefix', 'it excludes "add_prefix", and both are given')
  }
  if (added !== undefined) return new Renamer(added, true)
  return removed === undefined ? undefined : new Renamer(removed, false)
}

/** Puts a prefix before keys or takes it away. */
class Renamer {
  readonly #prefix: Buffer
  readonly #adds: boolean
  readonly #start: KeyPattern

  constructor(prefix: string, adds: boolean) {
    this.#prefix = Buffer.from(prefix)
    this.#adds = adds
    this.#start = new KeyPattern(prefix, { prefix: true })
  }

  /** Writes the new key of entry `index`, always a string; false when the key stays as it is. */
  writeKey(event: EventView, index: number, out: MsgpackWriter): boolean {
    const bytes = event.keyBuffer(index)
    const at = event.keyAt(index)
    const type = typeOf(bytes[at])
    if (type !== 'string' && type !== 'binary') return false
    const start = at + headerSize(bytes[at])
    const length = contentCount(bytes, at)
    const prefix = this.#prefix
    if (this.#adds) {
      out.stringHeader(prefix.length + length)
      out.raw(prefix, 0, prefix.length)
      out.raw(bytes, start, start + length)
      return true
    }
    const hasPrefix = this.#start.matches(bytes, at)
    if (!hasPrefix && type === 'string') return false
    out.stringBytes(bytes, hasPrefix ? start + prefix.length : start, start + length)
    return true
  }
}
