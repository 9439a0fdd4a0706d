import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { createServer as createHttpServer } from 'node:http'
import {
  connect as connectTo,
  createServer as createTcpServer,
  type AddressInfo,
  type Server
} from 'node:net'
import { test, type TestContext } from 'node:test'
import { createServer as createTlsServer, type TlsOptions, type TLSSocket } from 'node:tls'
import { CLIENT_SETTINGS } from '../../test/harness/client_settings.ts'
import { certificates } from '../../test/harness/certificates.ts'
import { FakeClock } from '../../test/harness/fake_clock.ts'
import { needs } from '../../test/harness/peers.ts'
import { Logger } from '../base/log.ts'
import { Connector } from './connector.ts'
import { NetworkError } from './network_error.ts'
import type { ClientSettings, ProxySettings, TlsSettings } from './settings.ts'

const TLS: TlsSettings = { verify: true, verifyHostname: false, verifyClient: false }

interface Wish {
  readonly host?: string
  readonly tls?: Partial<TlsSettings> | undefined
  readonly client?: Partial<ClientSettings>
  readonly proxy?: ProxySettings
}

function connector(
  port: number,
  { host = '127.0.0.1', tls, client, proxy: through }: Wish = {}
): Connector {
  const clock = new FakeClock(0)
  const log = new Logger({ sink: { colour: false, write: () => {} }, level: 'off', now: clock.now })
  const settings = tls && { ...TLS, caFile: certificates().authority, ...tls }
  const endpoint = { name: 'x', host, port, tls: settings, proxy: through, properties: {} }
  return new Connector(endpoint, { ...CLIENT_SETTINGS, ...client }, log, clock)
}

/** What the remote said first, or the reason why there was no connection. */
async function greeting(port: number, wish: Wish = {}): Promise<string> {
  try {
    const socket = await connector(port, wish).connect()
    const text = await new Promise<string>(resolve => {
      socket.once('data', bytes => resolve(bytes.toString()))
      socket.once('close', () => resolve('closed'))
    })
    socket.destroy()
    return text
  } catch (cause) {
    assert.ok(cause instanceof NetworkError)
    return `${cause.reason}: ${cause.message}`
  }
}

async function listen(t: TestContext, server: Server, host = '127.0.0.1'): Promise<number> {
  await new Promise<void>(resolve => server.listen(0, host, resolve))
  t.after(() => server.close())
  return (server.address() as AddressInfo).port
}

/** A server that greets with the SNI, the name in the client's certificate and the protocol. */
async function tlsServer(t: TestContext, options: TlsOptions = {}): Promise<number> {
  const { certificate, key } = certificates().server
  const server = createTlsServer(
    { cert: readFileSync(certificate), key: readFileSync(key), ...options },
    socket => {
      socket.on('error', () => undefined)
      const { servername } = socket as TLSSocket & { servername: string | false }
      const name = socket.getPeerCertificate().subject?.CN ?? 'nobody'
      socket.end(`${servername} ${String(name)} ${socket.getProtocol()}`)
    }
  )
  server.on('tlsClientError', () => undefined)
  return listen(t, server)
}

test(
  'the certificate of the remote is checked, unless tls.verify is off',
  needs('openssl'),
  async t => {
    const { stranger } = certificates()
    const port = await tlsServer(t)
    assert.equal(await greeting(port, { tls: {} }), 'false nobody TLSv1.3')
    assert.match(await greeting(port, { tls: { caFile: stranger.authority } }), /^tls_error: /)
    assert.match(await greeting(port, { tls: { caFile: undefined } }), /^tls_error: /)
    const careless = { caFile: stranger.authority, verify: false }
    assert.equal(await greeting(port, { tls: careless }), 'false nobody TLSv1.3')
  }
)

test('an expired certificate is refused', needs('openssl'), async t => {
  const { certificate, key } = certificates().expired
  const port = await tlsServer(t, { cert: readFileSync(certificate), key: readFileSync(key) })
  assert.equal(await greeting(port, { tls: {} }), 'tls_error: certificate has expired')
})

test('the name is asked for and, with tls.verify_hostname, checked', needs('openssl'), async t => {
  const { certificate, key } = certificates().elsewhere
  const elsewhere = await tlsServer(t, { cert: readFileSync(certificate), key: readFileSync(key) })
  const port = await tlsServer(t)
  const strict = { verifyHostname: true }
  assert.equal(await greeting(port, { host: 'localhost', tls: strict }), 'localhost nobody TLSv1.3')
  assert.equal(await greeting(port, { tls: strict }), 'false nobody TLSv1.3')
  assert.equal(await greeting(elsewhere, { tls: {} }), 'false nobody TLSv1.3')
  assert.match(await greeting(elsewhere, { tls: strict }), /^tls_error: .*does not match/)
  const named = { serverName: 'elsewhere.example', verifyHostname: true }
  assert.equal(await greeting(elsewhere, { tls: named }), 'elsewhere.example nobody TLSv1.3')
})

