/** Waiting for what real I/O brings about. */

/** Fails after `limitMs` of real time. */
export async function until(condition: () => boolean, limitMs = 5000): Promise<void> {
  const deadline = performance.now() + limitMs
  while (!condition()) {
    if (performance.now() > deadline) throw new Error(`still false: ${String(condition)}`)
    await new Promise(resolve => setImmediate(resolve))
  }
}
