/** Requests, answers, records and log lines are those of Fluent Bit 5.1.1, but where a title says otherwise. */
import assert from 'node:assert/strict'
import { createSign, generateKeyPairSync } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { test, type TestContext } from 'node:test'
import { type HttpInput, startHttpInput } from '../../../../test/harness/http_input.ts'
import { checkConfiguration, type PipelineOptions } from '../../../../test/harness/pipeline.ts'
import { seededRandom } from '../../../../test/harness/random.ts'
import { compress } from '../../../codec/compression.ts'
import { retry } from '../../../plugin/delivery.ts'

const FORM = { 'content-type': 'application/x-www-form-urlencoded' }

const UNABLE = 'error: unable to process records\n'

function start(t: TestContext, keys = '', options: PipelineOptions = {}): Promise<HttpInput> {
  return startHttpInput(t, 'http', keys, options)
}

/** What the plugin has logged since it listens. */
function lines({ pipeline }: HttpInput): string[] {
  const prefix = '[input:http:http.0] '
  return pipeline.log
    .filter(line => line.includes(prefix))
    .slice(3)
    .map(line => line.replace(prefix, '').trimStart())
}

/** Sends bytes as they are; gives all that comes until the answer is whole or the end. */
function send({ port }: HttpInput, bytes: string): Promise<string> {
  return new Promise(resolve => {
    const socket = connect(port, '127.0.0.1', () => socket.write(bytes))
    let answer = ''
    socket.on('data', piece => {
      answer += piece.toString('latin1')
      const [head = '', body] = answer.split('\r\n\r\n')
      const length = Number(/content-length: (\d+)/i.exec(head)?.[1] ?? 0)
      if (body !== undefined && (body.length >= length || bytes.startsWith('HEAD'))) {
        socket.destroy()
      }
    })
    socket.on('error', () => undefined)
    socket.on('close', () => resolve(answer))
  })
}

// --- configuration

const REFUSED: readonly [keys: string, error: string][] = [
  [
    'success_header content-length 5',
    '3:18: Cannot set "success_header" on input http: the header content-length is for the plugin to set'
  ],
  [
    'oauth2.validate on',
    '3:19: Cannot set "oauth2.validate" on input http: oauth2.issuer and oauth2.jwks_url are required when oauth2.validate is enabled'
  ],
  [
    'tls on',
    '3:7: Cannot set "tls" on input http: tls.crt_file is missing, the certificate of the server'
  ]
]

for (const [keys, error] of REFUSED) {
  test(`http refuses ${keys}`, async () => {
    const text = `[INPUT]\n  name http\n  ${keys}\n[OUTPUT]\n  name null\n  match *`
    assert.deepEqual((await checkConfiguration(text)).errors, [`fluent-bit.conf:${error}`])
  })
}

test('http refuses a tag_key that is no accessor', async () => {
  const text = '[INPUT]\n  name http\n  tag_key $a[\n[OUTPUT]\n  name null\n  match *'
  assert.equal((await checkConfiguration(text)).errors.length, 1)
})

test('http says where it listens, and what it replaces', async t => {
  const { pipeline, port } = await start(t, 'successful_response_code 202')
  assert.deepEqual(pipeline.log.slice(-2), [
    `[ info] [input:http:http.0] listening on 127.0.0.1:${port} with 1 worker`,
    '[error] [input:http:http.0] 202 is not supported response code. Use default 201'
  ])
})

// --- JSON

const A = { a: 1 }
const B = { a: 2 }

const JSON_BODIES: readonly (readonly [name: string, body: string, bodies: unknown[]])[] = [
  ['a map', '{"a":1}', [A]],
  ['an array', '[{"a":1},{"a":2}]', [A, B]],
  ['maps that follow each other', '{"a":1}{"a":2}\n {"a":1}\r\n', [A, B, A]],
  ['maps with commas between them', ',{"a":1},,{"a":2},', [A, B]],
  ['an array with too many commas', '[{"a":1},,{"a":2},]', [A, B]],
  [
    'arrays that follow each other (Fluent Bit takes the first alone)',
    '[{"a":1}]\n[{"a":2}]',
    [A, B]
  ],
  ['an empty map', '{}', [{}]],
  ['an empty array', ' [ ] ', []],
  [
    'values of all types',
    '{"b":[true,null,-1,1.5,"é\\u00e9",{}]}',
    [{ b: [true, null, -1, 1.5, 'éé', {}] }]
  ]
]

