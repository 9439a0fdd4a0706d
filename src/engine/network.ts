/**
 * The network of an instance, from its keys.
 * Source: Fluent Bit 5.1.1 src/flb_input.c, src/flb_output.c (flb_*_instance_init, upstream and downstream properties).
 */
import type { Clock } from '../base/clock.ts'
import type { Logger } from '../base/log.ts'
import type { ConfigError } from '../config/diagnostics.ts'
import { isIP } from 'node:net'
import { DatagramListener, DatagramSender } from '../net/datagrams.ts'
import { exchange, type HttpAnswer } from '../net/http_client.ts'
import { HttpServer } from '../net/http_server.ts'
import { type ListenerHost, type ListenerSettings, StreamListener } from '../net/listener.ts'
import type {
  ClientSettings,
  EndpointSettings,
  ProxySettings,
  ServerSettings,
  TlsSettings,
  TlsVersion
} from '../net/settings.ts'
import { Upstream, type UpstreamSettings } from '../net/upstream.ts'
import type { Counter } from '../metrics/registry.ts'
import type { ListenDefaults, Network, RemoteDefaults } from '../plugin/network.ts'
import { type InstanceSpec, numberValue } from './instance.ts'

/** What the network has of its instance. */
export interface NetworkOwner {
  readonly log: Logger
  readonly clock: Clock
  /** Replaces `${NAME}`. */
  expand(text: string): string
  invalid(key: string, message: string): ConfigError
  /** Files of TLS cannot be used, which is no mistake where nothing is to start. */
  badTlsFiles(message: string): ConfigError
  counter(name: string, help: string, labels: Readonly<Record<string, string>>): Counter
}

/** What holds an instance back; only inputs are. */
export type Gate = Pick<ListenerHost, 'paused' | 'ready'>

const OPEN_GATE: Gate = { paused: false, ready: () => undefined }

const PORT_MAX = 65_535

const NOT_IN_ADDRESS = /[\0-\x20\x7f]/

const TLS_VERSIONS: readonly TlsVersion[] = ['TLSv1', 'TLSv1.1', 'TLSv1.2', 'TLSv1.3']

/** Of outputs that serve, which have the `net.*` of clients. */
const BACKLOG = 128
const ACCEPT_SECONDS = 10

/** Defaults of a group of one, which never leaves its endpoint out. */
const ALONE = { mode: 'round_robin', ejectAfter: 3, ejectMs: 5_000 } as const

export class InstanceNetwork implements Network {
  readonly #spec: InstanceSpec
  readonly #owner: NetworkOwner
  readonly #gate: Gate
  readonly #upstreams: Upstream[] = []

  constructor(spec: InstanceSpec, owner: NetworkOwner, gate: Gate = OPEN_GATE) {
    this.#spec = spec
    this.#owner = owner
    this.#gate = gate
  }

  get uri(): string | undefined {
    return this.#spec.uri
  }

  get host(): string | undefined {
    return this.#text('host')
  }

  get port(): number | undefined {
    return this.#number('port') || undefined
  }

  get tls(): TlsSettings | undefined {
    return this.#tlsOf(this.#spec.values)
  }

  /** Connections that it has made, and those that are in use. */
  get connections(): { readonly total: number; readonly busy: number } {
    const sum = { total: 0, busy: 0 }
    for (const { connections } of this.#upstreams) {
      sum.total += connections.total
      sum.busy += connections.busy
    }
    return sum
  }

