/**
 * From a configuration document to the instances of a pipeline: finds the plugins, numbers the instances, checks every key.
 * All mistakes are collected; what cannot be resolved is left out.
 */
import { suggest } from '../base/suggest.ts'
import type { Diagnostics } from '../config/diagnostics.ts'
import type { Environment } from '../config/env.ts'
import type { ConfigDocument, ConfigNode, MapEntry, MapNode, Section } from '../config/model.ts'
import type { OptionTable } from '../config/options.ts'
import { expandScalar, resolveEntries } from '../config/resolve.ts'
import { SERVICE_OPTIONS, type ServiceSettings } from '../config/service.ts'
import { parseBoolean } from '../config/units.ts'
import type { FilterPlugin, Plugin, PluginCatalog, PluginKind } from '../plugin/define.ts'
import {
  FILTER_HIDDEN_OPTIONS,
  FILTER_OPTIONS,
  INPUT_HIDDEN_OPTIONS,
  INPUT_OPTIONS,
  networkOptions,
  OUTPUT_HIDDEN_OPTIONS,
  OUTPUT_OPTIONS
} from '../plugin/generic_options.ts'
import { readCondition } from './condition_spec.ts'
import {
  type FilterSpec,
  type InputSpec,
  type InstanceSpec,
  type OutputSpec,
  type ProcessorSpec,
  type RouteSpec,
  textValue
} from './instance.ts'
import { splitInstanceName } from './instance_name.ts'
import { TelemetryReader } from './telemetry_spec.ts'
import { upstreamGroup, type UpstreamSources } from './upstream_group.ts'
import type { ContextWorld } from './plugin_context.ts'
import type { PipelineSpec } from './world.ts'

const GENERIC: Readonly<Record<PluginKind, OptionTable>> = {
  input: { ...INPUT_OPTIONS, ...INPUT_HIDDEN_OPTIONS },
  filter: { ...FILTER_OPTIONS, ...FILTER_HIDDEN_OPTIONS },
  output: { ...OUTPUT_OPTIONS, ...OUTPUT_HIDDEN_OPTIONS }
}

/** Plugins of Fluent Bit that read Windows itself. */
const WINDOWS_PLUGINS = new Set([
  'event_tracing_windows',
  'windows_exporter_metrics',
  'winevtlog',
  'winlog',
  'winstat'
])

const STRUCTURAL = new Set(['name', 'processors', 'routes', 'telemetry'])

/** Only a processor has a condition of its own; the filter modify has an option of this name. */
const PROCESSOR_STRUCTURAL = new Set([...STRUCTURAL, 'condition'])

/** Resolves the service section; unknown keys and unreadable values are warnings, as Fluent Bit ignores them. */
export function resolveService(
  document: ConfigDocument,
  environment: Environment,
  diagnostics: Diagnostics
): ServiceSettings {
  const { values } = resolveEntries(document.service, {
    owner: 'the service section',
    own: SERVICE_OPTIONS,
    generic: {},
    structural: new Set(['telemetry']),
    unknown: 'warning',
    environment,
    diagnostics
  })
  return values as ServiceSettings
}

/** What makes the network of instances; it loads where one of them has one, as its code is much. */
export async function networkFor({
  inputs,
  outputs
}: PipelineSpec): Promise<ContextWorld['Network']> {
  const isWanted = [...inputs, ...outputs].some(({ plugin }) => plugin.network !== undefined)
  return isWanted ? (await import('./network.ts')).InstanceNetwork : undefined
}

/** Resolves inputs, filters and outputs. */
export async function resolvePipeline(
  document: ConfigDocument,
  service: ServiceSettings,
  catalog: PluginCatalog,
  sources: Omit<UpstreamSources, 'sections'>
): Promise<PipelineSpec> {
  const resolver = new Resolver(catalog, { ...sources, sections: document.upstreams })
  const telemetry = new TelemetryReader(sources.environment, sources.diagnostics)
  const inputs: InputSpec[] = []
  for (const section of document.inputs) {
    const spec = await resolver.instance(section, 'input', inputs.length)
    if (spec !== undefined) {
      inputs.push({
        ...spec,
        processors: await resolver.processors(section.entries),
        routes: await resolver.routes(section.entries),
        tagRecords: telemetry.input(section.entries)
      } as InputSpec)
    }
  }
  const filters: FilterSpec[] = []
  for (const section of document.filters) {
    const spec = await resolver.instance(section, 'filter', filters.length)
    if (spec !== undefined) filters.push(spec as FilterSpec)
  }
  const outputs: OutputSpec[] = []
  for (const section of document.outputs) {
    const spec = await resolver.instance(section, 'output', outputs.length)
    if (spec !== undefined) {
      outputs.push({
        ...spec,
        processors: await resolver.processors(section.entries)
      } as OutputSpec)
    }
  }
  return { service, tagRecords: telemetry.service(document.service), inputs, filters, outputs }
}

