import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import type { Socket } from 'node:net'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { encodeEvent, EncodedInput, ODD_EVENTS } from '../../../test/harness/odd_events.ts'
import { freePort } from '../../../test/harness/peers.ts'
import { startPipeline, type TestPipeline } from '../../../test/harness/pipeline.ts'
import { seededRandom } from '../../../test/harness/random.ts'
import { receiveStream, type StreamReceiver } from '../../../test/harness/receivers.ts'

const RECORDED = join(import.meta.dirname, '../../../test/parity/output_nats/message.txt')

const INFO = 'INFO {"server_id":"x","version":"2.9.10","max_payload":1048576,"proto":1} \r\n'
const CONNECT =
  'CONNECT {"verbose":false,"pedantic":false,"ssl_required":false,"name":"fluent-bit","lang":"c","version":"5.1.1"}\r\n'

const EVENT = encodeEvent([1_700_000_000, 500_000_000], { message: 'hi' })
const PAYLOAD = '[[1700000000.5,{"tag":"app","message":"hi"}]]'

interface Run {
  readonly pipeline: TestPipeline
  send(...events: readonly Buffer[]): void
  sent(): number
  log(): string[]
}

async function start(t: TestContext, port: number, tag = 'app'): Promise<Run> {
  const input = new EncodedInput()
  const pipeline = await startPipeline(
    `[SERVICE]\n    flush 1\n    scheduler.base 1\n    scheduler.cap 2\n[INPUT]\n    name encoded\n[OUTPUT]\n    name nats\n    match *\n    port ${port}\n    retry_limit no_limits\n`,
    { plugins: [input.plugin] }
  )
  t.after(async () => pipeline.stop())
  return {
    pipeline,
    send: (...events) => {
      input.push(tag, ...events)
      pipeline.flush()
    },
    sent: () => pipeline.counter('fluentbit_output_proc_records_total', { name: 'nats.0' }),
    log: () => pipeline.log.filter(line => line.includes('[output:nats:'))
  }
}

/** A server that says INFO, answers PING, and says what a test wants before a PONG. */
async function serve(
  t: TestContext,
  options: { info?: string; port?: number; answer?: (socket: Socket, pings: number) => void } = {}
): Promise<StreamReceiver> {
  const { info = INFO, port, answer = (socket: Socket) => void socket.write('PONG\r\n') } = options
  let pings = 0
  const unread = new WeakMap<Socket, string>()
  return receiveStream(t, {
    ...(port === undefined ? {} : { port }),
    accept: socket => socket.write(info),
    take: (bytes, socket) => {
      const lines = `${unread.get(socket) ?? ''}${bytes.latin1Slice()}`.split('\r\n')
      unread.set(socket, lines.at(-1) ?? '')
      for (const line of lines.slice(0, -1)) if (line === 'PING') answer(socket, ++pings)
    }
  })
}

test('what is sent is that of Fluent Bit, and a PING that is answered', async t => {
  const server = await serve(t)
  const run = await start(t, server.port)
  run.send(EVENT, encodeEvent([1_700_000_001, 0], { message: 'é', tag: 'own' }))
  await run.pipeline.until(() => run.sent() === 2)
  const payload = `${PAYLOAD.slice(0, -1)},[1700000001.0,{"message":"\\u00e9","tag":"own"}]]`
  assert.equal(
    String(server.received),
    `${CONNECT}PING\r\nPUB app ${payload.length}\r\n${payload}\r\nPING\r\n`
  )
})

test('the next chunk has the same connection', async t => {
  const server = await serve(t)
  const run = await start(t, server.port)
  for (let count = 1; count <= 3; count++) {
    run.send(EVENT)
    await run.pipeline.until(() => run.sent() === count)
  }
  const message = `PUB app ${PAYLOAD.length}\r\n${PAYLOAD}\r\nPING\r\n`
  assert.equal(String(server.received), `${CONNECT}PING\r\n` + message + message + message)
  assert.equal(server.connections.length, 1)
})

test('odd events are sent as Fluent Bit does', async t => {
  const server = await serve(t)
  const run = await start(t, server.port)
  run.send(encodeEvent([0xffffffff, 0], {}), ...ODD_EVENTS, encodeEvent([0xfffffffe, 0], {}))
  await run.pipeline.until(() => run.sent() > 0)
  const recorded = readFileSync(RECORDED, 'latin1').replace('\r\nPUB', '\r\nPING\r\nPUB')
  assert.deepEqual(server.received.latin1Slice().split('],['), `${recorded}PING\r\n`.split('],['))
})

