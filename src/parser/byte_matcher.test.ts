/** What is special to matching bytes; that it finds what Onigmo finds is tested by onigmo.test.ts. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { compileByteMatcher, MATCH, NO_MATCH, UNDECIDED } from './byte_matcher.ts'
import { readPattern } from './pattern.ts'

/** The spans of the match, or why there is none. */
function find(pattern: string, text: string, flags = ''): readonly number[] | number | undefined {
  const { piece, groupCount } = readPattern(pattern, flags)
  const matcher = piece === undefined ? undefined : compileByteMatcher(piece, groupCount)
  if (matcher === undefined) return undefined
  const spans = new Int32Array(groupCount * 2 + 2)
  const bytes = Buffer.from(`\n${text}\n`)
  const found = matcher(bytes, 1, bytes.length - 1, spans)
  return found === MATCH ? [...spans].map(at => Math.max(-1, at - 1)) : found
}

const KNOWN: readonly (readonly [pattern: string, text: string, spans: ReturnType<typeof find>])[] =
  [
    ['b(c)?(d)', 'abd', [1, 3, -1, -1, 2, 3]],
    ['^b', 'a\nb', [2, 3]],
    ['\\Ab', 'a\nb', NO_MATCH],
    ['a$', 'a\nb', [0, 1]],
    ['a\\z', 'a\nb', NO_MATCH],
    ['.', 'é', [0, 2]],
    ['.{2}$', 'aé😀', [1, 7]],
    ['(.+)(.)$', 'éé', [0, 4, 0, 2, 2, 4]],
    ['[^a]+?b', 'aéb', [1, 4]],
    ['é+', 'aé', undefined],
    ['é', 'aé', [1, 3]],
    ['[aé]', 'é', undefined],
    ['(?=a)a', 'a', undefined],
    ['[[:alpha:]]', '1a', [1, 2]],
    ['[[:alpha:]]', '1é', UNDECIDED],
    ['a\\b', 'a é', [0, 1]],
    ['a\\b', 'aé', UNDECIDED],
    ['(a|ab)(c|bcd)(d*)', 'abcd', [0, 4, 0, 1, 1, 4, 4, 4]],
    ['(?:(a)|b)+', 'ab', [0, 2, 0, 1]],
    ['(?:ab?)*?c', 'abaac', [0, 5]],
    ['(?:(?:(a)b)*c|ab)d', 'abd', [0, 3, -1, -1]],
    ['([^a]+)é', 'bé', [0, 3, 0, 1]],
    ['x*', 'ax', [0, 0]]
  ]

for (const [pattern, text, spans] of KNOWN) {
  test(`${pattern} on ${JSON.stringify(text)}`, () => {
    assert.deepEqual(find(pattern, text), spans)
  })
}

test('letters fold, but for those with a third case beyond ASCII', () => {
  assert.deepEqual(find('ab', 'xAB', 'i'), [1, 3])
  assert.deepEqual(find('sk', 'SK', 'i'), [0, 2])
  assert.equal(find('s', 'é', 'i'), UNDECIDED)
})

test('a match that takes too many steps is given up', () => {
  assert.equal(find('^(x+x+)+y$', 'x'.repeat(100)), UNDECIDED)
  assert.equal(find('^[^ ]*[^ ]*[^ ]*[^ ]*"$', 'x'.repeat(500)), UNDECIDED)
  assert.deepEqual(find('^[^ ]*[^ ]*[^ ]*"$', `${'x'.repeat(20)}"`), [0, 21])
})

test('a long line is no reason to give up', () => {
  const text = `${'word '.repeat(50_000)}END`
  assert.deepEqual(find('^(?:[a-z]+ )*END$', text), [0, text.length])
  assert.deepEqual(find('^.*(END)$', text), [0, text.length, text.length - 3, text.length])
})