test('a client shows its certificate, with an encrypted key too', needs('openssl'), async t => {
  const { authority, client, encrypted } = certificates()
  const options = { requestCert: true, rejectUnauthorized: true, ca: readFileSync(authority) }
  const port = await tlsServer(t, options)
  const own = { certFile: client.certificate, keyFile: client.key }
  assert.equal(await greeting(port, { tls: own }), 'false client TLSv1.3')
  const { certificate: certFile, key: keyFile, passphrase: keyPassword } = encrypted
  const lenient = await tlsServer(t, { ...options, rejectUnauthorized: false })
  const greeted = await greeting(lenient, { tls: { certFile, keyFile, keyPassword } })
  assert.match(greeted, /^false (?!nobody)\w+ TLSv1\.3$/)
})

test('versions and ciphers are kept to', needs('openssl'), async t => {
  const old = await tlsServer(t, { maxVersion: 'TLSv1.2' })
  assert.equal(await greeting(old, { tls: { minVersion: 'TLSv1.2' } }), 'false nobody TLSv1.2')
  assert.match(await greeting(old, { tls: { minVersion: 'TLSv1.3' } }), /^tls_error: /)
  const port = await tlsServer(t)
  assert.equal(await greeting(port, { tls: { maxVersion: 'TLSv1.2' } }), 'false nobody TLSv1.2')
  const narrow = { maxVersion: 'TLSv1.2', ciphers: 'ECDHE-ECDSA-AES256-GCM-SHA384' } as const
  assert.equal(await greeting(port, { tls: narrow }), 'false nobody TLSv1.2')
  const other = await tlsServer(t, { ciphers: 'ECDHE-ECDSA-CHACHA20-POLY1305' })
  assert.match(await greeting(other, { tls: narrow }), /^tls_error: /)
})

test('a remote that speaks no TLS is an error of TLS', needs('openssl'), async t => {
  const port = await listen(
    t,
    createTcpServer(socket => socket.end('220 welcome\r\n'))
  )
  assert.match(await greeting(port, { tls: {} }), /^tls_error: /)
})

test('all addresses of a host are tried, and net.source_address is connected from', async t => {
  const server = createTcpServer(socket => socket.end(socket.remoteAddress ?? ''))
  const port = await listen(t, server)
  assert.equal(await greeting(port, { host: 'localhost', client: { prefer: 'ipv6' } }), '127.0.0.1')
  const client = { sourceAddress: '127.0.0.77' }
  assert.equal(await greeting(port, { client }), '127.0.0.77')
  assert.match(await greeting(port, { client: { sourceAddress: '192.0.2.1' } }), /^unreachable: /)
})

/** A proxy that notes what it is asked; `answer` replaces its own. */
async function proxy(t: TestContext, asked: string[], answer?: string): Promise<ProxySettings> {
  const server = createHttpServer()
  server.on('connect', (request, socket) => {
    asked.push(`${request.url} ${request.headers['proxy-authorization'] ?? 'nobody'}`)
    if (answer !== undefined) {
      socket.end(answer)
      return
    }
    const [host = '', port = ''] = (request.url ?? '').split(':')
    const target = connectTo(Number(port), host, () => {
      socket.write('HTTP/1.1 200 Connection established\r\n\r\n')
      target.pipe(socket).pipe(target)
    })
    socket.on('error', () => target.destroy())
  })
  const port = await listen(t, server)
  return { host: '127.0.0.1', port, user: undefined, password: undefined, tls: undefined }
}

test(
  'a proxy is asked for a tunnel, with credentials, and TLS goes through it',
  needs('openssl'),
  async t => {
    const asked: string[] = []
    const through = await proxy(t, asked)
    const plain = await listen(
      t,
      createTcpServer(socket => socket.end('hello'))
    )
    assert.equal(await greeting(plain, { proxy: through }), 'hello')
    const secure = await tlsServer(t)
    const authorized = { ...through, user: 'me', password: 'secret' }
    assert.equal(await greeting(secure, { tls: {}, proxy: authorized }), 'false nobody TLSv1.3')
    assert.deepEqual(asked, [
      `127.0.0.1:${plain} nobody`,
      `127.0.0.1:${secure} Basic ${Buffer.from('me:secret').toString('base64')}`
    ])
  }
)

for (const [what, answer, words] of [
  ['refuses', 'HTTP/1.1 407 No\r\n\r\n', 'the proxy answered CONNECT with status 407'],
  ['is none', 'SSH-2.0\r\n\r\n', 'the proxy answered CONNECT with an answer that is not HTTP'],
  ['hangs up', '', 'the proxy closed the connection'],
  ['never ends', 'x'.repeat(20_000), 'the answer of the proxy is too long']
] as const) {
  test(`a proxy that ${what} is a failure with that reason`, async t => {
    const through = await proxy(t, [], answer)
    const found = await greeting(9, { proxy: through })
    assert.equal(found, `proxy_refused: ${words}`)
  })
}
