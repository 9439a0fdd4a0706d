import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { createServer, type Socket } from 'node:net'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { gunzipSync } from 'node:zlib'
import { certificates } from '../../../../test/harness/certificates.ts'
import { EVENT_TIME, ForwardClient, packed } from '../../../../test/harness/forward.ts'
import { encodeEvent, EncodedInput } from '../../../../test/harness/odd_events.ts'
import { freePort, needs } from '../../../../test/harness/peers.ts'
import {
  checkConfiguration,
  type PipelineOptions,
  startPipeline,
  type TestPipeline
} from '../../../../test/harness/pipeline.ts'
import { folder } from '../../../../test/harness/process.ts'
import { receiveStream, type StreamReceiver } from '../../../../test/harness/receivers.ts'
import { decode, skipChecked } from '../../../codec/msgpack_reader.ts'
import { itemsOf, keyDigest, passwordDigest, textAt } from '../../common/forward_handshake.ts'
import { forward } from './forward.ts'

interface Recorded {
  readonly keys: string
  readonly received: string
}

const RECORDED = JSON.parse(
  readFileSync(
    join(import.meta.dirname, '../../../../test/data/forward/sent_by_fluent_bit.json'),
    'utf8'
  )
) as Record<string, Recorded>

const TIME = [1_700_000_000, 123_456_789] as const
const BODY = { message: 'hello', level: 3, app: { name: 'web' }, big: 1.5 }

type Frame = readonly [tag: string, ...rest: unknown[]]

/** Says what a test has it say to a frame, or to a connection. */
interface Script {
  /** Sent at first. */
  readonly hello?: Buffer
  /** What to say to a message, counted from 1 over all connections; undefined for nothing. */
  answer?(message: Buffer, number: number, socket: Socket): Buffer | undefined
}

/** A server of the forward protocol. */
class Server {
  /** All messages that have come. */
  readonly messages: Buffer[] = []
  receiver: StreamReceiver | undefined

  async listen(t: TestContext, script: Script = {}): Promise<this> {
    const unread = new Map<Socket, Buffer>()
    this.receiver = await receiveStream(t, {
      accept: socket => {
        if (script.hello !== undefined) socket.write(script.hello)
      },
      take: (bytes, socket) => {
        let rest = Buffer.concat([unread.get(socket) ?? Buffer.alloc(0), bytes])
        for (let end; (end = skipChecked(rest, 0, rest.length)) > 0; rest = rest.subarray(end)) {
          const message = rest.subarray(0, end)
          const number = this.messages.push(message)
          const answer = script.answer?.(message, number, socket)
          if (answer !== undefined) socket.write(answer)
        }
        unread.set(socket, rest)
      }
    })
    return this
  }

  get port(): number {
    return this.receiver?.port ?? 0
  }

  get connections(): number {
    return this.receiver?.connections.length ?? 0
  }

  /** Frames as values. */
  get frames(): Frame[] {
    return this.messages.map(message => decode(message, 0) as unknown as Frame)
  }
}

/** What is acknowledged of a frame. */
function tokenOf(frame: Buffer): string {
  const at = frame.indexOf('chunk')
  return frame.toString('latin1', at + 6, at + 30)
}

function ack(frame: Buffer): Buffer | undefined {
  return frame.includes('chunk') ? packed({ ack: tokenOf(frame) }) : undefined
}

/** Without the token, which Fluent Bit makes of the bytes of the chunk. */
function masked(hex: string): string {
  return hex.replace(/a56368756e6bb8[\da-f]{48}/g, 'TOKEN')
}

function configuration(port: number, keys: string): string {
  return `
[SERVICE]
    flush 1
    scheduler.base 1
    scheduler.cap 1
[INPUT]
    name lib
    tag  app.log
[OUTPUT]
    name        forward
    match       *
    port        ${port}
    retry_limit no_limits
    ${keys.replaceAll('\n', '\n    ')}
`
}

async function start(
  t: TestContext,
  port: number,
  keys = '',
  options: PipelineOptions = {}
): Promise<TestPipeline> {
  const run = await startPipeline(configuration(port, keys), options)
  t.after(() => run.stop())
  return run
}

/** Moves time on until something holds. */
async function inTime(run: TestPipeline, condition: () => boolean): Promise<void> {
  await run.until(() => {
    run.clock.advance(100)
    return condition()
  })
}

