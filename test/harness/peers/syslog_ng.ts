/** syslog-ng, as a receiver and as a sender. */
import type { TestContext } from 'node:test'
import { certificates } from '../certificates.ts'
import { freePort, listens, Peer, startPeer } from '../peers.ts'
import {
  messageReader,
  type ReceiverTls,
  type SyslogReceiver,
  type SyslogTarget
} from './syslog.ts'

const ARGS = [
  '--foreground',
  '--no-caps',
  '--stderr',
  '--cfgfile=FOLDER/syslog-ng.conf',
  '--persist-file=FOLDER/persist',
  '--pidfile=FOLDER/pid',
  '--control=FOLDER/control'
]

/** Starts syslog-ng listening on all its ports; it tells RFC 3164 from RFC 5424 by itself. What a message lacks is empty. */
export async function startSyslogNg(
  t: TestContext,
  tls: ReceiverTls = certificates().server
): Promise<SyslogReceiver> {
  const ports = { tcp: await freePort(), udp: await freePort(), tls: await freePort() }
  const flags = 'flags(syslog-protocol, store-raw-message)'
  const verify =
    tls.clientAuthority === undefined
      ? 'peer-verify(optional-untrusted)'
      : `peer-verify(required-trusted) ca-file("${tls.clientAuthority}")`
  const peer = await startPeer(t, {
    program: 'syslog-ng',
    files: {
      'syslog-ng.conf': `@version: 3.38
options { keep-hostname(yes); time-reopen(1); };
source ports {
  network(ip("127.0.0.1") port(${ports.udp}) transport("udp") ${flags});
  network(ip("127.0.0.1") port(${ports.tcp}) transport("tcp") ${flags});
  network(ip("127.0.0.1") port(${ports.tls}) transport("tls") ${flags}
    tls(key-file("${tls.key}") cert-file("${tls.certificate}") ${verify}));
};
destination store {
  file("FOLDER/messages" template("$(format-json priority=int64(\${PRI}) time=\${S_ISODATE}
    host=\${HOST} program=\${PROGRAM} processId=\${PID} messageId=\${MSGID}
    structuredData=\${SDATA} message=\${MSG} raw=\${RAWMSG})\\n"));
};
log { source(ports); destination(store); };
`
    },
    args: ARGS,
    ready: () => listens(ports.udp, 'udp') && listens(ports.tcp) && listens(ports.tls)
  })
  return { peer, ...ports, ...messageReader(peer) }
}

/** Starts a syslog-ng that sends each line of its file `lines`. */
export function startSyslogNgSender(
  t: TestContext,
  target: SyslogTarget,
  lines: readonly string[]
): Peer {
  const { port, transport, format, octetCounted = false } = target
  const tls = transport === 'tls' ? secure(target) : ''
  const flags = format === 'rfc5424' ? 'flags(syslog-protocol)' : ''
  const driver = octetCounted ? 'syslog' : 'network'
  return new Peer(t, {
    program: 'syslog-ng',
    files: {
      lines: lines.map(line => `${line}\n`).join(''),
      'syslog-ng.conf': `@version: 3.38
source lines {
  file("FOLDER/lines" follow-freq(0.05) flags(no-parse) program-override("app")
    default-facility(local0) default-priority(warning));
};
destination target {
  ${driver}("localhost" port(${port}) transport("${transport}") ${flags} ${tls});
};
log { source(lines); destination(target); };
`
    },
    args: ARGS
  })
}

function secure({ authority = certificates().authority, client }: SyslogTarget): string {
  const shown =
    client === undefined ? '' : `cert-file("${client.certificate}") key-file("${client.key}")`
  return `tls(peer-verify(required-trusted) ca-file("${authority}") ${shown})`
}
