import assert from 'node:assert/strict'
import { connect } from 'node:net'
import { test } from 'node:test'
import { gzipSync } from 'node:zlib'
import { startHttpInput } from '../../../../test/harness/http_input.ts'
import { checkConfiguration } from '../../../../test/harness/pipeline.ts'
import { seededRandom } from '../../../../test/harness/random.ts'
import { MsgpackWriter } from '../../../codec/msgpack_writer.ts'
import { decodeEvents } from '../../../record/event.ts'
import { BulkReader } from './bulk_request.ts'

const BULK = '/_bulk'
const INPUT = 'elasticsearch.0'

/** An action, and what it is in records. */
const INDEX = '{"index":{"_index":"i","_id":"1"}}\n'
const META = { index: { _index: 'i', _id: '1' } }

const INDEXED = '{"index":{"status":201,"result":"created"}}'
const CREATED = '{"create":{"status":201,"result":"created"}}'
const NOT_UPDATED = '{"update":{"status":403,"result":"forbidden"}}'
const NOT_DELETED = '{"delete":{"status":404,"result":"not_found"}}'
const UNKNOWN = '{"unknown":{"status":400,"result":"bad_request"}}'
const BAD_DOCUMENT = '{"index":{"status":400,"result":"bad_request"}}'

function items(...list: readonly string[]): string {
  const hasErrors = list.some(item => item.includes('"status":40'))
  return `{"errors":${hasErrors},"items":[${list.join(',')}]}`
}

// --- configuration

test('elasticsearch refuses a tag_key that is no accessor', async () => {
  const { errors } = await checkConfiguration(
    '[INPUT]\n  name elasticsearch\n  tag_key $n[\n[OUTPUT]\n  name null\n  match *'
  )
  assert.equal(errors.length, 1)
})

test('elasticsearch says where it listens', async t => {
  const { pipeline, port } = await startHttpInput(t, 'elasticsearch')
  const line = `[ info] [input:elasticsearch:${INPUT}] listening on 127.0.0.1:${port} with 1 worker`
  assert.ok(pipeline.log.includes(line))
})

// --- bulk requests; expectations are recorded from Fluent Bit 5.1.1

const BULK_CASES: readonly (readonly [string, string, string, readonly unknown[]])[] = [
  ['index', `${INDEX}{"a":1}\n`, items(INDEXED), [{ '@meta': META, a: 1 }]],
  ['create', '{"create":{}}\n{"a":1}\n', items(CREATED), [{ '@meta': { create: {} }, a: 1 }]],
  ['no line end at the end', `${INDEX}{"a":1}`, items(INDEXED), [{ '@meta': META, a: 1 }]],
  ['an empty document', `${INDEX}{}\n`, items(INDEXED), [{ '@meta': META }]],
  [
    'no lines',
    '{"index":{}}{"a":1}{"index":{}}{"a":2}',
    items(INDEXED, INDEXED),
    [
      { '@meta': { index: {} }, a: 1 },
      { '@meta': { index: {} }, a: 2 }
    ]
  ],
  [
    'an action with two names',
    '{"index":{},"create":{}}\n{"a":1}\n',
    items(INDEXED),
    [{ '@meta': { index: {}, create: {} }, a: 1 }]
  ],
  [
    'all actions',
    `${INDEX}{"a":1}\n{"delete":{"_id":"1"}}\n{"update":{}}\n{"doc":{}}\n{"create":{}}\n{"a":2}\n`,
    items(INDEXED, NOT_DELETED, NOT_UPDATED, CREATED),
    [
      { '@meta': META, a: 1 },
      { '@meta': { create: {} }, a: 2 }
    ]
  ],
  ['delete alone', '{"delete":{"_id":"1"}}\n', items(NOT_DELETED), []],
  [
    'an unknown action',
    `${INDEX}{"a":1}\n{"nope":{}}\n{"a":2}\n${INDEX}{"a":3}\n`,
    items(INDEXED, UNKNOWN),
    [{ '@meta': META, a: 1 }]
  ],
  ['an action in capitals', '{"Index":{}}\n{"a":1}\n', items(UNKNOWN), []]
]

for (const [name, body, answer, bodies] of BULK_CASES) {
  test(`elasticsearch takes and answers each action: ${name}`, async t => {
    const input = await startHttpInput(t, 'elasticsearch')
    assert.deepEqual(await input.post(BULK, body), [200, answer])
    assert.deepEqual(input.events(), bodies.length === 0 ? {} : { in: bodies })
  })
}

