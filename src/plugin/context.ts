/** What a plugin instance gets from the engine: its only way to touch the world. */
import type { Clock, Timer } from '../base/clock.ts'
import type { Logger, LogLine } from '../base/log.ts'
import type { Signal } from '../base/signal.ts'
import type { JsonWriterOptions } from '../codec/json_writer.ts'
import type { MsgpackWriter } from '../codec/msgpack_writer.ts'
import type { ConfigError, Location } from '../config/diagnostics.ts'
import type { MetricFamily } from '../metrics/model.ts'
import type { Counter } from '../metrics/registry.ts'
import type { Parser } from '../parser/parser.ts'
import type { EventView } from '../record/event_view.ts'
import type { Network } from './network.ts'

/** A stream that plugins print to. */
export interface TextOutput {
  /** Writes all bytes before it returns, as C's `fwrite` does; throws when the reader is gone. */
  write(bytes: Buffer): void
}

/** One property as the user wrote it, after `${NAME}` was expanded. */
export interface WrittenProperty {
  /** The option's name as the plugin's table spells it. */
  readonly key: string
  readonly text: string
  readonly at: Location
}

/** The part of the context that is there in `create`, where only the configuration is looked at. */
export interface PluginContext {
  /** `tail.0`. */
  readonly name: string
  /** The alias when there is one, else the name. */
  readonly label: string
  readonly log: Logger
  readonly clock: Clock
  /** Uniform in [0, 1). */
  readonly random: () => number
  /** For plugins that declare a `network`. */
  readonly net: Network
  /** Prefix of `/proc`, `/sys` and `/etc`, empty outside tests. */
  readonly root: string
  /** The folder of the main configuration file, or the working folder. */
  readonly configDirectory: string
  /** Where plugins print: the process's standard output. */
  readonly stdout: TextOutput
  /** How the service section wants JSON written. */
  readonly json: JsonWriterOptions
  /** The plugin's own properties in the order of the configuration. */
  readonly properties: readonly WrittenProperty[]
  /** A mistake in a property of this instance, to be thrown from `create`; `index` counts repeats of the key. */
  invalid(key: string, message: string, index?: number): ConfigError
  /** Replaces `${NAME}`; for options marked `dynamic`. */
  expand(text: string): string
  /**
   * A parser by its configured name; undefined when there is none. Each call makes an instance of its own, as parsers
   * carry their last result.
   */
  parser(name: string): Parser | undefined
  /** The mistake of naming a parser that is not configured in a property of this instance. */
  unknownParser(key: string, name: string): ConfigError
  /** A counter labelled with this instance's name; the same name gives the same counter. */
  counter(name: string, help: string): Counter
  /** Counts records that this instance gave up, by reason. */
  dropped(reason: string, records: number, bytes: number): void
  /** Asks the engine to stop in order, with this exit code. */
  stop(exitCode?: number): void
}

/** Where an input puts the events of one tag. */
export interface EventSink {
  readonly tag: string
  /**
   * Write whole events here, then call `commit` in the same turn of the event loop. The writer may differ after each
   * `commit`, and bytes that were there before do not belong to the caller.
   */
  readonly writer: MsgpackWriter
  /**
   * Hands over the `count` events written since the last commit. `receipt` is called once, when the source may forget
   * them: a position is saved then, or a sender answered. That is when every delivery of these events has ended, well
   * or not, or earlier, when they are on disk or in a chunk; what the input declares as `receipts` and the
   * configuration decide (engine/receipt.ts).
   */
  commit(count: number, receipt?: () => void): void
}

/** What the program says of itself, for inputs that send it on. */
export interface ProgramView {
  /** All figures as they are now, in Fluent Bit's order. */
  metrics(): readonly MetricFamily[]
  /** Lines that the log has printed so far; the one thing here that `create` may look at. */
  readonly logPosition: number
  /**
   * Calls `take` with each log line that is printed, until the function that it gives is called.
   *
   * @param from The position to begin at; of lines before now the last few hundred are still there.
   */
  followLog(take: (line: LogLine) => void, from?: number): () => void
}

export interface InputContext extends PluginContext {
  /** Only for inputs that declare `inMainThread`. */
  readonly program: ProgramView
  /** The configured tag, or the instance's name. */
  readonly tag: string
  /**
   * The sink of a tag; the same tag gives the same sink. From `start` on: in `create` nothing is routed yet.
   *
   * @param signal What is written to it, logs unless given. Metrics and traces pass no filters and go to the outputs
   *   that take them.
   */
  sink(tag: string, signal?: Signal): EventSink
  /** Forgets the sink of a tag that will not be used again, once its open chunk is on its way. */
  forget(tag: string): void
  /** Sends open chunks on their way: for an input that knows that no more comes for now. */
  flush(): void
  /** True while `mem_buf_limit` (or a stop) holds the input back. */
  readonly paused: boolean
  /** Calls `collect` every `intervalMs`, except while paused. */
  every(intervalMs: number, collect: () => void): Timer
  /** Calls `look` every `intervalMs`, also while paused: for work that adds no events. */
  always(intervalMs: number, look: () => void): Timer
  /**
   * Undefined when more can be read at once; otherwise resolves when deliveries that are under way have made room.
   * It bounds memory between a fast input and a working output; a failing output does not hold it up.
   */
  ready(): Promise<void> | undefined
}

/** Takes records back into the pipeline under another tag; they pass all filters that match it. */
export interface Emitter {
  /** `FilterBatch.source` of the batches that this emitter's records come in: a filter must not emit those again. */
  readonly source: string
  /** False when the emitter is over its memory limit and the record was not taken. */
  emit(tag: string, event: EventView): boolean
}

export interface FilterContext extends PluginContext {
  /** An emitter of this filter. `memoryLimit` is in bytes, 0 is none. */
  emitter(options: { name: string; storageType: string; memoryLimit: number }): Emitter
  /** True for the tag when this filter's match covers it. */
  matches(tag: string): boolean
}

/** What a filter sees of the batch that an event belongs to. */
export interface FilterBatch {
  readonly tag: string
  /** Name of the input or emitter that the batch came from. */
  readonly source: string
  /** Events that reached this filter before the current one, in this batch. */
  position: number
}

/** A chunk as an output gets it. */
export interface ChunkView {
  /** Name of the chunk, as in log lines. */
  readonly id: string
  readonly tag: string
  /** Name of the input that made it. */
  readonly input: string
  /** What the bytes are; an output only gets what it declares as its `signals`. */
  readonly signal: Signal
  /**
   * Logs are events one after the other, `[[timestamp, metadata], body]`; metrics and traces are encoded contexts. Not to
   * be written to.
   */
  readonly bytes: Buffer
  readonly events: number
}

export interface OutputContext extends PluginContext {
  /** Number of this instance, counted over all outputs. */
  readonly id: number
  /** `flush` of the service section; 1 unless the engine says. */
  readonly flushSeconds: number
}