function delivered(run: TestPipeline): number {
  return run.counter('fluentbit_output_proc_records_total', { name: 'forward.0' })
}

// --- what is sent

for (const [name, { keys, received }] of Object.entries(RECORDED)) {
  if (/^(?:handshake|upstream|metrics|traces|gzip)/.test(name)) continue
  test(`events are sent as Fluent Bit sends them: ${name}`, async t => {
    const server = await new Server().listen(t, { answer: ack })
    const run = await start(t, server.port, keys)
    const metadata = name === 'empty_metadata' ? {} : { source: 'dummy' }
    run.pushEvents('app.log', { time: TIME, metadata, body: BODY })
    run.flush()
    await run.until(() => delivered(run) === 1 && server.messages.length === 1)
    assert.equal(masked(server.messages[0]?.toString('hex') ?? ''), masked(received))
  })
}

test('events are compressed as one payload', async t => {
  const server = await new Server().listen(t)
  const run = await start(t, server.port, RECORDED['gzip']?.keys)
  run.pushEvents('app.log', { time: TIME, metadata: { source: 'dummy' }, body: BODY })
  run.flush()
  await run.until(() => server.messages.length === 1)
  const [ours, theirs] = [server.messages[0], Buffer.from(RECORDED['gzip']?.received ?? '', 'hex')]
  assert.deepEqual(expanded(ours), expanded(theirs))
})

/** A frame with its payload expanded. */
function expanded(frame: Buffer | undefined): unknown {
  const [tag, payload, options] = decode(frame ?? Buffer.from([0]), 0) as [string, Buffer, unknown]
  return [tag, gunzipSync(payload).toString('hex'), options]
}

for (const [name, { keys, received }] of Object.entries(RECORDED)) {
  if (!/^(?:metrics|traces)/.test(name)) continue
  test(`signals pass through as Fluent Bit sends them: ${name}`, async t => {
    const server = await new Server().listen(t, { answer: ack })
    const port = await freePort()
    const run = await startPipeline(`
[INPUT]
    name forward
    port ${port}
[OUTPUT]
    name  forward
    match *
    port  ${server.port}
    ${keys}
`)
    t.after(() => run.stop())
    const theirs = Buffer.from(received, 'hex')
    const client = await ForwardClient.open(t, port)
    const signal = name.startsWith('metrics') ? 1 : 2
    client.send(['sig', payloadOf(theirs, keys), { fluent_signal: signal, chunk: 'x' }])
    await run.until(() => client.received.length > 0)
    await inTime(run, () => server.messages.length === 1)
    const ours = server.messages[0] ?? Buffer.alloc(0)
    if (keys.includes('gzip')) assert.deepEqual(expanded(ours), expanded(theirs))
    else assert.equal(untimed(ours, keys), untimed(theirs, keys))
  })
}

/** Bytes before the contexts in `[tag, [[time, [context]]], options]`, and those of the options. */
const COMPATIBLE_HEAD = 18
const COMPATIBLE_TAIL = 20

function payloadOf(frame: Buffer, keys: string): Buffer {
  if (keys.includes('fluentd_compat')) return frame.subarray(COMPATIBLE_HEAD, -COMPATIBLE_TAIL)
  const [, payload] = decode(frame, 0) as [string, Buffer]
  return keys.includes('gzip') ? gunzipSync(payload) : payload
}

/** A frame as hex, without its token and the time that it was made at. */
function untimed(frame: Buffer, keys: string): string {
  const hex = masked(frame.toString('hex'))
  return keys.includes('fluentd_compat') ? hex.slice(0, 18) + hex.slice(34) : hex
}

test('contexts of metrics have a frame each, as Fluent Bit reads one of a frame', async t => {
  const server = await new Server().listen(t, { answer: ack })
  const input = new EncodedInput()
  const run = await startPipeline(
    `
[INPUT]
    name encoded
[OUTPUT]
    name  forward
    match *
    port  ${server.port}
    require_ack_response on
`,
    { plugins: [input.plugin] }
  )
  t.after(() => run.stop())
  // Any two values: what is in them is not looked at.
  const contexts = [Buffer.from([0x81, 0x01, 0x02]), Buffer.from([0x80])]
  input.pushAs('metrics', 'app', ...contexts)
  run.flush()
  await inTime(run, () => server.messages.length === 2)
  const frames = server.messages.map(bytes => decode(bytes, 0) as [string, Buffer, unknown])
  assert.deepEqual(
    frames.map(([tag, payload]) => [tag, payload]),
    contexts.map(context => ['app', context])
  )
  await inTime(run, () => run.pipeline.pendingTasks === 0)
  assert.equal(run.counter('fluentbit_output_retries_total', { name: 'forward.0' }), 0)
})

