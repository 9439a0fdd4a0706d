/**
 * http: events that are sent over HTTP, as JSON or as a form.
 * Source: Fluent Bit 5.1.1 plugins/in_http/http.c, http_config.c, http_prot.c, src/http_server/*.c.
 *
 * A request's events are all taken or none, and it is answered when they are (see `acknowledge`).
 *
 * Differs: a request has one answer, where Fluent Bit answers twice what has no body or no known Content-Type, so that
 * the next request on the connection gets the wrong one. Pipelined requests, `Connection: close`, `Expect: 100-continue`
 * and empty chunked bodies are answered as HTTP asks for. HEAD gets no body. Answers have Date, and no `server` and
 * `x-http-engine`. JSON is read strictly (no `{"a":1,}`). A body that is not what its Content-Encoding says gets 400, an
 * encoding that is not known 415, where Fluent Bit takes both as they are; `deflate` works. What is not HTTP gets 400,
 * not silence. While the input is held back requests get 503 with Retry-After, where Fluent Bit closes connections, also
 * those of requests that it has taken. A record whose `tag_key` is empty gets the tag of the request, where Fluent Bit loses it.
 * Of several X-Forwarded-For headers the first counts, not the last.
 */
import type { Counter } from '../../../metrics/registry.ts'
import { flag, int, many, text, type Values, words } from '../../../config/options.ts'
import type {
  HttpHandler,
  HttpHead,
  HttpReply,
  HttpRequest,
  HttpServer
} from '../../../net/http_server.ts'
import type { InputContext } from '../../../plugin/context.ts'
import { defineInput } from '../../../plugin/define.ts'
import { configuredHeaders, type Header } from '../../common/http_headers.ts'
import { type FinishEvent, JsonBodyReader } from '../../common/json_body.ts'
import { OAUTH2_SERVER_OPTIONS } from '../../common/oauth2_options.ts'
import { RemoteAddress } from '../../common/remote_address.ts'
import { safeTag, SenderTags } from '../../common/sender_tags.ts'
import { TokenCheck } from '../../common/token_check.ts'
import { writeForm } from './form.ts'

const OPTIONS = {
  add_remote_addr: flag({
    default: 'false',
    doc: 'Add the first address of X-Forwarded-For to each record'
  }),
  remote_addr_key: text({ default: 'REMOTE_ADDR', doc: 'Key for the address of add_remote_addr' }),
  success_header: many(
    words(1, { doc: 'Name and value of a header of answers to what was taken' })
  ),
  tag_key: text({ doc: 'Accessor of the tag in each record' }),
  successful_response_code: int({
    default: '201',
    doc: 'Status of answers to what was taken: 200, 201 or 204'
  }),
  enable_health_endpoint: flag({ default: 'false', doc: 'Answer GET /health' }),
  ...OAUTH2_SERVER_OPTIONS
}

type HttpValues = Values<typeof OPTIONS>

const ADDRESS = { host: '0.0.0.0', port: 9880 }

const STATUSES: readonly number[] = [200, 201, 204]

export const http = defineInput({
  name: 'http',
  summary: 'Events in requests over HTTP',
  upstream: 'plugins/in_http/http.c',
  network: 'http_server',
  receipts: 'sender',
  options: OPTIONS,
  create(values, context) {
    const requests = new Requests(values, context)
    const server = context.net.httpServer(ADDRESS, requests)
    return {
      async start() {
        await server.start()
        requests.reportStart(server)
      },
      async stop() {
        requests.close()
        await server.stop()
      }
    }
  }
})

class Requests implements HttpHandler {
  readonly #context: InputContext
  readonly #hasHealth: boolean
  readonly #wantedStatus: number
  readonly #status: number
  readonly #headers: readonly Header[]
  readonly #tokens: TokenCheck | undefined
  readonly #address: RemoteAddress | undefined
  readonly #tags: SenderTags
  readonly #json = new JsonBodyReader()
  readonly #refused: Counter

