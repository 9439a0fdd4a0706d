/**
 * HTTP/1.1 and HTTP/2 on one port: over TLS by ALPN, in clear by the preface with which HTTP/2 begins.
 * Source: Fluent Bit 5.1.1 src/http_server/flb_http_server.c. An `Upgrade: h2c` header is ignored, as there.
 *
 * `import` of node:http would load all that it can export, undici among it: 18 MB instead of 3.
 */
import type { IncomingMessage, Server as Http1Server, ServerResponse } from 'node:http'
import type { Http2Server, Http2Stream, ServerHttp2Session, ServerHttp2Stream } from 'node:http2'
import type { Socket } from 'node:net'
import type { TLSSocket } from 'node:tls'
import { allocateLasting } from '../codec/byte_kernel.ts'
import type { Compression } from '../codec/compression.ts'
import { CompressionError } from '../codec/compression_error.ts'
import {
  Http1Incoming,
  Http2Incoming,
  type HttpHead,
  type HttpReply,
  type Incoming
} from './http_incoming.ts'
import { type ListenerHost, type ListenerSettings, SocketListener } from './listener.ts'

export type { HttpHead, HttpReply } from './http_incoming.ts'

export interface HttpServerSettings extends ListenerSettings {
  readonly http2: boolean
  /** Longest silence of a connection, and longest time for the head of a request; 0 is no limit. */
  readonly idleTimeoutMs: number
  /** Until the first request of a connection begins, and for the head of each; `idleTimeoutMs` unless given. */
  readonly headTimeoutMs?: number
  /** Longest body, as it comes and expanded. */
  readonly bodyBytesMax: number
}

export interface HttpRequest extends HttpHead {
  /**
   * Expanded, where the request says that it is compressed. The memory is used again when `handle` has returned, whether
   * its promise is settled or not.
   */
  readonly body: Buffer
}

export interface HttpHandler {
  /** Looks at a request before its body is read; a reply ends it. Says who may send what. */
  check?(head: HttpHead): HttpReply | undefined | Promise<HttpReply | undefined>
  handle(request: HttpRequest): HttpReply | Promise<HttpReply>
}

/** Lines before the body, all together. */
const HEADER_BYTES_MAX = 65_536
const HEADERS_MAX = 200

/** Streams of one HTTP/2 connection. */
const STREAMS_MAX = 100

/**
 * Requests of an HTTP/1.1 connection that are being answered. A piece of 64 KB has 1,500 in it, and all their answers would
 * wait in memory for a client that does not read.
 */
const PIPELINED_MAX = 16

/** Of an HTTP/2 connection, in megabytes; Node's unit. */
const SESSION_MEGABYTES_MAX = 10

/** Longest time for a whole request, however steadily it comes. */
const REQUEST_MS_MAX = 300_000

/** Bodies that are being read or handled, of all connections together; beyond it requests have to come again. */
const BODIES_BYTES_MAX = 268_435_456

/** Bodies up to this size are put together in one buffer, in the byte kernel's memory. */
const SHARED_BYTES = 262_144

/** Of all servers: what is in it is read at once. */
let shared: Buffer | undefined

/** Of RFC 9113, section 7. */
const CANCEL = 8

const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')

const ENCODINGS: ReadonlyMap<string, Compression | 'identity'> = new Map([
  ['gzip', 'gzip'],
  ['x-gzip', 'gzip'],
  ['deflate', 'deflate'],
  ['zstd', 'zstd'],
  ['snappy', 'snappy'],
  ['identity', 'identity'],
  ['', 'identity']
])

/** Requests of one connection. */
interface Turns {
  /** That are being answered. */
  open: number
  /** Each takes one on; in the order in which they came. */
  readonly waiting: (() => void)[]
}

/** A body as it came. */
interface BodyPieces {
  readonly pieces: readonly Buffer[]
  readonly length: number
}

