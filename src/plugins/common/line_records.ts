/**
 * Events from a stream of lines that comes in parts of any size, made by a parser.
 * Source: Fluent Bit 5.1.1 plugins/in_stdin/in_stdin.c in_stdin_collect().
 *
 * @hot bench/pipelines.ts
 */
import { type Parser, TextBlock } from '../../parser/parser.ts'
import type { EventSink, InputContext } from '../../plugin/context.ts'
import { writeParsed } from './send_event.ts'

const EMPTY = Buffer.alloc(0)

const LINE_FEED = 0x0a

/**
 * Gives each line to the parser; the last need not have a line end. Lines that the parser does not understand, or that
 * are longer than `bytesMax` (the input's `buffer_size`), are counted and left out.
 */
export class LineRecords {
  readonly #parser: Parser
  readonly #bytesMax: number
  readonly #context: InputContext
  readonly #block = new TextBlock()
  /** The begin of a line whose end has not come yet. */
  #rest = EMPTY
  /** True while what comes belongs to a line that is too long. */
  #isSkipping = false

  constructor(parser: Parser, bytesMax: number, context: InputContext) {
    this.#parser = parser
    this.#bytesMax = bytesMax
    this.#context = context
  }

  /** Takes the next bytes, which may be used again when this returns. */
  take(read: Buffer): void {
    const bytes = this.#rest.length === 0 ? read : Buffer.concat([this.#rest, read])
    const start = this.#isSkipping ? this.#skipTooLong(bytes) : 0
    const end = bytes.lastIndexOf(LINE_FEED) + 1
    if (start < end) this.#takeLines(bytes, start, end)
    this.#keep(bytes, Math.max(start, end))
  }

  /** What has come of a line whose end has not. */
  get rest(): Buffer {
    return this.#rest
  }

  /** Nothing more comes. */
  end(): void {
    const rest = this.#rest
    this.#rest = EMPTY
    if (rest.length > 0) this.#takeLines(rest, 0, rest.length)
  }

  get #sink(): EventSink {
    return this.#context.sink(this.#context.tag)
  }

  /** Takes lines of which the last may lack its line end. */
  #takeLines(bytes: Buffer, start: number, end: number): void {
    const timeMs = this.#context.clock.now()
    const parser = this.#parser
    const block = this.#block
    const sink = this.#sink
    const { writer } = sink
    block.set(bytes, start, end)
    let count = 0
    let unparsed = 0
    let unparsedBytes = 0
    for (let at = start; at < end;) {
      const feed = bytes.indexOf(LINE_FEED, at)
      const lineEnd = feed < 0 ? end : feed
      if (lineEnd - at > this.#bytesMax) {
        this.#reportTooLong(lineEnd - at)
      } else if (writeParsed(parser, block, at, lineEnd, timeMs, writer)) {
        count++
      } else {
        unparsed++
        unparsedBytes += lineEnd - at
      }
      at = lineEnd + 1
    }
    if (count > 0) sink.commit(count)
    if (unparsed > 0) this.#context.dropped('unparsed', unparsed, unparsedBytes)
  }

  #keep(bytes: Buffer, at: number): void {
    const length = bytes.length - at
    if (length <= this.#bytesMax) {
      this.#rest = length === 0 ? EMPTY : Buffer.from(bytes.subarray(at))
      return
    }
    this.#rest = EMPTY
    this.#isSkipping = true
    this.#reportTooLong(length)
  }

  /** Where reading goes on after a line that is too long; the end when more of it is to come. */
  #skipTooLong(bytes: Buffer): number {
    const feed = bytes.indexOf(LINE_FEED)
    this.#isSkipping = feed < 0
    const skipped = feed < 0 ? bytes.length : feed + 1
    this.#context.dropped('too_long', 0, skipped)
    return skipped
  }

  #reportTooLong(length: number): void {
    const { log } = this.#context
    log.error(`Cannot take line: it is longer than buffer_size, which is ${this.#bytesMax}`)
    this.#context.dropped('too_long', 1, length)
  }
}
