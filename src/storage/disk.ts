/**
 * The file operations that storage needs. Calls block: each touches the page cache for some microseconds, while a turn
 * through Node's thread pool costs more; only waiting for the disk itself (`sync`) happens elsewhere. A test puts a
 * simulated disk in its place.
 */
import {
  closeSync,
  existsSync,
  fdatasync,
  fsync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  truncateSync,
  unlinkSync,
  writevSync
} from 'node:fs'

/** What a folder holds; neither hidden names nor anything but files and folders. */
export interface FolderContent {
  readonly files: readonly string[]
  readonly folders: readonly string[]
}

/** Failures are thrown as Node's file functions throw them, unless a method says otherwise. */
export interface Disk {
  exists(path: string): boolean
  /** Makes a folder and those above it; one that is there already is fine. */
  makeFolder(path: string): void
  /** Names in a folder, sorted; empty when it is not there. */
  list(path: string): FolderContent
  /** Opens a new file for writing; a file that is there already is an error (EEXIST). */
  create(path: string): number
  /** Opens a file for writing. */
  open(path: string): number
  /** Writes pieces one after the other; may write fewer bytes, gives how many. */
  write(descriptor: number, pieces: readonly Buffer[], position: number): number
  /** Waits until what was written is on the medium; `done` is called later, with the failure if there was one. */
  sync(descriptor: number, done: (failure: Error | null) => void): void
  /** Waits until the names in a folder are on the medium. */
  syncFolder(path: string, done: (failure: Error | null) => void): void
  close(descriptor: number): void
  read(path: string): Buffer
  /** Bytes of a file. */
  size(path: string): number
  truncate(path: string, length: number): void
  rename(from: string, to: string): void
  remove(path: string): void
}

/** Readable by nobody else, as Fluent Bit's chunks: they hold what users log. */
const FILE_MODE = 0o600

export const systemDisk: Disk = {
  exists: existsSync,
  makeFolder: path => void mkdirSync(path, { recursive: true, mode: 0o755 }),
  list(path) {
    let entries
    try {
      entries = readdirSync(path, { withFileTypes: true })
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
      return { files: [], folders: [] }
    }
    const names = (kind: 'isFile' | 'isDirectory'): string[] =>
      entries.flatMap(entry => (entry[kind]() && !entry.name.startsWith('.') ? [entry.name] : []))
    return { files: names('isFile').toSorted(), folders: names('isDirectory').toSorted() }
  },
  create: path => openSync(path, 'wx', FILE_MODE),
  open: path => openSync(path, 'r+'),
  write: (descriptor, pieces, position) => writevSync(descriptor, pieces, position),
  sync: (descriptor, done) => fdatasync(descriptor, done),
  syncFolder(path, done) {
    let descriptor: number
    try {
      descriptor = openSync(path, 'r')
    } catch (error) {
      queueMicrotask(() => done(error as Error))
      return
    }
    fsync(descriptor, failure => {
      closeSync(descriptor)
      done(failure)
    })
  },
  close: closeSync,
  read: path => readFileSync(path),
  size: path => statSync(path).size,
  truncate: truncateSync,
  rename: renameSync,
  remove: unlinkSync
}
