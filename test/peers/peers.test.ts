/** The peers of the network tests answer here: a failure says that the harness is broken, and not Spillway. */
import assert from 'node:assert/strict'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { connect } from 'node:net'
import test, { type TestContext } from 'node:test'
import { createSecureContext } from 'node:tls'
import { EventTime, FluentClient } from '@fluent-org/logger'
import { StatsD } from 'hot-shots'
import { Logger } from 'splunk-logging'
import { certificates } from '../harness/certificates.ts'
import { freePort, listens, needs, type Peer, type PeerProgram, runPeer } from '../harness/peers.ts'
import { startCollectd } from '../harness/peers/collectd.ts'
import { startCollector } from '../harness/peers/collector.ts'
import { sendByFluentLogger } from '../harness/peers/fluent_logger.ts'
import { startNats } from '../harness/peers/nats.ts'
import { startHttpSink, startTlsProxy } from '../harness/peers/nginx.ts'
import { startTlsClient } from '../harness/peers/openssl.ts'
import { startRsyslog, startRsyslogSender } from '../harness/peers/rsyslog.ts'
import type { SyslogReceiver, SyslogTarget } from '../harness/peers/syslog.ts'
import { startSyslogNg, startSyslogNgSender } from '../harness/peers/syslog_ng.ts'
import { startForwardProxy } from '../harness/peers/tinyproxy.ts'
import { startToxiproxy } from '../harness/peers/toxiproxy.ts'

test('a test whose program is missing is skipped with a reason that names it', () => {
  assert.deepEqual(needs('openssl', 'missing' as PeerProgram), {
    skip: 'needs peer missing: run "npm run peers"'
  })
})

test('a free port is free until somebody listens on it', async t => {
  const port = await freePort()
  assert.deepEqual([listens(port), listens(port, 'udp')], [false, false])
  await boundSocket(t, port)
  assert.deepEqual([listens(port), listens(port, 'udp')], [false, true])
})

test('openssl makes certificates that Node takes', needs('openssl'), () => {
  const { server, rsa, encrypted, expired, elsewhere, client, stranger } = certificates()
  for (const { certificate, key } of [server, rsa, expired, elsewhere, client, stranger]) {
    createSecureContext({ cert: readFileSync(certificate), key: readFileSync(key) })
  }
  const key = readFileSync(encrypted.key)
  assert.throws(() => createSecureContext({ key }), /bad decrypt/)
  createSecureContext({ key, passphrase: encrypted.passphrase })
})

const SYSLOG_TARGETS: readonly Omit<SyslogTarget, 'port'>[] = [
  { transport: 'tcp', format: 'rfc3164' },
  { transport: 'udp', format: 'rfc5424' },
  { transport: 'tls', format: 'rfc5424' }
]

test(
  'rsyslog receives what syslog-ng sends',
  needs('rsyslogd', 'syslog-ng', 'openssl'),
  async t => {
    await checkSyslog(await startRsyslog(t), (target, lines) =>
      startSyslogNgSender(t, target, lines)
    )
  }
)

test(
  'syslog-ng receives what rsyslog sends',
  needs('rsyslogd', 'syslog-ng', 'openssl'),
  async t => {
    await checkSyslog(await startSyslogNg(t), (target, lines) =>
      startRsyslogSender(t, target, lines)
    )
  }
)

test('rsyslog asks for the certificate of a client', needs('rsyslogd', 'openssl'), async t => {
  const { authority: clientAuthority, server, client } = certificates()
  const receiver = await startRsyslog(t, { ...server, clientAuthority })
  const target = { port: receiver.tls, transport: 'tls', format: 'rfc5424' } as const
  startRsyslogSender(t, { ...target, octetCounted: true, client }, ['with'])
  const [{ message, raw }] = await receiver.until(1)
  assert.equal(message, 'with')
  assert.match(raw, /^<132>1 \S+ \S+ app - - - with$/)
})

