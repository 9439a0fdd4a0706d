/**
 * Makes plugin instances from their resolved configuration: the context that a plugin sees, its counters, and the runtime around it.
 */
import { crc32 } from 'node:zlib'
import type { Timer } from '../base/clock.ts'
import type { Logger } from '../base/log.ts'
import { ConfigError, type Diagnostics, type Location } from '../config/diagnostics.ts'
import type { ServiceSettings } from '../config/service.ts'
import type { Counter } from '../metrics/registry.ts'
import { snapshot } from '../metrics/snapshot.ts'
import { compileOnigmo } from '../parser/onigmo.ts'
import type { Emitter, FilterContext, PluginContext, ProgramView } from '../plugin/context.ts'
import type { Filter } from '../plugin/define.ts'
import { compileCondition, type ConditionSpec } from '../record/condition.ts'
import { compileMatch } from '../record/tag.ts'
import { parseSize } from '../config/units.ts'
import { EmitterRuntime, type Emitters } from './emitter.ts'
import { type EventCondition, FilterChain, type FilterStep } from './filter_chain.ts'
import {
  type InputCounters,
  type InputRoute,
  InputRuntime,
  type InputWorld
} from './input_runtime.ts'
import {
  type FilterSpec,
  type InputSpec,
  type InstanceSpec,
  labelOf,
  numberValue,
  type OutputSpec,
  type ProcessorSpec,
  type RouteSpec,
  textValue
} from './instance.ts'
import type { Gate } from './network.ts'
import { OutputRuntime } from './output_runtime.ts'
import { inputContext, NO_PROGRAM, pluginContext } from './plugin_context.ts'
import { RateGate } from './rate_gate.ts'
import { receiptMoment, type StorageType } from './receipt.ts'
import { parseRetryLimit } from './retry.ts'
import type { Storage } from './storage.ts'
import { storageType } from './storage_type.ts'
import { InstanceThreads } from './threads/instance_threads.ts'
import type { EngineWorld, PipelineSpec } from './world.ts'

/** A filter with its place in the pipeline. */
export interface FilterRuntime extends FilterStep {
  readonly name: string
  readonly matches: (tag: string) => boolean
}

/** What instances share with the pipeline that they are made for. */
export interface Owner {
  /** Inputs and emitters made so far. */
  readonly inputs: InputRuntime[]
  readonly timers: Set<Timer>
  readonly emitters: Emitters
  readonly storage: Storage
  world(log: Logger): InputWorld
  stop(exitCode: number): void
}

export class InstanceFactory {
  readonly #world: EngineWorld
  readonly #service: ServiceSettings
  readonly #diagnostics: Diagnostics
  readonly #owner: Owner
  readonly #threads: InstanceThreads

  constructor(
    world: EngineWorld,
    service: ServiceSettings,
    diagnostics: Diagnostics,
    owner: Owner
  ) {
    this.#world = world
    this.#service = service
    this.#diagnostics = diagnostics
    this.#owner = owner
    this.#threads = new InstanceThreads(world, service, diagnostics)
  }

  /** The runtime of an input; empty when the plugin refused its configuration. */
  input(spec: InputSpec, outputs: readonly OutputRuntime[]): InputRuntime[] {
    const { log } = this.#world
    const processors = this.#processors(spec.processors)
    const routes = spec.routes.flatMap(route => this.#route(route, spec, outputs))
    const label = labelOf(spec)
    const storage = this.#storageType(spec)
    const acknowledge = this.#acknowledge(spec)
    const runtime = new InputRuntime(
      {
        name: spec.name,
        label,
        plugin: spec.plugin.name,
        storage,
        receiptMoment: receiptMoment(spec.plugin.receipts, storage, acknowledge),
        trustsDisk: acknowledge !== 'delivered',
        memBufLimit: numberValue(spec, 'mem_buf_limit'),
        pausesOnChunks: spec.values['storage.pause_on_chunks_overlimit'] === true,
        rateGate: this.#rateGate(spec),
        routable: spec.values['routable'] !== false,
        processors,
        routes
      },
      this.#owner.world(log),
      this.#inputCounters(label)
    )
    return this.#guard(spec, () => {
      const base = this.#context(spec, 'input', runtime)
      const context = inputContext(spec, base, runtime, this.#owner.timers, this.#program(spec))
      const input = spec.plugin.create(spec.values, context)
      runtime.input = this.#threads.input(spec, input, context, runtime)
      return runtime
    })
  }

