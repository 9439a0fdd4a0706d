import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { gunzipSync } from 'node:zlib'
import { certificates } from '../../../test/harness/certificates.ts'
import { MESSAGE_EVENTS } from '../../../test/harness/message_events.ts'
import { encodeEvent, EncodedInput } from '../../../test/harness/odd_events.ts'
import { needs } from '../../../test/harness/peers.ts'
import {
  checkConfiguration,
  startPipeline,
  type TestPipeline
} from '../../../test/harness/pipeline.ts'
import type { Encodable } from '../../codec/msgpack_writer.ts'
import { receiveDatagrams, receiveStream } from '../../../test/harness/receivers.ts'

const RECORDED = join(import.meta.dirname, '../../../test/parity/output_gelf')

const STREAMS: Readonly<Record<string, readonly string[]>> = {
  tcp: [],
  keys: [
    'gelf_short_message_key message',
    'gelf_host_key app',
    'gelf_level_key severity',
    'gelf_timestamp_key pid',
    'gelf_full_message_key id',
    'gelf_tag_key tag'
  ],
  tag: ['gelf_tag_key short_message']
}

/** One character is one byte. A DEL in a block of plain bytes, which Fluent Bit leaves, is escaped. */
function recorded(name: string): string[] {
  const lines = readFileSync(join(RECORDED, `${name}.txt`), 'utf8')
    .trimEnd()
    .split('\n')
  return lines.map(line => (JSON.parse(line) as string).replaceAll('\u007f', '\\u007f'))
}

interface Run {
  readonly pipeline: TestPipeline
  send(...events: readonly Buffer[]): void
}

async function start(t: TestContext, port: number, ...keys: readonly string[]): Promise<Run> {
  const input = new EncodedInput()
  const lines = ['name gelf', 'match *', `port ${port}`, 'retry_limit 5', ...keys]
  const pipeline = await startPipeline(
    `[SERVICE]\n    flush 1\n[INPUT]\n    name encoded\n[OUTPUT]\n    ${lines.join('\n    ')}\n`,
    { plugins: [input.plugin] }
  )
  t.after(async () => pipeline.stop())
  return {
    pipeline,
    send: (...events) => {
      input.push('app', ...events)
      pipeline.flush()
    }
  }
}

function dropped({ pipeline }: Run, reason: string): number {
  const labels = { kind: 'output', name: 'gelf.0', reason }
  return pipeline.counter('spillway_dropped_records_total', labels)
}

function logOf({ pipeline }: Run): string[] {
  return pipeline.log.filter(line => line.includes('[output:gelf:'))
}

function message(text: string): Buffer {
  return encodeEvent([1_700_000_000, 123_999_999], { short_message: text })
}

function written(text: string): string {
  return `{"version":"1.1", "short_message":"${text}", "timestamp":1700000000.123}`
}

/**
 * What a GELF input makes of datagrams, after docs.graylog.org "GELF via UDP": chunks begin with 1e 0f and have an ID of
 * eight bytes, their number and the count of them; content is told by its first bytes to be gzip or not.
 */
function assemble(datagrams: readonly Buffer[]): string[] {
  const chunked = new Map<string, Buffer[]>()
  const messages: string[] = []
  for (const bytes of datagrams) {
    if (bytes.readUInt16BE() !== 0x1e0f) {
      messages.push(contentOf(bytes))
      continue
    }
    const id = bytes.toString('hex', 2, 10)
    const [number = 0, count = 0] = bytes.subarray(10, 12)
    assert.ok(number < count && count <= 128, `chunk ${number} of ${count}`)
    const chunks = chunked.get(id) ?? []
    chunks[number] = bytes.subarray(12)
    chunked.set(id, chunks)
    if (chunks.filter(Boolean).length === count) messages.push(contentOf(Buffer.concat(chunks)))
  }
  return messages
}

function contentOf(bytes: Buffer): string {
  return (bytes.readUInt16BE() === 0x1f8b ? gunzipSync(bytes) : bytes).latin1Slice()
}

/** Text that gzip cannot shorten much. */
function noise(length: number): string {
  let state = 1
  return Array.from({ length }, () => {
    state = (state * 48_271) % 2_147_483_647
    return String.fromCharCode(0x30 + (state % 10))
  }).join('')
}

