/**
 * Acknowledgements of one connection, `{"ack": chunk}` for each frame with the option `chunk`: in the order of the frames,
 * whatever the order in which their receipts come.
 *
 * @hot bench/pipelines.ts
 */
import { contentCount, headerSize } from '../../../codec/msgpack_reader.ts'
import { MsgpackWriter } from '../../../codec/msgpack_writer.ts'
import type { ServerConnection } from '../../../net/listener.ts'

/** Bytes of acknowledgements that may wait for their receipts. */
const WAITING_BYTES_MAX = 1_048_576

/** What a waiting acknowledgement takes beside its bytes. */
const ENTRY_BYTES = 64

interface Ack {
  readonly bytes: Buffer
  isDue: boolean
}

export class Acks {
  readonly #connection: ServerConnection
  readonly #waiting: Ack[] = []
  #waitingBytes = 0
  /** Due, and sent together when the frames that came together are done with. */
  readonly #due: Buffer[] = []
  #isCollecting = false

  constructor(connection: ServerConnection) {
    this.#connection = connection
  }

  /**
   * Promises an acknowledgement.
   *
   * @param at Position of the string to acknowledge.
   * @returns The receipt that makes it due.
   */
  expect(source: Buffer, at: number): () => void {
    const start = at + headerSize(source[at])
    const out = new MsgpackWriter(Buffer.allocUnsafe(contentCount(source, at) + 10))
    out.mapHeader(1)
    out.string('ack')
    out.stringBytes(source, start, start + contentCount(source, at))
    const ack = { bytes: out.written(), isDue: false }
    this.#waiting.push(ack)
    this.#waitingBytes += ack.bytes.length + ENTRY_BYTES
    return () => {
      ack.isDue = true
      this.#takeDue()
    }
  }

  /** Holds acknowledgements back until `send`. */
  collect(): void {
    this.#isCollecting = true
  }

  /** Sends what is due. */
  send(): void {
    this.#isCollecting = false
    this.#flush()
    // Who goes on sending without an answer would have us remember without end.
    if (this.#waitingBytes > WAITING_BYTES_MAX) this.#connection.close('unanswered')
  }

  #takeDue(): void {
    while (this.#waiting[0]?.isDue === true) {
      const { bytes } = this.#waiting[0]
      this.#waiting.shift()
      this.#waitingBytes -= bytes.length + ENTRY_BYTES
      this.#due.push(bytes)
    }
    if (!this.#isCollecting) this.#flush()
  }

  #flush(): void {
    const [first] = this.#due
    if (first === undefined) return
    this.#connection.write(this.#due.length === 1 ? first : Buffer.concat(this.#due))
    this.#due.length = 0
  }
}
