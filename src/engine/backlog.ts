/**
 * Chunks that an earlier run, or a Fluent Bit, left on disk: they are read and checked in the background and sent to the
 * outputs that have not had them, no more at once than `storage.backlog.mem_limit`.
 * Source of order and log lines: Fluent Bit 5.1.1 plugins/in_storage_backlog/sb.c.
 */
import { basename } from 'node:path'
import type { Clock, Timer } from '../base/clock.ts'
import type { Logger } from '../base/log.ts'
import type { Signal } from '../base/signal.ts'
import { systemError } from '../base/system_error.ts'
import type { Metrics } from '../metrics/registry.ts'
import { Chunk } from '../storage/chunk.ts'
import type { StoredChunk } from '../storage/chunk_file.ts'
import type { ChunkStore, FoundFile, RecoveredChunk, Recovery } from '../storage/chunk_store.ts'
import type { ChunkHolder } from './chunk_stats.ts'
import {
  type InputCounters,
  inputCounters,
  NO_GAUGES,
  registerInputGauges
} from './input_figures.ts'
import { inputName, type Ledger } from './ledger.ts'
import type { OutputRuntime } from './output_runtime.ts'
import { RouteDelivery, type Task, type TaskOwner } from './task.ts'

/** How long chunks on their way are waited for before others are sent all the same. */
const ROOM_WAIT_MS = 1_000

export interface BacklogWorld {
  readonly log: Logger
  readonly clock: Clock
  readonly ledger: Ledger
  readonly metrics: Metrics
  readonly store: ChunkStore
  /** The outputs that match a tag and take the signal. */
  route(tag: string, signal: Signal): readonly OutputRuntime[]
  outputs(): readonly OutputRuntime[]
  newTask(chunk: Chunk, owner: TaskOwner, input: string): Task
  /** Counts bytes that could not be read, by reason. */
  countBad(reason: string, bytes: number): void
}

export class Backlog implements TaskOwner, ChunkHolder {
  readonly plugin = 'storage_backlog'
  readonly name: string
  readonly isBacklog = true
  readonly trustsDisk = true
  readonly #world: BacklogWorld
  readonly #counters: InputCounters
  /** What may be in memory is what `storage.max_chunks_up` allows. */
  readonly overLimit = false
  readonly memoryBytesMax = 0
  readonly openChunks = []
  /** Chunks that have not ended. */
  readonly tasks = new Set<Task>()
  /** Bytes that may be on their way at once. */
  #bytesMax: number
  /** Tasks that are not on their way yet, oldest first. */
  readonly #held = new Set<Task>()
  /** Tasks that are on their way and do not wait for a retry, and their bytes. */
  readonly #onWay = new Set<Task>()
  #bytes = 0
  #isSending = false
  #timer: Timer | undefined
  #reading: Promise<void> = Promise.resolve()
  /** Events that stay on disk as no output wants them, by row of the ledger. */
  readonly #unrouted = new Map<string, number>()
  #stopped = false

  /** @param number The first that no input has. */
  constructor(number: number, bytesMax: number, world: BacklogWorld) {
    this.name = `storage_backlog.${number}`
    this.#bytesMax = bytesMax
    this.#world = world
    this.#counters = inputCounters(world.metrics, this.name, 'memory')
    registerInputGauges(world.metrics, this.name, NO_GAUGES)
  }

  get label(): string {
    return this.name
  }

  get memoryBytes(): number {
    let bytes = 0
    for (const { chunk } of this.tasks) if (chunk.isUp) bytes += chunk.size
    return bytes
  }

  /** Chunks that are not on their way yet. */
  get held(): ReadonlySet<Task> {
    return this.#held
  }

  /** Events that stay on disk as no output wants them, by row of the ledger. */
  get unrouted(): ReadonlyMap<string, number> {
    return this.#unrouted
  }

  /** Begins to read and check files one by one, letting other work in between. */
  read(found: readonly FoundFile[]): void {
    this.#reading = this.#readAll(found)
  }

  /** Nothing more is read or sent. */
  stop(): void {
    this.#stopped = true
    this.#timer?.cancel()
  }

  /** Sends all that is left, whatever it takes: `storage.backlog.flush_on_shutdown`. Resolves when all is read. */
  async finish(): Promise<void> {
    this.#bytesMax = Number.POSITIVE_INFINITY
    this.#sendSome()
    await this.#reading
  }

