import assert from 'node:assert/strict'
import { test } from 'node:test'
import { splitQuoted } from './split_quoted.ts'

/** [text, words at most, words], as flb_utils_split_quoted() of Fluent Bit 5.1.1 gives them */
const CASES: readonly (readonly [string, number, readonly string[] | undefined])[] = [
  ['a b', 3, ['a', 'b']],
  ['  a   b', 3, ['a', 'b']],
  ['a b c d e', 3, ['a', 'b', 'c', 'd e']],
  ['"a b" \'c d\'', 3, ['a b', 'c d']],
  ['"a"b', 3, ['a', 'b']],
  ['a"b c', 3, ['a"b', 'c']],
  ['"say \\"hi\\"" \'it\\\'s\' "back\\\\slash"', 3, ['say "hi"', "it's", 'back\\slash']],
  ['"other \\\' quote"', 3, ["other \\' quote"]],
  ['"" x', 3, ['', 'x']],
  ['"open', 3, undefined],
  ['a "open', 3, undefined],
  ['"escaped\\"', 3, undefined],
  ['', 3, []]
]

for (const [text, wordsMax, expected] of CASES) {
  test(`splitQuoted splits ${JSON.stringify(text)}`, () => {
    assert.deepEqual(splitQuoted(text, wordsMax), expected)
  })
}
