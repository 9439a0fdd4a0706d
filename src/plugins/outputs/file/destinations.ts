/**
 * Files whose path depends on the record: record accessors and time placeholders in `path` and `file`.
 * Source: Fluent Bit 5.1.1 plugins/out_file/file.c resolve_dynamic_destination().
 * Differs: text that is not UTF-8 is replaced by U+FFFD in names; Fluent Bit uses the bytes.
 */
import { strftime } from '../../../base/strftime.ts'
import { skip } from '../../../codec/msgpack_reader.ts'
import type { ChunkView } from '../../../plugin/context.ts'
import { compileTemplate, type Template } from '../../../record/accessor.ts'
import { eventBodyAt, eventSeconds, isGroupMark } from '../../../record/event.ts'
import { tagFileName } from './tag_file_name.ts'

/** What to do with a record that has no destination. */
export type Action = 'error' | 'drop' | 'fallback'

export interface DestinationOptions {
  readonly path: string | undefined
  readonly file: string | undefined
  /** `%Y` and the like stand for the time of the record, in UTC. */
  readonly hasTime: boolean
  readonly onMissingField: Action
  readonly onLimitReached: Action
  readonly fallbackPath: string | undefined
  readonly fallbackFile: string
  /** Different destinations over the life of the output; 0 is no limit. */
  readonly filesMax: number
}

/** Why a record goes nowhere: it is left out, or it ends its chunk. */
export interface Refusal {
  readonly action: 'error' | 'drop'
  /** Label of the counter. */
  readonly reason: string
  /** Fluent Bit's words. */
  readonly message: string
}

