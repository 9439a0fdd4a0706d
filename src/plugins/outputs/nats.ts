/**
 * nats: publishes each chunk to a NATS server, under its tag as the subject, as JSON: `[[1.5,{"tag":"app","log":"x"}],…]`.
 * Source: Fluent Bit 5.1.1 plugins/out_nats/nats.c, docs pipeline/outputs/nats.md; docs.nats.io "Client Protocol".
 *
 *     server: INFO {"max_payload":1048576,…}
 *     client: CONNECT {…} and PING, then for each chunk PUB subject length, JSON, and PING
 *     server: PONG to each, or -ERR 'reason'
 *
 * Differs: a chunk counts as delivered when the server has answered the PING after it: Fluent Bit reads nothing, so that a
 * refused chunk is lost. It is sent in several messages where it is longer than the server takes; an event that is too long
 * by itself is given up. Without a connection the chunk is sent again (Fluent Bit drops it). CONNECT is sent once for a
 * connection, not for each chunk. White space in a tag, which would end the subject, becomes `_`.
 */
import { FLUENT_BIT_VERSION } from '../../base/version.ts'
import { JsonKey, JsonWriter } from '../../codec/json_writer.ts'
import { isMap, skip } from '../../codec/msgpack_reader.ts'
import type { Connection } from '../../net/connection.ts'
import { NetworkError } from '../../net/network_error.ts'
import type { ChunkView, OutputContext } from '../../plugin/context.ts'
import { defineOutput } from '../../plugin/define.ts'
import { type Delivery, OK, partial } from '../../plugin/delivery.ts'
import { eventBodyAt, eventNanoseconds, eventSeconds, isGroupMark } from '../../record/event.ts'
import { deliver } from '../common/deliver.ts'

const PORT_DEFAULT = 4222
const ANSWER_MS_MAX = 10_000

/** INFO has a few hundred bytes, with a long list of servers some thousand. */
const LINE_BYTES_MAX = 65_536

/** What a server takes that does not say. */
const PAYLOAD_BYTES_DEFAULT = 1_048_576

const LINE_END = Buffer.from('\r\n')
const PING = Buffer.from('PING\r\n')
const PONG = Buffer.from('PONG\r\n')
const LOGGED_CHARACTERS_MAX = 200
const NOT_IN_SUBJECT = /[\s\p{Cc}]/gu

const ARRAY_START = 0x5b
const ARRAY_END = 0x5d
const COMMA = 0x2c

const CONNECT = `CONNECT {"verbose":false,"pedantic":false,"ssl_required":false,"name":"fluent-bit","lang":"c","version":"${FLUENT_BIT_VERSION}"}\r\n`

/** What a line of the server means for the chunk that it may answer; the first row whose word it starts with counts. */
const ANSWERS: readonly {
  readonly word: string
  readonly means: 'ok' | 'retry' | 'answer' | 'nothing'
}[] = [
  { word: 'PONG', means: 'ok' },
  { word: '-ERR', means: 'retry' },
  { word: 'PING', means: 'answer' },
  { word: 'INFO', means: 'nothing' },
  { word: '+OK', means: 'nothing' },
  { word: '', means: 'retry' }
]

export const nats = defineOutput({
  name: 'nats',
  summary: 'Publishes events to a NATS server',
  upstream: 'plugins/out_nats/nats.c',
  network: 'client',
  tls: false,
  options: {},
  losses: () => [
    {
      when: 'running',
      message: 'the server keeps nothing: events that come while nobody has subscribed are lost'
    }
  ],
  create(_, context) {
    const upstream = context.net.upstream({ port: PORT_DEFAULT })
    const sessions = new WeakMap<Connection, Session>()
    const sessionOf = async (connection: Connection): Promise<Session> => {
      const known = sessions.get(connection)
      if (known !== undefined) return known
      const session = await Session.begin(connection)
      sessions.set(connection, session)
      return session
    }
    const publisher = new Publisher(context)
    return {
      flush: chunk =>
        deliver(upstream, async connection =>
          publisher.publish(chunk, await sessionOf(connection))
        ),
      stop: () => upstream.close()
    }
  }
})

/** Makes messages of chunks. */
class Publisher {
  readonly #log: OutputContext['log']
  readonly #out: JsonWriter
  readonly #tagKey: JsonKey

  constructor({ json, log }: OutputContext) {
    this.#log = log
    this.#out = new JsonWriter(json)
    this.#tagKey = new JsonKey('tag', json)
  }

