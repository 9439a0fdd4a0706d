/**
 * elasticsearch: takes documents as Elasticsearch's bulk API does.
 * Source: Fluent Bit 5.1.1 plugins/in_elasticsearch.
 *
 *     POST /_bulk          takes documents; see bulk_request.ts
 *     GET  /               version
 *     GET  /_nodes/http    address, for clients that ask for all nodes; also /_nodes/_all/http
 *     HEAD, GET, PUT       of all other paths are answered with 200, so that clients can make their templates
 *
 * Differs: a document that is no JSON map is answered with 400, for itself alone, and a body with anything else in place of
 * an action with 400 as a whole, of which nothing is taken; Fluent Bit takes what stands before the fault and does not
 * answer. Names of actions are compared whole, where Fluent Bit takes `ind` for `index`. `PUT /_bulk` takes documents too,
 * where Fluent Bit answers 200 and loses them. Answers have the header `X-Elastic-Product`, and the content types of
 * Elasticsearch 8 and 9 are taken: its own clients want both. JSON is read strictly. A document whose `tag_key` is empty
 * gets the tag of the input, where Fluent Bit loses it. The name of the node in `/_nodes/http` has 16 letters, where Fluent
 * Bit reads on into the next field. See plugins/inputs/http/http.ts for what differs in HTTP itself.
 */
import { MsgpackWriter } from '../../../codec/msgpack_writer.ts'
import { text } from '../../../config/options.ts'
import type { Counter } from '../../../metrics/registry.ts'
import type { HttpHandler, HttpHead, HttpReply, HttpRequest } from '../../../net/http_server.ts'
import { FailureCounter } from '../../../parser/failure_log.ts'
import type { InputContext } from '../../../plugin/context.ts'
import { defineInput } from '../../../plugin/define.ts'
import type { Header } from '../../common/http_headers.ts'
import { SenderTags, textTag } from '../../common/sender_tags.ts'
import { BulkReader, type BulkRefusal } from './bulk_request.ts'

const PORT = 9200

const BULK = '/_bulk'

/** Begins of paths; the second is what clients of Elasticsearch ask for, which Fluent Bit answers with an empty map. */
const NODES = ['/_nodes/http', '/_nodes/_all/http']

/** Begins of the content types of bulk requests; the last two are those of clients of Elasticsearch 8 and 9. */
const CONTENT_TYPES = [
  'application/x-ndjson',
  'application/json',
  'application/vnd.elasticsearch+x-ndjson',
  'application/vnd.elasticsearch+json'
]

/** Clients of Elasticsearch talk to nothing else. */
const PRODUCT: Header = ['x-elastic-product', 'Elasticsearch']

const DONE: HttpReply = { status: 200, headers: [PRODUCT] }
const EMPTY = json('{}')
const INVALID_REQUEST = failure(400, 'invalid request')
const INVALID_ENDPOINT = failure(400, 'invalid HTTP endpoint')
const INVALID_METHOD = failure(400, 'invalid HTTP method')
const NO_CONTENT_TYPE = failure(400, "header 'Content-Type' is not set")
const INVALID_CONTENT_TYPE = failure(400, "invalid 'Content-Type'")
const NO_PAYLOAD = failure(400, 'no payload found')
const INVALID_PAYLOAD = failure(400, 'invalid payload')

function json(body: string): HttpReply {
  return { status: 200, headers: [['content-type', 'application/json'], PRODUCT], body }
}

function failure(status: number, words: string): HttpReply {
  return { status, headers: [PRODUCT], body: `error: ${words}\n` }
}

/** What the log says of documents that are not taken. */
const REFUSAL_LINES: Readonly<Record<BulkRefusal, string>> = {
  malformed: 'invalid JSON message, skipping',
  update: 'updates are not supported, skipping',
  unknown_action: 'unknown action, skipping the rest of the payload'
}

/** Of the names that the node gives itself. */
const CLUSTER_LETTERS = '0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ'
const NODE_LETTERS = CLUSTER_LETTERS.slice(0, 36)

