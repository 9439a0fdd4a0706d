/**
 * One chunk's file. Events are appended as they are committed; what outputs have settled is noted behind them, so that
 * after a restart only those that have not get the chunk.
 */
import { dirname } from 'node:path'
import {
  type ChunkOrigin,
  eventsBlock,
  readChunkFile,
  type Settled,
  settledBlock,
  startOfFile
} from './chunk_format.ts'
import type { Disk } from './disk.ts'

/** Where a chunk that is not in memory comes from. */
export interface StoredChunk {
  /** Bytes that the file takes. */
  readonly fileBytes: number
  /** Reads all events; throws when the file cannot be read any more or has changed. */
  load(): Buffer
  /** Notes what an output needs no more; a failure is the disk's and is thrown. */
  settle(settled: Settled): void
  /** Removes the file: the chunk is settled. */
  remove(): void
  /** Moves a file out of the way that cannot be read as what it was; gives the new place. */
  setAside(): string
}

/** Waits until something is on the medium; `done` gets the failure if there was one. */
export type Sync = (done: (failure: Error | null) => void) => void

export interface ChunkFileOptions {
  readonly disk: Disk
  readonly path: string
  /** Where the file goes when it turns out to be damaged. */
  readonly damagedPath: string
  readonly origin: ChunkOrigin
  /** Waits for the names of all folders above; undefined where events count as stored once they are written. */
  readonly syncFolders: Sync | undefined
  /** Told when the medium did not take what was written. */
  readonly notSynced: (path: string, failure: Error) => void
}

export class ChunkFile implements StoredChunk {
  readonly #options: ChunkFileOptions
  #descriptor: number | undefined
  #isCreated = false
  #isSealed = false
  /** Bytes of the file that are good. */
  #length = 0
  /** Bytes of the chunk that are in the file. */
  #stored = 0
  #storedEvents = 0
  /** Bytes of the chunk that are on the medium. */
  #synced = 0
  #isSyncing = false
  /** After a failure the system forgets what it could not write: no later success says anything of it. */
  #isDoubtful = false
  #isRemoved = false
  readonly #awaited: ((isSafe: boolean) => void)[] = []
  #receipts: { readonly upTo: number; readonly receipt: () => void }[] = []

  constructor(options: ChunkFileOptions) {
    this.#options = options
  }

  /** The file of a chunk that was found on disk, of which all is stored. */
  static found(options: ChunkFileOptions, fileBytes: number): ChunkFile {
    const file = new ChunkFile(options)
    file.#length = fileBytes
    file.#isCreated = true
    file.#isSealed = true
    return file
  }

  get fileBytes(): number {
    return this.#length
  }

  /** Bytes of the chunk that are in the file. */
  get storedBytes(): number {
    return this.#stored
  }

  /** Events of the chunk that are in the file. */
  get storedEvents(): number {
    return this.#storedEvents
  }

