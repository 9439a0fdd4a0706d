/**
 * Snappy: compresses to the block format, expands blocks and streams in the framing format.
 *
 *     block    = length element*                    length: LEB128 of the content's bytes, at most 32 bits
 *     element  = literal | copy                     kind in the low two bits of the first byte, the tag
 *     literal  = tag [length - 1] bytes             kind 0: tag >> 2 is length - 1 to 59; 60 to 63: 1 to 4 bytes of it follow
 *     copy     = tag offset                         kind 1: length 4 to 11, 11 bits of offset, 3 of them in the tag;
 *                                                   kinds 2, 3: length 1 to 64, 2 or 4 bytes of offset
 *     stream   = identifier chunk*
 *     chunk    = type(1) length(3) [checksum(4)] …  type 00: a block; 01: content as it is; both with a checksum
 *
 * All numbers are little endian. A copy's bytes may reach into themselves: offset 1 repeats a byte.
 * Sources: github.com/google/snappy, format_description.txt and framing_format.txt; Fluent Bit 5.1.1 src/flb_snappy.c and
 * lib/snappy-fef67ac/snappy.c, whose compressed bytes are the same, byte by byte.
 *
 * Fluent Bit sends blocks. It takes both formats, and every body whose first byte is FF for a stream; here only the
 * whole identifier makes it one, which no valid block starts with. Of a stream Fluent Bit gives the content only
 * if it is in one chunk of type 00, else nothing.
 */
import { CompressionError } from './compression_error.ts'
import { crc32c } from './crc32c.ts'

/** The first chunk of every stream. */
const STREAM_IDENTIFIER = Buffer.from('ff060000734e61507059', 'hex')

const CHUNK_HEAD_BYTES = 4
const CHECKSUM_BYTES = 4

/** The densest element: 64 bytes of content in a copy of three. */
const EXPANSION_MAX = 64 / 3

/** Content is compressed in pieces of this size, so that offsets fit into two bytes. */
const FRAGMENT_BYTES = 65_536

/** Bytes at the end of a fragment in which no match is looked for. */
const MARGIN_BYTES = 15

const HASH_TABLE_MIN = 256
const HASH_TABLE_MAX = 16_384
const HASH_FACTOR = 0x1e35a7bd

/** Where four bytes with this hash were last seen, counted from the start of the fragment. */
const hashTable = new Uint16Array(HASH_TABLE_MAX)

/** Longer literals are copied by a call; up to here a loop is as fast. */
const LOOP_BYTES_MAX = 64

/** The bytes as one Snappy block. */
export function compressSnappy(input: Buffer): Buffer {
  const { length } = input
  const output = Buffer.allocUnsafe(compressedBytesMax(length))
  let at = 0
  let rest = length
  for (; rest > 0x7f; rest >>>= 7) output[at++] = (rest & 0x7f) | 0x80
  output[at++] = rest
  const words = new DataView(input.buffer, input.byteOffset, length)
  for (let start = 0; start < length; start += FRAGMENT_BYTES) {
    at = compressFragment(input, words, start, Math.min(start + FRAGMENT_BYTES, length), output, at)
  }
  return output.subarray(0, at)
}

/** A literal of one byte before each copy of five makes seven bytes of six; see snappy_max_compressed_length. */
function compressedBytesMax(length: number): number {
  return 32 + length + Math.floor(length / 6)
}

/** Writes the elements of `input` from `start` up to `end` at `at`; gives where they end. */
function compressFragment(
  input: Buffer,
  words: DataView,
  start: number,
  end: number,
  output: Buffer,
  at: number
): number {
  let literalStart = start
  if (end - start >= MARGIN_BYTES) {
    const shift = clearHashTable(end - start)
    const limit = end - MARGIN_BYTES
    let from = start + 1
    let nextHash = Math.imul(words.getInt32(from, true), HASH_FACTOR) >>> shift
    search: for (;;) {
      // The longer nothing is found, the larger the steps: content that cannot be compressed is passed quickly.
      let step = 32
      let next = from
      let candidate: number
      do {
        from = next
        const hash = nextHash
        next = from + (step++ >>> 5)
        if (next > limit) break search
        nextHash = Math.imul(words.getInt32(next, true), HASH_FACTOR) >>> shift
        candidate = start + hashTable[hash]
        hashTable[hash] = from - start
      } while (words.getInt32(from, true) !== words.getInt32(candidate, true))
      at = writeLiteral(input, literalStart, from, output, at)

      let word: number
      do {
        const matchEnd = endOfMatch(input, words, candidate + 4, from + 4, end)
        at = writeCopies(from - candidate, matchEnd - from, output, at)
        from = matchEnd
        literalStart = from
        if (from >= limit) break search
        const before = Math.imul(words.getInt32(from - 1, true), HASH_FACTOR) >>> shift
        hashTable[before] = from - start - 1
        word = words.getInt32(from, true)
        const hash = Math.imul(word, HASH_FACTOR) >>> shift
        candidate = start + hashTable[hash]
        hashTable[hash] = from - start
      } while (word === words.getInt32(candidate, true))
      from++
      nextHash = Math.imul(words.getInt32(from, true), HASH_FACTOR) >>> shift
    }
  }
  if (literalStart === end) return at
  return writeLiteral(input, literalStart, end, output, at)
}

