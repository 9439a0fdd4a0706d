/**
 * The options of the command line, in the order of `--help`.
 * Source: Fluent Bit 5.1.1 src/fluent-bit.c (long_opts, flb_help).
 */

/** What an option does; `service` only makes a `[SERVICE]` entry. */
export type OptionAction =
  | 'config'
  | 'custom'
  | 'daemon'
  | 'dryRun'
  | 'filter'
  | 'help'
  | 'helpJson'
  | 'input'
  | 'match'
  | 'output'
  | 'plugin'
  | 'processor'
  | 'property'
  | 'quiet'
  | 'service'
  | 'sosReport'
  | 'streamTask'
  | 'strict'
  | 'supervisor'
  | 'tag'
  | 'trace'
  | 'traceInput'
  | 'traceOutput'
  | 'traceOutputProperty'
  | 'verbose'
  | 'version'
  | 'workdir'

/** One option as the user may write it. */
export interface OptionSpec {
  readonly action: OptionAction
  /** The `[SERVICE]` entry that it makes: a fixed value, or the option's own. */
  readonly service?: { readonly key: string; readonly value?: string }
  /** One letter, or empty when there is only a long form. */
  readonly short: string
  /** Without the dashes; the first one is shown by `--help`. */
  readonly long: readonly string[]
  /** How `--help` names the value; empty when the option takes none. */
  readonly value: string
  /** One line for `--help`. */
  readonly summary: string
  /** True when the option is read but its feature is not in this version. */
  readonly later?: boolean
  /** True for an option that Fluent Bit lacks: it must be written in full. */
  readonly own?: boolean
}

