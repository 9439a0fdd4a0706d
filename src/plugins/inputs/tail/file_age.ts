/**
 * Leaves files out that were last changed before `ignore_older`, until they change.
 * Source: Fluent Bit 5.1.1 plugins/in_tail/tail_scan.c, tail_file.c check_purge_deleted_file().
 * Differs: Fluent Bit knows such a file by its path, and skips as many bytes of a new one that has come there.
 */
import type { Stats } from 'node:fs'
import type { Clock } from '../../../base/clock.ts'
import type { FollowedFile } from './followed_file.ts'
import type { TailValues } from './options.ts'

/** A file that is left out. */
interface OldFile {
  readonly identity: string
  /** Where reading starts when it changes. */
  readonly start: number
  /** True when it was followed before: then `start` is how far it was read. */
  readonly wasFollowed: boolean
}

export class FileAge {
  readonly #values: TailValues
  readonly #clock: Clock
  /** By path. */
  readonly #leftOut: Map<string, OldFile>

  /** @param before What another one remembers is remembered here too. */
  constructor(values: TailValues, clock: Clock, before?: FileAge) {
    this.#leftOut = new Map(before === undefined ? [] : before.#leftOut)
    this.#values = values
    this.#clock = clock
  }

  isOld(stats: Stats): boolean {
    const { ignore_older: seconds } = this.#values
    return seconds > 0 && this.#clock.now() - seconds * 1000 > stats.mtimeMs
  }

  /** True for a file that is not to be opened; where it ends is remembered. */
  passesOver(path: string, stats: Stats): boolean {
    if (!this.isOld(stats)) return false
    const identity = identityOf(stats)
    const known = this.#leftOut.get(path)
    if (known?.identity === identity && known.wasFollowed) return true
    this.#leftOut.set(path, { identity, start: stats.size, wasFollowed: false })
    return true
  }

  /** Where reading of a file starts that was left out before; undefined for others. */
  takeStart(path: string, stats: Stats): number | undefined {
    const known = this.#leftOut.get(path)
    this.#leftOut.delete(path)
    if (known?.identity !== identityOf(stats) || known.start > stats.size) return undefined
    return known.start
  }

  /** True for an open file that is not to be followed any more. */
  leaves(stats: Stats): boolean {
    return this.#values.ignore_active_older_files && this.isOld(stats)
  }

  /** Remembers how far a file was read that is closed for its age. */
  leave(file: FollowedFile, stats: Stats): void {
    const identity = identityOf(stats)
    this.#leftOut.set(file.path, { identity, start: file.lineStart, wasFollowed: true })
  }
}

/** Tells a file from another that has got its inode; where no time of birth is kept, it is 0. */
function identityOf({ dev, ino, birthtimeMs }: Stats): string {
  return `${dev}:${ino}:${birthtimeMs}`
}