test('unknown modes and a packet size that holds nothing are refused', async () => {
  const rejected = {
    'mode dtls': 'value must be one of udp, tcp, tls: current value is "dtls"',
    'packet_size 0': 'value must be at least 1: current value is "0"'
  }
  for (const [line, expected] of Object.entries(rejected)) {
    const text = `[INPUT]\n    name dummy\n[OUTPUT]\n    name gelf\n    match *\n    ${line}\n`
    const { errors } = await checkConfiguration(text)
    assert.equal(errors.length, 1, line)
    assert.ok(errors[0]?.endsWith(expected), `${line}: ${errors[0]}`)
  }
})

for (const [name, keys] of Object.entries(STREAMS)) {
  test(`gelf sends a stream as Fluent Bit does: ${name}`, async t => {
    const receiver = await receiveStream(t)
    const run = await start(t, receiver.port, 'mode tcp', ...keys)
    const expected = recorded(name).join('')
    run.send(...MESSAGE_EVENTS)
    await run.pipeline.until(() => receiver.received.length >= expected.length)
    assert.deepEqual(receiver.received.latin1Slice().split('\0'), expected.split('\0'))
  })
}

for (const keys of [['compress on'], ['compress off'], ['compress off', 'packet_size 100']]) {
  test(`gelf sends datagrams that hold what Fluent Bit's hold: ${keys.join(', ')}`, async t => {
    const receiver = await receiveDatagrams(t)
    const run = await start(t, receiver.port, ...keys)
    const expected = recorded('udp')
    run.send(...MESSAGE_EVENTS)
    await run.pipeline.until(() => assemble(receiver.datagrams).length >= expected.length)
    assert.deepEqual(assemble(receiver.datagrams), expected)
  })
}

test('compress decides for datagrams that fit, and none is longer than packet_size', async t => {
  const receiver = await receiveDatagrams(t)
  const run = await start(t, receiver.port, 'compress off', 'packet_size 200')
  const long = noise(1000)
  run.send(message('short'), message('x'.repeat(500)), message(long))
  await run.pipeline.until(() => assemble(receiver.datagrams).length === 3)
  assert.deepEqual(assemble(receiver.datagrams), [
    written('short'),
    written('x'.repeat(500)),
    written(long)
  ])
  const [plain, compressed, ...chunks] = receiver.datagrams
  assert.equal(String(plain), written('short'))
  assert.equal(compressed?.readUInt16BE(), 0x1f8b)
  assert.ok(chunks.length > 1)
  // The time of the pipeline's clock in milliseconds, then 16 bits at random, as a little-endian number.
  const id = Buffer.alloc(8)
  id.writeBigUInt64LE((BigInt(run.pipeline.clock.now()) << 16n) | 0x8000n)
  for (const [index, chunk] of chunks.entries()) {
    const head = Buffer.concat([Buffer.of(0x1e, 0x0f), id, Buffer.of(index, chunks.length)])
    assert.deepEqual(chunk.subarray(0, 12), head)
    if (index < chunks.length - 1) assert.equal(chunk.length, 212)
  }
})

test('a message of more than 128 chunks is given up, and its neighbours go', async t => {
  const receiver = await receiveDatagrams(t)
  const run = await start(t, receiver.port, 'packet_size 100')
  run.send(message('before'), message(noise(40_000)), message('after'))
  await run.pipeline.until(() => dropped(run, 'too_long') === 1)
  await run.pipeline.until(() => assemble(receiver.datagrams).length === 2)
  assert.deepEqual(assemble(receiver.datagrams), [written('before'), written('after')])
  assert.match(logOf(run).at(-1) ?? '', /\[error\].* message too big: \d+ bytes$/)
})

