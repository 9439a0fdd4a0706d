/**
 * Connections to one endpoint that are kept for their next use.
 * Source: Fluent Bit 5.1.1 src/flb_upstream.c (flb_upstream_conn_get, flb_upstream_conn_release). Differs: who finds
 * `net.max_worker_connections` in use waits for one to come free, where Fluent Bit sends the chunk again later.
 */
import type { Clock, Timer } from '../base/clock.ts'
import type { Logger } from '../base/log.ts'
import { Connection } from './connection.ts'
import { Connector } from './connector.ts'
import { NetworkError } from './network_error.ts'
import type { ClientSettings, EndpointSettings } from './settings.ts'

interface Idle {
  readonly connection: Connection
  readonly sinceMs: number
}

export class ConnectionPool {
  readonly endpoint: EndpointSettings
  readonly #settings: ClientSettings
  readonly #clock: Clock
  readonly #connector: Connector
  /** The longest unused first. */
  readonly #idle: Idle[] = []
  readonly #inUse = new Set<Connection>()
  readonly #waiting: PromiseWithResolvers<void>[] = []
  #connecting = 0
  #timer: Timer | undefined
  #isClosed = false

  constructor(endpoint: EndpointSettings, settings: ClientSettings, log: Logger, clock: Clock) {
    this.endpoint = endpoint
    this.#settings = settings
    this.#clock = clock
    this.#connector = new Connector(endpoint, settings, log, clock)
  }

  /** Connections in use, and those that are being made: as Fluent Bit counts. */
  get busy(): number {
    return this.#inUse.size + this.#connecting
  }

  get total(): number {
    return this.busy + this.#idle.filter(({ connection }) => connection.isOpen).length
  }

  /** @throws {NetworkError} When there is none and none can be made. */
  async take(): Promise<Connection> {
    const { connectionsMax } = this.#settings
    for (;;) {
      this.#checkOpen()
      const kept = this.#takeIdle()
      if (kept !== undefined) return kept
      if (connectionsMax <= 0 || this.#inUse.size + this.#connecting < connectionsMax) break
      const turn = Promise.withResolvers<void>()
      this.#waiting.push(turn)
      await turn.promise
    }
    return this.#connect()
  }

  /** Takes a connection back: to be kept when it is open and may be used again. */
  release(connection: Connection): void {
    this.#inUse.delete(connection)
    const { keepalive, usesMax } = this.#settings
    const isSpent = usesMax > 0 && connection.uses >= usesMax
    if (keepalive && !isSpent && connection.isOpen && !this.#isClosed) {
      this.#idle.push({ connection, sinceMs: this.#clock.monotonic() })
      this.#watchIdle()
    } else {
      // What is still to be sent goes out first.
      connection.socket.destroySoon()
    }
    this.#waiting.shift()?.resolve()
  }

  /** Closes all; those in use, and those that are being made, fail with the reason `shutdown`. */
  close(): void {
    this.#isClosed = true
    this.#timer?.cancel()
    this.#connector.close()
    for (const { connection } of this.#idle.splice(0)) connection.close()
    for (const connection of this.#inUse) connection.close()
    for (const turn of this.#waiting.splice(0)) turn.resolve()
  }

  async #connect(): Promise<Connection> {
    this.#connecting++
    try {
      const socket = await this.#connector.connect()
      const connection = new Connection(
        socket,
        this.endpoint,
        this.#settings.ioTimeoutMs,
        this.#clock
      )
      if (this.#isClosed) connection.close()
      this.#checkOpen()
      return this.#use(connection)
    } catch (cause) {
      this.#waiting.shift()?.resolve()
      throw cause
    } finally {
      this.#connecting--
    }
  }

  #checkOpen(): void {
    if (this.#isClosed) throw new NetworkError('shutdown', 'closed')
  }

  #takeIdle(): Connection | undefined {
    for (;;) {
      const connection = this.#idle.pop()?.connection
      if (connection === undefined || connection.isOpen) {
        return connection && this.#use(connection)
      }
    }
  }

  #use(connection: Connection): Connection {
    connection.uses++
    this.#inUse.add(connection)
    return connection
  }

  /** Closes connections that nobody has used for the idle time-out. */
  #watchIdle(): void {
    const { idleTimeoutMs } = this.#settings
    const [oldest] = this.#idle
    if (oldest === undefined || idleTimeoutMs <= 0 || this.#timer !== undefined) return
    const waitMs = oldest.sinceMs + idleTimeoutMs - this.#clock.monotonic()
    this.#timer = this.#clock.after(Math.max(waitMs, 0), () => {
      this.#timer = undefined
      const limit = this.#clock.monotonic() - idleTimeoutMs
      while (this.#idle[0] !== undefined && this.#idle[0].sinceMs <= limit) {
        this.#idle.shift()?.connection.socket.destroySoon()
      }
      this.#watchIdle()
    })
  }
}
