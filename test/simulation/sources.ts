/** Who brings events: files that can be read again, clients that send again, and noise that is gone once sent. */
import { int } from '../../src/config/options.ts'
import type { InputContext } from '../../src/plugin/context.ts'
import { defineInput, type Plugin } from '../../src/plugin/define.ts'
import { newEvent, type SimEvent } from './events.ts'
import type { Life } from './life.ts'
import type { InputPlan } from './plan.ts'
import type { World } from './world.ts'

/** How often inputs look for more. */
const TICK_MS = 250

/** How long a client waits for an answer before it sends again, the first time; then twice as long, and so on. */
const ANSWER_WAIT_MS = 30_000

/** Events of one commit. */
export const COMMIT_EVENTS_MAX = 8

/** Batches that a client has under way. */
const WINDOW = 4

/** One input's source. It outlives the runs: a run opens it, and reads or gets what the last one left. */
export interface Source {
  readonly input: InputPlan
  /** True when all of its events were brought, and the source may forget them. */
  readonly isDone: boolean
  /** How far it is, for messages. */
  readonly state: string
  open(context: InputContext, life: Life): void
  /** An orderly stop: what was read already may still be handed over. */
  close(): void
}

export function makeSources(world: World): Source[] {
  return world.plan.inputs.map((input, index) => {
    if (input.kind === 'file') return new FileSource(world, input, index)
    return input.kind === 'client'
      ? new ClientSource(world, input, index)
      : new NoiseSource(world, input, index)
  })
}

/** The inputs `sim_file`, `sim_client` and `sim_noise` of one run. */
export function sourcePlugins(sources: readonly Source[], life: Life): Plugin[] {
  const plugin = (name: string, receipts?: 'position' | 'sender'): Plugin =>
    defineInput({
      name,
      summary: 'Simulated',
      options: { source: int({ default: '0', doc: 'Number of the source' }) },
      ...(receipts === undefined ? {} : { receipts }),
      create: ({ source }, context) => ({
        start: () => sources[source].open(context, life),
        stop: () => sources[source].close()
      })
    })
  return [plugin('sim_file', 'position'), plugin('sim_client', 'sender'), plugin('sim_noise')]
}

/** The events of one tag. */
function makeEvents(world: World, input: InputPlan, source: number, tag: string): SimEvent[] {
  const dice = world.dice.sources
  return Array.from({ length: input.eventsOfEach }, () => {
    const level = dice.weighted({ error: 2, info: 6, debug: 2 })
    // Long texts are rare, as in logs.
    const textBytesMax = dice.chance(0.7) ? Math.ceil(input.textBytesMax / 5) : input.textBytesMax
    const event = newEvent(
      { input, source, tag },
      world.events.size,
      level,
      dice.int(0, textBytesMax)
    )
    world.events.set(event.key, event)
    return event
  })
}

/** Hands events over as one commit. */
function commit(
  world: World,
  context: InputContext,
  life: Life,
  events: readonly SimEvent[],
  receipt?: () => void
): void {
  life.point()
  const sink = context.sink(events[0].tag)
  const { writer } = sink
  for (const event of events) {
    writer.raw(event.bytes, 0, event.bytes.length)
    world.committed(event)
  }
  let calls = 0
  const once = (): void => {
    if (!life.isAlive) return
    if (++calls > 1) world.fail(`a receipt of ${events[0].key} is called twice`)
    world.progress++
    receipt?.()
    // What was just stored or answered must not be forgotten.
    life.point()
  }
  sink.commit(events.length, receipt === undefined ? undefined : once)
  if (life.isAlive) for (const event of events) event.isHandedOver = true
  life.point()
}

interface Stream {
  readonly events: readonly SimEvent[]
  /** Events from the first that need not be read again: what a position database keeps. */
  stored: number
  /** Next to be read by this run. */
  at: number
  /** Ends of read parts whose receipts were called, by their starts. */
  readonly resolved: Map<number, number>
}

class FileSource implements Source {
  readonly input: InputPlan
  readonly #world: World
  readonly #streams: readonly Stream[]
  #onClose = (): void => {}

