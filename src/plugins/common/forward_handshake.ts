/**
 * What both sides of the forward protocol's handshake need:
 *
 *     server  ["HELO", {"nonce": text, "auth": text}]
 *     client  ["PING", hostname, salt, key digest, user, password digest]
 *     server  ["PONG", true, "", hostname, key digest]   or   ["PONG", false, reason, "", ""]
 *
 * Source: Forward Protocol Specification v1, Fluent Bit 5.1.1 plugins/in_forward/fw_prot.c, plugins/out_forward/forward.c.
 */
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto'
import { contentCount, headerSize, isArray, skip, typeOf } from '../../codec/msgpack_reader.ts'

/** No message of a handshake has a reason to be longer. */
export const HANDSHAKE_BYTES_MAX = 1023

/** Proves that its sender has the shared key; `hostname` is the sender's own. */
export function keyDigest(
  salt: Buffer,
  hostname: Buffer | string,
  nonce: Buffer,
  key: string
): Buffer {
  const hash = createHash('sha512').update(salt).update(hostname).update(nonce).update(key)
  return Buffer.from(hash.digest('hex'))
}

export function passwordDigest(salt: Buffer, user: string, password: string): Buffer {
  return Buffer.from(createHash('sha512').update(salt).update(user).update(password).digest('hex'))
}

/** Takes as long whatever they hold. */
export function digestsMatch(one: Buffer, other: Buffer): boolean {
  return one.length === other.length && timingSafeEqual(one, other)
}

/** Sixteen random characters: bytes, as Fluent Bit sends them, do not survive in peers that read them as text. */
export function randomText(): Buffer {
  return Buffer.from(randomBytes(12).toString('base64'))
}

/** Positions of the values of an array; undefined for anything else. */
export function itemsOf(bytes: Buffer): number[] | undefined {
  if (!isArray(bytes[0])) return undefined
  const items: number[] = []
  let at = headerSize(bytes[0])
  for (let left = contentCount(bytes, 0); left > 0; left--) {
    items.push(at)
    at = skip(bytes, at)
  }
  return items
}

/** The bytes of a string or of binary data, which may be no text at all; undefined for anything else. */
export function textAt(bytes: Buffer, at: number): Buffer | undefined {
  const type = typeOf(bytes[at])
  if (type !== 'string' && type !== 'binary') return undefined
  const start = at + headerSize(bytes[at])
  return bytes.subarray(start, start + contentCount(bytes, at))
}
