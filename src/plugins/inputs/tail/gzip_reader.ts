/**
 * Reads the content of a `.gz` file piece by piece, through members that follow each other.
 */
import { createGunzip, type Gunzip } from 'node:zlib'

export class GzipReader {
  readonly #stream: Gunzip
  #pieces: Buffer[] = []
  #failure: Error | undefined

  constructor() {
    this.#stream = this.#open()
  }

  /**
   * Gives the content that these compressed bytes complete.
   *
   * @throws {Error} When they are not gzip.
   */
  async expand(compressed: Buffer): Promise<Buffer> {
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#stream.once('error', resolve)
    this.#stream.write(compressed, () => resolve())
    await promise
    this.#stream.off('error', resolve)
    if (this.#failure !== undefined) throw this.#failure
    const content = Buffer.concat(this.#pieces)
    this.#pieces = []
    return content
  }

  close(): void {
    this.#stream.destroy()
  }

  #open(): Gunzip {
    const stream = createGunzip()
    stream.on('data', (piece: Buffer) => this.#pieces.push(piece))
    stream.on('error', error => (this.#failure = error))
    return stream
  }
}
