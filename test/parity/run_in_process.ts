/**
 * Runs a case in this process, which spares a start of Node.js for each. Changes the working folder and the variable TZ,
 * as plugins find both in the process: one case at a time.
 */
import { mkdtempSync, realpathSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { systemClock } from '../../src/base/clock.ts'
import { Logger } from '../../src/base/log.ts'
import { exitCodeOf, loadConfiguration } from '../../src/cli/configuration.ts'
import { Diagnostics } from '../../src/config/diagnostics.ts'
import { MetricsRegistry } from '../../src/metrics/registry.ts'
import { Catalog } from '../../src/plugin/catalog.ts'
import { SHIPPED } from '../../src/plugins/all.ts'
import { systemDisk } from '../../src/storage/disk.ts'
import { changedFiles, type ParityCase, placeCase, readTree, type RunResult } from './case.ts'
import { logWithPlaceholders, withPlaceholders } from './placeholders.ts'
import { type IsComplete, runEnvironment } from './run_program.ts'

const QUIET_MS = 5000
const POLL_MS = 10

/** A run that must be stopped gets so long to print something that it should not. */
const RUN_MIN_MS = 100

/** Runs the pipeline of a case in a fresh copy of its folder. */
export async function runInProcess(
  parityCase: ParityCase,
  isComplete: IsComplete
): Promise<RunResult> {
  const directory = realpathSync(mkdtempSync(join(tmpdir(), 'parity-')))
  placeCase(parityCase, directory)
  const workingDirectory = process.cwd()
  const zone = process.env['TZ']
  process.chdir(directory)
  process.env['TZ'] = parityCase.environment['TZ'] ?? 'UTC'
  try {
    return await new PipelineRun(parityCase, directory).run(isComplete)
  } finally {
    process.chdir(workingDirectory)
    if (zone === undefined) delete process.env['TZ']
    else process.env['TZ'] = zone
    rmSync(directory, { recursive: true, force: true })
  }
}

class PipelineRun {
  readonly #case: ParityCase
  readonly #directory: string
  readonly #before: ReadonlyMap<string, string>
  readonly #beginMs = Date.now()
  readonly #printed: Buffer[] = []
  readonly #log: string[] = []
  readonly #diagnostics = new Diagnostics()

  constructor(parityCase: ParityCase, directory: string) {
    this.#case = parityCase
    this.#directory = directory
    this.#before = readTree(directory)
  }

  async run(isComplete: IsComplete): Promise<RunResult> {
    const { pipeline } = await this.#load()
    if (this.#diagnostics.errors.length > 0) {
      return this.#result(`exit ${exitCodeOf(this.#diagnostics, false)}`)
    }
    try {
      await pipeline.start()
    } catch {
      return this.#result('exit 255')
    }
    let end: string | undefined
    void pipeline.stopped.then(code => (end = `exit ${code}`))
    let quietSinceMs = Date.now()
    let size = -1
    while (end === undefined && Date.now() < quietSinceMs + QUIET_MS) {
      await sleep(POLL_MS)
      const current = this.#size()
      if (current !== size) quietSinceMs = Date.now()
      size = current
      const elapsedMs = Date.now() - this.#beginMs
      if (elapsedMs > RUN_MIN_MS && isComplete(this.#result('stopped, exit 0'))) break
    }
    if (end !== undefined) return this.#result(end)
    await pipeline.stop()
    return this.#result(`stopped, exit ${await pipeline.stopped}`)
  }

  #load(): ReturnType<typeof loadConfiguration> {
    const sink = { colour: false, write: (line: string) => void this.#log.push(line) }
    return loadConfiguration(
      {
        file: this.#case.configuration,
        commandLine: undefined,
        workingDirectory: this.#directory,
        processEnvironment: { ...runEnvironment(), ...this.#case.environment }
      },
      {
        log: new Logger({ sink, level: 'info' }),
        clock: systemClock,
        random: Math.random,
        metrics: new MetricsRegistry(),
        catalog: new Catalog(SHIPPED),
        stdout: { write: bytes => void this.#printed.push(Buffer.from(bytes)) },
        root: '',
        disk: systemDisk
      },
      this.#diagnostics
    )
  }

  #size(): number {
    let size = this.#log.length + this.#printed.length
    for (const content of readTree(this.#directory).values()) size += content.length
    return size
  }

  #result(end: string): RunResult {
    const window = { beginMs: this.#beginMs, endMs: Date.now() }
    const files = changedFiles(this.#before, readTree(this.#directory))
    return {
      stdout: withPlaceholders(Buffer.concat(this.#printed).toString('latin1'), window),
      files: new Map([...files].map(([path, text]) => [path, withPlaceholders(text, window)])),
      log: logWithPlaceholders(Buffer.from(this.#log.join('')).toString('latin1'), this.#directory),
      end
    }
  }
}
