/** What http sends besides JSON over one plain connection. Requests are those of Fluent Bit 5.1.1 for the same records. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { type AddressInfo, connect, createServer } from 'node:net'
import { test, type TestContext } from 'node:test'
import { certificates } from '../../../../test/harness/certificates.ts'
import {
  ACCEPTED,
  HANG,
  NO_BODY,
  type OutputRun,
  startOutput,
  TestServer
} from '../../../../test/harness/http_output.ts'
import { EncodedInput, encodeEvent } from '../../../../test/harness/odd_events.ts'
import { needs } from '../../../../test/harness/peers.ts'
import type { PipelineOptions } from '../../../../test/harness/pipeline.ts'
import { type Compression, expand } from '../../../codec/compression.ts'
import type { Encodable } from '../../../codec/msgpack_writer.ts'
import { drop, OK, partial, retry } from '../../../plugin/delivery.ts'
import { http } from './http.ts'

function start(
  server: { readonly port: number },
  keys = '',
  options: PipelineOptions = {}
): Promise<OutputRun> {
  return startOutput(http, server, `    json_date_key no\n${keys}`, options)
}

/** Sends one chunk and gives the requests. */
async function sendOne(
  server: TestServer,
  keys: string,
  bodies: readonly Encodable[] = [{ a: 1 }],
  options: PipelineOptions = {}
): Promise<{ requests: string[]; output: OutputRun }> {
  const output = await start(server, keys, options)
  output.run.push('app', ...bodies)
  output.run.flush()
  await output.delivered(1)
  await output.run.stop()
  return { requests: server.seen, output }
}

const HOST = 'POST / HTTP/1.1\r\nHost: 127.0.0.1:PORT\r\n'
const AGENT = 'User-Agent: Fluent-Bit\r\n'
const KEPT = 'Connection: keep-alive\r\n\r\n'

// --- formats, compression, basic authentication

test('http sends basic credentials behind the encoding; the password may be missing', async t => {
  const server = await new TestServer().listen(t)
  const { requests } = await sendOne(
    server,
    '    compress snappy\n    http_user me\n    header_tag X-T\n    header X-A 1'
  )
  assert.deepEqual(requests, [
    `${HOST}Content-Length: 11\r\nContent-Type: application/json\r\nX-T: app\r\n` +
      `Content-Encoding: snappy\r\nAuthorization: Basic bWU6\r\n${AGENT}X-A: 1\r\n${KEPT}\t [{"a":1}]`
  ])
  const other = await new TestServer().listen(t)
  const { requests: second } = await sendOne(other, '    http_user mé\n    http_passwd p:w')
  const credentials = Buffer.from('mé:p:w').toString('base64')
  assert.ok(second[0]?.includes(`\r\nAuthorization: Basic ${credentials}\r\n`))
})

for (const kind of ['gzip', 'snappy', 'zstd'] satisfies Compression[]) {
  test(`http compresses a body of many pieces with ${kind}`, async t => {
    const server = await new TestServer().listen(t)
    const output = await start(server, `    compress ${kind.toUpperCase()}\n    format json_lines`)
    const bodies = Array.from({ length: 5000 }, (_, n) => ({ n, text: 'x'.repeat(100) }))
    output.run.push('app', ...bodies)
    output.run.flush()
    await output.delivered(1)
    await output.run.stop()
    const [request = Buffer.alloc(0)] = server.raw
    const head = request.toString('latin1', 0, request.indexOf('\r\n\r\n'))
    const sent = request.subarray(request.indexOf('\r\n\r\n') + 4)
    assert.match(head, new RegExp(`\r\nContent-Length: ${sent.length}\r\n`))
    assert.match(head, new RegExp(`\r\nContent-Encoding: ${kind}\r\n`))
    const text = (await expand(kind, sent, 10_000_000)).toString()
    assert.equal(text, bodies.map(body => `${JSON.stringify(body)}\n`).join(''))
  })
}

