/**
 * What is left when the program stops: events in files stay where they are, those in memory are written to
 * `storage.path` if there is one. What can be kept nowhere is counted and reported.
 */
import type { Logger } from '../base/log.ts'
import { systemError } from '../base/system_error.ts'
import type { ChunkFile } from '../storage/chunk_file.ts'
import type { ChunkStore } from '../storage/chunk_store.ts'
import type { RouteDelivery, Task } from './task.ts'

/** Keeps what can be kept of a task that no output works on any more; says so, and what is lost. */
export function leave(task: Task, chunks: ChunkStore | undefined, log: Logger): void {
  const { chunk } = task
  const wasFound = chunk.stored !== undefined && chunk.file === undefined
  const outcome = wasFound ? { storedEvents: chunk.events } : store(task, chunks)
  for (const delivery of task.deliveries) {
    report(delivery, outcome, log)
    delivery.output.abandon(delivery, outcome.storedEvents)
  }
  task.abandon(outcome.storedEvents)
  if (outcome.storedEvents === chunk.events) for (const receipt of chunk.receipts) receipt()
}

interface Outcome {
  /** Events, from the first, that are on disk. */
  readonly storedEvents: number
  /** Why the others are not. */
  readonly failure?: string
}

function report(delivery: RouteDelivery, { failure }: Outcome, log: Logger): void {
  const { task, output, events } = delivery
  const { chunk, owner } = task
  const what =
    `chunk '${chunk.id}', ${events} records, ${chunk.size} bytes: ` +
    `input=${owner.label} > output=${output.label}`
  if (failure === undefined) log.info(`[engine] not delivered, kept on disk: ${what}`)
  else log.error(`[engine] not delivered and not kept, ${failure}: ${what}`)
}

function store(task: Task, chunks: ChunkStore | undefined): Outcome {
  if (chunks === undefined) return { storedEvents: 0, failure: 'there is no storage.path' }
  const { chunk, deliveries, owner } = task
  const outputs = [...deliveries].map(({ output }) => output.label)
  const origin = { tag: chunk.tag, input: owner.label, outputs }
  const file: ChunkFile = chunk.file ?? chunks.newFile(chunk.id, chunk.input, origin)
  try {
    if (chunk.isUp) file.append(chunk.bytes, chunk.events)
    if (chunk.file === undefined) noteLeft(deliveries, file)
    file.seal()
    return { storedEvents: chunk.events }
  } catch (error) {
    return { storedEvents: file.storedEvents, failure: systemError(error).text }
  }
}

/** A new file knows nothing of what outputs have taken of the chunk. */
function noteLeft(deliveries: Iterable<RouteDelivery>, file: ChunkFile): void {
  for (const { output, left } of deliveries) {
    if (left !== undefined) file.settle({ output: output.label, left })
  }
}