test('what is no GELF message is counted and reported once a chunk, and the others go', async t => {
  const receiver = await receiveStream(t)
  const run = await start(t, receiver.port, 'mode tcp')
  run.send(
    encodeEvent([1, 0], { message: 'not short' }),
    message('a'),
    encodeEvent([1, 0], { short_message: 'x', level: 1.5 }),
    encodeEvent([0xffffffff, 0], { short_message: 'a group mark' }),
    message('b')
  )
  await run.pipeline.until(() => dropped(run, 'not_gelf') === 2 && receiver.received.length > 0)
  assert.equal(String(receiver.received), `${written('a')}\0${written('b')}\0`)
  const lines = ['[error] [output:gelf:gelf.0] error encoding to GELF: missing short_message key']
  assert.deepEqual(logOf(run), lines)
})

test('a long name of many values makes no message without an end', async t => {
  const receiver = await receiveStream(t)
  const run = await start(t, receiver.port, 'mode tcp')
  const values = Object.fromEntries(Array.from({ length: 10_000 }, (_, index) => [index, 1]))
  const event = encodeEvent([1, 0], { short_message: 'x', ['n'.repeat(50_000)]: values })
  run.send(event, message('after'))
  await run.pipeline.until(() => dropped(run, 'not_gelf') === 1 && receiver.received.length > 0)
  assert.equal(String(receiver.received), `${written('after')}\0`)
})

test('names of maps that are nested 200 deep are joined', async t => {
  const receiver = await receiveStream(t)
  const run = await start(t, receiver.port, 'mode tcp')
  let body: Encodable = { v: 1, list: [{ a: { b: 2 } }], w: 2 }
  for (let depth = 0; depth < 200; depth++) body = { d: body }
  run.send(encodeEvent([1, 0], { short_message: 'x', d: body }))
  const path = `_d${'_d'.repeat(200)}`
  const expected = `{"version":"1.1", "short_message":"x", "${path}_v":1, "${path}_list":"a_b=2", "${path}_w":2, "timestamp":1.000}\0`
  await run.pipeline.until(() => receiver.received.length >= expected.length)
  assert.equal(String(receiver.received), expected)
})

test('an odd level is reported once', async t => {
  const receiver = await receiveStream(t)
  const run = await start(t, receiver.port, 'mode tcp', 'gelf_short_message_key m')
  const events = ['odd', 9, 2n ** 64n - 1n].map(level => encodeEvent([1, 0], { m: 'x', level }))
  run.send(...events)
  const head = '{"version":"1.1", "short_message":"x", "level":'
  const expected = ['"odd"', '9', '18446744073709551615']
    .map(level => `${head}${level}, "timestamp":1.000}\0`)
    .join('')
  await run.pipeline.until(() => receiver.received.length >= expected.length)
  assert.equal(String(receiver.received), expected)
  assert.deepEqual(logOf(run), [
    "[ warn] [output:gelf:gelf.0] level is 'odd', but should be in 0..7 or a syslog keyword"
  ])
})

test('the key tls encrypts, in the mode tcp too', needs('openssl'), async t => {
  const { authority, server } = certificates()
  const receiver = await receiveStream(t, { tls: server })
  const run = await start(t, receiver.port, 'mode tcp', 'tls on', `tls.ca_file ${authority}`)
  run.send(message('secret'))
  await run.pipeline.until(() => receiver.received.length > 0)
  assert.equal(String(receiver.received), `${written('secret')}\0`)
  assert.deepEqual(logOf(run), [])
})

test('the mode tls without the key tls encrypts nothing, as in Fluent Bit, and says so', async t => {
  const receiver = await receiveStream(t)
  const run = await start(t, receiver.port, 'mode tls')
  run.send(message('open'))
  await run.pipeline.until(() => receiver.received.length > 0)
  assert.equal(String(receiver.received), `${written('open')}\0`)
  assert.deepEqual(logOf(run), [
    '[ warn] [output:gelf:gelf.0] messages are not encrypted: mode tls needs "tls on" for that'
  ])
})

test('a connection that breaks means that the chunk is sent again', async t => {
  const receiver = await receiveStream(t, {
    take: (_, socket) => {
      if (receiver.connections.length === 1) socket.destroy()
    }
  })
  const run = await start(t, receiver.port, 'mode tcp')
  await run.pipeline.until(() => {
    run.send(message('a'))
    return receiver.connections.length > 1
  })
  assert.ok(String(receiver.received).includes(written('a')))
})
