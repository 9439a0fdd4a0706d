/**
 * Dead letters: what outputs gave up, kept in files for a person to look at and send again. A file has Fluent Bit's
 * chunk layout and name; behind its content, where Fluent Bit has padding, stands why the events are there.
 * Source of names, limit and log lines: Fluent Bit 5.1.1 src/flb_storage.c flb_storage_quarantine_chunk().
 * Differs: the limit is for the bytes that the files take, those of earlier runs too, where Fluent Bit counts content
 * and forgets each letter once it is written; a tag that begins with a dot or has control characters gets `_` for them
 * in the name, as nobody would see the file otherwise, or its name would not be one line.
 */
import { basename, join } from 'node:path'
import { type Signal, SIGNALS } from '../base/signal.ts'
import { systemError } from '../base/system_error.ts'
import { writeWhole } from './chunk_store.ts'
import type { Disk } from './disk.ts'
import {
  type FluentBitChunkProblem,
  readFluentBitChunk,
  wholeContent,
  writeFluentBitChunk
} from './fluent_bit_chunk.ts'

/** Starts the part of a file that Fluent Bit does not read. */
const NOTE_MAGIC = Buffer.from('\0SPWYLTR1', 'latin1')

const SUFFIX = '.flb'

/** Bytes of tag and output in a file's name, as Fluent Bit cuts them. */
const TAG_BYTES_MAX = 127
const OUTPUT_BYTES_MAX = 63

/** Near the limit the files are counted again, no more often than this: another process may have removed some. */
const COUNT_INTERVAL_MS = 1000

const NOTHING = Buffer.alloc(0)

/** Why events were set aside. What is not known of a letter that Fluent Bit wrote is empty, or 0. */
export interface LetterNote {
  readonly tag: string
  /** Alias or name of the input. */
  readonly input: string
  /** Alias or name of the output that gave them up. */
  readonly output: string
  readonly reason: string
  /** When, as ISO 8601. */
  readonly time: string
  /** How often they were sent. */
  readonly attempts: number
  readonly events: number
  /** What the events are; logs where absent. */
  readonly signal?: Signal
}

export interface DeadLetter {
  /** Name of the file in the folder. */
  readonly name: string
  readonly note: LetterNote
  /** Events that are whole, in Fluent Bit's current form. */
  readonly content: Buffer
  /** What is wrong with the file, when something is: then there may be more in it than `content`, or something else. */
  readonly problem: string | undefined
}

/** What became of events that were to be kept. */
export type Kept =
  | { readonly kind: 'kept'; readonly bytes: number; readonly nearLimit: string | undefined }
  | { readonly kind: 'limit'; readonly message: string }

export interface DeadLetterOptions {
  readonly disk: Disk
  readonly folder: string
  /** Bytes of all letters; undefined is no limit. With 0, as in Fluent Bit, nothing is kept. */
  readonly limit: number | undefined
  /** New letters are to be on the medium, for `storage.sync full`; called for one that the medium did not take. */
  readonly notSynced?: ((failure: Error) => void) | undefined
}

export class DeadLetters {
  readonly #options: DeadLetterOptions
  /** Bytes of all files, when they were counted and what came since. */
  #bytes = 0
  /** When they were counted, by the times of letters. */
  #countedMs: number | undefined
  #last = 0

  constructor(options: DeadLetterOptions) {
    this.#options = options
  }

  get folder(): string {
    return this.#options.folder
  }

  get limit(): number | undefined {
    return this.#options.limit
  }

  /** Bytes that all files take now. */
  get fileBytes(): number {
    const { disk, folder } = this.#options
    let sum = 0
    for (const name of this.names()) {
      try {
        sum += disk.size(join(folder, name))
      } catch {
        // It was removed a moment ago.
      }
    }
    return sum
  }