test('the marks of groups are sent with the metadata, and left out without it', async t => {
  const group = [
    encodeEvent([0xffffffff, 0], { resource: 1 }, { id: 7 }),
    encodeEvent(TIME, { n: 1 }),
    encodeEvent([0xfffffffe, 0], {})
  ]
  for (const [keys, sizes] of [
    ['send_options on', [3, 3]],
    ['send_options on\nretain_metadata_in_forward_mode off', [1, 1]],
    ['send_options on\ntime_as_integer on', [1, 1]]
  ] as const) {
    const server = await new Server().listen(t)
    const encoded = new EncodedInput()
    const text = configuration(server.port, keys).replace('name lib', 'name encoded')
    const run = await startPipeline(text, { plugins: [encoded.plugin] })
    t.after(() => run.stop())
    encoded.push('app.log', ...group)
    run.flush()
    await run.until(() => server.messages.length === 1)
    const [[, entries, options]] = server.frames as [[string, unknown[], Map<string, number>]]
    assert.deepEqual([entries.length, options.get('size')], sizes, keys)
  }
})

test('two chunks are under way at once', async t => {
  const server = await new Server().listen(t)
  const run = await start(t, server.port, 'require_ack_response on')
  run.push('one', { n: 1 })
  run.push('two', { n: 2 })
  run.flush()
  await run.until(() => server.messages.length === 2)
  assert.equal(server.connections, 2)
})

test('a unix socket is connected to', async t => {
  const path = join(folder(t), 'socket')
  const received: Buffer[] = []
  const server = createServer(socket => socket.on('data', bytes => received.push(bytes as Buffer)))
  await new Promise<void>(resolve => server.listen(path, resolve))
  t.after(() => server.close())
  const run = await start(t, 1, `unix_path ${path}`)
  run.pushEvents('app.log', { time: TIME, metadata: { source: 'dummy' }, body: BODY })
  run.flush()
  await run.until(() => received.length > 0)
  assert.equal(Buffer.concat(received).toString('hex'), RECORDED['default']?.received)
})

// --- acknowledgements

const WRONG = '0'.repeat(24)

for (const [title, answer, line] of [
  [
    'another acknowledgement',
    () => packed({ ack: WRONG }),
    `ACK: mismatch received=${WRONG}, expected=(TOKEN)`
  ],
  ['a shorter one', () => packed({ ack: 'abc' }), 'ACK: mismatch received=abc, expected=(TOKEN)'],
  ['no map', () => packed(1), 'ACK response not MAP'],
  ['a map without it', () => packed({ nack: WRONG }), 'ack: ack not found'],
  ['a number', () => packed({ ack: 1 }), 'ack: ack not found'],
  ['no MessagePack', () => Buffer.from([0xc1]), 'cannot get ack'],
  [
    'more than an acknowledgement',
    () => Buffer.concat([Buffer.from('daffff', 'hex'), Buffer.alloc(2000)]),
    'cannot get ack'
  ],
  ['an end', (socket: Socket) => void socket.end(), 'cannot get ack'],
  ['a reset', (socket: Socket) => void socket.resetAndDestroy(), 'cannot get ack']
] as const) {
  test(`a chunk is sent again, on another connection, where the server answers with ${title}`, async t => {
    const server = await new Server().listen(t, {
      answer: (frame, number, socket) => (number === 1 ? (answer(socket) ?? undefined) : ack(frame))
    })
    const run = await start(t, server.port, 'require_ack_response on')
    run.push('app.log', { n: 1 })
    run.flush()
    await inTime(run, () => delivered(run) === 1)
    const [first, second] = server.messages
    assert.deepEqual(first, second, 'the token is the same')
    assert.equal(server.connections, 2)
    const errors = run.log.filter(text => text.startsWith('[error] [output:forward'))
    const shown = errors.map(text => text.replace(tokenOf(first ?? Buffer.alloc(40)), 'TOKEN'))
    assert.ok(
      shown.some(text => text.endsWith(`[output:forward:forward.0] ${line}`)),
      shown.join('\n')
    )
  })
}

