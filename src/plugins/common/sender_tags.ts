/** Tags that senders choose: how they are written, and sinks for any number of them. */
import { TAG_BYTES_MAX, TAGS_IDLE_MAX } from '../../base/limits.ts'
import { contentCount, headerSize, isString, skip } from '../../codec/msgpack_reader.ts'
import { MsgpackWriter } from '../../codec/msgpack_writer.ts'
import type { EventSink, InputContext } from '../../plugin/context.ts'
import { type Accessor, compileAccessor } from '../../record/accessor.ts'
import { eventBodyAt } from '../../record/event.ts'

/** Where events are written before their tags are known; a larger buffer is not kept. */
const STAGING_BYTES_MAX = 1_048_576

/** Each byte that is no letter, digit, `_` or `.` becomes `_`, as Fluent Bit's HTTP inputs do it. */
export function safeTag(bytes: Buffer, start = 0, end = bytes.length): string {
  return bytes.latin1Slice(start, end).replace(/[^\w.]/g, '_')
}

/** A tag as it is written. */
export function textTag(bytes: Buffer, start: number, end: number): string {
  return bytes.utf8Slice(start, end)
}

/** Makes a tag of text that a sender chose. */
type TagText = (bytes: Buffer, start: number, end: number) => string

/** The sinks of tags that come from outside. There is no end to those, so old ones are forgotten. */
export class SenderTags {
  readonly #context: InputContext
  readonly #key: Accessor | undefined
  readonly #textOf: TagText
  /** In the order in which they came. */
  readonly #known = new Set<string>()
  #staging = new MsgpackWriter()

  /**
   * @param tagKey Names the value of a record that is its tag; `tag_key`.
   * @param textOf Makes the tag of that value.
   */
  constructor(tagKey: string | undefined, context: InputContext, textOf: TagText = safeTag) {
    this.#context = context
    this.#textOf = textOf
    this.#key = tagKey === undefined ? undefined : accessorOf(tagKey, context)
  }

  /** Where the events of one request are to be written, until `commit`. */
  writer(tag: string): MsgpackWriter {
    this.#trim()
    return this.#key === undefined ? this.#sink(tag).writer : this.#staging
  }

  /**
   * Hands over what was written to `writer(tag)`.
   *
   * @param receipt Called once, when the sender may forget all of the events.
   */
  commit(tag: string, count: number, receipt: () => void): void {
    if (count === 0) receipt()
    else if (this.#key === undefined) this.#sink(tag).commit(count, receipt)
    else this.#commitByTag(this.#key, tag, receipt)
  }

  #commitByTag(key: Accessor, fallback: string, receipt: () => void): void {
    const { bytes, length } = this.#staging
    const counts = new Map<EventSink, number>()
    let pending = 1
    const release = (): void => {
      if (--pending === 0) receipt()
    }
    const commitAll = (): void => {
      pending += counts.size
      for (const [sink, count] of counts) sink.commit(count, release)
      counts.clear()
      this.#trim()
    }
    for (let at = 0, next = 0; at < length; at = next) {
      const bodyAt = eventBodyAt(bytes, at)
      next = skip(bytes, bodyAt)
      const sink = this.#sink(tagOf(key, this.#textOf, bytes, bodyAt) || fallback)
      sink.writer.raw(bytes, at, next)
      counts.set(sink, (counts.get(sink) ?? 0) + 1)
      if (counts.size >= TAGS_IDLE_MAX) commitAll()
    }
    commitAll()
    this.#staging.length = 0
    if (bytes.length > STAGING_BYTES_MAX) this.#staging = new MsgpackWriter()
    release()
  }

  #sink(tag: string): EventSink {
    if (tag !== this.#context.tag) this.#known.add(tag)
    return this.#context.sink(tag)
  }

  #trim(): void {
    if (this.#known.size <= TAGS_IDLE_MAX) return
    for (const tag of this.#known) {
      this.#context.forget(tag)
      this.#known.delete(tag)
      if (this.#known.size <= TAGS_IDLE_MAX) return
    }
  }
}

/** Empty when the record has no such text. */
function tagOf(key: Accessor, textOf: TagText, bytes: Buffer, mapAt: number): string {
  const at = key.find(bytes, mapAt)
  if (at < 0 || !isString(bytes[at])) return ''
  const start = at + headerSize(bytes[at])
  // Longer ones are cut, as in Fluent Bit.
  return textOf(bytes, start, start + Math.min(contentCount(bytes, at), TAG_BYTES_MAX))
}

function accessorOf(text: string, context: InputContext): Accessor {
  const accessor = compileAccessor(text)
  if ('error' in accessor) throw context.invalid('tag_key', accessor.error)
  return accessor
}
