/** Expected datagrams are those of Fluent Bit 5.1.1, but where a title says what it does instead. */
import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import { encodeEvent, EncodedInput } from '../../../test/harness/odd_events.ts'
import { freePort } from '../../../test/harness/peers.ts'
import { startPipeline, type TestPipeline } from '../../../test/harness/pipeline.ts'
import { type DatagramReceiver, receiveDatagrams } from '../../../test/harness/receivers.ts'

async function start(
  t: TestContext,
  keys = '',
  port?: number
): Promise<{ run: TestPipeline; receiver: DatagramReceiver; input: EncodedInput }> {
  const receiver = await receiveDatagrams(t)
  const input = new EncodedInput()
  const run = await startPipeline(
    `
[SERVICE]
    flush 1
[INPUT]
    name encoded
    tag  app
[OUTPUT]
    name  udp
    match *
    host  127.0.0.1
    port  ${port ?? receiver.port}
    ${keys}
`,
    { plugins: [input.plugin] }
  )
  t.after(() => run.stop())
  return { run, receiver, input }
}

const TIME = [1_700_000_000, 5000] as const
const BODY = { message: 'héi', x: 1.5, num: 42, m: { a: 1 } }
const EVENTS = [encodeEvent(TIME, BODY), encodeEvent(TIME, { other: 1 })]
const JSON_TEXTS = [
  String.raw`{"date":1700000000.000005,"message":"h\u00e9i","x":1.5,"num":42,"m":{"a":1}}`,
  '{"date":1700000000.000005,"other":1}'
]
const LINES = JSON_TEXTS.map(text => `${text}\n`)

for (const [keys, datagrams] of [
  ['', EVENTS],
  ['format msgpack', EVENTS],
  ['format json_lines', LINES],
  ['format json_stream', LINES],
  ['format json', JSON_TEXTS.map(text => `[${text}]\n`)],
  ['format foo', EVENTS],
  ['format otlp_json', EVENTS],
  ['format json_lines\n    json_date_key no', LINES.map(text => text.replace(/"date":[^,]*,/, ''))],
  ['raw_message_key $message', ['héi\n', '\n']],
  ['raw_message_key $TAG $num', ['app 42\n', 'app \n']],
  ['raw_message_key $m', ['{"a":1}\n', '\n']],
  ['raw_message_key message', ['message\n', 'message\n']]
] as const) {
  test(`datagrams with ${keys === '' ? 'no key: msgpack' : keys.replaceAll('\n   ', ',')}`, async t => {
    const { run, receiver, input } = await start(t, keys)
    input.push('app', ...EVENTS)
    run.flush()
    await run.until(() => receiver.datagrams.length === 2)
    assert.deepEqual(
      receiver.datagrams,
      datagrams.map(datagram => Buffer.from(datagram))
    )
  })
}

test('an event that is too long is given up and counted, where Fluent Bit sends all again', async t => {
  const { run, receiver, input } = await start(t, 'format json_lines\n    json_date_key no')
  const event = (text: string): Buffer => encodeEvent(TIME, { text })
  const long = 'x'.repeat(65_507 - '{"text":""}\n'.length)
  input.push('app', event('1'), event(long), event(`${long}x`), event('4'))
  run.flush()
  await run.until(() => receiver.datagrams.length === 3)
  assert.deepEqual(
    receiver.datagrams.map(({ length }) => length),
    [13, 65_507, 13]
  )
  const labels = { kind: 'output', name: 'udp.0', reason: 'too_long' }
  await run.until(() => run.counter('spillway_dropped_records_total', labels) === 1)
})

test('a port where nobody listens means that the chunk is sent again', async t => {
  const { run, input } = await start(t, '', await freePort())
  for (let chunk = 0; chunk < 3; chunk++) {
    input.push('app', ...EVENTS)
    run.flush()
    for (let turn = 0; turn < 10; turn++) await new Promise(resolve => setImmediate(resolve))
  }
  await run.until(() => run.counter('fluentbit_output_retries_total', { name: 'udp.0' }) > 0)
})
