/**
 * Dead letters: what outputs gave up, kept in files for a person to look at and send again. A file has Fluent Bit's
 * chunk layout and name; behind its content, where Fluent Bit has padding, stands why the events are there.
 * Source of names, limit and log lines: Fluent Bit 5.1.1 src/flb_storage.c flb_storage_quarantine_chunk().
 */
import { join } from 'node:path'
import { writeWhole } from './chunk_store.ts'
import type { Disk } from './disk.ts'
import { readFluentBitChunk, wholeEvents, writeFluentBitChunk } from './fluent_bit_chunk.ts'

/** Starts the part of a file that Fluent Bit does not read. */
const NOTE_MAGIC = Buffer.from('\0SPWYLTR1', 'latin1')

/** Bytes of tag and output in a file's name, as Fluent Bit cuts them. */
const TAG_BYTES_MAX = 127
const OUTPUT_BYTES_MAX = 63

/** Why events were set aside. */
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
}

export interface DeadLetter {
  /** Name of the file in the folder. */
  readonly name: string
  /** What is not known of a letter that Fluent Bit wrote is empty. */
  readonly note: LetterNote
  readonly content: Buffer
}

/** What became of events that were to be kept. */
export type Kept =
  | { readonly kind: 'kept'; readonly bytes: number; readonly nearLimit: string | undefined }
  | { readonly kind: 'limit'; readonly message: string }

export interface DeadLetterOptions {
  readonly disk: Disk
  readonly folder: string
  /** Bytes of all letters; undefined is no limit. */
  readonly limit: number | undefined
}

export class DeadLetters {
  readonly #options: DeadLetterOptions
  /** Bytes of all files; undefined before they were counted. */
  #bytes: number | undefined
  #last = 0

  constructor(options: DeadLetterOptions) {
    this.#options = options
  }

  /** Writes events into a file of their own. Failures of the disk are thrown. */
  keep(note: LetterNote, content: Buffer): Kept {
    const { disk, folder, limit } = this.#options
    this.#bytes ??= this.#count()
    const file = Buffer.concat([
      writeFluentBitChunk({ tag: note.tag, signal: 'logs', content }),
      NOTE_MAGIC,
      Buffer.from(`${JSON.stringify(note)}\n`)
    ])
    const total = this.#bytes + file.length
    if (limit !== undefined && total > limit) {
      return {
        kind: 'limit',
        message: `DLQ size limit exceeded (${this.#bytes} + ${file.length} > ${limit} bytes), rejected chunk copy skipped`
      }
    }
    disk.makeFolder(folder)
    writeWhole(disk, join(folder, this.#newName(note)), file)
    this.#bytes = total
    const nearLimit =
      limit !== undefined && total >= (limit * 9) / 10
        ? `DLQ content size is at ${total}/${limit} bytes (>=90% of limit)`
        : undefined
    return { kind: 'kept', bytes: content.length, nearLimit }
  }

  /** Names of all letters, sorted. */
  names(): readonly string[] {
    return this.#options.disk.list(this.#options.folder).files.filter(file => file.endsWith('.flb'))
  }

  /** Reads a letter; a text says why it cannot be read. */
  read(name: string): DeadLetter | string {
    const file = this.#options.disk.read(join(this.#options.folder, name))
    const read = readFluentBitChunk(file, { checksum: true })
    if (!read.ok) return read.reason
    const { tag, content, end } = read.chunk
    const { events } = wholeEvents(content)
    const unknown = { tag, input: '', output: '', reason: '', time: '', attempts: 0, events }
    return { name, note: readNote(file.subarray(end)) ?? unknown, content }
  }

  remove(name: string): void {
    this.#options.disk.remove(join(this.#options.folder, name))
    this.#bytes = undefined
  }

  #count(): number {
    const { disk, folder } = this.#options
    return this.names().reduce((sum, name) => sum + disk.size(join(folder, name)), 0)
  }

  /** `app.log_0_http.0_0x18c2.flb`: a number that is as good as Fluent Bit's address. */
  #newName({ tag, output, time }: LetterNote): string {
    this.#last = Math.max(this.#last + 1, Date.parse(time) * 1000)
    const parts = [safe(tag, TAG_BYTES_MAX), 0, safe(output, OUTPUT_BYTES_MAX)]
    return `${parts.join('_')}_0x${this.#last.toString(16)}.flb`
  }
}

function readNote(rest: Buffer): LetterNote | undefined {
  if (!rest.subarray(0, NOTE_MAGIC.length).equals(NOTE_MAGIC)) return undefined
  try {
    return JSON.parse(rest.subarray(NOTE_MAGIC.length).toString()) as LetterNote
  } catch {
    return undefined
  }
}

/** A part of a file's name. */
function safe(text: string, bytesMax: number): string {
  return Buffer.from(text.replaceAll(/[/\\:\0]/g, '_'))
    .subarray(0, bytesMax)
    .toString()
}
