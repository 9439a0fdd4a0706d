import assert from 'node:assert/strict'
import { connect } from 'node:net'
import { type TestContext, test } from 'node:test'
import { gzipSync } from 'node:zlib'
import { type Answer, type HttpInput, startHttpInput } from '../../../../test/harness/http_input.ts'
import { checkConfiguration, type PipelineOptions } from '../../../../test/harness/pipeline.ts'
import { seededRandom } from '../../../../test/harness/random.ts'

const EVENT = '/services/collector/event'
const RAW = '/services/collector/raw'
const SUCCESS = '{"text":"Success","code":0}'
const INVALID_DATA = '{"text":"Invalid data format","code":6}'
const TOKEN = 'Splunk tok-1'

async function start(t: TestContext, keys = '', options: PipelineOptions = {}): Promise<HttpInput> {
  return startHttpInput(t, 'splunk', keys, options)
}

/** Sends bytes as they are; gives all that comes until the end or, where it stays open, until `isEnough`. */
async function send(
  port: number,
  bytes: string,
  isEnough: (answer: string) => boolean = () => false
): Promise<string> {
  return new Promise(resolve => {
    const socket = connect(port, '127.0.0.1', () => socket.write(bytes))
    let answer = ''
    socket.on('data', piece => {
      answer += piece.toString('latin1')
      if (isEnough(answer)) socket.destroy()
    })
    socket.on('error', () => undefined)
    socket.on('close', () => resolve(answer))
  })
}

// --- configuration

test('splunk refuses a tag_key that is no accessor, tokens without a token and headers that cannot be sent', async () => {
  const refused = async (keys: string): Promise<string[]> =>
    (
      await checkConfiguration(
        `[INPUT]\n  name splunk\n  ${keys}\n[OUTPUT]\n  name null\n  match *`
      )
    ).errors
  assert.equal((await refused('tag_key $n[')).length, 1)
  assert.deepEqual(await refused('splunk_token ,'), [
    'fluent-bit.conf:3:16: Cannot set "splunk_token" on input splunk: value must have a token: there is none in it'
  ])
  assert.equal((await refused('success_header content-length 5')).length, 1)
})

test('splunk says where it listens', async t => {
  const { pipeline, port } = await start(t)
  assert.ok(
    pipeline.log.includes(
      `[ info] [input:splunk:splunk.0] listening on 127.0.0.1:${port} with 1 worker`
    )
  )
})

// --- events; expectations are recorded from Fluent Bit 5.1.1

test('splunk keeps a map as it is, all keys of HEC among them, with the time of now', async t => {
  const input = await start(t)
  const body =
    '{"time":1426279439.5,"host":"h","source":"s","index":"i","fields":{"a":"b"},"event":{"x":1}}'
  assert.deepEqual(await input.post(EVENT, body), [200, SUCCESS])
  input.pipeline.flush()
  assert.deepEqual(input.pipeline.taken, [
    {
      tag: 'in',
      events: [
        {
          time: [1_700_000_000, 123_000_000],
          metadata: {},
          body: {
            time: 1426279439.5,
            host: 'h',
            source: 's',
            index: 'i',
            fields: { a: 'b' },
            event: { x: 1 }
          }
        }
      ]
    }
  ])
})

for (const [name, body, bodies] of [
  ['one after the other', '{"event":1}{"event":2}\n {"event":3}\n', [1, 2, 3]],
  ['with commas', '{"event":1},{"event":2}\n,\n{"event":3}', [1, 2, 3]],
  ['in lists', '[{"event":1},{"event":2}]{"event":3}', [1, 2, 3]],
  ['none', '[]', []]
] as const) {
  test(`splunk takes events ${name}`, async t => {
    const input = await start(t)
    assert.deepEqual(await input.post(EVENT, body), [200, SUCCESS])
    assert.deepEqual(
      input.events(),
      bodies.length === 0 ? {} : { in: bodies.map(event => ({ event })) }
    )
  })
}

for (const [name, path, type, body, expected] of [
  ['raw', RAW, 'text/plain', 'l1\nl2\n\n', { log: 'l1\nl2\n\n' }],
  [
    'raw 1.0, JSON',
    `${RAW}/1.0`,
    'application/json',
    '{"a":1}\n{"b":2}',
    { log: '{"a":1}\n{"b":2}' }
  ],
  ['event, as text', EVENT, 'text/plain', '{"a":1}\n', { log: '{"a":1}\n' }],
  ['event, of a type not known', EVENT, 'x/y', 'plain', { log: 'plain' }],
  [
    'event, a map of a type not known',
    EVENT,
    'application/json; charset=utf-8',
    '{"a":1}',
    { a: 1 }
  ],
  ['event, a list of a type not known', EVENT, 'x/y', '[{"a":1}]', { log: '[{"a":1}]' }],
  ['collector', '/Services/Collector?channel=1', 'application/json', '{"a":1}', { a: 1 }],
  ['event 1.0', `${EVENT}/1.0`, 'application/json', '{"a":1}', { a: 1 }]
] as const) {
  test(`splunk makes one record: ${name}`, async t => {
    const input = await start(t)
    assert.deepEqual(await input.post(path, body, { 'content-type': type }), [200, SUCCESS])
    assert.deepEqual(input.events(), { in: [expected] })
  })
}

