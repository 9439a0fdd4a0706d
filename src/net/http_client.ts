/**
 * One HTTP/1.1 request over a connection of an upstream.
 * Source: Fluent Bit 5.1.1 src/flb_http_client.c
 */
import type { Agent, ClientRequest, IncomingHttpHeaders, IncomingMessage } from 'node:http'
import type { Clock, Timer } from '../base/clock.ts'
import type { Connection } from './connection.ts'
import { NetworkError, networkError } from './network_error.ts'

export interface HttpRequestSettings {
  readonly method: string
  /** Path and query, or a whole URL for a proxy; one character is one byte. */
  readonly path: string
  /** Names and values in turn, one character is one byte. All that are sent. */
  readonly headers: readonly string[]
  readonly body: readonly Uint8Array[]
  /** Longest time for the server to read the request, and again to answer to the end; 0 is no limit. */
  readonly answerTimeoutMs: number
  /** Longest silence from the end of the request on; 0 is no limit. */
  readonly idleTimeoutMs?: number
  /** Of the answer's body no more is read: the connection is closed. `ANSWER_BYTES_MAX` unless given. */
  readonly answerBytesMax?: number
}

export interface HttpAnswer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  /** What was read of it. */
  readonly body: Buffer
}

const ANSWER_BYTES_MAX = 65_536

/**
 * Sends a request and reads the answer. The connection is closed when it cannot be used again.
 *
 * @throws {NetworkError} `malformed_answer`, `timeout`, or as the connection failed.
 */
export function exchange(
  connection: Connection,
  settings: HttpRequestSettings,
  clock: Clock
): Promise<HttpAnswer> {
  // Node would wait for its end, which has been.
  if (!connection.isOpen) {
    const error = connection.failure ?? new NetworkError('connection_closed', CLOSED)
    return Promise.reject(error)
  }
  return new Exchange(connection, settings, clock).answer
}

const CLOSED = 'closed by the remote'

class Exchange {
  readonly #connection: Connection
  readonly #clock: Clock
  readonly #settings: HttpRequestSettings
  readonly #request: ClientRequest
  readonly #answer = Promise.withResolvers<HttpAnswer>()
  readonly #kept: Buffer[] = []
  #length = 0
  #timer: Timer | undefined
  #idleTimer: Timer | undefined
  #isOpen = true

  constructor(connection: Connection, settings: HttpRequestSettings, clock: Clock) {
    this.#connection = connection
    this.#clock = clock
    this.#settings = settings
    const { method, path, headers, body } = settings
    // Not imported: see http_server.ts.
    const { request } = process.getBuiltinModule('node:http')
    this.#request = request({ agent: agentOf(connection), method, path, headers, setHost: false })
    const outgoing = this.#request
    outgoing.once('finish', () => {
      this.#limitAnswer()
      this.#limitSilence()
    })
    outgoing.once('response', response => this.#read(response))
    outgoing.on('error', cause => this.#failed(cause))
    outgoing.once('close', () => this.#failed(new NetworkError('connection_closed', CLOSED)))
    this.#limitAnswer()
    for (const piece of body) outgoing.write(piece)
    outgoing.end()
  }

  get answer(): Promise<HttpAnswer> {
    return this.#answer.promise
  }

  #read(response: IncomingMessage): void {
    const { answerBytesMax = ANSWER_BYTES_MAX } = this.#settings
    this.#limitSilence()
    response.on('data', (piece: Buffer) => {
      this.#limitSilence()
      if (this.#length < answerBytesMax) {
        this.#kept.push(piece.subarray(0, answerBytesMax - this.#length))
      }
      this.#length += piece.length
      if (this.#length > answerBytesMax) this.#answered(response)
    })
    response.once('end', () => this.#answered(response))
    response.on('error', cause => this.#failed(cause))
  }

  #answered(response: IncomingMessage): void {
    if (!this.#end()) return
    const isReusable =
      response.complete && this.#request.writableFinished && this.#request.shouldKeepAlive
    if (!isReusable) this.#connection.close()
    const { statusCode: status = 0, headers } = response
    const answer = { status, headers, body: Buffer.concat(this.#kept) }
    // The socket is free for the next request a moment after the answer has ended.
    if (isReusable) this.#connection.socket.once('free', () => this.#answer.resolve(answer))
    else this.#answer.resolve(answer)
  }

  #failed(cause: Error): void {
    if (!this.#end()) return
    const error = this.#connection.failure ?? failureOf(cause)
    this.#connection.close(error)
    this.#answer.reject(error)
  }

  #end(): boolean {
    const wasOpen = this.#isOpen
    this.#isOpen = false
    this.#timer?.cancel()
    this.#idleTimer?.cancel()
    return wasOpen
  }

  #limitAnswer(): void {
    this.#timer?.cancel()
    this.#timer = this.#after(this.#settings.answerTimeoutMs, 'response', 'elapsed')
  }

  #limitSilence(): void {
    this.#idleTimer?.cancel()
    this.#idleTimer = this.#after(this.#settings.idleTimeoutMs ?? 0, 'read idle', 'idle')
  }

  #after(limitMs: number, what: string, measure: string): Timer | undefined {
    if (limitMs <= 0 || !this.#isOpen) return undefined
    return this.#clock.after(limitMs, () => {
      const seconds = limitMs / 1000
      const words = `${what} timeout reached (${measure}=${seconds}s, limit=${seconds}s)`
      this.#failed(new NetworkError('timeout', words))
      this.#request.destroy()
    })
  }
}

function failureOf(cause: Error): NetworkError {
  const { code = '', syscall } = cause as NodeJS.ErrnoException
  if (code.startsWith('HPE_')) {
    return new NetworkError('malformed_answer', 'malformed HTTP response')
  }
  // Node calls it a reset when the server just closes.
  const isClosed = code === 'ECONNRESET' && syscall === undefined
  return isClosed ? new NetworkError('connection_closed', CLOSED) : networkError(cause)
}

/** Gives a request the connection that it is for. All that Node asks of an agent. */
function agentOf({ socket }: Connection): Agent {
  const agent = {
    defaultPort: 80,
    protocol: 'http:',
    keepAlive: true,
    maxSockets: Infinity,
    options: {},
    addRequest: (outgoing: ClientRequest) => outgoing.onSocket(socket)
  }
  return agent as unknown as Agent
}
