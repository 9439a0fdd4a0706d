import assert from 'node:assert/strict'
import { test } from 'node:test'
import { crc32 } from 'node:zlib'
import fc from 'fast-check'
import { seededRandom } from '../../test/harness/random.ts'
import {
  type ChunkOrigin,
  eventsBlock,
  readChunkFile,
  type Settled,
  settledBlock,
  startOfFile
} from './chunk_format.ts'

/** A block as the grammar has it, whatever its type and payload. */
function anyBlock(type: number, payload: Buffer, events = 0): Buffer {
  const head = Buffer.alloc(9)
  head[0] = type
  head.writeUInt32BE(payload.length, 1)
  head.writeUInt32BE(events, 5)
  const block = Buffer.concat([head, payload])
  const checksum = Buffer.alloc(4)
  checksum.writeUInt32BE(crc32(block))
  return Buffer.concat([checksum, block])
}

const ORIGIN = { tag: 'app', input: 'tail.0' }
const START = Buffer.concat(startOfFile(ORIGIN))
const FIRST = Buffer.from('the first events')
const SECOND = Buffer.from('more of them')
const SETTLED: Settled = { output: 'http.0', left: [0, 2] }

/** A file of several blocks, and where each of them ends. */
const BLOCKS = [
  START,
  Buffer.concat(eventsBlock(FIRST, 3)),
  Buffer.concat(settledBlock(SETTLED)),
  Buffer.concat(eventsBlock(SECOND, 2))
]
const FILE = Buffer.concat(BLOCKS)
const ENDS = BLOCKS.map((_, index) => Buffer.concat(BLOCKS.slice(0, index + 1)).length)

/** What a file gives of which the first blocks are good. */
function firstBlocks(count: number): Partial<ReturnType<typeof readChunkFile>> {
  return {
    origin: count > 0 ? ORIGIN : undefined,
    events: [0, 0, 3, 3, 5][count],
    pieces: [[], [], [FIRST], [FIRST], [FIRST, SECOND]][count],
    settled: count > 2 ? [SETTLED] : [],
    end: count > 0 ? ENDS[count - 1] : 0
  }
}

/** All that was read, as plain values. */
function read(file: Buffer): ReturnType<typeof readChunkFile> {
  const { origin, events, pieces, settled, end, problem } = readChunkFile(file)
  return { origin, events, pieces: [...pieces], settled: [...settled], end, problem }
}

test('a file is its magic and blocks of a checksum, a type, a length, a count and a payload', () => {
  assert.deepEqual(
    FILE,
    Buffer.concat([
      Buffer.from('SPWYCHK1'),
      anyBlock(1, Buffer.from('{"tag":"app","input":"tail.0"}')),
      anyBlock(2, FIRST, 3),
      anyBlock(3, Buffer.from('{"output":"http.0","left":[0,2]}')),
      anyBlock(2, SECOND, 2)
    ])
  )
  assert.equal(
    FILE.subarray(0, 8 + 13).toString('hex'),
    `5350575943484b31${crc32(FILE.subarray(12, 51)).toString(16).padStart(8, '0')}010000001e00000000`
  )
})

test('what is written is read again', () => {
  const text = fc.string({ unit: 'binary', maxLength: 40 })
  const origins: fc.Arbitrary<ChunkOrigin> = fc.record(
    { tag: text, input: text, outputs: fc.array(text, { maxLength: 3 }) },
    { requiredKeys: ['tag', 'input'], noNullPrototype: true }
  )
  const settledOnes: fc.Arbitrary<Settled> = fc.record(
    {
      output: text,
      left: fc
        .uniqueArray(fc.nat(), { maxLength: 5 })
        .map(events => events.toSorted((a, b) => a - b))
    },
    { requiredKeys: ['output'], noNullPrototype: true }
  )
  const events = fc.record(
    { payload: fc.uint8Array({ maxLength: 300 }), events: fc.nat(0xfff_ffff) },
    { noNullPrototype: true }
  )
  const isSettled = (block: object): block is Settled => 'output' in block
  fc.assert(
    fc.property(
      origins,
      fc.array(fc.oneof(events, settledOnes), { maxLength: 6 }),
      (origin, blocks) => {
        const file = Buffer.concat([
          ...startOfFile(origin),
          ...blocks.flatMap(block =>
            isSettled(block)
              ? settledBlock(block)
              : eventsBlock(Buffer.from(block.payload), block.events)
          )
        ])
        const written = blocks.flatMap(block => (isSettled(block) ? [] : [block]))
        assert.deepEqual(read(file), {
          origin,
          events: written.reduce((sum, block) => sum + block.events, 0),
          pieces: written.map(block => Buffer.from(block.payload)),
          settled: blocks.filter(block => isSettled(block)),
          end: file.length,
          problem: undefined
        })
      }
    ),
    { seed: 1, numRuns: 300 }
  )
})

test('payloads are shared with the bytes of the file', () => {
  const file = Buffer.from(FILE)
  const { pieces } = readChunkFile(file)
  file[ENDS[1] - 1] = 0x21
  assert.equal(pieces[0].at(-1), 0x21)
})

test('a file that is cut at any byte is good up to its last whole block', () => {
  for (let length = 0; length <= FILE.length; length++) {
    const whole = ENDS.filter(end => end <= length).length
    const isAtEnd = ENDS.includes(length)
    assert.deepEqual(
      read(FILE.subarray(0, length)),
      { ...firstBlocks(whole), problem: isAtEnd ? undefined : 'torn_block' },
      `length ${length}`
    )
  }
})

