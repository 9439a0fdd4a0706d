/**
 * Tags of frames, and the sinks of those that were used last: senders choose tags, so there is no end to them.
 *
 * @hot bench/pipelines.ts
 */
import type { Signal } from '../../../base/signal.ts'
import { bytesToString } from '../../../codec/msgpack_reader.ts'
import type { EventSink, InputContext } from '../../../plugin/context.ts'

/** Tags beyond this many are forgotten, the longest unused first; their open chunks go out. */
const TAGS_MAX = 4_096

export class Tags {
  readonly #context: InputContext
  readonly #prefix: string
  /** The tag of all events, whatever the senders say. */
  readonly #fixed: string | undefined
  /** The longest unused first. */
  readonly #used = new Set<string>()
  #latest: string | undefined
  /** The tag that was read last, and its bytes. */
  #last = ''
  #lastBytes = Buffer.alloc(0)

  constructor(context: InputContext, prefix: string, fixed: string | undefined) {
    this.#context = context
    this.#prefix = prefix
    this.#fixed = fixed
  }

  /** The tag for events that came with the tag between `start` and `end`. */
  read(bytes: Buffer, start: number, end: number): string {
    if (this.#fixed !== undefined) return this.#fixed
    if (this.#lastBytes.compare(bytes, start, end) !== 0 || this.#last === '') {
      this.#lastBytes = Buffer.from(bytes.subarray(start, end))
      this.#last = this.#prefix + bytesToString(this.#lastBytes, 0, end - start)
    }
    return this.#last
  }

  sink(tag: string, signal: Signal): EventSink {
    if (tag !== this.#latest) this.#use(tag)
    return this.#context.sink(tag, signal)
  }

  #use(tag: string): void {
    const used = this.#used
    this.#latest = tag
    used.delete(tag)
    used.add(tag)
    if (used.size <= TAGS_MAX) return
    const [oldest = ''] = used
    used.delete(oldest)
    this.#context.forget(oldest)
  }
}
