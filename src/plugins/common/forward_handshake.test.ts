import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import {
  digestsMatch,
  itemsOf,
  keyDigest,
  passwordDigest,
  randomText,
  textAt
} from './forward_handshake.ts'

const RECORDED = join(import.meta.dirname, '../../../test/data/forward/sent_by_fluent_bit.json')

interface Recorded {
  readonly received: string
  readonly answered?: string
}

const { handshake, handshake_noauth: withoutUser } = JSON.parse(
  readFileSync(RECORDED, 'utf8')
) as Record<string, Recorded>

const NONCE = Buffer.from('nonce-nonce-1234')

function fields({ received = '' }: Partial<Recorded> = {}): Buffer[] {
  const bytes = Buffer.from(received, 'hex')
  return (itemsOf(bytes) ?? []).map(at => textAt(bytes, at) ?? Buffer.alloc(0))
}

test('digests are those of Fluent Bit', () => {
  const [word, hostname, salt, key, user, password] = fields(handshake)
  assert.deepEqual([word, hostname, user].map(String), ['PING', 'client.local', 'alice'])
  assert.deepEqual(keyDigest(salt ?? NONCE, 'client.local', NONCE, 'secret'), key)
  assert.deepEqual(passwordDigest(Buffer.from('0123456789abcdef'), 'alice', 'pw'), password)
})

test('an empty key and an empty salt of the password are digested too', () => {
  const [, hostname, salt, key, user, password] = fields(withoutUser)
  assert.deepEqual([hostname, user].map(String), ['localhost', ''])
  assert.deepEqual(keyDigest(salt ?? NONCE, 'localhost', NONCE, ''), key)
  assert.deepEqual(passwordDigest(Buffer.alloc(0), '', ''), password)
})

test('digests match when they are the same', () => {
  assert.equal(digestsMatch(Buffer.from('abc'), Buffer.from('abc')), true)
  assert.equal(digestsMatch(Buffer.from('abc'), Buffer.from('abd')), false)
  assert.equal(digestsMatch(Buffer.from('abc'), Buffer.from('abcd')), false)
})

test('random texts are 16 characters, other ones each time', () => {
  const texts = Array.from({ length: 100 }, () => randomText().toString())
  assert.ok(texts.every(text => /^[\w+/]{16}$/.test(text)))
  assert.equal(new Set(texts).size, 100)
})

test('only an array has items, only strings and binary data have text', () => {
  assert.equal(itemsOf(Buffer.from('80', 'hex')), undefined)
  assert.deepEqual(itemsOf(Buffer.from('9301a16102', 'hex')), [1, 2, 4])
  assert.equal(textAt(Buffer.from('01', 'hex'), 0), undefined)
  assert.deepEqual(textAt(Buffer.from('c402ff00', 'hex'), 0), Buffer.from('ff00', 'hex'))
})
