/** The server of the package ws takes what the output websocket sends; it is strict about masks, UTF-8 and the rest. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { createServer as createSecureServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { test, type TestContext } from 'node:test'
import { type WebSocket, WebSocketServer } from 'ws'
import { certificates } from '../harness/certificates.ts'
import { encodeEvent, EncodedInput, ODD_EVENTS } from '../harness/odd_events.ts'
import { needs } from '../harness/peers.ts'
import { startPipeline, type TestPipeline } from '../harness/pipeline.ts'

interface Received {
  readonly bytes: Buffer
  readonly isBinary: boolean
}

class Server {
  readonly received: Received[] = []
  readonly sockets: WebSocket[] = []
  readonly paths: string[] = []
  readonly failures: Error[] = []
  pongs = 0
  readonly port: number

  constructor(port: number) {
    this.port = port
  }
}

async function serve(t: TestContext, isSecure = false): Promise<Server> {
  const { certificate, key } = certificates().server
  const http = isSecure
    ? createSecureServer({ cert: readFileSync(certificate), key: readFileSync(key) })
    : createServer()
  await new Promise<void>(resolve => http.listen(0, '127.0.0.1', resolve))
  const server = new Server((http.address() as AddressInfo).port)
  const sockets = new WebSocketServer({ server: http })
  sockets.on('connection', (socket, request) => {
    server.sockets.push(socket)
    server.paths.push(request.url ?? '')
    socket.on('message', (bytes: Buffer, isBinary) => server.received.push({ bytes, isBinary }))
    socket.on('pong', () => server.pongs++)
    socket.on('error', error => server.failures.push(error))
  })
  t.after(() => {
    for (const socket of server.sockets) socket.terminate()
    sockets.close()
    http.close()
  })
  return server
}

async function start(
  t: TestContext,
  keys: string
): Promise<{ run: TestPipeline; send: (...events: readonly Buffer[]) => void }> {
  const input = new EncodedInput()
  const run = await startPipeline(
    `[SERVICE]\n    flush 1\n[INPUT]\n    name encoded\n[OUTPUT]\n    name websocket\n    match *\n    retry_limit no_limits\n${keys}`,
    { plugins: [input.plugin] }
  )
  t.after(async () => run.stop())
  const send = (...events: readonly Buffer[]): void => {
    input.push('app', ...events)
    run.flush()
  }
  return { run, send }
}

const EVENT = encodeEvent([1, 0], { a: 'ё' })

test('text and binary messages of every form of length', needs('openssl'), async t => {
  const server = await serve(t)
  for (const [format, isBinary] of [
    ['json_lines', false],
    ['msgpack', true]
  ] as const) {
    const { run, send } = await start(
      t,
      `    port ${server.port}\n    uri /in\n    format ${format}\n`
    )
    for (const events of [[EVENT], ODD_EVENTS, Array.from({ length: 10_000 }, () => EVENT)]) {
      const before = server.received.length
      send(...events)
      await run.until(() => server.received.length === before + 1)
      const message = server.received.at(-1)
      assert.equal(message?.isBinary, isBinary)
      if (isBinary) assert.deepEqual(message?.bytes, Buffer.concat(events))
      else assert.equal(message?.bytes.toString().split('\n').length, events.length + 1)
    }
  }
  assert.deepEqual(server.paths, ['/in', '/in'])
  assert.deepEqual(server.failures, [])
})

test('over TLS, with pings and a goodbye between', needs('openssl'), async t => {
  const server = await serve(t, true)
  const { authority } = certificates()
  const { run, send } = await start(
    t,
    `    host localhost\n    net.dns.prefer_ipv4 on\n    port ${server.port}\n    tls on\n    tls.verify_hostname on\n    tls.ca_file ${authority}\n    format json\n`
  )
  send(EVENT)
  await run.until(() => server.received.length === 1)
  server.sockets[0]?.ping('are you there')
  await run.until(() => server.pongs === 1)
  let code = 0
  server.sockets[0]?.on('close', given => (code = given))
  server.sockets[0]?.close(1001, 'going away')
  await run.until(() => code !== 0)
  assert.equal(code, 1001)
  send(EVENT)
  await run.until(() => server.received.length === 2)
  assert.equal(server.sockets.length, 2)
  assert.deepEqual(server.failures, [])
})
