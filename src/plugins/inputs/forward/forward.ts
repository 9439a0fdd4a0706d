/**
 * forward: takes events from Fluent Bit, Fluentd and others by the forward protocol, over TCP, TLS or a unix socket.
 * Source: Fluent Bit 5.1.1 plugins/in_forward/fw.c, fw_config.c, fw_conn.c, fw_prot.c, docs pipeline/inputs/forward.md.
 *
 * Differs:
 * - An event that cannot be read is dropped alone, counted as `not_an_event`, and what came with it is acknowledged. Of mode
 *   Forward Fluent Bit keeps what comes before it and closes the connection, so that the sender sends those again; of packed
 *   events it acknowledges all, and its outputs stop without a word at the bad one.
 * - Compressed payloads that are damaged are refused and not acknowledged, where Fluent Bit acknowledges what it loses.
 * - No packed events at all are acknowledged, and options may be nil in every mode; Fluent Bit closes the connection.
 * - Contexts of metrics and traces pass through as they are, all of them; Fluent Bit decodes the first and leaves the others out.
 * - A message is refused by what it says of its length, before it has come. What is refused is in the log the first, the
 *   tenth, the hundredth time, and in counters always.
 * - A handshake has to come within `net.accept_timeout`; its salts are sixteen characters where Fluent Bit's are bytes, which
 *   senders that read text cannot answer. PING may have binary data for texts, and come in pieces or with what follows it.
 * - While the input is held back connections stay open and are not read, where Fluent Bit closes them.
 * - `unix_perm` that is not octal is refused; without it the socket has 0755, whatever the umask.
 */
import { flag, int, many, secret, size, text, type Values } from '../../../config/options.ts'
import type { InputContext } from '../../../plugin/context.ts'
import { defineInput } from '../../../plugin/define.ts'
import { RefusedInput } from '../../common/refused_input.ts'
import { ForwardConnection } from './connection.ts'
import { SpareBuffers } from './frame_splitter.ts'
import type { HandshakeSettings } from './handshake.ts'
import { Tags } from './tags.ts'

const PORT_DEFAULT = 24_224

/** What a socket file allows unless `unix_perm` says otherwise; Fluent Bit leaves it to the umask. */
const PERMISSIONS_DEFAULT = 0o755

const OPTIONS = {
  tag_prefix: text({ doc: 'Text before the tag of incoming events' }),
  shared_key: secret(text({ doc: 'Key that senders must have too; asks for a handshake' })),
  self_hostname: text({ doc: 'Name of this server in the handshake; localhost unless set' }),
  'security.users': many(
    secret(text({ doc: 'Name and password of a user; needs shared_key or empty_shared_key' }))
  ),
  unix_path: text({ doc: 'Unix socket to listen on, instead of host and port' }),
  unix_perm: text({ doc: 'Permissions of the unix socket, in octal' }),
  buffer_chunk_size: size({ default: '1024000', doc: 'Largest buffer that is kept for later use' }),
  buffer_max_size: size({ default: '6144000', doc: 'Longest message, also when it is expanded' }),
  empty_shared_key: flag({ default: 'false', doc: 'Ask for a handshake with an empty key' }),
  workers: int({ default: '1', doc: 'Threads that listen' })
}

type ForwardValues = Values<typeof OPTIONS>

export const forward = defineInput({
  name: 'forward',
  summary: 'Events by the forward protocol of Fluentd and Fluent Bit',
  upstream: 'plugins/in_forward/fw.c',
  network: 'server',
  receipts: 'sender',
  options: OPTIONS,
  create(values, context) {
    const { buffer_chunk_size: chunkBytes, buffer_max_size: bytesMax } = values
    const unix = unixSocket(values, context)
    let resumed = Promise.withResolvers<void>()
    const receiver = {
      context,
      refused: new RefusedInput(context),
      tags: new Tags(context, values.tag_prefix ?? '', fixedTag(values, context)),
      spares: new SpareBuffers(chunkBytes),
      handshake: handshakeSettings(values, context),
      handshakeMs: context.net.server.acceptTimeoutMs,
      frameBytesMax: Math.max(chunkBytes, bytesMax),
      payloadBytesMax: bytesMax,
      resumed: () => resumed.promise,
      leaving: new Set<ForwardConnection>()
    }
    const listener = context.net.listener(
      { port: PORT_DEFAULT, unix },
      connection => new ForwardConnection(connection, receiver)
    )
    return {
      async start() {
        await listener.start()
        const workers = Math.max(values.workers, 1)
        context.log.info(
          unix === undefined
            ? `listening on ${address(context)}:${listener.port} with ${workers} worker${workers === 1 ? '' : 's'}`
            : `listening on unix://${unix.path}`
        )
      },
      pause: () => listener.pause(),
      resume() {
        listener.resume()
        resumed.resolve()
        resumed = Promise.withResolvers()
      },
      async stop() {
        await listener.stop()
        for (const connection of receiver.leaving) connection.finish()
        resumed.resolve()
      }
    }
  }
})

function unixSocket(
  { unix_path: path, unix_perm: written, workers }: ForwardValues,
  context: InputContext
): { readonly path: string; readonly permissions: number } | undefined {
  if (path === undefined) return undefined
  if (workers > 1) throw context.invalid('workers', 'it is not supported with unix_path')
  if (written === undefined) return { path, permissions: PERMISSIONS_DEFAULT }
  if (!/^[0-7]{1,4}$/.test(written)) {
    const wanted = 'value must be permissions in octal such as 0660'
    throw context.invalid('unix_perm', `${wanted}: current value is "${written}"`)
  }
  return { path, permissions: Number.parseInt(written, 8) }
}

/** The tag that a user wrote goes before those of senders, but a prefix goes before it. */
function fixedTag(values: ForwardValues, context: InputContext): string | undefined {
  const isWritten = context.properties.some(({ key }) => key === 'tag')
  return values.tag_prefix === undefined && isWritten ? context.tag : undefined
}

function handshakeSettings(
  values: ForwardValues,
  context: InputContext
): HandshakeSettings | undefined {
  const users = values['security.users'].map((written, index) => {
    const match = /^ *(?<name>[^ ]+) +(?<password>.+)$/.exec(written)
    if (match?.groups === undefined) {
      const message = 'invalid value, expected username and password'
      throw context.invalid('security.users', message, index)
    }
    const { name = '', password = '' } = match.groups
    return { name, password }
  })
  const sharedKey = values.empty_shared_key ? '' : values.shared_key
  if (sharedKey !== undefined) {
    return { sharedKey, users, hostname: values.self_hostname ?? 'localhost' }
  }
  if (users.length === 0) return undefined
  throw context.invalid('security.users', 'it needs shared_key or empty_shared_key')
}

function address({ properties, net }: InputContext): string {
  return properties.find(({ key }) => key === 'listen')?.text ?? net.host ?? '0.0.0.0'
}
