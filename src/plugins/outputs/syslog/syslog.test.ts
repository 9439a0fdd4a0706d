import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { certificates } from '../../../../test/harness/certificates.ts'
import { MESSAGE_EVENTS } from '../../../../test/harness/message_events.ts'
import { Encoded, encodeEvent, EncodedInput } from '../../../../test/harness/odd_events.ts'
import { freePort, needs } from '../../../../test/harness/peers.ts'
import {
  checkConfiguration,
  startPipeline,
  type TestPipeline
} from '../../../../test/harness/pipeline.ts'
import { receiveDatagrams, receiveStream } from '../../../../test/harness/receivers.ts'

const RECORDED = join(import.meta.dirname, '../../../../test/parity/output_syslog')

const KEYS = [
  'syslog_message_key message',
  'syslog_hostname_key host',
  'syslog_appname_key app',
  'syslog_procid_key pid',
  'syslog_msgid_key id',
  'syslog_severity_key severity',
  'syslog_facility_key facility',
  'syslog_sd_key sd',
  'syslog_sd_key other sd]="',
  'syslog_sd_key sd-with-a-name-that-has-more-than-32-bytes'
]
const PRESETS = [
  'syslog_hostname_preset hp',
  'syslog_appname_preset ap',
  'syslog_procid_preset 7',
  'syslog_msgid_preset mp',
  'syslog_severity_preset 0',
  'syslog_facility_preset 23'
]

const DATAGRAMS: Readonly<Record<string, readonly string[]>> = {
  rfc5424: KEYS,
  rfc3164: ['syslog_format rfc3164', ...KEYS],
  cut: [...KEYS, 'syslog_maxsize 64'],
  nothing: []
}
const STREAMS: Readonly<Record<string, readonly string[]>> = {
  rfc5424_tcp: ['mode tcp', ...KEYS, ...PRESETS, 'syslog_maxsize 100k', 'allow_longer_sd_id on'],
  rfc3164_tcp: ['mode TCP', 'syslog_format RFC3164', ...KEYS, ...PRESETS]
}

function recorded(name: string): string[] {
  const lines = readFileSync(join(RECORDED, `${name}.txt`), 'utf8')
    .trimEnd()
    .split('\n')
  return lines.map(line => JSON.parse(line) as string)
}

function section(port: number, keys: readonly string[]): string {
  const lines = ['name syslog', 'match *', 'host 127.0.0.1', `port ${port}`, ...keys]
  return `[OUTPUT]\n${lines.map(line => `    ${line}\n`).join('')}`
}

class Run {
  readonly pipeline: TestPipeline
  readonly #input: EncodedInput

  constructor(pipeline: TestPipeline, input: EncodedInput) {
    this.pipeline = pipeline
    this.#input = input
  }

  send(...events: readonly Buffer[]): void {
    this.#input.push('app', ...events)
    this.pipeline.flush()
  }

  dropped(reason: string): number {
    const labels = { kind: 'output', name: 'syslog.0', reason }
    return this.pipeline.counter('spillway_dropped_records_total', labels)
  }

  sent(): number {
    return this.pipeline.counter('fluentbit_output_proc_records_total', { name: 'syslog.0' })
  }

  log(): string[] {
    return this.pipeline.log.filter(line => line.includes('[output:syslog:'))
  }
}

async function start(t: TestContext, ...outputs: readonly string[]): Promise<Run> {
  const input = new EncodedInput()
  const head = '[SERVICE]\n    flush 1\n    scheduler.base 1\n[INPUT]\n    name encoded\n'
  const pipeline = await startPipeline(`${head}${outputs.join('')}`, { plugins: [input.plugin] })
  t.after(async () => pipeline.stop())
  return new Run(pipeline, input)
}

test('dtls, TLS over UDP, unknown words and presets out of range are refused', async () => {
  const rejected = {
    'mode dtls': 'Node has no DTLS, so dtls is not possible: tls is, over TCP',
    'tls on': 'mode udp has no TLS: modes tcp and tls have',
    'mode quic': 'value must be one of udp, tcp, tls, dtls: current value is "quic"',
    'syslog_format rfc1': 'value must be one of rfc3164, rfc5424: current value is "rfc1"',
    'syslog_severity_preset 8': 'value must be 0 to 7: current value is "8"',
    'syslog_facility_preset -1': 'value must be 0 to 23: current value is "-1"'
  }
  for (const [line, message] of Object.entries(rejected)) {
    const { errors } = await checkConfiguration(`[INPUT]\n    name dummy\n${section(1, [line])}`)
    assert.equal(errors.length, 1, line)
    assert.ok(errors[0]?.endsWith(message), `${line}: ${errors[0]}`)
  }
})

