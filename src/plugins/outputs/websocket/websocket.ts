/**
 * websocket: sends events to a WebSocket server, a chunk as one message.
 * Source: Fluent Bit 5.1.1 plugins/out_websocket/websocket.c, websocket_conf.c, docs pipeline/outputs/websocket.md.
 * Like it, and unlike its documentation, there is no format gelf: what is not known is sent as msgpack, with an error in the log.
 * Differs:
 * - The key of the handshake and the masks of frames are random, as RFC 6455 demands; Fluent Bit's are always the same. The
 *   answer's Sec-WebSocket-Accept is checked.
 * - msgpack goes in binary messages. Fluent Bit calls it text, whereupon servers close the connection.
 * - The handshake belongs to a connection: after one was lost the next begins with it (Fluent Bit goes on without, which its
 *   documentation calls a malfunction), and a pause costs no retry.
 * - Pings are answered, and the server's goodbye; Fluent Bit reads nothing.
 */
import { randomBytes } from 'node:crypto'
import { JsonWriter } from '../../../codec/json_writer.ts'
import { many, text, type Values, words } from '../../../config/options.ts'
import { hostAndPort } from '../../../net/address.ts'
import type { Connection } from '../../../net/connection.ts'
import { NetworkError, networkError } from '../../../net/network_error.ts'
import type { ChunkView, OutputContext } from '../../../plugin/context.ts'
import { defineOutput } from '../../../plugin/define.ts'
import { OK } from '../../../plugin/delivery.ts'
import { dateFormatOf } from '../../../record/event_json.ts'
import { deliver } from '../../common/deliver.ts'
import { configuredHeaders, headerBytes } from '../../common/http_headers.ts'
import { eventJsonOf, isMsgpackFormat, jsonFormatOption } from '../../common/json_format.ts'
import { pathText } from '../../common/log_text.ts'
import { applyMask, frameHead, FrameReader, MASK_BYTES, type Opcode, OPCODES } from './frames.ts'
import { shakeHands } from './handshake.ts'

const OPTIONS = {
  uri: text({ doc: 'Path and query of the handshake, / unless set' }),
  format: text({ doc: 'json, json_stream, json_lines or msgpack, which it is unless set' }),
  json_date_format: text({
    default: 'double',
    doc: 'double, epoch, epoch_ms, iso8601 or java_sql_timestamp'
  }),
  json_date_key: text({ default: 'date', doc: 'Key of the date; false leaves the date out' }),
  header: many(words(1, { doc: 'Name and value of a header of the handshake' }))
}

type WebsocketValues = Values<typeof OPTIONS>

const PORT_DEFAULT = 80
const ANSWER_MS_MAX = 10_000
const CLOSE_CODE_BYTES = 2

const NOT_IN_PATH = /[\0-\x20\x7f]/

export const websocket = defineOutput({
  name: 'websocket',
  summary: 'Sends events to a WebSocket server',
  upstream: 'plugins/out_websocket/websocket.c',
  network: 'client',
  options: OPTIONS,
  losses: () => [
    {
      when: 'failure',
      message: 'a server that ends takes along what it has not read yet: it does not answer'
    }
  ],
  create(values, context) {
    const handshake = {
      path: pathOf(values, context),
      headers: configuredHeaders('header', values.header, context),
      keepsAlive: context.net.client.keepalive,
      answerTimeoutMs: ANSWER_MS_MAX
    }
    const write = messageWriter(values, context)
    const upstream = context.net.upstream({ port: PORT_DEFAULT })
    const greet = async (connection: Connection): Promise<void> => {
      context.log.info('handshake for ws')
      const { host, port } = connection.endpoint
      await shakeHands(connection, { ...handshake, host: hostAndPort(host, port) })
      connection.isGreeted = true
      void listen(connection)
    }
    return {
      start: () => report(values, handshake.path, context),
      flush: chunk =>
        deliver(upstream, async connection => {
          if (!connection.isGreeted) await greet(connection)
          await write(connection, chunk)
          return OK
        }),
      stop: () => upstream.close()
    }
  }
})

function pathOf({ uri }: WebsocketValues, context: OutputContext): string {
  const written = context.net.uri ?? uri ?? '/'
  if (NOT_IN_PATH.test(written)) {
    throw context.invalid('uri', 'value must have neither spaces nor control characters')
  }
  return headerBytes(written.startsWith('/') ? written : `/${written}`)
}

/** Sends a chunk as one message; one at a time, as they share a buffer. */
function messageWriter(
  values: WebsocketValues,
  context: OutputContext
): (connection: Connection, chunk: ChunkView) => Promise<void> {
  const format = jsonFormatOption(values.format)
  if (format === undefined) {
    return (connection, { bytes }) => send(connection, OPCODES.binary, Buffer.from(bytes))
  }
  const json = eventJsonOf(values, context)
  const out = new JsonWriter(context.json)
  return async (connection, { bytes }) => {
    out.clear()
    json.chunk(bytes, format, out)
    await send(connection, OPCODES.text, out.written())
  }
}

/** @param payload Is overwritten. */
async function send(connection: Connection, opcode: Opcode, payload: Buffer): Promise<void> {
  const mask = randomBytes(MASK_BYTES)
  applyMask(payload, mask)
  await connection.write(frameHead(opcode, payload.length, mask), payload)
}

/** Reads what the server sends, for as long as the connection lasts: also while nobody uses it. */
async function listen(connection: Connection): Promise<void> {
  let ping: Buffer | undefined
  let goodbye: Buffer | undefined
  const frames = new FrameReader((opcode, payload) => {
    if (opcode === OPCODES.ping) ping = payload
    else if (opcode === OPCODES.close) goodbye ??= payload
  })
  try {
    while (goodbye === undefined) {
      frames.feed(await connection.read(0))
      // Of several pings only the last needs an answer, section 5.5.3.
      if (ping !== undefined) await send(connection, OPCODES.pong, ping)
      ping = undefined
    }
    const words = goodbyeWords(goodbye)
    await send(connection, OPCODES.close, goodbye.subarray(0, CLOSE_CODE_BYTES))
    connection.close(new NetworkError('connection_closed', words))
  } catch (cause) {
    connection.close(networkError(cause))
  }
}

function goodbyeWords(payload: Buffer): string {
  if (payload.length < CLOSE_CODE_BYTES) return 'closed by the server'
  const reason = payload.toString('utf8', CLOSE_CODE_BYTES).replace(/\p{Cc}/gu, ' ')
  return `closed by the server with code ${payload.readUInt16BE()} ${reason}`.trimEnd()
}

function report(values: WebsocketValues, path: string, { log, net }: OutputContext): void {
  const { format, json_date_format: dateFormat } = values
  if (format !== undefined && jsonFormatOption(format) === undefined && !isMsgpackFormat(format)) {
    log.error(`unrecognized 'format' option '${format}'. Using 'msgpack'`)
  }
  if (dateFormatOf(dateFormat) === undefined) {
    log.error(`unrecognized 'json_date_format' option '${dateFormat}'. Using 'double'`)
  }
  const { host = '127.0.0.1', port = PORT_DEFAULT } = net
  const shown = [pathText(path), host, port, idleInterval(net)].join(', ')
  log.info(`we have following parameter ${shown}`)
}

/** Fluent Bit shakes hands again after this many seconds; it shows in its log. */
function idleInterval({ client }: OutputContext['net']): number {
  const seconds = client.idleTimeoutMs / 1000
  if (seconds > 5) return seconds - 5
  return seconds > 2 ? seconds - 2 : seconds
}
