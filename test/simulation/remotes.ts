/** Who events are sent to: remotes that answer in every way, the wrong ones too, and remember what they took. */
import { flag, int } from '../../src/config/options.ts'
import type { ChunkView } from '../../src/plugin/context.ts'
import { defineOutput, type Plugin } from '../../src/plugin/define.ts'
import { type Delivery, drop, OK, partial, retry } from '../../src/plugin/delivery.ts'
import type { Clock } from '../../src/base/clock.ts'
import type { Dice } from './dice.ts'
import type { SimEvent } from './events.ts'
import type { Death, Life } from './life.ts'
import type { Fate, OutputPlan } from './plan.ts'
import { wrongAnswer } from './wrong_answers.ts'
import type { DiskFaults } from './sim_disk.ts'
import type { World } from './world.ts'

/** Chunks that an output with a concurrency may have at once. */
const CONCURRENCY = 3

const DEATHS: readonly Death[] = ['process', 'power']

/** One output's remote, which outlives the runs. */
export class Remote {
  /** Number of its output. */
  readonly number: number
  /** How often the current run has made an output for it. */
  outputs = 0
  /** `TAG KEY` of what it took. */
  readonly taken = new Set<string>()
  /** `TAG KEY` of what its output gave up: by its own answer, or as it had answered too often. */
  readonly givenUp = new Set<string>()
  /** Until when it takes nothing, and how it shows. */
  outage: { readonly untilMs: number; readonly fate: Fate } | undefined
  /** It has given up chunks that the remote never saw, as their files could not be read. */
  isBlind = false
  /** Events of chunks as they were sent last, by the chunk's name; of the current run. */
  readonly lastSent = new Map<string, readonly string[]>()
  readonly #world: World
  readonly #dice: Dice
  /** Ends calls that would hang for ever. */
  readonly #hanging = new Set<() => void>()
  readonly #attempts = new Map<string, number>()
  /** What is still to come of chunks that were taken, or some of them, by the chunk's name; of the current run. */
  readonly #toCome = new Map<string, readonly string[]>()
  /** The same of earlier runs, where the disk was told and did not fail. */
  readonly #noted = new Map<string, readonly string[]>()
  #fresh: [chunk: string, toCome: readonly string[]][] = []
  /** How often each event of the current run has come, by `TAG KEY`, for which its output was told that this was all. */
  readonly #done = new Map<string, number>()
  /** Chunks that it is working on. */
  readonly active = new Set<string>()

  constructor(world: World, number: number) {
    this.#world = world
    this.#dice = world.dice.remotes
    this.number = number
  }

  /** As it is in the configuration that is in force. */
  get plan(): OutputPlan {
    return this.#world.plan.outputs[this.number]
  }

  /** A new run begins. */
  reset(): void {
    this.outputs = 0
    this.active.clear()
    this.#attempts.clear()
    this.#toCome.clear()
    this.#done.clear()
    this.#fresh = []
    // The notes of a chunk that a stop writes come behind its events.
    const { isStopping, death } = this.#world.life
    if (isStopping && death !== undefined) this.#noted.clear()
    this.lastSent.clear()
    this.#hanging.clear()
  }

