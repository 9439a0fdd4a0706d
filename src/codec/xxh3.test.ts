import assert from 'node:assert/strict'
import { test } from 'node:test'
import { xxh3 } from './xxh3.ts'

/** By `XXH3_64bits` of xxHash 0.8 (lib/cfl in Fluent Bit 5.1.1), of the first bytes of BYTES: by length. */
const HASHES: readonly (readonly [number, string])[] = [
  [0, '2d06800538d394c2'],
  [1, 'c44bdff4074eecdb'],
  [2, 'b0a5d4f167a89d5e'],
  [3, 'e14090f554a5ea90'],
  [4, '2e8d078a566e9749'],
  [5, '94b7bed600f8ce63'],
  [8, 'cd1c7f88482fcaef'],
  [9, 'bfe43def699fa9e3'],
  [12, '027242c0a3b593e8'],
  [16, '81e9eb8634460bb9'],
  [17, '9998430fd0a655be'],
  [31, '6427c268ccd55706'],
  [32, '938c25dd24c9cf3b'],
  [33, '0e399d30188e9c8e'],
  [63, '9e5edf514e6c4ea2'],
  [64, '22a06b30c4c72936'],
  [65, '7faff6eee7812d5c'],
  [96, '324046d7ff9771f1'],
  [97, '00d61f9a16f8effd'],
  [127, '29a5be88e84cd571'],
  [128, '75eca5c5d5594884'],
  [129, 'a05da42e7a4e4667'],
  [143, '516036caa68597ec'],
  [144, '2e63ceed9f938e07'],
  [200, 'e07bfbc15015bf69'],
  [239, 'a44c92feed3d48fa'],
  [240, '5eb2467c8c9e3969'],
  [241, '2d431e984c441f15'],
  [255, '6cb5279bb1267b3b'],
  [256, '1369aaf85f8b805a'],
  [257, '53d08d96173615de'],
  [320, 'f725db88132ae753'],
  [1023, '4e30bb611faa8f67'],
  [1024, 'e99def1145f12936'],
  [1025, '83cba9b371e4e7f4'],
  [1088, '8e7e69b3a7124813'],
  [1089, 'a958a59c9718acc1'],
  [2048, '53275d58cfba68fd'],
  [2049, '3cd32460d504d215'],
  [2500, 'bb908da56c5e2f4f']
]

const BYTES = Buffer.from(Array.from({ length: 2500 }, (_, n) => Math.imul(n, -1640531535) >>> 24))

for (const [length, hash] of HASHES) {
  test(`the hash of ${length} bytes is that of xxHash`, () => {
    assert.equal(xxh3(BYTES.subarray(0, length)).toString(16).padStart(16, '0'), hash)
  })
}
