/** A pipeline with its monitoring server, in the test's process. */
import { mkdtempSync, rmSync } from 'node:fs'
import { type IncomingHttpHeaders, request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { Logger } from '../../src/base/log.ts'
import { registerProgramMetrics } from '../../src/engine/program_metrics.ts'
import { MonitoringServer } from '../../src/http/monitoring_server.ts'
import type { Reloads } from '../../src/http/reload.ts'
import type { Route } from '../../src/http/route.ts'
import { Catalog } from '../../src/plugin/catalog.ts'
import { SHIPPED } from '../../src/plugins/all.ts'
import { freePort } from './peers.ts'
import { type PipelineOptions, startPipeline, type TestPipeline } from './pipeline.ts'

export interface Answer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly body: string
}

export interface MonitoringOptions extends PipelineOptions {
  readonly reloads?: Reloads
  readonly traceRoutes?: readonly Route[]
}

export interface Monitored {
  readonly run: TestPipeline
  readonly server: MonitoringServer
  /** Log lines of the server. */
  readonly log: readonly string[]
  ask(path: string, method?: string, body?: string): Promise<Answer>
}

const NO_RELOADS: Reloads = { count: 0, request: () => 'not_enabled' }

/** Starts both; `${PORT}` in the configuration is a free port, `${FOLDER}` a folder. */
export async function startMonitored(
  t: TestContext,
  configuration: string,
  options: MonitoringOptions = {}
): Promise<Monitored> {
  const directory = mkdtempSync(join(tmpdir(), 'spillway-monitored-'))
  t.after(() => rmSync(directory, { recursive: true, force: true }))
  const environment = { PORT: String(await freePort()), FOLDER: directory, ...options.environment }
  const run = await startPipeline(configuration, { ...options, directory, environment })
  t.after(() => run.stop())
  const { clock, metrics, pipeline, service } = run
  const { reloads = NO_RELOADS, traceRoutes = [] } = options
  const startSeconds = Math.trunc(clock.now() / 1000)
  registerProgramMetrics(metrics, {
    clock,
    hostname: 'vm',
    startSeconds,
    reloads: () => reloads.count
  })
  const log: string[] = []
  const sink = { colour: false, write: (line: string) => void log.push(line.trimEnd()) }
  const server = new MonitoringServer(
    {
      log: new Logger({ sink, level: 'info', now: clock.now }),
      clock,
      metrics,
      catalog: new Catalog(SHIPPED),
      pipeline,
      reloads,
      traceRoutes,
      startSeconds
    },
    service
  )
  await server.start()
  t.after(() => server.stop())
  return {
    run,
    server,
    log,
    ask: (path, method = 'GET', body) => askServer(server.port, path, method, body)
  }
}

/** One request on a connection of its own. */
export async function askServer(
  port: number,
  path: string,
  method = 'GET',
  body?: string
): Promise<Answer> {
  // Node says it by itself for some methods only.
  const headers = body === undefined ? {} : { 'Content-Length': Buffer.byteLength(body) }
  return new Promise((resolve, reject) => {
    const target = { host: '127.0.0.1', port, path, method, headers, agent: false }
    const outgoing = request(target, incoming => {
      let text = ''
      incoming.setEncoding('utf8').on('data', (piece: string) => (text += piece))
      incoming.on('error', reject).on('end', () => {
        resolve({ status: incoming.statusCode ?? 0, headers: incoming.headers, body: text })
      })
    })
    outgoing.on('error', reject)
    outgoing.end(body)
  })
}
