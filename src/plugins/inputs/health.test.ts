import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Server } from 'node:net'
import { test, type TestContext } from 'node:test'
import { checkConfiguration, startPipeline } from '../../../test/harness/pipeline.ts'

function configuration(keys: string): string {
  return `
[INPUT]
    name  health
    tag   check
${keys}
[OUTPUT]
    name  collect
    match *
`
}

/** A server that counts connections and how they end. */
class TestServer {
  connections = 0
  closed = 0
  readonly #server: Server

  constructor() {
    this.#server = createServer(socket => {
      this.connections++
      socket.on('close', () => this.closed++).resume()
    })
  }

  async listen(test: TestContext): Promise<number> {
    this.#server.listen(0, '127.0.0.1')
    await once(this.#server, 'listening')
    test.after(() => this.#server.close())
    return (this.#server.address() as AddressInfo).port
  }
}

/** A port of this machine that nobody listens on. */
async function closedPort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

test('health connects anew for each record and hangs up', async t => {
  const server = new TestServer()
  const port = await server.listen(t)
  const keys = `    host 127.0.0.1\n    port ${port}\n    add_host on\n    add_port on`
  const run = await startPipeline(configuration(keys))
  for (let check = 1; check <= 2; check++) {
    run.clock.advance(1000)
    await run.until(() => server.closed === check)
  }
  run.flush()
  const body = { alive: true, hostname: '127.0.0.1', port }
  assert.deepEqual(run.bodies, [body, body])
  assert.deepEqual(Object.keys(run.bodies[0] as object), Object.keys(body))
  assert.equal(run.taken[0].tag, 'check')
  await run.stop()
})

test('health sends alive false when nobody listens', async () => {
  const port = await closedPort()
  const run = await startPipeline(configuration(`    host 127.0.0.1\n    port ${port}`))
  const records = (): number => run.counter('fluentbit_input_records_total', { name: 'health.0' })
  run.clock.advance(1000)
  await run.until(() => records() === 1)
  run.flush()
  assert.deepEqual(run.bodies, [{ alive: false }])
  await run.stop()
})

test('health with alert sends records only while the server is down', async t => {
  const server = new TestServer()
  const port = await server.listen(t)
  const run = await startPipeline(
    configuration(`    host 127.0.0.1\n    port ${port}\n    alert on`)
  )
  run.clock.advance(1000)
  await run.until(() => server.closed === 1)
  assert.equal(run.counter('fluentbit_input_records_total', { name: 'health.0' }), 0)
  await run.stop()
})

test('health gives a server up after net.connect_timeout, and later checks do not wait for it', async () => {
  const keys =
    '    host 127.0.0.1\n    port 9\n    net.connect_timeout 2\n    net.source_address 127.0.0.1'
  const run = await startPipeline(configuration(keys))
  // Nothing of the network happens within one turn of the event loop, as if the server did not answer.
  run.clock.advance(4000)
  const line =
    '[error] [input:health:health.0] connection to tcp://127.0.0.1:9 timed out after 2 seconds'
  assert.deepEqual(
    run.log.filter(text => text === line),
    [line, line]
  )
  assert.deepEqual(
    run.taken.flatMap(chunk => chunk.events.map(event => event.time)),
    [
      [1700000003, 0],
      [1700000004, 0]
    ]
  )
  await run.stop()
})

test('health keeps quiet about time-outs with net.connect_timeout_log_error off', async () => {
  const keys =
    '    host 127.0.0.1\n    port 9\n    net.connect_timeout 2\n    net.connect_timeout_log_error off'
  const run = await startPipeline(configuration(keys))
  run.clock.advance(4000)
  assert.deepEqual(
    run.log.filter(text => text.includes('timed out')),
    []
  )
  assert.deepEqual(run.bodies, [{ alive: false }, { alive: false }])
  await run.stop()
})

test('health drops the checks that are under way when it stops', async t => {
  const server = new TestServer()
  const port = await server.listen(t)
  const run = await startPipeline(configuration(`    host 127.0.0.1\n    port ${port}`))
  run.clock.advance(1000)
  await run.stop()
  // Connections are made in order: when this one stands, the one of the check would have been seen.
  const later = connect(port, '127.0.0.1')
  await once(later, 'connect')
  later.destroy()
  assert.equal(run.counter('fluentbit_input_records_total', { name: 'health.0' }), 0)
})

const REFUSED: readonly [keys: string, errors: readonly string[]][] = [
  [
    '    port 80',
    [
      'fluent-bit.conf:2:1: Cannot set "host" on input health: it is not set, it must name a TCP server'
    ]
  ],
  [
    '    host a\n    tls on',
    [
      'fluent-bit.conf:6:9: Cannot set "tls" on input health: value must be off: this version checks health without TLS'
    ]
  ],
  [
    '    host a\n    port 70000',
    [
      'fluent-bit.conf:6:10: Cannot set "port" on input health: value must be 0 to 65535: current value is "70000"'
    ]
  ],
  [
    '    host a\n    net.source_address b',
    [
      'fluent-bit.conf:6:24: Cannot set "net.source_address" on input health: value must be an IP address: current value is "b"'
    ]
  ]
]

for (const [keys, errors] of REFUSED) {
  test(`health refuses ${keys.trim().replace(/\s+/g, ' ')}`, async () => {
    assert.deepEqual((await checkConfiguration(configuration(keys))).errors, errors)
  })
}
