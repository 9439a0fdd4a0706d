import assert from 'node:assert/strict'
import { test } from 'node:test'
import { readPatternText, rubyToOniguruma } from './onigmo_source.ts'

/** Texts of `regex` keys, as Fluent Bit 5.1.1 takes them apart. */
const TEXTS: readonly (readonly [text: string, pattern: string, flags: string])[] = [
  ['a/b', 'a/b', ''],
  ['/a b/', 'a b', ''],
  ['/a b/i', 'a b', 'i'],
  ['/a/b/mx', 'a/b', 'mx'],
  ['/ab/io', 'ab', 'i'],
  ['/ab/o', '/ab/o', ''],
  ['/ab/q', '/ab/q', ''],
  ['/ab/iq', '/ab/iq', ''],
  ['/ab', '/ab', ''],
  ['/', '/', ''],
  ['//', '', ''],
  ['', '', '']
]

for (const [text, pattern, flags] of TEXTS) {
  test(`the regex ${JSON.stringify(text)} is taken apart`, () => {
    assert.deepEqual(readPatternText(text), { pattern, flags })
  })
}

/** What Ruby syntax means, in Oniguruma's. */
const REWRITTEN: readonly (readonly [ruby: string, oniguruma: string])[] = [
  ['\\d[\\w-]\\S', '[0-9][[a-zA-Z0-9_]-][^\\t\\n\\v\\f\\r ]'],
  ['\\\\d', '\\\\d'],
  ['\\N\\O\\y\\Y', 'NOyY'],
  ['a{2}?b{2,3}?', 'a{2}{0,1}b{2,3}?'],
  ['\\x{41}?\\p{Lu}?[{2}?]', '\\x{41}?\\p{Lu}?[{2}?]'],
  ['a(?i)b|c', 'a(?i:b|c)'],
  ['(a(?i)b|c)d(?-m)e', '(a(?i:b|c))d(?-m:e)'],
  ['(?mi:a)b', '(?mi:a)b'],
  ['a(?#note (\\))b)c', 'ab)c'],
  ['(?x) a # (\n b', '(?x: a # (\n b)'],
  ['[]a](', '[]a]('],
  ['[^]a]', '[^]a]'],
  ['[a[:punct:]]', '[a[\\p{P}$+<=>\\^`|~]]'],
  ['[[:^punct:]]', '[[^\\p{P}$+<=>\\^`|~]]'],
  ['[[:alpha:]]', '[[:alpha:]]'],
  ['a\\', 'a\\']
]

for (const [ruby, oniguruma] of REWRITTEN) {
  test(`${JSON.stringify(ruby)} is rewritten`, () => {
    assert.equal(rubyToOniguruma({ pattern: ruby, flags: '' }), oniguruma)
  })
}

test('with the option x a comment may hold parentheses', () => {
  assert.equal(rubyToOniguruma({ pattern: '(?i)a # (?m)\nb', flags: 'x' }), '(?i:a # (?m)\nb)')
})
