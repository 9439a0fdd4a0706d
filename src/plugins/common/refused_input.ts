/** What an input gets and cannot use. */
import { FailureCounter } from '../../parser/failure_log.ts'
import type { InputContext } from '../../plugin/context.ts'

/** Counts it, and has the log tell of the first for each reason and then of every tenfold count. */
export class RefusedInput {
  readonly #context: InputContext
  readonly #failures = new Map<string, FailureCounter>()

  constructor(context: InputContext) {
    this.#context = context
  }

  add(reason: string, records: number, bytes: number, ...lines: readonly string[]): void {
    const { dropped, log } = this.#context
    dropped(reason, records, bytes)
    let failures = this.#failures.get(reason)
    if (failures === undefined) this.#failures.set(reason, (failures = new FailureCounter()))
    if (failures.add()) for (const line of lines) log.error(line)
  }
}
