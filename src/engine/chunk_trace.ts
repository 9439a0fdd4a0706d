/**
 * A tap on one input: writes down what becomes of its records, chunk by chunk, as events of their own. What an input brought (type
 * 1), what each filter made of it (2), the chunk before it goes to outputs (3), and what each output answered (4).
 * Source: Fluent Bit 5.1.1 src/flb_chunk_trace.c, src/flb_input_chunk.c input_chunk_append_raw(), src/flb_filter.c.
 *
 * Differs:
 * - Type 1 has the records that came. Fluent Bit's has those that were in the chunk before them, and without any it forgets the
 *   value of `records`, so that the event swallows the next one; the same with type 2 when a filter dropped all.
 * - A filter has an event when it changed something; a few of Fluent Bit's say that they did when they did not.
 * - Limits work: a chunk that was begun is followed to its end, then the tap ends. Fluent Bit takes them and never ends.
 * - Only logs are followed; of metrics and traces Fluent Bit writes events without sense.
 * - A tap whose output does not keep up drops events and counts them.
 */
import assert from 'node:assert/strict'
import type { Clock, Timer } from '../base/clock.ts'
import { skip } from '../codec/msgpack_reader.ts'
import { MsgpackWriter } from '../codec/msgpack_writer.ts'
import type { Counter } from '../metrics/registry.ts'
import type { InputContext } from '../plugin/context.ts'
import type { Delivery } from '../plugin/delivery.ts'
import { eventBodyAt, eventSeconds, isGroupMark, writeEventHeader } from '../record/event.ts'
import type { Chunk } from '../storage/chunk.ts'
import { FilterChain, type FilterStep } from './filter_chain.ts'

/** The `type` of an event: where on its way the chunk is. */
const CAME = 1
const FILTERED = 2
const READY = 3
const ANSWERED = 4

/** The `return` of an event of type 4. */
const RETURNED = { drop: 0, ok: 1, retry: 2 }

/** Name and, where there is one, alias: an instance in a trace event. */
export interface TracedInstance {
  readonly name: string
  /** The alias when there is one, else the name. */
  readonly label: string
}

/** When a tap takes no more chunks. */
export interface TraceLimit {
  readonly unit: 'count' | 'seconds'
  /** Chunks, or seconds from the start of the tap. */
  readonly value: number
}

export interface TapSettings {
  readonly input: TracedInstance
  /** Before the number of a chunk. */
  readonly prefix: string
  readonly limit: TraceLimit | undefined
  /** Where trace events go: the input of a pipeline of their own. Paused, it takes none. */
  readonly target: Pick<InputContext, 'sink' | 'paused'>
  readonly clock: Clock
  /** Counts events that the target did not take. */
  readonly dropped: Counter
}

/** A chunk that is followed. */
interface Trace {
  readonly id: string
  /** The tap will know when the chunk is settled. */
  isAwaited: boolean
}

export class ChunkTap {
  readonly #settings: TapSettings
  readonly #onEnd: () => Promise<void>
  readonly #traces = new Map<Chunk, Trace>()
  /** Each filter of a chain on its own. */
  readonly #chains = new WeakMap<FilterChain, readonly SingleFilter[]>()
  readonly #timer: Timer | undefined
  #count = 0
  #takesChunks = true
  #ending: Promise<void> | undefined

  /** @param onEnd Takes the tap away; called once. */
  constructor(settings: TapSettings, onEnd: () => Promise<void>) {
    this.#settings = settings
    this.#onEnd = onEnd
    const { limit, clock } = settings
    if (limit?.unit === 'seconds') {
      this.#timer = clock.after(limit.value * 1000, () => this.#takeNoMore())
    }
  }

  /** Takes the tap away now; what becomes of chunks that it followed is not written any more. */
  end(): Promise<void> {
    this.#timer?.cancel()
    this.#ending ??= this.#onEnd()
    return this.#ending
  }

  /** The events in `source[start, end)` have come to the filters, on their way into a chunk. */
  received(chunk: Chunk, source: Buffer, start: number, end: number): void {
    if (chunk.signal !== 'logs') return
    const trace = this.#traces.get(chunk) ?? this.#begin(chunk)
    if (trace !== undefined) this.#writeRecords(CAME, trace, source, start, end)
  }

  /** Does what `FilterChain.run` does, and tells after each filter what it made. */
  filter(
    chunk: Chunk,
    chain: FilterChain,
    ...[source, length, tag, origin, out]: Parameters<FilterChain['run']>
  ): number {
    const trace = this.#traces.get(chunk)
    if (trace === undefined) return chain.run(source, length, tag, origin, out)
    let input = source.subarray(0, length)
    let kept = -1
    for (const { step, alone, made } of this.#singleFilters(chain)) {
      made.length = 0
      const startSeconds = this.#nowSeconds
      kept = alone.run(input, input.length, tag, origin, made)
      const output = made.written()
      if (!output.equals(input)) this.#writeFiltered(trace, step, startSeconds, output)
      input = output
    }
    assert(kept >= 0, 'BUG: a chain without filters')
    out.raw(input, 0, input.length)
    return kept
  }

  /** Events were added to a chunk, or none were left to be added; its first `length` bytes go to outputs. */
  appended(chunk: Chunk, length: number): void {
    const trace = this.#traces.get(chunk)
    if (trace === undefined) return
    if (length === 0) {
      this.forget(chunk)
      return
    }
    this.#writeRecords(READY, trace, chunk.writer.bytes, 0, length)
    if (trace.isAwaited) return
    trace.isAwaited = true
    chunk.receipts.push(() => this.forget(chunk))
  }

