/**
 * syslog: messages over TCP, TLS, UDP and unix sockets, read by a parser.
 * Source: Fluent Bit 5.1.1 plugins/in_syslog/syslog.c, syslog_conf.c, syslog_server.c, syslog_conn.c, syslog_prot.c.
 *
 *     newline          *( *any ( LF / NUL ) )
 *     octet_counting   *( length SP message [ LF ] )
 *
 * As there, a message that does not fit the parser is lost (and counted here), and a datagram is cut at `buffer_chunk_size`,
 * less one byte.
 *
 * Differs: empty messages are passed over, which make Fluent Bit send the messages before them again, or nothing more at
 * all; a wrong length closes the connection at once, with the messages before it kept. While the input is held back,
 * connections and `unix_udp` wait. `receive_buffer_size` has no effect on TCP, where Node cannot set it; on unix sockets
 * Linux gives it none. The sender on a unix socket is `unix://unavailable` (Fluent Bit has the process ID of a stream).
 * `unix_udp` needs Linux and the package koffi; TLS on `unix_tcp` is refused.
 */
import type { MsgpackWriter } from '../../../codec/msgpack_writer.ts'
import { choice, size, text, type Values } from '../../../config/options.ts'
import type { InputContext } from '../../../plugin/context.ts'
import { defineInput, type Input, type Loss } from '../../../plugin/define.ts'
import { DatagramCut } from '../../common/datagram_cut.ts'
import { DATAGRAM_LOSS, datagramInput } from '../../common/datagram_input.ts'
import { RecordStream } from '../../common/payload/record_stream.ts'
import { SourcePair } from '../../common/payload/source_pair.ts'
import { TextRecords } from '../../common/payload/text_records.ts'
import { OctetFrames } from './octet_frames.ts'
import { SyslogParser, SyslogTexts } from './syslog_texts.ts'
import { UnixDatagrams } from './unix_datagrams.ts'

const PORT_DEFAULT = 5140
const PERMISSIONS_DEFAULT = '0644'
const NEWLINE = Buffer.from('\n')
const NUL = 0x00

const OPTIONS = {
  mode: choice(['unix_tcp', 'unix_udp', 'tcp', 'udp'], {
    doc: 'unix_udp, which is the default, unix_tcp, udp or tcp; TLS is tcp with tls on'
  }),
  path: text({ doc: 'Path of the unix socket' }),
  unix_perm: text({
    doc: `Permissions of the unix socket, octal; ${PERMISSIONS_DEFAULT} unless set`
  }),
  buffer_chunk_size: size({
    default: '32768',
    doc: 'Steps that the buffer of a connection grows by; of datagrams, the longest one'
  }),
  buffer_max_size: size({ doc: 'Longest message of a connection; buffer_chunk_size unless set' }),
  parser: text({
    doc: 'Parser of messages; unless set, syslog-rfc5424 for tcp and udp, syslog-rfc3164-local for unix sockets'
  }),
  receive_buffer_size: size({ doc: 'What the system keeps of datagrams that nobody has read' }),
  raw_message_key: text({ doc: 'Key to add with the message as it came' }),
  source_address_key: text({
    doc: 'Key to add with the address of the sender, as tcp://HOST:PORT'
  }),
  format: text({ doc: 'newline, which is the default, or octet_counting; of tcp and unix_tcp' })
}

type SyslogValues = Values<typeof OPTIONS>

export const syslog = defineInput({
  name: 'syslog',
  summary: 'Syslog messages over TCP, UDP and unix sockets',
  upstream: 'plugins/in_syslog/syslog.c',
  network: 'server',
  options: OPTIONS,
  losses,
  create(values, context) {
    const { mode = 'unix_udp' } = values
    const isUnix = mode === 'unix_tcp' || mode === 'unix_udp'
    const unix = isUnix ? unixSocket(values, context) : undefined
    if (mode === 'unix_tcp' && context.net.tls !== undefined) {
      throw context.invalid('tls', 'mode unix_tcp has no TLS: mode tcp has')
    }
    const settings = readSettings(values, isUnix, context)
    if (mode === 'udp') return datagrams(settings, context)
    if (mode === 'unix_udp' && unix !== undefined) return unixDatagrams(unix, settings, context)
    return streams(unix, settings, context)
  }
})

function losses({ mode = 'unix_udp' }: SyslogValues): readonly Loss[] {
  if (mode === 'udp') return [DATAGRAM_LOSS]
  const message =
    'senders get no answer: what is on its way when a connection or the program ends is lost'
  return [{ when: 'failure', message }]
}

interface UnixSocket {
  readonly path: string
  readonly permissions: number
}

interface Settings {
  readonly messages: SyslogParser
  readonly sourceKey: string | undefined
  readonly isCounted: boolean
  readonly unknownFormat: string | undefined
  readonly streamBytesMax: number
  readonly datagramBytesMax: number
  readonly receiveBufferBytes: number | undefined
}

