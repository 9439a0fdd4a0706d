/**
 * Keys of encoded maps: encoding one ahead of time, and cutting a pair out.
 *
 * @hot bench/pipelines.ts
 */
import { contentCount } from '../codec/msgpack_reader.ts'
import { MsgpackWriter } from '../codec/msgpack_writer.ts'

/** A key as a MessagePack string. */
export function encodedKey(key: string): Buffer {
  const writer = new MsgpackWriter(64)
  writer.string(key)
  return Buffer.from(writer.written())
}

/** True when the encoded key is what stands at `at`. */
export function startsWithKey(bytes: Buffer, at: number, key: Buffer): boolean {
  for (let index = 0; index < key.length; index++) {
    if (bytes[at + index] !== key[index]) return false
  }
  return true
}

/**
 * Removes a pair from the map at `map`, which is the last value in `out`.
 *
 * @param start Position of the pair's key.
 * @param end Position after its value.
 */
export function removePair(out: MsgpackWriter, map: number, start: number, end: number): void {
  const { bytes } = out
  const count = contentCount(bytes, map) - 1
  if (end < out.length) bytes.copyWithin(start, end, out.length)
  out.length -= end - start
  if (bytes[map] < 0x90) {
    bytes[map] = 0x80 | count
  } else if (bytes[map] === 0xdf && count > 0xffff) {
    bytes.writeUInt32BE(count, map + 1)
  } else if (count > 15) {
    rewriteHeader(out, map, bytes[map] === 0xdf ? 5 : 3, 3)
    bytes[map] = 0xde
    bytes.writeUInt16BE(count, map + 1)
  } else {
    rewriteHeader(out, map, bytes[map] === 0xdf ? 5 : 3, 1)
    bytes[map] = 0x80 | count
  }
}

/** Moves what follows a map's header when the header becomes shorter. */
function rewriteHeader(out: MsgpackWriter, map: number, oldSize: number, newSize: number): void {
  out.bytes.copyWithin(map + newSize, map + oldSize, out.length)
  out.length -= oldSize - newSize
}
