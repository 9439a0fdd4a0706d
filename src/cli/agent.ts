/**
 * Runs the agent: reads the configuration, starts the pipeline, answers signals, stops.
 * Source of order, lines and exit codes: Fluent Bit 5.1.1 src/fluent-bit.c, src/flb_engine.c; reference section 1.
 */
import { spawn } from 'node:child_process'
import { closeSync, openSync } from 'node:fs'
import { hostname } from 'node:os'
import { isatty } from 'node:tty'
import { messageOf } from '../base/error_message.ts'
import { systemClock } from '../base/clock.ts'
import {
  fileDescriptorSink,
  localTimestamp,
  Logger,
  type LogLevel,
  type LogSink
} from '../base/log.ts'
import { FLUENT_BIT_VERSION, VERSION } from '../base/version.ts'
import { ConfigError, type Diagnostic, Diagnostics, formatLocation } from '../config/diagnostics.ts'
import type { ServiceSettings } from '../config/service.ts'
import type { Pipeline } from '../engine/pipeline.ts'
import { registerProgramMetrics } from '../engine/program_metrics.ts'
import { TraceTaps } from '../engine/trace_taps.ts'
import type { MonitoringServer } from '../http/monitoring_server.ts'
import type { Reloads } from '../http/reload.ts'
import { registerLoggerMetrics } from '../metrics/logger_metrics.ts'
import { MetricsRegistry } from '../metrics/registry.ts'
import { Catalog, type PluginList } from '../plugin/catalog.ts'
import { systemDisk } from '../storage/disk.ts'
import type { RunCommand } from './args.ts'
import { bannerText } from './banner.ts'
import { compileCache } from './compile_cache.ts'
import {
  type ConfigurationSource,
  type ConfigurationWorld,
  exitCodeOf,
  type KnownConfiguration,
  loadConfiguration,
  type LoadedConfiguration,
  type ReloadedConfiguration,
  reloadConfiguration
} from './configuration.ts'
import { Reloader } from './reloader.ts'
import { blockingOutput } from './standard_output.ts'
import { stateDump } from './state_dump.ts'

const STDERR = 2

/** Exit code of a start that failed after the configuration was loaded, -1 in Fluent Bit. */
const START_FAILED = 255

/**
 * Mistakes that stop a start and not a dry run: Fluent Bit's does not look for them, and the machine that checks a
 * configuration need not have all files of the one that runs it.
 */
export const ONLY_WARNED_IN_DRY_RUN: ReadonlySet<string> = new Set([
  'CFG_TLS_FILES',
  'CFG_UNKNOWN_PARSER'
])

/** Tells a program started by `--daemon` that it is in the background already. */
const DAEMON_MARK = 'SPILLWAY_DAEMON'

/**
 * Runs until the pipeline has stopped; gives the exit code.
 *
 * @param threadEntry The file that threads begin with; without it there are none.
 * @param abort Ends the program at once, loudly; a dry run needs neither.
 */
export async function runAgent(
  command: RunCommand,
  shipped: PluginList,
  threadEntry?: URL,
  abort = (): void => undefined
): Promise<number> {
  // One that comes before there is anything to reload must not end the program.
  process.on('SIGHUP', () => undefined)
  const stderr = fileDescriptorSink(STDERR, isatty(STDERR))
  const output = new SwitchableSink(stderr)
  const log = new Logger({ sink: output, level: command.logLevel })
  const catalog = new Catalog(shipped)
  // Plugins of the command line are found from where it was typed, before the working folder changes.
  const typedIn = process.cwd()
  try {
    await addPlugins(command, catalog, typedIn)
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    log.error(`[config] ${error.message}`)
    return 1
  }
  if (command.logLevel !== 'off') stderr.write(bannerText(isatty(1)))
  for (const notice of command.notices) log.warn(notice.message)
  if (command.workdir !== undefined && !changeDirectory(command.workdir, log)) return START_FAILED
  return new Agent({ command, log, output, catalog, typedIn, threadEntry, abort }).run()
}

/** Loads the plugins of the command line. */
async function addPlugins(command: RunCommand, catalog: Catalog, folder: string): Promise<void> {
  for (const { path } of command.document.plugins) {
    await catalog.addFile(path.text, folder, path.at)
  }
}

interface AgentParts {
  readonly command: RunCommand
  readonly log: Logger
  readonly output: SwitchableSink
  /** With the plugins of the command line. */
  readonly catalog: Catalog
  /** The folder that the command line was typed in. */
  readonly typedIn: string
  readonly threadEntry: URL | undefined
  /** Ends the program at once, loudly. */
  readonly abort: () => void
}

