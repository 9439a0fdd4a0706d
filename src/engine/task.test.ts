import assert from 'node:assert/strict'
import { test } from 'node:test'
import { encodeEvent } from '../../test/harness/odd_events.ts'
import { pick } from './task.ts'

const EVENTS = [
  encodeEvent([1, 0], { n: 0 }),
  encodeEvent([1, 0], { text: 'longer than the others', list: [1, [2]] }, { site: 'Oslo' }),
  encodeEvent([1, 0], {}),
  encodeEvent([1, 0], { n: 3 })
]
const BYTES = Buffer.concat(EVENTS)

test('any events of a chunk are copied as they are', () => {
  for (let choice = 0; choice < 1 << EVENTS.length; choice++) {
    const wanted = EVENTS.flatMap((_, index) => ((choice & (1 << index)) === 0 ? [] : [index]))
    const expected = Buffer.concat(wanted.map(index => EVENTS[index]))
    assert.deepEqual(pick(BYTES, wanted), expected, `events ${wanted.join()}`)
  }
})

test('what is copied is not shared with the chunk', () => {
  const bytes = Buffer.from(BYTES)
  const picked = pick(bytes, [0])
  bytes.fill(0)
  assert.deepEqual(picked, EVENTS[0])
})
