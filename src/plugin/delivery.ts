/** What an output answers for a chunk. The world's failures are values with reasons, never exceptions. */
export type Delivery =
  | { readonly kind: 'ok' }
  /** Send again later; `waitMs` is the wait the remote asked for. */
  | { readonly kind: 'retry'; readonly reason: string; readonly waitMs?: number }
  /** Sending again cannot help: the chunk is given up for this output and counted. */
  | { readonly kind: 'drop'; readonly reason: string }

/** Every event of the chunk was taken. */
export const OK: Delivery = { kind: 'ok' }

export function retry(reason: string, waitMs?: number): Delivery {
  return waitMs === undefined ? { kind: 'retry', reason } : { kind: 'retry', reason, waitMs }
}

export function drop(reason: string): Delivery {
  return { kind: 'drop', reason }
}
