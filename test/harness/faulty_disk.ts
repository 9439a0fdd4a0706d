/** Disks that fail as real ones do, for the option `disk` of a pipeline. */
import { type Disk, systemDisk } from '../../src/storage/disk.ts'

/** What Node throws for a system call that failed. */
export function systemFailure(code: string, errno: number, call: string): NodeJS.ErrnoException {
  return Object.assign(new Error(`${code}: ${call}`), { code, errno, syscall: call })
}

/** A disk with so much room: what does not fit is written up to there, and then nothing more. */
export class SmallDisk {
  /** Bytes that it still takes. */
  room = Number.POSITIVE_INFINITY
  /** Writes that were refused. */
  refused = 0

  readonly disk: Disk = {
    ...systemDisk,
    write: (descriptor, pieces, position) => {
      const bytes = Buffer.concat(pieces)
      if (this.room <= 0) {
        this.refused++
        throw systemFailure('ENOSPC', -28, 'write')
      }
      const written = Math.min(bytes.length, this.room)
      this.room -= written
      return systemDisk.write(descriptor, [bytes.subarray(0, written)], position)
    }
  }
}

/** A disk that notes what is asked of it, and ends `sync` and `syncFolder` when the test says so. */
export class SlowDisk {
  /** `create A.chunk`, `write A.chunk 12`, `sync A.chunk`, `sync folder chunks/in.0`: last parts of paths. */
  readonly calls: string[] = []
  readonly #names = new Map<number, string>()
  readonly #waiting: { done: (failure: Error | null) => void }[] = []

  readonly disk: Disk = {
    ...systemDisk,
    create: path => this.#opened('create', path, systemDisk.create(path)),
    open: path => this.#opened('open', path, systemDisk.open(path)),
    write: (descriptor, pieces, position) => {
      const written = systemDisk.write(descriptor, pieces, position)
      this.calls.push(`write ${this.#names.get(descriptor)} ${written}`)
      return written
    },
    sync: (descriptor, done) => {
      this.calls.push(`sync ${this.#names.get(descriptor)}`)
      this.#waiting.push({ done })
    },
    syncFolder: (path, done) => {
      this.calls.push(`sync folder ${lastPart(path)}`)
      this.#waiting.push({ done })
    },
    close: descriptor => {
      this.calls.push(`close ${this.#names.get(descriptor)}`)
      systemDisk.close(descriptor)
    },
    remove: path => {
      this.calls.push(`remove ${lastPart(path)}`)
      systemDisk.remove(path)
    }
  }

  /** Waits for the medium that have not ended. */
  get syncing(): number {
    return this.#waiting.length
  }

  /** Ends the oldest wait for the medium. */
  endSync(failure: Error | null = null): void {
    const first = this.#waiting.shift()
    if (first === undefined) throw new Error('nothing waits for the medium')
    first.done(failure)
  }

  #opened(call: string, path: string, descriptor: number): number {
    this.#names.set(descriptor, lastPart(path))
    this.calls.push(`${call} ${lastPart(path)}`)
    return descriptor
  }
}

function lastPart(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1)
}
