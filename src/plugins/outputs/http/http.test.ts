import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { join } from 'node:path'
import { test } from 'node:test'
import {
  ACCEPTED,
  type Answer,
  HANG,
  NO_BODY,
  outputConfiguration,
  type OutputRun,
  RESET,
  sendAndClose,
  startOutput,
  TestServer
} from '../../../../test/harness/http_output.ts'
import { encodeEvent, EncodedInput, ODD_EVENTS } from '../../../../test/harness/odd_events.ts'
import { checkConfiguration, type PipelineOptions } from '../../../../test/harness/pipeline.ts'
import { type Delivery, drop, OK, retry } from '../../../plugin/delivery.ts'
import { http } from './http.ts'

const RECORDED = join(import.meta.dirname, '../../../../test/parity/output_stdout')

function configuration(port: number, keys: string): string {
  return outputConfiguration('http', port, keys)
}

function start(
  server: { readonly port: number },
  keys = '',
  options: PipelineOptions = {}
): Promise<OutputRun> {
  return startOutput(http, server, keys, options)
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

const NAME_RULE = "the name of a header may have letters, digits and !#$%&'*+.^_`|~- only"

const REFUSED: readonly [keys: string, error: string][] = [
  [
    'http_method GET',
    '11:17: Cannot set "http_method" on output http: value must be one of POST, PUT: current value is "GET"'
  ],
  [
    'proxy a:1',
    '11:11: Cannot set "proxy" on output http: could not parse proxy parameter: wanted is http://host:port'
  ],
  [
    'compress lz4',
    '11:14: Cannot set "compress" on output http: value must be one of gzip, snappy, zstd: current value is "lz4"'
  ],
  [
    'aws_auth on',
    '11:14: Cannot set "aws_auth" on output http: it comes with AWS, in a later version'
  ],
  [
    'body_key $a',
    '11:14: Cannot set "body_key" on output http: when setting body_key, headers_key is also required'
  ],
  [
    'headers_key $a',
    '11:17: Cannot set "headers_key" on output http: when setting headers_key, body_key is also required'
  ],
  [
    'oauth2.enable on',
    '11:19: Cannot set "oauth2.enable" on output http: oauth2 requires token_url and client_id'
  ],
  [
    'net.source_address nowhere',
    '11:24: Cannot set "net.source_address" on output http: value must be an IP address: current value is "nowhere"'
  ],
  [
    'host a b',
    '11:10: Cannot set "host" on output http: value must have neither spaces nor control characters'
  ],
  [
    'uri /a b',
    '11:9: Cannot set "uri" on output http: value must have neither spaces nor control characters'
  ],
  ['header "Authorization: secret"', `11:12: Cannot set "header" on output http: ${NAME_RULE}`],
  [
    'header transfer-encoding chunked',
    '11:12: Cannot set "header" on output http: the header transfer-encoding is for the plugin to set'
  ],
  [
    'header X a\u0001b',
    '11:12: Cannot set "header" on output http: value must not have control characters'
  ],
  ['header_tag X:Y', `11:16: Cannot set "header_tag" on output http: ${NAME_RULE}`]
]

for (const [keys, error] of REFUSED) {
  test(`http refuses ${JSON.stringify(keys)}`, async () => {
    const { errors } = await checkConfiguration(configuration(80, `    ${keys}`))
    assert.deepEqual(errors, [`fluent-bit.conf:${error}`])
  })
}

test('http refuses a port that there is not', async () => {
  assert.deepEqual((await checkConfiguration(configuration(70_000, ''))).errors, [
    'fluent-bit.conf:10:11: Cannot set "port" on output http: value must be 0 to 65535: current value is "70000"'
  ])
})

test('http takes keys that have no effect', async () => {
  const keys = [
    'tls.verify off',
    'http_passwd secret',
    'oauth2.token_url http://a/',
    'aws_auth no',
    'aws_region eu-north-1',
    'gelf_host_key host',
    'net.dns.mode TCP',
    'net.dns.resolver LEGACY'
  ]
  const text = configuration(80, keys.map(key => `    ${key}`).join('\n'))
  assert.deepEqual(await checkConfiguration(text), { errors: [], warnings: [] })
})

/** Requests as Fluent Bit 5.1.1 sends them for the same configuration; the date is that of the test. */
const REQUESTS: Readonly<Record<string, { keys: string; head: string; body: string }>> = {
  'an array of maps by default': {
    keys: '',
    head:
      'POST / HTTP/1.1\r\nHost: 127.0.0.1:PORT\r\nContent-Length: 99\r\n' +
      'Content-Type: application/json\r\nUser-Agent: Fluent-Bit\r\nConnection: keep-alive\r\n',
    body:
      '[{"date":1700000000.123,"a":1,"\\u00e9":"x\\u0001"},' +
      '{"date":1700000000.123,"a":1,"\\u00e9":"x\\u0001"}]'
  },
  'a map a line, with headers': {
    keys: `
    format     json_lines
    header_tag X-Tag
    header     X-A  a b  "c d"
    header     x-a å
    header     Solo
    uri        some/pâth?q=1`,
    head:
      'POST /some/pâth?q=1 HTTP/1.1\r\nHost: 127.0.0.1:PORT\r\nContent-Length: 98\r\n' +
      'Content-Type: application/x-ndjson\r\nX-Tag: app\r\nUser-Agent: Fluent-Bit\r\n' +
      'X-A: a b  "c d"\r\nx-a: å\r\nSolo: Solo\r\nConnection: keep-alive\r\n',
    body: '{"date":1700000000.123,"a":1,"\\u00e9":"x\\u0001"}\n'.repeat(2)
  },
  'maps that follow each other, with headers that stand twice': {
    keys: `
    format           JSON_STREAM
    http_method      put
    json_date_format iso8601
    json_date_key    ts
    header           Content-Type text/x
    header           Host other
    header           User-Agent me
    header           Connection close`,
    head:
      'PUT / HTTP/1.1\r\nHost: 127.0.0.1:PORT\r\nContent-Length: 122\r\n' +
      'Content-Type: application/json\r\nUser-Agent: Fluent-Bit\r\nContent-Type: text/x\r\n' +
      'Host: other\r\nUser-Agent: me\r\nConnection: close\r\nConnection: keep-alive\r\n',
    body: '{"ts":"2023-11-14T22:13:20.123000Z","a":1,"\\u00e9":"x\\u0001"}'.repeat(2)
  },
  'headers once': {
    keys: `
    json_date_key            false
    allow_duplicated_headers off
    header_tag               user-agent
    header                   Content-Type text/x
    header                   Host other
    header                   User-Agent me
    header                   X-a 1
    header                   x-A 2
    header                   X-a 3
    header                   Connection close`,
    head:
      'POST / HTTP/1.1\r\nContent-Length: 55\r\nContent-Type: text/x\r\nHost: other\r\n' +
      'User-Agent: me\r\nX-a: 3\r\nConnection: keep-alive\r\n',
    body: '[{"a":1,"\\u00e9":"x\\u0001"},{"a":1,"\\u00e9":"x\\u0001"}]'
  }
}

for (const [name, { keys, head, body }] of Object.entries(REQUESTS)) {
  test(`http sends ${name}`, async t => {
    const server = await new TestServer().listen(t)
    const { run, deliveries, lines } = await start(server, keys)
    run.push('app', { a: 1, é: 'x\u0001' }, { a: 1, é: 'x\u0001' })
    run.flush()
    await run.until(() => deliveries.length === 1)
    await run.stop()
    assert.deepEqual(server.seen, [`${head}\r\n${body}`])
    assert.deepEqual(lines(), ['[ info] 127.0.0.1:PORT, HTTP status=200'])
  })
}

for (const format of ['json', 'json_lines', 'json_stream']) {
  test(`http sends odd events as the output stdout prints them: ${format}`, async t => {
    const server = await new TestServer().listen(t)
    const input = new EncodedInput()
    const { run, deliveries } = await start(
      server,
      `    format ${format}\n[INPUT]\n    name encoded`,
      { plugins: [input.plugin] }
    )
    input.push('odd', ...ODD_EVENTS)
    run.flush()
    await run.until(() => deliveries.length === 1)
    await run.stop()
    const printed = readFileSync(join(RECORDED, `${format}.txt`), 'utf8')
    const expected = format === 'json_lines' ? printed : printed.replace(/\n$/, '')
    assert.deepEqual(server.bodies, [expected])
  })
}

test('http sends a large chunk whole', async t => {
  const server = await new TestServer().listen(t)
  const { run, deliveries } = await start(server, '    format json_lines\n    json_date_key no')
  const bodies = Array.from({ length: 15_000 }, (_, n) => ({ n, text: 'x'.repeat(100) }))
  run.push('app', ...bodies)
  run.flush()
  await run.until(() => deliveries.length === 1)
  await run.stop()
  assert.equal(server.bodies[0], bodies.map(body => `${JSON.stringify(body)}\n`).join(''))
})

test('http writes the name of an IPv6 server in brackets, and asks for one with ipv6', async t => {
  const server = await new TestServer().listen(t, '::1')
  const { run, deliveries, lines } = await start(server, '    host ::1\n    ipv6 on')
  run.push('app', { a: 1 })
  run.flush()
  await run.until(() => deliveries.length === 1)
  await run.stop()
  assert.match(server.requests[0], /\r\nHost: \[::1\]:\d+\r\n/)
  assert.deepEqual(lines(), ['[ info] ::1:PORT, HTTP status=200'])
})

test('http lets no tag add lines to a request', async t => {
  const server = await new TestServer().listen(t)
  const { run, deliveries } = await start(server, '    header_tag X-Tag')
  run.push('a\r\nX-Evil: é\t', { a: 1 })
  run.flush()
  await run.until(() => deliveries.length === 1)
  await run.stop()
  assert.match(server.requests[0], /\r\nX-Tag: a {2}X-Evil: é\t\r\nUser-Agent: /)
})

test('http reports a date format that it does not know and writes seconds', async t => {
  const server = await new TestServer().listen(t)
  const { run, deliveries, lines } = await start(server, '    json_date_format nope')
  run.push('app', { a: 1 })
  run.flush()
  await run.until(() => deliveries.length === 1)
  await run.stop()
  assert.deepEqual(server.bodies, ['[{"date":1700000000.123,"a":1}]'])
  assert.equal(lines()[0], "[error] unrecognized 'json_date_format' option. Using 'double'.")
})

/** Of 1 700 000 000 seconds, when the chunk is flushed one second later. */
const IN_90_SECONDS = 'Tue, 14 Nov 2023 22:14:51 GMT'

const GIVEN_UP =
  '[ warn] could not flush records to 127.0.0.1:PORT (http_do=0), chunk will not be retried'

const ANSWERS: readonly [answer: string, delivery: Delivery, lines: readonly string[]][] = [
  [`200 OK\r\n${NO_BODY}`, OK, ['[ info] 127.0.0.1:PORT, HTTP status=200']],
  [
    '201 Created\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n',
    OK,
    ['[ info] 127.0.0.1:PORT, HTTP status=201\nabcde']
  ],
  ['204 No Content\r\n\r\n', OK, ['[ info] 127.0.0.1:PORT, HTTP status=204']],
  [`205 Reset\r\n${NO_BODY}`, OK, ['[ info] 127.0.0.1:PORT, HTTP status=205']],
  [
    `100 Continue\r\n\r\nHTTP/1.1 202 Accepted\r\n${NO_BODY}`,
    OK,
    ['[ info] 127.0.0.1:PORT, HTTP status=202']
  ],
  [
    `206 Partial\r\n${NO_BODY}`,
    retry('http_status_206'),
    ['[error] 127.0.0.1:PORT, HTTP status=206']
  ],
  [
    `302 Found\r\nLocation: /x\r\n${NO_BODY}`,
    retry('http_status_302'),
    ['[error] 127.0.0.1:PORT, HTTP status=302']
  ],
  [
    '400 Bad\r\nContent-Length: 3\r\n\r\nbad',
    drop('http_status_400'),
    ['[error] 127.0.0.1:PORT, HTTP status=400\nbad', GIVEN_UP]
  ],
  [
    `499 Odd\r\nRetry-After: 5\r\n${NO_BODY}`,
    drop('http_status_499'),
    ['[error] 127.0.0.1:PORT, HTTP status=499', GIVEN_UP]
  ],
  [`408 Late\r\n${NO_BODY}`, retry('http_status_408'), ['[error] 127.0.0.1:PORT, HTTP status=408']],
  [
    `500 Oops\r\nRetry-After: 5\r\nContent-Length: 4\r\n\r\noops`,
    retry('http_status_500'),
    ['[error] 127.0.0.1:PORT, HTTP status=500\noops']
  ],
  [`599 Odd\r\n${NO_BODY}`, retry('http_status_599'), ['[error] 127.0.0.1:PORT, HTTP status=599']],
  ...(
    [
      ['120', 120_000],
      [IN_90_SECONDS, 90_000 - 123],
      ['999999999999', 3_600_000],
      ['0', undefined],
      ['soon', undefined],
      ['-5', undefined],
      ['Tue, 14 Nov 2000 22:14:51 GMT', undefined]
    ] as const
  ).map(([wait, waitMs]): (typeof ANSWERS)[number] => [
    `429 Slow\r\nRetry-After: ${wait}\r\n${NO_BODY}`,
    retry('http_status_429', waitMs),
    ['[error] 127.0.0.1:PORT, HTTP status=429']
  ]),
  [
    `503 Busy\r\nRetry-After: 7\r\n${NO_BODY}`,
    retry('http_status_503', 7000),
    ['[error] 127.0.0.1:PORT, HTTP status=503']
  ]
]

for (const [answer, delivery, expected] of ANSWERS) {
  test(`http answers ${delivery.kind} to ${JSON.stringify(answer)}`, async t => {
    const server = await new TestServer().listen(t)
    server.answer = number => (number === 1 ? `HTTP/1.1 ${answer}` : ACCEPTED)
    const { run, deliveries, lines } = await start(server)
    run.push('app', { a: 1 })
    run.flush()
    await run.until(() => deliveries.length === 1)
    assert.deepEqual([deliveries, lines()], [[delivery], expected])
    await run.stop()
  })
}

test('http sends a chunk again when the server said, and what is dropped is counted', async t => {
  const server = await new TestServer().listen(t)
  const answers = ['429 Slow\r\nRetry-After: 120', '200 OK', '413 Large']
  server.answer = number => `HTTP/1.1 ${answers[number - 1]}\r\n${NO_BODY}`
  const { run, deliveries } = await start(server)
  run.push('app', { a: 1 })
  run.flush()
  await run.until(() => deliveries.length === 1)
  run.clock.advance(119_999)
  assert.equal(server.requests.length, 1)
  run.clock.advance(1)
  await run.until(() => deliveries.length === 2)
  run.push('app', { a: 2 }, { a: 3 })
  run.flush()
  await run.until(() => deliveries.length === 3)
  await run.stop()
  assert.deepEqual(deliveries, [retry('http_status_429', 120_000), OK, drop('http_status_413')])
  assert.equal(server.bodies[0], server.bodies[1])
  const labels = { kind: 'output', name: 'http.0', reason: 'http_status_413' }
  assert.equal(run.counter('spillway_dropped_records_total', labels), 2)
})

test('http logs no body with log_response_payload off', async t => {
  const server = await new TestServer().listen(t)
  server.answer = () => 'HTTP/1.1 404 No\r\nContent-Length: 3\r\n\r\nbad'
  const { run, deliveries, lines } = await start(server, '    log_response_payload off')
  run.push('app', { a: 1 })
  run.flush()
  await run.until(() => deliveries.length === 1)
  await run.stop()
  assert.deepEqual(lines(), ['[error] 127.0.0.1:PORT, HTTP status=404', GIVEN_UP])
})

test('http sends over one connection, and over a new one each time without keep-alive', async t => {
  for (const [keys, connections] of [
    ['', 1],
    ['    net.keepalive off', 3]
  ] as const) {
    const server = await new TestServer().listen(t)
    const { run, deliveries } = await start(server, keys)
    for (let number = 1; number <= 3; number++) {
      run.push('app', { number })
      run.flush()
      await run.until(() => deliveries.length === number)
    }
    assert.equal(server.connections, connections)
    await run.stop()
    await run.until(() => server.closed === connections)
  }
})

test('http has two requests under way at once, and a third waits', async t => {
  const server = await new TestServer().listen(t)
  const held: Socket[] = []
  server.answer = () => socket => void held.push(socket)
  const { run, deliveries } = await start(server)
  for (let number = 1; number <= 3; number++) {
    run.push('app', { number })
    run.flush()
  }
  await run.until(() => held.length === 2)
  assert.equal(run.pipeline.pendingTasks, 3)
  for (const socket of held.splice(0)) socket.write(ACCEPTED)
  await run.until(() => held.length === 1)
  held[0].write(ACCEPTED)
  await run.until(() => deliveries.length === 3)
  await run.stop()
  assert.deepEqual(deliveries, [OK, OK, OK])
  assert.equal(server.connections, 2)
})

test('http sends again what it sent over a connection that the server had closed', async t => {
  const server = await new TestServer().listen(t)
  server.answer = number => (number === 2 ? RESET : ACCEPTED)
  const { run, deliveries, lines } = await start(server, '    json_date_key off')
  run.push('app', { number: 1 })
  run.flush()
  await run.until(() => deliveries.length === 1)
  run.push('app', { number: 2 })
  run.flush()
  await run.until(() => deliveries.length === 2)
  await run.stop()
  assert.deepEqual(deliveries, [OK, retry('connection_reset'), OK])
  assert.deepEqual(server.bodies, ['[{"number":1}]', '[{"number":2}]', '[{"number":2}]'])
  assert.equal(server.connections, 2)
  assert.deepEqual(lines().slice(1, 3), [
    '[error] broken connection to 127.0.0.1:PORT: Connection reset by peer',
    '[error] could not flush records to 127.0.0.1:PORT (http_do=-1)'
  ])
})

const NOT_FLUSHED = '[error] could not flush records to 127.0.0.1:PORT (http_do=-1)'
const BROKEN = '[error] broken connection to 127.0.0.1:PORT:'
const CLOSED = [`${BROKEN} closed by the remote`, NOT_FLUSHED]
const WAS_RESET = [`${BROKEN} Connection reset by peer`, NOT_FLUSHED]
const MALFORMED = [`${BROKEN} malformed HTTP response`, NOT_FLUSHED]

const FAILURES: readonly [what: string, answer: Answer, reason: string, lines: string[]][] = [
  ['is closed before the answer', sendAndClose(''), 'connection_closed', CLOSED],
  ['is reset before the answer', RESET, 'connection_reset', WAS_RESET],
  [
    'is closed within the head of the answer',
    sendAndClose('HTTP/1.1 200 OK\r\nContent-Le'),
    'connection_closed',
    CLOSED
  ],
  [
    'is closed within the body of the answer',
    sendAndClose('HTTP/1.1 200 OK\r\nContent-Length: 60\r\n\r\nhel'),
    'connection_closed',
    CLOSED
  ],
  [
    'is switched to another protocol',
    'HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n',
    'connection_closed',
    CLOSED
  ],
  ['gives no HTTP', 'what is this\r\n\r\n', 'malformed_answer', MALFORMED],
  [
    'gives a head without an end',
    `HTTP/1.1 200 OK\r\nX: ${'x'.repeat(100_000)}`,
    'malformed_answer',
    MALFORMED
  ],
  [
    'gives a body that breaks off into nonsense',
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcdef\r\n',
    'malformed_answer',
    MALFORMED
  ]
]

for (const [what, answer, reason, expected] of FAILURES) {
  test(`http sends again when the connection ${what}`, async t => {
    const server = await new TestServer().listen(t)
    server.answer = () => answer
    const { run, deliveries, lines } = await start(server)
    run.push('app', { a: 1 })
    run.flush()
    await run.until(() => deliveries.length === 1)
    assert.deepEqual([deliveries, lines()], [[retry(reason)], expected])
    server.answer = () => ACCEPTED
    await run.stop()
    assert.deepEqual(deliveries.slice(1), [OK])
    await run.until(() => server.closed === server.connections)
  })
}

test('http sends again when nobody listens', async () => {
  const port = await closedPort()
  const { run, deliveries, lines } = await start({ port })
  run.push('app', { a: 1 })
  run.flush()
  await run.until(() => deliveries.length === 1)
  assert.deepEqual(deliveries, [retry('connection_refused')])
  assert.deepEqual(lines(), [
    '[error] TCP connection failed: 127.0.0.1:PORT (Connection refused)',
    '[error] no upstream connections available to 127.0.0.1:PORT'
  ])
  await run.stop()
})

test('http sends again when the host has no address', async () => {
  // A name that no resolver asks a server for.
  const { run, deliveries, lines } = await start({ port: 9 }, '    host a..b')
  run.push('app', { a: 1 })
  run.flush()
  await run.until(() => deliveries.length === 1)
  assert.deepEqual(deliveries, [retry('unknown_host')])
  assert.deepEqual(lines(), [
    "[ warn] getaddrinfo(host='a..b'): Domain name not found",
    '[error] no upstream connections available to a..b:PORT'
  ])
  await run.stop()
})

test('http gives a server up that does not connect within net.connect_timeout', async () => {
  for (const [keys, expected] of [
    [
      '',
      [
        '[error] connection to tcp://127.0.0.1:PORT timed out after 3 seconds (connection timeout)',
        '[error] no upstream connections available to 127.0.0.1:PORT'
      ]
    ],
    [
      '    net.connect_timeout_log_error off',
      ['[error] no upstream connections available to 127.0.0.1:PORT']
    ]
  ] as const) {
    const { run, deliveries, lines } = await start(
      { port: 9 },
      `    net.connect_timeout 3\n    retry_limit no_retries\n${keys}`
    )
    run.push('app', { a: 1 })
    run.flush()
    // Nothing of the network happens within one turn of the event loop, as if the server did not answer.
    run.clock.advance(3000)
    await run.until(() => deliveries.length === 1)
    await run.stop()
    assert.deepEqual([deliveries, lines()], [[retry('connection_timeout')], expected])
  }
})

for (const [what, answer] of [
  ['nothing', HANG],
  ['half an answer', 'HTTP/1.1 200 OK\r\nContent-Length: 60\r\n\r\nhel']
] as const) {
  test(`http gives a server up that sends ${what} within http.response_timeout`, async t => {
    const server = await new TestServer().listen(t)
    server.answer = () => answer
    const { run, deliveries, lines } = await start(server)
    run.push('app', { a: 1 })
    run.flush()
    await run.until(() => server.requests.length === 1)
    run.clock.advance(59_999)
    assert.deepEqual(lines(), [])
    run.clock.advance(1)
    await run.until(() => deliveries.length === 1)
    assert.deepEqual(deliveries, [retry('timeout')])
    assert.deepEqual(lines(), [
      `${BROKEN} response timeout reached (elapsed=60s, limit=60s)`,
      NOT_FLUSHED
    ])
    await run.until(() => server.closed === 1)
    server.answer = () => ACCEPTED
    await run.stop()
    assert.deepEqual(deliveries.slice(1), [OK])
  })
}

test('http logs the beginning of a long body, and the answer counts', async t => {
  const server = await new TestServer().listen(t)
  server.answer = () => `HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n${'x'.repeat(60_000)}`
  const { run, deliveries, lines } = await start(server)
  for (let number = 1; number <= 2; number++) {
    run.push('app', { number })
    run.flush()
    await run.until(() => deliveries.length === number)
  }
  await run.stop()
  assert.deepEqual(deliveries, [OK, OK])
  assert.equal(server.connections, 1)
  const line = `[ info] 127.0.0.1:PORT, HTTP status=200\n${'x'.repeat(4096)}`
  assert.deepEqual(lines(), [line, line])
})

test('http does not read a body without an end', async t => {
  const server = await new TestServer().listen(t)
  server.answer = () => socket => {
    const pour = (): void => {
      while (socket.writable && socket.write('x'.repeat(65_536)));
    }
    socket.write('HTTP/1.1 200 OK\r\n\r\n')
    socket.on('drain', pour)
    pour()
  }
  const { run, deliveries } = await start(server)
  run.push('app', { a: 1 })
  run.flush()
  await run.until(() => deliveries.length === 1)
  await run.until(() => server.closed === 1)
  await run.stop()
  assert.deepEqual(deliveries, [OK])
})

test('http hangs up when it stops, also on a request that is under way', async t => {
  const server = await new TestServer().listen(t)
  server.answer = number => (number === 1 ? ACCEPTED : HANG)
  const { run, deliveries, lines } = await start(server)
  run.push('app', { a: 1 })
  run.flush()
  await run.until(() => deliveries.length === 1)
  run.push('app', { a: 2 })
  run.flush()
  await run.until(() => server.requests.length === 2)
  await run.stop()
  await run.until(() => server.closed === server.connections)
  assert.deepEqual(deliveries, [OK, retry('shutdown')])
  assert.deepEqual(lines(), ['[ info] 127.0.0.1:PORT, HTTP status=200'])
})

test('http takes an answer that comes before the request has gone', async t => {
  const server = createServer(socket => {
    socket.on('error', () => {})
    socket.pause()
    socket.write(`HTTP/1.1 413 Large\r\n${NO_BODY}`)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => server.close())
  const { port } = server.address() as AddressInfo
  const input = new EncodedInput()
  const { run, deliveries } = await start({ port }, '[INPUT]\n    name encoded', {
    plugins: [input.plugin]
  })
  input.push('app', encodeEvent([1, 0], { text: 'x'.repeat(20_000_000) }))
  run.flush()
  await run.until(() => deliveries.length === 1)
  await run.stop()
  assert.deepEqual(deliveries, [drop('http_status_413')])
})
