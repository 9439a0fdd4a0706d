/** What is measured: each work as the configuration text that both agents get. */
import type { LogFile, LogFiles } from './generate.ts'

/** Tail of a finished file to a file, until the last record is written. */
export interface FileWork {
  readonly kind: 'file'
  readonly name: string
  readonly summary: string
  readonly input: LogFile
  readonly records: number
  /** True where all metrics are asked for every second while it runs. */
  readonly isScraped?: boolean
  config(paths: WorkPaths): string
}

/** Tail of files that grow while the agent runs. */
export interface GrowingWork {
  readonly kind: 'growing'
  readonly name: string
  readonly summary: string
  readonly files: number
  readonly linesPerSecond: number
  readonly seconds: number
  config(paths: WorkPaths): string
}

/** An agent that has nothing to do. */
export interface IdleWork {
  readonly kind: 'idle'
  readonly name: string
  readonly summary: string
  readonly seconds: number
  config(paths: WorkPaths): string
}

/** From the start of the process to the first byte on stdout. */
export interface StartWork {
  readonly kind: 'start'
  readonly name: string
  readonly summary: string
  config(paths: WorkPaths): string
}

/** Records that are sent to the agent, until the last one is where it belongs. */
export interface SentWork {
  readonly kind: 'sent'
  readonly name: string
  readonly summary: string
  readonly protocol: 'forward' | 'syslog' | 'http'
  readonly records: number
  /** Where the agent is to put them. */
  readonly to: 'file' | 'forward'
  config(paths: SentPaths): string
}

/** Connections that are open and silent. */
export interface ConnectionsWork {
  readonly kind: 'connections'
  readonly name: string
  readonly summary: string
  readonly connections: number
  config(paths: SentPaths): string
}

export interface SentPaths extends WorkPaths {
  /** The agent listens here. */
  readonly port: number
  /** It sends here. */
  readonly sinkPort: number
}

/** Two ways to do the same work, run in pairs: what the second costs above the first. */
export interface PairWork {
  readonly kind: 'pair'
  readonly name: string
  readonly summary: string
  readonly plain: FileWork
  readonly other: FileWork
}

export type Work = FileWork | GrowingWork | IdleWork | StartWork | SentWork | ConnectionsWork

export interface WorkPaths {
  /** For the monitoring server, where there is one. */
  readonly monitoringPort?: number | undefined
  /** What tail reads: a path or a pattern. */
  readonly input: string
  readonly parsers: string
  readonly outputFolder: string
  readonly outputFile: string
}

/** The parsers as Fluent Bit's conf/parsers.conf has them. */
export const PARSERS = String.raw`[PARSER]
    Name   apache2
    Format regex
    Regex  ^(?<host>[^ ]*) [^ ]* (?<user>[^ ]*) \[(?<time>[^\]]*)\] "(?<method>\S+)(?: +(?<path>[^ ]*) +\S*)?" (?<code>[^ ]*) (?<size>[^ ]*)(?: "(?<referer>[^\"]*)" "(?<agent>.*)")?$
    Time_Key time
    Time_Format %d/%b/%Y:%H:%M:%S %z

[PARSER]
    Name        docker
    Format      json
    Time_Key    time
    Time_Format %Y-%m-%dT%H:%M:%S.%L
    Time_Keep   On

[PARSER]
    Name        syslog-rfc5424
    Format      regex
    Regex       ^\<(?<pri>[0-9]{1,5})\>1 (?<time>[^ ]+) (?<host>[^ ]+) (?<ident>[^ ]+) (?<pid>[-0-9]+) (?<msgid>[^ ]+) (?<extradata>(\[(.*?)\]|-)) (?<message>.+)$
    Time_Key    time
    Time_Format %Y-%m-%dT%H:%M:%S.%L%z
    Time_Keep   On
`

const FILTERS = `[FILTER]
    name    grep
    match   *
    exclude method ^HEAD$

[FILTER]
    name   modify
    match  *
    rename code status
    add    site oslo
    remove user

[FILTER]
    name       record_modifier
    match      *
    record     hostname edge-7
    remove_key referer

[FILTER]
    name          nest
    match         *
    operation     nest
    wildcard      method
    wildcard      path
    nest_under    request
`

