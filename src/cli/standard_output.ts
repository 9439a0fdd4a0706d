/** Standard output as plugins print to it. */
import { writeSync } from 'node:fs'
import type { TextOutput } from '../plugin/context.ts'

/** How long a reader that does not read is waited for between tries. */
const RETRY_MS = 1

/**
 * Writes to a descriptor and waits for a slow reader, as C's stdout does: the pipeline stands still meanwhile, so that
 * memory stays bounded and nothing is printed out of order.
 *
 * @throws {Error} When the reader is gone.
 */
export function blockingOutput(fd: number): TextOutput {
  const pause = new Int32Array(new SharedArrayBuffer(4))
  return {
    write(bytes) {
      let offset = 0
      while (offset < bytes.length) {
        try {
          offset += writeSync(fd, bytes, offset)
        } catch (error) {
          if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error
          Atomics.wait(pause, 0, 0, RETRY_MS)
        }
      }
    }
  }
}
