/**
 * forward: sends events to Fluentd, Fluent Bit and others by the forward protocol, over TCP, TLS or a unix socket.
 * Source: Fluent Bit 5.1.1 plugins/out_forward/forward.c, forward_format.c, docs pipeline/outputs/forward.md.
 *
 * Differs:
 * - The ID of a chunk is made of its name, not of its bytes, and stays the same when it is sent again.
 * - Nodes of `upstream` have the keys of the output where they have none of their own; Fluent Bit ignores the former without
 *   a word. `retain_metadata_in_forward_mode` is true for nodes only where somebody has written it, as in Fluent Bit.
 * - Without `net.io_timeout`, an acknowledgement is waited for 190 seconds, as Fluentd does, and a message of the handshake
 *   as long as `net.connect_timeout`; Fluent Bit waits for ever. Both may come in pieces.
 * - A connection with a wrong answer is closed; Fluent Bit goes on with it, and then takes late answers for those to come.
 * - Messages with tags of their own (`tag $key`) are acknowledged many at a time.
 * - A handshake works over a unix socket, where Fluent Bit 5.1.1 crashes; the salt is sixteen characters, not bytes.
 */
import { createHash, randomBytes } from 'node:crypto'
import type { Connection } from '../../../net/connection.ts'
import { NetworkError } from '../../../net/network_error.ts'
import type { ChunkView, OutputContext } from '../../../plugin/context.ts'
import { defineOutput, type Loss } from '../../../plugin/define.ts'
import { type Delivery, OK, retry } from '../../../plugin/delivery.ts'
import { deliver } from '../../common/deliver.ts'
import { AnswerError, readAck } from './answer.ts'
import { shakeHands } from './handshake.ts'
import { framePayload, frames, messages } from './payload.ts'
import { type ForwardSettings, type ForwardValues, OPTIONS, settingsOf } from './settings.ts'

const PORT_DEFAULT = 24_224

/** Longest wait for an acknowledgement without `net.io_timeout`; that of Fluentd. */
const ACK_MS_MAX = 190_000

/** Messages that are sent before their acknowledgements are waited for. */
const MESSAGES_UNDER_WAY_MAX = 256

export const forward = defineOutput({
  name: 'forward',
  summary: 'Sends events by the forward protocol of Fluentd and Fluent Bit',
  upstream: 'plugins/out_forward/forward.c',
  network: 'client',
  signals: ['logs', 'metrics', 'traces'],
  // Fluent Bit starts two workers for this output.
  concurrency: 2,
  options: OPTIONS,
  losses,
  create(values, context) {
    const { unix_path: unixPath } = values
    const upstream = context.net.upstream({ port: PORT_DEFAULT, unixPath })
    const isGroup = context.properties.some(({ key }) => key === 'upstream')
    const settings = new Map(
      upstream.endpoints.map(endpoint => [endpoint, settingsOf(values, endpoint, isGroup, context)])
    )
    const sender = new Sender(context)
    return {
      flush: chunk =>
        deliver(upstream, async connection => {
          const own = settings.get(connection.endpoint)
          if (own === undefined) throw new Error('the connection is to no endpoint of the output')
          try {
            return await sender.send(connection, own, chunk)
          } catch (cause) {
            if (!(cause instanceof AnswerError)) throw cause
            const { reason, message } = cause
            context.log.error(message)
            connection.close()
            upstream.reportFailure(connection, new NetworkError(reason, message))
            return retry(reason)
          }
        }),
      stop: () => upstream.close()
    }
  }
})

function losses({ require_ack_response: wantsAck }: ForwardValues): Loss[] {
  if (wantsAck) return []
  const message = 'a server that ends takes along what it has not read yet: it does not answer'
  return [
    { when: 'failure', key: 'require_ack_response', message, change: 'require_ack_response true' }
  ]
}

/** Sends chunks, each over the connection that it is given. */
class Sender {
  readonly #context: OutputContext
  readonly #handshakeMs: number
  readonly #ackMs: number
  readonly #salt = randomBytes(16)

  constructor(context: OutputContext) {
    const { ioTimeoutMs, connectTimeoutMs } = context.net.client
    this.#context = context
    this.#handshakeMs = ioTimeoutMs || connectTimeoutMs || ACK_MS_MAX
    this.#ackMs = ioTimeoutMs || ACK_MS_MAX
  }

  async send(
    connection: Connection,
    settings: ForwardSettings,
    chunk: ChunkView
  ): Promise<Delivery> {
    const { credentials, tag, wantsAck } = settings
    if (credentials !== undefined && !connection.isGreeted) {
      await shakeHands(connection, credentials, this.#handshakeMs)
      connection.isGreeted = true
    }
    if (!wantsAck) connection.ignoreAnswers()
    if (chunk.signal === 'logs' && tag?.isStatic === false) {
      await this.#sendMessages(connection, settings, chunk)
      return OK
    }
    const nowMs = this.#context.clock.now()
    for (const [index, part] of frames(chunk, settings).entries()) {
      const token = wantsAck ? this.#token(chunk.id, index === 0 ? '' : String(index)) : undefined
      await connection.write(...(await framePayload(part, settings, token, nowMs)))
      if (token !== undefined) await this.#readAck(connection, token)
    }
    return OK
  }

  async #sendMessages(
    connection: Connection,
    settings: ForwardSettings,
    chunk: ChunkView
  ): Promise<void> {
    const token = (event: number): string => this.#token(chunk.id, String(event))
    if (!settings.wantsAck) {
      await connection.write(messages(chunk, settings, undefined).bytes)
      return
    }
    const { bytes, ends } = messages(chunk, settings, token)
    for (let first = 0; first < ends.length; first += MESSAGES_UNDER_WAY_MAX) {
      const next = Math.min(first + MESSAGES_UNDER_WAY_MAX, ends.length)
      await connection.write(bytes.subarray(ends[first - 1] ?? 0, ends[next - 1]))
      for (let event = first; event < next; event++) {
        await this.#readAck(connection, token(event))
      }
    }
  }

  async #readAck(connection: Connection, token: string): Promise<void> {
    try {
      await readAck(connection, token, this.#ackMs)
    } catch (cause) {
      if (cause instanceof NetworkError) this.#context.log.error('cannot get ack')
      throw cause
    }
  }

  /**
   * What the server acknowledges: 24 characters, the same when a chunk is sent again. Fluent Bit makes them of all
   * bytes of the chunk, which would cost more than sending it.
   */
  #token(id: string, part: string): string {
    const hash = createHash('sha256').update(this.#salt).update(`${id} ${part}`)
    return hash.digest().toString('base64', 0, 16)
  }
}
