/** rsyslog, as a receiver and as a sender. */
import type { TestContext } from 'node:test'
import { certificates } from '../certificates.ts'
import { freePort, listens, Peer, startPeer } from '../peers.ts'
import {
  messageReader,
  type ReceiverTls,
  type SyslogReceiver,
  type SyslogTarget
} from './syslog.ts'

const ARGS = ['-n', '-i', 'FOLDER/pid', '-f', 'FOLDER/rsyslog.conf']

const STORE = `
template(name="json" type="list" option.jsonf="on") {
  property(outname="priority" name="pri" format="jsonf" datatype="number")
  property(outname="time" name="timereported" dateFormat="rfc3339" format="jsonf")
  property(outname="host" name="hostname" format="jsonf")
  property(outname="program" name="programname" format="jsonf")
  property(outname="processId" name="procid" format="jsonf")
  property(outname="messageId" name="msgid" format="jsonf")
  property(outname="structuredData" name="structured-data" format="jsonf")
  property(outname="message" name="msg" format="jsonf")
  property(outname="raw" name="rawmsg" format="jsonf")
}
ruleset(name="store") { action(type="omfile" file="FOLDER/messages" template="json") }
`

/**
 * Starts rsyslog listening on all its ports; it tells RFC 3164 from RFC 5424 by itself. A message of RFC 3164 begins with
 * the space that follows its tag.
 */
export async function startRsyslog(
  t: TestContext,
  tls: ReceiverTls = certificates().server
): Promise<SyslogReceiver> {
  const ports = { tcp: await freePort(), udp: await freePort(), tls: await freePort() }
  const peer = await startPeer(t, {
    program: 'rsyslogd',
    files: {
      'rsyslog.conf': `
global(workDirectory="FOLDER" parser.escapeControlCharactersOnReceive="off")
module(load="imudp")
module(load="imtcp")
${STORE}
input(type="imudp" address="127.0.0.1" port="${ports.udp}" ruleset="store")
input(type="imtcp" address="127.0.0.1" port="${ports.tcp}" ruleset="store")
input(type="imtcp" address="127.0.0.1" port="${ports.tls}" ruleset="store"
  streamDriver.name="gtls" streamDriver.mode="1"
  streamDriver.authMode="${tls.clientAuthority === undefined ? 'anon' : 'x509/certvalid'}"
  streamDriver.caFile="${tls.clientAuthority ?? certificates().authority}"
  streamDriver.certFile="${tls.certificate}" streamDriver.keyFile="${tls.key}")
`
    },
    args: ARGS,
    ready: () => listens(ports.udp, 'udp') && listens(ports.tcp) && listens(ports.tls)
  })
  return { peer, ...ports, ...messageReader(peer) }
}

/** Starts an rsyslog that sends each line of its file `lines`. */
export function startRsyslogSender(
  t: TestContext,
  target: SyslogTarget,
  lines: readonly string[]
): Peer {
  const { port, transport, format, octetCounted = false } = target
  const template = format === 'rfc3164' ? 'TraditionalForwardFormat' : 'SyslogProtocol23Format'
  return new Peer(t, {
    program: 'rsyslogd',
    files: {
      lines: lines.map(line => `${line}\n`).join(''),
      'rsyslog.conf': `
global(workDirectory="FOLDER")
module(load="imfile")
input(type="imfile" file="FOLDER/lines" tag="app" facility="local0" severity="warning")
action(type="omfwd" target="127.0.0.1" port="${port}" template="RSYSLOG_${template}"
  protocol="${transport === 'udp' ? 'udp' : 'tcp'}" ${transport === 'tls' ? secure(target) : ''}
  tcp_framing="${octetCounted ? 'octet-counted' : 'traditional'}")
`
    },
    args: ARGS
  })
}

function secure({ authority = certificates().authority, client }: SyslogTarget): string {
  const parameters = [
    'streamDriver="gtls" streamDriverMode="1" streamDriverAuthMode="x509/name"',
    `streamDriverPermittedPeers="localhost" streamDriver.caFile="${authority}"`
  ]
  if (client !== undefined) {
    const { certificate, key } = client
    parameters.push(`streamDriver.certFile="${certificate}" streamDriver.keyFile="${key}"`)
  }
  return parameters.join('\n  ')
}
