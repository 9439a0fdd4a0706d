import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { type Encodable, MsgpackWriter } from '../codec/msgpack_writer.ts'
import { KeyPattern, type KeyPatternOptions, keyPrint } from './key_pattern.ts'

function encode(key: Encodable): Buffer {
  const out = new MsgpackWriter(64)
  out.value(key)
  return Buffer.from(out.written())
}

/** What a search does: the print first, then the bytes. */
function matches(pattern: KeyPattern, bytes: Buffer): boolean {
  return (
    (keyPrint(bytes, 0, bytes.length) & pattern.mask) === pattern.print && pattern.matches(bytes, 0)
  )
}

const PREFIX: KeyPatternOptions = { prefix: true }
const ANY_CASE: KeyPatternOptions = { ignoreCase: true }

const CASES: readonly (readonly [string, KeyPatternOptions, Encodable, boolean])[] = [
  ['log', {}, 'log', true],
  ['log', {}, 'lag', false],
  ['log', {}, 'logs', false],
  ['log', {}, 'lo', false],
  ['log', {}, 'LOG', false],
  ['log', {}, Buffer.from('log'), true],
  ['log', {}, 5, false],
  ['', {}, '', true],
  ['', {}, 'a', false],
  ['', {}, null, false],
  ['log', PREFIX, 'log', true],
  ['log', PREFIX, 'log.level', true],
  ['log', PREFIX, 'lo', false],
  ['log', PREFIX, 'a log', false],
  ['', PREFIX, 'anything', true],
  ['', PREFIX, '', true],
  ['', PREFIX, 5, false],
  ['', PREFIX, [1], false],
  ['Log', ANY_CASE, 'lOG', true],
  ['Log', ANY_CASE, 'lag', false],
  ['é', ANY_CASE, 'É', false],
  ['[', ANY_CASE, '{', false],
  ['LO', { prefix: true, ignoreCase: true }, 'log', true],
  ['x'.repeat(300), {}, 'x'.repeat(300), true],
  ['x'.repeat(300), {}, 'x'.repeat(301), false]
]

for (const [text, options, key, expected] of CASES) {
  const words = Object.keys(options).join(' and ')
  const shown = typeof key === 'string' ? key.slice(0, 9) : encode(key).toString('hex')
  test(`the pattern "${text.slice(0, 9)}" ${words} ${expected ? 'matches' : 'does not match'} ${shown}`, () => {
    assert.equal(matches(new KeyPattern(text, options), encode(key)), expected)
  })
}

test('a pattern matches a string whose header is longer than it needs to be', () => {
  const headers = ['a3', 'd903', 'da0003', 'db00000003', 'c403', 'c50003', 'c600000003']
  for (const header of headers) {
    const key = Buffer.concat([Buffer.from(header, 'hex'), Buffer.from('log')])
    assert.equal(matches(new KeyPattern('log'), key), true)
    assert.equal(matches(new KeyPattern('lo', PREFIX), key), true)
    assert.equal(matches(new KeyPattern('LOG', ANY_CASE), key), true)
  }
})

test('patterns compare as JavaScript does on ASCII text', () => {
  const letters = fc.string({ unit: fc.constantFrom('a', 'b', 'A', 'B', '@', '`'), maxLength: 5 })
  fc.assert(
    fc.property(letters, letters, (text, key) => {
      const bytes = encode(key)
      assert.equal(matches(new KeyPattern(text), bytes), key === text)
      assert.equal(matches(new KeyPattern(text, PREFIX), bytes), key.startsWith(text))
      assert.equal(
        matches(new KeyPattern(text, ANY_CASE), bytes),
        key.toLowerCase() === text.toLowerCase()
      )
    })
  )
})
