import assert from 'node:assert/strict'
import { test } from 'node:test'
import { crc32c } from './crc32c.ts'

/** RFC 3720, appendix B.4, and the check value of the catalogue of CRC algorithms (CRC-32/ISCSI). */
const KNOWN: readonly (readonly [name: string, bytes: Buffer, checksum: number])[] = [
  ['nothing', Buffer.alloc(0), 0],
  ['32 bytes of zeros', Buffer.alloc(32), 0x8a9136aa],
  ['32 bytes of ones', Buffer.alloc(32, 0xff), 0x62a8ab43],
  ['32 rising bytes', Buffer.from(Array.from({ length: 32 }, (_, at) => at)), 0x46dd794e],
  ['32 falling bytes', Buffer.from(Array.from({ length: 32 }, (_, at) => 31 - at)), 0x113fdb5c],
  ['nine digits', Buffer.from('123456789'), 0xe3069283]
]

for (const [name, bytes, checksum] of KNOWN) {
  test(`the CRC-32C of ${name}`, () => {
    assert.equal(crc32c(bytes), checksum)
  })
}

test('a part of a buffer is summed as if it stood alone', () => {
  assert.equal(crc32c(Buffer.from('..123456789....'), 2, 11), 0xe3069283)
})
