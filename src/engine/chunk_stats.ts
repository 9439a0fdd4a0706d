/** How many chunks there are and where, for metrics and dumps. */
import type { Metrics } from '../metrics/registry.ts'
import type { Chunk } from '../storage/chunk.ts'
import type { Task } from './task.ts'

/** What holds chunks: an input, or the backlog. */
export interface ChunkHolder {
  readonly label: string
  readonly plugin: string
  /** True when undelivered events are more than the memory limit. */
  readonly overLimit: boolean
  readonly memoryBytes: number
  /** Bytes, 0 is none. */
  readonly memoryBytesMax: number
  readonly openChunks: readonly Chunk[]
  readonly tasks: Iterable<Task>
}

export interface ChunkStats {
  readonly total: number
  readonly up: number
  readonly down: number
  /** Sealed and not settled. */
  readonly busy: number
  readonly busyBytes: number
  /** Of the busy ones, those that are on their way. */
  readonly running: number
}

export function chunkStats({ openChunks, tasks }: ChunkHolder): ChunkStats {
  const stats = { total: 0, up: 0, down: 0, busy: 0, busyBytes: 0, running: 0 }
  const count = (chunk: Chunk): void => {
    stats.total++
    stats[chunk.isUp ? 'up' : 'down']++
  }
  for (const chunk of openChunks) count(chunk)
  for (const { chunk, deliveries } of tasks) {
    count(chunk)
    stats.busy++
    stats.busyBytes += chunk.size
    if ([...deliveries].some(({ state }) => state !== 'held')) stats.running++
  }
  return stats
}

/** Chunks of the whole program by where they are. */
export interface StorageStats {
  readonly memory: number
  readonly filesystem: number
  readonly filesystemUp: number
}

/** Registers what `storage.metrics` is about, under Fluent Bit's names (src/flb_storage.c, src/flb_input.c). */
export function registerStorageMetrics(
  metrics: Metrics,
  holders: readonly ChunkHolder[],
  storage: () => StorageStats
): void {
  const overall = (what: string, help: string, read: (stats: StorageStats) => number): void =>
    metrics.gauge(`fluentbit_storage_${what}`, help, {}, () => read(storage()))
  overall(
    'chunks',
    'Total number of chunks in the storage layer.',
    ({ memory, filesystem }) => memory + filesystem
  )
  overall('mem_chunks', 'Total number of memory chunks.', stats => stats.memory)
  overall('fs_chunks', 'Total number of filesystem chunks.', stats => stats.filesystem)
  overall(
    'fs_chunks_up',
    'Total number of filesystem chunks up in memory.',
    stats => stats.filesystemUp
  )
  overall(
    'fs_chunks_down',
    'Total number of filesystem chunks down.',
    stats => stats.filesystem - stats.filesystemUp
  )
  for (const holder of holders) registerHolder(metrics, holder)
}

function registerHolder(metrics: Metrics, holder: ChunkHolder): void {
  const labels = { name: holder.label }
  const gauge = (what: string, help: string, read: () => number): void =>
    metrics.gauge(`fluentbit_input_storage_${what}`, help, labels, read)
  const stat = (what: string, help: string, key: keyof ChunkStats): void =>
    gauge(what, help, () => chunkStats(holder)[key])
  gauge('overlimit', 'Is the input memory usage overlimit ?.', () => Number(holder.overLimit))
  gauge('memory_bytes', 'Memory bytes used by the chunks.', () => holder.memoryBytes)
  stat('chunks', 'Total number of chunks.', 'total')
  stat('chunks_up', 'Total number of chunks up in memory.', 'up')
  stat('chunks_down', 'Total number of chunks down.', 'down')
  stat('chunks_busy', 'Total number of chunks in a busy state.', 'busy')
  stat('chunks_busy_bytes', 'Total number of bytes used by chunks in a busy state.', 'busyBytes')
}