class Resolver {
  readonly #catalog: PluginCatalog
  readonly #sources: UpstreamSources
  readonly #environment: Environment
  readonly #diagnostics: Diagnostics
  #processorCount = 0

  constructor(catalog: PluginCatalog, sources: UpstreamSources) {
    this.#catalog = catalog
    this.#sources = sources
    this.#environment = sources.environment
    this.#diagnostics = sources.diagnostics
  }

  async instance(
    section: Section,
    kind: PluginKind,
    id: number
  ): Promise<InstanceSpec | undefined> {
    const named = section.entries.find(entry => entry.key === 'name')
    if (named === undefined || named.value.kind !== 'scalar') {
      const message = `Cannot use section "${section.title}": it has no "name", the name of ${article(kind)} plugin`
      this.#diagnostics.error('CFG_MISSING_NAME', message, section.at)
      return undefined
    }
    const written = expandScalar(named.value, this.#environment, this.#diagnostics)
    const { plugin: name, entries, uri } = splitInstanceName(written, named)
    const plugin = await this.#plugin(kind, name, named)
    if (plugin === undefined) return undefined
    if (kind === 'filter') this.#refuseFilterProcessors(section)
    const spec = this.#resolve(plugin, `${plugin.name}.${id}`, id, section.at, [
      ...(plugin.network === undefined ? [] : entries),
      ...section.entries
    ])
    return { ...spec, uri, ...this.#upstream(spec) }
  }

  /** The group that the instance sends to; one that cannot be used makes the instance invalid. */
  #upstream(spec: InstanceSpec): Pick<InstanceSpec, 'upstream' | 'isValid'> {
    const { plugin, isValid } = spec
    const name = textValue(spec, 'upstream')
    if (plugin.kind !== 'output' || plugin.network !== 'client' || name === undefined) {
      return { upstream: undefined, isValid }
    }
    const at = spec.written.find(property => property.key === 'upstream')?.at
    const upstream = upstreamGroup(name, at, plugin.options, this.#sources)
    return { upstream, isValid: isValid && upstream !== undefined }
  }

  async processors(entries: readonly MapEntry[]): Promise<ProcessorSpec[]> {
    const node = entries.find(entry => entry.key === 'processors')?.value
    if (node === undefined) return []
    if (node.kind !== 'map') return this.#misshapen('processors', 'a mapping of logs', node)
    const specs: ProcessorSpec[] = []
    for (const entry of node.entries) {
      if (!['logs', 'metrics', 'traces'].includes(entry.key)) {
        const message = `Cannot use processors of "${entry.writtenKey}": known signals are logs, metrics, traces`
        this.#diagnostics.error('CFG_UNKNOWN_KEY', message, entry.at)
      } else if (entry.value.kind !== 'list') {
        this.#misshapen(entry.writtenKey, 'a list of processors', entry.value)
      } else if (entry.key === 'logs') specs.push(...(await this.#processorList(entry.value.items)))
    }
    return specs
  }

  async routes(entries: readonly MapEntry[]): Promise<RouteSpec[]> {
    const node = entries.find(entry => entry.key === 'routes')?.value
    if (node === undefined) return []
    if (node.kind !== 'map') return this.#misshapen('routes', 'a mapping of logs', node)
    const routes: RouteSpec[] = []
    for (const entry of node.entries) {
      if (entry.value.kind !== 'list') {
        this.#misshapen(entry.writtenKey, 'a list of routes', entry.value)
        continue
      }
      if (entry.key !== 'logs' && entry.key !== 'any') continue
      for (const item of entry.value.items) routes.push(...(await this.#route(item, routes)))
    }
    return routes
  }

  async #plugin(kind: PluginKind, name: string, named: MapEntry): Promise<Plugin | undefined> {
    const plugin = await this.#catalog.load(kind, name)
    if (plugin !== undefined) return plugin
    const near = suggest(name, this.#catalog.names(kind))
    const hint = near === undefined ? '' : `; "${near}" is near`
    const reason = WINDOWS_PLUGINS.has(name.toLowerCase())
      ? 'it exists on Windows only'
      : `there is no such ${kind} in this version${hint}`
    this.#diagnostics.error(
      'CFG_UNKNOWN_PLUGIN',
      `Cannot use ${kind} plugin "${name}": ${reason}`,
      named.value.at
    )
    return undefined
  }

  #resolve(
    plugin: Plugin,
    name: string,
    id: number,
    at: Section['at'],
    entries: readonly MapEntry[],
    structural: ReadonlySet<string> = STRUCTURAL
  ): InstanceSpec {
    const errorsBefore = this.#diagnostics.errors.length
    const resolved = resolveEntries(entries, {
      owner: `${plugin.kind} ${plugin.name}`,
      own: { ...plugin.options, ...networkOptions(plugin) },
      generic: GENERIC[plugin.kind],
      structural,
      unknown: 'error',
      environment: this.#environment,
      diagnostics: this.#diagnostics
    })
    const alias = resolved.values['alias']
    return {
      plugin,
      name,
      alias: typeof alias === 'string' && alias !== '' ? alias : undefined,
      id,
      at,
      isValid: this.#diagnostics.errors.length === errorsBefore,
      values: resolved.values,
      written: resolved.written,
      uri: undefined,
      upstream: undefined
    }
  }

  #refuseFilterProcessors(section: Section): void {
    const entry = section.entries.find(candidate => candidate.key === 'processors')
    if (entry === undefined) return
    this.#diagnostics.warning(
      'CFG_UNKNOWN_KEY',
      'Key "processors" on a filter has no effect: inputs and outputs have processors',
      entry.at
    )
  }

