/** rsyslog and syslog-ng understand what the output syslog sends. */
import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import { certificates } from '../harness/certificates.ts'
import { encodeEvent, EncodedInput } from '../harness/odd_events.ts'
import { needs } from '../harness/peers.ts'
import { startRsyslog } from '../harness/peers/rsyslog.ts'
import type { SyslogMessage, SyslogReceiver } from '../harness/peers/syslog.ts'
import { startSyslogNg } from '../harness/peers/syslog_ng.ts'
import { startPipeline } from '../harness/pipeline.ts'

const EVENTS = [
  {
    message: 'first ё',
    host: 'edge-7',
    app: 'api',
    pid: 42,
    id: 'ID47',
    severity: 'err',
    facility: 'local3',
    'data@1': { name: 'a "quoted" \\ ] text', n: 1 }
  },
  { message: 'second', host: 'edge-8', app: 'api', pid: 'x', severity: '4', facility: '16' }
].map(body => encodeEvent([1_700_000_000, 123_456_000], body))

const KEYS = `
    syslog_message_key message
    syslog_hostname_key host
    syslog_appname_key app
    syslog_procid_key pid
    syslog_msgid_key id
    syslog_severity_key severity
    syslog_facility_key facility
    syslog_sd_key data@1
`

/** What a receiver understands, less its own ways with what is missing. */
type Understood = Pick<SyslogMessage, 'priority' | 'host' | 'program' | 'processId' | 'message'>

const UNDERSTOOD: readonly Understood[] = [
  { priority: 155, host: 'edge-7', program: 'api', processId: '42', message: 'first ё' },
  { priority: 132, host: 'edge-8', program: 'api', processId: 'x', message: 'second' }
]

function understood({ priority, host, program, processId, message }: SyslogMessage): Understood {
  return { priority, host, program, processId, message: message.replace(/^[ \u{feff}]+/u, '') }
}

async function send(
  t: TestContext,
  receiver: SyslogReceiver,
  transport: 'udp' | 'tcp' | 'tls',
  format: string
): Promise<SyslogMessage[]> {
  const before = receiver.messages().length
  const input = new EncodedInput()
  const tls = transport === 'tls' ? `    tls.ca_file ${certificates().authority}\n` : ''
  const run = await startPipeline(
    `[SERVICE]\n    flush 1\n[INPUT]\n    name encoded\n[OUTPUT]\n    name syslog\n    match *\n` +
      `    host localhost\n    net.dns.prefer_ipv4 on\n    tls.verify_hostname on\n` +
      `    mode ${transport}\n    port ${receiver[transport]}\n    syslog_format ${format}${KEYS}${tls}`,
    { plugins: [input.plugin] }
  )
  t.after(async () => run.stop())
  input.push('app', ...EVENTS)
  run.flush()
  return (await receiver.until(before + EVENTS.length)).slice(before)
}

for (const [name, start, program] of [
  ['rsyslog', startRsyslog, 'rsyslogd'],
  ['syslog-ng', startSyslogNg, 'syslog-ng']
] as const) {
  for (const format of ['rfc3164', 'rfc5424']) {
    test(
      `${name} understands ${format} over UDP, TCP and TLS`,
      needs(program, 'openssl'),
      async t => {
        const receiver = await start(t)
        for (const transport of ['udp', 'tcp', 'tls'] as const) {
          const messages = await send(t, receiver, transport, format)
          assert.deepEqual(messages.map(understood), UNDERSTOOD, transport)
          if (format === 'rfc3164') continue
          const [first] = messages
          assert.equal(first?.messageId, 'ID47')
          assert.equal(first?.structuredData, '[data@1 name="a \\"quoted\\" \\\\ \\] text" n="1"]')
          assert.equal(Math.floor(Date.parse(first?.time ?? '') / 1000), 1_700_000_000)
        }
      }
    )
  }
}

test('rsyslog asks for a certificate, and gets one', needs('rsyslogd', 'openssl'), async t => {
  const { authority, server, client } = certificates()
  const receiver = await startRsyslog(t, { ...server, clientAuthority: authority })
  const input = new EncodedInput()
  const run = await startPipeline(
    `[SERVICE]\n    flush 1\n[INPUT]\n    name encoded\n[OUTPUT]\n    name syslog\n    match *\n    mode tls\n` +
      `    host 127.0.0.1\n    port ${receiver.tls}\n    tls.ca_file ${authority}\n    syslog_message_key message\n` +
      `    tls.crt_file ${client.certificate}\n    tls.key_file ${client.key}\n`,
    { plugins: [input.plugin] }
  )
  t.after(async () => run.stop())
  input.push('app', ...EVENTS)
  run.flush()
  const [first] = await receiver.until(2)
  assert.match(first?.message ?? '', /first ё$/)
})
