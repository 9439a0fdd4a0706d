import assert from 'node:assert/strict'
import { connect as connectHttp2, type ClientHttp2Session, constants } from 'node:http2'
import { connect as connectTo, type Socket } from 'node:net'
import { readFileSync } from 'node:fs'
import { test, type TestContext } from 'node:test'
import { connect as connectTls } from 'node:tls'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { gzipSync } from 'node:zlib'
import { until } from '../../test/harness/until.ts'
import { certificates } from '../../test/harness/certificates.ts'
import { FakeClock } from '../../test/harness/fake_clock.ts'
import { needs } from '../../test/harness/peers.ts'
import { seededRandom } from '../../test/harness/random.ts'
import { compress } from '../codec/compression.ts'
import { Logger } from '../base/log.ts'
import {
  type HttpHandler,
  type HttpHead,
  type HttpReply,
  type HttpRequest,
  HttpServer,
  type HttpServerSettings
} from './http_server.ts'

const SERVER = {
  backlog: 128,
  sharesPort: false,
  acceptTimeoutMs: 10_000,
  reportsAcceptTimeout: true,
  ioTimeoutMs: 0,
  keepalive: true
}

/** A server that answers with what it got. */
class Site implements HttpHandler {
  readonly clock = new FakeClock(0)
  readonly log = new Logger({ sink: { colour: false, write: () => {} }, level: 'off' })
  readonly refused: string[] = []
  readonly heads: HttpHead[] = []
  readonly requests: HttpRequest[] = []
  paused = false
  room: Promise<void> | undefined
  checkReply: HttpReply | undefined
  reply: (request: HttpRequest) => HttpReply | Promise<HttpReply> = ({ body }) => ({
    status: 200,
    body
  })
  readonly server: HttpServer

  constructor(t: TestContext, settings: Partial<HttpServerSettings> = {}) {
    this.server = new HttpServer(
      {
        host: '127.0.0.1',
        port: 0,
        server: SERVER,
        tls: undefined,
        http2: true,
        idleTimeoutMs: 10_000,
        bodyBytesMax: 1000,
        ...settings
      },
      this,
      this
    )
    t.after(() => this.server.stop())
  }

  async start(): Promise<this> {
    await this.server.start()
    return this
  }

  ready(): Promise<void> | undefined {
    return this.room
  }

  connectionEnded(reason: string): void {
    this.refused.push(reason)
  }

  check(head: HttpHead): HttpReply | undefined {
    this.heads.push(head)
    return this.checkReply
  }

  handle(request: HttpRequest): HttpReply | Promise<HttpReply> {
    // Its memory is used again.
    const kept = { ...request, body: Buffer.from(request.body) }
    this.requests.push(kept)
    return this.reply(kept)
  }

  /** A connection on which these bytes are sent. */
  talk(t: TestContext, ...pieces: (string | Buffer)[]): Talk {
    return new Talk(t, connectTo(this.server.port, '127.0.0.1'), pieces)
  }

  http2(t: TestContext): ClientHttp2Session {
    const session = connectHttp2(`http://127.0.0.1:${this.server.port}`)
    session.on('error', () => {})
    t.after(() => session.destroy())
    return session
  }
}

class Talk {
  got = ''
  isClosed = false
  readonly socket: Socket

  constructor(t: TestContext, socket: Socket, pieces: readonly (string | Buffer)[]) {
    this.socket = socket
    socket.on('error', () => {})
    socket.on('close', () => (this.isClosed = true))
    socket.on('data', (bytes: Buffer) => (this.got += bytes.toString('latin1')))
    for (const piece of pieces) socket.write(piece)
    t.after(() => socket.destroy())
  }

  /** Status lines of the answers so far. */
  get statuses(): string[] {
    return Array.from(this.got.matchAll(/HTTP\/1\.1 (\d+)/g), ([, status]) => status)
  }
}

/** Waits until a connection to another server, on which nothing comes, was closed as idle; so many times. */
async function idleTimes(t: TestContext, times: number, idleTimeoutMs: number): Promise<void> {
  const other = await new Site(t, { idleTimeoutMs }).start()
  for (let n = 0; n < times; n++) {
    const silent = other.talk(t)
    await until(() => silent.isClosed)
  }
}

