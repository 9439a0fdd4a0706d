import assert from 'node:assert/strict'
import { test } from 'node:test'
import { seededRandom } from '../../../../test/harness/random.ts'
import { packed } from '../../../../test/harness/forward.ts'
import { FrameSplitter, SpareBuffers } from './frame_splitter.ts'

const LIMIT = 1000

function splitter(): FrameSplitter {
  return new FrameSplitter(LIMIT, new SpareBuffers(LIMIT))
}

/** All frames that have come, as hex. */
function take(frames: FrameSplitter): string[] {
  const taken: string[] = []
  while (frames.next()) taken.push(frames.bytes.toString('hex', frames.start, frames.end))
  return taken
}

const FRAMES = [
  packed([]),
  packed(['tag', 1, { a: [1, [2, { b: 'c' }]] }]),
  packed(['tag', Buffer.alloc(300, 1), { chunk: 'x' }]),
  packed(['tag', Array.from({ length: 100 }, (_, n) => [n, { n }])]),
  packed(['t'.repeat(40)])
]
const STREAM = Buffer.concat(FRAMES)

test('frames are the same whatever the pieces that they come in', () => {
  for (let size = 1; size <= STREAM.length; size++) {
    const frames = splitter()
    const taken: string[] = []
    for (let at = 0; at < STREAM.length; at += size) {
      frames.push(Buffer.from(STREAM.subarray(at, at + size)))
      taken.push(...take(frames))
    }
    assert.deepEqual(
      taken,
      FRAMES.map(frame => frame.toString('hex')),
      `pieces of ${size}`
    )
    assert.equal(frames.unread, 0)
  }
})

test('frames that come whole are not copied', () => {
  const frames = splitter()
  frames.push(STREAM)
  for (const _ of FRAMES) {
    assert.ok(frames.next())
    assert.equal(frames.bytes, STREAM)
  }
})

test('a frame may be as long as the limit and no longer', () => {
  const frame = (bytes: number): Buffer => packed([Buffer.alloc(bytes - 4)])
  const frames = splitter()
  frames.push(frame(LIMIT))
  assert.equal(take(frames).length, 1)
  for (const size of [10, LIMIT + 1]) {
    const other = splitter()
    const bytes = frame(LIMIT + 1)
    for (let at = 0; at < bytes.length; at += size) other.push(bytes.subarray(at, at + size))
    assert.deepEqual([take(other), other.fault], [[], 'too_large'])
  }
})

test('a length that is too large is refused when it is read, and nothing is allocated for it', () => {
  for (const head of [
    '91c6ffffffff',
    '91dbffffffff',
    'ddffffffff',
    '91dfffffffff',
    '91c9ffffffff05'
  ]) {
    const frames = splitter()
    // One byte each, so that the last one completes the length.
    for (const byte of Buffer.from(head, 'hex')) {
      assert.equal(frames.fault, undefined)
      frames.push(Buffer.from([byte]))
      assert.equal(frames.next(), false)
    }
    assert.equal(frames.fault, 'too_large', head)
    assert.ok(frames.bytes.length <= 65_536)
  }
})

test('what is no array, or no MessagePack, is refused', () => {
  for (const bytes of [
    Buffer.from('GET / HTTP/1.1'),
    packed({ a: 1 }),
    Buffer.from('9201c1', 'hex')
  ]) {
    const frames = splitter()
    frames.push(bytes)
    assert.deepEqual([take(frames), frames.fault], [[], 'not_a_frame'])
  }
})

test('a frame nests as deep as it is long', () => {
  const frames = splitter()
  frames.push(Buffer.concat([Buffer.alloc(LIMIT - 1, 0x91), Buffer.from([1])]))
  assert.equal(take(frames).length, 1)
})

test('buffers go from one connection to the next, up to a size', () => {
  const spares = new SpareBuffers(100_000)
  const one = new FrameSplitter(1_000_000, spares)
  one.push(STREAM.subarray(0, 3))
  take(one)
  one.push(STREAM.subarray(3, 10))
  const { bytes } = one
  one.release()
  const other = new FrameSplitter(1_000_000, spares)
  other.push(STREAM.subarray(0, 3))
  take(other)
  other.push(STREAM.subarray(3))
  assert.equal(other.bytes, bytes)
  assert.equal(take(other).length, FRAMES.length - 1)
  spares.give(Buffer.alloc(100_001))
  assert.ok(spares.take(10).length <= 100_000)
})

test('no stream, however damaged, makes it fail or remember more than one frame', () => {
  const random = seededRandom(24_224)
  for (let round = 0; round < 20_000; round++) {
    const frames = splitter()
    const bytes = Buffer.from(STREAM)
    const changes = 1 + Math.floor(random() * 4)
    for (let change = 0; change < changes; change++) {
      bytes[Math.floor(random() * bytes.length)] = Math.floor(random() * 256)
    }
    const cut = Math.floor(random() * bytes.length)
    frames.push(bytes.subarray(0, cut))
    take(frames)
    if (frames.fault === undefined) frames.push(bytes.subarray(cut))
    take(frames)
    assert.ok(frames.fault !== undefined || frames.unread <= LIMIT)
    assert.ok(frames.bytes.length <= 65_536 + LIMIT)
  }
})
