/**
 * gelf: sends events to Graylog, as GELF 1.1 over UDP, TCP or TLS.
 * Source: Fluent Bit 5.1.1 plugins/out_gelf/gelf.c, docs pipeline/outputs/gelf.md, docs.graylog.org "GELF via UDP".
 *
 * Over UDP a message that is longer than `packet_size` goes compressed, whatever `compress` says, and what is still longer
 * in chunks of `packet_size` bytes:
 *
 *     1e 0f | message ID, 8 bytes | number of the chunk, from 0 | number of chunks, up to 128 | bytes
 *
 * Over TCP each message ends with a zero byte.
 * Like Fluent Bit, and unlike its documentation: the mode `tls` alone encrypts nothing, as only the key `tls` does, in the
 * mode tcp too. Here a warning says so at the start.
 * Differs: message IDs count up from a random number, where Fluent Bit draws each: 16 bits are soon drawn twice in a
 * millisecond. An event that cannot be sent is counted, and reported once a chunk, not once an event. So is one of more than 128
 * chunks. What the network does not take is sent again (Fluent Bit loses such chunks of a message). A `packet_size` below 1
 * is refused (Fluent Bit crashes on 0), and one that no datagram has room for is the most that it has.
 */
import { gzipSync } from 'node:zlib'
import { MsgpackWriter } from '../../codec/msgpack_writer.ts'
import { choice, flag, int, text, type Values } from '../../config/options.ts'
import type { ChunkView, OutputContext } from '../../plugin/context.ts'
import { defineOutput, type Loss, type Output } from '../../plugin/define.ts'
import { GelfEncoder } from '../../record/gelf.ts'
import { deliver } from '../common/deliver.ts'
import { type EventEncoder, sendEvents, streamEvents } from '../common/event_messages.ts'

const OPTIONS = {
  mode: choice(['udp', 'tcp', 'tls'], { default: 'udp', doc: 'udp, tcp or tls' }),
  gelf_tag_key: text({ doc: 'Key that gets the tag' }),
  gelf_short_message_key: text({ doc: 'Key of the short message, short_message unless set' }),
  gelf_timestamp_key: text({ doc: 'Key of the time, timestamp unless set' }),
  gelf_host_key: text({ doc: 'Key of the host, host unless set' }),
  gelf_full_message_key: text({ doc: 'Key of the long message, full_message unless set' }),
  gelf_level_key: text({ doc: 'Key of the level, level unless set' }),
  packet_size: int({ default: '1420', doc: 'Longest datagram in bytes, without its header' }),
  compress: flag({ default: 'true', doc: 'Compress datagrams, with gzip' })
}

type GelfValues = Values<typeof OPTIONS>

const PORT_DEFAULT = 12_201
const CHUNK_HEADER_BYTES = 12
const CHUNKS_MAX = 128
const DATAGRAM_BYTES_MAX = 65_507

export const gelf = defineOutput({
  name: 'gelf',
  summary: 'Sends events to Graylog, as GELF',
  upstream: 'plugins/out_gelf/gelf.c',
  network: 'client',
  options: OPTIONS,
  losses,
  create(values, context) {
    return values.mode === 'udp' ? overUdp(values, context) : overTcp(values, context)
  }
})

function overUdp(values: GelfValues, context: OutputContext): Output {
  const sender = context.net.datagramSender({ port: PORT_DEFAULT })
  const messages = new GelfMessages(values, '', context)
  const bytesMax = packetBytes(values.packet_size, context)
  const nextId = messageIds(context)
  const split = (message: Buffer): readonly Buffer[] | string => {
    const isShort = message.length <= bytesMax
    const content = values.compress || !isShort ? gzipSync(message) : message
    if (content.length <= bytesMax) return [content]
    if (content.length > bytesMax * CHUNKS_MAX) {
      messages.report(`message too big: ${content.length} bytes`)
      return 'too_long'
    }
    return chunksOf(content, bytesMax, nextId())
  }
  return {
    flush(chunk) {
      messages.begin(chunk)
      return sendEvents(chunk.bytes, messages, sender, split)
    },
    stop: () => sender.close()
  }
}

