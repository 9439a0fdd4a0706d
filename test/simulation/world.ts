/** What outlives the runs of the program: events, what became of them, the disk, the time, and what went wrong. */
import type { Dice } from './dice.ts'
import { keyAt, type SimEvent, Variants } from './events.ts'
import type { Shown } from './known_bugs.ts'
import { Life } from './life.ts'
import type { InputPlan, Plan } from './plan.ts'
import { SimDisk } from './sim_disk.ts'
import type { Trace } from './trace.ts'
import { type Way, Ways } from './ways.ts'

/** Streams of choices; each subject has its own, so that a change to one leaves the others alone. */
export interface WorldDice {
  readonly disk: Dice
  readonly sources: Dice
  readonly remotes: Dice
}

export class World {
  readonly plan: Plan
  readonly shown: Shown
  readonly dice: WorldDice
  readonly trace: Trace
  readonly disk: SimDisk
  readonly ways: Ways
  readonly variants = new Variants()
  readonly events = new Map<string, SimEvent>()
  /** Aliases of the outputs of the current run, by what the engine calls them. */
  labels: ReadonlyMap<string, string> = new Map()
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
    this.plan = plan
    this.shown = shown
    this.dice = dice
    this.trace = trace
    this.ways = new Ways(plan)
    this.disk = new SimDisk(dice.disk, plan.storm.traits, {
      onMisuse: problem => this.fail(`disk: ${problem}`),
      onChange: what => trace.add(what)
    })
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
  }

  waysOf(event: SimEvent): readonly Way[] {
    return this.ways.of(event.input, event.tag, event.level)
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
      const way = this.waysOf(event).find(way => way.output === output && way.tag === tag)
      if (way === undefined) return this.#wrong(`${where}: ${event.key} must not come there`)
      const wanted = this.variants.of(event, way.added)
      if (!wanted.equals(bytes.subarray(at, at + wanted.length))) {
        return this.#wrong(`${where}: the bytes of ${event.key} are wrong`)
      }
      if (event.commits.length === 0) return this.#wrong(`${where}: ${event.key} was never sent`)
      events.push(event)
      at += wanted.length
    }
    const disorder = firstOutOfOrder(events)
    if (disorder !== undefined) {
      return this.#wrong(`${where}: ${disorder.key} comes too late, or once too often`)
    }
    return events
  }

  #wrong(problem: string): undefined {
    this.fail(problem)
    return undefined
  }
}

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
