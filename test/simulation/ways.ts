/** Where events of a plan go and what they look like there: what the engine is measured by. */
import {
  type FilterPlan,
  type InputPlan,
  type Level,
  type Plan,
  type ProcessorPlan,
  type RewritePlan,
  type StepPlan
} from './plan.ts'

/** One way of an event: to an output, as a part of a chunk with this tag. */
export interface Way {
  readonly output: string
  readonly tag: string
  /** Keys that filters and processors of the input added, in order. */
  readonly added: readonly string[]
  /** A route chose the output, not the tag. */
  readonly isRouted: boolean
  /** Processors of the output drop it. */
  readonly isDropped: boolean
  /** It leads through an emitter that keeps its chunks in files. */
  readonly isEmittedToFile: boolean
  /** Whether events go this way depends on how full an emitter is. */
  readonly isUncertain: boolean
}

interface State {
  readonly added: readonly string[]
  readonly source: FilterPlan | undefined
  readonly isEmittedToFile: boolean
  readonly isUncertain: boolean
}

export class Ways {
  readonly #plan: Plan
  readonly #known = new Map<string, readonly Way[]>()

  constructor(plan: Plan) {
    this.#plan = plan
  }

  /** All ways of events of a level that an input, by its number, brings under a tag. */
  of(source: number, tag: string, level: Level): readonly Way[] {
    const key = `${source} ${tag} ${level}`
    let ways = this.#known.get(key)
    if (ways === undefined) {
      ways = this.#find(this.#plan.inputs[source], tag, level)
      this.#known.set(key, ways)
    }
    return ways
  }

  #find(input: InputPlan, tag: string, level: Level): Way[] {
    const added = processed([], input.processors, level)
    if (added === undefined) return []
    const start = { added, source: undefined, isEmittedToFile: false, isUncertain: false }
    if (input.routes.length === 0) {
      const isRouted = input.extra.some(alias => hasOutput(this.#plan, alias))
      return this.#filter(tag, level, start, [...this.#matching(tag), ...input.extra], isRouted)
    }
    const wanted = input.routes.filter(route => route.level === level)
    const taken =
      wanted.length > 0 ? wanted : input.routes.filter(({ level }) => level === undefined)
    return taken.flatMap(({ name, outputs }) => this.#filter(name, level, start, outputs, true))
  }

  /** Follows an event through the filters to outputs. */
  #filter(
    tag: string,
    level: Level,
    start: State,
    outputs: readonly string[],
    isRouted: boolean
  ): Way[] {
    const ways: Way[] = []
    let state = start
    for (const filter of this.#plan.filters) {
      if (!matches(filter.match, tag)) continue
      const { step } = filter
      if (step.kind === 'rewrite') {
        if (step.level !== level || start.source === filter) continue
        ways.push(...this.#emit(tag, level, state, filter, step))
        if (step.keeps) continue
        if (!hasLimit(step)) return ways
        state = { ...state, isUncertain: true }
      } else {
        const added = stepped(state.added, step, level)
        if (added === undefined) return ways
        state = { ...state, added }
      }
    }
    for (const output of new Set(outputs)) {
      const isDropped = delivered(this.#plan, output, state.added, level) === undefined
      ways.push({ ...state, output, tag, isRouted, isDropped })
    }
    return ways
  }

  #emit(tag: string, level: Level, state: State, filter: FilterPlan, step: RewritePlan): Way[] {
    const newTag = `${step.prefix}.${tag}`
    const next = {
      added: state.added,
      source: filter,
      isEmittedToFile: state.isEmittedToFile || step.storage === 'filesystem',
      isUncertain: state.isUncertain || hasLimit(step)
    }
    return this.#filter(newTag, level, next, this.#matching(newTag), false)
  }

  #matching(tag: string): string[] {
    return this.#plan.outputs.filter(({ match }) => matches(match, tag)).map(({ alias }) => alias)
  }
}

/** What an output of a configuration gets of an event with these keys; undefined when its processors drop it. */
export function delivered(
  { outputs }: Plan,
  output: string,
  added: readonly string[],
  level: Level
): readonly string[] | undefined {
  const { processors } = outputs.find(({ alias }) => alias === output) ?? NONE
  return processed(added, processors, level)
}

export function hasOutput({ outputs, seats }: Plan, output: string): boolean {
  return seats.outputs.some(seat => outputs[seat]?.alias === output)
}

/** True when a tag leads to an output that is in the configuration. */
export function leads(plan: Plan, tag: string, output: string): boolean {
  const { match } = plan.outputs.find(({ alias }) => alias === output) ?? NONE
  return hasOutput(plan, output) && match !== undefined && matches(match, tag)
}

const NONE: { readonly processors: readonly ProcessorPlan[]; readonly match?: string } = {
  processors: []
}

/** What processors make of an event; undefined when one drops it. */
function processed(
  before: readonly string[],
  processors: readonly ProcessorPlan[],
  level: Level
): readonly string[] | undefined {
  let added = before
  for (const { step, condition } of processors) {
    if (condition !== undefined && condition !== level) continue
    const next = stepped(added, step, level)
    if (next === undefined) return undefined
    added = next
  }
  return added
}

function stepped(
  added: readonly string[],
  step: StepPlan,
  level: Level
): readonly string[] | undefined {
  if (step.kind === 'grep') return step.level === level ? undefined : added
  return added.includes(step.key) ? added : [...added, step.key]
}

/** Patterns of plans have one `*`, at their end, or none. */
function matches(pattern: string, tag: string): boolean {
  return pattern.endsWith('*') ? tag.startsWith(pattern.slice(0, -1)) : tag === pattern
}

/** The limit unless set is more than all events of a plan with small ones. */
function hasLimit({ limit }: RewritePlan): boolean {
  return limit !== undefined && limit !== '0'
}
