/** What outlives the runs of the program: events, what became of them, the disk, the time, and what went wrong. */
import type { Dice } from './dice.ts'
import { keyAt, type SimEvent, Variants } from './events.ts'
import type { Shown } from './known_bugs.ts'
import { Life } from './life.ts'
import type { InputPlan, Plan } from './plan.ts'
import { SimDisk } from './sim_disk.ts'
import type { Trace } from './trace.ts'
import { delivered, hasOutput, leads, type Way, Ways } from './ways.ts'

/** Streams of choices; each subject has its own, so that a change to one leaves the others alone. */
export interface WorldDice {
  readonly disk: Dice
  readonly sources: Dice
  readonly remotes: Dice
}

export class World {
  /** All configurations so far; the last may be one that is being loaded. */
  readonly plans: Plan[]
  readonly shown: Shown
  readonly dice: WorldDice
  readonly trace: Trace
  readonly disk: SimDisk
  readonly #ways = new Map<Plan, Ways>()
  readonly variants = new Variants()
  readonly events = new Map<string, SimEvent>()
  /** Aliases of the outputs of the current run, by what the engine calls them, or has called them. */
  labels = new Map<string, Set<string>>()
  /** When the reload began that is under way, or the last one. */
  reloadMs = 0
  /** The configuration that is in force. */
  planNow: () => Plan
  /** What was stored has been found again, or may have been: its tag says where it goes. */
  #hasFound = false
  /** True from the end of all faults on. */
  isCalm = false
  /** The first thing that is wrong. */
  problem: string | undefined
  /** Counted up by whatever shows that the program gets on. */
  progress = 0
  /** The run that is going on, or the last one. */
  life = new Life(-1, () => {})
  /** Milliseconds since the epoch, whatever the clocks of runs say. */
  now = (): number => 0
  #commits = 0

  get nowMs(): number {
    return this.now()
  }

  constructor(plan: Plan, shown: Shown, dice: WorldDice, trace: Trace) {
    this.plans = [plan]
    this.planNow = () => plan
    this.shown = shown
    this.dice = dice
    this.trace = trace
    this.disk = new SimDisk(dice.disk, plan.storm.traits, {
      onMisuse: problem => this.fail(`disk: ${problem}`),
      onChange: what => trace.add(what)
    })
  }

  get plan(): Plan {
    return this.planNow()
  }

  /** Outputs that the engine calls so, or has called so in this run. */
  outputsCalled(label: string | undefined): ReadonlySet<string> {
    return this.labels.get(label ?? '') ?? NOBODY
  }

