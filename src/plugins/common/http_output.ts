/**
 * What outputs over HTTP share: they make a request of a chunk, and say by a table what an answer means.
 *
 *     const sender = new HttpSender({ port: 80, answers: ANSWERS, … }, context)
 *     …
 *     flush: chunk => sender.deliver(requestFor(chunk), ({ answer, delivery }) => delivery)
 *
 * Source: Fluent Bit 5.1.1 src/flb_http_client.c (flb_http_client, flb_http_do_with_oauth2), src/flb_http_client_debug.c.
 */
import type { Clock } from '../../base/clock.ts'
import type { Logger } from '../../base/log.ts'
import type { Values } from '../../config/options.ts'
import { hostAndPort } from '../../net/address.ts'
import type { Connection } from '../../net/connection.ts'
import type { HttpAnswer, HttpRequestSettings } from '../../net/http_client.ts'
import { NetworkError } from '../../net/network_error.ts'
import { checkSettings, OAuth2Client, type PostForm, TokenError } from '../../net/oauth2_client.ts'
import type { Upstream } from '../../net/upstream.ts'
import type { OutputContext } from '../../plugin/context.ts'
import { type Delivery, drop, OK, retry, type WholeDelivery } from '../../plugin/delivery.ts'
import type { OUTPUT_HIDDEN_OPTIONS } from '../../plugin/generic_options.ts'
import type { Network } from '../../plugin/network.ts'
import { type Header, headerBytes, HeaderList } from './http_headers.ts'
import { pathText } from './log_text.ts'
import { type OAUTH2_CLIENT_OPTIONS, oauth2Settings } from './oauth2_options.ts'

/** What an answer means for what was sent, by its status; the first row of a table that holds the status counts. */
export interface AnswerRow {
  readonly from: number
  readonly to: number
  readonly means: WholeDelivery['kind']
  /** The server may say in Retry-After how long to wait. */
  readonly hasWait?: boolean
  /** The endpoint is gone or overloaded: a group of them goes on with the others. */
  readonly isUnhealthy?: boolean
}

/** Holds what no table has. */
const UNKNOWN_ANSWER: AnswerRow = { from: 0, to: 999, means: 'retry' }

/** A server that asks for a longer wait gets this one. */
const RETRY_AFTER_MS_MAX = 3_600_000

export interface HttpSenderSettings {
  /** Of the server, unless the configuration says. */
  readonly port: number
  readonly answers: readonly AnswerRow[]
  /** `http.response_timeout` and `http.read_idle_timeout`; 0 is no limit. */
  readonly responseTimeoutSeconds: number
  readonly readIdleTimeoutSeconds?: number
  /** Of an answer no more is read; 64 KB unless given. */
  readonly answerBytesMax?: number
  /** False lets a header replace an earlier one of its name. */
  readonly repeatsHeaders?: boolean
  /** A proxy that gets whole URLs. */
  readonly proxy?: ProxyAddress | undefined
  /** The `oauth2.*` keys of the instance. */
  readonly oauth2?: Values<typeof OAUTH2_CLIENT_OPTIONS>
}

export interface ProxyAddress {
  readonly host: string
  readonly port: number
}

export interface HttpMessage {
  readonly method: string
  /** Path and query; one character is one byte. */
  readonly path: string
  /** Those between Host and Content-Length, and Connection. */
  readonly headers: readonly Header[]
  readonly body: readonly Buffer[]
}

/** An answer, and what the table says of it. */
export interface JudgedAnswer {
  /** `host:port` of the server, as log lines name it. */
  readonly name: string
  readonly answer: HttpAnswer
  readonly row: AnswerRow
  readonly delivery: WholeDelivery
}

interface Attempt {
  readonly message: HttpMessage
  /** Of the server, once there is a connection to it. */
  name: string | undefined
}

type DebugValues = Values<typeof OUTPUT_HIDDEN_OPTIONS>

/** Headers whose values are not for the log. */
const SECRET = /auth|cookie|token|key|secret|pass/i

/** Sends requests to the server of an instance, or to the group of them. */
export class HttpSender {
  readonly #settings: HttpSenderSettings
  readonly #net: Network
  readonly #log: Logger
  readonly #clock: Clock
  readonly #upstream: Upstream
  /** The server behind a proxy. */
  readonly #target: ProxyAddress | undefined
  readonly #tokens: TokenSource | undefined
  readonly #debug: DebugValues