export const COMMAND_LINE_OPTIONS: readonly OptionSpec[] = [
  {
    action: 'service',
    service: { key: 'storage.path' },
    short: 'b',
    long: ['storage_path'],
    value: 'PATH',
    summary: 'specify a storage buffering path',
    later: true
  },
  {
    action: 'config',
    short: 'c',
    long: ['config'],
    value: 'FILE',
    summary: 'specify an optional configuration file'
  },
  {
    action: 'daemon',
    service: { key: 'daemon', value: 'on' },
    short: 'd',
    long: ['daemon'],
    value: '',
    summary: 'run Spillway in background mode'
  },
  {
    action: 'supervisor',
    short: '',
    long: ['supervisor'],
    value: '',
    summary: 'run under a supervising parent process',
    later: true
  },
  {
    action: 'dryRun',
    short: 'D',
    long: ['dry-run'],
    value: '',
    summary: 'check the configuration and exit'
  },
  {
    action: 'strict',
    short: '',
    long: ['strict'],
    value: '',
    summary: 'treat configuration warnings as errors',
    own: true
  },
  {
    action: 'service',
    service: { key: 'flush' },
    short: 'f',
    long: ['flush'],
    value: 'SECONDS',
    summary: 'flush timeout in seconds (default: 1)'
  },
  {
    action: 'custom',
    short: 'C',
    long: ['custom'],
    value: 'CUSTOM',
    summary: 'enable a custom plugin'
  },
  {
    action: 'input',
    short: 'i',
    long: ['input'],
    value: 'INPUT',
    summary: 'set an input'
  },
  {
    action: 'processor',
    short: 'r',
    long: ['processor'],
    value: 'PROCESSOR',
    summary: 'name a processor, for its help only: -r NAME -h'
  },
  {
    action: 'filter',
    short: 'F',
    long: ['filter'],
    value: 'FILTER',
    summary: 'set a filter'
  },
  {
    action: 'match',
    short: 'm',
    long: ['match'],
    value: 'MATCH',
    summary: "set plugin match, same as '-p match=abc'"
  },
  {
    action: 'output',
    short: 'o',
    long: ['output'],
    value: 'OUTPUT',
    summary: 'set an output'
  },
  {
    action: 'property',
    short: 'p',
    long: ['prop'],
    value: '"A=B"',
    summary: 'set plugin configuration property'
  },
  {
    action: 'service',
    service: { key: 'parsers_file' },
    short: 'R',
    long: ['parser'],
    value: 'FILE',
    summary: 'specify a parser configuration file'
  },
  {
    action: 'plugin',
    short: 'e',
    long: ['plugin'],
    value: 'FILE',
    summary: 'load an external plugin'
  },
  {
    action: 'service',
    service: { key: 'log_file' },
    short: 'l',
    long: ['log_file'],
    value: 'FILE',
    summary: 'write log info to a file'
  },
  {
    action: 'tag',
    short: 't',
    long: ['tag'],
    value: 'TAG',
    summary: "set plugin tag, same as '-p tag=abc'"
  },
  {
    action: 'streamTask',
    short: 'T',
    long: ['sp-task'],
    value: 'SQL',
    summary: 'define a stream processor task',
    later: true
  },
  {
    action: 'verbose',
    short: 'v',
    long: ['verbose'],
    value: '',
    summary: 'increase logging verbosity (default: info)'
  },
  {
    action: 'service',
    service: { key: 'enable_chunk_trace', value: 'on' },
    short: 'Z',
    long: ['enable-chunk-trace'],
    value: '',
    summary: 'enable chunk tracing'
  },
  {
    action: 'traceInput',
    short: '',
    long: ['trace-input'],
    value: 'NAME',
    summary: 'input to start tracing on startup'
  },
  {
    action: 'traceOutput',
    short: '',
    long: ['trace-output'],
    value: 'NAME',
    summary: 'output to use for tracing on startup'
  },
  {
    action: 'traceOutputProperty',
    short: '',
    long: ['trace-output-property'],
    value: '"A=B"',
    summary: 'set a property for output tracing on startup'
  },
  {
    action: 'trace',
    short: '',
    long: ['trace'],
    value: 'PIPELINE',
    summary: 'trace on startup, such as "input=dummy.0 output=stdout output.format=json"'
  },
  {
    action: 'workdir',
    short: 'w',
    long: ['workdir'],
    value: 'DIRECTORY',
    summary: 'set the working directory'
  },
  {
    action: 'service',
    service: { key: 'http_server', value: 'on' },
    short: 'H',
    long: ['http', 'http_server'],
    value: '',
    summary: 'enable monitoring HTTP server'
  },
  {
    action: 'service',
    service: { key: 'http_listen' },
    short: 'L',
    long: ['http_listen'],
    value: 'ADDRESS',
    summary: 'set HTTP server listen address (default: 0.0.0.0)'
  },
  {
    action: 'service',
    service: { key: 'http_port' },
    short: 'P',
    long: ['port', 'http_port'],
    value: 'PORT',
    summary: 'set HTTP server TCP port (default: 2020)'
  },
  {
    action: 'service',
    service: { key: 'coro_stack_size' },
    short: 's',
    long: ['coro_stack_size'],
    value: 'BYTES',
    summary: 'accepted for compatibility: Spillway has no coroutine stacks'
  },
  {
    action: 'quiet',
    short: 'q',
    long: ['quiet'],
    value: '',
    summary: 'quiet mode'
  },
  {
    action: 'sosReport',
    short: 'S',
    long: ['sosreport'],
    value: '',
    summary: 'print a support report',
    later: true
  },
  {
    action: 'service',
    service: { key: 'hot_reload', value: 'on' },
    short: 'Y',
    long: ['enable-hot-reload'],
    value: '',
    summary: 'enable for hot reloading',
    later: true
  },
  {
    action: 'service',
    service: { key: 'security.fips_mode', value: 'on' },
    short: '',
    long: ['enable-fips'],
    value: '',
    summary: 'require OpenSSL FIPS mode at startup',
    later: true
  },
  {
    action: 'service',
    service: { key: 'hot_reload.ensure_thread_safety', value: 'off' },
    short: 'W',
    long: ['disable-thread-safety-on-hot-reload'],
    value: '',
    summary: 'disable thread safety on hot reloading',
    later: true
  },
  {
    action: 'helpJson',
    short: 'J',
    long: ['help-json'],
    value: '',
    summary: 'print the options of every plugin as JSON'
  },
  {
    action: 'version',
    short: 'V',
    long: ['version'],
    value: '',
    summary: 'show version number'
  },
  {
    action: 'help',
    short: 'h',
    long: ['help'],
    value: '',
    summary: 'print this help; after -i, -F, -o, -C or -r the help of that plugin'
  }
]

/** `-c (--config)`, or `--strict` for an option without a short form. */
export function optionLabel(option: OptionSpec): string {
  const long = `--${option.long[0]}`
  return option.short === '' ? long : `-${option.short} (${long})`
}
