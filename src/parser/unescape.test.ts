import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { Unescaper } from './unescape.ts'

type Way = 'utf8' | 'c' | 'mysql'

function unescape(way: Way, text: string): string {
  const unescaper = new Unescaper()
  const bytes = Buffer.from(text)
  unescaper[way](bytes, 0, bytes.length)
  return unescaper.bytes.toString('utf8', 0, unescaper.length)
}

/** As the decoders of Fluent Bit 5.1.1 give them. */
const KNOWN: readonly (readonly [way: Way, text: string, plain: string])[] = [
  ['utf8', 'a\\nb\\t\\"\\\\\\/', 'a\nb\t"\\/'],
  ['utf8', '\\u00e9\\ud83d\\ude00', 'é😀'],
  ['utf8', '\\u12x', '\ufffdx'],
  ['utf8', '\\ud83d!', '\ufffd!'],
  ['utf8', '\\ud83d\\u0041', '\ufffd'],
  ['utf8', '\\ud83d\\u12', '\ufffd'],
  ['utf8', '\\udc00', '\ufffd'],
  ['utf8', '\\x41\\x4\\x', 'A\u0004x'],
  ['utf8', '\\101\\7\\8\\777', 'A\u00078ǿ'],
  ['utf8', '\\U0001f600\\U', '😀U'],
  ['utf8', '\\q\\é', 'qé'],
  ['utf8', '\\a\\v', '\u0007\v'],
  ['utf8', 'a\0b', 'a'],
  ['utf8', 'a\\', 'a\\'],
  ['c', 'a\\n\\a\\b\\t\\v\\f\\r\\\\', 'a\n\u0007\b\t\v\f\r\\'],
  ['c', '\\"\\u00e9\\x', '"u00e9x'],
  ['mysql', "'it\\'s\\n\\0\\Z\\q'", "it's\n\0\u001a\\q"],
  ['mysql', '"a\\"b"', 'a"b'],
  ['mysql', 'a\\n', 'a\\n'],
  ['mysql', '\'a"', '\'a"'],
  ['mysql', "'", "'"],
  ['mysql', "''", ''],
  ['mysql', '', '']
]

for (const [way, text, plain] of KNOWN) {
  test(`${way} takes ${JSON.stringify(text)} for ${JSON.stringify(plain)}`, () => {
    assert.equal(unescape(way, text), plain)
  })
}

test('a text never grows, so it can be unescaped where it stands', () => {
  const parts = fc.constantFrom(
    '\\',
    'n',
    'u',
    '0',
    '0e9',
    'x4',
    'U0001f600',
    "'",
    '"',
    'é',
    '\\ud83d',
    '7'
  )
  const texts = fc.array(parts, { maxLength: 12 }).map(list => list.join(''))
  fc.assert(
    fc.property(fc.constantFrom<Way>('utf8', 'c', 'mysql'), texts, (way, text) => {
      const unescaper = new Unescaper()
      const bytes = Buffer.from(text)
      unescaper.c(bytes, 0, bytes.length)
      const once = Buffer.from(unescaper.bytes.subarray(0, unescaper.length))
      unescaper[way](unescaper.bytes, 0, unescaper.length)
      assert.ok(unescaper.length <= once.length)
      const fresh = new Unescaper()
      fresh[way](once, 0, once.length)
      assert.deepEqual(
        unescaper.bytes.subarray(0, unescaper.length),
        fresh.bytes.subarray(0, fresh.length)
      )
    })
  )
})
