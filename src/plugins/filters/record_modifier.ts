/**
 * record_modifier: appends fixed keys and a UUID, and drops keys by name, or all but those named.
 * Source: Fluent Bit 5.1.1 plugins/filter_record_modifier/filter_modifier.c.
 *
 * A key that exists already stays and the new one follows it; JSON shows the last.
 *
 * Differs: a record that has no key left is always dropped. Fluent Bit does so when another record of
 * the same batch keeps a key, and else passes the batch unchanged, with what should be removed.
 *
 * @hot bench/pipelines.ts
 */
import { randomUUID } from 'node:crypto'
import { many, text, type Values, words } from '../../config/options.ts'
import type { FilterContext } from '../../plugin/context.ts'
import { defineFilter, type Filter } from '../../plugin/define.ts'
import { type Constant, constant, type EventView } from '../../record/event_view.ts'
import { KeyPattern } from '../../record/key_pattern.ts'

const OPTIONS = {
  record: many(words(2, { doc: 'KEY VALUE pair to append' })),
  remove_key: many(text({ doc: 'Key to drop, in any case; a final * stands for any rest' })),
  allowlist_key: many(text({ doc: 'Key to keep; keys that no entry names are dropped' })),
  whitelist_key: many(text({ doc: 'Another name of allowlist_key' })),
  uuid_key: text({ doc: 'Key of a new random UUID in each record' })
}

export const recordModifier = defineFilter({
  name: 'record_modifier',
  summary: 'Append fixed keys, drop keys by name',
  upstream: 'plugins/filter_record_modifier/filter_modifier.c',
  options: OPTIONS,
  create: (values, context) => new RecordModifier(values, context)
})

interface Pair {
  readonly key: Constant
  readonly value: Constant
}

class RecordModifier implements Filter {
  readonly #removed: readonly KeyPattern[]
  readonly #allowed: readonly KeyPattern[]
  readonly #added: readonly Pair[]
  readonly #uuidKey: Constant | undefined
  /** Without additions a record can lose its last key. */
  readonly #adds: boolean

  constructor(values: Values<typeof OPTIONS>, context: FilterContext) {
    this.#removed = values.remove_key.map(namePattern)
    this.#allowed = [...values.allowlist_key, ...values.whitelist_key].map(namePattern)
    if (this.#removed.length > 0 && this.#allowed.length > 0) {
      throw context.invalid('remove_key', 'it excludes "allowlist_key", and both are given')
    }
    this.#added = values.record.flatMap(words => readPair(words, context))
    this.#uuidKey = values.uuid_key === undefined ? undefined : constant(values.uuid_key)
    this.#adds = this.#added.length > 0 || this.#uuidKey !== undefined
  }

  filter(event: EventView): boolean {
    if (!event.bodyIsMap) return true
    if (!this.#adds && this.#removesAll(event)) return false
    const removed = this.#removed
    for (let index = 0; index < removed.length; index++) event.removeMatching(removed[index])
    if (this.#allowed.length > 0) event.retainMatching(this.#allowed)
    const added = this.#added
    for (let index = 0; index < added.length; index++) {
      event.append(added[index].key, added[index].value)
    }
    if (this.#uuidKey !== undefined) appendUuid(event, this.#uuidKey)
    return true
  }

  /** True when properties take keys away, and none is left. */
  #removesAll(event: EventView): boolean {
    const removes = this.#removed.length > 0
    if (!removes && this.#allowed.length === 0) return false
    const patterns = removes ? this.#removed : this.#allowed
    for (let index = 0; index < event.size; index++) {
      if (event.keyMatchesAny(index, patterns) !== removes) return false
    }
    return true
  }
}

function namePattern(name: string): KeyPattern {
  const prefix = name.endsWith('*')
  return new KeyPattern(prefix ? name.slice(0, -1) : name, { prefix, ignoreCase: true })
}

function readPair(words: readonly string[], context: FilterContext): Pair[] {
  if (words.length === 2) return [{ key: constant(words[0]), value: constant(words[1]) }]
  context.log.error(`invalid record parameters, expects 'KEY VALUE'`)
  return []
}

function appendUuid(event: EventView, key: Constant): void {
  const start = event.scratch.length
  event.scratch.latin1String(randomUUID())
  event.appendScratch(key, start)
}
