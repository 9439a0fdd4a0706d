/**
 * Rotation by size: a file that has reached its limit gets a name with the time in it, is compressed, and the oldest
 * ones are removed.
 * Source: Fluent Bit 5.1.1 plugins/out_file/file_rotate.c.
 * Differs: compression runs beside the next flushes, at most one at a time, and gives one gzip member instead of one
 * per 4 MB; the size is looked up before each flush and not remembered, so a file that others cut is not rotated.
 */
import { createReadStream, createWriteStream, renameSync, statSync } from 'node:fs'
import { readdir, rm, stat, unlink } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { createGzip } from 'node:zlib'
import { systemError } from '../../../base/system_error.ts'
import type { OutputContext } from '../../../plugin/context.ts'

export interface RotationLimits {
  /** A file of this size or more is rotated before the next flush. */
  readonly sizeMax: number
  /** Rotated files that are kept of each file. */
  readonly filesMax: number
  readonly gzip: boolean
}

/** `YYYYMMDD_HHMMSS_xxxxxxxx`; older versions had no random part. */
const ROTATED_SUFFIX = /^\d{8}_\d{6}(?:_[\da-f]{8})?(?:\.gz)?$/i

export class Rotation {
  readonly #limits: RotationLimits
  readonly #context: OutputContext
  /** The compression and clean-up under way. */
  #job: Promise<void> = Promise.resolve()

  constructor(limits: RotationLimits, context: OutputContext) {
    this.#limits = limits
    this.#context = context
  }

  /** Says what is in force, as Fluent Bit does when it starts. */
  announce(): void {
    const { sizeMax, filesMax, gzip } = this.#limits
    this.#context.log.info(
      `file rotation enabled: rotate_max_size=${sizeMax}, rotate_max_files=${filesMax}, rotate_gzip=${gzip}`
    )
  }

  /** Rotates the file when it is due. A failure is reported and the file is written on. */
  async prepare(path: string): Promise<void> {
    if (sizeOf(path) < this.#limits.sizeMax) return
    await this.#job
    const rotated = `${path}.${this.#suffix()}`
    const { log } = this.#context
    try {
      renameSync(path, rotated)
    } catch (cause) {
      const { number, text } = systemError(cause)
      log.error(`[errno=${number}] ${text}`)
      log.warn(`could not rotate ${path}`)
      return
    }
    log.info(`rotated ${path} to ${rotated}`)
    this.#job = this.#finish(path, rotated)
  }

  /** Resolves when nothing is being compressed or removed any more. */
  idle(): Promise<void> {
    return this.#job
  }

  #suffix(): string {
    const { clock, random } = this.#context
    const unique = Math.floor(random() * 0x1_0000_0000)
    return `${localStamp(clock.now())}_${unique.toString(16).padStart(8, '0')}`
  }

  async #finish(path: string, rotated: string): Promise<void> {
    if (this.#limits.gzip) await this.#compress(rotated)
    await this.#trim(path)
  }

  async #compress(rotated: string): Promise<void> {
    const { log } = this.#context
    const compressed = `${rotated}.gz`
    try {
      await pipeline(createReadStream(rotated), createGzip(), createWriteStream(compressed))
      await unlink(rotated)
    } catch (cause) {
      const { number, text } = systemError(cause)
      log.error(`[errno=${number}] ${text}`)
      log.error(`compression failed for ${rotated}`)
      log.warn(`keeping uncompressed rotated file ${rotated}`)
      await rm(compressed, { force: true }).catch(() => undefined)
    }
  }

  async #trim(path: string): Promise<void> {
    const { log } = this.#context
    const found = await rotatedFiles(path)
    const excess = found.length - this.#limits.filesMax
    if (excess <= 0) return
    log.info(
      `cleaning up old rotated files: removing ${excess} files (keeping ${this.#limits.filesMax})`
    )
    for (const old of found.slice(0, excess)) {
      try {
        await unlink(old)
        log.debug(`removed old rotated file: ${old}`)
      } catch {
        log.warn(`could not remove old rotated file: ${old}`)
      }
    }
  }
}

/** Bytes of a regular file; 0 for anything else and for what cannot be looked at. */
function sizeOf(path: string): number {
  try {
    const status = statSync(path)
    return status.isFile() ? status.size : 0
  } catch {
    // Opening the file will tell why.
    return 0
  }
}

/** `YYYYMMDD_HHMMSS` in local time. */
function localStamp(nowMs: number): string {
  const now = new Date(nowMs)
  const two = (value: number): string => String(value).padStart(2, '0')
  const date = `${now.getFullYear()}${two(now.getMonth() + 1)}${two(now.getDate())}`
  return `${date}_${two(now.getHours())}${two(now.getMinutes())}${two(now.getSeconds())}`
}

/** Paths of the rotated files of a file, oldest first: by the second of their last change, then by name. */
async function rotatedFiles(path: string): Promise<string[]> {
  const folder = dirname(path)
  const prefix = `${basename(path)}.`
  const names = await readdir(folder).catch(() => [])
  const found: { path: string; changed: number }[] = []
  for (const name of names) {
    if (!name.startsWith(prefix) || !ROTATED_SUFFIX.test(name.slice(prefix.length))) continue
    const candidate = join(folder, name)
    const status = await stat(candidate).catch(() => undefined)
    if (status?.isFile() !== true) continue
    found.push({ path: candidate, changed: Math.floor(status.mtimeMs / 1000) })
  }
  found.sort((left, right) => left.changed - right.changed || (left.path < right.path ? -1 : 1))
  return found.map(file => file.path)
}
