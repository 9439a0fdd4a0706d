import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { test, type TestContext } from 'node:test'
import { until } from '../../test/harness/until.ts'
import { FakeClock } from '../../test/harness/fake_clock.ts'
import { seededRandom } from '../../test/harness/random.ts'
import { Connection } from './connection.ts'
import { exchange, type HttpAnswer, type HttpRequestSettings } from './http_client.ts'
import { NetworkError } from './network_error.ts'

const ENDPOINT = { name: 'x', host: '127.0.0.1', port: 0, tls: undefined, properties: {} }

const REQUEST: HttpRequestSettings = {
  method: 'POST',
  path: '/p?q',
  headers: ['Host', 'x', 'Content-Length', '5', 'x-A', 'ÿ', 'X-A', '2', 'Connection', 'keep-alive'],
  body: [Buffer.from('hel'), Buffer.from('lo')],
  answerTimeoutMs: 60_000
}

/** A server of bytes and a connection to it. */
class Line {
  readonly clock = new FakeClock(0)
  readonly connection: Connection
  readonly server: Socket
  /** What the server got, one character for each byte. */
  got = ''

  static async open(t: TestContext): Promise<Line> {
    const listener = createServer().listen(0, '127.0.0.1')
    await once(listener, 'listening')
    const socket = connect((listener.address() as AddressInfo).port, '127.0.0.1')
    const [server] = (await once(listener, 'connection')) as [Socket]
    listener.close()
    t.after(() => {
      socket.destroy()
      server.destroy()
    })
    return new Line(socket, server)
  }

  constructor(socket: Socket, server: Socket) {
    this.connection = new Connection(socket, ENDPOINT, 0, this.clock)
    this.server = server
    server.on('error', () => {})
    server.on('data', (bytes: Buffer) => (this.got += bytes.toString('latin1')))
  }

  ask(settings: Partial<HttpRequestSettings> = {}): Promise<HttpAnswer> {
    return exchange(this.connection, { ...REQUEST, ...settings }, this.clock)
  }

  /** Sends a request and answers it; what follows the answer comes with it. */
  async answer(answer: string, settings?: Partial<HttpRequestSettings>): Promise<HttpAnswer> {
    const asked = this.ask(settings)
    this.server.write(answer, 'latin1')
    return asked
  }
}

async function failure(promise: Promise<unknown>): Promise<readonly [string, string]> {
  try {
    await promise
  } catch (cause) {
    assert.ok(cause instanceof NetworkError)
    return [cause.reason, cause.message]
  }
  throw new Error('there is no failure')
}

const ACCEPTED = 'HTTP/1.1 201 Created\r\nX-B: c\r\nContent-Length: 2\r\n\r\nok'

test('a request is sent as it is told, and several go over one connection', async t => {
  const line = await Line.open(t)
  for (let turn = 1; turn <= 3; turn++) {
    const { status, headers, body } = await line.answer(ACCEPTED)
    assert.deepEqual([status, headers['x-b'], body.toString()], [201, 'c', 'ok'])
    assert.equal(line.connection.isOpen, true)
  }
  const request =
    'POST /p?q HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nx-A: ÿ\r\nX-A: 2\r\n' +
    'Connection: keep-alive\r\n\r\nhello'
  await until(() => line.got.length >= request.length * 3)
  assert.equal(line.got, request.repeat(3))
})

/** Answers after which the connection is of no more use. */
const LAST: Readonly<Record<string, { answer: string; ends?: boolean; body: string }>> = {
  'that says so': {
    answer: 'HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok',
    body: 'ok'
  },
  'of HTTP/1.0': { answer: 'HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok', body: 'ok' },
  'that ends with the connection': { answer: 'HTTP/1.1 200 OK\r\n\r\nok', ends: true, body: 'ok' },
  'that is longer than wanted': {
    answer: `HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n${'x'.repeat(11)}`,
    body: 'x'.repeat(10)
  }
}

for (const [which, { answer, ends = false, body }] of Object.entries(LAST)) {
  test(`an answer ${which} is taken, and the connection is not used again`, async t => {
    const line = await Line.open(t)
    const asked = line.ask({ answerBytesMax: 10 })
    line.server.write(answer)
    if (ends) line.server.end()
    const { status, body: got } = await asked
    assert.deepEqual([status, got.toString()], [200, body])
    await until(() => !line.connection.isOpen)
  })
}

test('an answer of just the longest size leaves the connection open', async t => {
  const line = await Line.open(t)
  const { body } = await line.answer(ACCEPTED, { answerBytesMax: 2 })
  assert.deepEqual([body.toString(), line.connection.isOpen], ['ok', true])
})

test('an answer without a body, in chunks, and behind 1xx answers', async t => {
  const line = await Line.open(t)
  const none = await line.answer('HTTP/1.1 204 No Content\r\n\r\n')
  const chunks = await line.answer(
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\no\r\n1;x=y\r\nk\r\n0\r\nT: u\r\n\r\n'
  )
  const later = await line.answer(
    `HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: x\r\n\r\n${ACCEPTED}`
  )
  assert.deepEqual(
    [none, chunks, later].map(({ status, body }) => [status, body.toString()]),
    [
      [204, ''],
      [200, 'ok'],
      [201, 'ok']
    ]
  )
  assert.equal(line.connection.isOpen, true)
})

test('what a server sends unasked behind its answer is never taken for the next one', async t => {
  const line = await Line.open(t)
  await line.answer(ACCEPTED + ACCEPTED).catch(() => undefined)
  await until(() => !line.connection.isOpen)
})

