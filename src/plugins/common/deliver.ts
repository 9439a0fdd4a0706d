/** Deliveries over the network, the same for every output that has one. */
import type { Connection } from '../../net/connection.ts'
import { NetworkError } from '../../net/network_error.ts'
import type { Upstream } from '../../net/upstream.ts'
import { type Delivery, retry } from '../../plugin/delivery.ts'

/**
 * Runs `send` with a connection to the remote. What goes wrong on the network is in the log already and means that the
 * chunk is sent again.
 */
export async function deliver(
  upstream: Upstream,
  send: (connection: Connection) => Promise<Delivery>
): Promise<Delivery> {
  try {
    return await upstream.use(send)
  } catch (cause) {
    if (cause instanceof NetworkError) return retry(cause.reason)
    throw cause
  }
}
