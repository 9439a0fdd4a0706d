/**
 * Follows the files of a `tail` input: finds them, reads what they hold, and notices growth, rotation, truncation and
 * deletion. Busy files are looked at every 100 ms, quiet ones are watched: a notification for each write of a
 * busy file costs ten times as much as looking. While the input is paused, only reading is held back: files
 * that come and go meanwhile are opened in time, and stay open until they are read.
 * Source: Fluent Bit 5.1.1 plugins/in_tail/tail_file.c, tail_fs_inotify.c.
 */
import { type Stats, watch } from 'node:fs'
import { resolve } from 'node:path'
import { messageOf } from '../../../base/error_message.ts'
import type { Matcher } from '../../../parser/onigmo.ts'
import type { InputContext } from '../../../plugin/context.ts'
import type { Input } from '../../../plugin/define.ts'
import { BlockReader } from './block_reader.ts'
import { FileAge } from './file_age.ts'
import type { EncodingSource } from './file_encoding.ts'
import { canSearch, compileExclude, compilePattern, findFiles, matchesAny } from './file_scan.ts'
import {
  closeFile,
  descriptorStats,
  fileKey,
  FollowedFile,
  linkStats,
  openForReading,
  pathStats
} from './followed_file.ts'
import { GzipReader } from './gzip_reader.ts'
import { LeftFiles } from './left_files.ts'
import type { TailValues } from './options.ts'
import type { StoredFile } from './position_database.ts'
import { Positions } from './positions.ts'
import { RenamedFiles } from './renamed_files.ts'
import { composeTag } from './tag_template.ts'
import { VacantNames } from './vacant_names.ts'

/** How often busy files are looked at. */
const POLL_MS = 100

/** A file that did not grow for this long is watched instead. */
const QUIET_AFTER_MS = 2_000

