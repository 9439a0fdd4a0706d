/**
 * Whole bodies compressed and expanded, with Fluent Bit's levels; zlib and zstd work off the event loop.
 * Sources: Fluent Bit 5.1.1 src/flb_gzip.c, flb_zstd.c, flb_snappy.c, flb_http_common.c, plugins/in_forward/fw_prot.c.
 *
 * Differs where Fluent Bit loses content without a word, or refuses what is valid:
 * - All members of gzip and all frames of zstd are read. Fluent Bit's HTTP inputs refuse several members, and several
 *   frames unless the first does not say its size: then they take the first and leave the rest out.
 * - What is damaged or truncated is refused as a whole. Fluent Bit's `forward` input takes what comes before the damage, does not
 *   check gzip's checksum, and acknowledges; its HTTP inputs take the start of a truncated zstd frame without a size.
 * - Bytes that follow the end are refused, except zeros after gzip; Fluent Bit's `forward` input ignores them.
 * - `deflate`, with zlib's head or without: Fluent Bit hands such a body on as it came.
 */
import assert from 'node:assert/strict'
import { promisify } from 'node:util'
import {
  constants,
  gunzip,
  gzip,
  deflate,
  inflate,
  inflateRaw,
  type Zlib,
  type ZlibOptions,
  zstdCompress,
  zstdDecompress,
  type ZstdOptions
} from 'node:zlib'
import { CompressionError, type CompressionFault } from './compression_error.ts'
import { compressSnappy, expandSnappy } from './snappy.ts'

export { CompressionError } from './compression_error.ts'

export type Compression = 'gzip' | 'deflate' | 'zstd' | 'snappy'

/** Fluent Bit calls ZSTD_compress with it, which writes the size of the content into the frame, as we do. */
const ZSTD_LEVEL = 1

/**
 * zlib works in pieces of this size, each of which is a trip to another thread. A body of 2 MB expands at 250 MB/s in
 * pieces of 16 KB, at 800 in pieces of 256 KB; small bodies would only pay for the memory.
 */
const PIECE_BYTES_MIN = 16_384
const PIECE_BYTES_MAX = 262_144

/** zstd keeps a window of 2 to this power bytes: every decoder should manage 8 MB (RFC 8878), none takes over 128 MB. */
const WINDOW_LOG_MIN = 23
const WINDOW_LOG_MAX = 27

const gzipAsync = promisify<Buffer, ZlibOptions, Buffer>(gzip)
const deflateAsync = promisify<Buffer, ZlibOptions, Buffer>(deflate)
const zstdCompressAsync = promisify<Buffer, ZstdOptions, Buffer>(zstdCompress)

/** The bytes in one gzip member, zlib stream, zstd frame or Snappy block. */
export async function compress(kind: Compression, bytes: Buffer): Promise<Buffer> {
  const chunkSize = pieceBytes(bytes.length)
  switch (kind) {
    case 'gzip':
      return gzipAsync(bytes, { chunkSize })
    case 'deflate':
      return deflateAsync(bytes, { chunkSize })
    case 'zstd':
      return zstdCompressAsync(bytes, {
        chunkSize,
        pledgedSrcSize: bytes.length,
        params: { [constants.ZSTD_c_compressionLevel]: ZSTD_LEVEL }
      })
    case 'snappy':
      return compressSnappy(bytes)
  }
}

/**
 * What the bytes were before they were compressed. Takes at most about twice `maxBytes` of memory, whatever they hold.
 *
 * @param maxBytes At least 1; content of just this length is taken.
 * @throws {CompressionError} When there is more, or something is wrong with them; no bytes at all are `truncated`.
 */
export async function expand(kind: Compression, bytes: Buffer, maxBytes: number): Promise<Buffer> {
  assert(maxBytes >= 1, 'maxBytes must be at least 1')
  if (kind === 'snappy') return expandSnappy(bytes, maxBytes)
  try {
    return await expandOffLoop(kind, bytes, maxBytes)
  } catch (cause) {
    throw compressionError(kind, maxBytes, cause)
  }
}