for (const [name, keys] of Object.entries(DATAGRAMS)) {
  test(`syslog sends datagrams as Fluent Bit does: ${name}`, async t => {
    const receiver = await receiveDatagrams(t)
    const run = await start(t, section(receiver.port, keys))
    const expected = recorded(name)
    run.send(...MESSAGE_EVENTS)
    await run.pipeline.until(() => receiver.datagrams.length >= expected.length)
    const datagrams = receiver.datagrams.map(bytes => bytes.latin1Slice())
    assert.deepEqual(datagrams, expected)
  })
}

for (const [name, keys] of Object.entries(STREAMS)) {
  test(`syslog sends a stream as Fluent Bit does: ${name}`, async t => {
    const receiver = await receiveStream(t)
    const run = await start(t, section(receiver.port, keys))
    const expected = recorded(name).join('')
    run.send(...MESSAGE_EVENTS)
    await run.pipeline.until(() => receiver.received.length >= expected.length)
    assert.deepEqual(receiver.received.latin1Slice().split('\n'), expected.split('\n'))
  })
}

test('syslog_maxsize is the longest message, in bytes and between any two of them', async t => {
  const receiver = await receiveStream(t)
  const head = '<14>Nov 14 22:13:20 '
  const keys = ['mode tcp', 'syslog_format rfc3164', 'syslog_message_key message']
  const run = await start(t, section(receiver.port, [...keys, `syslog_maxsize ${head.length + 4}`]))
  const texts = ['four', 'fives', 'abcé', '']
  run.send(...texts.map(message => encodeEvent([1_700_000_000, 0], { message })))
  const expected = ['four', 'five', 'abc\xc3', ''].map(text => `${head}${text}\n`).join('')
  await run.pipeline.until(() => receiver.received.length >= expected.length)
  assert.equal(receiver.received.latin1Slice(), expected)
})

test('several instances send at once, each in its own way', async t => {
  const [first, second] = [await receiveDatagrams(t), await receiveStream(t)]
  const run = await start(
    t,
    section(first.port, ['syslog_message_key a']),
    section(second.port, ['mode tcp', 'syslog_format rfc3164', 'syslog_message_key b'])
  )
  run.send(encodeEvent([1_700_000_000, 5_000], { a: 'one', b: 'two' }))
  await run.pipeline.until(() => first.datagrams.length > 0 && second.received.length > 0)
  assert.deepEqual(
    [String(first.datagrams[0]), String(second.received)],
    ['<14>1 2023-11-14T22:13:20.000005Z - - - - - \u{feff}one', '<14>Nov 14 22:13:20 two\n']
  )
})

test('the start says where messages go, and warns of long names in structured data', async t => {
  const run = await start(
    t,
    section(1, ['allow_longer_sd_id on']),
    section(2, ['mode tls', 'syslog_format rfc3164', 'allow_longer_sd_id on'])
  )
  assert.deepEqual(run.log(), [
    '[ warn] [output:syslog:syslog.0] Allow longer SD-ID. It may violate RFC5424.',
    '[ info] [output:syslog:syslog.0] setup done for 127.0.0.1:1 (TLS=off)',
    '[ info] [output:syslog:syslog.1] setup done for 127.0.0.1:2 (TLS=on)'
  ])
})

test('group marks are no messages', async t => {
  const receiver = await receiveStream(t)
  const run = await start(t, section(receiver.port, ['mode tcp', 'syslog_format rfc3164']))
  const event = encodeEvent([1_700_000_000, 0], {})
  run.send(encodeEvent([0xffffffff, 0], {}), event, encodeEvent([0xfffffffe, 0], {}), event)
  const line = '<14>Nov 14 22:13:20 \n'
  await run.pipeline.until(() => receiver.received.length >= 2 * line.length)
  assert.equal(String(receiver.received), line + line)
})

test('a level that is none is reported once', async t => {
  const receiver = await receiveDatagrams(t)
  const run = await start(t, section(receiver.port, KEYS))
  run.send(
    encodeEvent([1, 0], { severity: 'warning', facility: 'kern' }),
    encodeEvent([1, 0], { severity: 'none', facility: '30' }),
    encodeEvent([1, 0], { severity: 'none', facility: '99' })
  )
  await run.pipeline.until(() => receiver.datagrams.length === 3)
  assert.deepEqual(
    run.log().filter(line => line.includes('invalid')),
    [
      "[ warn] [output:syslog:syslog.0] invalid severity: 'none'",
      "[ warn] [output:syslog:syslog.0] invalid facility: '30'"
    ]
  )
})

