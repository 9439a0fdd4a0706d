import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import type { Socket } from 'node:net'
import { test, type TestContext } from 'node:test'
import { certificates } from '../../../../test/harness/certificates.ts'
import { encodeEvent, EncodedInput } from '../../../../test/harness/odd_events.ts'
import { freePort, needs } from '../../../../test/harness/peers.ts'
import {
  checkConfiguration,
  startPipeline,
  type TestPipeline
} from '../../../../test/harness/pipeline.ts'
import { OK, retry } from '../../../plugin/delivery.ts'
import { receiveStream, type StreamReceiver } from '../../../../test/harness/receivers.ts'

const EVENT = encodeEvent([1_700_000_000, 500_000_000], { message: 'hi' })

interface Run {
  readonly pipeline: TestPipeline
  send(...events: readonly Buffer[]): void
  log(): string[]
}

async function start(t: TestContext, port: number, ...keys: readonly string[]): Promise<Run> {
  const input = new EncodedInput()
  const lines = ['name websocket', 'match *', `port ${port}`, 'retry_limit 9', ...keys]
  const pipeline = await startPipeline(
    `[SERVICE]\n    flush 1\n    scheduler.base 1\n    scheduler.cap 2\n[INPUT]\n    name encoded\n[OUTPUT]\n    ${lines.join('\n    ')}\n`,
    { plugins: [input.plugin], answer: (_, attempt) => (attempt === 1 ? retry('busy') : OK) }
  )
  t.after(async () => pipeline.stop())
  return {
    pipeline,
    send: (...events) => {
      input.push('app', ...events)
      pipeline.flush()
    },
    log: () => pipeline.log.filter(line => line.includes('[output:websocket:'))
  }
}

interface Message {
  readonly opcode: number
  readonly mask: string
  readonly payload: Buffer
}

/** A server as in RFC 6455, of which a test can change the answer to the handshake. */
class Server {
  readonly requests: string[] = []
  readonly messages: Message[] = []
  readonly sockets: Socket[] = []
  readonly answer: (request: string) => string
  #bytes = Buffer.alloc(0)
  #socket: Socket | undefined

  constructor(answer = accept) {
    this.answer = answer
  }

