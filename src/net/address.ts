/** Texts for addresses. */
import { isIPv6 } from 'node:net'
import type { ClientSettings } from './settings.ts'

/** `host:port`, an IPv6 address in brackets. */
export function hostAndPort(host: string, port: number): string {
  return isIPv6(host) ? `[${host.replace(/%.*/, '')}]:${port}` : `${host}:${port}`
}

/** The address of a peer without the prefix that IPv4 has on a socket for both families. */
export function plainAddress(address: string | undefined): string {
  return address?.replace(/^::ffff:(?=\d+\.)/, '') ?? ''
}

/** In which order Node's `lookup` is to give the addresses of a host. */
export function addressOrder(
  prefer: ClientSettings['prefer']
): 'verbatim' | 'ipv4first' | 'ipv6first' {
  return prefer === undefined ? 'verbatim' : `${prefer}first`
}
