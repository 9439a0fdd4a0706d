/** What a pipeline is made from: the resolved configuration and the world around it. */
import type { ServiceSettings } from '../config/service.ts'
import type { Disk } from '../storage/disk.ts'
import type { MetricsRegistry } from '../metrics/registry.ts'
import type { FilterSpec, InputSpec, OutputSpec } from './instance.ts'
import type { ContextWorld, Parsers } from './plugin_context.ts'
import type { TagRecordsSettings } from './telemetry_spec.ts'
import type { ThreadHost } from './threads/protocol.ts'

/** What is resolved from a configuration. */
export interface PipelineSpec {
  readonly service: ServiceSettings
  /** What `telemetry` of the service section says; absent where nothing is counted. */
  readonly tagRecords?: TagRecordsSettings
  readonly inputs: readonly InputSpec[]
  readonly filters: readonly FilterSpec[]
  readonly outputs: readonly OutputSpec[]
}

/** Parsers that can be compared with those of another configuration. */
export interface DescribedParsers extends Parsers {
  /** What the configuration says of a parser, as text; undefined when there is none of the name. */
  definition(name: string): string | undefined
}

/** What the engine gets from outside. */
export interface EngineWorld extends ContextWorld {
  readonly parsers: DescribedParsers
  readonly metrics: MetricsRegistry
  readonly disk: Disk
  /** Starts threads; without it all instances run in this one. */
  readonly threads: ThreadHost | undefined
}