/** Waiting files that are looked at with each poll; with more of them, each has its turn less often. */
const WAITING_LOOKS = 500

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
  readonly #vacantNames = new VacantNames()
  #age: FileAge
  readonly #unreadable = new Set<string>()
  /** Undefined without `db`. */
  #positions: Positions | undefined
  #readFromHead: boolean
  #watchCount = 0
  #reading = false
  /** Resolves when a turn of reading is over. */
  #idle: Promise<void> = Promise.resolve()
  #stopped = false
  /** Of the instance that this one follows after a reload. */
  #left: LeftFiles | undefined

  constructor(settings: FollowSettings, context: InputContext) {
    const { values } = settings
    this.#settings = settings
    this.#values = values
    this.#context = context
    this.#readFromHead = values.read_from_head
    this.#age = new FileAge(values, context.clock)
    this.#excluded = (values.exclude_path ?? []).map(compileExclude)
    const parser = values.parser === undefined ? undefined : context.parser(values.parser)
    if (values.parser !== undefined && parser === undefined) {
      context.log.error(`parser '${values.parser}' is not registered`)
    }
    const settled =
      values.db === undefined ? undefined : (file: FollowedFile) => this.#positions?.save(file)
    this.#reader = new BlockReader(context, values, parser, settled)
  }

  start(left?: unknown): void {
    const context = this.#context
    const { db } = this.#values
    if (db !== undefined) {
      this.#positions = new Positions(resolve(this.#workingDirectory, db), this.#values, context)
    }
    this.#reader.open()
    if (left instanceof LeftFiles) this.#goOn(left)
    this.#scan()
    if (this.#positions !== undefined) this.#recover(this.#positions)
    if (this.#values.read_newly_discovered_files_from_head) this.#readFromHead = true
    this.#left = undefined
    context.always(this.#settings.refreshMs, () => this.#scan())
    context.always(this.#values.rotate_wait * 1000, () => this.#purge())
    context.always(this.#pollMs(), () => this.#poll())
    context.always(this.#values.watcher_interval * 1000, () => this.#checkLinks())
    void this.#readPending()
  }

  resume(): void {
    void this.#readPending()
  }

  stop(): void {
    this.#stopped = true
    for (const file of this.#files.values()) this.#close(file)
    this.#positions?.close()
    void this.#idle.then(() => this.#reader.close())
  }

  /** Leaves the files open and as far as they were read. */
  async handOver(): Promise<LeftFiles> {
    this.#stopped = true
    await this.#idle
    this.#positions?.close()
    this.#reader.close()
    const files = [...this.#files.values()]
    for (const file of files) file.leave()
    const patterns = this.#settings.paths.map(compilePattern)
    return new LeftFiles(
      files,
      this.#age,
      path => matchesAny(path, patterns) && !matchesAny(path, this.#excluded)
    )
  }

  // --- files of an instance with other settings

  #goOn(left: LeftFiles): void {
    this.#left = left
    this.#age = new FileAge(this.#values, this.#context.clock, left.age)
    const patterns = this.#settings.paths.map(compilePattern)
    for (const before of left.take()) {
      const { path, descriptor } = before
      const isWanted = matchesAny(path, patterns) && !matchesAny(path, this.#excluded)
      const file = isWanted ? this.#newFile(path, descriptor, before) : undefined
      if (file === undefined) {
        before.release()
        continue
      }
      // The row of the file, or one that is made, says what is settled and not what was read.
      this.#positions?.place(file, before.seenSize, before.settledOffset, before.settledOffset)
      file.goOnFrom(before, changed => this.#positions?.save(changed))
      if (before.stage === 'followed') this.#follow(file)
      this.#enqueue(file)
    }
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
    if (stats === undefined || !stats.isFile() || matchesAny(path, this.#excluded)) return
    if (this.#files.has(fileKey(stats.dev, stats.ino))) return
    if (this.#age.passesOver(path, stats)) return
    const file = this.#open(path, path)
    if (file === undefined) return
    file.seek(this.#startOf(file))
    this.#positions?.save(file)
    this.#enqueue(file)
  }

  /** Opens the file that is at `place` now as one that was matched as `path`. */
  #open(path: string, place: string): FollowedFile | undefined {
    let descriptor: number
    try {
      descriptor = openForReading(place)
    } catch (error) {
      this.#reportUnreadable(place, error)
      return undefined
    }
    this.#unreadable.delete(place)
    // Another file may have come to the place since it was looked at.
    const stats = descriptorStats(descriptor)
    if (this.#files.has(fileKey(stats.dev, stats.ino))) {
      closeFile(descriptor)
      return undefined
    }
    const link = linkStats(place)
    const file = this.#newFile(path, descriptor, {
      linkInode: link?.isSymbolicLink() === true ? link.ino : undefined,
      gzip: path.toLowerCase().endsWith('.gz') ? new GzipReader() : undefined
    })
    if (file === undefined) closeFile(descriptor)
    return file
  }

  /** An open file; undefined when its name gives no tag. */
  #newFile(
    path: string,
    descriptor: number,
    { linkInode, gzip }: Pick<FollowedFile, 'linkInode' | 'gzip'>
  ): FollowedFile | undefined {
    const { log } = this.#context
    const tag = composeTag(this.#context.tag, path, this.#settings.tagRegex)
    if ('problem' in tag) {
      log.error(tag.problem)
      log.error(`failed to compose tag for file: ${path}`)
      return undefined
    }
    const file = new FollowedFile({
      path,
      stats: descriptorStats(descriptor),
      descriptor,
      linkInode,
      sink: this.#context.sink(tag.tag),
      packer: this.#reader.packer(path),
      gzip,
      encoding: this.#settings.encoding?.()
    })
    this.#files.set(file.key, file)
    this.#count('files_opened', 'Total number of opened files')
    return file
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
    this.#context.log.error(`cannot open ${path}: ${messageOf(error)}`)
    this.#countUnreadable()
  }

  #countUnreadable(): void {
    this.#context
      .counter('spillway_input_files_unreadable_total', 'Files that could not be read.')
      .add(1)
  }

  /** Where reading starts: the stored position, the end that an old file had, the beginning or the end. */
  #startOf(file: FollowedFile): number {
    const positions = this.#positions
    const start = this.#age.takeStart(file.path, file.stats())
    // What has the name of a file that was followed before the start came after it.
    const isNewer =
      this.#values.read_newly_discovered_files_from_head &&
      (positions?.wasFollowed(file.path) === true || this.#left?.covers(file.path) === true)
    const fresh = this.#readFromHead || isNewer ? 0 : file.seenSize
    return positions?.place(file, file.seenSize, fresh, start) ?? start ?? fresh
  }

  // --- files of the last run

  /**
   * Opens files that were renamed since the last run and not read to their end, and forgets all others. That they have
   * lost their paths is noticed like any rotation.
   */
  #recover(positions: Positions): void {
    const renamed = new RenamedFiles(this.#workingDirectory)
    const patterns = this.#settings.paths.map(compilePattern)
    for (const row of positions.others(this.#inodes())) {
      // The configuration may have changed: what it does not name any more is not read.
      if (!matchesAny(row.path, patterns) || matchesAny(row.path, this.#excluded)) continue
      try {
        const place = renamed.find(row)
        if (place !== undefined) this.#recoverOne(row, place)
      } catch (error) {
        this.#reportUnreadable(row.path, error)
      }
    }
    if (this.#files.size > 0) positions.forgetOthers(this.#inodes())
  }

  #recoverOne(row: StoredFile, place: string): void {
    const stats = pathStats(place)
    if (stats === undefined || this.#age.isOld(stats)) return
    const file = this.#open(row.path, place)
    if (file === undefined) return
    file.databaseId = row.id
    file.seek(row.offset)
    this.#enqueue(file)
  }

  #inodes(): Set<number> {
    return new Set([...this.#files.values()].map(file => file.inode))
  }

  // --- reading

  /** Lets a file wait for its turn to be read. */
  #enqueue(file: FollowedFile): void {
    file.isWaiting = true
    this.#pending.push(file)
  }

  /** Reads pending files in turns until none has anything left, or the input is paused. */
  #readPending(): Promise<void> {
    if (!this.#reading) this.#idle = this.#readAll()
    return this.#idle
  }

  async #readAll(): Promise<void> {
    this.#reading = true
    try {
      while (this.#pending.length > 0 && !this.#stopped && !this.#context.paused) {
        const file = this.#pending[0]
        const atEnd = file.closed || (await this.#readTurn(file))
        this.#pending.shift()
        file.isWaiting = false
        if (!atEnd) this.#enqueue(file)
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
      if (file.closed) return true
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
      this.#giveUp(file, `error reading ${file.name}: ${messageOf(error)}`)
      return 0
    }
  }

  async #readCompressed(file: FollowedFile): Promise<number> {
    try {
      return await this.#reader.readCompressed(file)
    } catch (error) {
      this.#giveUp(file, `decompression failed for ${file.name}: ${messageOf(error)}`)
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
    for (const file of this.#busy) this.#attempt(file, () => this.#look(file, now))
    this.#lookAtWaiting(now)
    this.#fillVacancies(now)
    if (this.#pending.length > 0) void this.#readPending()
  }

  /** Files that wait to be read lose their names and their content like others. */
  #lookAtWaiting(now: number): void {
    const everyMs = POLL_MS * Math.ceil(this.#pending.length / WAITING_LOOKS)
    for (const file of this.#pending) {
      if (file.closed || now - file.lookedMs < everyMs - POLL_MS / 2) continue
      file.lookedMs = now
      this.#attempt(file, () => void this.#notice(file, now))
    }
  }

  /** Does something with a file; a file that the system cannot tell about any more is given up. */
  #attempt(file: FollowedFile, action: () => void): void {
    try {
      action()
    } catch (error) {
      this.#giveUp(file, `error reading ${file.name}: ${messageOf(error)}`)
    }
  }

  /** Reads what a followed file has grown by. */
  #look(file: FollowedFile, now: number): void {
    const { size, nlink } = this.#notice(file, now)
    if (size > file.offset) this.#readGrowth(file, size, now)
    else if (nlink === 0) this.#remove(file)
    else if (file.hasPath && now - file.grewMs > QUIET_AFTER_MS) this.#watch(file)
  }

  #readGrowth(file: FollowedFile, size: number, now: number): void {
    file.grewMs = now
    this.#unwatch(file)
    const isLittle = file.gzip === undefined && size - file.offset <= this.#values.buffer_max_size
    // A little is read at once; more waits for its turn, so that one file does not hold up the rest.
    if (isLittle && !this.#context.paused) this.#read(file)
    else {
      this.#busy.delete(file)
      this.#enqueue(file)
    }
  }

  /** What a file is like now; a name or content that it has lost is dealt with. */
  #notice(file: FollowedFile, now: number): Stats {
    const stats = this.#statsOf(file, now)
    if (stats.size < file.seenSize) this.#truncated(file, stats.size)
    file.seenSize = stats.size
    return stats
  }

  /** One look at the path tells about the file too, as long as it is the same. */
  #statsOf(file: FollowedFile, now: number): Stats {
    const named = file.hasPath ? pathStats(file.path) : undefined
    if (named?.ino === file.inode && named.dev === file.device) return named
    const stats = file.stats()
    if (file.hasPath) this.#losePath(file, now, stats.nlink)
    return stats
  }

  #truncated(file: FollowedFile, size: number): void {
    this.#context.log.debug(
      `inode=${file.inode} file truncated ${file.name} (diff: ${size - file.offset} bytes)`
    )
    // How many lines they were is not known.
    const unread = file.seenSize - file.offset + (file.rest?.length ?? 0)
    if (unread > 0) this.#context.dropped('truncated', 1, unread)
    file.seek(0)
    this.#positions?.save(file)
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
    if (file.closed) return
    file.grewMs = this.#context.clock.now()
    this.#unwatch(file)
    this.#poll()
  }

  /** A file that is watched no longer is looked at. */
  #unwatch(file: FollowedFile): void {
    if (file.watcher === undefined) return
    file.watcher.close()
    file.watcher = undefined
    this.#busy.add(file)
  }

  // --- rotation and deletion

  /** The path of a file leads elsewhere, or nowhere. */
  #losePath(file: FollowedFile, now: number, nlink: number): void {
    file.hasPath = false
    this.#vacantNames.add(file.path, now)
    if (nlink === 0) return
    if (file.linkInode !== undefined && linkStats(file.path) === undefined) {
      this.#context.log.info(`inode=${file.linkInode} link_rotated: ${file.path}`)
    }
    this.#rotated(file, now)
  }

  #rotated(file: FollowedFile, now: number): void {
    const oldName = file.name
    file.name = file.currentName()
    file.rotatedMs = now
    this.#context.log.info(`inode=${file.inode} handle rotation(): ${oldName} => ${file.name}`)
    this.#count('files_rotated', 'Total number of rotated files')
    this.#positions?.rename(file)
    this.#unwatch(file)
  }

  /** A link that was made anew counts as a rotation, even if it leads to the same file; it may have the same inode. */
  #checkLinks(): void {
    const now = this.#context.clock.now()
    for (const file of this.#files.values()) {
      if (file.linkInode === undefined || !file.hasPath) continue
      this.#attempt(file, () => {
        if (linkStats(file.path)?.ino === file.linkInode) this.#notice(file, now)
        else this.#losePath(file, now, file.stats().nlink)
      })
    }
  }

  /** Opens the new files that took the names of others. */
  #fillVacancies(now: number): void {
    for (const path of this.#vacantNames.current(now)) {
      const stats = pathStats(path)
      if (stats === undefined) continue
      const key = fileKey(stats.dev, stats.ino)
      if (!this.#files.has(key)) this.#consider(path)
      const file = this.#files.get(key)
      if (file?.path === path && file.hasPath) this.#vacantNames.delete(path)
    }
  }

  /** Closes rotated and deleted files that are done with, and files that got too old. */
  #purge(): void {
    const now = this.#context.clock.now()
    for (const file of this.#files.values()) this.#attempt(file, () => this.#purgeOne(file, now))
  }

  #purgeOne(file: FollowedFile, now: number): void {
    if (file.isWaiting) return
    const stats = this.#notice(file, now)
    // A watched file that grew has lost its notification.
    if (stats.size > file.offset) this.#unwatch(file)
    else if (stats.nlink === 0) this.#remove(file)
    // The position of a closed file does not move any more.
    else if (file.isSettled) this.#closeFinished(file, stats, now)
  }

  /** Closes a file that was read to its end if its time is over. */
  #closeFinished(file: FollowedFile, stats: Stats, now: number): void {
    if (file.rotatedMs !== undefined) this.#closeRotated(file, file.rotatedMs, now)
    else if (this.#age.leaves(stats)) {
      this.#age.leave(file, stats)
      this.#close(file)
    }
  }

  /** Closes a renamed file once nobody has written to it for `rotate_wait`. */
  #closeRotated(file: FollowedFile, rotatedMs: number, now: number): void {
    if (now - Math.max(rotatedMs, file.grewMs) < this.#values.rotate_wait * 1000) return
    this.#giveUpRest(file)
    this.#positions?.save(file)
    this.#close(file)
  }

  /** Closes a file that was deleted, and forgets its position. */
  #remove(file: FollowedFile): void {
    this.#giveUpRest(file)
    this.#positions?.forget(file)
    this.#close(file)
  }

  /** Counts a last line that has no end and will get none. */
  #giveUpRest(file: FollowedFile): void {
    if (file.rest === undefined) return
    this.#context.dropped('unfinished_line', 1, file.rest.length)
    file.seek(file.offset)
  }

  #close(file: FollowedFile): void {
    if (file.closed) return
    this.#positions?.saveAll()
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

  #count(what: string, help: string): void {
    this.#context.counter(`fluentbit_input_${what}_total`, help).add(1)
  }
}
