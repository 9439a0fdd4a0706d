/**
 * What is left when the program stops: events in files stay where they are, those in memory are written to
 * `storage.path` if there is one. What can be kept nowhere is counted and reported.
 */
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
  readonly #sums = new Map<string, Sum>()

  constructor(store: ChunkStore | undefined, log: Logger) {
    this.#store = store
    this.#log = log
  }

  keep(task: Task): void {
    const { chunk, deliveries } = task
    const wasFound = chunk.stored !== undefined && chunk.file === undefined
    const outcome = wasFound ? { storedEvents: chunk.events } : this.#write(task)
    for (const delivery of deliveries) {
      this.#note(delivery, outcome)
      delivery.output.abandon(delivery, outcome.storedEvents)
    }
    task.abandon(outcome.storedEvents)
    if (outcome.storedEvents === chunk.events) for (const receipt of chunk.receipts) receipt()
  }

  /** Says what became of all tasks, a line for each route and end. */
  report(): void {
    for (const [what, { level, chunks, records, bytes }] of this.#sums) {
      this.#log[level](
        `[engine] not delivered, ${what} (${chunks} chunks, ${records} records, ${bytes} bytes)`
      )
    }
    this.#sums.clear()
  }

  #note({ task, output, events }: RouteDelivery, { failure }: Outcome): void {
    const { chunk, inputLabel } = task
    const [level, end] = endOf(failure, chunk.receipts.length > 0)
    const what = `${end}: input=${inputLabel} > output=${output.label}`
    const sum = this.#sums.get(what) ?? { level, chunks: 0, records: 0, bytes: 0 }
    this.#sums.set(what, sum)
    sum.chunks++
    sum.records += events
    sum.bytes += chunk.size
  }

  #write(task: Task): Outcome {
    if (this.#store === undefined) return { storedEvents: 0, failure: 'there is no storage.path' }
    const { chunk, deliveries, inputLabel } = task
    const outputs = [...deliveries].map(({ output }) => output.label)
    const origin = { tag: chunk.tag, input: inputLabel, outputs }
    const file = chunk.file ?? this.#store.newFile(chunk.id, chunk.input, origin)
    try {
      if (chunk.isUp) file.append(chunk.bytes, chunk.events)
      if (chunk.file === undefined) noteLeft(deliveries, file)
      file.seal()
      return { storedEvents: chunk.events }
    } catch (error) {
      return { storedEvents: file.storedEvents, failure: systemError(error).text }
    }
  }
}

/** How to call what happened to a chunk. @param hasReceipts Its input does not think that it is done with. */
function endOf(failure: string | undefined, hasReceipts: boolean): readonly [Sum['level'], string] {
  if (failure === undefined) return ['info', 'kept on disk']
  return hasReceipts
    ? ['warn', 'to be had again from where it came from']
    : ['error', `lost, as ${failure}`]
}

/** A new file knows nothing of what outputs have taken of the chunk. */
function noteLeft(deliveries: Iterable<RouteDelivery>, file: ChunkFile): void {
  for (const { output, left } of deliveries) {
    if (left !== undefined) file.settle({ output: output.label, left })
  }
}