for (const [format, lines] of [
  ['msgpack', []],
  ['MsgPack', []],
  ['nope', ["[error] unrecognized 'format' option. Using 'msgpack'"]]
] as const) {
  test(`http sends the events as they are with format ${format}`, async t => {
    const server = await new TestServer().listen(t)
    const input = new EncodedInput()
    const output = await start(server, `    format ${format}\n[INPUT]\n    name encoded`, {
      plugins: [input.plugin]
    })
    const event = encodeEvent([1, 2], { a: 1, é: [null] }, { m: 1 })
    input.push('odd', event)
    output.run.flush()
    await output.delivered(1)
    await output.run.stop()
    const [request = Buffer.alloc(0)] = server.raw
    assert.match(request.toString('latin1'), /\r\nContent-Type: application\/msgpack\r\n/)
    assert.deepEqual(request.subarray(-event.length), event)
    assert.deepEqual(output.lines().slice(0, -1), lines)
  })
}

test('http sends gelf, a line for each record', async t => {
  const server = await new TestServer().listen(t)
  const { requests } = await sendOne(server, '    format gelf\n    gelf_short_message_key a', [
    { a: 'x', host: 'h', b: [1, { c: 2 }] },
    { a: 'y' }
  ])
  const body =
    '{"version":"1.1", "short_message":"x", "host":"h", "_b":"1, c=2", "timestamp":1700000000.123}\n' +
    '{"version":"1.1", "short_message":"y", "timestamp":1700000000.123}\n'
  assert.deepEqual(requests, [
    `${HOST}Content-Length: ${body.length}\r\nContent-Type: application/json\r\n${AGENT}${KEPT}${body}`
  ])
})

test('http gives up records that are no gelf, and sends the others (Fluent Bit gives up the chunk)', async t => {
  const server = await new TestServer().listen(t)
  server.answer = number =>
    number === 1 ? `HTTP/1.1 503 Busy\r\nRetry-After: 20\r\n${NO_BODY}` : ACCEPTED
  const output = await start(server, '    format gelf')
  output.run.push('app', { a: 1 }, { short_message: 'x' }, { a: 2 })
  output.run.flush()
  await output.delivered(1)
  output.run.clock.advance(20_000)
  await output.delivered(2)
  output.run.push('app', { a: 3 })
  output.run.flush()
  await output.delivered(3)
  await output.run.stop()
  assert.deepEqual(output.deliveries, [
    partial({
      retry: [1],
      drop: [{ reason: 'not_gelf', events: [0, 2] }],
      reason: 'http_status_503',
      waitMs: 20_000
    }),
    OK,
    partial({ drop: [{ reason: 'not_gelf', events: [0] }] })
  ])
  assert.equal(server.requests.length, 2)
  assert.deepEqual(
    output.lines()[0],
    '[error] error encoding to GELF: missing short_message key (2 records)'
  )
})

// --- a request for each record

const RECORD_KEYS = '    body_key $b\n    headers_key $h\n'

test('http sends a request for each record with body_key', async t => {
  const server = await new TestServer().listen(t)
  const output = await start(
    server,
    `${RECORD_KEYS}    header X-C 1\n    header_tag X-T\n    http_user u\n    compress snappy`
  )
  output.run.push(
    'app',
    // Fluent Bit sends no header behind one that is not text.
    { b: 'BODY', h: { 'X-A': '1', n: 5, 'X-B': 'é\r\nx', 'content-length': '9' } },
    { b: Buffer.from('bin'), h: {} },
    { b: 1, h: {} },
    { b: 'x' },
    { b: 'x', h: 'x' },
    { b: 'x', h: { 'a b': 'x' } }
  )
  output.run.flush()
  await output.delivered(1)
  output.run.push('app', { b: 'x', h: {} })
  output.run.flush()
  await output.delivered(2)
  await output.run.stop()
  const rest = `X-T: app\r\nContent-Encoding: snappy\r\nAuthorization: Basic dTo=\r\n${AGENT}X-C: 1\r\n${KEPT}`
  assert.deepEqual(server.seen.slice(0, 2), [
    `${HOST}Content-Length: 6\r\nX-A: 1\r\nX-B: é  x\r\n${rest}\u0004\fBODY`,
    `${HOST}Content-Length: 5\r\n${rest}\u0003\bbin`
  ])
  assert.deepEqual(output.deliveries, [
    partial({ drop: [{ reason: 'no_body_or_headers', events: [2, 3, 4, 5] }] }),
    OK
  ])
  assert.deepEqual(output.lines(), [
    '[ info] 127.0.0.1:PORT, HTTP status=200',
    '[ info] 127.0.0.1:PORT, HTTP status=200',
    '[ warn] failed to extract body using pattern "$b" (must be a msgpack string or bin)',
    '[ warn] failed to extract body/headers using patterns "$b" and "$h"',
    '[ warn] error extracting headers using pattern "$h"',
    '[ info] 127.0.0.1:PORT, HTTP status=200'
  ])
})

