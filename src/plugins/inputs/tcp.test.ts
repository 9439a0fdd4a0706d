/** Expected records and refusals are those of Fluent Bit 5.1.1, but where a title says what it does instead. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { connect } from 'node:tls'
import { certificates } from '../../../test/harness/certificates.ts'
import { needs } from '../../../test/harness/peers.ts'
import { checkConfiguration } from '../../../test/harness/pipeline.ts'
import { startServer } from '../../../test/harness/server_input.ts'

const PARSERS = {
  files: {
    'parsers.conf': `
[PARSER]
    Name   object
    Format json
[PARSER]
    Name        timed
    Format      regex
    Regex       ^(?<time>\\d+) (?<text>.*)$
    Time_Key    time
    Time_Format %s
`
  },
  service: 'parsers_file parsers.conf'
}

/** What one connection sends, and the bodies that come of it. */
const JSON_PAYLOADS: readonly (readonly [title: string, sent: string, bodies: unknown[]])[] = [
  ['maps without anything between them', '{"a":1}{"b":2}', [{ a: 1 }, { b: 2 }]],
  ['maps with white space between them', '\r\n{"a":1}\r\n\t {"b":[2]} \n', [{ a: 1 }, { b: [2] }]],
  ['maps with commas between them', '{"a":1},{"b":2} , [],', [{ a: 1 }, { b: 2 }, { msg: [] }]],
  ['an array, as the value of msg', '[1,{"a":2}]{"x":1}', [{ msg: [1, { a: 2 }] }, { x: 1 }]],
  ['an empty map and nested ones', '{}{"a":{"b":{}}}', [{}, { a: { b: {} } }]],
  ['brackets and quotes within texts', '{"a":"}]\\"{[","b":"\\\\"}', [{ a: '}]"{[', b: '\\' }]]
]

for (const [title, sent, bodies] of JSON_PAYLOADS) {
  test(`JSON: ${title}`, async t => {
    const server = await startServer(t, 'tcp')
    await server.connect(sent)
    assert.deepEqual(await server.bodies(bodies.length), bodies)
    assert.deepEqual(server.dropped('malformed'), [0, 0])
  })
}

const TEXT_PAYLOADS: readonly (readonly [
  title: string,
  keys: string,
  sent: string,
  bodies: unknown[]
])[] = [
  ['lines', '', 'one\ntwo\n', [{ log: 'one' }, { log: 'two' }]],
  ['lines with CR, which stays', '', 'one\r\ntwo\r\n', [{ log: 'one\r' }, { log: 'two\r' }]],
  ['empty lines are passed over', '', '\none\n\n\ntwo\n', [{ log: 'one' }, { log: 'two' }]],
  ['a text as the separator', 'separator ||', 'one||t|wo||||x', [{ log: 'one' }, { log: 't|wo' }]],
  ['escapes', String.raw`separator \r\n`, 'a\nb\r\nc\r\n', [{ log: 'a\nb' }, { log: 'c' }]],
  ['a NUL as the separator', String.raw`separator \0`, 'a0\0b\0', [{ log: 'a0' }, { log: 'b' }]],
  ['other escapes are the character', String.raw`separator \x\\`, 'ax\\b', [{ log: 'a' }]],
  ['NULs in texts', '', 'a\0b\n', [{ log: 'a\0b' }]],
  ['a line feed left from an earlier separator', 'separator ;', '\na;', [{ log: 'a' }]]
]

for (const [title, keys, sent, bodies] of TEXT_PAYLOADS) {
  test(`texts: ${title}`, async t => {
    const server = await startServer(t, 'tcp', `format none\n    ${keys}`)
    await server.connect(sent)
    assert.deepEqual(await server.bodies(bodies.length), bodies)
  })
}

test('records may be cut anywhere', async t => {
  const sent = '{"a":"é}\\"","b":[1,{"c":null}]}\n[-1.5e3,true] {"d":{}}'
  const bodies = [{ a: 'é}"', b: [1, { c: null }] }, { msg: [-1500, true] }, { d: {} }]
  const server = await startServer(t, 'tcp')
  const bytes = Buffer.from(sent)
  for (let cut = 1; cut < bytes.length; cut++) {
    await server.connect(bytes.subarray(0, cut), bytes.subarray(cut))
  }
  await server.connect(...[...bytes].map(byte => Buffer.from([byte])))
  const all = await server.bodies(bodies.length * bytes.length)
  const expected = Array.from({ length: bytes.length }, () => bodies).flat()
  const order = (list: unknown[]): string[] => list.map(body => JSON.stringify(body)).toSorted()
  // A whole double is a Float for tests.
  assert.deepEqual(
    order(all).map(text => text.replace('{"value":-1500}', '-1500')),
    order(expected)
  )
  assert.deepEqual(server.dropped('malformed'), [0, 0])
})

