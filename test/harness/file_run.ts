/** Runs a pipeline with one output `file` into a folder of its own. */
import assert from 'node:assert/strict'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Signal } from '../../src/base/signal.ts'
import { type Body, encodeEvent, EncodedInput } from './odd_events.ts'
import { type PipelineOptions, startPipeline, type TestPipeline } from './pipeline.ts'

export class FileRun {
  readonly folder = mkdtempSync(join(tmpdir(), 'spillway-file-'))
  readonly #input = new EncodedInput()
  #pipeline: TestPipeline | undefined

  /**
   * @param properties Of the output; `FOLDER` stands for its folder.
   * @param service More properties of the service section.
   */
  static async start(
    properties: string,
    service = '',
    options: PipelineOptions = {}
  ): Promise<FileRun> {
    const run = new FileRun()
    run.#pipeline = await startPipeline(
      `[SERVICE]\n    flush 1\n${service}[INPUT]\n    name encoded\n[OUTPUT]\n    name file\n    match *\n` +
        properties.replaceAll('FOLDER', run.folder),
      { ...options, plugins: [run.#input.plugin], directory: run.folder }
    )
    return run
  }

  get pipeline(): TestPipeline {
    assert.ok(this.#pipeline !== undefined)
    return this.#pipeline
  }

  /** Sends events in one chunk, or in several when they are many, and waits until the output has dealt with them. */
  async send(tag: string, ...events: readonly Buffer[]): Promise<void> {
    await this.#send('logs', tag, events)
  }

  /** Sends contexts, as `send` sends events. */
  async sendMetrics(tag: string, ...contexts: readonly Buffer[]): Promise<void> {
    await this.#send('metrics', tag, contexts)
  }

  async #send(signal: Signal, tag: string, events: readonly Buffer[]): Promise<void> {
    this.#input.pushAs(signal, tag, ...events)
    this.pipeline.flush()
    await this.pipeline.until(() => this.pipeline.pipeline.pendingTasks === 0)
  }

  /** Content by path within the folder, one character a byte, without the configuration. */
  files(): Record<string, string> {
    const names = readdirSync(this.folder, { recursive: true, withFileTypes: true })
    const files: Record<string, string> = {}
    for (const entry of names) {
      const path = join(entry.parentPath, entry.name)
      if (!entry.isFile() || entry.name === 'fluent-bit.conf') continue
      files[path.slice(this.folder.length + 1)] = readFileSync(path, 'latin1')
    }
    return files
  }

  /** Log lines of the output without its prefix, with `FOLDER` for the folder. */
  get log(): string[] {
    const prefix = '[output:file:file.0] '
    return this.pipeline.log
      .filter(line => line.includes(prefix))
      .map(line => line.replace(prefix, '').replaceAll(this.folder, 'FOLDER'))
  }

  dropped(reason: string): number {
    const labels = { kind: 'output', name: 'file.0', reason }
    return this.pipeline.counter('spillway_dropped_records_total', labels)
  }

  /** Stops and gives the files that are left; the folder is removed. */
  async stop(): Promise<Record<string, string>> {
    await this.pipeline.stop()
    const files = this.files()
    rmSync(this.folder, { recursive: true })
    return files
  }
}

/** Runs one chunk and gives the files that are there afterwards. */
export async function filesAfter(
  properties: string,
  events: readonly Buffer[],
  tag = 'app'
): Promise<Record<string, string>> {
  const run = await FileRun.start(properties)
  await run.send(tag, ...events)
  return run.stop()
}

/** An event of 2023-11-14T22:13:20Z. */
export function event(body: Body): Buffer {
  return encodeEvent([1_700_000_000, 0], body)
}