  upstream(defaults: RemoteDefaults): Upstream {
    const { upstream: group } = this.#spec
    const { ignoresProxy = false } = defaults
    const direct =
      group === undefined
        ? [this.#endpoint(defaults)]
        : group.nodes.map(({ values, properties }) => this.#node(values, properties))
    const endpoints = ignoresProxy ? direct : direct.map(endpoint => this.#proxied(endpoint))
    const { client } = this
    const { mode, ejectAfter, ejectMs } = group ?? ALONE
    return this.#keep({ endpoints, mode, ejectAfter, ejectMs, client })
  }

  remote(...[url, connectTimeoutMs]: Parameters<Network['remote']>): Upstream {
    const isSecure = url.protocol === 'https:'
    const host = url.hostname.replace(/^\[(.*)\]$/, '$1')
    const endpoint = this.#proxied({
      name: url.host,
      host,
      port: url.port === '' ? (isSecure ? 443 : 80) : Number(url.port),
      tls: isSecure ? this.#tlsSettings(this.#spec.values) : undefined,
      properties: {}
    })
    const { client: keys } = this
    const client = connectTimeoutMs === undefined ? keys : { ...keys, connectTimeoutMs }
    return this.#keep({ endpoints: [endpoint], ...ALONE, client })
  }

  #keep(settings: UpstreamSettings): Upstream {
    const { log, clock } = this.#owner
    const upstream = this.#checked(() => new Upstream(settings, log, clock))
    this.#upstreams.push(upstream)
    return upstream
  }

  exchange(...[connection, request]: Parameters<Network['exchange']>): Promise<HttpAnswer> {
    return exchange(connection, request, this.#owner.clock)
  }

  datagramSender(defaults: RemoteDefaults): DatagramSender {
    const { host, port } = this.#endpoint(defaults)
    return new DatagramSender(host, port, this.client)
  }

  listener(...[defaults, accept]: Parameters<Network['listener']>): StreamListener {
    return this.#checked(
      () => new StreamListener(this.#listen(defaults), this.#listenerHost(), accept)
    )
  }

  datagrams(...[defaults, take]: Parameters<Network['datagrams']>): DatagramListener {
    const { host, port } = this.#listen(defaults)
    const { receiveBufferBytes } = defaults
    const { sharesPort } = this.server
    return new DatagramListener({ host, port, sharesPort, receiveBufferBytes }, take)
  }

  httpServer(...[defaults, handler]: Parameters<Network['httpServer']>): HttpServer {
    const { values } = this.#spec
    const settings = {
      ...this.#listen(defaults),
      http2: this.#either('http2') === true,
      idleTimeoutMs: Number(values['http_server.idle_timeout']) * 1000,
      bodyBytesMax: Number(this.#either('buffer_max_size'))
    }
    const connectionsMax = Number(this.#either('max_connections'))
    const limits = connectionsMax > 0 ? { connectionsMax } : {}
    return this.#checked(
      () => new HttpServer({ ...settings, ...limits }, this.#listenerHost(), handler)
    )
  }

  get server(): ServerSettings {
    return {
      backlog: this.#numberOr('net.backlog', BACKLOG),
      sharesPort: this.#flag('net.share_port'),
      acceptTimeoutMs: this.#numberOr('net.accept_timeout', ACCEPT_SECONDS) * 1000,
      reportsAcceptTimeout: this.#spec.values['net.accept_timeout_log_error'] !== false,
      ioTimeoutMs: this.#number('net.io_timeout') * 1000,
      keepalive: this.#flag('net.keepalive')
    }
  }

  get client(): ClientSettings {
    const prefersIpv4 = this.#flag('net.dns.prefer_ipv4')
    const prefersIpv6 = this.#flag('net.dns.prefer_ipv6')
    return {
      family: this.#flag('ipv6') ? 6 : 0,
      prefer: prefersIpv4 ? 'ipv4' : prefersIpv6 ? 'ipv6' : undefined,
      sourceAddress: this.#sourceAddress(),
      connectTimeoutMs: this.#number('net.connect_timeout') * 1000,
      reportsConnectTimeout: this.#flag('net.connect_timeout_log_error'),
      ioTimeoutMs: this.#number('net.io_timeout') * 1000,
      keepalive: this.#flag('net.keepalive'),
      idleTimeoutMs: Math.max(this.#number('net.keepalive_idle_timeout'), 0) * 1000,
      usesMax: this.#number('net.keepalive_max_recycle'),
      connectionsMax: this.#number('net.max_worker_connections'),
      tcpKeepalive: this.#flag('net.tcp_keepalive')
        ? {
            timeSeconds: this.#number('net.tcp_keepalive_time'),
            intervalSeconds: this.#number('net.tcp_keepalive_interval'),
            probes: this.#number('net.tcp_keepalive_probes')
          }
        : undefined
    }
  }

  #sourceAddress(): string | undefined {
    const address = this.#text('net.source_address')
    if (address === undefined || isIP(address) > 0) return address
    const message = `value must be an IP address: current value is "${address}"`
    throw this.#owner.invalid('net.source_address', message)
  }

  /** With the proxy of the environment, where it is for the endpoint's host. */
  #proxied(endpoint: EndpointSettings): EndpointSettings {
    return { ...endpoint, proxy: this.#proxyFor(endpoint.host) }
  }

  /** Source: reference section 15.1; `HTTPS_PROXY` is not read, as in Fluent Bit. */
  #proxyFor(host: string): ProxySettings | undefined {
    if (this.#flag('net.proxy_env_ignore')) return undefined
    const { expand } = this.#owner
    const written = expand('${HTTP_PROXY}') || expand('${http_proxy}')
    if (written === '') return undefined
    const without = expand('${NO_PROXY}') || expand('${no_proxy}')
    if (without.split(',').some(entry => entry.trim() === '*' || entry.trim() === host)) {
      return undefined
    }
    const match =
      /^(?<scheme>https?):\/\/(?:(?<user>[^:@/]*)(?::(?<password>[^@/]*))?@)?(?<host>\[[^\]]+\]|[^:/@]+)(?::(?<port>\d+))?\/?$/.exec(
        written
      )
    if (match?.groups === undefined || Number(match.groups['port'] ?? 0) > PORT_MAX) {
      throw this.#owner.invalid(
        'net.proxy_env_ignore',
        'the proxy that HTTP_PROXY names must be like http://user:password@host:port; true ignores it'
      )
    }
    const { scheme, user, password, host: proxyHost = '', port } = match.groups
    return {
      host: proxyHost.replace(/^\[(.*)\]$/, '$1'),
      port: port === undefined ? (scheme === 'https' ? 443 : 80) : Number(port),
      user,
      password,
      tls: scheme === 'https' ? this.#proxyTls() : undefined
    }
  }

  #proxyTls(): TlsSettings {
    return {
      verify: this.#flag('tls.proxy.verify'),
      verifyHostname: this.#flag('tls.proxy.verify_hostname'),
      verifyClient: false,
      caFile: this.#text('tls.proxy.ca_file'),
      caPath: this.#text('tls.proxy.ca_path')
    }
  }

