/**
 * Where a thread begins that runs one plugin instance (`workers`, `threaded`): it finds the plugin and gives it what it
 * has in the main thread. Like main.ts, this file sees all layers.
 */
import assert from 'node:assert/strict'
import { parentPort, workerData } from 'node:worker_threads'
import type { ThreadData } from './cli/thread_host.ts'
import { Diagnostics } from './config/diagnostics.ts'
import { Environment } from './config/env.ts'
import { ThreadLink } from './engine/threads/thread_link.ts'
import { runThread } from './engine/threads/thread_run.ts'
import type { ParserRegistry } from './parser/registry.ts'
import { Catalog } from './plugin/catalog.ts'
import { SHIPPED } from './plugins/all.ts'

assert(parentPort !== null, 'BUG: thread.ts is started as a program')
delete process.env['NODE_COMPILE_CACHE']
const { program, task, pluginFile } = workerData as ThreadData
const link = new ThreadLink(parentPort, task.logLevel)
const now = (): number => performance.timeOrigin + performance.now()

const catalog = new Catalog(SHIPPED)
if (pluginFile !== undefined) await catalog.addFile(pluginFile, '')
const plugin = await catalog.load(task.kind, task.plugin)
assert(plugin !== undefined && plugin.kind !== 'filter', `BUG: no ${task.kind} ${task.plugin}`)

// What the main thread has reported already is not reported again.
const diagnostics = new Diagnostics()
const environment = new Environment({
  ...program,
  entries: [],
  hostname: '',
  now,
  diagnostics,
  onRefreshFailure: message => link.log.warn(`[env] ${message}`)
})
// Much code, and most threads have no use for it. Parsers are compiled when the plugin asks for one.
const parserModule = program.parsers.length === 0 ? undefined : await import('./parser/registry.ts')
let registry: ParserRegistry | undefined
const parsers = (): ParserRegistry | undefined =>
  (registry ??= parserModule?.readParsers(program.parsers, {
    environment,
    diagnostics,
    now,
    log: link.log
  }))

const network = plugin.network === undefined ? undefined : await import('./engine/network.ts')

await runThread(parentPort, link, plugin, task, {
  environment,
  parsers: {
    create: name => parsers()?.create(name),
    get names() {
      return parsers()?.names ?? []
    }
  },
  root: program.root,
  configDirectory: program.configDirectory,
  Network: network?.InstanceNetwork
})
