/**
 * The monitoring server: what the program does, over HTTP/1.1 and HTTP/2 in clear.
 * Source: Fluent Bit 5.1.1 src/http_server. Differs: answers have Node's head (a reason, a date, no `x-http-engine`), HEAD
 * has no body, `Connection: close` closes, and a request that cannot be read is answered.
 */
import { FLUENT_BIT_VERSION } from '../base/version.ts'
import type { ServiceSettings } from '../config/service.ts'
import { type HttpReply, type HttpRequest, HttpServer } from '../net/http_server.ts'
import type { ListenerHost } from '../net/listener.ts'
import { Health } from './health.ts'
import type { MonitoringWorld } from './monitoring_world.ts'
import { reloadRoute } from './reload.ts'
import { exact, isFor, jsonReply, type Route } from './route.ts'
import { storageRoute, v1Routes } from './v1.ts'
import { v2Routes } from './v2.ts'

const CONNECTIONS_MAX = 256
/** Longer than the minute that Prometheus waits between two looks, unless it is told otherwise. */
const IDLE_MS_MAX = 90_000
/** Short: connections that ask for nothing must not keep a probe out. */
const HEAD_MS_MAX = 5_000
const BODY_BYTES_MAX = 1_048_576
const BACKLOG = 128
const ACCEPT_MS_MAX = 10_000

/** What Fluent Bit says that it was built with, as far as Spillway has it too. */
const FLAGS = [
  'FLB_HAVE_IN_STORAGE_BACKLOG',
  'FLB_HAVE_CHUNK_TRACE',
  'FLB_HAVE_PARSER',
  'FLB_HAVE_RECORD_ACCESSOR',
  'FLB_HAVE_UNICODE_ENCODER',
  'FLB_HAVE_TLS',
  'FLB_HAVE_OPENSSL',
  'FLB_HAVE_METRICS',
  'FLB_HAVE_SQLDB',
  'FLB_HAVE_HTTP_SERVER',
  'FLB_HAVE_UNIX_SOCKET',
  'FLB_HAVE_LIBYAML',
  'FLB_HAVE_REGEX',
  'FLB_HAVE_UTF8_ENCODER'
]

export class MonitoringServer {
  readonly #world: MonitoringWorld
  #service: ServiceSettings
  #health: Health
  #routes: readonly Route[]
  #server: HttpServer | undefined

  constructor(world: MonitoringWorld, service: ServiceSettings) {
    this.#world = world
    this.#service = service
    this.#health = this.#newHealth()
    this.#routes = this.#newRoutes()
  }

  /** The port that it listens on, 0 while it does not. */
  get port(): number {
    return this.#server?.port ?? 0
  }

  /**
   * Listens where the configuration says so.
   *
   * @throws {Error} When the address cannot be bound; its message says so.
   */
  async start(): Promise<void> {
    this.#server = await this.#listen()
    this.#health.start()
  }

  async stop(): Promise<void> {
    const server = this.#server
    this.#server = undefined
    this.#health.stop()
    await server?.stop()
  }

  /**
   * Goes on with what a reload has changed; connections stay where the address stays. Health is looked at anew.
   *
   * @throws {Error} When the new address cannot be bound: all stays as it was.
   */
  async apply(service: ServiceSettings): Promise<void> {
    const before = this.#service
    this.#service = service
    const hasMoved = (['http_server', 'http_listen', 'http_port'] as const).some(
      key => before[key] !== service[key]
    )
    if (hasMoved) await this.#move(before)
    this.#health.stop()
    this.#health = this.#newHealth()
    this.#routes = this.#newRoutes()
    if (this.#server !== undefined) this.#health.start()
  }

  async #move(before: ServiceSettings): Promise<void> {
    const old = this.#server
    // One of the two addresses may stand for all.
    const hasSamePort = before.http_port === this.#service.http_port
    if (hasSamePort) await old?.stop()
    try {
      this.#server = await this.#listen()
    } catch (cause) {
      this.#service = before
      if (hasSamePort) this.#server = await this.#listen()
      throw cause
    }
    if (!hasSamePort) await old?.stop()
  }

  async #listen(): Promise<HttpServer | undefined> {
    const { http_server: isOn, http_listen: host, http_port: port } = this.#service
    if (!isOn) return undefined
    const server = new HttpServer(
      {
        host,
        port: Number(port),
        tls: undefined,
        http2: true,
        idleTimeoutMs: IDLE_MS_MAX,
        headTimeoutMs: HEAD_MS_MAX,
        bodyBytesMax: BODY_BYTES_MAX,
        connectionsMax: CONNECTIONS_MAX,
        server: {
          backlog: BACKLOG,
          sharesPort: false,
          acceptTimeoutMs: ACCEPT_MS_MAX,
          reportsAcceptTimeout: false,
          ioTimeoutMs: 0,
          keepalive: true
        }
      },
      this.#listenerHost(),
      { handle: async request => named(await this.#answer(request)) }
    )
    try {
      await server.start()
    } catch (cause) {
      await server.stop()
      throw cause
    }
    this.#world.log.info(`[http_server] listen iface=${host} tcp_port=${port}`)
    return server
  }

  #listenerHost(): ListenerHost {
    const { log, clock, metrics } = this.#world
    return {
      log,
      clock,
      paused: false,
      ready: () => undefined,
      connectionEnded(reason) {
        const labels = { kind: 'service', name: 'http_server', reason }
        metrics
          .counter(
            'spillway_connections_refused_total',
            'Connections ended by us, by reason.',
            labels
          )
          .add(1)
      }
    }
  }

  #answer(request: HttpRequest): HttpReply | Promise<HttpReply> {
    const route = this.#routes.find(candidate => isFor(candidate, request.path))
    return route === undefined ? { status: 404 } : route.handle(request)
  }

  #newHealth(): Health {
    const { metrics, clock } = this.#world
    return new Health(this.#service, metrics, clock)
  }

  #newRoutes(): Route[] {
    const world = this.#world
    const service = this.#service
    return [
      ...v1Routes(world),
      ...(service.enable_chunk_trace ? world.traceRoutes : []),
      ...(service['storage.metrics'] ? [storageRoute(world)] : []),
      ...v2Routes(world),
      ...this.#health.routes(),
      reloadRoute(world.reloads),
      exact('/', rootReply)
    ]
  }
}

function rootReply(): HttpReply {
  return jsonReply(200, {
    'fluent-bit': { version: FLUENT_BIT_VERSION, edition: 'Community', flags: FLAGS }
  })
}

/** With the name of the server that clients know. */
function named(reply: HttpReply): HttpReply {
  return { ...reply, headers: [['server', 'Fluent Bit'], ...(reply.headers ?? [])] }
}
