import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { seededRandom } from '../../test/harness/random.ts'
import { CompressionError } from './compression_error.ts'
import { crc32c } from './crc32c.ts'
import { compressSnappy, expandSnappy } from './snappy.ts'

const BYTES_MAX = 1_000_000

function bytesOf(hex: string): Buffer {
  return Buffer.from(hex.replaceAll(' ', ''), 'hex')
}

function hexOf(text: string): string {
  return Buffer.from(text).toString('hex')
}

/** The content, or what is wrong: the reason and the message behind "Cannot expand Snappy: ". */
function outcome(input: Buffer, maxBytes = BYTES_MAX): string {
  try {
    return expandSnappy(input, maxBytes).toString('latin1')
  } catch (error) {
    assert(error instanceof CompressionError, String(error))
    return `${error.reason}: ${error.message.replace('Cannot expand Snappy: ', '')}`
  }
}

const LONG = 'abc'.repeat(100)

/** Written by hand after format_description.txt: what a block has, its hex, what comes of it. */
const BLOCKS: readonly (readonly [name: string, hex: string, outcome: string])[] = [
  ['no content', '00', ''],
  ['a literal', '03 08 616263', 'abc'],
  ['a literal of 60 bytes', `3c ec ${hexOf('a'.repeat(60))}`, 'a'.repeat(60)],
  ['a literal with one byte of length', `3d f0 3c ${hexOf('a'.repeat(61))}`, 'a'.repeat(61)],
  ['a literal with two bytes of length', `ac02 f4 2b01 ${hexOf(LONG)}`, LONG],
  ['a literal with three bytes of length', '03 f8 020000 616263', 'abc'],
  ['a literal with four bytes of length', '03 fc 02000000 616263', 'abc'],
  ['a copy with 11 bits of offset', `b002 f4 2b01 ${hexOf(LONG)} 21 2c`, `${LONG}abca`],
  ['a copy with two bytes of offset', '08 0c 61626364 0e 0400', 'abcdabcd'],
  ['a copy with four bytes of offset', '08 0c 61626364 0f 04000000', 'abcdabcd'],
  ['a copy of eleven bytes that reaches into itself', '0c 00 61 1d 01', 'a'.repeat(12)],
  ['a copy of 64 bytes that reaches into itself', '42 04 6162 fe 0200', 'ab'.repeat(33)],
  [
    'a copy of 64 bytes that does not',
    `ec02 f4 2b01 ${hexOf(LONG)} fe 2c01`,
    `${LONG}${LONG.slice(0, 64)}`
  ],
  ['nothing at all', '', 'truncated: the input ends within its length'],
  ['half a length', '80', 'truncated: the input ends within its length'],
  ['a length of six bytes', 'ffffffffff 01', 'damaged: its length has more than five bytes'],
  ['a length of 33 bits', 'ffffffff1f 00', 'damaged: its length has more than 32 bits'],
  ['a length alone', '03', 'truncated: the input ends within what its length announces'],
  ['half a literal', '03 08 6162', 'truncated: the input ends within a literal'],
  [
    'half the length of a literal',
    '03 f4 02',
    'truncated: the input ends within the length of a literal'
  ],
  ['half a copy', '05 00 61 0e 01', 'truncated: the input ends within a copy'],
  ['a copy from nowhere', '05 00 61 01 00', 'damaged: a copy from before its start'],
  ['a copy from before the start', '05 00 61 01 02', 'damaged: a copy from before its start'],
  ['a literal beyond its length', '02 08 616263', 'damaged: it is longer than it says'],
  ['a copy beyond its length', '04 00 61 01 01', 'damaged: it is longer than it says'],
  ['bytes behind its end', '03 08 616263 00 61', 'damaged: it is longer than it says'],
  [
    'less than its length',
    '04 08 616263',
    'truncated: the input ends within what its length announces'
  ]
]

for (const [name, hex, expected] of BLOCKS) {
  test(`a block with ${name}`, () => {
    assert.equal(outcome(bytesOf(hex)), expected)
  })
}

const IDENTIFIER = 'ff060000 734e61507059'
/** "abcd" as golang/snappy's TestReaderUncompressedDataOK has it. */
const ABCD = '01 080000 6810e6b6 61626364'
const ABCD_BLOCK = '00 0a0000 6810e6b6 04 0c 61626364'

