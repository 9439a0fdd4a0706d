/** Lines as C's `fgets` gives them: with their line end, cut where a buffer is full, and over at a NUL. */

const LINE_FEED = 0x0a

/**
 * The position after the line that starts at `at`, its line end included. A line of more than `bytesMax` bytes ends
 * there, and what is left of it is a line of its own.
 *
 * @returns -1 when the line ends neither within `bytes[at, end)` nor at `bytesMax`.
 */
export function lineEnd(bytes: Buffer, at: number, end: number, bytesMax: number): number {
  const feed = bytes.indexOf(LINE_FEED, at)
  if (feed >= 0 && feed < end && feed < at + bytesMax) return feed + 1
  return end - at >= bytesMax ? at + bytesMax : -1
}

/** The position of the first NUL in `bytes[at, end)`, or `end`. */
export function textEnd(bytes: Buffer, at: number, end: number): number {
  for (let index = at; index < end; index++) if (bytes[index] === 0) return index
  return end
}
