/**
 * Keeps the positions of files over a restart: where a file is gone on with, and how far it is settled.
 * Source: Fluent Bit 5.1.1 plugins/in_tail/tail_db.c, tail_file.c set_file_position().
 */
import { messageOf } from '../../../base/error_message.ts'
import { xxh3 } from '../../../codec/xxh3.ts'
import type { InputContext } from '../../../plugin/context.ts'
import { bytesAt, type FollowedFile } from './followed_file.ts'
import type { TailValues } from './options.ts'
import { PositionDatabase, type StoredFile, type StoredPosition } from './position_database.ts'

/** Bytes before a position that its marker is made from. */
const MARKER_BYTES_MAX = 32

export class Positions {
  readonly #context: InputContext
  readonly #comparesNames: boolean
  readonly #database: PositionDatabase
  /** Names of files when the program last stopped. */
  readonly #formerNames: ReadonlySet<string>
  /** Files with a settled position that the database does not have yet. */
  readonly #unsaved = new Set<FollowedFile>()
  #closed = false

  /** @throws {Error} When the database cannot be used. */
  constructor(path: string, values: TailValues, context: InputContext) {
    this.#context = context
    this.#comparesNames = values['db.compare_filename']
    try {
      this.#database = new PositionDatabase(path, {
        sync: values['db.sync'],
        locking: values['db.locking'],
        journalMode: values['db.journal_mode']
      })
    } catch (error) {
      context.log.error(`[sqldb] cannot open database ${values.db}`)
      throw new Error(`could not open/create database: ${messageOf(error)}`, { cause: error })
    }
    this.#formerNames = new Set(this.#rows().flatMap(row => [row.name, row.path]))
  }

  /** True when a followed file had this name when the program last stopped. */
  wasFollowed(path: string): boolean {
    return this.#formerNames.has(path)
  }

  /**
   * Where reading of an opened file starts: where it was left, unless it has other content by now. It is the beginning
   * when the database fails, as nothing is lost then.
   *
   * @param fresh Where it starts if what it holds is not known.
   * @param start Where it starts if the database does not know the file, when that is not `fresh`.
   */
  place(file: FollowedFile, size: number, fresh: number, start?: number): number {
    let position = 0
    this.#change(() => {
      const row = this.#row(file)
      if (row !== undefined && row.offset <= size && markerMatches(file.descriptor, row)) {
        file.databaseId = row.id
        position = row.offset
        return
      }
      position = row === undefined ? (start ?? fresh) : fresh
      if (row !== undefined) this.#database.delete(row.id)
      const created = Math.floor(this.#context.clock.now() / 1000)
      file.databaseId = this.#database.insert(file.path, position, file.inode, created)
    })
    return position
  }

  /** Files of the last run whose inodes are not among these. */
  others(inodes: ReadonlySet<number>): StoredFile[] {
    return this.#rows().filter(row => !inodes.has(row.inode))
  }

  /** Forgets the files whose inodes are not among these. */
  forgetOthers(inodes: ReadonlySet<number>): void {
    this.#change(() => {
      const count = this.#database.deleteOthers(inodes)
      this.#context.log.info(
        `db: delete unmonitored stale inodes from the database: count=${count}`
      )
    })
  }

  /** Notes the new name of a file that was renamed. */
  rename(file: FollowedFile): void {
    const { databaseId, name, path } = file
    if (databaseId !== undefined) this.#change(() => this.#database.rotate(databaseId, name, path))
  }

  /** Forgets a file: nothing of it can be read again. */
  forget(file: FollowedFile): void {
    const { databaseId } = file
    if (databaseId !== undefined) this.#change(() => this.#database.delete(databaseId))
    file.databaseId = undefined
  }

  /** Has the settled position of a file written soon, with those of other files. */
  save(file: FollowedFile): void {
    if (this.#unsaved.size === 0) setImmediate(() => this.saveAll())
    this.#unsaved.add(file)
  }

  saveAll(): void {
    // What settles after the stop was not delivered, but given up by it.
    if (this.#unsaved.size === 0 || this.#closed) return
    const files = [...this.#unsaved]
    this.#unsaved.clear()
    this.#change(() =>
      this.#database.transaction(() => {
        for (const file of files) this.#saveOne(file)
      })
    )
  }

  close(): void {
    this.saveAll()
    this.#closed = true
    this.#database.close()
  }

  /** The row of a file; one of another name is deleted where names count. */
  #row(file: FollowedFile): StoredPosition | undefined {
    const row = this.#database.find(file.inode)
    if (row === undefined || !this.#comparesNames || row.name === file.path) return row
    this.#database.delete(row.id)
    return undefined
  }

  #saveOne(file: FollowedFile): void {
    if (file.databaseId === undefined || file.closed) return
    const bytes = markerBytes(file.descriptor, file.settledOffset)
    const marker = bytes.length === 0 ? 0n : xxh3(bytes)
    this.#database.update(file.databaseId, file.settledOffset, marker, bytes.length)
  }

  #rows(): StoredFile[] {
    let rows: StoredFile[] = []
    this.#change(() => (rows = this.#database.all()))
    return rows
  }

  /**
   * Uses the database. A failure (it is locked, the disk is full) is reported and reading goes on: the position of a file
   * that grows is written again with its next lines.
   */
  #change(action: () => void): void {
    try {
      action()
    } catch (error) {
      this.#context.log.error(`db: cannot store positions: ${messageOf(error)}`)
      this.#context
        .counter('spillway_input_db_failures_total', 'Failed changes of the position database.')
        .add(1)
    }
  }
}

/** True when the bytes before a position are those that it was stored with. */
export function markerMatches(descriptor: number, row: StoredPosition): boolean {
  if (row.offset <= 0 || row.markerSize === 0) return true
  const bytes = markerBytes(descriptor, row.offset)
  return bytes.length === row.markerSize && BigInt.asIntN(64, xxh3(bytes)) === row.marker
}

/** The bytes before a position that its marker is made from. */
function markerBytes(descriptor: number, offset: number): Buffer {
  const size = Math.min(offset, MARKER_BYTES_MAX)
  return bytesAt(descriptor, offset - size, size)
}