/** After framing_format.txt: what follows the identifier, and what comes of it. */
const STREAMS: readonly (readonly [name: string, hex: string, outcome: string])[] = [
  ['nothing', '', ''],
  ['content as it is', ABCD, 'abcd'],
  ['a block', ABCD_BLOCK, 'abcd'],
  ['both', `${ABCD} ${ABCD_BLOCK}`, 'abcdabcd'],
  ['padding', `fe 030000 ffffff ${ABCD}`, 'abcd'],
  ['chunks that may be skipped', `80 000000 fd 010000 00 ${ABCD}`, 'abcd'],
  ['another stream', `${ABCD} ${IDENTIFIER} ${ABCD}`, 'abcdabcd'],
  ['a chunk that may not be skipped', '02 000000', 'damaged: a chunk of the unknown type 2'],
  ['the last of those', '7f 000000', 'damaged: a chunk of the unknown type 127'],
  ['a wrong identifier', 'ff 060000 734e61507058', 'damaged: a wrong stream identifier'],
  [
    'a wrong checksum',
    '01 080000 6810e6b7 61626364',
    'damaged: the checksum of a chunk does not match'
  ],
  [
    'a block with a wrong checksum',
    '00 0a0000 6810e6b6 04 0c 61626365',
    'damaged: the checksum of a chunk does not match'
  ],
  ['a chunk without a checksum', '01 030000 6810e6', 'damaged: a chunk without a checksum'],
  ['half a head', '01 0800', 'truncated: the input ends within the head of a chunk'],
  ['half a chunk', '01 080000 6810e6b6 6162', 'truncated: the input ends within a chunk'],
  [
    'a block that reaches into the one before',
    `${ABCD_BLOCK} 00 090000 6810e6b6 05 00 61 01 02`,
    'damaged: a copy from before its start'
  ]
]

for (const [name, hex, expected] of STREAMS) {
  test(`a stream with ${name}`, () => {
    assert.equal(outcome(bytesOf(IDENTIFIER + hex)), expected)
  })
}

test('a block keeps to the limit', () => {
  const block = bytesOf('08 0c 61626364 0e 0400')
  assert.equal(outcome(block, 8), 'abcdabcd')
  assert.equal(outcome(block, 7), 'too_large: more than 7 bytes')
})

test('the chunks of a stream together keep to the limit', () => {
  const stream = bytesOf(`${IDENTIFIER} ${ABCD} ${ABCD_BLOCK} ${ABCD}`)
  assert.equal(outcome(stream, 12), 'abcdabcdabcd')
  assert.equal(outcome(stream, 11), 'too_large: more than 11 bytes')
  assert.equal(
    outcome(bytesOf(`${IDENTIFIER} ${ABCD} ${ABCD_BLOCK}`), 7),
    'too_large: more than 7 bytes'
  )
})

test('a block of 255 bytes, which starts like a stream, is a block', () => {
  const content = Buffer.alloc(255, 'seven77')
  const block = compressSnappy(content)
  assert.equal(block[0], 0xff)
  assert.deepEqual(expandSnappy(block, BYTES_MAX), content)
})

test('a length that the input cannot reach takes no memory', () => {
  const before = process.memoryUsage().arrayBuffers
  assert.equal(
    outcome(bytesOf(`80c2d72f ${'00 61'.repeat(1000)}`), 200_000_000),
    'truncated: the input ends within what its length announces'
  )
  const taken = process.memoryUsage().arrayBuffers - before
  assert(taken < 10_000_000, `took ${taken} bytes`)
})

const pieces = fc.array(
  fc.oneof(
    fc.uint8Array({ maxLength: 80 }),
    fc.constantFrom('{"log":"', '10.0.0.1 GET /api/items/', '\n').map(text => Buffer.from(text)),
    fc
      .tuple(fc.uint8Array({ minLength: 1, maxLength: 5 }), fc.integer({ min: 1, max: 300 }))
      .map(([pattern, length]) => Buffer.alloc(length, pattern))
  ),
  { maxLength: 60 }
)

