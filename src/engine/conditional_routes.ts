/**
 * Splits the events of an input over its conditional `routes`: each event goes to every route whose condition it meets,
 * and to the default routes when it met none. What a route takes is a chunk of its own with the route's name as its tag.
 * Source: Fluent Bit 5.1.1 src/flb_input_log.c split_and_append_route_payloads(); reference section 2.7.
 */
import type { MsgpackWriter } from '../codec/msgpack_writer.ts'
import { EventView } from '../record/event_view.ts'
import type { EventCondition } from './filter_chain.ts'
import type { SharedReceipt } from './receipt.ts'

export interface ConditionalRoute {
  readonly name: string
  /** Undefined for `default: true`, and for `per_record_routing` without a condition, which takes every event. */
  readonly condition: EventCondition | undefined
  readonly isDefault: boolean
}

/** Where the events of a route go. */
export interface RouteSink {
  readonly writer: MsgpackWriter
  /** Takes over `count` events that were written. */
  commitRouted(count: number, receipt: SharedReceipt | undefined): void
}

interface Branch {
  readonly route: ConditionalRoute
  readonly sink: RouteSink
  count: number
  writer: MsgpackWriter
}

export class RouteSplitter {
  readonly #branches: readonly Branch[]
  readonly #view = new EventView()

  constructor(branches: readonly { route: ConditionalRoute; sink: RouteSink }[]) {
    this.#branches = branches.map(branch => ({ ...branch, count: 0, writer: branch.sink.writer }))
  }

  /**
   * Copies the events of `source[0, length)` to the routes that want them and commits each route once.
   *
   * @param receipt Held once for each route that got events.
   * @returns Events written to all routes together, and those that none wanted.
   */
  split(
    source: Buffer,
    length: number,
    receipt: SharedReceipt | undefined
  ): { readonly copies: number; readonly unwanted: number; readonly unwantedBytes: number } {
    const view = this.#view
    for (const branch of this.#branches) {
      branch.count = 0
      branch.writer = branch.sink.writer
    }
    let unwanted = 0
    let unwantedBytes = 0
    for (let at = 0; at < length; at = view.end) {
      view.load(source, at)
      if (!this.#copy(view, source, false) && !this.#copy(view, source, true)) {
        unwanted++
        unwantedBytes += view.end - view.start
      }
    }
    let copies = 0
    for (const { sink, count } of this.#branches) {
      if (count === 0) continue
      copies += count
      receipt?.hold()
      sink.commitRouted(count, receipt)
    }
    return { copies, unwanted, unwantedBytes }
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