interface Http2Answer {
  readonly status: number
  readonly body: string
}

function ask2(
  session: ClientHttp2Session,
  headers: Record<string, string>,
  body?: string | Buffer
): Promise<Http2Answer> {
  return new Promise((resolve, reject) => {
    const stream = session.request({ ':method': 'POST', ':path': '/', ...headers })
    let status = 0
    let text = ''
    stream.on('response', answer => (status = Number(answer[':status'])))
    stream.on('data', (bytes: Buffer) => (text += bytes.toString()))
    stream.on('end', () => resolve({ status, body: text }))
    stream.on('error', reject)
    if (body === undefined) stream.end()
    else stream.end(body)
  })
}

function post(body: string | Buffer, headers = ''): Buffer {
  const bytes = Buffer.from(body)
  return Buffer.concat([
    Buffer.from(`POST /a?b=c HTTP/1.1\r\n${headers}Content-Length: ${bytes.length}\r\n\r\n`),
    bytes
  ])
}

test('a request has its path, query, headers, body and peer; connections are kept', async t => {
  const site = await new Site(t).start()
  const talk = site.talk(t, post('hello', 'Host: x\r\nX-A: 1\r\nx-a: 2\r\n'))
  await until(() => talk.got.endsWith('hello'))
  talk.socket.write(post('again'))
  await until(() => talk.got.endsWith('again'))
  assert.deepEqual(talk.statuses, ['200', '200'])
  const [{ method, path, query, headers, body, peer }] = site.requests
  assert.deepEqual([method, path, query, body.toString()], ['POST', '/a', 'b=c', 'hello'])
  assert.deepEqual([headers['x-a'], headers.host, peer.address], ['1, 2', 'x', '127.0.0.1'])
  assert.equal(talk.isClosed, false)
})

test('pipelined requests are answered in their order, also when the first takes longer', async t => {
  const site = await new Site(t).start()
  const first = Promise.withResolvers<void>()
  site.reply = async ({ body }) => {
    if (site.requests.length === 1) await first.promise
    return { status: 200, body }
  }
  const talk = site.talk(t, Buffer.concat([post('one'), post('two'), post('three')]))
  await until(() => site.requests.length === 3)
  assert.equal(talk.got, '')
  first.resolve()
  await until(() => talk.statuses.length === 3)
  assert.deepEqual(
    talk.got.split(/HTTP\/1\.1 200 OK/).map(answer => answer.split('\r\n\r\n')[1]),
    [undefined, 'one', 'two', 'three']
  )
})

test('requests of a client that does not read its answers wait, and come to nothing when it leaves', async t => {
  const site = await new Site(t).start()
  const answer = Buffer.alloc(1_000_000, 'x')
  site.reply = () => ({ status: 200, body: answer })
  const talk = site.talk(t)
  talk.socket.pause()
  talk.socket.write('GET / HTTP/1.1\r\n\r\n'.repeat(500))
  const other = site.talk(t, post('hello'))
  await until(() => other.statuses.length === 1)
  assert.ok(site.requests.length < 50, `${site.requests.length} requests were handled`)
  talk.socket.destroy()
  await until(() => site.server.connections === 1)
  other.socket.write(post('again'))
  await until(() => other.statuses.length === 2)
  assert.ok(site.requests.length < 50, `${site.requests.length} requests were handled`)
})

test('many pipelined requests are all answered, and others have their turn between them', async t => {
  const site = await new Site(t).start()
  const talk = site.talk(t, Buffer.concat(Array.from({ length: 300 }, (_, n) => post(`${n}.`))))
  await until(() => site.requests.length > 0)
  const other = site.talk(t, post('hello'))
  await until(() => other.statuses.length === 1 && talk.statuses.length === 300)
  assert.deepEqual(
    site.requests.map(({ body }) => body.toString()).filter(body => body !== 'hello'),
    Array.from({ length: 300 }, (_, n) => `${n}.`)
  )
  assert.ok(site.requests.findIndex(({ body }) => body.toString() === 'hello') < 300)
})

test('HEAD gets the headers of an answer without its body', async t => {
  const site = await new Site(t).start()
  site.checkReply = { status: 400, body: 'error' }
  const talk = site.talk(t, 'HEAD / HTTP/1.1\r\n\r\n')
  await until(() => talk.got.endsWith('\r\n\r\n'))
  assert.match(talk.got, /^HTTP\/1\.1 400 Bad Request\r\nContent-Length: 5\r\n/)
})

