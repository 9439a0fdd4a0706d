/**
 * Methods of Node's Buffer that its type package leaves out. They skip the argument checks and the encoding
 * look-up of `toString` and `write`, which cost more than the work itself for short strings.
 */
declare global {
  interface Buffer {
    latin1Slice(start?: number, end?: number): string
    utf8Slice(start?: number, end?: number): string
    latin1Write(text: string, offset?: number, length?: number): number
    utf8Write(text: string, offset?: number, length?: number): number
  }
}

export {}
