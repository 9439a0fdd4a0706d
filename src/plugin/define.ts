/**
 * The plugin contract: one declaration and one constructor. The option table is the only description of what a plugin can be told;
 * `create` gets its values, typed, checks what the table cannot say, and touches nothing outside. `start` may.
 */
import type { Signal } from '../base/signal.ts'
import type { OptionTable, Values } from '../config/options.ts'
import type { EventView } from '../record/event_view.ts'
import type {
  ChunkView,
  FilterBatch,
  FilterContext,
  InputContext,
  OutputContext
} from './context.ts'
import type { Delivery } from './delivery.ts'

export interface Input {
  /**
   * Begins to read. A failure to begin is thrown and stops the start of the program, or the reload; what it has opened
   * by then it closes.
   *
   * @param left At a reload, what `handOver` of the instance gave that this one follows, which had other settings.
   */
  start(left?: unknown): void | Promise<void>
  /** Called when the engine holds the input back; timers from `every` pause by themselves. */
  pause?(): void
  resume?(): void
  /** Closes what `start` opened; called once. */
  stop?(): void | Promise<void>
  /**
   * Called instead of `stop` when a reload changes the settings of the instance: stops, and gives what the instance after
   * it needs to go on without a gap and without reading anything twice. It is disposed of if none follows. An input that
   * keeps a position and has no `handOver` is stopped when its events are settled.
   */
  handOver?(): unknown
}

export interface Filter {
  start?(): void | Promise<void>
  /** Called before the events of a batch. */
  begin?(batch: FilterBatch): void
  /** Looks at or edits one event; false drops it. */
  filter(event: EventView, batch: FilterBatch): boolean
  /** Called after the last event of a batch. */
  end?(batch: FilterBatch): void
  stop?(): void | Promise<void>
}

export interface Output {
  start?(): void | Promise<void>
  /** Delivers a chunk. Chunks come one at a time, unless the plugin declares a `concurrency`. */
  flush(chunk: ChunkView): Delivery | Promise<Delivery>
  /** Called after the last flush. */
  stop?(): void | Promise<void>
}

/**
 * When records are lost, the worst first: every record at any time, some of them in normal work, while an output fails or
 * cannot keep up, at a stop or the start after it, with a crash of the process, with one of the machine.
 */
export type LossMoment = 'always' | 'running' | 'failure' | 'stop' | 'crash' | 'power'

/** A way in which an instance can lose records, as its own keys have it. */
export interface Loss {
  readonly when: LossMoment
  /** The key that causes it by its value or by its absence; absent where the plugin itself does. */
  readonly key?: string
  /** What is lost, and when: `lines longer than 32766 bytes are passed over`. */
  readonly message: string
  /** What to set so that it is kept, `db FILE`; absent where nothing helps. */
  readonly change?: string
}

/**
 * Which network keys (`host`, `port`, `net.*`, `http_server.*`) a plugin understands; `tls.*` are among them. An output may
 * be a `client` or an `http_server`.
 */
export type NetworkRole = 'client' | 'server' | 'http_server'

/** True for a plugin that others connect to. */
export function isServer(role: NetworkRole | undefined): boolean {
  return role === 'server' || role === 'http_server'
}

interface Declaration<Table extends OptionTable> {
  /** As in the configuration. */
  readonly name: string
  /** One line for `--help` and the reference page. */
  readonly summary: string
  /** The file of Fluent Bit that defines the behaviour; absent for what Fluent Bit does not have. */
  readonly upstream?: string
  readonly options: Table
  readonly network?: NetworkRole
  /** Given by a plugin with a network that cannot speak TLS. */
  readonly tls?: false
  /**
   * How records can be lost in this instance by what only the plugin knows; generic keys, and what a filter drops because
   * it was told to, are left out. For `spillway check --loss`. An output that cannot know whether its remote has the data
   * (UDP, a protocol without answers, or one whose answers are not asked for) has to say so here.
   */
  losses?(values: Values<Table>): readonly Loss[]
}

/**
 * What an input does with receipts: it keeps a `position` that it goes on from after a restart, or it has a `sender` that
 * waits for an answer and sends again without one.
 */
export type Receipts = 'position' | 'sender'

export interface InputDeclaration<Table extends OptionTable> extends Declaration<Table> {
  /** Absent for an input whose events cannot be had again. */
  readonly receipts?: Receipts
  /** True when it reads what only the main thread has: `threaded` has no effect then. */
  readonly inMainThread?: boolean
  create(values: Values<Table>, context: InputContext): Input
}

export interface FilterDeclaration<Table extends OptionTable> extends Declaration<Table> {
  /**
   * True when the whole batch must have passed the earlier filters first (a filter that prints must not mix its lines
   * with those of another).
   */
  readonly wholeBatch?: boolean
  create(values: Values<Table>, context: FilterContext): Filter
}

export interface OutputDeclaration<Table extends OptionTable> extends Declaration<Table> {
  /** Chunks that may be under way at once; 1 unless given. */
  readonly concurrency?: number
  /** What it takes; logs alone unless given. */
  readonly signals?: readonly Signal[]
  create(values: Values<Table>, context: OutputContext): Output
}

export type InputPlugin = { readonly kind: 'input' } & InputDeclaration<OptionTable>
export type FilterPlugin = { readonly kind: 'filter' } & FilterDeclaration<OptionTable>
export type OutputPlugin = { readonly kind: 'output' } & OutputDeclaration<OptionTable>
export type Plugin = InputPlugin | FilterPlugin | OutputPlugin
export type PluginKind = Plugin['kind']

/** Declares an input. The table's values have been checked when `create` runs. */
export function defineInput<const Table extends OptionTable>(
  declaration: InputDeclaration<Table>
): InputPlugin {
  return { kind: 'input', ...declaration } as unknown as InputPlugin
}

/** Declares a filter; it also runs as a processor. */
export function defineFilter<const Table extends OptionTable>(
  declaration: FilterDeclaration<Table>
): FilterPlugin {
  return { kind: 'filter', ...declaration } as unknown as FilterPlugin
}

/** Declares an output. */
export function defineOutput<const Table extends OptionTable>(
  declaration: OutputDeclaration<Table>
): OutputPlugin {
  return { kind: 'output', ...declaration } as unknown as OutputPlugin
}

/** Finds plugins by kind and name without loading the others. */
export interface PluginCatalog {
  /** The plugin, or undefined when there is none of this name (compared without case). */
  load(kind: PluginKind, name: string): Promise<Plugin | undefined>
  /** All names of a kind, sorted. */
  names(kind: PluginKind): readonly string[]
}