test('each record has its own end with body_key; what is to be sent again holds those behind it back', async t => {
  const server = await new TestServer().listen(t)
  const answers = ['200 OK', '400 Bad', '429 Slow\r\nRetry-After: 30', '200 OK', '200 OK', '200 OK']
  server.answer = number => `HTTP/1.1 ${answers[number - 1]}\r\n${NO_BODY}`
  const output = await start(server, RECORD_KEYS)
  const records = ['a', 'b', 'c', 'd'].map(b => ({ b, h: {} }))
  output.run.push('app', ...records)
  output.run.flush()
  await output.delivered(1)
  assert.deepEqual(server.bodies, ['a', 'b', 'c'])
  output.run.clock.advance(30_000)
  await output.delivered(2)
  await output.run.stop()
  assert.deepEqual(server.bodies, ['a', 'b', 'c', 'c', 'd'])
  assert.deepEqual(output.deliveries, [
    partial({
      retry: [2, 3],
      drop: [{ reason: 'http_status_400', events: [1] }],
      reason: 'http_status_429',
      waitMs: 30_000
    }),
    OK
  ])
})

// --- where to

test('the path in the name of the output counts before uri', async t => {
  const server = await new TestServer().listen(t)
  const output = await startOutput(
    http,
    server,
    '    json_date_key no\n    uri /other\n[OUTPUT]\n' +
      `    name http://127.0.0.1:${server.port}/some/path?q\n    match *\n    json_date_key no`
  )
  output.run.push('app', { a: 1 })
  output.run.flush()
  await output.run.until(() => server.requests.length === 2)
  await output.run.stop()
  assert.deepEqual(server.requests.map(request => request.split(' ')[1]).toSorted(), [
    '/other',
    '/some/path?q'
  ])
})

test('a proxy gets whole URLs', async t => {
  const server = await new TestServer().listen(t)
  const output = await start(
    { port: 8080 },
    `    host some.host\n    uri /x\n    proxy http://127.0.0.1:${server.port}\n    net.proxy_env_ignore off`,
    { environment: { HTTP_PROXY: 'http://127.0.0.1:9' } }
  )
  output.run.push('app', { a: 1 })
  output.run.flush()
  await output.delivered(1)
  await output.run.stop()
  assert.deepEqual(server.requests, [
    'POST http://some.host:8080/x HTTP/1.1\r\nProxy-Connection: KeepAlive\r\nHost: some.host:8080\r\n' +
      `Content-Length: 9\r\nContent-Type: application/json\r\n${AGENT}${KEPT}[{"a":1}]`
  ])
  assert.deepEqual(output.lines(), ['[ info] some.host:PORT, HTTP status=200'])
})

/** A proxy that connects to one server, whatever it is asked for; gives what it was asked. */
async function tunnel(t: TestContext, to: number): Promise<{ port: number; asked: string[] }> {
  const asked: string[] = []
  const proxy = createServer(socket => {
    socket.on('error', () => {})
    socket.once('data', (head: Buffer) => {
      asked.push(head.toString())
      const server = connect(to, '127.0.0.1')
      server.on('error', () => {})
      socket.write('HTTP/1.1 200 Connection established\r\n\r\n')
      socket.pipe(server).pipe(socket)
    })
  })
  proxy.listen(0, '127.0.0.1')
  await once(proxy, 'listening')
  t.after(() => proxy.close())
  return { port: (proxy.address() as AddressInfo).port, asked }
}

test('the proxy of the environment is asked to CONNECT', async t => {
  const server = await new TestServer().listen(t)
  const proxy = await tunnel(t, server.port)
  const output = await start({ port: 8080 }, '    host some.host', {
    environment: { HTTP_PROXY: `http://127.0.0.1:${proxy.port}` }
  })
  for (let number = 1; number <= 2; number++) {
    output.run.push('app', { number })
    output.run.flush()
    await output.delivered(number)
  }
  await output.run.stop()
  assert.equal(proxy.asked.length, 1)
  assert.match(proxy.asked[0] ?? '', /^CONNECT some\.host:8080 HTTP\/1\.1\r\n/)
  assert.deepEqual(server.bodies, ['[{"number":1}]', '[{"number":2}]'])
  assert.match(server.requests[0] ?? '', /^POST \/ HTTP\/1\.1\r\nHost: some\.host:8080\r\n/)
})

