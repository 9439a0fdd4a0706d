import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { MsgpackWriter } from '../codec/msgpack_writer.ts'
import { PairKey, TextPairs } from './text_pairs.ts'

const lengths = fc.oneof(
  fc.integer({ min: 0, max: 70 }),
  fc.constantFrom(255, 256, 300, 65_535, 65_536)
)
const pair = fc.record({ key: fc.string({ maxLength: 40 }), length: lengths, gap: fc.nat(3) })

test('pairs come out as the writer itself writes them, wherever they stand in the source', () => {
  fc.assert(
    fc.property(
      fc.array(pair, { maxLength: 6 }),
      fc.nat(12),
      fc.nat(40),
      (list, room, capacity) => {
        const texts = list.map(({ length }, index) => Buffer.alloc(length, 0x61 + index))
        const source = Buffer.concat([
          ...texts.flatMap((text, index) => [Buffer.alloc(list[index].gap, 0x2d), text]),
          Buffer.alloc(room, 0x2d)
        ])
        const out = new MsgpackWriter(capacity + 1)
        const expected = new MsgpackWriter(1)
        const pairs = new TextPairs()
        out.integer(1)
        expected.integer(1)
        pairs.begin(source, out)
        let at = 0
        for (const [index, { key, length, gap }] of list.entries()) {
          at += gap
          pairs.pair(new PairKey(key), at, at + length)
          expected.string(key)
          expected.stringBytes(texts[index], 0, length)
          at += length
        }
        pairs.end()
        assert.deepEqual(out.written(), expected.written())
      }
    ),
    { numRuns: 300 }
  )
})

test('a key alone leaves its value to others', () => {
  const out = new MsgpackWriter(1)
  const pairs = new TextPairs()
  const source = Buffer.from('text')
  pairs.begin(source, out)
  pairs.key(new PairKey('size'))
  pairs.end()
  out.integer(7)
  pairs.begin(source, out)
  pairs.pair(new PairKey('a'), 0, 4)
  pairs.end()
  assert.deepEqual(out.written(), Buffer.from('a473697a6507a161a474657874', 'hex'))
})
