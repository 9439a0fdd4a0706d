/** The contexts of plugin instances: what they see of the engine, in the main thread and in threads of their own alike. */
import assert from 'node:assert/strict'
import type { Clock, Timer } from '../base/clock.ts'
import type { Logger, LogLevel } from '../base/log.ts'
import { suggest } from '../base/suggest.ts'
import { ConfigError } from '../config/diagnostics.ts'
import type { Environment } from '../config/env.ts'
import type { ErrorCode } from '../config/error_codes.ts'
import type { ServiceSettings } from '../config/service.ts'
import type { Metrics } from '../metrics/registry.ts'
import type { Parser } from '../parser/parser.ts'
import type { InputContext, PluginContext, ProgramView, TextOutput } from '../plugin/context.ts'
import type { Network } from '../plugin/network.ts'
import type { Gate, InstanceNetwork, NetworkOwner } from './network.ts'
import { type InstanceSpec, labelOf, numberValue, textValue } from './instance.ts'
import { registerConnections } from './output_figures.ts'

/** Parsers by name; each call of `create` makes an instance of its own. */
export interface Parsers {
  create(name: string): Parser | undefined
  readonly names: readonly string[]
}

/** What is around a plugin instance. */
export interface ContextWorld {
  readonly log: Logger
  readonly clock: Clock
  readonly random: () => number
  readonly metrics: Metrics
  readonly environment: Environment
  readonly parsers: Parsers
  /** Prefix of `/proc`, `/sys` and `/etc`, empty outside tests. */
  readonly root: string
  readonly configDirectory: string
  readonly stdout: TextOutput
  /** Makes the network of instances; undefined where no plugin has one, as its code is much. */
  readonly Network: typeof InstanceNetwork | undefined
}

/** What a plugin has that declares no network. */
const NO_NETWORK = new Proxy<Partial<Network>>(
  {},
  {
    get() {
      throw new Error('BUG: a plugin uses the network and declares none')
    }
  }
) as Network

const UNCONNECTED = { total: 0, busy: 0 }

/** What an input has that may run in another thread. */
export const NO_PROGRAM = new Proxy<Partial<ProgramView>>(
  {},
  {
    get() {
      throw new Error('BUG: an input looks at the program and is not declared to be in its thread')
    }
  }
) as ProgramView

/** @param gate What holds the instance back; inputs have one. */
export function pluginContext(
  spec: InstanceSpec,
  kind: 'input' | 'filter' | 'output',
  world: ContextWorld,
  service: ServiceSettings,
  stop: (exitCode: number) => void,
  gate?: Gate
): PluginContext {
  const { clock, random, root, configDirectory, environment, parsers, metrics, stdout } = world
  const label = labelOf(spec)
  const owner = `${kind} ${spec.plugin.name}`
  const log = logger(spec, kind, world.log)
  const mistake = (code: ErrorCode, key: string, message: string, index = 0): ConfigError => {
    const written = spec.written.filter(property => property.key === key)[index]
    const text = `Cannot set "${key}" on ${owner}: ${message}`
    return new ConfigError(code, text, written?.at ?? spec.at, 'start')
  }
  const invalid: PluginContext['invalid'] = (key, message, index) =>
    mistake('CFG_BAD_VALUE', key, message, index)
  const expand = (text: string): string => environment.expand(text).text
  const network = (Made: typeof InstanceNetwork): InstanceNetwork => {
    const counter: NetworkOwner['counter'] = (name, help, labels) =>
      metrics.counter(name, help, { kind, name: label, ...labels })
    const badTlsFiles = (message: string): ConfigError => mistake('CFG_TLS_FILES', 'tls', message)
    const own = { log, clock, expand, invalid, badTlsFiles, counter }
    return new Made(spec, own, gate)
  }
  let net: InstanceNetwork | undefined
  if (spec.plugin.network !== undefined) {
    assert(world.Network !== undefined, 'BUG: the code for networks is not loaded')
    net = network(world.Network)
  }
  if (kind === 'output') registerConnections(metrics, label, () => net?.connections ?? UNCONNECTED)
  return {
    name: spec.name,
    label,
    log,
    clock,
    random,
    net: net ?? NO_NETWORK,
    root,
    configDirectory,
    stdout,
    json: {
      escapeUnicode: service['json.escape_unicode'],
      nanToNull: service['json.convert_nan_to_null']
    },
    properties: spec.written,
    invalid,
    expand,
    parser: name => parsers.create(name),
    unknownParser(key, name) {
      const near = suggest(name, parsers.names)
      const known = parsers.names.length === 0 ? 'none' : parsers.names.join(', ')
      const hint = near === undefined ? '' : `; "${near}" is near`
      return new ConfigError(
        'CFG_UNKNOWN_PARSER',
        `Cannot set "${key}" on ${owner}: there is no parser "${name}": known parsers are ${known}${hint}`,
        spec.written.find(property => property.key === key)?.at ?? spec.at,
        'start'
      )
    },
    counter: (name, help) => metrics.counter(name, help, { name: label }),
    dropped(reason, records, bytes) {
      const labels = { kind, name: label, reason }
      metrics
        .counter('spillway_dropped_records_total', 'Records given up, by reason.', labels)
        .add(records)
      metrics
        .counter('spillway_dropped_bytes_total', 'Bytes given up, by reason.', labels)
        .add(bytes)
    },
    stop: exitCode => stop(exitCode ?? 0)
  }
}

/** Where the events of an input go, and what holds it back; see `InputContext`. */
export type InputDesk = Pick<InputContext, 'sink' | 'forget' | 'flush' | 'paused' | 'ready'>

/** @param timers Get the timers that the input sets, to be cancelled when it stops. */
export function inputContext(
  spec: InstanceSpec,
  context: PluginContext,
  desk: InputDesk,
  timers: Set<Timer>,
  program: ProgramView
): InputContext {
  const { clock } = context
  const add = (timer: Timer): Timer => {
    timers.add(timer)
    return timer
  }
  return {
    ...context,
    program,
    tag: textValue(spec, 'tag') ?? spec.name,
    sink: (tag, signal) => desk.sink(tag, signal),
    forget: tag => desk.forget(tag),
    flush: () => desk.flush(),
    get paused() {
      return desk.paused
    },
    every: (intervalMs, collect) =>
      add(
        clock.every(intervalMs, () => {
          if (!desk.paused) collect()
        })
      ),
    always: (intervalMs, look) => add(clock.every(intervalMs, look)),
    ready: () => desk.ready()
  }
}

function logger(spec: InstanceSpec, kind: string, log: Logger): Logger {
  const level = textValue(spec, 'log_level')?.replace('warning', 'warn') as LogLevel | undefined
  const suppressMs = numberValue(spec, 'log_suppress_interval') * 1000
  return log.child(`[${kind}:${spec.plugin.name}:${labelOf(spec)}] `, level, suppressMs)
}