for (const [keys, seconds] of [
  ['', 190],
  ['net.io_timeout 5', 5]
] as const) {
  test(`a server that does not acknowledge is waited for ${seconds} seconds`, async t => {
    const server = await new Server().listen(t, {
      answer: (frame, number) => (number === 1 ? undefined : ack(frame))
    })
    const run = await start(t, server.port, `require_ack_response on\n${keys}`)
    run.push('app.log', { n: 1 })
    run.flush()
    await run.until(() => server.messages.length === 1)
    await run.clock.advanceSlowly(seconds * 1000 - 1000, 1000)
    assert.equal(
      run.log.some(text => text.includes('cannot get ack')),
      false
    )
    await run.clock.advanceSlowly(1000)
    await run.until(() => run.log.some(text => text.includes('cannot get ack')))
    await inTime(run, () => delivered(run) === 1)
  })
}

test('an acknowledgement is read however it comes', async t => {
  const server = await new Server().listen(t, {
    answer(frame, _, socket) {
      const bytes = ack(frame) ?? Buffer.alloc(0)
      let at = 0
      const next = (): void => {
        if (at < bytes.length) socket.write(bytes.subarray(at, ++at), () => setImmediate(next))
      }
      next()
      return undefined
    }
  })
  const run = await start(t, server.port, 'require_ack_response on')
  for (let n = 1; n <= 3; n++) {
    run.push('app.log', { n })
    run.flush()
    await run.until(() => delivered(run) === n)
  }
  assert.equal(server.connections, 1)
  assert.equal(new Set(server.messages.map(tokenOf)).size, 3)
})

test('messages with tags of their own are acknowledged one by one, many under way', async t => {
  const server = await new Server().listen(t, { answer: ack })
  const run = await start(t, server.port, 'tag x.$n\nrequire_ack_response on')
  run.push('app.log', ...Array.from({ length: 600 }, (_, n) => ({ n })))
  run.flush()
  await run.until(() => delivered(run) === 600)
  assert.deepEqual(
    server.frames.map(([tag]) => tag),
    Array.from({ length: 600 }, (_, n) => `x.${n}`)
  )
  assert.equal(new Set(server.messages.map(tokenOf)).size, 600)
})

// --- the handshake

const NONCE = Buffer.from('nonce-nonce-1234')
const HELLO = packed(['HELO', { nonce: NONCE, auth: 'salt-of-password', keepalive: true }])
const KEYS = 'shared_key secret\nusername alice\npassword pw\nself_hostname client.local'

function pong(message: Buffer, key = 'secret'): Buffer {
  const salt = textAt(message, itemsOf(message)?.[2] ?? 0) ?? Buffer.alloc(0)
  return packed(['PONG', true, '', 'server', keyDigest(salt, 'server', NONCE, key).toString()])
}

function isPing(message: Buffer): boolean {
  return message.includes('PING')
}

test('each connection begins with a handshake, and only with one', async t => {
  const server = await new Server().listen(t, {
    hello: HELLO,
    answer: message => (isPing(message) ? pong(message) : ack(message))
  })
  const run = await start(t, server.port, `${KEYS}\nrequire_ack_response on`)
  for (let n = 1; n <= 2; n++) {
    run.push('app.log', { n })
    run.flush()
    await run.until(() => delivered(run) === n)
  }
  const [ping, ...frames] = server.frames
  const [word, hostname, salt, digest, user, password] = ping as unknown as string[]
  assert.deepEqual([word, hostname, user], ['PING', 'client.local', 'alice'])
  const saltBytes = Buffer.from(salt ?? '')
  assert.equal(saltBytes.length, 16)
  assert.equal(digest, keyDigest(saltBytes, 'client.local', NONCE, 'secret').toString())
  const own = passwordDigest(Buffer.from('salt-of-password'), 'alice', 'pw')
  assert.equal(password, own.toString())
  assert.deepEqual([frames.map(([tag]) => tag), server.connections], [['app.log', 'app.log'], 1])
})

