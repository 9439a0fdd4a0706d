/**
 * When a failed chunk is sent again.
 * Source: Fluent Bit 5.1.1 src/flb_scheduler.c backoff_full_jitter(), src/flb_output.c; reference section 9.3.
 */

/** Retries without end. */
export const NO_LIMIT = -1

/**
 * Seconds to wait before a chunk is sent again: full jitter over an exponential ceiling.
 *
 * @param attempt Failed deliveries so far, >= 1.
 * @param baseSeconds `scheduler.base`, the shortest wait.
 * @param capSeconds `scheduler.cap`, the longest wait.
 * @param random Uniform in [0, 1).
 * @returns Whole seconds in [base + 1, min(cap, base * 2 ** attempt) + 1].
 */
export function retryDelaySeconds(
  attempt: number,
  baseSeconds: number,
  capSeconds: number,
  random: () => number
): number {
  const ceiling = Math.min(capSeconds, baseSeconds * 2 ** Math.min(attempt, 32))
  const span = Math.max(0, ceiling - baseSeconds)
  return baseSeconds + Math.floor(random() * (span + 1)) + 1
}

/** What a `retry_limit` says; `undefined` where Fluent Bit warns and takes 1. */
export function parseRetryLimit(text: string): number | undefined {
  const word = text.toLowerCase()
  if (word === '') return 1
  if (word === 'no_limits' || word === 'false' || word === 'off') return NO_LIMIT
  if (word === 'no_retries') return 0
  const limit = Number.parseInt(text, 10)
  return limit > 0 ? limit : undefined
}
