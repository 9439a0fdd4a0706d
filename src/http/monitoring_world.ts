/** What the monitoring server looks at. */
import type { Clock } from '../base/clock.ts'
import type { Logger } from '../base/log.ts'
import type { Pipeline } from '../engine/pipeline.ts'
import type { MetricsRegistry } from '../metrics/registry.ts'
import type { Catalog } from '../plugin/catalog.ts'
import type { Reloads } from './reload.ts'
import type { Route } from './route.ts'

export interface MonitoringWorld {
  readonly log: Logger
  readonly clock: Clock
  readonly metrics: MetricsRegistry
  /** Knows the names of all plugins. */
  readonly catalog: Pick<Catalog, 'names'>
  /** A reload changes what it gives. */
  readonly pipeline: Pick<Pipeline, 'chunkHolders' | 'instances' | 'ledgerRows' | 'storageStats'>
  readonly reloads: Reloads
  /** Answer where `enable_chunk_trace` is on. */
  readonly traceRoutes: readonly Route[]
  /** When the program started, in seconds since the epoch. */
  readonly startSeconds: number
}
