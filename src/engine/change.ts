/**
 * From one layout of a running pipeline to another: what is the same goes on undisturbed, what is new starts before what
 * is old ends, and what cannot be there twice (what reads, and what listens) ends first. When something does not start,
 * everything is as it was before.
 */
import { messageOf } from '../base/error_message.ts'
import type { Logger } from '../base/log.ts'
import type { MetricsScope } from '../metrics/registry.ts'
import { isServer } from '../plugin/define.ts'
import type { InputRuntime } from './input_runtime.ts'
import { type InstanceSpec, labelOf } from './instance.ts'
import type { FilterPlace, InputPlace, Layout, OutputPlace } from './layout.ts'
import type { OutputRuntime } from './output_runtime.ts'
import type { Place } from './place.ts'

/** What a change needs of the pipeline. */
export interface ChangeWorld {
  readonly log: Logger
  /** Has the pipeline work with another layout, from one event to the next. Throws before anything has changed. */
  switchTo(layout: Layout): void
  /** The same for one that has run before, whatever the disk says. */
  switchBack(layout: Layout): void
  /** Takes charge of what ends in its own time, also when the program stops meanwhile. */
  inputLeaves(runtime: InputRuntime, done: () => void): void
  outputLeaves(runtime: OutputRuntime, done: () => void): void
}

/** Instances of two layouts, by what becomes of them. */
interface Kind<P> {
  readonly added: readonly P[]
  readonly gone: readonly P[]
}

export class Change {
  readonly #old: Layout
  readonly #next: Layout
  readonly #world: ChangeWorld
  readonly #inputs: Kind<InputPlace>
  readonly #filters: Kind<FilterPlace>
  readonly #outputs: Kind<OutputPlace>
  /** What has been started, and what has been stopped. */
  readonly #started = new Set<Place<InstanceSpec, unknown>>()
  readonly #stopped = new Set<InputRuntime | OutputRuntime>()
  #isAborted = false
  /** What inputs that ended have left for those that follow them. */
  readonly #left = new Map<InputPlace, unknown>()

  constructor(old: Layout, next: Layout, world: ChangeWorld) {
    this.#old = old
    this.#next = next
    this.#world = world
    this.#inputs = compare(old.inputPlaces, next.inputPlaces)
    this.#filters = compare(old.filterPlaces, next.filterPlaces)
    this.#outputs = compare(old.outputPlaces, next.outputPlaces)
  }

  /** `1 input started, 1 input ended, 2 outputs ended`, for the log. */
  get summary(): string {
    const parts = Object.entries({
      input: this.#inputs,
      filter: this.#filters,
      output: this.#outputs
    })
    const texts = parts.flatMap(([kind, { added, gone }]) => [
      ...(added.length === 0 ? [] : [`${count(added.length, kind)} started`]),
      ...(gone.length === 0 ? [] : [`${count(gone.length, kind)} ended`])
    ])
    return texts.length === 0 ? 'all instances are the same' : texts.join(', ')
  }