test('separators may be cut anywhere', async t => {
  const server = await startServer(
    t,
    'tcp',
    String.raw`format none
    separator \r\n.\r\n`
  )
  const bytes = Buffer.from('one\r\n.\r\ntwo\r\n..\r\n.\r\n')
  for (let cut = 1; cut < bytes.length; cut++) {
    await server.connect(bytes.subarray(0, cut), bytes.subarray(cut))
  }
  const all = (await server.bodies(2 * (bytes.length - 1))) as { log: string }[]
  assert.deepEqual(
    [...new Set(all.map(({ log }) => log))].toSorted(),
    ['one', 'two\r\n..'].toSorted()
  )
})

test('source_address_key adds the address to maps and arrays, also where the key is there', async t => {
  const server = await startServer(t, 'tcp', 'source_address_key from', {
    output: 'name stdout\n    match *\n    format json_lines\n    json_date_key false'
  })
  const sender = await server.connect('{"a":1}[1]{"from":2,"b":1}{}')
  await server.run.until(
    () => server.run.counter('fluentbit_input_records_total', { name: 'tcp.0' }) === 4
  )
  server.run.flush()
  await server.run.until(() => server.run.stdout.length > 0)
  const from = `tcp://127.0.0.1:${sender.socket.localPort}`
  assert.equal(
    server.run.stdout,
    [
      `{"a":1,"from":"${from}"}`,
      `{"msg":[1],"from":"${from}"}`,
      `{"b":1,"from":"${from}"}`,
      `{"from":"${from}"}`,
      ''
    ].join('\n')
  )
})

test('a map of 15 pairs grows by the address', async t => {
  const server = await startServer(t, 'tcp', 'source_address_key from')
  const map = Object.fromEntries(Array.from({ length: 15 }, (_, index) => [`k${index}`, index]))
  const sender = await server.connect(JSON.stringify(map))
  const from = `tcp://127.0.0.1:${sender.socket.localPort}`
  assert.deepEqual(await server.bodies(1), [{ ...map, from }])
})

test('without a parser texts get no address, as in Fluent Bit', async t => {
  const server = await startServer(t, 'tcp', 'format none\n    source_address_key from')
  await server.connect('one\n')
  assert.deepEqual(await server.bodies(1), [{ log: 'one' }])
})

test('a parser makes the records; what it does not understand is the value of log', async t => {
  const keys = 'format none\n    parser timed\n    source_address_key from'
  const server = await startServer(t, 'tcp', keys, PARSERS)
  const sender = await server.connect('1600000000 hello\nbad\n')
  const from = `tcp://127.0.0.1:${sender.socket.localPort}`
  await server.bodies(2)
  const [chunk] = server.run.taken
  assert.deepEqual(chunk.events, [
    { time: [1600000000, 0], metadata: {}, body: { text: 'hello', from } },
    { time: [1700000000, 123000000], metadata: {}, body: { log: 'bad', from } }
  ])
  assert.deepEqual(server.lines(), ['[ info] listening on 127.0.0.1:PORT with 1 worker'])
})

test('a parser needs texts: the format changes, with a warning', async t => {
  const server = await startServer(t, 'tcp', 'parser object', PARSERS)
  await server.connect('{"a":1}\n[2]\n')
  assert.deepEqual(await server.bodies(2), [{ a: 1 }, { log: '[2]' }])
  assert.deepEqual(server.lines(), [
    "[ warn] 'parser' requires line-delimited payloads; switching format from 'json' to 'none'",
    '[ info] listening on 127.0.0.1:PORT with 1 worker'
  ])
})

test('text that is not JSON costs itself, where Fluent Bit loses what came with it', async t => {
  const server = await startServer(t, 'tcp')
  const sender = await server.connect('{"a":1}\nx {\'y\':1}\n{"b":2}\n', "{'c':3}")
  await sender.send('{"d":4}')
  assert.deepEqual(await server.bodies(3), [{ a: 1 }, { b: 2 }, { d: 4 }])
  assert.deepEqual(server.dropped('malformed'), [2, 17])
  assert.deepEqual(server.lines().slice(1), ['[ warn] invalid JSON message, skipping'])
})

test('values that are no records are passed over, where Fluent Bit takes nothing more', async t => {
  const server = await startServer(t, 'tcp')
  await server.connect('1 "x" null {"a":1}')
  assert.deepEqual(await server.bodies(1), [{ a: 1 }])
  assert.deepEqual(server.dropped('not_an_event'), [3, 8])
  assert.deepEqual(server.lines().slice(1), [
    "[error] invalid record found, it's not a JSON map or array"
  ])
})

