/**
 * Makes the configuration anew while the program runs: asked for by SIGHUP, over HTTP, or by a change of its files. A value
 * of `env` that is read again makes those instances anew that use it.
 * Source of the log lines: Fluent Bit 5.1.1 src/flb_reload.c; reference section 14. Differs: what did not change keeps
 * running, and a configuration that does not start leaves the old one running too.
 */
import { threadId } from 'node:worker_threads'
import { messageOf } from '../base/error_message.ts'
import type { Clock, Timer } from '../base/clock.ts'
import type { Logger } from '../base/log.ts'
import { Diagnostics } from '../config/diagnostics.ts'
import type { ServiceSettings } from '../config/service.ts'
import type { Pipeline } from '../engine/pipeline.ts'
import type { KnownConfiguration, ReloadedConfiguration } from './configuration.ts'
import { SourceWatch } from './source_watch.ts'

/** What the pipeline was made from. */
export type RunningConfiguration = Omit<ReloadedConfiguration, 'change'>

export interface ReloaderWorld {
  readonly log: Logger
  readonly clock: Clock
  readonly pipeline: Pipeline
  /**
   * Reads the configuration again; mistakes go to the diagnostics.
   *
   * @param known What has been read before, where only values of `env` have changed.
   */
  read(diagnostics: Diagnostics, known?: KnownConfiguration): Promise<ReloadedConfiguration>
  /** Says what the diagnostics hold; true when the configuration may be used. */
  report(diagnostics: Diagnostics): boolean
  /** Makes the rest of the program follow, before the pipeline does; throws when it cannot. */
  follow(service: ServiceSettings): Promise<void>
  /** The configuration is in use. */
  done(read: RunningConfiguration): void
  /** Ends a program whose reload hangs. */
  abort(): void
}

export class Reloader {
  /** Reloads that have succeeded. */
  count = 0
  readonly #world: ReloaderWorld
  readonly #watch: SourceWatch
  #refreshTimer: Timer | undefined
  #sources: ReadonlySet<string> = new Set()
  /** False before the pipeline has started. */
  #hasStarted = false
  /** Asked for before the start, or by a file that changed during a reload: done after it. */
  #isWanted = false
  #isReloading = false

  constructor(world: ReloaderWorld) {
    this.#world = world
    this.#watch = new SourceWatch(world.clock, () => {
      world.log.info('[reload] the configuration has changed')
      // The reload that is under way may have read it before.
      if (this.#isReloading) this.#isWanted = true
      else void this.#reload()
    })
  }

  /** Follows what the configuration that runs now depends on. */
  start({ sources, service, document, world }: RunningConfiguration): void {
    this.#sources = sources
    this.#hasStarted = true
    if (service['hot_reload.watch']) this.#watch.watch(sources)
    else this.#watch.stop()
    this.#refreshTimer?.cancel()
    const { environment } = world
    const { refreshMs } = environment
    this.#reloadIfWanted()
    if (refreshMs === undefined) return
    this.#refreshTimer = this.#world.clock.every(refreshMs, () => {
      // What is changed now is seen the next time.
      if (this.#isReloading) return
      const changed = environment.refresh()
      if (changed.length === 0) return
      this.#world.log.info(`[env] new value of ${changed.join(', ')}`)
      void this.#reload({ document, variables: environment.variables })
    })
  }

  stop(): void {
    this.#watch.stop()
    this.#refreshTimer?.cancel()
  }

  /** Begins a reload, where the configuration allows it and none is under way. */
  request(): 'started' | 'in_progress' | 'not_enabled' {
    const { log, pipeline } = this.#world
    if (!pipeline.service.hot_reload) {
      log.warn('[reload] hot reloading is not enabled')
      return 'not_enabled'
    }
    if (this.#isReloading || pipeline.isStopping) {
      log.warn('[reload] reloading in progress')
      return 'in_progress'
    }
    if (this.#hasStarted) void this.#reload()
    else this.#isWanted = true
    return 'started'
  }

  async #reload(known?: KnownConfiguration): Promise<void> {
    const { log, pipeline } = this.#world
    if (this.#isReloading || pipeline.isStopping) return
    this.#isReloading = true
    const guard = this.#guard()
    log.info(`reloading instance pid=${process.pid} tid=0x${threadId.toString(16)}`)
    try {
      if (known === undefined) this.#watch.mark()
      await this.#change(known)
    } finally {
      guard?.cancel()
      this.#isReloading = false
    }
    this.#reloadIfWanted()
  }

  #reloadIfWanted(): void {
    if (!this.#isWanted || this.#isReloading) return
    this.#isWanted = false
    void this.#reload()
  }

  async #change(known: KnownConfiguration | undefined): Promise<void> {
    const { log, pipeline, read, report, follow, done } = this.#world
    const diagnostics = new Diagnostics()
    const next = await read(diagnostics, known)
    // Who knows the change knows the instances that there were before: it is not to be kept.
    const { change, ...found } = next
    const { service } = found
    if (!report(diagnostics)) {
      change.discard()
      this.#watch.add(found.sources)
      log.error('[reload] reloaded config is invalid. Reloading is halted')
      return
    }
    const before = pipeline.service
    try {
      await follow(service)
    } catch (error) {
      change.discard()
      this.#watch.add(found.sources)
      this.#failed(error)
      return
    }
    // The program may have been told to stop meanwhile.
    if (pipeline.isStopping) {
      change.discard()
      return
    }
    try {
      await pipeline.change(change)
    } catch (error) {
      this.#watch.add(found.sources)
      this.#failed(error)
      await this.#followAgain(before)
      return
    }
    this.count++
    done(found)
    this.start(known === undefined ? found : { ...found, sources: this.#sources })
    log.info(`[reload] ${change.summary}`)
    log.info('[reload] successful reload done.')
  }

  /** Another program may have taken the address meanwhile: that ends nothing else. */
  async #followAgain(service: ServiceSettings): Promise<void> {
    try {
      await this.#world.follow(service)
    } catch (error) {
      this.#world.log.error(`[http_server] ${messageOf(error)}`)
    }
  }

  #failed(error: unknown): void {
    const message = messageOf(error)
    this.#world.log.error(`[reload] the new configuration does not start: ${message}`)
    this.#world.log.error('[reload] Reloading is halted, the old configuration goes on')
  }

  /** What `hot_reload.timeout` asks for. */
  #guard(): Timer | undefined {
    const { log, clock, pipeline, abort } = this.#world
    const seconds = pipeline.service['hot_reload.timeout']
    if (seconds <= 0) return undefined
    return clock.after(seconds * 1000, () => {
      log.error(
        `[hot_reload_watchdog] Hot reload timeout exceeded (${seconds} seconds), aborting to prevent indefinite hang`
      )
      abort()
    })
  }
}
