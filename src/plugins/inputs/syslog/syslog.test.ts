/** Expected records are those of Fluent Bit 5.1.1, but where a title says what it does instead. */
import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { connect } from 'node:tls'
import { certificates } from '../../../../test/harness/certificates.ts'
import { needs } from '../../../../test/harness/peers.ts'
import { checkConfiguration } from '../../../../test/harness/pipeline.ts'
import { startServer } from '../../../../test/harness/server_input.ts'

const PARSERS = {
  files: {
    'parsers.conf': String.raw`
[PARSER]
    Name        syslog-rfc5424
    Format      regex
    Regex       ^\<(?<pri>[0-9]{1,5})\>1 (?<time>[^ ]+) (?<host>[^ ]+) (?<ident>[^ ]+) (?<pid>[-0-9]+) (?<msgid>[^ ]+) (?<extradata>(\[(.*?)\]|-)) (?<message>.+)$
    Time_Key    time
    Time_Format %Y-%m-%dT%H:%M:%S.%L%z
    Time_Keep   On
[PARSER]
    Name        syslog-rfc3164-local
    Format      regex
    Regex       ^\<(?<pri>[0-9]+)\>(?<time>[^ ]* {1,2}[^ ]* [^ ]*) (?<ident>[a-zA-Z0-9_\/\.\-]*)(?:\[(?<pid>[0-9]+)\])?(?:[^\:]*\:)? *(?<message>.*)$
    Time_Key    time
    Time_Format %b %d %H:%M:%S
    Time_Keep   On
[PARSER]
    Name        timeless
    Format      regex
    Regex       ^(?<k>[a-z]+)=(?<v>.*)$
`
  },
  service: 'parsers_file parsers.conf'
}

function message(text: string): string {
  return `<34>1 2023-10-11T22:14:15.003Z host su 123 ID47 - ${text}`
}

function body(text: string): Record<string, unknown> {
  return {
    pri: '34',
    time: '2023-10-11T22:14:15.003Z',
    host: 'host',
    ident: 'su',
    pid: '123',
    msgid: 'ID47',
    extradata: '-',
    message: text
  }
}

function counted(text: string): string {
  return `${Buffer.byteLength(text)} ${text}`
}

