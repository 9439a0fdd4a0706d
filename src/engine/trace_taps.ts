/**
 * The taps on inputs of a running pipeline. Each has a small pipeline of its own, from an input that takes trace events to the
 * output that was named for them. Nothing of it is counted with the user's instances, and no tap can be set on it.
 * Source: Fluent Bit 5.1.1 src/flb_chunk_trace.c trace_chunk_pipeline_thread(), src/http_server/api/v1/trace.c.
 *
 * Differs: an output that cannot be used is an error, where Fluent Bit hangs (an unknown plugin) or aborts (an unknown key).
 * A tap that replaces another is made first.
 */
import { messageOf } from '../base/error_message.ts'
import { TRACE_BYTES_MAX } from '../base/limits.ts'
import type { Logger } from '../base/log.ts'
import { Diagnostics, type Location } from '../config/diagnostics.ts'
import { emptyDocument } from '../config/draft.ts'
import type { ConfigDocument, MapEntry, Section, SectionKind } from '../config/model.ts'
import type { ServiceSettings } from '../config/service.ts'
import { MetricsRegistry } from '../metrics/registry.ts'
import type { InputContext } from '../plugin/context.ts'
import { defineInput, type InputPlugin, type PluginCatalog } from '../plugin/define.ts'
import { ChunkTap, type TraceLimit } from './chunk_trace.ts'
import type { InputRuntime } from './input_runtime.ts'
import { Pipeline } from './pipeline.ts'
import { networkFor, resolvePipeline, resolveService } from './pipeline_spec.ts'
import type { EngineWorld, PipelineSpec } from './world.ts'

/** What is wanted of a tap. */
export interface TapRequest {
  /** Before the number of a chunk in `trace_id`. */
  readonly prefix: string
  /** Name of an output plugin. */
  readonly output: string
  /** Keys and values of the output, in order. */
  readonly properties: readonly (readonly [key: string, value: string])[]
  readonly limit?: TraceLimit | undefined
}

/** What came of a request. */
export type TapOutcome = 'on' | 'unknown input' | 'failed'

/** The configuration that runs, as far as taps need it. */
interface RunningConfiguration {
  readonly document: Pick<ConfigDocument, 'upstreams'>
  readonly service: Pick<ServiceSettings, 'enable_chunk_trace'>
  readonly world: EngineWorld
  readonly catalog: PluginCatalog
}

export interface TapHost {
  readonly pipeline: Pick<Pipeline, 'inputs'>
  readonly workingDirectory: string
  /** A reload changes what it gives. */
  configuration(): RunningConfiguration
}

interface TapPipeline {
  readonly pipeline: Pipeline
  readonly target: InputContext
}

export class TraceTaps {
  readonly #host: TapHost
  /** Requests are served one after the other. */
  #last: Promise<unknown> = Promise.resolve()

  constructor(host: TapHost) {
    this.#host = host
  }

  /** Sets a tap on an input, by its name or alias, in place of one that it may have. What fails is logged. */
  async start(inputName: string, request: TapRequest): Promise<TapOutcome> {
    const { service, world } = this.#host.configuration()
    const { log } = world
    const input = this.#find(inputName)
    if (input === undefined) {
      log.error(`unable to find input: [${Buffer.byteLength(inputName)}]${inputName}`)
      return 'unknown input'
    }
    if (!service.enable_chunk_trace) {
      log.warn(
        '[chunk trace] enable chunk tracing via the configuration or  command line to be able to activate tracing.'
      )
      return 'failed'
    }
    const started = this.#last.then(() => this.#start(input, request))
    this.#last = started
    return (await started) ? 'on' : 'failed'
  }

  /** Takes the tap of an input away, if it has one; false when there is no such input. */
  stop(inputName: string): boolean {
    const input = this.#find(inputName)
    if (input === undefined) return false
    this.#last = this.#last.then(() => void input.tap?.end())
    return true
  }

