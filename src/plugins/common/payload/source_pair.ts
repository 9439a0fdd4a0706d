/**
 * `source_address_key`: a pair with the address of the sender, added to events.
 * Source: Fluent Bit 5.1.1 src/flb_connection.c compose_user_friendly_remote_host().
 */
import { MsgpackWriter } from '../../../codec/msgpack_writer.ts'
import type { Peer } from '../../../net/listener.ts'

export class SourcePair {
  readonly #key: string | undefined
  readonly #scheme: 'tcp' | 'udp' | 'unix'
  readonly #encoded = new MsgpackWriter(64)
  #address = ''
  #port = -1

  constructor(key: string | undefined, scheme: 'tcp' | 'udp' | 'unix') {
    this.#key = key
    this.#scheme = scheme
  }

  /** Says who sends what is added next; a unix socket does not know. */
  from({ address, port }: Peer): this {
    const isSame = address === this.#address && port === this.#port
    if (this.#key === undefined || isSame) return this
    this.#address = address
    this.#port = port
    this.#encoded.length = 0
    this.#encoded.string(this.#key)
    const place = this.#scheme === 'unix' ? 'unavailable' : `${address}:${port}`
    this.#encoded.string(`${this.#scheme}://${place}`)
    return this
  }

  /** 1 when there is a pair to add. */
  get count(): number {
    return this.#key === undefined ? 0 : 1
  }

  /** Writes the pair, if there is one. */
  write(out: MsgpackWriter): void {
    const { bytes, length } = this.#encoded
    if (length > 0) out.raw(bytes, 0, length)
  }

  /** Adds the pair to the last map of the buffer, which starts at `mapAt`. */
  addTo(out: MsgpackWriter, mapAt: number): void {
    if (this.#key === undefined) return
    this.write(out)
    out.extendMap(mapAt, 1)
  }
}
