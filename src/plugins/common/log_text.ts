/** Bytes from outside in log lines. */

const BYTES_MAX = 200

/** The bytes as text that cannot break or fill the log: cut, and without control characters. */
export function logText(bytes: Buffer, start: number, end: number): string {
  const isCut = end - start > BYTES_MAX
  const text = bytes.toString('utf8', start, isCut ? start + BYTES_MAX : end)
  return text.replaceAll(/\p{C}/gu, '.') + (isCut ? '…' : '')
}