  /** Leaves everything as it is: what was made is forgotten. */
  discard(): void {
    for (const { added } of [this.#inputs, this.#filters, this.#outputs]) {
      for (const { metrics } of added) metrics.release()
    }
  }

  /** Has a change that waits for events to be settled fail now: the program stops. */
  abort(): void {
    this.#isAborted = true
    for (const { runtime } of this.#inputs.gone) runtime.unsettle()
  }

  /** @throws What an instance threw that did not start; all is as before then. */
  async apply(): Promise<void> {
    let hasSwitched = false
    try {
      for (const place of this.#outputs.added) {
        if (!isListening(place)) await this.#start(place, () => place.runtime.start())
      }
      for (const place of this.#filters.added) {
        await this.#start(place, () => place.runtime.filter.start?.())
      }
      await this.#settle(this.#inputs.gone)
      for (const place of this.#outputs.gone)
        if (isListening(place)) await this.#stopListening(place)
      for (const place of this.#inputs.gone) await this.#stopInput(place)
      this.#world.switchTo(this.#next)
      hasSwitched = true
      for (const place of this.#outputs.added) {
        if (isListening(place)) await this.#start(place, () => place.runtime.start())
      }
      const before = this.#predecessors(this.#inputs.added)
      for (const place of this.#inputs.added) {
        await this.#start(place, () => this.#startInput(place, before.get(place)))
      }
    } catch (error) {
      await this.#undo(hasSwitched)
      throw error
    }
    this.#finish()
  }

  async #start(
    place: Place<InstanceSpec, unknown>,
    start: () => void | Promise<void>
  ): Promise<void> {
    await start()
    this.#started.add(place)
  }

  async #stopListening({ runtime }: OutputPlace): Promise<void> {
    this.#stopped.add(runtime)
    await runtime.stop()
  }

  async #stopInput(place: InputPlace): Promise<void> {
    const { runtime } = place
    this.#stopped.add(runtime)
    runtime.hold()
    await runtime.drain()
    runtime.cancelTimers()
    runtime.flush()
    this.#left.set(place, await runtime.handOver())
    // What it had left.
    runtime.flush()
  }

  /**
   * Waits until the events of inputs are settled that go on from what their receipts say: what is not would be read again.
   *
   * @throws {Error} When that takes longer than `grace`.
   */
  async #settle(places: readonly InputPlace[]): Promise<void> {
    const { grace } = this.#old.spec.service
    const followed = successors(places, this.#inputs.added, hasSamePlugin)
    for (const place of places) {
      const { runtime } = place
      const isTakenOver = runtime.handsOver && followed.get(place)?.runtime.handsOver !== false
      if (!runtime.countsReceipts || isTakenOver) continue
      if (!this.#isAborted && (await runtime.settle(grace * 1000))) continue
      if (this.#isAborted) throw new Error('the program stops')
      throw new Error(
        `input ${runtime.label} has events that no output has taken for ${grace} seconds`
      )
    }
  }

  /** For inputs that are to start, those that have left something for them. */
  #predecessors(places: readonly InputPlace[]): Map<InputPlace, InputPlace> {
    const followed = successors([...this.#left.keys()], places, hasSamePlugin)
    return new Map(Array.from(followed, ([before, place]) => [place, before]))
  }

  async #startInput(place: InputPlace, before: InputPlace | undefined): Promise<void> {
    const left = before && this.#left.get(before)
    await place.runtime.input?.start(left)
    if (before === undefined) return
    this.#left.delete(before)
    // One in a thread cannot take it.
    dispose(left)
  }

  /** Lets go of what no input goes on with. */
  #letGo(): void {
    for (const left of this.#left.values()) dispose(left)
    this.#left.clear()
  }

  #finish(): void {
    this.#letGo()
    this.#outputsLeave(this.#outputs.gone, this.#outputs.added)
    for (const place of this.#inputs.gone) this.#inputLeaves(place)
    for (const place of this.#filters.gone) this.#filterLeaves(place)
  }

  /** What outputs have not delivered goes to those that follow them; others deliver it themselves. */
  #outputsLeave(gone: readonly OutputPlace[], followers: readonly OutputPlace[]): void {
    const followed = successors(gone, followers, (a, b) => this.#isSameOutput(a, b))
    for (const place of gone) {
      const successor = followed.get(place)
      if (successor !== undefined) place.runtime.handOver(successor.runtime)
      this.#world.outputLeaves(place.runtime, () => place.metrics.release())
    }
  }

  /** Under its alias, or with the same properties; a number alone says who it is while none is missing. */
  #isSameOutput({ spec: a }: OutputPlace, { spec: b }: OutputPlace): boolean {
    if (a.plugin.name !== b.plugin.name) return false
    if (textOf(a) === textOf(b)) return true
    return labelOf(a) === labelOf(b) && (a.alias !== undefined || this.#keepsOrder)
  }

  /** True when outputs have been changed and added at the end, as far as their plugins tell: none is missing. */
  get #keepsOrder(): boolean {
    const [old, next] = [this.#old, this.#next].map(({ spec }) =>
      spec.outputs.map(({ plugin }) => plugin.name)
    )
    return old.every((name, index) => next[index] === name)
  }

  #inputLeaves({ runtime, emitters, metrics }: InputPlace): void {
    this.#leave([runtime, ...emitters.map(({ input }) => input)], metrics)
  }

  #filterLeaves({ runtime, emitters, metrics }: FilterPlace, wasStarted = true): void {
    if (wasStarted) void this.#attempt(() => runtime.filter.stop?.())
    this.#leave(
      emitters.map(({ input }) => input),
      metrics
    )
  }

