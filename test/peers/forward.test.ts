/**
 * Others speak the forward protocol with the plugins forward: the loggers of Node and Python, an OpenTelemetry Collector,
 * and Fluent Bit itself where FLUENT_BIT names it.
 */
import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import { EventTime, FluentClient, FluentServer, FluentSocketEvent } from '@fluent-org/logger'
import { FluentBit, withFluentBit } from '../harness/fluent_bit.ts'
import { freePort, listens, needs } from '../harness/peers.ts'
import { startCollector } from '../harness/peers/collector.ts'
import { sendByFluentLogger } from '../harness/peers/fluent_logger.ts'
import { startPipeline, type TestPipeline } from '../harness/pipeline.ts'

const HANDSHAKE = `shared_key secret
    self_hostname server.local
    security.users ann pw`

async function startInput(t: TestContext, port: number, keys = ''): Promise<TestPipeline> {
  const run = await startPipeline(`
[SERVICE]
    flush 1
[INPUT]
    name   forward
    listen 127.0.0.1
    port   ${port}
    ${keys}
[OUTPUT]
    name  collect
    match *
`)
  t.after(() => run.stop())
  return run
}

async function startOutput(t: TestContext, port: number, keys = ''): Promise<TestPipeline> {
  const run = await startPipeline(`
[SERVICE]
    flush 1
[INPUT]
    name lib
    tag  app.log
[OUTPUT]
    name  forward
    match *
    port  ${port}
    ${keys}
`)
  t.after(() => run.stop())
  return run
}

function delivered(run: TestPipeline): number {
  return run.counter('fluentbit_output_proc_records_total', { name: 'forward.0' })
}

/** Waits for events, which arrive in whatever chunks. Time stands still until they are here: handshakes have a limit. */
async function arrived(run: TestPipeline, count: number): Promise<void> {
  const labels = { name: 'forward.0' }
  await run.until(() => run.counter('fluentbit_input_records_total', labels) >= count, 15_000)
  run.flush()
  await run.until(() => run.bodies.length >= count)
}

// --- the input

for (const eventMode of [
  'Message',
  'Forward',
  'PackedForward',
  'CompressedPackedForward'
] as const) {
  test(`@fluent-org/logger sends to the input: ${eventMode}`, async t => {
    const port = await freePort()
    const run = await startInput(t, port, HANDSHAKE)
    const client = new FluentClient('app', {
      eventMode,
      socket: { host: '127.0.0.1', port },
      ack: { ackTimeout: 5000 },
      security: { clientHostname: 'client', sharedKey: 'secret', username: 'ann', password: 'pw' }
    })
    const sent = [1, 2, 3].map(n =>
      client.emit('log', { n, text: 'grüße' }, new EventTime(1_700_000_000 + n, n))
    )
    await Promise.all(sent)
    await client.disconnect()
    await arrived(run, 3)
    assert.deepEqual(
      run.taken.flatMap(({ tag, events }) => events.map(({ time, body }) => ({ tag, time, body }))),
      [1, 2, 3].map(n => ({
        tag: 'app.log',
        time: [1_700_000_000 + n, n],
        body: { n, text: 'grüße' }
      }))
    )
  })
}

test('@fluent-org/logger with another key gets nothing through', async t => {
  const port = await freePort()
  const run = await startInput(t, port, HANDSHAKE)
  const client = new FluentClient('app', {
    socket: { host: '127.0.0.1', port, reconnect: { maxDelay: 1, minDelay: 1 } },
    security: { clientHostname: 'client', sharedKey: 'guess', username: 'ann', password: 'pw' }
  })
  client.socketOn(FluentSocketEvent.ERROR, () => undefined)
  void client.emit('log', { n: 1 }).catch(() => undefined)
  t.after(() => client.shutdown())
  await run.until(() => run.log.some(line => line.includes('shared_key mismatch')))
  run.flush()
  assert.deepEqual(run.bodies, [])
})