  misused(how: string): void {
    if (this.#world.life.isAlive) this.#world.fail(`${this.plan.alias} ${how}`)
  }

  /** The run has lived on after its answers: what they settled is noted. */
  confirm(): void {
    for (const [chunk, toCome] of this.#fresh) this.#noted.set(chunk, toCome)
    this.#fresh = []
  }

  /** Connections that hang are closed. */
  release(): void {
    for (const end of this.#hanging) end()
    this.#hanging.clear()
  }

  has(tag: string, key: string): boolean {
    return this.taken.has(`${tag} ${key}`)
  }

  gaveUp(tag: string, key: string): boolean {
    return this.givenUp.has(`${tag} ${key}`)
  }

  flush(view: ChunkView, life: Life, clock: Clock): Delivery | Promise<Delivery> {
    // What a dead run still sends reaches nobody.
    if (!life.isAlive) return new Promise(() => {})
    life.point()
    const { alias } = this.plan
    const where = `${alias}, chunk ${view.id}`
    const events = this.#world.read(view.bytes, alias, view.tag, where)
    if (events === undefined) return OK
    if (events.length !== view.events) {
      this.#world.fail(`${where}: ${view.events} events are announced, ${events.length} come`)
    }
    // At a stop, retries come faster, and do not use up those of a chunk that the next run finds.
    if (!life.isStopping) this.#countAttempt(view, where)
    const keys = events.map(({ key }) => `${view.tag} ${key}`)
    this.#checkRepetition(view.id, keys, where)
    for (const event of events) this.#checkOnce(event, view.tag, where)
    this.lastSent.set(view.id, keys)
    const fate = this.#fate()
    this.#world.trace.add(
      `${alias} ${fate} ${view.id} ${view.tag} ${events[0]?.key}+${events.length}`
    )
    const answer = this.#answer(fate, { view, keys, life, clock })
    if (fate === 'wrong') return answer
    if (answer instanceof Promise) {
      const tracked = this.#track(answer, view, events, where)
      return tracked.then(settled => this.#settled(settled, view.id, keys, life))
    }
    return this.#settled(answer, view.id, keys, life)
  }

  /** Notes what is still to come after an answer. */
  #settled(answer: Delivery, chunk: string, keys: readonly string[], life: Life): Delivery {
    const toCome = toComeAfter(answer, keys)
    for (const key of toCome === undefined ? [] : keys) {
      if (toCome?.includes(key) !== true) this.#done.set(key, (this.#done.get(key) ?? 0) + 1)
    }
    const { storm, isNamed } = this.#world.plan
    // With a clock that goes back, names of chunks come again.
    if (toCome === undefined || storm.setsClock) return answer
    this.#noted.delete(chunk)
    this.#toCome.delete(chunk)
    // What is answered while the program stops may come too late.
    if (life.isStopping) return answer
    this.#toCome.set(chunk, toCome)
    const isKnown = storm.reload === 0 && (isNamed || !storm.changes)
    const isWell = !storm.fillsDisk && storm.powerLoss === 0 && isFlawless(storm.diskFaults)
    const isNoted = isKnown && isWell
    if (isNoted && (toCome.length === 0 || this.plan.processors.length === 0)) {
      this.#fresh.push([chunk, toCome])
    }
    return answer
  }

  /** What was taken, and was said to be, must not come again. */
  #checkRepetition(chunk: string, keys: readonly string[], where: string): void {
    const toCome = this.#toCome.get(chunk) ?? this.#noted.get(chunk)
    if (toCome === undefined || toCome.join() === keys.join()) return
    this.#world.fail(`${where}: ${keys.length} events come again, ${toCome.length} are to come`)
  }

  /** What was brought once in this run comes once on each of its ways. */
  #checkOnce(event: SimEvent, tag: string, where: string): void {
    const world = this.#world
    const { alias } = this.plan
    const done = this.#done.get(`${tag} ${event.key}`) ?? 0
    if (done === 0 || event.firstLife !== world.life.number) return
    const ways = event.plans.map(
      made =>
        world.waysOf(event, made).filter(way => way.output === alias && way.tag === tag).length
    )
    if (done < event.commits.length * Math.max(1, ...ways)) return
    world.fail(`${where}: ${event.key} comes again`)
  }