  /** Writes events, one at least, into a file of their own. Failures of the disk are thrown, and leave no file. */
  keep(note: LetterNote, content: Buffer): Kept {
    const { disk, folder, limit, notSynced } = this.#options
    const file = letterFile(note, content)
    const refusal = limit === undefined ? undefined : this.#refusal(file.length, limit, note.time)
    if (refusal !== undefined) return { kind: 'limit', message: refusal }
    disk.makeFolder(folder)
    const path = join(folder, this.#newName(note))
    const hidden = this.#writeHidden(path, file)
    this.#orRemove(hidden, () => disk.rename(hidden, path))
    this.#bytes += file.length
    if (notSynced !== undefined) this.#sync(path, notSynced)
    const nearLimit =
      limit !== undefined && this.#bytes >= nearlyAll(limit)
        ? `DLQ content size is at ${this.#bytes}/${limit} bytes (>=90% of limit)`
        : undefined
    return { kind: 'kept', bytes: content.length, nearLimit }
  }

  /** Names of all letters, sorted. */
  names(): readonly string[] {
    return this.#options.disk.list(this.#options.folder).files.filter(file => file.endsWith(SUFFIX))
  }

  /** Reads a letter, which may be none: see `problem`. */
  read(name: string): DeadLetter {
    const { disk, folder } = this.#options
    try {
      return readLetter(name, disk.read(join(folder, name)))
    } catch (error) {
      return { name, note: noteOf(name), content: NOTHING, problem: systemError(error).text }
    }
  }

  remove(name: string): void {
    this.#options.disk.remove(join(this.#options.folder, name))
  }

  /**
   * Leaves only some events in a letter. Whatever happens, either the old file is there or the new one. Failures of the
   * disk are thrown.
   *
   * @param content Some events of it, one at least.
   */
  async keepOnly(letter: DeadLetter, content: Buffer, events: number): Promise<void> {
    const { disk, folder } = this.#options
    const path = join(folder, letter.name)
    const hidden = this.#writeHidden(path, letterFile({ ...letter.note, events }, content))
    // A rename may be on the medium before the bytes are, and would leave neither file.
    const failure = await new Promise<Error | null>(done => {
      const descriptor = this.#orRemove(hidden, () => disk.open(hidden))
      disk.sync(descriptor, outcome => {
        const closed = closeFailure(disk, descriptor)
        done(outcome ?? closed)
      })
    })
    this.#orRemove(hidden, () => {
      if (failure !== null) throw failure
      disk.rename(hidden, path)
    })
  }

  /** Why there is no room for a letter; undefined when there is. */
  #refusal(added: number, limit: number, time: string): string | undefined {
    if (limit <= 0) return `invalid DLQ size limit '${limit}'`
    const nowMs = Date.parse(time)
    const sinceMs = this.#countedMs === undefined ? Infinity : Math.abs(nowMs - this.#countedMs)
    const isNear = this.#bytes + added >= nearlyAll(limit)
    if (this.#countedMs === undefined || (isNear && sinceMs >= COUNT_INTERVAL_MS)) {
      this.#bytes = this.fileBytes
      this.#countedMs = nowMs
    }
    const bytes = this.#bytes
    const skipped = 'rejected chunk copy skipped'
    if (bytes >= limit) return `DLQ size limit reached (${bytes}/${limit} bytes), ${skipped}`
    if (bytes + added <= limit) return undefined
    return `DLQ size limit exceeded (${bytes} + ${added} > ${limit} bytes), ${skipped}`
  }

  /** Writes a file beside the place where it is to be, under a name that nobody takes for a letter. */
  #writeHidden(path: string, file: Buffer): string {
    const { disk, folder } = this.#options
    const hidden = join(folder, `.${basename(path)}.new`)
    this.#orRemove(hidden, () => writeWhole(disk, hidden, file))
    return hidden
  }

  /** Does something with a hidden file, and removes it when that fails. */
  #orRemove<T>(hidden: string, act: () => T): T {
    try {
      return act()
    } catch (error) {
      try {
        this.#options.disk.remove(hidden)
      } catch {
        // It was never made, or the disk does nothing any more: a hidden file is no letter.
      }
      throw error
    }
  }

  #sync(path: string, failed: (failure: Error) => void): void {
    const { disk, folder } = this.#options
    const report = (failure: Error | null): void => {
      if (failure !== null) failed(failure)
    }
    let descriptor: number
    try {
      descriptor = disk.open(path)
    } catch (error) {
      report(error as Error)
      return
    }
    disk.sync(descriptor, failure => {
      const closed = closeFailure(disk, descriptor)
      const outcome = failure ?? closed
      if (outcome === null) disk.syncFolder(folder, report)
      else report(outcome)
    })
  }

  /** `app.log_0_http.0_0x18c2.flb`: a number that is as good as Fluent Bit's address. */
  #newName({ tag, output, time }: LetterNote): string {
    const { disk, folder } = this.#options
    const start = [safe(tag, TAG_BYTES_MAX), 0, safe(output, OUTPUT_BYTES_MAX)].join('_')
    this.#last = Math.max(this.#last, Date.parse(time) * 1000)
    let name: string
    do {
      this.#last++
      name = `${start}_0x${this.#last.toString(16)}${SUFFIX}`
      // An earlier run, whose clock was ahead, may have used it.
    } while (disk.exists(join(folder, name)))
    return name
  }
}