for (const count of [14, 15, 16, 65_534, 65_535]) {
  test(`elasticsearch puts the action first in a document of ${count} pairs`, async t => {
    const input = await startHttpInput(t, 'elasticsearch', 'meta_key meta me')
    const pairs = Array.from({ length: count }, (_, index) => [`k${index}`, index] as const)
    const document = JSON.stringify(Object.fromEntries(pairs))
    const [status] = await input.post(BULK, `${INDEX}${document}\n${INDEX}{"z":1}\n`)
    assert.equal(status, 200)
    const [first, second] = input.events()['in'] ?? []
    assert.deepEqual(Object.entries(first as object), [['meta me', META], ...pairs])
    assert.deepEqual(second, { 'meta me': META, z: 1 })
  })
}

test('elasticsearch keeps a key of the document that is named as the action', async () => {
  const out = new MsgpackWriter()
  const body = Buffer.from(`${INDEX}{"@meta":"mine"}`)
  const bulk = new BulkReader(body, Buffer.from([0xa5, ...Buffer.from('@meta')]), 0, out, () => {
    assert.fail()
  })
  assert.ok(bulk.read())
  const pair = Buffer.from([0xa5, ...Buffer.from('@meta'), 0xa4, ...Buffer.from('mine')])
  assert.equal(out.written().subarray(-pair.length).compare(pair), 0)
  assert.equal(bulk.count, 1)
})

test('elasticsearch gives all documents of a request the time of now', async t => {
  const input = await startHttpInput(t, 'elasticsearch')
  const { pipeline } = input
  await input.post(BULK, `${INDEX}{"a":1}\n${INDEX}{"a":2}\n`)
  pipeline.flush()
  assert.deepEqual(
    pipeline.taken.flatMap(({ events }) => events.map(({ time, metadata }) => [time, metadata])),
    [
      [[1_700_000_000, 123_000_000], {}],
      [[1_700_000_000, 123_000_000], {}]
    ]
  )
})

test('elasticsearch takes the tag from the document, as it is written there', async t => {
  const input = await startHttpInput(t, 'elasticsearch', 'tag_key tk')
  const documents = ['{"tk":"t 1"}', '{"tk":5}', '{"x":1}', '{"tk":""}', '{"tk":"t 1","z":2}']
  const body = documents.map(document => `${INDEX}${document}\n`).join('')
  assert.deepEqual(await input.post(BULK, body), [200, items(...documents.map(() => INDEXED))])
  assert.deepEqual(input.events(), {
    't 1': [
      { '@meta': META, tk: 't 1' },
      { '@meta': META, tk: 't 1', z: 2 }
    ],
    in: [
      { '@meta': META, tk: 5 },
      { '@meta': META, x: 1 },
      { '@meta': META, tk: '' }
    ]
  })
})

for (const type of [
  'application/x-ndjson',
  'APPLICATION/JSON; charset=UTF-8',
  'application/vnd.elasticsearch+x-ndjson; compatible-with=9',
  'application/vnd.elasticsearch+json; compatible-with=8'
]) {
  test(`elasticsearch takes documents as ${type}, compressed too`, async t => {
    const input = await startHttpInput(t, 'elasticsearch')
    const body = `${INDEX}{"a":1}\n`
    const headers = { 'content-type': type }
    assert.deepEqual(await input.post(`${BULK}?refresh=true`, body, headers), [200, items(INDEXED)])
    const packed = { ...headers, 'content-encoding': 'gzip' }
    assert.deepEqual(await input.post(BULK, gzipSync(body), packed), [200, items(INDEXED)])
    assert.equal(input.events()['in']?.length, 2)
  })
}

test('elasticsearch takes documents that are put', async t => {
  const input = await startHttpInput(t, 'elasticsearch')
  const headers = { 'content-type': 'application/json' }
  const reply = await fetch(input.url + BULK, { method: 'PUT', body: `${INDEX}{"a":1}`, headers })
  assert.equal(await reply.text(), items(INDEXED))
  assert.deepEqual(input.events(), { in: [{ '@meta': META, a: 1 }] })
})

// --- what is not taken

for (const [name, document, bytes] of [
  ['is not JSON', '{"a":nope}\n', 46],
  ['is a number', '5\n', 36],
  ['breaks off its line', '{"a":"\\u12\n', 46]
] as const) {
  test(`elasticsearch refuses a document that ${name}, and takes the others`, async t => {
    const input = await startHttpInput(t, 'elasticsearch')
    const body = `${INDEX}{"a":1}\n${INDEX}${document}${INDEX}{"a":3}\n`
    assert.deepEqual(await input.post(BULK, body), [200, items(INDEXED, BAD_DOCUMENT, INDEXED)])
    assert.deepEqual(input.events(), {
      in: [
        { '@meta': META, a: 1 },
        { '@meta': META, a: 3 }
      ]
    })
    assert.deepEqual(input.dropped(INPUT, 'malformed'), [1, bytes])
  })
}

