/**
 * Keys that every instance of a kind understands, besides its plugin's own.
 * Source: Fluent Bit 5.1.1 src/flb_input.c, flb_filter.c, flb_output.c, flb_upstream.c, flb_downstream.c, src/tls/flb_tls.c; reference section 4.
 */
import {
  choice,
  double,
  flag,
  int,
  type OptionTable,
  refused,
  seconds,
  secret,
  size,
  text
} from '../config/options.ts'
import type { NetworkRole, PluginKind } from './define.ts'

const LEVEL_WORDS = ['off', 'error', 'warn', 'warning', 'info', 'debug', 'trace'] as const

const COMMON = {
  alias: text({ doc: 'Name of the instance in log lines, metrics and routes' }),
  log_level: choice(LEVEL_WORDS, {
    doc: 'Most talkative level of log lines of this instance; the service level unless set'
  }),
  log_suppress_interval: seconds({
    default: '0',
    doc: 'Do not repeat similar log lines of this instance within this time; 0 repeats them'
  })
}

/** Shown by help under GLOBAL_OPTIONS. */
export const INPUT_OPTIONS = {
  tag: text({ doc: 'Tag of the records; the name of the instance unless set' }),
  log_level: COMMON.log_level,
  log_suppress_interval: COMMON.log_suppress_interval,
  routable: flag({ default: 'true', doc: 'Route the records to outputs; false discards them' }),
  alias: COMMON.alias,
  mem_buf_limit: size({
    default: '0',
    doc: 'Pause the input when its undelivered records hold this much memory; 0 is no limit'
  }),
  'storage.type': choice(['memory', 'filesystem', 'memrb'], {
    default: 'memory',
    doc: 'Where undelivered records are kept: memory, filesystem or memrb'
  }),
  'storage.pause_on_chunks_overlimit': flag({
    default: 'false',
    doc: 'Pause the input when storage.max_chunks_up is reached'
  }),
  threaded: flag({ default: 'false', doc: 'Run the input in a thread of its own' }),
  'thread.ring_buffer.capacity': int({
    default: '1024',
    doc: 'Batches of events that a threaded input may have on their way to the engine'
  }),
  'thread.ring_buffer.window': int({
    default: '5',
    doc: 'Read and without effect: the engine is told of each batch at once'
  }),
  rate_window: seconds({ default: '1s', doc: 'Time over which input rates are measured' }),
  rate_gate: flag({ default: 'false', doc: 'Pause the input when its rate is too high' }),
  'rate_gate.max_bytes': size({ default: '0', doc: 'Bytes per second before the gate closes' }),
  'rate_gate.max_records': int({ default: '0', doc: 'Records per second before the gate closes' }),
  'rate_gate.backpressure': flag({
    default: 'true',
    doc: 'Lower the limits while chunks are busy or retried'
  }),
  'rate_gate.resume_ratio': double({
    default: '0.80',
    doc: 'Share of the limit below which the input goes on'
  })
}

/** Understood by every input and not shown by help. */
export const INPUT_HIDDEN_OPTIONS = {
  listen: text({ doc: 'Address to listen on' }),
  host: text({ doc: 'Address of the remote or to listen on' }),
  port: int({ doc: 'TCP or UDP port' }),
  ipv6: flag({ default: 'false', doc: 'Use IPv6' }),
  workers: int({ doc: 'Worker threads' }),
  acknowledge: choice(['stored', 'delivered'], {
    default: 'stored',
    doc: 'When a sender is answered or a position is kept: once events are stored, or delivered'
  })
}

export const FILTER_OPTIONS = {
  match: text({ doc: 'Tags to filter; * stands for any text' }),
  match_regex: text({ doc: 'Tags to filter, as a regular expression from the start of the tag' }),
  alias: COMMON.alias,
  log_level: COMMON.log_level,
  log_suppress_interval: COMMON.log_suppress_interval
}

export const FILTER_HIDDEN_OPTIONS = {
  active: text({ doc: 'false turns the filter off' })
}

const WINDOWS_ONLY = 'it exists on Windows only'

