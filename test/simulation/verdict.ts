/** What must hold over a whole simulation: nothing is lost but what was counted, nothing is left over. */
import { basename, join } from 'node:path'
import type { Ledger } from '../../src/engine/ledger.ts'
import { DeadLetters } from '../../src/storage/dead_letters.ts'
import { inputOf, type SimEvent } from './events.ts'
import { type Death, Life } from './life.ts'
import { STORAGE_PATHS } from './plan.ts'
import type { Remote } from './remotes.ts'
import { momentOf, type World } from './world.ts'

/** Reasons of losses that no remote has a part in: how many are lost is known, not which. */
const UNSEEN = ['storage_limit', 'memrb_overrun', 'chunk_unreadable', 'shutdown']

/** What a remote has seen, unless it never got the chunk as its file could not be read. */
const SEEN = ['no_retries', 'retries_exhausted']

const AT_STOP = 'shutdown'

const MESSAGE_EVENTS_MAX = 5

/** What is known of a run at its end. */
export interface RunEnd {
  readonly number: number
  readonly ledger: Ledger
  /** Undefined after an orderly stop. */
  readonly death: Death | undefined
  /** A stop had begun. */
  readonly isStopping: boolean
  /** Writes of chunks that the disk did not take. */
  readonly writeFailures: number
  /** Dead letters that could not be kept, or not be made, as a chunk could not be read. */
  readonly letterFailures: number
}

export class Verdict {
  readonly #world: World
  readonly #remotes: readonly Remote[]
  /** Events that each output may have lost, by its alias. */
  readonly #lost = new Map<string, number>()
  #stops = 0
  #powerLosses = 0
  #letterFailures = 0

  constructor(world: World, remotes: readonly Remote[]) {
    this.#world = world
    this.#remotes = remotes
  }

