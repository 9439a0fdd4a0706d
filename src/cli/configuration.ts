/**
 * From what the user gave (a file, the command line) to a pipeline that is checked and ready to start.
 * Source of the order: Fluent Bit 5.1.1 src/fluent-bit.c flb_main_run(), src/flb_engine.c; reference section 1.1.
 */
import { statSync } from 'node:fs'
import { hostname } from 'node:os'
import { resolve } from 'node:path'
import type { Clock } from '../base/clock.ts'
import type { Logger } from '../base/log.ts'
import type { Diagnostics, Location, Stage } from '../config/diagnostics.ts'
import { Environment } from '../config/env.ts'
import type { ConfigDocument, MapEntry, PluginFile, Section } from '../config/model.ts'
import {
  baseDirectoryOf,
  readConfiguration,
  type ReadOptions,
  readParsersFile,
  readPluginsFile,
  type ReferencedFileOptions
} from '../config/read.ts'
import { expandScalar } from '../config/resolve.ts'
import type { ServiceSettings } from '../config/service.ts'
import type { Change } from '../engine/change.ts'
import { Pipeline } from '../engine/pipeline.ts'
import { networkFor, resolvePipeline, resolveService } from '../engine/pipeline_spec.ts'
import type { EngineWorld, PipelineSpec } from '../engine/world.ts'
import type { MetricsRegistry } from '../metrics/registry.ts'
import { readParsers } from '../parser/registry.ts'
import type { Catalog } from '../plugin/catalog.ts'
import type { TextOutput } from '../plugin/context.ts'
import type { Disk } from '../storage/disk.ts'
import { WorkerHost } from './thread_host.ts'

/** What has been read before, when only values of `env` may have changed. */
export interface KnownConfiguration {
  readonly document: ConfigDocument
  /** Of `env`, as they are now. */
  readonly variables: Environment['variables']
}

/** What the configuration comes from. */
export interface ConfigurationSource {
  /** `-c`, as given; undefined when there is none. */
  readonly file: string | undefined
  /** What the command line configures. */
  readonly commandLine: ConfigDocument | undefined
  /** What both of them say, where that has been read before and is not to be read again. */
  readonly known?: KnownConfiguration | undefined
  readonly workingDirectory: string
  readonly processEnvironment: Readonly<Record<string, string | undefined>>
}

export interface ConfigurationWorld {
  readonly log: Logger
  readonly clock: Clock
  readonly random: () => number
  readonly metrics: MetricsRegistry
  readonly catalog: Catalog
  readonly stdout: TextOutput
  readonly disk: Disk
  readonly root: string
  /** The file that threads begin with; without it all instances run in this thread. */
  readonly threadEntry?: URL | undefined
}

/** A configuration as it was read. */
interface ReadConfiguration {
  readonly document: ConfigDocument
  readonly spec: PipelineSpec
  readonly service: ServiceSettings
  /** What instances of this configuration have around them. */
  readonly world: EngineWorld
  /** Absolute paths of the files that it comes from, and of folders that patterns look into. */
  readonly sources: ReadonlySet<string>
}

export interface LoadedConfiguration extends ReadConfiguration {
  readonly pipeline: Pipeline
}

/** Reads, checks and builds everything; all mistakes go to `diagnostics`, and with errors the pipeline must not be started. */
export async function loadConfiguration(
  source: ConfigurationSource,
  world: ConfigurationWorld,
  diagnostics: Diagnostics
): Promise<LoadedConfiguration> {
  const read = await readAll(source, world, diagnostics)
  const pipeline = new Pipeline(read.spec, read.world)
  pipeline.create(diagnostics)
  return { ...read, pipeline }
}

export interface ReloadedConfiguration extends ReadConfiguration {
  readonly change: Change
}

/** Reads everything again for a pipeline that runs; with errors in `diagnostics` the change must be discarded. */
export async function reloadConfiguration(
  pipeline: Pipeline,
  source: ConfigurationSource,
  world: ConfigurationWorld,
  diagnostics: Diagnostics
): Promise<ReloadedConfiguration> {
  const { file, known, workingDirectory } = source
  if (file !== undefined && known === undefined && isEmpty(resolve(workingDirectory, file))) {
    // It would end everything, and with `hot_reload` and `hot_reload.watch` the way back.
    const message = `Cannot go on with "${file}": it is empty, as a file is that is being written`
    diagnostics.error('CFG_FILE_UNREADABLE', message)
  }
  const read = await readAll(source, world, diagnostics)
  return { ...read, change: pipeline.prepare(read.spec, read.world, diagnostics) }
}

