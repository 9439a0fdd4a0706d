/** Other configurations for a program that runs, made with the dice of its plan. */
import type { Dice } from './dice.ts'
import { BROKEN, type FilterPlan, type Plan, Planner, type Seats, STORAGE_PATHS } from './plan.ts'

/** The number of things that may change at once. */
const CHANGES_MAX = 3

export function changedPlan(plan: Plan, dice: Dice): Plan {
  const planner = new Planner(dice, { ...plan, path: plan.service.path })
  const changer = new Changer(plan, planner, dice)
  for (let changes = dice.int(1, CHANGES_MAX); changes > 0; changes--) changer.change()
  return isClear(plan, changer.plan)
    ? changer.plan
    : { ...changer.plan, outputs: plan.outputs, seats: plan.seats }
}

/** A plan with an instance more that does not start. */
export function brokenPlan(plan: Plan, dice: Dice): Plan {
  const { inputs, outputs } = plan.seats
  const withBroken = (seats: readonly number[]): number[] => {
    const at = dice.int(0, seats.length)
    return [...seats.slice(0, at), BROKEN, ...seats.slice(at)]
  }
  const broken = {
    ...plan,
    seats: dice.chance(0.6)
      ? { inputs: withBroken(inputs), outputs }
      : { inputs, outputs: withBroken(outputs) }
  }
  return isClear(plan, broken)
    ? broken
    : { ...plan, seats: { inputs: [...inputs, BROKEN], outputs } }
}

class Changer {
  plan: Plan
  readonly #planner: Planner
  readonly #dice: Dice

  constructor(plan: Plan, planner: Planner, dice: Dice) {
    this.plan = plan
    this.#planner = planner
    this.#dice = dice
  }

  change(): void {
    const { seats, inputs, outputs } = this.plan
    switch (
      this.#dice.weighted({
        nothing: 1,
        seats: 4,
        order: 2,
        input: 4,
        filters: 4,
        output: 4,
        service: 3
      })
    ) {
      case 'nothing':
        return
      case 'seats':
        this.#use({ seats: this.#othersIn(seats) })
        return
      case 'order':
        this.#use({
          seats: { inputs: this.#shuffled(seats.inputs), outputs: this.#shuffled(seats.outputs) }
        })
        return
      case 'input':
        this.#changeInput(this.#dice.int(0, inputs.length - 1))
        return
      case 'filters':
        this.#use({ filters: this.#otherFilters() })
        return
      case 'output':
        this.#changeOutput(this.#dice.int(0, outputs.length - 1))
        return
      case 'service':
        this.#changeService()
    }
  }

  #use(parts: Partial<Plan>): void {
    this.plan = { ...this.plan, ...parts }
  }

  /** Some leave, and some come. */
  #othersIn({ inputs, outputs }: Seats): Seats {
    const { plan } = this
    return {
      inputs: this.#others(inputs, plan.inputs.length),
      outputs: this.#others(outputs, plan.outputs.length)
    }
  }

  #others(seats: readonly number[], count: number): readonly number[] {
    const stay = seats.filter(() => this.#dice.chance(0.7))
    for (let seat = 0; seat < count; seat++) {
      if (!seats.includes(seat) && this.#dice.chance(0.6)) {
        stay.splice(this.#dice.int(0, stay.length), 0, seat)
      }
    }
    return stay.length === 0 ? seats : stay
  }

  #shuffled<T>(list: readonly T[]): T[] {
    const left = [...list]
    return list.map(() => left.splice(this.#dice.int(0, left.length - 1), 1)[0])
  }

  #changeInput(index: number): void {
    const { inputs, outputs, isYaml, isNamed } = this.plan
    const old = inputs[index]
    const other = this.#planner.input(
      index,
      isYaml,
      outputs.map(({ alias }) => alias)
    )
    const { kind, tags, eventsOfEach, isParallel, textBytesMax, variant } = old
    const isSafe = !this.plan.isStrict || kind !== 'client' || other.storage === 'filesystem'
    const changed = this.#dice.chance(0.3)
      ? old
      : {
          ...other,
          kind,
          tags,
          eventsOfEach,
          isParallel,
          textBytesMax,
          // Routes have names of outputs.
          routes: isNamed ? other.routes : [],
          extra: isNamed ? other.extra : [],
          acknowledge: isSafe ? other.acknowledge : ('delivered' as const)
        }
    this.#use({ inputs: inputs.with(index, { ...changed, variant: variant + 1 }) })
  }

  #changeOutput(index: number): void {
    const { outputs, isYaml, storm } = this.plan
    const old = outputs[index]
    const other = this.#planner.output(index, isYaml, storm)
    const { alias, outages, isFirst, variant } = old
    const changed = this.#dice.chance(0.3) ? old : { ...other, alias, outages, isFirst }
    this.#use({ outputs: outputs.with(index, { ...changed, variant: variant + 1 }) })
  }

  #otherFilters(): readonly FilterPlan[] {
    const { filters } = this.plan
    const dice = this.#dice
    const others = this.#planner.filters()
    switch (dice.weighted({ order: 2, fewer: 2, more: 3, changed: 2, all: 1 })) {
      case 'order':
        return this.#shuffled(filters)
      case 'fewer':
        return filters.filter(() => dice.chance(0.6))
      case 'changed':
        return filters.map((filter, index) => {
          const { step, match } = others[index] ?? filter
          return dice.chance(0.5) ? { alias: filter.alias, step, match } : filter
        })
      case 'more':
      case 'all': {
        const names = new Set(filters.map(({ alias }) => alias))
        return [...filters, ...others.filter(({ alias }) => !names.has(alias))]
      }
    }
  }

  #changeService(): void {
    const { service } = this.plan
    const other = this.#planner.service()
    const dice = this.#dice
    const path =
      service.path !== undefined && dice.chance(0.4) ? dice.pick(STORAGE_PATHS) : service.path
    this.#use({ service: { ...service, ...(dice.chance(0.5) ? other : {}), path } })
  }
}

/**
 * True unless what is known by its number alone changes into another one: what the old one has left would go to the
 * new one, as both are called the same.
 */
function isClear(before: Plan, after: Plan): boolean {
  if (before.isNamed) return true
  const stays = (seat: number): boolean =>
    seat !== BROKEN &&
    before.seats.outputs.includes(seat) &&
    after.seats.outputs.includes(seat) &&
    before.outputs[seat] === after.outputs[seat]
  return after.seats.outputs.every((seat, index) => {
    const old = before.seats.outputs[index]
    return old === undefined || old === seat || stays(old) || stays(seat)
  })
}