test('what was compressed expands to what it was', () => {
  fc.assert(
    fc.property(pieces, fc.integer({ min: 1, max: 40 }), (list, times) => {
      const content = Buffer.concat(Array(times).fill(list).flat())
      const block = compressSnappy(content)
      assert.deepEqual(expandSnappy(block, Math.max(content.length, 1)), content)
    }),
    { numRuns: 500 }
  )
})

test('content of any length about the size of a fragment, dense or not, comes back', () => {
  const random = seededRandom(11)
  const noise = Buffer.from(Array.from({ length: 140_000 }, () => random() * 256))
  const lines = Buffer.alloc(140_000, 'GET /api/items/1 200 17\nGET /api/things/22 404 0\n')
  const lengths = [65_535, 65_536, 65_537, 65_550, 65_551, 65_552, 131_072, 131_087, 140_000]
  for (const length of [...Array(70).keys(), 255, 256, 257, 258, ...lengths]) {
    for (const content of [noise.subarray(0, length), lines.subarray(0, length)]) {
      assert.deepEqual(expandSnappy(compressSnappy(content), BYTES_MAX), content)
    }
  }
})

test('short matches at every distance come back', () => {
  const random = seededRandom(12)
  for (let round = 0; round < 60; round++) {
    const letters = Buffer.from(Array.from({ length: 5000 }, () => 0x61 + random() * 8))
    const block = compressSnappy(letters)
    assert(block.length < letters.length)
    assert.deepEqual(expandSnappy(block, BYTES_MAX), letters, `round ${round}`)
  }
})

test('what cannot be compressed has room for its tags', () => {
  const random = seededRandom(13)
  const noise = Buffer.from(Array.from({ length: BYTES_MAX }, () => random() * 256))
  const block = compressSnappy(noise)
  assert(block.length > noise.length)
  assert.deepEqual(expandSnappy(block, BYTES_MAX), noise)
})

test('a part of a larger buffer is compressed and expanded as if it stood alone', () => {
  const content = Buffer.alloc(500, 'GET /api/items/1 200 17\n')
  const whole = Buffer.concat([Buffer.from('before'), content, Buffer.from('after')])
  const block = compressSnappy(whole.subarray(6, 506))
  assert.deepEqual(block, compressSnappy(content))
  const around = Buffer.concat([Buffer.from('before'), block, Buffer.from('after')])
  assert.deepEqual(expandSnappy(around.subarray(6, 6 + block.length), BYTES_MAX), content)
})

test('whatever is done to a block or a stream, it expands within the limit or is refused', () => {
  const random = seededRandom(20_260_312)
  const content = Buffer.alloc(700, 'GET /api/items/1 200 17\nPUT /x 404 0\n')
  const block = compressSnappy(content)
  const stream = Buffer.concat([bytesOf(IDENTIFIER), chunkOf(block, content), bytesOf(ABCD)])
  const refused = { block: 0, stream: 0 }
  for (let round = 0; round < 20_000; round++) {
    for (const [name, input] of [
      ['block', block],
      ['stream', stream]
    ] as const) {
      const changed = Buffer.from(input)
      for (let count = 1 + random() * 4; count >= 1; count--) {
        changed[Math.floor(random() * changed.length)] = random() * 256
      }
      const end = random() < 0.3 ? Math.floor(random() * changed.length) : changed.length
      try {
        const { length } = expandSnappy(changed.subarray(0, end), 1000)
        assert(length <= 1000, `round ${round}: ${length} bytes`)
      } catch (error) {
        if (!(error instanceof CompressionError))
          throw new Error(`round ${round}`, { cause: error })
        refused[name]++
      }
    }
  }
  // Most changes hit literals, which a block cannot tell; a stream has checksums.
  assert(refused.block > 10_000 && refused.stream > 19_000, JSON.stringify(refused))
})

function chunkOf(block: Buffer, content: Buffer): Buffer {
  const head = Buffer.alloc(8)
  const checksum = crc32c(content)
  head.writeUIntLE(block.length + 4, 1, 3)
  head.writeUInt32LE((((checksum >>> 15) | (checksum << 17)) + 0xa282_ead8) >>> 0, 4)
  return Buffer.concat([head, block])
}
