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
  /** What each path was like when it was read. */
  #read = new Map<string, string>()
  /** What all were like at the last look. */
  #seen = ''
  #timer: Timer | undefined

  constructor(clock: Clock, changed: () => void) {
    this.#clock = clock
    this.#changed = changed
  }

  /** To be called before paths are read again that are watched: what changes from now on is noticed. */
  mark(): void {
    for (const path of this.#read.keys()) this.#read.set(path, stampOf(path))
  }

  /** @param paths Files, and folders whose content matters; new ones have just been read. */
  watch(paths: Iterable<string>): void {
    this.#read = new Map(Array.from(paths, path => [path, this.#read.get(path) ?? stampOf(path)]))
    this.#seen = textOf(this.#read)
    this.#timer ??= this.#clock.every(LOOK_MS, () => this.#look())
  }

  /** Watches paths of a configuration that is not used too: it may be mended in any of them. */
  add(paths: Iterable<string>): void {
    if (this.#timer !== undefined) this.watch([...this.#read.keys(), ...paths])
  }

  stop(): void {
    this.#timer?.cancel()
    this.#timer = undefined
    this.#read.clear()
  }

  #look(): void {
    const now = new Map(Array.from(this.#read.keys(), path => [path, stampOf(path)]))
    const isCalm = textOf(now) === this.#seen
    this.#seen = textOf(now)
    if (!isCalm || this.#seen === textOf(this.#read)) return
    // Also when nothing comes of it: a mistake is said once.
    this.#read = now
    this.#changed()
  }
}

function textOf(stamps: ReadonlyMap<string, string>): string {
  return [...stamps.values()].join('\n')
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
