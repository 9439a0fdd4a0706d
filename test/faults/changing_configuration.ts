/**
 * A configuration that changes at random between two reloads, as text, with the files that it names. Some of the changes
 * are mistakes: those must be refused, and are taken back with the next change.
 */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { section } from './life.ts'

export interface Ports {
  /** Two that the monitoring server may have in turn. */
  readonly monitoring: readonly [number, number]
  readonly forward: number
  readonly http: number
  readonly tcp: number
  readonly exporter: number
  /** One that somebody else has. */
  readonly taken: number
}

export interface ChangingOptions {
  readonly folder: string
  readonly ports: Ports
  /** Properties of the output over HTTP. */
  readonly sink: Readonly<Record<string, string | number>>
  readonly random: () => number
}

/** What was changed, and what must become of the reload. */
export interface ConfigurationChange {
  readonly names: readonly string[]
  readonly outcome: 'done' | 'halted'
}

type Properties = Record<string, string | number>

interface Part {
  readonly kind: 'INPUT' | 'FILTER' | 'OUTPUT'
  readonly properties: Properties
}

/** Values that a key may have; without a text it is not written. */
type Choice = readonly [part: string, key: string, values: readonly (string | number)[]]

const TAIL = { name: 'tail', read_from_head: 'on', rotate_wait: 2, refresh_interval: 1 }

/** Parts that are there at times, and no line depends on. */
const OPTIONAL: Readonly<Record<string, Part>> = {
  dummy: part('INPUT', { name: 'dummy', tag: 'dummy', interval_nsec: 100_000_000 }),
  'dummy in a thread': part('INPUT', { name: 'dummy', tag: 'dummy', threaded: 'on' }),
  'another tail': part('INPUT', { ...TAIL, tag: 'dummy', path: 'logs/*/*.log' }),
  modify: part('FILTER', { name: 'modify', match: 'app.*', add: 'meta_run 1' }),
  grep: part('FILTER', { name: 'grep', match: 'app.*', exclude: 'log ^never$' }),
  nest: part('FILTER', {
    name: 'nest',
    match: 'app.*',
    operation: 'nest',
    wildcard: 'meta_*',
    nest_under: 'meta'
  }),
  stamp: part('FILTER', { name: 'stamp', match: 'app.*' }),
  rewrite: part('FILTER', {
    name: 'rewrite_tag',
    match: 'app.*',
    rule: '$log ^[a-f] app.again false',
    emitter_name: 'again'
  }),
  null: part('OUTPUT', { name: 'null', match: '*' }),
  stdout: part('OUTPUT', { name: 'stdout', match: 'dummy' }),
  exporter: part('OUTPUT', { name: 'prometheus_exporter', match: 'none', port: '${EXPORTER_PORT}' })
}

const CHOICES: readonly Choice[] = [
  ['plain', 'key', ['log', 'line']],
  ['plain', 'buffer_max_size', ['40k', '64k', '128k']],
  ['plain', 'skip_empty_lines', ['on', 'off']],
  ['plain', 'refresh_interval', [1, 2]],
  ['plain', 'parser', ['', 'whole']],
  ['stored', 'key', ['log', 'line']],
  ['stored', 'buffer_max_size', ['40k', '64k']],
  ['stored', 'storage.type', ['memory', 'filesystem']],
  ['stored', 'alias', ['', 'stored']],
  ['forward', 'buffer_max_size', ['6M', '8M']],
  ['forward', 'storage.type', ['memory', 'filesystem']],
  ['http', 'buffer_max_size', ['4M', '8M']],
  ['http', 'threaded', ['', 'on']],
  ['file', 'file', ['delivered.0', 'delivered.1', 'delivered.2']],
  ['file', 'retry_limit', ['no_limits', 1000]],
  ['sink', 'retry_limit', ['no_limits', 1000]],
  ['sink', 'header', ['X-Run 1', 'X-Run 2']],
  ['modify', 'add', ['meta_run 1', 'meta_run 2']],
  ['rewrite', 'rule', ['$log ^[a-f] app.again false', '$log ^[a-c] app.$TAG false']],
  ['rewrite', 'emitter_storage.type', ['memory', 'filesystem']],
  ['service', 'flush', [0.1, 0.2, 0.3]],
  ['service', 'log_level', ['info', 'debug']],
  ['service', 'hc_period', [5, 60]],
  ['service', 'health_check', ['on', 'off']],
  ['service', 'storage.max_chunks_up', [16, 128]],
  ['service', 'storage.metrics', ['on', 'off']],
  ['service', 'json.escape_unicode', ['true', 'false']],
  ['service', 'scheduler.cap', [2, 3]]
]