  async #processorList(items: readonly ConfigNode[]): Promise<ProcessorSpec[]> {
    const specs: ProcessorSpec[] = []
    for (const item of items) {
      const spec = item.kind === 'map' ? await this.#processor(item) : undefined
      if (item.kind !== 'map') this.#misshapen('processors', 'a list of mappings', item)
      if (spec !== undefined) specs.push(spec)
    }
    return specs
  }

  async #processor(node: MapNode): Promise<ProcessorSpec | undefined> {
    const named = node.entries.find(entry => entry.key.toLowerCase() === 'name')
    if (named === undefined || named.value.kind !== 'scalar') {
      const message = 'Cannot use processor: it has no "name", the name of a processor or filter'
      this.#diagnostics.error('CFG_MISSING_NAME', message, node.at)
      return undefined
    }
    const name = expandScalar(named.value, this.#environment, this.#diagnostics)
    const plugin = await this.#plugin('filter', name, named)
    if (plugin === undefined) return undefined
    const id = this.#processorCount++
    const processorName = `${plugin.name}.${id}`
    const spec = this.#resolve(
      plugin,
      processorName,
      id,
      node.at,
      node.entries,
      PROCESSOR_STRUCTURAL
    )
    const condition = field(node, 'condition')
    return {
      ...spec,
      plugin: plugin as FilterPlugin,
      condition: condition && readCondition(condition, 'processor', this.#diagnostics)
    }
  }

  async #route(node: ConfigNode, earlier: readonly RouteSpec[]): Promise<RouteSpec[]> {
    if (node.kind !== 'map') return this.#misshapen('routes', 'a list of mappings', node)
    const name = field(node, 'name')
    if (name?.kind !== 'scalar') {
      this.#diagnostics.error('CFG_MISSING_NAME', 'Cannot use route: it has no "name"', node.at)
      return []
    }
    if (earlier.some(route => route.name === name.text)) {
      const message = `Cannot use route "${name.text}": an earlier route has this name, each must have its own`
      this.#diagnostics.error('CFG_REPEATED_KEY', message, name.at)
      return []
    }
    const condition = field(node, 'condition')
    const isDefault = condition?.kind === 'map' && isTrue(field(condition, 'default'))
    return [
      {
        name: name.text,
        perRecord: isTrue(field(node, 'per_record_routing')),
        isDefault,
        condition:
          condition === undefined || isDefault
            ? undefined
            : readCondition(condition, 'route', this.#diagnostics),
        processors: await this.#routeProcessors(field(node, 'processors')),
        outputs: this.#routeOutputs(field(node, 'to'), node)
      }
    ]
  }

  async #routeProcessors(node: ConfigNode | undefined): Promise<ProcessorSpec[]> {
    if (node === undefined) return []
    if (node.kind === 'list') return this.#processorList(node.items)
    return this.#misshapen('processors', 'a list of processors', node)
  }

  #routeOutputs(to: ConfigNode | undefined, route: MapNode): RouteSpec['outputs'] {
    const outputs = to?.kind === 'map' ? field(to, 'outputs') : undefined
    if (outputs?.kind !== 'list') {
      return this.#misshapen('to', 'a mapping with a list of outputs', to ?? route)
    }
    return outputs.items.flatMap(item => {
      if (item.kind === 'scalar') return [{ name: item.text, fallback: undefined }]
      const name = item.kind === 'map' ? field(item, 'name') : undefined
      const fallback = item.kind === 'map' ? field(item, 'fallback') : undefined
      if (name?.kind !== 'scalar') return this.#misshapen('outputs', 'a list of names', item)
      return [
        { name: name.text, fallback: fallback?.kind === 'scalar' ? fallback.text : undefined }
      ]
    })
  }

  /** Reports a node of the wrong shape; gives the empty list that stands in for it. */
  #misshapen(key: string, wanted: string, node: ConfigNode): [] {
    const message = `Cannot use "${key}": it must be ${wanted}: current value is a ${node.kind}`
    this.#diagnostics.error('CFG_BAD_VALUE', message, node.at)
    return []
  }
}

function field(node: MapNode, key: string): ConfigNode | undefined {
  return node.entries.find(entry => entry.key.toLowerCase() === key)?.value
}

function isTrue(node: ConfigNode | undefined): boolean {
  return node?.kind === 'scalar' && parseBoolean(node.text) === true
}

function article(kind: PluginKind): string {
  return kind === 'filter' ? 'a filter' : `an ${kind}`
}