/** Shown by help under GLOBAL_OPTIONS. */
export const OUTPUT_OPTIONS = {
  match: text({ doc: 'Tags to deliver; * stands for any text' }),
  match_regex: text({ doc: 'Tags to deliver, as a regular expression from the start of the tag' }),
  alias: COMMON.alias,
  log_level: COMMON.log_level,
  log_suppress_interval: COMMON.log_suppress_interval,
  retry_limit: text({
    default: '1',
    doc: 'Retries of a failed chunk: a number, no_limits (or false) or no_retries'
  }),
  'tls.windows.certstore_name': refused(text({ doc: 'Windows only' }), WINDOWS_ONLY),
  'tls.windows.use_enterprise_store': refused(text({ doc: 'Windows only' }), WINDOWS_ONLY),
  'tls.windows.client_thumbprints': refused(text({ doc: 'Windows only' }), WINDOWS_ONLY)
}

/** Understood by every output and not shown by help. */
export const OUTPUT_HIDDEN_OPTIONS = {
  host: text({ doc: 'Address of the remote' }),
  port: int({ doc: 'Port of the remote' }),
  ipv6: flag({ default: 'false', doc: 'Use IPv6' }),
  workers: int({ doc: 'Threads that the output runs in; none unless set' }),
  'storage.total_limit_size': text({ doc: 'Bytes of chunks kept on disk for this output' }),
  '_debug.http.request_headers': flag({ default: 'false', doc: 'Log request headers' }),
  '_debug.http.request_payload': flag({ default: 'false', doc: 'Log request bodies' }),
  '_debug.http.response_headers': flag({ default: 'false', doc: 'Log answer headers' }),
  '_debug.http.response_payload': flag({ default: 'false', doc: 'Log answer bodies' })
}

/** `net.*` of plugins that connect to a remote. */
export const CLIENT_NET_OPTIONS = {
  'net.dns.mode': text({ doc: 'DNS over UDP or TCP' }),
  'net.dns.resolver': text({ doc: 'LEGACY or ASYNC' }),
  'net.dns.prefer_ipv4': flag({ default: 'false', doc: 'Try IPv4 addresses first' }),
  'net.dns.prefer_ipv6': flag({ default: 'false', doc: 'Try IPv6 addresses first' }),
  'net.keepalive': flag({ default: 'true', doc: 'Keep connections open between requests' }),
  'net.keepalive_idle_timeout': seconds({
    default: '30s',
    doc: 'Close a connection that was not used for this time'
  }),
  'net.tcp_keepalive': flag({ default: 'off', doc: 'TCP keep-alive probes' }),
  'net.tcp_keepalive_time': int({ default: '-1', doc: 'Seconds of silence before a probe' }),
  'net.tcp_keepalive_interval': int({ default: '-1', doc: 'Seconds between probes' }),
  'net.tcp_keepalive_probes': int({
    default: '-1',
    doc: 'Probes before the connection is given up'
  }),
  'net.io_timeout': seconds({ default: '0s', doc: 'Longest silence while waiting for data' }),
  'net.connect_timeout': seconds({ default: '10s', doc: 'Longest time to connect' }),
  'net.connect_timeout_log_error': flag({
    default: 'true',
    doc: 'Log a connect time-out as an error; else at debug'
  }),
  'net.source_address': text({ doc: 'Address to connect from' }),
  'net.keepalive_max_recycle': int({ default: '2000', doc: 'Requests over one connection' }),
  'net.max_worker_connections': int({ default: '0', doc: 'Connections at once; 0 is no limit' }),
  'net.proxy_env_ignore': flag({ default: 'FALSE', doc: 'Ignore HTTP_PROXY and NO_PROXY' })
}

/** `net.*` of plugins that listen. */
export const SERVER_NET_OPTIONS = {
  'net.share_port': flag({ default: 'false', doc: 'Let several listeners share the port' }),
  'net.backlog': int({ default: '128', doc: 'Connections waiting to be accepted' }),
  'net.io_timeout': seconds({ default: '0s', doc: 'Longest silence of a connection' }),
  'net.accept_timeout': seconds({ default: '10s', doc: 'Longest time to accept a connection' }),
  'net.accept_timeout_log_error': flag({
    default: 'true',
    doc: 'Log an accept time-out as an error; else at debug'
  }),
  'net.keepalive': flag({ default: 'true', doc: 'Keep connections open between requests' })
}

