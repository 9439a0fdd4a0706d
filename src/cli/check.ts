/** `spillway check`: a dry run that can also say how records get lost with a configuration that is right. */
import { systemClock } from '../base/clock.ts'
import { Logger } from '../base/log.ts'
import { Diagnostics, formatLocation, type Location } from '../config/diagnostics.ts'
import type { MapEntry } from '../config/model.ts'
import { type Finding, findLosses } from '../engine/loss.ts'
import { MetricsRegistry } from '../metrics/registry.ts'
import { Catalog, type PluginList } from '../plugin/catalog.ts'
import { systemDisk } from '../storage/disk.ts'
import { runAgent } from './agent.ts'
import type { CheckCommand } from './commands.ts'
import { type ConfigurationSource, loadConfiguration } from './configuration.ts'
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

/** The ways to lose records with a configuration that was checked: its mistakes have been reported. */
export async function lossesOf(source: ConfigurationSource, catalog: Catalog): Promise<Finding[]> {
  const silent = new Logger({ sink: { colour: false, write() {} }, level: 'off' })
  const world = {
    log: silent,
    clock: systemClock,
    random: Math.random,
    metrics: new MetricsRegistry(),
    catalog,
    stdout: blockingOutput(1),
    disk: systemDisk,
    root: ''
  }
  const { spec, document } = await loadConfiguration(source, world, new Diagnostics())
  return findLosses(spec, placesOf(document.service))
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
