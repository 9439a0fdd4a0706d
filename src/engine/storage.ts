/** What the service section says of storage, made: the store, the chunks in memory, dead letters. */
import { join } from 'node:path'
import type { Clock } from '../base/clock.ts'
import { CHUNKS_UP_MAX } from '../base/limits.ts'
import type { Logger } from '../base/log.ts'
import { systemError } from '../base/system_error.ts'
import type { ServiceSettings } from '../config/service.ts'
import type { MetricsRegistry } from '../metrics/registry.ts'
import { BufferPool } from '../storage/chunk.ts'
import { ChunkStore } from '../storage/chunk_store.ts'
import { DeadLetters } from '../storage/dead_letters.ts'
import type { Disk } from '../storage/disk.ts'
import { DiskGuard } from './disk_guard.ts'
import type { GivenUp } from './output_runtime.ts'
import { UpChunks } from './up_chunks.ts'

export interface StorageWorld {
  readonly log: Logger
  readonly clock: Clock
  readonly metrics: MetricsRegistry
  readonly disk: Disk
}

/**
 * The folder of dead letters of a service section; undefined when it has no `storage.path`.
 *
 * @param notSynced Called for a new letter that `storage.sync full` promises and the medium did not take.
 */
export function deadLettersOf(
  service: ServiceSettings,
  disk: Disk,
  notSynced?: (failure: Error) => void
): DeadLetters | undefined {
  const root = service['storage.path']
  if (root === undefined) return undefined
  return new DeadLetters({
    disk,
    folder: join(root, service['storage.rejected.path']),
    limit: service['storage.rejected.limit'],
    notSynced: isSyncFull(service) ? notSynced : undefined
  })
}

function isSyncFull(service: ServiceSettings): boolean {
  return service['storage.sync'].toLowerCase() === 'full'
}

export class Storage {
  readonly pool = new BufferPool()
  readonly up: UpChunks
  readonly guard: DiskGuard
  readonly #world: StorageWorld
  #service: ServiceSettings
  #store: ChunkStore | undefined
  #letters: DeadLetters | undefined

  /** @param onRoom Called when fewer chunks are up than before. */
  constructor(service: ServiceSettings, world: StorageWorld, onRoom: () => void) {
    const { log, clock, metrics } = world
    this.#world = world
    this.#service = service
    this.up = new UpChunks(chunksUpMax(service), this.pool, onRoom)
    this.guard = new DiskGuard(
      log,
      clock,
      metrics.counter(
        'spillway_storage_write_failures_total',
        'Writes of chunks that the disk did not take.',
        {}
      )
    )
    this.use(service)
  }

  /** Undefined without `storage.path`. */
  get store(): ChunkStore | undefined {
    return this.#store
  }

  /** Does as a service section says from now on; chunks with a file keep theirs. Gives the section before. */
  use(service: ServiceSettings): ServiceSettings {
    const { disk } = this.#world
    const before = this.#service
    const root = service['storage.path']
    this.#service = service
    this.up.limit(chunksUpMax(service))
    this.#letters = service['storage.keep.rejected']
      ? deadLettersOf(service, disk, failure => this.#letterFailed(failure))
      : undefined
    this.#store =
      root === undefined
        ? undefined
        : new ChunkStore({
            disk,
            root,
            syncs: isSyncFull(service),
            checksum: service['storage.checksum'],
            deletesBad: service['storage.delete_irrecoverable_chunks'],
            rejectedFolder: service['storage.rejected.path'],
            notSynced: (path, failure) => this.#notSynced(path, failure)
          })
    return before
  }

  /** Writes what an output gave up as a dead letter, where the configuration wants it. */
  keep({ chunk, bytes, events, input, output, reason, attempts }: GivenUp): void {
    const { log, clock } = this.#world
    // An output may give a reason for no events at all.
    if (this.#letters === undefined || events === 0) return
    const time = new Date(clock.now()).toISOString()
    const { tag, signal } = chunk
    const own = { tag, input, output, reason, time, attempts, events }
    const note = signal === 'logs' ? own : { ...own, signal }
    try {
      const kept = this.#letters.keep(note, bytes)
      if (kept.kind === 'limit') {
        log.warn(`[storage] ${kept.message}`)
        this.#countUnkept(output, 'limit', events)
        return
      }
      if (kept.nearLimit !== undefined) log.warn(`[storage] ${kept.nearLimit}`)
      log.info(`[storage] quarantined rejected chunk into DLQ stream (bytes=${kept.bytes})`)
      this.#world.metrics
        .counter('spillway_dead_letter_records_total', 'Records kept as dead letters.', {
          name: output
        })
        .add(events)
    } catch (error) {
      this.#letterFailed(error)
      this.#countUnkept(output, 'disk', events)
    }
  }

  #notSynced(path: string, failure: Error): void {
    const { log, metrics } = this.#world
    log.error(
      `[storage] the medium did not take ${path}: ${systemError(failure).text}; ` +
        'what is in it is acknowledged when it is delivered'
    )
    metrics
      .counter('spillway_storage_sync_failures_total', 'Chunk files that could not be synced.', {})
      .add(1)
  }

  #letterFailed(error: unknown): void {
    this.#world.log.warn(`[storage] DLQ write/sync failed: ${systemError(error).text}`)
  }

  #countUnkept(name: string, reason: 'limit' | 'disk', events: number): void {
    this.#world.metrics
      .counter(
        'spillway_dead_letter_lost_records_total',
        'Records given up that could not be kept as dead letters, by reason.',
        { name, reason }
      )
      .add(events)
  }

  /** Counts bytes of found files that could not be read. */
  countBad(reason: string, bytes: number): void {
    const { metrics } = this.#world
    const labels = { reason }
    metrics
      .counter('spillway_storage_bad_files_total', 'Chunk files that were bad, by reason.', labels)
      .add(1)
    metrics
      .counter('spillway_storage_bad_bytes_total', 'Bytes of chunk files that were bad.', labels)
      .add(bytes)
  }
}

/** 0 stands for the default, as in Fluent Bit. */
function chunksUpMax(service: ServiceSettings): number {
  return service['storage.max_chunks_up'] || CHUNKS_UP_MAX
}