export class HttpServer {
  readonly #settings: HttpServerSettings
  readonly #host: ListenerHost
  readonly #handler: HttpHandler
  readonly #listener: SocketListener
  readonly #http1: Http1Server
  /** Made for the first connection that speaks it: Node's module takes 10 MB. */
  #http2: Http2Server | undefined
  readonly #sessions = new Set<ServerHttp2Session>()
  /** Connections on which it is for us to do something, and for how many requests. */
  readonly #waiting = new Map<object, number>()
  /** By connection of HTTP/1.1. */
  readonly #turns = new WeakMap<Socket, Turns>()
  #bodyBytes = 0

  /** @throws {Error} When files of TLS cannot be used. */
  constructor(settings: HttpServerSettings, host: ListenerHost, handler: HttpHandler) {
    this.#settings = settings
    this.#host = host
    this.#handler = handler
    const alpn = settings.http2 ? ['h2', 'http/1.1', 'http/1.0'] : ['http/1.1', 'http/1.0']
    this.#listener = new SocketListener({ ...settings, alpn }, host, socket => this.#take(socket))
    this.#http1 = this.#newHttp1()
  }

  get host(): string {
    return this.#settings.host
  }

  get port(): number {
    return this.#listener.port
  }

  /** Longest body that is taken. */
  get bodyBytesMax(): number {
    return this.#settings.bodyBytesMax
  }

  get connections(): number {
    return this.#listener.connections
  }

  async start(): Promise<void> {
    // It gets its connections from elsewhere; so the watch over their requests has to be started. Not before: nobody ends
    // the timer of a server that was made to check its settings.
    this.#http1.emit('listening')
    try {
      await this.#listener.start()
    } catch (cause) {
      this.#http1.close()
      throw cause
    }
  }

  async stop(): Promise<void> {
    for (const session of this.#sessions) session.destroy()
    // It never listened itself; this ends its own timer.
    this.#http1.close()
    await this.#listener.stop()
  }

  /** Finds out which protocol a connection speaks. */
  #take(socket: Socket | TLSSocket): void {
    const { idleTimeoutMs, headTimeoutMs = idleTimeoutMs } = this.#settings
    if (headTimeoutMs > 0) socket.setTimeout(headTimeoutMs, () => this.#idle(socket))
    const protocol = 'alpnProtocol' in socket ? socket.alpnProtocol : undefined
    if (protocol === 'h2') this.#takeHttp2(socket)
    else if (!this.#settings.http2 || typeof protocol === 'string') this.#takeHttp1(socket)
    else this.#sniff(socket)
  }

  #sniff(socket: Socket): void {
    let begin: Buffer = Buffer.alloc(0)
    const look = (bytes: Buffer): void => {
      begin = begin.length === 0 ? bytes : Buffer.concat([begin, bytes])
      const length = Math.min(begin.length, PREFACE.length)
      const isLikePreface = PREFACE.compare(begin, 0, length, 0, length) === 0
      if (isLikePreface && begin.length < PREFACE.length) return
      socket.off('data', look)
      socket.pause()
      socket.unshift(begin)
      if (isLikePreface) {
        this.#takeHttp2(socket)
        return
      }
      this.#takeHttp1(socket)
      socket.resume()
    }
    socket.on('data', look)
  }

  /** Who has ended its side still gets the answer that it waits for. */
  #takeHttp1(socket: Socket): void {
    socket.allowHalfOpen = true
    this.#http1.emit('connection', socket)
  }