  /** A chunk is settled, or has nothing in it: with the next events it is another one. */
  forget(chunk: Chunk): void {
    if (this.#traces.delete(chunk)) this.#endIfDone()
  }

  /** An output has answered for a chunk. */
  answered(chunk: Chunk, output: TracedInstance, answer: Delivery): void {
    const trace = this.#traces.get(chunk)
    if (trace === undefined) return
    const nowSeconds = this.#nowSeconds
    this.#write(out => {
      beginEvent(out, ANSWERED, output)
      writeInstance(out, trace, output)
      out.string('return')
      out.integer(returned(answer))
      writeTimes(out, nowSeconds, nowSeconds)
    })
  }

  #begin(chunk: Chunk): Trace | undefined {
    if (!this.#takesChunks) return undefined
    const trace = { id: `${this.#settings.prefix}${this.#count++}`, isAwaited: false }
    this.#traces.set(chunk, trace)
    const { limit } = this.#settings
    if (limit?.unit === 'count' && this.#count >= limit.value) this.#takeNoMore()
    return trace
  }

  #takeNoMore(): void {
    this.#takesChunks = false
    this.#endIfDone()
  }

  #endIfDone(): void {
    if (!this.#takesChunks && this.#traces.size === 0) void this.end()
  }

  #singleFilters(chain: FilterChain): readonly SingleFilter[] {
    let single = this.#chains.get(chain)
    if (single === undefined) {
      single = chain.steps.map(step => ({
        step,
        alone: new FilterChain([step]),
        made: new MsgpackWriter()
      }))
      this.#chains.set(chain, single)
    }
    return single
  }

  #writeRecords(type: number, trace: Trace, bytes: Buffer, start: number, end: number): void {
    const { input } = this.#settings
    const nowSeconds = this.#nowSeconds
    this.#write(out => {
      beginEvent(out, type, input)
      writeInstance(out, trace, input)
      const lastSeconds = writeRecords(out, bytes, start, end) ?? nowSeconds
      writeTimes(out, lastSeconds, nowSeconds)
    })
  }

  #writeFiltered(trace: Trace, step: FilterStep, startSeconds: number, bytes: Buffer): void {
    this.#write(out => {
      beginEvent(out, FILTERED, step)
      writeTimes(out, startSeconds, this.#nowSeconds)
      writeInstance(out, trace, step)
      writeRecords(out, bytes, 0, bytes.length)
    })
  }

  #write(write: (out: MsgpackWriter) => void): void {
    const { target, clock, dropped } = this.#settings
    if (target.paused) {
      dropped.add(1)
      return
    }
    const sink = target.sink('trace')
    const nowMs = clock.now()
    const seconds = Math.floor(nowMs / 1000)
    writeEventHeader(sink.writer, seconds, Math.floor((nowMs - seconds * 1000) * 1e6))
    write(sink.writer)
    sink.commit(1)
  }

  get #nowSeconds(): number {
    return Math.floor(this.#settings.clock.now() / 1000)
  }
}

interface SingleFilter {
  readonly step: FilterStep
  readonly alone: FilterChain
  readonly made: MsgpackWriter
}

function beginEvent(out: MsgpackWriter, type: number, instance: TracedInstance): void {
  // Type, id, instance, records or what was returned, and two times.
  out.mapHeader(hasAlias(instance) ? 7 : 6)
  out.string('type')
  out.integer(type)
}

function writeInstance(out: MsgpackWriter, trace: Trace, instance: TracedInstance): void {
  out.string('trace_id')
  out.string(trace.id)
  out.string('plugin_instance')
  out.string(instance.name)
  if (!hasAlias(instance)) return
  out.string('plugin_alias')
  out.string(instance.label)
}

function hasAlias({ name, label }: TracedInstance): boolean {
  return label !== name
}

function writeTimes(out: MsgpackWriter, startSeconds: number, endSeconds: number): void {
  out.string('start_time')
  out.integer(startSeconds)
  out.string('end_time')
  out.integer(endSeconds)
}

/** Gives the time of the last record; undefined when there is none. */
function writeRecords(
  out: MsgpackWriter,
  bytes: Buffer,
  start: number,
  end: number
): number | undefined {
  out.string('records')
  const found = [...recordsIn(bytes, start, end)]
  out.arrayHeader(found.length)
  let seconds: number | undefined
  for (const at of found) {
    seconds = eventSeconds(bytes, at)
    const bodyAt = eventBodyAt(bytes, at)
    out.mapHeader(2)
    out.string('timestamp')
    out.integer(seconds)
    out.string('record')
    out.raw(bytes, bodyAt, skip(bytes, bodyAt))
  }
  return seconds
}

/** Where the records are; marks of groups are none. */
function* recordsIn(bytes: Buffer, start: number, end: number): Generator<number> {
  for (let at = start; at < end; at = skip(bytes, at)) if (!isGroupMark(bytes, at)) yield at
}

/** As Fluent Bit numbers what an output returns. What is sent again in part is a retry, what is lost in part an error. */
function returned(answer: Delivery): number {
  if (answer.kind !== 'partial') return RETURNED[answer.kind]
  if (answer.retry.length > 0) return RETURNED.retry
  return answer.drop.length > 0 ? RETURNED.drop : RETURNED.ok
}
