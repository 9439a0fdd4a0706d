import assert from 'node:assert/strict'
import { test } from 'node:test'
import { receiptMoment, SharedReceipt } from './receipt.ts'

for (const [receipts, storage, acknowledge, moment] of [
  ['position', 'memory', 'stored', 'settled'],
  ['position', 'memrb', 'stored', 'settled'],
  ['position', 'filesystem', 'stored', 'stored'],
  ['position', 'filesystem', 'delivered', 'settled'],
  ['position', 'memory', 'delivered', 'settled'],
  ['sender', 'memory', 'stored', 'taken'],
  ['sender', 'memrb', 'stored', 'taken'],
  ['sender', 'filesystem', 'stored', 'stored'],
  ['sender', 'filesystem', 'delivered', 'settled'],
  ['sender', 'memory', 'delivered', 'settled'],
  [undefined, 'memory', 'stored', 'settled']
] as const) {
  test(`a ${receipts ?? 'nobody'} of events in ${storage}, acknowledged when ${acknowledge}, hears once they are ${moment}`, () => {
    assert.equal(receiptMoment(receipts, storage, acknowledge), moment)
  })
}

test('a shared receipt is due once, when its last holder lets it go', () => {
  let due = 0
  const receipt = new SharedReceipt(() => due++, 'settled')
  receipt.hold()
  receipt.hold()
  receipt.release()
  receipt.release()
  assert.equal(due, 0)
  receipt.release()
  assert.equal(due, 1)
})
