/** Bytes on their way to another thread. Buffers come back and are used again: new memory costs more than a copy. */
import { CHUNK_BYTES_BUSY } from '../../base/limits.ts'

/** Bytes in a buffer that is transferred with the message. */
export interface Parcel {
  readonly buffer: ArrayBuffer
  /** Of the buffer, from its start. */
  readonly length: number
}

/** The bytes of a parcel that has come. */
export function contentOf({ buffer, length }: Parcel): Buffer {
  return Buffer.from(buffer, 0, length)
}

export class Parcels {
  readonly #byteLength: number
  readonly #spare: ArrayBuffer[] = []

  /** @param byteLength Of buffers that are used again; a parcel with more, or with little, gets one of its own. */
  constructor(byteLength: number) {
    this.#byteLength = byteLength
  }

  /** Copies bytes, which keep their memory. */
  pack(bytes: Buffer): Parcel {
    const { length } = bytes
    const isOwn = length < CHUNK_BYTES_BUSY || length > this.#byteLength
    const buffer =
      (isOwn ? undefined : this.#spare.pop()) ?? newBuffer(isOwn ? length : this.#byteLength)
    bytes.copy(Buffer.from(buffer))
    return { buffer, length }
  }

  /** Takes a buffer back that has done its way. */
  give(buffer: ArrayBuffer): void {
    if (buffer.byteLength === this.#byteLength) this.#spare.push(buffer)
  }
}

/** Memory that is not cleared: that would bring all of it in. */
function newBuffer(byteLength: number): ArrayBuffer {
  return Buffer.allocUnsafeSlow(byteLength).buffer
}
