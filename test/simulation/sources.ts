/** Who brings events: files that can be read again, clients that send again, and noise that is gone once sent. */
import { flag, int } from '../../src/config/options.ts'
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
  /** True while a run reads it. */
  readonly isOpen: boolean
  /** How far it is, for messages. */
  readonly state: string
  open(context: InputContext, life: Life): void
  /** An orderly stop: what was read already may still be handed over. */
  close(): void
  /** The run that had it is gone. */
  abandon(): void
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
      options: {
        source: int({ default: '0', doc: 'Number of the source' }),
        variant: int({ default: '0', doc: 'Anything' }),
        broken: flag({ default: 'false', doc: 'It does not start' })
      },
      ...(receipts === undefined ? {} : { receipts }),
      create: ({ source, broken }, context) => ({
        start: () => {
          life.point()
          if (broken) throw new Error('simulated: it is broken')
          sources[source].open(context, life)
        },
        stop: () => {
          sources[source].close()
          life.point()
        }
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
    const event = newEvent({ source, tag }, world.events.size, level, dice.int(0, textBytesMax))
    world.events.set(event.key, event)
    return event
  })
}

/** What all sources have: one run at a time reads them. */
class OpenSource {
  isOpen = false
  protected readonly world: World
  readonly input: InputPlan
  readonly #number: number

  constructor(world: World, input: InputPlan, number: number) {
    this.world = world
    this.input = input
    this.#number = number
  }

  protected begin(): void {
    if (this.isOpen) this.world.fail(`two inputs read source ${this.#number}`)
    this.isOpen = true
  }

  protected end(): void {
    if (!this.isOpen) this.world.fail(`the input of source ${this.#number} is stopped twice`)
    this.isOpen = false
  }

  abandon(): void {
    this.isOpen = false
  }
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

class FileSource extends OpenSource implements Source {
  readonly #streams: readonly Stream[]
  #onClose = (): void => {}
  /** Counts the inputs that have read it: receipts of an earlier one change nothing. */
  #reader = 0

  constructor(world: World, input: InputPlan, number: number) {
    super(world, input, number)
    this.#streams = input.tags.map(tag => ({
      events: makeEvents(world, input, number, tag),
      stored: 0,
      at: 0,
      resolved: new Map()
    }))
  }

  close(): void {
    this.#checkSettled()
    this.#onClose()
    this.end()
  }

  /** An input that a reload ends is given time for what is under way: what has not been settled by then comes twice. */
  #checkSettled(): void {
    const { plan, nowMs, reloadMs, life } = this.world
    const isSettled = this.#streams.every(({ stored, at }) => stored >= at)
    if (isSettled || life.isStopping || !life.isAlive) return
    const { grace } = plan.service
    if (grace >= 0 && nowMs - reloadMs >= grace * 1_000) return
    this.world.fail(`an input ends ${nowMs - reloadMs} ms after a reload began: ${this.state}`)
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
    this.begin()
    this.#reader++
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
    const dice = this.world.dice.sources
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
    for (let parts = this.world.dice.sources.int(0, 4); parts > 0; parts--) {
      if (context.paused || !life.isAlive || stream.at === stream.events.length) return
      this.#readPart(stream, context, life)
      await context.ready()
    }
  }

  #readPart(stream: Stream, context: InputContext, life: Life): void {
    const { events, at } = stream
    if (at === events.length) return
    const end = Math.min(events.length, at + this.world.dice.sources.int(1, COMMIT_EVENTS_MAX))
    stream.at = end
    const reader = this.#reader
    commit(this.world, context, life, events.slice(at, end), () => {
      if (reader !== this.#reader) return
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

class ClientSource extends OpenSource implements Source {
  readonly #batches: readonly Batch[]

  constructor(world: World, input: InputPlan, number: number) {
    super(world, input, number)
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
    this.begin()
    context.every(TICK_MS, () => {
      if (life.isAlive) this.#send(context, life)
    })
  }

  close(): void {
    this.end()
  }

  #send(context: InputContext, life: Life): void {
    const { clock } = context
    const dice = this.world.dice.sources
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
      commit(this.world, context, life, batch.events, () => {
        batch.isAnswered = true
      })
    }
  }
}

class NoiseSource extends OpenSource implements Source {
  readonly #streams: readonly { readonly events: readonly SimEvent[]; at: number }[]

  constructor(world: World, input: InputPlan, number: number) {
    super(world, input, number)
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
    this.begin()
    const dice = this.world.dice.sources
    context.every(TICK_MS, () => {
      for (const stream of this.#streams) {
        const { events, at } = stream
        const end = Math.min(events.length, at + dice.int(0, 6))
        if (!life.isAlive || context.paused || end === at) continue
        stream.at = end
        commit(this.world, context, life, events.slice(at, end))
      }
    })
  }

  close(): void {
    this.end()
  }
}