test('elasticsearch refuses an action without its document', async t => {
  const input = await startHttpInput(t, 'elasticsearch')
  const body = `${INDEX}{"a":1}\n${INDEX}`
  assert.deepEqual(await input.post(BULK, body), [200, items(INDEXED, BAD_DOCUMENT)])
  assert.deepEqual(input.events(), { in: [{ '@meta': META, a: 1 }] })
  assert.deepEqual(input.dropped(INPUT, 'malformed'), [1, INDEX.length])
})

test('elasticsearch counts updates, and what follows an unknown action', async t => {
  const input = await startHttpInput(t, 'elasticsearch')
  await input.post(BULK, '{"update":{}}\n{"doc":{}}\n{"nope":{}}\n{"a":1}\n')
  assert.deepEqual(input.dropped(INPUT, 'update'), [1, 24])
  assert.deepEqual(input.dropped(INPUT, 'unknown_action'), [1, 20])
})

for (const body of [
  `${INDEX}{"a":1}\n{}\n{"a":2}\n`,
  `${INDEX}{"a":1}\nnope\n`,
  `${INDEX}{"a":1}\n[1]`,
  '5',
  ' \n',
  '{"index":'
]) {
  test(`elasticsearch takes nothing of a body with another thing in place of an action: ${JSON.stringify(body)}`, async t => {
    const input = await startHttpInput(t, 'elasticsearch')
    assert.deepEqual(await input.post(BULK, body), [400, 'error: invalid payload\n'])
    assert.deepEqual(input.events(), {})
    assert.deepEqual(input.dropped(INPUT, 'malformed'), [1, body.length])
    assert.ok(
      input.pipeline.log.some(line => line.includes('decode payload of Bulk API is failed'))
    )
    assert.equal((await input.post(BULK, `${INDEX}{"a":1}`))[0], 200)
    assert.deepEqual(input.events(), { in: [{ '@meta': META, a: 1 }] })
  })
}

test('elasticsearch takes nothing of such a body by tags either', async t => {
  const input = await startHttpInput(t, 'elasticsearch', 'tag_key tk')
  assert.equal((await input.post(BULK, `${INDEX}{"tk":"a"}\nnope`))[0], 400)
  assert.equal((await input.post(BULK, `${INDEX}{"tk":"b"}\n`))[0], 200)
  assert.deepEqual(Object.keys(input.events()), ['b'])
})

test('elasticsearch refuses bodies beyond buffer_max_size, and goes on', async t => {
  const input = await startHttpInput(t, 'elasticsearch', 'buffer_max_size 1K')
  const body = `${INDEX}${JSON.stringify({ a: 'x'.repeat(2000) })}\n`
  assert.equal((await input.post(BULK, body))[0], 413)
  assert.deepEqual(await input.post(BULK, `${INDEX}{"a":1}`), [200, items(INDEXED)])
  assert.deepEqual(input.events(), { in: [{ '@meta': META, a: 1 }] })
})

// --- other requests

const ROOT =
  '{"version":{"number":"8.0.0","build_flavor":"Fluent Bit OSS"},"tagline":"Fluent Bit\'s Bulk API compatible endpoint"}'

const OTHER_REQUESTS: readonly (readonly [string, string, number, string])[] = [
  ['GET', '/', 200, ROOT],
  ['GET', '/?x=1', 200, ROOT],
  ['GET', '/_license', 200, '{}'],
  ['GET', '/_xpack', 200, '{}'],
  ['GET', BULK, 200, '{}'],
  ['HEAD', '/', 200, ''],
  ['HEAD', '/_template/x', 200, ''],
  ['PUT', '/_template/x', 200, '{}'],
  ['DELETE', '/i', 400, 'error: invalid HTTP method\n'],
  ['OPTIONS', '/i', 400, 'error: invalid HTTP method\n'],
  ['POST', '/i/_bulk', 400, 'error: invalid HTTP endpoint\n'],
  ['POST', '/_bulk/', 400, 'error: invalid HTTP endpoint\n'],
  ['POST', BULK, 400, "error: header 'Content-Type' is not set\n"]
]

for (const [method, path, status, body] of OTHER_REQUESTS) {
  test(`elasticsearch answers ${method} ${path} as Fluent Bit does`, async t => {
    const { url } = await startHttpInput(t, 'elasticsearch')
    const reply = await fetch(url + path, { method })
    assert.deepEqual([reply.status, await reply.text()], [status, body])
    const type = body.startsWith('{') ? 'application/json' : null
    assert.equal(reply.headers.get('content-type'), type)
    assert.equal(reply.headers.get('x-elastic-product'), 'Elasticsearch')
  })
}

test('elasticsearch refuses other content types, and empty bodies', async t => {
  const input = await startHttpInput(t, 'elasticsearch')
  const text = { 'content-type': 'text/plain' }
  const refused = [400, "error: invalid 'Content-Type'\n"]
  assert.deepEqual(await input.post(BULK, INDEX, text), refused)
  assert.deepEqual(await input.post(BULK, ''), [400, 'error: no payload found\n'])
  const labels = { name: INPUT }
  assert.equal(input.pipeline.counter('spillway_requests_refused_total', labels), 2)
})