/** The format that bytes start with, as Fluent Bit's `forward` input tells it; undefined when it is neither. */
export function detectCompression(bytes: Uint8Array): 'gzip' | 'zstd' | undefined {
  if (bytes[0] === 0x1f && bytes[1] === 0x8b) return 'gzip'
  if (bytes[0] === 0x28 && bytes[1] === 0xb5 && bytes[2] === 0x2f && bytes[3] === 0xfd) {
    return 'zstd'
  }
  return undefined
}

async function expandOffLoop(
  kind: 'gzip' | 'deflate' | 'zstd',
  bytes: Buffer,
  maxBytes: number
): Promise<Buffer> {
  const options = { chunkSize: pieceBytes(bytes.length * 8), maxOutputLength: maxBytes }
  switch (kind) {
    case 'gzip':
      return expandGzip(bytes, options)
    case 'deflate':
      return whole(hasZlibHead(bytes) ? inflate : inflateRaw, bytes, options)
    case 'zstd':
      return whole(zstdDecompress, bytes, {
        ...options,
        params: { [constants.ZSTD_d_windowLogMax]: windowLogMax(maxBytes) }
      })
  }
}

type Expander<Options> = (
  bytes: Buffer,
  options: Options,
  done: (error: Error | null, content: Buffer) => void
) => void

function whole<Options extends ZlibOptions | ZstdOptions>(
  expander: Expander<Options>,
  bytes: Buffer,
  options: Options
): Promise<Buffer> {
  const { promise, resolve, reject } = Promise.withResolvers<Buffer>()
  expander(bytes, { ...options, rejectGarbageAfterEnd: true }, (error, content) =>
    error === null ? resolve(content) : reject(error)
  )
  return promise
}

/** With `rejectGarbageAfterEnd` a second member would count as garbage; without it what follows a zero is left out. */
async function expandGzip(bytes: Buffer, options: ZlibOptions): Promise<Buffer> {
  const { promise, resolve, reject } = Promise.withResolvers<Expanded>()
  gunzip(bytes, { ...options, info: true }, (error, result) =>
    error === null ? resolve(result as unknown as Expanded) : reject(error)
  )
  const { buffer, engine } = await promise
  for (let at = engine.bytesWritten; at < bytes.length; at++) {
    if (bytes[at] !== 0)
      throw new CompressionError('damaged', 'Cannot expand gzip: bytes behind its end')
  }
  return buffer
}

/** What zlib gives with `info`. */
interface Expanded {
  readonly buffer: Buffer
  /** Its `bytesWritten` counts what it has read. */
  readonly engine: Zlib
}

/**
 * The method of a zlib head, which is always 8 (RFC 1950, 2.2). Deflate alone starts so only with a stored block
 * whose padding is not zero, which no one writes.
 */
function hasZlibHead(bytes: Buffer): boolean {
  return (bytes[0] & 0x0f) === 0x08
}

function pieceBytes(guess: number): number {
  return Math.min(Math.max(guess, PIECE_BYTES_MIN), PIECE_BYTES_MAX)
}

function windowLogMax(maxBytes: number): number {
  return Math.min(Math.max(Math.ceil(Math.log2(maxBytes)), WINDOW_LOG_MIN), WINDOW_LOG_MAX)
}

/** What zlib and zstd say of bytes that are wrong; other errors are ours. */
const FAULTS: Readonly<Record<string, CompressionFault>> = {
  ERR_BUFFER_TOO_LARGE: 'too_large',
  ZSTD_error_frameParameter_windowTooLarge: 'too_large',
  Z_BUF_ERROR: 'truncated',
  Z_DATA_ERROR: 'damaged',
  Z_NEED_DICT: 'damaged',
  ERR_TRAILING_JUNK_AFTER_STREAM_END: 'damaged'
}

function compressionError(kind: Compression, maxBytes: number, cause: unknown): unknown {
  const { code = '', message } = cause as NodeJS.ErrnoException
  const reason = FAULTS[code] ?? (isZstdFault(code) ? 'damaged' : undefined)
  if (reason === undefined) return cause
  const what = code === 'ERR_BUFFER_TOO_LARGE' ? `more than ${maxBytes} bytes` : message
  return new CompressionError(reason, `Cannot expand ${kind}: ${what}`, { cause })
}

function isZstdFault(code: string): boolean {
  return code.startsWith('ZSTD_error_') && code !== 'ZSTD_error_memory_allocation'
}
