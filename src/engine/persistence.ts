/**
 * What is left when the program stops: events in files stay where they are, those in memory are written to
 * `storage.path` if there is one. What can be kept nowhere is counted and reported.
 */
import type { Clock } from '../base/clock.ts'
import { STOP_SYNC_MS_MAX } from '../base/limits.ts'
import type { Logger } from '../base/log.ts'
import { systemError } from '../base/system_error.ts'
import type { ChunkFile } from '../storage/chunk_file.ts'
import type { ChunkStore } from '../storage/chunk_store.ts'
import type { RouteDelivery, Task } from './task.ts'

interface Outcome {
  /** Events, from the first, that are on disk. */
  readonly storedEvents: number
  /** Why the others are not. */
  readonly failure?: string
  /** The file that receipts have to wait for. */
  readonly file?: ChunkFile
}

/** Chunks of one route that had the same end. */
interface Sum {
  readonly level: 'info' | 'warn' | 'error'
  chunks: number
  records: number
  bytes: number
}

/** Keeps what can be kept of tasks that no output works on any more. */
export class Leftovers {
  readonly #store: ChunkStore | undefined
  readonly #log: Logger
  readonly #clock: Clock
  readonly #sums = new Map<string, Sum>()
  readonly #syncs: Promise<void>[] = []

  constructor(store: ChunkStore | undefined, log: Logger, clock: Clock) {
    this.#store = store
    this.#log = log
    this.#clock = clock
  }

  keep(task: Task): void {
    const { chunk, deliveries } = task
    const wasFound = chunk.stored !== undefined && chunk.file === undefined
    const outcome = wasFound ? { storedEvents: chunk.events } : this.#write(task)
    for (const delivery of deliveries) {
      const { events, bytes } = delivery
      delivery.output.abandon(delivery, outcome.storedEvents)
      this.#note(delivery, { events, bytes }, outcome.failure)
    }
    task.abandon(outcome.storedEvents)
    if (outcome.storedEvents === chunk.events) this.#release(task, outcome.file)
  }

  /** Says what became of all tasks, a line for each route and end; resolves when the disk has them, or takes too long. */
  async done(): Promise<void> {
    for (const [what, { level, chunks, records, bytes }] of this.#sums) {
      this.#log[level](
        `[engine] not delivered, ${what} (${chunks} chunks, ${records} records, ${bytes} bytes)`
      )
    }
    this.#sums.clear()
    const { promise, resolve } = Promise.withResolvers<void>()
    const timer = this.#clock.after(STOP_SYNC_MS_MAX, resolve)
    await Promise.race([Promise.all(this.#syncs.splice(0)), promise])
    timer.cancel()
  }

  /** Counts what is kept of a delivery, and what is lost of what it was before. */
  #note(
    delivery: RouteDelivery,
    before: { readonly events: number; readonly bytes: number },
    failure: string | undefined
  ): void {
    const { task, output, events, bytes } = delivery
    const route = `input=${task.inputLabel} > output=${output.label}`
    this.#add('info', `kept on disk: ${route}`, events, bytes)
    if (failure === undefined) return
    const { receipts, file } = task.chunk
    const comesAgain = receipts.length > 0 || file?.hasReceipts === true
    const [level, end] = comesAgain
      ? (['warn', 'to be had again from where it came from'] as const)
      : (['error', `lost, as ${failure}`] as const)
    this.#add(level, `${end}: ${route}`, before.events - events, before.bytes - bytes)
  }

  #add(level: Sum['level'], what: string, records: number, bytes: number): void {
    if (records === 0) return
    const sum = this.#sums.get(what) ?? { level, chunks: 0, records: 0, bytes: 0 }
    this.#sums.set(what, sum)
    sum.chunks++
    sum.records += records
    sum.bytes += bytes
  }

  /** Calls the receipts of a chunk that is on disk, where they may trust it. */
  #release({ chunk, owner }: Task, file: ChunkFile | undefined): void {
    const release = (): void => {
      if (owner.trustsDisk) for (const receipt of chunk.receipts) receipt()
    }
    if (file === undefined) {
      release()
      return
    }
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#syncs.push(promise)
    file.whenSafe(isSafe => {
      if (isSafe) release()
      resolve()
    })
  }

  #write(task: Task): Outcome {
    if (this.#store === undefined) return { storedEvents: 0, failure: 'there is no storage.path' }
    const { chunk, inputLabel } = task
    const file = chunk.file ?? this.#store.newFile(chunk, inputLabel)
    try {
      if (chunk.isUp) file.append(chunk.bytes, chunk.events)
      if (chunk.file === undefined) noteSettled(task, file)
      file.seal()
      return { storedEvents: chunk.events, file }
    } catch (error) {
      return { storedEvents: file.storedEvents, failure: systemError(error).text }
    }
  }
}

/** A new file knows nothing of what outputs have taken of the chunk. */
function noteSettled({ deliveries, doneBy }: Task, file: ChunkFile): void {
  for (const output of doneBy) file.settle({ output })
  for (const { output, left } of deliveries) {
    if (left !== undefined) file.settle({ output: output.identity, left })
  }
}