  /** The runtime of a filter; empty when it is off or refused its configuration. */
  filter(spec: FilterSpec): FilterRuntime[] {
    const active = textValue(spec, 'active')?.toLowerCase()
    if (active === 'false' || active === '0') return []
    const matches = this.#matcher(spec)
    if (matches === undefined) {
      this.#diagnostics.error(
        'CFG_NO_MATCH',
        `Cannot start filter ${spec.plugin.name}: it needs "match" or "match_regex"`,
        spec.at,
        'start'
      )
      return []
    }
    return this.#guard(spec, () => ({
      ...this.#step(spec, matches),
      name: spec.name,
      matches
    }))
  }

  /** The runtime of an output; empty when it refused its configuration. */
  output(spec: OutputSpec, pipeline: PipelineSpec): OutputRuntime[] {
    const { log, clock, random } = this.#world
    const { inputs, outputs } = pipeline
    const label = labelOf(spec)
    let matches = this.#matcher(spec)
    if (matches === undefined && inputs.length === 1 && outputs.length === 1) matches = () => true
    if (matches === undefined && !isRouted(spec, pipeline)) {
      this.#diagnostics.warning(
        'CFG_NO_MATCH',
        `NO match for ${spec.name} output instance: no data reaches it`,
        spec.at
      )
    }
    const context = this.#context(spec, 'output')
    return this.#guard(spec, () => {
      const { flush: flushSeconds } = this.#service
      const created = spec.plugin.create(spec.values, { ...context, id: spec.id, flushSeconds })
      const { output, concurrency } = this.#threads.output(spec, created, context)
      return new OutputRuntime(
        {
          name: spec.name,
          label,
          id: spec.id,
          route: `${spec.plugin.name}/${spec.name}`,
          identity: identityOf(spec),
          matches: matches ?? (() => false),
          signals: spec.plugin.signals ?? ['logs'],
          retryLimit: this.#retryLimit(spec),
          concurrency,
          processors: this.#processors(spec.processors),
          storedBytesMax: this.#storedBytesMax(spec)
        },
        output,
        {
          log,
          clock,
          random,
          schedulerBase: this.#service['scheduler.base'],
          schedulerCap: this.#service['scheduler.cap'],
          up: this.#owner.storage.up,
          keep: given => this.#owner.storage.keep(given)
        },
        this.#outputCounters(label),
        context.dropped
      )
    })
  }

  #storageType(spec: InputSpec): StorageType {
    const written = spec.written.find(property => property.key === 'storage.type')
    const own = written === undefined ? undefined : textValue(spec, 'storage.type')
    const at = written?.at ?? spec.at
    return storageType(own, `input ${spec.name}`, this.#service, at, this.#diagnostics)
  }

  /** What `acknowledge` says; it means something only for inputs that have someone to tell. */
  #acknowledge(spec: InputSpec): 'stored' | 'delivered' {
    const written = spec.written.find(property => property.key === 'acknowledge')
    if (written !== undefined && spec.plugin.receipts === undefined) {
      const message = `Key "acknowledge" has no effect on input ${spec.plugin.name}: it has nobody to tell`
      this.#diagnostics.warning('CFG_BAD_VALUE', message, written.at)
    }
    return spec.values['acknowledge'] === 'delivered' ? 'delivered' : 'stored'
  }

  #rateGate(spec: InputSpec): RateGate | undefined {
    const resumeRatio = numberValue(spec, 'rate_gate.resume_ratio')
    if (resumeRatio <= 0 || resumeRatio >= 1) {
      const at = spec.written.find(property => property.key === 'rate_gate.resume_ratio')?.at
      const message = `Cannot set "rate_gate.resume_ratio" on input ${spec.plugin.name}: value must be above 0 and below 1: current value is ${resumeRatio}`
      this.#diagnostics.error('CFG_BAD_VALUE', message, at ?? spec.at)
    }
    if (spec.values['rate_gate'] !== true) return undefined
    return new RateGate({
      windowMs: (numberValue(spec, 'rate_window') || 1) * 1000,
      maxBytes: numberValue(spec, 'rate_gate.max_bytes'),
      maxRecords: numberValue(spec, 'rate_gate.max_records'),
      usesPressure: spec.values['rate_gate.backpressure'] !== false,
      resumeRatio
    })
  }

  /** Bytes of chunks with a file that an output may have; undefined for no limit. */
  #storedBytesMax(spec: OutputSpec): number | undefined {
    const text = textValue(spec, 'storage.total_limit_size')
    if (text === undefined || ['off', 'false'].includes(text.toLowerCase())) return undefined
    const limit = parseSize(text)
    if (limit !== undefined && limit >= 0) return limit === 0 ? undefined : limit
    const at = spec.written.find(property => property.key === 'storage.total_limit_size')?.at
    const message = `Cannot set "storage.total_limit_size" on output ${spec.plugin.name}: value must be a size (bytes, K, M, G) or off: current value is "${text}"`
    this.#diagnostics.error('CFG_BAD_VALUE', message, at ?? spec.at)
    return undefined
  }

  #retryLimit(spec: OutputSpec): number {
    const text = textValue(spec, 'retry_limit') ?? '1'
    const limit = parseRetryLimit(text)
    if (limit !== undefined) return limit
    this.#diagnostics.warning(
      'CFG_BAD_VALUE',
      `Value of "retry_limit" on output ${spec.plugin.name} must be a number above 0, no_limits or no_retries: current value is "${text}", 1 is used`,
      spec.written.find(property => property.key === 'retry_limit')?.at
    )
    return 1
  }

  /** The match of a filter or output; undefined when it has none. */
  #matcher(spec: InstanceSpec): ((tag: string) => boolean) | undefined {
    const match = textValue(spec, 'match')
    const pattern = textValue(spec, 'match_regex')
    const byText = match === undefined ? undefined : compileMatch(match)
    if (pattern === undefined || pattern === '') return byText
    const [regex] = this.#guard(spec, () =>
      compileOnigmo(pattern, spec.written.find(property => property.key === 'match_regex')?.at)
    )
    if (regex === undefined) return byText
    const byPattern = (tag: string): boolean => regex.matchesPrefix(tag)
    return byText === undefined ? byPattern : tag => byText(tag) || byPattern(tag)
  }

  #processors(specs: readonly ProcessorSpec[]): FilterChain | undefined {
    const steps: FilterStep[] = []
    for (const spec of specs) {
      const condition = this.#condition(spec.condition)
      steps.push(...this.#guard(spec, () => ({ ...this.#step(spec, () => true), condition })))
    }
    return steps.length === 0 ? undefined : new FilterChain(steps)
  }

  #condition(spec: ConditionSpec | undefined): EventCondition | undefined {
    if (spec === undefined) return undefined
    const compiled = compileCondition(spec, pattern => compileOnigmo(pattern))
    if (compiled.ok) return compiled.matches
    this.#diagnostics.error('CFG_BAD_CONDITION', compiled.error, spec.at)
    return undefined
  }

  #route(route: RouteSpec, spec: InputSpec, outputs: readonly OutputRuntime[]): InputRoute[] {
    const found = route.outputs.flatMap(({ name, fallback }) => {
      const direct = findOutput(outputs, name)
      if (direct !== undefined) return [direct]
      const second = fallback === undefined ? undefined : findOutput(outputs, fallback)
      const missing = `Output "${name}" of route "${route.name}" does not exist`
      this.#diagnostics.warning(
        'CFG_UNKNOWN_OUTPUT',
        second === undefined
          ? `${missing}: nothing is sent there`
          : `${missing}: "${fallback}" is used`,
        spec.at
      )
      return second === undefined ? [] : [second]
    })
    const isConditional = route.condition !== undefined || route.isDefault || route.perRecord
    return [
      {
        outputs: found,
        processors: this.#processors(route.processors),
        conditional: isConditional
          ? {
              name: route.name,
              condition: this.#condition(route.condition),
              isDefault: route.isDefault
            }
          : undefined
      }
    ]
  }

  #step(spec: FilterSpec, matches: (tag: string) => boolean): FilterStep {
    const context = this.#filterContext(spec, matches)
    const filter: Filter = spec.plugin.create(spec.values, context)
    const label = labelOf(spec)
    const count = (what: string, help: string): Counter =>
      this.#world.metrics.counter(`fluentbit_filter_${what}_total`, help, { name: label })
    return {
      filter,
      wholeBatch: spec.plugin.wholeBatch ?? false,
      condition: undefined,
      log: context.log,
      counters: {
        records: count('records', 'Total number of new records processed.'),
        bytes: count('bytes', 'Total number of new bytes processed.'),
        added: count('add_records', 'Total number of new added records.'),
        dropped: count('drop_records', 'Total number of dropped records.'),
        droppedBytes: count('drop_bytes', 'Total number of dropped bytes.'),
        failed: this.#world.metrics.counter(
          'spillway_filter_failed_records_total',
          'Records kept as they were because the filter failed.',
          { name: label }
        )
      }
    }
  }

  /** What `fluentbit_metrics` and `fluentbit_logs` read. */
  #program({ plugin }: InputSpec): ProgramView {
    if (plugin.inMainThread !== true) return NO_PROGRAM
    const { clock, log, metrics } = this.#world
    return {
      metrics: () => snapshot(metrics, BigInt(Math.round(clock.now() * 1e3)) * 1000n),
      followLog: take => log.follow(take)
    }
  }

  #context(spec: InstanceSpec, kind: 'input' | 'filter' | 'output', gate?: Gate): PluginContext {
    const stop = (exitCode: number): void => this.#owner.stop(exitCode)
    return pluginContext(spec, kind, this.#world, this.#service, stop, gate)
  }

  #filterContext(spec: FilterSpec, matches: (tag: string) => boolean): FilterContext {
    return {
      ...this.#context(spec, 'filter'),
      matches,
      emitter: options => this.#emitter(spec, options)
    }
  }

  #emitter(spec: FilterSpec, options: Parameters<FilterContext['emitter']>[0]): Emitter {
    const { inputs, emitters } = this.#owner
    const { name: label, storageType: type, memoryLimit } = options
    const written = (key: string): Location =>
      spec.written.find(property => property.key === key)?.at ?? spec.at
    if (inputs.some(({ settings }) => settings.plugin === 'emitter' && settings.label === label)) {
      throw new ConfigError(
        'CFG_BAD_VALUE',
        `Cannot use emitter_name "${label}": another filter has an emitter of this name`,
        written('emitter_name'),
        'start'
      )
    }
    const storage = storageType(
      type,
      `the emitter of ${spec.name}`,
      this.#service,
      written('emitter_storage.type'),
      this.#diagnostics
    )
    // The backlog of storage.path has the number after the inputs, as in Fluent Bit.
    const number = inputs.length + (this.#owner.storage.store === undefined ? 0 : 1)
    const runtime = new InputRuntime(
      {
        name: `emitter.${number}`,
        label,
        plugin: 'emitter',
        storage,
        receiptMoment: receiptMoment('position', storage, 'stored'),
        // Whose receipts it has it does not know.
        trustsDisk: false,
        memBufLimit: 0,
        pausesOnChunks: false,
        rateGate: undefined,
        routable: true,
        processors: undefined,
        routes: []
      },
      this.#owner.world(this.#world.log),
      this.#inputCounters(label)
    )
    inputs.push(runtime)
    // What is on disk does not fill the memory.
    const emitter = new EmitterRuntime(
      runtime,
      storage === 'filesystem' ? 0 : memoryLimit,
      emitters
    )
    emitters.add(emitter)
    return emitter
  }

  #inputCounters(label: string): InputCounters {
    const count = (what: string, help: string): Counter =>
      this.#world.metrics.counter(`fluentbit_input_${what}_total`, help, { name: label })
    return {
      records: count('records', 'Number of input records.'),
      bytes: count('bytes', 'Number of input bytes.'),
      ringChunks: count('memrb_dropped_chunks', 'Number of memrb dropped chunks.'),
      ringBytes: count('memrb_dropped_bytes', 'Number of memrb dropped bytes.'),
      dropped: (reason, records, bytes) => this.#countUnmatched(label, reason, records, bytes)
    }
  }

  /** Fluent Bit counts what no output wants as what is dropped on the way to one of this name. */
  #countUnmatched(input: string, reason: string, records: number, bytes: number): void {
    const { metrics } = this.#world
    const labels = { input, output: reason }
    metrics
      .counter(
        'fluentbit_routing_logs_drop_records_total',
        'Total log records dropped during routing',
        labels
      )
      .add(records)
    metrics
      .counter(
        'fluentbit_routing_logs_drop_bytes_total',
        'Total bytes of log records dropped during routing',
        labels
      )
      .add(bytes)
  }

  #outputCounters(label: string): ConstructorParameters<typeof OutputRuntime>[3] {
    const count = (what: string, help: string): Counter =>
      this.#world.metrics.counter(`fluentbit_output_${what}_total`, help, { name: label })
    return {
      records: count('proc_records', 'Number of processed output records.'),
      bytes: count('proc_bytes', 'Number of processed output bytes.'),
      errors: count('errors', 'Number of output errors.'),
      retries: count('retries', 'Number of output retries.'),
      retriesFailed: count(
        'retries_failed',
        'Number of abandoned batches because the maximum number of re-tries was reached.'
      ),
      droppedRecords: count('dropped_records', 'Number of dropped records.'),
      retriedRecords: count('retried_records', 'Number of retried records.')
    }
  }

  /** Makes something of a valid instance; a mistake that is found becomes a diagnostic and nothing is made. */
  #guard<T>(spec: InstanceSpec, make: () => T): T[] {
    if (!spec.isValid) return []
    try {
      return [make()]
    } catch (error) {
      this.#diagnostics.capture(error)
      return []
    }
  }
}

/** Name and own settings of an output, but for what is secret: with other settings it may be another remote. */
function identityOf(spec: OutputSpec): string {
  const { options } = spec.plugin
  const settings = spec.written.filter(
    ({ key }) => key === 'host' || key === 'port' || options[key]?.secret === false
  )
  const text = settings.map(property => `${property.key} ${property.text}`).join('\n')
  return `${labelOf(spec)}#${crc32(text).toString(16)}`
}

/** By alias, then instance name, then plugin name. */
function findOutput(outputs: readonly OutputRuntime[], name: string): OutputRuntime | undefined {
  return (
    outputs.find(output => output.settings.label === name) ??
    outputs.find(output => output.name === name) ??
    outputs.find(output => output.name.startsWith(`${name}.`))
  )
}

function isRouted(spec: OutputSpec, { inputs }: PipelineSpec): boolean {
  const names = [spec.alias, spec.name, spec.plugin.name]
  const routes = inputs.flatMap(input => input.routes)
  return routes.some(route =>
    route.outputs.some(({ name, fallback }) => names.includes(name) || names.includes(fallback))
  )
}
