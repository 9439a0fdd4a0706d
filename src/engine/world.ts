/** What a pipeline is made from: the resolved configuration and the world around it. */
import type { Clock } from '../base/clock.ts'
import type { Logger } from '../base/log.ts'
import type { Environment } from '../config/env.ts'
import type { ServiceSettings } from '../config/service.ts'
import type { MetricsRegistry } from '../metrics/registry.ts'
import type { Parser } from '../parser/parser.ts'
import type { TextOutput } from '../plugin/context.ts'
import type { Disk } from '../storage/disk.ts'
import type { FilterSpec, InputSpec, OutputSpec } from './instance.ts'

/** What is resolved from a configuration. */
export interface PipelineSpec {
  readonly service: ServiceSettings
  readonly inputs: readonly InputSpec[]
  readonly filters: readonly FilterSpec[]
  readonly outputs: readonly OutputSpec[]
}

/** Parsers by name; each call of `create` makes an instance of its own. */
export interface Parsers {
  create(name: string): Parser | undefined
  readonly names: readonly string[]
}

/** What the engine gets from outside. */
export interface EngineWorld {
  readonly log: Logger
  readonly clock: Clock
  readonly random: () => number
  readonly metrics: MetricsRegistry
  readonly environment: Environment
  readonly parsers: Parsers
  /** Prefix of `/proc`, `/sys` and `/etc`, empty outside tests. */
  readonly root: string
  readonly configDirectory: string
  readonly stdout: TextOutput
  readonly disk: Disk
}