/** What a reload has read. */
type Reread = ReloadedConfiguration & { readonly catalog: Catalog }

class Agent {
  readonly #command: RunCommand
  readonly #log: Logger
  readonly #parts: AgentParts
  readonly #metrics = new MetricsRegistry()
  /** When the program started, in seconds since the epoch. */
  readonly #startSeconds = Math.trunc(systemClock.now() / 1000)
  #monitoring: MonitoringServer | undefined

  constructor(parts: AgentParts) {
    this.#parts = parts
    this.#command = parts.command
    this.#log = parts.log
  }

  async run(): Promise<number> {
    const { dryRun } = this.#command
    const diagnostics = new Diagnostics()
    const { catalog } = this.#parts
    const loaded = await loadConfiguration(this.#source, this.#world(catalog), diagnostics)
    const { service } = loaded
    if (!this.#report(diagnostics)) {
      this.#log.error('configuration file contains errors, aborting.')
      return exitCodeOf(diagnostics, dryRun)
    }
    if (dryRun) {
      fileDescriptorSink(STDERR, false).write('configuration test is successful\n')
      return 0
    }
    if (this.#wantsDaemon(service)) return this.#startDaemon()
    this.#applyLogSettings(service)
    return this.#start(loaded)
  }

  get #source(): ConfigurationSource {
    return {
      file: this.#command.configFile,
      commandLine: { ...this.#command.document, plugins: [] },
      workingDirectory: process.cwd(),
      processEnvironment: process.env
    }
  }

  #world(catalog: Catalog): ConfigurationWorld {
    return {
      log: this.#log,
      clock: systemClock,
      random: Math.random,
      metrics: this.#metrics,
      catalog,
      stdout: blockingOutput(1),
      disk: systemDisk,
      root: '',
      threadEntry: this.#parts.threadEntry
    }
  }

  async #start(loaded: LoadedConfiguration): Promise<number> {
    const { pipeline, service } = loaded
    const log = this.#log
    let running = { ...loaded, catalog: this.#parts.catalog }
    const taps = new TraceTaps({
      pipeline,
      workingDirectory: process.cwd(),
      configuration: () => running
    })
    const reloader: Reloader = new Reloader({
      log,
      clock: systemClock,
      pipeline,
      read: (diagnostics, known) => this.#readAgain(pipeline, diagnostics, known),
      report: diagnostics => this.#report(diagnostics),
      follow: next => this.#monitor(pipeline, next, taps, reloader),
      done: next => {
        running = { ...running, ...next }
        this.#applyLogSettings(next.service)
      },
      abort: this.#parts.abort
    })
    log.info(
      `[fluent bit] version=${FLUENT_BIT_VERSION}, commit=spillway-${VERSION}, pid=${process.pid}`
    )
    registerLoggerMetrics(this.#metrics, log)
    registerProgramMetrics(this.#metrics, {
      clock: systemClock,
      hostname: hostname(),
      startSeconds: this.#startSeconds,
      reloads: () => reloader.count
    })
    this.#answerSignals(pipeline, reloader)
    try {
      await this.#monitor(pipeline, service, taps, reloader)
    } catch (error) {
      log.error(`[http_server] ${messageOf(error)}`)
      log.error('[engine] could not start HTTP server')
      return START_FAILED
    }
    try {
      await pipeline.start()
    } catch (error) {
      log.error(`[engine] start failed: ${messageOf(error)}`)
      return START_FAILED
    }
    const { trace } = this.#command
    if (trace !== undefined) await taps.start(trace.input, { ...trace, prefix: '' })
    reloader.start(loaded)
    const exitCode = await pipeline.stopped
    reloader.stop()
    await this.#monitoring?.stop()
    return exitCode
  }

  async #readAgain(
    pipeline: Pipeline,
    diagnostics: Diagnostics,
    known: KnownConfiguration | undefined
  ): Promise<Reread> {
    const catalog = this.#parts.catalog.renewed()
    try {
      await addPlugins(this.#command, catalog, this.#parts.typedIn)
    } catch (error) {
      diagnostics.capture(error)
    }
    const world = this.#world(catalog)
    const source = { ...this.#source, known }
    return { ...(await reloadConfiguration(pipeline, source, world, diagnostics)), catalog }
  }

  /**
   * Has the monitoring server as a service section wants it.
   *
   * @throws {Error} When the address cannot be bound.
   */
  async #monitor(
    pipeline: Pipeline,
    service: ServiceSettings,
    taps: TraceTaps,
    reloads: Reloads
  ): Promise<void> {
    if (this.#monitoring !== undefined) {
      await this.#monitoring.apply(service)
      return
    }
    if (!service.http_server) return
    // Much code, for those who want it.
    const { MonitoringServer } = await import('../http/monitoring_server.ts')
    const { traceRoutes } = await import('../http/trace.ts')
    const world = {
      log: this.#log,
      clock: systemClock,
      metrics: this.#metrics,
      catalog: this.#parts.catalog,
      pipeline,
      reloads,
      traceRoutes: traceRoutes(taps, this.#log),
      startSeconds: this.#startSeconds
    }
    const server = new MonitoringServer(world, service)
    await server.start()
    this.#monitoring = server
  }

  /** Prints all diagnostics; true when the configuration may be used. */
  #report(diagnostics: Diagnostics): boolean {
    const { strict, dryRun } = this.#command
    let refused = false
    for (const entry of diagnostics.list) {
      const isOnlyWarned = dryRun && ONLY_WARNED_IN_DRY_RUN.has(entry.code)
      const isError = strict || (entry.severity === 'error' && !isOnlyWarned)
      refused ||= isError
      const line = `[config] ${diagnosticText(entry)}`
      if (isError) this.#log.error(line)
      else this.#log.warn(line)
    }
    return !refused
  }

  #applyLogSettings(service: ServiceSettings): void {
    const { logLevelFixed, logLevel } = this.#command
    const wanted = service.log_level.toLowerCase().replace('warning', 'warn') as LogLevel
    if (!logLevelFixed && logLevel !== 'off') this.#log.level = wanted
    this.#parts.output.use(service.log_file)
  }

