/**
 * http: sends events to an HTTP server.
 * Source: Fluent Bit 5.1.1 plugins/out_http/http.c, http_conf.c, src/flb_http_client.c, docs pipeline/outputs/http.md.
 * Differs: this version has no TLS, proxies (also those of HTTP_PROXY, with a warning), authentication, compression,
 * msgpack, gelf, or bodies from records, and refuses their keys; a format that is not known is refused, where Fluent
 * Bit sends msgpack; so is what would break the request: spaces in `uri`, control characters, and the headers
 * Content-Length, Transfer-Encoding and Trailer. Control characters of a tag are sent as spaces. An answer counts by
 * its status also when its body is longer than 4 KB, of which the rest is not logged (Fluent Bit sends the chunk
 * again), and 1xx answers are waited out. Retry-After of 429 and 503 is heeded, up to an hour. Without keep-alive the
 * request says `Connection: close`. Log lines of the connection carry the prefix of the instance.
 */
import { Agent, type ClientRequest, type IncomingMessage, request } from 'node:http'
import { isIPv6 } from 'node:net'
import type { Clock, Timer } from '../../base/clock.ts'
import type { Logger } from '../../base/log.ts'
import { JsonWriter } from '../../codec/json_writer.ts'
import {
  choice,
  flag,
  int,
  many,
  seconds,
  secret,
  text,
  type Values,
  words
} from '../../config/options.ts'
import type { OutputContext } from '../../plugin/context.ts'
import { defineOutput } from '../../plugin/define.ts'
import { type Delivery, drop, OK, retry } from '../../plugin/delivery.ts'
import { dateFormatOf, type JsonFormat, jsonFormatOf } from '../../record/event_json.ts'
import { clientValues } from '../common/client_values.ts'
import { eventJsonOf, JSON_FORMAT_OPTIONS, writeJsonPieces } from '../common/json_format.ts'

const OPTIONS = {
  proxy: text({ doc: 'Proxy as http://host:port; not in this version' }),
  allow_duplicated_headers: flag({
    default: 'true',
    doc: 'Send headers of the same name; else the last one replaces those before it'
  }),
  log_response_payload: flag({ default: 'true', doc: 'Log the body of the answer' }),
  'http.response_timeout': seconds({ default: '60s', doc: 'Longest time to wait for the answer' }),
  'http.read_idle_timeout': seconds({
    default: '0s',
    doc: 'Longest silence within the answer; not in this version'
  }),
  http_user: text({ doc: 'User of basic authentication; not in this version' }),
  http_passwd: secret(text({ default: '', doc: 'Password of http_user; not in this version' })),
  'oauth2.enable': flag({
    default: 'false',
    doc: 'Get an access token for the requests; not in this version, nor its other keys'
  }),
  'oauth2.token_url': text({ doc: 'Where to get tokens' }),
  'oauth2.client_id': text({ doc: 'Client to get tokens for' }),
  'oauth2.client_secret': secret(text({ doc: 'Secret of the client' })),
  'oauth2.user_agent': text({ doc: 'User-Agent of requests for tokens' }),
  'oauth2.scope': text({ doc: 'Scope to ask for' }),
  'oauth2.audience': text({ doc: 'Audience to ask for' }),
  'oauth2.resource': text({ doc: 'Resource to ask for' }),
  'oauth2.auth_method': text({ default: 'basic', doc: 'basic, post or private_key_jwt' }),
  'oauth2.jwt_key_file': text({ doc: 'Private key of private_key_jwt' }),
  'oauth2.jwt_cert_file': text({ doc: 'Certificate of private_key_jwt' }),
  'oauth2.jwt_aud': text({ doc: 'Audience of private_key_jwt; the token URL unless set' }),
  'oauth2.jwt_header': text({ default: 'kid', doc: 'Where the thumbprint stands: kid or x5t' }),
  'oauth2.jwt_ttl_seconds': int({ default: '300', doc: 'Life of an assertion' }),
  'oauth2.refresh_skew_seconds': int({
    default: '60',
    doc: 'Seconds before its end at which a token is renewed'
  }),
  'oauth2.timeout': seconds({ default: '0s', doc: 'Longest time to wait for a token' }),
  'oauth2.connect_timeout': seconds({ default: '0s', doc: 'Longest time to connect for a token' }),
  aws_auth: flag({
    default: 'false',
    doc: 'Sign requests with AWS SigV4; not in this version, nor its other keys'
  }),
  aws_service: text({ doc: 'Service code to sign for' }),
  aws_region: text({ doc: 'Region to sign for' }),
  aws_sts_endpoint: text({ doc: 'Endpoint of the STS API' }),
  aws_role_arn: text({ doc: 'Role to assume' }),
  aws_external_id: text({ doc: 'External ID of the role' }),
  aws_profile: text({ doc: 'Profile to take credentials from' }),
  header_tag: text({ doc: 'Header that gets the tag' }),
  ...JSON_FORMAT_OPTIONS,
  format: text({
    default: 'json',
    doc: 'json, json_lines or json_stream; msgpack and gelf are not in this version'
  }),
  compress: text({ doc: 'gzip, snappy or zstd; not in this version' }),
  header: many(words(1, { doc: 'Name and value of a header to add' })),
  uri: text({ doc: 'Path and query of the request; / unless set' }),
  http_method: choice(['POST', 'PUT'], { default: 'POST', doc: 'POST or PUT' }),
  gelf_timestamp_key: text({ doc: 'Key of the time for gelf' }),
  gelf_host_key: text({ doc: 'Key of the host for gelf' }),
  gelf_short_message_key: text({ doc: 'Key of the short message for gelf' }),
  gelf_full_message_key: text({ doc: 'Key of the full message for gelf' }),
  gelf_level_key: text({ doc: 'Key of the level for gelf' }),
  body_key: text({ doc: 'Accessor of the body, one request a record; not in this version' }),
  headers_key: text({ doc: 'Accessor of the headers, with body_key; not in this version' })
}

