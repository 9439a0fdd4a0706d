/**
 * The chunks with a file whose bytes are in memory: no more than `storage.max_chunks_up`, apart from those that an
 * output is working on.
 */
import type { BufferPool, Chunk } from '../storage/chunk.ts'

export class UpChunks {
  #max: number
  readonly #pool: BufferPool
  /** Chunks by how many deliveries are using them. */
  readonly #users = new Map<Chunk, number>()
  readonly #onRoom: () => void

  /** @param onRoom Called when a chunk went down or was settled. */
  constructor(max: number, pool: BufferPool, onRoom: () => void) {
    this.#max = max
    this.#pool = pool
    this.#onRoom = onRoom
  }

  get max(): number {
    return this.#max
  }

  /** Changes the limit while no chunk is open: those that are too many go down, but for what is used. */
  limit(max: number): void {
    this.#max = max
    for (const chunk of this.#users.keys()) {
      if (this.#users.size <= max) break
      this.lower(chunk)
    }
    this.#onRoom()
  }

  get count(): number {
    return this.#users.size
  }

  get isFull(): boolean {
    return this.#users.size >= this.max
  }

  /** Notes a chunk that is up, if it is not known. */
  add(chunk: Chunk): void {
    if (!this.#users.has(chunk)) this.#users.set(chunk, 0)
  }

  /** Brings a chunk up and keeps it there until it is released; throws what its file throws. */
  hold(chunk: Chunk): void {
    if (chunk.stored === undefined) return
    chunk.comeUp()
    this.#users.set(chunk, (this.#users.get(chunk) ?? 0) + 1)
  }

  release(chunk: Chunk): void {
    const users = this.#users.get(chunk)
    if (users === undefined) return
    this.#users.set(chunk, users - 1)
    if (this.#users.size > this.max) this.lower(chunk)
  }

  /** Leaves the bytes of a chunk to its file, unless a delivery uses them or the file lacks some. */
  lower(chunk: Chunk): void {
    const { file } = chunk
    if (this.#users.get(chunk) !== 0 || (file !== undefined && file.storedBytes < chunk.size))
      return
    const pooled = chunk.goDown()
    if (pooled !== undefined) this.#pool.give(pooled)
    this.remove(chunk)
  }

  /** Forgets a chunk that is settled. */
  remove(chunk: Chunk): void {
    if (this.#users.delete(chunk)) this.#onRoom()
  }

  /** Bytes of an input's chunks that are up, found by walking over all. */
  bytesOf(input: string): number {
    let bytes = 0
    for (const chunk of this.#users.keys()) if (chunk.input === input) bytes += chunk.size
    return bytes
  }
}