  /** Takes note of a run that has ended: what it counted as lost, and what may be lost with it. */
  ended(end: RunEnd): void {
    this.#countLost(end.ledger)
    this.#letterFailures += end.letterFailures
    if (end.death === undefined || end.isStopping) this.#stopped()
    if (end.death === undefined) return
    if (end.death === 'power') this.#powerLosses++
    for (const event of this.#world.events.values()) {
      if (event.lastLife !== undefined && !this.#survives(event, end)) event.isAtRisk = true
    }
  }

  /** @param hasAll All outputs are there: nothing on disk can be for another. */
  final(hasAll: boolean): void {
    for (const remote of this.#remotes) this.#checkMissing(remote)
    this.#checkLetters()
    this.#checkFiles(hasAll)
  }

  /** What a stop writes to disk is synced only if the configuration that is in force says so. */
  #stopped(): void {
    this.#stops++
    const { plan, events } = this.#world
    if (plan.service.sync === 'full') return
    for (const event of events.values()) event.isSynced = false
  }

  #countLost(ledger: Ledger): void {
    const { plan } = this.#world
    for (const { name, account } of ledger.rows(new Map())) {
      const output = / > (?<output>\S+)$/.exec(name)?.groups?.['output']
      const called = this.#world.outputsCalled(output)
      const remotes = this.#remotes.filter(({ plan }) => called.has(plan.alias))
      for (const [reason, events] of account.dropped) {
        if (remotes.length === 0) continue
        if (plan.isStrict && reason !== AT_STOP) {
          this.#world.fail(`${name}: ${events} events are given up (${reason})`)
        }
        // What a stop could not keep is had again from where it came from, where that is possible.
        if (reason === AT_STOP && !this.#mayLoseAtStop) continue
        for (const {
          isBlind,
          plan: { alias }
        } of remotes) {
          const isUnseen = UNSEEN.includes(reason) || (isBlind && SEEN.includes(reason))
          if (isUnseen) this.#lost.set(alias, (this.#lost.get(alias) ?? 0) + events)
        }
      }
    }
  }

  get #mayLoseAtStop(): boolean {
    return this.#world.plans.some(({ inputs }) =>
      inputs.some(input => input.kind === 'noise' || momentOf(input) === 'taken')
    )
  }

  /** True when the program must still have an event, or will get it again, after a run has died. */
  #survives(event: SimEvent, { number, death, writeFailures }: RunEnd): boolean {
    const plan = event.plans.at(-1)
    const input = inputOf(event)
    if (plan === undefined || input === undefined) return true
    const isEmittedToMemory = plan.filters.some(
      ({ step }) => step.kind === 'rewrite' && step.storage === 'memory'
    )
    const isRecent = event.lastLife === number
    const moment = momentOf(input)
    if (death === 'power') {
      const { isSynced } = event
      if (input.kind === 'noise' || moment === 'taken') return false
      if (moment === 'stored' && (!isSynced || !isEmittedToMemory)) return isSynced
      // What a stop has left on disk, and what an emitter has stored there, counts as done with.
      const isLeft = this.#stops > 0
      return isSynced || (!isLeft && this.#world.waysOf(event).every(way => !way.isEmittedToFile))
    }
    if (!isRecent || (input.kind !== 'noise' && moment !== 'taken')) return true
    const isOnDisk = input.storage === 'filesystem' && writeFailures === 0 && event.isHandedOver
    return isOnDisk && !isEmittedToMemory
  }

  #checkMissing({ plan: { alias }, taken, givenUp }: Remote): void {
    const missing: string[] = []
    for (const { required, isAtRisk, key } of this.#world.events.values()) {
      if (required === undefined || isAtRisk) continue
      for (const way of required.keys()) {
        const [output, tag] = way.split(' ')
        if (output !== alias) continue
        const name = `${tag} ${key}`
        if (!taken.has(name) && !givenUp.has(name)) missing.push(name)
      }
    }
    const allowed = this.#lost.get(alias) ?? 0
    if (missing.length > allowed) {
      const some = missing.slice(0, MESSAGE_EVENTS_MAX).join(', ')
      this.#world.fail(
        `${alias} has not got ${missing.length} events, ${allowed} are counted as lost: ${some}`
      )
    }
  }

  #checkLetters(): void {
    const { plans } = this.#world
    const kept = new Set<string>()
    for (const path of STORAGE_PATHS) this.#readLetters(join(path, 'rejected'), kept)
    const keepsAll = plans.every(
      ({ service }) => service.keepsRejected && service.rejectedLimit === undefined
    )
    const isWhole = this.#letterFailures + this.#powerLosses === 0
    if (!keepsAll || !isWhole || this.#hasOtherNumbers) return
    for (const {
      plan: { alias },
      taken,
      givenUp,
      isBlind
    } of this.#remotes) {
      if (isBlind) continue
      for (const name of givenUp) {
        const event = this.#world.events.get(name.slice(name.lastIndexOf(' ') + 1))
        if (taken.has(name) || kept.has(`${alias} ${name}`) || event?.isAtRisk === true) continue
        this.#world.fail(`${alias} gave up ${name}, which is in no dead letter`)
      }
    }
  }

  /** The number of an output may have been that of another one. */
  get #hasOtherNumbers(): boolean {
    const { isNamed, storm } = this.#world.plan
    return !isNamed && (storm.changes || storm.reload > 0)
  }

  /** Reads the letters of a folder, and notes what is in them. */
  #readLetters(folder: string, kept: Set<string>): void {
    const { plans, disk } = this.#world
    const attached = disk.attach(new Life(-1, () => {}), () => {
      throw new Error('nothing is synced here')
    })
    const letters = new DeadLetters({ disk: attached, folder, limit: undefined })
    let bytes = 0
    for (const name of letters.names()) {
      const { note, content, problem } = letters.read(name)
      bytes += attached.size(join(folder, name))
      // Only what was synced survives a loss of power, and letters are not waited for.
      if (problem !== undefined && this.#powerLosses > 0) continue
      if (problem !== undefined) this.#world.fail(`dead letter ${name}: ${problem}`)
      if (this.#hasOtherNumbers) continue
      const [output = note.output] = this.#world.outputsCalled(note.output)
      const { tag } = note
      const events = this.#world.read(content, output, tag, `dead letter ${name}`) ?? []
      if (events.length !== note.events) {
        this.#world.fail(`dead letter ${name}: ${note.events} events are announced`)
      }
      for (const { key } of events) kept.add(`${output} ${tag} ${key}`)
    }
    const limits = plans.map(({ service }) => service.rejectedLimit ?? Infinity)
    if (bytes > Math.max(...limits)) this.#world.fail(`dead letters take ${bytes} bytes`)
  }

  #checkFiles(hasAll: boolean): void {
    const { disk, shown } = this.#world
    const left = disk.paths.filter(path => path.includes('/.spillway/chunks/'))
    if (hasAll && left.length > 0) this.#world.fail(`chunks are left: ${left.join(', ')}`)
    const hidden = disk.paths.filter(path => basename(path).startsWith('.'))
    if (hidden.length > 0 && shown.has('hidden_letters'))
      this.#world.fail(`temporary files are left: ${hidden.join(', ')}`)
    const bad = disk.paths.filter(path => path.includes('/.spillway/corrupt/'))
    if (bad.length > 0 && disk.failures + this.#powerLosses === 0) {
      this.#world.fail(`good bytes were set aside: ${bad.join(', ')}`)
    }
  }
}
