/**
 * udp: JSON or texts that are sent as datagrams.
 * Source: Fluent Bit 5.1.1 plugins/in_udp/udp.c, udp_config.c, udp_conn.c.
 *
 * As there, a datagram is cut at `chunk_size`, less one byte; what is cut off is counted.
 *
 * Differs: as the input tcp does; the end of a datagram ends its last text, which Fluent Bit loses without a separator
 * behind it. A value that a datagram holds a part of is lost in both, and counted here.
 */
import { defineInput } from '../../plugin/define.ts'
import { DATAGRAM_LOSS, datagramInput } from '../common/datagram_input.ts'
import { DatagramCut } from '../common/datagram_cut.ts'
import {
  PAYLOAD_OPTIONS,
  readPayload,
  reportPayload,
  workersText
} from '../common/payload/payload_options.ts'
import { SourcePair } from '../common/payload/source_pair.ts'

const PORT_DEFAULT = 5170

export const udp = defineInput({
  name: 'udp',
  summary: 'JSON or texts as datagrams',
  upstream: 'plugins/in_udp/udp.c',
  network: 'server',
  tls: false,
  options: PAYLOAD_OPTIONS,
  losses: () => [DATAGRAM_LOSS],
  create(values, context) {
    const payload = readPayload(values, context)
    const source = new SourcePair(values.source_address_key, 'udp')
    const format = payload.format(source, 'datagram')
    const cut = new DatagramCut(payload.datagramBytesMax, context)
    const input = datagramInput(
      context,
      { port: PORT_DEFAULT },
      'listening on',
      () => (datagram, timeMs, out, peer) => {
        source.from(peer)
        const bytes = cut.of(datagram)
        format.read(bytes, timeMs, out)
        const left = bytes.length - format.position
        if (left > 0) context.dropped('incomplete', 1, left)
        return format.count
      },
      ` ${workersText(payload)}`
    )
    return {
      ...input,
      async start() {
        reportPayload(payload, context)
        await input.start()
      }
    }
  }
})
