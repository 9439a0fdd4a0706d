import assert from 'node:assert/strict'
import { readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { gzipSync, zstdCompressSync } from 'node:zlib'
import { EVENT_TIME, ForwardClient, packed } from '../../../../test/harness/forward.ts'
import { freePort } from '../../../../test/harness/peers.ts'
import {
  checkConfiguration,
  type PipelineOptions,
  startPipeline,
  type TestPipeline
} from '../../../../test/harness/pipeline.ts'
import { folder } from '../../../../test/harness/process.ts'
import { OK, retry } from '../../../plugin/delivery.ts'
import { decode } from '../../../codec/msgpack_reader.ts'
import { keyDigest, passwordDigest } from '../../common/forward_handshake.ts'

interface Recorded {
  readonly keys: string
  readonly sent: string
  readonly answer: string
  readonly closed: boolean
  readonly printed: string
}

const RECORDED = JSON.parse(
  readFileSync(
    join(import.meta.dirname, '../../../../test/data/forward/taken_by_fluent_bit.json'),
    'utf8'
  )
) as Record<string, Recorded>

const ACK = '81a361636ba3616263'
const FIRST = '[0] app: [[1700000000.123456789, {}], {"a"=>1}]'
const THIRD = '[1] app: [[1700000000.123456789, {}], {"a"=>3}]'

/** What is not as in Fluent Bit: see the head of forward.ts. */
const DIFFERENT: Readonly<Record<string, Partial<Recorded>>> = {
  forward_bad: { answer: ACK, closed: false, printed: `${FIRST}\n${THIRD}` },
  packed_empty: { answer: ACK, closed: false },
  packed_bad_middle: { printed: `${FIRST}\n${THIRD}` },
  packed_scalar: { printed: `${FIRST}\n${THIRD}` },
  packed_nilopt: { closed: false, printed: FIRST },
  gzip_damaged: { answer: '', closed: true },
  gzip_plain: { answer: '', closed: true }
}

/** A frame whose acknowledgement shows that those before it are done with; its tag is not printed. */
const LAST = ['barrier', EVENT_TIME, {}, { chunk: 'done' }] as const
const DONE = packed({ ack: 'done' }).toString('hex')

interface Run {
  readonly run: TestPipeline
  readonly port: number
  connect(): Promise<ForwardClient>
}

async function start(
  t: TestContext,
  keys = '',
  output = 'name  collect\n    match *',
  options: PipelineOptions = {}
): Promise<Run> {
  const port = await freePort()
  const run = await startPipeline(
    `
[SERVICE]
    flush 1
[INPUT]
    name   forward
    listen 127.0.0.1
    port   ${port}
    ${keys}
[OUTPUT]
    ${output}
`,
    options
  )
  t.after(() => run.stop())
  return { run, port, connect: () => ForwardClient.open(t, port) }
}

function refused(run: TestPipeline, reason: string): number {
  return run.counter('spillway_connections_refused_total', {
    kind: 'input',
    name: 'forward.0',
    reason
  })
}

function dropped(run: TestPipeline, reason: string): number {
  return run.counter('spillway_dropped_records_total', {
    kind: 'input',
    name: 'forward.0',
    reason
  })
}

function hex(client: ForwardClient): string {
  return client.received.toString('hex')
}

/** Waits until all that was sent is taken, and gives the answer without that of the last frame. */
async function settled(run: TestPipeline, client: ForwardClient): Promise<string> {
  client.send(LAST)
  await run.until(() => client.isClosed || hex(client).endsWith(DONE))
  run.flush()
  return hex(client).replace(DONE, '')
}

for (const [name, recorded] of Object.entries(RECORDED)) {
  test(`what Fluent Bit was sent is taken as there: ${name}`, async t => {
    const { keys, sent, answer, closed, printed } = { ...recorded, ...DIFFERENT[name] }
    const own = keys.replace('\n', '\n    ')
    const stdout = 'name stdout\n    match_regex ^(app|p\\.app|mine)$'
    const { run, connect } = await start(t, own, stdout)
    const client = await connect()
    client.send(Buffer.from(sent, 'hex'))
    const received = await settled(run, client)
    await run.until(() => run.stdout.trim().length >= printed.length)
    const isTagged = keys.includes('tag')
    const shown = isTagged ? run.stdout.split('\n')[0] : run.stdout
    assert.deepEqual(
      { answer: received, closed: client.isClosed, printed: shown?.trim() },
      { answer, closed, printed }
    )
  })
}

test('frames are taken wherever the network has cut them', async t => {
  const { run, connect } = await start(t)
  const frames = [
    packed(['a', 1, { n: 1 }, { chunk: 'one' }]),
    packed(['b', [[EVENT_TIME, { n: 2 }]], { chunk: 'two' }]),
    packed(['c', packed([EVENT_TIME, { n: 3 }]), { chunk: 'three', size: 1 }]),
    packed(['d', gzipSync(packed([EVENT_TIME, { n: 4 }])), { chunk: 'four', compressed: 'gzip' }])
  ]
  const stream = Buffer.concat(frames)
  const expected = packed({ ack: 'one' }, { ack: 'two' }, { ack: 'three' }, { ack: 'four' })
  for (let cut = 0; cut <= stream.length; cut++) {
    const client = await connect()
    client.send(stream.subarray(0, cut))
    await new Promise(resolve => setImmediate(resolve))
    client.send(stream.subarray(cut))
    await run.until(() => client.received.length >= expected.length)
    assert.deepEqual(client.received, expected, `cut at ${cut}`)
    client.socket.destroy()
  }
  run.flush()
  const count = stream.length + 1
  await run.until(() => run.bodies.length === count * 4)
  for (const tag of ['a', 'b', 'c', 'd']) {
    const events = run.taken.filter(chunk => chunk.tag === tag).flatMap(chunk => chunk.events)
    assert.equal(events.length, count)
  }
})

test('members of gzip and frames of zstd are taken together, and limited together', async t => {
  const { run, connect } = await start(t, 'buffer_chunk_size 2k\n    buffer_max_size 2k')
  const client = await connect()
  const entry = (n: number): Buffer => packed([EVENT_TIME, { n, pad: ' '.repeat(400) }])
  const members = Buffer.concat([gzipSync(entry(1)), gzipSync(entry(2))])
  client.send(['a', members, { compressed: 'gzip' }])
  const frames = Buffer.concat([zstdCompressSync(entry(3)), zstdCompressSync(entry(4))])
  client.send(['a', frames, { compressed: 'zstd', chunk: 'x' }])
  assert.equal(await settled(run, client), packed({ ack: 'x' }).toString('hex'))
  await run.until(() => run.bodies.length === 5)
  const numbers = run.taken.find(({ tag }) => tag === 'a')?.events.map(({ body }) => body)
  assert.deepEqual(
    numbers,
    [1, 2, 3, 4].map(n => ({ n, pad: ' '.repeat(400) }))
  )
})

test('a payload that expands beyond buffer_max_size ends its connection alone', async t => {
  const { run, connect } = await start(t)
  const other = await connect()
  const client = await connect()
  client.send(['a', gzipSync(Buffer.alloc(7_000_000)), { compressed: 'gzip', chunk: 'x' }])
  await run.until(() => client.isClosed)
  assert.equal(hex(client), '')
  assert.deepEqual([dropped(run, 'too_large'), refused(run, 'too_large')], [1, 1])
  other.send(['a', EVENT_TIME, { n: 1 }])
  assert.equal(await settled(run, other), '')
  assert.match(
    run.log.join('\n'),
    /cannot expand gzip: more than 6144000 bytes: the connection from 127\.0\.0\.1:\d+ is closed/
  )
})

test('while a payload expands the frames behind it wait, and acknowledgements keep their order', async t => {
  const { run, connect } = await start(t)
  const client = await connect()
  const large = Buffer.concat(Array.from({ length: 5000 }, () => packed([EVENT_TIME, { n: 1 }])))
  client.send(
    ['a', gzipSync(large), { compressed: 'gzip', chunk: 'large' }],
    ['a', EVENT_TIME, { n: 2 }, { chunk: 'small' }]
  )
  assert.equal(
    await settled(run, client),
    packed({ ack: 'large' }, { ack: 'small' }).toString('hex')
  )
  await run.until(() => run.bodies.length === 5002)
  assert.deepEqual(run.taken[0]?.events.at(-1)?.body, { n: 2 })
})

// --- limits and bad senders

test('a sender that says its frame is huge is refused before it sends it', async t => {
  for (const head of ['93a161c6ffffffff', '93a161ddffffffff', 'ddffffffff', '93a16101dfffffffff']) {
    const { run, connect } = await start(t)
    const client = await connect()
    client.send(Buffer.from(head, 'hex'))
    await run.until(() => client.isClosed)
    assert.deepEqual([refused(run, 'too_large'), dropped(run, 'too_large')], [1, 1], head)
    await run.stop()
  }
})

test('half a frame is counted when its connection ends', async t => {
  const { run, connect } = await start(t)
  const client = await connect()
  client.send(packed(['a', EVENT_TIME, { n: 1 }]).subarray(0, -1))
  client.socket.end()
  await run.until(() => dropped(run, 'incomplete') === 1)
})

test('bad connections are told of at the first, the tenth, the hundredth', async t => {
  const { run, connect } = await start(t)
  for (let count = 1; count <= 12; count++) {
    const client = await connect()
    client.send(Buffer.from('GET / HTTP/1.1\r\n\r\n'))
    await run.until(() => refused(run, 'malformed') === count)
  }
  assert.equal(run.log.filter(line => line.includes('no frame of the forward protocol')).length, 2)
})

test('a sender with more tags than are kept has all its events delivered', async t => {
  const { run, connect } = await start(t)
  const client = await connect()
  const count = 5000
  const frames = Array.from({ length: count }, (_, n) => packed([`t${n}`, EVENT_TIME, { n }]))
  client.send(...frames)
  await settled(run, client)
  await run.until(() => run.bodies.length === count + 1)
  assert.equal(new Set(run.taken.map(({ tag }) => tag)).size, count + 1)
})

test('while the input is held back nothing is taken, and afterwards all of it', async t => {
  let isWorking = false
  const { run, connect } = await start(t, 'mem_buf_limit 1k', undefined, {
    answer: () => (isWorking ? OK : retry('not yet'))
  })
  const client = await connect()
  const body = { pad: ' '.repeat(600) }
  for (let n = 0; n < 20; n++) client.send(['a', EVENT_TIME, body, { chunk: `c${n}` }])
  const packedEvents = gzipSync(packed([EVENT_TIME, body]))
  client.send(['a', packedEvents, { chunk: 'c20', compressed: 'gzip' }])
  await run.until(() => run.log.some(line => line.includes('paused')))
  await new Promise(resolve => setImmediate(resolve))
  assert.equal(hex(client), packed({ ack: 'c0' }, { ack: 'c1' }).toString('hex'))
  isWorking = true
  await run.until(() => {
    run.clock.advance(1000)
    return client.received.includes('c20')
  })
  run.flush()
  await run.until(() => run.bodies.length === 21)
})

// --- the handshake

const HANDSHAKE = 'shared_key secret\n    self_hostname server.local'
const USERS = `${HANDSHAKE}\n    security.users ann pw one\n    security.users bob  other`

interface Ping {
  readonly key?: string
  readonly user?: string
  readonly password?: string
  /** Who the password is said to be of, `user` unless given. */
  readonly owner?: string
}

async function ping(
  run: TestPipeline,
  client: ForwardClient,
  { key = 'secret', user = '', password = '', owner = user }: Ping
): Promise<Buffer> {
  await run.until(() => client.received.length > 0)
  const hello = decode(client.received, 0) as [string, Map<string, string>]
  const [word, options] = hello
  assert.deepEqual([word, [...options.keys()]], ['HELO', ['nonce', 'auth']])
  const nonce = Buffer.from(options.get('nonce') ?? '')
  const auth = Buffer.from(options.get('auth') ?? '')
  assert.deepEqual([nonce.length, auth.length], [16, 16])
  client.received = Buffer.alloc(0)
  const digest = keyDigest(Buffer.from('salt'), 'client.local', nonce, key).toString()
  const userDigest = passwordDigest(auth, owner, password).toString()
  return packed(['PING', 'client.local', 'salt', digest, user, userDigest])
}

test('a sender with the key is let in, with a proof that the server has it too', async t => {
  const { run, connect } = await start(t, HANDSHAKE)
  const client = await connect()
  await run.until(() => client.received.length > 0)
  const [, options] = decode(client.received, 0) as [string, Map<string, string>]
  const nonce = Buffer.from(options.get('nonce') ?? '')
  client.send(await ping(run, client, {}))
  await run.until(() => client.received.length > 0)
  const proof = keyDigest(Buffer.from('salt'), 'server.local', nonce, 'secret').toString()
  assert.deepEqual(client.received, packed(['PONG', true, '', 'server.local', proof]))
  client.received = Buffer.alloc(0)
  client.send(['a', EVENT_TIME, { n: 1 }])
  await settled(run, client)
  await run.until(() => run.bodies.length === 2)
})

test('a handshake is understood wherever the network has cut it, with frames behind it', async t => {
  const { run, connect } = await start(t, HANDSHAKE)
  const length = 180
  for (let cut = 0; cut < length; cut += 7) {
    const client = await connect()
    const bytes = Buffer.concat([await ping(run, client, {}), packed(['a', EVENT_TIME, { cut }])])
    client.send(bytes.subarray(0, cut))
    await new Promise(resolve => setImmediate(resolve))
    client.send(bytes.subarray(cut))
    await settled(run, client)
    client.socket.destroy()
  }
  await run.until(() => run.bodies.length === 2 * Math.ceil(length / 7))
})

for (const [title, keys, sender, log] of [
  ['another key', HANDSHAKE, { key: 'other' }, 'shared_key mismatch'],
  ['no key, where it may be empty', 'empty_shared_key on', { key: 'x' }, 'shared_key mismatch'],
  ['another password', USERS, { user: 'ann', password: 'pw' }, 'user authentication is failed'],
  ['an unknown user', USERS, { user: 'eve', password: '' }, 'user authentication is failed'],
  [
    'the password of a user and another name',
    USERS,
    { user: 'eve', owner: 'ann', password: 'pw one' },
    'user authentication is failed'
  ],
  [
    "another user's password",
    USERS,
    { user: 'ann', password: 'other' },
    'user authentication is failed'
  ]
] as const) {
  test(`a sender with ${title} gets nothing through`, async t => {
    const { run, connect } = await start(t, keys)
    const client = await connect()
    const bytes = await ping(run, client, sender)
    client.send(bytes, ['a', EVENT_TIME, { n: 1 }, { chunk: 'x' }])
    await run.until(() => client.isClosed)
    const isUser = log.startsWith('user')
    const pong = packed(['PONG', false, 'username/password mismatch', '', ''])
    assert.deepEqual(client.received, isUser ? pong : Buffer.alloc(0))
    assert.equal(refused(run, 'handshake'), 1)
    assert.match(
      run.log.join('\n'),
      new RegExp(`${log}: the connection from 127.0.0.1:\\d+ is closed`)
    )
    run.flush()
    assert.deepEqual(run.bodies, [])
  })
}

for (const [user, password] of [
  ['ann', 'pw one'],
  ['bob', 'other']
] as const) {
  test(`the user ${user} is let in`, async t => {
    const { run, connect } = await start(t, USERS)
    const client = await connect()
    client.send(await ping(run, client, { user, password }), ['a', EVENT_TIME, { user }])
    await settled(run, client)
    await run.until(() => run.bodies.length === 2)
    assert.deepEqual(run.bodies[0], { user })
  })
}

test('what is no handshake ends the connection, whatever it is', async t => {
  const { run, connect } = await start(t, HANDSHAKE)
  const bad: readonly Buffer[] = [
    packed(['a', EVENT_TIME, { n: 1 }]),
    packed(['PING', 'h', 's', 'd', 'u']),
    packed(['PING', 'h', 's', 'd', 'u', 1]),
    packed(['PONG', 'h', 's', 'd', 'u', 'p']),
    packed(1),
    Buffer.from('c1', 'hex'),
    Buffer.from(`96a450494e47da03ff${'00'.repeat(1100)}`, 'hex'),
    Buffer.from(`dd00010000${'c0'.repeat(1100)}`, 'hex')
  ]
  for (const [index, bytes] of bad.entries()) {
    const client = await connect()
    await run.until(() => client.received.length > 0)
    client.send(bytes)
    await run.until(() => client.isClosed)
    assert.equal(refused(run, 'handshake'), index + 1, bytes.toString('hex').slice(0, 40))
  }
  run.flush()
  assert.deepEqual(run.bodies, [])
})

test('a sender that does not begin its handshake is closed after net.accept_timeout', async t => {
  const { run, connect } = await start(t, HANDSHAKE)
  const client = await connect()
  await run.until(() => client.received.length > 0)
  client.send(Buffer.from([0x96]))
  run.clock.advance(9_999)
  assert.equal(refused(run, 'handshake_timeout'), 0)
  run.clock.advance(1)
  await run.until(() => client.isClosed)
  assert.equal(refused(run, 'handshake_timeout'), 1)
})

// --- acknowledgements

test('with acknowledge delivered a sender is answered when the outputs have its events, in order', async t => {
  let isWorking = false
  const { run, connect } = await start(t, 'acknowledge delivered', undefined, {
    answer: ({ tag }) => (isWorking || tag === 'b' ? OK : retry('not yet'))
  })
  const client = await connect()
  client.send(
    ['a', EVENT_TIME, { n: 1 }, { chunk: 'one' }],
    ['b', EVENT_TIME, { n: 2 }, { chunk: 'two' }]
  )
  await run.until(() => run.counter('fluentbit_input_records_total', { name: 'forward.0' }) === 2)
  run.flush()
  await run.until(() => run.taken.some(({ tag }) => tag === 'b'))
  assert.equal(hex(client), '', 'the second waits for the first')
  isWorking = true
  await run.until(() => {
    run.clock.advance(1000)
    return client.received.length > 0
  })
  assert.deepEqual(client.received, packed({ ack: 'one' }, { ack: 'two' }))
})

test('a sender with more unanswered frames than are remembered is closed', async t => {
  const { run, connect } = await start(t, 'acknowledge delivered', undefined, {
    answer: () => retry('not yet')
  })
  const client = await connect()
  const frame = packed(['a', EVENT_TIME, {}, { chunk: 'c'.repeat(5000) }])
  for (let count = 0; count < 300; count++) client.send(frame)
  await run.until(() => client.isClosed)
  assert.equal(refused(run, 'unanswered'), 1)
})

test('with storage.type filesystem a sender is answered when its events are written', async t => {
  const port = await freePort()
  const run = await startPipeline(`
[SERVICE]
    flush        1
    storage.path store
[INPUT]
    name         forward
    port         ${port}
    storage.type filesystem
[OUTPUT]
    name  collect
    match *
`)
  t.after(() => run.stop())
  const client = await ForwardClient.open(t, port)
  client.send(['a', EVENT_TIME, { n: 1 }, { chunk: 'one' }])
  await run.until(() => client.received.length > 0)
  assert.deepEqual(client.received, packed({ ack: 'one' }))
})

for (const keys of ['threaded on', 'workers 2']) {
  test(`in threads senders are answered too: ${keys}`, async t => {
    const { run, connect } = await start(t, keys)
    const client = await connect()
    client.send(
      ['a', packed([EVENT_TIME, { n: 1 }]), { chunk: 'one' }],
      ['a', gzipSync(packed([EVENT_TIME, { n: 2 }])), { chunk: 'two', compressed: 'gzip' }]
    )
    const answer = await settled(run, client)
    assert.equal(answer, packed({ ack: 'one' }, { ack: 'two' }).toString('hex'))
    await run.until(() => {
      run.clock.advance(1000)
      return run.bodies.length === 3
    })
  })
}

// --- unix sockets

test('a unix socket takes events, with the permissions that it is given', async t => {
  const path = join(folder(t), 'socket')
  for (const [keys, permissions] of [
    ['', 0o755],
    ['unix_perm 0600', 0o600]
  ] as const) {
    const run = await startPipeline(`
[INPUT]
    name      forward
    unix_path ${path}
    ${keys}
[OUTPUT]
    name  collect
    match *
`)
    t.after(() => run.stop())
    assert.equal(statSync(path).mode & 0o7777, permissions)
    assert.ok(run.log.includes(`[ info] [input:forward:forward.0] listening on unix://${path}`))
    const client = await ForwardClient.open(t, path)
    client.send(Buffer.from([0x01]))
    await run.until(() => client.isClosed)
    assert.match(run.log.join('\n'), /protocol: the connection from the unix socket is closed/)
    const other = await ForwardClient.open(t, path)
    other.send(['a', EVENT_TIME, { n: 1 }])
    await settled(run, other)
    assert.deepEqual(run.bodies, [{ n: 1 }, {}])
    await run.stop()
  }
})

// --- configuration

test('a TCP listener says where it listens', async t => {
  const { run, port } = await start(t)
  const line = `listening on 127.0.0.1:${port} with 1 worker`
  assert.ok(run.log.includes(`[ info] [input:forward:forward.0] ${line}`), run.log.join('\n'))
})

for (const [keys, message] of [
  [
    'security.users ann pw',
    'Cannot set "security.users" on input forward: it needs shared_key or empty_shared_key'
  ],
  [
    'shared_key k\n    security.users ann',
    'Cannot set "security.users" on input forward: invalid value, expected username and password'
  ],
  [
    'unix_path x\n    unix_perm rw',
    'Cannot set "unix_perm" on input forward: value must be permissions in octal such as 0660: current value is "rw"'
  ],
  [
    'unix_path x\n    workers 2',
    'Cannot set "workers" on input forward: it is not supported with unix_path'
  ]
] as const) {
  test(`is refused: ${keys.replace('\n    ', ', ')}`, async () => {
    const { errors } = await checkConfiguration(`
[INPUT]
    name forward
    ${keys}
[OUTPUT]
    name  collect
    match *
`)
    assert.deepEqual(
      errors.map(error => error.replace(/^\S+ /, '')),
      [message]
    )
  })
}