/** Takes as much of the table as the content needs; gives the shift that makes its index of a hash. */
function clearHashTable(contentBytes: number): number {
  let size = HASH_TABLE_MIN
  while (size < HASH_TABLE_MAX && size < contentBytes) size <<= 1
  hashTable.fill(0, 0, size)
  return Math.clz32(size) + 1
}

/** Where the bytes from `second` on stop being those from `first` on; `first` comes before `second`. */
function endOfMatch(
  input: Buffer,
  words: DataView,
  first: number,
  second: number,
  end: number
): number {
  for (const last = end - 4; second <= last; first += 4, second += 4) {
    const difference = words.getInt32(first, true) ^ words.getInt32(second, true)
    if (difference !== 0) {
      // The lowest bit that differs: 31 - clz32 of it alone.
      return second + ((31 - Math.clz32(difference & -difference)) >>> 3)
    }
  }
  while (second < end && input[first] === input[second]) {
    first++
    second++
  }
  return second
}

function writeLiteral(
  input: Buffer,
  start: number,
  end: number,
  output: Buffer,
  at: number
): number {
  const last = end - start - 1
  if (last < 60) {
    output[at++] = last << 2
  } else if (last < 256) {
    output[at++] = 60 << 2
    output[at++] = last
  } else {
    output[at++] = 61 << 2
    output[at++] = last & 0xff
    output[at++] = last >>> 8
  }
  if (last >= LOOP_BYTES_MAX) {
    output.set(input.subarray(start, end), at)
    return at + last + 1
  }
  for (let from = start; from < end; from++) output[at++] = input[from]
  return at
}

/** A match as copies of at most 64 bytes, none of the rest shorter than four. */
function writeCopies(offset: number, length: number, output: Buffer, at: number): number {
  while (length >= 68) {
    at = writeCopy(offset, 64, output, at)
    length -= 64
  }
  if (length > 64) {
    at = writeCopy(offset, 60, output, at)
    length -= 60
  }
  return writeCopy(offset, length, output, at)
}

function writeCopy(offset: number, length: number, output: Buffer, at: number): number {
  if (length < 12 && offset < 2048) {
    output[at++] = 1 | ((length - 4) << 2) | ((offset >>> 8) << 5)
    output[at++] = offset & 0xff
    return at
  }
  output[at++] = 2 | ((length - 1) << 2)
  output[at++] = offset & 0xff
  output[at++] = offset >>> 8
  return at
}

/**
 * The content of a block or of a stream. What they declare is checked before memory is taken.
 *
 * @throws {CompressionError} When it is more than `maxBytes`, or the input is no whole block or stream.
 */
export function expandSnappy(input: Buffer, maxBytes: number): Buffer {
  if (input.subarray(0, STREAM_IDENTIFIER.length).equals(STREAM_IDENTIFIER)) {
    return expandStream(input, maxBytes)
  }
  const block = readBlock(input, 0, input.length)
  if (block.contentBytes > maxBytes) throw tooLarge(maxBytes)
  const output = Buffer.allocUnsafe(block.contentBytes)
  expandBlock(input, block, output, 0)
  return output
}

/** A block whose length has been read, and may be true. */
interface Block {
  readonly elementsStart: number
  readonly end: number
  readonly contentBytes: number
}

function readBlock(input: Buffer, start: number, end: number): Block {
  let contentBytes = 0
  let at = start
  for (let scale = 1; ; scale *= 128) {
    if (at === end) throw truncated('its length')
    const byte = input[at++]
    contentBytes += (byte & 0x7f) * scale
    if (byte < 0x80) break
    if (at - start === 5) throw damaged('its length has more than five bytes')
  }
  if (contentBytes > 0xffff_ffff) throw damaged('its length has more than 32 bits')
  if (contentBytes > (end - at) * EXPANSION_MAX) throw truncated('what its length announces')
  return { elementsStart: at, end, contentBytes }
}

