/**
 * The one model that both configuration formats and the command line are read into.
 * Nothing here is expanded or checked yet: `resolve.ts` does that against the option tables.
 */
import type { Location } from './diagnostics.ts'

/** A scalar as written. `quoted` and block scalars are only told apart by YAML. */
export interface ScalarNode {
  readonly kind: 'scalar'
  /**
   * The text with surrounding white space removed (kept inside YAML lists and nested maps, as Fluent
   * Bit does); `${NAME}` is not expanded yet.
   */
  readonly text: string
  /** True for YAML scalars in quotes or block style, which processors read as strings. */
  readonly quoted: boolean
  readonly at: Location
}

export interface ListNode {
  readonly kind: 'list'
  readonly items: readonly ConfigNode[]
  readonly at: Location
}

export interface MapNode {
  readonly kind: 'map'
  readonly entries: readonly MapEntry[]
  readonly at: Location
}

export interface MapEntry {
  /** Normalised (reference, section 2.2) and lower-cased; as written inside nested maps. */
  readonly key: string
  /** As written, for messages. */
  readonly writtenKey: string
  readonly at: Location
  readonly value: ConfigNode
}

export type ConfigNode = ScalarNode | ListNode | MapNode

export type SectionKind =
  | 'service'
  | 'input'
  | 'filter'
  | 'output'
  | 'custom'
  | 'parser'
  | 'multiline_parser'
  | 'stream_task'
  | 'upstream'
  | 'other'

/** One `[SECTION]`, one entry of a YAML list, or one `-i NAME` of the command line. */
export interface Section {
  readonly kind: SectionKind
  /** The heading as written, for messages and for sections of an unknown kind. */
  readonly title: string
  readonly at: Location
  /** In file order; repeated keys stay repeated. `name` is an entry like any other. */
  readonly entries: readonly MapEntry[]
  /** Nested sections: the `[NODE]`s of an upstream, the indented groups of the classic format. */
  readonly groups: readonly Section[]
}

/** A `plugins:` entry, a `plugins_file` entry or `-e FILE`. */
export interface PluginFile {
  readonly path: ScalarNode
}

/** One entry of `env:` or one `@SET`. */
export interface EnvEntry {
  readonly name: string
  /** A literal, or `file:///path` to read. Never expanded itself. */
  readonly value: string
  /** Seconds between reads of a `file://` value; 0 reads it once. */
  readonly refreshSeconds: number
  /** True for YAML, where an unreadable file stops the start; a `@SET` then stays unset. */
  readonly required: boolean
  readonly at: Location
}

/** Everything that one configuration says, with included files merged in. */
export interface ConfigDocument {
  readonly env: readonly EnvEntry[]
  /** All `[SERVICE]` entries merged in order; where a key repeats, the last one counts. */
  readonly service: readonly MapEntry[]
  readonly customs: readonly Section[]
  readonly inputs: readonly Section[]
  readonly filters: readonly Section[]
  readonly outputs: readonly Section[]
  readonly parsers: readonly Section[]
  readonly multilineParsers: readonly Section[]
  readonly streamTasks: readonly Section[]
  readonly upstreams: readonly Section[]
  readonly plugins: readonly PluginFile[]
  /** Sections that Fluent Bit keeps and ignores; a warning here, an error under `--strict`. */
  readonly others: readonly Section[]
}
