/** What a pipeline is made from: the resolved configuration and the world around it. */
import type { ServiceSettings } from '../config/service.ts'
import type { Disk } from '../storage/disk.ts'
import type { MetricsRegistry } from '../metrics/registry.ts'
import type { FilterSpec, InputSpec, OutputSpec } from './instance.ts'
import type { ContextWorld } from './plugin_context.ts'
import type { ThreadHost } from './threads/protocol.ts'

/** What is resolved from a configuration. */
export interface PipelineSpec {
  readonly service: ServiceSettings
  readonly inputs: readonly InputSpec[]
  readonly filters: readonly FilterSpec[]
  readonly outputs: readonly OutputSpec[]
}

/** What the engine gets from outside. */
export interface EngineWorld extends ContextWorld {
  readonly metrics: MetricsRegistry
  readonly disk: Disk
  /** Starts threads; without it all instances run in this one. */
  readonly threads: ThreadHost | undefined
}
