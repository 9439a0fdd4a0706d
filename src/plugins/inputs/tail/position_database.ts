/**
 * Positions of files over a restart, in the SQLite table that Fluent Bit uses, so that either program goes on where the other
 * stopped. Rows are found by inode; the marker is a hash of the bytes before the position and tells a reused inode.
 * The column `path` is ours: Fluent Bit names its columns and does not see it.
 * Source: Fluent Bit 5.1.1 plugins/in_tail/tail_db.c, tail_sql.h.
 */
import { DatabaseSync, type SQLOutputValue, type StatementSync } from 'node:sqlite'

export interface StoredPosition {
  readonly id: number
  readonly name: string
  /** Bytes of the file that are done with. */
  readonly offset: number
  /** XXH3 of the `markerSize` bytes before `offset`, signed as SQLite keeps it; size 0 is no marker. */
  readonly marker: bigint
  readonly markerSize: number
}

/** A row with what tells which file it is of. */
export interface StoredFile extends StoredPosition {
  readonly inode: number
  /** As the pattern matched it; `name` is another one once the file was renamed. */
  readonly path: string
}

export interface DatabaseSettings {
  readonly sync: 'extra' | 'full' | 'normal' | 'off'
  readonly locking: boolean
  readonly journalMode: string
}

const SYNC_LEVEL = { off: 0, normal: 1, full: 2, extra: 3 } as const

/** How long a database that another program has locked is waited for. */
const LOCK_WAIT_MS = 500

const CREATE_TABLE = `
  CREATE TABLE IF NOT EXISTS in_tail_files (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    offset INTEGER,
    inode INTEGER,
    created INTEGER,
    rotated INTEGER DEFAULT 0,
    offset_marker INTEGER DEFAULT 0,
    offset_marker_size INTEGER DEFAULT 0,
    path TEXT
  )`

/** Columns that tables of older versions and of Fluent Bit lack, with their types. */
const ADDED_COLUMNS = {
  offset_marker: 'INTEGER DEFAULT 0',
  offset_marker_size: 'INTEGER DEFAULT 0',
  path: 'TEXT'
}

type Row = Record<string, SQLOutputValue>

export class PositionDatabase {
  readonly #database: DatabaseSync
  readonly #find: StatementSync
  readonly #all: StatementSync
  readonly #insert: StatementSync
  readonly #update: StatementSync
  readonly #rotate: StatementSync
  readonly #delete: StatementSync

  /**
   * Opens or creates the file; tables of older versions get the columns that they lack.
   *
   * @throws {Error} When the file cannot be used.
   */
  constructor(path: string, settings: DatabaseSettings) {
    this.#database = new DatabaseSync(path, { timeout: LOCK_WAIT_MS })
    this.#database.exec(`PRAGMA synchronous=${SYNC_LEVEL[settings.sync]}`)
    if (settings.locking) this.#database.exec('PRAGMA locking_mode=EXCLUSIVE')
    this.#database.exec(`PRAGMA journal_mode=${settings.journalMode}`)
    this.#database.exec(CREATE_TABLE)
    this.#addMissingColumns()
    this.#find = this.#database.prepare(
      'SELECT id, name, offset, offset_marker, offset_marker_size FROM in_tail_files WHERE inode=? ORDER BY id DESC'
    )
    this.#find.setReadBigInts(true)
    this.#all = this.#database.prepare('SELECT * FROM in_tail_files ORDER BY id DESC')
    this.#all.setReadBigInts(true)
    this.#insert = this.#database.prepare(
      'INSERT INTO in_tail_files (name, offset, inode, created, offset_marker, offset_marker_size) VALUES (?, ?, ?, ?, 0, 0)'
    )
    this.#update = this.#database.prepare(
      'UPDATE in_tail_files SET offset=?, offset_marker=?, offset_marker_size=? WHERE id=?'
    )
    this.#rotate = this.#database.prepare(
      'UPDATE in_tail_files SET name=?, path=?, rotated=1 WHERE id=?'
    )
    this.#delete = this.#database.prepare('DELETE FROM in_tail_files WHERE id=?')
  }

  /** The newest row of an inode. */
  find(inode: number): StoredPosition | undefined {
    const row = this.#find.get(inode)
    return row === undefined ? undefined : storedPosition(row)
  }

  /** All rows, the newest first. */
  all(): StoredFile[] {
    return this.#all.all().map(row => {
      const position = storedPosition(row)
      const path = row['path'] === null ? position.name : String(row['path'])
      return { ...position, inode: Number(row['inode']), path }
    })
  }

  /** Adds a file; `created` is in seconds since the epoch. Gives the row's id. */
  insert(name: string, offset: number, inode: number, created: number): number {
    return Number(this.#insert.run(name, offset, inode, created).lastInsertRowid)
  }

  update(id: number, offset: number, marker: bigint, markerSize: number): void {
    this.#update.run(offset, BigInt.asIntN(64, marker), markerSize, id)
  }

  /** Notes that a file was renamed, and under which path it was matched. */
  rotate(id: number, name: string, path: string): void {
    this.#rotate.run(name, path, id)
  }

  delete(id: number): void {
    this.#delete.run(id)
  }

  /** Deletes the rows of all other inodes; gives how many they were. */
  deleteOthers(inodes: ReadonlySet<number>): number {
    const stale = this.all().filter(row => !inodes.has(row.inode))
    this.transaction(() => {
      for (const row of stale) this.#delete.run(row.id)
    })
    return stale.length
  }

  /** Runs several changes as one. */
  transaction(changes: () => void): void {
    this.#database.exec('BEGIN')
    try {
      changes()
      this.#database.exec('COMMIT')
    } catch (error) {
      this.#database.exec('ROLLBACK')
      throw error
    }
  }

  close(): void {
    this.#database.close()
  }

  #addMissingColumns(): void {
    const columns = this.#database.prepare('PRAGMA table_info(in_tail_files)').all()
    const names = new Set(columns.map(column => column['name']))
    for (const [name, type] of Object.entries(ADDED_COLUMNS)) {
      if (names.has(name)) continue
      this.#database.exec(`ALTER TABLE in_tail_files ADD COLUMN ${name} ${type}`)
    }
  }
}

function storedPosition(row: Row): StoredPosition {
  return {
    id: Number(row['id']),
    name: String(row['name']),
    offset: Number(row['offset'] ?? 0n),
    marker: BigInt((row['offset_marker'] ?? 0n) as bigint),
    markerSize: Number(row['offset_marker_size'])
  }
}
