/**
 * tcp: sends events over TCP, as MessagePack, JSON, or one text of each.
 * Source: Fluent Bit 5.1.1 plugins/out_tcp/tcp.c, tcp_conf.c.
 *
 *     msgpack      the events of the chunk as they are, [[TIME, METADATA], BODY]
 *     json         one array of maps a chunk, nothing between chunks
 *     json_lines   a map a line
 *     json_stream  maps with nothing between them
 *
 * Answers are not read; a failure of the network means that the whole chunk is sent again.
 *
 * Differs: a chunk is written in pieces. Chunks go one after the other, where Fluent Bit has two workers.
 */
import { JsonWriter } from '../../codec/json_writer.ts'
import { text, type Values } from '../../config/options.ts'
import type { Connection } from '../../net/connection.ts'
import type { ChunkView, OutputContext } from '../../plugin/context.ts'
import { defineOutput } from '../../plugin/define.ts'
import { type Delivery, OK } from '../../plugin/delivery.ts'
import { deliver } from '../common/deliver.ts'
import { streamEvents } from '../common/event_messages.ts'
import { propertyTemplate } from '../common/field.ts'
import { eventJsonOf, jsonFormatOption, jsonPieces, PIECE_BYTES } from '../common/json_format.ts'
import { RawMessages, reportWireFormat, WIRE_OPTIONS } from '../common/wire_format.ts'

const OPTIONS = {
  format: text({ default: 'msgpack', doc: 'msgpack, json, json_lines or json_stream' }),
  ...WIRE_OPTIONS
}

type TcpValues = Values<typeof OPTIONS>

const PORT_DEFAULT = 5170

export const tcp = defineOutput({
  name: 'tcp',
  summary: 'Sends events over TCP',
  upstream: 'plugins/out_tcp/tcp.c',
  network: 'client',
  options: OPTIONS,
  losses: () => [
    {
      when: 'failure',
      message: 'a receiver that ends takes along what it has not read yet: it does not answer'
    }
  ],
  create(values, context) {
    const send = senderOf(values, context)
    const upstream = context.net.upstream({ port: PORT_DEFAULT })
    return {
      start: () => reportWireFormat(values, 'out_tcp', context),
      flush: chunk =>
        deliver(upstream, connection => {
          connection.ignoreAnswers()
          return send(chunk, connection)
        }),
      stop: () => upstream.close()
    }
  }
})

/** Writes a chunk. Chunks come one at a time, so they share a buffer. */
type Send = (chunk: ChunkView, connection: Connection) => Promise<Delivery>

function senderOf(values: TcpValues, context: OutputContext): Send {
  if (values.raw_message_key !== undefined) {
    const template = propertyTemplate(context, 'raw_message_key', values.raw_message_key)
    const messages = new RawMessages(template, context)
    return ({ bytes, tag }, connection) => {
      messages.tag = tag
      return streamEvents(bytes, messages, connection)
    }
  }
  const format = jsonFormatOption(values.format)
  if (format === undefined) return sendBytes
  const json = eventJsonOf(values, context)
  const out = new JsonWriter(context.json)
  return async ({ bytes }, connection) => {
    out.clear()
    for (const piece of jsonPieces(bytes, format, json, out)) await connection.write(piece)
    return OK
  }
}

async function sendBytes({ bytes }: ChunkView, connection: Connection): Promise<Delivery> {
  for (let at = 0; at < bytes.length; at += PIECE_BYTES) {
    await connection.write(bytes.subarray(at, at + PIECE_BYTES))
  }
  return OK
}
