/** How connections are made where the configuration says nothing. */
import type { ClientSettings } from '../../src/net/settings.ts'

export const CLIENT_SETTINGS: ClientSettings = {
  family: 0,
  prefer: undefined,
  sourceAddress: undefined,
  connectTimeoutMs: 10_000,
  reportsConnectTimeout: true,
  ioTimeoutMs: 0,
  keepalive: true,
  idleTimeoutMs: 30_000,
  usesMax: 2000,
  connectionsMax: 0,
  tcpKeepalive: undefined
}