test('splunk takes compressed bodies', async t => {
  const input = await start(t)
  const body = gzipSync('{"event":"gz"}')
  assert.deepEqual(await input.post(EVENT, body, { 'content-encoding': 'gzip' }), [200, SUCCESS])
  assert.deepEqual(input.events(), { in: [{ event: 'gz' }] })
})

// --- tokens

const TOKEN_CASES: readonly (readonly [string, string | undefined, number, string, string])[] = [
  ['none', undefined, 401, '{"text":"Token is required","code":2}', 'missing credentials'],
  ['an empty header', '', 401, '{"text":"Token is required","code":2}', 'missing credentials'],
  [
    'another scheme',
    'Basic x',
    401,
    '{"text":"Invalid authorization","code":3}',
    'invalid authorization'
  ],
  [
    'a scheme alone',
    'Splunk',
    401,
    '{"text":"Invalid authorization","code":3}',
    'invalid authorization'
  ],
  ['a wrong token', 'Splunk tok-9', 403, '{"text":"Invalid token","code":4}', 'wrong credentials']
]

for (const [name, authorization, status, body, line] of TOKEN_CASES) {
  test(`splunk lets nobody in with ${name}, before the body has come`, async t => {
    const input = await start(t, 'splunk_token tok-1, tok-2')
    const header = authorization === undefined ? '' : `Authorization: ${authorization}\r\n`
    const head = `POST ${EVENT} HTTP/1.1\r\nHost: x\r\n${header}Content-Length: 100000\r\n\r\n`
    const answer = await send(input.port, head, text => text.includes(body))
    assert.match(answer, new RegExp(`^HTTP/1.1 ${status} `))
    assert.ok(answer.endsWith(body), answer)
    assert.deepEqual(input.events(), {})
    assert.ok(
      input.pipeline.log.includes(`[ warn] [input:splunk:splunk.0] ${line} in request headers`),
      input.pipeline.log.join('\n')
    )
    assert.equal(input.pipeline.counter('spillway_requests_refused_total', { name: 'splunk.0' }), 1)
  })
}

test('splunk keeps the token in the metadata, as it was sent', async t => {
  const input = await start(t, 'splunk_token tok-1, tok-2')
  assert.deepEqual(await input.post(EVENT, '{"a":1}{"b":2}', { authorization: TOKEN }), [
    200,
    SUCCESS
  ])
  assert.deepEqual(await input.post(RAW, 'raw', { authorization: 'SPLUNK TOK-2' }), [200, SUCCESS])
  input.pipeline.flush()
  assert.deepEqual(
    input.pipeline.taken.flatMap(({ events }) =>
      events.map(({ metadata, body }) => [metadata, body])
    ),
    [
      [{ hec_token: TOKEN }, { a: 1 }],
      [{ hec_token: TOKEN }, { b: 2 }],
      [{ hec_token: 'SPLUNK TOK-2' }, { log: 'raw' }]
    ]
  )
})

test('splunk adds token and address to records, after what they have', async t => {
  const input = await start(
    t,
    `store_token_in_metadata off
  splunk_token_key tok
  add_remote_addr on
  remote_addr_key from`
  )
  const sender = { authorization: TOKEN, 'x-forwarded-for': ' 10.0.0.1 , 10.0.0.2' }
  const many = Object.fromEntries(Array.from({ length: 15 }, (_, index) => [`k${index}`, index]))
  await input.post(EVENT, '{"event":1}', sender)
  await input.post(EVENT, '{}', { ...sender, authorization: 'Basic x' })
  await input.post(EVENT, JSON.stringify(many), sender)
  await input.post(RAW, 'raw', sender)
  const added = { tok: TOKEN, from: '10.0.0.1' }
  assert.deepEqual(
    input.events()['in']?.map(body => Object.entries(body as object)),
    [
      { event: 1, ...added },
      { from: '10.0.0.1' },
      { ...many, ...added },
      { tok: TOKEN, log: 'raw', from: '10.0.0.1' }
    ].map(body => Object.entries(body))
  )
})

