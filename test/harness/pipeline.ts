/**
 * Runs a whole pipeline in the test's process, from the configuration text that a user would write. Time, randomness,
 * standard output and the log are the test's. Two plugins exist only here: the input `lib`, which the test pushes
 * into, and the output `collect`, which keeps what it gets.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { Logger } from '../../src/base/log.ts'
import {
  type ConfigurationSource,
  type ConfigurationWorld,
  loadConfiguration,
  reloadConfiguration
} from '../../src/cli/configuration.ts'
import type { Decoded } from '../../src/codec/msgpack_reader.ts'
import { type Encodable, Float } from '../../src/codec/msgpack_writer.ts'
import { Diagnostics, formatLocation } from '../../src/config/diagnostics.ts'
import { text } from '../../src/config/options.ts'
import type { ServiceSettings } from '../../src/config/service.ts'
import { TraceTaps } from '../../src/engine/trace_taps.ts'
import { registerLoggerMetrics } from '../../src/metrics/logger_metrics.ts'
import { MetricsRegistry } from '../../src/metrics/registry.ts'
import { Catalog } from '../../src/plugin/catalog.ts'
import type { InputContext } from '../../src/plugin/context.ts'
import { defineInput, defineOutput, type Plugin } from '../../src/plugin/define.ts'
import { type Delivery, drop, OK, retry } from '../../src/plugin/delivery.ts'
import { SHIPPED } from '../../src/plugins/all.ts'
import { type Disk, systemDisk } from '../../src/storage/disk.ts'
import { decodeEvents, writeTimestamp } from '../../src/record/event.ts'
import { FakeClock } from './fake_clock.ts'

/** An event as tests write and read it. Maps are plain objects, whole doubles are `Float`. */
export interface TestEvent {
  readonly time: readonly [seconds: number, nanoseconds: number]
  readonly metadata: unknown
  readonly body: unknown
}

export interface TakenChunk {
  readonly tag: string
  readonly events: readonly TestEvent[]
}

export interface PipelineOptions {
  /** Files beside the configuration, by relative path. */
  readonly files?: Readonly<Record<string, string | Uint8Array>>
  /** The text is YAML. */
  readonly yaml?: boolean
  /** Prefix of /proc, /sys and /etc. */
  readonly root?: string
  /** What the fake clock starts with; milliseconds since the epoch. */
  readonly nowMs?: number
  readonly environment?: Readonly<Record<string, string>>
  /** Uniform in [0, 1); 0.5 unless given. */
  readonly random?: () => number
  /** More plugins that the configuration may name. */
  readonly plugins?: readonly Plugin[]
  /** What `collect` answers; OK unless given. */
  readonly answer?: (chunk: TakenChunk, attempt: number) => Delivery
  /** The machine's unless given. */
  readonly disk?: Disk
  /** Keep this folder instead of a new one; the test removes it. */
  readonly directory?: string
}

const THREAD = new URL('../../src/thread.ts', import.meta.url)

const DEFAULT_NOW_MS = 1_700_000_000_123

/** Starts a pipeline; throws with all diagnostics when the configuration is refused. */
export async function startPipeline(
  configuration: string,
  options: PipelineOptions = {}
): Promise<TestPipeline> {
  const run = new TestPipeline(configuration, options)
  await run.load()
  if (run.diagnostics.errors.length > 0) {
    await run.remove()
    throw new Error(`configuration is refused:\n${describe(run.diagnostics).join('\n')}`)
  }
  try {
    await run.start()
  } catch (error) {
    await run.remove()
    throw error
  }
  return run
}

/** Checks a configuration without starting it: `file:line:column: message` of errors and warnings. */
export async function checkConfiguration(
  configuration: string,
  options: PipelineOptions = {}
): Promise<{ errors: string[]; warnings: string[] }> {
  const run = new TestPipeline(configuration, options)
  await run.load()
  await run.remove()
  const errors = describe(run.diagnostics, 'error')
  return { errors, warnings: describe(run.diagnostics, 'warning') }
}

export class TestPipeline {
  /** Holds the configuration and the files. */
  readonly directory: string
  readonly clock: FakeClock
  readonly diagnostics = new Diagnostics()
  /** Chunks that `collect` took, in order. */
  readonly taken: TakenChunk[] = []
  /** Log lines without their time. */
  readonly log: string[] = []
  readonly metrics = new MetricsRegistry()
  readonly #options: PipelineOptions
  readonly #file: string
  readonly #inputs = new Map<string, InputContext>()
  readonly #printed: Buffer[] = []
  readonly #attempts = new Map<string, number>()
  readonly #source: ConfigurationSource
  readonly #world: ConfigurationWorld
  #taps: TraceTaps | undefined
  #loaded: Awaited<ReturnType<typeof loadConfiguration>> | undefined