  /** A chunk waits for a retry, or an output has it: others need not wait for it. */
  release(task: Task): void {
    if (this.#onWay.delete(task)) this.#bytes -= task.chunk.size
    this.#sendSome()
  }

  ended(task: Task): void {
    this.tasks.delete(task)
    this.#held.delete(task)
    this.release(task)
  }

  async #readAll(found: readonly FoundFile[]): Promise<void> {
    for (const file of found) {
      if (this.#stopped) return
      this.#take(file)
      await new Promise(setImmediate)
    }
  }

  #take(file: FoundFile): void {
    let recovery: Recovery
    try {
      recovery = this.#world.store.recover(file)
    } catch (error) {
      this.#say(
        'error',
        `cannot read ${file.path}: ${systemError(error).text}; it is left as it is`
      )
      this.#world.countBad('unreadable', 0)
      return
    }
    const { chunk, bad, leftFor } = recovery
    if (bad !== undefined) {
      this.#say('error', `bad chunk file ${bad.path}: ${bad.reason}, ${bad.bytes} bytes ${bad.end}`)
      this.#world.countBad(bad.reason, bad.bytes)
    }
    if (leftFor !== undefined) {
      this.#say('warn', `${file.path} holds ${leftFor}, which this version cannot send; it is kept`)
    }
    if (chunk !== undefined) this.#register(chunk, `${file.folder}/${basename(file.path)}`)
  }

  #register(recovered: RecoveredChunk, shownName: string): void {
    const { origin, events, bytes, stored, settled, id } = recovered
    const { ledger } = this.#world
    const outputs = this.#outputsOf(recovered)
    if (outputs.length === 0) {
      this.#say('info', `no matching route for ${shownName}, keeping it on disk`)
      ledger.input(origin.input).recovered += events
      const row = inputName(origin.input)
      this.#unrouted.set(row, (this.#unrouted.get(row) ?? 0) + events)
      return
    }
    const done = new Map(settled.map(({ output, left }) => [output, left] as const))
    const open = outputs.filter(
      ({ identity }) => !done.has(identity) || done.get(identity) !== undefined
    )
    if (open.length === 0) {
      // A crash came between the last delivery and the removal of the file.
      this.#remove(stored, shownName)
      return
    }
    this.#say('info', `register ${shownName}`)
    this.#counters.records.add(events)
    this.#counters.bytes.add(bytes)
    const { tag, input, signal = 'logs' } = origin
    const parts = { id, tag, input, signal }
    const chunk = Chunk.down(parts, stored, bytes, events)
    const task = this.#world.newTask(chunk, this, origin.input)
    task.account.recovered += events
    for (const output of open) {
      const delivery = new RouteDelivery(task, output, ledger.route(origin.input, output.label))
      delivery.left = done.get(output.identity)
      delivery.account.recovered += delivery.events
      task.add(delivery)
      output.hold(delivery)
    }
    this.tasks.add(task)
    this.#held.add(task)
    for (const output of open) output.reserve(chunk, bytes)
    this.#sendSome()
  }

  #remove(stored: StoredChunk, shownName: string): void {
    try {
      stored.remove()
    } catch (error) {
      this.#say('error', `cannot remove ${shownName}: ${systemError(error).text}`)
    }
  }

  /** The outputs that a route chose when the chunk was made, else those that match its tag. */
  #outputsOf({ origin }: RecoveredChunk): readonly OutputRuntime[] {
    const { outputs, route } = this.#world
    const labels = origin.outputs
    if (labels === undefined) return route(origin.tag, origin.signal ?? 'logs')
    return outputs().filter(({ label, name }) => labels.includes(label) || labels.includes(name))
  }

  #sendSome(): void {
    // An output that answers at once comes back here before `deliver` returns.
    if (this.#isSending || this.#stopped) return
    this.#isSending = true
    for (const task of this.#held) {
      // One is always on its way, however low the limit.
      if (this.#bytes > 0 && this.#bytes >= this.#bytesMax) {
        this.#waitForRoom()
        break
      }
      this.#send(task)
    }
    this.#isSending = false
  }

  /** A hanging output must not hold up the others: after a while go on as if its chunks were retried. */
  #waitForRoom(): void {
    this.#timer ??= this.#world.clock.after(ROOM_WAIT_MS, () => {
      this.#timer = undefined
      this.#onWay.clear()
      this.#bytes = 0
      this.#sendSome()
    })
  }

  #send(task: Task): void {
    this.#held.delete(task)
    this.#onWay.add(task)
    this.#bytes += task.chunk.size
    this.#say('info', `queueing ${task.chunk.input}:${task.chunk.id}`)
    for (const delivery of Array.from(task.deliveries)) delivery.output.deliver(delivery)
  }

  #say(level: 'info' | 'warn' | 'error', text: string): void {
    this.#world.log[level](`[input:${this.plugin}:${this.name}] ${text}`)
  }
}
