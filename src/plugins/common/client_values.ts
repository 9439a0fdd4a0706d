/** Typed access to the values of plugins that declare `network: 'client'`. */
import type { Values } from '../../config/options.ts'
import type {
  CLIENT_NET_OPTIONS,
  INPUT_HIDDEN_OPTIONS,
  TLS_OPTIONS
} from '../../plugin/generic_options.ts'

type Address = Pick<typeof INPUT_HIDDEN_OPTIONS, 'host' | 'port' | 'ipv6'>

/** Values that such a plugin gets besides those of its own table. */
export type ClientValues = Values<typeof CLIENT_NET_OPTIONS & typeof TLS_OPTIONS & Address>

/**
 * The network values among what `create` got. The engine resolves them with the plugin's own, but the type of `create`
 * only knows the plugin's table.
 */
export function clientValues(values: object): ClientValues {
  return values as ClientValues
}