  /** Counts calls that are under way, and looks whether their bytes stay as they are. */
  async #track(
    answer: Promise<Delivery>,
    view: ChunkView,
    events: readonly SimEvent[],
    where: string
  ): Promise<Delivery> {
    const { alias, isConcurrent } = this.plan
    this.active.add(view.id)
    // An output that a changed one has replaced ends what it has begun.
    const hasChanged = this.#world.plans.length > 1
    const most = hasChanged ? this.outputs * CONCURRENCY : isConcurrent ? CONCURRENCY : 1
    if (this.active.size > most) {
      this.#world.fail(`${where}: too many chunks at once`)
    }
    try {
      return await answer
    } finally {
      this.active.delete(view.id)
      const now = this.#world.read(view.bytes, alias, view.tag, `${where}, at its end`)
      if (now?.some((event, index) => event !== events[index])) {
        this.#world.fail(`${where}: its bytes have changed under way`)
      }
    }
  }

  /** Of all configurations so far; undefined for no limit. */
  get #attemptsMax(): number | undefined {
    const limits = this.#world.plans.map(({ outputs }) => outputs[this.number].attemptsMax)
    const most = Math.max(...limits.map(limit => limit ?? Infinity))
    return most === Infinity ? undefined : most
  }

  #countAttempt({ id }: ChunkView, where: string): void {
    const attemptsMax = this.#attemptsMax
    const attempts = (this.#attempts.get(id) ?? 0) + 1
    this.#attempts.set(id, attempts)
    if (attemptsMax !== undefined && attempts > attemptsMax) {
      this.#world.fail(`${where}: attempt ${attempts} of ${attemptsMax}`)
    }
  }

  #fate(): Fate {
    const dice = this.#dice
    const { isCalm, nowMs } = this.#world
    if (isCalm) return dice.chance(0.5) ? 'ok' : 'later'
    if (this.outage !== undefined && nowMs < this.outage.untilMs) return this.outage.fate
    return dice.weighted(this.plan.fates)
  }

  #answer(
    fate: Fate,
    call: { view: ChunkView; keys: readonly string[]; life: Life; clock: Clock }
  ): Delivery | Promise<Delivery> {
    const { keys, life, clock } = call
    const dice = this.#dice
    const soon = (answer: () => Delivery, delayMs: number): Promise<Delivery> =>
      delayMs === 0 ? Promise.resolve().then(answer) : after(clock, delayMs, answer)
    switch (fate) {
      case 'ok':
        return this.#take(keys)
      case 'later':
        return soon(() => this.#take(keys), dice.pick([0, 0, 5, 300]))
      case 'slow':
        return soon(() => this.#take(keys), dice.int(1_000, 600_000))
      case 'refuse':
        return this.#refuse(keys)
      case 'throw':
        return this.#throw(keys)
      case 'partial':
        return this.#takeSome(keys)
      case 'hang':
        return this.#hang(clock)
      case 'wrong':
        this.#takeAny(keys)
        return wrongAnswer(dice, keys.length) as Delivery
      case 'drop':
        this.#giveUp(keys)
        return drop('sim_dropped')
      case 'dropSome':
        return this.#dropSome(keys)
      case 'die':
        this.#take(keys)
        return life.die(this.#world.plan.storm.powerLoss > 0 ? dice.pick(DEATHS) : 'process')
    }
  }

  #take(keys: readonly string[]): Delivery {
    for (const key of keys) this.taken.add(key)
    this.#world.progress++
    return OK
  }

  /** Takes some events of which it will not say so. */
  #takeAny(keys: readonly string[]): void {
    if (this.#dice.chance(0.5)) this.#take(keys.slice(0, this.#dice.int(0, keys.length)))
  }

  #giveUp(keys: readonly string[]): void {
    for (const key of keys) this.givenUp.add(key)
    this.#world.progress++
  }

  #refuse(keys: readonly string[]): Delivery | Promise<Delivery> {
    this.#takeAny(keys)
    const waitMs = this.#dice.pick([undefined, undefined, 0, 1_500, 120_000])
    const answer = retry('sim_refused', waitMs)
    return this.#dice.chance(0.5) ? answer : Promise.resolve(answer)
  }

  #throw(keys: readonly string[]): Promise<Delivery> {
    this.#takeAny(keys)
    const error = new Error('simulated')
    if (this.#dice.chance(0.5)) throw error
    return Promise.reject(error)
  }

  #hang(clock: Clock): Promise<Delivery> {
    const { promise, resolve } = Promise.withResolvers<Delivery>()
    const end = (): void => resolve(retry('sim_reset'))
    this.#hanging.add(end)
    if (this.#dice.chance(0.6)) clock.after(this.#dice.int(60_000, 3_600_000), end)
    return promise
  }

  #takeSome(keys: readonly string[]): Delivery {
    const again: number[] = []
    const share = this.#dice.pick([0.1, 0.5, 1])
    for (const [index, key] of keys.entries()) {
      if (this.#dice.chance(share)) again.push(index)
      else this.taken.add(key)
    }
    // A plugin with a bug does not sort them.
    if (this.#dice.chance(0.1)) again.reverse()
    return partial({ retry: again, reason: 'sim_some' })
  }

  #dropSome(keys: readonly string[]): Delivery {
    const again: number[] = []
    const lost: [number[], number[]] = [[], []]
    for (const [index, key] of keys.entries()) {
      const fate = this.#dice.weighted({ take: 2, again: 1, drop: 1 })
      if (fate === 'take') this.taken.add(key)
      else if (fate === 'again') again.push(index)
      else lost[this.#dice.int(0, 1)].push(index)
    }
    this.#giveUp(lost.flat().map(index => keys[index]))
    const reasons = lost.map((events, index) => ({ reason: `sim_dropped_${index}`, events }))
    return partial({
      retry: again,
      drop: reasons.filter(({ events }) => events.length > 0),
      reason: 'sim_some'
    })
  }
}

/** The outputs `sim_out` and `sim_outs`, which take chunks one by one and several at once, of one run. */
export function remotePlugins(remotes: readonly Remote[], life: Life, clock: Clock): Plugin[] {
  const plugin = (name: string, concurrency: number): Plugin =>
    defineOutput({
      name,
      summary: 'Simulated',
      concurrency,
      options: {
        remote: int({ default: '0', doc: 'Number of the remote' }),
        variant: int({ default: '0', doc: 'Anything' }),
        broken: flag({ default: 'false', doc: 'It does not start' })
      },
      create: ({ remote, broken }) => {
        let isStarted = false
        return {
          start: () => {
            life.point()
            if (broken) throw new Error('simulated: it is broken')
            remotes[remote].outputs++
            isStarted = true
          },
          flush: view => {
            if (!isStarted) remotes[remote].misused('is used while it does not run')
            return remotes[remote].flush(view, life, clock)
          },
          stop: () => {
            if (!isStarted) remotes[remote].misused('is stopped and does not run')
            isStarted = false
            life.point()
          }
        }
      }
    })
  return [plugin('sim_out', 1), plugin('sim_outs', CONCURRENCY)]
}

/** Events that are to come again; undefined where an answer settles nothing. */
function toComeAfter(answer: Delivery, keys: readonly string[]): readonly string[] | undefined {
  if (answer.kind === 'retry') return undefined
  if (answer.kind !== 'partial') return []
  const isOrdered = answer.retry.every((event, index, all) => index === 0 || event > all[index - 1])
  return isOrdered ? answer.retry.map(index => keys[index]) : undefined
}

function isFlawless(faults: DiskFaults): boolean {
  return Object.entries(faults).every(([kind, value]) => value === 0 || kind === 'slowSync')
}

function after(clock: Clock, delayMs: number, answer: () => Delivery): Promise<Delivery> {
  return new Promise(resolve => {
    clock.after(delayMs, () => resolve(answer()))
  })
}
