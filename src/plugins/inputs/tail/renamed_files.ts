/**
 * Finds files that were renamed while nobody looked: by their inode, in the folder of the name that they had. Where that
 * name was a link, the folder that it led to is searched too, as kubelet renames what its links point to.
 */
import { readdirSync, readlinkSync } from 'node:fs'
import { basename, dirname, join, resolve } from 'node:path'
import { closeFile, descriptorStats, linkStats, openForReading } from './followed_file.ts'
import type { StoredFile } from './position_database.ts'
import { markerMatches } from './positions.ts'

/** Names of one folder that are looked at. */
const NAMES_MAX = 100_000

/** Links that are followed from one name, as many as Linux follows. */
const LINKS_MAX = 40

const COMPRESSED = /\.(?:gz|tgz|bz2|xz|zst|lz4|lzo|br|zip|7z|z)$/i

export class RenamedFiles {
  readonly #workingDirectory: string
  /** Paths of regular files by inode, for each folder that was searched. */
  readonly #folders = new Map<string, ReadonlyMap<number, string>>()

  constructor(workingDirectory: string) {
    this.#workingDirectory = workingDirectory
  }

  /**
   * Where the file of a row is now, if it has another name and more content than its position says.
   *
   * @throws The error of `open`, when it cannot be read.
   */
  find(row: StoredFile): string | undefined {
    const place = this.#place(resolve(this.#workingDirectory, row.name), row.inode)
    // A file that has its name still was passed over for a reason.
    if (place === undefined || place === resolve(this.#workingDirectory, row.path)) return undefined
    return isUnread(place, row) ? place : undefined
  }

  #place(path: string, inode: number): string | undefined {
    for (const folder of foldersOf(path)) {
      const files = this.#folders.get(folder) ?? regularFiles(folder)
      this.#folders.set(folder, files)
      const place = files.get(inode)
      if (place !== undefined) return place
    }
    return undefined
  }
}

/** True when the file at a place is the one of a row and goes on behind its position. */
function isUnread(place: string, row: StoredFile): boolean {
  const descriptor = openForReading(place)
  try {
    const { ino, size } = descriptorStats(descriptor)
    if (ino !== row.inode || size <= row.offset) return false
    // Nothing read is nothing to know the file by, and its inode may be another's by now: then the name must tell.
    if (row.offset === 0) return isNamedAfter(place, row.path)
    return row.markerSize > 0 && markerMatches(descriptor, row)
  } finally {
    closeFile(descriptor)
  }
}

/** True for what a rotation makes of a name, such as `a.log.1` and `a.log-20260131` of `a.log`, unless it compresses. */
function isNamedAfter(place: string, path: string): boolean {
  return basename(place).startsWith(basename(path)) && !COMPRESSED.test(place)
}

/** The folder of a path, and of every link that leads on from it. */
function foldersOf(path: string): string[] {
  const folders = [dirname(path)]
  let at = path
  for (let links = 0; links < LINKS_MAX; links++) {
    try {
      at = resolve(dirname(at), readlinkSync(at))
    } catch {
      // Not a link, or one that leads nowhere.
      break
    }
    folders.push(dirname(at))
  }
  return folders
}

function regularFiles(folder: string): Map<number, string> {
  const files = new Map<number, string>()
  for (const name of namesIn(folder).slice(0, NAMES_MAX)) {
    const path = join(folder, name)
    const stats = linkStats(path)
    if (stats?.isFile() === true) files.set(stats.ino, path)
  }
  return files
}

/** A folder that is gone or closed to us holds nothing to be found. */
function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder)
  } catch {
    return []
  }
}
