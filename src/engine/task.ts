/** A sealed chunk on its way to its outputs. It ends when the last of its deliveries has ended. */
import type { Chunk } from '../storage/chunk.ts'

export class Task {
  readonly id: number
  readonly chunk: Chunk
  /** Alias or name of the input, for log lines. */
  readonly inputLabel: string
  readonly #open: Set<string>
  #underWay = true
  readonly #onEnd: (task: Task) => void
  readonly #onStall: (task: Task) => void

  /**
   * @param outputs `plugin/name` of the outputs that the chunk goes to, at least one.
   * @param onEnd Called once, when all deliveries have ended.
   * @param onStall Called once, when the first delivery must wait for a retry, if ever.
   */
  constructor(
    id: number,
    chunk: Chunk,
    inputLabel: string,
    outputs: readonly string[],
    onEnd: (task: Task) => void,
    onStall: (task: Task) => void
  ) {
    this.id = id
    this.chunk = chunk
    this.inputLabel = inputLabel
    this.#open = new Set(outputs)
    this.#onEnd = onEnd
    this.#onStall = onStall
  }

  /** True while no delivery of the chunk waits for a retry: the input may wait for it. */
  get underWay(): boolean {
    return this.#underWay && this.#open.size > 0
  }

  /** `plugin/name` of the outputs whose delivery has not ended. */
  get openOutputs(): readonly string[] {
    return [...this.#open]
  }

  /** The delivery to `output` has ended, well or not. */
  ended(output: string): void {
    if (this.#open.delete(output) && this.#open.size === 0) this.#onEnd(this)
  }

  /** A delivery waits for a retry: nobody should wait for this chunk any more. */
  stalled(): void {
    if (!this.#underWay) return
    this.#underWay = false
    this.#onStall(this)
  }
}
