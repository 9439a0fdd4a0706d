/**
 * Runs filters over batches of events. Each event is loaded once into a view and passes all filters of a stage; what no filter touched
 * is copied byte for byte, in runs. A filter that needs the whole batch to have passed the earlier ones (it prints, for
 * example) starts a stage of its own.
 *
 * @hot bench/pipelines.ts
 */
import type { Logger } from '../base/log.ts'
import { MsgpackWriter } from '../codec/msgpack_writer.ts'
import type { Counter } from '../metrics/registry.ts'
import type { Filter } from '../plugin/define.ts'
import { isGroupMark } from '../record/event.ts'
import { EventView } from '../record/event_view.ts'

/** Says for an event whether a processor applies to it. */
export type EventCondition = (event: EventView) => boolean

/** What a filter has seen and done, as Fluent Bit's metrics name it. */
export interface FilterCounters {
  readonly records: Counter
  readonly bytes: Counter
  readonly added: Counter
  readonly dropped: Counter
  readonly droppedBytes: Counter
  /** Events that were kept as they were because the filter threw. */
  readonly failed: Counter
}

/** What a processor has seen and done; it is a filter too and has those counters beside these. */
export interface ProcessorCounters {
  readonly invocations: Counter
  readonly errors: Counter
  readonly itemsIn: Counter
  readonly itemsOut: Counter
  readonly itemsDrop: Counter
}

/** One filter instance in a chain. */
export interface FilterStep {
  /** `grep.0`. */
  readonly name: string
  /** Alias or name. */
  readonly label: string
  readonly filter: Filter
  readonly wholeBatch: boolean
  readonly condition: EventCondition | undefined
  readonly counters: FilterCounters
  /** Of a processor of an input or output. */
  readonly processor?: ProcessorCounters | undefined
  readonly log: Logger
}

interface RunningStep extends FilterStep {
  readonly batch: { tag: string; source: string; position: number }
  /** In this batch. */
  dropped: number
  failed: number
}

export class FilterChain {
  readonly steps: readonly FilterStep[]
  readonly #stages: readonly (readonly RunningStep[])[]
  readonly #view = new EventView()
  /** Output of each stage but the last. */
  readonly #between: readonly MsgpackWriter[]

  constructor(steps: readonly FilterStep[]) {
    this.steps = steps
    const stages: RunningStep[][] = []
    for (const step of steps) {
      const batch = { tag: '', source: '', position: 0 }
      const running = { ...step, batch, dropped: 0, failed: 0 }
      const last = stages.at(-1)
      if (last === undefined || step.wholeBatch || last[0].wholeBatch) stages.push([running])
      else last.push(running)
    }
    this.#stages = stages
    this.#between = stages.slice(1).map(() => new MsgpackWriter())
  }

  /**
   * Filters the events of `source[0, length)` into `out`.
   *
   * @param source Events one after the other; not kept.
   * @param tag Tag of all of them.
   * @param origin Name of the input or emitter that they come from.
   * @returns Events written to `out`.
   */
  run(source: Buffer, length: number, tag: string, origin: string, out: MsgpackWriter): number {
    let input = source
    let inputLength = length
    let kept = 0
    for (let index = 0; index < this.#stages.length; index++) {
      const stage = this.#stages[index]
      const target = index === this.#stages.length - 1 ? out : this.#between[index]
      if (target !== out) target.length = 0
      for (const step of stage) begin(step, tag, origin)
      kept = this.#runStage(stage, input, inputLength, target)
      for (const step of stage) step.filter.end?.(step.batch)
      input = target.bytes
      inputLength = target.length
    }
    return kept
  }

  #runStage(
    stage: readonly RunningStep[],
    source: Buffer,
    length: number,
    out: MsgpackWriter
  ): number {
    const view = this.#view
    let kept = 0
    let marks = 0
    let at = 0
    // Bytes [clean, at) were kept as they are and not copied yet.
    let clean = 0
    const begin = out.length
    while (at < length) {
      view.load(source, at)
      const next = view.end
      const isMark = isGroupMark(source, at)
      if (isMark) marks++
      if (!isMark && !apply(stage, view)) {
        if (at > clean) out.raw(source, clean, at)
        clean = next
      } else {
        kept++
        if (view.modified) {
          if (at > clean) out.raw(source, clean, at)
          view.encode(out)
          clean = next
        }
      }
      at = next
    }
    if (at > clean) out.raw(source, clean, at)
    // As in Fluent Bit: of what was left as it was no bytes are counted.
    count(stage, kept - marks, clean > 0 ? out.length - begin : 0)
    return kept
  }
}

function begin(step: RunningStep, tag: string, origin: string): void {
  step.batch.tag = tag
  step.batch.source = origin
  step.batch.position = 0
  step.dropped = 0
  step.failed = 0
  step.filter.begin?.(step.batch)
}

/**
 * Counts a batch.
 *
 * @param kept Events that have passed all steps.
 * @param bytes What the stage has made of a batch that it changed; each of its steps is said to have made it.
 */
function count(stage: readonly RunningStep[], kept: number, bytes: number): void {
  let after = kept
  for (let index = stage.length - 1; index >= 0; index--) {
    const { counters, processor, dropped, failed } = stage[index]
    const before = after + dropped
    counters.records.value += before
    counters.bytes.value += bytes
    counters.dropped.value += dropped
    if (processor !== undefined && before > 0) {
      processor.invocations.value++
      if (failed > 0) processor.errors.value++
      processor.itemsIn.value += before
      processor.itemsOut.value += after
      processor.itemsDrop.value += dropped
    }
    after = before
  }
}

/** False when a filter dropped the event. */
function apply(stage: readonly RunningStep[], view: EventView): boolean {
  for (let index = 0; index < stage.length; index++) {
    const step = stage[index]
    if (step.condition !== undefined && !step.condition(view)) continue
    const { counters } = step
    let keep = true
    try {
      keep = step.filter.filter(view, step.batch)
    } catch (error) {
      step.failed++
      if (counters.failed.value++ === 0) {
        step.log.error(`filter failed, record kept as it is: ${String(error)}`)
      }
    }
    step.batch.position++
    if (!keep) {
      step.dropped++
      counters.droppedBytes.value += view.end - view.start
      return false
    }
  }
  return true
}