test('without a salt for the password no user is told', async t => {
  const server = await new Server().listen(t, {
    hello: packed(['HELO', { nonce: NONCE }]),
    answer: message => (isPing(message) ? pong(message, '') : undefined)
  })
  const run = await start(t, server.port, 'empty_shared_key on\nusername alice\npassword pw')
  run.push('app.log', { n: 1 })
  run.flush()
  await run.until(() => delivered(run) === 1)
  const [ping] = server.frames
  assert.deepEqual(ping?.slice(4), ['', ''])
})

for (const [title, hello, answer, line] of [
  ['says nothing of a nonce', packed(['HELO', {}]), pong, 'nonce not found'],
  ['has another greeting', packed(['HALO', { nonce: NONCE }]), pong, 'Invalid HELO message'],
  ['greets with a number', packed(1), pong, 'Invalid HELO message'],
  ['greets in HTTP', Buffer.from([0xc1]), pong, 'handshake error expecting HELO'],
  [
    'greets without end',
    Buffer.concat([Buffer.from('daffff', 'hex'), Buffer.alloc(2000)]),
    pong,
    'handshake error expecting HELO'
  ],
  [
    'refuses',
    HELLO,
    () => packed(['PONG', false, 'no such user', '', '']),
    'failed authorization: no such user'
  ],
  [
    'has another key',
    HELLO,
    (message: Buffer) => pong(message, 'other'),
    'PONG shared_key digest mismatch: server does not hold the same shared_key'
  ],
  [
    'proves nothing',
    HELLO,
    () => packed(['PONG', true, '', 'server', '']),
    'PONG shared_key digest mismatch: server does not hold the same shared_key'
  ],
  [
    'answers something else',
    HELLO,
    () => packed(['PING', true, '', '', '']),
    'invalid PONG message'
  ],
  ['answers too little', HELLO, () => packed(['PONG', true]), 'invalid PONG message'],
  [
    'answers with no MessagePack',
    HELLO,
    () => Buffer.from([0xc1]),
    'handshake error expecting PONG'
  ]
] as const) {
  test(`nothing is sent to a server that ${title}`, async t => {
    const server = await new Server().listen(t, {
      hello,
      answer: message => (isPing(message) ? answer(message) : undefined)
    })
    const run = await start(t, server.port, KEYS)
    run.push('app.log', { n: 1 })
    run.flush()
    await run.until(() => run.log.some(text => text.includes('failed to flush chunk')))
    assert.ok(run.log.includes(`[error] [output:forward:forward.0] ${line}`), run.log.join('\n'))
    assert.equal(delivered(run), 0)
    assert.ok(server.messages.every(isPing))
  })
}

test('a server that does not greet is waited for as long as connecting may take', async t => {
  const server = await new Server().listen(t)
  const run = await start(t, server.port, KEYS)
  run.push('app.log', { n: 1 })
  run.flush()
  await run.until(() => server.connections === 1)
  await run.until(() => {
    run.clock.advance(1000)
    return run.log.some(text => text.includes('failed to flush chunk'))
  })
  assert.ok(
    run.log.some(text => text.includes('no progress for 10 seconds')),
    run.log.join('\n')
  )
})

// --- several servers

test('nodes of an upstream have keys of their own, before those of the output', async t => {
  const plain = await new Server().listen(t, { answer: ack })
  const secured = await new Server().listen(t, {
    hello: HELLO,
    answer: message => (isPing(message) ? pong(message) : ack(message))
  })
  const group = `
[UPSTREAM]
    name group
[NODE]
    name plain
    host 127.0.0.1
    port ${plain.port}
[NODE]
    name                            secured
    host                            127.0.0.1
    port                            ${secured.port}
    shared_key                      secret
    tag                             node
    require_ack_response            off
    retain_metadata_in_forward_mode on
`
  const keys = 'upstream upstream.conf\nrequire_ack_response on\nadd_option a b'
  const run = await start(t, 1, keys, { files: { 'upstream.conf': group } })
  for (let n = 1; n <= 2; n++) {
    run.pushEvents('app.log', { time: TIME, metadata: { m: 1 }, body: { n } })
    run.flush()
    await run.until(() => delivered(run) === n)
  }
  await run.until(() => plain.messages.length === 1 && secured.messages.length === 2)
  const [[tag, entries, options]] = plain.frames as [[string, unknown[][], Map<string, unknown>]]
  // Without metadata, as Fluent Bit sends to nodes.
  assert.deepEqual(
    [tag, entries[0]?.[0], entries[0]?.[1]],
    ['app.log', EVENT_TIME, new Map([['n', 1]])]
  )
  assert.deepEqual([...options.keys()], ['chunk', 'size', 'fluent_signal', 'a'])
  const [, [nodeTag, nodeEntries, nodeOptions]] = secured.frames as [
    Frame,
    [string, unknown[][], Map<string, unknown>]
  ]
  assert.deepEqual([nodeTag, nodeEntries[0]?.[0]], ['node', [EVENT_TIME, new Map([['m', 1]])]])
  assert.deepEqual([...nodeOptions.keys()], ['size', 'fluent_signal', 'a'])
})

