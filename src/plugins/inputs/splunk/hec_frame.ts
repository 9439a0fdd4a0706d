/**
 * What every event of one HEC request gets from the request: the sender's token, in the metadata or in the record, and the
 * sender's address.
 * Source: Fluent Bit 5.1.1 plugins/in_splunk/splunk_prot.c process_flb_log_append(), process_raw_payload_pack().
 *
 * @hot bench/pipelines.ts
 */
import { MsgpackWriter } from '../../../codec/msgpack_writer.ts'
import type { FinishEvent } from '../../common/json_body.ts'
import { beginEvent } from '../../common/send_event.ts'

/** Where tokens and addresses go. */
export interface HecKeys {
  /** The record's key for the token; undefined where it goes to the metadata, as `hec_token`. */
  readonly token: string | undefined
  readonly address: string
}

/** Values of headers: each character is a byte. */
export interface HecSender {
  /** The whole `Authorization` header. */
  readonly token: string | undefined
  readonly address: string | undefined
}

export class HecFrame {
  /** Changes the events of a JSON body; undefined when they stay as they are. */
  readonly finish: FinishEvent | undefined
  /** A map; empty where the metadata stays empty. */
  readonly #metadata: Buffer
  /** Pairs for the record, empty where it gets none. */
  readonly #token: Buffer
  readonly #address: Buffer
  readonly #pairs: number

  constructor(keys: HecKeys, { token, address }: HecSender) {
    const inMetadata = pair(keys.token === undefined ? 'hec_token' : undefined, token)
    this.#metadata = inMetadata.length === 0 ? inMetadata : Buffer.concat([MAP_OF_ONE, inMetadata])
    this.#token = pair(keys.token, token)
    this.#address = pair(keys.address, address)
    this.#pairs = Number(this.#token.length > 0) + Number(this.#address.length > 0)
    const changes = this.#metadata.length > 0 || this.#pairs > 0
    this.finish = changes ? (out, bodyAt) => this.#complete(out, bodyAt) : undefined
  }

  /** Writes the event of a body that is not JSON. */
  writeRaw(body: Buffer, timeMs: number, out: MsgpackWriter): void {
    beginEvent(out, timeMs)
    if (this.#metadata.length > 0) {
      // In place of the empty map.
      out.length--
      writeAll(this.#metadata, out)
    }
    out.mapHeader(1 + this.#pairs)
    writeAll(this.#token, out)
    out.string('log')
    out.stringBytes(body, 0, body.length)
    writeAll(this.#address, out)
  }

  #complete(out: MsgpackWriter, bodyAt: number): void {
    if (this.#pairs > 0) {
      writeAll(this.#token, out)
      writeAll(this.#address, out)
      out.extendMap(bodyAt, this.#pairs)
    }
    const metadata = this.#metadata
    if (metadata.length === 0) return
    // The empty map before the body is one byte.
    const more = metadata.length - 1
    out.reserve(more)
    out.bytes.copyWithin(bodyAt + more, bodyAt, out.length)
    metadata.copy(out.bytes, bodyAt - 1)
    out.length += more
  }
}

/** Header of a map with one pair. */
const MAP_OF_ONE = Buffer.from([0x81])

/** Empty when the key or the value is missing. */
function pair(key: string | undefined, value: string | undefined): Buffer {
  const out = new MsgpackWriter(64)
  if (key !== undefined && value !== undefined) {
    out.string(key)
    out.latin1String(value)
  }
  return out.written()
}

function writeAll(bytes: Buffer, out: MsgpackWriter): void {
  out.raw(bytes, 0, bytes.length)
}
