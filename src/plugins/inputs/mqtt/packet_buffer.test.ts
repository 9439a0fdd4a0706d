import assert from 'node:assert/strict'
import { test } from 'node:test'
import { seededRandom } from '../../../../test/harness/random.ts'
import { PacketBuffer } from './packet_buffer.ts'

test('what is kept comes before what is read next, however it is cut', () => {
  const random = seededRandom(2048)
  const bytes = Buffer.from(Array.from({ length: 20_000 }, (_, index) => index % 251))
  const buffer = new PacketBuffer()
  let read = 0
  let used = 0
  while (read < bytes.length) {
    const next = Math.min(read + Math.floor(random() * 60), bytes.length)
    const joined = buffer.join(bytes.subarray(read, next))
    assert.deepEqual(joined, bytes.subarray(used, next))
    const at = random() < 0.5 ? 0 : Math.floor(random() * (joined.length + 1))
    buffer.keep(joined, at)
    used += at
    read = next
    assert.equal(buffer.length, read - used)
  }
})

test('what is kept stays when the bytes that were read are used again', () => {
  const buffer = new PacketBuffer()
  const read = Buffer.from('xab')
  buffer.keep(buffer.join(read), 1)
  read.fill(0)
  assert.equal(buffer.join(Buffer.from('c')).toString(), 'abc')
})

test('bytes that come one by one are not copied again for each', () => {
  const buffer = new PacketBuffer()
  const byte = Buffer.from('x')
  const began = performance.now()
  for (let count = 0; count < 500_000; count++) buffer.keep(buffer.join(byte), 0)
  assert.equal(buffer.length, 500_000)
  assert.ok(performance.now() - began < 2000)
})