  /** What is stored is found under a configuration: its outputs get it, and no others. */
  found(plan: Plan): void {
    this.#hasFound = true
    this.changes(plan)
    this.#require((output, tag, isRouted) =>
      isRouted ? hasOutput(plan, output) : leads(plan, tag, output)
    )
  }

  /** Another configuration comes into force: processors of its outputs see what is on its way. */
  changes(plan: Plan): void {
    this.#require(
      (output, _tag, _isRouted, { level }) => delivered(plan, output, [], level) !== undefined
    )
  }

  /** Leaves of the ways that events must have gone those that are still certain. */
  #require(
    isCertain: (output: string, tag: string, isRouted: boolean, event: SimEvent) => boolean
  ): void {
    for (const event of this.events.values()) {
      const { required } = event
      if (required === undefined) continue
      event.required = new Map(
        [...required].filter(([name, isRouted]) => {
          const [output, tag] = name.split(' ')
          return isCertain(output, tag, isRouted, event)
        })
      )
    }
  }

  fail(problem: string): void {
    if (this.problem !== undefined) return
    this.problem = problem
    this.trace.add(`FAILED: ${problem}`)
  }

  /** Notes that a run is about to hand an event over. */
  committed(event: SimEvent): void {
    event.commits.push(this.#commits++)
    event.firstLife ??= this.life.number
    event.lastLife = this.life.number
    event.isHandedOver = false
    event.isAtRisk = false
    const { plan } = this
    if (event.plans.at(-1) !== plan) event.plans.push(plan)
    event.isSynced = plan.service.sync === 'full'
    const required = new Map<string, boolean>()
    for (const { output, tag, isUncertain, isDropped, isRouted } of this.waysOf(event)) {
      const name = `${output} ${tag}`
      const isNew = event.required?.has(name) ?? true
      if (isNew && !isUncertain && !isDropped && hasOutput(plan, output))
        required.set(name, isRouted)
    }
    event.required = required
  }

  /** @param plan The configuration under which it was committed; the last one unless given. */
  waysOf(event: SimEvent, plan = event.plans.at(-1)): readonly Way[] {
    if (plan === undefined) return []
    let ways = this.#ways.get(plan)
    if (ways === undefined) {
      ways = new Ways(plan)
      this.#ways.set(plan, ways)
    }
    return ways.of(event.source, event.tag, event.level)
  }

  /**
   * Reads events that came out somewhere and compares their bytes with what they must be there.
   *
   * @param where For the message when something is wrong.
   * @returns Undefined when it is, and noted.
   */
  read(bytes: Buffer, output: string, tag: string, where: string): SimEvent[] | undefined {
    const events: SimEvent[] = []
    let at = 0
    while (at < bytes.length) {
      const event = this.events.get(keyAt(bytes, at) ?? '')
      if (event === undefined) return this.#wrong(`${where}: no event at byte ${at}`)
      if (event.commits.length === 0) return this.#wrong(`${where}: ${event.key} was never sent`)
      const forms = this.#formsOf(event, output, tag)
      if (forms.length === 0) return this.#wrong(`${where}: ${event.key} must not come there`)
      const wanted = forms.find(form => form.equals(bytes.subarray(at, at + form.length)))
      if (wanted === undefined) {
        return this.#wrong(`${where}: the bytes of ${event.key} are wrong`)
      }
      events.push(event)
      at += wanted.length
    }
    const disorder = firstOutOfOrder(events)
    if (disorder !== undefined) {
      return this.#wrong(`${where}: ${disorder.key} comes too late, or once too often`)
    }
    return events
  }

  /** What an event may look like at an output, longest first. */
  #formsOf(event: SimEvent, output: string, tag: string): Buffer[] {
    const forms = new Set<Buffer>()
    for (const plan of event.plans) {
      // After a reload that failed, the configuration before it has what came meanwhile.
      const later = [...this.plans.slice(this.plans.indexOf(plan)), this.plan]
      for (const way of this.waysOf(event, plan)) {
        if (way.tag !== tag || !this.#mayTake(way, output, later)) continue
        for (const next of later) {
          const keys = delivered(next, output, way.added, event.level)
          if (keys !== undefined) forms.add(this.variants.of(event, keys))
        }
      }
    }
    return [...forms].toSorted((a, b) => b.length - a.length)
  }

  /** What is found again goes to any output that its tag leads to by then. */
  #mayTake(way: Way, output: string, later: readonly Plan[]): boolean {
    return (
      way.output === output || (this.#hasFound && later.some(plan => leads(plan, way.tag, output)))
    )
  }

  #wrong(problem: string): undefined {
    this.fail(problem)
    return undefined
  }
}

const NOBODY: ReadonlySet<string> = new Set()

/** The events of a chunk were committed in the same order: finds one for which no commit is left. */
function firstOutOfOrder(events: readonly SimEvent[]): SimEvent | undefined {
  let last = -1
  for (const event of events) {
    const next = event.commits.find(commit => commit > last)
    if (next === undefined) return event
    last = next
  }
  return undefined
}

/** When the receipts of an input's events are called; the counterpart of engine/receipt.ts. */
export function momentOf(input: InputPlan): 'taken' | 'stored' | 'settled' {
  if (input.acknowledge === 'delivered') return 'settled'
  if (input.storage === 'filesystem') return 'stored'
  return input.kind === 'client' ? 'taken' : 'settled'
}