  constructor(world: World, input: InputPlan, number: number) {
    this.#world = world
    this.input = input
    this.#streams = input.tags.map(tag => ({
      events: makeEvents(world, input, number, tag),
      stored: 0,
      at: 0,
      resolved: new Map()
    }))
  }

  close(): void {
    this.#onClose()
  }

  get isDone(): boolean {
    return this.#streams.every(({ stored, events }) => stored === events.length)
  }

  get state(): string {
    return this.#streams
      .map(({ stored, at, events }) => `${stored} stored, ${at} read of ${events.length}`)
      .join('; ')
  }

  open(context: InputContext, life: Life): void {
    for (const stream of this.#streams) {
      stream.at = stream.stored
      stream.resolved.clear()
    }
    let isReading = false
    const read = (): void => {
      if (isReading || !life.isAlive) return
      isReading = true
      void this.#readAll(context, life).finally(() => {
        isReading = false
      })
    }
    context.every(TICK_MS, read)
    const dice = this.#world.dice.sources
    if (dice.chance(0.3)) read()
    this.#onClose = () => {
      if (life.isAlive && dice.chance(0.3)) this.#readPart(dice.pick(this.#streams), context, life)
    }
  }

  async #readAll(context: InputContext, life: Life): Promise<void> {
    if (this.input.isParallel) {
      await Promise.all(this.#streams.map(stream => this.#read(stream, context, life)))
      return
    }
    for (const stream of this.#streams) await this.#read(stream, context, life)
  }

  /** Reads some parts of a file, as long as there is room. */
  async #read(stream: Stream, context: InputContext, life: Life): Promise<void> {
    for (let parts = this.#world.dice.sources.int(0, 4); parts > 0; parts--) {
      if (context.paused || !life.isAlive || stream.at === stream.events.length) return
      this.#readPart(stream, context, life)
      await context.ready()
    }
  }

  #readPart(stream: Stream, context: InputContext, life: Life): void {
    const { events, at } = stream
    if (at === events.length) return
    const end = Math.min(events.length, at + this.#world.dice.sources.int(1, COMMIT_EVENTS_MAX))
    stream.at = end
    commit(this.#world, context, life, events.slice(at, end), () => {
      stream.resolved.set(at, end)
      for (;;) {
        const next = stream.resolved.get(stream.stored)
        if (next === undefined) return
        stream.stored = next
      }
    })
    // Nothing more comes from this file.
    if (end === events.length) context.forget(events[0].tag)
  }
}

interface Batch {
  readonly events: readonly SimEvent[]
  isAnswered: boolean
  /** When it was sent last, in the run of this number, and how long an answer is waited for. */
  sentMs: number
  sentIn: number | undefined
  waitMs: number
}

class ClientSource implements Source {
  readonly input: InputPlan
  readonly #world: World
  readonly #batches: readonly Batch[]

  constructor(world: World, input: InputPlan, number: number) {
    this.#world = world
    this.input = input
    const dice = world.dice.sources
    this.#batches = input.tags.flatMap(tag => {
      const events = makeEvents(world, input, number, tag)
      const batches: Batch[] = []
      for (let at = 0; at < events.length;) {
        const end = at + dice.int(1, COMMIT_EVENTS_MAX)
        const part = events.slice(at, end)
        batches.push({ events: part, isAnswered: false, sentMs: 0, sentIn: undefined, waitMs: 0 })
        at = end
      }
      return batches
    })
  }

  get isDone(): boolean {
    return this.#batches.every(({ isAnswered }) => isAnswered)
  }

  get state(): string {
    const answered = this.#batches.filter(({ isAnswered }) => isAnswered).length
    return `${answered} of ${this.#batches.length} batches are answered`
  }

  open(context: InputContext, life: Life): void {
    context.every(TICK_MS, () => {
      if (life.isAlive) this.#send(context, life)
    })
  }

  close(): void {}

  #send(context: InputContext, life: Life): void {
    const { clock } = context
    const dice = this.#world.dice.sources
    const waits = (batch: Batch): boolean =>
      batch.sentIn === life.number && clock.monotonic() - batch.sentMs < batch.waitMs
    const open = this.#batches.filter(({ isAnswered }) => !isAnswered)
    let room = Math.min(dice.int(0, 3), WINDOW - open.filter(waits).length)
    for (const batch of open) {
      if (room <= 0 || context.paused || !life.isAlive) return
      if (waits(batch)) continue
      room--
      batch.waitMs = batch.sentIn === life.number ? batch.waitMs * 2 : ANSWER_WAIT_MS
      batch.sentIn = life.number
      batch.sentMs = clock.monotonic()
      commit(this.#world, context, life, batch.events, () => {
        batch.isAnswered = true
      })
    }
  }
}

class NoiseSource implements Source {
  readonly input: InputPlan
  readonly #world: World
  readonly #streams: readonly { readonly events: readonly SimEvent[]; at: number }[]

  constructor(world: World, input: InputPlan, number: number) {
    this.#world = world
    this.input = input
    this.#streams = input.tags.map(tag => ({
      events: makeEvents(world, input, number, tag),
      at: 0
    }))
  }

  get isDone(): boolean {
    return this.#streams.every(({ at, events }) => at === events.length)
  }

  get state(): string {
    return this.#streams.map(({ at, events }) => `${at} of ${events.length} sent`).join('; ')
  }

  open(context: InputContext, life: Life): void {
    const dice = this.#world.dice.sources
    context.every(TICK_MS, () => {
      for (const stream of this.#streams) {
        const { events, at } = stream
        const end = Math.min(events.length, at + dice.int(0, 6))
        if (!life.isAlive || context.paused || end === at) continue
        stream.at = end
        commit(this.#world, context, life, events.slice(at, end))
      }
    })
  }

  close(): void {}
}
