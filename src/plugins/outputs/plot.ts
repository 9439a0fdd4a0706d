/**
 * plot: appends `time value` lines for gnuplot to a file.
 * Source: Fluent Bit 5.1.1 plugins/out_plot/plot.c.
 * Differs: what is wrong with values is reported once a chunk, not once a record; a chunk that the disk has no room for
 * is sent again, where Fluent Bit loses it without a word. As there, and unlike the documentation, a record without
 * the key ends its chunk.
 */
import type { SystemError } from '../../base/system_error.ts'
import { JsonWriter } from '../../codec/json_writer.ts'
import {
  contentCount,
  headerSize,
  isMap,
  isString,
  readInteger,
  skip,
  typeOf
} from '../../codec/msgpack_reader.ts'
import { formatF } from '../../codec/number_text.ts'
import { text } from '../../config/options.ts'
import type { ChunkView, OutputContext } from '../../plugin/context.ts'
import { defineOutput } from '../../plugin/define.ts'
import { type Delivery, drop, OK, retry } from '../../plugin/delivery.ts'
import { eventBodyAt, eventNanoseconds, eventSeconds, isGroupMark } from '../../record/event.ts'
import { type AppendFile, openAppendFile } from '../common/append_file.ts'
import { Printer } from '../common/printer.ts'
import { writeDecimalSeconds } from '../common/time_text.ts'

/** What `valueAt` answers besides a position. */
const NOT_FOUND = -1
const BAD_KEY = -2

export const plot = defineOutput({
  name: 'plot',
  summary: 'Generates a data file for gnuplot',
  upstream: 'plugins/out_plot/plot.c',
  options: {
    key: text({ doc: 'Key of the value; the first one of the record unless set' }),
    file: text({ doc: 'File to append to; named as the tag unless set' })
  },
  create(values, context) {
    const lines = new PlotLines(values.key, context)
    const printer = new Printer(context)
    return {
      async flush(chunk: ChunkView): Promise<Delivery> {
        const path = values.file ?? chunk.tag
        const delivery = lines.fill(chunk.bytes)
        const opened = openAppendFile(path, false)
        if (!opened.ok) {
          report(opened.error, context)
          context.log.warn(`could not open ${path}, switching to STDOUT`)
          const printed = printer.print(lines.text)
          return printed.kind === 'ok' ? delivery : printed
        }
        const failure = await append(opened.file, lines.text)
        if (failure === undefined) return delivery
        report(failure, context)
        context.log.error(`error writing: ${path}`)
        return retry('cannot_write')
      }
    }
  }
})

async function append(file: AppendFile, text: Buffer): Promise<SystemError | undefined> {
  const failure = await file.append(text, text.length)
  if (failure !== undefined) file.takeBack()
  return file.close() ?? failure
}

function report({ number, text: words }: SystemError, context: OutputContext): void {
  context.log.error(`[errno=${number}] ${words}`)
}

/** The lines of one chunk. */
class PlotLines {
  readonly #key: Buffer | undefined
  readonly #context: OutputContext
  readonly #out = new JsonWriter()

  constructor(key: string | undefined, context: OutputContext) {
    this.#key = key === undefined ? undefined : Buffer.from(key)
    this.#context = context
  }

  get text(): Buffer {
    return this.#out.written()
  }

  /** Writes a line for each record with a number; the answer is a drop when a record has no value. */
  fill(bytes: Buffer): Delivery {
    const { log } = this.#context
    this.#out.length = 0
    let isReported = false
    for (let at = 0; at < bytes.length;) {
      const bodyAt = eventBodyAt(bytes, at)
      if (!isGroupMark(bytes, at)) {
        const found = this.#valueAt(bytes, bodyAt)
        if (found === BAD_KEY) return drop('bad_key')
        if (found === NOT_FOUND) {
          log.error(`unmatched key '${this.#key?.toString() ?? '(null)'}'`)
          return drop('missing_field')
        }
        if (!this.#line(bytes, at, found) && !isReported) {
          log.error('value must be integer, negative integer or float')
          isReported = true
        }
      }
      at = skip(bytes, bodyAt)
    }
    return OK
  }

  #valueAt(bytes: Buffer, bodyAt: number): number {
    if (!isMap(bytes[bodyAt])) return NOT_FOUND
    let at = bodyAt + headerSize(bytes[bodyAt])
    for (let left = contentCount(bytes, bodyAt); left > 0; left--) {
      const valueAt = skip(bytes, at)
      if (this.#key === undefined) return valueAt
      if (!isString(bytes[at]) && typeOf(bytes[at]) !== 'binary') return BAD_KEY
      if (this.#key.equals(bytes.subarray(at + headerSize(bytes[at]), valueAt))) return valueAt
      at = skip(bytes, valueAt)
    }
    return NOT_FOUND
  }

  /** Writes the line of the event at `at`; false when its value is no number, or a float of 32 bits. */
  #line(bytes: Buffer, at: number, valueAt: number): boolean {
    const integer = readInteger(bytes, valueAt)
    if (integer === undefined && bytes[valueAt] !== 0xcb) return false
    const value =
      integer === undefined ? formatF(bytes.readDoubleBE(valueAt + 1), 6) : String(integer)
    writeDecimalSeconds(this.#out, eventSeconds(bytes, at), eventNanoseconds(bytes, at))
    this.#out.ascii(` ${value}\n`)
    return true
  }
}
