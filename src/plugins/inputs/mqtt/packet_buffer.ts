/** Bytes of a packet whose end has not come yet. Bytes that come one by one are not copied again and again. */

const EMPTY = Buffer.alloc(0)

export class PacketBuffer {
  #bytes = EMPTY
  length = 0

  /** What was kept, and then what was read now; it is of use until the next call. */
  join(read: Buffer): Buffer {
    if (this.length === 0) return read
    const length = this.length + read.length
    if (length > this.#bytes.length) {
      const larger = Buffer.allocUnsafe(Math.max(length, this.#bytes.length * 2))
      this.#bytes.copy(larger, 0, 0, this.length)
      this.#bytes = larger
    }
    read.copy(this.#bytes, this.length)
    this.length = length
    return this.#bytes.subarray(0, length)
  }

  /** Keeps the end of what `join` gave, from `at` on. */
  keep(joined: Buffer, at: number): void {
    const length = joined.length - at
    if (length === 0) this.#bytes = EMPTY
    else if (this.length === 0) this.#bytes = Buffer.from(joined.subarray(at))
    else if (at > 0) this.#bytes.copyWithin(0, at, joined.length)
    this.length = length
  }

  clear(): void {
    this.#bytes = EMPTY
    this.length = 0
  }
}