function isEmpty(path: string): boolean {
  try {
    return statSync(path).size === 0
  } catch {
    // Whoever reads it says why it cannot be read.
    return false
  }
}

async function readAll(
  source: ConfigurationSource,
  world: ConfigurationWorld,
  diagnostics: Diagnostics
): Promise<ReadConfiguration> {
  const { workingDirectory, file } = source
  const sources = new Set<string>()
  const options = { workingDirectory, diagnostics, sources }
  const document =
    source.known?.document ??
    merge([
      ...(source.commandLine === undefined ? [] : [source.commandLine]),
      ...(file === undefined ? [] : [readConfiguration(file, options)])
    ])
  const environment = new Environment({
    entries: document.env,
    processEnvironment: source.processEnvironment,
    hostname: hostname(),
    now: world.clock.now,
    diagnostics,
    ...(source.known === undefined ? {} : { variables: source.known.variables }),
    onRefreshFailure: message => world.log.warn(`[env] ${message}`)
  })
  const baseDirectory =
    file === undefined ? workingDirectory : baseDirectoryOf(file, workingDirectory)
  const service = resolveService(document, environment, diagnostics)
  checkService(service, document, diagnostics)
  refuseLater(document, diagnostics)
  const places = { workingDirectory, baseDirectory, diagnostics, sources }
  const files = new ReferencedFiles(document, environment, places)
  const parserSections = [...document.parsers, ...files.parsers()]
  const parsers = readParsers(parserSections, {
    environment,
    diagnostics,
    now: world.clock.now,
    log: world.log
  })
  await addPlugins([...document.plugins, ...files.plugins()], world.catalog, environment, options)
  const spec = await resolvePipeline(document, service, world.catalog, {
    ...places,
    environment
  })
  const { threadEntry, catalog, root } = world
  const threads =
    threadEntry &&
    new WorkerHost(threadEntry, catalog, {
      variables: environment.variables,
      processEnvironment: source.processEnvironment,
      parsers: parserSections,
      configDirectory: baseDirectory,
      root
    })
  for (const path of environment.paths) sources.add(path)
  const engineWorld = {
    ...world,
    Network: await networkFor(spec),
    environment,
    parsers,
    configDirectory: baseDirectory,
    threads
  }
  return { document, spec, service, world: engineWorld, sources }
}

type PlaceOptions = Omit<ReferencedFileOptions, 'at'>

/** The files that service keys name. */
class ReferencedFiles {
  readonly #service: readonly MapEntry[]
  readonly #environment: Environment
  readonly #options: PlaceOptions

  constructor(document: ConfigDocument, environment: Environment, options: PlaceOptions) {
    this.#service = document.service
    this.#environment = environment
    this.#options = options
  }

  parsers(): readonly Section[] {
    return this.#read('parsers_file', (path, options) => readParsersFile(path, options).parsers)
  }

  plugins(): readonly PluginFile[] {
    return this.#read('plugins_file', readPluginsFile)
  }

