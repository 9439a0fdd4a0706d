/**
 * Makes one connection: look up the host, connect, through a proxy where there is one, and shake hands.
 * Source: Fluent Bit 5.1.1 src/flb_network.c flb_net_tcp_connect(), src/flb_io.c flb_io_net_connect(), src/tls/flb_tls.c
 */
import { ADDRCONFIG } from 'node:dns'
import { lookup } from 'node:dns/promises'
import { connect, isIP, type Socket } from 'node:net'
import type { TLSSocket } from 'node:tls'
import type { Clock } from '../base/clock.ts'
import type { Logger } from '../base/log.ts'
import { addressOrder, hostAndPort } from './address.ts'
import { NetworkError, networkError } from './network_error.ts'
import type { ClientSettings, EndpointSettings, ProxySettings } from './settings.ts'
import { TlsFiles } from './tls_files.ts'

/** Of a proxy's answer to CONNECT, no more than this is read. */
const PROXY_ANSWER_BYTES_MAX = 8_192

export class Connector {
  readonly endpoint: EndpointSettings
  readonly #settings: ClientSettings
  readonly #clock: Clock
  readonly #tls: TlsFiles | undefined
  readonly #proxyTls: TlsFiles | undefined
  /** Those under way. */
  readonly #attempts = new Set<Attempt>()

  /** @throws {Error} When files of TLS cannot be used. */
  constructor(endpoint: EndpointSettings, settings: ClientSettings, log: Logger, clock: Clock) {
    const { proxy } = endpoint
    this.endpoint = endpoint
    this.#settings = settings
    this.#clock = clock
    this.#tls = endpoint.tls && new TlsFiles(endpoint.tls, log, clock)
    this.#proxyTls = proxy?.tls && new TlsFiles(proxy.tls, log, clock)
  }

  /**
   * A socket that is ready for the protocol.
   *
   * @throws {NetworkError} With the reason `connection_timeout` when it takes longer than `connectTimeoutMs`.
   */
  async connect(): Promise<Socket> {
    const { connectTimeoutMs: limitMs } = this.#settings
    const attempt = new Attempt()
    this.#attempts.add(attempt)
    const timer =
      limitMs > 0
        ? this.#clock.after(limitMs, () => {
            const seconds = limitMs / 1000
            const words = `timed out after ${seconds} seconds (connection timeout)`
            attempt.abandon(new NetworkError('connection_timeout', words))
          })
        : undefined
    try {
      return await Promise.race([this.#connect(attempt), attempt.abandoned])
    } catch (cause) {
      const error = networkError(cause)
      attempt.abandon(error)
      throw error
    } finally {
      timer?.cancel()
      this.#attempts.delete(attempt)
    }
  }

  /** Gives up what is under way, with the reason `shutdown`. */
  close(): void {
    for (const attempt of this.#attempts) attempt.abandon(new NetworkError('shutdown', 'closed'))
  }

  async #connect(attempt: Attempt): Promise<Socket> {
    const { host, port, unixPath, proxy } = this.endpoint
    if (unixPath !== undefined)
      return this.#secure(await attempt.socket(connect(unixPath)), attempt)
    if (proxy === undefined) return this.#secure(await this.#open(host, port, attempt), attempt)
    let socket = await this.#open(proxy.host, proxy.port, attempt)
    if (this.#proxyTls !== undefined) {
      socket = await shakeHands(socket, proxy.host, this.#proxyTls, attempt)
    }
    await askForTunnel(socket, proxy, hostAndPort(host, port))
    return this.#secure(socket, attempt)
  }

  /** Tries the addresses of a host one after the other. */
  async #open(host: string, port: number, attempt: Attempt): Promise<Socket> {
    const { sourceAddress, tcpKeepalive } = this.#settings
    let failure: unknown = new NetworkError('unknown_host', 'Domain name not found')
    for (const address of await this.#addressesOf(host)) {
      if (attempt.isOver) break
      const options = { host: address, port, noDelay: true, autoSelectFamily: false }
      try {
        const socket = await attempt.socket(
          connect(
            sourceAddress === undefined ? options : { ...options, localAddress: sourceAddress }
          )
        )
        if (tcpKeepalive !== undefined) {
          const { timeSeconds, intervalSeconds, probes } = tcpKeepalive
          const initialDelay = timeSeconds > 0 ? timeSeconds * 1000 : 0
          const interval = intervalSeconds > 0 ? { interval: intervalSeconds * 1000 } : {}
          const count = probes > 0 ? { count: probes } : {}
          socket.setKeepAlive({ enable: true, initialDelay, ...interval, ...count })
        }
        return socket
      } catch (cause) {
        failure = cause
      }
    }
    throw networkError(failure)
  }

  async #addressesOf(host: string): Promise<string[]> {
    if (isIP(host.replace(/%.*/, '')) > 0) return [host]
    const { family, prefer } = this.#settings
    const order = addressOrder(prefer)
    const found = await lookup(host, { all: true, family, order, hints: ADDRCONFIG })
    return found.map(({ address }) => address)
  }

  async #secure(socket: Socket, attempt: Attempt): Promise<Socket> {
    if (this.#tls === undefined) return socket
    return shakeHands(socket, this.endpoint.host, this.#tls, attempt)
  }
}

