/** Which outputs the records of an input can reach, as far as the configuration tells before anything runs. */
import { compileOnigmo } from '../parser/onigmo.ts'
import { compileMatch } from '../record/tag.ts'
import { type FilterSpec, type InputSpec, labelOf, type OutputSpec, textValue } from './instance.ts'
import { isServer } from '../plugin/define.ts'
import type { PipelineSpec } from './world.ts'

/** Why records of an input reach no output: all of them, or with `no_default_route` some. */
export type RouteGap = 'not_routable' | 'no_match' | 'no_default_route'

type TagTest = (tag: string) => boolean

export class StaticRoutes {
  readonly #outputs: ReadonlyMap<OutputSpec, TagTest>
  /** Filters that can send records on under another tag. */
  readonly #emitting: ReadonlyMap<FilterSpec, TagTest>
  readonly #reached: ReadonlyMap<InputSpec, readonly OutputSpec[]>

  /** @param spec Resolved without a mistake. */
  constructor({ inputs, filters, outputs }: PipelineSpec) {
    const isOnlyPair = inputs.length === 1 && outputs.length === 1
    this.#outputs = new Map(outputs.map(spec => [spec, tagTest(spec) ?? (() => isOnlyPair)]))
    const emitting = filters.filter(filter => isActive(filter) && emits(filter))
    this.#emitting = new Map(emitting.map(spec => [spec, tagTest(spec) ?? (() => false)]))
    this.#reached = new Map(inputs.map(input => [input, this.#outputsOf(input)]))
  }

  /** Undefined for an input whose records reach an output, or may. */
  gapOf(input: InputSpec): RouteGap | undefined {
    const { routes, values } = input
    if (isConditional(input)) {
      const takesRest = routes.some(route => route.isDefault || route.condition === undefined)
      return takesRest ? undefined : 'no_default_route'
    }
    if (this.reachedBy(input).length > 0) return undefined
    return values['routable'] === false ? 'not_routable' : 'no_match'
  }

  /** The outputs that records of the input may get to. */
  reachedBy(input: InputSpec): readonly OutputSpec[] {
    return this.#reached.get(input) ?? []
  }

  /** The inputs whose records may get to an output. */
  sourcesOf(output: OutputSpec): readonly InputSpec[] {
    return [...this.#reached.keys()].filter(input => this.reachedBy(input).includes(output))
  }

  /** The inputs whose records filters may send on under another tag. */
  emittedInputs(): readonly InputSpec[] {
    return [...this.#reached.keys()].filter(input => this.#mayEmit(input))
  }

  #outputsOf(input: InputSpec): OutputSpec[] {
    const outputs = [...this.#outputs.keys()]
    if (this.#mayEmit(input)) return outputs
    const routed = input.routes.flatMap(route =>
      route.outputs.flatMap(
        ({ name, fallback }) => findOutput(outputs, name) ?? findOutput(outputs, fallback) ?? []
      )
    )
    if (input.values['routable'] === false || isConditional(input)) return [...new Set(routed)]
    const tag = fixedTag(input)
    return outputs.filter(
      output => routed.includes(output) || tag === undefined || this.#outputs.get(output)?.(tag)
    )
  }

  /** True when a filter may send records of the input on under another tag. */
  #mayEmit(input: InputSpec): boolean {
    const processors = [...input.processors, ...input.routes.flatMap(route => route.processors)]
    if (processors.some(emits)) return true
    const tags = isConditional(input) ? input.routes.map(route => route.name) : [fixedTag(input)]
    return [...this.#emitting.values()].some(matches =>
      tags.some(tag => tag === undefined || matches(tag))
    )
  }
}

/** False for a filter that `active` turns off. */
export function isActive(filter: FilterSpec): boolean {
  const active = textValue(filter, 'active')?.toLowerCase()
  return active !== 'false' && active !== '0'
}

/** Filters with an emitter all name it by the same key. */
function emits({ plugin }: FilterSpec): boolean {
  return Object.hasOwn(plugin.options, 'emitter_name')
}

/** With a conditional route, routes alone decide where records go. */
function isConditional({ routes }: InputSpec): boolean {
  return routes.some(route => route.condition !== undefined || route.isDefault || route.perRecord)
}

/** The tag of all records of an input; undefined where a path fills it in or senders bring their own. */
function fixedTag(input: InputSpec): string | undefined {
  const tag = textValue(input, 'tag') ?? input.name
  return isServer(input.plugin.network) || /[*<]/.test(tag) ? undefined : tag
}

/** What `match` and `match_regex` say; undefined when neither is written. */
function tagTest(spec: FilterSpec | OutputSpec): TagTest | undefined {
  const match = textValue(spec, 'match')
  const pattern = textValue(spec, 'match_regex')
  const byText = match === undefined ? undefined : compileMatch(match)
  if (pattern === undefined || pattern === '') return byText
  const regex = compileOnigmo(pattern)
  return tag => byText?.(tag) === true || regex.matchesPrefix(tag)
}

/** By alias, then instance name, then plugin name. */
function findOutput(
  outputs: readonly OutputSpec[],
  name: string | undefined
): OutputSpec | undefined {
  if (name === undefined) return undefined
  return (
    outputs.find(output => labelOf(output) === name) ??
    outputs.find(output => output.name === name) ??
    outputs.find(output => output.plugin.name === name)
  )
}