  #endpoint(defaults: RemoteDefaults): EndpointSettings {
    const host = this.#text('host') ?? defaults.host ?? '127.0.0.1'
    const port = this.#number('port') || defaults.port
    const { via, unixPath, isSecure = false } = defaults
    this.#checkAddress(host, port)
    const name = `${host}:${port}`
    const tls = isSecure ? this.#tlsSettings(this.#spec.values) : this.tls
    return { name, host, port, ...via, unixPath, tls, properties: {} }
  }

  #node(
    values: Readonly<Record<string, unknown>>,
    properties: Readonly<Record<string, unknown>>
  ): EndpointSettings {
    const { name, host, port } = values
    this.#checkAddress(String(host), Number(port))
    return {
      name: String(name),
      host: String(host),
      port: Number(port),
      tls: this.#tlsOf(values),
      properties
    }
  }

  #checkAddress(host: string, port: number): void {
    if (port < 0 || port > PORT_MAX) {
      const message = `value must be 0 to ${PORT_MAX}: current value is "${port}"`
      throw this.#owner.invalid('port', message)
    }
    if (NOT_IN_ADDRESS.test(host)) {
      const message = 'value must have neither spaces nor control characters'
      throw this.#owner.invalid('host', message)
    }
  }

  #listen({ host, port: usual, unix }: ListenDefaults): ListenerSettings {
    const address = this.#text('listen') ?? this.#text('host') ?? host ?? '0.0.0.0'
    const port = this.#number('port') || usual
    this.#checkAddress(address, port)
    const tls = unix === undefined ? this.tls : undefined
    if (tls !== undefined && tls.certFile === undefined) {
      throw this.#owner.invalid('tls', 'tls.crt_file is missing, the certificate of the server')
    }
    if (tls !== undefined && tls.keyFile === undefined) {
      throw this.#owner.invalid('tls', 'tls.key_file is missing, the private key of the server')
    }
    return { host: address, port, unix, server: this.server, tls }
  }

  #listenerHost(): ListenerHost {
    const { log, clock } = this.#owner
    const gate = this.#gate
    return {
      log,
      clock,
      get paused() {
        return gate.paused
      },
      ready: () => gate.ready(),
      connectionEnded: reason =>
        this.#owner
          .counter('spillway_connections_refused_total', 'Connections ended by us, by reason.', {
            reason
          })
          .add(1)
    }
  }

  #tlsOf(values: Readonly<Record<string, unknown>>): TlsSettings | undefined {
    return values['tls'] === true ? this.#tlsSettings(values) : undefined
  }

  #tlsSettings(values: Readonly<Record<string, unknown>>): TlsSettings {
    const text = (key: string): string | undefined => textOf(values, key)
    return {
      verify: values['tls.verify'] === true,
      verifyHostname: values['tls.verify_hostname'] === true,
      verifyClient: values['tls.verify_client_cert'] === true,
      caFile: text('tls.ca_file'),
      caPath: text('tls.ca_path'),
      certFile: text('tls.crt_file'),
      keyFile: text('tls.key_file'),
      keyPassword: text('tls.key_passwd'),
      serverName: text('tls.vhost'),
      minVersion: this.#tlsVersion('tls.min_version', text('tls.min_version')),
      maxVersion: this.#tlsVersion('tls.max_version', text('tls.max_version')),
      ciphers: text('tls.ciphers')
    }
  }

  #tlsVersion(key: string, written: string | undefined): TlsVersion | undefined {
    if (written === undefined) return undefined
    const found = TLS_VERSIONS.find(version => version.toLowerCase() === written.toLowerCase())
    if (found !== undefined) return found
    const wanted = `value must be one of ${TLS_VERSIONS.join(', ')}`
    throw this.#owner.invalid(key, `${wanted}: current value is "${written}"`)
  }

  /** What is wrong with certificates shows when they are read; it belongs to the key `tls`. */
  #checked<T>(make: () => T): T {
    try {
      return make()
    } catch (cause) {
      if (!(cause instanceof Error)) throw cause
      throw this.#owner.badTlsFiles(cause.message)
    }
  }

  /** The older name of a key goes before the newer one, where both are written. */
  #either(name: string): unknown {
    const isOld = this.#spec.written.some(({ key }) => key === name)
    return this.#spec.values[isOld ? name : `http_server.${name}`]
  }

  #text(key: string): string | undefined {
    return textOf(this.#spec.values, key)
  }

  #number(key: string): number {
    return numberValue(this.#spec, key)
  }

  /** @param usual Where the plugin does not have the key. */
  #numberOr(key: string, usual: number): number {
    return this.#spec.values[key] === undefined ? usual : this.#number(key)
  }

  #flag(key: string): boolean {
    return this.#spec.values[key] === true
  }
}

/** The text of a value; undefined when it is not set or empty. */
function textOf(values: Readonly<Record<string, unknown>>, key: string): string | undefined {
  const value = values[key]
  return typeof value === 'string' && value !== '' ? value : undefined
}
