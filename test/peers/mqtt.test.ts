/** mosquitto_pub publishes to the input mqtt. */
import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import { certificates } from '../harness/certificates.ts'
import { freePort, needs, runPeer } from '../harness/peers.ts'
import { startPipeline, type TestPipeline } from '../harness/pipeline.ts'

async function start(t: TestContext, keys = ''): Promise<{ run: TestPipeline; port: number }> {
  const port = await freePort()
  const run = await startPipeline(`
[INPUT]
    name   mqtt
    listen 127.0.0.1
    port   ${port}
${keys}
[OUTPUT]
    name  collect
    match *
`)
  t.after(() => run.stop())
  return { run, port }
}

async function publish(t: TestContext, port: number, args: string[], input = ''): Promise<string> {
  const peer = await runPeer(t, {
    program: 'mosquitto_pub',
    args: ['-h', '127.0.0.1', '-p', String(port), '-t', 'some/topic', ...args],
    input
  })
  return peer.output
}

for (const qos of [0, 1, 2]) {
  test(`mosquitto_pub publishes with QoS ${qos} to mqtt`, needs('mosquitto_pub'), async t => {
    const { run, port } = await start(t)
    const lines = [0, 1, 2].map(n => JSON.stringify({ n }))
    await publish(t, port, ['-q', String(qos), '-l'], lines.join('\n'))
    await run.until(() => run.counter('fluentbit_input_records_total', { name: 'mqtt.0' }) === 3)
    run.flush()
    assert.deepEqual(
      run.bodies,
      [0, 1, 2].map(n => ({ topic: 'some/topic', n }))
    )
  })
}

test('mosquitto_pub with MQTT 3.1 publishes to mqtt', needs('mosquitto_pub'), async t => {
  const { run, port } = await start(t)
  await publish(t, port, ['-V', 'mqttv31', '-q', '2', '-m', '{"n":1}'])
  run.flush()
  assert.deepEqual(run.bodies, [{ topic: 'some/topic', n: 1 }])
})

test('mosquitto_pub with MQTT 5 is refused by mqtt', needs('mosquitto_pub'), async t => {
  const { run, port } = await start(t)
  await assert.rejects(publish(t, port, ['-V', 'mqttv5', '-q', '1', '-m', '{"n":1}']))
  assert.match(run.log.at(-1) ?? '', /is closed: only MQTT 3\.1 and 3\.1\.1 are spoken here$/)
})

test('mosquitto_pub publishes to mqtt by TLS', needs('mosquitto_pub', 'openssl'), async t => {
  const { authority, server, client } = certificates()
  const { run, port } = await start(
    t,
    `
    tls on
    tls.crt_file ${server.certificate}
    tls.key_file ${server.key}
    tls.ca_file ${authority}
    tls.verify_client_cert on
`
  )
  const trust = ['--cafile', authority, '-q', '2', '-m', '{"n":1}']
  await assert.rejects(publish(t, port, trust))
  await publish(t, port, [...trust, '--cert', client.certificate, '--key', client.key])
  run.flush()
  assert.deepEqual(run.bodies, [{ topic: 'some/topic', n: 1 }])
})

test('mosquitto_pub waits until mqtt has delivered', needs('mosquitto_pub'), async t => {
  const { run, port } = await start(t, '    acknowledge delivered')
  let isAnswered = false
  const published = publish(t, port, ['-q', '1', '-m', '{"n":1}']).then(() => (isAnswered = true))
  await run.until(() => run.counter('fluentbit_input_records_total', { name: 'mqtt.0' }) === 1)
  assert.equal(isAnswered, false)
  run.flush()
  await published
  assert.deepEqual(run.bodies, [{ topic: 'some/topic', n: 1 }])
})
