import assert from 'node:assert/strict'
import { readdirSync, readlinkSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
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
    family: 0,
    prefer: undefined,
    // Reserved for documentation, RFC 5737: no machine has it.
    sourceAddress: '192.0.2.1',
    connectTimeoutMs: 0,
    reportsConnectTimeout: true,
    ioTimeoutMs: 0,
    keepalive: true,
    idleTimeoutMs: 0,
    usesMax: 0,
    connectionsMax: 0,
    tcpKeepalive: undefined
  })
  const before = openSockets()
  for (let n = 0; n < 5; n++) {
    await assert.rejects(
      sender.send(Buffer.from('x')),
      (cause: unknown) => cause instanceof NetworkError && cause.reason === 'unreachable'
    )
  }
  assert.equal(openSockets(), before)
})
