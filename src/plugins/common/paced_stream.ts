/** Reads a stream no faster than the engine takes its events. */
import type { Readable } from 'node:stream'
import type { InputContext } from '../../plugin/context.ts'

/**
 * Gives a stream's bytes to `take` as they come. It stops reading while the input is held back and while deliveries
 * have no room, so that the writer at the other end waits instead of this process filling up.
 */
export class PacedStream {
  readonly #stream: Readable
  readonly #context: InputContext
  readonly #take: (bytes: Buffer) => void
  #isWaiting = false

  constructor(stream: Readable, context: InputContext, take: (bytes: Buffer) => void) {
    this.#stream = stream
    this.#context = context
    this.#take = take
    stream.on('data', this.#onData)
    // One that was read before and left.
    stream.resume()
  }

  pause(): void {
    this.#stream.pause()
  }

  resume(): void {
    if (!this.#isWaiting) this.#stream.resume()
  }

  /** Reads no more; the stream stays open. */
  detach(): void {
    this.#stream.off('data', this.#onData)
    this.#stream.pause()
  }

  readonly #onData = (bytes: Buffer): void => {
    this.#take(bytes)
    const room = this.#context.ready()
    if (room !== undefined) void this.#wait(room)
  }

  async #wait(room: Promise<void>): Promise<void> {
    this.#isWaiting = true
    this.#stream.pause()
    await room
    this.#isWaiting = false
    if (!this.#context.paused) this.#stream.resume()
  }
}
