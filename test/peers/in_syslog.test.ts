/** rsyslog, syslog-ng and logger send to the input syslog. */
import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { certificates } from '../harness/certificates.ts'
import { needs, Peer, runPeer } from '../harness/peers.ts'
import { startRsyslogSender } from '../harness/peers/rsyslog.ts'
import { startSyslogNgSender } from '../harness/peers/syslog_ng.ts'
import { type ServerRun, startServer } from '../harness/server_input.ts'

const PARSERS = {
  files: {
    'parsers.conf': readFileSync(join(import.meta.dirname, '../../conf/parsers.conf'), 'utf8')
  },
  service: 'parsers_file parsers.conf'
}

/** What of a message does not depend on the machine and the time. */
interface Message {
  readonly pri: string
  readonly ident: string
  readonly message: string
}

async function messages(server: ServerRun, count: number): Promise<Message[]> {
  const bodies = (await server.bodies(count)) as Message[]
  return bodies.map(({ pri, ident, message }) => ({ pri, ident, message }))
}

/** rsyslog and syslog-ng need a moment for their start and their first read. */
async function received(server: ServerRun, count: number): Promise<void> {
  const records = (): number =>
    server.run.counter('fluentbit_input_records_total', { name: 'syslog.0' })
  await server.run.until(() => records() >= count, 20_000)
}

const LINES = ['first message', 'second with [brackets] and é', 'third']

const PARSER_OF = { rfc3164: 'syslog-rfc3164', rfc5424: 'syslog-rfc5424' } as const

const TRANSPORTS = [
  ['tcp', 'rfc3164', false],
  ['tcp', 'rfc5424', false],
  ['tcp', 'rfc5424', true],
  ['udp', 'rfc3164', false],
  ['udp', 'rfc5424', false],
  ['tls', 'rfc5424', false],
  ['tls', 'rfc5424', true]
] as const

for (const [program, startSender] of [
  ['rsyslogd', startRsyslogSender],
  ['syslog-ng', startSyslogNgSender]
] as const) {
  for (const [transport, format, octetCounted] of TRANSPORTS) {
    const framing = octetCounted ? ', octet-counted' : ''
    const title = `${program} sends ${format} over ${transport}${framing}`
    test(title, needs(program, 'openssl'), async t => {
      const { server: pair } = certificates()
      const tls = `tls on
    tls.crt_file ${pair.certificate}
    tls.key_file ${pair.key}`
      const keys = `mode ${transport === 'udp' ? 'udp' : 'tcp'}
    parser ${PARSER_OF[format]}
    format ${octetCounted ? 'octet_counting' : 'newline'}
    ${transport === 'tls' ? tls : ''}`
      const server = await startServer(t, 'syslog', keys, PARSERS)
      startSender(t, { port: server.port, transport, format, octetCounted }, LINES)
      await received(server, LINES.length)
      assert.deepEqual(
        await messages(server, LINES.length),
        LINES.map(message => ({ pri: '132', ident: 'app', message }))
      )
      assert.deepEqual(server.dropped('unparsed'), [0, 0])
    })
  }
}

const SAID = [
  '--tag',
  'app',
  '--priority',
  'local0.warning',
  '--id=4242',
  '--socket-errors=on',
  'hello there'
]
const HEARD = [{ pri: '132', ident: 'app', message: 'hello there' }]

for (const [title, keys, args] of [
  ['TCP', 'mode tcp\n    parser syslog-rfc3164', ['--tcp', '--rfc3164']],
  [
    'TCP, octet-counted',
    'mode tcp\n    parser syslog-rfc3164\n    format octet_counting',
    ['--tcp', '--rfc3164', '--octet-count']
  ],
  ['UDP', 'mode udp\n    parser syslog-rfc3164', ['--udp', '--rfc3164']]
] as const) {
  test(`logger sends over ${title}`, needs('logger'), async t => {
    const server = await startServer(t, 'syslog', keys, PARSERS)
    const target = ['--server', '127.0.0.1', '--port', String(server.port)]
    await runPeer(t, { program: 'logger', args: [...args, ...target, ...SAID] })
    assert.deepEqual(await messages(server, 1), HEARD)
  })
}

function socketPath(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'spillway-syslog-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  return join(folder, 'log')
}

for (const [mode, args] of [
  ['unix_udp', ['--udp']],
  ['unix_tcp', ['--tcp']]
] as const) {
  test(`logger writes to a socket of ${mode}`, needs('logger'), async t => {
    const path = socketPath(t)
    const server = await startServer(t, 'syslog', `mode ${mode}\n    path ${path}`, PARSERS)
    await runPeer(t, { program: 'logger', args: ['--socket', path, ...args, ...SAID] })
    assert.deepEqual(await messages(server, 1), HEARD)
  })
}

test('logger sends a file of many lines to a socket of unix_udp', needs('logger'), async t => {
  const path = socketPath(t)
  const server = await startServer(t, 'syslog', `path ${path}`, PARSERS)
  const lines = Array.from({ length: 5000 }, (_, index) => `line ${index}`)
  await runPeer(t, {
    program: 'logger',
    args: ['--socket', path, '--tag', 'app', '--file', 'FOLDER/lines'],
    files: { lines: lines.map(line => `${line}\n`).join('') }
  })
  const all = await messages(server, lines.length)
  assert.deepEqual(
    all.map(({ message }) => message),
    lines
  )
})

test('rsyslog sends to a socket of unix_udp with omuxsock', needs('rsyslogd'), async t => {
  const path = socketPath(t)
  const keys = `parser syslog-rfc3164\n    path ${path}\n    unix_perm 0666`
  const server = await startServer(t, 'syslog', keys, PARSERS)
  new Peer(t, {
    program: 'rsyslogd',
    files: {
      lines: LINES.map(line => `${line}\n`).join(''),
      'rsyslog.conf': `
global(workDirectory="FOLDER")
module(load="imfile")
module(load="omuxsock")
input(type="imfile" file="FOLDER/lines" tag="app" facility="local0" severity="warning")
$OMUxSockSocket ${path}
*.* :omuxsock:
`
    },
    args: ['-n', '-i', 'FOLDER/pid', '-f', 'FOLDER/rsyslog.conf']
  })
  await received(server, LINES.length)
  assert.deepEqual(
    await messages(server, LINES.length),
    LINES.map(message => ({ pri: '132', ident: 'app', message }))
  )
})