test('fluent-logger of Python sends to the input', needs('fluent-logger-python'), async t => {
  const port = await freePort()
  const run = await startInput(t, port)
  const record = { message: 'from Python', n: 1, deep: { list: [true, null, 1.5] } }
  await sendByFluentLogger(t, port, 'app', [
    { time: [1_700_000_000, 5], record },
    { time: 1_700_000_001, record }
  ])
  await arrived(run, 2)
  assert.deepEqual(
    run.taken.flatMap(({ events }) => events.map(({ time, body }) => ({ time, body }))),
    [
      { time: [1_700_000_000, 5], body: record },
      { time: [1_700_000_001, 0], body: record }
    ]
  )
})

// --- the output

// Like Fluentd, it does not read events with metadata.
for (const keys of [
  'retain_metadata_in_forward_mode off',
  'retain_metadata_in_forward_mode off\n    require_ack_response on',
  'retain_metadata_in_forward_mode off\n    require_ack_response on\n    compress gzip',
  'time_as_integer on',
  'tag x.$kind'
]) {
  const title = keys.replaceAll(/\n +/g, ', ')
  test(`a collector takes what the output sends: ${title}`, needs('collector'), async t => {
    const port = await freePort()
    const collector = await startCollector(t, { fluentforward: { endpoint: `127.0.0.1:${port}` } })
    const run = await startOutput(t, port, keys)
    const body = { message: 'hello', kind: 'web', deep: { list: [true, null, 1.5] } }
    run.pushEvents('app.log', { time: [1_700_000_000, 500_000_000], metadata: {}, body })
    run.flush()
    await collector.peer.until(() => collector.logs().length === 1)
    await run.until(() => delivered(run) === 1)
    const [log] = collector.logs()
    const { message, ...rest } = body
    const tag = keys.startsWith('tag') ? 'x.web' : 'app.log'
    assert.deepEqual(
      [log?.time, log?.body, log?.attributes],
      [
        keys.startsWith('time') ? 1_700_000_000_000_000_000n : 1_700_000_000_500_000_000n,
        message,
        { 'fluent.tag': tag, ...rest }
      ]
    )
  })
}

test('the server of @fluent-org/logger takes what the output sends, after a handshake', async t => {
  const port = await freePort()
  const server = new FluentServer({
    listenOptions: { port, host: '127.0.0.1' },
    security: {
      serverHostname: 'server',
      sharedKey: 'secret',
      authorize: true,
      userDict: { ann: 'pw' }
    }
  })
  const entries: unknown[] = []
  server.on('entry', (tag, time, record) => entries.push({ tag, time: String(time), record }))
  await server.listen()
  t.after(() => server.close())
  const user = 'shared_key secret\n    username ann\n    password pw\n    self_hostname client'
  const fluentd = 'require_ack_response on\n    retain_metadata_in_forward_mode off'
  const run = await startOutput(t, port, `${user}\n    ${fluentd}`)
  run.push('app.log', { n: 1 }, { n: 2 })
  run.flush()
  await run.until(() => delivered(run) === 2)
  assert.deepEqual(
    entries.map(entry => (entry as { record: unknown }).record),
    [{ n: 1 }, { n: 2 }]
  )
})

// --- Fluent Bit

const DUMMY = `
[SERVICE]
    flush 0.2
    grace 1
[INPUT]
    name            dummy
    tag             app.log
    dummy           {"message":"hello","big":1.5}
    metadata        {"m":1}
    start_time_sec  1700000000
    start_time_nsec 5
    fixed_timestamp true
    samples         3
    rate            20
`