test('a file with any bit flipped is good up to the block that has it', () => {
  for (let at = 0; at < FILE.length; at++) {
    const whole = ENDS.filter(end => end <= at).length
    for (let bit = 1; bit < 256; bit <<= 1) {
      const file = Buffer.from(FILE)
      file[at] ^= bit
      const { problem, ...rest } = read(file)
      assert.deepEqual(rest, firstBlocks(whole), `byte ${at}, bit ${bit}`)
      assert.ok(problem !== undefined, `byte ${at}, bit ${bit}`)
      assert.equal(problem === 'bad_header', at < 8, `byte ${at}, bit ${bit}`)
    }
  }
})

test('of a file with several flips, and cut off or grown, nothing wrong is read', () => {
  const random = seededRandom(20_231_114)
  const below = (limit: number): number => Math.floor(random() * limit)
  for (let run = 0; run < 5_000; run++) {
    const tail = Buffer.from(Array.from({ length: below(40) }, () => below(256)))
    const file = Buffer.concat([FILE.subarray(0, FILE.length - below(FILE.length / 4)), tail])
    for (let flips = below(6); flips > 0; flips--) {
      const at = below(file.length)
      file[at] ^= 1 << below(8)
    }
    const whole = ENDS.filter(end => file.subarray(0, end).equals(FILE.subarray(0, end))).length
    const { problem: _, ...rest } = read(file)
    assert.deepEqual(rest, firstBlocks(whole), `run ${run}`)
  }
})

test('a tail of zeros, as some file systems leave it after a crash, is bad and what is before it good', () => {
  for (const zeros of [1, 12, 13, 14, 4096]) {
    assert.deepEqual(read(Buffer.concat([FILE, Buffer.alloc(zeros)])), {
      ...firstBlocks(4),
      problem: zeros < 13 ? 'torn_block' : 'bad_checksum'
    })
  }
})

for (const [what, file, problem] of [
  ['empty', Buffer.alloc(0), 'torn_block'],
  ['of zeros', Buffer.alloc(4096), 'bad_header'],
  ['of one zero', Buffer.alloc(1), 'bad_header'],
  ['of text', Buffer.from('not a chunk at all\n'.repeat(50)), 'bad_header'],
  ["Fluent Bit's", Buffer.from('c10000000000', 'hex'), 'bad_header'],
  ['only the magic', Buffer.from('SPWYCHK1'), 'torn_block'],
  ['of a later version', Buffer.from('SPWYCHK2'), 'bad_header']
] as const) {
  test(`in a file that is ${what} there is nothing`, () => {
    assert.deepEqual(read(file), { ...firstBlocks(0), problem })
  })
}

for (const [what, blocks, whole] of [
  ['events before the origin', [anyBlock(2, FIRST, 3)], 0],
  ['something settled before the origin', [anyBlock(3, Buffer.from('{"output":"a"}'))], 0],
  ['two origins', [START.subarray(8), START.subarray(8)], 1],
  ['a block of an unknown type', [START.subarray(8), anyBlock(4, FIRST, 3)], 1],
  ['a block of type 0', [START.subarray(8), anyBlock(0, Buffer.alloc(0))], 1]
] as const) {
  test(`a file ends before what no version writes: ${what}`, () => {
    const file = Buffer.concat([Buffer.from('SPWYCHK1'), ...blocks])
    assert.deepEqual(read(file), { ...firstBlocks(whole), problem: 'bad_block' })
  })
}

test('a length of more than a gigabyte is bad, a smaller one that leads beyond the file is torn', () => {
  const head = (length: number): Buffer => {
    const bytes = Buffer.alloc(13)
    bytes[4] = 2
    bytes.writeUInt32BE(length, 5)
    return bytes
  }
  for (const [length, problem] of [
    [0xffff_ffff, 'bad_block'],
    [1_073_741_825, 'bad_block'],
    [1_073_741_824, 'torn_block'],
    [1, 'torn_block']
  ] as const) {
    const file = Buffer.concat([START, head(length)])
    assert.deepEqual(read(file), { ...firstBlocks(1), problem }, `length ${length}`)
  }
})

for (const [what, type, payload] of [
  ['an origin that is no JSON', 1, '{'],
  ['an origin that is null', 1, 'null'],
  ['an origin without a tag', 1, '{"input":"tail.0"}'],
  ['an origin whose tag is a number', 1, '{"tag":5,"input":"tail.0"}'],
  ['an origin whose outputs are a text', 1, '{"tag":"a","input":"b","outputs":"c"}'],
  ['settled events that are no JSON', 3, '{'],
  ['settled events that are null', 3, 'null'],
  ['settled events whose numbers are texts', 3, '{"output":"a","left":["0"]}'],
  ['settled events that descend', 3, '{"output":"a","left":[1,0]}']
] as const) {
  test(`a block with a good checksum and ${what} is a bad block`, () => {
    const start = type === 1 ? [] : [START.subarray(8), anyBlock(2, FIRST, 3)]
    const file = Buffer.concat([
      Buffer.from('SPWYCHK1'),
      ...start,
      anyBlock(type, Buffer.from(payload))
    ])
    const { problem, end } = read(file)
    assert.deepEqual({ problem, end }, { problem: 'bad_block', end: type === 1 ? 0 : ENDS[1] })
  })
}