/** The sockets of one attempt, so that giving it up closes them. */
class Attempt {
  readonly #abandoned = Promise.withResolvers<never>()
  #socket: Socket | undefined
  isOver = false

  constructor() {
    // Whoever waits for the attempt hears of it; it may also have ended before.
    this.#abandoned.promise.catch(() => undefined)
  }

  get abandoned(): Promise<never> {
    return this.#abandoned.promise
  }

  abandon(error: NetworkError): void {
    this.isOver = true
    this.#socket?.destroy()
    this.#abandoned.reject(error)
  }

  /** Waits until a socket is connected. */
  async socket<S extends Socket>(socket: S, event = 'connect'): Promise<S> {
    this.#socket = socket
    if (this.isOver) socket.destroy()
    await new Promise<void>((resolve, reject) => {
      socket.once(event, resolve)
      socket.once('error', reject)
      socket.once('close', () =>
        reject(new NetworkError('connection_reset', 'Connection reset by peer'))
      )
    })
    socket.removeAllListeners('error')
    socket.removeAllListeners('close')
    // Nobody may be listening until the connection is used.
    socket.on('error', () => undefined)
    return socket
  }
}

async function shakeHands(
  socket: Socket,
  host: string,
  files: TlsFiles,
  attempt: Attempt
): Promise<TLSSocket> {
  const { verify, verifyHostname, serverName } = files.settings
  const name = serverName ?? host
  const { connect: connectTls, checkServerIdentity } = process.getBuiltinModule('node:tls')
  const secured = connectTls({
    socket,
    secureContext: files.current.context,
    rejectUnauthorized: verify,
    ...(isIP(name) > 0 ? {} : { servername: name }),
    checkServerIdentity: (_, certificate) =>
      verifyHostname ? checkServerIdentity(name, certificate) : undefined
  })
  return attempt.socket(secured, 'secureConnect')
}

/** Source: RFC 9110 section 9.3.6; the request is Fluent Bit's (src/flb_http_client.c). */
async function askForTunnel(socket: Socket, proxy: ProxySettings, target: string): Promise<void> {
  const { user, password = '' } = proxy
  const credentials = Buffer.from(`${user}:${password}`).toString('base64')
  const authorization = user === undefined ? '' : `Proxy-Authorization: Basic ${credentials}\r\n`
  socket.write(
    `CONNECT ${target} HTTP/1.1\r\nHost: ${target}\r\nProxy-Connection: KeepAlive\r\n${authorization}\r\n`
  )
  const answer = await readHead(socket)
  const status = /^HTTP\/1\.[01] (?<status>\d{3})/.exec(answer)?.groups?.['status']
  if (status === '200') return
  const what = status === undefined ? 'an answer that is not HTTP' : `status ${status}`
  throw new NetworkError('proxy_refused', `the proxy answered CONNECT with ${what}`)
}

/** Reads up to the empty line; what follows stays in the socket, for the protocol in the tunnel. */
async function readHead(socket: Socket): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>()
  let head = ''
  const take = (): void => {
    for (;;) {
      const bytes: unknown = socket.read()
      if (!Buffer.isBuffer(bytes)) return
      head += bytes.latin1Slice()
      const length = head.indexOf('\r\n\r\n') + 4
      if (length >= 4) {
        socket.off('readable', take)
        if (head.length > length) socket.unshift(Buffer.from(head.slice(length), 'latin1'))
        resolve(head.slice(0, length))
        return
      }
      if (head.length > PROXY_ANSWER_BYTES_MAX) {
        reject(new NetworkError('proxy_refused', 'the answer of the proxy is too long'))
        return
      }
    }
  }
  const closed = (): void =>
    reject(new NetworkError('proxy_refused', 'the proxy closed the connection'))
  // Not 'data': taking that away again would leave the socket paused.
  socket.on('readable', take)
  socket.once('close', closed)
  try {
    return await promise
  } finally {
    socket.off('readable', take)
    socket.off('close', closed)
  }
}
