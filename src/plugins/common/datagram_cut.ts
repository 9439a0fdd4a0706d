/** The limit of datagrams, which are cut there as the buffer that they are read into ends. */
import { FailureCounter } from '../../parser/failure_log.ts'
import type { InputContext } from '../../plugin/context.ts'

export class DatagramCut {
  readonly #bytesMax: number
  readonly #context: InputContext
  readonly #cuts = new FailureCounter()

  constructor(bytesMax: number, context: InputContext) {
    this.#bytesMax = bytesMax
    this.#context = context
  }

  /** The datagram, or its begin; the bytes behind it are counted, and the log tells of the first and every tenfold count. */
  of(datagram: Buffer): Buffer {
    const bytesMax = this.#bytesMax
    if (datagram.length <= bytesMax) return datagram
    this.#context.dropped('too_long', 0, datagram.length - bytesMax)
    if (this.#cuts.add()) {
      this.#context.log.warn(`a datagram is longer than ${bytesMax} bytes: the rest of it is lost`)
    }
    return datagram.subarray(0, bytesMax)
  }
}
