/** `spillway dlq`: looks after dead letters. It opens nothing but their files, so the agent may run meanwhile. */
import { hostname } from 'node:os'
import { isatty } from 'node:tty'
import { systemClock } from '../base/clock.ts'
import { fileDescriptorSink, Logger } from '../base/log.ts'
import { suggest } from '../base/suggest.ts'
import { ConfigError, Diagnostics } from '../config/diagnostics.ts'
import { Environment } from '../config/env.ts'
import { readConfiguration } from '../config/read.ts'
import type { ServiceSettings } from '../config/service.ts'
import type { Pipeline } from '../engine/pipeline.ts'
import { resolveService } from '../engine/pipeline_spec.ts'
import { deadLettersOf } from '../engine/storage.ts'
import { MetricsRegistry } from '../metrics/registry.ts'
import { Catalog, type PluginList } from '../plugin/catalog.ts'
import { DeadLetters } from '../storage/dead_letters.ts'
import { systemDisk } from '../storage/disk.ts'
import { diagnosticText, ONLY_WARNED_IN_DRY_RUN } from './agent.ts'
import type { DlqCommand } from './commands.ts'
import { loadConfiguration } from './configuration.ts'
import { findOutput, replayLetters } from './dlq_replay.ts'
import { survey } from './dlq_survey.ts'
import { listJson, listText, showLetter } from './dlq_text.ts'
import { blockingOutput } from './standard_output.ts'

const FAILED = 1
const MISUSED = 2

/** A mistake of the user, with its exit code. */
class DlqError extends Error {
  readonly exitCode: number

  constructor(message: string, exitCode: number) {
    super(message)
    this.exitCode = exitCode
  }
}

/** Does what the command says; gives the exit code. */
export async function runDlq(command: DlqCommand, shipped: PluginList): Promise<number> {
  const stdout = new Printer()
  try {
    switch (command.action) {
      case 'list':
        return await list(command, stdout)
      case 'show':
        return await show(command, stdout)
      case 'replay':
        return await replay(command, shipped, stdout)
    }
  } catch (error) {
    if (!(error instanceof DlqError)) throw error
    process.stderr.write(`${error.message}\n`)
    return error.exitCode
  }
}

async function list(command: DlqCommand, stdout: Printer): Promise<number> {
  const letters = lettersOf(command, serviceOf(command))
  const { rows, missing } = survey(letters, command)
  reportMissing(missing, letters)
  stdout.write(command.json ? listJson(rows) : listText(rows, letters))
  return missing.length === 0 ? 0 : FAILED
}

async function show(command: DlqCommand, stdout: Printer): Promise<number> {
  const service = serviceOf(command)
  const letters = lettersOf(command, service)
  const { rows, missing } = survey(letters, command)
  reportMissing(missing, letters)
  let failed = missing.length > 0
  for (const { name } of rows) {
    if (stdout.isGone) break
    const letter = letters.read(name)
    showLetter(letter, jsonOptionsOf(service), piece => stdout.write(piece))
    if (letter.problem !== undefined) process.stderr.write(`${name}: ${letter.problem}\n`)
    failed ||= letter.problem !== undefined
  }
  return failed ? FAILED : 0
}

async function replay(command: DlqCommand, shipped: PluginList, stdout: Printer): Promise<number> {
  const { service, pipeline } = await load(command, shipped)
  const letters = lettersOf(command, service)
  const outputs = pipeline.outputsAlone()
  const { to } = command
  const target = to === undefined ? undefined : findOutput(outputs, to)
  if (to !== undefined && target === undefined) {
    const known = outputs.map(({ label }) => label)
    const near = suggest(to, known)
    const hint = near === undefined ? '' : `; "${near}" is near`
    throw new DlqError(
      `Cannot replay to "${to}": there is no such output: outputs are ${known.join(', ')}${hint}`,
      MISUSED
    )
  }
  const { rows, missing } = survey(letters, command)
  reportMissing(missing, letters)
  const allDelivered = await replayLetters({
    letters,
    rows,
    outputs,
    target,
    clock: systemClock,
    idleSeconds: command.timeoutSeconds,
    print: line => stdout.write(`${line}\n`)
  })
  return allDelivered && missing.length === 0 ? 0 : FAILED
}

