/** When the source of events may forget them, and counting what one receipt stands for. */
import type { Receipts } from '../plugin/define.ts'

/** Where an input keeps its chunks; `storage.type`. */
export type StorageType = 'memory' | 'filesystem' | 'memrb'

/**
 * The moment that a receipt is for: events are `taken` into a chunk, `stored` on disk, or `settled` by all outputs.
 * A sender is answered as Fluent Bit does it, a position is kept until nothing can be lost.
 */
export type ReceiptMoment = 'taken' | 'stored' | 'settled'

/** @param acknowledge What the key `acknowledge` says. */
export function receiptMoment(
  receipts: Receipts | undefined,
  storage: StorageType,
  acknowledge: 'stored' | 'delivered'
): ReceiptMoment {
  if (acknowledge === 'delivered') return 'settled'
  if (storage === 'filesystem') return 'stored'
  return receipts === 'sender' ? 'taken' : 'settled'
}

/** One receipt for events that go several ways: it is due when none of them holds it any more. */
export class SharedReceipt {
  /** What it waits for. */
  readonly moment: ReceiptMoment
  readonly #due: () => void
  #holders = 1

  /** Held by who makes it. */
  constructor(due: () => void, moment: ReceiptMoment) {
    this.#due = due
    this.moment = moment
  }

  hold(): void {
    this.#holders++
  }

  readonly release = (): void => {
    if (--this.#holders === 0) this.#due()
  }
}