for (const [name, body, bodies] of JSON_BODIES) {
  test(`http takes ${name}`, async t => {
    const input = await start(t)
    assert.deepEqual(await input.post('/', body), [201, ''])
    assert.deepEqual(input.events(), bodies.length === 0 ? {} : { in: bodies })
    assert.deepEqual(lines(input), [])
  })
}

test('http gives events the time of now', async t => {
  const input = await start(t)
  await input.post('/', '[{"a":1}]')
  input.pipeline.flush()
  assert.deepEqual(input.pipeline.taken[0]?.events, [
    { time: [1_700_000_000, 123_000_000], metadata: {}, body: A }
  ])
})

const BAD_JSON: readonly (readonly [body: string, line: string, reason: string])[] = [
  ['{a}', '[ warn] invalid JSON message, skipping', 'malformed'],
  ['{"a":1}{b}', '[ warn] invalid JSON message, skipping', 'malformed'],
  ['[{"a":1},{b}]', '[ warn] invalid JSON message, skipping', 'malformed'],
  ['{"a":1}]', '[ warn] invalid JSON message, skipping', 'malformed'],
  ['{"a":NaN}', '[ warn] invalid JSON message, skipping', 'malformed'],
  ['{"a":', '[ warn] JSON data is incomplete, skipping', 'incomplete'],
  ['[{"a":1},', '[ warn] JSON data is incomplete, skipping', 'incomplete'],
  ['  ', '[ warn] JSON data is incomplete, skipping', 'incomplete'],
  ['"x"', '[error] skip record from invalid type', 'not_an_event'],
  ['{"a":1} 5', '[error] skip record from invalid type', 'not_an_event'],
  ['['.repeat(5000), '[ warn] invalid JSON message, skipping', 'malformed']
]

for (const [body, line, reason] of BAD_JSON) {
  test(`http takes nothing of ${JSON.stringify(body.slice(0, 20))}`, async t => {
    const input = await start(t)
    assert.deepEqual(await input.post('/', body), [400, UNABLE])
    assert.deepEqual([input.events(), lines(input)], [{}, [line]])
    assert.deepEqual(input.dropped('http.0', reason), [1, body.length])
    assert.deepEqual(await input.post('/', '{"a":1}'), [201, ''])
    assert.deepEqual(input.events(), { in: [A] })
  })
}

test('http takes what comes before a value that breaks off, and counts the rest', async t => {
  const input = await start(t)
  assert.deepEqual(await input.post('/', '{"a":1}[{"a":2}]\n[{"a":3},{"b":'), [201, ''])
  assert.deepEqual(input.events(), { in: [A, B] })
  assert.deepEqual(lines(input), ['[ warn] JSON data is incomplete, skipping'])
  assert.deepEqual(input.dropped('http.0', 'incomplete'), [1, 14])
})

test('http counts what is no map in an array (Fluent Bit makes events of it that nobody can read)', async t => {
  const input = await start(t)
  assert.deepEqual(await input.post('/', '[1,{"a":1},"x",[{"a":3}],null,{"a":2}]'), [201, ''])
  assert.deepEqual(input.events(), { in: [A, B] })
  assert.deepEqual(input.dropped('http.0', 'not_an_event'), [4, 0])
})

test('http reads JSON strictly (Fluent Bit takes a comma before the brace)', async t => {
  const input = await start(t)
  assert.deepEqual(await input.post('/', '{"a":1,}'), [400, UNABLE])
})

// --- forms

const FORMS: readonly (readonly [body: string, record: unknown, lines: string[]])[] = [
  [
    'a=1&b=x+y%20z&c=%zz+&d&=e&f=',
    { a: '1', b: 'x y z', c: '%zz+', f: '' },
    ["[ warn] invalid percent-encoding for field 'c', keeping raw value"]
  ],
  ['a=1\n', { a: '1' }, []],
  ['a%20b=1&\nc = d &e==f&g=a=b', { 'a%20b': '1', c: 'd', e: '=f', g: 'a=b' }, []],
  ['a=%C3%A9%c3%a9é', { a: 'ééé' }, []]
]

