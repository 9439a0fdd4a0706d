/** What a `tail` leaves at a reload that changes it: its open files, read so far, for the one that follows. */
import type { FileAge } from './file_age.ts'
import type { FollowedFile } from './followed_file.ts'

export class LeftFiles implements Disposable {
  readonly age: FileAge
  readonly #files: readonly FollowedFile[]
  readonly #covers: (path: string) => boolean
  #isTaken = false

  /** @param covers True for paths that were looked for: what is found there later has come since. */
  constructor(files: readonly FollowedFile[], age: FileAge, covers: (path: string) => boolean) {
    this.#files = files
    this.age = age
    this.#covers = covers
  }

  covers(path: string): boolean {
    return this.#covers(path)
  }

  /** The files, once: who takes them has to close them. */
  take(): readonly FollowedFile[] {
    if (this.#isTaken) return []
    this.#isTaken = true
    return this.#files
  }

  /** Closes them, unless they are taken. */
  [Symbol.dispose](): void {
    for (const file of this.take()) file.release()
  }
}
