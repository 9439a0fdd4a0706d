import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { headerSize, skip } from '../codec/msgpack_reader.ts'
import { MsgpackWriter } from '../codec/msgpack_writer.ts'
import { encodedKey, removePair, startsWithKey } from './record_key.ts'

function mapOf(count: number): MsgpackWriter {
  const out = new MsgpackWriter(16)
  out.mapHeader(count)
  for (let key = 0; key < count; key++) {
    out.string(`k${key}`)
    out.integer(key)
  }
  return out
}

test('a pair is cut out of a map of any size, and the header stays the shortest', () => {
  const counts = fc.oneof(fc.integer({ min: 1, max: 20 }), fc.constantFrom(65_535, 65_536, 65_537))
  fc.assert(
    fc.property(counts, fc.nat(), (count, choice) => {
      const removed = choice % count
      const out = new MsgpackWriter(16)
      out.string('before')
      const map = out.length
      out.raw(mapOf(count).written(), 0, mapOf(count).length)
      let start = map + headerSize(out.bytes[map])
      for (let index = 0; index < removed; index++) start = skip(out.bytes, skip(out.bytes, start))
      removePair(out, map, start, skip(out.bytes, skip(out.bytes, start)))

      const expected = new MsgpackWriter(16)
      expected.string('before')
      expected.mapHeader(count - 1)
      for (let key = 0; key < count; key++) {
        if (key === removed) continue
        expected.string(`k${key}`)
        expected.integer(key)
      }
      assert.deepEqual(out.written(), expected.written())
    }),
    { numRuns: 60 }
  )
})

test('a key is found by its bytes, also at the end of a buffer', () => {
  const key = encodedKey('time')
  assert.deepEqual(key, Buffer.from('a474696d65', 'hex'))
  assert.equal(startsWithKey(Buffer.from('00a474696d65', 'hex'), 1, key), true)
  assert.equal(startsWithKey(Buffer.from('00a474696d', 'hex'), 1, key), false)
  assert.equal(startsWithKey(Buffer.from('00a574696d6573', 'hex'), 1, key), false)
})
