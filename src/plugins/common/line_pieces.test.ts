import assert from 'node:assert/strict'
import { test } from 'node:test'
import { lineEnd, textEnd } from './line_pieces.ts'

const BYTES = Buffer.from('ab\n\ncdefg\nhi')

/** The end of the line at a position, by the most bytes that it may have. */
const LINES: readonly [at: number, bytesMax: number, end: number][] = [
  [0, 10, 3],
  [0, 3, 3],
  [0, 2, 2],
  [2, 2, 3],
  [3, 2, 4],
  [4, 4, 8],
  [4, 6, 10],
  [10, 2, 12],
  [10, 3, -1],
  [12, 3, -1]
]

for (const [at, bytesMax, end] of LINES) {
  test(`the line at ${at} of at most ${bytesMax} bytes ends at ${end}`, () => {
    assert.equal(lineEnd(BYTES, at, BYTES.length, bytesMax), end)
  })
}

test('a line end behind the end does not count', () => {
  assert.equal(lineEnd(BYTES, 4, 7, 10), -1)
  assert.equal(lineEnd(BYTES, 4, 7, 3), 7)
})

test('text ends at the first NUL', () => {
  const bytes = Buffer.from('ab\0cd\0')
  assert.equal(textEnd(bytes, 0, 6), 2)
  assert.equal(textEnd(bytes, 3, 5), 5)
  assert.equal(textEnd(bytes, 0, 2), 2)
})
