/**
 * udp: sends each event as a datagram.
 * Source: Fluent Bit 5.1.1 plugins/out_udp/udp.c, udp_conf.c.
 *
 *     msgpack                   the event as it is, [[TIME, METADATA], BODY]
 *     json_lines, json_stream   a map and a line feed
 *     json                      an array of one map, and a line feed
 *
 * As there, the format is msgpack while the key is not written, whatever its default says.
 *
 * Differs: an event that is too long for a datagram is given up and the others are sent, where Fluent Bit sends the whole
 * chunk again, in vain. Chunks go one after the other, where Fluent Bit has two workers.
 */
import { JsonWriter } from '../../codec/json_writer.ts'
import { skip } from '../../codec/msgpack_reader.ts'
import { text, type Values } from '../../config/options.ts'
import type { OutputContext } from '../../plugin/context.ts'
import { defineOutput } from '../../plugin/define.ts'
import { eventBodyAt } from '../../record/event.ts'
import type { JsonFormat } from '../../record/event_json.ts'
import { type EventEncoder, sendEvents } from '../common/event_messages.ts'
import { propertyTemplate } from '../common/field.ts'
import { eventJsonOf, jsonFormatOption } from '../common/json_format.ts'
import { RawMessages, reportWireFormat, WIRE_OPTIONS } from '../common/wire_format.ts'

const OPTIONS = {
  format: text({
    default: 'json_lines',
    doc: 'msgpack, json, json_lines or json_stream; msgpack where the key is not written'
  }),
  ...WIRE_OPTIONS
}

type UdpValues = Values<typeof OPTIONS>

const PORT_DEFAULT = 5170
const OPEN_BRACKET = 0x5b
const CLOSE_BRACKET = 0x5d
const LINE_FEED = 0x0a

export const udp = defineOutput({
  name: 'udp',
  summary: 'Sends events as datagrams',
  upstream: 'plugins/out_udp/udp.c',
  network: 'client',
  tls: false,
  options: OPTIONS,
  losses: () => [
    {
      when: 'running',
      message: 'datagrams that get lost on the way, or that nobody takes, are not noticed'
    }
  ],
  create(values, context) {
    const sender = context.net.datagramSender({ port: PORT_DEFAULT })
    const encoder = encoderOf(values, context)
    return {
      start: () => reportWireFormat(values, 'out_udp', context),
      flush({ bytes, tag }) {
        if (encoder instanceof RawMessages) encoder.tag = tag
        return sendEvents(bytes, encoder, sender, message => [message])
      },
      stop: () => sender.close()
    }
  }
})

function encoderOf(values: UdpValues, context: OutputContext): EventEncoder {
  const { raw_message_key: key } = values
  if (key !== undefined) {
    return new RawMessages(propertyTemplate(context, 'raw_message_key', key), context)
  }
  const isWritten = context.properties.some(property => property.key === 'format')
  const format = isWritten ? jsonFormatOption(values.format) : undefined
  return format === undefined ? msgpackEncoder(context) : jsonEncoder(format, values, context)
}

function msgpackEncoder(context: OutputContext): EventEncoder {
  const out = new JsonWriter(context.json)
  return {
    out,
    append(chunk, at) {
      out.raw(chunk, at, skip(chunk, eventBodyAt(chunk, at)))
      return undefined
    }
  }
}

function jsonEncoder(format: JsonFormat, values: UdpValues, context: OutputContext): EventEncoder {
  const json = eventJsonOf(values, context)
  const out = new JsonWriter(context.json)
  const isArray = format === 'json'
  return {
    out,
    append(chunk, at) {
      if (isArray) out.byte(OPEN_BRACKET)
      json.event(chunk, at, out)
      if (isArray) out.byte(CLOSE_BRACKET)
      out.byte(LINE_FEED)
      return undefined
    }
  }
}