  /** @param values Of the instance, for its `_debug.http.*` keys. */
  constructor(settings: HttpSenderSettings, values: object, context: OutputContext) {
    const { port, proxy, oauth2, responseTimeoutSeconds } = settings
    const { net, log, clock } = context
    this.#settings = settings
    this.#net = net
    this.#log = log
    this.#clock = clock
    this.#upstream = net.upstream({ port, via: proxy, ignoresProxy: proxy !== undefined })
    this.#target =
      proxy === undefined ? undefined : { host: net.host ?? '127.0.0.1', port: net.port ?? port }
    this.#tokens =
      oauth2?.['oauth2.enable'] === true
        ? new TokenSource(oauth2, responseTimeoutSeconds, context)
        : undefined
    this.#debug = values as DebugValues
  }

  /**
   * Sends a request and answers for it. What goes wrong on the network is in the log and means that it is sent again.
   *
   * @param judge Looks at the answer and logs it; what it returns is what is delivered.
   */
  async deliver<D extends Delivery>(
    message: HttpMessage,
    judge: (judged: JudgedAnswer) => D
  ): Promise<D | WholeDelivery> {
    const attempt: Attempt = { message, name: undefined }
    try {
      let judged = await this.#try(attempt)
      if (judged.answer.status === 401 && this.#tokens !== undefined) {
        this.#log.info('401 received; refreshing OAuth2 token and retrying once')
        judged = await this.#try(attempt)
      }
      return judge(judged)
    } catch (cause) {
      const isKnown = cause instanceof NetworkError || cause instanceof TokenError
      if (!isKnown) throw cause
      if (cause instanceof TokenError) this.#log.error(cause.message)
      // Without a connection the log has said so.
      if (attempt.name !== undefined && cause.reason !== 'shutdown') {
        this.#log.error(`could not flush records to ${attempt.name} (http_do=-1)`)
      }
      return retry(cause.reason)
    }
  }

  /** Closes all connections; requests that are under way end with the reason `shutdown`. */
  close(): void {
    this.#tokens?.close()
    this.#upstream.close()
  }

  #try(attempt: Attempt): Promise<JudgedAnswer> {
    return this.#upstream.use(async connection => {
      const name = this.#nameOf(connection)
      attempt.name = name
      const authorization = await this.#tokens?.client.authorization()
      const answer = await this.#send(connection, attempt.message, authorization)
      if (authorization !== undefined && answer.status === 401) {
        this.#tokens?.client.invalidate(authorization)
      }
      const row = rowFor(answer.status, this.#settings.answers)
      if (row.isUnhealthy === true) {
        const reason = `http_status_${answer.status}`
        this.#upstream.reportFailure(connection, new NetworkError(reason, reason))
      }
      return { name, answer, row, delivery: deliveryFor(answer, row, this.#clock) }
    })
  }

  async #send(
    connection: Connection,
    message: HttpMessage,
    authorization: string | undefined
  ): Promise<HttpAnswer> {
    const { answerBytesMax, responseTimeoutSeconds, readIdleTimeoutSeconds = 0 } = this.#settings
    const request = this.#request(connection, message, authorization)
    this.#logRequest(request)
    const answer = await this.#net.exchange(connection, {
      ...request,
      ...(answerBytesMax === undefined ? {} : { answerBytesMax }),
      answerTimeoutMs: responseTimeoutSeconds * 1000,
      idleTimeoutMs: readIdleTimeoutSeconds * 1000
    })
    this.#logAnswer(answer)
    return answer
  }

  #request(
    connection: Connection,
    { method, path, headers: own, body }: HttpMessage,
    authorization: string | undefined
  ): Pick<HttpRequestSettings, 'method' | 'path' | 'headers' | 'body'> {
    const { repeatsHeaders = true } = this.#settings
    const length = body.reduce((sum, piece) => sum + piece.length, 0)
    const headers = new HeaderList(repeatsHeaders)
    if (this.#target !== undefined) headers.add('Proxy-Connection', 'KeepAlive')
    headers.add('Host', this.#hostHeader(connection))
    headers.add('Content-Length', String(length))
    headers.addAll(own)
    if (authorization !== undefined) headers.set('Authorization', authorization)
    headers.add('Connection', this.#net.client.keepalive ? 'keep-alive' : 'close')
    const { host, port } = this.#target ?? {}
    const target = host === undefined ? path : `http://${hostAndPort(host, port ?? 0)}${path}`
    return { method, path: target, headers: headers.flat(), body }
  }

  #nameOf({ endpoint }: Connection): string {
    const { host, port } = this.#target ?? endpoint
    return `${host}:${port}`
  }

  #hostHeader({ endpoint }: Connection): string {
    const { host, port } = this.#target ?? endpoint
    return headerBytes(hostOf(host, port, endpoint.tls !== undefined))
  }

  #logRequest({ method, path, headers, body }: Omit<HttpRequestSettings, 'answerTimeoutMs'>): void {
    if (this.#debug['_debug.http.request_headers'] === true) {
      const lines = headers.flatMap((name, at) =>
        at % 2 === 0 ? headerText(name, headers[at + 1]) : []
      )
      this.#log.info(
        `[http] request headers\n${[`${method} ${pathText(path)} HTTP/1.1`, ...lines].join('\n')}`
      )
    }
    if (this.#debug['_debug.http.request_payload'] === true) {
      const bytes = Buffer.concat(body)
      const shown = isGzip(bytes) ? '[GZIP binary content...]' : bytes.toString()
      this.#log.info(`[http] request payload (${bytes.length} bytes)\n${shown}`)
    }
  }

  #logAnswer({ status, headers, body }: HttpAnswer): void {
    if (this.#debug['_debug.http.response_headers'] === true) {
      const lines = Object.entries(headers).map(([name, value]) => headerText(name, value))
      this.#log.info(`[http] response headers\n${[`HTTP/1.1 ${status}`, ...lines].join('\n')}`)
    }
    if (this.#debug['_debug.http.response_payload'] === true && body.length > 0) {
      this.#log.info(`[http] response payload (${body.length} bytes)\n${body.toString()}`)
    }
  }
}