/** Writes the content of a block to `output`, of which it may read only what it wrote. */
function expandBlock(input: Buffer, block: Block, output: Buffer, start: number): void {
  const { elementsStart, end, contentBytes } = block
  const outputEnd = start + contentBytes
  let from = elementsStart
  let at = start
  while (from < end) {
    const tag = input[from++]
    const kind = tag & 3
    if (kind === 0) {
      let length = (tag >>> 2) + 1
      if (length > 60) {
        const lengthBytes = length - 60
        if (lengthBytes > end - from) throw truncated('the length of a literal')
        length = littleEndian(input, from, lengthBytes) + 1
        from += lengthBytes
      }
      if (length > end - from) throw truncated('a literal')
      if (length > outputEnd - at) throw damaged('it is longer than it says')
      if (length > LOOP_BYTES_MAX) {
        output.set(input.subarray(from, from + length), at)
        from += length
        at += length
      } else {
        for (const stop = from + length; from < stop; from++) output[at++] = input[from]
      }
      continue
    }
    const offsetBytes = kind === 3 ? 4 : kind
    if (offsetBytes > end - from) throw truncated('a copy')
    let length = (tag >>> 2) + 1
    let offset: number
    if (kind === 1) {
      length = ((tag >>> 2) & 7) + 4
      offset = ((tag >>> 5) << 8) | input[from]
    } else if (kind === 2) {
      offset = input[from] | (input[from + 1] << 8)
    } else {
      offset = littleEndian(input, from, 4)
    }
    from += offsetBytes
    if (offset === 0 || offset > at - start) throw damaged('a copy from before its start')
    if (length > outputEnd - at) throw damaged('it is longer than it says')
    for (const stop = at + length; at < stop; at++) output[at] = output[at - offset]
  }
  if (at !== outputEnd) throw truncated('what its length announces')
}

function littleEndian(input: Buffer, at: number, byteCount: number): number {
  let value = 0
  for (let index = byteCount - 1; index >= 0; index--) value = value * 256 + input[at + index]
  return value
}

/** A chunk with content: its checksum's place, and its block or, as it is, its bytes up to `end`. */
interface ContentChunk {
  readonly checksumAt: number
  readonly block: Block | undefined
  readonly end: number
}

function expandStream(input: Buffer, maxBytes: number): Buffer {
  const chunks: ContentChunk[] = []
  const totalBytes = readChunks(input, maxBytes, chunks)
  const output = Buffer.allocUnsafe(totalBytes)
  let at = 0
  for (const { checksumAt, block, end } of chunks) {
    const start = at
    if (block === undefined) {
      at += input.copy(output, at, checksumAt + CHECKSUM_BYTES, end)
    } else {
      expandBlock(input, block, output, at)
      at += block.contentBytes
    }
    if (maskedChecksum(output, start, at) !== input.readUInt32LE(checksumAt)) {
      throw damaged('the checksum of a chunk does not match')
    }
  }
  return output
}

/** Finds the chunks with content; gives how many bytes they declare together, at most `maxBytes`. */
function readChunks(input: Buffer, maxBytes: number, chunks: ContentChunk[]): number {
  let totalBytes = 0
  let end: number
  for (let start = 0; start < input.length; start = end) {
    if (input.length - start < CHUNK_HEAD_BYTES) throw truncated('the head of a chunk')
    const type = input[start]
    const checksumAt = start + CHUNK_HEAD_BYTES
    end = checksumAt + littleEndian(input, start + 1, 3)
    if (end > input.length) throw truncated('a chunk')
    if (type === 0xff) {
      // A stream may follow another.
      if (!input.subarray(start, end).equals(STREAM_IDENTIFIER)) {
        throw damaged('a wrong stream identifier')
      }
      continue
    }
    // Padding, and what readers may skip.
    if (type >= 0x80) continue
    if (type > 0x01) throw damaged(`a chunk of the unknown type ${type}`)
    const contentStart = checksumAt + CHECKSUM_BYTES
    if (contentStart > end) throw damaged('a chunk without a checksum')
    const block = type === 0x00 ? readBlock(input, contentStart, end) : undefined
    totalBytes += block?.contentBytes ?? end - contentStart
    if (totalBytes > maxBytes) throw tooLarge(maxBytes)
    chunks.push({ checksumAt, block, end })
  }
  return totalBytes
}

/** CRC-32C as the framing format stores it. */
function maskedChecksum(bytes: Buffer, start: number, end: number): number {
  const checksum = crc32c(bytes, start, end)
  return (((checksum >>> 15) | (checksum << 17)) + 0xa282_ead8) >>> 0
}

function damaged(what: string): CompressionError {
  return new CompressionError('damaged', `Cannot expand Snappy: ${what}`)
}

function truncated(what: string): CompressionError {
  return new CompressionError('truncated', `Cannot expand Snappy: the input ends within ${what}`)
}

function tooLarge(maxBytes: number): CompressionError {
  return new CompressionError('too_large', `Cannot expand Snappy: more than ${maxBytes} bytes`)
}
