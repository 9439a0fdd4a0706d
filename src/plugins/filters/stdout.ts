/**
 * stdout: prints records and passes them on.
 * Source: Fluent Bit 5.1.1 plugins/filter_stdout/stdout.c; reference 11.4.
 *
 *     [0] tag: [1700000000.123456789, {metadata}, {body}]
 */
import { JsonWriter } from '../../codec/json_writer.ts'
import { printObject } from '../../codec/msgpack_text.ts'
import { MsgpackWriter } from '../../codec/msgpack_writer.ts'
import type { FilterBatch, TextOutput } from '../../plugin/context.ts'
import { defineFilter, type Filter } from '../../plugin/define.ts'
import type { EventView } from '../../record/event_view.ts'

/** Text is written out when it reaches this size, so that a large batch needs no large buffer. */
const PIECE_BYTES = 65_536

export const stdout = defineFilter({
  name: 'stdout',
  summary: 'Print records to standard output',
  upstream: 'plugins/filter_stdout/stdout.c',
  options: {},
  wholeBatch: true,
  create: (_, context) => new Stdout(context.stdout)
})

class Stdout implements Filter {
  readonly #output: TextOutput
  readonly #text = new JsonWriter()
  readonly #encoded = new MsgpackWriter(1024)
  /** Bytes of the batch's tag. */
  #tag = Buffer.alloc(0)

  constructor(output: TextOutput) {
    this.#output = output
  }

  begin(batch: FilterBatch): void {
    this.#tag = Buffer.from(batch.tag)
  }

  filter(event: EventView, batch: FilterBatch): boolean {
    const text = this.#text
    const encoded = this.#encoded
    encoded.length = 0
    event.encodeMetadata(encoded)
    event.encodeBody(encoded)
    const nanoseconds = String(event.nanoseconds).padStart(9, '0')
    text.ascii(`[${batch.position}] `)
    text.raw(this.#tag)
    text.ascii(`: [${event.seconds}.${nanoseconds}, `)
    const bodyAt = printObject(encoded.bytes, 0, text)
    text.ascii(', ')
    printObject(encoded.bytes, bodyAt, text)
    text.ascii(']\n')
    if (text.length >= PIECE_BYTES) this.#flush()
    return true
  }

  end(): void {
    if (this.#text.length > 0) this.#flush()
  }

  #flush(): void {
    this.#output.write(this.#text.written())
    this.#text.clear()
  }
}