/** The service section of the configuration alone, as mistakes elsewhere are of no interest. */
function serviceOf({ configFile }: DlqCommand): ServiceSettings | undefined {
  if (configFile === undefined) return undefined
  const diagnostics = new Diagnostics()
  const document = readConfiguration(configFile, { workingDirectory: process.cwd(), diagnostics })
  const environment = new Environment({
    entries: document.env,
    processEnvironment: process.env,
    hostname: hostname(),
    now: Date.now,
    diagnostics
  })
  const service = resolveService(document, environment, diagnostics)
  refuseErrors(diagnostics)
  return service
}

/** The whole configuration; none of its inputs and filters will be used. */
async function load(
  command: DlqCommand,
  shipped: PluginList
): Promise<{ service: ServiceSettings; pipeline: Pipeline }> {
  const diagnostics = new Diagnostics()
  const catalog = new Catalog(shipped)
  try {
    for (const file of command.plugins) await catalog.addFile(file, process.cwd())
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    diagnostics.capture(error)
    refuseErrors(diagnostics)
  }
  // What inputs and filters have to say is of no interest; outputs are made once more after this.
  const log = new Logger({ sink: fileDescriptorSink(2, isatty(2)), level: 'off' })
  const loaded = await loadConfiguration(
    {
      file: command.configFile,
      commandLine: undefined,
      workingDirectory: process.cwd(),
      processEnvironment: process.env
    },
    {
      log,
      clock: systemClock,
      random: Math.random,
      metrics: new MetricsRegistry(),
      catalog,
      stdout: blockingOutput(1),
      disk: systemDisk,
      root: ''
    },
    diagnostics
  )
  refuseErrors(diagnostics)
  log.level = 'warn'
  return loaded
}

function refuseErrors({ errors }: Diagnostics): void {
  const lines = errors
    .filter(({ code }) => !ONLY_WARNED_IN_DRY_RUN.has(code))
    .map(error => `[config] ${diagnosticText(error)}`)
  if (lines.length > 0) throw new DlqError(lines.join('\n'), FAILED)
}

/** The letters in the folder that is named, or that the configuration has. */
function lettersOf(
  { path, configFile }: DlqCommand,
  service: ServiceSettings | undefined
): DeadLetters {
  if (path !== undefined) {
    if (systemDisk.exists(path)) {
      const limit = service?.['storage.rejected.limit']
      return new DeadLetters({ disk: systemDisk, folder: path, limit })
    }
    throw new DlqError(`Cannot find dead letters: there is no folder "${path}"`, FAILED)
  }
  const letters = service === undefined ? undefined : deadLettersOf(service, systemDisk)
  if (letters !== undefined) return letters
  throw new DlqError(
    `Cannot find dead letters: ${configFile} has no storage.path, where they would be; --path FOLDER names another place`,
    FAILED
  )
}

function reportMissing(names: readonly string[], { folder }: DeadLetters): void {
  for (const name of names) {
    process.stderr.write(`Cannot find dead letter "${name}": ${folder} has none of this name\n`)
  }
}

/** How the configuration wants JSON written. */
function jsonOptionsOf(service: ServiceSettings | undefined): {
  escapeUnicode: boolean
  nanToNull: boolean
} {
  return {
    escapeUnicode: service?.['json.escape_unicode'] ?? true,
    nanToNull: service?.['json.convert_nan_to_null'] ?? false
  }
}

/** Standard output whose reader may go, as `head` does. */
class Printer {
  readonly #output = blockingOutput(1)
  isGone = false

  write(piece: Buffer | string): void {
    if (this.isGone) return
    try {
      this.#output.write(typeof piece === 'string' ? Buffer.from(piece) : piece)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EPIPE') throw error
      this.isGone = true
    }
  }
}