test('Expect: 100-continue is answered once the head is wanted, and a refusal needs no body', async t => {
  const site = await new Site(t).start()
  const head = 'POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n'
  const talk = site.talk(t, head)
  await until(() => talk.got === 'HTTP/1.1 100 Continue\r\n\r\n')
  talk.socket.write('hello')
  await until(() => talk.got.endsWith('hello'))
  site.checkReply = { status: 401 }
  const refused = site.talk(t, head)
  await until(() => refused.isClosed)
  assert.deepEqual(refused.statuses, ['401'])
})

test('HTTP/1.0 and Connection: close end the connection after the answer', async t => {
  const site = await new Site(t).start()
  for (const request of [
    'POST / HTTP/1.0\r\nContent-Length: 2\r\n\r\nhi',
    'POST / HTTP/1.1\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi'
  ]) {
    const talk = site.talk(t, request)
    await until(() => talk.isClosed)
    assert.match(talk.got, /\r\n\r\nhi$/)
  }
})

test('net.keepalive off ends the connection after one answer', async t => {
  const site = await new Site(t, { server: { ...SERVER, keepalive: false } }).start()
  const talk = site.talk(t, post('hello'))
  await until(() => talk.isClosed)
  assert.match(talk.got, /Connection: close\r\n[^]*\r\n\r\nhello$/)
})

test('an Upgrade to h2c is ignored', async t => {
  const site = await new Site(t).start()
  const talk = site.talk(
    t,
    post(
      'hi',
      'Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n'
    )
  )
  await until(() => talk.got.endsWith('hi'))
  assert.deepEqual(talk.statuses, ['200'])
})

const ENCODINGS = ['gzip', 'deflate', 'zstd', 'snappy'] as const

for (const encoding of ENCODINGS) {
  test(`a body in ${encoding} is expanded, and one that is damaged refused`, async t => {
    const site = await new Site(t).start()
    const body = await compress(encoding, Buffer.from('hello'))
    const talk = site.talk(t, post(body, `Content-Encoding: ${encoding}\r\n`))
    await until(() => talk.got.endsWith('hello'))
    talk.socket.write(post(body.subarray(0, -2), `Content-Encoding: ${encoding}\r\n`))
    await until(() => talk.statuses.length === 2)
    assert.deepEqual([talk.statuses, site.refused], [['200', '400'], ['bad_compression']])
  })

  test(`a body in ${encoding} that expands to more than the limit is refused`, async t => {
    const site = await new Site(t).start()
    const bomb = await compress(encoding, Buffer.alloc(10_000))
    assert.ok(bomb.length < 1000)
    const talk = site.talk(t, post(bomb, `Content-Encoding: ${encoding}\r\n`))
    await until(() => talk.statuses.length === 1)
    assert.deepEqual([talk.statuses, site.refused], [['413'], ['body_too_large']])
  })
}

test('an encoding that is not known is refused', async t => {
  const site = await new Site(t).start()
  for (const encoding of ['br', 'gzip, gzip', 'constructor', '__proto__']) {
    const talk = site.talk(t, post('hi', `Content-Encoding: ${encoding}\r\n`))
    await until(() => talk.statuses.length === 1)
    assert.deepEqual(talk.statuses, ['415'])
  }
})

test('a body of the longest size is taken; a longer one is refused, by its length or when it comes', async t => {
  const site = await new Site(t).start()
  const full = site.talk(t, post('x'.repeat(1000)))
  await until(() => full.got.endsWith('x'.repeat(1000)))

  const declared = site.talk(t, 'POST / HTTP/1.1\r\nContent-Length: 999999999999\r\n\r\n')
  await until(() => declared.isClosed)
  const chunk = `400\r\n${'x'.repeat(1024)}\r\n`
  const chunked = site.talk(t, `POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n${chunk}`)
  await until(() => chunked.statuses.length === 1)
  assert.deepEqual([declared.statuses, chunked.statuses], [['413'], ['413']])
  assert.deepEqual(site.refused, ['body_too_large', 'body_too_large'])
})