/** All works over the generated files, in the order in which they are run. */
export function works({ apache, docker, raw }: LogFiles): Work[] {
  return [
    {
      kind: 'file',
      name: 'raw',
      summary: 'tail → file',
      input: raw,
      records: raw.lines,
      config: paths => tailToFile(paths, '', '')
    },
    {
      kind: 'file',
      name: 'regex',
      summary: 'tail, apache2 regex parser with time → file',
      input: apache,
      records: apache.lines,
      config: paths => tailToFile(paths, 'apache2', '')
    },
    {
      kind: 'file',
      name: 'docker',
      summary: 'tail, docker JSON parser with time → file',
      input: docker,
      records: docker.lines,
      config: paths => tailToFile(paths, 'docker', '')
    },
    {
      kind: 'file',
      name: 'filters',
      summary: 'regex work + grep, modify, record_modifier, nest → file',
      input: apache,
      records: apache.lines - apache.headRequests,
      config: paths => tailToFile(paths, 'apache2', FILTERS)
    },
    {
      kind: 'growing',
      name: 'growing',
      summary: '200 growing files, 20,000 lines/s in total for 60 s → file',
      files: 200,
      linesPerSecond: 20_000,
      seconds: 60,
      config: paths => tailToFile(paths, '', '')
    },
    {
      kind: 'idle',
      name: 'idle',
      summary: 'one tail input with nothing to read, 20 s',
      seconds: 20,
      config: paths => tailToFile(paths, '', '')
    },
    {
      kind: 'sent',
      name: 'relay',
      summary: 'forward, PackedForward of 500 with ack → forward with ack',
      protocol: 'forward',
      records: 3_000_000,
      to: 'forward',
      config: ({ port, sinkPort }) => `${FAST_FLUSH}
[INPUT]
    name   forward
    listen 127.0.0.1
    port   ${port}

[OUTPUT]
    name                 forward
    match                *
    host                 127.0.0.1
    port                 ${sinkPort}
    require_ack_response on
`
    },
    {
      kind: 'sent',
      name: 'forward',
      summary: 'forward, PackedForward of 500 with ack → file json',
      protocol: 'forward',
      records: 2_000_000,
      to: 'file',
      config: paths => serverToFile(paths, 'forward', '')
    },
    {
      kind: 'sent',
      name: 'syslog',
      summary: 'syslog over TCP, rfc5424 regex → file json',
      protocol: 'syslog',
      records: 2_000_000,
      to: 'file',
      config: paths => serverToFile(paths, 'syslog', '    mode   tcp\n    parser syslog-rfc5424\n')
    },
    {
      kind: 'sent',
      name: 'http',
      summary: 'http, JSON arrays of 300 records → file json',
      protocol: 'http',
      records: 1_800_000,
      to: 'file',
      config: paths => serverToFile(paths, 'http', '')
    },
    {
      kind: 'connections',
      name: 'connections',
      summary: '2,000 open connections to forward that are silent',
      connections: 2_000,
      config: paths => serverToFile(paths, 'forward', '')
    },
    {
      kind: 'start',
      name: 'start',
      summary: 'start to the first record: dummy → stdout',
      config: () => DUMMY_TO_STDOUT
    }
  ]
}

/** What is measured in pairs, of Spillway alone. */
export function pairs({ apache }: LogFiles): PairWork[] {
  const work = (name: string, summary: string, config: FileWork['config']): FileWork => {
    return { kind: 'file', name, summary, input: apache, records: apache.lines, config }
  }
  return [
    {
      kind: 'pair',
      name: 'storage',
      summary: 'regex work with storage.type filesystem and db against memory',
      plain: work('storage_memory', 'in memory', paths => tailToFile(paths, 'apache2', '')),
      other: work('storage_filesystem', 'on disk, with receipts', onDisk)
    },
    {
      kind: 'pair',
      name: 'monitoring',
      summary: 'regex work with http_server on, scraped every second, against without it',
      plain: work('monitoring_off', 'unobserved', paths => tailToFile(paths, 'apache2', '')),
      other: { ...work('monitoring_on', 'scraped every second', observed), isScraped: true }
    }
  ]
}

/** The regex work with the monitoring server, and tags counted. */
function observed(paths: WorkPaths): string {
  const server = `http_server on\n    http_listen 127.0.0.1\n    http_port ${paths.monitoringPort}`
  return tailToFile(paths, 'apache2', '').replace('[SERVICE]\n', `[SERVICE]\n    ${server}\n`)
}

/** The regex work with chunks on disk and positions that move when they are. */
function onDisk(paths: WorkPaths): string {
  const { outputFolder } = paths
  return tailToFile(paths, 'apache2', '')
    .replace('[SERVICE]\n', `[SERVICE]\n    storage.path ${outputFolder}/storage\n`)
    .replace(
      '[INPUT]\n',
      `[INPUT]\n    storage.type   filesystem\n    db             ${outputFolder}/positions.db\n`
    )
}

/**
 * With a flush interval of 0.2 s the last, part-filled chunk weighs little in the time to the last
 * record.
 */
function tailToFile(paths: WorkPaths, parser: string, filters: string): string {
  return `[SERVICE]
    flush        0.2
    log_level    error
    parsers_file ${paths.parsers}

[INPUT]
    name           tail
    path           ${paths.input}
    tag            bench
    read_from_head on
${parser === '' ? '' : `    parser         ${parser}\n`}
${filters}
[OUTPUT]
    name   file
    match  *
    path   ${paths.outputFolder}
    file   ${paths.outputFile}
    format plain
`
}

const FAST_FLUSH = `[SERVICE]
    flush     0.2
    log_level error
`

function serverToFile(paths: SentPaths, name: string, keys: string): string {
  return `${FAST_FLUSH}    parsers_file ${paths.parsers}

[INPUT]
    name   ${name}
    tag    bench
    listen 127.0.0.1
    port   ${paths.port}
${keys}
[OUTPUT]
    name   file
    match  *
    path   ${paths.outputFolder}
    file   ${paths.outputFile}
    format plain
`
}

/** The flush interval is short, so that the time to start is what counts. */
const DUMMY_TO_STDOUT = `[SERVICE]
    flush     0.01
    log_level error

[INPUT]
    name             dummy
    flush_on_startup on

[OUTPUT]
    name  stdout
    match *
`