for (const [body, record, expected] of FORMS) {
  test(`http takes the form ${JSON.stringify(body)}`, async t => {
    const input = await start(t)
    assert.deepEqual(await input.post('/', body, FORM), [201, ''])
    assert.deepEqual([input.events(), lines(input)], [{ in: [record] }, expected])
  })
}

test('http takes long values of a form whole (Fluent Bit cuts them after 1024 bytes)', async t => {
  const input = await start(t)
  await input.post('/', `a=${'x'.repeat(5000)}`, FORM)
  assert.deepEqual(input.events(), { in: [{ a: 'x'.repeat(5000) }] })
})

test('http refuses a form without fields', async t => {
  const input = await start(t)
  for (const body of ['abc', '&&', '=x']) {
    assert.deepEqual(await input.post('/', body, FORM), [400, UNABLE])
  }
})

test('a form of long runs of anything takes no time', async t => {
  const input = await start(t)
  const started = performance.now()
  for (const run of [' ', '%', '+', '&', '=', '\n']) {
    await input.post('/', `a=b${run.repeat(1_000_000)}c=d`, FORM)
  }
  assert.ok(performance.now() - started < 5000)
})

// --- answers

const HOST = 'HTTP/1.1\r\nHost: x\r\n'
const JSON_TYPE = 'Content-Type: application/json\r\n'

