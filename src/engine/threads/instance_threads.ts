/**
 * Puts instances into threads of their own, only where the configuration says so, whatever Fluent Bit's default for a
 * plugin is.
 * Source of the limits: Fluent Bit 5.1.1 src/flb_input.c flb_input_set_property().
 */
import type { Worker } from 'node:worker_threads'
import type { Logger } from '../../base/log.ts'
import type { Diagnostics } from '../../config/diagnostics.ts'
import type { ServiceSettings } from '../../config/service.ts'
import type { Metrics } from '../../metrics/registry.ts'
import type { PluginContext } from '../../plugin/context.ts'
import type { Input, Output } from '../../plugin/define.ts'
import { type InputSpec, numberValue, type OutputSpec } from '../instance.ts'
import type { InputDesk } from '../plugin_context.ts'
import type { ThreadHost, ThreadTask } from './protocol.ts'
import { ThreadedInput } from './threaded_input.ts'
import { ThreadedOutput } from './threaded_output.ts'
import { WorkerInputs } from './worker_inputs.ts'

const CAPACITY = 'thread.ring_buffer.capacity'
const WINDOW = 'thread.ring_buffer.window'

export interface InstanceThreadsWorld {
  readonly log: Logger
  readonly threads: ThreadHost | undefined
}

export class InstanceThreads {
  readonly #world: InstanceThreadsWorld
  readonly #service: ServiceSettings
  readonly #diagnostics: Diagnostics

  constructor(world: InstanceThreadsWorld, service: ServiceSettings, diagnostics: Diagnostics) {
    this.#world = world
    this.#service = service
    this.#diagnostics = diagnostics
  }

  /**
   * @param input Made here, where its configuration was checked; it is not started when a thread makes another.
   * @param desk Of the input in this thread.
   */
  input(
    spec: InputSpec,
    input: Input,
    context: PluginContext,
    desk: InputDesk,
    metrics: Metrics
  ): Input {
    const { threads } = this.#world
    this.#check(spec)
    const workers = workersOf(spec)
    const isThreaded = spec.values['threaded'] === true && spec.plugin.inMainThread !== true
    if ((!isThreaded && workers === 1) || threads === undefined) return input
    const task = this.#task('input', spec)
    const values = { ...spec.values, 'net.share_port': true }
    const shared = { ...task, instance: { ...task.instance, values } }
    const worker = (number: number): ThreadedInput =>
      new ThreadedInput(context, desk, metrics, () =>
        workers === 1
          ? threads.start(spec.plugin, task, spec.name)
          : threads.start(spec.plugin, shared, `${spec.name} #${number}`)
      )
    if (workers === 1) return worker(0)
    return new WorkerInputs(Array.from({ length: workers }, (_, number) => worker(number)))
  }

  /** The output, or what runs it in threads; and how many chunks it may have at once. */
  output(
    spec: OutputSpec,
    output: Output,
    context: PluginContext,
    metrics: Metrics
  ): { readonly output: Output; readonly concurrency: number } {
    const { threads } = this.#world
    // Of an output that serves HTTP the key is the server's, and without effect, as in Fluent Bit.
    const workers = spec.plugin.network === 'http_server' ? 0 : numberValue(spec, 'workers')
    const concurrency = spec.plugin.concurrency ?? 1
    if (workers < 1 || threads === undefined) return { output, concurrency }
    const launch = (number: number): Worker =>
      threads.start(spec.plugin, this.#task('output', spec), `${spec.name} #${number}`)
    return {
      output: new ThreadedOutput({ workers, concurrency, context, metrics, launch }),
      concurrency: concurrency * workers
    }
  }

  #task(kind: ThreadTask['kind'], spec: InputSpec | OutputSpec): ThreadTask {
    const { plugin, name, alias, id, at, isValid, values, written, uri, upstream } = spec
    return {
      kind,
      plugin: plugin.name,
      instance: { name, alias, id, at, isValid, values, written, uri, upstream },
      service: this.#service,
      logLevel: this.#world.log.level,
      batchesMax: numberValue(spec, CAPACITY)
    }
  }

  #check(spec: InputSpec): void {
    const capacity = numberValue(spec, CAPACITY)
    const window = numberValue(spec, WINDOW)
    if (capacity < 1) this.#refuse(spec, CAPACITY, '1 or more')
    if (window < 1 || window > 100) this.#refuse(spec, WINDOW, '1 to 100')
    if (spec.values['threaded'] !== true) return
    if (spec.plugin.inMainThread === true) {
      this.#warn(spec, 'threaded', 'what it reads belongs to the main thread')
    } else if (spec.written.some(({ key }) => key === WINDOW)) {
      this.#warn(spec, WINDOW, 'the engine is told of each batch at once')
    }
  }

  #refuse(spec: InputSpec, key: string, wanted: string): void {
    const message = `Cannot set "${key}" on input ${spec.plugin.name}: value must be ${wanted}: current value is ${numberValue(spec, key)}`
    this.#diagnostics.error('CFG_BAD_VALUE', message, placeOf(spec, key))
  }

  #warn(spec: InputSpec, key: string, reason: string): void {
    const message = `Key "${key}" has no effect on input ${spec.plugin.name}: ${reason}`
    this.#diagnostics.warning('CFG_BAD_VALUE', message, placeOf(spec, key))
  }
}

function placeOf(spec: InputSpec, key: string): InputSpec['at'] {
  return spec.written.findLast(property => property.key === key)?.at ?? spec.at
}

/** Threads that a server listens in; the older key of an HTTP server goes before the newer one. */
function workersOf({ plugin, values, written }: InputSpec): number {
  const isHttp = plugin.network === 'http_server'
  if (!isHttp && !(plugin.network === 'server' && Object.hasOwn(plugin.options, 'workers')))
    return 1
  const isOld = written.some(({ key }) => key === 'workers')
  const workers = values[isHttp && !isOld ? 'http_server.workers' : 'workers']
  return typeof workers === 'number' && workers > 1 ? workers : 1
}