const FAILURES: Readonly<
  Record<string, readonly [act: (server: Socket) => void, reason: string, message: string]>
> = {
  'closes before its answer': [
    server => void server.end(),
    'connection_closed',
    'closed by the remote'
  ],
  'resets the connection': [
    server => void server.resetAndDestroy(),
    'connection_reset',
    'Connection reset by peer'
  ],
  'closes within the head': [
    server => void server.end('HTTP/1.1 200 OK\r\nContent'),
    'connection_closed',
    'closed by the remote'
  ],
  'closes within the body': [
    server => void server.end('HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel'),
    'connection_closed',
    'closed by the remote'
  ],
  'speaks something else': [
    server => void server.write('220 mail.example ESMTP\r\n'),
    'malformed_answer',
    'malformed HTTP response'
  ],
  'sends a head without an end': [
    server => void server.write(`HTTP/1.1 200 OK\r\n${'X: y\r\n'.repeat(20_000)}`),
    'malformed_answer',
    'malformed HTTP response'
  ],
  'sends chunks that are none': [
    server =>
      void server.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcdef\r\n'),
    'malformed_answer',
    'malformed HTTP response'
  ],
  'switches to another protocol': [
    server => void server.write('HTTP/1.1 101 S\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n'),
    'connection_closed',
    'closed by the remote'
  ]
}

for (const [what, [act, reason, message]] of Object.entries(FAILURES)) {
  test(`a server that ${what} is a failure`, async t => {
    const line = await Line.open(t)
    const asked = line.ask()
    act(line.server)
    assert.deepEqual(await failure(asked), [reason, message])
    assert.equal(line.connection.isOpen, false)
  })
}

test('a server has so long to answer to the end, however it drips', async t => {
  const line = await Line.open(t)
  const asked = failure(line.ask({ idleTimeoutMs: 5000 }))
  await until(() => line.got.endsWith('hello'))
  line.server.write('HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n')
  for (let second = 0; second < 60; second += 4) {
    const before = line.connection.socket.bytesRead
    line.server.write('x')
    await until(() => line.connection.socket.bytesRead > before)
    line.clock.advance(4000)
  }
  assert.deepEqual(await asked, ['timeout', 'response timeout reached (elapsed=60s, limit=60s)'])
})

for (const begin of [
  '',
  'HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n',
  'HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nx'
]) {
  test(`a server that falls silent after ${JSON.stringify(begin)} is given up`, async t => {
    const line = await Line.open(t)
    const asked = failure(line.ask({ idleTimeoutMs: 5000 }))
    await until(() => line.got.endsWith('hello'))
    line.clock.advance(begin === '' ? 0 : 4000)
    line.server.write(begin)
    await until(() => line.connection.socket.bytesRead === begin.length)
    line.clock.advance(4999)
    assert.equal(line.connection.isOpen, true)
    line.clock.advance(1)
    assert.deepEqual(await asked, ['timeout', 'read idle timeout reached (idle=5s, limit=5s)'])
  })
}

test('an answer may come before the request has gone', async t => {
  const line = await Line.open(t)
  line.server.pause()
  const body = [Buffer.alloc(20_000_000)]
  const asked = line.ask({ headers: ['Host', 'x', 'Content-Length', '20000000'], body })
  line.server.write('HTTP/1.1 413 Large\r\nContent-Length: 0\r\n\r\n')
  assert.equal((await asked).status, 413)
  assert.equal(line.connection.isOpen, false)
})

test('a server that does not read the request is given up', async t => {
  const line = await Line.open(t)
  line.server.pause()
  const body = [Buffer.alloc(20_000_000)]
  const asked = failure(line.ask({ headers: ['Content-Length', '20000000'], body }))
  await new Promise(resolve => setImmediate(resolve))
  line.clock.advance(60_000)
  assert.equal((await asked)[0], 'timeout')
})

test('a closed connection says why it was closed', async t => {
  const line = await Line.open(t)
  const asked = failure(line.ask())
  line.connection.close(new NetworkError('shutdown', 'closed'))
  assert.deepEqual(await asked, ['shutdown', 'closed'])
})

test('an answer that is cut anywhere, or damaged at random, ends in an answer or a failure', async t => {
  const random = seededRandom(3)
  const whole = Buffer.from(
    'HTTP/1.1 200 OK\r\nX: y\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n'
  )
  const cuts = Array.from(whole, (_, length) => whole.subarray(0, length))
  const damaged = Array.from({ length: 200 }, () => {
    const bytes = Buffer.from(whole)
    bytes[Math.floor(random() * bytes.length)] = Math.floor(random() * 256)
    return bytes
  })
  for (const bytes of [...cuts, ...damaged]) {
    const line = await Line.open(t)
    const asked = line.ask()
    line.server.end(bytes)
    const end = await asked.then(
      ({ status }) => status,
      (cause: unknown) => (cause as NetworkError).reason
    )
    assert.ok(typeof end === 'number' || typeof end === 'string')
    if (cuts.includes(bytes)) assert.equal(typeof end, 'string', bytes.toString())
  }
})

test('a request over a connection that has ended fails at once', { timeout: 10_000 }, async t => {
  const line = await Line.open(t)
  line.server.destroy()
  await until(() => line.connection.failure !== undefined)
  assert.deepEqual(await failure(line.ask({ answerTimeoutMs: 0 })), [
    'connection_closed',
    'closed by the remote'
  ])
})