function temporaryFolder(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'spillway-syslog-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

test('TCP: a line feed or a NUL ends a message; the time is its own', async t => {
  const server = await startServer(t, 'syslog', 'mode tcp', PARSERS)
  await server.connect(`${message('1')}\n${message('2\r')}\n${message('3')}\0${message('4')}\n5`)
  await server.bodies(4)
  assert.deepEqual(
    server.run.taken.flatMap(({ events }) => events),
    ['1', '2\r', '3', '4'].map(text => ({
      time: [1697062455, 3000000],
      metadata: {},
      body: body(text)
    }))
  )
  assert.deepEqual(server.lines(), ['[ info] TCP server binding 127.0.0.1:PORT'])
})

test('TCP: a message without a time has that of now', async t => {
  const server = await startServer(t, 'syslog', 'mode tcp\n    parser timeless', PARSERS)
  await server.connect('a=b\n')
  await server.bodies(1)
  assert.deepEqual(server.run.taken[0].events, [
    { time: [1700000000, 123000000], metadata: {}, body: { k: 'a', v: 'b' } }
  ])
})

test('TCP: empty messages are passed over, where Fluent Bit sends those before them again', async t => {
  const server = await startServer(t, 'syslog', 'mode tcp', PARSERS)
  await server.connect(`\n\0${message('1')}\n\n\n${message('2')}\n`)
  assert.deepEqual(await server.bodies(2), [body('1'), body('2')])
  assert.deepEqual(server.dropped('unparsed'), [0, 0])
})

test('what does not fit the parser is lost and counted, with one line in the log', async t => {
  const server = await startServer(t, 'syslog', 'mode tcp', PARSERS)
  await server.connect(`bad\n${message('1')}\nworse\n`, 'worst\n')
  assert.deepEqual(await server.bodies(1), [body('1')])
  await server.run.until(() => server.dropped('unparsed')[0] === 3)
  assert.deepEqual(server.dropped('unparsed'), [3, 13])
  assert.deepEqual(server.lines().slice(1), [
    "[ warn] error parsing log message with parser 'syslog-rfc5424'"
  ])
})

for (const isCounted of [false, true]) {
  const format = isCounted ? 'octet_counting' : 'newline'
  test(`TCP: messages may be cut anywhere, with ${format}`, async t => {
    const server = await startServer(t, 'syslog', `mode tcp\n    format ${format}`, PARSERS)
    const frame = (text: string): string => (isCounted ? counted(text) : `${text}\n`)
    const bytes = Buffer.from(frame(message('grün')) + frame(message('2')))
    for (let cut = 1; cut < bytes.length; cut++) {
      await server.connect(bytes.subarray(0, cut), bytes.subarray(cut))
    }
    await server.connect(...[...bytes].map(byte => Buffer.from([byte])))
    const bodies = await server.bodies(bytes.length * 2)
    const texts = (bodies as { message: string }[]).map(entry => entry.message).toSorted()
    const expected = Array.from({ length: bytes.length }, () => ['2', 'grün']).flat()
    assert.deepEqual(texts, expected.toSorted())
    assert.equal(server.refused('malformed'), 0)
  })
}

test('raw_message_key and source_address_key are added, in this order', async t => {
  const keys = 'mode tcp\n    raw_message_key raw\n    source_address_key from'
  const server = await startServer(t, 'syslog', keys, PARSERS)
  const sender = await server.connect(`${message('1')}\n`)
  const from = `tcp://127.0.0.1:${sender.socket.localPort}`
  const [entry] = (await server.bodies(1)) as [Record<string, unknown>]
  assert.deepEqual(Object.entries(entry), [
    ...Object.entries(body('1')),
    ['raw', Buffer.from(message('1'))],
    ['from', from]
  ])
})

for (const length of [255, 256, 65_535, 65_536]) {
  test(`a raw message of ${length} bytes is binary`, async t => {
    const keys =
      'mode tcp\n    parser timeless\n    raw_message_key raw\n    buffer_chunk_size 100k'
    const server = await startServer(t, 'syslog', keys, PARSERS)
    const text = `k=${'v'.repeat(length - 2)}`
    await server.connect(`${text}\n`)
    assert.deepEqual(await server.bodies(1), [{ k: 'k', v: text.slice(2), raw: Buffer.from(text) }])
  })
}

test('octet counting: messages may hold line feeds; a line feed after each is allowed', async t => {
  const server = await startServer(t, 'syslog', 'mode tcp\n    format octet', PARSERS)
  const frames = [message('a\n'), message('22'), message('3')].map(counted)
  await server.connect(`${frames[0]}${frames[1]}\n${frames[2]}0 0 ${frames[1]}`)
  assert.deepEqual(await server.bodies(4), [body('a'), body('22'), body('3'), body('22')])
})

for (const [title, sent, bytes] of [
  ['no number', 'xx yy', 5],
  ['no space behind it', '12x', 3],
  ['a number without an end', '1'.repeat(11), 11]
] as const) {
  test(`octet counting: ${title} ends the connection alone; messages before it are kept`, async t => {
    const server = await startServer(t, 'syslog', 'mode tcp\n    format octet_counting', PARSERS)
    const other = await server.connect()
    const sender = await server.connect(counted(message('1')) + sent)
    await server.run.until(() => sender.isClosed)
    await other.send(counted(message('2')))
    assert.deepEqual(await server.bodies(2), [body('1'), body('2')])
    assert.deepEqual(server.dropped('malformed'), [1, bytes])
    assert.equal(server.refused('malformed'), 1)
    assert.deepEqual(server.lines().slice(1), ['[ warn] invalid octet-counting length'])
  })
}

for (const [format, fits, tooLong] of [
  ['newline', (text: string) => `${text.padEnd(198, 'x')}\n`, `${'y'.repeat(199)}\n`],
  ['octet_counting', (text: string) => `195 ${text.padEnd(195, 'x')}`, `196 ${'y'.repeat(196)}`]
] as const) {
  for (const isWhole of [true, false]) {
    const how = isWhole ? 'at once' : 'in pieces'
    test(`${format}: a message longer than the buffer that comes ${how} ends its connection`, async t => {
      const keys = `mode tcp\n    format ${format}\n    buffer_chunk_size 100\n    buffer_max_size 250`
      const server = await startServer(t, 'syslog', keys, PARSERS)
      const sender = await server.connect(
        ...(isWhole
          ? [fits(message('1')) + tooLong]
          : [fits(message('1')), tooLong.slice(0, 120), tooLong.slice(120)])
      )
      await server.run.until(() => sender.isClosed)
      const [entry] = (await server.bodies(1)) as { message: string }[]
      assert.match(entry.message, /^1x+$/)
      assert.equal(server.dropped('too_long')[0], 1)
      assert.equal(server.refused('too_long'), 1)
      assert.deepEqual(server.lines().slice(1), ['[ warn] incoming data exceed limit (200 bytes)'])
    })
  }
}

test('an unknown format is newline, with a warning', async t => {
  const server = await startServer(t, 'syslog', 'mode tcp\n    format foo', PARSERS)
  await server.connect(`${message('1')}\n`)
  assert.deepEqual(await server.bodies(1), [body('1')])
  assert.equal(server.lines()[0], "[ warn] unknown frame 'foo', using 'newline'")
})

test('UDP: a datagram is a message, of which the first line counts', async t => {
  const keys = 'mode udp\n    raw_message_key raw\n    receive_buffer_size 100000'
  const server = await startServer(t, 'syslog', keys, PARSERS)
  await server.send(
    message('1'),
    `${message('2')}\n`,
    `${message('3')}\n${message('4')}`,
    '',
    'bad'
  )
  const raw = (text: string): Buffer => Buffer.from(text)
  assert.deepEqual(await server.bodies(3), [
    { ...body('1'), raw: raw(message('1')) },
    { ...body('2'), raw: raw(`${message('2')}\n`) },
    { ...body('3'), raw: raw(`${message('3')}\n${message('4')}`) }
  ])
  await server.run.until(() => server.dropped('unparsed')[0] === 1)
  assert.deepEqual(server.lines()[0], '[ info] UDP server binding 127.0.0.1:PORT')
})

test('UDP: a datagram is cut at buffer_chunk_size less a byte', async t => {
  const server = await startServer(t, 'syslog', 'mode udp\n    buffer_chunk_size 100', PARSERS)
  await server.send(message('x'.repeat(100)))
  assert.deepEqual(await server.bodies(1), [body('x'.repeat(99 - message('').length))])
  assert.deepEqual(server.dropped('too_long'), [0, message('').length + 1])
})

test('TLS is TCP with the key tls', needs('openssl'), async t => {
  const { server: pair, authority } = certificates()
  const server = await startServer(
    t,
    'syslog',
    `mode tcp
    tls on
    tls.crt_file ${pair.certificate}
    tls.key_file ${pair.key}`,
    PARSERS
  )
  const ca = readFileSync(authority)
  const socket = connect({ port: server.port, host: 'localhost', ca })
  t.after(() => socket.destroy())
  socket.write(`${message('1')}\n`)
  assert.deepEqual(await server.bodies(1), [body('1')])
})

test('unix_tcp: a socket with its permissions, whose senders are not known', async t => {
  const path = join(temporaryFolder(t), 'log')
  const keys = `mode unix_tcp
    path ${path}
    unix_perm 0666
    source_address_key from`
  const server = await startServer(t, 'syslog', keys, PARSERS)
  const sender = await server.connectTo({ path })
  await sender.send('<13>Oct 11 22:14:15 app[12]: hello 1\n')
  const [entry] = (await server.bodies(1)) as Record<string, unknown>[]
  assert.deepEqual(entry, {
    pri: '13',
    time: 'Oct 11 22:14:15',
    ident: 'app',
    pid: '12',
    message: 'hello 1',
    from: 'unix://unavailable'
  })
  assert.equal(statSync(path).mode & 0o7777, 0o666)
})

test('unix_tcp: a file that is no socket stays, and stops the start', async t => {
  const path = join(temporaryFolder(t), 'log')
  writeFileSync(path, 'mine')
  await assert.rejects(
    startServer(t, 'syslog', `mode unix_tcp\n    path ${path}`, PARSERS),
    /Cannot listen on .*log/
  )
  assert.equal(readFileSync(path, 'utf8'), 'mine')
})

for (const [keys, key, message] of [
  ['mode foo', 'mode', 'value must be one of unix_tcp, unix_udp, tcp, udp: current value is "foo"'],
  ['', 'path', 'Unix path not defined, which the modes unix_tcp and unix_udp need'],
  ['mode unix_tcp\n    path /x\n    tls on', 'tls', 'mode unix_tcp has no TLS: mode tcp has'],
  ['path /x\n    unix_perm 9z', 'unix_perm', 'value must be octal: current value is "9z"'],
  ['mode tcp', 'parser', 'there is no parser "syslog-rfc5424": known parsers are none'],
  ['path /x', 'parser', 'there is no parser "syslog-rfc3164-local": known parsers are none'],
  ['mode udp\n    parser mine', 'parser', 'there is no parser "mine": known parsers are none'],
  [
    'mode tcp\n    buffer_chunk_size -1',
    'buffer_chunk_size',
    'value must be 2 or more: current value is -1'
  ]
] as const) {
  test(`refused: ${keys.replaceAll('\n   ', ',')}`, async () => {
    const { errors } = await checkConfiguration(
      `[INPUT]\n    name syslog\n    ${keys}\n[OUTPUT]\n    name null\n    match *\n`
    )
    assert.equal(errors.length, 1)
    assert.ok(errors[0].endsWith(`Cannot set "${key}" on input syslog: ${message}`), errors[0])
  })
}
