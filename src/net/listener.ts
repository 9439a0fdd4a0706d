/**
 * Takes connections of streams: TCP, TLS and unix sockets, with bounds on how many there are and how long they may take.
 * Source: Fluent Bit 5.1.1 src/flb_downstream.c, src/flb_network.c flb_net_server(). Differs: while the input is held
 * back its connections stay open and are not read, where Fluent Bit closes them.
 */
import { chmodSync, lstatSync, unlinkSync } from 'node:fs'
import { createServer, type Server, type Socket } from 'node:net'
import type { SecureContextOptions, Server as TlsServer, TLSSocket } from 'node:tls'
import type { Clock, Timer } from '../base/clock.ts'
import { CONNECTIONS_MAX } from '../base/limits.ts'
import type { Logger } from '../base/log.ts'
import { systemError } from '../base/system_error.ts'
import { hostAndPort, plainAddress } from './address.ts'
import type { ServerSettings, TlsSettings } from './settings.ts'
import { TlsFiles } from './tls_files.ts'

export interface ListenerSettings {
  readonly host: string
  readonly port: number
  /** A unix socket, instead of host and port. */
  readonly unix?: { readonly path: string; readonly permissions: number } | undefined
  readonly server: ServerSettings
  readonly tls: TlsSettings | undefined
  /** Protocols to choose from by ALPN, the best first. */
  readonly alpn?: readonly string[]
  /** Connections at once, `CONNECTIONS_MAX` unless given. */
  readonly connectionsMax?: number
}

/** What the listener is held back by, and tells of what it does. */
export interface ListenerHost {
  readonly log: Logger
  readonly clock: Clock
  /** True while nothing is to be read. */
  readonly paused: boolean
  /** Undefined when more can be read at once; otherwise resolves when it can. */
  ready(): Promise<void> | undefined
  /** Counts a connection that was refused or ended for a reason. */
  connectionEnded(reason: string): void
}

/** Where a connection comes from; a unix socket has an empty address and port 0. */
export interface Peer {
  readonly address: string
  readonly port: number
}

/** Bytes of answers that a peer may leave unread. */
const UNSENT_BYTES_MAX = 1_048_576

/** Silence after which the system asks a peer whether it is still there. */
const PROBE_AFTER_MS = 60_000

/** An open connection. */
export class ServerConnection {
  readonly socket: Socket
  readonly peer: Peer
  readonly #host: ListenerHost
  #isClosed = false