  constructor(values: HttpValues, context: InputContext) {
    this.#context = context
    this.#hasHealth = values.enable_health_endpoint
    this.#wantedStatus = values.successful_response_code
    this.#status = STATUSES.includes(this.#wantedStatus) ? this.#wantedStatus : 201
    this.#headers = configuredHeaders('success_header', values.success_header, context)
    this.#tokens = TokenCheck.of(values, context)
    this.#address = values.add_remote_addr
      ? new RemoteAddress(values.remote_addr_key, context.log)
      : undefined
    this.#tags = new SenderTags(values.tag_key, context)
    this.#refused = context.counter(
      'spillway_requests_refused_total',
      'Requests that were answered with an error.'
    )
  }

  reportStart({ host, port }: HttpServer): void {
    const { log } = this.#context
    log.info(`listening on ${host}:${port} with 1 worker`)
    if (this.#wantedStatus !== this.#status) {
      log.error(`${this.#wantedStatus} is not supported response code. Use default 201`)
    }
  }

  close(): void {
    this.#tokens?.close()
  }

  /** In Fluent Bit's order; nothing of it needs the body. */
  async check({ method, path, headers }: HttpHead): Promise<HttpReply | undefined> {
    if (!path.startsWith('/')) return this.#refuse(400, 'error: invalid request\n')
    if (this.#hasHealth && method === 'GET' && path === '/health') return this.#health()
    if (this.#tokens !== undefined && !(await this.#tokens.allows(headers.authorization))) {
      return this.#refuse(401, '')
    }
    if (method !== 'POST') return this.#refuse(400, 'error: invalid HTTP method\n')
    if (headers['content-type'] === undefined)
      return this.#refuse(400, "error: header 'Content-Type' is not set\n")
    return contentOf(headers['content-type']) === undefined
      ? this.#refuse(400, "error: invalid 'Content-Type'\n")
      : undefined
  }

  handle({ path, headers, body }: HttpRequest): HttpReply | Promise<HttpReply> {
    if (body.length === 0) return this.#refuse(400, 'error: no payload found\n')
    const tag = path.length === 1 ? this.#context.tag : safeTag(Buffer.from(path, 'latin1'), 1)
    const finish = this.#address?.adder(headers)
    const isForm = contentOf(headers['content-type']) === 'form'
    const count = isForm ? this.#readForm(tag, body, finish) : this.#readJson(tag, body, finish)
    if (count === undefined) return this.#refuse(400, 'error: unable to process records\n')
    const answer = Promise.withResolvers<HttpReply>()
    this.#tags.commit(tag, count, () => answer.resolve(this.#taken('')))
    return answer.promise
  }

  /** @returns Events written; undefined where nothing of the body can be taken. */
  #readJson(tag: string, body: Buffer, finish: FinishEvent | undefined): number | undefined {
    const { clock, log, dropped } = this.#context
    const writer = this.#tags.writer(tag)
    const { events, others, end, restBytes } = this.#json.read(body, writer, clock.now(), finish)
    if (end === 'malformed') log.warn('invalid JSON message, skipping')
    else if (end === 'incomplete') log.warn('JSON data is incomplete, skipping')
    else if (end === 'not_an_event') log.error('skip record from invalid type')
    if (end !== 'complete') dropped(end, 1, restBytes)
    if (others > 0) dropped('not_an_event', others, 0)
    const isNothing = end !== 'complete' && restBytes === body.length
    return isNothing ? undefined : events
  }

  #readForm(tag: string, body: Buffer, finish: FinishEvent | undefined): number | undefined {
    const { clock, log } = this.#context
    const written = writeForm(body, this.#tags.writer(tag), clock.now(), finish, field =>
      log.warn(`invalid percent-encoding for field '${field}', keeping raw value`)
    )
    return written === 0 ? undefined : written
  }

  #health(): HttpReply {
    const time = new Date(this.#context.clock.now()).toISOString().replace('Z', '000000Z')
    const message = "I can only show you the door. You're the one that has to walk through it."
    return this.#taken(
      `{\n  "status": "ok",\n  "message": "${message}",\n  "timestamp": "${time}"\n}\n`,
      200
    )
  }

  #refuse(status: number, body: string): HttpReply {
    this.#refused.add(1)
    return { status, body }
  }

  #taken(body: string, status = this.#status): HttpReply {
    return { status, headers: this.#headers, body }
  }
}

/** What the media type says; undefined when it is none that is taken. */
function contentOf(header = ''): 'json' | 'form' | undefined {
  const type = header.split(';', 1)[0]?.trimEnd().toLowerCase()
  if (type === 'application/json') return 'json'
  return type === 'application/x-www-form-urlencoded' ? 'form' : undefined
}