test('what is written for the output about metadata goes for its nodes', async t => {
  const server = await new Server().listen(t)
  const group = `[UPSTREAM]\n    name g\n[NODE]\n    name n\n    host 127.0.0.1\n    port ${server.port}\n`
  const keys = 'upstream upstream.conf\nretain_metadata_in_forward_mode on'
  const run = await start(t, 1, keys, { files: { 'upstream.conf': group } })
  run.pushEvents('app.log', { time: TIME, metadata: { source: 'dummy' }, body: BODY })
  run.flush()
  await run.until(() => server.messages.length === 1)
  assert.equal(server.messages[0]?.toString('hex'), RECORDED['default']?.received)
})

// --- Spillway to Spillway

interface Chain {
  readonly receiver: TestPipeline
  readonly sender: TestPipeline
}

async function startReceiver(t: TestContext, port: number, keys: string): Promise<TestPipeline> {
  const run = await startPipeline(`
[SERVICE]
    flush 1
[INPUT]
    name   forward
    listen 127.0.0.1
    port   ${port}
    ${keys.replaceAll('\n', '\n    ')}
[OUTPUT]
    name  collect
    match *
`)
  t.after(() => run.stop())
  return run
}

async function chain(t: TestContext, sending: string, receiving = ''): Promise<Chain> {
  const port = await freePort()
  const receiver = await startReceiver(t, port, receiving)
  return { receiver, sender: await start(t, port, sending) }
}

function received(run: TestPipeline): number {
  return run.counter('fluentbit_input_records_total', { name: 'forward.0' })
}

const ODD_BODY = {
  text: 'grüße',
  whole: 1n << 60n,
  bytes: Buffer.from([1, 2, 255]),
  nested: { list: [1, { deep: true }], nothing: null },
  long: 'x'.repeat(7000)
}

for (const [title, sending, receiving, hasMetadata] of [
  ['plain', '', '', true],
  ['acknowledged', 'require_ack_response on', '', true],
  ['compressed', 'compress gzip\nrequire_ack_response on', '', true],
  ['in messages', 'tag app.log$none\nrequire_ack_response on', '', true],
  ['without metadata', 'retain_metadata_in_forward_mode off', '', false],
  [
    'with a key',
    'shared_key secret\nrequire_ack_response on',
    'shared_key secret\nself_hostname server',
    true
  ],
  [
    'with a user',
    'empty_shared_key on\nusername ann\npassword pw',
    'empty_shared_key on\nsecurity.users ann pw',
    true
  ]
] as const) {
  test(`events come through two Spillways unharmed: ${title}`, async t => {
    const { sender, receiver } = await chain(t, sending, receiving)
    const metadata = { m: { a: [1] } }
    const events = Array.from({ length: 100 }, (_, n) => ({
      time: [1_700_000_000 + n, n] as const,
      metadata,
      body: { ...ODD_BODY, n }
    }))
    sender.pushEvents('app.log', ...events)
    sender.flush()
    await receiver.until(() => received(receiver) === 100)
    await sender.until(() => delivered(sender) === 100)
    receiver.flush()
    await receiver.until(() => receiver.bodies.length === 100)
    assert.deepEqual(
      receiver.taken.flatMap(chunk => chunk.events),
      events.map(event => ({ ...event, metadata: hasMetadata ? metadata : {} }))
    )
  })
}