  #read<T>(
    key: string,
    read: (path: string, options: Parameters<typeof readParsersFile>[1]) => readonly T[]
  ): T[] {
    const { diagnostics } = this.#options
    const found: T[] = []
    for (const entry of this.#service) {
      if (entry.key !== key) continue
      const nodes = entry.value.kind === 'list' ? entry.value.items : [entry.value]
      for (const node of nodes) {
        if (node.kind !== 'scalar') continue
        const path = expandScalar(node, this.#environment, diagnostics)
        found.push(...read(path, { ...this.#options, at: node.at }))
      }
    }
    return found
  }
}

async function addPlugins(
  plugins: readonly PluginFile[],
  catalog: Catalog,
  environment: Environment,
  { workingDirectory, diagnostics, sources }: ReadOptions & { readonly sources: Set<string> }
): Promise<void> {
  for (const { path } of plugins) {
    try {
      const file = expandScalar(path, environment, diagnostics)
      sources.add(resolve(workingDirectory, file))
      await catalog.addFile(file, workingDirectory, path.at)
    } catch (error) {
      diagnostics.capture(error)
    }
  }
}

const LEVELS = ['off', 'error', 'warn', 'warning', 'info', 'debug', 'trace']

/** Service keys that turn on what this version does not have. */
const SWITCHES = ['security.fips_mode'] as const

/** What Fluent Bit checks of the service section beyond its types, and what has no effect in this version. */
function checkService(
  service: ServiceSettings,
  document: ConfigDocument,
  diagnostics: Diagnostics
): void {
  const at = (key: string): MapEntry['at'] | undefined =>
    document.service.findLast(entry => entry.key === key)?.value.at
  const mustBe = (key: string, wanted: string, current: string, stage: Stage = 'load'): void => {
    const message = `Cannot set "${key}" on the service section: value must be ${wanted}: current value is ${current}`
    diagnostics.error('CFG_BAD_VALUE', message, at(key), stage)
  }
  if (service.flush <= 0) mustBe('flush', 'above 0', String(service.flush))
  if (!LEVELS.includes(service.log_level.toLowerCase())) {
    mustBe('log_level', 'one of off, error, warn, info, debug, trace', `"${service.log_level}"`)
  }
  if (!['normal', 'full'].includes(service['storage.sync'].toLowerCase())) {
    mustBe('storage.sync', 'normal or full', `"${service['storage.sync']}"`, 'start')
  }
  const port = service.http_port
  if (service.http_server && !(/^\d+$/.test(port) && Number(port) >= 1 && Number(port) <= 65_535)) {
    mustBe('http_port', 'a port, 1 to 65535', `"${port}"`, 'start')
  }
  for (const key of SWITCHES) if (service[key]) warnWithoutEffect(key, at(key), diagnostics)
  if (service['storage.keep.rejected']) checkDeadLetters(service, at, diagnostics)
}

/** Says when nothing will be kept of what outputs give up, though it is to be. */
function checkDeadLetters(
  service: ServiceSettings,
  at: (key: string) => Location | undefined,
  diagnostics: Diagnostics
): void {
  const key = 'storage.keep.rejected'
  if (service['storage.path'] === undefined) {
    const message = `Key "${key}" has no effect without "storage.path": nothing is kept of what outputs give up`
    diagnostics.warning('CFG_BAD_VALUE', message, at(key))
  }
  const limitKey = 'storage.rejected.limit'
  if (service[limitKey] === 0) {
    const message = `Value of "${limitKey}" is 0: as in Fluent Bit, nothing is kept of what outputs give up`
    diagnostics.warning('CFG_BAD_VALUE', message, at(limitKey))
  }
}

/** Says that a key is understood and that this version has nothing behind it. */
function warnWithoutEffect(key: string, at: Location | undefined, diagnostics: Diagnostics): void {
  const message = `Key "${key}" is read and has no effect in this version`
  diagnostics.warning('CFG_NOT_IN_THIS_VERSION', message, at)
}

/** What a configuration may hold and this version cannot run. */
function refuseLater(document: ConfigDocument, diagnostics: Diagnostics): void {
  for (const section of document.streamTasks) {
    const message = 'Cannot run stream processor tasks: this version has no stream processor'
    diagnostics.error('CFG_NOT_IN_THIS_VERSION', message, section.at)
  }
  for (const section of document.customs) {
    const message = 'Cannot use custom plugins: this version has none'
    diagnostics.error('CFG_UNKNOWN_PLUGIN', message, section.at)
  }
}

/** Joins documents in order: sections add up, and of repeated service keys the last counts. */
function merge(documents: readonly ConfigDocument[]): ConfigDocument {
  const all = <K extends keyof ConfigDocument>(key: K): ConfigDocument[K] =>
    documents.flatMap(
      document => document[key] as readonly unknown[]
    ) as unknown as ConfigDocument[K]
  return {
    env: all('env'),
    service: all('service'),
    customs: all('customs'),
    inputs: all('inputs'),
    filters: all('filters'),
    outputs: all('outputs'),
    parsers: all('parsers'),
    multilineParsers: all('multilineParsers'),
    streamTasks: all('streamTasks'),
    upstreams: all('upstreams'),
    plugins: all('plugins'),
    others: all('others')
  }
}

/** The exit code that Fluent Bit ends with for these mistakes: 1 while loading, 255 at the start. */
export function exitCodeOf(diagnostics: Diagnostics, dryRun: boolean): number {
  if (dryRun || diagnostics.errors.some(error => error.stage === 'load')) return 1
  return 255
}
