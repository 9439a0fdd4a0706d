/** Reading and writing JSON gives the same in the byte kernel's memory as in ordinary buffers, wherever buffers end. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { allocateLasting, kernelBase } from './byte_kernel.ts'
import { transcodeJson } from './json_reader.ts'
import { JsonWriter } from './json_writer.ts'
import { MsgpackWriter } from './msgpack_writer.ts'

const ROOM = 65_536
const source = allocateLasting(ROOM)
const target = allocateLasting(ROOM)

const texts = fc.oneof(
  fc.string({ maxLength: 60 }),
  fc.string({ unit: 'binary', maxLength: 60 }),
  fc
    .array(fc.constantFrom('plain text ', '"', '\\', '\n', '\u007f', 'é', '😀', '\u0000'), {
      maxLength: 60
    })
    .map(parts => parts.join(''))
)

/** Maps with few different keys, so that remembered keys meet others. */
const bodies = fc.array(
  fc.dictionary(
    fc.constantFrom('a', 'host', 'message', 'é', '"', 'a long key of thirty-one bytes!'),
    texts,
    { maxKeys: 6 }
  ),
  { minLength: 1, maxLength: 8 }
)

test('JSON is written alike from and into both kinds of memory, growing or not', () => {
  fc.assert(
    fc.property(
      bodies,
      fc.integer({ min: 16, max: 3000 }),
      fc.boolean(),
      (list, capacity, escapeUnicode) => {
        const inKernel = new MsgpackWriter(source)
        const ordinary = new MsgpackWriter(64)
        const fast = new JsonWriter({ escapeUnicode, buffer: target.subarray(0, capacity) })
        const plain = new JsonWriter({ escapeUnicode })
        for (const body of list) {
          inKernel.value(body)
          ordinary.value(body)
        }
        assert.equal(inKernel.bytes, source)
        target.fill(0x2e, capacity)
        for (let index = 0, at = 0, atPlain = 0; index < list.length; index++) {
          at = fast.value(inKernel.bytes, at)
          atPlain = plain.value(ordinary.bytes, atPlain)
        }
        assert.deepEqual(fast.written(), plain.written())
        assert.ok(target.subarray(capacity).every(byte => byte === 0x2e))
      }
    ),
    { numRuns: 1500 }
  )
})

test('JSON is read alike from and into both kinds of memory', () => {
  fc.assert(
    fc.property(bodies, fc.nat(40), (list, cut) => {
      const json = Buffer.from(JSON.stringify(list))
      const end = Math.max(0, json.length - (cut < 20 ? 0 : cut))
      json.copy(source)
      const fast = new MsgpackWriter(target)
      const plain = new MsgpackWriter(16)
      assert.ok(kernelBase(source) >= 0)
      const next = transcodeJson(source, 0, end, fast)
      assert.equal(next, transcodeJson(Buffer.from(json), 0, end, plain))
      assert.deepEqual(Buffer.from(fast.written()), Buffer.from(plain.written()))
    }),
    { numRuns: 1500 }
  )
})
