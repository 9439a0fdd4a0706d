/**
 * `body_key` and `headers_key`: each record is a request of its own, which says its body and its headers.
 * Source: Fluent Bit 5.1.1 plugins/out_http/http.c send_all_requests(), extract_headers().
 */
import type { Logger } from '../../../base/log.ts'
import {
  contentCount,
  headerSize,
  isMap,
  isString,
  readString,
  skip,
  typeOf
} from '../../../codec/msgpack_reader.ts'
import type { ChunkView, OutputContext } from '../../../plugin/context.ts'
import { type Delivery, drop, OK, partial, type WholeDelivery } from '../../../plugin/delivery.ts'
import { type Accessor, compileAccessor } from '../../../record/accessor.ts'
import { eventBodyAt, isGroupMark } from '../../../record/event.ts'
import { type Header, isFraming, isHeaderName, safeHeaderValue } from '../../common/http_headers.ts'

export interface RecordRequest {
  readonly body: Buffer
  readonly headers: readonly Header[]
}

const UNREADABLE = drop('no_body_or_headers')

/** Sends one request after the other. */
export class RecordRequests {
  readonly #bodyKey: string
  readonly #headersKey: string
  readonly #body: Accessor
  readonly #headers: Accessor
  readonly #log: Logger
  readonly #problems = new Set<string>()

  constructor(bodyKey: string, headersKey: string, context: OutputContext) {
    this.#bodyKey = bodyKey
    this.#headersKey = headersKey
    this.#body = accessorOf('body_key', bodyKey, context)
    this.#headers = accessorOf('headers_key', headersKey, context)
    this.#log = context.log
  }

  /** The first record that is to be sent again ends it: those after it are to be sent again too, in their order. */
  async send(
    { bytes }: ChunkView,
    request: (request: RecordRequest) => Promise<WholeDelivery>
  ): Promise<Delivery> {
    const dropped = new Map<string, number[]>()
    const again: number[] = []
    let failure: (WholeDelivery & { kind: 'retry' }) | undefined
    let number = 0
    for (let at = 0, next = 0; at < bytes.length; at = next, number++) {
      const bodyAt = eventBodyAt(bytes, at)
      next = skip(bytes, bodyAt)
      if (isGroupMark(bytes, at)) continue
      const wanted = this.#read(bytes, bodyAt)
      const delivery = wanted === undefined ? UNREADABLE : (failure ?? (await request(wanted)))
      if (delivery.kind === 'drop') {
        const numbers = dropped.get(delivery.reason) ?? []
        numbers.push(number)
        dropped.set(delivery.reason, numbers)
      } else if (delivery.kind === 'retry') {
        failure = delivery
        again.push(number)
      }
    }
    this.#report()
    if (again.length === 0 && dropped.size === 0) return OK
    const drops = [...dropped].map(([reason, events]) => ({ reason, events }))
    const { reason = '', waitMs } = failure ?? {}
    return partial({
      retry: again,
      drop: drops,
      reason,
      ...(waitMs === undefined ? {} : { waitMs })
    })
  }

  #read(bytes: Buffer, mapAt: number): RecordRequest | undefined {
    const body = this.#bodyOf(bytes, mapAt)
    const headers = this.#headersOf(bytes, mapAt)
    if (body !== undefined && headers !== undefined) return { body, headers }
    const patterns = `"${this.#bodyKey}" and "${this.#headersKey}"`
    this.#problems.add(`failed to extract body/headers using patterns ${patterns}`)
    return undefined
  }

  #bodyOf(bytes: Buffer, mapAt: number): Buffer | undefined {
    const at = this.#body.find(bytes, mapAt)
    if (at < 0) return undefined
    const type = typeOf(bytes[at])
    if (type === 'string' || type === 'binary') {
      const start = at + headerSize(bytes[at])
      return bytes.subarray(start, start + contentCount(bytes, at))
    }
    const pattern = `"${this.#bodyKey}" (must be a msgpack string or bin)`
    this.#problems.add(`failed to extract body using pattern ${pattern}`)
    return undefined
  }

  #headersOf(bytes: Buffer, mapAt: number): Header[] | undefined {
    const at = this.#headers.find(bytes, mapAt)
    if (at < 0) return undefined
    const headers = isMap(bytes[at]) ? readHeaders(bytes, at) : undefined
    if (headers === undefined) {
      this.#problems.add(`error extracting headers using pattern "${this.#headersKey}"`)
    }
    return headers
  }

  /** Once for a chunk, and not for each of its records. */
  #report(): void {
    for (const problem of this.#problems) this.#log.warn(problem)
    this.#problems.clear()
  }
}

/** Pairs of strings; undefined where a name is none that can be sent. */
function readHeaders(bytes: Buffer, mapAt: number): Header[] | undefined {
  const headers: Header[] = []
  let at = mapAt + headerSize(bytes[mapAt])
  for (let left = contentCount(bytes, mapAt); left > 0; left--) {
    const valueAt = skip(bytes, at)
    const isText = isString(bytes[at]) && isString(bytes[valueAt])
    const name = isText ? readString(bytes, at) : ''
    if (isText && !isHeaderName(name)) return undefined
    if (isText && !isFraming(name))
      headers.push([name, safeHeaderValue(readString(bytes, valueAt))])
    at = skip(bytes, valueAt)
  }
  return headers
}

function accessorOf(key: string, text: string, context: OutputContext): Accessor {
  const accessor = compileAccessor(text)
  if ('error' in accessor) throw context.invalid(key, accessor.error)
  return accessor
}
