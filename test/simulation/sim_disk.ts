/**
 * A disk in memory that fails as disks do. It outlives the runs of the program: a crash of the process leaves every byte
 * that was written, a loss of power only what was synced, and something of the rest.
 */
import { dirname } from 'node:path'
import type { Clock } from '../../src/base/clock.ts'
import type { Disk, FolderContent } from '../../src/storage/disk.ts'
import type { Dice } from './dice.ts'
import type { Life } from './life.ts'
import { SimFile } from './sim_file.ts'

/** Probabilities of failures, for each call. */
export interface DiskFaults {
  /** Fewer bytes are written than given; sometimes none. */
  readonly shortWrite: number
  readonly write: number
  readonly read: number
  readonly sync: number
  /** Making files and folders. */
  readonly create: number
  readonly remove: number
  readonly truncate: number
  /** The descriptor is closed all the same. */
  readonly close: number
  readonly list: number
  /** A sync takes seconds. */
  readonly slowSync: number
}

export const NO_DISK_FAULTS: DiskFaults = {
  shortWrite: 0,
  write: 0,
  read: 0,
  sync: 0,
  create: 0,
  remove: 0,
  truncate: 0,
  close: 0,
  list: 0,
  slowSync: 0
}

/** How bad the medium is, beyond failing calls. */
export interface MediumTraits {
  /** After a failed sync, what it was for is never written, though later syncs go well (Linux before 4.13 and many since). */
  readonly forgetsFailedSyncs: boolean
  /** A new folder is lost with the power unless the folder that it is in was synced. */
  readonly losesNewFolders: boolean
}

/** What is there from the beginning. */
const FOLDERS: readonly string[] = ['/', '/var']

interface Errno {
  readonly code: string
  readonly errno: number
}

const EIO: Errno = { code: 'EIO', errno: -5 }
const ENOSPC: Errno = { code: 'ENOSPC', errno: -28 }
const ENOENT: Errno = { code: 'ENOENT', errno: -2 }
const EEXIST: Errno = { code: 'EEXIST', errno: -17 }
const EBADF: Errno = { code: 'EBADF', errno: -9 }

function failure({ code, errno }: Errno, call: string, path: string): Error {
  return Object.assign(new Error(`${code}: simulated, ${call} '${path}'`), { code, errno })
}

interface Open {
  readonly path: string
  readonly file: SimFile
  syncs: number
}

export class SimDisk {
  faults: DiskFaults = NO_DISK_FAULTS
  #capacity = Number.POSITIVE_INFINITY
  /** When the capacity was changed last. */
  #changedMs = 0
  /** Calls that failed, and writes that a death cut off. */
  failures = 0
  readonly #dice: Dice
  readonly #traits: MediumTraits
  /** Told about what no correct program does. */
  readonly #onMisuse: (problem: string) => void
  /** Told about each change. */
  readonly #onChange: (what: string) => void
  #files = new Map<string, SimFile>()
  #durableFiles = new Map<string, SimFile>()
  readonly #folders = new Set(FOLDERS)
  #durableFolders = new Set(FOLDERS)
  readonly #open = new Map<number, Open>()
  #nextDescriptor = 3

  constructor(
    dice: Dice,
    traits: MediumTraits,
    tell: { onMisuse(problem: string): void; onChange(what: string): void }
  ) {
    this.#dice = dice
    this.#traits = traits
    this.#onMisuse = tell.onMisuse
    this.#onChange = tell.onChange
  }

  /** Bytes of all files together. */
  get capacity(): number {
    return this.#capacity
  }

  resize(bytes: number, nowMs: number): void {
    this.#capacity = bytes
    this.#changedMs = nowMs
  }

  /** True when it has taken everything for some time. */
  isWellFor(ms: number, nowMs: number): boolean {
    const { write, create, shortWrite } = this.faults
    const isWell = this.#capacity === Infinity && write + create + shortWrite === 0
    return isWell && nowMs - this.#changedMs > ms
  }