test('a sender that is still sending can read why it was refused', async t => {
  const site = await new Site(t).start()
  const talk = site.talk(t, post('x'.repeat(20_000_000)))
  await until(() => talk.isClosed)
  assert.deepEqual(talk.statuses, ['413'])
})

test('a sender that does not stop sending is cut off after a moment', async t => {
  const site = await new Site(t).start()
  const talk = site.talk(t, 'POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n')
  const pour = (): void => {
    while (talk.socket.writable && talk.socket.write(`400\r\n${'x'.repeat(1024)}\r\n`));
  }
  talk.socket.on('drain', pour)
  pour()
  await until(() => talk.statuses.length === 1)
  assert.equal(site.server.connections, 1)
  site.clock.advance(1000)
  await until(() => site.server.connections === 0)
})

const MALFORMED: readonly [what: string, bytes: string | Buffer, status: string][] = [
  ['no HTTP', 'what is this\r\n\r\n', '400'],
  ['a TLS hello', Buffer.from('16030100c8010000c40303', 'hex'), '400'],
  ['a space in the path', 'POST /a b HTTP/1.1\r\n\r\n', '400'],
  ['a header without a name', 'POST / HTTP/1.1\r\n: x\r\n\r\n', '400'],
  ['two lengths', 'POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n', '400'],
  ['a length below 0', 'POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n', '400'],
  [
    'a length and chunks',
    'POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n',
    '400'
  ],
  ['a head that is too long', `POST / HTTP/1.1\r\nX: ${'x'.repeat(70_000)}\r\n\r\n`, '431'],
  ['a flood of headers', `POST / HTTP/1.1\r\n${'X: y\r\n'.repeat(20_000)}\r\n`, '431']
]

for (const [what, bytes, status] of MALFORMED) {
  test(`${what} gets ${status}, and others are served`, async t => {
    const site = await new Site(t).start()
    const talk = site.talk(t, bytes)
    await until(() => talk.isClosed)
    assert.deepEqual([talk.statuses, site.refused], [[status], ['malformed_request']])
    const other = site.talk(t, post('hello'))
    await until(() => other.got.endsWith('hello'))
  })
}

test('chunks that are none end the connection, and nothing of the body is handled', async t => {
  const site = await new Site(t).start()
  const head = 'POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n'
  for (const chunks of ['3\r\nabcdef\r\n', 'zz\r\n', 'ffffffffffffffffff\r\n', '-1\r\n']) {
    const talk = site.talk(t, head + chunks)
    await until(() => talk.isClosed)
    assert.doesNotMatch(talk.got, / 200 /)
  }
  assert.equal(site.requests.length, 0)
})

test('a sender that goes away in the middle of its body leaves nothing behind', async t => {
  const site = await new Site(t).start()
  const whole = post('hello', 'Host: x\r\n')
  for (let length = 1; length < whole.length; length++) {
    const talk = site.talk(t, whole.subarray(0, length))
    await until(() => talk.socket.bytesWritten === length)
    talk.socket.destroy()
  }
  await until(() => site.server.connections === 0)
  assert.deepEqual(site.requests, [])
})

test('a request may come byte by byte', async t => {
  const site = await new Site(t).start()
  const talk = site.talk(t)
  for (const byte of post('hello')) {
    talk.socket.write(Buffer.of(byte))
    await new Promise(resolve => setImmediate(resolve))
  }
  await until(() => talk.got.endsWith('hello'))
})

/** Where a connection falls silent. */
const SILENCES: Readonly<Record<string, string>> = {
  'before anything': '',
  'within the first word': 'PO',
  'within what could be HTTP/2': 'PRI * HTTP/2.0\r\n',
  'within the head': 'POST / HTTP/1.1\r\nX: ',
  'within the body': 'POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\nhel',
  'within a chunk': 'POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhel',
  'after an answer': 'POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n',
  'within the body of a second request':
    'POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\nPOST / HTTP/1.1\r\nContent-Length: 9\r\n\r\nhel'
}

for (const [where, bytes] of Object.entries(SILENCES)) {
  test(`a connection that is silent ${where} is closed`, async t => {
    const site = await new Site(t, { idleTimeoutMs: 100 }).start()
    const talk = site.talk(t, bytes)
    await until(() => talk.isClosed)
    assert.equal(site.server.connections, 0)
  })
}

