/**
 * http: sends events to an HTTP server, a chunk or a record in a request.
 * Source: Fluent Bit 5.1.1 plugins/out_http/http.c, http_conf.c, src/flb_http_client.c, docs pipeline/outputs/http.md.
 * Differs: `aws_auth` is refused in this version. What would break a request is refused: spaces in `uri`, control characters,
 * and the headers Content-Length, Transfer-Encoding and Trailer; those of records are left out. Control characters of a
 * tag or a record's headers are sent as spaces. An answer counts by its status also when its body is longer than 4 KB, of
 * which the rest is not logged (Fluent Bit sends the chunk again), and 1xx answers are waited out. Retry-After of 429 and
 * 503 is heeded, up to an hour. Without keep-alive the request says `Connection: close`.
 * With `format gelf` a record that cannot be written is given up alone, where Fluent Bit gives up its chunk; with
 * `body_key` each record has its own end, where Fluent Bit lets the last one decide for all, and headers behind one that
 * is not text are sent. `_debug.http.*` work without a build for debugging.
 */
import { compress, type Compression } from '../../../codec/compression.ts'
import {
  choice,
  flag,
  many,
  seconds,
  secret,
  text,
  type Values,
  words
} from '../../../config/options.ts'
import type { ChunkView, OutputContext } from '../../../plugin/context.ts'
import { defineOutput } from '../../../plugin/define.ts'
import { type Delivery, OK, partial, type WholeDelivery } from '../../../plugin/delivery.ts'
import { dateFormatOf, jsonFormatOf } from '../../../record/event_json.ts'
import type { GelfKeys } from '../../../record/gelf.ts'
import {
  checkHeaderName,
  configuredHeaders,
  type Header,
  headerBytes,
  safeHeaderValue
} from '../../common/http_headers.ts'
import {
  type AnswerRow,
  HttpSender,
  type HttpSenderSettings,
  type JudgedAnswer,
  type ProxyAddress
} from '../../common/http_output.ts'
import { JSON_FORMAT_OPTIONS } from '../../common/json_format.ts'
import { OAUTH2_CLIENT_OPTIONS } from '../../common/oauth2_options.ts'
import { bodyFormat } from './bodies.ts'
import { RecordRequests } from './record_requests.ts'

const WITH_AWS = 'it comes with AWS, in a later version'

const OPTIONS = {
  proxy: text({ doc: 'Proxy that gets whole URLs, as http://host:port' }),
  allow_duplicated_headers: flag({
    default: 'true',
    doc: 'Send headers of the same name; else the last one replaces those before it'
  }),
  log_response_payload: flag({ default: 'true', doc: 'Log the body of the answer' }),
  'http.response_timeout': seconds({ default: '60s', doc: 'Longest time to wait for the answer' }),
  'http.read_idle_timeout': seconds({
    default: '0s',
    doc: 'Longest silence within the answer; net.io_timeout unless set'
  }),
  http_user: text({ doc: 'User of basic authentication' }),
  http_passwd: secret(text({ default: '', doc: 'Password of http_user' })),
  ...OAUTH2_CLIENT_OPTIONS,
  aws_auth: flag({ default: 'false', doc: 'Sign requests with AWS SigV4; not in this version' }),
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
    doc: 'json, json_lines, json_stream, gelf or msgpack'
  }),
  compress: text({ doc: 'gzip, snappy or zstd' }),
  header: many(words(1, { doc: 'Name and value of a header to add' })),
  uri: text({ doc: 'Path and query of the request; / unless set' }),
  http_method: choice(['POST', 'PUT'], { default: 'POST', doc: 'POST or PUT' }),
  gelf_timestamp_key: text({ doc: 'Key of the time for gelf' }),
  gelf_host_key: text({ doc: 'Key of the host for gelf' }),
  gelf_short_message_key: text({ doc: 'Key of the short message for gelf' }),
  gelf_full_message_key: text({ doc: 'Key of the full message for gelf' }),
  gelf_level_key: text({ doc: 'Key of the level for gelf' }),
  body_key: text({ doc: 'Accessor of the body; each record is a request then' }),
  headers_key: text({ doc: 'Accessor of the headers, with body_key' })
}