test('a tag cannot end the subject', async t => {
  const server = await serve(t)
  const run = await start(t, server.port, 'a b\r\nPUB c')
  run.send(EVENT)
  await run.pipeline.until(() => run.sent() === 1)
  assert.match(String(server.received), /\r\nPUB a_b__PUB_c \d+\r\n\[\[/)
})

test('a chunk that is longer than the server takes goes in several messages', async t => {
  const server = await serve(t, { info: 'INFO {"max_payload": 100}\r\n' })
  const run = await start(t, server.port)
  const long = encodeEvent([1_700_000_000, 500_000_000], { message: 'x'.repeat(80) })
  run.send(EVENT, EVENT, EVENT, long, EVENT)
  await run.pipeline.until(() => run.sent() === 4)
  const two = `[${PAYLOAD.slice(1, -1)},${PAYLOAD.slice(1)}`
  const message = (payload: string): string => `PUB app ${payload.length}\r\n${payload}\r\n`
  assert.equal(
    String(server.received),
    `${CONNECT}PING\r\n${message(two)}${message(PAYLOAD)}${message(PAYLOAD)}PING\r\n`
  )
  const labels = { kind: 'output', name: 'nats.0', reason: 'too_long' }
  assert.equal(run.pipeline.counter('spillway_dropped_records_total', labels), 1)
  assert.match(run.log().at(-1) ?? '', /1 events are longer than the 100 bytes/)
})

test('a message has at most as many bytes as the server takes, to the byte', async t => {
  const two = 2 * PAYLOAD.length - 1
  for (const [limit, messages] of [
    [two, 1],
    [two - 1, 2]
  ]) {
    const server = await serve(t, { info: `INFO {"max_payload":${limit}}\r\n` })
    const run = await start(t, server.port)
    run.send(EVENT, EVENT)
    await run.pipeline.until(() => run.sent() === 2)
    assert.equal(String(server.received).split('PUB ').length - 1, messages, `limit ${limit}`)
  }
})

test('a chunk that the server refuses is sent again, over a new connection', async t => {
  const server = await serve(t, {
    answer: (socket, pings) => {
      socket.write(pings === 2 ? "-ERR 'Permissions Violation'\r\nPONG\r\n" : 'PONG\r\n')
    }
  })
  const run = await start(t, server.port)
  run.send(EVENT)
  await run.pipeline.until(() => {
    run.pipeline.clock.advance(500)
    return run.sent() === 1
  })
  assert.equal(server.connections.length, 2)
  assert.deepEqual(run.log(), [
    `[error] [output:nats:nats.0] broken connection to 127.0.0.1:${server.port}: the server answered -ERR 'Permissions Violation'`
  ])
})

test('a PING of the server is answered, and +OK and INFO are passed over', async t => {
  const server = await serve(t, {
    answer: socket => void socket.write(`+OK\r\nPING\r\n${INFO}PONG\r\n`)
  })
  const run = await start(t, server.port)
  run.send(EVENT)
  await run.pipeline.until(() => run.sent() === 1 && String(server.received).endsWith('PONG\r\n'))
})

test('answers may come byte by byte', async t => {
  const server = await receiveStream(t, {
    accept: socket => void drip(socket, INFO),
    take: (bytes, socket) => {
      if (bytes.includes('PING')) void drip(socket, '+OK\r\nPONG\r\n')
    }
  })
  const run = await start(t, server.port)
  run.send(EVENT)
  await run.pipeline.until(() => run.sent() === 1)
})

async function drip(socket: Socket, text: string): Promise<void> {
  socket.setNoDelay(true)
  for (const byte of text) {
    await new Promise(resolve => socket.write(byte, resolve))
    await new Promise(resolve => setImmediate(resolve))
  }
}

const ODD_ANSWERS: Readonly<Record<string, string>> = {
  'HTTP/1.1 400 Bad Request\r\n':
    'the server answered "HTTP/1.1 400 Bad Request", which is not NATS',
  '\r\n': 'the server answered "", which is not NATS',
  "-ERR 'Authorization Violation'\r\n": "the server answered -ERR 'Authorization Violation'"
}

for (const [info, words] of Object.entries(ODD_ANSWERS)) {
  test(`the connection is given up: ${words}`, async t => {
    const server = await serve(t, { info })
    const run = await start(t, server.port)
    run.send(EVENT)
    await run.pipeline.until(() => run.log().some(line => line.endsWith(words)))
    assert.equal(run.sent(), 0)
  })
}

test('a line without an end is bounded', async t => {
  const server = await serve(t, { info: 'INFO '.padEnd(500_000, 'x') })
  const run = await start(t, server.port)
  run.send(EVENT)
  await run.pipeline.until(() => run.log().some(line => line.includes('which is not NATS')))
})

test('a server that says nothing, or never answers the PING, is given up after ten seconds', async t => {
  for (const [info, answered] of [
    ['', 0],
    [INFO, 0],
    [INFO, 1]
  ] as const) {
    const server = await serve(t, {
      info,
      answer: (socket, pings) => void (pings <= answered && socket.write('PONG\r\n'))
    })
    const run = await start(t, server.port)
    run.send(EVENT)
    await run.pipeline.until(() => server.connections.length > 0)
    await run.pipeline.until(() => {
      run.pipeline.clock.advance(500)
      return run.log().some(line => line.includes('no progress for 10 seconds'))
    })
    assert.equal(run.sent(), 0)
  }
})

test('whatever a server says, a chunk is delivered or sent again', async t => {
  const random = seededRandom(7)
  const text = `${INFO}PING\r\n+OK\r\n-ERR 'x'\r\nPONG\r\n`
  const server = await receiveStream(t, {
    accept: socket => {
      const bytes = Buffer.from(text)
      for (let times = random() * 6; times > 0; times--) {
        bytes[Math.floor(random() * bytes.length)] = Math.floor(random() * 256)
      }
      socket.end(bytes.subarray(0, Math.floor(random() * bytes.length * 1.5)))
    }
  })
  const run = await start(t, server.port)
  run.send(EVENT)
  await run.pipeline.until(() => {
    run.pipeline.clock.advance(500)
    if (run.sent() > 0) run.send(EVENT)
    return server.connections.length > 150
  })
})

test('nobody listens, then somebody does', async t => {
  const port = await freePort()
  const run = await start(t, port)
  run.send(EVENT)
  await run.pipeline.until(() => run.log().some(line => line.includes('no upstream connections')))
  await serve(t, { port })
  await run.pipeline.until(() => {
    run.pipeline.clock.advance(500)
    return run.sent() === 1
  })
})