test('a connection that is silent within the body of a later request is closed', async t => {
  const site = await new Site(t, { idleTimeoutMs: 100 }).start()
  const talk = site.talk(t, post('hello'))
  await until(() => talk.statuses.length === 1)
  talk.socket.write('POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\nhel')
  await until(() => talk.isClosed)
})

for (const where of ['before anything', 'within the head']) {
  test(`with a shorter time for heads, a connection that is silent ${where} ends with it`, async t => {
    const site = await new Site(t, { idleTimeoutMs: 600_000, headTimeoutMs: 100 }).start()
    const lasting = site.talk(t, post('hello'))
    await until(() => lasting.statuses.length === 1)
    const talk = site.talk(t, SILENCES[where] ?? '')
    await until(() => talk.isClosed)
    // One that has had an answer may be silent for longer.
    assert.equal(lasting.isClosed, false)
  })
}

test('a head that comes too slowly is answered with 408', async t => {
  const site = await new Site(t, { idleTimeoutMs: 1500 }).start()
  const talk = site.talk(t, 'POST / HTTP/1.1\r\n')
  const timer = setInterval(() => talk.socket.write('X: y\r\n'), 100)
  t.after(() => clearInterval(timer))
  await until(() => talk.isClosed)
  assert.deepEqual([talk.statuses, site.refused], [['408'], ['request_timeout']])
})

test('a connection that waits for our answer is not idle', async t => {
  const site = await new Site(t, { idleTimeoutMs: 400 }).start()
  const answers: PromiseWithResolvers<HttpReply>[] = []
  site.reply = () => {
    const answer = Promise.withResolvers<HttpReply>()
    answers.push(answer)
    return answer.promise
  }
  const talk = site.talk(t, post('hello'))
  const session = site.http2(t)
  const second = ask2(session, {}, 'hello')
  await until(() => answers.length === 2)
  await idleTimes(t, 2, 400)
  for (const answer of answers) answer.resolve({ status: 201 })
  await until(() => talk.statuses.length === 1)
  assert.deepEqual([talk.statuses, (await second).status], [['201'], 201])
})

test('connections beyond the limit are closed at once', async t => {
  const site = await new Site(t, { connectionsMax: 2 }).start()
  const held = [site.talk(t, post('one')), site.talk(t, post('two'))]
  await until(() => held.every(talk => talk.statuses.length === 1))
  const third = site.talk(t, post('three'))
  await until(() => third.isClosed)
  assert.deepEqual([third.got, site.refused], ['', ['too_many_connections']])
})

test('while nothing is to be read requests get 503 with Retry-After', async t => {
  const site = await new Site(t).start()
  site.paused = true
  const talk = site.talk(t, post('hello'))
  await until(() => talk.statuses.length === 1)
  assert.match(talk.got, /^HTTP\/1\.1 503 Service Unavailable\r\nRetry-After: 1\r\n/)
  site.paused = false
  const other = site.talk(t, post('hello'))
  await until(() => other.got.endsWith('hello'))
  assert.deepEqual(site.refused, ['paused'])
})

test('a body is read when there is room', async t => {
  const site = await new Site(t).start()
  const { promise, resolve } = Promise.withResolvers<void>()
  site.room = promise
  const talk = site.talk(t, post('hello'))
  await until(() => site.heads.length === 1)
  assert.equal(site.requests.length, 0)
  resolve()
  await until(() => talk.got.endsWith('hello'))
})

test('a sender that has ended its side still gets its answer, and its connection ends then', async t => {
  const site = await new Site(t).start()
  const answers: ((reply: HttpReply) => void)[] = []
  site.reply = () => new Promise(resolve => answers.push(resolve))
  const socket = connectTo({ port: site.server.port, host: '127.0.0.1', allowHalfOpen: true })
  const talk = new Talk(t, socket, [])
  socket.end('POST / HTTP/1.1\r\nContent-Length: 1\r\n\r\nx')
  await until(() => answers.length === 1)
  // The end of the sender's side has been seen long before.
  await idleTimes(t, 1, 20)
  answers[0]?.({ status: 201 })
  await until(() => talk.isClosed)
  assert.deepEqual(talk.statuses, ['201'])
  await until(() => site.server.connections === 0)
})

