/** What is wrong with compressed bytes that came from outside. */
export type CompressionFault =
  /** They expand to more than the caller takes, or need more memory for it. */
  | 'too_large'
  /** They are not of this format, break its rules, or fail its checksum. */
  | 'damaged'
  /** They end before the format says so. */
  | 'truncated'

/** Compressed bytes could not be expanded; nothing of them is to be used. */
export class CompressionError extends Error {
  override readonly name = 'CompressionError'
  readonly reason: CompressionFault

  constructor(reason: CompressionFault, message: string, options?: ErrorOptions) {
    super(message, options)
    this.reason = reason
  }
}
