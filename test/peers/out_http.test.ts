/** The output http sends to nginx, through proxies and through faults. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Compression, expand } from '../../src/codec/compression.ts'
import { drop, OK } from '../../src/plugin/delivery.ts'
import { http } from '../../src/plugins/outputs/http/http.ts'
import { certificates } from '../harness/certificates.ts'
import { type OutputRun, startOutput } from '../harness/http_output.ts'
import { needs } from '../harness/peers.ts'
import { startHttpSink } from '../harness/peers/nginx.ts'
import { startForwardProxy } from '../harness/peers/tinyproxy.ts'
import { startToxiproxy } from '../harness/peers/toxiproxy.ts'
import type { PipelineOptions } from '../harness/pipeline.ts'

const BODY = '[{"a":1}]'

function start(port: number, keys = '', options: PipelineOptions = {}): Promise<OutputRun> {
  return startOutput(http, { port }, `    json_date_key no\n${keys}`, options)
}

async function sendOne(port: number, keys = '', options: PipelineOptions = {}): Promise<OutputRun> {
  const output = await start(port, keys, options)
  output.run.push('app', { a: 1 })
  output.run.flush()
  await output.delivered(1)
  await output.run.stop()
  return output
}

test('nginx stores what http sends over kept connections', needs('nginx'), async t => {
  const sink = await startHttpSink(t, { headers: ['x-tag'] })
  const output = await start(sink.port, '    uri /logs?x=y\n    header_tag X-Tag\n    workers 0')
  for (let number = 1; number <= 3; number++) {
    output.run.push('app', { number })
    output.run.flush()
    await output.delivered(number)
  }
  await output.run.stop()
  const requests = await sink.until(3)
  assert.deepEqual(
    requests.map(({ method, uri, headers, body }) => [
      method,
      uri,
      headers['x-tag'],
      body.toString()
    ]),
    [1, 2, 3].map(number => ['POST', '/logs?x=y', 'app', `[{"number":${number}}]`])
  )
  assert.equal(new Set(requests.map(({ connection }) => connection)).size, 1)
})

for (const kind of ['gzip', 'snappy', 'zstd'] satisfies Compression[]) {
  test(`nginx stores a large body in ${kind}`, needs('nginx'), async t => {
    const sink = await startHttpSink(t)
    const output = await start(sink.port, `    compress ${kind}\n    format json_lines`)
    const bodies = Array.from({ length: 10_000 }, (_, n) => ({ n, text: 'x'.repeat(100) }))
    output.run.push('app', ...bodies)
    output.run.flush()
    await output.delivered(1)
    await output.run.stop()
    const [{ headers, body }] = await sink.until(1)
    assert.equal(headers['content-encoding'], kind)
    assert.equal(
      (await expand(kind, body, 10_000_000)).toString(),
      bodies.map(record => `${JSON.stringify(record)}\n`).join('')
    )
  })
}

test('http speaks TLS with nginx and shows its certificate', needs('nginx', 'openssl'), async t => {
  const { server, client, authority } = certificates()
  const sink = await startHttpSink(t, { tls: server, clientAuthority: authority })
  const keys = `    host localhost\n    tls on\n    tls.ca_file ${authority}\n    tls.verify_hostname on`
  const shown = `    tls.crt_file ${client.certificate}\n    tls.key_file ${client.key}`
  const output = await sendOne(sink.port, `${keys}\n${shown}`)
  assert.deepEqual(output.deliveries, [OK])
  const [{ protocol, body }] = await sink.until(1)
  assert.deepEqual([protocol, body.toString()], ['HTTP/1.1', BODY])
  // nginx answers 400 to who shows none.
  const without = await sendOne(sink.port, keys)
  assert.deepEqual(without.deliveries, [drop('http_status_400')])
})

test('nginx lets in who says the password', needs('nginx'), async t => {
  const sink = await startHttpSink(t, { credentials: { user: 'ann', password: 'pässword' } })
  const known = await sendOne(sink.port, '    http_user ann\n    http_passwd pässword')
  const unknown = await sendOne(sink.port, '    http_user ann\n    http_passwd guess')
  assert.deepEqual([known.deliveries, unknown.deliveries], [[OK], [drop('http_status_401')]])
})

test(
  'tinyproxy connects http to nginx, in clear and with TLS',
  needs('nginx', 'tinyproxy', 'openssl'),
  async t => {
    const { server, authority } = certificates()
    const proxy = await startForwardProxy(t, { user: 'ann', password: 'secret' })
    const environment = { HTTP_PROXY: `http://ann:secret@127.0.0.1:${proxy.port}` }
    const clear = await startHttpSink(t)
    const secured = await startHttpSink(t, { tls: server })
    const tls = `    host localhost\n    tls on\n    tls.ca_file ${authority}`
    assert.deepEqual((await sendOne(clear.port, '', { environment })).deliveries, [OK])
    assert.deepEqual((await sendOne(secured.port, tls, { environment })).deliveries, [OK])
    await proxy.peer.until(() => proxy.requests().length >= 2)
    assert.deepEqual(proxy.requests(), [
      `CONNECT 127.0.0.1:${clear.port} HTTP/1.1`,
      `CONNECT localhost:${secured.port} HTTP/1.1`
    ])
    const wrong = { HTTP_PROXY: `http://ann:guess@127.0.0.1:${proxy.port}` }
    const refused = await sendOne(clear.port, '    retry_limit no_retries', { environment: wrong })
    assert.equal(refused.deliveries[0]?.kind, 'retry')
    assert.equal((await clear.until(1)).length, 1)
  }
)

test('tinyproxy passes on whole URLs of the key proxy', needs('nginx', 'tinyproxy'), async t => {
  const sink = await startHttpSink(t)
  const proxy = await startForwardProxy(t)
  const output = await sendOne(sink.port, `    uri /a?b\n    proxy http://127.0.0.1:${proxy.port}`)
  assert.deepEqual(output.deliveries, [OK])
  const [{ uri, body, headers }] = await sink.until(1)
  assert.deepEqual([uri, body.toString()], ['/a?b', BODY])
  assert.equal(headers['host'], `127.0.0.1:${sink.port}`)
  assert.deepEqual(proxy.requests(), [`POST http://127.0.0.1:${sink.port}/a?b HTTP/1.1`])
})

test('what a fault breaks is sent again', needs('nginx', 'toxiproxy-server'), async t => {
  const sink = await startHttpSink(t)
  const proxy = await startToxiproxy(t, sink.port)
  const output = await start(proxy.port, '    retry_limit no_limits')
  const { run } = output
  const sendAnother = async (count: number): Promise<void> => {
    run.push('app', { count })
    run.flush()
    await output.delivered(count)
  }
  await proxy.add({ type: 'latency', stream: 'downstream', attributes: { latency: 100 } })
  await sendAnother(1)
  await proxy.remove({ type: 'latency', stream: 'downstream' })
  await proxy.add({ type: 'reset_peer', stream: 'downstream', attributes: { timeout: 0 } })
  await sendAnother(2)
  await proxy.remove({ type: 'reset_peer', stream: 'downstream' })
  await proxy.down()
  await sendAnother(3)
  await proxy.up()
  // Step by step: a large one would be the end of connections that are being made.
  await run.until(() => {
    run.clock.advance(10)
    return output.deliveries.length >= 5
  })
  await run.stop()
  const reasons = output.deliveries.map(delivery =>
    delivery.kind === 'retry' ? delivery.reason : delivery.kind
  )
  assert.equal(reasons[0], 'ok')
  assert.match(reasons[1] ?? '', /^connection_(?:reset|closed)$/)
  assert.match(reasons[2] ?? '', /^connection_(?:refused|reset|closed)$/)
  assert.deepEqual(reasons.slice(3), ['ok', 'ok'])
  // One more where the answer to the second was cut off behind it.
  const bodies = (await sink.until(3)).map(({ body }) => body.toString())
  for (const count of [1, 2, 3]) assert.ok(bodies.includes(`[{"count":${count}}]`))
})