  /** The figures of an instance go with the last of its inputs and emitters. */
  #leave(inputs: readonly InputRuntime[], metrics: MetricsScope): void {
    let open = inputs.length
    if (open === 0) metrics.release()
    for (const input of inputs) {
      this.#world.inputLeaves(input, () => {
        if (--open === 0) metrics.release()
      })
    }
  }

  /** Ends what has been started and starts again what has been stopped. */
  async #undo(hasSwitched: boolean): Promise<void> {
    for (const { runtime } of this.#inputs.gone) runtime.unsettle()
    for (const place of this.#inputs.added) {
      if (this.#started.has(place)) {
        await this.#attempt(() => this.#settle([place]))
        await this.#attempt(() => this.#stopInput(place))
      }
      // One that does not start may have set some.
      place.runtime.cancelTimers()
      place.runtime.flush()
    }
    const listening = this.#outputs.added.filter(place => isListening(place))
    for (const place of listening) {
      if (this.#started.has(place)) await this.#attempt(() => place.runtime.stop())
    }
    const before = this.#renewed()
    if (hasSwitched || this.#stopped.size > 0) this.#world.switchBack(before)
    await this.#restart(before)
    this.#dismiss(before)
  }

  #renewed(): Layout {
    const isGone = (runtime: InputRuntime | OutputRuntime): boolean => this.#stopped.has(runtime)
    return this.#stopped.size === 0 ? this.#old : this.#old.factory.renewed(this.#old, isGone)
  }

  async #restart(before: Layout): Promise<void> {
    const { added: outputs, gone: oldOutputs } = compare(
      this.#old.outputPlaces,
      before.outputPlaces
    )
    const { added: inputs, gone: oldInputs } = compare(this.#old.inputPlaces, before.inputPlaces)
    for (const { runtime } of outputs)
      await this.#again(runtime.settings.label, () => runtime.start())
    const followed = this.#predecessors(inputs)
    for (const place of inputs) {
      await this.#again(place.runtime.label, () => this.#startInput(place, followed.get(place)))
    }
    this.#letGo()
    this.#outputsLeave(oldOutputs, outputs)
    for (const place of oldInputs) this.#inputLeaves(place)
  }

  /** What does not start any more, though it did before, is missing from now on: that must be seen. */
  async #again(label: string, start: () => void | Promise<void>): Promise<void> {
    try {
      await start()
    } catch (error) {
      this.#world.log.error(
        `[reload] ${label} cannot be started again and is missing now: ${messageOf(error)}`
      )
    }
  }

  /** Lets go of what was made for nothing; events may be on their way to it. */
  #dismiss(before: Layout): void {
    this.#outputsLeave(this.#outputs.added, before.outputPlaces)
    for (const place of this.#inputs.added) this.#inputLeaves(place)
    for (const place of this.#filters.added) {
      this.#filterLeaves(place, this.#started.has(place))
    }
  }

  async #attempt(stop: () => void | Promise<void>): Promise<void> {
    try {
      await stop()
    } catch (error) {
      this.#world.log.error(`[reload] stop failed: ${messageOf(error)}`)
    }
  }
}

function compare<S extends InstanceSpec, R>(
  old: readonly Place<S, R>[],
  next: readonly Place<S, R>[]
): Kind<Place<S, R>> {
  const was = new Set(old.map(({ runtime }) => runtime))
  const is = new Set(next.map(({ runtime }) => runtime))
  return {
    added: next.filter(({ runtime }) => !was.has(runtime)),
    gone: old.filter(({ runtime }) => !is.has(runtime))
  }
}

/**
 * For instances that end, those that stand for the same, the most alike first: numbers say little, as the sections of a
 * file may have another order.
 *
 * @param mayFollow What is not to follow, however alike it is.
 */
function successors<P extends Place<InstanceSpec, unknown>>(
  gone: readonly P[],
  followers: readonly P[],
  mayFollow: (a: P, b: P) => boolean
): Map<P, P> {
  const pairs = gone.flatMap(place =>
    followers
      .filter(follower => mayFollow(place, follower))
      .map(follower => ({ place, follower, alike: likeness(place, follower) }))
  )
  const found = new Map<P, P>()
  const taken = new Set<P>()
  for (const { place, follower } of pairs.toSorted((a, b) => b.alike - a.alike)) {
    if (found.has(place) || taken.has(follower)) continue
    found.set(place, follower)
    taken.add(follower)
  }
  return found
}

/** How many properties two instances of a plugin share; a name of their own counts for all. */
function likeness(a: Place<InstanceSpec, unknown>, b: Place<InstanceSpec, unknown>): number {
  if (a.print === b.print) return Infinity
  if (a.spec.alias !== undefined && a.spec.alias === b.spec.alias) return Number.MAX_VALUE
  const own = new Set(b.spec.written.map(({ key, text }) => `${key} ${text}`))
  const shared = a.spec.written.filter(({ key, text }) => own.has(`${key} ${text}`)).length
  return shared + (labelOf(a.spec) === labelOf(b.spec) ? 0.5 : 0)
}

function hasSamePlugin(
  { spec: a }: Place<InstanceSpec, unknown>,
  { spec: b }: Place<InstanceSpec, unknown>
): boolean {
  return a.plugin.name === b.plugin.name
}

/** The properties of an instance; its print has keys of the service section too. */
function textOf({ written }: InstanceSpec): string {
  return JSON.stringify(written.map(({ key, text }) => [key, text]))
}

/** Lets go of what an input has left, if there is anything to let go of. */
function dispose(left: unknown): void {
  if (typeof left !== 'object' || left === null || !(Symbol.dispose in left)) return
  ;(left as Disposable)[Symbol.dispose]()
}

/** An output that others connect to cannot be there twice. */
function isListening({ spec }: OutputPlace): boolean {
  return isServer(spec.plugin.network)
}

function count(number: number, what: string): string {
  return `${number} ${what}${number === 1 ? '' : 's'}`
}
