/**
 * The endpoints that an instance sends to, one or several, with what is known of their health.
 *
 * An endpoint that failed several times in a row is left out for a while, which grows with each failure after it; then
 * one use tries it again. When all are out, the one whose time is up first is tried: nothing waits without a reason.
 *
 * Source: Fluent Bit 5.1.1 src/flb_upstream_ha.c for the round robin. Health and failover are Spillway's own.
 */
import type { Clock } from '../base/clock.ts'
import type { Logger } from '../base/log.ts'
import { hostAndPort } from './address.ts'
import type { Connection } from './connection.ts'
import { ConnectionPool } from './connection_pool.ts'
import { NetworkError, networkError } from './network_error.ts'
import type { ClientSettings, EndpointSettings } from './settings.ts'

export interface UpstreamSettings {
  /** At least one. */
  readonly endpoints: readonly EndpointSettings[]
  /** One after the other, or the first that works. */
  readonly mode: 'round_robin' | 'failover'
  /** Failures in a row after which an endpoint is left out. */
  readonly ejectAfter: number
  /** Time that an endpoint is left out at first. */
  readonly ejectMs: number
  readonly client: ClientSettings
}

/** An endpoint is left out for no longer than this. */
const EJECT_MS_MAX = 60_000

interface Endpoint {
  readonly pool: ConnectionPool
  readonly name: string
  failures: number
  /** All that there ever were. */
  failuresEver: number
  /** Monotonic; 0 while it is in. */
  outUntilMs: number
}

export class Upstream {
  readonly #settings: UpstreamSettings
  readonly #log: Logger
  readonly #clock: Clock
  readonly #endpoints: readonly Endpoint[]
  #next = 0

  constructor(settings: UpstreamSettings, log: Logger, clock: Clock) {
    this.#settings = settings
    this.#log = log
    this.#clock = clock
    this.#endpoints = settings.endpoints.map(endpoint => ({
      pool: new ConnectionPool(endpoint, settings.client, log, clock),
      name: nameOf(endpoint),
      failures: 0,
      failuresEver: 0,
      outUntilMs: 0
    }))
  }

  get endpoints(): readonly EndpointSettings[] {
    return this.#settings.endpoints
  }

  /**
   * Runs `action` with a connection to the endpoint whose turn it is; where none can be made, with the next that is in.
   * The connection is kept afterwards, unless `action` failed or has closed it. Failures are in the log.
   *
   * @throws {NetworkError} When no endpoint could be reached, or what `action` threw.
   */
  async use<T>(action: (connection: Connection) => Promise<T>): Promise<T> {
    const tried = new Set<Endpoint>()
    for (;;) {
      const endpoint = this.#choose(tried)
      tried.add(endpoint)
      let connection: Connection
      try {
        connection = await endpoint.pool.take()
      } catch (cause) {
        const error = networkError(cause)
        this.#reportUnreachable(endpoint, error)
        this.#failed(endpoint, error)
        const hasOther = error.reason !== 'shutdown' && this.#isAnotherIn(tried)
        if (hasOther) continue
        throw error
      }
      return this.#run(endpoint, connection, action)
    }
  }

  /** What an answer says of the health of the endpoint, where the connection itself works: it is overloaded, say. */
  reportFailure(connection: Connection, error: NetworkError): void {
    const endpoint = this.#endpoints.find(({ pool }) => pool.endpoint === connection.endpoint)
    if (endpoint !== undefined) this.#failed(endpoint, error)
  }

  /** Connections that are open, and those of them that are in use. */
  get connections(): { readonly total: number; readonly busy: number } {
    const sum = { total: 0, busy: 0 }
    for (const { pool } of this.#endpoints) {
      sum.total += pool.total
      sum.busy += pool.busy
    }
    return sum
  }

  /** Closes all connections. */
  close(): void {
    for (const { pool } of this.#endpoints) pool.close()
  }

  async #run<T>(
    endpoint: Endpoint,
    connection: Connection,
    action: (connection: Connection) => Promise<T>
  ): Promise<T> {
    const { failuresEver } = endpoint
    try {
      const result = await action(connection)
      // Not what began before a failure, nor what was reported as one.
      if (endpoint.failuresEver === failuresEver) this.#worked(endpoint)
      return result
    } catch (cause) {
      connection.close()
      if (!(cause instanceof NetworkError)) throw cause
      if (cause.reason !== 'shutdown') {
        this.#log.error(`broken connection to ${endpoint.name}: ${cause.message}`)
        this.#failed(endpoint, cause)
      }
      throw cause
    } finally {
      endpoint.pool.release(connection)
    }
  }

  #choose(tried: ReadonlySet<Endpoint>): Endpoint {
    const all = this.#endpoints
    const now = this.#clock.monotonic()
    const start = this.#settings.mode === 'failover' ? 0 : this.#next
    for (let step = 0; step < all.length; step++) {
      const index = (start + step) % all.length
      const endpoint = all[index]
      if (endpoint === undefined || tried.has(endpoint) || endpoint.outUntilMs > now) continue
      this.#next = (index + 1) % all.length
      // The others go on without it until this try has shown whether it is back.
      if (endpoint.outUntilMs > 0) endpoint.outUntilMs = now + this.#outMs(endpoint)
      return endpoint
    }
    return all.reduce((first, other) => (other.outUntilMs < first.outUntilMs ? other : first))
  }

  #isAnotherIn(tried: ReadonlySet<Endpoint>): boolean {
    const now = this.#clock.monotonic()
    return this.#endpoints.some(endpoint => !tried.has(endpoint) && endpoint.outUntilMs <= now)
  }

  #failed(endpoint: Endpoint, error: NetworkError): void {
    if (error.reason === 'shutdown') return
    endpoint.failures++
    endpoint.failuresEver++
    if (this.#endpoints.length === 1 || endpoint.failures < this.#settings.ejectAfter) return
    const outMs = this.#outMs(endpoint)
    endpoint.outUntilMs = this.#clock.monotonic() + outMs
    const { name, failures } = endpoint
    this.#log.warn(
      `endpoint ${name} is left out for ${outMs / 1000} seconds: ${failures} failures in a row, the last one ${error.reason}`
    )
  }

  #outMs({ failures }: Endpoint): number {
    const { ejectAfter, ejectMs } = this.#settings
    return Math.min(ejectMs * 2 ** Math.max(failures - ejectAfter, 0), EJECT_MS_MAX)
  }

  #worked(endpoint: Endpoint): void {
    if (endpoint.outUntilMs > 0) this.#log.info(`endpoint ${endpoint.name} is back`)
    endpoint.failures = 0
    endpoint.outUntilMs = 0
  }

  #reportUnreachable({ name, pool }: Endpoint, { reason, message }: NetworkError): void {
    if (reason === 'shutdown') return
    if (reason === 'connection_timeout') {
      const line = `connection to tcp://${name} ${message}`
      if (this.#settings.client.reportsConnectTimeout) this.#log.error(line)
      else this.#log.debug(line)
    } else if (reason === 'unknown_host') {
      this.#log.warn(`getaddrinfo(host='${pool.endpoint.host}'): ${message}`)
    } else this.#log.error(`TCP connection failed: ${name} (${message})`)
    this.#log.error(`no upstream connections available to ${name}`)
  }
}

function nameOf({ host, port, unixPath }: EndpointSettings): string {
  return unixPath ?? hostAndPort(host, port)
}