for (const [what, bytes] of Object.entries({
  nothing: '',
  'the begin of a preface': 'PRI',
  'half a head': 'POST / HT',
  'half a body': 'POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nx',
  'a whole answered request': 'HEAD / HTTP/1.1\r\n\r\n'
})) {
  test(`a sender that ends its side after ${what} leaves no connection behind`, async t => {
    const site = await new Site(t, { idleTimeoutMs: 0 }).start()
    const socket = connectTo({ port: site.server.port, host: '127.0.0.1', allowHalfOpen: true })
    const talk = new Talk(t, socket, [])
    socket.end(bytes)
    await until(() => talk.isClosed)
    await until(() => site.server.connections === 0)
  })
}

test('a long idle_timeout is allowed', async t => {
  const site = await new Site(t, { idleTimeoutMs: 600_000 }).start()
  const talk = site.talk(t, 'POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n')
  await until(() => talk.statuses.length === 1)
})

/** A frame of HTTP/2. */
function frame(type: number, flags: number, stream: number, content: Buffer): Buffer {
  const head = Buffer.alloc(9)
  head.writeUIntBE(content.length, 0, 3)
  head.writeUInt8(type, 3)
  head.writeUInt8(flags, 4)
  head.writeUInt32BE(stream, 5)
  return Buffer.concat([head, content])
}

const NOTHING = Buffer.alloc(0)
/** POST, http, `/` by numbers of HPACK's table, and the authority `a`; ends the headers. */
const POST = frame(1, 4, 1, Buffer.from([0x83, 0x86, 0x84, 0x41, 1, 0x61]))

const ping = (word: string): Buffer => frame(6, 0, 0, Buffer.from(word))

/** What ends a stream whose body is not whole. */
const BREAKS: Readonly<Record<string, (socket: Socket) => void>> = {
  'RST_STREAM without an error': socket => socket.write(frame(3, 0, 1, Buffer.alloc(4))),
  'RST_STREAM with one': socket => socket.write(frame(3, 0, 1, Buffer.from([0, 0, 0, 8]))),
  'the end of the connection': socket => socket.end(),
  'a reset of the connection': socket => socket.resetAndDestroy()
}

for (const [what, end] of Object.entries(BREAKS)) {
  test(`HTTP/2: half a body is no body after ${what}`, async t => {
    const site = await new Site(t).start()
    const preface = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')
    const half = frame(0, 0, 1, Buffer.from('half'))
    const talk = site.talk(t, Buffer.concat([preface, frame(4, 0, 0, NOTHING), POST, half]))
    await until(() => site.heads.length === 1)
    talk.socket.write(ping('ahead---'))
    await until(() => talk.got.includes('ahead---'))
    end(talk.socket)
    if (talk.socket.writable) talk.socket.write(ping('behind--'))
    await until(() => talk.got.includes('behind--') || site.server.connections === 0)
    for (let turn = 0; turn < 10; turn++) await new Promise(resolve => setImmediate(resolve))
    assert.equal(site.requests.length, 0)
  })
}

test('HTTP/2: a body that comes and comes is ended', async t => {
  const site = await new Site(t).start()
  const session = site.http2(t)
  const stream = session.request({ ':method': 'POST', ':path': '/' })
  let code: number | undefined
  stream.on('error', () => {})
  stream.on('close', () => (code = stream.rstCode))
  stream.write('x')
  await until(() => site.heads.length === 1)
  site.clock.advance(299_999)
  await new Promise(resolve => session.ping(Buffer.alloc(8), resolve))
  assert.equal(code, undefined)
  site.clock.advance(1)
  await until(() => code === constants.NGHTTP2_CANCEL)
  assert.deepEqual([site.refused, site.requests.length], [['request_timeout'], 0])
})

test('HTTP/2 in clear by prior knowledge, many requests on one connection', async t => {
  const site = await new Site(t).start()
  const session = site.http2(t)
  const answers = await Promise.all(
    Array.from({ length: 50 }, (_, number) => ask2(session, { 'x-n': `${number}` }, `n${number}`))
  )
  assert.deepEqual(
    answers,
    Array.from({ length: 50 }, (_, number) => ({ status: 200, body: `n${number}` }))
  )
  const [{ method, path, headers, peer }] = site.requests
  assert.deepEqual([method, path, headers['x-n']], ['POST', '/', '0'])
  assert.equal(peer.address, '127.0.0.1')
  assert.equal(site.server.connections, 1)
})