/** Those that start threads, which takes time: they are rare. */
const THREADED_CHOICES: readonly Choice[] = [
  ['threaded', 'key', ['log', 'line']],
  ['threaded', 'buffer_max_size', ['40k', '64k']],
  ['sink', 'workers', [0, 1, 2]],
  ['file', 'workers', [0, 1]]
]

export class ChangingConfiguration {
  readonly #options: ChangingOptions
  #service: Properties
  #parts: Map<string, Part>
  #order: string[]
  /** What the file of parsers and that of the plugin are like. */
  #parserKey = 'log'
  #version = 0
  readonly #written = new Map<string, string>()

  constructor(options: ChangingOptions) {
    this.#options = options
    this.#service = service(options)
    this.#parts = parts(options)
    this.#order = [...this.#parts.keys()]
    this.#writeFiles()
  }

  /** Where the monitoring server listens. */
  get monitoringPort(): number {
    return Number(this.#service['http_port'])
  }

  /** Makes it as it was in the beginning. */
  reset(): ConfigurationChange {
    this.#service = service(this.#options)
    this.#parts = parts(this.#options)
    this.#order = [...this.#parts.keys()]
    this.#parserKey = 'log'
    this.#writeFiles()
    return { names: ['as in the beginning'], outcome: 'done' }
  }

  /** Changes something, or several things, or nothing. */
  change(): ConfigurationChange {
    const { random } = this.#options
    const chance = random()
    if (chance < 0.05) {
      this.#writeFiles()
      return { names: ['nothing'], outcome: 'done' }
    }
    const before = structuredClone({
      service: this.#service,
      parts: this.#parts,
      order: this.#order
    })
    const port = this.monitoringPort
    const count = chance < 0.7 ? 1 : 2 + Math.floor(random() * 3)
    const names = Array.from({ length: count }, () => this.#changeOne())
    if (random() >= 0.15) {
      this.#writeFiles()
      return { names, outcome: 'done' }
    }
    const mistake = this.#breakOne()
    this.#service = { ...before.service, http_port: port }
    this.#parts = before.parts
    this.#order = before.order
    return { names: [...names, mistake], outcome: 'halted' }
  }

  #changeOne(): string {
    const { random, ports } = this.#options
    const chance = random()
    if (chance < 0.04) return this.#changeParsers()
    if (chance < 0.08) return `plugin file ${++this.#version}`
    if (chance < 0.1) {
      this.#service['http_port'] = this.#pick(ports.monitoring)
      return 'service http_port'
    }
    if (chance < 0.18) {
      shuffle(this.#order, random)
      return 'order'
    }
    if (chance < 0.4) return this.#changeOptional()
    return this.#choose(this.#pick(chance < 0.45 ? THREADED_CHOICES : CHOICES))
  }

  #changeParsers(): string {
    this.#parserKey = this.#parserKey === 'log' ? 'line' : 'log'
    return 'parsers file'
  }

  #changeOptional(): string {
    const [name, made] = this.#pick(Object.entries(OPTIONAL))
    if (this.#parts.delete(name)) {
      this.#order = this.#order.filter(other => other !== name)
      return `without ${name}`
    }
    this.#parts.set(name, structuredClone(made))
    this.#order.push(name)
    return `with ${name}`
  }