type HttpValues = Values<typeof OPTIONS>

/** What an answer means for the chunk. */
const ANSWERS: readonly AnswerRow[] = [
  { from: 200, to: 205, means: 'ok' },
  { from: 408, to: 408, means: 'retry' },
  { from: 429, to: 429, means: 'retry', hasWait: true },
  { from: 502, to: 502, means: 'retry', isUnhealthy: true },
  { from: 503, to: 503, means: 'retry', isUnhealthy: true, hasWait: true },
  { from: 504, to: 504, means: 'retry', isUnhealthy: true },
  { from: 400, to: 499, means: 'drop' },
  { from: 0, to: 999, means: 'retry' }
]

const PORT = 80

/** Of the answer's body, this much is logged. */
const LOGGED_BYTES_MAX = 4096

const NOT_IN_PATH = /[\0-\x20\x7f]/

export const http = defineOutput({
  name: 'http',
  summary: 'Sends events to an HTTP server',
  upstream: 'plugins/out_http/http.c',
  network: 'client',
  // Fluent Bit starts two workers for this output.
  concurrency: 2,
  options: OPTIONS,
  create(values, context) {
    if (values.aws_auth) throw context.invalid('aws_auth', WITH_AWS)
    const records = recordRequests(values, context)
    const format = bodyFormat(values.format, values, gelfKeys(values), context)
    const method = values.http_method
    const path = pathOf(values, context)
    const compression = compressionOf(values.compress, context)
    const headers = new RequestHeaders(values, compression, context)
    const sender = new HttpSender(senderSettings(values, context), values, context)

    async function send(
      { tag }: ChunkView,
      own: readonly Header[],
      pieces: readonly Buffer[]
    ): Promise<WholeDelivery> {
      const body =
        compression === undefined ? pieces : [await compress(compression, Buffer.concat(pieces))]
      const message = { method, path, headers: headers.of(own, tag), body }
      return sender.deliver(message, answer => judge(answer, values, context))
    }

    return {
      start: () => reportReplaced(values, context),
      async flush(chunk) {
        if (records !== undefined) {
          return records.send(chunk, ({ headers: own, body }) => send(chunk, own, [body]))
        }
        const { pieces, refused } = format.write(chunk)
        const type: Header = ['Content-Type', format.contentType]
        const delivery = pieces.length === 0 ? OK : await send(chunk, [type], pieces)
        return refused.length === 0 ? delivery : without(refused, delivery, chunk)
      },
      stop: () => sender.close()
    }
  }
})

/** What Fluent Bit replaces with an error in the log. */
function reportReplaced(
  { format, json_date_format: date }: HttpValues,
  { log }: OutputContext
): void {
  if (jsonFormatOf(format) === undefined && !/^(?:gelf|msgpack)$/i.test(format)) {
    log.error("unrecognized 'format' option. Using 'msgpack'")
  }
  if (date !== undefined && dateFormatOf(date) === undefined) {
    log.error("unrecognized 'json_date_format' option. Using 'double'.")
  }
}

function recordRequests(values: HttpValues, context: OutputContext): RecordRequests | undefined {
  const { body_key: bodyKey, headers_key: headersKey } = values
  if (bodyKey === undefined && headersKey === undefined) return undefined
  if (bodyKey === undefined) {
    throw context.invalid('headers_key', 'when setting headers_key, body_key is also required')
  }
  if (headersKey === undefined) {
    throw context.invalid('body_key', 'when setting body_key, headers_key is also required')
  }
  return new RecordRequests(bodyKey, headersKey, context)
}

function gelfKeys(values: HttpValues): GelfKeys {
  return {
    timestamp: values.gelf_timestamp_key,
    host: values.gelf_host_key,
    shortMessage: values.gelf_short_message_key,
    fullMessage: values.gelf_full_message_key,
    level: values.gelf_level_key
  }
}

/** What the name of the output has as its path counts before the key. */
function pathOf({ uri }: HttpValues, context: OutputContext): string {
  const path = context.net.uri ?? uri ?? ''
  if (NOT_IN_PATH.test(path)) {
    // Not shown: it may have a token in its query.
    throw context.invalid('uri', 'value must have neither spaces nor control characters')
  }
  return headerBytes(path.startsWith('/') ? path : `/${path}`)
}

