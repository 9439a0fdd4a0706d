/**
 * Takes records that filters send back under another tag and hands them to the pipeline as an input of its own.
 * Source: Fluent Bit 5.1.1 plugins/in_emitter/emitter.c.
 */
import { EMITTER_DRAIN_ROUNDS_MAX } from '../base/limits.ts'
import { MsgpackWriter } from '../codec/msgpack_writer.ts'
import type { Emitter } from '../plugin/context.ts'
import type { EventView } from '../record/event_view.ts'
import type { InputRuntime } from './input_runtime.ts'
import type { SharedReceipt } from './receipt.ts'
import type { EmittedRecords } from './tag_sink.ts'

interface Pending {
  readonly writer: MsgpackWriter
  count: number
  /** Receipts of what the records were made of. */
  readonly receipts: Set<SharedReceipt>
}

export class EmitterRuntime implements Emitter {
  readonly input: InputRuntime
  readonly #memoryLimit: number
  readonly #emitters: Emitters
  #pending = new Map<string, Pending>()
  /** Bytes that were emitted and not handed on. */
  #pendingBytes = 0

  /** @param memoryLimit Bytes, 0 is none. */
  constructor(input: InputRuntime, memoryLimit: number, emitters: Emitters) {
    this.input = input
    this.#memoryLimit = memoryLimit
    this.#emitters = emitters
  }

  get source(): string {
    return this.input.name
  }

  emit(tag: string, event: EventView): boolean {
    let pending = this.#pending.get(tag)
    if (pending === undefined) {
      pending = { writer: new MsgpackWriter(512), count: 0, receipts: new Set() }
      this.#pending.set(tag, pending)
    }
    const { writer } = pending
    const before = writer.length
    event.encode(writer)
    const bytes = writer.length - before
    const held = this.input.memoryBytes + this.#pendingBytes + bytes
    if (this.#memoryLimit > 0 && held > this.#memoryLimit) {
      writer.length = before
      return false
    }
    this.#pendingBytes += bytes
    pending.count++
    const { receipt } = this.#emitters
    if (receipt !== undefined && !pending.receipts.has(receipt)) {
      pending.receipts.add(receipt)
      receipt.hold()
    }
    return true
  }

  /** Hands on what was emitted; false when there was nothing. */
  drain(): boolean {
    if (this.#pending.size === 0) return false
    const pending = this.#pending
    this.#pending = new Map()
    this.#pendingBytes = 0
    for (const [tag, { writer, count, receipts }] of pending) {
      const sink = this.input.sink(tag)
      sink.writer.raw(writer.bytes, 0, writer.length)
      if (receipts.size === 0) sink.commit(count)
      else {
        // What one of them waits for is right for all.
        const isSettled = [...receipts].some(({ moment }) => moment === 'settled')
        const release = (): void => {
          for (const receipt of receipts) receipt.release()
        }
        sink.commit(count, release, isSettled ? 'settled' : undefined)
      }
    }
    this.input.trim()
    return true
  }
}

/** All emitters of a pipeline. */
export class Emitters implements EmittedRecords {
  receipt: SharedReceipt | undefined
  #emitters: readonly EmitterRuntime[] = []
  #draining = false

  /** Those that there are from now on. */
  use(emitters: readonly EmitterRuntime[]): void {
    this.#emitters = emitters
  }

  /**
   * Hands on what was emitted until nothing is left. Records that go round for ever between filters stop after a
   * bounded number of rounds and go on with the next call, so that the rest of the pipeline keeps working.
   */
  drain(): void {
    if (this.#draining) return
    this.#draining = true
    for (let round = 0; round < EMITTER_DRAIN_ROUNDS_MAX; round++) {
      let moved = false
      for (const emitter of this.#emitters) moved = emitter.drain() || moved
      if (!moved) break
    }
    this.#draining = false
  }
}
