/**
 * Follows the files of a `tail` input: finds them, reads what they hold, and notices growth, rotation, truncation and
 * deletion. Busy files are looked at every 100 ms, quiet ones are watched: a notification for each write of a
 * busy file costs ten times as much as looking.
 * Source: Fluent Bit 5.1.1 plugins/in_tail/tail_file.c, tail_fs_inotify.c.
 */
import { type Stats, watch } from 'node:fs'
import { resolve } from 'node:path'
import { xxh3, XXH3_INPUT_MAX } from '../../../codec/xxh3.ts'
import type { Matcher } from '../../../parser/onigmo.ts'
import type { InputContext } from '../../../plugin/context.ts'
import type { Input } from '../../../plugin/define.ts'
import { BlockReader } from './block_reader.ts'
import type { EncodingSource } from './file_encoding.ts'
import { canSearch, compileExclude, findFiles, isExcluded } from './file_scan.ts'
import { fileKey, FollowedFile, linkStats, openForReading, pathStats } from './followed_file.ts'
import { GzipReader } from './gzip_reader.ts'
import type { TailValues } from './options.ts'
import { PositionDatabase } from './position_database.ts'
import { composeTag } from './tag_template.ts'

/** How often busy files are looked at. */
const POLL_MS = 100

/** A file that did not grow for this long is watched instead. */
const QUIET_AFTER_MS = 2_000

/** How often the name of a busy file is checked. */
const NAME_CHECK_MS = 1_000

/** Blocks of one file that are read before the next file gets its turn. */
const BLOCKS_PER_TURN = 8

export interface FollowSettings {
  readonly values: TailValues
  readonly paths: readonly string[]
  readonly refreshMs: number
  readonly tagRegex: Matcher | undefined
  readonly encoding: EncodingSource | undefined
}

export class FileFollower implements Input {
  readonly #settings: FollowSettings
  readonly #values: TailValues
  readonly #context: InputContext
  readonly #reader: BlockReader
  readonly #excluded: readonly RegExp[]
  readonly #workingDirectory = process.cwd()
  /** All open files by device and inode. */
  readonly #files = new Map<string, FollowedFile>()
  /** Files with bytes to read, in turn. */
  readonly #pending: FollowedFile[] = []
  /** Followed files that are looked at. */
  readonly #busy = new Set<FollowedFile>()
  /** Files with a settled position that the database does not have yet. */
  readonly #unsaved = new Set<FollowedFile>()
  /** Sizes of files that were too old, where reading starts when they change. */
  readonly #ignoredSizes = new Map<string, number>()
  /** Inodes of files that were left for their age, by path. */
  readonly #agedOut = new Map<string, number>()
  readonly #unreadable = new Set<string>()
  #database: PositionDatabase | undefined
  #readFromHead: boolean
  #watchCount = 0
  #reading = false
  #stopped = false

  constructor(settings: FollowSettings, context: InputContext) {
    const { values } = settings
    this.#settings = settings
    this.#values = values
    this.#context = context
    this.#readFromHead = values.read_from_head
    this.#excluded = (values.exclude_path ?? []).map(compileExclude)
    const parser = values.parser === undefined ? undefined : context.parser(values.parser)
    if (values.parser !== undefined && parser === undefined) {
      context.log.error(`parser '${values.parser}' is not registered`)
    }
    const settled = values.db === undefined ? undefined : (file: FollowedFile) => this.#save(file)
    this.#reader = new BlockReader(context, values, parser, settled)
  }

