/**
 * Names that followed files have lost by rotation or deletion, and that new files are likely to take. They are looked
 * at with every poll: by the time that the patterns are searched again, a new file may have been renamed itself.
 */

/** A name that nobody takes for this long is left to the search, in milliseconds. */
const VACANT_MS = 600_000

/** Names that are looked at; the oldest are left to the search. */
const VACANT_NAMES_MAX = 1_000

export class VacantNames {
  /** Milliseconds when each was lost, oldest first. */
  readonly #lostMs = new Map<string, number>()

  add(path: string, nowMs: number): void {
    this.#lostMs.delete(path)
    this.#lostMs.set(path, nowMs)
    if (this.#lostMs.size <= VACANT_NAMES_MAX) return
    const [oldest] = this.#lostMs.keys()
    this.#lostMs.delete(oldest)
  }

  /** A file has the name again. */
  delete(path: string): void {
    this.#lostMs.delete(path)
  }

  /** The names to look at now. */
  *current(nowMs: number): Iterable<string> {
    for (const [path, lostMs] of this.#lostMs) {
      if (nowMs - lostMs > VACANT_MS) this.#lostMs.delete(path)
      else yield path
    }
  }
}
