/** An input over HTTP in a pipeline of its own, and what a sender needs. */
import type { TestContext } from 'node:test'
import { freePort } from './peers.ts'
import { type PipelineOptions, startPipeline, type TestPipeline } from './pipeline.ts'

/** Status and body. */
export type Answer = readonly [status: number, body: string]

export class HttpInput {
  readonly pipeline: TestPipeline
  readonly port: number

  constructor(pipeline: TestPipeline, port: number) {
    this.pipeline = pipeline
    this.port = port
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`
  }

  /** Sends a body, as JSON unless a header says otherwise. */
  async post(
    path: string,
    body: string | Buffer,
    headers: Readonly<Record<string, string>> = {}
  ): Promise<Answer> {
    const type = { 'content-type': 'application/json' }
    const init = { method: 'POST', body: new Uint8Array(Buffer.from(body)) }
    const reply = await fetch(this.url + path, { ...init, headers: { ...type, ...headers } })
    return [reply.status, await reply.text()]
  }

  /** Bodies by tag, of all that has come. */
  events(): Record<string, unknown[]> {
    this.pipeline.flush()
    const byTag: Record<string, unknown[]> = {}
    for (const { tag, events } of this.pipeline.taken) {
      byTag[tag] = [...(byTag[tag] ?? []), ...events.map(event => event.body)]
    }
    return byTag
  }

  /** What the first instance of the plugin counted as given up for a reason: records and bytes. */
  dropped(name: string, reason: string): [records: number, bytes: number] {
    const labels = { kind: 'input', name, reason }
    return [
      this.pipeline.counter('spillway_dropped_records_total', labels),
      this.pipeline.counter('spillway_dropped_bytes_total', labels)
    ]
  }
}

/** Starts a pipeline with this input, which has the tag `in`, and the output `collect`. The end of the test stops it. */
export async function startHttpInput(
  t: TestContext,
  plugin: string,
  keys = '',
  options: PipelineOptions = {}
): Promise<HttpInput> {
  const port = await freePort()
  const pipeline = await startPipeline(
    `
[SERVICE]
  flush 1
[INPUT]
  name ${plugin}
  tag in
  listen 127.0.0.1
  port ${port}
  ${keys}
[OUTPUT]
  name collect
  match *
`,
    options
  )
  t.after(() => pipeline.stop())
  return new HttpInput(pipeline, port)
}
