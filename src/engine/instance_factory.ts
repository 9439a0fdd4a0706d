/**
 * Makes plugin instances from their resolved configuration: the context that a plugin sees, its counters, and the runtime around it.
 */
import { crc32 } from 'node:zlib'
import { ConfigError, type Diagnostics, type Location } from '../config/diagnostics.ts'
import type { ServiceSettings } from '../config/service.ts'
import type { Counter, Metrics } from '../metrics/registry.ts'
import { snapshot } from '../metrics/snapshot.ts'
import { compileOnigmo } from '../parser/onigmo.ts'
import type { Emitter, FilterContext, PluginContext, ProgramView } from '../plugin/context.ts'
import type { Filter } from '../plugin/define.ts'
import { compileCondition, type ConditionSpec } from '../record/condition.ts'
import { compileMatch } from '../record/tag.ts'
import { parseSize } from '../config/units.ts'
import { EmitterRuntime, type Emitters } from './emitter.ts'
import { type EventCondition, FilterChain, type FilterStep } from './filter_chain.ts'
import { type InputRoute, InputRuntime, type InputWorld } from './input_runtime.ts'
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
import { inputCounters, registerIngressFigures, registerInputGauges } from './input_figures.ts'
import type { Gate } from './network.ts'
import { OutputFigures } from './output_figures.ts'
import { OutputRuntime } from './output_runtime.ts'
import { inputContext, NO_PROGRAM, pluginContext } from './plugin_context.ts'
import { processorCounters } from './processor_figures.ts'
import { RateGate } from './rate_gate.ts'
import { RateWindow } from './rate_window.ts'
import { type FilterRuntime, type InputPlace, Layout, type LayoutFactory } from './layout.ts'
import { type Place, Prints, Row } from './place.ts'
import { receiptMoment, type StorageType } from './receipt.ts'
import { parseRetryLimit } from './retry.ts'
import type { Storage } from './storage.ts'
import { storageType } from './storage_type.ts'
import { TagRecords } from './tag_records.ts'
import { InstanceThreads } from './threads/instance_threads.ts'
import type { EngineWorld, PipelineSpec } from './world.ts'

/** The places of a layout while it is made. */
interface Seats {
  readonly outputs: Row<OutputSpec, OutputRuntime>
  readonly inputs: Row<InputSpec, InputRuntime>
  readonly filters: Row<FilterSpec, FilterRuntime>
}

/** What instances share with the pipeline that they are made for. */
export interface Owner {
  readonly emitters: Emitters
  readonly storage: Storage
  readonly world: InputWorld
  /** As the configuration that runs now has it. */
  service(): ServiceSettings
  stop(exitCode: number): void
}

export class InstanceFactory implements LayoutFactory {
  readonly #world: EngineWorld
  readonly #spec: PipelineSpec
  readonly #service: ServiceSettings
  readonly #diagnostics: Diagnostics
  readonly #owner: Owner
  readonly #threads: InstanceThreads
  /** Those that were made for the layout that is being made. */
  readonly #newInputs = new Set<InputRuntime>()
  /** What has been made so far, or stays. */
  #seats: Seats
  /** Of the instance that is being made. */
  #metrics: Metrics
  #emitters: EmitterRuntime[] = []

  constructor(world: EngineWorld, spec: PipelineSpec, diagnostics: Diagnostics, owner: Owner) {
    this.#world = world
    this.#spec = spec
    this.#service = spec.service
    this.#diagnostics = diagnostics
    this.#owner = owner
    this.#seats = this.#takeSeats()
    this.#metrics = world.metrics
    this.#threads = new InstanceThreads(world, spec.service, diagnostics)
  }