/** Characters that a name from a record must not have. */
const UNSAFE_NAME = /[/\\:*?"<>|\u0000-\u001f\u007f]/

const UNSAFE_PATH = /[\u0000-\u001f\u007f]|(?:^|[/\\])\.{1,2}(?:$|[/\\])/

export class Destinations {
  readonly #options: DestinationOptions
  readonly #path: DynamicText | undefined
  readonly #file: DynamicText | undefined
  readonly #fallback: string
  /** Destinations in use, which the limit counts. */
  readonly #known = new Set<string>()
  /** Those of them that no file has been opened for. */
  readonly #unopened = new Set<string>()
  readonly #missingPath: Refusal | undefined
  readonly #missingFile: Refusal | undefined
  readonly #unsafe: Refusal | undefined
  readonly #overLimit: Refusal | undefined

  constructor(options: DestinationOptions) {
    const { onMissingField, onLimitReached } = options
    this.#options = options
    this.#path = dynamicText(options.path, options.hasTime)
    this.#file = dynamicText(options.file, options.hasTime)
    this.#fallback = joinPath(options.fallbackPath, options.fallbackFile)
    this.#missingPath = refusal(
      onMissingField,
      'missing_field',
      'record accessor field missing from path'
    )
    this.#missingFile = refusal(
      onMissingField,
      'missing_field',
      'record accessor field missing from file'
    )
    this.#unsafe = refusal(
      onMissingField,
      'unsafe_destination',
      'unsafe dynamic output destination'
    )
    this.#overLimit = refusal(onLimitReached, 'limit_reached', 'max_dynamic_files limit reached')
  }

  /** The path of the file that the event at `at` belongs to. */
  resolve(tag: string, bytes: Buffer, at: number): string | Refusal {
    const path = textOf(this.#path, this.#options.path, tag, bytes, at)
    if (path === undefined && this.#path !== undefined) return this.#missingPath ?? this.#fallback
    const name = textOf(this.#file, this.#options.file, tag, bytes, at)
    if (name === undefined && this.#file !== undefined) return this.#missingFile ?? this.#fallback
    const isSafe =
      (this.#path === undefined || isSafePath(path)) &&
      (this.#file === undefined || isSafeName(name))
    if (!isSafe) return this.#unsafe ?? this.#fallback
    return this.#admit(joinPath(path, name ?? tagFileName(tag)))
  }

  /** The file has been opened: its destination counts from now on. */
  opened(path: string): void {
    this.#unopened.delete(path)
  }

  /** Ends a chunk: destinations that were not opened do not count. */
  end(): void {
    for (const path of this.#unopened) this.#known.delete(path)
    this.#unopened.clear()
  }

  #admit(path: string): string | Refusal {
    const { filesMax } = this.#options
    if (filesMax === 0 || this.#known.has(path)) return path
    if (this.#known.size >= filesMax) return this.#overLimit ?? this.#fallback
    this.#known.add(path)
    this.#unopened.add(path)
    return path
  }
}

/** The events of a chunk by file. Their numbers count from 0 within the chunk. */
export interface Sorted {
  /** By path, in the order of their first event. */
  readonly files: ReadonlyMap<string, FileEvents>
  /** Events that are left out, by message. */
  readonly dropped: ReadonlyMap<string, DroppedEvents>
  /** Why the events from `lookedAt` on belong nowhere. */
  readonly failure: Refusal | undefined
  readonly lookedAt: number
}

/** The events of one file. */
export interface FileEvents {
  readonly numbers: number[]
  /** Where they start in the chunk. */
  readonly positions: number[]
}

export interface DroppedEvents {
  readonly reason: string
  readonly numbers: number[]
}

/** Sorts the events of a chunk by file, up to the first that ends the chunk. */
export function sortByFile({ tag, bytes }: ChunkView, destinations: Destinations): Sorted {
  const files = new Map<string, FileEvents>()
  const dropped = new Map<string, DroppedEvents>()
  let number = 0
  for (let at = 0, next = 0; at < bytes.length; at = next, number++) {
    next = skip(bytes, eventBodyAt(bytes, at))
    if (isGroupMark(bytes, at)) continue
    const destination = destinations.resolve(tag, bytes, at)
    if (typeof destination === 'string') {
      const file = files.get(destination) ?? { numbers: [], positions: [] }
      files.set(destination, file)
      file.numbers.push(number)
      file.positions.push(at)
    } else if (destination.action === 'error') {
      return { files, dropped, failure: destination, lookedAt: number }
    } else {
      const { message, reason } = destination
      const group = dropped.get(message) ?? { reason, numbers: [] }
      dropped.set(message, group)
      group.numbers.push(number)
    }
  }
  return { files, dropped, failure: undefined, lookedAt: number }
}

/** True when a `path` or `file` depends on the record. */
export function isDynamic(text: string | undefined, hasTime: boolean): boolean {
  return text !== undefined && (text.includes('$') || (hasTime && text.includes('%')))
}

/** `path/file`, or the file alone. */
export function joinPath(path: string | undefined, file: string): string {
  return path === undefined ? file : `${path}/${file}`
}

/** Undefined for `fallback`, which is not a refusal. */
function refusal(action: Action, reason: string, message: string): Refusal | undefined {
  return action === 'fallback' ? undefined : { action, reason, message }
}

function isSafePath(path: string | undefined): boolean {
  return path !== undefined && path !== '' && !UNSAFE_PATH.test(path)
}

function isSafeName(name: string | undefined): boolean {
  return name !== undefined && !['', '.', '..'].includes(name) && !UNSAFE_NAME.test(name)
}

/** The text for the event at `at`; what is not dynamic is the same for all. */
function textOf(
  dynamic: DynamicText | undefined,
  fixed: string | undefined,
  tag: string,
  bytes: Buffer,
  at: number
): string | undefined {
  return dynamic === undefined ? fixed : dynamic.render(tag, bytes, at)
}

function dynamicText(text: string | undefined, hasTime: boolean): DynamicText | undefined {
  return text !== undefined && isDynamic(text, hasTime) ? new DynamicText(text, hasTime) : undefined
}

/** A text with time placeholders, which are replaced first, and record accessors. */
class DynamicText {
  readonly #text: string
  readonly #hasTime: boolean
  readonly #hasFields: boolean
  /** The text of one second, since neighbours mostly share it; `seconds` is -1 when there was none. */
  #seconds = -1
  #timed: string
  #template: Template | undefined

  constructor(text: string, hasTime: boolean) {
    this.#text = text
    this.#timed = text
    this.#hasTime = hasTime && text.includes('%')
    this.#hasFields = text.includes('$')
    this.#compile()
  }

  /** Undefined when the record has no such field. */
  render(tag: string, bytes: Buffer, at: number): string | undefined {
    const seconds = eventSeconds(bytes, at)
    if (this.#hasTime && seconds !== this.#seconds) this.#setTime(seconds)
    if (!this.#hasFields) return this.#timed
    const template = this.#template
    const bodyAt = eventBodyAt(bytes, at)
    return template?.isComplete(bytes, bodyAt) === true
      ? template.render(bytes, bodyAt, tag)
      : undefined
  }

  #setTime(seconds: number): void {
    const timed = strftime(this.#text, seconds)
    this.#seconds = seconds
    if (timed === this.#timed) return
    this.#timed = timed
    this.#compile()
  }

  #compile(): void {
    if (!this.#hasFields) return
    const compiled = compileTemplate(this.#timed)
    this.#template = 'error' in compiled ? undefined : compiled
  }
}
