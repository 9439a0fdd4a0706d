/**
 * tcp: JSON or texts that are sent over TCP.
 * Source: Fluent Bit 5.1.1 plugins/in_tcp/tcp.c, tcp_config.c, tcp_conn.c.
 *
 * Differs: text that is not JSON costs only itself, up to the next line that starts with a map or an array, where Fluent Bit
 * loses all that it has read with it; JSON is read strictly, but for commas between records; values that are neither
 * map nor array are passed over, where Fluent Bit takes nothing more from the connection; so are empty texts, which stop
 * Fluent Bit until more comes. Separators and texts may hold NULs (`\0` in `separator` is `0` in Fluent Bit). What is
 * passed over, or is not whole when the connection ends, is counted. A buffer size that is no number is refused.
 */
import { defineInput } from '../../plugin/define.ts'
import {
  PAYLOAD_OPTIONS,
  readPayload,
  reportPayload,
  workersText
} from '../common/payload/payload_options.ts'
import { RecordStream } from '../common/payload/record_stream.ts'
import { SourcePair } from '../common/payload/source_pair.ts'

const PORT_DEFAULT = 5170

export const tcp = defineInput({
  name: 'tcp',
  summary: 'JSON or texts over TCP',
  upstream: 'plugins/in_tcp/tcp.c',
  network: 'server',
  options: PAYLOAD_OPTIONS,
  losses: () => [
    {
      when: 'failure',
      message:
        'senders get no answer: what is on its way when a connection or the program ends is lost'
    }
  ],
  create(values, context) {
    const { log } = context
    const payload = readPayload(values, context)
    const listener = context.net.listener({ port: PORT_DEFAULT }, connection => {
      const source = new SourcePair(values.source_address_key, 'tcp').from(connection.peer)
      const stream = new RecordStream(payload.format(source, 'stream'), payload.bytesMax, context)
      return {
        data(bytes) {
          const problem = stream.take(bytes)
          if (problem === undefined) return
          log.warn(
            `${connection.peer.address}: incoming data exceeds 'Buffer_Size' (${payload.bufferKb} KB)`
          )
          connection.close(problem)
        },
        closed: () => stream.end()
      }
    })
    return {
      async start() {
        reportPayload(payload, context)
        await listener.start()
        log.info(`listening on ${listener.host}:${listener.port} ${workersText(payload)}`)
      },
      pause: () => listener.pause(),
      resume: () => listener.resume(),
      stop: () => listener.stop()
    }
  }
})
