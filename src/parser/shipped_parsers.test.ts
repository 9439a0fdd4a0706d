/** The parsers of conf/parsers.conf on lines of the logs that they are for. */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { Diagnostics } from '../config/diagnostics.ts'
import { Environment } from '../config/env.ts'
import { readParsersFile } from '../config/read.ts'
import { checkContract, KeptLog, NOW_MS, parse, type Parsed } from './parser.cases.ts'
import { readParsers } from './registry.ts'

const ROOT = join(import.meta.dirname, '../..')

/**
 * Parser, line and result. Records were printed by Fluent Bit 5.1.1 (in_tail with its own
 * conf/parsers.conf, out_stdout as JSON lines, on 2026-11-23 in UTC), times by flb_parser_do() of its
 * libraries.
 */
const KNOWN: readonly (readonly [parser: string, line: string, parsed: Parsed])[] = [
  [
    'apache',
    '192.168.0.1 - bob [28/Feb/2013:12:00:00 +0900] "GET /a?b=c HTTP/1.1" 200 777 "-" "Opera/12.0"',
    {
      seconds: 1362020400,
      nanoseconds: 0,
      record: {
        host: '192.168.0.1',
        user: 'bob',
        method: 'GET',
        path: '/a?b=c',
        code: '200',
        size: '777',
        referer: '-',
        agent: 'Opera/12.0'
      }
    }
  ],
  [
    'apache',
    '::1 - - [10/Oct/2000:13:55:36 -0700] "GET" 408 -',
    {
      seconds: 971211336,
      nanoseconds: 0,
      record: { host: '::1', user: '-', method: 'GET', code: '408', size: '-' }
    }
  ],
  [
    'apache2',
    '127.0.0.1 - frank [10/Oct/2000:13:55:36 -0700] "GET /apache_pb.gif HTTP/1.0" 200 2326 "http://www.example.com/start.html" "Mozilla/4.08 [en] (Win98; I ;Nav) \\"x\\""',
    {
      seconds: 971211336,
      nanoseconds: 0,
      record: {
        host: '127.0.0.1',
        user: 'frank',
        method: 'GET',
        path: '/apache_pb.gif',
        code: '200',
        size: '2326',
        referer: 'http://www.example.com/start.html',
        agent: 'Mozilla/4.08 [en] (Win98; I ;Nav) \\"x\\"'
      }
    }
  ],
  [
    'apache2',
    '10.0.0.1 - - [29/Feb/2024:23:59:59 +0000] "POST /x HTTP/2.0" 201 5',
    {
      seconds: 1709251199,
      nanoseconds: 0,
      record: { host: '10.0.0.1', user: '-', method: 'POST', path: '/x', code: '201', size: '5' }
    }
  ],
  [
    'apache_error',
    '[Wed Oct 11 14:32:52 2000] [error] [client 127.0.0.1] client denied by server configuration: /export/home',
    {
      seconds: 0,
      nanoseconds: 0,
      record: {
        time: 'Oct 11 14:32:52 2000',
        level: 'error',
        client: '127.0.0.1',
        message: 'client denied by server configuration: /export/home'
      }
    }
  ],
  [
    'apache_error',
    "[Mon Feb 05 17:32:18.123456 2024] [core:notice] [pid 7] AH00094: Command line: 'httpd'",
    {
      seconds: 0,
      nanoseconds: 0,
      record: {
        time: 'Feb 05 17:32:18.123456 2024',
        level: 'core:notice',
        pid: '7',
        message: "AH00094: Command line: 'httpd'"
      }
    }
  ],
  [
    'nginx',
    '172.17.0.1 example.com - [05/Jan/2026:10:00:00 +0100] "GET /index.html HTTP/1.1" 304 0 "https://x/" "curl/8" extra',
    {
      seconds: 1767603600,
      nanoseconds: 0,
      record: {
        remote: '172.17.0.1',
        host: 'example.com',
        user: '-',
        method: 'GET',
        path: '/index.html',
        code: '304',
        size: '0',
        referer: 'https://x/',
        agent: 'curl/8'
      }
    }
  ],
  [
    'k8s-nginx-ingress',
    '10.0.0.1 - - [10/Oct/2020:13:55:36 +0000] "GET /healthz HTTP/1.1" 200 2 "-" "kube-probe/1.18" 95 0.001 [default-http-80] [] 10.1.1.1:80 2 0.000 200 abcdef0123456789',
    {
      seconds: 1602338136,
      nanoseconds: 0,
      record: {
        host: '10.0.0.1',
        user: '-',
        method: 'GET',
        path: '/healthz',
        code: '200',
        size: '2',
        referer: '-',
        agent: 'kube-probe/1.18',
        request_length: '95',
        request_time: '0.001',
        proxy_upstream_name: 'default-http-80',
        upstream_addr: '10.1.1.1:80',
        upstream_response_length: '2',
        upstream_response_time: '0.000',
        upstream_status: '200',
        reg_id: 'abcdef0123456789'
      }
    }
  ],
  [
    'json',
    '{"time":"10/Oct/2000:13:55:36 -0700","a":1,"b":[true,null,1.5],"c":{"d":"\\u00e9"}}',
    { seconds: 971211336, nanoseconds: 0, record: { a: 1, b: [true, null, 1.5], c: { d: 'é' } } }
  ],
  ['json', '{"time":12,"a":-1}', { seconds: 0, nanoseconds: 0, record: { time: 12, a: -1 } }],
  [
    'logfmt',
    'time=2020-01-01 level=info msg="a \\"quoted\\" text" dur=5ms bare empty= q=""',
    {
      seconds: 0,
      nanoseconds: 0,
      record: {
        time: '2020-01-01',
        level: 'info',
        msg: 'a "quoted" text',
        dur: '5ms',
        bare: true,
        empty: true,
        q: ''
      }
    }
  ],
  [
    'docker',
    '{"log":"hello\\n","stream":"stdout","time":"2021-03-04T05:06:07.123456789Z"}',
    {
      seconds: 1614834367,
      nanoseconds: 123456789,
      record: { log: 'hello\n', stream: 'stdout', time: '2021-03-04T05:06:07.123456789Z' }
    }
  ],
  [
    'docker-daemon',
    'time="2020-01-02T03:04:05.678Z" level=info msg="Loading containers: done."',
    {
      seconds: 1577934245,
      nanoseconds: 678000000,
      record: { time: '2020-01-02T03:04:05.678Z', level: 'info', msg: 'Loading containers: done.' }
    }
  ],
  [
    'syslog-rfc5424',
    '<165>1 2003-08-24T05:14:15.000003-07:00 192.0.2.1 myproc 8710 - - %% It is time',
    {
      seconds: 1061727255,
      nanoseconds: 3000,
      record: {
        pri: '165',
        time: '2003-08-24T05:14:15.000003-07:00',
        host: '192.0.2.1',
        ident: 'myproc',
        pid: '8710',
        msgid: '-',
        extradata: '-',
        message: '%% It is time'
      }
    }
  ],
  [
    'syslog-rfc5424',
    '<34>1 2003-10-11T22:14:15.003Z mymachine.example.com su - ID47 [exampleSDID@32473 iut="3" eventSource="App"] an event',
    {
      seconds: 1065910455,
      nanoseconds: 3000000,
      record: {
        pri: '34',
        time: '2003-10-11T22:14:15.003Z',
        host: 'mymachine.example.com',
        ident: 'su',
        pid: '-',
        msgid: 'ID47',
        extradata: '[exampleSDID@32473 iut="3" eventSource="App"]',
        message: 'an event'
      }
    }
  ],
  [
    'syslog-rfc3164-local',
    '<13>Feb  5 17:32:18 su[12]: local message',
    {
      seconds: 1770312738,
      nanoseconds: 0,
      record: {
        pri: '13',
        time: 'Feb  5 17:32:18',
        ident: 'su',
        pid: '12',
        message: 'local message'
      }
    }
  ],
  [
    'syslog-rfc3164-local',
    '<13>Oct 11 22:14:15 kernel: no pid',
    {
      seconds: 1791756855,
      nanoseconds: 0,
      record: { pri: '13', time: 'Oct 11 22:14:15', ident: 'kernel', message: 'no pid' }
    }
  ],
  [
    'syslog-rfc3164',
    "<34>Oct 11 22:14:15 mymachine su[4711]: 'su root' failed for lonvick on /dev/pts/8",
    {
      seconds: 1791756855,
      nanoseconds: 0,
      record: {
        pri: '34',
        time: 'Oct 11 22:14:15',
        host: 'mymachine',
        ident: 'su',
        pid: '4711',
        message: "'su root' failed for lonvick on /dev/pts/8"
      }
    }
  ],
  [
    'mongodb',
    '2015-01-01T10:00:00.123+0000 I NETWORK  [initandlisten] waiting for connections on port 27017',
    {
      seconds: 1420106400,
      nanoseconds: 123000000,
      record: {
        time: '2015-01-01T10:00:00.123+0000',
        severity: 'I',
        component: 'NETWORK',
        context: 'initandlisten',
        message: 'waiting for connections on port',
        ms: '27017'
      }
    }
  ],
  [
    'envoy',
    '[2016-04-15T20:17:00.310Z] "POST /api/v1/locations HTTP/2" 204 - 154 0 226 100 "10.0.35.28" "nsq2http" "cc21d9b0-cf5c-432b-8c7e-98aeb7988cd2" "locations" "tcp://10.0.2.1:80"',
    {
      seconds: 1460751420,
      nanoseconds: 310000000,
      record: {
        start_time: '2016-04-15T20:17:00.310Z',
        method: 'POST',
        path: '/api/v1/locations',
        protocol: 'HTTP/2',
        code: '204',
        response_flags: '-',
        bytes_received: '154',
        bytes_sent: '0',
        duration: '226',
        x_envoy_upstream_service_time: '100',
        x_forwarded_for: '10.0.35.28',
        user_agent: 'nsq2http',
        request_id: 'cc21d9b0-cf5c-432b-8c7e-98aeb7988cd2',
        authority: 'locations',
        upstream_host: 'tcp://10.0.2.1:80'
      }
    }
  ],
  [
    'istio-envoy-proxy',
    '[2021-05-06T07:08:09.123Z] "GET /status/200 HTTP/1.1" 200 - via_upstream - "-" 0 0 2 1 "-" "curl/7.76.1" "d0f2" "httpbin:8000" "172.17.0.9:80" inbound|80|| 127.0.0.6:42957 172.17.0.9:80 172.17.0.8:57292 outbound_.8000_._.httpbin.default.svc.cluster.local default',
    {
      seconds: 1620284889,
      nanoseconds: 123000000,
      record: {
        start_time: '2021-05-06T07:08:09.123Z',
        method: 'GET',
        path: '/status/200',
        protocol: 'HTTP/1.1',
        response_code: '200',
        response_flags: '-',
        response_code_details: 'via_upstream',
        connection_termination_details: '-',
        upstream_transport_failure_reason: '-',
        bytes_received: '0',
        bytes_sent: '0',
        duration: '2',
        x_envoy_upstream_service_time: '1',
        x_forwarded_for: '-',
        user_agent: 'curl/7.76.1',
        x_request_id: 'd0f2',
        authority: 'httpbin:8000',
        upstream_host: '172.17.0.9:80',
        upstream_cluster: 'inbound|80||',
        upstream_local_address: '127.0.0.6:42957',
        downstream_local_address: '172.17.0.9:80',
        downstream_remote_address: '172.17.0.8:57292',
        requested_server_name: 'outbound_.8000_._.httpbin.default.svc.cluster.local',
        route_name: 'default'
      }
    }
  ],
  [
    'cri',
    '2021-01-01T00:00:00.123456789+02:00 stderr P héllo wörld',
    {
      seconds: 1609452000,
      nanoseconds: 123456789,
      record: {
        time: '2021-01-01T00:00:00.123456789+02:00',
        stream: 'stderr',
        logtag: 'P',
        message: 'héllo wörld'
      }
    }
  ],
  [
    'cri',
    '2021-01-01T00:00:00.5Z stdout F ',
    {
      seconds: 1609459200,
      nanoseconds: 500000000,
      record: { time: '2021-01-01T00:00:00.5Z', stream: 'stdout', logtag: 'F' }
    }
  ],
  [
    'kube-custom',
    'kube.mypod-abc_ns_web-1-0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef.log',
    {
      seconds: 0,
      nanoseconds: 0,
      record: {
        tag: 'kube',
        pod_name: 'mypod-abc',
        namespace_name: 'ns',
        container_name: 'web-1',
        docker_id: '0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef'
      }
    }
  ],
  [
    'kube-custom',
    'kube.var.log.containers.mypod-abc_ns_web-0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef.log',
    {
      seconds: 0,
      nanoseconds: 0,
      record: {
        tag: 'kube',
        pod_name: 'var.log.containers.mypod-abc',
        namespace_name: 'ns',
        container_name: 'web',
        docker_id: '0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef'
      }
    }
  ],
  [
    'kmsg-netfilter-log',
    '<4>1 2020-01-02T03:04:05.678901+01:00 host1 kernel - - - [1234.5] FW IN=eth0 OUT= MAC=00:11:22:33:44:55:66:77:88:99:aa:bb:08:00 SRC=1.2.3.4 DST=5.6.7.8 LEN=60 TOS=0x00 PREC=0x00 TTL=64 ID=1 DF PROTO=TCP SPT=443 DPT=2222 WINDOW=3 RES=0x00 SYN URGP=0',
    {
      seconds: 1577930645,
      nanoseconds: 678901000,
      record: {
        pri: '4',
        host: 'host1',
        logprefix: 'FW',
        in: 'eth0',
        macsrc: '00:11:22:33:44:55',
        macdst: '66:77:88:99:aa:bb',
        ethtype: '08:00',
        saddr: '1.2.3.4',
        daddr: '5.6.7.8',
        len: '60',
        tos: '0x00',
        prec: '0x00',
        ttl: '64',
        id: '1',
        proto: 'TCP',
        sport: '443',
        dport: '2222',
        window: '3',
        res: '0x00',
        flag: 'SYN',
        urgp: '0'
      }
    }
  ]
]

