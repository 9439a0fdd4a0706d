/**
 * The folder `storage.path`: chunks of this program under `.spillway/chunks/INPUT`, and those that a Fluent Bit left in
 * `INPUT`. Fluent Bit opens every folder there as chunks of its own except hidden ones, so that it can be gone back to.
 */
import { basename, dirname, join, resolve } from 'node:path'
import { systemError } from '../base/system_error.ts'
import { type Signal, SIGNALS } from '../base/signal.ts'
import { type ChunkOrigin, readChunkFile, type Settled } from './chunk_format.ts'
import { ChunkFile, type ChunkFileOptions, type StoredChunk, type Sync } from './chunk_file.ts'
import type { Disk, FolderContent } from './disk.ts'
import { readFluentBitChunk, wholeContent } from './fluent_bit_chunk.ts'

/** Own files, where Fluent Bit does not look. */
const OWN_FOLDER = '.spillway'

export interface StoreOptions {
  readonly disk: Disk
  /** `storage.path`. */
  readonly root: string
  /** `storage.sync full`. */
  readonly syncs: boolean
  /** Told when the medium did not take what was written. */
  readonly notSynced: (path: string, failure: Error) => void
  /** `storage.checksum`: check those of Fluent Bit's files; our own are always checked. */
  readonly checksum: boolean
  /** `storage.delete_irrecoverable_chunks`: bad bytes are deleted instead of set aside. */
  readonly deletesBad: boolean
  /** Folder of dead letters, which are no backlog. */
  readonly rejectedFolder: string
}

/** What a chunk's file says of it. */
export interface NewChunk {
  readonly id: string
  readonly tag: string
  /** Name of the input, whose folder the file is in. */
  readonly input: string
  /** Aliases or names of the outputs that a route chose; undefined where the tag chooses. */
  readonly routedTo: readonly string[] | undefined
  readonly signal: Signal
}

/** A file that was there at the start. */
export interface FoundFile {
  readonly path: string
  /** Name of its folder: the input of a Fluent Bit, or of this program. */
  readonly folder: string
  readonly isOwn: boolean
}

/** A chunk that was there at the start, all of whose bytes were checked. */
export interface RecoveredChunk {
  readonly id: string
  readonly origin: ChunkOrigin
  readonly events: number
  /** Bytes of the events. */
  readonly bytes: number
  readonly stored: StoredChunk
  readonly settled: readonly Settled[]
}

/** Bytes that cannot be read as events. */
export interface BadBytes {
  readonly path: string
  readonly reason: string
  readonly bytes: number
  /** What became of them: where they are now, or why they are no more. */
  readonly end: string
}

export interface Recovery {
  readonly chunk: RecoveredChunk | undefined
  readonly bad: BadBytes | undefined
  /** Set for a file that is left as it is: what is in it cannot be delivered by this version. */
  readonly leftFor: string | undefined
}

export class ChunkStore {
  readonly #options: StoreOptions
  readonly #chunks: string
  readonly #corrupt: string
  /** True once the names of the folders above those of the inputs are on the medium. */
  #hasSyncedFolders = false

  constructor(options: StoreOptions) {
    this.#options = options
    this.#chunks = join(options.root, OWN_FOLDER, 'chunks')
    this.#corrupt = join(options.root, OWN_FOLDER, 'corrupt')
  }