  #takeHttp2(socket: Socket): void {
    // The socket does not notice what goes on in its session, which has a timer of its own.
    socket.setTimeout(0)
    this.#http2 ??= this.#newHttp2()
    this.#http2.emit('connection', socket)
  }

  #newHttp1(): Http1Server {
    const {
      idleTimeoutMs,
      headTimeoutMs = idleTimeoutMs,
      server: { keepalive }
    } = this.#settings
    const server = process.getBuiltinModule('node:http').createServer({
      maxHeaderSize: HEADER_BYTES_MAX,
      keepAliveTimeout: idleTimeoutMs,
      headersTimeout: Math.min(headTimeoutMs, REQUEST_MS_MAX),
      requestTimeout: idleTimeoutMs > 0 ? REQUEST_MS_MAX : 0,
      connectionsCheckingInterval: 1000,
      requireHostHeader: false
    })
    server.maxHeadersCount = HEADERS_MAX
    // Node's documentation has no word of it: `end` of a socket leaves its other side open while an answer is due.
    Object.assign(server, { httpAllowHalfOpen: true })
    server.timeout = idleTimeoutMs
    server.on('timeout', socket => this.#idle(socket))
    const serve = (request: IncomingMessage, response: ServerResponse): void => {
      response.on('error', () => undefined)
      this.#inTurn(request.socket, response, () => {
        void this.#serve(new Http1Incoming(request, response, keepalive, this.#host.clock))
      })
    }
    server.on('request', serve)
    // The body is wanted only when the head is.
    server.on('checkContinue', serve)
    server.on('clientError', (cause: NodeJS.ErrnoException, socket) => {
      if (cause.code === 'ECONNRESET' || !socket.writable) {
        socket.destroy()
        return
      }
      const isLate = cause.code === 'ERR_HTTP_REQUEST_TIMEOUT'
      this.#host.connectionEnded(isLate ? 'request_timeout' : 'malformed_request')
      const status = isLate
        ? '408 Request Timeout'
        : cause.code === 'HPE_HEADER_OVERFLOW'
          ? '431 Request Header Fields Too Large'
          : '400 Bad Request'
      socket.end(`HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`)
    })
    return server
  }

  #newHttp2(): Http2Server {
    const server = process.getBuiltinModule('node:http2').createServer({
      maxSessionMemory: SESSION_MEGABYTES_MAX,
      maxHeaderListPairs: HEADERS_MAX,
      settings: { maxConcurrentStreams: STREAMS_MAX, maxHeaderListSize: HEADER_BYTES_MAX }
    })
    server.on('session', session => {
      this.#sessions.add(session)
      const { idleTimeoutMs } = this.#settings
      session.setTimeout(idleTimeoutMs)
      session.on('timeout', () => this.#idle(session))
      session.once('close', () => this.#sessions.delete(session))
      session.on('error', () => this.#host.connectionEnded('malformed_request'))
    })
    server.on('stream', (stream, headers) => {
      this.#limit(stream)
      // Its type says less than it is.
      void this.#serve(new Http2Incoming(stream as ServerHttp2Stream, headers, this.#host.clock))
    })
    server.on('sessionError', () => undefined)
    return server
  }

  /** Takes a request on once few enough of its connection are being answered. */
  #inTurn(socket: Socket, response: ServerResponse, take: () => void): void {
    let turns = this.#turns.get(socket)
    if (turns === undefined) this.#turns.set(socket, (turns = { open: 0, waiting: [] }))
    const { waiting } = turns
    const begin = (): void => {
      if (socket.destroyed) return
      turns.open++
      response.once('close', () => {
        turns.open--
        // Others have their turn between two.
        if (waiting.length > 0) setImmediate(() => waiting.shift()?.())
      })
      take()
    }
    if (turns.open < PIPELINED_MAX) begin()
    else waiting.push(begin)
  }

  /** Ends a stream whose body does not come to an end; over HTTP/1.1 Node does it. */
  #limit(stream: Http2Stream): void {
    if (this.#settings.idleTimeoutMs === 0) return
    const timer = this.#host.clock.after(REQUEST_MS_MAX, () => {
      if (stream.readableEnded) return
      this.#host.connectionEnded('request_timeout')
      stream.close(CANCEL)
    })
    stream.once('close', () => timer.cancel())
  }

  /** Ends a connection on which nothing comes, unless it waits for us. */
  #idle(connection: Socket | ServerHttp2Session): void {
    if (connection.destroyed || this.#waiting.has(connection)) return
    this.#host.connectionEnded('idle')
    connection.destroy()
  }

  async #serve(incoming: Incoming): Promise<void> {
    incoming.body.on('error', () => undefined)
    this.#hold(incoming)
    try {
      const reply = await this.#replyTo(incoming)
      if (reply !== undefined) incoming.answer(reply)
    } finally {
      this.#release(incoming)
    }
  }

  #hold({ connection }: Incoming): void {
    this.#waiting.set(connection, (this.#waiting.get(connection) ?? 0) + 1)
  }

  #release({ connection }: Incoming): void {
    const left = (this.#waiting.get(connection) ?? 1) - 1
    if (left > 0) this.#waiting.set(connection, left)
    else this.#waiting.delete(connection)
  }

  /** Undefined when the connection is gone. */
  async #replyTo(incoming: Incoming): Promise<HttpReply | undefined> {
    const { head } = incoming
    const refusal = await this.#handler.check?.(head)
    if (refusal !== undefined) return refusal
    const { bodyBytesMax } = this.#settings
    if (Number(head.headers['content-length'] ?? 0) > bodyBytesMax) return this.#tooLarge()
    const encoding = ENCODINGS.get(head.headers['content-encoding']?.trim().toLowerCase() ?? '')
    if (encoding === undefined) return { status: 415 }
    if (this.#host.paused) return this.#busy('paused')
    if (this.#bodyBytes > BODIES_BYTES_MAX) return this.#busy('busy')
    await this.#host.ready()
    incoming.welcome()
    this.#release(incoming)
    const body = await this.#readBody(incoming)
    this.#hold(incoming)
    if (body === 'aborted') return undefined
    if (body === 'too_large') return this.#tooLarge()
    if (body === 'busy') return this.#busy('busy')
    try {
      return await this.#handle(head, body, encoding)
    } finally {
      this.#bodyBytes -= body.length
    }
  }

  async #handle(
    head: HttpHead,
    body: BodyPieces,
    encoding: Compression | 'identity'
  ): Promise<HttpReply> {
    const { pieces, length } = body
    if (encoding === 'identity' || length === 0) {
      return this.#handler.handle({ ...head, body: join(pieces, length) })
    }
    try {
      const { bodyBytesMax } = this.#settings
      // Much code, for those who compress.
      const { expand } = await import('../codec/compression.ts')
      const expanded = await expand(encoding, Buffer.concat(pieces), bodyBytesMax)
      return await this.#handler.handle({ ...head, body: join([expanded], expanded.length) })
    } catch (cause) {
      if (!(cause instanceof CompressionError)) throw cause
      if (cause.reason === 'too_large') return this.#tooLarge()
      this.#host.connectionEnded('bad_compression')
      return { status: 400 }
    }
  }

  /** Its bytes are counted in `#bodyBytes` where it comes whole. */
  async #readBody(incoming: Incoming): Promise<BodyPieces | 'aborted' | 'too_large' | 'busy'> {
    const { bodyBytesMax } = this.#settings
    const { body } = incoming
    const pieces: Buffer[] = []
    let length = 0
    const end = await new Promise<'whole' | 'aborted' | 'too_large' | 'busy'>(resolve => {
      body.on('data', (piece: Buffer) => {
        length += piece.length
        this.#bodyBytes += piece.length
        if (length > bodyBytesMax) resolve('too_large')
        else if (this.#bodyBytes > BODIES_BYTES_MAX) resolve('busy')
        else pieces.push(piece)
      })
      body.once('end', () => resolve(incoming.isWhole ? 'whole' : 'aborted'))
      body.once('close', () => resolve('aborted'))
    })
    if (end === 'whole') return { pieces, length }
    this.#bodyBytes -= length
    body.removeAllListeners('data').resume()
    return end
  }

  #busy(reason: string): HttpReply {
    this.#host.connectionEnded(reason)
    return { status: 503, headers: [['Retry-After', '1']] }
  }

  #tooLarge(): HttpReply {
    this.#host.connectionEnded('body_too_large')
    return { status: 413 }
  }
}

/** New memory for each body of 85 KB had the garbage collector do a fifth of all work. */
function join(pieces: readonly Buffer[], length: number): Buffer {
  if (length > SHARED_BYTES) return Buffer.concat(pieces)
  shared ??= allocateLasting(SHARED_BYTES)
  let at = 0
  for (const piece of pieces) at += piece.copy(shared, at)
  return shared.subarray(0, length)
}
