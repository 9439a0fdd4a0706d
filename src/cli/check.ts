/** `spillway check`: a dry run that can also say how records get lost with a configuration that is right. */
import { hostname } from 'node:os'
import { Diagnostics, formatLocation, type Location } from '../config/diagnostics.ts'
import { Environment } from '../config/env.ts'
import type { ConfigDocument, MapEntry } from '../config/model.ts'
import { baseDirectoryOf, readConfiguration, readPluginsFile } from '../config/read.ts'
import { expandScalar } from '../config/resolve.ts'
import { type Finding, findLosses } from '../engine/loss.ts'
import { resolvePipeline, resolveService } from '../engine/pipeline_spec.ts'
import { Catalog, type PluginList } from '../plugin/catalog.ts'
import { runAgent } from './agent.ts'
import type { CheckCommand } from './commands.ts'
import type { ConfigurationSource } from './configuration.ts'
import { blockingOutput } from './standard_output.ts'

/** Checks, prints, and gives the exit code of a dry run. */
export async function runCheck(command: CheckCommand, shipped: PluginList): Promise<number> {
  const { run, loss, json } = command
  // The dry run changes the working folder; plugins of the command line are found from where it was typed.
  const typedIn = process.cwd()
  const exitCode = await runAgent({ ...run, dryRun: true }, shipped)
  if (exitCode !== 0 || !loss) return exitCode
  const catalog = new Catalog(shipped)
  for (const { path } of run.document.plugins) await catalog.addFile(path.text, typedIn)
  const findings = await lossesOf(
    {
      file: run.configFile,
      commandLine: { ...run.document, plugins: [] },
      workingDirectory: process.cwd(),
      processEnvironment: process.env
    },
    catalog
  )
  blockingOutput(1).write(Buffer.from(json ? lossJson(findings) : lossText(findings)))
  return 0
}

/**
 * The ways to lose records with a configuration that was checked: what is read here is read for the second time, and its
 * mistakes have been reported.
 */
export async function lossesOf(source: ConfigurationSource, catalog: Catalog): Promise<Finding[]> {
  const { workingDirectory, file, commandLine } = source
  const diagnostics = new Diagnostics()
  const options = { workingDirectory, diagnostics }
  const documents = [
    ...(commandLine === undefined ? [] : [commandLine]),
    ...(file === undefined ? [] : [readConfiguration(file, options)])
  ]
  const document = join(documents)
  const environment = new Environment({
    entries: document.env,
    processEnvironment: source.processEnvironment,
    hostname: hostname(),
    now: Date.now,
    diagnostics
  })
  const service = resolveService(document, environment, diagnostics)
  const baseDirectory =
    file === undefined ? workingDirectory : baseDirectoryOf(file, workingDirectory)
  const plugins = service.plugins_file.flatMap(path =>
    readPluginsFile(path, { ...options, baseDirectory, at: undefined })
  )
  for (const { path } of [...document.plugins, ...plugins]) {
    await catalog.addFile(expandScalar(path, environment, diagnostics), workingDirectory)
  }
  const spec = await resolvePipeline(document, service, catalog, environment, diagnostics)
  return findLosses(spec, placesOf(document.service))
}

/** Joins what a pipeline is resolved from. */
function join(documents: readonly ConfigDocument[]): ConfigDocument {
  return documents.reduce((first, second) => ({
    ...second,
    env: [...first.env, ...second.env],
    service: [...first.service, ...second.service],
    inputs: [...first.inputs, ...second.inputs],
    filters: [...first.filters, ...second.filters],
    outputs: [...first.outputs, ...second.outputs],
    plugins: [...first.plugins, ...second.plugins]
  }))
}

/** Where the value of each key stands that counts. */
function placesOf(entries: readonly MapEntry[]): Map<string, Location> {
  return new Map(entries.map(({ key, value }) => [key, value.at]))
}

/** A paragraph a finding, and how many there are. */
export function lossText(findings: readonly Finding[]): string {
  const paragraphs = findings.map(({ at, subject, message, change }) => {
    const line = `${formatLocation(at)}: ${subject}: ${message}\n`
    return change === undefined ? line : `${line}change: ${change}\n`
  })
  return [...paragraphs, `${summary(findings.length)}\n`].join('\n')
}

function summary(count: number): string {
  if (count === 0) {
    return 'nothing that this configuration is told to keep can be lost while its disks last'
  }
  return count === 1 ? '1 way to lose data' : `${count} ways to lose data`
}

/** One array, in the order of the text. */
function lossJson(findings: readonly Finding[]): string {
  const entries = findings.map(({ at, ...finding }) => ({ ...at, ...finding }))
  return `${JSON.stringify(entries, undefined, 2)}\n`
}