function overTcp(values: GelfValues, context: OutputContext): Output {
  const upstream = context.net.upstream({ port: PORT_DEFAULT })
  const messages = new GelfMessages(values, '\0', context)
  return {
    start() {
      if (values.mode !== 'tls' || context.net.tls !== undefined) return
      context.log.warn('messages are not encrypted: mode tls needs "tls on" for that')
    },
    flush(chunk) {
      messages.begin(chunk)
      return deliver(upstream, connection => streamEvents(chunk.bytes, messages, connection))
    },
    stop: () => upstream.close()
  }
}

/** Events as messages with the tag and an end. */
class GelfMessages implements EventEncoder {
  readonly #encoder: GelfEncoder
  readonly #end: string
  readonly #tagKey: string | undefined
  readonly #context: OutputContext
  #tagPair: Buffer | undefined
  #hasReported = false

  constructor(values: GelfValues, end: string, context: OutputContext) {
    const keys = {
      timestamp: values.gelf_timestamp_key,
      host: values.gelf_host_key,
      shortMessage: values.gelf_short_message_key,
      fullMessage: values.gelf_full_message_key,
      level: values.gelf_level_key
    }
    this.#encoder = new GelfEncoder(keys, context.log)
    this.#end = end
    this.#tagKey = values.gelf_tag_key
    this.#context = context
  }

  get out(): GelfEncoder['out'] {
    return this.#encoder.out
  }

  begin({ tag }: ChunkView): void {
    this.#hasReported = false
    if (this.#tagKey === undefined) return
    const pair = new MsgpackWriter()
    pair.string(this.#tagKey)
    pair.string(tag)
    this.#tagPair = pair.written()
  }

  append(chunk: Buffer, at: number): string | undefined {
    const problem = this.#encoder.event(chunk, at, this.#tagPair)
    if (problem !== undefined) {
      this.report(`error encoding to GELF: ${problem}`)
      return 'not_gelf'
    }
    this.out.ascii(this.#end)
    return undefined
  }

  /** Once a chunk. */
  report(problem: string): void {
    if (!this.#hasReported) this.#context.log.error(problem)
    this.#hasReported = true
  }
}

/** Milliseconds since the epoch in 48 bits, then 16 that begin at random and count on. */
function messageIds({ clock, random }: OutputContext): () => Buffer {
  let nonce = Math.floor(random() * 65_536)
  return () => {
    const id = Buffer.alloc(8)
    id.writeBigUInt64LE((BigInt(Math.floor(clock.now())) << 16n) | BigInt(nonce))
    nonce = (nonce + 1) % 65_536
    return id
  }
}

function chunksOf(content: Buffer, bytesMax: number, id: Buffer): Buffer[] {
  const count = Math.ceil(content.length / bytesMax)
  return Array.from({ length: count }, (_, index) => {
    const part = content.subarray(index * bytesMax, (index + 1) * bytesMax)
    return Buffer.concat([Buffer.of(0x1e, 0x0f), id, Buffer.of(index, count), part])
  })
}

/** No datagram has room for more than `DATAGRAM_BYTES_MAX`. */
function packetBytes(wanted: number, context: OutputContext): number {
  if (wanted >= 1) return Math.min(wanted, DATAGRAM_BYTES_MAX - CHUNK_HEADER_BYTES)
  throw context.invalid('packet_size', `value must be at least 1: current value is "${wanted}"`)
}

function losses({ mode }: GelfValues): Loss[] {
  if (mode === 'udp') {
    const message = 'datagrams that get lost on the way, or that nobody takes, are not noticed'
    return [{ when: 'running', key: 'mode', message, change: 'mode tcp' }]
  }
  const message = 'a receiver that ends takes along what it has not read yet: it does not answer'
  return [{ when: 'failure', key: 'mode', message }]
}