const ANSWERS: readonly (readonly [request: string, status: string, body: string])[] = [
  [`GET / ${HOST}\r\n`, '400 Bad Request', 'error: invalid HTTP method\n'],
  [`GET /health ${HOST}\r\n`, '400 Bad Request', 'error: invalid HTTP method\n'],
  [`OPTIONS / ${HOST}\r\n`, '400 Bad Request', 'error: invalid HTTP method\n'],
  [
    `PUT / ${HOST}${JSON_TYPE}Content-Length: 2\r\n\r\n{}`,
    '400 Bad Request',
    'error: invalid HTTP method\n'
  ],
  [`HEAD / ${HOST}\r\n`, '400 Bad Request', ''],
  [
    `POST http://h/p ${HOST}${JSON_TYPE}Content-Length: 2\r\n\r\n{}`,
    '400 Bad Request',
    'error: invalid request\n'
  ],
  [
    `POST / ${HOST}Content-Length: 2\r\n\r\n{}`,
    '400 Bad Request',
    "error: header 'Content-Type' is not set\n"
  ],
  [
    `POST / ${HOST}Content-Type: text/plain\r\nContent-Length: 2\r\n\r\n{}`,
    '400 Bad Request',
    "error: invalid 'Content-Type'\n"
  ],
  [
    `POST / ${HOST}Content-Type: application/x-ndjson\r\nContent-Length: 2\r\n\r\n{}`,
    '400 Bad Request',
    "error: invalid 'Content-Type'\n"
  ],
  [
    `POST / ${HOST}${JSON_TYPE}Content-Length: 0\r\n\r\n`,
    '400 Bad Request',
    'error: no payload found\n'
  ],
  [
    `POST / ${HOST}${JSON_TYPE}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
    '400 Bad Request',
    'error: no payload found\n'
  ],
  [`POST / ${HOST}${JSON_TYPE}Content-Length: 2\r\n\r\n{}`, '201 Created', ''],
  [`POST / HTTP/1.1\r\n${JSON_TYPE}Content-Length: 2\r\n\r\n{}`, '201 Created', ''],
  [
    `POST / ${HOST}Content-Type: Application/JSON ; charset=utf-8\r\nContent-Length: 2\r\n\r\n{}`,
    '201 Created',
    ''
  ],
  [
    `POST / ${HOST}${JSON_TYPE}Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n1\r\n}\r\n0\r\n\r\n`,
    '201 Created',
    ''
  ],
  [`POST / ${HOST}${JSON_TYPE}Content-Length: 5000000\r\n\r\n`, '413 Payload Too Large', '']
]

for (const [request, status, body] of ANSWERS) {
  test(`http answers ${status} to ${JSON.stringify(request)}`, async t => {
    const input = await start(t)
    const [head = '', got] = (await send(input, request)).split('\r\n\r\n')
    assert.deepEqual([head.split('\r\n')[0], got], [`HTTP/1.1 ${status}`, body])
    assert.equal(
      input.pipeline.counter('spillway_requests_refused_total', { name: 'http.0' }),
      status.startsWith('400') ? 1 : 0
    )
  })
}

test('http sends success headers and the status of the configuration', async t => {
  for (const [code, keys] of [
    [200, 'successful_response_code 200'],
    [204, 'successful_response_code 204'],
    [201, '']
  ] as const) {
    const input = await start(
      t,
      `${keys}\n  success_header X-A b c\n  success_header X-B\n  success_header x-a z`
    )
    const init = {
      method: 'POST',
      body: '{"a":1}',
      headers: { 'content-type': 'application/json' }
    }
    const answer = await fetch(input.url, init)
    assert.deepEqual(
      [answer.status, answer.headers.get('x-a'), answer.headers.get('x-b')],
      [code, 'z', 'X-B']
    )
    const refused = await fetch(input.url)
    assert.deepEqual([refused.status, refused.headers.get('x-a')], [400, null])
  }
})

test('http answers GET /health where it is enabled', async t => {
  const input = await start(t, 'enable_health_endpoint on\n  success_header X-A b')
  const answer = await fetch(`${input.url}/health?x=y`)
  assert.deepEqual([answer.status, answer.headers.get('x-a')], [200, 'b'])
  assert.equal(
    await answer.text(),
    `{
  "status": "ok",
  "message": "I can only show you the door. You're the one that has to walk through it.",
  "timestamp": "2023-11-14T22:13:20.123000000Z"
}
`
  )
  assert.deepEqual(await input.post('/health', '{"a":1}'), [201, ''])
  assert.deepEqual(input.events(), { health: [A] })
})

for (const encoding of ['gzip', 'deflate', 'zstd', 'snappy'] as const) {
  test(`http takes bodies in ${encoding}`, async t => {
    const input = await start(t)
    const body = await compress(encoding, Buffer.from('{"a":1}'))
    assert.deepEqual(await input.post('/', body, { 'content-encoding': encoding }), [201, ''])
    assert.deepEqual(input.events(), { in: [A] })
  })
}

// --- tags

test('http makes the tag of the path', async t => {
  const input = await start(t)
  for (const [path, tag] of [
    ['/my.tag', 'my.tag'],
    ['/my-tag/x%20y?q=1', 'my_tag_x_20y'],
    ['//a//b', '_a__b'],
    ['/?q', 'in'],
    ['/%C3%A9', '_C3_A9']
  ] as const) {
    await input.post(path, '{"a":1}')
    assert.deepEqual(Object.keys(input.events()), [tag], path)
    input.pipeline.taken.length = 0
  }
})

test('http takes the tag of a record that tag_key names', async t => {
  const input = await start(t, 'tag_key $t')
  const sent = [
    { t: 'x', n: 1 },
    { t: 'foo-bar/ü', n: 2 },
    { t: 1, n: 3 },
    { n: 4 },
    // Fluent Bit loses this one.
    { t: '', n: 5 },
    { t: 'x', n: 6 }
  ]
  assert.deepEqual(await input.post('/p', JSON.stringify(sent)), [201, ''])
  assert.deepEqual(input.events(), {
    x: [sent[0], sent[5]],
    foo_bar___: [sent[1]],
    p: [sent[2], sent[3], sent[4]]
  })
})

test('http takes nothing of a bad body also with tag_key', async t => {
  const input = await start(t, 'tag_key $t')
  assert.deepEqual(await input.post('/', '[{"t":"x"},{"t":"y"}]{z}'), [400, UNABLE])
  assert.deepEqual(await input.post('/', '{"t":"x","a":1}'), [201, ''])
  assert.deepEqual(input.events(), { x: [{ t: 'x', a: 1 }] })
})

for (const keys of ['tag_key $t', '']) {
  test(`http takes any number of tags${keys && ' from one request'}`, async t => {
    const input = await start(t, keys)
    const tags = Array.from({ length: 2500 }, (_, number) => `t${number}`)
    if (keys === '') for (const tag of tags) await input.post(`/${tag}`, '{"a":1}')
    else await input.post('/', JSON.stringify(tags.map(tag => ({ t: tag }))))
    const events = input.events()
    assert.deepEqual(Object.keys(events).toSorted(), tags.toSorted())
    assert.ok(Object.values(events).every(({ length }) => length === 1))
  })
}

// --- the address of the sender

test('http adds the first address of X-Forwarded-For', async t => {
  const input = await start(t, 'add_remote_addr on')
  const forwarded = (addresses: string): Record<string, string> => ({
    'x-forwarded-for': addresses
  })
  await input.post('/', '[{"a":1},{"a":2}]', forwarded(' 1.2.3.4 , 5.6.7.8'))
  await input.post('/', '{"a":1}', forwarded(',5.6.7.8'))
  await input.post('/', '{"a":1}')
  await input.post('/', '[{"REMOTE_ADDR":1},{"REMOTE_ADDR":2}]', forwarded('1.2.3.4'))
  await input.post('/', 'a=1', { ...FORM, ...forwarded('::1') })
  assert.deepEqual(input.events(), {
    in: [
      { a: 1, REMOTE_ADDR: '1.2.3.4' },
      { a: 2, REMOTE_ADDR: '1.2.3.4' },
      { a: 1 },
      { a: 1 },
      { REMOTE_ADDR: 1 },
      { REMOTE_ADDR: 2 },
      { a: '1', REMOTE_ADDR: '::1' }
    ]
  })
  assert.deepEqual(lines(input), [
    '[ warn] remote_addr_key already present in record, skipping injection'
  ])
})

test('http adds the address under the key of the configuration, also to large maps', async t => {
  const input = await start(t, 'add_remote_addr on\n  remote_addr_key ra')
  const bodies = [15, 16, 70_000].map(size =>
    Object.fromEntries(Array.from({ length: size }, (_, index) => [`k${index}`, index]))
  )
  await input.post('/', JSON.stringify(bodies), { 'x-forwarded-for': 'b' })
  assert.deepEqual(input.events(), { in: bodies.map(body => ({ ...body, ra: 'b' })) })
})

// --- tokens

const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })

function token(claims: Record<string, unknown>): string {
  const parts = [{ alg: 'RS256', kid: 'k' }, claims].map(part =>
    Buffer.from(JSON.stringify(part)).toString('base64url')
  )
  const signed = parts.join('.')
  return `${signed}.${createSign('sha256').update(signed).sign(privateKey, 'base64url')}`
}

test('http asks for tokens where it is told to', async t => {
  let status = 500
  const keys = JSON.stringify({ keys: [{ ...publicKey.export({ format: 'jwk' }), kid: 'k' }] })
  const issuer = createServer((_, response) => response.writeHead(status).end(keys))
  issuer.listen(0, '127.0.0.1')
  await once(issuer, 'listening')
  t.after(() => issuer.close().closeAllConnections())
  const url = `http://127.0.0.1:${(issuer.address() as AddressInfo).port}/jwks`
  const input = await start(
    t,
    `oauth2.validate on\n  oauth2.issuer me\n  oauth2.jwks_url ${url}\n  enable_health_endpoint on`
  )
  const claims = { iss: 'me', aud: 'x', exp: 1_800_000_000 }
  const valid = { authorization: `Bearer ${token(claims)}` }
  const expired = { authorization: `Bearer ${token({ ...claims, exp: 1_600_000_000 })}` }
  assert.deepEqual(await input.post('/', '{"a":1}'), [401, ''])
  assert.deepEqual(await input.post('/', '{"a":1}', valid), [401, ''])
  status = 200
  input.pipeline.clock.advance(2000)
  assert.deepEqual(await input.post('/', '{"a":1}', valid), [201, ''])
  assert.deepEqual(await input.post('/', '{"a":1}', expired), [401, ''])
  assert.equal((await fetch(`${input.url}/health`)).status, 200)
  assert.deepEqual(input.events(), { in: [A] })
  assert.deepEqual(
    lines(input).filter(line => line.includes('401')),
    [
      '[error] OAuth2 validation failed: missing authorization header (rejecting request with 401)',
      '[error] OAuth2 validation failed: invalid argument (rejecting request with 401)',
      '[error] OAuth2 validation failed: invalid argument (rejecting request with 401)'
    ]
  )
})

