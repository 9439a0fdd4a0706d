/**
 * splunk: takes events as Splunk's HTTP event collector (HEC) does.
 * Source: Fluent Bit 5.1.1 plugins/in_splunk.
 *
 *     POST /services/collector[/event[/1.0]]    JSON, or one record of any text where it does not begin with `{`
 *     POST /services/collector/raw[/1.0]        one record of the whole body
 *     GET  /services/collector/health           whether events are taken
 *
 * Differs: tokens are looked at before the body is read. A body with a fault is taken up to it where it breaks off, and
 * not at all otherwise; what is not taken is counted. What follows a list is taken, where Fluent Bit loses it; items of a
 * list that are no maps cost only themselves. A raw request without a Content-Type is answered once, where Fluent Bit
 * answers twice. While the input is held back, health has 503 too. `success_header` is sent, where Fluent Bit ignores it. JSON is read strictly. A record whose `tag_key` is empty gets the tag of the input,
 * where Fluent Bit loses it. Of several X-Forwarded-For headers the first counts, not the last. `splunk_token` without a
 * token in it is refused at the start. See plugins/inputs/http/http.ts for what differs in HTTP itself.
 */
import type { Counter } from '../../../metrics/registry.ts'
import type { HttpHandler, HttpHead, HttpReply, HttpRequest } from '../../../net/http_server.ts'
import { FailureCounter } from '../../../parser/failure_log.ts'
import { flag, many, secret, text, words } from '../../../config/options.ts'
import type { InputContext } from '../../../plugin/context.ts'
import { defineInput } from '../../../plugin/define.ts'
import { configuredHeaders, type Header, headerBytes } from '../../common/http_headers.ts'
import { type JsonBody, JsonBodyReader } from '../../common/json_body.ts'
import { forwardedFor } from '../../common/remote_address.ts'
import { SenderTags, textTag } from '../../common/sender_tags.ts'
import { HecFrame, type HecKeys } from './hec_frame.ts'

const PORT = 8088

const ENDPOINTS: ReadonlyMap<string, 'event' | 'raw'> = new Map([
  ['/services/collector', 'event'],
  ['/services/collector/event', 'event'],
  ['/services/collector/event/1.0', 'event'],
  ['/services/collector/raw', 'raw'],
  ['/services/collector/raw/1.0', 'raw']
])

const HEALTH = '/services/collector/health'

const SCHEME = 'splunk '

const OPEN_BRACE = 0x7b

/** Answers as Splunk numbers them. */
const HEALTHY = answer(200, 'Success', 200)
const SUCCESS = answer(200, 'Success', 0)
const TOKEN_REQUIRED = answer(401, 'Token is required', 2)
const INVALID_AUTHORIZATION = answer(401, 'Invalid authorization', 3)
const INVALID_TOKEN = answer(403, 'Invalid token', 4)
const NO_DATA = answer(400, 'No data', 5)
const INVALID_DATA = answer(400, 'Invalid data format', 6)
const OVERLOADED = answer(503, 'Server overloaded', 9)

/** Answers outside of Splunk's protocol. */
const INVALID_REQUEST: HttpReply = { status: 400, body: 'error: invalid request\n' }
const INVALID_ENDPOINT: HttpReply = { status: 400, body: 'error: invalid HTTP endpoint\n' }
const INVALID_METHOD: HttpReply = { status: 400, body: 'error: invalid HTTP method\n' }
const NO_CONTENT_TYPE: HttpReply = {
  status: 400,
  body: "error: header 'Content-Type' is not set\n"
}

function answer(status: number, words: string, code: number): HttpReply {
  const body = JSON.stringify({ text: words, code })
  return { status, headers: [['content-type', 'application/json']], body }
}

/** What the log says of a body that has a fault, as Fluent Bit does. */
const FAULT_LINES: Readonly<Record<Exclude<JsonBody['end'], 'complete'>, string>> = {
  incomplete: 'JSON data is incomplete, skipping',
  malformed: 'invalid JSON message, skipping',
  not_an_event: 'skip record from invalid type'
}

export const splunk = defineInput({
  name: 'splunk',
  summary: 'Splunk HEC requests',
  upstream: 'plugins/in_splunk/splunk.c',
  network: 'http_server',
  receipts: 'sender',
  options: {
    success_header: many(
      words(1, { doc: 'Header, NAME VALUE, of the answer to events that were taken' })
    ),
    splunk_token: secret(
      text({ doc: 'Tokens, separated by commas, of which senders must have one' })
    ),
    store_token_in_metadata: flag({
      default: 'true',
      doc: "Keep the sender's token in the metadata, as hec_token; else in the record"
    }),
    splunk_token_key: text({ default: '@splunk_token', doc: 'Key of the token in the record' }),
    tag_key: text({ doc: 'Key of the record that has its tag' }),
    add_remote_addr: flag({
      default: 'false',
      doc: 'Add where the request comes from: X-Forwarded-For, or the address of the connection'
    }),
    remote_addr_key: text({ default: 'remote_addr', doc: 'Key of what add_remote_addr adds' })
  },
  create(values, context) {
    const collector = new Collector({
      context,
      tokens: tokenSet(values.splunk_token, context),
      keys: {
        token: values.store_token_in_metadata ? undefined : values.splunk_token_key,
        address: values.remote_addr_key
      },
      addsAddress: values.add_remote_addr,
      tags: new SenderTags(values.tag_key, context, textTag),
      successHeaders: configuredHeaders('success_header', values.success_header, context)
    })
    const server = context.net.httpServer({ port: PORT }, collector)
    return {
      async start() {
        await server.start()
        context.log.info(`listening on ${server.host}:${server.port} with 1 worker`)
      },
      stop: () => server.stop()
    }
  }
})

