/** Why something on the network did not work, as a reason for counters and in words for the log. */

/** A failure of the network or of the remote; never a bug. */
export class NetworkError extends Error {
  override readonly name = 'NetworkError'
  /** One of a small fixed set: `connection_refused`, `timeout`, … */
  readonly reason: string

  constructor(reason: string, words: string) {
    super(words)
    this.reason = reason
  }
}

/** Of an error's code: the reason, and the system's words. */
const FAILURES: Readonly<Record<string, readonly [reason: string, words: string]>> = {
  ECONNREFUSED: ['connection_refused', 'Connection refused'],
  ECONNRESET: ['connection_reset', 'Connection reset by peer'],
  EPIPE: ['connection_reset', 'Broken pipe'],
  ECONNABORTED: ['connection_reset', 'Software caused connection abort'],
  EHOSTUNREACH: ['unreachable', 'No route to host'],
  ENETUNREACH: ['unreachable', 'Network is unreachable'],
  EADDRNOTAVAIL: ['unreachable', 'Cannot assign requested address'],
  ETIMEDOUT: ['timeout', 'Connection timed out'],
  ENOTFOUND: ['unknown_host', 'Domain name not found'],
  EAI_AGAIN: ['unknown_host', 'Could not contact DNS servers'],
  ENOENT: ['connection_refused', 'No such file or directory'],
  EACCES: ['connection_refused', 'Permission denied'],
  EMFILE: ['too_many_files', 'Too many open files'],
  ENFILE: ['too_many_files', 'Too many open files in system']
}

/** Codes of OpenSSL and of Node's certificate checks. */
const TLS_CODE =
  /^(?:ERR_(?:SSL|TLS|OSSL)_|CERT_|UNABLE_TO_|SELF_SIGNED_|DEPTH_ZERO_|HOSTNAME_MISMATCH|EPROTO$)/

/** Describes what a socket failed with. */
export function networkError(cause: unknown): NetworkError {
  if (cause instanceof NetworkError) return cause
  if (cause instanceof AggregateError && cause.errors.length > 0) {
    return networkError(cause.errors[0])
  }
  if (!(cause instanceof Error)) return new NetworkError('network_error', String(cause))
  const { code = '', message } = cause as NodeJS.ErrnoException
  const known = FAILURES[code]
  if (known !== undefined) return new NetworkError(...known)
  if (TLS_CODE.test(code)) return new NetworkError('tls_error', tlsWords(message))
  return new NetworkError('network_error', message)
}

/** OpenSSL's messages are `12AB:error:0A000086:SSL routines:function:certificate verify failed:file:line:`. */
function tlsWords(message: string): string {
  return (
    /^[0-9A-F]+:error:[^:]*:[^:]*:[^:]*:(?<words>[^:]*)/.exec(message)?.groups?.['words'] ??
    message.trim()
  )
}