test('syslog-ng asks for the certificate of a client', needs('syslog-ng', 'openssl'), async t => {
  const { authority: clientAuthority, server, client } = certificates()
  const receiver = await startSyslogNg(t, { ...server, clientAuthority })
  const target = { port: receiver.tls, transport: 'tls', format: 'rfc3164' } as const
  startSyslogNgSender(t, { ...target, client }, ['with'])
  const [{ message, raw }] = await receiver.until(1)
  assert.equal(message, 'with')
  assert.match(raw, /^<132>\w{3} [ \d]\d [\d:]{8} \S+ app: with$/)
})

test('logger sends to rsyslog', needs('logger', 'rsyslogd', 'openssl'), async t => {
  const receiver = await startRsyslog(t)
  const target = ['--server', '127.0.0.1', '--port', String(receiver.tcp), '--tcp']
  const message = ['--rfc5424=notime,notq,nohost', '--tag', 'me', '--msgid', 'ID7', 'hello']
  await runPeer(t, { program: 'logger', args: [...target, ...message] })
  const [{ priority, program, messageId, raw }] = await receiver.until(1)
  assert.deepEqual(
    { priority, program, messageId, raw },
    { priority: 13, program: 'me', messageId: 'ID7', raw: '<13>1 - - me - ID7 - hello' }
  )
})

test('nginx stores what curl posts, with HTTP/2', needs('nginx', 'curl', 'openssl'), async t => {
  const { authority, server, client } = certificates()
  const sink = await startHttpSink(t, {
    tls: server,
    clientAuthority: authority,
    credentials: { user: 'ann', password: 'secret' },
    headers: ['x-tag']
  })
  const shown = ['--cacert', authority, '--cert', client.certificate, '--key', client.key]
  const url = `https://localhost:${sink.port}/logs?a=1`
  assert.equal(await post(t, url, ...shown, '--user', 'ann:secret', '--header', 'x-tag: t'), '201')
  assert.equal(await post(t, url, ...shown, '--user', 'ann:guess'), '401')
  const [first, second] = await sink.until(2)
  const { method, uri, protocol, status, headers, body } = first
  assert.deepEqual(
    { method, uri, protocol, status, tag: headers['x-tag'], body: body.toString() },
    { method: 'POST', uri: '/logs?a=1', protocol: 'HTTP/2.0', status: 201, tag: 't', body: BODY }
  )
  assert.equal(second.status, 401)
})

test('nginx adds and takes off TLS', needs('nginx', 'curl', 'openssl'), async t => {
  const { authority, server, client } = certificates()
  const sink = await startHttpSink(t, { status: 204 })
  const secure = { accept: server, clientAuthority: authority }
  const taking = await startTlsProxy(t, { to: sink.port, ...secure })
  const adding = await startTlsProxy(t, { to: taking.port, authority, client })
  assert.equal(await post(t, `http://localhost:${adding.port}/`), '204')
  assert.equal((await sink.until(1)).length, 1)
})

test('tinyproxy connects who knows the password', needs('tinyproxy', 'nginx', 'curl'), async t => {
  const sink = await startHttpSink(t)
  const proxy = await startForwardProxy(t, { user: 'ann', password: 'secret' })
  const url = `http://127.0.0.1:${sink.port}/`
  const through = ['--proxytunnel', '--proxy', `http://127.0.0.1:${proxy.port}`]
  assert.equal(await post(t, url, ...through, '--proxy-user', 'ann:secret'), '201')
  await assert.rejects(post(t, url, ...through, '--proxy-user', 'ann:guess'), /response 40[17]/)
  const request = `CONNECT 127.0.0.1:${sink.port} HTTP/1.1`
  await proxy.peer.until(() => proxy.requests().length >= 2)
  assert.deepEqual(proxy.requests(), [request, request])
})

