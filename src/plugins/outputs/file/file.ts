/**
 * file: appends events to files.
 * Source: Fluent Bit 5.1.1 plugins/out_file/file.c, docs pipeline/outputs/file.md.
 * Like it, and unlike its documentation: the csv line of names comes with every flush (`ftell` of a file opened for
 * appending and reading is 0 in glibc), and a record without a destination under `error` ends its chunk for good.
 * Metrics are appended as text, whatever the format.
 * Differs: all contexts of a chunk of metrics are written, where Fluent Bit takes the first; a chunk that could not be written is taken out of the file again where possible and sent again, as is one
 * whose file could not be opened for want of space, memory or descriptors (Fluent Bit loses the first without a word
 * and drops the second); what is wrong with destinations is reported once a chunk, not once a record; with dynamic
 * destinations a file is opened once a chunk, not once a record, so csv names come once a chunk too; of a chunk that goes
 * to several files only the events of those that failed are sent again or given up (Fluent Bit does so with the whole
 * chunk, and writes to the others twice).
 */
import type { SystemError } from '../../../base/system_error.ts'
import { allocateLasting, releaseLasting } from '../../../codec/byte_kernel.ts'
import { JsonWriter } from '../../../codec/json_writer.ts'
import { choice, flag, int, size, text, type Values } from '../../../config/options.ts'
import type { ChunkView, OutputContext } from '../../../plugin/context.ts'
import { defineOutput, type Output } from '../../../plugin/define.ts'
import {
  type Delivery,
  drop,
  OK,
  partial,
  retry,
  type WholeDelivery
} from '../../../plugin/delivery.ts'
import { compileTemplate } from '../../../record/accessor.ts'
import { type AppendFile, openAppendFile } from '../../common/append_file.ts'
import { Destinations, isDynamic, joinPath, type Sorted, sortByFile } from './destinations.ts'
import { Csv, type LineFormat, Ltsv, PlainJson, RawEvents, TagTimeJson } from './formats.ts'
import { AllEvents, PART_BYTES, type PartSource, RawBytes, SomeEvents } from './parts.ts'
import { Rotation } from './rotation.ts'
import { tagFileName } from './tag_file_name.ts'
import { TemplateLine } from './template.ts'

const ACTIONS = ['error', 'drop', 'fallback'] as const
const FORMATS = ['out_file', 'plain', 'csv', 'ltsv', 'template', 'msgpack'] as const

const OPTIONS = {
  path: text({ doc: 'Folder of the files; may have record accessors after a fixed beginning' }),
  file: text({ doc: 'Name of the file; made from the tag unless set; may have record accessors' }),
  enable_strftime: flag({
    default: 'false',
    doc: 'Replace %Y and the like in path and file by the time of the record in UTC'
  }),
  max_dynamic_files: int({
    default: '1024',
    doc: 'Different files that record accessors and time may lead to; 0 is no limit'
  }),
  on_missing_field: choice(ACTIONS, {
    default: 'error',
    doc: 'What to do with a record without the field, or with an unsafe one: error, drop, fallback'
  }),
  on_limit_reached: choice(ACTIONS, {
    default: 'error',
    doc: 'What to do with a record that max_dynamic_files has no room for: error, drop, fallback'
  }),
  fallback_path: text({ doc: 'Folder of the file for records without a destination' }),
  fallback_file: text({ doc: 'Name of the file for records without a destination' }),
  format: choice(FORMATS, {
    doc: 'out_file (tag, time and JSON), plain (JSON), csv, ltsv, template or msgpack'
  }),
  delimiter: text({ doc: 'Between fields of csv and ltsv: tab (or \\t), space or comma' }),
  label_delimiter: text({ doc: 'Between key and value of ltsv: tab (or \\t), space or comma' }),
  template: text({ default: '{time} {message}', doc: 'The line of the format template' }),
  csv_column_names: flag({ default: 'false', doc: 'Begin with a line of the keys' }),
  mkdir: flag({ default: 'false', doc: 'Make missing folders' }),
  rotate: flag({ default: 'false', doc: 'Rename the file when it has reached its size' }),
  rotate_max_size: size({ default: '100M', doc: 'Size at which the file is rotated' }),
  rotate_max_files: int({ default: '7', doc: 'Rotated files to keep' }),
  rotate_gzip: flag({ default: 'true', doc: 'Compress rotated files' })
}

type FileValues = Values<typeof OPTIONS>

export const file = defineOutput({
  name: 'file',
  summary: 'Generates log files',
  upstream: 'plugins/out_file/file.c',
  signals: ['logs', 'metrics'],
  options: OPTIONS,
  create: (values, context) => new FileOutput(values, context)
})

/** Room of a part: it is full when its last line crosses `PART_BYTES`. */
const PART_BYTES_ROOM = PART_BYTES + 65_536

/** A part with room for more than this is given up after the flush: one large event has made it grow. */
const PART_BYTES_KEPT = 4 * PART_BYTES

