import assert from 'node:assert/strict'
import { readdirSync, readlinkSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { CLIENT_SETTINGS } from '../../test/harness/client_settings.ts'
import { DatagramSender } from './datagrams.ts'
import { NetworkError } from './network_error.ts'

function openSockets(): number {
  const folder = '/proc/self/fd'
  return readdirSync(folder).filter(name => {
    try {
      return readlinkSync(join(folder, name)).startsWith('socket:')
    } catch {
      return false
    }
  }).length
}

test('a sender that cannot be bound leaves no socket behind', async () => {
  const sender = new DatagramSender('127.0.0.1', 9, {
    ...CLIENT_SETTINGS,
    // Reserved for documentation, RFC 5737: no machine has it.
    sourceAddress: '192.0.2.1'
  })
  const before = openSockets()
  for (let n = 0; n < 5; n++) {
    await assert.rejects(
      sender.sendAll([Buffer.from('x')]),
      (cause: unknown) => cause instanceof NetworkError && cause.reason === 'unreachable'
    )
  }
  assert.equal(openSockets(), before)
})
