/** A request and where its answer goes, over HTTP/1.1 and HTTP/2 alike. */
import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http'
import type { IncomingHttpHeaders as Http2Headers, ServerHttp2Stream } from 'node:http2'
import type { Socket } from 'node:net'
import type { Readable } from 'node:stream'
import type { Clock } from '../base/clock.ts'
import { plainAddress } from './address.ts'
import type { Peer } from './listener.ts'

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

export interface HttpReply {
  readonly status: number
  /** Names and values. */
  readonly headers?: readonly (readonly [name: string, value: string])[]
  readonly body?: string | Uint8Array
}

export interface Incoming {
  readonly head: HttpHead
  readonly body: Readable
  /** What stands for the connection: the socket, or the session of HTTP/2. */
  readonly connection: object
  /** Whether all of the body has come. An `end` does not say so: over HTTP/2 also a stream that is reset has one. */
  readonly isWhole: boolean
  /** Tells a sender that waits for it that the body is wanted. */
  welcome(): void
  /** Sends the answer; nothing happens when the sender is gone. */
  answer(reply: HttpReply): void
}

/** For how long a sender that has not come to the end of its body may read why. */
const LINGER_MS = 1_000

export class Http1Incoming implements Incoming {
  readonly head: HttpHead
  readonly body: IncomingMessage
  readonly connection: Socket
  readonly #response: ServerResponse
  readonly #keepalive: boolean
  readonly #clock: Clock

  /** @param keepalive False ends the connection after the answer. */
  constructor(
    request: IncomingMessage,
    response: ServerResponse,
    keepalive: boolean,
    clock: Clock
  ) {
    const { method, url, headers, socket } = request
    this.head = headOf(method, url, headers, socket)
    this.body = request
    this.connection = socket
    this.#response = response
    this.#keepalive = keepalive
    this.#clock = clock
  }

  get isWhole(): boolean {
    return this.body.complete
  }

  welcome(): void {
    if (this.head.headers.expect !== undefined) this.#response.writeContinue()
  }

  answer({ status, headers = [], body = '' }: HttpReply): void {
    const response = this.#response
    if (response.destroyed || response.headersSent) return
    const bytes = Buffer.from(body)
    response.statusCode = status
    for (const [name, value] of headers) response.setHeader(name, value)
    if (status !== 204) response.setHeader('Content-Length', bytes.length)
    const { isWhole } = this
    if (!isWhole || !this.#keepalive) response.setHeader('Connection', 'close')
    if (!isWhole) {
      const socket = this.connection
      // Which Node calls when the answer is out.
      socket.destroySoon = () => linger(socket, this.#clock)
    }
    // An empty body costs a second write.
    if (bytes.length === 0) response.end()
    else response.end(bytes)
  }
}

/**
 * Closes a connection on which more of a body is on its way: that is read and thrown away for a moment. Without it the
 * system would throw away the answer.
 */
function linger(socket: Socket, clock: Clock): void {
  socket.end()
  socket.resume()
  const timer = clock.after(LINGER_MS, () => socket.destroy())
  socket.once('close', () => timer.cancel())
}

/** Of RFC 9113, section 7. */
const NO_ERROR = 0

/** Headers of HTTP/1.1 that HTTP/2 forbids. */
const OF_CONNECTIONS: ReadonlySet<string> = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'transfer-encoding',
  'upgrade'
])

/**
 * Over streams themselves and not over Node's imitation of HTTP/1.1, which ends the process with a failed assertion when
 * a stream is closed while its answer is on its way (node 26, Http2Stream::OnTrailers).
 */
export class Http2Incoming implements Incoming {
  readonly head: HttpHead
  readonly body: ServerHttp2Stream
  readonly connection: object
  readonly #clock: Clock

  constructor(stream: ServerHttp2Stream, headers: Http2Headers, clock: Clock) {
    const { session } = stream
    const { ':method': method, ':path': path } = headers
    this.head = headOf(method, path ?? '', headers, session?.socket)
    this.body = stream
    this.connection = session ?? stream
    this.#clock = clock
  }

  get isWhole(): boolean {
    return this.body.readableEnded && !this.body.aborted
  }

  welcome(): void {
    const wantsWord = this.head.headers.expect?.toLowerCase() === '100-continue'
    if (wantsWord && !this.body.destroyed) this.body.additionalHeaders({ ':status': 100 })
  }

  answer({ status, headers = [], body = '' }: HttpReply): void {
    const stream = this.body
    if (stream.destroyed || stream.headersSent) return
    const bytes = Buffer.from(body)
    const fields: Record<string, string | number> = { ':status': status }
    for (const [name, value] of headers) {
      const key = name.toLowerCase()
      if (!OF_CONNECTIONS.has(key)) fields[key] = value
    }
    if (status !== 204) fields['content-length'] = bytes.length
    stream.respond(fields)
    stream.end(bytes)
    if (stream.readableEnded) return
    // As with a whole connection: a sender that is cut off at once may not see the answer (curl 7.88 does not).
    stream.resume()
    const timer = this.#clock.after(LINGER_MS, () => stream.close(NO_ERROR))
    stream.once('close', () => timer.cancel())
  }
}

function headOf(
  method = 'GET',
  url = '/',
  headers: IncomingHttpHeaders,
  socket: Pick<Socket, 'remoteAddress' | 'remotePort'> | undefined
): HttpHead {
  const mark = url.indexOf('?')
  return {
    method,
    path: mark < 0 ? url : url.slice(0, mark),
    query: mark < 0 ? '' : url.slice(mark + 1),
    headers,
    peer: { address: plainAddress(socket?.remoteAddress), port: socket?.remotePort ?? 0 }
  }
}
