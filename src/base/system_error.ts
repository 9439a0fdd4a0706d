/**
 * Errors of the operating system in the words of glibc's `strerror`, which Fluent Bit's log lines show.
 * Source: Fluent Bit 5.1.1 src/flb_log.c flb_errno_print(); libuv has words of its own, so the common ones are listed.
 */

/** The shape of what Node's file and network functions throw. */
export interface SystemError {
  /** `ENOENT`. */
  readonly code: string
  /** Positive, as in errno.h. */
  readonly number: number
  /** `No such file or directory`. */
  readonly text: string
}

const TEXTS: Readonly<Record<string, string>> = {
  EACCES: 'Permission denied',
  EADDRINUSE: 'Address already in use',
  EADDRNOTAVAIL: 'Cannot assign requested address',
  EAFNOSUPPORT: 'Address family not supported by protocol',
  EAGAIN: 'Resource temporarily unavailable',
  EBADF: 'Bad file descriptor',
  EBUSY: 'Device or resource busy',
  EDQUOT: 'Disk quota exceeded',
  EEXIST: 'File exists',
  EFBIG: 'File too large',
  EINVAL: 'Invalid argument',
  EIO: 'Input/output error',
  EISDIR: 'Is a directory',
  ELOOP: 'Too many levels of symbolic links',
  EMFILE: 'Too many open files',
  ENAMETOOLONG: 'File name too long',
  ENFILE: 'Too many open files in system',
  ENODEV: 'No such device',
  ENOENT: 'No such file or directory',
  ENOMEM: 'Cannot allocate memory',
  ENOSPC: 'No space left on device',
  ENOTDIR: 'Not a directory',
  ENXIO: 'No such device or address',
  EPERM: 'Operation not permitted',
  EPIPE: 'Broken pipe',
  EROFS: 'Read-only file system',
  ESTALE: 'Stale file handle',
  ETXTBSY: 'Text file busy',
  EXDEV: 'Invalid cross-device link'
}

/** Describes what a system call threw; anything else gives its message and the number 0. */
export function systemError(cause: unknown): SystemError {
  if (!(cause instanceof Error)) return { code: '', number: 0, text: String(cause) }
  const { code = '', errno = 0, message } = cause as NodeJS.ErrnoException
  return { code, number: Math.abs(errno), text: TEXTS[code] ?? message }
}