test(
  'toxiproxy breaks connections and mends them',
  needs('toxiproxy-server', 'nginx', 'curl'),
  async t => {
    const sink = await startHttpSink(t)
    const proxy = await startToxiproxy(t, sink.port)
    const url = `http://127.0.0.1:${proxy.port}/`
    assert.equal(await post(t, url), '201')
    const reset = { type: 'reset_peer', stream: 'downstream', attributes: { timeout: 0 } } as const
    await proxy.add(reset)
    await assert.rejects(post(t, url), /curl: \(56\)/)
    await proxy.remove(reset)
    await proxy.down()
    await assert.rejects(post(t, url), /curl: \(7\)/)
    await proxy.up()
    assert.equal(await post(t, url), '201')
  }
)

test('openssl connects to nginx with a certificate', needs('openssl', 'nginx'), async t => {
  const { authority, server, client } = certificates()
  const sink = await startHttpSink(t, { tls: server, clientAuthority: authority })
  const input = 'POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 2\r\n\r\nhi'
  const peer = await startTlsClient(t, { port: sink.port, input, client, more: ['-tls1_3'] })
  await peer.until(() => peer.output.includes('HTTP/1.1 201 Created'))
  assert.match(peer.output, /New, TLSv1.3/)
  await sink.until(1)
  assert.equal(sink.requests()[0].body.toString(), 'hi')
  assert.equal(await sink.peer.stop(), 0)
  assert.equal(listens(sink.port), false)
})

test('nats-server tells its subscriber what was published', needs('nats-server'), async t => {
  const nats = await startNats(t)
  const publisher = connect(nats.port, '127.0.0.1')
  t.after(() => publisher.destroy())
  publisher.write('CONNECT {"verbose":false}\r\nPUB logs.app 6\r\ncaf\u00e9\n\r\nPUB x 0\r\n\r\n')
  await nats.peer.until(() => nats.messages().length === 2)
  assert.deepEqual(nats.messages(), [
    { subject: 'logs.app', payload: 'caf\u00e9\n' },
    { subject: 'x', payload: '' }
  ])
})

test('mosquitto_pub connects', needs('mosquitto_pub'), async t => {
  const port = await freePort()
  const options = {
    program: 'mosquitto_pub',
    args: ['-p', String(port), '-t', 'a', '-m', 'b']
  } as const
  await assert.rejects(runPeer(t, options), /Connection refused/)
})

test('collectd sends a value', needs('collectd'), async t => {
  const port = await freePort()
  const packets = await boundSocket(t, port)
  const collectd = await startCollectd(t, port)
  // A value that collectd has not got round to when it flushes goes with the next flush.
  for (let n = 0; packets.length === 0 && n < 500; n++) {
    await collectd.put('edge/net-a/if_octets-eth0', `${1_700_000_000 + n}:5:6`)
  }
  await collectd.peer.until(() => packets.length > 0)
  const parts = 'edge\0|net\0|a\0|if_octets\0|eth0\0'.split('|')
  const text = packets[0].toString('latin1')
  assert.deepEqual(
    parts.map(part => text.includes(part)),
    parts.map(() => true)
  )
})

test(
  'the collector takes logs from fluent-logger and @fluent-org/logger',
  needs('collector', 'fluent-logger-python'),
  async t => {
    const port = await freePort()
    const collector = await startCollector(t, { fluentforward: { endpoint: `127.0.0.1:${port}` } })
    const record = { message: 'from Python', n: 1, deep: { list: [true, null, 1.5] } }
    await sendByFluentLogger(t, port, 'app', [{ time: [1_700_000_000, 5], record }])
    const client = new FluentClient('app', {
      socket: { host: '127.0.0.1', port },
      ack: { ackTimeout: 5000 }
    })
    await client.emit({ message: 'from Node' }, new EventTime(1_700_000_001, 7))
    await client.disconnect()
    await collector.peer.until(() => collector.logs().length === 2)
    const rest = { resource: {}, severity: '', severityNumber: 0 }
    assert.deepEqual(collector.logs(), [
      {
        time: 1_700_000_000_000_000_005n,
        body: 'from Python',
        attributes: { 'fluent.tag': 'app', n: 1, deep: { list: [true, null, 1.5] } },
        ...rest
      },
      {
        time: 1_700_000_001_000_000_007n,
        body: 'from Node',
        attributes: { 'fluent.tag': 'app' },
        ...rest
      }
    ])
  }
)