/** Failures to open that may pass; any other is for good, and Fluent Bit's answer to all. */
const PASSING = new Set(['EAGAIN', 'EDQUOT', 'EIO', 'EMFILE', 'ENFILE', 'ENOMEM', 'ENOSPC'])

const CANNOT_OPEN = 'cannot_open'

class FileOutput implements Output {
  readonly #values: FileValues
  readonly #context: OutputContext
  readonly #format: LineFormat
  readonly #rotation: Rotation | undefined
  readonly #destinations: Destinations | undefined
  /** Memory that is never written to stays with the system. */
  #buffers: readonly Buffer[] = []
  #parts: JsonWriter[] = []

  constructor(values: FileValues, context: OutputContext) {
    this.#values = values
    this.#context = context
    this.#format = formatOf(values)
    this.#destinations = destinationsOf(values, context)
    this.#rotation = rotationOf(values, context)
  }

  start(): void {
    this.#buffers = [allocateLasting(PART_BYTES_ROOM), allocateLasting(PART_BYTES_ROOM)]
    this.#parts = this.#buffers.map((_, index) => this.#newPart(index))
    this.#rotation?.announce()
  }

  async flush(chunk: ChunkView): Promise<Delivery> {
    if (chunk.signal === 'metrics') return this.#flushMetrics(chunk)
    if (this.#destinations !== undefined) return this.#flushDynamic(chunk, this.#destinations)
    const { path, file: name } = this.#values
    // Group marks are among the bytes.
    const isRaw = this.#values.format === 'msgpack'
    const source = isRaw ? new RawBytes(chunk.bytes) : this.#allEvents(chunk)
    return this.#append(joinPath(path, name ?? tagFileName(chunk.tag)), source)
  }

  async stop(): Promise<void> {
    await this.#rotation?.idle()
    for (const buffer of this.#buffers) releaseLasting(buffer)
  }

  #allEvents(chunk: ChunkView): PartSource {
    this.#format.begin(chunk.tag)
    return new AllEvents(chunk, this.#format)
  }

  /** Appends metrics as text, whatever the format; they have no fields that a destination could depend on. */
  async #flushMetrics(chunk: ChunkView): Promise<Delivery> {
    const {
      path,
      file: name,
      fallback_path: fallbackPath,
      fallback_file: fallbackFile
    } = this.#values
    // Much code, for those who have metrics.
    const { metricsText, readMetricsChunk } = await import('../../common/metrics_chunk.ts')
    const { contexts, answer } = readMetricsChunk(chunk, this.#context)
    const target =
      this.#destinations === undefined
        ? joinPath(path, name ?? tagFileName(chunk.tag))
        : joinPath(fallbackPath, fallbackFile ?? '')
    const written = await this.#append(target, new RawBytes(metricsText(contexts)))
    return written === OK ? answer : written
  }

  /** Sorts the events by file and writes file after file. */
  async #flushDynamic(chunk: ChunkView, destinations: Destinations): Promise<Delivery> {
    const sorted = sortByFile(chunk, destinations)
    for (const message of sorted.dropped.keys()) {
      this.#context.log.warn(`dropping record: ${message}`)
    }
    const outcome = new Outcome()
    for (const { reason, numbers } of sorted.dropped.values()) outcome.drop(reason, numbers)
    await this.#appendAll(chunk, sorted.files, destinations, outcome)
    destinations.end()
    if (sorted.failure !== undefined) {
      const { message, reason } = sorted.failure
      this.#context.log.error(message)
      outcome.drop(reason, numbersFrom(sorted.lookedAt, chunk.events))
    }
    return outcome.delivery()
  }

  /** Writes the events of each file; what goes wrong with one is no matter of the others. */
  async #appendAll(
    chunk: ChunkView,
    files: Sorted['files'],
    destinations: Destinations,
    outcome: Outcome
  ): Promise<void> {
    for (const [path, { numbers, positions }] of files) {
      this.#format.begin(chunk.tag)
      const answer = await this.#append(path, new SomeEvents(chunk, positions, this.#format))
      if (answer.kind === 'ok' || answer.reason !== CANNOT_OPEN) destinations.opened(path)
      if (answer.kind === 'drop') outcome.drop(answer.reason, numbers)
      else if (answer.kind === 'retry') outcome.retry(answer.reason, numbers)
    }
  }

  async #append(path: string, source: PartSource): Promise<WholeDelivery> {
    await this.#rotation?.prepare(path)
    const opened = openAppendFile(path, this.#values.mkdir)
    if (!opened.ok) {
      this.#report(opened.error, `error opening: ${path}`)
      return PASSING.has(opened.error.code) ? retry(CANNOT_OPEN) : drop(CANNOT_OPEN)
    }
    const failure = await this.#write(opened.file, source)
    if (failure === undefined) return OK
    this.#report(failure, `error writing: ${path}`)
    return retry('cannot_write')
  }