for (const [keys, input, metadata] of [
  ['', '', { m: 1 }],
  ['require_ack_response on', '', { m: 1 }],
  ['compress gzip\n    require_ack_response on', '', { m: 1 }],
  ['time_as_integer on', '', {}],
  ['retain_metadata_in_forward_mode off', '', {}],
  ['tag app.$message\n    require_ack_response on', '', { m: 1 }],
  [
    'shared_key secret\n    username ann\n    password pw\n    require_ack_response on',
    HANDSHAKE,
    { m: 1 }
  ]
] as const) {
  test(
    `Fluent Bit sends to the input: ${keys.replaceAll(/\n +/g, ', ')}`,
    withFluentBit,
    async t => {
      const port = await freePort()
      const run = await startInput(t, port, input)
      const target = `[OUTPUT]\n    name  forward\n    match *\n    port  ${port}\n    ${keys}\n`
      void new FluentBit(t, DUMMY + target)
      await arrived(run, 3)
      const isInteger = keys.startsWith('time')
      assert.deepEqual(run.taken[0]?.tag, keys.startsWith('tag') ? 'app.hello' : 'app.log')
      assert.deepEqual(run.taken[0]?.events[0], {
        time: [1_700_000_000, isInteger ? 0 : 5],
        metadata,
        body: { message: 'hello', big: 1.5 }
      })
    }
  )
}

for (const keys of [
  '',
  'require_ack_response on',
  'compress gzip\n    require_ack_response on',
  'retain_metadata_in_forward_mode off',
  'time_as_integer on',
  'tag app.$message\n    require_ack_response on',
  'shared_key secret\n    username ann\n    password pw\n    require_ack_response on'
]) {
  test(
    `Fluent Bit takes what the output sends: ${keys.replaceAll(/\n +/g, ', ')}`,
    withFluentBit,
    async t => {
      const port = await freePort()
      const server = new FluentBit(
        t,
        `
[SERVICE]
    flush 0.2
[INPUT]
    name   forward
    listen 127.0.0.1
    port   ${port}
    ${keys.startsWith('shared') ? HANDSHAKE : ''}
[OUTPUT]
    name  stdout
    match *
`
      )
      const run = await startOutput(t, port, keys)
      await run.until(() => listens(port))
      const event = {
        time: [1_700_000_000, 5] as const,
        metadata: { m: 1 },
        body: { message: 'hello' }
      }
      run.pushEvents('app.log', event, event)
      run.flush()
      await run.until(() => delivered(run) === 2 && server.stdout.includes('[1]'))
      const time = keys.startsWith('time') ? '1700000000.000000000' : '1700000000.000000005'
      const isPlain = keys.startsWith('time') || keys.startsWith('retain')
      const tag = keys.startsWith('tag') ? 'app.hello' : 'app.log'
      const line = `${tag}: [[${time}, ${isPlain ? '{}' : '{"m"=>1}'}], {"message"=>"hello"}]`
      assert.equal(server.stdout, `[0] ${line}\n[1] ${line}\n`)
    }
  )
}

for (const type of ['metrics', 'traces']) {
  test(
    `Fluent Bit's ${type} come through Spillway and are taken by Fluent Bit`,
    withFluentBit,
    async t => {
      const [first, second] = [await freePort(), await freePort()]
      const server = new FluentBit(
        t,
        `
[SERVICE]
    flush 0.2
[INPUT]
    name   forward
    listen 127.0.0.1
    port   ${second}
[OUTPUT]
    name  stdout
    match *
`
      )
      const run = await startPipeline(`
[SERVICE]
    flush 1
[INPUT]
    name   forward
    listen 127.0.0.1
    port   ${first}
[OUTPUT]
    name  forward
    match *
    port  ${second}
    require_ack_response on
`)
      t.after(() => run.stop())
      await run.until(() => listens(second))
      void new FluentBit(
        t,
        `
[SERVICE]
    flush 0.2
[INPUT]
    name         event_type
    type         ${type}
    interval_sec 1
[OUTPUT]
    name  forward
    match *
    port  ${first}
    require_ack_response on
`
      )
      const word = type === 'metrics' ? 'kubernetes_network_load' : 'trace_id'
      await run.until(() => {
        run.clock.advance(100)
        return server.stdout.includes(word)
      }, 15_000)
    }
  )
}