  constructor(configuration: string, options: PipelineOptions) {
    this.#options = options
    this.directory = options.directory ?? mkdtempSync(join(tmpdir(), 'spillway-test-'))
    this.clock = new FakeClock(options.nowMs ?? DEFAULT_NOW_MS)
    this.#file = options.yaml === true ? 'fluent-bit.yaml' : 'fluent-bit.conf'
    this.write(this.#file, configuration)
    for (const [path, content] of Object.entries(options.files ?? {})) this.write(path, content)
    const { environment, root, random, plugins } = options
    const catalog = new Catalog(SHIPPED)
    for (const plugin of [this.#libInput(), this.#collectOutput(), ...(plugins ?? [])]) {
      catalog.add(plugin)
    }
    const sink = { colour: false, write: (line: string) => void this.log.push(withoutTime(line)) }
    this.#source = {
      file: this.#file,
      commandLine: undefined,
      workingDirectory: this.directory,
      processEnvironment: environment ?? {}
    }
    const log = new Logger({ sink, level: 'info', now: this.clock.now })
    registerLoggerMetrics(this.metrics, log)
    this.#world = {
      log,
      clock: this.clock,
      random: random ?? (() => 0.5),
      metrics: this.metrics,
      catalog,
      stdout: { write: bytes => void this.#printed.push(Buffer.from(bytes)) },
      root: root ?? '',
      disk: options.disk ?? systemDisk,
      // Threads have plugins from files only, and the machine's clock.
      threadEntry: THREAD
    }
  }

  /** Text printed to standard output. */
  get stdout(): string {
    return Buffer.concat(this.#printed).toString('utf8')
  }

  /** Bodies of all events that `collect` took, in order. */
  get bodies(): unknown[] {
    return this.taken.flatMap(chunk => chunk.events.map(event => event.body))
  }

  /** Resolves with the exit code when the pipeline stopped by itself. */
  get stopped(): Promise<number> {
    return this.pipeline.stopped
  }

  get pipeline(): Awaited<ReturnType<typeof loadConfiguration>>['pipeline'] {
    if (this.#loaded === undefined) throw new Error('the pipeline is not loaded')
    return this.#loaded.pipeline
  }

  /** Taps on the inputs. */
  get taps(): TraceTaps {
    const loaded = this.#loaded
    if (loaded === undefined) throw new Error('the pipeline is not loaded')
    this.#taps ??= new TraceTaps({
      pipeline: loaded.pipeline,
      workingDirectory: this.directory,
      configuration: () => ({ ...loaded, catalog: this.#world.catalog })
    })
    return this.#taps
  }

  get service(): ServiceSettings {
    if (this.#loaded === undefined) throw new Error('the pipeline is not loaded')
    return this.#loaded.service
  }

  /** Writes a file beside the configuration. */
  write(path: string, content: string | Uint8Array): void {
    const target = join(this.directory, path)
    mkdirSync(dirname(target), { recursive: true })
    writeFileSync(target, content)
  }

  async load(): Promise<void> {
    this.#loaded = await loadConfiguration(this.#source, this.#world, this.diagnostics)
  }

  /** Goes on with another configuration; throws when it is refused or does not start, and the old one goes on. */
  async reload(configuration: string): Promise<void> {
    this.write(this.#file, configuration)
    const { pipeline } = this
    const diagnostics = new Diagnostics()
    const world = { ...this.#world, catalog: this.#world.catalog.renewed() }
    const { change } = await reloadConfiguration(pipeline, this.#source, world, diagnostics)
    if (diagnostics.errors.length > 0) {
      change.discard()
      throw new Error(`configuration is refused:\n${describe(diagnostics).join('\n')}`)
    }
    await pipeline.change(change)
  }

  async start(): Promise<void> {
    await this.pipeline.start()
  }

  /** Sends events with these bodies through the input `lib` that has the tag; their time is now. */
  push(tag: string, ...bodies: Encodable[]): void {
    const nowMs = this.clock.now()
    const seconds = Math.floor(nowMs / 1000)
    const nanoseconds = Math.round((nowMs - seconds * 1000) * 1e6)
    this.pushEvents(
      tag,
      ...bodies.map(body => ({ time: [seconds, nanoseconds] as const, metadata: {}, body }))
    )
  }

  /** Sends whole events through the input `lib` that has the tag. */
  pushEvents(
    tag: string,
    ...events: { time: readonly [number, number]; metadata: Encodable; body: Encodable }[]
  ): void {
    const context = this.#inputs.get(tag) ?? this.#inputs.values().next().value
    if (context === undefined) throw new Error('the configuration has no input lib')
    const sink = context.sink(tag)
    const { writer } = sink
    for (const { time, metadata, body } of events) {
      writer.arrayHeader(2)
      writer.arrayHeader(2)
      writer.reserve(10)
      writeTimestamp(writer.bytes, writer.length, time[0], time[1])
      writer.length += 10
      writer.value(metadata)
      writer.value(body)
    }
    sink.commit(events.length)
  }

  /** Sends open chunks to their outputs, as the flush timer does. */
  flush(): void {
    this.clock.advance(1000)
  }

  /** Value of a counter; 0 when nothing counted yet. */
  counter(name: string, labels: Readonly<Record<string, string>>): number {
    return this.metrics.counter(name, '', labels).value
  }

  /** Waits for something that real I/O brings about; fails after `limitMs` of real time. */
  async until(condition: () => boolean, limitMs = 5000): Promise<void> {
    const deadline = performance.now() + limitMs
    while (!condition()) {
      if (performance.now() > deadline)
        throw new Error(`still false after ${limitMs} ms: ${String(condition)}`)
      await new Promise(resolve => setImmediate(resolve))
    }
  }

  /** Stops in order and gives the exit code; removes the folder unless the test gave it. */
  async stop(): Promise<number> {
    const stopping = this.pipeline.stop()
    let done = false
    void stopping.then(() => (done = true))
    while (!done) {
      await new Promise(resolve => setImmediate(resolve))
      if (!done && this.pipeline.pendingTasks > 0) this.clock.advance(100)
    }
    const code = await this.pipeline.stopped
    await this.remove()
    return code
  }

  async remove(): Promise<void> {
    if (this.#options.directory === undefined)
      rmSync(this.directory, { recursive: true, force: true })
  }

  #libInput(): Plugin {
    return defineInput({
      name: 'lib',
      summary: 'What a test pushes',
      options: {},
      create: (_, context) => ({
        start: () => void this.#inputs.set(context.tag, context)
      })
    })
  }

  #collectOutput(): Plugin {
    return defineOutput({
      name: 'collect',
      summary: 'Keeps what it gets',
      options: { answer: text({ default: 'ok', doc: 'ok, retry or drop' }) },
      create: values => ({
        flush: chunk => {
          const taken = { tag: chunk.tag, events: testEvents(chunk.bytes) }
          const attempt = (this.#attempts.get(chunk.id) ?? 0) + 1
          this.#attempts.set(chunk.id, attempt)
          const answer = this.#options.answer?.(taken, attempt) ?? ANSWERS[values.answer] ?? OK
          if (answer.kind === 'ok') this.taken.push(taken)
          return answer
        }
      })
    })
  }
}

const ANSWERS: Readonly<Record<string, Delivery>> = {
  ok: OK,
  retry: retry('asked to'),
  drop: drop('asked to')
}

/** All events of a chunk, as tests compare them. */
function testEvents(bytes: Buffer): TestEvent[] {
  return [...decodeEvents(bytes)].map(({ seconds, nanoseconds, metadata, body }) => ({
    time: [seconds, nanoseconds],
    metadata: plain(metadata),
    body: plain(body)
  }))
}

/** Maps with string keys become objects without a prototype, so that tests read well. */
export function plain(value: Decoded): unknown {
  if (Array.isArray(value)) return value.map(plain)
  if (!(value instanceof Map)) return value
  const entries = [...value].map(([key, item]) => [key, plain(item)] as const)
  if (!entries.every(([key]) => typeof key === 'string' && key !== '__proto__'))
    return new Map(entries)
  return Object.fromEntries(entries)
}

/** A double with a whole value, for expectations. */
export function float(value: number): Float {
  return new Float(value)
}

function describe(diagnostics: Diagnostics, severity?: string): string[] {
  return diagnostics.list
    .filter(entry => severity === undefined || entry.severity === severity)
    .map(({ at, message }) => (at === undefined ? message : `${formatLocation(at)}: ${message}`))
}

function withoutTime(line: string): string {
  return line.replace(/^\[[^\]]*\] /, '').trimEnd()
}
