import assert from 'node:assert/strict'
import { createServer, type Server, type Socket } from 'node:net'
import { test, type TestContext } from 'node:test'
import { CLIENT_SETTINGS } from '../../test/harness/client_settings.ts'
import { until } from '../../test/harness/until.ts'
import { FakeClock } from '../../test/harness/fake_clock.ts'
import { Logger } from '../base/log.ts'
import type { Connection } from './connection.ts'
import { NetworkError } from './network_error.ts'
import type { ClientSettings, EndpointSettings } from './settings.ts'
import { Upstream, type UpstreamSettings } from './upstream.ts'

/** A server that answers each line with its own name and counts connections. */
class Remote {
  readonly name: string
  port = 0
  connections = 0
  requests = 0
  /** Set to answer nothing. */
  isSilent = false
  readonly #server: Server
  readonly sockets = new Set<Socket>()

  constructor(name: string) {
    this.name = name
    this.#server = createServer(socket => {
      this.connections++
      this.sockets.add(socket)
      socket.on('error', () => undefined)
      socket.once('close', () => this.sockets.delete(socket))
      socket.on('data', () => {
        this.requests++
        if (!this.isSilent) socket.write(name)
      })
    })
  }

  async start(t: TestContext): Promise<this> {
    await new Promise<void>(resolve => this.#server.listen(this.port, '127.0.0.1', resolve))
    const address = this.#server.address()
    if (typeof address === 'object' && address !== null) this.port = address.port
    t.after(() => this.stop())
    return this
  }

  async stop(): Promise<void> {
    if (!this.#server.listening) return
    const closed = new Promise<void>(resolve => this.#server.close(() => resolve()))
    for (const socket of this.sockets) socket.destroy()
    await closed
  }

  get endpoint(): EndpointSettings {
    return { name: this.name, host: '127.0.0.1', port: this.port, tls: undefined, properties: {} }
  }
}

interface Site {
  readonly upstream: Upstream
  readonly clock: FakeClock
  readonly log: string[]
}

function site(
  t: TestContext,
  remotes: readonly Remote[],
  settings: Partial<UpstreamSettings> = {},
  client: Partial<ClientSettings> = {}
): Site {
  const clock = new FakeClock(0)
  const log: string[] = []
  const sink = { colour: false, write: (line: string) => void log.push(line.trimEnd()) }
  const upstream = new Upstream(
    {
      endpoints: remotes.map(({ endpoint }) => endpoint),
      mode: 'round_robin',
      ejectAfter: 2,
      ejectMs: 5000,
      ...settings,
      client: { ...CLIENT_SETTINGS, ...client }
    },
    new Logger({ sink, level: 'info', now: clock.now }),
    clock
  )
  t.after(() => upstream.close())
  return { upstream, clock, log }
}

/** Asks whoever's turn it is for its name. */
async function ask(connection: Connection): Promise<string> {
  await connection.write(Buffer.from('who'))
  return (await connection.read()).toString()
}

async function names(upstream: Upstream, count: number): Promise<string[]> {
  const found: string[] = []
  for (let n = 0; n < count; n++) found.push(await upstream.use(ask).catch(reasonOf))
  return found
}

function reasonOf(cause: unknown): string {
  return cause instanceof NetworkError ? cause.reason : String(cause)
}

async function three(t: TestContext): Promise<[Remote, Remote, Remote]> {
  return Promise.all([new Remote('a').start(t), new Remote('b').start(t), new Remote('c').start(t)])
}

test('endpoints take turns, each over one connection that is kept', async t => {
  const remotes = await three(t)
  const { upstream } = site(t, remotes)
  assert.deepEqual(await names(upstream, 7), ['a', 'b', 'c', 'a', 'b', 'c', 'a'])
  assert.deepEqual(
    remotes.map(({ connections }) => connections),
    [1, 1, 1]
  )
})

test('an endpoint that cannot be reached costs nothing: the next one is used at once', async t => {
  const [a, b, c] = await three(t)
  const { upstream, log } = site(t, [a, b, c])
  await b.stop()
  assert.deepEqual(await names(upstream, 6), ['a', 'c', 'a', 'c', 'a', 'c'])
  const name = `127.0.0.1:${b.port}`
  assert.deepEqual(
    log.filter(line => line.includes('left out')).map(line => line.replace(/^\[[^\]]*\] /, '')),
    [
      `[ warn] endpoint ${name} is left out for 5 seconds: 2 failures in a row, the last one connection_refused`
    ]
  )
})

test('an endpoint that was left out is tried again when its time is up, and is back when that works', async t => {
  const [a, b] = await three(t)
  const { upstream, clock, log } = site(t, [a, b])
  await b.stop()
  await names(upstream, 4)
  const refusals = (): number => log.filter(line => line.includes('Connection refused')).length
  assert.equal(refusals(), 2)
  assert.deepEqual(await names(upstream, 3), ['a', 'a', 'a'])
  assert.equal(refusals(), 2)
  clock.advance(5000)
  // One try, which fails: it is out for twice as long.
  assert.deepEqual(await names(upstream, 3), ['a', 'a', 'a'])
  assert.equal(refusals(), 3)
  clock.advance(9999)
  await names(upstream, 2)
  assert.equal(refusals(), 3)
  clock.advance(1)
  await b.start(t)
  const after = await names(upstream, 4)
  assert.deepEqual(after.toSorted(), ['a', 'a', 'b', 'b'])
  assert.ok(log.some(line => line.endsWith(`endpoint 127.0.0.1:${b.port} is back`)))
})

test('failover uses the first that works, and goes back to it', async t => {
  const [a, b] = await three(t)
  const { upstream, clock } = site(t, [a, b], { mode: 'failover', ejectAfter: 1 })
  assert.deepEqual(await names(upstream, 2), ['a', 'a'])
  await a.stop()
  // The connection that was kept is closed; the next use finds out.
  await until(() => a.sockets.size === 0)
  assert.deepEqual(await names(upstream, 3), ['b', 'b', 'b'])
  await a.start(t)
  assert.deepEqual(await names(upstream, 1), ['b'])
  clock.advance(5000)
  assert.deepEqual(await names(upstream, 2), ['a', 'a'])
})

test('when all are out, one is tried all the same', async t => {
  const [a, b] = await three(t)
  const { upstream } = site(t, [a, b], { ejectAfter: 1 })
  await Promise.all([a.stop(), b.stop()])
  assert.deepEqual(await names(upstream, 3), Array(3).fill('connection_refused'))
  await b.start(t)
  await a.start(t)
  assert.equal((await names(upstream, 1))[0]?.length, 1)
})

test('an answer of overload counts as a failure while the connection is kept', async t => {
  const [a, b] = await three(t)
  const { upstream } = site(t, [a, b])
  const overloaded = async (connection: Connection): Promise<string> => {
    const name = await ask(connection)
    if (name === 'a') upstream.reportFailure(connection, new NetworkError('http_status_503', ''))
    return name
  }
  const used: string[] = []
  for (let n = 0; n < 6; n++) used.push(await upstream.use(overloaded))
  assert.deepEqual(used, ['a', 'b', 'a', 'b', 'b', 'b'])
  assert.equal(a.connections, 1)
})

test('a silent remote fails after net.io_timeout, and its connection is closed', async t => {
  const [a] = await three(t)
  a.isSilent = true
  const { upstream, clock, log } = site(t, [a], {}, { ioTimeoutMs: 3000 })
  const failed = upstream.use(ask).catch(reasonOf)
  await until(() => a.requests === 1)
  await clock.advanceSlowly(3100)
  assert.equal(await failed, 'timeout')
  await until(() => a.sockets.size === 0)
  assert.match(log.join('\n'), /broken connection to 127\.0\.0\.1:\d+: no progress for 3 seconds/)
})

test('connections are closed after their idle time and after so many uses', async t => {
  const [a] = await three(t)
  const { upstream, clock } = site(t, [a], {}, { usesMax: 3 })
  await names(upstream, 4)
  assert.equal(a.connections, 2)
  assert.equal(a.sockets.size, 1)
  clock.advance(29_999)
  await names(upstream, 1)
  assert.equal(a.connections, 2)
  clock.advance(30_000)
  await until(() => a.sockets.size === 0)
  await names(upstream, 1)
  assert.equal(a.connections, 3)
})

test('without keep-alive each use has a connection of its own', async t => {
  const [a] = await three(t)
  const { upstream } = site(t, [a], {}, { keepalive: false })
  await names(upstream, 3)
  assert.equal(a.connections, 3)
  await until(() => a.sockets.size === 0)
})

test('at most net.max_worker_connections are open at once; the others wait their turn', async t => {
  const [a] = await three(t)
  const { upstream } = site(t, [a], {}, { connectionsMax: 2 })
  const found = await Promise.all(Array.from({ length: 6 }, () => upstream.use(ask)))
  assert.deepEqual(found, Array(6).fill('a'))
  assert.equal(a.connections, 2)
})

test('a connection that the remote closed while it was kept is not used again', async t => {
  const [a] = await three(t)
  const { upstream } = site(t, [a])
  await names(upstream, 1)
  for (const socket of a.sockets) socket.end()
  await until(() => a.sockets.size === 0)
  assert.deepEqual(await names(upstream, 1), ['a'])
  assert.equal(a.connections, 2)
})

test('a connect that takes too long is given up', async t => {
  const [a] = await three(t)
  // TLS to a remote that never answers the handshake.
  const tls = { verify: false, verifyHostname: false, verifyClient: false }
  a.isSilent = true
  const { upstream, clock, log } = site(t, [a], {
    endpoints: [{ ...a.endpoint, tls }]
  })
  const failed = upstream.use(ask).catch(reasonOf)
  await until(() => a.connections === 1)
  clock.advance(10_000)
  assert.equal(await failed, 'connection_timeout')
  await until(() => a.sockets.size === 0)
  assert.match(
    log.join('\n'),
    /connection to tcp:\/\/127\.0\.0\.1:\d+ timed out after 10 seconds \(connection timeout\)/
  )
})

test('closing ends what is under way with the reason shutdown, and says nothing', async t => {
  const [a] = await three(t)
  a.isSilent = true
  const { upstream, log } = site(t, [a])
  const failed = upstream.use(ask).catch(reasonOf)
  await until(() => a.connections === 1)
  upstream.close()
  assert.equal(await failed, 'shutdown')
  assert.equal(await upstream.use(ask).catch(reasonOf), 'shutdown')
  assert.deepEqual(log, [])
})

test('a host without an address, and a port where nobody listens, have their reasons', async t => {
  const [a] = await three(t)
  const unknown = { ...a.endpoint, host: 'no-such-host.invalid' }
  const first = site(t, [a], { endpoints: [unknown] })
  assert.equal(await first.upstream.use(ask).catch(reasonOf), 'unknown_host')
  assert.match(first.log.join('\n'), /getaddrinfo\(host='no-such-host\.invalid'\)/)
})

test('a remote that sends without being asked is bounded', async t => {
  const [a] = await three(t)
  const { upstream } = site(t, [a])
  const failed = upstream
    .use(async connection => {
      await ask(connection)
      for (const socket of a.sockets)
        for (let n = 0; n < 40; n++) socket.write(Buffer.alloc(65_536))
      await until(() => !connection.isOpen)
      return connection.read()
    })
    .catch(reasonOf)
  assert.equal(await failed, 'protocol_error')
})

test('closing ends a connect that is under way', { timeout: 10_000 }, async t => {
  const [a] = await three(t)
  a.isSilent = true
  const tls = { verify: false, verifyHostname: false, verifyClient: false }
  const endpoints = [{ ...a.endpoint, tls }]
  const { upstream, log } = site(t, [a], { endpoints }, { connectTimeoutMs: 0 })
  const failed = upstream.use(ask).catch(reasonOf)
  await until(() => a.requests === 1)
  upstream.close()
  assert.equal(await failed, 'shutdown')
  await until(() => a.sockets.size === 0)
  assert.deepEqual(log, [])
})

test('writing to a connection that has ended fails, and fails once', async t => {
  const [a] = await three(t)
  const { upstream } = site(t, [a])
  const failed = upstream
    .use(async connection => {
      await ask(connection)
      for (const socket of a.sockets) socket.destroy()
      await until(() => connection.failure !== undefined)
      await connection.write(Buffer.from('who'))
    })
    .catch(reasonOf)
  assert.equal(await failed, 'connection_closed')
  // A second rejection, which nobody handles, would come with the next turn.
  await new Promise(resolve => setImmediate(resolve))
})

test('an answer of overload counts although another use has worked meanwhile', async t => {
  const [a, b] = await three(t)
  const { upstream } = site(t, [a, b], { mode: 'failover', ejectAfter: 2 })
  const refuse = async (connection: Connection): Promise<void> => {
    upstream.reportFailure(connection, new NetworkError('http_status_503', ''))
  }
  await upstream.use(refuse)
  await upstream.use(async connection => {
    await upstream.use(ask)
    await refuse(connection)
  })
  await upstream.use(refuse)
  assert.deepEqual(await names(upstream, 2), ['b', 'b'])
})