  /**
   * Brings the file up to date with its chunk. When it throws, the file is good up to what was stored before, and the
   * next call writes the rest.
   *
   * @param bytes All events of the chunk.
   * @param events How many they are.
   */
  append(bytes: Buffer, events: number): void {
    if (bytes.length === this.#stored) return
    const start = this.#length === 0 ? startOfFile(this.#options.origin) : []
    const added = bytes.subarray(this.#stored)
    this.#write([...start, ...eventsBlock(added, events - this.#storedEvents)])
    this.#stored = bytes.length
    this.#storedEvents = events
    if (this.#isSynced) this.#sync()
    else {
      this.#closeIfDone()
      this.#release(this.#stored)
    }
  }

  /** True while receipts wait for the disk. */
  get hasReceipts(): boolean {
    return this.#receipts.length > 0
  }

  /** True when the medium did not take what was written: receipts wait for the chunk's settlement. */
  get isDoubtful(): boolean {
    return this.#isDoubtful
  }

  /** Calls `receipt` once the first `upTo` bytes of the chunk are stored, or when the chunk is settled. */
  whenStored(upTo: number, receipt: () => void): void {
    const stored = this.#isSynced ? this.#synced : this.#stored
    if (stored >= upTo) receipt()
    else this.#receipts.push({ upTo, receipt })
  }

  /** Calls `done` once all that was appended is stored; with false when that will not be. */
  whenSafe(done: (isSafe: boolean) => void): void {
    if (this.#isDoubtful) done(false)
    else if (!this.#isSynced || this.#synced >= this.#stored) done(true)
    else this.#awaited.push(done)
  }

  /** No more events follow. */
  seal(): void {
    this.#isSealed = true
    this.#closeIfDone()
  }

  load(): Buffer {
    const { pieces, problem, end } = readChunkFile(this.#options.disk.read(this.#options.path))
    if (problem !== undefined && end < this.#length) throw new Error(problem)
    return pieces.length === 1 ? pieces[0] : Buffer.concat(pieces)
  }

  settle(settled: Settled): void {
    // A file that the disk has not taken yet has nothing that could be sent again.
    if (this.#length === 0) return
    this.#write(settledBlock(settled))
    this.#closeIfDone()
  }

  remove(): void {
    if (this.#isRemoved) return
    this.#isRemoved = true
    this.seal()
    this.#release(Number.POSITIVE_INFINITY)
    if (this.#isCreated) this.#options.disk.remove(this.#options.path)
  }

  setAside(): string {
    const { disk, path, damagedPath } = this.#options
    this.#isRemoved = true
    this.seal()
    this.#release(Number.POSITIVE_INFINITY)
    disk.makeFolder(dirname(damagedPath))
    disk.rename(path, damagedPath)
    return damagedPath
  }

  get #isSynced(): boolean {
    return this.#options.syncFolders !== undefined
  }

  #write(pieces: readonly Buffer[]): void {
    const { disk, path } = this.#options
    this.#descriptor ??= this.#isCreated ? disk.open(path) : disk.create(path)
    this.#isCreated = true
    let left = pieces
    let position = this.#length
    try {
      while (left.length > 0) {
        const written = disk.write(this.#descriptor, left, position)
        if (written === 0) throw new Error('the disk takes no more')
        position += written
        left = rest(left, written)
      }
    } catch (error) {
      this.#undo()
      throw error
    }
    this.#length = position
  }

  /** Takes back what a failed write has left; should that fail too, the next write goes over it. */
  #undo(): void {
    const { disk, path } = this.#options
    try {
      if (this.#length === 0) {
        this.#close()
        disk.remove(path)
        this.#isCreated = false
      } else disk.truncate(path, this.#length)
    } catch {
      // A file that cannot be cut is read up to its first bad block.
    }
  }

  #sync(): void {
    const descriptor = this.#descriptor
    if (this.#isSyncing || this.#isDoubtful || descriptor === undefined) return
    const { disk, syncFolders } = this.#options
    const upTo = this.#stored
    const isNew = this.#synced === 0
    this.#isSyncing = true
    disk.sync(descriptor, failure => {
      if (failure !== null || !isNew) this.#synchronized(failure, upTo)
      else syncFolders?.(outcome => this.#synchronized(outcome, upTo))
    })
  }

  #synchronized(failure: Error | null, upTo: number): void {
    this.#isSyncing = false
    if (failure !== null) {
      this.#isDoubtful = true
      this.#options.notSynced(this.#options.path, failure)
    } else {
      this.#synced = upTo
      this.#release(upTo)
      if (this.#stored > upTo && !this.#isRemoved) this.#sync()
    }
    this.#closeIfDone()
    if (!this.#isDoubtful && this.#synced < this.#stored) return
    for (const done of this.#awaited.splice(0)) done(!this.#isDoubtful)
  }

  #release(upTo: number): void {
    const ready = this.#receipts.filter(entry => entry.upTo <= upTo)
    if (ready.length === 0) return
    this.#receipts = this.#receipts.filter(entry => entry.upTo > upTo)
    for (const { receipt } of ready) receipt()
  }

  #closeIfDone(): void {
    if (this.#isSealed && !this.#isSyncing) this.#close()
  }

  #close(): void {
    if (this.#descriptor === undefined) return
    const descriptor = this.#descriptor
    this.#descriptor = undefined
    try {
      this.#options.disk.close(descriptor)
    } catch (error) {
      // Some file systems say only now that they have not taken what was written.
      this.#isDoubtful = true
      this.#options.notSynced(this.#options.path, error as Error)
    }
  }
}

/** What is left of the pieces after their first `written` bytes. */
function rest(pieces: readonly Buffer[], written: number): Buffer[] {
  let skipped = written
  return pieces.flatMap(piece => {
    const from = Math.min(skipped, piece.length)
    skipped -= from
    return from === piece.length ? [] : [piece.subarray(from)]
  })
}