test(
  'events come through a chain in which both sides check certificates',
  needs('openssl'),
  async t => {
    const { authority, server, client, stranger } = certificates()
    const tls = (pair: { certificate: string; key: string }): string =>
      `tls on\ntls.ca_file ${authority}\ntls.crt_file ${pair.certificate}\ntls.key_file ${pair.key}`
    const verified = `${tls(server)}\ntls.verify_client_cert on\nshared_key secret`
    const port = await freePort()
    const receiver = await startReceiver(t, port, verified)
    const keys = (pair: { certificate: string; key: string }): string =>
      `host localhost\ntls.verify_hostname on\n${tls(pair)}\nshared_key secret\nrequire_ack_response on`
    const sender = await start(t, port, keys(client))
    sender.push('app.log', { n: 1 })
    sender.flush()
    await sender.until(() => delivered(sender) === 1)
    receiver.flush()
    await receiver.until(() => receiver.bodies.length === 1)
    const other = await start(t, port, keys(stranger))
    other.push('app.log', { n: 2 })
    other.flush()
    await other.until(() => other.log.some(line => line.includes('failed to flush chunk')))
    assert.equal(received(receiver), 1)
  }
)

test('a refused user of a secured chain is told why', needs('openssl'), async t => {
  const { authority, server } = certificates()
  const receiving = `tls on\ntls.crt_file ${server.certificate}\ntls.key_file ${server.key}`
  const sending = `host localhost\ntls on\ntls.ca_file ${authority}\nusername eve\npassword x`
  const { sender } = await chain(
    t,
    `${sending}\nempty_shared_key on`,
    `${receiving}\nempty_shared_key on\nsecurity.users ann pw`
  )
  sender.push('app.log', { n: 1 })
  sender.flush()
  await sender.until(() => sender.log.some(line => line.includes('failed to flush chunk')))
  const line = '[error] [output:forward:forward.0] failed authorization: username/password mismatch'
  assert.ok(sender.log.includes(line), sender.log.join('\n'))
})

test('a receiver that is restarted gets every event, from a sender that asks for answers', async t => {
  const port = await freePort()
  let receiver = await startReceiver(t, port, 'acknowledge delivered')
  const sender = await start(t, port, 'require_ack_response on')
  const bodies: unknown[] = []
  for (let n = 0; n < 30; n++) {
    sender.push('app.log', { n })
    sender.flush()
    if (n % 10 === 5) {
      await receiver.stop()
      bodies.push(...receiver.bodies)
      receiver = await startReceiver(t, port, 'acknowledge delivered')
    }
  }
  await sender.until(() => {
    sender.clock.advance(100)
    receiver.clock.advance(1000)
    return delivered(sender) === 30
  })
  bodies.push(...receiver.bodies)
  const numbers = new Set(bodies.map(body => (body as { n: number }).n))
  assert.equal(numbers.size, 30)
})

// --- configuration

for (const [keys, message] of [
  ['compress zip', 'Cannot set "compress" on output forward: invalid compress mode: zip'],
  [
    'compress gzip\n    time_as_integer on',
    'Cannot set "compress" on output forward: compress mode gzip is incompatible with time_as_integer'
  ],
  [
    'compress gzip\n    tag $a',
    'Cannot set "compress" on output forward: compress mode gzip is incompatible with dynamic tags'
  ],
  [
    'username ann',
    `Cannot set "username" on output forward: it needs 'shared_key' or 'empty_shared_key': users are checked in the handshake`
  ],
  [
    'password pw',
    `Cannot set "password" on output forward: it needs 'shared_key' or 'empty_shared_key': users are checked in the handshake`
  ],
  [
    'add_option one',
    'Cannot set "add_option" on output forward: value must be 2 words, of which 1 were found: current value is "one"'
  ]
] as const) {
  test(`is refused: ${keys.replace('\n    ', ', ')}`, async () => {
    const { errors } = await checkConfiguration(`
[INPUT]
    name lib
[OUTPUT]
    name  forward
    match *
    ${keys}
`)
    assert.deepEqual(
      errors.map(error => error.replace(/^\S+ /, '')),
      [message]
    )
  })
}

test('events can be lost where no answer is asked for', () => {
  const ways = forward.kind === 'output' ? forward.losses : undefined
  assert.deepEqual(ways?.({ require_ack_response: true }), [])
  assert.deepEqual(
    ways?.({ require_ack_response: false }).map(({ when }) => when),
    ['failure']
  )
})