  async publish({ bytes: chunk, tag }: ChunkView, session: Session): Promise<Delivery> {
    const out = this.#out
    const subject = tag.replace(NOT_IN_SUBJECT, '_')
    const tooLong: number[] = []
    let event = 0
    out.clear()
    for (let at = 0; at < chunk.length; at = skip(chunk, eventBodyAt(chunk, at)), event++) {
      if (isGroupMark(chunk, at)) continue
      const start = out.length
      out.byte(start === 0 ? ARRAY_START : COMMA)
      this.#event(chunk, at, tag)
      if (out.length < session.payloadBytesMax) continue
      const text = Buffer.from(out.bytes.subarray(start + 1, out.length))
      out.length = start
      await this.#send(subject, session)
      if (text.length + 2 > session.payloadBytesMax) tooLong.push(event)
      else {
        out.byte(ARRAY_START)
        out.raw(text)
      }
    }
    await this.#send(subject, session)
    out.clear()
    await session.confirm()
    if (tooLong.length === 0) return OK
    this.#log.error(
      `${tooLong.length} events are longer than the ${session.payloadBytesMax} bytes that the server takes`
    )
    return partial({ drop: [{ reason: 'too_long', events: tooLong }] })
  }

  /** Sends the events that were written, if there are any. */
  async #send(subject: string, session: Session): Promise<void> {
    const out = this.#out
    if (out.length === 0) return
    out.byte(ARRAY_END)
    await session.publish(subject, out.written())
    out.length = 0
  }

  #event(chunk: Buffer, at: number, tag: string): void {
    const out = this.#out
    const bodyAt = eventBodyAt(chunk, at)
    out.byte(ARRAY_START)
    out.double(eventSeconds(chunk, at) + eventNanoseconds(chunk, at) / 1e9)
    out.byte(COMMA)
    out.startMap()
    out.ownKey(this.#tagKey)
    out.string(tag)
    out.byte(COMMA)
    if (isMap(chunk[bodyAt])) out.pairs(chunk, bodyAt)
    out.endMap()
    out.byte(ARRAY_END)
  }
}

/** The protocol over one connection. */
class Session {
  /** The longest message that the server takes. */
  readonly payloadBytesMax: number
  readonly #connection: Connection
  readonly #lines: LineReader

  /** Waits for the server to introduce itself, and does so too. */
  static async begin(connection: Connection): Promise<Session> {
    const lines = new LineReader(connection)
    const info = await lines.next()
    if (!info.startsWith('INFO')) throw unexpected(info)
    const session = new Session(connection, lines, info)
    await connection.write(Buffer.from(CONNECT))
    // A server that does not let us in says so before it closes the connection.
    await session.confirm()
    return session
  }

  private constructor(connection: Connection, lines: LineReader, info: string) {
    this.#connection = connection
    this.#lines = lines
    const stated = Number(/"max_payload": *(?<bytes>\d+)/.exec(info)?.groups?.['bytes'])
    this.payloadBytesMax = stated > 0 ? stated : PAYLOAD_BYTES_DEFAULT
  }

  async publish(subject: string, payload: Buffer): Promise<void> {
    const head = Buffer.from(`PUB ${subject} ${payload.length}\r\n`)
    await this.#connection.write(head, payload, LINE_END)
  }

  /** Waits until the server has taken all that was sent. */
  async confirm(): Promise<void> {
    await this.#connection.write(PING)
    for (;;) {
      const line = await this.#lines.next()
      const means = ANSWERS.find(({ word }) => line.startsWith(word))?.means
      if (means === 'ok') return
      if (means === 'retry') throw unexpected(line)
      if (means === 'answer') await this.#connection.write(PONG)
    }
  }
}

class LineReader {
  readonly #connection: Connection
  #bytes: Buffer = Buffer.alloc(0)

  constructor(connection: Connection) {
    this.#connection = connection
  }

  async next(): Promise<string> {
    for (;;) {
      const end = this.#bytes.indexOf(LINE_END)
      if (end >= 0) {
        const line = this.#bytes.latin1Slice(0, end)
        this.#bytes = this.#bytes.subarray(end + LINE_END.length)
        return line
      }
      if (this.#bytes.length > LINE_BYTES_MAX) throw unexpected(this.#bytes.latin1Slice(0, 4))
      this.#bytes = Buffer.concat([this.#bytes, await this.#connection.read(ANSWER_MS_MAX)])
    }
  }
}

/** Ends the connection: after an error the server closes it too, and nobody knows what else it has refused. */
function unexpected(line: string): NetworkError {
  const words = line.slice(0, LOGGED_CHARACTERS_MAX).replace(/\p{Cc}/gu, ' ')
  return line.startsWith('-ERR')
    ? new NetworkError('refused', `the server answered ${words}`)
    : new NetworkError('protocol_error', `the server answered "${words}", which is not NATS`)
}