function compressionOf(word: string | undefined, context: OutputContext): Compression | undefined {
  if (word === undefined) return undefined
  const found = (['gzip', 'snappy', 'zstd'] as const).find(kind => kind === word.toLowerCase())
  if (found !== undefined) return found
  const wanted = 'value must be one of gzip, snappy, zstd'
  throw context.invalid('compress', `${wanted}: current value is "${word}"`)
}

function senderSettings(values: HttpValues, context: OutputContext): HttpSenderSettings {
  const ioTimeoutSeconds = context.net.client.ioTimeoutMs / 1000
  return {
    port: PORT,
    answers: ANSWERS,
    responseTimeoutSeconds: values['http.response_timeout'],
    readIdleTimeoutSeconds: values['http.read_idle_timeout'] || ioTimeoutSeconds,
    repeatsHeaders: values.allow_duplicated_headers,
    proxy: proxyOf(values.proxy, context),
    oauth2: values
  }
}

function proxyOf(text: string | undefined, context: OutputContext): ProxyAddress | undefined {
  if (text === undefined) return undefined
  const url = URL.parse(text)
  const isHttp = url?.protocol === 'http:' || url?.protocol === 'https:'
  if (url === null || !isHttp) {
    // Not shown: it may have a password.
    throw context.invalid('proxy', 'could not parse proxy parameter: wanted is http://host:port')
  }
  const port = url.protocol === 'https:' ? 443 : 80
  return {
    host: url.hostname.replace(/^\[(.*)\]$/, '$1'),
    port: url.port === '' ? port : Number(url.port)
  }
}

/** The header lines between Content-Length and Connection, in Fluent Bit's order. */
class RequestHeaders {
  readonly #tagName: string | undefined
  readonly #rest: readonly Header[]

  constructor(values: HttpValues, compression: Compression | undefined, context: OutputContext) {
    const { header_tag: tagName, http_user: user, http_passwd: password } = values
    if (tagName !== undefined) checkHeaderName('header_tag', tagName, context)
    this.#tagName = tagName
    const credentials = Buffer.from(`${user}:${password}`).toString('base64')
    this.#rest = [
      ['Content-Encoding', compression ?? ''],
      ['Authorization', user === undefined ? '' : `Basic ${credentials}`],
      ['User-Agent', 'Fluent-Bit'],
      ...configuredHeaders('header', values.header, context)
    ]
  }

  /** @param own Those of the format, or of the record. */
  of(own: readonly Header[], tag: string): Header[] {
    const name = this.#tagName
    const tagged: Header[] = name === undefined ? [] : [[name, safeHeaderValue(tag)]]
    return [...own, ...tagged, ...this.#rest]
  }
}

function judge(
  { name, answer, delivery }: JudgedAnswer,
  { log_response_payload: logsBody }: HttpValues,
  { log }: OutputContext
): WholeDelivery {
  const body = answer.body.toString('utf8', 0, LOGGED_BYTES_MAX)
  const line = `${name}, HTTP status=${answer.status}${logsBody && body !== '' ? `\n${body}` : ''}`
  if (delivery.kind === 'ok') log.info(line)
  else log.error(line)
  if (delivery.kind === 'drop') {
    log.warn(`could not flush records to ${name} (http_do=0), chunk will not be retried`)
  }
  return delivery
}

/** The end of a chunk of which some events could not be sent. */
function without(refused: readonly number[], delivery: WholeDelivery, chunk: ChunkView): Delivery {
  const lost = { reason: 'not_gelf', events: refused }
  if (delivery.kind === 'ok') return partial({ drop: [lost] })
  const isRefused = new Set(refused)
  const rest = Array.from({ length: chunk.events }, (_, number) => number).filter(
    number => !isRefused.has(number)
  )
  if (delivery.kind === 'drop') {
    return partial({ drop: [lost, { reason: delivery.reason, events: rest }] })
  }
  const { reason, waitMs } = delivery
  return partial({
    retry: rest,
    drop: [lost],
    reason,
    ...(waitMs === undefined ? {} : { waitMs })
  })
}