test('http sends over TLS and checks whom it sends to', needs('openssl'), async t => {
  const { server: pair, authority, elsewhere } = certificates()
  for (const [{ certificate, key }, expected] of [
    [pair, OK],
    [elsewhere, retry('tls_error')]
  ] as const) {
    const server = new TestServer({ cert: readFileSync(certificate), key: readFileSync(key) })
    await server.listen(t)
    const { output } = await sendOne(
      server,
      `    host localhost\n    tls on\n    tls.ca_file ${authority}\n    tls.verify_hostname on\n    retry_limit no_retries`
    )
    assert.deepEqual(output.deliveries, [expected])
    if (expected === OK) assert.match(server.seen[0] ?? '', /\r\nHost: localhost:PORT\r\n/)
    else assert.deepEqual(server.requests, [])
  }
})

test('a group goes on with its other endpoints when one answers 502, 503 or 504', async t => {
  const sick = await new TestServer().listen(t)
  const well = await new TestServer().listen(t)
  const statuses = [502, 503, 504]
  sick.answer = number => `HTTP/1.1 ${statuses[(number - 1) % 3]} No\r\n${NO_BODY}`
  const node = (name: string, { port }: TestServer): string =>
    `[NODE]\n    name ${name}\n    host 127.0.0.1\n    port ${port}\n`
  const output = await start(well, '    upstream group.conf\n    retry_limit no_retries', {
    files: {
      'group.conf': `[UPSTREAM]\n    name group\n    mode failover\n${node('sick', sick)}${node('well', well)}`
    }
  })
  for (let turn = 1; turn <= 4; turn++) {
    output.run.push('app', { turn })
    output.run.flush()
    await output.delivered(turn)
  }
  await output.run.stop()
  assert.deepEqual([sick.requests.length, well.requests.length], [3, 1])
  assert.ok(
    output
      .lines()
      .includes(
        `[ warn] endpoint 127.0.0.1:${sick.port} is left out for 5 seconds: 3 failures in a row, the last one http_status_504`
      )
  )
})

// --- tokens

const TOKEN_KEYS = `
    oauth2.enable on
    oauth2.client_id id
    oauth2.client_secret s
    http_user me
    oauth2.token_url http://127.0.0.1:PORT/token?x`

function tokenAnswer(name: string): string {
  const body = `{"access_token":"${name}","token_type":"Bearer","expires_in":300}`
  return `HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n${body}`
}

test('http gets a token, sends with it, and gets another when it is refused', async t => {
  const server = await new TestServer().listen(t)
  const answers = [
    tokenAnswer('tok1'),
    `HTTP/1.1 401 No\r\n${NO_BODY}`,
    tokenAnswer('tok2'),
    ACCEPTED,
    ACCEPTED
  ]
  server.answer = number => answers[number - 1] ?? HANG
  const output = await start(server, TOKEN_KEYS.replace('PORT', String(server.port)))
  for (let number = 1; number <= 2; number++) {
    output.run.push('app', { number })
    output.run.flush()
    await output.delivered(number)
  }
  await output.run.stop()
  await output.run.until(() => server.closed === server.connections)
  const ask =
    'POST /token?x HTTP/1.1\r\nHost: 127.0.0.1:PORT\r\nContent-Length: 29\r\n' +
    'Content-Type: application/x-www-form-urlencoded\r\nAuthorization: Basic aWQ6cw==\r\n' +
    'Connection: keep-alive\r\n\r\ngrant_type=client_credentials'
  const send = (name: string, number: number): string =>
    `${HOST}Content-Length: 14\r\nContent-Type: application/json\r\n${AGENT}` +
    `Authorization: Bearer ${name}\r\n${KEPT}[{"number":${number}}]`
  assert.deepEqual(server.seen, [ask, send('tok1', 1), ask, send('tok2', 1), send('tok2', 2)])
  assert.deepEqual(output.deliveries, [OK, OK])
  assert.deepEqual(output.lines(), [
    '[ info] 401 received; refreshing OAuth2 token and retrying once',
    '[ info] 127.0.0.1:PORT, HTTP status=200',
    '[ info] 127.0.0.1:PORT, HTTP status=200'
  ])
})

