import assert from 'node:assert/strict'
import {
  copyFileSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync
} from 'node:fs'
import { connect as connectTo, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { connect as connectTls, type ConnectionOptions, type TLSSocket } from 'node:tls'
import { until } from '../../test/harness/until.ts'
import { certificates } from '../../test/harness/certificates.ts'
import { FakeClock } from '../../test/harness/fake_clock.ts'
import { needs } from '../../test/harness/peers.ts'
import { Logger } from '../base/log.ts'
import { type ListenerSettings, type ServerConnection, StreamListener } from './listener.ts'
import type { TlsSettings } from './settings.ts'

const SERVER = {
  backlog: 128,
  sharesPort: false,
  acceptTimeoutMs: 10_000,
  reportsAcceptTimeout: true,
  ioTimeoutMs: 0,
  keepalive: true
}

/** A listener that echoes in capitals. */
class Site {
  readonly clock = new FakeClock(0)
  readonly lines: string[] = []
  readonly log: Logger
  readonly refused: string[] = []
  /** What came, over all connections. */
  received = ''
  readonly ended: string[] = []
  readonly open: ServerConnection[] = []
  paused = false
  room: Promise<void> | undefined
  /** What the handler has to do before it takes more. */
  work: Promise<void> | undefined
  readonly listener: StreamListener
  readonly folder = mkdtempSync(join(tmpdir(), 'spillway-listener-'))

  constructor(t: TestContext, settings: Partial<ListenerSettings> = {}) {
    const sink = { colour: false, write: (line: string) => void this.lines.push(line.trimEnd()) }
    this.log = new Logger({ sink, level: 'info', now: this.clock.now })
    this.listener = new StreamListener(
      { host: '127.0.0.1', port: 0, server: SERVER, tls: undefined, ...settings },
      this,
      connection => {
        this.open.push(connection)
        return {
          data: bytes => {
            this.received += bytes.toString()
            connection.write(bytes.toString().toUpperCase())
            return this.work
          },
          end: () => void this.ended.push('end'),
          closed: () => void this.ended.push('closed')
        }
      }
    )
    t.after(async () => {
      await this.listener.stop()
      rmSync(this.folder, { recursive: true, force: true })
    })
  }

  ready(): Promise<void> | undefined {
    return this.room
  }

  connectionEnded(reason: string): void {
    this.refused.push(reason)
  }

  async start(): Promise<this> {
    await this.listener.start()
    return this
  }

  /** A client; what it gets is in `got`. */
  client(t: TestContext): Client {
    return new Client(t, connectTo(this.listener.port, '127.0.0.1'))
  }

  tlsClient(t: TestContext, options: ConnectionOptions = {}): Client {
    const { authority } = certificates()
    const ca = readFileSync(authority)
    const { port } = this.listener
    return new Client(t, connectTls({ host: '127.0.0.1', port, ca, ...options }))
  }
}

class Client {
  readonly socket: Socket
  got = ''
  isClosed = false

  constructor(t: TestContext, socket: Socket) {
    this.socket = socket
    socket.on('data', bytes => void (this.got += bytes.toString()))
    socket.on('error', () => undefined)
    socket.on('close', () => (this.isClosed = true))
    t.after(() => socket.destroy())
  }
}

function serverTls(more: Partial<TlsSettings> = {}): TlsSettings {
  const { certificate, key } = certificates().server
  return {
    verify: true,
    verifyHostname: false,
    verifyClient: false,
    certFile: certificate,
    keyFile: key,
    ...more
  }
}

test('connections are served, told of the end of the peer, and closed when all is sent', async t => {
  const site = await new Site(t).start()
  const client = site.client(t)
  client.socket.end('hello')
  await until(() => client.isClosed)
  assert.equal(client.got, 'HELLO')
  assert.deepEqual(site.ended, ['end', 'closed'])
  assert.equal(site.listener.connections, 0)
})

test('an address in use is a start error that names it', async t => {
  const first = await new Site(t).start()
  const second = new Site(t, { port: first.listener.port })
  const where = `127.0.0.1:${first.listener.port}`
  await assert.rejects(
    second.listener.start(),
    new Error(`Cannot listen on ${where}: Address already in use`)
  )
})

test('connections beyond the limit are closed at once and counted; the others go on', async t => {
  const site = await new Site(t, { connectionsMax: 2 }).start()
  const [first, second] = [site.client(t), site.client(t)]
  await until(() => site.listener.connections === 2)
  const third = site.client(t)
  await until(() => third.isClosed)
  assert.deepEqual(site.refused, ['too_many_connections'])
  first.socket.write('a')
  second.socket.write('b')
  await until(() => first.got === 'A' && second.got === 'B')
  first.socket.destroy()
  await until(() => site.listener.connections === 1)
  const fourth = site.client(t)
  fourth.socket.write('d')
  await until(() => fourth.got === 'D')
})

test('while the input is paused nothing is read, and afterwards all of it comes', async t => {
  const site = await new Site(t).start()
  const before = site.client(t)
  before.socket.write('a')
  await until(() => before.got === 'A')
  site.paused = true
  site.listener.pause()
  before.socket.write('b')
  const during = site.client(t)
  during.socket.write('c')
  await until(() => site.listener.connections === 2)
  // Round trips of another connection show that bytes have had the time to come.
  await roundTrips(t)
  assert.equal(site.received, 'a')
  site.paused = false
  site.listener.resume()
  await until(() => before.got === 'AB' && during.got === 'C')
})

async function roundTrips(t: TestContext): Promise<void> {
  const other = await new Site(t).start()
  const client = other.client(t)
  for (let n = 1; n <= 20; n++) {
    client.socket.write('x')
    await until(() => client.got.length === n)
  }
}

test('while deliveries have no room nothing is read', async t => {
  const site = await new Site(t).start()
  const room = Promise.withResolvers<void>()
  site.room = room.promise
  const client = site.client(t)
  client.socket.write('a')
  await until(() => client.got === 'A')
  client.socket.write('b')
  await roundTrips(t)
  assert.equal(site.received, 'a')
  site.room = undefined
  room.resolve()
  await until(() => client.got === 'AB')
})

test('with net.io_timeout a silent connection is closed, one that sends is not', async t => {
  const site = await new Site(t, { server: { ...SERVER, ioTimeoutMs: 5000 } }).start()
  const [silent, busy] = [site.client(t), site.client(t)]
  await until(() => site.listener.connections === 2)
  site.clock.advance(4000)
  busy.socket.write('a')
  await until(() => busy.got === 'A')
  site.clock.advance(1000)
  await until(() => silent.isClosed)
  assert.deepEqual(site.refused, ['idle'])
  site.clock.advance(4000)
  await until(() => busy.isClosed)
})

test('a peer that never reads its answers is closed, whatever it sends', async t => {
  const site = await new Site(t).start()
  const client = site.client(t)
  client.socket.pause()
  const flood = (): void => {
    while (!client.isClosed && client.socket.write(Buffer.alloc(65_536, 'a')));
  }
  client.socket.on('drain', flood)
  client.socket.once('connect', flood)
  await until(() => site.refused.length > 0)
  assert.deepEqual(site.refused, ['slow_reader'])
  await until(() => site.listener.connections === 0)
})

test('a unix socket has its permissions, replaces a stale one and is gone after the stop', async t => {
  const folder = mkdtempSync(join(tmpdir(), 'spillway-unix-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  const path = join(folder, 'socket')
  const unix = { path, permissions: 0o600 }
  const site = await new Site(t, { unix }).start()
  assert.equal(statSync(path).mode & 0o777, 0o600)
  const client = new Client(t, connectTo(path))
  client.socket.write('a')
  await until(() => client.got === 'A')
  assert.deepEqual(site.open[0]?.peer, { address: '', port: 0 })
  await site.listener.stop()
  assert.equal(existsSync(path), false)
})

test('a file that is no socket is not removed for a unix socket', async t => {
  const folder = mkdtempSync(join(tmpdir(), 'spillway-unix-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  const path = join(folder, 'file')
  writeFileSync(path, 'precious')
  const site = new Site(t, { unix: { path, permissions: 0o600 } })
  await assert.rejects(site.listener.start(), {
    message: `Cannot listen on ${path}: Address already in use`
  })
  assert.equal(readFileSync(path, 'utf8'), 'precious')
})

test('TLS: a client that trusts the authority is served', needs('openssl'), async t => {
  const site = await new Site(t, { tls: serverTls() }).start()
  const client = site.tlsClient(t)
  client.socket.write('a')
  await until(() => client.got === 'A')
})

test(
  'TLS: garbage, plain text and a handshake that never ends are counted, and cost no one else',
  needs('openssl'),
  async t => {
    const server = { ...SERVER, acceptTimeoutMs: 300 }
    const site = await new Site(t, { tls: serverTls(), server }).start()
    const good = site.tlsClient(t)
    good.socket.write('a')
    await until(() => good.got === 'A')
    const plain = site.client(t)
    plain.socket.write('GET / HTTP/1.1\r\n\r\n')
    await until(() => plain.isClosed)
    const silent = site.client(t)
    await until(() => silent.isClosed)
    assert.deepEqual(site.refused, ['tls_handshake', 'accept_timeout'])
    assert.match(site.lines[0] ?? '', /TLS handshake with 127\.0\.0\.1:\d+ failed/)
    good.socket.write('b')
    await until(() => good.got === 'AB')
    assert.equal(site.received, 'ab')
  }
)

test(
  'mutual TLS: who has no certificate, or one of a stranger, gets nothing through',
  needs('openssl'),
  async t => {
    const { authority, client: own, stranger } = certificates()
    const tls = serverTls({ verifyClient: true, caFile: authority })
    const site = await new Site(t, { tls }).start()
    const keys = ({
      certificate,
      key
    }: {
      certificate: string
      key: string
    }): ConnectionOptions => ({
      cert: readFileSync(certificate),
      key: readFileSync(key)
    })
    const none = site.tlsClient(t)
    none.socket.write('none')
    const wrong = site.tlsClient(t, keys(stranger))
    wrong.socket.write('wrong')
    await until(() => none.isClosed && wrong.isClosed)
    const right = site.tlsClient(t, keys(own))
    right.socket.write('right')
    await until(() => right.got === 'RIGHT')
    assert.equal(site.received, 'right')
    assert.deepEqual(site.refused, ['tls_handshake', 'tls_handshake'])
  }
)

test(
  'a certificate that is changed is used for the next connection; a bad one is not',
  needs('openssl'),
  async t => {
    const folder = mkdtempSync(join(tmpdir(), 'spillway-certificates-'))
    t.after(() => rmSync(folder, { recursive: true, force: true }))
    const [certFile, keyFile] = [join(folder, 'server.crt'), join(folder, 'server.key')]
    const put = ({ certificate, key }: { certificate: string; key: string }): void => {
      copyFileSync(certificate, certFile)
      copyFileSync(key, keyFile)
    }
    const { server, rsa } = certificates()
    put(server)
    const site = await new Site(t, { tls: serverTls({ certFile, keyFile }) }).start()
    const kindOf = async (): Promise<string> => {
      const { socket } = site.tlsClient(t)
      await new Promise(resolve => socket.once('secureConnect', resolve))
      // An EC key has a curve, an RSA key has a modulus.
      const { modulus } = (socket as TLSSocket).getPeerCertificate() as { modulus?: string }
      return modulus === undefined ? 'ec' : 'rsa'
    }
    assert.equal(await kindOf(), 'ec')
    put(rsa)
    assert.equal(await kindOf(), 'ec')
    site.clock.advance(1000)
    assert.equal(await kindOf(), 'rsa')
    assert.match(site.lines.join('\n'), /\[tls\] reloaded TLS certificate configuration/)
    writeFileSync(certFile, 'nonsense')
    site.clock.advance(1000)
    assert.equal(await kindOf(), 'rsa')
    assert.match(site.lines.join('\n'), /detected certificate file changes but reload failed/)
  }
)

test('a certificate that cannot be used is an error that names it', needs('openssl'), t => {
  const { encrypted, server } = certificates()
  const make = (more: Partial<TlsSettings>) => () => new Site(t, { tls: serverTls(more) })
  assert.throws(make({ certFile: '/no/such.crt' }), {
    message: 'Cannot read tls.crt_file "/no/such.crt": No such file or directory'
  })
  assert.throws(
    make({ keyFile: encrypted.key, certFile: encrypted.certificate }),
    /Cannot use TLS files/
  )
  assert.throws(
    make({ keyFile: encrypted.key, certFile: server.certificate, keyPassword: 'wrong' }),
    error => {
      assert.ok(error instanceof Error)
      assert.doesNotMatch(error.message, /wrong/)
      return true
    }
  )
  const { passphrase: keyPassword } = encrypted
  make({ keyFile: encrypted.key, certFile: encrypted.certificate, keyPassword })()
})

test('a storm of connections that all close again leaves nothing', async t => {
  const site = await new Site(t).start()
  for (let round = 0; round < 10; round++) {
    const clients = Array.from({ length: 50 }, () => site.client(t))
    for (const { socket } of clients) socket.end('x')
    await until(() => clients.every(({ isClosed }) => isClosed))
  }
  await until(() => site.listener.connections === 0)
  assert.equal(site.received.length, 500)
  assert.equal(site.ended.filter(what => what === 'closed').length, 500)
})

test('a connection whose handler has work to do is not read, whatever the others do', async t => {
  const site = await new Site(t).start()
  const work = Promise.withResolvers<void>()
  const [busy, idle] = [site.client(t), site.client(t)]
  site.work = work.promise
  busy.socket.write('one ')
  await until(() => busy.got === 'ONE ')
  site.work = undefined
  busy.socket.end('two ')
  idle.socket.write('three ')
  await until(() => idle.got === 'THREE ')
  // Going on after a pause must not wake it.
  site.listener.pause()
  site.listener.resume()
  idle.socket.write('four ')
  await until(() => idle.got === 'THREE FOUR ')
  assert.deepEqual([site.received, site.ended], ['one three four ', []])
  work.resolve()
  await until(() => site.ended.length === 2)
  assert.deepEqual([site.received, site.ended], ['one three four two ', ['end', 'closed']])
})
