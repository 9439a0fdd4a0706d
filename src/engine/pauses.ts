/** Why an input must not read, and telling it so: it pauses at the first reason and goes on when the last is gone. */
import type { Logger } from '../base/log.ts'
import type { Input } from '../plugin/define.ts'

/**
 * - `memory`: `mem_buf_limit`.
 * - `chunks`: `storage.max_chunks_up` with `storage.pause_on_chunks_overlimit`.
 * - `rate`: `rate_gate`.
 * - `disk`: the disk takes nothing.
 * - `reload`: its events are to be settled before it is made anew.
 * - `stop`: the engine is stopping.
 */
export type PauseReason = 'memory' | 'chunks' | 'rate' | 'disk' | 'reload' | 'stop'

/** An input as the engine runs it: one in a thread may have events on their way. */
export interface RunningInput extends Input {
  /** Resolves when they are all here; the input is paused. */
  drain?(): Promise<void>
  /** What has come from threads and not made room for more yet. */
  readonly pending?: PendingBatches
}

export interface PendingBatches {
  readonly batches: number
  readonly bytes: number
}

export class Pauses {
  readonly #log: Logger
  readonly #label: string
  readonly #reasons = new Set<PauseReason>()
  /** Set once the plugin is created; emitters have none. */
  input: RunningInput | undefined

  constructor(log: Logger, label: string) {
    this.#log = log
    this.#label = label
  }

  get isPaused(): boolean {
    return this.#reasons.size > 0
  }

  has(reason: PauseReason): boolean {
    return this.#reasons.has(reason)
  }

  /** @param warning Says why. */
  pause(reason: PauseReason, warning: string): void {
    if (this.#reasons.has(reason)) return
    this.#log.warn(`[input] ${this.#label} paused (${warning})`)
    if (!this.has('stop')) this.#log.info(`[input] pausing ${this.#label}`)
    this.#add(reason)
  }

  /** Pauses for good: the engine is stopping. */
  stop(): void {
    this.#log.info(`[input] pausing ${this.#label}`)
    this.#add('stop')
  }

  /** @param why What has changed. */
  resume(reason: PauseReason, why: string): void {
    if (!this.#reasons.delete(reason) || this.isPaused) return
    this.input?.resume?.()
    this.#log.info(`[input] resume ${this.#label}`)
    this.#log.info(`[input] ${this.#label} resume (${why})`)
  }

  #add(reason: PauseReason): void {
    const wasPaused = this.isPaused
    this.#reasons.add(reason)
    if (!wasPaused) this.input?.pause?.()
  }
}