/** Headers that are let in, in small letters: tokens are compared without case, as Fluent Bit does. */
function tokenSet(text: string | undefined, context: InputContext): ReadonlySet<string> {
  if (text === undefined) return new Set()
  const tokens = text.split(',').flatMap(token => token.trim() || [])
  if (tokens.length === 0) {
    throw context.invalid('splunk_token', 'value must have a token: there is none in it')
  }
  return new Set(tokens.map(token => SCHEME + headerBytes(token).toLowerCase()))
}

interface CollectorSettings {
  readonly context: InputContext
  /** Empty where everybody is let in. */
  readonly tokens: ReadonlySet<string>
  readonly keys: HecKeys
  readonly addsAddress: boolean
  readonly tags: SenderTags
  readonly successHeaders: readonly Header[]
}

class Collector implements HttpHandler {
  readonly #settings: CollectorSettings
  readonly #success: HttpReply
  readonly #refusals: Counter
  readonly #faults = new FailureCounter()
  readonly #json = new JsonBodyReader()

  constructor(settings: CollectorSettings) {
    this.#settings = settings
    const { headers = [] } = SUCCESS
    this.#success = { ...SUCCESS, headers: [...headers, ...settings.successHeaders] }
    this.#refusals = settings.context.counter(
      'spillway_requests_refused_total',
      'Requests that were answered with an error.'
    )
  }

  check(head: HttpHead): HttpReply | undefined {
    const reply = head.method === 'GET' ? this.#get(head) : this.#refusal(head)
    if (reply !== undefined && reply !== HEALTHY) this.#refusals.add(1)
    return reply
  }

  async handle(request: HttpRequest): Promise<HttpReply> {
    const reply = await this.#take(request)
    if (reply !== this.#success) this.#refusals.add(1)
    return reply
  }

  #get({ path }: HttpHead): HttpReply {
    if (path.toLowerCase() !== HEALTH) return INVALID_ENDPOINT
    return this.#settings.context.paused ? OVERLOADED : HEALTHY
  }

  /** Why the body is not wanted, in the order in which Fluent Bit looks. */
  #refusal({ method, path, headers }: HttpHead): HttpReply | undefined {
    if (!path.startsWith('/')) return INVALID_REQUEST
    const refusal = this.#unauthorized(headers.authorization)
    if (refusal !== undefined) return refusal
    if (method !== 'POST') return INVALID_METHOD
    const endpoint = ENDPOINTS.get(path.toLowerCase())
    if (endpoint === undefined) return INVALID_ENDPOINT
    if (endpoint === 'raw' && headers['content-type'] === undefined) return NO_CONTENT_TYPE
    return undefined
  }

  #unauthorized(header = ''): HttpReply | undefined {
    const { tokens } = this.#settings
    const { log } = this.#settings.context
    if (tokens.size === 0 || tokens.has(header.toLowerCase())) return undefined
    if (header === '') {
      log.warn('missing credentials in request headers')
      return TOKEN_REQUIRED
    }
    if (!hasToken(header)) {
      log.warn('invalid authorization in request headers')
      return INVALID_AUTHORIZATION
    }
    log.warn('wrong credentials in request headers')
    return INVALID_TOKEN
  }

  #take(request: HttpRequest): HttpReply | Promise<HttpReply> {
    const { context, tags } = this.#settings
    if (request.body.length === 0) return NO_DATA
    const frame = this.#frame(request)
    if (isRaw(request)) {
      const sink = context.sink(context.tag)
      frame.writeRaw(request.body, context.clock.now(), sink.writer)
      return this.#answer(receipt => sink.commit(1, receipt))
    }
    const count = this.#readJson(request.body, frame)
    if (count === undefined) return INVALID_DATA
    return this.#answer(receipt => tags.commit(context.tag, count, receipt))
  }

  /** Gives the number of events written; undefined where nothing of the body can be taken. */
  #readJson(body: Buffer, frame: HecFrame): number | undefined {
    const { context, tags } = this.#settings
    const { clock, dropped, log, tag } = context
    const out = tags.writer(tag)
    const { events, others, end, restBytes } = this.#json.read(body, out, clock.now(), frame.finish)
    if (others > 0) dropped('not_an_event', others, 0)
    if (end === 'complete') return events
    dropped(end, 1, restBytes)
    if (this.#faults.add()) log.warn(FAULT_LINES[end])
    return restBytes === body.length ? undefined : events
  }

  /** The answer to what was taken, once it may be given. */
  async #answer(commit: (receipt: () => void) => void): Promise<HttpReply> {
    const { promise, resolve } = Promise.withResolvers<HttpReply>()
    commit(() => resolve(this.#success))
    return promise
  }

  #frame(request: HttpRequest): HecFrame {
    const { keys, addsAddress } = this.#settings
    const { authorization = '' } = request.headers
    return new HecFrame(keys, {
      token: hasToken(authorization) ? authorization : undefined,
      address: addsAddress ? senderAddress(request) : undefined
    })
  }
}

function senderAddress({ headers, peer }: HttpHead): string {
  return forwardedFor(headers) ?? `tcp://${peer.address}:${peer.port}`
}

function hasToken(header: string): boolean {
  return header.length > SCHEME.length && header.toLowerCase().startsWith(SCHEME)
}

/** Whether a body is one record, whatever is in it. */
function isRaw({ path, headers, body }: HttpRequest): boolean {
  if (ENDPOINTS.get(path.toLowerCase()) === 'raw') return true
  const type = headers['content-type']?.toLowerCase()
  if (type === 'application/json') return false
  return type === 'text/plain' || body[0] !== OPEN_BRACE
}
