/**
 * The folder `storage.path`: chunks of this program under `.spillway/chunks/INPUT`, and those that a Fluent Bit left in
 * `INPUT`. Fluent Bit opens every folder there as chunks of its own except hidden ones, so that it can be gone back to.
 */
import { basename, join, resolve } from 'node:path'
import { type ChunkOrigin, readChunkFile, type Settled } from './chunk_format.ts'
import { ChunkFile, type StoredChunk } from './chunk_file.ts'
import type { Disk } from './disk.ts'
import { readFluentBitChunk, wholeEvents } from './fluent_bit_chunk.ts'

/** Own files, where Fluent Bit does not look. */
const OWN_FOLDER = '.spillway'

export interface StoreOptions {
  readonly disk: Disk
  /** `storage.path`. */
  readonly root: string
  /** `storage.sync full`. */
  readonly syncs: boolean
  /** `storage.checksum`: check those of Fluent Bit's files; our own are always checked. */
  readonly checksum: boolean
  /** `storage.delete_irrecoverable_chunks`: bad bytes are deleted instead of set aside. */
  readonly deletesBad: boolean
  /** Folder of dead letters, which are no backlog. */
  readonly rejectedFolder: string
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
  /** Where they are now; undefined when they were deleted, or could not be moved. */
  readonly movedTo: string | undefined
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

  /** The file that a new chunk is to be written to; nothing is on disk before its first events. */
  newFile(id: string, input: string, origin: ChunkOrigin): ChunkFile {
    const { disk, syncs } = this.#options
    return new ChunkFile({ disk, path: join(this.#chunks, input, fileName(id)), origin, syncs })
  }

  /** All files that earlier runs and Fluent Bit left, oldest first. */
  find(): FoundFile[] {
    const { disk, root, rejectedFolder } = this.#options
    const letters = resolve(join(root, rejectedFolder))
    const found: FoundFile[] = []
    const collect = (parent: string, isOwn: boolean): void => {
      for (const folder of disk.list(parent).folders) {
        if (!isOwn && resolve(root, folder) === letters) continue
        for (const file of disk.list(join(parent, folder)).files) {
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
    const { disk, syncs } = this.#options
    const file = disk.read(path)
    const { origin, events, pieces, settled, end, problem } = readChunkFile(file)
    const isEmpty = origin === undefined || events === 0
    const badFrom = isEmpty ? 0 : end
    // A file without events that ends well is from a crash right after it was made.
    const isBad = problem !== undefined && badFrom < file.length
    const bad = isBad ? this.#setAside(path, folder, file.subarray(badFrom), problem) : undefined
    if (isEmpty) {
      disk.remove(path)
      return { chunk: undefined, bad, leftFor: undefined }
    }
    if (bad !== undefined) disk.truncate(path, end)
    const bytes = pieces.reduce((sum, piece) => sum + piece.length, 0)
    const stored = ChunkFile.found({ disk, path, origin, syncs }, end)
    const id = `${basename(path, '.chunk')}.flb`
    return { chunk: { id, origin, events, bytes, stored, settled }, bad, leftFor: undefined }
  }

  #recoverFluentBit({ path, folder }: FoundFile): Recovery {
    const { disk, checksum } = this.#options
    const file = disk.read(path)
    const read = readFluentBitChunk(file, { checksum })
    const usable = read.ok ? read.chunk : read.rest
    if (usable !== undefined && usable.signal !== 'logs') {
      return { chunk: undefined, bad: undefined, leftFor: usable.signal }
    }
    const whole =
      usable === undefined ? { bytes: 0, events: 0, isCurrent: true } : wholeEvents(usable.content)
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
      disk.remove(path)
      return { chunk: undefined, bad, leftFor: undefined }
    }
    const outputs = usable.routes.flatMap(route => (route.label === undefined ? [] : [route.label]))
    const chunk = {
      id: basename(path),
      origin: {
        tag: usable.tag,
        input: folder,
        ...(outputs.length === 0 ? {} : { outputs })
      },
      events: whole.events,
      bytes: whole.bytes,
      stored: new FluentBitFile(disk, path, file.length, whole.bytes),
      settled: []
    }
    return { chunk, bad, leftFor: undefined }
  }

  /** Moves bad bytes out of the way, with what is wrong with them, or lets them go if so configured. */
  #setAside(path: string, folder: string, bytes: Buffer, reason: string): BadBytes {
    const { disk, deletesBad } = this.#options
    const base = { path, reason, bytes: bytes.length }
    if (deletesBad || bytes.length === 0) return { ...base, movedTo: undefined }
    const movedTo = join(this.#corrupt, folder, basename(path))
    disk.makeFolder(join(this.#corrupt, folder))
    writeWhole(disk, movedTo, bytes)
    writeWhole(disk, `${movedTo}.json`, Buffer.from(`${JSON.stringify(base)}\n`))
    return { ...base, movedTo }
  }
}

/** A chunk that Fluent Bit left; it stays as it is until it is delivered. */
class FluentBitFile implements StoredChunk {
  readonly #disk: Disk
  readonly #path: string
  readonly fileBytes: number
  readonly #contentBytes: number

  constructor(disk: Disk, path: string, fileBytes: number, contentBytes: number) {
    this.#disk = disk
    this.#path = path
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