  /** Descriptors that are open. */
  get openFiles(): readonly string[] {
    return [...this.#open.values()].map(({ path }) => path)
  }

  /** Bytes of all files. */
  get used(): number {
    let bytes = 0
    for (const file of this.#files.values()) bytes += file.length
    return bytes
  }

  /** Paths of all files, sorted. */
  get paths(): readonly string[] {
    return [...this.#files.keys()].toSorted()
  }

  /** The disk as one run sees it. */
  attach(life: Life, clock: () => Clock): Disk {
    return new AttachedDisk(this, life, clock)
  }

  /** The process is gone, and its descriptors with it. */
  detach(): void {
    this.#open.clear()
  }

  /** The power is gone: what was not synced is there, or not, or a part of it. */
  losePower(): void {
    this.detach()
    this.#loseFolders()
    const files = new Map<string, SimFile>()
    for (const path of new Set([...this.#files.keys(), ...this.#durableFiles.keys()])) {
      if (!this.#folders.has(dirname(path))) continue
      const [now, before] = [this.#files.get(path), this.#durableFiles.get(path)]
      const file = now === before || this.#dice.chance(0.5) ? now : before
      if (file !== undefined) files.set(path, file)
    }
    for (const [path, file] of files) {
      // A file that was renamed may be there under both names.
      file.losePower(this.#dice)
      this.#changed('left', path, String(file.length))
    }
    this.#files = files
    this.#durableFiles = new Map(files)
  }

  #loseFolders(): void {
    if (!this.#traits.losesNewFolders) return
    for (const folder of [...this.#folders].toSorted()) {
      const isLost = !this.#durableFolders.has(folder) && this.#dice.chance(0.5)
      if (isLost || !this.#folders.has(dirname(folder))) this.#folders.delete(folder)
    }
    this.#durableFolders = new Set(this.#folders)
  }

  // --- calls of a run that is alive

  exists(path: string): boolean {
    return this.#files.has(path) || this.#folders.has(path)
  }

  makeFolder(path: string): void {
    if (this.#folders.has(path)) return
    this.#mayFail('create', 'mkdir', path)
    this.makeFolder(dirname(path))
    this.#folders.add(path)
    if (!this.#traits.losesNewFolders) this.#durableFolders.add(path)
  }

  list(path: string): FolderContent {
    this.#mayFail('list', 'readdir', path)
    const names = (paths: Iterable<string>): string[] => {
      const found: string[] = []
      for (const entry of paths) {
        const name = entry.slice(entry.lastIndexOf('/') + 1)
        if (entry !== '/' && dirname(entry) === path && !name.startsWith('.')) found.push(name)
      }
      return found.toSorted()
    }
    return { files: names(this.#files.keys()), folders: names(this.#folders) }
  }

  create(path: string): number {
    if (this.#files.has(path)) {
      if (this.failures === 0) this.#onMisuse(`${path} is there already`)
      throw failure(EEXIST, 'open', path)
    }
    if (!this.#folders.has(dirname(path))) throw failure(ENOENT, 'open', path)
    this.#mayFail('create', 'open', path)
    const file = new SimFile()
    this.#files.set(path, file)
    this.#changed('create', path)
    return this.#opened(path, file)
  }

  open(path: string): number {
    const file = this.#file(path, 'open')
    this.#mayFail('create', 'open', path)
    return this.#opened(path, file)
  }

  /** A write that a death cuts off at any byte. */
  tear(descriptor: number, pieces: readonly Buffer[], position: number): void {
    const { path, file } = this.#descriptor(descriptor, 'write')
    const bytes = Buffer.concat(pieces)
    const room = Math.max(0, this.capacity - this.used + file.length - position)
    this.failures++
    const end = Math.min(room, this.#dice.int(0, bytes.length))
    file.write(bytes.subarray(0, end), position)
    this.#changed('torn write', path, `${position}+${end}/${bytes.length}`)
  }

  write(descriptor: number, pieces: readonly Buffer[], position: number): number {
    const { path, file } = this.#descriptor(descriptor, 'write')
    this.#mayFail('write', 'write', path)
    if (position > file.length) this.#onMisuse(`write behind the end of ${path}`)
    const bytes = pieces.length === 1 ? pieces[0] : Buffer.concat(pieces)
    let end = bytes.length
    if (this.#dice.chance(this.faults.shortWrite)) end = this.#less(bytes.length)
    const room = Math.max(0, this.capacity - this.used + file.length - position)
    if (end > room) {
      end = room
      this.failures++
      if (end === 0) throw failure(ENOSPC, 'write', path)
    }
    file.write(bytes.subarray(0, end), position)
    this.#changed('write', path, `${position}+${end}/${bytes.length}`)
    return end
  }

  sync(descriptor: number, clock: Clock, done: (failure: Error | null) => void): void {
    const entry = this.#descriptor(descriptor, 'fdatasync')
    const { file, path } = entry
    const mark = file.mark()
    entry.syncs++
    clock.after(this.#syncMs(), () => {
      entry.syncs--
      if (this.#dice.chance(this.faults.sync)) {
        this.failures++
        if (this.#traits.forgetsFailedSyncs) file.forget(mark)
        done(failure(EIO, 'fdatasync', path))
      } else {
        file.synced(mark)
        this.#changed('synced', path, String(mark))
        done(null)
      }
    })
  }

  syncFolder(path: string, clock: Clock, done: (failure: Error | null) => void): void {
    if (!this.#folders.has(path)) {
      clock.after(0, () => done(failure(ENOENT, 'open', path)))
      return
    }
    const now = new Map([...this.#files].filter(([name]) => dirname(name) === path))
    const folders = [...this.#folders].filter(name => dirname(name) === path)
    clock.after(this.#syncMs(), () => {
      if (this.#dice.chance(this.faults.sync)) {
        this.failures++
        done(failure(EIO, 'fsync', path))
        return
      }
      // What has changed since the sync began may be on the medium by another one.
      for (const name of this.#durableFiles.keys()) {
        const isGone = !now.has(name) && !this.#files.has(name)
        if (dirname(name) === path && isGone) this.#durableFiles.delete(name)
      }
      for (const [name, file] of now) {
        if (this.#files.get(name) === file) this.#durableFiles.set(name, file)
      }
      for (const name of folders) this.#durableFolders.add(name)
      this.#changed('synced', path)
      done(null)
    })
  }

  close(descriptor: number): void {
    const { path, syncs } = this.#descriptor(descriptor, 'close')
    if (syncs > 0) this.#onMisuse(`${path} is closed while it is synced`)
    this.#open.delete(descriptor)
    this.#mayFail('close', 'close', path)
  }

  read(path: string): Buffer {
    const file = this.#file(path, 'open')
    this.#mayFail('read', 'read', path)
    return Buffer.from(file.content)
  }

  size(path: string): number {
    return this.#file(path, 'stat').length
  }

  truncate(path: string, length: number): void {
    const file = this.#file(path, 'truncate')
    this.#mayFail('truncate', 'truncate', path)
    file.truncate(length)
    this.#changed('truncate', path, String(length))
  }

  rename(from: string, to: string): void {
    const file = this.#file(from, 'rename')
    this.#mayFail('remove', 'rename', from)
    this.#files.delete(from)
    this.#files.set(to, file)
    this.#changed('rename', from, to)
  }

  remove(path: string): void {
    this.#file(path, 'unlink')
    this.#mayFail('remove', 'unlink', path)
    this.#files.delete(path)
    this.#changed('remove', path)
  }

  #changed(call: string, path: string, more = ''): void {
    this.#onChange(`disk: ${call} ${path} ${more}`)
  }

  /** Fewer bytes than a write is for. */
  #less(bytes: number): number {
    return this.#dice.chance(0.1) ? 0 : this.#dice.int(1, Math.max(1, bytes - 1))
  }

  #syncMs(): number {
    return this.#dice.chance(this.faults.slowSync)
      ? this.#dice.int(500, 20_000)
      : this.#dice.int(0, 30)
  }

  #mayFail(fault: keyof DiskFaults, call: string, path: string): void {
    if (!this.#dice.chance(this.faults[fault])) return
    this.failures++
    this.#changed(`${call} fails`, path)
    throw failure(EIO, call, path)
  }

  #file(path: string, call: string): SimFile {
    const file = this.#files.get(path)
    if (file === undefined) throw failure(ENOENT, call, path)
    return file
  }

  #opened(path: string, file: SimFile): number {
    const descriptor = this.#nextDescriptor++
    this.#open.set(descriptor, { path, file, syncs: 0 })
    return descriptor
  }

  #descriptor(descriptor: number, call: string): Open {
    const entry = this.#open.get(descriptor)
    if (entry !== undefined) return entry
    this.#onMisuse(`${call} on descriptor ${descriptor}, which is not open`)
    throw failure(EBADF, call, String(descriptor))
  }
}

/** The disk for one run: the run may die at every call that changes something. */
class AttachedDisk implements Disk {
  readonly #disk: SimDisk
  readonly #life: Life
  readonly #clock: () => Clock

  constructor(disk: SimDisk, life: Life, clock: () => Clock) {
    this.#disk = disk
    this.#life = life
    this.#clock = clock
  }

  exists(path: string): boolean {
    return this.#disk.exists(path)
  }

  makeFolder(path: string): void {
    this.#life.point()
    this.#disk.makeFolder(path)
  }

  list(path: string): FolderContent {
    return this.#disk.list(path)
  }

  create(path: string): number {
    this.#life.point()
    return this.#disk.create(path)
  }

  open(path: string): number {
    this.#life.point()
    return this.#disk.open(path)
  }

  write(descriptor: number, pieces: readonly Buffer[], position: number): number {
    if (!this.#life.isDue()) return this.#disk.write(descriptor, pieces, position)
    this.#disk.tear(descriptor, pieces, position)
    return this.#life.die()
  }

  sync(descriptor: number, done: (failure: Error | null) => void): void {
    this.#life.point()
    this.#disk.sync(descriptor, this.#clock(), this.#whileAlive(done))
  }

  syncFolder(path: string, done: (failure: Error | null) => void): void {
    this.#life.point()
    this.#disk.syncFolder(path, this.#clock(), this.#whileAlive(done))
  }

  close(descriptor: number): void {
    // Nothing is seen outside of a close: no place to die, and nothing to do once dead.
    if (this.#life.isAlive) this.#disk.close(descriptor)
  }

  read(path: string): Buffer {
    this.#life.point()
    return this.#disk.read(path)
  }

  size(path: string): number {
    return this.#disk.size(path)
  }

  truncate(path: string, length: number): void {
    this.#life.point()
    this.#disk.truncate(path, length)
  }

  rename(from: string, to: string): void {
    this.#life.point()
    this.#disk.rename(from, to)
  }

  remove(path: string): void {
    this.#life.point()
    this.#disk.remove(path)
  }

  #whileAlive(done: (failure: Error | null) => void): (failure: Error | null) => void {
    return failure => {
      if (this.#life.isAlive) done(failure)
    }
  }
}