  async #start(input: InputRuntime, request: TapRequest): Promise<boolean> {
    const { log, clock, metrics } = this.#host.configuration().world
    const made = await this.#startPipeline(request)
    if (made === undefined) return false
    // A stop or a reload may have come between.
    if (!this.#host.pipeline.inputs.includes(input)) {
      await made.pipeline.stop()
      return false
    }
    const { name, label } = input
    const dropped = metrics.counter(
      'spillway_trace_dropped_records_total',
      'Events of a chunk trace that its output did not keep up with.',
      { name: label }
    )
    const before = dropped.value
    void input.tap?.end()
    const { prefix, limit } = request
    const { pipeline, target } = made
    const tap = new ChunkTap(
      { input: { name, label }, prefix, limit, target, clock, dropped },
      async () => {
        input.tap = undefined
        await pipeline.stop()
        const lost = dropped.value - before
        if (lost > 0) {
          log.warn(`[chunk trace] ${lost} events of the trace of ${label} were dropped`)
        }
      }
    )
    input.tap = tap
    return true
  }

  async #startPipeline(request: TapRequest): Promise<TapPipeline | undefined> {
    const { world } = this.#host.configuration()
    const { log } = world
    const diagnostics = new Diagnostics()
    let target: InputContext | undefined
    try {
      const plugin = traceEmitter(context => (target = context))
      const spec = await this.#spec(request, plugin, diagnostics)
      const Network = await networkFor(spec)
      const pipeline = new Pipeline(spec, {
        ...world,
        Network,
        metrics: new MetricsRegistry()
      })
      pipeline.create(diagnostics)
      if (isRefused(diagnostics, log)) {
        log.error('could not create trace output')
        return undefined
      }
      await pipeline.start().catch(async (error: unknown) => {
        await pipeline.stop()
        throw error
      })
      return target && { pipeline, target }
    } catch (error) {
      const reason = messageOf(error)
      log.error(`could not create trace output: ${reason}`)
      return undefined
    }
  }

  async #spec(
    { output, properties }: TapRequest,
    emitter: InputPlugin,
    diagnostics: Diagnostics
  ): Promise<PipelineSpec> {
    const { workingDirectory } = this.#host
    const { document: running, world, catalog } = this.#host.configuration()
    const { environment, configDirectory: baseDirectory } = world
    const document: ConfigDocument = {
      ...NOTHING,
      upstreams: running.upstreams,
      service: entriesOf([
        ['flush', '1'],
        ['grace', '1'],
        ['storage.metrics', 'off']
      ]),
      inputs: [
        section('input', [
          ['name', emitter.name],
          ['alias', 'trace-emitter'],
          ['mem_buf_limit', String(TRACE_BYTES_MAX)]
        ])
      ],
      // The only output gets all there is.
      outputs: [
        section('output', [
          ['name', output],
          ...properties.filter(([key]) => !/^match(_regex)?$/i.test(key))
        ])
      ]
    }
    const service = resolveService(document, environment, diagnostics)
    const plugins: PluginCatalog = {
      load: async (kind, name) => (kind === 'input' ? emitter : catalog.load(kind, name)),
      names: kind => catalog.names(kind)
    }
    const sources = { environment, workingDirectory, baseDirectory, diagnostics }
    return resolvePipeline(document, service, plugins, sources)
  }

  #find(name: string): InputRuntime | undefined {
    return this.#host.pipeline.inputs.find(input => input.name === name || input.label === name)
  }
}

/** Logs what is wrong; true when something stops the start. */
function isRefused(diagnostics: Diagnostics, log: Logger): boolean {
  for (const { severity, message } of diagnostics.list) {
    if (severity === 'error') log.error(`[config] ${message}`)
    else log.warn(`[config] ${message}`)
  }
  return diagnostics.errors.length > 0
}

/** The input that trace events come in by. */
function traceEmitter(take: (context: InputContext) => void): InputPlugin {
  return defineInput({
    name: 'emitter',
    summary: 'Takes the events of a chunk trace',
    options: {},
    create: (_, context) => ({ start: () => take(context) })
  })
}

const AT: Location = { file: 'chunk trace', line: 1, column: 1 }

const NOTHING: ConfigDocument = emptyDocument()

function section(kind: SectionKind, properties: TapRequest['properties']): Section {
  return { kind, title: kind, at: AT, entries: entriesOf(properties), groups: [] }
}

function entriesOf(properties: TapRequest['properties']): MapEntry[] {
  return properties.map(([key, text]) => ({
    key: key.toLowerCase(),
    writtenKey: key,
    at: AT,
    value: { kind: 'scalar', text, quoted: false, at: AT }
  }))
}