/** A text as it is in the names of letters: `a_b` for `a/b`. */
export function safe(text: string, bytesMax = OUTPUT_BYTES_MAX): string {
  return Buffer.from(text.replaceAll(/[/\\:\p{Cc}]|^\./gu, '_'))
    .subarray(0, bytesMax)
    .toString()
}

/** Closes a file; gives what went wrong. */
function closeFailure(disk: Disk, descriptor: number): Error | null {
  try {
    disk.close(descriptor)
    return null
  } catch (error) {
    return error as Error
  }
}

function letterFile(note: LetterNote, content: Buffer): Buffer {
  return Buffer.concat([
    writeFluentBitChunk({ tag: note.tag, signal: note.signal ?? 'logs', content }),
    NOTE_MAGIC,
    Buffer.from(`${JSON.stringify(note)}\n`)
  ])
}

/** From here on Fluent Bit warns. */
function nearlyAll(limit: number): number {
  return Math.floor((limit * 9) / 10)
}

const PROBLEMS: Readonly<Record<FluentBitChunkProblem, string>> = {
  empty: 'there are no events in it',
  bad_header: 'it is no chunk file',
  truncated: 'its end is missing',
  unknown_signal: 'it holds what only another version knows',
  bad_checksum: 'its bytes have changed: the checksum is wrong'
}

function readLetter(name: string, file: Buffer): DeadLetter {
  const read = readFluentBitChunk(file, { checksum: true })
  const chunk = read.ok ? read.chunk : read.rest
  const fileProblem = read.ok ? undefined : PROBLEMS[read.reason]
  if (chunk === undefined) {
    return { name, note: noteOf(name), content: NOTHING, problem: fileProblem }
  }
  const signal = SIGNALS.find(known => known === chunk.signal)
  const { bytes, events, isCurrent } =
    signal === undefined
      ? { bytes: 0, events: 0, isCurrent: false }
      : wholeContent(chunk.content, signal)
  const isWhole = isCurrent && chunk.content.subarray(bytes).every(byte => byte === 0)
  const content = isCurrent ? chunk.content.subarray(0, bytes) : NOTHING
  const found = readNote(file.subarray(chunk.end)) ?? noteOf(name, chunk.tag)
  const own = { ...found, events: isCurrent ? events : 0 }
  const note = signal === undefined || signal === 'logs' ? own : { ...own, signal }
  const problem = fileProblem ?? (isWhole ? undefined : 'it holds what is no log event')
  return { name, note, content, problem }
}

/**
 * What the name says: `<tag>_<status>_<output>_<pointer>.flb`, where `_` stands for other characters as well.
 *
 * @param tag Of the file itself; Fluent Bit writes none.
 */
function noteOf(name: string, tag = ''): LetterNote {
  const parts = /^(?<tag>.*)_-?\d+_(?<output>.+)_(?:0x[\da-f]+|\(nil\))\.flb$/su.exec(name)?.groups
  return {
    tag: tag === '' ? (parts?.['tag'] ?? '') : tag,
    input: '',
    output: parts?.['output'] ?? '',
    reason: '',
    time: '',
    attempts: 0,
    events: 0
  }
}

function readNote(rest: Buffer): LetterNote | undefined {
  if (!rest.subarray(0, NOTE_MAGIC.length).equals(NOTE_MAGIC)) return undefined
  try {
    const note: unknown = JSON.parse(rest.toString('utf8', NOTE_MAGIC.length).split('\n')[0])
    return isNote(note) ? note : undefined
  } catch {
    return undefined
  }
}

/** No checksum covers the note, so it may be anything. */
function isNote(value: unknown): value is LetterNote {
  if (typeof value !== 'object' || value === null) return false
  const fields: Readonly<Partial<Record<string, unknown>>> = { ...value }
  const texts = ['tag', 'input', 'output', 'reason', 'time']
  return (
    texts.every(key => typeof fields[key] === 'string') && Number.isSafeInteger(fields['attempts'])
  )
}
