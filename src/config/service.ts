/**
 * Keys of the `[SERVICE]` section.
 * Source: Fluent Bit 5.1.1 src/flb_config.c service_configs; reference section 3.
 */
import { double, flag, int, many, size, text, type Values } from './options.ts'

export const SERVICE_OPTIONS = {
  flush: double({ default: '1', doc: 'Seconds after which a part-filled chunk is sent' }),
  'flush.adaptive': flag({ default: 'false', doc: 'Change the flush interval with the load' }),
  'flush.adaptive.min_interval': double({ default: '0.5', doc: 'Shortest adaptive interval' }),
  'flush.adaptive.max_interval': double({ default: '2.0', doc: 'Longest adaptive interval' }),
  'flush.adaptive.low_pressure': double({ default: '25', doc: 'Percent of load that is low' }),
  'flush.adaptive.medium_pressure': double({
    default: '50',
    doc: 'Percent of load that is medium'
  }),
  'flush.adaptive.high_pressure': double({ default: '75', doc: 'Percent of load that is high' }),
  'flush.adaptive.up_steps': int({ default: '2', doc: 'Steps before the interval grows' }),
  'flush.adaptive.down_steps': int({ default: '3', doc: 'Steps before the interval shrinks' }),
  grace: int({ default: '5', doc: 'Seconds to deliver what is left at a stop; -1 waits for ever' }),
  daemon: flag({ default: 'off', doc: 'Run in the background' }),
  log_file: text({ doc: 'File for log lines instead of stderr' }),
  log_level: text({ default: 'info', doc: 'off, error, warn, info, debug or trace' }),
  parsers_file: many(text({ doc: 'File of parsers' })),
  plugins_file: many(text({ doc: 'File of plugins' })),
  streams_file: text({ doc: 'File of stream processor tasks' }),
  'sp.convert_from_str_to_num': flag({
    default: 'true',
    doc: 'Stream processor: read numbers in strings'
  }),
  http_server: flag({ default: 'off', doc: 'Monitoring over HTTP' }),
  http_listen: text({ default: '0.0.0.0', doc: 'Address of the monitoring server' }),
  http_port: text({ default: '2020', doc: 'Port of the monitoring server' }),
  health_check: flag({ default: 'off', doc: 'Answer /api/v1/health' }),
  hc_errors_count: int({ default: '5', doc: 'Errors in hc_period that make unhealthy' }),
  hc_retry_failure_count: int({
    default: '5',
    doc: 'Failed retries in hc_period that make unhealthy'
  }),
  hc_period: int({ default: '60', doc: 'Seconds that the health check looks back' }),
  'dns.mode': text({ doc: 'DNS over UDP or TCP' }),
  'dns.resolver': text({ doc: 'LEGACY or ASYNC' }),
  'dns.prefer_ipv4': flag({ default: 'false', doc: 'Try IPv4 addresses first' }),
  'dns.prefer_ipv6': flag({ default: 'false', doc: 'Try IPv6 addresses first' }),
  'storage.path': text({ doc: 'Folder of chunks on disk' }),
  'storage.sync': text({ default: 'normal', doc: 'normal or full' }),
  'storage.checksum': flag({ default: 'off', doc: 'Check chunks on disk' }),
  'storage.metrics': flag({ default: 'on', doc: 'Metrics of the storage' }),
  'storage.backlog.mem_limit': size({ default: '100M', doc: 'Memory for chunks found at start' }),
  'storage.backlog.flush_on_shutdown': flag({
    default: 'off',
    doc: 'Deliver the backlog at a stop'
  }),
  'storage.max_chunks_up': int({
    default: '128',
    doc: 'Chunks on disk that are in memory at once'
  }),
  'storage.delete_irrecoverable_chunks': flag({ default: 'off', doc: 'Delete unreadable chunks' }),
  'storage.trim_files': flag({ default: 'off', doc: 'Cut chunk files to their content' }),
  'storage.type': text({ doc: 'Default of storage.type of inputs' }),
  'storage.inherit': flag({ default: 'off', doc: 'Inputs take storage.type from here' }),
  'storage.keep.rejected': flag({ default: 'off', doc: 'Keep rejected chunks' }),
  'storage.rejected.path': text({ default: 'rejected', doc: 'Folder of rejected chunks' }),
  'storage.rejected.limit': size({ doc: 'Bytes of rejected chunks that are kept' }),
  coro_stack_size: int({
    default: '24576',
    doc: 'Read and without effect: there are no coroutines'
  }),
  multiline_buffer_limit: text({ default: '2M', doc: 'Bytes of one multiline record' }),
  'scheduler.cap': int({ default: '2000', doc: 'Longest wait between retries in seconds' }),
  'scheduler.base': int({ default: '5', doc: 'Shortest wait between retries in seconds' }),
  'json.convert_nan_to_null': flag({ default: 'false', doc: 'Write NaN as null in JSON' }),
  'json.escape_unicode': flag({ default: 'true', doc: 'Write non-ASCII as \\uXXXX in JSON' }),
  enable_chunk_trace: flag({ default: 'off', doc: 'Allow chunk tracing' }),
  hot_reload: flag({ default: 'off', doc: 'Reload the configuration on SIGHUP' }),
  'hot_reload.ensure_thread_safety': flag({ default: 'on', doc: 'Wait for all tasks at a reload' }),
  'hot_reload.watch': flag({
    default: 'off',
    doc: 'Reload when a file of the configuration changes; works without hot_reload'
  }),
  'hot_reload.timeout': int({ default: '0', doc: 'Seconds before a reload is given up; 0 never' }),
  'security.fips_mode': flag({ default: 'false', doc: 'Use the FIPS provider' }),
  'windows.maxstdio': int({ default: '512', doc: 'Windows only' })
}

export type ServiceSettings = Values<typeof SERVICE_OPTIONS>