test('elasticsearch tells clients where it is and what it takes', async t => {
  const input = await startHttpInput(
    t,
    'elasticsearch',
    'hostname es.example\n  version 7.17.0\n  http_server.buffer_max_size 1M'
  )
  const root = await (await fetch(input.url)).text()
  assert.equal(root, ROOT.replace('8.0.0', '7.17.0'))
  const name = 'i'.repeat(12)
  const nodes =
    `{"_nodes":{"total":1,"successful":1,"failed":0},"nodes":{"${'v'.repeat(16)}":{"name":"${name}","version":"8.0.0",` +
    `"http":{"publish_address":"es.example:${input.port}","max_content_length_in_bytes":1000000}}}}`
  for (const path of ['/_nodes/http', '/_nodes/http/x?y', '/_nodes/_all/http']) {
    assert.equal(await (await fetch(input.url + path)).text(), nodes)
  }
})

// --- when it is answered

test('elasticsearch answers when the documents are delivered, where acknowledge says so', async t => {
  const input = await startHttpInput(t, 'elasticsearch', 'acknowledge delivered\n  tag_key t')
  const body = `${INDEX}{"t":"one"}\n${INDEX}{"t":"two"}\n`
  let isAnswered = false
  const posted = input.post(BULK, body).finally(() => (isAnswered = true))
  const labels = { name: INPUT }
  await input.pipeline.until(
    () => input.pipeline.counter('fluentbit_input_records_total', labels) === 2
  )
  // An answer that was on its way would be there before this one.
  await fetch(input.url)
  assert.equal(isAnswered, false)
  input.pipeline.flush()
  assert.deepEqual(await posted, [200, items(INDEXED, INDEXED)])
})

test('elasticsearch answers 503 while it is held back, and takes documents afterwards', async t => {
  const input = await startHttpInput(t, 'elasticsearch', 'mem_buf_limit 50')
  const large = `${INDEX}${JSON.stringify({ a: 'x'.repeat(100) })}`
  assert.equal((await input.post(BULK, large))[0], 200)
  assert.equal((await input.post(BULK, `${INDEX}{"a":1}`))[0], 503)
  input.pipeline.flush()
  await input.pipeline.until(() => input.pipeline.log.some(line => line.includes('.0 resume')))
  assert.equal((await input.post(BULK, `${INDEX}{"a":2}`))[0], 200)
  assert.deepEqual(input.events()['in']?.slice(1), [{ '@meta': META, a: 2 }])
})

// --- robustness

test('elasticsearch answers pipelined requests in their order', async t => {
  const input = await startHttpInput(t, 'elasticsearch')
  const request = (body: string): string =>
    `POST ${BULK} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`
  const socket = connect(input.port, '127.0.0.1')
  t.after(() => socket.destroy())
  let answers = ''
  socket.on('data', piece => (answers += piece.toString()))
  socket.write(request(`${INDEX}{"a":1}`) + request('{"create":{}}{"a":2}'))
  await input.pipeline.until(() => answers.includes(items(CREATED)))
  assert.ok(answers.indexOf(items(INDEXED)) < answers.indexOf(items(CREATED)))
  assert.equal(input.events()['in']?.length, 2)
})

const SEED = 20_260_732

test(`elasticsearch reads any body without harm, and says what it is (seed ${SEED})`, () => {
  const random = seededRandom(SEED)
  const seed = Buffer.from(
    `${INDEX}{"a":[1,{"b":2.5e3}],"c":"\\u00e9"}\n{"delete":{"_id":"1"}}\n{"update":{}}\n{"doc":{}}\n{"create":{}}\n{}\n`
  )
  const metaKey = Buffer.from([0xa1, 0x6d])
  for (let round = 0; round < 20_000; round++) {
    const body = Buffer.from(seed.subarray(0, 1 + Math.floor(random() * seed.length)))
    for (let edits = Math.floor(random() * 5); edits > 0; edits--) {
      body[Math.floor(random() * body.length)] = Math.floor(random() * 256)
    }
    const out = new MsgpackWriter(64)
    let refusals = 0
    const bulk = new BulkReader(body, metaKey, 0, out, (_, bytes) => {
      refusals++
      assert.ok(bytes > 0 && bytes <= body.length)
    })
    const isBulk = bulk.read()
    const answers = JSON.parse(`[${bulk.items}]`) as unknown[]
    assert.ok(answers.length >= bulk.count + refusals, `round ${round}`)
    if (isBulk) assert.equal([...decodeEvents(out.written())].length, bulk.count, `round ${round}`)
  }
})
