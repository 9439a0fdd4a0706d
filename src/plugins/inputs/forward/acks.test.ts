import assert from 'node:assert/strict'
import { test } from 'node:test'
import { packed } from '../../../../test/harness/forward.ts'
import type { ServerConnection } from '../../../net/listener.ts'
import { Acks } from './acks.ts'

class Sender {
  readonly written: string[] = []
  readonly closed: (string | undefined)[] = []
  readonly acks = new Acks({
    write: (bytes: Buffer) => this.written.push(bytes.toString('hex')),
    close: (reason?: string) => this.closed.push(reason)
  } as unknown as ServerConnection)

  expect(chunk: string): () => void {
    return this.acks.expect(packed(0, chunk), 1)
  }
}

function ack(...chunks: readonly string[]): string {
  return packed(...chunks.map(chunk => ({ ack: chunk }))).toString('hex')
}

test('acknowledgements keep the order of their frames', () => {
  const sender = new Sender()
  const [one, two, three] = ['one', 'two', 'three'].map(chunk => sender.expect(chunk))
  three?.()
  two?.()
  assert.deepEqual(sender.written, [])
  one?.()
  assert.deepEqual(sender.written, [ack('one', 'two', 'three')])
})

test('those that are due together are sent together', () => {
  const sender = new Sender()
  sender.acks.collect()
  sender.expect('one')()
  const two = sender.expect('two')
  sender.expect('three')()
  assert.deepEqual(sender.written, [])
  sender.acks.send()
  assert.deepEqual(sender.written, [ack('one')])
  two()
  assert.deepEqual(sender.written, [ack('one'), ack('two', 'three')])
})

test('a chunk of any length is acknowledged as it came', () => {
  const sender = new Sender()
  for (const chunk of ['', 'x'.repeat(31), 'x'.repeat(32), 'x'.repeat(256), 'x'.repeat(70_000)]) {
    sender.expect(chunk)()
    assert.equal(sender.written.at(-1), ack(chunk))
  }
})

test('a sender with too many unanswered frames is closed', () => {
  const sender = new Sender()
  for (let count = 0; count < 11; count++) {
    assert.deepEqual(sender.closed, [])
    sender.expect('x'.repeat(100_000))
    sender.acks.send()
  }
  assert.deepEqual(sender.closed, ['unanswered'])
})
