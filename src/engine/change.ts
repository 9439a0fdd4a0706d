/**
 * From one layout of a running pipeline to another: what is the same goes on undisturbed, what is new starts before what
 * is old ends, and what cannot be there twice (what reads, and what listens) ends first. When something does not start,
 * everything is as it was before.
 */
import type { Clock } from '../base/clock.ts'
import type { Logger } from '../base/log.ts'
import type { InputRuntime } from './input_runtime.ts'
import { type InstanceSpec, labelOf } from './instance.ts'
import type { FilterPlace, InputPlace, Layout, OutputPlace } from './layout.ts'
import type { OutputRuntime } from './output_runtime.ts'
import type { Place } from './place.ts'

/** What a change needs of the pipeline. */
export interface ChangeWorld {
  readonly log: Logger
  readonly clock: Clock
  /** Has the pipeline work with another layout, from one event to the next. Throws before anything has changed. */
  switchTo(layout: Layout): void
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

  /** `1 input added or changed, 2 outputs removed or changed`, for the log. */
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
      for (const place of this.#outputs.gone)
        if (isListening(place)) await this.#stopListening(place)
      for (const place of this.#inputs.gone) await this.#stopInput(place)
      this.#world.switchTo(this.#next)
      hasSwitched = true
      for (const place of this.#outputs.added) {
        if (isListening(place)) await this.#start(place, () => place.runtime.start())
      }
      for (const place of this.#inputs.added) {
        await this.#start(place, () => this.#startInput(place, this.#inputs.added))
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
    const { runtime, spec } = place
    this.#stopped.add(runtime)
    runtime.hold()
    await runtime.drain()
    runtime.cancelTimers()
    runtime.flush()
    const keepsPosition = spec.plugin.receipts === 'position'
    if (keepsPosition && runtime.input?.handOver === undefined) await this.#settled(runtime)
    this.#left.set(place, await runtime.handOver())
    // What it had left.
    runtime.flush()
  }

  /** Waits until all events of an input are settled, or for `grace` seconds: then its position is what it has read. */
  async #settled(runtime: InputRuntime): Promise<void> {
    const { grace } = this.#old.spec.service
    const { promise, resolve } = Promise.withResolvers<void>()
    runtime.retire(resolve)
    const timer = grace < 0 ? undefined : this.#world.clock.after(grace * 1000, resolve)
    await promise
    timer?.cancel()
  }

  /** Starts an input with what the one has left that it follows: of its name, or else of its plugin. */
  async #startInput(place: InputPlace, all: readonly InputPlace[]): Promise<void> {
    const followed = successors([...this.#left.keys()], all)
    const before =
      [...followed].find(([, successor]) => successor === place)?.[0] ??
      [...this.#left.keys()].find(
        left => !followed.has(left) && left.spec.plugin === place.spec.plugin
      )
    await place.runtime.input?.start(before && this.#left.get(before))
    if (before !== undefined) this.#left.delete(before)
  }

  #finish(): void {
    this.#outputsLeave(this.#outputs.gone, this.#outputs.added)
    for (const place of this.#inputs.gone) this.#inputLeaves(place)
    for (const place of this.#filters.gone) this.#filterLeaves(place)
  }

  /** What outputs have not delivered goes to those that follow them; others deliver it themselves. */
  #outputsLeave(gone: readonly OutputPlace[], followers: readonly OutputPlace[]): void {
    const followed = successors(gone, followers)
    for (const place of gone) {
      const successor = followed.get(place)
      if (successor !== undefined) place.runtime.handOver(successor.runtime)
      this.#world.outputLeaves(place.runtime, () => place.metrics.release())
    }
  }

  #inputLeaves({ runtime, emitters, metrics }: InputPlace): void {
    const all = [runtime, ...emitters.map(({ input }) => input)]
    let open = all.length
    for (const input of all) {
      this.#world.inputLeaves(input, () => {
        if (--open === 0) metrics.release()
      })
    }
  }

  #filterLeaves({ runtime, emitters, metrics }: FilterPlace): void {
    void this.#attempt(() => runtime.filter.stop?.())
    let open = emitters.length
    if (open === 0) metrics.release()
    for (const { input } of emitters) {
      this.#world.inputLeaves(input, () => {
        if (--open === 0) metrics.release()
      })
    }
  }

  /** Ends what has been started and starts again what has been stopped. */
  async #undo(hasSwitched: boolean): Promise<void> {
    for (const place of this.#inputs.added) {
      if (this.#started.has(place)) {
        await this.#attempt(async () => {
          this.#left.set(place, await place.runtime.handOver())
        })
      }
      place.runtime.cancelTimers()
      place.runtime.flush()
    }
    const listening = this.#outputs.added.filter(place => isListening(place))
    for (const place of listening) {
      if (this.#started.has(place)) await this.#attempt(() => place.runtime.stop())
    }
    const before = this.#renewed()
    if (hasSwitched || this.#stopped.size > 0) this.#world.switchTo(before)
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
    for (const place of inputs) {
      await this.#again(place.runtime.label, () => this.#startInput(place, inputs))
    }
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
    for (const place of this.#filters.added) this.#filterLeaves(place)
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

/** For instances that end, those that stand for the same: with the same text under another number, or by the same name. */
function successors<P extends Place<InstanceSpec, unknown>>(
  gone: readonly P[],
  followers: readonly P[]
): Map<P, P> {
  const found = new Map<P, P>()
  const free = new Set(followers)
  for (const isAlike of [hasSameText, hasSameName]) {
    for (const place of gone) {
      if (found.has(place)) continue
      for (const follower of free) {
        if (!isAlike(place, follower)) continue
        found.set(place, follower)
        free.delete(follower)
        break
      }
    }
  }
  return found
}

function hasSameText(a: Place<InstanceSpec, unknown>, b: Place<InstanceSpec, unknown>): boolean {
  return a.print === b.print
}

function hasSameName(
  { spec: a }: Place<InstanceSpec, unknown>,
  { spec: b }: Place<InstanceSpec, unknown>
): boolean {
  return a.plugin.name === b.plugin.name && labelOf(a) === labelOf(b)
}

/** An output that others connect to cannot be there twice. */
function isListening({ spec }: OutputPlace): boolean {
  const { network } = spec.plugin
  return network === 'server' || network === 'http_server'
}

function count(number: number, what: string): string {
  return `${number} ${what}${number === 1 ? '' : 's'}`
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
