/**
 * The files of one configuration: found, read once each, counted and decoded.
 * Source: Fluent Bit 5.1.1 src/config_format/flb_cf_fluentbit.c and flb_cf_yaml.c (read_config).
 */
import { isUtf8 } from 'node:buffer'
import { readFileSync, statSync } from 'node:fs'
import { basename, dirname, isAbsolute, join, resolve } from 'node:path'
import { messageOf } from '../base/error_message.ts'
import type { Diagnostics, Location } from './diagnostics.ts'
import { matchFiles } from './file_glob.ts'

/** As in Fluent Bit. */
const FILES_MAX = 1000
const LINE_BYTES_MAX = 32 * 1024 * 1024

const CAUSES: Readonly<Record<string, string>> = {
  EACCES: 'permission is denied',
  EISDIR: 'it is a directory, it must be a file',
  ELOOP: 'it is a loop of symbolic links',
  ENOENT: 'it does not exist',
  ENOTDIR: 'a part of its path is not a directory'
}

export interface SourceFile {
  /** As shown in messages: the path that the user gave, or one that starts with it. */
  readonly name: string
  /** The directory that relative includes of a YAML file start from, in the form of `name`. */
  readonly directory: string
  readonly text: string
}

/** Reads the files of one configuration; every failure is a diagnostic. */
export class SourceFiles {
  readonly #workingDirectory: string
  readonly #diagnostics: Diagnostics
  readonly #sources: Set<string> | undefined
  /** Device and inode of every file read, so that a file under two names is still one file. */
  readonly #seen = new Set<string>()

  /** @param sources See `ReadOptions`. */
  constructor(workingDirectory: string, diagnostics: Diagnostics, sources?: Set<string>) {
    this.#workingDirectory = workingDirectory
    this.#diagnostics = diagnostics
    this.#sources = sources
  }

  /** True when a relative or absolute path leads to something. */
  exists(path: string): boolean {
    try {
      return statSync(this.#absolute(path), { throwIfNoEntry: false }) !== undefined
    } catch {
      // A path that no file can have, such as one with a zero byte, or one behind a closed folder.
      return false
    }
  }

  /** The files that a pattern names, sorted; relative ones start at the working directory. */
  match(pattern: string): string[] {
    this.#sources?.add(dirname(this.#absolute(pattern)))
    return matchFiles(pattern, this.#workingDirectory)
  }

  /**
   * The file's text, or undefined after a diagnostic.
   * `at` is where the file is asked for; undefined for the main file.
   */
  read(name: string, at: Location | undefined): SourceFile | undefined {
    this.#sources?.add(this.#absolute(name))
    try {
      const { dev, ino } = statSync(this.#absolute(name))
      if (!this.#isNew(name, `${dev}:${ino}`, at)) return undefined
      const bytes = readFileSync(this.#absolute(name))
      return this.#decoded(name, bytes)
    } catch (cause) {
      this.#diagnostics.error('CFG_FILE_UNREADABLE', unreadable(name, cause), at)
      return undefined
    }
  }

  #isNew(name: string, identity: string, at: Location | undefined): boolean {
    if (this.#seen.has(identity)) {
      const message = `Cannot include "${name}": it is already part of this configuration`
      this.#diagnostics.error('CFG_INCLUDED_TWICE', message, at)
      return false
    }
    if (this.#seen.size >= FILES_MAX) {
      const message = `Cannot include "${name}": ${FILES_MAX} files are read, no more may follow`
      this.#diagnostics.error('CFG_TOO_MANY_FILES', message, at)
      return false
    }
    this.#seen.add(identity)
    return true
  }

  #decoded(name: string, bytes: Buffer): SourceFile | undefined {
    const longLine = longLineNumber(bytes)
    if (longLine !== undefined) {
      const message = `Cannot read line ${longLine}: it is too long, it must be shorter than 32 MiB`
      const at = { file: name, line: longLine, column: 1 }
      this.#diagnostics.error('CFG_LINE_TOO_LONG', message, at)
      return undefined
    }
    if (!isUtf8(bytes)) {
      const message = `Replacing bytes of "${name}" that are not UTF-8`
      this.#diagnostics.warning('CFG_NOT_UTF8', message, { file: name, line: 1, column: 1 })
    }
    const text = bytes.toString('utf8').replace(/^\ufeff/, '')
    return { name, directory: directoryOf(name), text }
  }

  #absolute(path: string): string {
    return resolve(this.#workingDirectory, path)
  }
}

/** `conf/a.conf` for `a.conf` in `conf`, `/a.conf` for `/a.conf` anywhere. */
export function relativeTo(directory: string, path: string): string {
  return isAbsolute(path) ? path : join(directory, path)
}

/** The directory of a path as written; empty for a bare file name. */
function directoryOf(name: string): string {
  return name === basename(name) ? '' : dirname(name)
}

function unreadable(name: string, cause: unknown): string {
  const code = (cause as NodeJS.ErrnoException).code ?? ''
  const reason = CAUSES[code] ?? messageOf(cause)
  return `Cannot read "${name}": ${reason}`
}

function longLineNumber(bytes: Buffer): number | undefined {
  if (bytes.length < LINE_BYTES_MAX) return undefined
  let start = 0
  for (let line = 1; start < bytes.length; line++) {
    const newline = bytes.indexOf(10, start)
    const end = newline === -1 ? bytes.length : newline
    if (end - start >= LINE_BYTES_MAX) return line
    start = end + 1
  }
  return undefined
}