type HttpValues = Values<typeof OPTIONS>

/** Known keys that this version cannot follow, refused unless they are off or 0. Keys that need one of these are not. */
const LATER: ReadonlySet<string> = new Set([
  'proxy',
  'http.read_idle_timeout',
  'http_user',
  'oauth2.enable',
  'aws_auth',
  'compress',
  'body_key',
  'headers_key',
  'tls',
  'net.io_timeout',
  'net.source_address',
  '_debug.http.request_headers',
  '_debug.http.request_payload',
  '_debug.http.response_headers',
  '_debug.http.response_payload'
])
const NOT_YET = 'this version does not have it yet'

/** What an answer means for the chunk, by its status; the first row that holds the status counts. */
const ANSWERS: readonly {
  readonly from: number
  readonly to: number
  readonly means: 'ok' | 'retry' | 'drop'
  /** The server may say in Retry-After how long to wait. */
  readonly hasWait?: boolean
}[] = [
  { from: 200, to: 205, means: 'ok' },
  { from: 408, to: 408, means: 'retry' },
  { from: 429, to: 429, means: 'retry', hasWait: true },
  { from: 503, to: 503, means: 'retry', hasWait: true },
  { from: 400, to: 499, means: 'drop' },
  { from: 0, to: 999, means: 'retry' }
]

/** How a request without an answer failed, by the code of its error: the reason of the retry, and the system's words. */
const FAILURES: Readonly<Record<string, { readonly reason: string; readonly words: string }>> = {
  ECONNREFUSED: { reason: 'connection_refused', words: 'Connection refused' },
  ECONNRESET: { reason: 'connection_reset', words: 'Connection reset by peer' },
  EPIPE: { reason: 'connection_reset', words: 'Broken pipe' },
  EHOSTUNREACH: { reason: 'unreachable', words: 'No route to host' },
  ENETUNREACH: { reason: 'unreachable', words: 'Network is unreachable' },
  ETIMEDOUT: { reason: 'timeout', words: 'Connection timed out' },
  ENOTFOUND: { reason: 'unknown_host', words: 'err=4): Domain name not found' },
  EAI_AGAIN: { reason: 'unknown_host', words: 'err=11): Could not contact DNS servers' }
}

/** Of the answer's body, this much is logged. */
const LOGGED_BYTES_MAX = 4096

/** A longer body is not read to its end: the connection is closed. */
const ANSWER_BYTES_MAX = 65_536

/** A server that asks for a longer wait gets this one. */
const RETRY_AFTER_MS_MAX = 3_600_000

const PORT_DEFAULT = 80
const PORT_MAX = 65_535