const diagnostics = new Diagnostics()
const file = readParsersFile('conf/parsers.conf', {
  baseDirectory: ROOT,
  workingDirectory: ROOT,
  at: undefined,
  diagnostics
})
const environment = new Environment({
  entries: [],
  processEnvironment: {},
  hostname: 'host',
  now: () => NOW_MS,
  diagnostics
})
const log = new KeptLog()
const registry = readParsers(file.parsers, { environment, diagnostics, log, now: () => NOW_MS })

test('all shipped parsers can be read, and each is tried below', () => {
  assert.deepEqual(diagnostics.list, [])
  assert.deepEqual(registry.names.toSorted(), [...new Set(KNOWN.map(([name]) => name))].toSorted())
})

for (const [name, line, parsed] of KNOWN) {
  test(`${name} parses ${line.slice(0, 60)}`, () => {
    const parser = registry.create(name)
    assert.ok(parser)
    const actual = parse(parser, line)
    assert.deepEqual(actual, parsed)
    assert.equal(JSON.stringify(actual?.record), JSON.stringify(parsed.record), 'order of the keys')
  })
}

for (const name of registry.names) {
  test(`${name} parses or refuses any text`, () => {
    const parser = registry.create(name)
    assert.ok(parser)
    const lines = KNOWN.filter(([other]) => other === name).map(([, line]) => line)
    checkContract(parser, lines, 200)
  })
}