  #choose([name, key, values]: Choice): string {
    const value = this.#pick(values)
    const properties = name === 'service' ? this.#service : this.#parts.get(name)?.properties
    if (properties === undefined) return 'nothing'
    if (value === '') delete properties[key]
    else properties[key] = value
    return `${name} ${key} ${value}`
  }

  /** Writes a configuration that must be refused, or cannot start. */
  #breakOne(): string {
    const { ports } = this.#options
    const taken = { listen: '127.0.0.1', host: '127.0.0.1', port: ports.taken }
    const breaks: Record<string, () => string> = {
      'unknown key': () => section('OUTPUT', { name: 'null', match: '*', wrong: 1 }),
      'unknown plugin': () => section('INPUT', { name: 'nobody' }),
      'bad regex': () => section('FILTER', { name: 'grep', match: '*', regex: 'log (' }),
      'bad value': () => section('SERVICE', { flush: 0 }),
      'no configuration': () => '[OUTPUT\n  name null\n',
      'missing parsers file': () => section('SERVICE', { parsers_file: 'missing.conf' }),
      'missing plugin file': () => section('SERVICE', { plugins_file: 'missing.conf' }),
      'input at a taken port': () =>
        section('INPUT', { name: 'tcp', ...taken, port: ports.taken, tag: 'dummy' }),
      'HTTP input at a taken port': () =>
        section('INPUT', { name: 'http', ...taken, tag: 'dummy' }),
      'output at a taken port': () =>
        section('OUTPUT', { name: 'prometheus_exporter', match: 'none', ...taken }),
      'monitoring at a taken port': () => section('SERVICE', { http_port: ports.taken })
    }
    const [name, make] = this.#pick(Object.entries(breaks))
    this.#writeFiles(make())
    return name
  }

  #writeFiles(more = ''): void {
    this.#write('parsers.conf', parsersText(this.#parserKey))
    this.#write('stamp.mjs', pluginText(this.#version))
    const sections = this.#order.map(name => {
      const { kind, properties } = this.#parts.get(name) as Part
      return section(kind, properties)
    })
    const text = [section('SERVICE', this.#service), ...sections, more].join('\n')
    this.#write('fluent-bit.conf', text)
  }

  /** Leaves a file alone that is as it should be. */
  #write(name: string, text: string): void {
    if (this.#written.get(name) === text) return
    this.#written.set(name, text)
    writeFileSync(join(this.#options.folder, name), text)
  }

  #pick<T>(values: readonly T[]): T {
    return values[Math.floor(this.#options.random() * values.length)]
  }
}

function service({ ports }: ChangingOptions): Properties {
  return {
    flush: 0.2,
    grace: 10,
    log_level: 'info',
    log_file: 'agent.log',
    parsers_file: 'parsers.conf',
    'scheduler.base': 1,
    'scheduler.cap': 2,
    'storage.path': 'store',
    hot_reload: 'on',
    http_server: 'on',
    http_listen: '127.0.0.1',
    http_port: ports.monitoring[0]
  }
}

/** Those that are always there. */
function parts({ ports, sink }: ChangingOptions): Map<string, Part> {
  const listen = '127.0.0.1'
  return new Map([
    ['plain', part('INPUT', { ...TAIL, path: 'logs/plain/*.log', tag: 'app.plain' })],
    [
      'stored',
      part('INPUT', {
        ...TAIL,
        path: 'logs/stored/*.log*',
        tag: 'app.stored.*',
        db: 'stored.db',
        'storage.type': 'filesystem'
      })
    ],
    [
      'threaded',
      part('INPUT', {
        ...TAIL,
        path: 'logs/threaded/*.log*',
        tag: 'app.threaded',
        db: 'threaded.db',
        threaded: 'on'
      })
    ],
    ['forward', part('INPUT', { name: 'forward', listen, port: ports.forward })],
    ['http', part('INPUT', { name: 'http', listen, port: ports.http })],
    [
      'tcp',
      part('INPUT', {
        name: 'tcp',
        alias: 'lasting',
        listen,
        port: ports.tcp,
        tag: 'app.tcp',
        format: 'json'
      })
    ],
    [
      'file',
      part('OUTPUT', {
        name: 'file',
        match: 'app.*',
        path: 'delivered',
        file: 'delivered.0',
        format: 'plain',
        retry_limit: 'no_limits'
      })
    ],
    ['sink', part('OUTPUT', { ...sink, match: 'app.*', workers: 2, retry_limit: 'no_limits' })]
  ])
}

function part(kind: Part['kind'], properties: Properties): Part {
  return { kind, properties }
}

function parsersText(key: string): string {
  return section('PARSER', { name: 'whole', format: 'regex', regex: `^(?<${key}>.*)$` })
}

function pluginText(version: number): string {
  return `import { defineFilter, Key } from 'spillway'
const VERSION = new Key('version')
export const stamp = defineFilter({
  name: 'stamp',
  summary: 'Says which version it is',
  options: {},
  create: () => ({
    filter(event) {
      event.set(VERSION, ${version})
      return true
    }
  })
})
`
}

function shuffle(list: unknown[], random: () => number): void {
  for (let last = list.length - 1; last > 0; last--) {
    const other = Math.floor(random() * (last + 1))
    ;[list[last], list[other]] = [list[other], list[last]]
  }
}
