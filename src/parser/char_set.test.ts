import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import {
  charSet,
  charSetText,
  complement,
  foldAsciiCase,
  hasChar,
  intersection
} from './char_set.ts'

const range = fc
  .tuple(fc.nat(200), fc.nat(40))
  .map(([min, size]): [number, number] => [min, min + size])
const ranges = fc.array(range, { maxLength: 6 })

function inRanges(list: readonly (readonly [number, number])[], code: number): boolean {
  return list.some(([min, max]) => min <= code && code <= max)
}

test('sets hold the characters of their ranges, and operations those they should', () => {
  fc.assert(
    fc.property(ranges, ranges, fc.nat(260), (left, right, code) => {
      const set = charSet(left)
      assert.equal(hasChar(set, code), inRanges(left, code))
      assert.equal(hasChar(complement(set), code), !inRanges(left, code))
      const both = intersection(set, charSet(right))
      assert.equal(hasChar(both, code), inRanges(left, code) && inRanges(right, code))
    })
  )
})

test('the text of a set matches its characters and no others', () => {
  fc.assert(
    fc.property(ranges, fc.nat(260), (list, code) => {
      const set = charSet(list)
      const isMatch = new RegExp(`^(?:${charSetText(set)})$`).test(String.fromCharCode(code))
      assert.equal(isMatch, hasChar(set, code))
    })
  )
})

test('every ASCII character stands for itself', () => {
  for (let code = 0; code < 128; code++) {
    const text = charSetText(charSet([[code, code]]))
    assert.deepEqual(
      new RegExp(text).exec(String.fromCharCode(code))?.[0],
      String.fromCharCode(code)
    )
  }
})

test('case folding adds the other case, and the letters that two others fold to', () => {
  const rows: [set: [number, number][], folded: string][] = [
    [[[0x61, 0x63]], '[A-Ca-c]'],
    [[[0x5a, 0x5a]], '[Zz]'],
    [[[0x30, 0x39]], '[0-9]'],
    [[[0x17f, 0x17f]], '[Ss\\u017f]'],
    [[[0x212a, 0x212a]], '[Kk\\u212a]']
  ]
  for (const [set, folded] of rows) assert.equal(charSetText(foldAsciiCase(charSet(set))), folded)
})