  /** Writes all parts and closes the file; answers what went wrong, if anything. */
  async #write(target: AppendFile, source: PartSource): Promise<SystemError | undefined> {
    let pending: Promise<SystemError | undefined> = Promise.resolve(undefined)
    let isComplete = false
    try {
      let turn = 0
      let isMore = true
      while (isMore) {
        const part = this.#parts[turn]
        part.length = 0
        isMore = source.fill(part)
        const failure = await pending
        if (failure !== undefined) return failure
        pending = target.append(part.bytes, part.length)
        turn = 1 - turn
      }
      const failure = await pending
      isComplete = failure === undefined
      return failure ?? target.close()
    } finally {
      if (!isComplete) await abandon(target, pending)
      this.#releaseParts()
    }
  }

  #releaseParts(): void {
    for (const [index, part] of this.#parts.entries()) {
      part.clear()
      if (part.bytes.length > PART_BYTES_KEPT) this.#parts[index] = this.#newPart(index)
    }
  }

  #newPart(index: number): JsonWriter {
    return new JsonWriter({ ...this.#context.json, buffer: this.#buffers[index] })
  }

  #report({ number, text: words }: SystemError, message: string): void {
    this.#context.log.error(`[errno=${number}] ${words}`)
    this.#context.log.error(message)
  }
}

/** What became of the events of a chunk that go to several files. */
class Outcome {
  readonly #again: number[] = []
  readonly #dropped: { reason: string; events: readonly number[] }[] = []
  #reason = ''

  retry(reason: string, events: readonly number[]): void {
    this.#reason = reason
    this.#again.push(...events)
  }

  drop(reason: string, events: readonly number[]): void {
    this.#dropped.push({ reason, events })
  }

  delivery(): Delivery {
    if (this.#again.length === 0 && this.#dropped.length === 0) return OK
    return partial({
      retry: this.#again.toSorted((a, b) => a - b),
      drop: this.#dropped,
      reason: this.#reason
    })
  }
}

function numbersFrom(first: number, end: number): number[] {
  return Array.from({ length: end - first }, (_, index) => first + index)
}

/** Takes back what was written and closes the file, which must not happen under a write. */
async function abandon(
  target: AppendFile,
  pending: Promise<SystemError | undefined>
): Promise<void> {
  await pending
  target.takeBack()
  target.close()
}

function formatOf(values: FileValues): LineFormat {
  const delimiter = delimiterOf(values.delimiter)
  switch (values.format) {
    case 'plain':
      return new PlainJson()
    case 'csv':
      return new Csv(delimiter ?? ',', values.csv_column_names)
    case 'ltsv':
      return new Ltsv(delimiter ?? '\t', delimiterOf(values.label_delimiter) ?? ':')
    case 'template':
      return new TemplateLine(values.template)
    case 'msgpack':
      return new RawEvents()
    default:
      return new TagTimeJson()
  }
}

/** Undefined for other words, which leave the format's own delimiter in force. */
function delimiterOf(word: string | undefined): string | undefined {
  switch (word?.toLowerCase()) {
    case '\\t':
    case 'tab':
      return '\t'
    case 'space':
      return ' '
    case 'comma':
      return ','
    default:
      return undefined
  }
}

function destinationsOf(values: FileValues, context: OutputContext): Destinations | undefined {
  const { path, file: name, enable_strftime: hasTime, fallback_file: fallbackFile } = values
  if (values.max_dynamic_files < 0) {
    throw context.invalid('max_dynamic_files', 'value must be 0 or more')
  }
  const usesFallback = [values.on_missing_field, values.on_limit_reached].includes('fallback')
  if (usesFallback && fallbackFile === undefined) {
    throw context.invalid('fallback_file', 'it is required for fallback actions')
  }
  if (path?.startsWith('$') === true) {
    throw context.invalid('path', 'it must include a static prefix before record accessors')
  }
  checkAccessor('path', path, context)
  checkAccessor('file', name, context)
  if (!isDynamic(path, hasTime) && !isDynamic(name, hasTime)) return undefined
  if (fallbackFile === undefined) {
    throw context.invalid('fallback_file', 'it is required when path or file is dynamic')
  }
  return new Destinations({
    path,
    file: name,
    hasTime,
    onMissingField: values.on_missing_field,
    onLimitReached: values.on_limit_reached,
    fallbackPath: values.fallback_path,
    fallbackFile,
    filesMax: values.max_dynamic_files
  })
}

function checkAccessor(key: string, value: string | undefined, context: OutputContext): void {
  if (value === undefined || !value.includes('$')) return
  const compiled = compileTemplate(value)
  if ('error' in compiled) throw context.invalid(key, compiled.error)
}

function rotationOf(values: FileValues, context: OutputContext): Rotation | undefined {
  if (!values.rotate) return undefined
  if (values.rotate_max_size <= 0) {
    throw context.invalid('rotate_max_size', 'value must be greater than zero')
  }
  if (values.rotate_max_files < 1) {
    throw context.invalid(
      'rotate_max_files',
      `value must be 1 or more: current value is ${values.rotate_max_files}`
    )
  }
  const limits = {
    sizeMax: values.rotate_max_size,
    filesMax: values.rotate_max_files,
    gzip: values.rotate_gzip
  }
  return new Rotation(limits, context)
}
