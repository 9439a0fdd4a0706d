/**
 * What the outputs tcp and udp have in common: their keys, and events as text.
 * Source: Fluent Bit 5.1.1 plugins/out_tcp/tcp.c, tcp_conf.c, plugins/out_udp/udp.c, udp_conf.c.
 */
import { JsonWriter } from '../../codec/json_writer.ts'
import { contentCount, headerSize, isString } from '../../codec/msgpack_reader.ts'
import { text, type Values } from '../../config/options.ts'
import type { OutputContext } from '../../plugin/context.ts'
import type { Template } from '../../record/accessor.ts'
import { eventBodyAt } from '../../record/event.ts'
import { dateFormatOf } from '../../record/event_json.ts'
import type { EventEncoder } from './event_messages.ts'
import { isMsgpackFormat, jsonFormatOption } from './json_format.ts'

export const WIRE_OPTIONS = {
  json_date_format: text({
    default: 'double',
    doc: 'double, epoch, epoch_ms, iso8601 or java_sql_timestamp'
  }),
  json_date_key: text({ default: 'date', doc: 'Key of the date; false leaves the date out' }),
  raw_message_key: text({
    doc: 'Send this instead of whole records, a line each: a text with record accessors, such as $log'
  })
}

type WireValues = Values<typeof WIRE_OPTIONS> & { readonly format: string }

const LINE_FEED = 0x0a

/** Says at the start what is not understood; msgpack and seconds are taken instead. */
export function reportWireFormat(values: WireValues, plugin: string, context: OutputContext): void {
  const { format, json_date_format: dateFormat } = values
  const { log } = context
  if (/^otlp_json(?:_pretty)?$/i.test(format)) {
    log.error(`format '${format}' is not supported by ${plugin}`)
  } else if (jsonFormatOption(format) === undefined && !isMsgpackFormat(format)) {
    log.error(`unrecognized 'format' option '${format}'. Using 'msgpack'`)
  }
  if (dateFormatOf(dateFormat) === undefined) {
    log.error(`unrecognized 'json_date_format' option '${dateFormat}'. Using 'double'`)
  }
}

/** Lines of `raw_message_key`. */
export class RawMessages implements EventEncoder {
  readonly out: JsonWriter
  /** Of the chunk that is sent. */
  tag = ''
  readonly #template: Template

  constructor(template: Template, context: OutputContext) {
    this.#template = template
    this.out = new JsonWriter(context.json)
  }

  append(chunk: Buffer, at: number): undefined {
    const { out } = this
    const bodyAt = eventBodyAt(chunk, at)
    const valueAt = this.#template.singleKey?.find(chunk, bodyAt) ?? -1
    if (valueAt >= 0 && isString(chunk[valueAt])) {
      const start = valueAt + headerSize(chunk[valueAt])
      out.raw(chunk, start, start + contentCount(chunk, valueAt))
    } else {
      out.raw(Buffer.from(this.#template.render(chunk, bodyAt, this.tag)))
    }
    out.byte(LINE_FEED)
  }
}
