/**
 * Notices changes of the files that a configuration comes from. They are looked at, not watched: a mounted folder whose
 * link is turned to another one, as Kubernetes does it, and an editor that writes a new file look the same this way.
 */
import { statSync } from 'node:fs'
import type { Clock, Timer } from '../base/clock.ts'

/** A change counts when nothing has changed for as long again: whoever writes several files may be at it still. */
const LOOK_MS = 1_000

export class SourceWatch {
  readonly #clock: Clock
  readonly #changed: () => void
  #paths: readonly string[] = []
  /** What they were like when they were read, and at the last look. */
  #read = ''
  #seen = ''
  #timer: Timer | undefined

  constructor(clock: Clock, changed: () => void) {
    this.#clock = clock
    this.#changed = changed
  }

  /** To be called before files are read, with those that were read before: what changes from now on is noticed. */
  mark(): void {
    this.#read = lookAt(this.#paths)
  }

  /** @param paths Files, and folders whose content matters. */
  watch(paths: Iterable<string>): void {
    const known = new Set(this.#paths)
    this.#paths = [...paths]
    // New ones have just been read, the others may have changed since.
    if (this.#paths.some(path => !known.has(path)) || known.size !== this.#paths.length) this.mark()
    this.#seen = this.#read
    this.#timer ??= this.#clock.every(LOOK_MS, () => this.#look())
  }

  stop(): void {
    this.#timer?.cancel()
    this.#timer = undefined
  }

  #look(): void {
    const now = lookAt(this.#paths)
    const isCalm = now === this.#seen
    this.#seen = now
    if (!isCalm || now === this.#read) return
    this.#read = now
    this.#changed()
  }
}

function lookAt(paths: readonly string[]): string {
  return paths.map(stampOf).join('\n')
}

/** Tells one state of a file from another; links are followed. */
function stampOf(path: string): string {
  try {
    const stats = statSync(path, { throwIfNoEntry: false })
    return stats === undefined ? '' : `${stats.dev}:${stats.ino}:${stats.size}:${stats.mtimeMs}`
  } catch {
    // Behind a folder that is closed to us, or a loop of links.
    return ''
  }
}
