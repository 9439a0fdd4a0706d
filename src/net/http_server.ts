/**
 * HTTP/1.1 and HTTP/2 on one port: over TLS by ALPN, in clear by the preface with which HTTP/2 begins.
 * Source: Fluent Bit 5.1.1 src/http_server/flb_http_server.c. An `Upgrade: h2c` header is ignored, as there.
 */
import {
  createServer as createHttp1,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type Server as Http1Server,
  type ServerResponse
} from 'node:http'
import {
  createServer as createHttp2,
  type Http2Server,
  type Http2ServerRequest,
  type Http2ServerResponse,
  type ServerHttp2Session
} from 'node:http2'
import type { Socket } from 'node:net'
import type { TLSSocket } from 'node:tls'
import { type Compression, CompressionError, expand } from '../codec/compression.ts'
import { plainAddress } from './address.ts'
import { type ListenerHost, type ListenerSettings, type Peer, SocketListener } from './listener.ts'

export interface HttpServerSettings extends ListenerSettings {
  readonly http2: boolean
  /** Longest silence of a connection, and longest time for a whole request; 0 is no limit. */
  readonly idleTimeoutMs: number
  /** Longest body, as it comes and expanded. */
  readonly bodyBytesMax: number
}

/** A request before its body has been read. */
export interface HttpHead {
  /** In capitals. */
  readonly method: string
  /** Without the query; not decoded. */
  readonly path: string
  /** What follows the `?`, empty when there is none. */
  readonly query: string
  /** Names in small letters. */
  readonly headers: IncomingHttpHeaders
  readonly peer: Peer
}

export interface HttpRequest extends HttpHead {
  /** Expanded, where the request says that it is compressed. */
  readonly body: Buffer
}

export interface HttpReply {
  readonly status: number
  /** Names and values. */
  readonly headers?: readonly (readonly [name: string, value: string])[]
  readonly body?: string | Uint8Array
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

/** Of an HTTP/2 connection, in megabytes; Node's unit. */
const SESSION_MEGABYTES_MAX = 10

const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')

const ENCODINGS: Readonly<Record<string, Compression | 'identity'>> = {
  gzip: 'gzip',
  'x-gzip': 'gzip',
  deflate: 'deflate',
  zstd: 'zstd',
  snappy: 'snappy',
  identity: 'identity',
  '': 'identity'
}

type Incoming = IncomingMessage | Http2ServerRequest
type Outgoing = ServerResponse | Http2ServerResponse

export class HttpServer {
  readonly #settings: HttpServerSettings
  readonly #host: ListenerHost
  readonly #handler: HttpHandler
  readonly #listener: SocketListener
  readonly #http1: Http1Server
  readonly #http2: Http2Server | undefined
  readonly #sessions = new Set<ServerHttp2Session>()

  /** @throws {Error} When files of TLS cannot be used. */
  constructor(settings: HttpServerSettings, host: ListenerHost, handler: HttpHandler) {
    this.#settings = settings
    this.#host = host
    this.#handler = handler
    const alpn = settings.http2 ? ['h2', 'http/1.1'] : ['http/1.1']
    this.#listener = new SocketListener({ ...settings, alpn }, host, socket => this.#take(socket))
    this.#http1 = this.#newHttp1()
    this.#http2 = settings.http2 ? this.#newHttp2() : undefined
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
    for (const session of this.#sessions) session.destroy()
    // It never listened itself; this ends its own timer.
    this.#http1.close()
    await this.#listener.stop()
  }

  /** Finds out which protocol a connection speaks. */
  #take(socket: Socket | TLSSocket): void {
    const { idleTimeoutMs } = this.#settings
    if (idleTimeoutMs > 0) {
      socket.setTimeout(idleTimeoutMs, () => {
        this.#host.connectionEnded('idle')
        socket.destroy()
      })
    }
    const protocol = 'alpnProtocol' in socket ? socket.alpnProtocol : undefined
    if (this.#http2 !== undefined && protocol === 'h2') {
      this.#http2.emit('connection', socket)
    } else if (this.#http2 === undefined || typeof protocol === 'string') {
      this.#http1.emit('connection', socket)
    } else this.#sniff(socket, this.#http2)
  }

  #sniff(socket: Socket, http2: Http2Server): void {
    let begin: Buffer = Buffer.alloc(0)
    const look = (bytes: Buffer): void => {
      begin = begin.length === 0 ? bytes : Buffer.concat([begin, bytes])
      const length = Math.min(begin.length, PREFACE.length)
      const isLikePreface = PREFACE.compare(begin, 0, length, 0, length) === 0
      if (isLikePreface && begin.length < PREFACE.length) return
      socket.off('data', look)
      socket.pause()
      socket.unshift(begin)
      const server = isLikePreface ? http2 : this.#http1
      server.emit('connection', socket)
      if (!isLikePreface) socket.resume()
    }
    socket.on('data', look)
  }

