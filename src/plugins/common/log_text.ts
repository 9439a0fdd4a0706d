/** What log lines show of bytes from outside, and of paths. */

const BYTES_MAX = 200

/** The bytes as text that cannot break or fill the log: cut, and without control characters. */
export function logText(bytes: Buffer, start: number, end: number): string {
  const isCut = end - start > BYTES_MAX
  const text = bytes.toString('utf8', start, isCut ? start + BYTES_MAX : end)
  return text.replaceAll(/\p{C}/gu, '.') + (isCut ? '…' : '')
}

/** The path of a request without its query, which may be a token. */
export function pathText(path: string): string {
  return path.replace(/\?.*/s, '?…')
}