  start(): void {
    this.#openDatabase()
    this.#scan()
    this.#forgetStaleRows()
    if (this.#values.read_newly_discovered_files_from_head) this.#readFromHead = true
    const context = this.#context
    context.every(this.#settings.refreshMs, () => this.#scan())
    context.every(this.#values.rotate_wait * 1000, () => this.#purge())
    context.every(this.#pollMs(), () => this.#poll())
    context.every(this.#values.watcher_interval * 1000, () => this.#checkLinks())
    void this.#readPending()
  }

  resume(): void {
    void this.#readPending()
  }

  stop(): void {
    this.#stopped = true
    for (const file of this.#files.values()) this.#close(file)
    this.#saveAll()
    this.#database?.close()
  }

  #pollMs(): number {
    if (this.#values.inotify_watcher) return POLL_MS
    const { progress_check_interval: seconds, progress_check_interval_nsec: nanoseconds } =
      this.#values
    return Math.max(1, seconds * 1000 + nanoseconds / 1e6)
  }

  // --- finding files

  #scan(): void {
    for (const pattern of this.#settings.paths) {
      const paths = findFiles(pattern, this.#workingDirectory)
      if (paths.length === 0) this.#reportUnsearchable(pattern)
      for (const path of paths) this.#consider(path)
    }
    if (this.#pending.length > 0) void this.#readPending()
  }

  /** Opens a file that a pattern matched, unless it is known, excluded or too old. */
  #consider(path: string): void {
    const stats = pathStats(path)
    if (stats === undefined || !stats.isFile() || isExcluded(path, this.#excluded)) return
    if (this.#files.has(fileKey(stats.dev, stats.ino)) || this.#isTooOld(path, stats)) return
    const ignored = this.#values.ignore_older > 0 ? this.#ignoredSizes.get(path) : undefined
    this.#ignoredSizes.delete(path)
    const start = ignored !== undefined && ignored <= stats.size ? ignored : undefined
    this.#open(path, stats, start)
  }

  #isTooOld(path: string, stats: Stats): boolean {
    const { ignore_older: seconds, ignore_active_older_files: leavesActive } = this.#values
    if (seconds === 0) return false
    const isOld = this.#context.clock.now() - seconds * 1000 > stats.mtimeMs
    const agedOut = this.#agedOut.get(path)
    if (leavesActive && agedOut !== undefined) {
      if (agedOut === stats.ino && isOld) return true
      // Another file has the path now: the position of the old one means nothing.
      if (agedOut !== stats.ino) this.#ignoredSizes.delete(path)
      this.#agedOut.delete(path)
    }
    if (!isOld) return false
    this.#ignoredSizes.set(path, stats.size)
    return true
  }

  #open(path: string, stats: Stats, start: number | undefined): void {
    const { log } = this.#context
    const tag = composeTag(this.#context.tag, path, this.#settings.tagRegex)
    if ('problem' in tag) {
      log.error(tag.problem)
      log.error(`failed to compose tag for file: ${path}`)
      return
    }
    let descriptor: number
    try {
      descriptor = openForReading(path)
    } catch (error) {
      this.#reportUnreadable(path, error)
      return
    }
    this.#unreadable.delete(path)
    const link = linkStats(path)
    const file = new FollowedFile({
      path,
      stats,
      descriptor,
      linkInode: link?.isSymbolicLink() === true ? link.ino : undefined,
      sink: this.#context.sink(tag.tag),
      packer: this.#reader.packer(path),
      gzip: path.toLowerCase().endsWith('.gz') ? new GzipReader() : undefined,
      encoding: this.#settings.encoding?.()
    })
    this.#files.set(file.key, file)
    this.#position(file, stats, start)
    this.#pending.push(file)
    this.#count('files_opened', 'Total number of opened files')
  }

  /** A folder that is not there or not open to us; said once for a pattern. */
  #reportUnsearchable(pattern: string): void {
    if (canSearch(pattern, this.#workingDirectory) || this.#unreadable.has(pattern)) return
    this.#unreadable.add(pattern)
    this.#context.log.error(`read error, check permissions: ${pattern}`)
    this.#context.log.warn(`error scanning path: ${pattern}`)
  }

  /** Reported once for a path, as it is looked at again with every scan. */
  #reportUnreadable(path: string, error: unknown): void {
    if (this.#unreadable.has(path)) return
    this.#unreadable.add(path)
    this.#context.log.error(`cannot open ${path}: ${describe(error)}`)
    this.#countUnreadable()
  }

  #countUnreadable(): void {
    this.#context
      .counter('spillway_input_files_unreadable_total', 'Files that could not be read.')
      .add(1)
  }

  /** Where reading starts: the stored position, a given one, the beginning or the end. */
  #position(file: FollowedFile, stats: Stats, start: number | undefined): void {
    const database = this.#database
    if (database !== undefined) {
      this.#change(() => this.#positionFromDatabase(database, file, stats, start))
    } else if (start !== undefined) file.seek(start)
    else if (!this.#readFromHead) file.seek(stats.size)
  }

  #positionFromDatabase(
    database: PositionDatabase,
    file: FollowedFile,
    stats: Stats,
    start: number | undefined
  ): void {
    const row = database.find(file.inode)
    const isSame =
      row !== undefined && (!this.#values['db.compare_filename'] || row.name === file.path)
    if (row !== undefined && !isSame) database.delete(row.id)
    if (row === undefined || !isSame) {
      const created = Math.floor(this.#context.clock.now() / 1000)
      file.databaseId = database.insert(file.path, start ?? 0, file.inode, created)
      if (start !== undefined) file.seek(start)
      else if (!this.#readFromHead) file.seek(stats.size)
    } else {
      file.databaseId = row.id
      const isValid = row.offset <= stats.size && this.#markerMatches(file, row)
      const offset = isValid ? row.offset : 0
      file.seek(offset === 0 && !this.#readFromHead ? stats.size : offset)
    }
    this.#save(file)
  }

  // --- reading

  /** Reads pending files in turns until none has anything left, or the input is paused. */
  async #readPending(): Promise<void> {
    if (this.#reading) return
    this.#reading = true
    try {
      while (this.#pending.length > 0 && !this.#stopped && !this.#context.paused) {
        const file = this.#pending[0]
        const atEnd = file.closed || (await this.#readTurn(file))
        this.#pending.shift()
        if (!atEnd) this.#pending.push(file)
        else if (!file.closed) this.#reachedEnd(file)
      }
    } finally {
      this.#reading = false
    }
  }

  /** Reads some blocks of a file, letting other work in between; true at its end. */
  async #readTurn(file: FollowedFile): Promise<boolean> {
    for (let block = 0; block < BLOCKS_PER_TURN; block++) {
      await this.#context.ready()
      if (this.#stopped || this.#context.paused) return false
      const read = file.gzip === undefined ? this.#read(file) : await this.#readCompressed(file)
      if (read === 0) return true
      file.grewMs = this.#context.clock.now()
      await new Promise(setImmediate)
    }
    return false
  }

  /** Reads a block; a file that cannot be read is given up. */
  #read(file: FollowedFile): number {
    try {
      return this.#reader.read(file)
    } catch (error) {
      this.#giveUp(file, `error reading ${file.name}: ${describe(error)}`)
      return 0
    }
  }

  async #readCompressed(file: FollowedFile): Promise<number> {
    try {
      return await this.#reader.readCompressed(file)
    } catch (error) {
      this.#giveUp(file, `decompression failed for ${file.name}: ${describe(error)}`)
      return 0
    }
  }

  #giveUp(file: FollowedFile, message: string): void {
    this.#context.log.error(message)
    this.#countUnreadable()
    this.#close(file)
    this.#allRead()
  }

  #reachedEnd(file: FollowedFile): void {
    if (file.stage === 'static') {
      if (this.#values.exit_on_eof) {
        this.#context.log.info(`inode=${file.inode} file=${file.path} ended, stop`)
      }
      this.#follow(file)
      this.#allRead()
    }
    file.grewMs = this.#context.clock.now()
    this.#busy.add(file)
  }

  /** What follows when no file is left that was not read to its end: what was read need not wait for the flush. */
  #allRead(): void {
    const isReading = [...this.#files.values()].some(file => file.stage === 'static')
    if (isReading) return
    if (this.#values.exit_on_eof) this.#context.stop()
    else this.#context.flush()
  }

  #follow(file: FollowedFile): void {
    file.stage = 'followed'
    file.watchNumber = ++this.#watchCount
    this.#context.log.info(
      `inotify_fs_add(): inode=${file.inode} watch_fd=${file.watchNumber} name=${file.name}`
    )
  }

  // --- following

  #poll(): void {
    const now = this.#context.clock.now()
    for (const file of this.#busy) this.#attempt(file, () => this.#pollOne(file, now))
    if (this.#pending.length > 0) void this.#readPending()
  }

  #pollOne(file: FollowedFile, now: number): void {
    this.#look(file, now)
    if (!this.#busy.has(file)) return
    if (now - file.checkedMs >= NAME_CHECK_MS) this.#checkName(file, now)
    if (now - file.grewMs > QUIET_AFTER_MS && file.rotatedMs === undefined) this.#watch(file)
  }

  /** Does something with a file; a file that the system cannot tell about any more is given up. */
  #attempt(file: FollowedFile, action: () => void): void {
    try {
      action()
    } catch (error) {
      this.#giveUp(file, `error reading ${file.name}: ${describe(error)}`)
    }
  }

  /** Reads what a followed file has grown by. */
  #look(file: FollowedFile, now: number): void {
    const { size, nlink } = file.stats()
    if (size < file.offset) {
      this.#context.log.debug(
        `inode=${file.inode} file truncated ${file.name} (diff: ${size - file.offset} bytes)`
      )
      file.seek(0)
      this.#save(file)
    }
    if (size > file.offset) {
      file.grewMs = now
      // A little is read at once; more waits for its turn, so that one file does not hold up the rest.
      if (file.gzip === undefined && size - file.offset <= this.#values.buffer_max_size) {
        this.#read(file)
      } else {
        this.#busy.delete(file)
        this.#pending.push(file)
      }
    } else if (nlink === 0) this.#remove(file)
  }

  /** Watches a quiet file; any change makes it busy again. */
  #watch(file: FollowedFile): void {
    if (!this.#values.inotify_watcher || file.watcher !== undefined) return
    try {
      const watcher = watch(`/proc/self/fd/${file.descriptor}`, { persistent: false })
      watcher.on('change', () => this.#wake(file))
      watcher.on('error', () => this.#wake(file))
      file.watcher = watcher
      this.#busy.delete(file)
    } catch {
      // No more watches to be had: the file stays among those that are looked at.
      return
    }
    // What happened between the last look and the watch has no notification.
    this.#look(file, this.#context.clock.now())
  }

  #wake(file: FollowedFile): void {
    file.watcher?.close()
    file.watcher = undefined
    if (file.closed) return
    file.grewMs = this.#context.clock.now()
    file.checkedMs = 0
    this.#busy.add(file)
    if (!this.#context.paused) this.#poll()
  }

  // --- rotation and deletion

  #checkName(file: FollowedFile, now: number): void {
    file.checkedMs = now
    if (file.rotatedMs !== undefined) {
      this.#fillVacancy(file)
      return
    }
    if (file.stats().nlink > 0 && this.#hasMoved(file)) this.#rotated(file, now)
  }

  #hasMoved(file: FollowedFile): boolean {
    if (file.linkInode !== undefined) {
      const link = linkStats(file.path)
      if (link === undefined) {
        this.#context.log.info(`inode=${file.linkInode} link_rotated: ${file.path}`)
        return true
      }
      if (link.ino !== file.linkInode) return true
    }
    const named = pathStats(file.path)
    return named === undefined || named.ino !== file.inode
  }

  #checkLinks(): void {
    const now = this.#context.clock.now()
    for (const file of this.#files.values()) {
      if (file.linkInode === undefined || file.stage !== 'followed') continue
      this.#attempt(file, () => this.#checkName(file, now))
    }
  }

  #rotated(file: FollowedFile, now: number): void {
    const oldName = file.name
    file.name = file.currentName()
    file.rotatedMs = now
    file.vacantName = file.path
    this.#context.log.info(`inode=${file.inode} handle rotation(): ${oldName} => ${file.name}`)
    this.#count('files_rotated', 'Total number of rotated files')
    const { databaseId, name } = file
    if (databaseId !== undefined) this.#change(() => this.#database?.rotate(databaseId, name))
    file.watcher?.close()
    file.watcher = undefined
    this.#busy.add(file)
    this.#fillVacancy(file)
  }

  /** Opens the new file that took the name of a rotated one, as soon as it is there. */
  #fillVacancy(file: FollowedFile): void {
    const path = file.vacantName
    if (path === undefined) return
    const stats = pathStats(path)
    if (stats === undefined || stats.ino === file.inode) return
    file.vacantName = undefined
    this.#consider(path)
    void this.#readPending()
  }

  /** Closes rotated files whose time is over, deleted files, and files that got too old. */
  #purge(): void {
    const now = this.#context.clock.now()
    for (const file of this.#files.values()) this.#attempt(file, () => this.#purgeOne(file, now))
  }

  #purgeOne(file: FollowedFile, now: number): void {
    const { size, nlink, mtimeMs } = file.stats()
    const isRead = file.offset >= size
    if (file.rotatedMs !== undefined && isRead) {
      if (now - file.rotatedMs >= this.#values.rotate_wait * 1000) this.#close(file)
    } else if (nlink === 0 && isRead) this.#remove(file)
    else if (this.#values.ignore_active_older_files) this.#ageOut(file, now, mtimeMs)
  }

  #ageOut(file: FollowedFile, now: number, mtimeMs: number): void {
    const { ignore_older: seconds } = this.#values
    if (seconds === 0 || now - seconds * 1000 <= mtimeMs) return
    this.#agedOut.set(file.path, file.inode)
    this.#ignoredSizes.set(file.path, file.lineStart)
    this.#close(file)
  }

  /** Closes a file that was deleted, and forgets its position. */
  #remove(file: FollowedFile): void {
    const { databaseId } = file
    if (databaseId !== undefined) this.#change(() => this.#database?.delete(databaseId))
    file.databaseId = undefined
    this.#close(file)
  }

  #close(file: FollowedFile): void {
    if (file.closed) return
    this.#saveAll()
    file.close()
    this.#files.delete(file.key)
    this.#busy.delete(file)
    if (file.stage === 'followed') {
      this.#context.log.info(
        `inotify_fs_remove(): inode=${file.inode} watch_fd=${file.watchNumber}`
      )
    }
    this.#count('files_closed', 'Total number of closed files')
    const { tag } = file.sink
    if (![...this.#files.values()].some(other => other.sink.tag === tag)) this.#context.forget(tag)
  }

  // --- positions

  #openDatabase(): void {
    const path = this.#values.db
    if (path === undefined) return
    try {
      this.#database = new PositionDatabase(resolve(this.#workingDirectory, path), {
        sync: this.#values['db.sync'],
        locking: this.#values['db.locking'],
        journalMode: this.#values['db.journal_mode']
      })
    } catch (error) {
      this.#context.log.error(`[sqldb] cannot open database ${path}`)
      throw new Error(`could not open/create database: ${describe(error)}`, { cause: error })
    }
  }

  #forgetStaleRows(): void {
    if (this.#database === undefined || this.#files.size === 0) return
    const database = this.#database
    this.#change(() => {
      const count = database.deleteOthers([...this.#files.values()].map(file => file.inode))
      this.#context.log.info(
        `db: delete unmonitored stale inodes from the database: count=${count}`
      )
    })
  }

  /** Has the settled position of a file written soon, with those of other files. */
  #save(file: FollowedFile): void {
    if (this.#database === undefined) return
    if (this.#unsaved.size === 0) setImmediate(() => this.#saveAll())
    this.#unsaved.add(file)
  }

  #saveAll(): void {
    const database = this.#database
    if (database === undefined || this.#unsaved.size === 0) return
    const files = [...this.#unsaved]
    this.#unsaved.clear()
    this.#change(() =>
      database.transaction(() => {
        for (const file of files) this.#saveOne(database, file)
      })
    )
  }

  #saveOne(database: PositionDatabase, file: FollowedFile): void {
    if (file.databaseId === undefined || file.closed) return
    const bytes = this.#markerBytes(file, file.settledOffset)
    const marker = bytes.length === 0 ? 0n : xxh3(bytes)
    database.update(file.databaseId, file.settledOffset, marker, bytes.length)
  }

  /**
   * Changes the database. A failure (it is locked, the disk is full) is reported and reading goes on: the position of a
   * file that grows is written again with its next lines.
   */
  #change(action: () => void): void {
    try {
      action()
    } catch (error) {
      this.#context.log.error(`db: cannot store positions: ${describe(error)}`)
      this.#context
        .counter('spillway_input_db_failures_total', 'Failed changes of the position database.')
        .add(1)
    }
  }

  #markerMatches(
    file: FollowedFile,
    row: { offset: number; marker: bigint; markerSize: number }
  ): boolean {
    if (row.offset <= 0 || row.markerSize === 0) return true
    const bytes = this.#markerBytes(file, row.offset)
    return bytes.length === row.markerSize && BigInt.asIntN(64, xxh3(bytes)) === row.marker
  }

  /** The bytes before a position that its marker is made from. */
  #markerBytes(file: FollowedFile, offset: number): Buffer {
    const size = Math.min(offset, XXH3_INPUT_MAX)
    return file.readAt(offset - size, size)
  }

  #count(what: string, help: string): void {
    this.#context.counter(`fluentbit_input_${what}_total`, help).add(1)
  }
}

function describe(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