test(
  'the collector takes logs by syslog, TCP, UDP and Splunk',
  needs('collector', 'logger'),
  async t => {
    const [syslog, tcp, udp, hec] = await Promise.all([1, 2, 3, 4].map(async () => freePort()))
    const collector = await startCollector(t, {
      syslog: { udp: { listen_address: `127.0.0.1:${syslog}` }, protocol: 'rfc5424' },
      tcplog: { listen_address: `127.0.0.1:${tcp}` },
      udplog: { listen_address: `127.0.0.1:${udp}` },
      splunk_hec: { endpoint: `127.0.0.1:${hec}` }
    })
    await runPeer(t, {
      program: 'logger',
      args: ['-n', '127.0.0.1', '-P', String(syslog), '-d', '--rfc5424', '-t', 'me', 'by syslog']
    })
    connect(tcp, '127.0.0.1').end('by TCP\n')
    const socket = createSocket('udp4')
    socket.send('by UDP', udp, '127.0.0.1', () => socket.close())
    const splunk = new Logger({ token: 'any', url: `http://127.0.0.1:${hec}` })
    splunk.send({ message: 'by Splunk' })
    await collector.peer.until(() => collector.logs().length === 4)
    const events = collector.logs().map(({ body, attributes }) => attributes['message'] ?? body)
    const bySplunk = { message: 'by Splunk', severity: 'info' }
    assert.deepEqual(new Set(events), new Set(['by syslog', 'by TCP', 'by UDP', bySplunk]))
  }
)

test('the collector takes metrics from hot-shots', needs('collector'), async t => {
  const port = await freePort()
  const collector = await startCollector(t, {
    statsd: { endpoint: `127.0.0.1:${port}`, aggregation_interval: '100ms' }
  })
  const statsd = new StatsD({ host: '127.0.0.1', port })
  statsd.gauge('temperature', 21.5)
  await collector.peer.until(() => collector.metrics().length > 0)
  statsd.close()
  const [{ name, kind, point }] = collector.metrics()
  assert.deepEqual([name, kind, point['asDouble']], ['temperature', 'gauge', 21.5])
})

async function checkSyslog(
  receiver: SyslogReceiver,
  send: (target: SyslogTarget, lines: readonly string[]) => Peer
): Promise<void> {
  for (const target of SYSLOG_TARGETS) {
    send({ ...target, port: receiver[target.transport] }, [`by ${target.transport}`])
  }
  const messages = await receiver.until(SYSLOG_TARGETS.length)
  const shown = messages.map(
    ({ priority, program, message }) => `${priority} ${program}: ${message.trim()}`
  )
  assert.deepEqual(
    new Set(shown),
    new Set(['132 app: by tcp', '132 app: by udp', '132 app: by tls'])
  )
}

const BODY = '{"a":1}'

/** Posts with curl and gives back the status of the answer. */
async function post(t: TestContext, url: string, ...more: readonly string[]): Promise<string> {
  const args = ['--silent', '--show-error', '--output', 'answer', '--write-out', '%{http_code}']
  const { stdout } = await runPeer(t, {
    program: 'curl',
    args: [...args, '--data', BODY, ...more, url]
  })
  return stdout
}

/** Binds a UDP port; gives the packets that come. */
async function boundSocket(t: TestContext, port: number): Promise<readonly Buffer[]> {
  const packets: Buffer[] = []
  const socket = createSocket('udp4', packet => void packets.push(packet))
  t.after(() => socket.close())
  socket.bind(port, '127.0.0.1')
  await once(socket, 'listening')
  return packets
}