  constructor(socket: Socket, peer: Peer, host: ListenerHost) {
    this.socket = socket
    this.peer = peer
    this.#host = host
    socket.once('close', () => (this.#isClosed = true))
  }

  /** False once it is closed: what still comes is of no interest. */
  get isOpen(): boolean {
    return !this.#isClosed
  }

  write(bytes: Uint8Array | string): void {
    if (this.#isClosed) return
    this.socket.write(bytes)
    if (this.socket.writableLength > UNSENT_BYTES_MAX) this.close('slow_reader')
  }

  /** Ends it; with a reason, which is counted, at once, else when all is sent. */
  close(reason?: string): void {
    if (this.#isClosed) return
    this.#isClosed = true
    if (reason === undefined) {
      this.socket.destroySoon()
      return
    }
    this.#host.connectionEnded(reason)
    this.socket.destroy()
  }
}

/** What is done with one connection. */
export interface StreamHandler {
  /** Takes the next bytes, which are the handler's to keep. No more come before a promise that it gives is settled. */
  data(bytes: Buffer): void | Promise<void>
  /** The peer has ended its side; nothing more comes. The connection is closed afterwards. */
  end?(): void
  /** The connection is gone, for whatever reason; called once, last. */
  closed?(): void
}

/** Takes a socket over whole; for protocols with a server of their own. */
export type TakeSocket = (socket: Socket | TLSSocket) => void

/** Listens, and gives every connection, after its TLS handshake, to `take`. */
export class SocketListener {
  readonly #settings: ListenerSettings
  readonly #host: ListenerHost
  readonly #take: TakeSocket
  readonly #server: Server
  readonly #tls: { readonly server: TlsServer; readonly files: TlsFiles } | undefined
  #options: SecureContextOptions | undefined
  readonly #sockets = new Set<Socket>()

  /** @throws {Error} When files of TLS cannot be used. */
  constructor(settings: ListenerSettings, host: ListenerHost, take: TakeSocket) {
    this.#settings = settings
    this.#host = host
    this.#take = take
    this.#tls = settings.tls && this.#newTls(settings.tls)
    this.#server = createServer({
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: PROBE_AFTER_MS
    })
    this.#server.on('connection', socket => this.#accept(socket))
  }

  /** Open connections, those that shake hands among them. */
  get connections(): number {
    return this.#sockets.size
  }

  get host(): string {
    return this.#settings.host
  }

  /** The port that it listens on; the given one, unless that was 0. */
  get port(): number {
    const address = this.#server.address()
    return typeof address === 'object' && address !== null ? address.port : this.#settings.port
  }

  /** @throws {Error} When the address cannot be had; the message names it. */
  async start(): Promise<void> {
    const { host, port, unix, server } = this.#settings
    const { backlog, sharesPort: reusePort } = server
    if (unix !== undefined) removeStale(unix.path)
    const target = unix === undefined ? { host, port, reusePort } : { path: unix.path }
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', cause => {
        const where = unix?.path ?? hostAndPort(host, port)
        reject(new Error(`Cannot listen on ${where}: ${systemError(cause).text}`))
      })
      this.#server.listen({ ...target, backlog: backlog > 0 ? backlog : 511 }, resolve)
    })
    this.#server.removeAllListeners('error')
    // Too many open files, say: the connection is lost, the listener goes on.
    this.#server.on('error', cause => {
      this.#host.connectionEnded('accept_failed')
      this.#host.log.error(`cannot accept a connection: ${systemError(cause).text}`)
    })
    if (unix !== undefined) chmodSync(unix.path, unix.permissions)
  }

  /** Takes no more connections and closes those that are open. */
  async stop(): Promise<void> {
    const { unix } = this.#settings
    const wasListening = this.#server.listening
    const closed = new Promise<void>(resolve => this.#server.close(() => resolve()))
    for (const socket of this.#sockets) socket.destroy()
    await closed
    if (unix !== undefined && wasListening) removeStale(unix.path)
  }

  #accept(socket: Socket): void {
    const { connectionsMax = CONNECTIONS_MAX } = this.#settings
    socket.on('error', () => undefined)
    if (this.#sockets.size >= connectionsMax) {
      this.#host.connectionEnded('too_many_connections')
      socket.destroy()
      return
    }
    this.#sockets.add(socket)
    socket.once('close', () => this.#sockets.delete(socket))
    if (this.#tls === undefined) {
      this.#take(socket)
      return
    }
    this.#renewCertificates()
    this.#tls.server.emit('connection', socket)
  }

  #renewCertificates(): void {
    if (this.#tls === undefined) return
    const { options } = this.#tls.files.current
    if (options !== this.#options) this.#tls.server.setSecureContext(options)
    this.#options = options
  }

  #newTls(settings: TlsSettings): { server: TlsServer; files: TlsFiles } {
    const { log, clock } = this.#host
    const { alpn, server: limits } = this.#settings
    const files = new TlsFiles(settings, log, clock)
    const server = process.getBuiltinModule('node:tls').createServer({
      requestCert: settings.verifyClient,
      rejectUnauthorized: settings.verifyClient,
      ...(limits.acceptTimeoutMs > 0 ? { handshakeTimeout: limits.acceptTimeoutMs } : {}),
      ...(alpn === undefined ? {} : { ALPNProtocols: [...alpn] })
    })
    server.on('secureConnection', socket => {
      socket.on('error', () => undefined)
      this.#take(socket)
    })
    server.on('tlsClientError', (cause: NodeJS.ErrnoException, socket) => {
      const isLate = cause.code === 'ERR_TLS_HANDSHAKE_TIMEOUT'
      this.#host.connectionEnded(isLate ? 'accept_timeout' : 'tls_handshake')
      const from = hostAndPort(plainAddress(socket.remoteAddress), socket.remotePort ?? 0)
      const why = isLate ? 'timed out' : cause.message.trim()
      if (isLate && !limits.reportsAcceptTimeout) log.debug(`TLS handshake with ${from} ${why}`)
      else log.error(`TLS handshake with ${from} failed: ${why}`)
      socket.destroy()
    })
    return { server, files }
  }
}

function removeStale(path: string): void {
  if (lstatSync(path, { throwIfNoEntry: false })?.isSocket() === true) unlinkSync(path)
}

/** Listens and has a handler for each connection, read no faster than the host takes it. */
export class StreamListener {
  readonly #listener: SocketListener
  readonly #host: ListenerHost
  readonly #ioTimeoutMs: number
  readonly #accept: (connection: ServerConnection) => StreamHandler
  readonly #sockets = new Set<Socket>()
  /** Those whose handler is not done with what it has. */
  readonly #busy = new Set<Socket>()
  /** Set while a promise for room is open. */
  #isWaiting = false
  #isPaused = false

  constructor(
    settings: ListenerSettings,
    host: ListenerHost,
    accept: (connection: ServerConnection) => StreamHandler
  ) {
    this.#host = host
    this.#accept = accept
    this.#ioTimeoutMs = settings.server.ioTimeoutMs
    this.#listener = new SocketListener(settings, host, socket => this.#serve(socket))
  }

  get host(): string {
    return this.#listener.host
  }

  get port(): number {
    return this.#listener.port
  }

  get connections(): number {
    return this.#listener.connections
  }

  async start(): Promise<void> {
    await this.#listener.start()
  }

  async stop(): Promise<void> {
    await this.#listener.stop()
  }

  pause(): void {
    this.#isPaused = true
    for (const socket of this.#sockets) socket.pause()
  }

  resume(): void {
    this.#isPaused = false
    this.#goOn()
  }

  #serve(socket: Socket): void {
    const { remoteAddress, remotePort = 0 } = socket
    const peer = { address: plainAddress(remoteAddress), port: remotePort }
    const connection = new ServerConnection(socket, peer, this.#host)
    const handler = this.#accept(connection)
    this.#sockets.add(socket)
    const watch =
      this.#ioTimeoutMs > 0 ? new IdleWatch(this.#ioTimeoutMs, connection, this.#host) : undefined
    socket.on('data', (bytes: Buffer) => {
      if (!connection.isOpen) return
      watch?.sign()
      const work = handler.data(bytes)
      if (work !== undefined) this.#awaitHandler(socket, work)
      if (!this.#isWaiting) this.#pace()
    })
    socket.once('end', () => {
      if (connection.isOpen) handler.end?.()
      connection.close()
    })
    socket.once('close', () => {
      watch?.cancel()
      this.#sockets.delete(socket)
      handler.closed?.()
    })
    if (this.#isStill) socket.pause()
  }

  get #isStill(): boolean {
    return this.#isPaused || this.#isWaiting
  }

  /** Stops reading all connections while deliveries have no room. */
  #pace(): void {
    const room = this.#host.ready()
    if (room === undefined) return
    this.#isWaiting = true
    for (const socket of this.#sockets) socket.pause()
    void room.then(() => {
      this.#isWaiting = false
      this.#goOn()
    })
  }

  #awaitHandler(socket: Socket, work: Promise<void>): void {
    this.#busy.add(socket)
    socket.pause()
    void work.finally(() => {
      this.#busy.delete(socket)
      if (!this.#isWaiting) this.#pace()
      if (!this.#isStill && !this.#host.paused) socket.resume()
    })
  }

  #goOn(): void {
    if (this.#isStill || this.#host.paused) return
    for (const socket of this.#sockets) if (!this.#busy.has(socket)) socket.resume()
  }
}

/** Closes a connection that is silent for too long. */
class IdleWatch {
  readonly #limitMs: number
  readonly #connection: ServerConnection
  readonly #clock: Clock
  #lastMs: number
  #timer: Timer

  constructor(limitMs: number, connection: ServerConnection, { clock }: ListenerHost) {
    this.#limitMs = limitMs
    this.#connection = connection
    this.#clock = clock
    this.#lastMs = clock.monotonic()
    this.#timer = this.#wait(limitMs)
  }

  sign(): void {
    this.#lastMs = this.#clock.monotonic()
  }

  cancel(): void {
    this.#timer.cancel()
  }

  /** One timer for many signs: it looks when the last known silence would be over. */
  #wait(delayMs: number): Timer {
    return this.#clock.after(delayMs, () => {
      const silentMs = this.#clock.monotonic() - this.#lastMs
      if (silentMs >= this.#limitMs) this.#connection.close('idle')
      else this.#timer = this.#wait(this.#limitMs - silentMs)
    })
  }
}