/** Access tokens, over connections of their own. */
class TokenSource {
  readonly client: OAuth2Client
  readonly #upstream: Upstream
  readonly #net: Network

  constructor(
    values: Values<typeof OAUTH2_CLIENT_OPTIONS>,
    responseTimeoutSeconds: number,
    context: OutputContext
  ) {
    const { net, clock, log } = context
    const connectTimeoutSeconds = net.client.connectTimeoutMs / 1000
    const settings = oauth2Settings(values, { connectTimeoutSeconds, responseTimeoutSeconds })
    const mistake = checkSettings(settings)
    if (mistake !== undefined) throw context.invalid(mistake.key, mistake.message)
    this.#net = net
    this.#upstream = net.remote(new URL(settings.tokenUrl ?? ''), settings.connectTimeoutMs)
    this.client = new OAuth2Client({ settings, post: this.#post, clock, log })
  }

  close(): void {
    this.#upstream.close()
  }

  readonly #post: PostForm = (url, { headers, body, timeoutMs }) =>
    this.#upstream.use(connection => {
      const { host, port, tls } = connection.endpoint
      const length = Buffer.byteLength(body)
      const framing = ['Host', hostOf(host, port, tls !== undefined), 'Content-Length', `${length}`]
      return this.#net.exchange(connection, {
        method: 'POST',
        path: `${url.pathname}${url.search}`,
        headers: [...framing, ...Object.entries(headers).flat()],
        body: [Buffer.from(body)],
        answerTimeoutMs: timeoutMs
      })
    })
}

/** What a Host header says; the usual port of TLS is left out, as Fluent Bit does it. */
function hostOf(host: string, port: number, isSecure: boolean): string {
  return isSecure && port === 443
    ? hostAndPort(host, port).slice(0, -':443'.length)
    : hostAndPort(host, port)
}

function rowFor(status: number, answers: readonly AnswerRow[]): AnswerRow {
  return answers.find(({ from, to }) => status >= from && status <= to) ?? UNKNOWN_ANSWER
}

function deliveryFor(answer: HttpAnswer, row: AnswerRow, clock: Clock): WholeDelivery {
  if (row.means === 'ok') return OK
  const reason = `http_status_${answer.status}`
  if (row.means === 'drop') return drop(reason)
  return retry(
    reason,
    row.hasWait === true ? retryAfterMs(answer.headers['retry-after'], clock) : undefined
  )
}

/** The wait that a server asks for, in seconds or until a date; undefined when there is none. */
function retryAfterMs(header: string | undefined, clock: Clock): number | undefined {
  const value = header?.trim() ?? ''
  const isDate = /^\w{3,9}, .* GMT$/.test(value)
  const wait = isDate ? Date.parse(value) - clock.now() : /^\d+$/.test(value) ? +value * 1000 : NaN
  return wait > 0 ? Math.min(wait, RETRY_AFTER_MS_MAX) : undefined
}

function isGzip(bytes: Buffer): boolean {
  return bytes.length > 3 && bytes[0] === 0x1f && bytes[1] === 0x8b && bytes[2] === 0x08
}

/** A header as the log shows it. */
function headerText(name: string, value: unknown): string {
  return `${name}: ${SECRET.test(name) ? '***' : String(value)}`
}