test('splunk adds the address of the connection where no proxy says another', async t => {
  const input = await start(t, 'add_remote_addr on')
  await input.post(EVENT, '{"event":1}')
  await input.post(EVENT, '{"event":2}', { 'x-forwarded-for': ' , 10.0.0.2' })
  for (const body of input.events()['in'] ?? []) {
    assert.match((body as { remote_addr: string }).remote_addr, /^tcp:\/\/127\.0\.0\.1:\d+$/)
  }
  assert.equal(input.events()['in']?.length, 2)
})

test('splunk takes the tag from the record, as it is written there', async t => {
  const input = await start(t, "tag_key $n['t']")
  const body = '{"n":{"t":"a b/é"}}{"n":{"t":5}}{"x":1}{"n":{"t":""}}[{"n":{"t":"t.1"}}]'
  assert.deepEqual(await input.post(EVENT, body), [200, SUCCESS])
  assert.deepEqual(await input.post(RAW, 'raw'), [200, SUCCESS])
  assert.deepEqual(input.events(), {
    'a b/é': [{ n: { t: 'a b/é' } }],
    in: [{ n: { t: 5 } }, { x: 1 }, { n: { t: '' } }, { log: 'raw' }],
    't.1': [{ n: { t: 't.1' } }]
  })
})

// --- what is not taken

for (const [name, body, status, taken, reason, bytes] of [
  ['breaks off', '{"event":1}{"event":', 200, [1], 'incomplete', 9],
  ['breaks off at once', '{"event":', 400, [], 'incomplete', 9],
  ['is white space', ' \n', 400, [], 'incomplete', 2],
  ['is not JSON', '{"event":1} nope', 400, [], 'malformed', 16],
  ['is a number', '12', 400, [], 'not_an_event', 2]
] as const) {
  test(`splunk counts what it does not take of a body that ${name}`, async t => {
    const input = await start(t)
    assert.deepEqual(await input.post(EVENT, body), [
      status,
      status === 200 ? SUCCESS : INVALID_DATA
    ])
    assert.deepEqual(
      input.events(),
      taken.length === 0 ? {} : { in: taken.map(event => ({ event })) }
    )
    assert.deepEqual(input.dropped('splunk.0', reason), [1, bytes])
    assert.ok(input.pipeline.log.some(line => line.includes('skip')))
  })
}

test('splunk leaves out items of a list that are no maps', async t => {
  const input = await start(t)
  assert.deepEqual(await input.post(EVENT, '[{"event":1},2,"x",{"event":3}]'), [200, SUCCESS])
  assert.deepEqual(input.events(), { in: [{ event: 1 }, { event: 3 }] })
  assert.deepEqual(input.dropped('splunk.0', 'not_an_event'), [2, 0])
})

const ENDPOINT = 'error: invalid HTTP endpoint\n'
const METHOD = 'error: invalid HTTP method\n'

const OTHER_REQUESTS: readonly (readonly [string, string, number, string])[] = [
  ['GET', '/services/collector/health', 200, '{"text":"Success","code":200}'],
  ['GET', '/Services/collector/HEALTH?x=1', 200, '{"text":"Success","code":200}'],
  ['GET', EVENT, 400, ENDPOINT],
  ['POST', '/services/collector/', 400, ENDPOINT],
  ['POST', '/services/collector/ack', 400, ENDPOINT],
  ['POST', EVENT, 400, '{"text":"No data","code":5}'],
  ['POST', RAW, 400, "error: header 'Content-Type' is not set\n"],
  ['PUT', EVENT, 400, METHOD],
  ['DELETE', EVENT, 400, METHOD],
  ['OPTIONS', EVENT, 400, METHOD]
]

for (const [method, path, status, body] of OTHER_REQUESTS) {
  test(`splunk answers ${method} ${path} as Fluent Bit does`, async t => {
    const { port } = await start(t)
    const reply = await fetch(`http://127.0.0.1:${port}${path}`, { method })
    assert.deepEqual([reply.status, await reply.text()], [status, body])
    const type = body.startsWith('{') ? 'application/json' : null
    assert.equal(reply.headers.get('content-type'), type)
  })
}

test('splunk sends success_header with the answer to what was taken, and with no other', async t => {
  const { port } = await start(t, 'success_header X-One a b c\n  success_header X-Two')
  const post = async (body: string): Promise<[string | null, string | null]> => {
    const reply = await fetch(`http://127.0.0.1:${port}${EVENT}`, { method: 'POST', body })
    await reply.text()
    return [reply.headers.get('x-one'), reply.headers.get('x-two')]
  }
  assert.deepEqual(await post('{"event":1}'), ['a b c', 'X-Two'])
  assert.deepEqual(await post('{'), [null, null])
})

