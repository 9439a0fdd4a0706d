/** curl, and nginx as a proxy, send to the input http. */
import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import { compress } from '../../src/codec/compression.ts'
import { certificates } from '../harness/certificates.ts'
import { startHttpInput } from '../harness/http_input.ts'
import { needs, runPeer } from '../harness/peers.ts'
import { startTlsProxy } from '../harness/peers/nginx.ts'
import { startToxiproxy } from '../harness/peers/toxiproxy.ts'

const JSON_TYPE = ['--header', 'Content-Type: application/json']

/** What curl prints: the status and the version of HTTP that the server spoke. */
async function post(
  t: TestContext,
  url: string,
  input: string | Buffer,
  ...options: string[]
): Promise<string> {
  const shown = [
    '--silent',
    '--show-error',
    '--output',
    'answer',
    '--write-out',
    '%{http_code} %{http_version}'
  ]
  const args = [...shown, ...options, '--data-binary', '@-', url]
  return (await runPeer(t, { program: 'curl', args, input })).stdout
}

for (const [option, version] of [
  ['--http1.0', '1.1'],
  ['--http1.1', '1.1'],
  ['--http2-prior-knowledge', '2'],
  // Asks for an upgrade, which the server passes over.
  ['--http2', '1.1']
] as const) {
  test(`curl ${option} sends small and large bodies in clear`, needs('curl'), async t => {
    const input = await startHttpInput(t, 'http')
    const large = JSON.stringify(
      Array.from({ length: 20_000 }, (_, n) => ({ n, text: 'x'.repeat(100) }))
    )
    assert.equal(await post(t, input.url, '{"a":1}', ...JSON_TYPE, option), `201 ${version}`)
    assert.equal(await post(t, input.url, large, ...JSON_TYPE, option), `201 ${version}`)
    assert.equal(await post(t, input.url, large.repeat(3), ...JSON_TYPE, option), `413 ${version}`)
    // curl says that it is a form.
    assert.equal(await post(t, input.url, 'a=1', option), `201 ${version}`)
    const { in: bodies = [] } = input.events()
    assert.equal(bodies.length, 20_002)
  })
}

for (const [option, version] of [
  ['--http1.1', '1.1'],
  ['--http2', '2']
] as const) {
  test(`curl ${option} sends over TLS`, needs('curl', 'openssl'), async t => {
    const { server, authority } = certificates()
    const input = await startHttpInput(
      t,
      'http',
      `tls on\n  tls.crt_file ${server.certificate}\n  tls.key_file ${server.key}`
    )
    const url = `https://localhost:${input.port}`
    const trust = ['--cacert', authority]
    assert.equal(await post(t, url, '[{"a":1}]', ...JSON_TYPE, ...trust, option), `201 ${version}`)
    assert.deepEqual(input.events(), { in: [{ a: 1 }] })
  })
}

test('curl shows its certificate where it is asked for', needs('curl', 'openssl'), async t => {
  const { server, client, authority } = certificates()
  const input = await startHttpInput(
    t,
    'http',
    `tls on\n  tls.crt_file ${server.certificate}\n  tls.key_file ${server.key}\n  tls.ca_file ${authority}\n  tls.verify_client_cert on`
  )
  const url = `https://localhost:${input.port}`
  const trust = ['--cacert', authority]
  const shown = ['--cert', client.certificate, '--key', client.key]
  assert.equal(await post(t, url, '{"a":1}', ...JSON_TYPE, ...trust, ...shown), '201 2')
  await assert.rejects(post(t, url, '{"a":1}', ...JSON_TYPE, ...trust))
  assert.deepEqual(input.events(), { in: [{ a: 1 }] })
})

test('curl sends packed bodies, in chunks and with Expect', needs('curl'), async t => {
  const input = await startHttpInput(t, 'http')
  const packed = await compress('gzip', Buffer.from('{"a":1}'))
  const gzip = ['--header', 'Content-Encoding: gzip']
  for (const options of [
    [],
    ['--header', 'Transfer-Encoding: chunked'],
    ['--header', 'Expect: 100-continue', '--expect100-timeout', '60'],
    ['--http2-prior-knowledge']
  ]) {
    assert.match(await post(t, input.url, packed, ...JSON_TYPE, ...gzip, ...options), /^201 /)
  }
  assert.deepEqual(input.events(), { in: Array.from({ length: 4 }, () => ({ a: 1 })) })
})

test('nginx takes off TLS before the input', needs('nginx', 'curl', 'openssl'), async t => {
  const { server, authority } = certificates()
  const input = await startHttpInput(t, 'http')
  const { port } = await startTlsProxy(t, { to: input.port, accept: server })
  const url = `https://localhost:${port}/some.tag`
  assert.match(await post(t, url, '{"a":1}', ...JSON_TYPE, '--cacert', authority), /^201 /)
  assert.deepEqual(input.events(), { 'some.tag': [{ a: 1 }] })
})

test(
  'of a body whose connection breaks nothing is taken',
  needs('curl', 'toxiproxy-server'),
  async t => {
    const input = await startHttpInput(t, 'http')
    const proxy = await startToxiproxy(t, input.port)
    await proxy.add({ type: 'limit_data', stream: 'upstream', attributes: { bytes: 5000 } })
    const large = JSON.stringify(Array.from({ length: 1000 }, (_, n) => ({ n })))
    const url = `http://127.0.0.1:${proxy.port}`
    await assert.rejects(post(t, url, large, ...JSON_TYPE))
    await proxy.remove({ type: 'limit_data', stream: 'upstream' })
    await proxy.add({
      type: 'slicer',
      stream: 'upstream',
      attributes: { average_size: 10, size_variation: 5 }
    })
    assert.equal(await post(t, url, large, ...JSON_TYPE), '201 1.1')
    assert.equal(input.events()['in']?.length, 1000)
  }
)
