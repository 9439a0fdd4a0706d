/**
 * What the inputs tcp and udp have in common: their keys, and how bytes become events.
 * Source: Fluent Bit 5.1.1 plugins/in_tcp/tcp_config.c, tcp_conn.c, plugins/in_udp/udp_config.c, udp_conn.c.
 */
import type { MsgpackWriter } from '../../../codec/msgpack_writer.ts'
import { choice, int, text, type Values } from '../../../config/options.ts'
import { parseInteger } from '../../../config/units.ts'
import { type Parser, TextBlock } from '../../../parser/parser.ts'
import type { InputContext } from '../../../plugin/context.ts'
import { EVENT_HEADER_BYTES } from '../../../record/event.ts'
import { beginEvent, writeParsed } from '../send_event.ts'
import { JsonPayload, JsonRefusals } from './json_payload.ts'
import type { RecordFormat } from './record_stream.ts'
import type { SourcePair } from './source_pair.ts'
import { TextRecords, type TextWriter } from './text_records.ts'

export const PAYLOAD_OPTIONS = {
  format: choice(['json', 'none'], {
    doc: 'json, which is the default, or none: texts that separator ends'
  }),
  separator: text({
    doc: String.raw`What ends a text, a line feed unless set; \n, \r, \t, \0 and their like stand for bytes`
  }),
  parser: text({ doc: 'Parser of each text; the format is none with it' }),
  chunk_size: text({ doc: 'Steps in KB that the buffer of a connection grows by; 32 unless set' }),
  buffer_size: text({ doc: 'Longest record in KB; chunk_size unless set' }),
  source_address_key: text({
    doc: 'Key to add with the address of the sender, as tcp://HOST:PORT'
  }),
  workers: int({ default: '1', doc: 'Listeners that share the port' })
}

type PayloadValues = Values<typeof PAYLOAD_OPTIONS>

const CHUNK_KB = 32
const KB = 1024

export interface Payload {
  /** Longest record. */
  readonly bytesMax: number
  /** Longest datagram. */
  readonly datagramBytesMax: number
  /** `Buffer_Size` in the log. */
  readonly bufferKb: number
  readonly workers: number
  /** Whether the configuration asks for JSON and for a parser, which do not go together. */
  readonly ignoresJson: boolean
  /** A reader of its own for one connection, or for all datagrams. */
  format(source: SourcePair, unit: 'stream' | 'datagram'): RecordFormat
}

/** @throws {ConfigError} */
export function readPayload(values: PayloadValues, context: InputContext): Payload {
  const chunkKb = kilobytes('chunk_size', values.chunk_size, CHUNK_KB, context)
  const bufferKb = kilobytes('buffer_size', values.buffer_size, chunkKb, context)
  // The buffer grows by whole steps, and holds one byte less: C ends it with a NUL.
  const bytesMax = Math.max(Math.floor(bufferKb / chunkKb), 1) * chunkKb * KB - 1
  const separator = unescapeSeparator(values.separator ?? String.raw`\n`)
  if (separator.length === 0) throw context.invalid('separator', 'value must not be empty')
  const parser = values.parser === undefined ? undefined : context.parser(values.parser)
  if (values.parser !== undefined && parser === undefined) {
    throw context.unknownParser('parser', values.parser)
  }
  const refusals = new JsonRefusals(context)
  const isJson = values.format !== 'none' && parser === undefined
  return {
    bytesMax,
    datagramBytesMax: chunkKb * KB - 1,
    bufferKb,
    workers: Math.max(values.workers, 1),
    ignoresJson: values.format !== 'none' && parser !== undefined,
    format: (source, unit) =>
      isJson
        ? new JsonPayload(bytesMax, source, refusals)
        : new TextRecords(
            { separator, skipsLineEnd: true, endsWithRead: unit === 'datagram' },
            bytesMax,
            new LogWriter(parser, source)
          )
  }
}

/** Says at the start what is odd in the configuration. */
export function reportPayload({ ignoresJson }: Payload, context: InputContext): void {
  if (!ignoresJson) return
  context.log.warn(
    "'parser' requires line-delimited payloads; switching format from 'json' to 'none'"
  )
}

/** `with 1 worker`. */
export function workersText({ workers }: Payload): string {
  return `with ${workers} worker${workers === 1 ? '' : 's'}`
}

function kilobytes(
  key: 'chunk_size' | 'buffer_size',
  written: string | undefined,
  unlessSet: number,
  context: InputContext
): number {
  if (written === undefined) return unlessSet
  const { value } = parseInteger(written)
  if (value > 0) return value
  throw context.invalid(key, `value must be 1 or more, in KB: current value is "${written}"`)
}

const ESCAPES: Readonly<Record<string, string>> = {
  '0': '\0',
  a: '\x07',
  b: '\b',
  t: '\t',
  n: '\n',
  v: '\v',
  f: '\f',
  r: '\r'
}

/** A backslash before any other character falls away. */
function unescapeSeparator(written: string): Buffer {
  return Buffer.from(
    written.replaceAll(/\\(?<letter>.)/gsu, (_, letter: string) => ESCAPES[letter] ?? letter)
  )
}

/**
 * Events of texts: what a parser makes of them, or the text as `log`. As in Fluent Bit, the address of the sender is not
 * added without a parser.
 */
class LogWriter implements TextWriter {
  readonly #parser: Parser | undefined
  readonly #source: SourcePair
  readonly #block = new TextBlock()
  #timeMs = 0

  constructor(parser: Parser | undefined, source: SourcePair) {
    this.#parser = parser
    this.#source = source
  }

  begin(bytes: Buffer, timeMs: number): void {
    this.#block.set(bytes, 0, bytes.length)
    this.#timeMs = timeMs
  }

  write(bytes: Buffer, start: number, end: number, out: MsgpackWriter): boolean {
    const parser = this.#parser
    if (parser === undefined) {
      this.#writeLog(bytes, start, end, out, 0)
      return true
    }
    const mapAt = out.length + EVENT_HEADER_BYTES
    if (writeParsed(parser, this.#block, start, end, this.#timeMs, out)) {
      this.#source.addTo(out, mapAt)
    } else {
      this.#writeLog(bytes, start, end, out, this.#source.count)
      this.#source.write(out)
    }
    return true
  }

  end(): void {}

  #writeLog(bytes: Buffer, start: number, end: number, out: MsgpackWriter, more: number): void {
    beginEvent(out, this.#timeMs)
    out.mapHeader(1 + more)
    out.string('log')
    out.stringBytes(bytes, start, end)
  }
}
