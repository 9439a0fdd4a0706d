/**
 * collectd: values that collectd's network plugin sends over UDP.
 * Source: Fluent Bit 5.1.1 plugins/in_collectd/in_collectd.c.
 *
 * As there, signatures are not checked, and what is encrypted and notifications make no records; here they are counted.
 *
 * Differs: values that cannot be used cost only themselves, and a packet that is cut costs what follows the cut, where
 * Fluent Bit passes over the whole packet; the log tells of the first one and then of every tenfold count; see also
 * types_db.ts.
 */
import { text } from '../../../config/options.ts'
import { defineInput } from '../../../plugin/define.ts'
import { DATAGRAM_LOSS, datagramInput } from '../../common/datagram_input.ts'
import { RefusedInput } from '../../common/refused_input.ts'
import { PacketDecoder } from './packet_decoder.ts'
import { type DataTypes, loadTypes } from './types_db.ts'

export const collectd = defineInput({
  name: 'collectd',
  summary: 'Values from collectd over UDP',
  upstream: 'plugins/in_collectd/in_collectd.c',
  network: 'server',
  tls: false,
  options: {
    typesdb: text({
      default: '/usr/share/collectd/types.db',
      doc: 'Files with the types of values, separated by commas; the last entry of a type counts'
    })
  },
  losses: () => [DATAGRAM_LOSS],
  create({ typesdb }, context) {
    const { log } = context
    const refused = new RefusedInput(context)

    function load(): DataTypes {
      log.debug(`Loading TypesDB from ${typesdb}`)
      try {
        return loadTypes(typesdb)
      } catch (cause) {
        if (cause instanceof Error) log.error(cause.message)
        throw new Error(`failed to load '${typesdb}'`, { cause })
      }
    }

    return datagramInput(context, { port: 25826 }, 'start listening to', () => {
      const decoder = new PacketDecoder(load(), refused)
      return (bytes, timeMs, out) => decoder.decode(bytes, timeMs, out)
    })
  }
})