const HEADER_NAME = /^[!#$%&'*+.^_`|~\w-]+$/
const CONTROL = /[\0-\x08\x0a-\x1f\x7f]/g
const NOT_IN_ADDRESS = /[\0-\x20\x7f]/

/** Headers that say where the request ends, which only its sender knows. */
const FRAMING: ReadonlySet<string> = new Set(['content-length', 'transfer-encoding', 'trailer'])

export const http = defineOutput({
  name: 'http',
  summary: 'Sends events to an HTTP server',
  upstream: 'plugins/out_http/http.c',
  network: 'client',
  // Fluent Bit starts two workers for this output.
  concurrency: 2,
  options: OPTIONS,
  create(values, context) {
    refuseLater(values, context)
    const format = formatOf(values.format, context)
    const headers = new RequestHeaders(values, format, context)
    const remote = new Remote(values, context)
    const json = eventJsonOf(values, context)
    const out = new JsonWriter(context.json)
    return {
      start() {
        reportDateFormat(values.json_date_format, context.log)
        reportProxy(values, context)
      },
      flush(chunk) {
        const body: Buffer[] = []
        writeJsonPieces(chunk.bytes, format, json, out, piece => body.push(Buffer.from(piece)))
        const length = body.reduce((sum, piece) => sum + piece.length, 0)
        return remote.send(headers.of(remote.hostHeader, length, chunk.tag), body)
      },
      stop: () => remote.close()
    }
  }
})

function refuseLater(values: HttpValues, context: OutputContext): void {
  const all: Readonly<Record<string, unknown>> = values
  for (const { key, text: written } of context.properties) {
    const isDnsOverTcp = key === 'net.dns.mode' && /^t/i.test(written)
    const isSet = LATER.has(key) && all[key] !== false && all[key] !== 0
    if (isSet || isDnsOverTcp) throw context.invalid(key, NOT_YET)
  }
}

function formatOf(word: string, context: OutputContext): JsonFormat {
  const format = jsonFormatOf(word)
  if (format !== undefined) return format
  if (/^(?:msgpack|gelf)$/i.test(word)) {
    throw context.invalid('format', `this version does not have ${word.toLowerCase()} yet`)
  }
  const wanted = 'value must be one of json, json_lines, json_stream'
  throw context.invalid('format', `${wanted}: current value is "${word}"`)
}

function reportDateFormat(written: string | undefined, log: Logger): void {
  if (written !== undefined && dateFormatOf(written) === undefined) {
    log.error("unrecognized 'json_date_format' option. Using 'double'.")
  }
}

/** Fluent Bit takes the proxy of the environment; whoever relies on it must know that it is passed by. */
function reportProxy(values: HttpValues, context: OutputContext): void {
  const isIgnored = clientValues(values)['net.proxy_env_ignore']
  if (isIgnored || context.expand('${HTTP_PROXY}${http_proxy}') === '') return
  context.log.warn('HTTP_PROXY is set and not used: this version connects to the server itself')
}

/** The header lines of requests, in Fluent Bit's order. */
class RequestHeaders {
  readonly #contentType: string
  readonly #tagName: string | undefined
  readonly #own: readonly (readonly [name: string, value: string])[]
  readonly #keepsAlive: boolean
  readonly #mayRepeat: boolean

  constructor(values: HttpValues, format: JsonFormat, context: OutputContext) {
    this.#contentType = format === 'json_lines' ? 'application/x-ndjson' : 'application/json'
    this.#tagName = values.header_tag
    if (values.header_tag !== undefined) checkHeaderName('header_tag', values.header_tag, context)
    // A name alone is its own value, as in Fluent Bit.
    this.#own = values.header.map(([name, value = name], index) => {
      checkHeaderName('header', name, context, index)
      if (value.search(CONTROL) >= 0) {
        throw context.invalid('header', 'value must not have control characters', index)
      }
      return [name, utf8(value)]
    })
    this.#keepsAlive = clientValues(values)['net.keepalive']
    this.#mayRepeat = values.allow_duplicated_headers
  }

  /** Names and values in turn. */
  of(host: string, bodyBytes: number, tag: string): string[] {
    const list: (readonly [name: string, value: string])[] = []
    const add = (name: string, value: string): void => {
      if (value === '') return
      const key = name.toLowerCase()
      const earlier = this.#mayRepeat ? -1 : list.findIndex(entry => isNamed(entry, key))
      if (earlier >= 0) list.splice(earlier, 1)
      list.push([name, value])
    }
    add('Host', host)
    add('Content-Length', String(bodyBytes))
    add('Content-Type', this.#contentType)
    if (this.#tagName !== undefined) add(this.#tagName, utf8(tag.replace(CONTROL, ' ')))
    add('User-Agent', 'Fluent-Bit')
    for (const [name, value] of this.#own) add(name, value)
    if (this.#keepsAlive) add('Connection', 'keep-alive')
    return list.flat()
  }
}

function isNamed([name]: readonly [name: string, value: string], key: string): boolean {
  return name.toLowerCase() === key
}

function checkHeaderName(key: string, name: string, context: OutputContext, index = 0): void {
  if (!HEADER_NAME.test(name)) {
    // Not shown: it may be a whole header in quotes, with a secret.
    const allowed = "letters, digits and !#$%&'*+.^_`|~-"
    throw context.invalid(key, `the name of a header may have ${allowed} only`, index)
  }
  if (FRAMING.has(name.toLowerCase())) {
    throw context.invalid(key, `the header ${name} is for the plugin to set`, index)
  }
}

/** Node writes each character of a head as one byte: these are the bytes of the text. */
function utf8(value: string): string {
  return Buffer.from(value).latin1Slice()
}

/** The server, the connections to it, and the requests that are under way. */
class Remote {
  /** What the header Host says. */
  readonly hostHeader: string
  readonly host: string
  /** `host:port`, as log lines name the server. */
  readonly name: string
  readonly log: Logger
  readonly clock: Clock
  readonly connectSeconds: number
  readonly answerSeconds: number
  readonly logsConnectTimeout: boolean
  readonly logsBody: boolean
  readonly #port: number
  readonly #method: string
  readonly #path: string
  readonly #family: { readonly family?: 6 }
  readonly #agent: Agent
  readonly #exchanges = new Set<Exchange>()

  constructor(values: HttpValues, context: OutputContext) {
    const client = clientValues(values)
    this.host = client.host || '127.0.0.1'
    this.#port = client.port || PORT_DEFAULT
    if (this.#port < 0 || this.#port > PORT_MAX) {
      const wanted = `value must be 0 to ${PORT_MAX}`
      throw context.invalid('port', `${wanted}: current value is "${this.#port}"`)
    }
    if (NOT_IN_ADDRESS.test(this.host)) {
      throw context.invalid('host', 'value must have neither spaces nor control characters')
    }
    this.name = `${this.host}:${this.#port}`
    this.hostHeader = isIPv6(this.host)
      ? `[${this.host.replace(/%.*/, '')}]:${this.#port}`
      : utf8(this.name)
    this.log = context.log
    this.clock = context.clock
    this.connectSeconds = client['net.connect_timeout']
    this.answerSeconds = values['http.response_timeout']
    this.logsConnectTimeout = client['net.connect_timeout_log_error']
    this.logsBody = values.log_response_payload
    this.#method = values.http_method
    this.#path = pathOf(values.uri, context)
    this.#family = client.ipv6 ? { family: 6 } : {}
    this.#agent = new Agent({
      keepAlive: client['net.keepalive'],
      // For connections that nobody uses; those in use have a timer of the context.
      timeout: Math.max(client['net.keepalive_idle_timeout'], 0) * 1000
    })
  }

  async send(headers: readonly string[], body: readonly Buffer[]): Promise<Delivery> {
    const outgoing = request({
      agent: this.#agent,
      host: this.host,
      port: this.#port,
      ...this.#family,
      method: this.#method,
      path: this.#path,
      headers
    })
    const exchange = new Exchange(this, outgoing)
    this.#exchanges.add(exchange)
    for (const piece of body) outgoing.write(piece)
    outgoing.end()
    const delivery = await exchange.ended
    this.#exchanges.delete(exchange)
    return delivery
  }

  close(): void {
    for (const exchange of this.#exchanges) exchange.abandon()
    this.#agent.destroy()
  }
}

function pathOf(uri: string | undefined, context: OutputContext): string {
  const path = uri === undefined || uri === '' ? '/' : uri
  if (NOT_IN_ADDRESS.test(path)) {
    const wanted = 'value must have neither spaces nor control characters'
    throw context.invalid('uri', `${wanted}: current value is "${path}"`)
  }
  return utf8(path.startsWith('/') ? path : `/${path}`)
}

/** One request and its answer. What happens after it has ended is of no interest. */
class Exchange {
  readonly #remote: Remote
  readonly #request: ClientRequest
  readonly #ended = Promise.withResolvers<Delivery>()
  #response: IncomingMessage | undefined
  #timer: Timer | undefined
  #isConnected = false
  #isOpen = true

  constructor(remote: Remote, outgoing: ClientRequest) {
    this.#remote = remote
    this.#request = outgoing
    this.#limit(remote.connectSeconds, () => this.#neverConnected())
    outgoing.once('socket', socket => {
      if (socket.connecting) socket.once('connect', () => this.#connected())
      else this.#connected()
    })
    // The server has the time for reading the request, and again for answering it.
    outgoing.once('finish', () => this.#awaitAnswer())
    outgoing.once('response', response => this.#read(response))
    outgoing.on('error', (cause: NodeJS.ErrnoException) => this.#failed(cause.code))
    outgoing.once('close', () => this.#failed('ECONNRESET'))
  }

  get ended(): Promise<Delivery> {
    return this.#ended.promise
  }

  /** Ends it because the program stops. */
  abandon(): void {
    this.#end(retry('shutdown'))
  }

  #connected(): void {
    this.#isConnected = true
    this.#awaitAnswer()
  }

  #awaitAnswer(): void {
    const { log, name, answerSeconds } = this.#remote
    this.#limit(answerSeconds, () => {
      log.error(`response timeout reached (elapsed=${answerSeconds}s, limit=${answerSeconds}s)`)
      log.error(`could not flush records to ${name} (http_do=-1)`)
      this.#end(retry('timeout'))
    })
  }

  #neverConnected(): void {
    const { log, name, connectSeconds, logsConnectTimeout } = this.#remote
    const line = `connection to tcp://${name} timed out after ${connectSeconds} seconds (connection timeout)`
    if (logsConnectTimeout) log.error(line)
    else log.debug(line)
    log.error(`no upstream connections available to ${name}`)
    this.#end(retry('connection_timeout'))
  }

  #limit(limitSeconds: number, expire: () => void): void {
    this.#timer?.cancel()
    if (limitSeconds <= 0 || !this.#isOpen) return
    this.#timer = this.#remote.clock.after(limitSeconds * 1000, expire)
  }

  #read(response: IncomingMessage): void {
    this.#response = response
    const kept: Buffer[] = []
    let length = 0
    response.on('data', (piece: Buffer) => {
      if (length < LOGGED_BYTES_MAX) kept.push(piece.subarray(0, LOGGED_BYTES_MAX - length))
      length += piece.length
      if (length > ANSWER_BYTES_MAX) this.#answered(response, Buffer.concat(kept))
    })
    response.once('end', () => this.#answered(response, Buffer.concat(kept)))
    response.on('error', (cause: NodeJS.ErrnoException) => this.#failed(cause.code))
  }

  #answered({ statusCode: status = 0, headers }: IncomingMessage, body: Buffer): void {
    if (!this.#isOpen) return
    const { log, name, logsBody, clock } = this.#remote
    const shown = logsBody && body.length > 0 ? `\n${body.toString()}` : ''
    const line = `${name}, HTTP status=${status}${shown}`
    const row = ANSWERS.find(({ from, to }) => status >= from && status <= to)
    const reason = `http_status_${status}`
    if (row?.means === 'ok') {
      log.info(line)
      this.#end(OK)
      return
    }
    log.error(line)
    if (row?.means === 'drop') {
      log.warn(`could not flush records to ${name} (http_do=0), chunk will not be retried`)
      this.#end(drop(reason))
      return
    }
    const wait = row?.hasWait === true ? retryAfterMs(headers['retry-after'], clock) : undefined
    this.#end(retry(reason, wait))
  }

  #failed(code = ''): void {
    if (!this.#isOpen) return
    const { log, name, host } = this.#remote
    const isMalformed = code.startsWith('HPE_')
    const { reason, words: why } = FAILURES[code] ?? { reason: 'network_error', words: code }
    if (this.#isConnected) {
      if (isMalformed) log.warn(`malformed HTTP response from ${name}`)
      else log.error(`broken connection to ${name} ?`)
      log.error(`could not flush records to ${name} (http_do=-1)`)
    } else {
      if (reason === 'unknown_host') log.warn(`getaddrinfo(host='${host}', ${why}`)
      else log.error(`TCP connection failed: ${name} (${why})`)
      log.error(`no upstream connections available to ${name}`)
    }
    this.#end(retry(isMalformed ? 'malformed_answer' : reason))
  }

  #end(delivery: Delivery): void {
    this.#isOpen = false
    this.#timer?.cancel()
    // Half a request or half an answer leaves a connection that the next request cannot use.
    const isWhole = this.#request.writableFinished && this.#response?.complete === true
    if (!isWhole) this.#request.destroy()
    this.#ended.resolve(delivery)
  }
}

/** The wait that a server asks for, in seconds or until a date; undefined when there is none. */
function retryAfterMs(header: string | undefined, clock: Clock): number | undefined {
  const value = header?.trim() ?? ''
  const isDate = /^\w{3,9}, .* GMT$/.test(value)
  const wait = isDate ? Date.parse(value) - clock.now() : /^\d+$/.test(value) ? +value * 1000 : NaN
  return wait > 0 ? Math.min(wait, RETRY_AFTER_MS_MAX) : undefined
}