  #wantsDaemon(service: ServiceSettings): boolean {
    return (this.#command.daemon || service.daemon) && process.env[DAEMON_MARK] === undefined
  }

  /** Starts this program once more, in the background and without a terminal. */
  #startDaemon(): number {
    const child = spawn(process.execPath, [...process.execArgv, ...process.argv.slice(1)], {
      detached: true,
      stdio: 'ignore',
      env: { ...process.env, ...compileCache(), [DAEMON_MARK]: '1' }
    })
    child.unref()
    this.#log.info(`switching to background mode (PID=${child.pid ?? 0})`)
    return 0
  }

  #answerSignals(pipeline: Pipeline, reloader: Reloader): void {
    const say = (signal: string): void => {
      const stamp = localTimestamp(Date.now())
      fileDescriptorSink(STDERR, false).write(`[${stamp}] [engine] caught signal (${signal})\n`)
    }
    let stopping = false
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGQUIT'] as const) {
      process.on(signal, () => {
        if (stopping) return
        stopping = true
        say(signal)
        void pipeline.stop()
      })
    }
    process.on('SIGHUP', () => {
      say('SIGHUP')
      reloader.request()
    })
    process.on('SIGCONT', () => {
      say('SIGCONT')
      const dump = stateDump(pipeline, this.#metrics, localTimestamp(Date.now()))
      fileDescriptorSink(STDERR, false).write(dump)
    })
  }
}

/** Log lines go to stderr, or to the file that the configuration names. */
class SwitchableSink implements LogSink {
  readonly #stderr: LogSink
  #target: LogSink
  /** Of the file. */
  #descriptor: number | undefined

  constructor(stderr: LogSink) {
    this.#stderr = stderr
    this.#target = stderr
  }

  get colour(): boolean {
    return this.#target.colour
  }

  write(text: string): void {
    this.#target.write(text)
  }

  /** @param path A file, which is opened anew: the one that was open may have been renamed. */
  use(path: string | undefined): void {
    const before = this.#descriptor
    this.#target = this.#stderr
    this.#descriptor = undefined
    try {
      if (path !== undefined) {
        this.#descriptor = openSync(path, 'a')
        this.#target = fileDescriptorSink(this.#descriptor, false)
      }
    } catch {
      this.#stderr.write(`[log] error opening log file ${path}. Using stderr.\n`)
    }
    if (before !== undefined) closeSync(before)
  }
}

/** `file:line:column: message [CODE]`. */
export function diagnosticText({ at, message, code }: Diagnostic): string {
  const place = formatLocation(at)
  return place === '' ? `${message} [${code}]` : `${place}: ${message} [${code}]`
}

function changeDirectory(path: string, log: Logger): boolean {
  try {
    process.chdir(path)
    return true
  } catch (error) {
    log.error(`Cannot change to working folder "${path}": ${(error as Error).message}`)
    return false
  }
}