  /** Makes the folders; true when `storage.path` was not there. Failures are thrown. */
  open(inputs: readonly string[]): boolean {
    const { disk, root } = this.#options
    const isNew = !disk.exists(root)
    for (const input of inputs) disk.makeFolder(join(this.#chunks, input))
    return isNew
  }

  /**
   * The file that a new chunk is to be written to; nothing is on disk before its first events.
   *
   * @param input Alias or name of the input.
   */
  newFile(chunk: NewChunk, input: string): ChunkFile {
    const { id, tag, routedTo, signal } = chunk
    const path = join(this.#chunks, chunk.input, fileName(id))
    const origin = {
      tag,
      input,
      ...(routedTo === undefined ? {} : { outputs: routedTo }),
      ...(signal === 'logs' ? {} : { signal })
    }
    return new ChunkFile(this.#fileOptions(path, chunk.input, origin))
  }

  /**
   * All files that earlier runs and Fluent Bit left, oldest first.
   *
   * @param unreadable Called for a folder that cannot be listed.
   */
  find(unreadable: (folder: string, failure: unknown) => void): FoundFile[] {
    const { disk, root, rejectedFolder } = this.#options
    const letters = resolve(join(root, rejectedFolder))
    const found: FoundFile[] = []
    const list = (folder: string): FolderContent => {
      try {
        return disk.list(folder)
      } catch (failure) {
        unreadable(folder, failure)
        return { files: [], folders: [] }
      }
    }
    const collect = (parent: string, isOwn: boolean): void => {
      for (const folder of list(parent).folders) {
        if (!isOwn && resolve(root, folder) === letters) continue
        for (const file of list(join(parent, folder)).files) {
          if (isOwn || file.endsWith('.flb')) {
            found.push({ path: join(parent, folder, file), folder, isOwn })
          }
        }
      }
    }
    collect(root, false)
    collect(this.#chunks, true)
    return found.toSorted((a, b) => compareAge(basename(a.path), basename(b.path)))
  }

  /** Reads and checks a file; what is bad in it is set aside. Failures of the disk are thrown. */
  recover(found: FoundFile): Recovery {
    return found.isOwn ? this.#recoverOwn(found) : this.#recoverFluentBit(found)
  }

  #recoverOwn({ path, folder }: FoundFile): Recovery {
    const { disk } = this.#options
    const file = disk.read(path)
    const { origin, events, pieces, settled, end, problem } = readChunkFile(file)
    const isEmpty = origin === undefined || events === 0
    const badFrom = isEmpty ? 0 : end
    // A file without events that ends well is from a crash right after it was made.
    const isBad = problem !== undefined && badFrom < file.length
    const bad = isBad ? this.#setAside(path, folder, file.subarray(badFrom), problem) : undefined
    if (isEmpty) {
      if (bad?.isGone !== false) disk.remove(path)
      return { chunk: undefined, bad, leftFor: undefined }
    }
    if (bad?.isGone === true) disk.truncate(path, end)
    const bytes = pieces.reduce((sum, piece) => sum + piece.length, 0)
    const stored = ChunkFile.found(this.#fileOptions(path, folder, origin), end)
    const id = `${basename(path, '.chunk')}.flb`
    const chunk = { id, origin, events, bytes, stored, settled: inChunk(settled, events) }
    return { chunk, bad, leftFor: undefined }
  }

  #recoverFluentBit({ path, folder }: FoundFile): Recovery {
    const { disk, checksum } = this.#options
    const file = disk.read(path)
    const read = readFluentBitChunk(file, { checksum })
    // With a wrong checksum any of it may be wrong, however whole it looks.
    const isUsable = read.ok || read.reason !== 'bad_checksum'
    const usable = read.ok ? read.chunk : isUsable ? read.rest : undefined
    const signal = SIGNALS.find(known => known === (usable?.signal ?? 'logs'))
    if (signal === undefined) return { chunk: undefined, bad: undefined, leftFor: usable?.signal }
    const whole =
      usable === undefined
        ? { bytes: 0, events: 0, isCurrent: true }
        : wholeContent(usable.content, signal)
    if (!whole.isCurrent) {
      return { chunk: undefined, bad: undefined, leftFor: 'events of an older Fluent Bit' }
    }
    const reason = read.ok ? 'bad_event' : read.reason
    const rest = usable === undefined ? file : usable.content.subarray(whole.bytes)
    // A file without events was made right before its Fluent Bit was killed; behind events may be padding.
    const isEmpty = !read.ok && read.reason === 'empty'
    const isBad = !isEmpty && (!read.ok || rest.some(byte => byte !== 0))
    const bad = isBad ? this.#setAside(path, folder, rest, reason) : undefined
    if (usable === undefined || whole.events === 0) {
      if (bad?.isGone !== false) disk.remove(path)
      return { chunk: undefined, bad, leftFor: undefined }
    }
    const outputs = usable.routes.flatMap(route => (route.label === undefined ? [] : [route.label]))
    const chunk = {
      id: basename(path),
      origin: {
        tag: usable.tag,
        input: folder,
        ...(outputs.length === 0 ? {} : { outputs }),
        ...(signal === 'logs' ? {} : { signal })
      },
      events: whole.events,
      bytes: whole.bytes,
      stored: new FluentBitFile(disk, path, this.#damaged(path, folder), file.length, whole.bytes),
      settled: []
    }
    return { chunk, bad, leftFor: undefined }
  }

  /** Moves bad bytes out of the way, with what is wrong with them, or lets them go if so configured. */
  #setAside(path: string, folder: string, bytes: Buffer, reason: string): BadBytes & Gone {
    const { disk, deletesBad } = this.#options
    const base = { path, reason, bytes: bytes.length }
    if (deletesBad) return { ...base, end: 'deleted', isGone: true }
    const place = this.#damaged(path, folder)
    try {
      disk.makeFolder(join(this.#corrupt, folder))
      writeWhole(disk, place, bytes)
      writeWhole(disk, `${place}.json`, Buffer.from(`${JSON.stringify(base)}\n`))
      return { ...base, end: `set aside as ${place}`, isGone: true }
    } catch (error) {
      // A full disk is no reason to keep the good events back.
      const end = `left there, as they cannot be set aside: ${systemError(error).text}`
      return { ...base, end, isGone: false }
    }
  }

  /** Where a file of a folder goes that is damaged. */
  #damaged(path: string, folder: string): string {
    return join(this.#corrupt, folder, basename(path))
  }

  #fileOptions(path: string, folder: string, origin: ChunkOrigin): ChunkFileOptions {
    const { disk, syncs, notSynced } = this.#options
    const damagedPath = this.#damaged(path, folder)
    const syncFolders: Sync = done => this.#syncFolders(dirname(path), done)
    const sync = syncs ? syncFolders : undefined
    return { disk, path, damagedPath, origin, syncFolders: sync, notSynced }
  }

  /** Waits for the names in a folder, and once for those of all folders above it. */
  #syncFolders(folder: string, done: (failure: Error | null) => void): void {
    const { disk, root } = this.#options
    const above = [this.#chunks, dirname(this.#chunks), root, dirname(resolve(root))]
    const folders = this.#hasSyncedFolders ? [folder] : [folder, ...above]
    const next = (index: number): void => {
      if (index === folders.length) {
        this.#hasSyncedFolders = true
        done(null)
        return
      }
      disk.syncFolder(folders[index], failure => {
        if (failure === null) next(index + 1)
        else done(failure)
      })
    }
    next(0)
  }
}

/** Whether bad bytes are out of the way. */
interface Gone {
  readonly isGone: boolean
}

/** Without the numbers of events that were never stored. */
function inChunk(settled: readonly Settled[], events: number): Settled[] {
  return settled.map(({ output, left }) => {
    const stored = left?.filter(event => event >= 0 && event < events) ?? []
    return stored.length === 0 ? { output } : { output, left: stored }
  })
}

/** A chunk that Fluent Bit left; it stays as it is until it is delivered. */
class FluentBitFile implements StoredChunk {
  readonly #disk: Disk
  readonly #path: string
  readonly #damagedPath: string
  readonly fileBytes: number
  readonly #contentBytes: number

  constructor(
    disk: Disk,
    path: string,
    damagedPath: string,
    fileBytes: number,
    contentBytes: number
  ) {
    this.#disk = disk
    this.#path = path
    this.#damagedPath = damagedPath
    this.fileBytes = fileBytes
    this.#contentBytes = contentBytes
  }

  load(): Buffer {
    const read = readFluentBitChunk(this.#disk.read(this.#path), { checksum: false })
    const usable = read.ok ? read.chunk : read.rest
    if (usable === undefined) throw new Error(read.ok ? 'empty' : read.reason)
    return usable.content.subarray(0, this.#contentBytes)
  }

  /** Its layout has no place for notes: after a crash all outputs get the chunk again. */
  settle(): void {}

  remove(): void {
    this.#disk.remove(this.#path)
  }

  setAside(): string {
    this.#disk.makeFolder(dirname(this.#damagedPath))
    this.#disk.rename(this.#path, this.#damagedPath)
    return this.#damagedPath
  }
}

/** Writes a new file; one that is there already was set aside by a start that a crash ended. */
export function writeWhole(disk: Disk, path: string, bytes: Buffer): void {
  if (disk.exists(path)) disk.remove(path)
  const descriptor = disk.create(path)
  try {
    for (let at = 0; at < bytes.length;) {
      const written = disk.write(descriptor, [bytes.subarray(at)], at)
      if (written === 0) throw new Error('the disk takes no more')
      at += written
    }
  } finally {
    disk.close(descriptor)
  }
}

/** `123-1700000000.000000001.chunk` for `123-1700000000.000000001.flb`. */
function fileName(id: string): string {
  return `${basename(id, '.flb')}.chunk`
}

/** Compares the times in names of chunks; names without one come last. */
function compareAge(left: string, right: string): number {
  const [a, b] = [left, right].map(name => /-(\d+)\.(\d+)\.\w+$/.exec(name))
  if (a === undefined || b === undefined) return 0
  if (a === null || b === null) return (a === null ? 1 : 0) - (b === null ? 1 : 0)
  return Number(a[1]) - Number(b[1]) || Number(a[2]) - Number(b[2])
}
