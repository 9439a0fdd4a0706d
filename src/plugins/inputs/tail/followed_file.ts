/**
 * One open file: where it was read to, what is left of its last line, and which positions are settled.
 * Source: Fluent Bit 5.1.1 plugins/in_tail/tail_file.c.
 */
import {
  closeSync,
  type FSWatcher,
  fstatSync,
  lstatSync,
  openSync,
  readlinkSync,
  readSync,
  type Stats,
  statSync
} from 'node:fs'
import type { EventSink } from '../../../plugin/context.ts'
import type { LinePacker } from './line_packer.ts'
import type { FileEncoding } from './file_encoding.ts'
import type { GzipReader } from './gzip_reader.ts'

/** Where a file stands on its way: read for the first time, or followed for what is appended. */
export type FileStage = 'static' | 'followed'

export class FollowedFile {
  /** As matched by the pattern; tags and `path_key` come from it. */
  readonly path: string
  /** Where the file is now; it changes when the file is renamed. */
  name: string
  readonly inode: number
  readonly device: number
  readonly descriptor: number
  /** The inode of the symbolic link that `path` is, if it is one. */
  readonly linkInode: number | undefined
  readonly sink: EventSink
  readonly packer: LinePacker
  readonly gzip: GzipReader | undefined
  /** Undefined for UTF-8, which is taken as it is. */
  readonly encoding: FileEncoding | undefined
  stage: FileStage = 'static'
  /** True while its turn to be read is to come: there may be bytes that were not read, and it is not to be closed. */
  isWaiting = false
  /** Bytes read from the file. */
  offset = 0
  /** Position of the first byte of `rest` in the file; for compressed files in what is in it. */
  lineStart = 0
  /** The start of a line whose end was not read yet. */
  rest: Buffer | undefined
  /** Where a line starts that is too long and whose rest is passed over; undefined while none is. */
  skippedFrom: number | undefined
  /** True once a long line was reported, which is done once a file. */
  reportedLongLine = false
  /** Bytes that the file is known to have had; it was truncated when it has less. */
  seenSize: number
  /** False once the file was renamed or deleted: `path` leads to nothing or to another file. */
  hasPath = true
  /** When the file was found to be renamed, in milliseconds. */
  rotatedMs: number | undefined
  /** Row of the position database. */
  databaseId: number | undefined
  /** Position that the database should hold; see `settle`. */
  settledOffset = 0
  /** Notifies of changes while the file is quiet. */
  watcher: FSWatcher | undefined
  /** Number that log lines call watch_fd. */
  watchNumber = 0
  /** When the file last grew, in milliseconds. */
  grewMs = 0
  /** When it was last looked at while it waited to be read, in milliseconds. */
  lookedMs = 0
  closed = false
  readonly #unsettled: { readonly end: number; settled: boolean }[] = []
  /** Called when nothing of what was read here is on its way any more. */
  #allSettled: (() => void) | undefined

  /** @throws The error of `open`. */
  constructor(parts: {
    path: string
    stats: Stats
    descriptor: number
    linkInode: number | undefined
    sink: EventSink
    packer: LinePacker
    gzip: GzipReader | undefined
    encoding: FileEncoding | undefined
  }) {
    this.path = parts.path
    this.name = parts.path
    this.inode = parts.stats.ino
    this.device = parts.stats.dev
    this.seenSize = parts.stats.size
    this.descriptor = parts.descriptor
    this.linkInode = parts.linkInode
    this.sink = parts.sink
    this.packer = parts.packer
    this.gzip = parts.gzip
    this.encoding = parts.encoding
  }

  /** Identifies the file on this machine while it exists. */
  get key(): string {
    return fileKey(this.device, this.inode)
  }

  /** True when nothing is on its way. */
  get isSettled(): boolean {
    return this.#unsettled.length === 0
  }

  /** Sets the position to read from; what was read before is forgotten. */
  seek(offset: number): void {
    this.offset = offset
    this.lineStart = offset
    this.settledOffset = offset
    this.rest = undefined
    this.skippedFrom = undefined
    this.#unsettled.length = 0
  }

  stats(): Stats {
    return descriptorStats(this.descriptor)
  }

  /** Reads what follows into `target` at `at`; gives the bytes read, 0 at the end. */
  read(target: Buffer, at: number, count: number): number {
    const read = readSync(this.descriptor, target, at, count, this.offset)
    this.offset += read
    this.seenSize = Math.max(this.seenSize, this.offset)
    return read
  }

  /** The name that the system knows the file by now. */
  currentName(): string {
    return readlinkSync(`/proc/self/fd/${this.descriptor}`)
  }

  /**
   * Notes that events up to `end` are on their way; the returned function is to be called when they are settled.
   * Positions settle in order: one that is late holds back all behind it.
   */
  expect(end: number, changed: (file: FollowedFile) => void): () => void {
    const entry = { end, settled: false }
    this.#unsettled.push(entry)
    return () => {
      entry.settled = true
      while (this.#unsettled.length > 0 && this.#unsettled[0].settled) {
        this.settledOffset = this.#unsettled[0].end
        this.#unsettled.shift()
      }
      changed(this)
      if (this.isSettled) this.#allSettled?.()
    }
  }

  /** Closes it for us; the descriptor stays open for the file that goes on with it. */
  leave(): void {
    this.closed = true
    this.watcher?.close()
    this.watcher = undefined
  }

  /**
   * Goes on where another one was left that has the same descriptor. The settled position stays behind what is still on
   * its way from there.
   */
  goOnFrom(before: FollowedFile, changed: (file: FollowedFile) => void): void {
    this.name = before.name
    this.offset = before.offset
    this.lineStart = before.lineStart
    this.rest = before.rest
    this.skippedFrom = before.skippedFrom
    this.reportedLongLine = before.reportedLongLine
    this.seenSize = before.seenSize
    this.hasPath = before.hasPath
    this.rotatedMs = before.rotatedMs
    this.grewMs = before.grewMs
    this.settledOffset = before.settledOffset
    const last = before.#unsettled.at(-1)
    if (last !== undefined) before.#allSettled = this.expect(last.end, changed)
  }

  close(): void {
    if (this.closed) return
    this.leave()
    this.release()
  }

  /** Closes the descriptor of a file that was left and that no other goes on with. */
  release(): void {
    this.gzip?.close()
    closeFile(this.descriptor)
  }
}

/** Identifies a file on this machine while it exists. */
export function fileKey(device: number, inode: number): string {
  return `${device}:${inode}`
}

/** Opens a file for reading. */
export function openForReading(path: string): number {
  return openSync(path, 'r')
}

export function closeFile(descriptor: number): void {
  closeSync(descriptor)
}

export function descriptorStats(descriptor: number): Stats {
  return fstatSync(descriptor)
}

/** Bytes of an open file from a position on, fewer at its end. */
export function bytesAt(descriptor: number, position: number, count: number): Buffer {
  const bytes = Buffer.alloc(count)
  return bytes.subarray(0, count === 0 ? 0 : readSync(descriptor, bytes, 0, count, position))
}

/** What a path leads to; undefined when nothing can be told, for whatever reason. */
export function pathStats(path: string): Stats | undefined {
  try {
    // Names without a file are looked at often, and an exception costs six times as much.
    return statSync(path, { throwIfNoEntry: false })
  } catch {
    return undefined
  }
}

/** What a path is, without following a link; undefined when nothing can be told. */
export function linkStats(path: string): Stats | undefined {
  try {
    return lstatSync(path, { throwIfNoEntry: false })
  } catch {
    return undefined
  }
}
