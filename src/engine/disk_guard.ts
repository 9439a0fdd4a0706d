/**
 * What happens while the disk takes nothing (it is full, or fails): events stay in memory and on their way to outputs, the
 * inputs that they came from wait, and once a second what is missing in the files is written again.
 */
import type { Clock, Timer } from '../base/clock.ts'
import type { Logger } from '../base/log.ts'
import { systemError } from '../base/system_error.ts'
import type { Counter } from '../metrics/registry.ts'
import type { Chunk } from '../storage/chunk.ts'

const RETRY_MS = 1_000

/** An input that can be made to wait. */
export interface Waiting {
  waitForDisk(): void
  goOn(): void
}

export class DiskGuard {
  readonly #log: Logger
  readonly #clock: Clock
  readonly #failures: Counter
  /** Chunks with events that are not in their files, and the inputs that wait for them. */
  readonly #unstored = new Map<Chunk, readonly Waiting[]>()
  #timer: Timer | undefined

  constructor(log: Logger, clock: Clock, failures: Counter) {
    this.#log = log
    this.#clock = clock
    this.#failures = failures
  }

  /** Chunks that the disk has not taken whole. */
  get count(): number {
    return this.#unstored.size
  }

  /**
   * Brings a chunk's file up to date, now or when the disk takes more.
   *
   * @param inputs Those that have to wait meanwhile.
   */
  store(chunk: Chunk, inputs: readonly Waiting[]): void {
    if (this.#unstored.has(chunk)) return
    const failure = this.#tryToStore(chunk)
    if (failure === undefined) return
    this.#log.error(
      `[storage] cannot write chunk '${chunk.id}' of ${chunk.input}: ${systemError(failure).text}; ` +
        'it stays in memory and its input waits'
    )
    this.#unstored.set(chunk, inputs)
    for (const input of inputs) input.waitForDisk()
    this.#timer ??= this.#clock.every(RETRY_MS, () => this.retry())
  }

  /** Tries again to write what is missing. */
  retry(): void {
    for (const chunk of this.#unstored.keys()) {
      if (this.#tryToStore(chunk) === undefined) {
        this.#log.info(`[storage] chunk '${chunk.id}' of ${chunk.input} is written`)
        this.forget(chunk)
      }
    }
  }

  /** A chunk is settled: its file does not matter any more. */
  forget(chunk: Chunk): void {
    const inputs = this.#unstored.get(chunk)
    if (inputs === undefined) return
    this.#unstored.delete(chunk)
    if (this.#unstored.size === 0) this.stop()
    const waiting = new Set([...this.#unstored.values()].flat())
    for (const input of inputs) if (!waiting.has(input)) input.goOn()
  }

  stop(): void {
    this.#timer?.cancel()
    this.#timer = undefined
  }

  #tryToStore(chunk: Chunk): unknown {
    try {
      chunk.file?.append(chunk.bytes, chunk.events)
      return undefined
    } catch (error) {
      this.#failures.add(1)
      return error
    }
  }
}