test('splunk refuses bodies beyond buffer_max_size, and goes on', async t => {
  const input = await start(t, 'buffer_max_size 1K')
  assert.equal((await input.post(EVENT, JSON.stringify({ event: 'x'.repeat(2000) })))[0], 413)
  const bomb = gzipSync(JSON.stringify({ event: 'x'.repeat(200_000) }))
  assert.equal((await input.post(EVENT, bomb, { 'content-encoding': 'gzip' }))[0], 413)
  assert.deepEqual(await input.post(EVENT, '{"event":1}'), [200, SUCCESS])
  assert.deepEqual(input.events(), { in: [{ event: 1 }] })
  const labels = { kind: 'input', name: 'splunk.0', reason: 'body_too_large' }
  assert.equal(input.pipeline.counter('spillway_connections_refused_total', labels), 2)
})

// --- when it is answered

test('splunk answers when the events are delivered, where acknowledge says so', async t => {
  const input = await start(t, 'acknowledge delivered\n  tag_key t', {
    nowMs: 1_700_000_000_000
  })
  let answer: Answer | undefined
  const posted = input.post(EVENT, '{"t":"one"}{"t":"two"}{"t":5}').then(got => (answer = got))
  const ingested = (): number =>
    input.pipeline.counter('fluentbit_input_records_total', { name: 'splunk.0' })
  await input.pipeline.until(() => ingested() === 3)
  // An answer that was on its way would be there before this one.
  await fetch(input.url)
  assert.equal(answer, undefined)
  input.pipeline.flush()
  await posted
  assert.deepEqual(answer, [200, SUCCESS])
  assert.deepEqual(input.pipeline.taken.map(({ tag }) => tag).toSorted(), ['in', 'one', 'two'])
})

test('splunk answers 503 while it is held back, health too, and takes events afterwards', async t => {
  const input = await start(t, 'mem_buf_limit 50')
  const health = async (): Promise<number> =>
    (await fetch(`${input.url}/services/collector/health`)).status
  assert.deepEqual(await input.post(EVENT, JSON.stringify({ event: 'x'.repeat(100) })), [
    200,
    SUCCESS
  ])
  assert.equal((await input.post(EVENT, '{"event":1}'))[0], 503)
  assert.equal(await health(), 503)
  input.pipeline.flush()
  await input.pipeline.until(() =>
    input.pipeline.log.some(line => line.includes('splunk.0 resume'))
  )
  assert.equal(await health(), 200)
  assert.deepEqual(await input.post(EVENT, '{"event":2}'), [200, SUCCESS])
  assert.deepEqual(input.events()['in']?.slice(1), [{ event: 2 }])
})

// --- robustness

test('splunk survives a request cut at every byte', async t => {
  const input = await start(t, 'splunk_token tok-1')
  const body = '{"event":1}'
  const request =
    `POST ${EVENT} HTTP/1.1\r\nHost: x\r\nAuthorization: ${TOKEN}\r\nContent-Type: application/json\r\n` +
    `Content-Length: ${body.length}\r\n\r\n${body}`
  const cuts = Array.from({ length: request.length }, (_, length) => request.slice(0, length))
  await Promise.all(
    cuts.map(
      async cut =>
        new Promise<void>(resolve => {
          const socket = connect(input.port, '127.0.0.1', () => socket.end(cut))
          socket.on('error', () => undefined)
          socket.on('close', () => resolve())
          socket.resume()
        })
    )
  )
  assert.deepEqual(await input.post(EVENT, '{"event":2}', { authorization: TOKEN }), [200, SUCCESS])
  assert.deepEqual(input.events(), { in: [{ event: 2 }] })
})

const SEED = 20_260_731

test(`splunk takes any body without harm (seed ${SEED})`, async t => {
  const random = seededRandom(SEED)
  const input = await start(t, `store_token_in_metadata off\n  add_remote_addr on\n  tag_key t`)
  const seed = Buffer.from(
    '[{"t":"a","event":{"x":[1,2.5e3,null]}},{"k":"\\u00e9\\n"}] {"event":"z"}'
  )
  const headers = { authorization: TOKEN }
  let taken = 0
  for (let round = 0; round < 600; round++) {
    const body = Buffer.from(seed)
    for (let edits = 1 + Math.floor(random() * 4); edits > 0; edits--) {
      body[Math.floor(random() * body.length)] = Math.floor(random() * 256)
    }
    const cut = body.subarray(0, 1 + Math.floor(random() * body.length))
    const [status] = await input.post(random() < 0.2 ? RAW : EVENT, cut, headers)
    assert.ok(status === 200 || status === 400, `round ${round}: ${status}`)
    if (status === 200) taken++
  }
  assert.ok(taken > 50)
  assert.deepEqual(await input.post(EVENT, '{"t":"last"}', headers), [200, SUCCESS])
  input.pipeline.flush()
  assert.equal(input.pipeline.taken.filter(({ tag }) => tag === 'last').length, 1)
})
