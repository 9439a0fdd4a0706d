import assert from 'node:assert/strict'
import { once } from 'node:events'
import { globSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { freePort } from '../../../../test/harness/peers.ts'
import {
  type PipelineOptions,
  startPipeline,
  type TestPipeline
} from '../../../../test/harness/pipeline.ts'
import { seededRandom } from '../../../../test/harness/random.ts'
import { MsgpackWriter } from '../../../codec/msgpack_writer.ts'
import { OK, retry } from '../../../plugin/delivery.ts'
import { decodeEvents } from '../../../record/event.ts'
import { MessageEvents } from './message_event.ts'
import { INCOMPLETE, packetEnd, packetType, Publish, PUBLISH, readConnect } from './packets.ts'

function packet(type: number, body: Buffer | string, flags = 0): Buffer {
  const content = Buffer.from(body)
  const length: number[] = []
  for (let rest = content.length; ; rest >>>= 7) {
    length.push((rest & 0x7f) | (rest > 0x7f ? 0x80 : 0))
    if (rest <= 0x7f) break
  }
  return Buffer.concat([Buffer.from([(type << 4) | flags, ...length]), content])
}

function text(latin1: string): Buffer {
  const bytes = Buffer.from(latin1, 'latin1')
  return Buffer.concat([Buffer.from([bytes.length >>> 8, bytes.length & 0xff]), bytes])
}

function connectPacket(protocol = 'MQTT', level = 4, flags = 2): Buffer {
  return packet(1, Buffer.concat([text(protocol), Buffer.from([level, flags, 0, 60]), text('me')]))
}

function publish(topic: string, payload: string | Buffer, qos = 0, id = 7): Buffer {
  const packetId = qos > 0 ? Buffer.from([id >>> 8, id & 0xff]) : Buffer.alloc(0)
  return packet(3, Buffer.concat([text(topic), packetId, Buffer.from(payload)]), qos << 1)
}

const HELLO = connectPacket()
const PING = packet(12, '')

function configuration(port: number, keys = '', service = ''): string {
  return `
[SERVICE]
    flush 1
${service}
[INPUT]
    name   mqtt
    tag    data
    listen 127.0.0.1
    port   ${port}
${keys}
[OUTPUT]
    name  collect
    match *
    retry_limit no_limits
[OUTPUT]
    name  stdout
    match *
    format json_lines
    json_date_key false
`
}

/** A client that sends any bytes. */
class Client {
  readonly socket: Socket
  /** What it got, as hex. */
  received = ''
  isClosed = false

  constructor(socket: Socket) {
    this.socket = socket
    socket.on('data', bytes => (this.received += bytes.toString('hex')))
    socket.on('error', () => undefined)
    socket.on('close', () => (this.isClosed = true))
  }
}

interface Run {
  readonly run: TestPipeline
  /** Connects and sends. */
  client(...pieces: Buffer[]): Promise<Client>
}

async function start(
  t: TestContext,
  keys?: string,
  options?: PipelineOptions,
  service?: string
): Promise<Run> {
  const port = await freePort()
  const run = await startPipeline(configuration(port, keys, service), options)
  const clients: Client[] = []
  t.after(async () => {
    for (const { socket } of clients) socket.destroy()
    await run.stop()
  })
  return {
    run,
    async client(...pieces) {
      const socket = connect(port, '127.0.0.1')
      const client = new Client(socket)
      clients.push(client)
      await once(socket, 'connect')
      socket.setNoDelay()
      for (const piece of pieces) socket.write(piece)
      return client
    }
  }
}

function dropped(run: TestPipeline, reason: string): [records: number, bytes: number] {
  const labels = { kind: 'input', name: 'mqtt.0', reason }
  return [
    run.counter('spillway_dropped_records_total', labels),
    run.counter('spillway_dropped_bytes_total', labels)
  ]
}

function closedConnections(run: TestPipeline, reason: string): number {
  return run.counter('spillway_connections_refused_total', {
    kind: 'input',
    name: 'mqtt.0',
    reason
  })
}

/** What the plugin itself says, after the two lines that every input starts with, with `PEER` for addresses. */
function ownLines(run: TestPipeline): string[] {
  const prefix = '[input:mqtt:mqtt.0] '
  return run.log
    .filter(line => line.includes(prefix))
    .slice(2)
    .map(line => line.replace(prefix, '').replace(/127\.0\.0\.1:\d+/, 'PEER'))
}

/** Sent after a CONNECT, what Fluent Bit 5.1.1 answers, and what it prints. */
const EXCHANGES: readonly (readonly [
  title: string,
  sent: Buffer,
  answer: string,
  ...json: string[]
])[] = [
  ['QoS 0', publish('a/b', '{"k":1}'), '', '{"topic":"a/b","k":1}'],
  ['QoS 1', publish('a/b', '{"k":2}', 1), '40020007', '{"topic":"a/b","k":2}'],
  ['QoS 2', publish('a/b', '{"k":3}', 2), '50020007', '{"topic":"a/b","k":3}'],
  [
    'pairs of all kinds under an empty topic',
    publish('', '{"topic":5,"z":{"y":[1,2.0]}}', 1, 0),
    '40020000',
    '{"topic":5,"z":{"y":[1,2.0]}}'
  ],
  ['white space', publish('a', ' {"a":1} \n', 1), '40020007', '{"topic":"a","a":1}'],
  ['text after the map', publish('a', '{"a":1} xyz', 1), '40020007', '{"topic":"a","a":1}'],
  ['two maps', publish('a', '{"a":1}{"b":2}', 1), '40020007', '{"topic":"a","a":1}'],
  ['an empty map', publish('a', '{} {}', 1), '40020007', '{"topic":"a"}'],
  ['a NUL after the map', publish('a', '{"a":1}\0', 1), '40020007', '{"topic":"a","a":1}'],
  [
    'bytes that are no text',
    publish('\xff', Buffer.from('{"a":"\xff"}', 'latin1'), 1),
    '40020007',
    '{"topic":"","a":""}'
  ],
  [
    'a large number',
    publish('a', '{"a":18446744073709551616}', 1),
    '40020007',
    '{"topic":"a","a":1.844674407370955e+19}'
  ],
  [
    'many packets at once',
    Buffer.concat([
      publish('1', '{"n":1}', 1, 1),
      publish('2', '{"n":2}', 1, 2),
      PING,
      publish('3', '{"n":3}', 2, 3)
    ]),
    '4002000140020002d00050020003',
    '{"topic":"1","n":1}',
    '{"topic":"2","n":2}',
    '{"topic":"3","n":3}'
  ],
  [
    'SUBSCRIBE and UNSUBSCRIBE',
    Buffer.concat([
      packet(8, Buffer.concat([Buffer.from([0, 1]), text('#'), Buffer.from([0])]), 2),
      packet(10, Buffer.concat([Buffer.from([0, 1]), text('#')]), 2),
      PING
    ]),
    'd000'
  ]
]
for (const [title, sent, answer, ...json] of EXCHANGES) {
  test(`mqtt answers and keeps ${title} as Fluent Bit does`, async t => {
    const { run, client } = await start(t)
    const sender = await client(HELLO, sent, PING)
    const expected = `20020000${answer}d000`
    await run.until(() => sender.received.length >= expected.length)
    run.flush()
    assert.equal(sender.received, expected)
    assert.deepEqual(run.stdout === '' ? [] : run.stdout.trimEnd().split('\n'), json)
  })
}

test('mqtt puts the pairs under payload_key', async t => {
  const { run, client } = await start(t, '    payload_key p')
  const sender = await client(HELLO, publish('a/b', '{"k":1,"l":2}', 1))
  await run.until(() => sender.received === '2002000040020007')
  run.flush()
  assert.deepEqual(run.taken, [
    {
      tag: 'data',
      events: [
        { time: [1700000000, 123000000], metadata: {}, body: { topic: 'a/b', p: { k: 1, l: 2 } } }
      ]
    }
  ])
})

test('mqtt completes QoS 2', async t => {
  const { run, client } = await start(t)
  const sender = await client(
    HELLO,
    publish('a', '{}', 2, 0x1234),
    packet(6, Buffer.from([0x12, 0x34]), 2)
  )
  await run.until(() => sender.received.length === 24)
  assert.equal(sender.received, '200200005002123470021234')
})

/** Payloads that make no record; Fluent Bit answers them all the same. */
const NO_RECORDS: readonly (readonly [payload: string, reason: string, log: string])[] = [
  ['hello', 'not_json', 'MQTT Packet incomplete or is not JSON'],
  ['', 'not_json', 'MQTT Packet incomplete or is not JSON'],
  ['{"a":1,}', 'not_json', 'MQTT Packet incomplete or is not JSON'],
  ['{"a":1', 'not_json', 'MQTT Packet incomplete or is not JSON'],
  ['{"a":01}', 'not_json', 'MQTT Packet incomplete or is not JSON'],
  ['{"a":1e400}', 'not_json', 'MQTT Packet incomplete or is not JSON'],
  ['[1]{"b":1}', 'not_a_map', 'MQTT Packet is not a JSON map'],
  ['"x"', 'not_a_map', 'MQTT Packet is not a JSON map'],
  ['12', 'not_a_map', 'MQTT Packet is not a JSON map']
]
for (const [payload, reason, log] of NO_RECORDS) {
  test(`mqtt counts a payload of ${JSON.stringify(payload)} and goes on`, async t => {
    const { run, client } = await start(t)
    const bad = publish('a', payload, 1, 1)
    const sender = await client(HELLO, bad, bad, publish('a', '{"k":1}', 1, 2))
    await run.until(() => sender.received === '20020000400200014002000140020002')
    run.flush()
    assert.deepEqual(run.bodies, [{ topic: 'a', k: 1 }])
    assert.deepEqual(dropped(run, reason), [2, 2 * payload.length])
    assert.deepEqual(ownLines(run), [`[ warn] ${log}`])
  })
}

test('mqtt counts what it does not use of a payload', async t => {
  const { run, client } = await start(t)
  const sender = await client(HELLO, publish('a', '{"a":1} xyz', 1))
  await run.until(() => sender.received === '2002000040020007')
  assert.deepEqual(dropped(run, 'after_map'), [0, 3])
})

/** What ends a connection. */
const REFUSED: readonly (readonly [
  title: string,
  sent: Buffer,
  reason: string,
  records: number,
  problem: string
])[] = [
  ['an HTTP request', Buffer.from('GET / HTTP/1.1\r\n\r\n'), 'malformed', 0, 'expected CONNECT'],
  ['a message before CONNECT', publish('a', '{}'), 'malformed', 0, 'expected CONNECT'],
  ['an empty CONNECT', packet(1, ''), 'malformed', 0, 'malformed packet of type 1'],
  [
    'a CONNECT that names more than it has',
    packet(1, Buffer.from([0xff, 0xff, 1])),
    'malformed',
    0,
    'malformed packet of type 1'
  ],
  [
    'a CONNECT that is too long',
    packet(1, Buffer.alloc(3000)).subarray(0, 3),
    'too_long',
    0,
    'a packet of 3003 bytes is longer than buffer_size, which is 2048'
  ],
  [
    'a length of five bytes',
    Buffer.concat([HELLO, Buffer.from([0x30, 0xff, 0xff, 0xff, 0xff, 0xff])]),
    'malformed',
    1,
    'malformed length'
  ],
  [
    'the longest length there is',
    Buffer.concat([HELLO, Buffer.from([0x30, 0xff, 0xff, 0xff, 0x7f])]),
    'too_long',
    1,
    'a packet of 268435460 bytes is longer than buffer_size, which is 2048'
  ],
  [
    'a message that is one byte too long',
    Buffer.concat([HELLO, publish('a', `{"l":"${'x'.repeat(2035)}"}`)]),
    'too_long',
    1,
    'a packet of 2049 bytes is longer than buffer_size, which is 2048'
  ],
  [
    'a topic that is longer than its packet',
    Buffer.concat([HELLO, packet(3, Buffer.from('\0\x04abc'))]),
    'malformed',
    1,
    'malformed packet of type 3'
  ],
  [
    'half a topic length',
    Buffer.concat([HELLO, packet(3, '\0')]),
    'malformed',
    1,
    'malformed packet of type 3'
  ],
  [
    'half a packet id',
    Buffer.concat([HELLO, packet(3, '\0\x01a\0', 2)]),
    'malformed',
    1,
    'malformed packet of type 3'
  ],
  [
    'QoS 3',
    Buffer.concat([HELLO, publish('a', '{}', 3)]),
    'malformed',
    1,
    'malformed packet of type 3'
  ],
  [
    'a reserved type',
    Buffer.concat([HELLO, packet(15, '')]),
    'malformed',
    0,
    'malformed packet of type 15'
  ],
  [
    'an answer of servers',
    Buffer.concat([HELLO, HELLO, packet(2, '\0\0')]),
    'malformed',
    0,
    'malformed packet of type 2'
  ],
  [
    'a PUBREL without its id',
    Buffer.concat([HELLO, packet(6, '', 2)]),
    'malformed',
    0,
    'malformed packet of type 6'
  ],
  [
    'MQTT 5',
    connectPacket('MQTT', 5),
    'protocol_version',
    0,
    'only MQTT 3.1 and 3.1.1 are spoken here'
  ]
]
for (const [title, sent, reason, records, problem] of REFUSED) {
  test(`mqtt ends a connection with ${title}, and no other`, async t => {
    const { run, client } = await start(t)
    const other = await client(HELLO)
    const sender = await client(sent)
    await run.until(() => sender.isClosed)
    other.socket.write(publish('a', '{"k":1}', 1))
    await run.until(() => other.received === '2002000040020007')
    run.flush()
    assert.deepEqual(run.bodies, [{ topic: 'a', k: 1 }])
    assert.equal(closedConnections(run, reason), 1)
    assert.equal(dropped(run, reason)[0], records)
    assert.deepEqual(ownLines(run), [`[error] connection from PEER is closed: ${problem}`])
  })
}

test('mqtt keeps and answers what came before a malformed packet', async t => {
  const { run, client } = await start(t)
  const sender = await client(Buffer.concat([HELLO, publish('a', '{"k":1}', 1), packet(15, '')]))
  await run.until(() => sender.isClosed)
  run.flush()
  assert.equal(sender.received, '2002000040020007')
  assert.deepEqual(run.bodies, [{ topic: 'a', k: 1 }])
})

test('mqtt takes a packet of exactly buffer_size', async t => {
  const { run, client } = await start(t)
  const whole = publish('a', `{"l":"${'x'.repeat(2032)}"}`, 1)
  assert.equal(whole.length, 2048)
  const sender = await client(HELLO, whole)
  await run.until(() => sender.received === '2002000040020007')
})

test('mqtt takes a packet of several megabytes where buffer_size allows it', async t => {
  const { run, client } = await start(t, '    buffer_size 4M')
  const sender = await client(HELLO, publish('a', `{"l":"${'x'.repeat(3_000_000)}"}`, 1))
  await run.until(() => sender.received === '2002000040020007')
  run.flush()
  assert.deepEqual(run.bodies, [{ topic: 'a', l: 'x'.repeat(3_000_000) }])
})

test('mqtt speaks 3.1 and 3.1.1, with bridges too, and tells who asks for it of a session', async t => {
  const { run, client } = await start(t)
  const hellos: readonly (readonly [hello: Buffer, answer: string])[] = [
    [connectPacket('MQTT', 4, 2), '20020000'],
    [connectPacket('MQTT', 4, 0), '20020100'],
    [connectPacket('MQIsdp', 3, 2), '20020000'],
    [connectPacket('MQTT', 0x84, 2), '20020000'],
    [connectPacket('MQTT', 5, 2), '20020001'],
    [connectPacket('OTHER', 4, 2), '20020001']
  ]
  for (const [hello, answer] of hellos) {
    const sender = await client(hello)
    await run.until(() => sender.received === answer)
  }
})

test('mqtt closes a connection that says DISCONNECT', async t => {
  const { run, client } = await start(t)
  const sender = await client(Buffer.concat([HELLO, publish('a', '{"k":1}', 1), packet(14, '')]))
  await run.until(() => sender.isClosed)
  assert.equal(sender.received, '2002000040020007')
  assert.deepEqual(ownLines(run), [])
})

test('mqtt takes packets that are cut at any byte', async t => {
  const { run, client } = await start(t)
  const bytes = Buffer.concat([
    HELLO,
    publish('a', '{"k":1}', 1, 1),
    PING,
    publish('b', '{}', 2, 2)
  ])
  for (let cut = 1; cut < bytes.length; cut++) {
    const sender = await client(bytes.subarray(0, cut))
    // The first part is read before the second one is sent.
    const before = cut >= HELLO.length ? '20020000' : ''
    await run.until(() => sender.received.startsWith(before))
    sender.socket.write(bytes.subarray(cut))
    await run.until(() => sender.received === '2002000040020001d00050020002')
    sender.socket.destroy()
  }
  run.flush()
  assert.equal(run.bodies.length, 2 * (bytes.length - 1))
})

test('mqtt counts a packet whose end does not come', async t => {
  const { run, client } = await start(t)
  const sender = await client(HELLO, publish('a', '{"k":1}', 1).subarray(0, 9))
  await run.until(() => sender.received === '20020000')
  sender.socket.end()
  await run.until(() => sender.isClosed)
  await run.until(() => dropped(run, 'incomplete')[0] === 1)
  assert.deepEqual(dropped(run, 'incomplete'), [1, 9])
})

test('mqtt does not wait for a CONNECT that does not end', async t => {
  const { run, client } = await start(t, '    net.accept_timeout 5s')
  const slow = await client(HELLO.subarray(0, 5))
  const good = await client(HELLO)
  await run.until(() => good.received === '20020000')
  run.clock.advance(4999)
  slow.socket.write(HELLO.subarray(5, 6))
  run.clock.advance(1)
  await run.until(() => slow.isClosed)
  assert.equal(closedConnections(run, 'accept_timeout'), 1)
  assert.deepEqual(ownLines(run), [
    '[error] connection from PEER is closed: no CONNECT within 5 seconds'
  ])
  good.socket.write(PING)
  await run.until(() => good.received === '20020000d000')
})

test('mqtt reads nothing while it is paused, and closes nobody for that', async t => {
  let isOpen = false
  const { run, client } = await start(t, '    mem_buf_limit 1', {
    answer: () => (isOpen ? OK : retry('not yet'))
  })
  const first = await client(HELLO, publish('a', '{"k":1}', 1))
  await run.until(() => first.received === '2002000040020007')
  const second = await client(HELLO, publish('a', '{"k":2}', 1))
  first.socket.write(publish('a', '{"k":3}', 1, 8))
  await run.clock.advanceSlowly(30_000, 1000)
  assert.equal(first.received, '2002000040020007')
  assert.equal(second.received, '')
  isOpen = true
  await run.clock.advanceSlowly(60_000, 1000)
  await run.until(() => first.received === '200200004002000740020008')
  await run.until(() => second.received.startsWith('20020000'))
  assert.deepEqual([first.isClosed, second.isClosed], [false, false])
})

test('mqtt answers when a message is delivered, with acknowledge delivered', async t => {
  let isOpen = false
  const { run, client } = await start(t, '    acknowledge delivered', {
    answer: () => (isOpen ? OK : retry('not yet'))
  })
  const sender = await client(
    HELLO,
    publish('a', '{"k":1}', 1),
    publish('a', '{"k":2}', 2, 8),
    PING
  )
  await run.until(() => sender.received === '20020000d000')
  await run.clock.advanceSlowly(3000, 1000)
  assert.equal(sender.received, '20020000d000')
  isOpen = true
  await run.clock.advanceSlowly(30_000, 1000)
  await run.until(() => sender.received === '20020000d0004002000750020008')
})

test('mqtt answers when a message is on disk, with storage.type filesystem', async t => {
  const storage = mkdtempSync(join(tmpdir(), 'spillway-mqtt-'))
  t.after(() => rmSync(storage, { recursive: true }))
  const keys = '    storage.type filesystem'
  const { run, client } = await start(t, keys, {}, `    storage.path ${storage}`)
  const sender = await client(HELLO)
  await run.until(() => sender.received === '20020000')
  let stored = ''
  sender.socket.once('data', () => {
    const [file] = globSync(join(storage, '.spillway/chunks/mqtt.0/*.chunk'))
    stored = file === undefined ? 'no file' : readFileSync(file, 'latin1')
  })
  sender.socket.write(publish('some/topic', '{"k":1}', 1))
  await run.until(() => sender.received === '2002000040020007')
  assert.match(stored, /some\/topic/)
})

test('mqtt takes any bytes: it reads, answers or closes', async t => {
  const { run, client } = await start(t)
  const random = seededRandom(1883)
  const below = (limit: number): number => Math.floor(random() * limit)
  const seeds = EXCHANGES.map(([, sent]) => sent)
  const other = await client(HELLO)
  for (let round = 0; round < 300; round++) {
    const bytes = Buffer.concat([
      HELLO,
      seeds[below(seeds.length)] ?? PING,
      seeds[below(seeds.length)] ?? PING
    ])
    for (let change = below(4); change > 0; change--) bytes[below(bytes.length)] = below(256)
    const sender = await client(bytes.subarray(0, 1 + below(bytes.length)))
    sender.socket.end()
    await run.until(() => sender.isClosed)
  }
  other.socket.write(PING)
  await run.until(() => other.received === '20020000d000')
})

test('mqtt decodes any bytes without reading beyond them', () => {
  const random = seededRandom(311)
  const below = (limit: number): number => Math.floor(random() * limit)
  const seeds = [HELLO, ...EXCHANGES.map(([, sent]) => sent)]
  const events = new MessageEvents(undefined)
  const message = new Publish()
  for (let round = 0; round < 50_000; round++) {
    const bytes = Buffer.from(seeds[below(seeds.length)] ?? HELLO)
    for (let change = below(5); change > 0; change--) bytes[below(bytes.length)] = below(256)
    const have = below(bytes.length + 1)
    const end = packetEnd(bytes, 0, have)
    if (end < 0) {
      assert.ok(have < 5 || end !== INCOMPLETE)
      continue
    }
    if (end > have) continue
    readConnect(bytes, 2, Math.max(end, 2))
    if (packetType(bytes, 0) !== PUBLISH || !message.read(bytes, 0, end)) continue
    assert.ok(message.topicAt <= message.topicEnd && message.topicEnd <= message.payloadAt)
    assert.ok(message.payloadAt <= end)
    const out = new MsgpackWriter(64)
    const problem = events.write(bytes, message, 1_700_000_000_000, out)
    assert.equal([...decodeEvents(out.written())].length, problem === undefined ? 1 : 0)
  }
})
