/**
 * rewrite_tag: sends records back into the pipeline under a new tag.
 * Source: Fluent Bit 5.1.1 plugins/filter_rewrite_tag/rewrite_tag.c, plugins/in_emitter/emitter.c.
 *
 * The first rule that matches counts; only strings match. `$0` to `$9` are captures, and empty when
 * the pattern has no group at all. A record that comes from the filter's own emitter is not emitted
 * again but passes, as does one that the emitter has no room for.
 *
 * Differs: a record whose new tag is empty is delivered to outputs that match it, where Fluent Bit
 * loses it. As a processor of an input it emits as it does as a filter; Fluent Bit gives the record
 * back to the input, behind this processor. The core's line "[ra key] cannot process key value" for
 * an array in a tag is left out.
 *
 * @hot bench/pipelines.ts
 */
import type { Logger } from '../../base/log.ts'
import { contentCount, headerSize, isString } from '../../codec/msgpack_reader.ts'
import { many, size, text, words } from '../../config/options.ts'
import { parseBoolean } from '../../config/units.ts'
import type { Counter } from '../../metrics/registry.ts'
import { decodeSubject, type Matcher } from '../../parser/onigmo.ts'
import type { Emitter, FilterBatch, FilterContext } from '../../plugin/context.ts'
import { defineFilter, type Filter } from '../../plugin/define.ts'
import type { Captures, Template } from '../../record/accessor.ts'
import type { EventView } from '../../record/event_view.ts'
import { type Field, propertyField, propertyPattern, propertyTemplate } from '../common/field.ts'

export const rewriteTag = defineFilter({
  name: 'rewrite_tag',
  summary: 'Send records back into the pipeline under a new tag',
  upstream: 'plugins/filter_rewrite_tag/rewrite_tag.c',
  options: {
    rule: many(
      words(4, { doc: '$KEY REGEX NEW_TAG KEEP; KEEP says whether the record stays too' })
    ),
    emitter_name: text({
      doc: 'Name of the input that takes the records; emitter_for_ and own name unless set'
    }),
    'emitter_storage.type': text({ default: 'memory', doc: 'memory or filesystem' }),
    emitter_mem_buf_limit: size({
      default: '10M',
      doc: 'Bytes that emitted records may hold in memory'
    })
  },
  losses(values) {
    // What is on disk does not fill the memory.
    const isOnDisk = values['emitter_storage.type'].toLowerCase() === 'filesystem'
    if (isOnDisk || values.emitter_mem_buf_limit === 0) return []
    const message =
      'records keep their old tag while those under new tags fill emitter_mem_buf_limit: they are lost where no output matches it'
    const change = 'emitter_storage.type filesystem, or emitter_mem_buf_limit 0'
    return [{ when: 'failure', key: 'emitter_mem_buf_limit', message, change }]
  },
  create(values, context) {
    if (isWildcard(context)) context.log.warn(`'Match' may cause infinite loop.`)
    const storageType = values['emitter_storage.type'].toLowerCase()
    if (storageType !== 'memory' && storageType !== 'filesystem') {
      const message = `value must be memory or filesystem: current value is "${storageType}"`
      throw context.invalid('emitter_storage.type', message)
    }
    const rules = values.rule.map((words, index) => readRule(words, index, context))
    if (rules.length === 0) context.log.warn('no rules have defined')
    const name = values.emitter_name ?? `emitter_for_${context.label}`
    const memoryLimit = values.emitter_mem_buf_limit
    return new RewriteTag(rules, name, context.emitter({ name, storageType, memoryLimit }), context)
  }
})

interface Rule {
  readonly field: Field
  readonly pattern: Matcher
  readonly hasGroups: boolean
  readonly tag: Template
  readonly keeps: boolean
}

class RewriteTag implements Filter {
  readonly #rules: readonly Rule[]
  readonly #emitter: Emitter
  readonly #emitted: Counter
  /** Cycles are the emitter's to report: once. */
  readonly #emitterLog: Logger
  #cycleReported = false

  constructor(
    rules: readonly Rule[],
    emitterName: string,
    emitter: Emitter,
    context: FilterContext
  ) {
    this.#rules = rules
    this.#emitter = emitter
    this.#emitterLog = context.log.child(`[input:emitter:${emitterName}] `)
    this.#emitted = context.counter(
      'fluentbit_filter_emit_records_total',
      'Total number of emitted records'
    )
  }

  filter(event: EventView, batch: FilterBatch): boolean {
    const rules = this.#rules
    for (let index = 0; index < rules.length; index++) {
      const rule = rules[index]
      const captures = capturesOf(rule, event)
      if (captures === null) continue
      const tag = rule.tag.renderView(event, batch.tag, rule.hasGroups ? captures : undefined)
      return !this.#emit(tag, event, batch) || rule.keeps
    }
    return true
  }

  /** False when the record has to stay, as it was not emitted. */
  #emit(tag: string, event: EventView, batch: FilterBatch): boolean {
    if (batch.source === this.#emitter.source) {
      this.#reportCycle(tag)
      return false
    }
    if (!this.#emitter.emit(tag, event)) return false
    this.#emitted.value++
    return true
  }

  #reportCycle(tag: string): void {
    if (this.#cycleReported) return
    this.#cycleReported = true
    this.#emitterLog.error(
      'emitter cycle detected: the filter attached to this emitter matches the records it emits ' +
        `(tag=${tag}), the emission is rejected. Adjust the filter 'Match' or its rules so ` +
        'emitted records are not processed again'
    )
  }
}

/**
 * What the pattern captured in the rule's field; null when the field is no string or does not
 * match.
 */
function capturesOf({ field, pattern }: Rule, event: EventView): Captures | null {
  if (!field.find(event)) return null
  const { bytes, at } = field
  if (!isString(bytes[at])) return null
  const start = at + headerSize(bytes[at])
  return pattern.exec(decodeSubject(bytes, start, start + contentCount(bytes, at)))
}

/** Words after the fourth have no meaning, as in Fluent Bit. */
function readRule(words: readonly string[], index: number, context: FilterContext): Rule {
  const [key, pattern, tagText, keep] = words
  const matcher = propertyPattern(context, 'rule', pattern, index)
  return {
    field: propertyField(context, 'rule', key, index),
    pattern: matcher,
    hasGroups: matcher.groupCount > 0,
    tag: propertyTemplate(context, 'rule', tagText, index),
    keeps: parseBoolean(keep) ?? false
  }
}

/** True when `match` is nothing but stars. */
function isWildcard(context: FilterContext): boolean {
  return context.properties.some(({ key, text }) => key === 'match' && /^\*+$/.test(text))
}