  readonly take = (bytes: Buffer, socket: Socket): void => {
    if (this.#socket !== socket) this.#bytes = Buffer.alloc(0)
    this.#socket = socket
    this.#bytes = Buffer.concat([this.#bytes, bytes])
    while (this.#next(socket));
  }

  #next(socket: Socket): boolean {
    if (!this.sockets.includes(socket)) {
      const end = this.#bytes.indexOf('\r\n\r\n')
      if (end < 0) return false
      this.sockets.push(socket)
      const request = this.#bytes.latin1Slice(0, end + 4)
      this.requests.push(request)
      this.#bytes = this.#bytes.subarray(end + 4)
      socket.write(this.answer(request), 'latin1')
      return true
    }
    const frame = readFrame(this.#bytes)
    if (frame === undefined) return false
    this.messages.push(frame.message)
    this.#bytes = this.#bytes.subarray(frame.end)
    return true
  }
}

function accept(request: string): string {
  const key = /Sec-WebSocket-Key: (.*)\r\n/.exec(request)?.[1] ?? ''
  const proof = createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`)
  return (
    'HTTP/1.1 101 Switching Protocols\r\nupgrade: WebSocket\r\nConnection: Upgrade\r\n' +
    `Sec-WebSocket-Accept: ${proof.digest('base64')}\r\n\r\n`
  )
}

function readFrame(bytes: Buffer): { message: Message; end: number } | undefined {
  if (bytes.length < 2) return undefined
  const [first = 0, second = 0] = bytes
  assert.equal(first & 0x70, 0)
  assert.equal(second & 0x80, 0x80, 'a client must mask')
  const short = second & 0x7f
  const at = short < 126 ? 2 : short === 126 ? 4 : 10
  if (bytes.length < at + 4) return undefined
  const length =
    short < 126 ? short : short === 126 ? bytes.readUInt16BE(2) : Number(bytes.readBigUInt64BE(2))
  const end = at + 4 + length
  if (bytes.length < end) return undefined
  const mask = bytes.subarray(at, at + 4)
  const payload = Buffer.from(bytes.subarray(at + 4, end))
  for (let index = 0; index < length; index++) payload[index] ^= mask[index % 4]
  return { message: { opcode: first, mask: mask.toString('hex'), payload }, end }
}

async function serve(
  t: TestContext,
  answer?: (request: string) => string
): Promise<{ server: Server; receiver: StreamReceiver }> {
  const server = new Server(answer)
  return { server, receiver: await receiveStream(t, { take: server.take }) }
}

test('the handshake is that of Fluent Bit, but for the key', async t => {
  const { server, receiver } = await serve(t)
  const run = await start(t, receiver.port, 'format json', 'header X-A b c', 'header X-B')
  run.send(EVENT)
  await run.pipeline.until(() => server.messages.length > 0)
  const key = /Sec-WebSocket-Key: ([\w+/]{22}==)\r\n/.exec(server.requests[0] ?? '')?.[1] ?? ''
  assert.equal(
    server.requests[0],
    `GET / HTTP/1.1\r\nHost: 127.0.0.1:${receiver.port}\r\nContent-Length: 0\r\nUpgrade: websocket\r\n` +
      `Connection: Upgrade\r\nSec-WebSocket-Key: ${key}\r\nSec-WebSocket-Version: 13\r\nX-A: b c\r\nX-B: X-B\r\n` +
      'Connection: keep-alive\r\n\r\n'
  )
  assert.deepEqual(run.log(), [
    `[ info] [output:websocket:websocket.0] we have following parameter /, 127.0.0.1, ${receiver.port}, 25`,
    '[ info] [output:websocket:websocket.0] handshake for ws'
  ])
})

const FORMATS: Readonly<Record<string, readonly [opcode: number, text: string]>> = {
  'format json': [
    0x81,
    '[{"date":1700000000.5,"message":"hi"},{"date":1700000000.5,"message":"hi"}]'
  ],
  'format json_lines': [
    0x81,
    '{"date":1700000000.5,"message":"hi"}\n{"date":1700000000.5,"message":"hi"}\n'
  ],
  'format json_stream': [
    0x81,
    '{"date":1700000000.5,"message":"hi"}{"date":1700000000.5,"message":"hi"}'
  ],
  'format msgpack': [0x82, Buffer.concat([EVENT, EVENT]).latin1Slice()],
  'json_date_key off': [0x82, Buffer.concat([EVENT, EVENT]).latin1Slice()]
}

for (const [key, [opcode, text]] of Object.entries(FORMATS)) {
  test(`a chunk is one message: ${key}`, async t => {
    const { server, receiver } = await serve(t)
    const run = await start(t, receiver.port, key)
    run.send(EVENT, EVENT)
    await run.pipeline.until(() => server.messages.length > 0)
    const [message] = server.messages
    assert.deepEqual([message?.opcode, message?.payload.latin1Slice()], [opcode, text])
  })
}

test('formats and dates that are not known are reported and replaced', async t => {
  const { server, receiver } = await serve(t)
  const run = await start(t, receiver.port, 'format gelf', 'json_date_format day', 'uri a?b=c')
  run.send(EVENT)
  await run.pipeline.until(() => server.messages.length > 0)
  assert.match(server.requests[0] ?? '', /^GET \/a\?b=c HTTP/)
  assert.equal(server.messages[0]?.payload.latin1Slice(), EVENT.latin1Slice())
  assert.deepEqual(run.log().slice(0, 2), [
    "[error] [output:websocket:websocket.0] unrecognized 'format' option 'gelf'. Using 'msgpack'",
    "[error] [output:websocket:websocket.0] unrecognized 'json_date_format' option 'day'. Using 'double'"
  ])
})

test('what would break the request is refused', async () => {
  for (const line of ['uri /a b', 'header a:b c', 'header Content-Length 5']) {
    const text = `[INPUT]\n    name dummy\n[OUTPUT]\n    name websocket\n    match *\n    ${line}\n`
    const { errors } = await checkConfiguration(text)
    assert.equal(errors.length, 1, line)
  }
})

test('a connection is used again without a handshake, each frame with a mask of its own', async t => {
  const { server, receiver } = await serve(t)
  const run = await start(t, receiver.port)
  for (let count = 1; count <= 4; count++) {
    run.send(EVENT)
    await run.pipeline.until(() => server.messages.length === count)
  }
  assert.equal(server.requests.length, 1)
  assert.equal(new Set(server.messages.map(({ mask }) => mask)).size, 4)
})

test('without keep-alive each chunk has a connection', async t => {
  const { server, receiver } = await serve(t)
  const run = await start(t, receiver.port, 'net.keepalive off')
  for (let count = 1; count <= 2; count++) {
    run.send(EVENT)
    await run.pipeline.until(() => server.messages.length === count)
  }
  assert.equal(server.requests.length, 2)
  assert.doesNotMatch(server.requests[0] ?? '', /keep-alive/)
})

test('a chunk of 300 KB is one message, and other outputs get it unmasked afterwards', async t => {
  const { server, receiver } = await serve(t)
  const run = await start(t, receiver.port, 'uri /\n[OUTPUT]\n    name collect\n    match *')
  const event = encodeEvent([1, 0], { message: 'x'.repeat(1000) })
  const events = Array.from({ length: 300 }, () => event)
  run.send(...events)
  await run.pipeline.until(() => server.messages.length > 0)
  assert.deepEqual(server.messages[0]?.payload, Buffer.concat(events))
  await run.pipeline.until(() => {
    run.pipeline.clock.advance(500)
    return run.pipeline.taken.length > 0
  })
  const bodies = events.map(() => ({ message: 'x'.repeat(1000) }))
  assert.deepEqual(run.pipeline.bodies, bodies)
})

test('a ping is answered while nothing is sent, of many only the last', async t => {
  const { server, receiver } = await serve(t)
  const run = await start(t, receiver.port)
  run.send(EVENT)
  await run.pipeline.until(() => server.messages.length === 1)
  const pings = Buffer.concat(
    Array.from({ length: 1000 }, (_, index) =>
      Buffer.from(`\x89\x03${String(index).padStart(3, '0')}`, 'latin1')
    )
  )
  server.sockets[0]?.write(pings)
  await run.pipeline.until(() => server.messages.at(-1)?.payload.toString() === '999')
  const pongs = server.messages.slice(1)
  assert.ok(pongs.every(({ opcode }) => opcode === 0x8a))
  assert.ok(pongs.length < 100, `${pongs.length} pongs`)
})

test('a goodbye is answered, and the next chunk has a new connection', async t => {
  const { server, receiver } = await serve(t)
  const run = await start(t, receiver.port)
  run.send(EVENT)
  await run.pipeline.until(() => server.messages.length === 1)
  server.sockets[0]?.write('\x88\x0a\x03\xe9going by', 'latin1')
  await run.pipeline.until(() => server.messages.length === 2)
  assert.deepEqual(
    [server.messages[1]?.opcode, server.messages[1]?.payload.toString('hex')],
    [0x88, '03e9']
  )
  await run.pipeline.until(() => receiver.connections[0]?.destroyed === true)
  run.send(EVENT)
  await run.pipeline.until(() => server.messages.length === 3)
  assert.equal(server.requests.length, 2)
})

test('messages of the server are passed over, whatever their size', async t => {
  const { server, receiver } = await serve(t)
  const run = await start(t, receiver.port)
  run.send(EVENT)
  await run.pipeline.until(() => server.messages.length === 1)
  const length = Buffer.alloc(8)
  length.writeBigUInt64BE(3_000_000n)
  const socket = server.sockets[0]
  socket?.write(Buffer.concat([Buffer.of(0x82, 127), length, Buffer.alloc(3_000_000)]))
  socket?.write('\x89\x00', 'latin1')
  await run.pipeline.until(() => server.messages.length === 2)
  run.send(EVENT)
  await run.pipeline.until(() => server.messages.length === 3)
  assert.equal(server.requests.length, 1)
})

test('a server that breaks the protocol loses its connection, and no more', async t => {
  const { server, receiver } = await serve(t)
  const run = await start(t, receiver.port)
  run.send(EVENT)
  await run.pipeline.until(() => server.messages.length === 1)
  server.sockets[0]?.write('\x81\x81abcdx', 'latin1')
  await run.pipeline.until(() => receiver.connections[0]?.destroyed === true)
  run.send(EVENT)
  await run.pipeline.until(() => server.messages.length === 2)
})

const REFUSALS: readonly [answer: string, words: string][] = [
  ['HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n', 'with status 403'],
  ['HTTP/1.1 200 OK\r\n\r\n', 'with status 200'],
  ['SSH-2.0-OpenSSH\r\n\r\n', 'with what is not HTTP'],
  ['HTTP/1.1 101 Yes\r\n\r\n', 'for another protocol'],
  [
    'HTTP/1.1 101 Yes\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n',
    'with a wrong Sec-WebSocket-Accept'
  ],
  [`HTTP/1.1 101 Yes\r\n${'a: b\r\n'.repeat(5000)}`, 'with a head that is too long']
]

for (const [answer, words] of REFUSALS) {
  test(`a handshake that is answered ${words} is tried again`, async t => {
    const { server, receiver } = await serve(t, request =>
      server.requests.length === 1 ? answer : accept(request)
    )
    const run = await start(t, receiver.port)
    run.send(EVENT)
    const line = `[error] [output:websocket:websocket.0] broken connection to 127.0.0.1:${receiver.port}: the server answered the handshake ${words}`
    await run.pipeline.until(() => run.log().includes(line))
    await run.pipeline.until(() => {
      run.pipeline.clock.advance(500)
      return server.messages.length > 0
    })
    assert.equal(server.messages[0]?.payload.latin1Slice(), EVENT.latin1Slice())
  })
}

test('a server that never answers the handshake is given up after ten seconds', async t => {
  const receiver = await receiveStream(t)
  const run = await start(t, receiver.port)
  run.send(EVENT)
  await run.pipeline.until(() => receiver.received.length > 0)
  await run.pipeline.until(() => {
    run.pipeline.clock.advance(500)
    return run.log().some(line => line.includes('no progress for 10 seconds'))
  })
})

test('an answer that is cut at any byte, and a server that ends there, are the same to us', async t => {
  const whole = accept('')
  let cut = 0
  const receiver = await receiveStream(t, {
    take: (_, socket) => {
      socket.end(whole.slice(0, cut))
      cut += 7
    }
  })
  const run = await start(t, receiver.port, 'retry_limit no_limits')
  run.send(EVENT)
  await run.pipeline.until(() => {
    run.pipeline.clock.advance(500)
    return cut > whole.length
  })
  assert.equal(run.log().filter(line => line.includes('handshake for ws')).length >= cut / 7, true)
})

test('frames that come with the answer to the handshake are read', async t => {
  const { server, receiver } = await serve(t, request => `${accept(request)}\x89\x02ok`)
  const run = await start(t, receiver.port)
  run.send(EVENT)
  await run.pipeline.until(() => server.messages.length === 2)
  const pong = server.messages.find(({ opcode }) => opcode === 0x8a)
  assert.equal(pong?.payload.toString(), 'ok')
})

test('over TLS', needs('openssl'), async t => {
  const { authority, server: pair } = certificates()
  const server = new Server()
  const receiver = await receiveStream(t, { tls: pair, take: server.take })
  const run = await start(t, receiver.port, 'tls on', `tls.ca_file ${authority}`)
  run.send(EVENT)
  await run.pipeline.until(() => server.messages.length > 0)
  assert.equal(server.messages[0]?.payload.latin1Slice(), EVENT.latin1Slice())
})

test('nobody listens, then somebody does', async t => {
  const port = await freePort()
  const run = await start(t, port)
  run.send(EVENT)
  await run.pipeline.until(() => run.log().some(line => line.includes('no upstream connections')))
  const server = new Server()
  await receiveStream(t, { port, take: server.take })
  await run.pipeline.until(() => {
    run.pipeline.clock.advance(500)
    return server.messages.length > 0
  })
})