test('what is not whole when its connection ends is counted', async t => {
  const server = await startServer(t, 'tcp', 'format none')
  const sender = await server.connect('one\ntw')
  sender.socket.end()
  await server.run.until(() => server.dropped('incomplete')[0] === 1)
  assert.deepEqual(server.dropped('incomplete'), [1, 2])
  assert.deepEqual(await server.bodies(1), [{ log: 'one' }])
})

/** Records that just fit, and how they end when they are a byte longer. */
for (const [title, keys, record] of [
  ['a map', '', (length: number) => `{"a":"${'x'.repeat(length - 8)}"}`],
  ['a text', 'format none', (length: number) => `${'x'.repeat(length - 1)}\n`]
] as const) {
  for (const isWhole of [true, false]) {
    const how = isWhole ? 'at once' : 'in two pieces'
    test(`${title} longer than buffer_size that comes ${how} ends its connection alone`, async t => {
      const server = await startServer(t, 'tcp', `${keys}\n    chunk_size 2\n    buffer_size 5`)
      const fits = record(4095)
      const tooLong = record(4096)
      const other = await server.connect()
      const sender = await server.connect(
        ...(isWhole ? [fits + tooLong] : [fits, tooLong.slice(0, 2000), tooLong.slice(2000)])
      )
      await server.run.until(() => sender.isClosed)
      await other.send('{"b":1}\n')
      const bodies = await server.bodies(2)
      assert.equal(bodies.length, 2)
      assert.deepEqual(server.dropped('too_long'), [1, 4096])
      assert.equal(server.refused('too_long'), 1)
      assert.deepEqual(server.lines().slice(1), [
        "[ warn] 127.0.0.1: incoming data exceeds 'Buffer_Size' (5 KB)"
      ])
    })
  }
}

test('many senders of single bytes do not hold up another one', async t => {
  const server = await startServer(t, 'tcp')
  const slow = await Promise.all(Array.from({ length: 50 }, () => server.connect('{"a":"')))
  await server.connect('{"b":1}')
  assert.deepEqual(await server.bodies(1), [{ b: 1 }])
  assert.equal(
    slow.every(({ isClosed }) => !isClosed),
    true
  )
})

test('while the input is held back a connection waits, and nothing is lost', async t => {
  let isDown = true
  const server = await startServer(t, 'tcp', 'mem_buf_limit 10k', {
    output: 'name collect\n    match *\n    retry_limit no_limits',
    answer: () => (isDown ? { kind: 'retry', reason: 'down' } : { kind: 'ok' })
  })
  const block = `{"a":"${'x'.repeat(991)}"}\n`.repeat(100)
  const sender = await server.connect()
  for (let blocks = 0; blocks < 100; blocks++) sender.socket.write(block)
  await server.run.until(() => server.run.log.some(line => line.includes('paused')))
  isDown = false
  await server.run.until(() => {
    server.run.clock.advance(1000)
    return server.run.bodies.length === 10_000
  })
  assert.deepEqual(server.dropped('paused'), [0, 0])
})

test('TLS is that of tls keys', needs('openssl'), async t => {
  const { server: pair, authority } = certificates()
  const server = await startServer(
    t,
    'tcp',
    `tls on
    tls.crt_file ${pair.certificate}
    tls.key_file ${pair.key}`
  )
  const ca = readFileSync(authority)
  const socket = connect({ port: server.port, host: 'localhost', ca })
  t.after(() => socket.destroy())
  socket.write('{"a":1}')
  assert.deepEqual(await server.bodies(1), [{ a: 1 }])
  const garbage = await server.connect('this is no handshake')
  await server.run.until(() => garbage.isClosed)
  assert.equal(server.refused('tls_handshake'), 1)
})

for (const [key, value, message] of [
  ['format', 'xml', 'value must be one of json, none: current value is "xml"'],
  ['parser', 'none_such', 'there is no parser "none_such": known parsers are none'],
  ['chunk_size', 'abc', 'value must be 1 or more, in KB: current value is "abc"'],
  ['buffer_size', '0', 'value must be 1 or more, in KB: current value is "0"']
] as const) {
  test(`${key} ${value} is refused`, async () => {
    const { errors } = await checkConfiguration(
      `[INPUT]\n    name tcp\n    ${key} ${value}\n[OUTPUT]\n    name null\n    match *\n`
    )
    assert.equal(errors.length, 1)
    assert.ok(errors[0].endsWith(`Cannot set "${key}" on input tcp: ${message}`), errors[0])
  })
}