// --- when senders are answered

test('http answers once events are delivered, with acknowledge delivered', async t => {
  let isUp = false
  const input = await start(t, 'acknowledge delivered\n  tag_key $t', {
    answer: () => (isUp ? { kind: 'ok' } : retry('down'))
  })
  let answer: readonly [number, string] | undefined
  const asked = input.post('/', '[{"t":"x"},{"t":"y"}]').then(got => (answer = got))
  const { pipeline } = input
  await pipeline.until(
    () => pipeline.counter('fluentbit_input_records_total', { name: 'http.0' }) === 2
  )
  pipeline.flush()
  await new Promise(resolve => setImmediate(resolve))
  assert.equal(answer, undefined)
  isUp = true
  pipeline.clock.advance(60_000)
  assert.deepEqual(await asked, [201, ''])
  assert.equal(pipeline.taken.length, 2)
})

test('http answers once events are stored, with storage.type filesystem', async t => {
  const input = await start(t, 'storage.type filesystem\n[SERVICE]\n  storage.path chunks')
  assert.deepEqual(await input.post('/', '{"a":1}'), [201, ''])
  assert.deepEqual(input.events(), { in: [A] })
})

test('http answers 503 while it is held back, and takes what comes later', async t => {
  let isUp = false
  const input = await start(t, 'mem_buf_limit 200', {
    answer: () => (isUp ? { kind: 'ok' } : retry('down'))
  })
  const { pipeline } = input
  const large = { a: 'x'.repeat(300) }
  assert.deepEqual(await input.post('/', JSON.stringify(large)), [201, ''])
  const answer = await fetch(input.url, {
    method: 'POST',
    body: '{"a":1}',
    headers: { 'content-type': 'application/json' }
  })
  assert.deepEqual([answer.status, answer.headers.get('retry-after')], [503, '1'])
  const labels = { kind: 'input', name: 'http.0', reason: 'paused' }
  assert.equal(pipeline.counter('spillway_connections_refused_total', labels), 1)
  isUp = true
  pipeline.flush()
  pipeline.clock.advance(60_000)
  await pipeline.until(() => pipeline.taken.length === 1)
  assert.deepEqual(await input.post('/', '{"a":1}'), [201, ''])
  assert.deepEqual(input.events(), { in: [large, A] })
})

