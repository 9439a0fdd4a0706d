/**
 * A file that an output has open for the time of one flush, and what can be taken back from it.
 * Source: Fluent Bit 5.1.1 plugins/out_file/file.c open_output_file(), which opens with `fopen(path, "ab+")`.
 */
import {
  closeSync,
  existsSync,
  fstatSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  write
} from 'node:fs'
import { dirname } from 'node:path'
import { type SystemError, systemError } from '../../base/system_error.ts'

/** 0755, less the process's mask. */
const FOLDER_MODE = 0o755

/** The kernel took no byte and named no error, which it does for devices only. */
const NOTHING_WRITTEN: SystemError = { code: 'EIO', number: 5, text: 'Input/output error' }

export type OpenResult =
  | { readonly ok: true; readonly file: AppendFile }
  | { readonly ok: false; readonly error: SystemError }

/**
 * Opens a file for appending; makes it when it is missing, and its folders too when `makeFolders` is set.
 * Opening is synchronous: on a local disk it takes 5 µs, through the thread pool 50 µs.
 */
export function openAppendFile(path: string, makeFolders: boolean): OpenResult {
  try {
    return { ok: true, file: new AppendFile(openSync(path, 'a+')) }
  } catch (cause) {
    const error = systemError(cause)
    return error.code === 'ENOENT' && makeFolders ? openInNewFolder(path) : { ok: false, error }
  }
}

function openInNewFolder(path: string): OpenResult {
  try {
    makeFolder(dirname(path))
    return { ok: true, file: new AppendFile(openSync(path, 'a+')) }
  } catch (cause) {
    return { ok: false, error: systemError(cause) }
  }
}

/** Makes a folder and those above it. Node's own `recursive` never returns for a folder below /proc (26.10). */
function makeFolder(path: string): void {
  if (existsSync(path)) return
  makeFolder(dirname(path))
  mkdirSync(path, FOLDER_MODE)
}

export class AppendFile {
  readonly #fd: number
  /** Undefined for what is not a regular file. */
  readonly #sizeBefore: number | undefined
  #written = 0

  /** Takes over an open descriptor. */
  constructor(fd: number) {
    this.#fd = fd
    const status = fstatSync(fd)
    this.#sizeBefore = status.isFile() ? status.size : undefined
  }

  /**
   * Appends the first `length` of `bytes`, which must not change meanwhile, in a thread of the pool. One call at a time.
   *
   * @returns What went wrong, or undefined.
   */
  async append(bytes: Buffer, length: number): Promise<SystemError | undefined> {
    let offset = 0
    while (offset < length) {
      const count = await this.#write(bytes, offset, length - offset)
      if (typeof count !== 'number') return count
      if (count === 0) return NOTHING_WRITTEN
      offset += count
      this.#written += count
    }
    return undefined
  }

  /**
   * Cuts off what was appended since the file was opened, so that a chunk that is sent again stands there once.
   * Left alone are devices and pipes, and files that another writer has appended to meanwhile.
   */
  takeBack(): void {
    if (this.#sizeBefore === undefined || this.#written === 0) return
    try {
      if (fstatSync(this.#fd).size !== this.#sizeBefore + this.#written) return
      ftruncateSync(this.#fd, this.#sizeBefore)
    } catch {
      // The write that failed has been reported; the part stays, as it does in Fluent Bit.
    }
  }

  /** Closes the file; what a network file system reports only now is returned. */
  close(): SystemError | undefined {
    try {
      closeSync(this.#fd)
      return undefined
    } catch (cause) {
      return systemError(cause)
    }
  }

  #write(bytes: Buffer, offset: number, length: number): Promise<number | SystemError> {
    return new Promise(resolve => {
      write(this.#fd, bytes, offset, length, null, (error, count) =>
        resolve(error === null ? count : systemError(error))
      )
    })
  }
}
