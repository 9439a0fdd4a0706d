/**
 * XXH3, 64 bits, seed 0, for inputs of 1 to 32 bytes: what the offset marker of tail's database needs.
 * Source: the XXH3 specification (github.com/Cyan4973/xxHash, doc/xxhash_spec.md); longer inputs take other paths there.
 */

const MASK = 0xffffffffffffffffn
const PRIME64_1 = 0x9e3779b185ebca87n
const PRIME64_2 = 0xc2b2ae3d27d4eb4fn
const PRIME64_3 = 0x165667b19e3779f9n
const PRIME_MX1 = 0x165667919e3779f9n
const PRIME_MX2 = 0x9fb21c651e98df25n

/** The first 64 bytes of the specification's default secret. */
const SECRET = Buffer.from(
  'b8fe6c3923a44bbe7c01812cf721ad1cded46de9839097db7240a4a4b7b3671f' +
    'cb79e64eccc0e578825ad07dccff7221b8084674f743248ee03590e6813a264c',
  'hex'
)

/** Longest input that `xxh3` takes, in bytes. */
export const XXH3_INPUT_MAX = 32

/**
 * The hash of 1 to `XXH3_INPUT_MAX` bytes, unsigned.
 *
 * @throws {RangeError} For other lengths.
 */
export function xxh3(input: Buffer): bigint {
  const { length } = input
  if (length < 1 || length > XXH3_INPUT_MAX) {
    throw new RangeError(`Cannot hash ${length} bytes: this form takes 1 to ${XXH3_INPUT_MAX}`)
  }
  if (length <= 3) return hash1to3(input, length)
  if (length <= 8) return hash4to8(input, length)
  if (length <= 16) return hash9to16(input, length)
  const total =
    (BigInt(length) * PRIME64_1 + mix16(input, 0, 0) + mix16(input, length - 16, 16)) & MASK
  return avalanche(total)
}

function hash1to3(input: Buffer, length: number): bigint {
  const combined =
    (BigInt(input[0]) << 16n) |
    (BigInt(input[length >> 1]) << 24n) |
    BigInt(input[length - 1]) |
    (BigInt(length) << 8n)
  let hash = combined ^ BigInt((SECRET.readUInt32LE(0) ^ SECRET.readUInt32LE(4)) >>> 0)
  hash = ((hash ^ (hash >> 33n)) * PRIME64_2) & MASK
  hash = ((hash ^ (hash >> 29n)) * PRIME64_3) & MASK
  return hash ^ (hash >> 32n)
}

function hash4to8(input: Buffer, length: number): bigint {
  const low = BigInt(input.readUInt32LE(length - 4))
  const high = BigInt(input.readUInt32LE(0)) << 32n
  let hash = (low + high) ^ SECRET.readBigUInt64LE(8) ^ SECRET.readBigUInt64LE(16)
  hash ^= rotate(hash, 49n) ^ rotate(hash, 24n)
  hash = (hash * PRIME_MX2) & MASK
  hash ^= (hash >> 35n) + BigInt(length)
  hash = (hash * PRIME_MX2) & MASK
  return hash ^ (hash >> 28n)
}

function hash9to16(input: Buffer, length: number): bigint {
  const low = input.readBigUInt64LE(0) ^ SECRET.readBigUInt64LE(24) ^ SECRET.readBigUInt64LE(32)
  const high =
    input.readBigUInt64LE(length - 8) ^ SECRET.readBigUInt64LE(40) ^ SECRET.readBigUInt64LE(48)
  const swapped = Buffer.alloc(8)
  swapped.writeBigUInt64LE(low)
  return avalanche(
    (BigInt(length) + swapped.readBigUInt64BE(0) + high + multiplyFold(low, high)) & MASK
  )
}

function mix16(input: Buffer, at: number, secretAt: number): bigint {
  return multiplyFold(
    input.readBigUInt64LE(at) ^ SECRET.readBigUInt64LE(secretAt),
    input.readBigUInt64LE(at + 8) ^ SECRET.readBigUInt64LE(secretAt + 8)
  )
}

function multiplyFold(left: bigint, right: bigint): bigint {
  const product = left * right
  return (product & MASK) ^ (product >> 64n)
}

function rotate(value: bigint, bits: bigint): bigint {
  return ((value << bits) | (value >> (64n - bits))) & MASK
}

function avalanche(value: bigint): bigint {
  let hash = value ^ (value >> 37n)
  hash = (hash * PRIME_MX1) & MASK
  return hash ^ (hash >> 32n)
}
