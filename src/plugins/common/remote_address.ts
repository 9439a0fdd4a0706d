/**
 * `add_remote_addr` of inputs over HTTP: the address of who has sent, as a proxy says it.
 * Source: Fluent Bit 5.1.1 plugins/in_http/http_prot.c get_remote_addr(), append_remote_addr(); plugins/in_splunk.
 */
import type { IncomingHttpHeaders } from 'node:http'
import type { Logger } from '../../base/log.ts'
import { MsgpackWriter } from '../../codec/msgpack_writer.ts'
import { findKey } from '../../record/accessor.ts'
import type { FinishEvent } from './json_body.ts'

export class RemoteAddress {
  readonly #key: string
  readonly #keyBytes: Buffer
  readonly #log: Logger

  /** @param key `remote_addr_key`. */
  constructor(key: string, log: Logger) {
    this.#key = key
    this.#keyBytes = Buffer.from(key)
    this.#log = log
  }

  /** Appends the address to each event of a request; undefined when no proxy says it. */
  adder(headers: IncomingHttpHeaders): FinishEvent | undefined {
    const address = forwardedFor(headers)
    if (address === undefined) return undefined
    const pair = new MsgpackWriter(64)
    pair.string(this.#key)
    pair.latin1String(address)
    let hasWarned = false
    return (out, mapAt) => {
      if (findKey(out.bytes, mapAt, this.#keyBytes) < 0) {
        out.raw(pair.bytes, 0, pair.length)
        out.extendMap(mapAt, 1)
      } else if (!hasWarned) {
        hasWarned = true
        this.#log.warn('remote_addr_key already present in record, skipping injection')
      }
    }
  }
}

/** The first address of X-Forwarded-For, one character for each byte. */
export function forwardedFor({
  'x-forwarded-for': header
}: IncomingHttpHeaders): string | undefined {
  const [first = ''] = String(header ?? '').split(',')
  const address = first.trim()
  return address === '' ? undefined : address
}