test('HTTP/2: refusals, limits, compression and HEAD are as over HTTP/1.1', async t => {
  const site = await new Site(t).start()
  const session = site.http2(t)
  const gzip = { 'content-encoding': 'gzip' }
  assert.deepEqual(await ask2(session, gzip, gzipSync('hello')), { status: 200, body: 'hello' })
  assert.equal((await ask2(session, gzip, 'hello')).status, 400)
  assert.equal((await ask2(session, {}, 'x'.repeat(1001))).status, 413)
  assert.equal((await ask2(session, { 'content-length': '5000' }, 'x'.repeat(5000))).status, 413)
  site.reply = () => ({
    status: 200,
    headers: [
      ['Connection', 'x'],
      ['X-A', 'b']
    ],
    body: 'hello'
  })
  assert.deepEqual(await ask2(session, { ':method': 'HEAD' }), { status: 200, body: '' })
  site.checkReply = { status: 401 }
  assert.equal((await ask2(session, {}, 'x'.repeat(100_000))).status, 401)
  assert.equal(session.destroyed, false)
})

test('HTTP/2: a body that nobody wants ends its stream, and not the connection', async t => {
  const site = await new Site(t).start()
  const session = site.http2(t)
  for (const reply of [undefined, { status: 401 }]) {
    site.checkReply = reply
    const stream = session.request({ ':method': 'POST', ':path': '/' })
    stream.resume().write('x'.repeat(1001))
    await until(() => stream.readableEnded)
    assert.equal(stream.closed, false)
    site.clock.advance(1000)
    await until(() => stream.closed)
    assert.equal(stream.rstCode, constants.NGHTTP2_NO_ERROR)
  }
  assert.equal((await ask2(session, {}, 'hello')).status, 401)
})

test('HTTP/2 is not spoken where it is off', async t => {
  const site = await new Site(t, { http2: false }).start()
  const session = site.http2(t)
  await until(() => session.destroyed)
  assert.deepEqual(site.refused, ['malformed_request'])
  const talk = site.talk(t, post('hello'))
  await until(() => talk.got.endsWith('hello'))
})

test('the preface of HTTP/2 may come byte by byte', async t => {
  const site = await new Site(t).start()
  const talk = site.talk(t)
  for (const byte of Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')) {
    talk.socket.write(Buffer.of(byte))
    await new Promise(resolve => setImmediate(resolve))
  }
  // An empty SETTINGS frame, which the server answers with its own.
  talk.socket.write(Buffer.from('000000040000000000', 'hex'))
  await until(() => talk.got.length >= 9)
  assert.equal(talk.got.charCodeAt(3), constants.NGHTTP2_FLAG_NONE + 4)
})

test('an HTTP/2 connection on which nothing comes is closed, one in use is not', async t => {
  const site = await new Site(t, { idleTimeoutMs: 600 }).start()
  const session = site.http2(t)
  await ask2(session, {}, 'hello')
  let isOver = false
  const waiting = idleTimes(t, 2, 600).then(() => (isOver = true))
  while (!isOver) await ask2(session, {}, 'hello')
  await waiting
  assert.equal(session.destroyed, false)
  await until(() => session.destroyed)
  assert.deepEqual(site.refused, ['idle'])
})