/** `tls` and `tls.*` of network plugins. */
export const TLS_OPTIONS = {
  tls: flag({ default: 'off', doc: 'Use TLS' }),
  'tls.verify': flag({ default: 'on', doc: 'Check the certificate of the remote' }),
  'tls.verify_client_cert': flag({ default: 'off', doc: 'Ask clients for a certificate' }),
  'tls.debug': int({ default: '1', doc: 'TLS messages: 0 none to 4 all' }),
  'tls.ca_file': text({ doc: 'File of trusted certificates' }),
  'tls.ca_path': text({ doc: 'Folder of trusted certificates' }),
  'tls.crt_file': text({ doc: 'Own certificate' }),
  'tls.key_file': text({ doc: 'Own private key' }),
  'tls.key_passwd': secret(text({ doc: 'Password of the private key' })),
  'tls.vhost': text({ doc: 'Server name to ask for (SNI)' }),
  'tls.verify_hostname': flag({ default: 'off', doc: 'Check the name in the certificate' }),
  'tls.min_version': text({ doc: 'Lowest TLS version' }),
  'tls.max_version': text({ doc: 'Highest TLS version' }),
  'tls.ciphers': text({ doc: 'TLS ciphers' }),
  'tls.proxy.ca_file': text({ doc: 'File of certificates trusted for the proxy' }),
  'tls.proxy.ca_path': text({ doc: 'Folder of certificates trusted for the proxy' }),
  'tls.proxy.verify': flag({ default: 'on', doc: 'Check the certificate of the proxy' }),
  'tls.proxy.verify_hostname': flag({
    default: 'on',
    doc: "Check the name in the proxy's certificate"
  })
}

/**
 * `http_server.*` of plugins that serve HTTP; the names without the prefix are older, and go before them.
 * Source: Fluent Bit 5.1.1 src/http_server/flb_http_server_config_map.c.
 */
export const HTTP_SERVER_OPTIONS = {
  'http_server.http2': flag({ default: 'true', doc: 'Speak HTTP/2 too' }),
  'http_server.idle_timeout': seconds({
    default: '10s',
    doc: 'Close a connection that is silent for this time; 0 never does'
  }),
  'http_server.buffer_max_size': size({ default: '4M', doc: 'Longest body, also when expanded' }),
  'http_server.buffer_chunk_size': size({
    default: '512K',
    doc: 'Read and without effect: buffers grow as needed'
  }),
  'http_server.max_connections': size({ default: '0', doc: 'Connections at once; 0 is no limit' }),
  'http_server.workers': int({ default: '1', doc: 'Threads that listen' }),
  'http_server.ingress_queue_event_limit': size({
    default: '8192',
    doc: 'Read and without effect: a thread waits for room by itself'
  }),
  'http_server.ingress_queue_byte_limit': size({
    default: '256M',
    doc: 'Read and without effect: a thread waits for room by itself'
  }),
  http2: flag({ default: 'true', doc: 'As http_server.http2' }),
  buffer_max_size: size({ default: '4M', doc: 'As http_server.buffer_max_size' }),
  buffer_chunk_size: size({ default: '512K', doc: 'As http_server.buffer_chunk_size' }),
  max_connections: size({ default: '0', doc: 'As http_server.max_connections' }),
  workers: int({ default: '1', doc: 'As http_server.workers' })
}

/** Only Spillway has these; Fluent Bit has `upstream` for a few outputs. */
const CLIENT_HIDDEN_OPTIONS = {
  upstream: text({ doc: 'Group of endpoints: a file, or the name of one of upstream_servers' })
}

/** What a plugin says of its network. */
interface Networked {
  readonly kind: PluginKind
  readonly network?: NetworkRole | undefined
  readonly tls?: false
}

/** Keys that a plugin has for what it does on the network. */
export function networkOptions(plugin: Networked): OptionTable {
  const { network, tls } = plugin
  if (network === undefined) return {}
  const secured = tls === false ? {} : TLS_OPTIONS
  const net = netOptions(plugin)
  if (network === 'client') return { ...CLIENT_HIDDEN_OPTIONS, ...net, ...secured }
  if (network === 'server') return { ...net, ...secured }
  return { ...HTTP_SERVER_OPTIONS, ...net, ...secured }
}

/** `net.*` of a plugin with a network. An output that serves has those of clients, as in Fluent Bit. */
export function netOptions({ kind, network }: Networked): OptionTable {
  const isClient = kind === 'output' || network === 'client'
  return isClient ? CLIENT_NET_OPTIONS : SERVER_NET_OPTIONS
}
