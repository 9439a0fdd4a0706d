/** In a thread: gives chunks to an output and answers for it. */
import { kernelBase } from '../../codec/byte_kernel.ts'
import type { Output } from '../../plugin/define.ts'
import { BufferPool } from '../../storage/chunk.ts'
import { contentOf } from './parcel.ts'
import { failureOf, type OutputRequest } from './protocol.ts'
import type { ThreadLink } from './thread_link.ts'

export class HostedOutput {
  readonly #output: Output
  readonly #link: ThreadLink
  readonly #pool = new BufferPool()

  constructor(output: Output, link: ThreadLink) {
    this.#output = output
    this.#link = link
  }

  start(): void | Promise<void> {
    return this.#output.start?.()
  }

  hear(request: OutputRequest): void {
    void this.#flush(request)
  }

  stop(): void | Promise<void> {
    return this.#output.stop?.()
  }

  async #flush({ number, chunk, parcel }: OutputRequest): Promise<void> {
    const link = this.#link
    const { buffer } = parcel
    const pooled = this.#pool.take()
    const bytes = place(contentOf(parcel), pooled)
    try {
      const delivery = await this.#output.flush({ ...chunk, bytes })
      link.sendFigures()
      link.post({ kind: 'answered', number, delivery, buffer }, [buffer])
    } catch (error) {
      link.sendFigures()
      link.post({ kind: 'threw', number, failure: failureOf(error), buffer }, [buffer])
    }
    this.#pool.give(pooled)
  }
}

/** Puts a chunk where the byte kernel can work on it, as the engine does with its own chunks. */
function place(bytes: Buffer, pooled: Buffer): Buffer {
  if (bytes.length > pooled.length || kernelBase(pooled) < 0) return bytes
  bytes.copy(pooled)
  return pooled.subarray(0, bytes.length)
}
