/** Expected bytes are those of Fluent Bit 5.1.1; its JSON is that of stdout. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { certificates } from '../../../test/harness/certificates.ts'
import { Encoded, encodeEvent, EncodedInput, ODD_EVENTS } from '../../../test/harness/odd_events.ts'
import { freePort, needs } from '../../../test/harness/peers.ts'
import {
  checkConfiguration,
  startPipeline,
  type TestPipeline
} from '../../../test/harness/pipeline.ts'
import {
  receiveStream,
  type StreamOptions,
  type StreamReceiver
} from '../../../test/harness/receivers.ts'

const RECORDED = join(import.meta.dirname, '../../../test/parity/output_stdout')

function configuration(port: number, keys: string, input = 'lib'): string {
  return `
[SERVICE]
    flush 1
[INPUT]
    name ${input}
    tag  app.x
[OUTPUT]
    name  tcp
    match *
    host  127.0.0.1
    port  ${port}
    retry_limit no_limits
    ${keys}
`
}

async function start(
  t: TestContext,
  keys = '',
  options: StreamOptions = {}
): Promise<{ run: TestPipeline; receiver: StreamReceiver }> {
  const receiver = await receiveStream(t, options)
  const run = await startPipeline(configuration(receiver.port, keys))
  t.after(() => run.stop())
  return { run, receiver }
}

function ownLines(run: TestPipeline): string[] {
  const prefix = '[output:tcp:tcp.0] '
  return run.log.filter(line => line.includes(prefix)).map(line => line.replace(prefix, ''))
}

for (const [keys, format] of [
  ['format json', 'json'],
  ['format JSON_lines', 'json_lines'],
  ['format json_stream', 'json_stream'],
  ['format json_lines\n    json_date_format epoch', 'epoch'],
  ['format json_lines\n    json_date_format epoch_ms', 'epoch_ms'],
  ['format json_lines\n    json_date_format iso8601\n    json_date_key ts', 'iso8601'],
  ['format json_lines\n    json_date_format java_sql_timestamp', 'java_sql_timestamp'],
  ['format json_lines\n    json_date_key no', 'no_date']
] as const) {
  test(`what Fluent Bit sends with ${keys.replaceAll('\n   ', ',')}`, async t => {
    const receiver = await receiveStream(t)
    const input = new EncodedInput()
    const run = await startPipeline(configuration(receiver.port, keys, 'encoded'), {
      plugins: [input.plugin]
    })
    t.after(() => run.stop())
    input.push('app', ...ODD_EVENTS)
    run.flush()
    const printed = readFileSync(join(RECORDED, `${format}.txt`), 'utf8')
    // stdout ends its text with a line feed.
    const isLines = format !== 'json' && format !== 'json_stream'
    const expected = isLines ? printed : printed.replace(/\n$/, '')
    await run.until(() => receiver.received.length >= Buffer.byteLength(expected))
    assert.equal(receiver.received.toString(), expected)
  })
}

test('msgpack, which it is unless set, is the events as they are', async t => {
  const receiver = await receiveStream(t)
  const input = new EncodedInput()
  const run = await startPipeline(configuration(receiver.port, '', 'encoded'), {
    plugins: [input.plugin]
  })
  t.after(() => run.stop())
  input.push('app', ...ODD_EVENTS)
  run.flush()
  const expected = Buffer.concat(ODD_EVENTS)
  await run.until(() => receiver.received.length >= expected.length)
  assert.deepEqual(receiver.received, expected)
})

for (const [key, sent] of [
  ['$message', 'héi\n\n\n'],
  ['message', 'message\nmessage\nmessage\n'],
  ['$num', '42\n\n1.500000\n'],
  ['$m', '{"a":1}\n\n\n'],
  ["$m['a']", '1\n\n\n'],
  ['$TAG: $message', 'app.x: héi\napp.x: \napp.x: \n']
] as const) {
  test(`raw_message_key ${key} sends a line for each event`, async t => {
    const { run, receiver } = await start(t, `raw_message_key ${key}`)
    run.push('app.x', { message: 'héi', num: 42, m: { a: 1 } }, { other: 1 }, { num: 1.5 })
    run.flush()
    await run.until(() => receiver.received.length >= Buffer.byteLength(sent))
    assert.equal(receiver.received.toString(), sent)
  })
}

test('raw_message_key leaves bytes that are not UTF-8 as they are', async t => {
  const receiver = await receiveStream(t)
  const input = new EncodedInput()
  const keys = 'raw_message_key $message'
  const run = await startPipeline(configuration(receiver.port, keys, 'encoded'), {
    plugins: [input.plugin]
  })
  t.after(() => run.stop())
  input.push('app', encodeEvent([1, 0], { message: new Encoded('a3ff41c3') }))
  run.flush()
  await run.until(() => receiver.received.length === 4)
  assert.equal(receiver.received.toString('hex'), 'ff41c30a')
})

test('chunks follow each other on one connection', async t => {
  const { run, receiver } = await start(t, 'format json\n    json_date_key false')
  for (const n of [1, 2]) {
    run.push('app.x', { n })
    run.flush()
    await run.until(() => receiver.received.length === n * 9)
  }
  assert.equal(receiver.received.toString(), '[{"n":1}][{"n":2}]')
  assert.equal(receiver.connections.length, 1)
})

for (const format of ['json_lines', 'msgpack'] as const) {
  test(`${format}: a large chunk comes whole to a reader that begins late`, async t => {
    const receiver = await receiveStream(t, {
      accept: socket => {
        socket.pause()
        setImmediate(() => socket.resume())
      }
    })
    const input = new EncodedInput()
    const keys = `format ${format}\n    json_date_key no`
    const run = await startPipeline(configuration(receiver.port, keys, 'encoded'), {
      plugins: [input.plugin]
    })
    t.after(() => run.stop())
    const bodies = Array.from({ length: 10_000 }, (_, n) => ({ n, text: 'x'.repeat(100) }))
    const events = bodies.map(body => encodeEvent([1, 0], body))
    input.push('app', ...events)
    run.flush()
    const json = bodies.map(body => `${JSON.stringify(body)}\n`).join('')
    const expected = format === 'msgpack' ? Buffer.concat(events) : Buffer.from(json)
    await run.until(() => receiver.received.length >= expected.length)
    assert.ok(receiver.received.equals(expected))
  })
}

test('a receiver that talks and then ends is noticed before the next chunk', async t => {
  const { run, receiver } = await start(t, 'format json_lines\n    json_date_key false', {
    take: (_, socket) => {
      if (socket === receiver.connections[0]) socket.end('thanks\n')
    }
  })
  run.push('app.x', { n: 1 })
  run.flush()
  await run.until(() => receiver.connections[0]?.closed === true)
  run.push('app.x', { n: 2 })
  run.flush()
  await run.until(() => receiver.received.toString() === '{"n":1}\n{"n":2}\n')
  assert.equal(receiver.connections.length, 2)
})

test('what fails is sent again, whole', async t => {
  const port = await freePort()
  const run = await startPipeline(configuration(port, 'format json_lines\n    json_date_key no'))
  t.after(() => run.stop())
  run.push('app.x', { a: 1 })
  run.flush()
  await run.until(() => run.counter('fluentbit_output_retries_total', { name: 'tcp.0' }) === 1)
  assert.deepEqual(ownLines(run).slice(-2), [
    `[error] TCP connection failed: 127.0.0.1:${port} (Connection refused)`,
    `[error] no upstream connections available to 127.0.0.1:${port}`
  ])
  const receiver = await receiveStream(t, { port })
  await run.until(() => {
    run.clock.advance(1000)
    return receiver.received.length > 0
  })
  assert.equal(receiver.received.toString(), '{"a":1}\n')
})

test('a connection that breaks within a chunk means that the chunk is sent again', async t => {
  const second: Buffer[] = []
  const { run, receiver } = await start(t, 'format json_lines\n    json_date_key no', {
    accept: socket => {
      if (receiver.connections.length === 1) socket.pause()
    },
    take: (bytes, socket) => {
      if (socket !== receiver.connections[0]) second.push(bytes)
    }
  })
  // More than the system takes for a reader that does not read.
  const count = 60_000
  const bodies = Array.from({ length: count }, (_, n) => ({ n, text: 'x'.repeat(300) }))
  for (let at = 0; at < count; at += 10_000) run.push('app.x', ...bodies.slice(at, at + 10_000))
  run.flush()
  await run.until(() => receiver.connections.length === 1)
  for (let turn = 0; turn < 50; turn++) await new Promise(resolve => setImmediate(resolve))
  receiver.connections[0]?.resetAndDestroy()
  const outputCounter = (name: string): number => run.counter(name, { name: 'tcp.0' })
  await run.until(() => outputCounter('fluentbit_output_retries_total') === 1)
  await run.until(() => {
    run.clock.advance(1000)
    return outputCounter('fluentbit_output_proc_records_total') === count
  })
  await run.until(() => Buffer.concat(second).toString('latin1').endsWith('}\n'))
  const text = Buffer.concat(second).toString('latin1')
  assert.match(text.slice(0, 20), /^\{"n":\d+,/)
})

test('TLS is that of the tls keys', needs('openssl'), async t => {
  const { server, authority } = certificates()
  const keys = `format json_lines\n    json_date_key no\n    tls on\n    tls.ca_file ${authority}`
  const { run, receiver } = await start(t, keys, { tls: server })
  run.push('app.x', { a: 1 })
  run.flush()
  await run.until(() => receiver.received.length === 8)
  assert.equal(receiver.received.toString(), '{"a":1}\n')
})

for (const [keys, line] of [
  ['format foo', "[error] unrecognized 'format' option 'foo'. Using 'msgpack'"],
  ['format otlp_json', "[error] format 'otlp_json' is not supported by out_tcp"],
  [
    'format json\n    json_date_format foo',
    "[error] unrecognized 'json_date_format' option 'foo'. Using 'double'"
  ]
] as const) {
  test(`${keys.replaceAll('\n   ', ',')} is no reason not to start`, async t => {
    const { run } = await start(t, keys)
    assert.deepEqual(ownLines(run).slice(-1), [line])
  })
}

test('raw_message_key with a mistake is refused', async () => {
  const { errors } = await checkConfiguration(configuration(1, 'raw_message_key $$[x'))
  assert.equal(errors.length, 1)
  assert.match(errors[0], /Cannot set "raw_message_key" on output tcp: /)
})