function readSettings(values: SyslogValues, isUnix: boolean, context: InputContext): Settings {
  const { buffer_chunk_size: chunkBytes, format = 'newline' } = values
  const bufferBytes = values.buffer_max_size || chunkBytes
  for (const [key, bytes] of [
    ['buffer_chunk_size', chunkBytes],
    ['buffer_max_size', bufferBytes]
  ] as const) {
    if (bytes < 2) throw context.invalid(key, `value must be 2 or more: current value is ${bytes}`)
  }
  const isCounted = /^octet(?:_counting)?$/i.test(format)
  return {
    messages: messageParser(values, isUnix, context),
    sourceKey: values.source_address_key,
    isCounted,
    unknownFormat: isCounted || /^newline$/i.test(format) ? undefined : format,
    // The buffer grows by whole steps, and holds one byte less: C ends it with a NUL.
    streamBytesMax: Math.max(Math.floor(bufferBytes / chunkBytes), 1) * chunkBytes - 1,
    datagramBytesMax: chunkBytes - 1,
    receiveBufferBytes: values.receive_buffer_size || undefined
  }
}

function unixSocket(
  { path, unix_perm: written = PERMISSIONS_DEFAULT }: SyslogValues,
  context: InputContext
): UnixSocket {
  if (path === undefined) {
    throw context.invalid(
      'path',
      'Unix path not defined, which the modes unix_tcp and unix_udp need'
    )
  }
  if (!/^[0-7]+$/.test(written)) {
    throw context.invalid('unix_perm', `value must be octal: current value is "${written}"`)
  }
  return { path, permissions: Number.parseInt(written, 8) & 0o7777 }
}

function messageParser(values: SyslogValues, isUnix: boolean, context: InputContext): SyslogParser {
  const name = values.parser ?? (isUnix ? 'syslog-rfc3164-local' : 'syslog-rfc5424')
  const parser = context.parser(name)
  if (parser !== undefined) return new SyslogParser(parser, values.raw_message_key, context)
  throw context.unknownParser('parser', name)
}

function reportFormat({ unknownFormat }: Settings, context: InputContext): void {
  if (unknownFormat === undefined) return
  context.log.warn(`unknown frame '${unknownFormat}', using 'newline'`)
}

function streams(unix: UnixSocket | undefined, settings: Settings, context: InputContext): Input {
  const { log } = context
  const { messages, sourceKey, isCounted, streamBytesMax: bytesMax } = settings
  const listener = context.net.listener({ port: PORT_DEFAULT, unix }, connection => {
    const source = new SourcePair(sourceKey, unix === undefined ? 'tcp' : 'unix')
    const texts = new SyslogTexts(messages, source.from(connection.peer))
    const format = isCounted
      ? new OctetFrames(bytesMax, texts)
      : new TextRecords({ separator: NEWLINE, orByte: NUL }, bytesMax, texts)
    const stream = new RecordStream(format, bytesMax, context)
    return {
      data(bytes) {
        const problem = stream.take(bytes)
        if (problem === undefined) return
        const isTooLong = problem === 'too_long'
        log.warn(
          isTooLong
            ? `incoming data exceed limit (${bytesMax + 1} bytes)`
            : 'invalid octet-counting length'
        )
        connection.close(problem)
      },
      closed: () => stream.end()
    }
  })
  return {
    async start() {
      reportFormat(settings, context)
      await listener.start()
      if (unix === undefined) log.info(`TCP server binding ${listener.host}:${listener.port}`)
    },
    pause: () => listener.pause(),
    resume: () => listener.resume(),
    stop: () => listener.stop()
  }
}

function datagrams(settings: Settings, context: InputContext): Input {
  const { messages, sourceKey, datagramBytesMax, receiveBufferBytes } = settings
  const source = new SourcePair(sourceKey, 'udp')
  const texts = new SyslogTexts(messages, source)
  const cut = new DatagramCut(datagramBytesMax, context)
  return datagramInput(
    context,
    { port: PORT_DEFAULT, receiveBufferBytes },
    'UDP server binding',
    () => (datagram, timeMs, out, peer) => {
      source.from(peer)
      return writeMessage(cut.of(datagram), timeMs, texts, out)
    }
  )
}

function unixDatagrams(unix: UnixSocket, settings: Settings, context: InputContext): Input {
  const { messages, sourceKey, datagramBytesMax: bytesMax } = settings
  const source = new SourcePair(sourceKey, 'unix').from({ address: '', port: 0 })
  const texts = new SyslogTexts(messages, source)
  const cut = new DatagramCut(bytesMax, context)
  return new UnixDatagrams({ ...unix, bytesMax }, context, datagram => {
    const sink = context.sink(context.tag)
    const count = writeMessage(cut.of(datagram), context.clock.now(), texts, sink.writer)
    if (count > 0) sink.commit(count)
  })
}

/** Writes the event of a message that is a datagram; gives how many there are. */
function writeMessage(
  bytes: Buffer,
  timeMs: number,
  texts: SyslogTexts,
  out: MsgpackWriter
): number {
  if (bytes.length === 0) return 0
  texts.begin(bytes, timeMs)
  const isWritten = texts.write(bytes, 0, bytes.length, out)
  texts.end()
  return isWritten ? 1 : 0
}
