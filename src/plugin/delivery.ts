/** What an output answers for a chunk. The world's failures are values with reasons, never exceptions. */
export type Delivery = WholeDelivery | PartialDelivery

/** All events of the chunk had the same end. */
export type WholeDelivery =
  | { readonly kind: 'ok' }
  /** Send again later; `waitMs` is the wait the remote asked for. */
  | { readonly kind: 'retry'; readonly reason: string; readonly waitMs?: number }
  /** Sending again cannot help: the chunk is given up for this output and counted. */
  | { readonly kind: 'drop'; readonly reason: string }

/** Some events of the chunk were taken, the others were not. */
export interface PartialDelivery {
  readonly kind: 'partial'
  /** Events to send again later, as numbers in the chunk from 0, ascending. */
  readonly retry: readonly number[]
  /** Events that are given up, by reason. */
  readonly drop: readonly { readonly reason: string; readonly events: readonly number[] }[]
  /** Why some are to be sent again. */
  readonly reason: string
  readonly waitMs?: number
}

/** Every event of the chunk was taken. */
export const OK: WholeDelivery = { kind: 'ok' }

export function retry(reason: string, waitMs?: number): WholeDelivery {
  return waitMs === undefined ? { kind: 'retry', reason } : { kind: 'retry', reason, waitMs }
}

export function drop(reason: string): WholeDelivery {
  return { kind: 'drop', reason }
}

/** What is neither in `retry` nor in `drop` was taken; an event must not be in two places. */
export function partial(outcome: {
  readonly retry?: readonly number[]
  readonly drop?: PartialDelivery['drop']
  readonly reason?: string
  readonly waitMs?: number
}): Delivery {
  const { retry: again = [], drop: lost = [], reason = '', waitMs } = outcome
  const delivery = { kind: 'partial', retry: again, drop: lost, reason } as const
  return waitMs === undefined ? delivery : { ...delivery, waitMs }
}