test('the mode tls speaks TLS, also without the key tls', needs('openssl'), async t => {
  const { authority, server } = certificates()
  const receiver = await receiveStream(t, { tls: server })
  const keys = ['mode tls', `tls.ca_file ${authority}`, 'syslog_format rfc3164']
  const run = await start(t, section(receiver.port, keys))
  run.send(encodeEvent([1_700_000_000, 0], {}))
  await run.pipeline.until(() => receiver.received.length > 0)
  assert.equal(String(receiver.received), '<14>Nov 14 22:13:20 \n')
})

test(
  'a certificate of nobody known is refused, and the chunk is sent again',
  needs('openssl'),
  async t => {
    const { authority, stranger } = certificates()
    const receiver = await receiveStream(t, { tls: stranger })
    const keys = ['mode tls', `tls.ca_file ${authority}`, 'retry_limit 5']
    const run = await start(t, section(receiver.port, keys))
    run.send(encodeEvent([1_700_000_000, 0], {}))
    await run.pipeline.until(() => run.log().some(line => line.includes('[error]')))
    assert.equal(receiver.received.length, 0)
    assert.equal(run.sent(), 0)
  }
)

test('what cannot be delivered is sent again: nobody listens, then somebody does', async t => {
  const port = await freePort()
  const run = await start(t, section(port, ['mode tcp', 'syslog_format rfc3164', 'retry_limit 5']))
  run.send(encodeEvent([1_700_000_000, 0], {}))
  await run.pipeline.until(() =>
    run.log().some(line => line.includes(`no upstream connections available to 127.0.0.1:${port}`))
  )
  const receiver = await receiveStream(t, { port })
  await run.pipeline.until(() => {
    run.pipeline.flush()
    return receiver.received.length > 0
  })
  assert.equal(String(receiver.received), '<14>Nov 14 22:13:20 \n')
  assert.equal(run.sent(), 1)
})

test('a datagram to a port that nobody has is noticed by the next chunk', async t => {
  const port = await freePort()
  const run = await start(t, section(port, ['retry_limit 5']))
  const event = encodeEvent([1_700_000_000, 0], {})
  await run.pipeline.until(() => {
    run.send(event)
    return run.pipeline.log.some(line => line.includes('failed to flush chunk'))
  })
})

test('a message that no datagram can hold is given up, and its neighbours go', async t => {
  const receiver = await receiveDatagrams(t)
  const keys = ['syslog_message_key message', 'syslog_format rfc3164', 'syslog_maxsize 100000']
  const run = await start(t, section(receiver.port, keys))
  run.send(
    encodeEvent([1_700_000_000, 0], { message: 'before' }),
    encodeEvent([1_700_000_000, 0], { message: 'x'.repeat(70_000) }),
    encodeEvent([1_700_000_000, 0], { message: 'after' })
  )
  await run.pipeline.until(() => run.dropped('too_long') > 0)
  await run.pipeline.until(() => receiver.datagrams.length === 2)
  assert.deepEqual(receiver.datagrams.map(String), [
    '<14>Nov 14 22:13:20 before',
    '<14>Nov 14 22:13:20 after'
  ])
  assert.equal(run.sent(), 2)
})

test('a receiver that stops reading holds up no more than its own chunk', async t => {
  const receiver = await receiveStream(t, { accept: socket => socket.pause() })
  const other = await receiveDatagrams(t)
  const keys = ['mode tcp', 'syslog_message_key message', 'syslog_maxsize 100k', 'net.io_timeout 2']
  const run = await start(t, section(receiver.port, keys), section(other.port, []))
  const event = encodeEvent([1, 0], { message: 'x'.repeat(60_000) })
  run.send(...Array.from({ length: 150 }, () => event))
  await run.pipeline.until(() => other.datagrams.length >= 150)
  await run.pipeline.until(() => {
    run.pipeline.clock.advance(100)
    return run.log().some(line => line.includes('no progress for 2 seconds'))
  })
})

test('a body that is no map makes a message without parts', async t => {
  const receiver = await receiveDatagrams(t)
  const run = await start(t, section(receiver.port, KEYS))
  const event = encodeEvent([1_700_000_000, 0], {})
  const text = new Encoded('a3616263').bytes
  run.send(Buffer.concat([event.subarray(0, event.length - 1), text]))
  await run.pipeline.until(() => receiver.datagrams.length === 1)
  assert.equal(String(receiver.datagrams[0]), '<14>1 2023-11-14T22:13:20.000000Z - - - - -')
})
