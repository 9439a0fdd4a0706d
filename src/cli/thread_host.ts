/** Starts threads for plugin instances, and tells them what they need to know of the program. */
import { Worker } from 'node:worker_threads'
import type { Variable } from '../config/env.ts'
import type { Section } from '../config/model.ts'
import type { ThreadHost, ThreadTask } from '../engine/threads/protocol.ts'
import type { Catalog } from '../plugin/catalog.ts'
import type { InputPlugin, OutputPlugin } from '../plugin/define.ts'
import { compileCache } from './compile_cache.ts'

/**
 * The young generation of a thread in megabytes, three semi-spaces of 4 MB: the launcher's flag is for the main thread,
 * and others would get 96 MB.
 */
const YOUNG_GENERATION_MB = 12

/** What is the same for all threads. Plain data: nothing is read again that has been read before. */
export interface ThreadProgram {
  readonly variables: ReadonlyMap<string, Variable>
  readonly processEnvironment: Readonly<Record<string, string | undefined>>
  readonly parsers: readonly Section[]
  readonly configDirectory: string
  readonly root: string
}

/** What a thread starts with. */
export interface ThreadData {
  readonly program: ThreadProgram
  readonly task: ThreadTask
  /** The user's file that has the plugin; undefined for a shipped one. */
  readonly pluginFile: string | undefined
}

export class WorkerHost implements ThreadHost {
  readonly #entry: URL
  readonly #catalog: Catalog
  readonly #program: ThreadProgram

  /** @param entry The file that threads begin with: thread.ts. */
  constructor(entry: URL, catalog: Catalog, program: ThreadProgram) {
    this.#entry = entry
    this.#catalog = catalog
    // An environment without methods, and as it is now.
    this.#program = { ...program, processEnvironment: { ...program.processEnvironment } }
  }

  start(plugin: InputPlugin | OutputPlugin, task: ThreadTask, name: string): Worker {
    const pluginFile = this.#catalog.fileOf(plugin)
    const workerData: ThreadData = { program: this.#program, task, pluginFile }
    return new Worker(this.#entry, {
      name,
      workerData,
      env: { ...process.env, ...compileCache() },
      resourceLimits: { maxYoungGenerationSizeMb: YOUNG_GENERATION_MB }
    })
  }
}
