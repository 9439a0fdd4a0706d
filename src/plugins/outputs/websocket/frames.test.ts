import assert from 'node:assert/strict'
import { test } from 'node:test'
import { seededRandom } from '../../../../test/harness/random.ts'
import { NetworkError } from '../../../net/network_error.ts'
import { applyMask, frameHead, FrameReader, OPCODES } from './frames.ts'

interface Taken {
  readonly opcode: number
  readonly text: string
}

function reader(): { taken: Taken[]; frames: FrameReader } {
  const taken: Taken[] = []
  const frames = new FrameReader((opcode, payload) =>
    taken.push({ opcode, text: payload.latin1Slice() })
  )
  return { taken, frames }
}

/** A ping, a message in two frames with a pong between them, one of 300 bytes, one of 70,000, and a goodbye. */
const STREAM = Buffer.concat([
  Buffer.from('\x89\x03abc', 'latin1'),
  Buffer.from('\x01\x02he', 'latin1'),
  Buffer.from('\x8a\x00', 'latin1'),
  Buffer.from('\x80\x03llo', 'latin1'),
  Buffer.from('\x82\x7e\x01\x2c', 'latin1'),
  Buffer.alloc(300, 0x89),
  Buffer.from('\x82\x7f\0\0\0\0\0\x01\x11\x70', 'latin1'),
  Buffer.alloc(70_000, 0x88),
  Buffer.from('\x88\x05\x03\xe9bye', 'latin1')
])
const CONTROL_FRAMES: readonly Taken[] = [
  { opcode: OPCODES.ping, text: 'abc' },
  { opcode: OPCODES.pong, text: '' },
  { opcode: OPCODES.close, text: '\x03\xe9bye' }
]

test('heads of RFC 6455 section 5.7, and of each form of the length', () => {
  const mask = Buffer.from('37fa213d', 'hex')
  const hello = Buffer.from('Hello')
  applyMask(hello, mask)
  assert.equal(
    Buffer.concat([frameHead(OPCODES.text, 5, mask), hello]).toString('hex'),
    '818537fa213d7f9f4d5158'
  )
  const head = (length: number): string => frameHead(OPCODES.binary, length, mask).toString('hex')
  assert.equal(head(0), '828037fa213d')
  assert.equal(head(125), '82fd37fa213d')
  assert.equal(head(126), '82fe007e37fa213d')
  assert.equal(head(65_535), '82feffff37fa213d')
  assert.equal(head(65_536), '82ff000000000001000037fa213d')
})

test('a mask of every length of payload can be taken off again', () => {
  const mask = Buffer.from('12345678', 'hex')
  for (let length = 0; length < 70; length++) {
    const payload = Buffer.from(Array.from({ length }, (_, index) => index * 7))
    const masked = Buffer.from(payload)
    applyMask(masked, mask)
    const expected = payload.map((byte, index) => byte ^ (mask[index % 4] ?? 0))
    assert.deepEqual(masked, Buffer.from(expected))
  }
})

test('control frames are taken between and within messages, which are passed over', () => {
  const { taken, frames } = reader()
  frames.feed(STREAM)
  assert.deepEqual(taken, CONTROL_FRAMES)
})

test('a stream that is cut anywhere reads the same', () => {
  for (let cut = 1; cut < STREAM.length; cut += cut < 400 ? 1 : 997) {
    const { taken, frames } = reader()
    frames.feed(STREAM.subarray(0, cut))
    frames.feed(STREAM.subarray(cut))
    assert.deepEqual(taken, CONTROL_FRAMES, `cut at ${cut}`)
  }
  const { taken, frames } = reader()
  for (let at = 0; at < STREAM.length; at++) frames.feed(STREAM.subarray(at, at + 1))
  assert.deepEqual(taken, CONTROL_FRAMES)
})

const REFUSED: Readonly<Record<string, Buffer>> = {
  'the server uses an extension that was not agreed on': Buffer.of(0xc1, 0),
  'the server masks its frames': Buffer.of(0x81, 0x80, 1, 2, 3, 4),
  'the server sent a long control frame': Buffer.of(0x89, 126, 0, 126)
}

for (const [message, bytes] of Object.entries(REFUSED)) {
  test(`refused: ${message}`, () => {
    assert.throws(() => reader().frames.feed(bytes), { reason: 'protocol_error', message })
  })
}

test('a control frame in pieces is refused', () => {
  assert.throws(() => reader().frames.feed(Buffer.of(0x09, 0)), NetworkError)
})

test('whatever comes, it is read or refused, and costs no memory', () => {
  for (let seed = 0; seed < 2000; seed++) {
    const random = seededRandom(seed)
    const bytes = Buffer.from(STREAM.subarray(0, 400))
    for (let times = random() * 8; times > 0; times--) {
      bytes[Math.floor(random() * bytes.length)] = Math.floor(random() * 256)
    }
    const { taken, frames } = reader()
    try {
      frames.feed(bytes)
    } catch (error) {
      assert.ok(error instanceof NetworkError, `seed ${seed}: ${String(error)}`)
    }
    for (const { text } of taken) assert.ok(text.length <= 125, `seed ${seed}`)
  }
})