export const elasticsearch = defineInput({
  name: 'elasticsearch',
  summary: 'Requests of the Elasticsearch bulk API',
  upstream: 'plugins/in_elasticsearch/in_elasticsearch.c',
  network: 'http_server',
  receipts: 'sender',
  options: {
    tag_key: text({ doc: 'Key of the document that has the tag of its record' }),
    meta_key: text({ default: '@meta', doc: 'Key of the action in the record' }),
    hostname: text({ default: 'localhost', doc: 'Host that clients are told to connect to' }),
    version: text({ default: '8.0.0', doc: 'Version of Elasticsearch that clients are told' })
  },
  create(values, context) {
    const { hostname, version } = values
    const cluster = randomName(16, CLUSTER_LETTERS, context.random)
    const name = randomName(12, NODE_LETTERS, context.random)
    const bulk = new BulkApi(
      context,
      values.meta_key,
      new SenderTags(values.tag_key, context, textTag),
      {
        root: () =>
          json(
            JSON.stringify({
              version: { number: version, build_flavor: 'Fluent Bit OSS' },
              tagline: "Fluent Bit's Bulk API compatible endpoint"
            })
          ),
        nodes: () =>
          json(
            JSON.stringify({
              _nodes: { total: 1, successful: 1, failed: 0 },
              nodes: {
                [cluster]: {
                  name,
                  version: '8.0.0',
                  http: {
                    publish_address: `${hostname}:${server.port}`,
                    max_content_length_in_bytes: server.bodyBytesMax
                  }
                }
              }
            })
          )
      }
    )
    const server = context.net.httpServer({ port: PORT }, bulk)
    return {
      async start() {
        await server.start()
        context.log.info(`listening on ${server.host}:${server.port} with 1 worker`)
      },
      stop: () => server.stop()
    }
  }
})

function randomName(length: number, letters: string, random: () => number): string {
  return Array.from({ length }, () => letters[Math.floor(random() * letters.length)]).join('')
}

/** What the server says of itself. */
interface About {
  root(): HttpReply
  nodes(): HttpReply
}

class BulkApi implements HttpHandler {
  readonly #context: InputContext
  readonly #metaKey: Buffer
  readonly #tags: SenderTags
  readonly #about: About
  readonly #refusals: Counter
  readonly #failures = new FailureCounter()

  constructor(context: InputContext, metaKey: string, tags: SenderTags, about: About) {
    this.#context = context
    this.#tags = tags
    this.#about = about
    const encoded = new MsgpackWriter(64)
    encoded.string(metaKey)
    this.#metaKey = encoded.written()
    this.#refusals = context.counter(
      'spillway_requests_refused_total',
      'Requests that were answered with an error.'
    )
  }

  check(head: HttpHead): HttpReply | undefined {
    return this.#counted(this.#answer(head))
  }

  async handle(request: HttpRequest): Promise<HttpReply> {
    return this.#counted(await this.#take(request))
  }

  #counted<Reply extends HttpReply | undefined>(reply: Reply): Reply {
    if (reply !== undefined && reply.status >= 400) this.#refusals.add(1)
    return reply
  }

  /** The answer to all but bulk requests that may go on. */
  #answer({ method, path, headers }: HttpHead): HttpReply | undefined {
    if (!path.startsWith('/')) return INVALID_REQUEST
    const isBulk = path === BULK
    switch (method) {
      case 'HEAD':
        return DONE
      case 'GET':
        if (NODES.some(begin => path.startsWith(begin))) return this.#about.nodes()
        return path === '/' ? this.#about.root() : EMPTY
      case 'PUT':
        return isBulk ? this.#bulkRefusal(headers['content-type']) : EMPTY
      case 'POST':
        return isBulk ? this.#bulkRefusal(headers['content-type']) : INVALID_ENDPOINT
      default:
        return INVALID_METHOD
    }
  }

  #bulkRefusal(contentType: string | undefined): HttpReply | undefined {
    if (contentType === undefined) return NO_CONTENT_TYPE
    const type = contentType.toLowerCase()
    if (!CONTENT_TYPES.some(begin => type.startsWith(begin))) return INVALID_CONTENT_TYPE
    return undefined
  }

  #take({ body }: HttpRequest): HttpReply | Promise<HttpReply> {
    const { clock, dropped, log, tag } = this.#context
    if (body.length === 0) return NO_PAYLOAD
    const out = this.#tags.writer(tag)
    const start = out.length
    const bulk = new BulkReader(body, this.#metaKey, clock.now(), out, (reason, bytes) => {
      dropped(reason, 1, bytes)
      if (this.#failures.add()) log.warn(REFUSAL_LINES[reason])
    })
    if (!bulk.read()) {
      out.length = start
      dropped('malformed', 1, body.length)
      if (this.#failures.add()) log.warn('decode payload of Bulk API is failed')
      return INVALID_PAYLOAD
    }
    const reply = json(`{"errors":${bulk.hasErrors},"items":[${bulk.items}]}`)
    const answer = Promise.withResolvers<HttpReply>()
    this.#tags.commit(tag, bulk.count, () => answer.resolve(reply))
    return answer.promise
  }
}
