/** In a thread: makes the plugin instance of a task, starts it, and does what the main thread asks for. */
import type { MessagePort } from 'node:worker_threads'
import { systemClock, type Timer } from '../../base/clock.ts'
import type { InputPlugin, OutputPlugin } from '../../plugin/define.ts'
import { type ContextWorld, inputContext, NO_PROGRAM, pluginContext } from '../plugin_context.ts'
import {
  failureOf,
  type InputRequest,
  type OutputRequest,
  type StopRequest,
  type ThreadTask
} from './protocol.ts'
import { HostedInput } from './hosted_input.ts'
import type { ThreadLink } from './thread_link.ts'
import { HostedOutput } from './hosted_output.ts'

/** Figures are sent with events and answers, and this often where there are none. */
const FIGURES_MS = 1_000

/** An instance in this thread. */
interface Hosted {
  start(): void | Promise<void>
  hear(request: InputRequest | OutputRequest): void
  stop(): void | Promise<void>
}

/** What a thread knows of the program: the environment, the parsers and the like. */
export type ThreadWorld = Pick<
  ContextWorld,
  'environment' | 'parsers' | 'root' | 'configDirectory' | 'Network'
>

export async function runThread(
  port: MessagePort,
  link: ThreadLink,
  plugin: InputPlugin | OutputPlugin,
  task: ThreadTask,
  world: ThreadWorld
): Promise<void> {
  // What `create` has to say was said in the main thread, which made an instance too.
  link.isQuiet = true
  const hosted = host(link, plugin, task, world)
  link.isQuiet = false
  port.on('message', (request: StopRequest | InputRequest | OutputRequest) => {
    if (request.kind === 'stop') void stop(link, hosted)
    else hosted.hear(request)
  })
  try {
    await hosted.start()
  } catch (error) {
    link.post({ kind: 'failed', failure: failureOf(error) })
    return
  }
  link.post({ kind: 'started' })
  setInterval(() => link.sendFigures(), FIGURES_MS)
}

async function stop(link: ThreadLink, hosted: Hosted): Promise<void> {
  await hosted.stop()
  link.sendFigures()
  link.post({ kind: 'stopped' })
}

function host(
  link: ThreadLink,
  plugin: InputPlugin | OutputPlugin,
  { instance, service, batchesMax }: ThreadTask,
  { environment, parsers, root, configDirectory, Network }: ThreadWorld
): Hosted {
  const { log, metrics, stdout } = link
  const world = {
    log,
    metrics,
    stdout,
    clock: systemClock,
    random: Math.random,
    environment,
    parsers,
    root,
    configDirectory,
    Network
  }
  const stopProgram = (exitCode: number): void => link.post({ kind: 'stop_program', exitCode })
  const spec = { ...instance, plugin }
  if (plugin.kind === 'output') {
    const context = pluginContext(spec, plugin.kind, world, service, stopProgram)
    const { flush: flushSeconds } = service
    const output = plugin.create(instance.values, { ...context, id: instance.id, flushSeconds })
    return new HostedOutput(output, link)
  }
  const timers = new Set<Timer>()
  const input = new HostedInput(link, batchesMax, timers)
  const context = pluginContext(spec, plugin.kind, world, service, stopProgram, input)
  input.plugin = plugin.create(
    instance.values,
    inputContext(spec, context, input, timers, NO_PROGRAM)
  )
  return input
}