// --- damage

test('http ends bodies with random damage in an answer, and takes all or nothing of each', async t => {
  const input = await start(t, 'tag_key $t\n  add_remote_addr on')
  const random = seededRandom(5)
  const whole = Buffer.from('[{"t":"x","a":[1,-2.5e3,"\\u00e9",null]},{"b":{"c":true}}] {"d":"é"}')
  let taken = 0
  for (let turn = 0; turn < 300; turn++) {
    const bytes = Buffer.from(whole)
    for (let changes = random() * 3; changes >= 0; changes--) {
      bytes[Math.floor(random() * bytes.length)] = Math.floor(random() * 256)
    }
    const cut = bytes.subarray(0, random() < 0.3 ? 1 + random() * bytes.length : bytes.length)
    const headers = { ...(random() < 0.2 ? FORM : {}), 'x-forwarded-for': 'a' }
    const before = input.pipeline.counter('fluentbit_input_records_total', { name: 'http.0' })
    const [status] = await input.post('/', cut, headers)
    const after = input.pipeline.counter('fluentbit_input_records_total', { name: 'http.0' })
    assert.ok(status === 201 || status === 400)
    if (status === 400) assert.equal(after, before)
    taken = after
  }
  const events = Object.values(input.events()).flat()
  assert.equal(events.length, taken)
})