test('http gets another token also where the refusal ends the connection, and takes the second refusal', async t => {
  const server = await new TestServer().listen(t)
  const refusal = `HTTP/1.1 401 No\r\nConnection: close\r\n${NO_BODY}`
  const answers = [tokenAnswer('tok1'), refusal, tokenAnswer('tok2'), refusal]
  server.answer = number => answers[number - 1] ?? HANG
  const { output } = await sendOne(server, TOKEN_KEYS.replace('PORT', String(server.port)))
  assert.deepEqual(output.deliveries, [drop('http_status_401')])
  assert.equal(server.requests.length, 4)
})

test('without a token nothing is sent, and the chunk is sent later', async t => {
  const server = await new TestServer().listen(t)
  server.answer = number =>
    number === 1 ? `HTTP/1.1 500 No\r\n${NO_BODY}` : number === 2 ? tokenAnswer('tok') : ACCEPTED
  const output = await start(server, TOKEN_KEYS.replace('PORT', String(server.port)))
  output.run.push('app', { a: 1 })
  output.run.flush()
  await output.delivered(1)
  assert.deepEqual(output.deliveries, [retry('token_refused')])
  assert.deepEqual(output.lines(), [
    '[error] cannot get an access token: HTTP status=500',
    '[error] could not flush records to 127.0.0.1:PORT (http_do=-1)'
  ])
  await output.run.stop()
  assert.deepEqual(output.deliveries.slice(1), [OK])
})

// --- limits and debugging

for (const [keys, seconds] of [
  ['http.read_idle_timeout 5', 5],
  ['net.io_timeout 7', 7]
] as const) {
  test(`a server that falls silent for the time of ${keys} is given up`, async t => {
    const server = await new TestServer().listen(t)
    server.answer = () => HANG
    const output = await start(server, `    ${keys}\n    retry_limit no_retries`)
    output.run.push('app', { a: 1 })
    output.run.flush()
    await output.run.until(() => server.requests.length === 1)
    output.run.clock.advance(seconds * 1000)
    await output.delivered(1)
    await output.run.stop()
    assert.deepEqual(output.deliveries, [retry('timeout')])
    assert.deepEqual(output.lines(), [
      `[error] broken connection to 127.0.0.1:PORT: read idle timeout reached (idle=${seconds}s, limit=${seconds}s)`,
      '[error] could not flush records to 127.0.0.1:PORT (http_do=-1)'
    ])
  })
}

test('net.max_worker_connections bounds connections, net.keepalive_max_recycle their uses', async t => {
  const server = await new TestServer().listen(t)
  const output = await start(
    server,
    '    net.max_worker_connections 1\n    net.keepalive_max_recycle 2'
  )
  for (let number = 1; number <= 4; number++) {
    output.run.push('app', { number })
    output.run.flush()
  }
  await output.delivered(4)
  assert.equal(server.connections, 2)
  await output.run.stop()
})

test('_debug.http.* log what is sent and answered', async t => {
  const server = await new TestServer().listen(t)
  server.answer = () => 'HTTP/1.1 200 OK\r\nX-A: b\r\nContent-Length: 2\r\n\r\nhi'
  const keys = ['request_headers', 'request_payload', 'response_headers', 'response_payload']
  const { output } = await sendOne(
    server,
    keys.map(key => `    _debug.http.${key} on`).join('\n') +
      '\n    http_user ann\n    http_passwd secret'
  )
  assert.deepEqual(output.lines(), [
    '[ info] [http] request headers\nPOST / HTTP/1.1\nHost: 127.0.0.1:PORT\nContent-Length: 9\n' +
      'Content-Type: application/json\nAuthorization: ***\nUser-Agent: Fluent-Bit\nConnection: keep-alive',
    '[ info] [http] request payload (9 bytes)\n[{"a":1}]',
    '[ info] [http] response headers\nHTTP/1.1 200\nx-a: b\ncontent-length: 2',
    '[ info] [http] response payload (2 bytes)\nhi',
    '[ info] 127.0.0.1:PORT, HTTP status=200\nhi'
  ])
})
