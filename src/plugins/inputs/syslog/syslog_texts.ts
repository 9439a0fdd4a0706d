/**
 * Events of syslog messages: what the parser makes of them, the message as it came, the sender.
 * Source: Fluent Bit 5.1.1 plugins/in_syslog/syslog_prot.c pack_line().
 *
 * @hot bench/pipelines.ts
 */
import { MsgpackWriter } from '../../../codec/msgpack_writer.ts'
import { FailureCounter } from '../../../parser/failure_log.ts'
import { type Parser, TextBlock } from '../../../parser/parser.ts'
import type { InputContext } from '../../../plugin/context.ts'
import { EVENT_HEADER_BYTES } from '../../../record/event.ts'
import { logText } from '../../common/log_text.ts'
import type { SourcePair } from '../../common/payload/source_pair.ts'
import type { TextWriter } from '../../common/payload/text_records.ts'
import { writeParsed } from '../../common/send_event.ts'

/** What all connections of an input share. */
export class SyslogParser {
  readonly parser: Parser
  readonly rawMessageKey: Buffer | undefined
  readonly #context: InputContext
  readonly #failures = new FailureCounter()

  constructor(parser: Parser, rawMessageKey: string | undefined, context: InputContext) {
    this.parser = parser
    this.#context = context
    if (rawMessageKey === undefined) return
    const key = new MsgpackWriter(64)
    key.string(rawMessageKey)
    this.rawMessageKey = key.written()
  }

  /** Counts messages that do not fit the parser; the log tells of the first and every tenfold count. */
  refuse(records: number, bytes: number, text: Buffer): void {
    const { dropped, log } = this.#context
    dropped('unparsed', records, bytes)
    if (!this.#failures.add()) return
    log.warn(`error parsing log message with parser '${this.parser.name}'`)
    log.debug(`unparsed log message: ${logText(text, 0, text.length)}`)
  }
}

export class SyslogTexts implements TextWriter {
  readonly #shared: SyslogParser
  readonly #source: SourcePair
  readonly #block = new TextBlock()
  #timeMs = 0
  #refused = 0
  #refusedBytes = 0
  #refusedAt = 0
  #refusedEnd = 0

  constructor(shared: SyslogParser, source: SourcePair) {
    this.#shared = shared
    this.#source = source
  }

  begin(bytes: Buffer, timeMs: number): void {
    this.#block.set(bytes, 0, bytes.length)
    this.#timeMs = timeMs
    this.#refused = 0
    this.#refusedBytes = 0
  }

  write(bytes: Buffer, start: number, end: number, out: MsgpackWriter): boolean {
    const { parser, rawMessageKey } = this.#shared
    const mapAt = out.length + EVENT_HEADER_BYTES
    if (!writeParsed(parser, this.#block, start, end, this.#timeMs, out)) {
      this.#refused++
      this.#refusedBytes += end - start
      this.#refusedAt = start
      this.#refusedEnd = end
      return false
    }
    if (rawMessageKey !== undefined) {
      out.raw(rawMessageKey, 0, rawMessageKey.length)
      writeBinary(bytes, start, end, out)
      out.extendMap(mapAt, 1)
    }
    this.#source.addTo(out, mapAt)
    return true
  }

  end(): void {
    if (this.#refused === 0) return
    const text = this.#block.bytes.subarray(this.#refusedAt, this.#refusedEnd)
    this.#shared.refuse(this.#refused, this.#refusedBytes, text)
  }
}

function writeBinary(bytes: Buffer, start: number, end: number, out: MsgpackWriter): void {
  const length = end - start
  out.reserve(length + 5)
  const target = out.bytes
  let at = out.length
  if (length < 0x1_00) {
    target[at++] = 0xc4
    target[at++] = length
  } else if (length < 0x1_0000) {
    target[at++] = 0xc5
    at = target.writeUInt16BE(length, at)
  } else {
    target[at++] = 0xc6
    at = target.writeUInt32BE(length, at)
  }
  out.length = at
  out.raw(bytes, start, end)
}
