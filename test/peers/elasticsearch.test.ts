/** Elasticsearch's own client, and the input elasticsearch. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Client } from '@elastic/elasticsearch'
import { startHttpInput } from '../harness/http_input.ts'

test('the client of Elasticsearch sends bulks, plain and packed, and gets an answer to each action', async t => {
  const input = await startHttpInput(t, 'elasticsearch', 'hostname 127.0.0.1')
  for (const compression of [false, true]) {
    const client = new Client({ node: input.url, compression, maxRetries: 0 })
    t.after(() => client.close())
    const documents = Array.from({ length: 500 }, (_, number) => ({ number, text: 'é'.repeat(9) }))
    const result = await client.helpers.bulk({
      datasource: documents,
      flushBytes: 10_000,
      onDocument: ({ number }) =>
        number % 2 === 0 ? { index: { _index: 'logs' } } : { create: { _index: 'logs' } },
      onDrop: ({ document }) => assert.fail(JSON.stringify(document))
    })
    assert.equal(result.successful, 500)
    assert.equal(result.failed, 0)
  }
  const bodies = input.events()['in'] as { number: number; '@meta': unknown }[]
  assert.equal(bodies.length, 1000)
  const numbers = bodies.map(({ number }) => number).toSorted((a, b) => a - b)
  assert.deepEqual(
    numbers,
    Array.from({ length: 1000 }, (_, index) => Math.floor(index / 2))
  )
  assert.ok(bodies.every(body => JSON.stringify(body['@meta']).includes('{"_index":"logs"}')))
})

test('the client of Elasticsearch gets to know what was not done', async t => {
  const input = await startHttpInput(t, 'elasticsearch')
  const client = new Client({ node: input.url, maxRetries: 0 })
  t.after(() => client.close())
  const { errors, items } = await client.bulk({
    operations: [
      { index: { _index: 'logs' } },
      { a: 1 },
      { update: { _index: 'logs', _id: '1' } },
      { doc: { a: 2 } },
      { delete: { _index: 'logs', _id: '1' } }
    ]
  })
  assert.equal(errors, true)
  assert.deepEqual(
    items.flatMap(item => Object.entries(item).map(([name, { status }]) => [name, status])),
    [
      ['index', 201],
      ['update', 403],
      ['delete', 404]
    ]
  )
  assert.equal(input.events()['in']?.length, 1)
})

test('the client of Elasticsearch asks for the version and finds the node', async t => {
  const input = await startHttpInput(t, 'elasticsearch', 'hostname 127.0.0.1\n  version 9.1.2')
  const client = new Client({ node: input.url, maxRetries: 0, sniffOnStart: true })
  t.after(() => client.close())
  const sniffed = new Promise<unknown>((resolve, reject) => {
    client.diagnostic.on('sniff', (error, event) =>
      error === null ? resolve(event?.meta.sniff?.hosts) : reject(error)
    )
  })
  assert.equal((await client.info()).version.number, '9.1.2')
  const [node] = (await sniffed) as { url: URL }[]
  assert.equal(node?.url.host, `127.0.0.1:${input.port}`)
  assert.equal(await client.ping(), true)
})
