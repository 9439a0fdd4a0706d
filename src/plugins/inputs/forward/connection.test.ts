/** Connections with bytes that nobody would send, faster than over sockets. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { gzipSync, zstdCompressSync } from 'node:zlib'
import { EVENT_TIME, packed } from '../../../../test/harness/forward.ts'
import { seededRandom } from '../../../../test/harness/random.ts'
import { skipChecked } from '../../../codec/msgpack_reader.ts'
import { MsgpackWriter } from '../../../codec/msgpack_writer.ts'
import type { ServerConnection } from '../../../net/listener.ts'
import type { EventSink, InputContext } from '../../../plugin/context.ts'
import type { RefusedInput } from '../../common/refused_input.ts'
import { ForwardConnection, type Receiver } from './connection.ts'
import { SpareBuffers } from './frame_splitter.ts'
import { Tags } from './tags.ts'

const LIMIT = 10_000

/** An input that checks what it is given. */
class Site {
  readonly writer = new MsgpackWriter()
  events = 0
  dropped = 0
  isOpen = true
  answers = 0
  paused = false
  /** Resolves `Receiver.resumed`; undefined while nobody waits for it. */
  resume: (() => void) | undefined

  readonly leaving = new Set<ForwardConnection>()

  readonly sink: EventSink = {
    tag: '',
    writer: this.writer,
    commit: (count, receipt) => {
      let found = 0
      for (let at = 0; at < this.writer.length; found++) {
        at = skipChecked(this.writer.bytes, at, this.writer.length)
        assert.ok(at > 0)
      }
      assert.equal(found, count)
      this.events += count
      this.writer.length = 0
      receipt?.()
    }
  }

  connect(): ForwardConnection {
    const context = {
      sink: () => this.sink,
      forget: () => undefined,
      dropped: () => this.dropped++,
      log: { warn: () => undefined }
    } as unknown as InputContext
    Object.defineProperty(context, 'paused', { get: () => this.paused })
    const refused = { add: () => this.dropped++ } as unknown as RefusedInput
    const receiver: Receiver = {
      context,
      refused,
      tags: new Tags(context, '', undefined),
      spares: new SpareBuffers(LIMIT),
      handshake: undefined,
      handshakeMs: 0,
      frameBytesMax: LIMIT,
      payloadBytesMax: LIMIT,
      resumed: () => new Promise(resolve => (this.resume = resolve)),
      leaving: this.leaving
    }
    const connection = {
      peer: { address: '', port: 0 },
      write: () => (this.answers += this.isOpen ? 1 : 0),
      close: () => (this.isOpen = false)
    }
    Object.defineProperty(connection, 'isOpen', { get: () => this.isOpen })
    return new ForwardConnection(connection as unknown as ServerConnection, receiver)
  }
}

const ENTRIES = packed([EVENT_TIME, { a: 1, b: ['x', { c: null }] }], [[1, { m: 1 }], { n: 2 }])
const OPTIONS = { chunk: 'token', size: 2, fluent_signal: 0 }
const STREAM = Buffer.concat([
  packed(['tag', 1, { a: 1 }, { chunk: 'one', metadata: { k: 'v' } }]),
  packed([
    'tag',
    [
      [EVENT_TIME, { a: 1 }],
      [[2, {}], { b: 2 }]
    ],
    OPTIONS
  ]),
  packed(['tag', ENTRIES, OPTIONS]),
  packed(['sig', packed({ meta: {}, metrics: [] }, { x: 1 }), { fluent_signal: 1, chunk: 'm' }]),
  packed(['tag', gzipSync(ENTRIES), { ...OPTIONS, compressed: 'gzip' }]),
  packed(['tag', zstdCompressSync(ENTRIES), { ...OPTIONS, compressed: 'zstd' }])
])

test('a stream is taken wherever it is cut', async () => {
  for (let cut = 0; cut <= STREAM.length; cut++) {
    const site = new Site()
    const connection = site.connect()
    await connection.data(Buffer.from(STREAM.subarray(0, cut)))
    await connection.data(Buffer.from(STREAM.subarray(cut)))
    connection.closed()
    assert.deepEqual([site.events, site.dropped, site.isOpen], [11, 0, true], `cut at ${cut}`)
  }
})

test('a stream that ends anywhere loses what is not whole, and counts it once', async () => {
  for (let cut = 1; cut < STREAM.length; cut++) {
    const site = new Site()
    const connection = site.connect()
    await connection.data(Buffer.from(STREAM.subarray(0, cut)))
    connection.closed()
    assert.ok(site.dropped <= 1)
    assert.ok(site.events < 11)
  }
})

test('no stream, however damaged, breaks a connection or gives events that are none', async () => {
  const random = seededRandom(1)
  for (let round = 0; round < 5_000; round++) {
    const site = new Site()
    const connection = site.connect()
    const bytes = Buffer.from(STREAM)
    for (let change = Math.floor(random() * 6); change >= 0; change--) {
      bytes[Math.floor(random() * bytes.length)] = Math.floor(random() * 256)
    }
    const cut = Math.floor(random() * bytes.length)
    await connection.data(bytes.subarray(0, cut))
    if (site.isOpen) await connection.data(bytes.subarray(cut))
    connection.closed()
  }
})

const GZIPPED = packed(['tag', gzipSync(ENTRIES), { compressed: 'gzip' }])

test('what has come whole is taken when the sender leaves while it expands', async () => {
  const site = new Site()
  const connection = site.connect()
  const work = connection.data(Buffer.concat([GZIPPED, GZIPPED, GZIPPED.subarray(0, 9)]))
  site.isOpen = false
  connection.closed()
  await work
  assert.deepEqual([site.events, site.dropped, site.leaving.size], [4, 1, 0])
})

test('what is not taken when the input stops is counted', async () => {
  const site = new Site()
  const connection = site.connect()
  const work = connection.data(Buffer.concat([GZIPPED, GZIPPED]))
  site.paused = true
  while (site.resume === undefined) await new Promise(resolve => setImmediate(resolve))
  connection.closed()
  for (const leaving of site.leaving) leaving.finish()
  site.resume()
  await work
  assert.deepEqual([site.events, site.dropped, site.leaving.size], [0, 2, 0])
})

test('a payload that has expanded while the input is held back waits', async () => {
  const site = new Site()
  const work = site.connect().data(packed(['tag', gzipSync(ENTRIES), { compressed: 'gzip' }]))
  site.paused = true
  while (site.resume === undefined) await new Promise(resolve => setImmediate(resolve))
  assert.equal(site.events, 0)
  site.paused = false
  site.resume()
  await work
  assert.equal(site.events, 2)
})

test('frames before a bad one are acknowledged', async () => {
  const site = new Site()
  const good = packed(['tag', 1, { a: 1 }, { chunk: 'one' }])
  await site.connect().data(Buffer.concat([good, packed([7, 1, { a: 1 }])]))
  assert.deepEqual([site.events, site.answers, site.isOpen], [1, 1, false])
})

test('events whose options are bad leave nothing behind', async () => {
  const site = new Site()
  await site.connect().data(packed(['tag', [[EVENT_TIME, { a: 1 }]], { chunk: 7 }]))
  assert.deepEqual([site.events, site.isOpen], [0, false])
  site.isOpen = true
  await site.connect().data(packed(['tag', [[EVENT_TIME, { a: 2 }]]]))
  assert.equal(site.events, 1)
})
