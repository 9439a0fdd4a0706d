/**
 * Splits the events of an input over its conditional `routes`: each event goes to every route whose condition it meets,
 * and to the default routes when it met none. What a route takes is a chunk of its own with the route's name as its tag.
 * Source: Fluent Bit 5.1.1 src/flb_input_log.c split_and_append_route_payloads(); reference section 2.7.
 */
import type { MsgpackWriter } from '../codec/msgpack_writer.ts'
import type { EventSink } from '../plugin/context.ts'
import { EventView } from '../record/event_view.ts'
import type { EventCondition } from './filter_chain.ts'

export interface ConditionalRoute {
  readonly name: string
  /** Undefined for `default: true`, and for `per_record_routing` without a condition, which takes every event. */
  readonly condition: EventCondition | undefined
  readonly isDefault: boolean
}

interface Branch {
  readonly route: ConditionalRoute
  readonly sink: EventSink
  count: number
  writer: MsgpackWriter
}

export class RouteSplitter {
  readonly #branches: readonly Branch[]
  readonly #view = new EventView()

  constructor(branches: readonly { route: ConditionalRoute; sink: EventSink }[]) {
    this.#branches = branches.map(branch => ({ ...branch, count: 0, writer: branch.sink.writer }))
  }

  /** Number of sinks that `split` commits to. */
  get size(): number {
    return this.#branches.length
  }

  /**
   * Copies the events of `source[0, length)` to the routes that want them and commits each route once.
   *
   * @param unmatched Told the number of events, and of their bytes, that no route wanted.
   */
  split(
    source: Buffer,
    length: number,
    settled: (() => void) | undefined,
    unmatched: (events: number, bytes: number) => void
  ): void {
    const view = this.#view
    for (const branch of this.#branches) {
      branch.count = 0
      branch.writer = branch.sink.writer
    }
    let lost = 0
    let lostBytes = 0
    for (let at = 0; at < length; at = view.end) {
      view.load(source, at)
      if (!this.#copy(view, source, false) && !this.#copy(view, source, true)) {
        lost++
        lostBytes += view.end - view.start
      }
    }
    if (lost > 0) unmatched(lost, lostBytes)
    for (const branch of this.#branches) branch.sink.commit(branch.count, settled)
  }

  /** True when a route of the wanted kind took the event. */
  #copy(view: EventView, source: Buffer, toDefaults: boolean): boolean {
    let taken = false
    for (const branch of this.#branches) {
      const { isDefault, condition } = branch.route
      if (isDefault !== toDefaults) continue
      if (condition !== undefined && !condition(view)) continue
      branch.writer.raw(source, view.start, view.end)
      branch.count++
      taken = true
    }
    return taken
  }
}

/** Calls `settled` when the returned function was called `count` times. */
export function afterAll(
  count: number,
  settled: (() => void) | undefined
): (() => void) | undefined {
  if (settled === undefined || count === 1) return settled
  let left = count
  return () => {
    if (--left === 0) settled()
  }
}
