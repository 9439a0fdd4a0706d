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
}

export interface ChunkFileOptions {
  readonly disk: Disk
  readonly path: string
  readonly origin: ChunkOrigin
  /** Wait for the medium before events count as stored. */
  readonly syncs: boolean
}

export class ChunkFile implements StoredChunk {
  readonly #options: ChunkFileOptions
  #descriptor: number | undefined
  #isSealed = false
  /** Bytes of the file that are good. */
  #length = 0
  /** Bytes of the chunk that are in the file. */
  #stored = 0
  #storedEvents = 0
  /** Bytes of the chunk that are on the medium. */
  #synced = 0
  #isSyncing = false
  #isRemoved = false
  #receipts: { readonly upTo: number; readonly receipt: () => void }[] = []

  constructor(options: ChunkFileOptions) {
    this.#options = options
  }

  /** The file of a chunk that was found on disk, of which all is stored. */
  static found(options: ChunkFileOptions, fileBytes: number): ChunkFile {
    const file = new ChunkFile(options)
    file.#length = fileBytes
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
    if (this.#options.syncs) this.#sync()
    else {
      this.#closeIfDone()
      this.#release(this.#stored)
    }
  }

  /** Calls `receipt` once the first `upTo` bytes of the chunk are stored, or when the file is removed. */
  whenStored(upTo: number, receipt: () => void): void {
    const stored = this.#options.syncs ? this.#synced : this.#stored
    if (stored >= upTo) receipt()
    else this.#receipts.push({ upTo, receipt })
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
    this.#write(settledBlock(settled))
    this.#closeIfDone()
  }

  remove(): void {
    if (this.#isRemoved) return
    this.#isRemoved = true
    this.seal()
    if (this.#length > 0) this.#options.disk.remove(this.#options.path)
    this.#release(Number.POSITIVE_INFINITY)
  }

  #write(pieces: readonly Buffer[]): void {
    const { disk, path } = this.#options
    this.#descriptor ??= this.#length === 0 ? disk.create(path) : disk.open(path)
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
      } else disk.truncate(path, this.#length)
    } catch {
      // A file that cannot be cut is read up to its first bad block.
    }
  }

  #sync(): void {
    const descriptor = this.#descriptor
    if (this.#isSyncing || descriptor === undefined) return
    const { disk, path } = this.#options
    const upTo = this.#stored
    const isNew = this.#synced === 0
    this.#isSyncing = true
    disk.sync(descriptor, failure => {
      if (failure !== null || !isNew) this.#synchronized(failure, upTo)
      else disk.syncFolder(dirname(path), outcome => this.#synchronized(outcome, upTo))
    })
  }

  #synchronized(failure: Error | null, upTo: number): void {
    this.#isSyncing = false
    // What the medium did not take stays unacknowledged, until the chunk is delivered or the next write goes well.
    if (failure === null) {
      this.#synced = upTo
      this.#release(upTo)
      if (this.#stored > upTo && !this.#isRemoved) this.#sync()
    }
    this.#closeIfDone()
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
    this.#options.disk.close(descriptor)
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