  #newHttp1(): Http1Server {
    const {
      idleTimeoutMs,
      server: { keepalive }
    } = this.#settings
    const server = createHttp1({
      maxHeaderSize: HEADER_BYTES_MAX,
      keepAliveTimeout: idleTimeoutMs,
      headersTimeout: idleTimeoutMs,
      requestTimeout: 0,
      ...(idleTimeoutMs > 0 ? { connectionsCheckingInterval: 1000 } : {})
    })
    server.maxHeadersCount = HEADERS_MAX
    if (!keepalive) server.maxRequestsPerSocket = 1
    server.on('request', (incoming, outgoing) => void this.#serve(incoming, outgoing))
    // The body is wanted only when the head is.
    server.on('checkContinue', (incoming, outgoing) => void this.#serve(incoming, outgoing))
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
    const server = createHttp2({
      maxSessionMemory: SESSION_MEGABYTES_MAX,
      maxHeaderListPairs: HEADERS_MAX,
      settings: { maxConcurrentStreams: STREAMS_MAX, maxHeaderListSize: HEADER_BYTES_MAX }
    })
    server.on('session', session => {
      this.#sessions.add(session)
      session.once('close', () => this.#sessions.delete(session))
      session.on('error', () => this.#host.connectionEnded('malformed_request'))
    })
    server.on('request', (incoming, outgoing) => void this.#serve(incoming, outgoing))
    server.on('sessionError', () => undefined)
    return server
  }

  async #serve(incoming: Incoming, outgoing: Outgoing): Promise<void> {
    incoming.on('error', () => undefined)
    outgoing.on('error', () => undefined)
    const head = headOf(incoming)
    const reply = await this.#replyTo(head, incoming, outgoing)
    if (reply !== undefined) send(reply, head, incoming, outgoing)
  }

  /** Undefined when the connection is gone. */
  async #replyTo(
    head: HttpHead,
    incoming: Incoming,
    outgoing: Outgoing
  ): Promise<HttpReply | undefined> {
    const refusal = await this.#handler.check?.(head)
    if (refusal !== undefined) return refusal
    const { bodyBytesMax } = this.#settings
    if (Number(head.headers['content-length'] ?? 0) > bodyBytesMax) return this.#tooLarge()
    const encoding = ENCODINGS[head.headers['content-encoding']?.trim().toLowerCase() ?? '']
    if (encoding === undefined) return { status: 415 }
    await this.#host.ready()
    if (incoming.httpVersionMajor === 1 && head.headers.expect !== undefined) {
      ;(outgoing as ServerResponse).writeContinue()
    }
    const body = await readBody(incoming, bodyBytesMax)
    if (body === 'aborted') return undefined
    if (body === 'too_large') return this.#tooLarge()
    if (encoding === 'identity') return this.#handler.handle({ ...head, body })
    try {
      const expanded = await expand(encoding, body, bodyBytesMax)
      return await this.#handler.handle({ ...head, body: expanded })
    } catch (cause) {
      if (!(cause instanceof CompressionError)) throw cause
      if (cause.reason === 'too_large') return this.#tooLarge()
      this.#host.connectionEnded('bad_compression')
      return { status: 400 }
    }
  }

  #tooLarge(): HttpReply {
    this.#host.connectionEnded('body_too_large')
    return { status: 413 }
  }
}

function headOf(incoming: Incoming): HttpHead {
  const { method = 'GET', url = '/', headers, socket } = incoming
  const mark = url.indexOf('?')
  return {
    method,
    path: mark < 0 ? url : url.slice(0, mark),
    query: mark < 0 ? '' : url.slice(mark + 1),
    headers,
    peer: { address: plainAddress(socket.remoteAddress), port: socket.remotePort ?? 0 }
  }
}

async function readBody(
  incoming: Incoming,
  bytesMax: number
): Promise<Buffer | 'aborted' | 'too_large'> {
  const pieces: Buffer[] = []
  let length = 0
  return new Promise(resolve => {
    incoming.on('data', (piece: Buffer) => {
      length += piece.length
      if (length <= bytesMax) pieces.push(piece)
      else resolve('too_large')
    })
    incoming.once('end', () => {
      const [first] = pieces
      resolve(pieces.length === 1 && first !== undefined ? first : Buffer.concat(pieces))
    })
    incoming.once('close', () => resolve('aborted'))
  })
}

function send(
  { status, headers = [], body = '' }: HttpReply,
  head: HttpHead,
  incoming: Incoming,
  outgoing: Outgoing
): void {
  if (outgoing.destroyed || outgoing.headersSent) return
  outgoing.statusCode = status
  const bytes = typeof body === 'string' ? Buffer.from(body) : body
  for (const [name, value] of headers) outgoing.setHeader(name, value)
  if (status !== 204) outgoing.setHeader('Content-Length', bytes.length)
  const isWhole = incoming.complete
  // What is left of a body that nobody wants is not read.
  if (!isWhole && incoming.httpVersionMajor === 1) outgoing.setHeader('Connection', 'close')
  const end = outgoing.end.bind(outgoing) as (chunk: Uint8Array, done: () => void) => void
  end(head.method === 'HEAD' ? Buffer.alloc(0) : bytes, () => {
    if (isWhole) return
    if ('stream' in incoming) incoming.stream.close()
    else incoming.socket.destroySoon()
  })
}