test('HTTP/2: a flood of headers costs the request, garbage the connection, and others are served', async t => {
  const site = await new Site(t).start()
  const flood = site.http2(t)
  const headers = Object.fromEntries(Array.from({ length: 500 }, (_, n) => [`x-${n}`, 'y']))
  await assert.rejects(ask2(flood, headers, 'hello'))
  const garbage = site.talk(t, 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', Buffer.alloc(5000, 0xff))
  await until(() => garbage.isClosed)
  assert.deepEqual(await ask2(site.http2(t), {}, 'hello'), { status: 200, body: 'hello' })
  assert.equal(site.requests.length, 1)
})

test('HTTP/2 and HTTP/1.1 over TLS, as ALPN says', needs('openssl'), async t => {
  const { server, authority } = certificates()
  const tls = {
    verify: true,
    verifyHostname: false,
    verifyClient: false,
    certFile: server.certificate,
    keyFile: server.key
  }
  const site = await new Site(t, { tls }).start()
  const { port } = site.server
  const ca = readFileSync(authority)
  const session = connectHttp2(`https://localhost:${port}`, { ca })
  t.after(() => session.destroy())
  assert.deepEqual(await ask2(session, {}, 'hello'), { status: 200, body: 'hello' })
  assert.equal(session.alpnProtocol, 'h2')
  for (const protocols of [['http/1.1'], ['http/1.0'], []]) {
    const options = {
      port,
      host: 'localhost',
      servername: 'localhost',
      ca,
      ALPNProtocols: protocols
    }
    const talk = new Talk(t, connectTls(options), [post('hello')])
    await until(() => talk.got.endsWith('hello'))
    assert.deepEqual(talk.statuses, ['200'])
  }
})

test('a stop ends all connections', async t => {
  const site = await new Site(t).start()
  const talk = site.talk(t, post('hello'))
  const session = site.http2(t)
  await ask2(session, {}, 'hello')
  await until(() => talk.statuses.length === 1)
  await site.server.stop()
  await until(() => talk.isClosed && session.destroyed)
  assert.equal(site.server.connections, 0)
})

test('requests with random damage end in an answer or a closed connection', async t => {
  const site = await new Site(t, { idleTimeoutMs: 300 }).start()
  const random = seededRandom(1)
  const whole = Buffer.concat([
    post('hello', 'Host: x\r\nContent-Type: a/b\r\n'),
    Buffer.from('POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n')
  ])
  const talks: Talk[] = []
  for (let turn = 0; turn < 200; turn++) {
    const bytes = Buffer.from(whole)
    for (let changes = 1 + random() * 4; changes >= 1; changes--) {
      bytes[Math.floor(random() * bytes.length)] = Math.floor(random() * 256)
    }
    talks.push(site.talk(t, bytes))
  }
  await until(() => talks.every(talk => talk.isClosed))
  assert.equal(site.server.connections, 0)
  const other = site.talk(t, post('hello'))
  await until(() => other.got.endsWith('hello'))
})

test('HTTP/2: streams and connections that end at any moment cost nobody else', async t => {
  const site = await new Site(t).start()
  const random = seededRandom(2)
  site.reply = async ({ body }) => {
    if (random() < 0.5) await new Promise(resolve => setImmediate(resolve))
    return { status: 200, body: body.length === 5 ? body : Buffer.alloc(100_000) }
  }
  for (let turn = 0; turn < 20; turn++) {
    const session = site.http2(t)
    const streams = Array.from({ length: 20 }, () => {
      const stream = session.request({ ':method': 'POST', ':path': '/' })
      stream.on('error', () => {})
      stream.write('x'.repeat(Math.floor(random() * 2000)))
      if (random() < 0.5) stream.end()
      return stream
    })
    for (const stream of streams) {
      if (random() < 0.5) await new Promise(resolve => setImmediate(resolve))
      if (random() < 0.7) stream.close(constants.NGHTTP2_CANCEL)
    }
    session.destroy()
  }
  assert.equal((await ask2(site.http2(t), {}, 'hello')).body, 'hello')
  await until(() => site.server.connections === 1)
})

test('a server that was made and never started leaves nothing behind', async () => {
  setFlagsFromString('--expose-gc')
  const collectGarbage = runInNewContext('gc') as () => void
  const make = (): WeakRef<HttpHandler> => {
    const handler = { handle: () => ({ status: 200 }) }
    const host = {
      log: new Logger({ sink: { colour: false, write: () => {} }, level: 'off' }),
      clock: new FakeClock(0),
      paused: false,
      ready: () => undefined,
      connectionEnded: () => undefined
    }
    void new HttpServer(
      {
        host: '127.0.0.1',
        port: 0,
        server: SERVER,
        tls: undefined,
        http2: true,
        idleTimeoutMs: 10_000,
        bodyBytesMax: 1000
      },
      host,
      handler
    )
    return new WeakRef(handler)
  }
  const handler = make()
  await until(() => {
    collectGarbage()
    return handler.deref() === undefined
  })
})