  /** All instances of the configuration; those of `old` that are to be the same stay. */
  layout(old?: Layout): Layout {
    const { inputs, filters, outputs } = this.#spec
    const prints = new Prints(this.#spec, this.#world)
    const seats = this.#takeSeats(old)
    for (const spec of outputs) seats.outputs.fill(spec, prints.output(spec))
    for (const spec of inputs) seats.inputs.fill(spec, prints.input(spec))
    for (const spec of filters) seats.filters.fill(spec, prints.filter(spec))
    return this.#finished(seats)
  }

  /** The layout with new instances in place of those that have been stopped. */
  renewed(layout: Layout, isGone: (runtime: InputRuntime | OutputRuntime) => boolean): Layout {
    const seats = this.#takeSeats()
    for (const place of layout.outputPlaces) seats.outputs.keep(place, isGone(place.runtime))
    for (const place of layout.inputPlaces) seats.inputs.keep(place, isGone(place.runtime))
    for (const place of layout.filterPlaces) seats.filters.keep(place, false)
    return this.#finished(seats)
  }

  /** Instances hold on to who made them: that must not hold on to those that end before them. */
  #finished(seats: Seats): Layout {
    const layout = new Layout(this.#spec, this, seats)
    this.#seats = this.#takeSeats()
    this.#newInputs.clear()
    this.#emitters = []
    return layout
  }

  /** Those that may stay; what keeps files is refused without `storage.path`, as it is made anew then. */
  #staying<P extends Place<InstanceSpec, unknown>>(places: readonly P[]): readonly P[] {
    if (this.#service['storage.path'] !== undefined) return places
    return places.filter(({ runtime, emitters }) => {
      const inputs = [runtime, ...emitters.map(({ input }) => input)]
      return !inputs.some(
        input => input instanceof InputRuntime && input.settings.storage === 'filesystem'
      )
    })
  }

  #takeSeats(old?: Layout): Seats {
    const { outputPlaces = [], inputPlaces = [], filterPlaces = [] } = old ?? {}
    const seats: Seats = {
      outputs: new Row(this.#staying(outputPlaces), (spec, print) =>
        this.#place(spec, print, () => this.#output(spec))
      ),
      inputs: new Row(this.#staying(inputPlaces), (spec, print) =>
        this.#place(spec, print, () =>
          this.#input(
            spec,
            seats.outputs.places.map(({ runtime }) => runtime)
          )
        )
      ),
      filters: new Row(this.#staying(filterPlaces), (spec, print) =>
        this.#place(spec, print, () => this.#filter(spec))
      )
    }
    this.#seats = seats
    return seats
  }

  /** The routes of an input that stays, to outputs that may be others than before. */
  routesTo(
    { spec, runtime }: InputPlace,
    outputs: readonly OutputRuntime[]
  ): readonly InputRoute[] {
    if (this.#newInputs.has(runtime)) return runtime.settings.routes
    return runtime.settings.routes.map((route, index) => {
      const { name, outputs: targets } = spec.routes[index]
      return { ...route, outputs: this.#targets(name, targets, spec, outputs) }
    })
  }

  #place<Spec extends InstanceSpec, Runtime>(
    spec: Spec,
    print: string,
    make: () => Runtime[]
  ): Place<Spec, Runtime> | undefined {
    const metrics = this.#world.metrics.scope()
    const emitters: EmitterRuntime[] = []
    this.#metrics = metrics
    this.#emitters = emitters
    const [runtime] = make()
    if (runtime === undefined) metrics.release()
    return runtime && { spec, print, runtime, emitters, metrics }
  }

  #input(spec: InputSpec, outputs: readonly OutputRuntime[]): InputRuntime[] {
    const label = labelOf(spec)
    const processors = this.#processors(spec.processors, { scope: 'input', owner: label })
    const routes = spec.routes.flatMap(route => this.#route(route, spec, outputs))
    const storage = this.#storageType(spec)
    const acknowledge = this.#acknowledge(spec)
    const rateWindow = new RateWindow((numberValue(spec, 'rate_window') || 1) * 1000)
    const metrics = this.#metrics
    const runtime = new InputRuntime(
      {
        name: spec.name,
        label,
        plugin: spec.plugin.name,
        storage,
        receiptMoment: receiptMoment(spec.plugin.receipts, storage, acknowledge),
        keepsPosition: spec.plugin.receipts === 'position',
        trustsDisk: acknowledge !== 'delivered',
        memBufLimit: numberValue(spec, 'mem_buf_limit'),
        pausesOnChunks: spec.values['storage.pause_on_chunks_overlimit'] === true,
        rateWindow,
        rateGate: this.#rateGate(spec, rateWindow),
        routable: spec.values['routable'] !== false,
        processors,
        routes
      },
      this.#owner.world,
      inputCounters(metrics, label, storage),
      this.#tagRecords(label, spec.tagRecords)
    )
    registerInputGauges(metrics, label, runtime)
    if (spec.plugin.network === 'http_server') registerIngressFigures(metrics, label, runtime)
    this.#newInputs.add(runtime)
    return this.#guard(spec, () => {
      const base = this.#context(spec, 'input', runtime)
      const context = inputContext(spec, base, runtime, runtime.timers, this.#program(spec))
      const input = spec.plugin.create(spec.values, context)
      runtime.input = this.#threads.input(spec, input, context, runtime, this.#metrics)
      return runtime
    })
  }

  #filter(spec: FilterSpec): FilterRuntime[] {
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

  #output(spec: OutputSpec): OutputRuntime[] {
    const { log, clock, random } = this.#world
    const { inputs, outputs } = this.#spec
    const label = labelOf(spec)
    let matches = this.#matcher(spec)
    if (matches === undefined && inputs.length === 1 && outputs.length === 1) matches = () => true
    if (matches === undefined && !isRouted(spec, this.#spec)) {
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
      const { output, concurrency } = this.#threads.output(spec, created, context, this.#metrics)
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
          processors: this.#processors(spec.processors, { scope: 'output', owner: label }),
          storedBytesMax: this.#storedBytesMax(spec)
        },
        output,
        {
          log,
          clock,
          random,
          service: () => this.#owner.service(),
          up: this.#owner.storage.up,
          keep: given => this.#owner.storage.keep(given)
        },
        new OutputFigures(this.#metrics, label),
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

  #rateGate(spec: InputSpec, window: RateWindow): RateGate | undefined {
    const resumeRatio = numberValue(spec, 'rate_gate.resume_ratio')
    if (resumeRatio <= 0 || resumeRatio >= 1) {
      const at = spec.written.find(property => property.key === 'rate_gate.resume_ratio')?.at
      const message = `Cannot set "rate_gate.resume_ratio" on input ${spec.plugin.name}: value must be above 0 and below 1: current value is ${resumeRatio}`
      this.#diagnostics.error('CFG_BAD_VALUE', message, at ?? spec.at)
    }
    if (spec.values['rate_gate'] !== true) return undefined
    const settings = {
      maxBytes: numberValue(spec, 'rate_gate.max_bytes'),
      maxRecords: numberValue(spec, 'rate_gate.max_records'),
      usesPressure: spec.values['rate_gate.backpressure'] !== false,
      resumeRatio
    }
    return new RateGate(settings, window)
  }

  /** @param isOn What an input says itself. */
  #tagRecords(label: string, isOn: boolean | undefined): TagRecords | undefined {
    const settings = this.#spec.tagRecords
    if (settings === undefined || !(isOn ?? settings.isOn)) return undefined
    return new TagRecords(this.#world.metrics, this.#metrics, label, settings)
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

  /** @param owner What they are processors of; Fluent Bit counts nothing of those of routes. */
  #processors(
    specs: readonly ProcessorSpec[],
    owner?: { readonly scope: 'input' | 'output'; readonly owner: string }
  ): FilterChain | undefined {
    const steps: FilterStep[] = []
    for (const [stage, spec] of specs.entries()) {
      const condition = this.#condition(spec.condition)
      const labels = { ...owner, processor: spec.plugin.name, stage: `${stage}`, signal: 'logs' }
      const processor = owner && processorCounters(this.#metrics, labels)
      const made = this.#guard(spec, () => this.#step(spec, () => true))
      steps.push(...made.map(step => ({ ...step, condition, processor })))
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

  /** The outputs that a route names. */
  #targets(
    route: string,
    targets: RouteSpec['outputs'],
    spec: InputSpec,
    outputs: readonly OutputRuntime[]
  ): OutputRuntime[] {
    return targets.flatMap(({ name, fallback }) => {
      const direct = findOutput(outputs, name)
      if (direct !== undefined) return [direct]
      const second = fallback === undefined ? undefined : findOutput(outputs, fallback)
      const missing = `Output "${name}" of route "${route}" does not exist`
      this.#diagnostics.warning(
        'CFG_UNKNOWN_OUTPUT',
        second === undefined
          ? `${missing}: nothing is sent there`
          : `${missing}: "${fallback}" is used`,
        spec.at
      )
      return second === undefined ? [] : [second]
    })
  }

  #route(route: RouteSpec, spec: InputSpec, outputs: readonly OutputRuntime[]): InputRoute[] {
    const isConditional = route.condition !== undefined || route.isDefault || route.perRecord
    return [
      {
        outputs: this.#targets(route.name, route.outputs, spec, outputs),
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
    const metrics = this.#metrics
    const count = (what: string, help: string): Counter =>
      metrics.counter(`fluentbit_filter_${what}_total`, help, { name: label })
    return {
      name: spec.name,
      label,
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
        failed: metrics.counter(
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
      metrics: () => snapshot(metrics, clock.now()),
      get logPosition() {
        return log.position
      },
      followLog: (take, from) => log.follow(take, from)
    }
  }

  #context(spec: InstanceSpec, kind: 'input' | 'filter' | 'output', gate?: Gate): PluginContext {
    const stop = (exitCode: number): void => this.#owner.stop(exitCode)
    const world = { ...this.#world, metrics: this.#metrics }
    return pluginContext(spec, kind, world, this.#service, stop, gate)
  }

  #filterContext(spec: FilterSpec, matches: (tag: string) => boolean): FilterContext {
    return {
      ...this.#context(spec, 'filter'),
      matches,
      emitter: options => this.#emitter(spec, options)
    }
  }

  #emitter(spec: FilterSpec, options: Parameters<FilterContext['emitter']>[0]): Emitter {
    const { outputs: outputSeats, inputs: inputSeats, filters } = this.#seats
    const places = [...outputSeats.places, ...inputSeats.places, ...filters.places]
    const emitters = [...places.flatMap(place => place.emitters), ...this.#emitters]
    const inputs = [
      ...inputSeats.places.map(({ runtime }) => runtime),
      ...emitters.map(({ input }) => input)
    ]
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
    let number = inputs.length + (this.#owner.storage.store === undefined ? 0 : 1)
    // One that stayed at a reload may have the number.
    while (inputs.some(({ name }) => name === `emitter.${number}`)) number++
    const runtime = new InputRuntime(
      {
        name: `emitter.${number}`,
        label,
        plugin: 'emitter',
        storage,
        receiptMoment: receiptMoment('position', storage, 'stored'),
        keepsPosition: false,
        // Whose receipts it has it does not know.
        trustsDisk: false,
        memBufLimit: 0,
        emitterLimit: memoryLimit,
        pausesOnChunks: false,
        rateWindow: new RateWindow(1000),
        rateGate: undefined,
        routable: true,
        processors: undefined,
        routes: []
      },
      this.#owner.world,
      inputCounters(this.#metrics, label, storage),
      this.#tagRecords(label, undefined)
    )
    registerInputGauges(this.#metrics, label, runtime)
    // What is on disk does not fill the memory.
    const emitter = new EmitterRuntime(
      runtime,
      storage === 'filesystem' ? 0 : memoryLimit,
      this.#owner.emitters
    )
    this.#emitters.push(emitter)
    return emitter
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
