import assert from 'node:assert/strict'
import { test } from 'node:test'
import { seededRandom } from '../../../../test/harness/random.ts'
import { MsgpackWriter } from '../../../codec/msgpack_writer.ts'
import { LOST, TOO_LONG } from '../../common/payload/record_stream.ts'
import { OctetFrames } from './octet_frames.ts'

function read(bytes: string | Buffer, bytesMax = 100): { result: number; texts: string[] } {
  const texts: string[] = []
  const frames = new OctetFrames(bytesMax, {
    begin: () => undefined,
    write(source, start, end) {
      texts.push(source.toString('latin1', start, end))
      return true
    },
    end: () => undefined
  })
  const result = frames.read(Buffer.from(bytes), 0, new MsgpackWriter(16))
  assert.equal(frames.count, texts.length)
  return { result, texts }
}

for (const [bytes, result, texts] of [
  ['3 abc2 de', 9, ['abc', 'de']],
  ['3 abc\n2 de\n', 11, ['abc', 'de']],
  ['3 a\nb1 c', 8, ['a\nb', 'c']],
  ['0 1 a', 5, ['a']],
  ['03 abc', 6, ['abc']],
  ['3 abc2', 5, ['abc']],
  ['3 abc2 d', 5, ['abc']],
  ['', 0, []],
  ['3 abcx', LOST, ['abc']],
  ['3 abc 1 d', LOST, ['abc']],
  ['-1 a', LOST, []],
  ['12345678901 a', LOST, []],
  ['3 abc98 ', TOO_LONG, ['abc']],
  ['9999999999 a', TOO_LONG, []]
] as const) {
  test(`frames of ${JSON.stringify(bytes)}`, () => {
    assert.deepEqual(read(bytes), { result, texts })
  })
}

test('mutated frames never give more than there is', () => {
  const random = seededRandom(7)
  for (let round = 0; round < 5000; round++) {
    const bytes = Buffer.from('5 hello3 abc\n12 twelve bytes0 1 x7 seven..')
    for (let change = Math.floor(random() * 5); change >= 0; change--) {
      bytes[Math.floor(random() * bytes.length)] = Math.floor(random() * 256)
    }
    const { result, texts } = read(bytes)
    assert.ok(result <= bytes.length)
    assert.ok(texts.join('').length <= bytes.length)
  }
})
