/** JSON of a remote that is expected to be one object. */

/**
 * Reads a JSON object; undefined for anything else. It gives no reason: JSON.parse puts a piece of the text into its
 * errors, which may be a secret.
 */
export function parseJsonObject(bytes: Buffer): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(bytes.toString())
    const isObject = typeof value === 'object' && value !== null && !Array.isArray(value)
    return isObject ? (value as Record<string, unknown>) : undefined
  } catch {
    return undefined
  }
}
