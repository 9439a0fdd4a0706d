/** Prometheus, which scrapes every second, and promtool, which looks at texts. */
import type { TestContext } from 'node:test'
import { freePort, listens, type Peer, runPeer, startPeer } from '../peers.ts'

/** What is scraped: `http://127.0.0.1:PORT/path` under a name of the test's. */
export interface ScrapeJob {
  readonly name: string
  readonly port: number
  readonly path: string
}

/** What Prometheus says of something that it scrapes. */
export interface Target {
  readonly job: string
  readonly health: string
  /** Empty when the last scrape went well. */
  readonly lastError: string
}

export interface Prometheus {
  readonly peer: Peer
  targets(): Promise<readonly Target[]>
  /** The result of a query, values by their labels as JSON; without those that Prometheus adds. */
  query(expression: string): Promise<Readonly<Record<string, number>>>
}

export async function startPrometheus(
  t: TestContext,
  jobs: readonly ScrapeJob[]
): Promise<Prometheus> {
  const port = await freePort()
  const peer = await startPeer(t, {
    program: 'prometheus',
    args: [
      '--config.file=FOLDER/prometheus.yml',
      '--storage.tsdb.path=FOLDER/data',
      `--web.listen-address=127.0.0.1:${port}`,
      '--log.level=debug'
    ],
    files: { 'prometheus.yml': configurationOf(jobs) },
    ready: async () => listens(port) && (await fetch(`http://127.0.0.1:${port}/-/ready`)).ok
  })
  const ask = async (path: string): Promise<unknown> => {
    const answer = await fetch(`http://127.0.0.1:${port}/api/v1/${path}`)
    const { data } = (await answer.json()) as { data: unknown }
    return data
  }
  return {
    peer,
    async targets() {
      const { activeTargets } = (await ask('targets')) as { activeTargets: ActiveTarget[] }
      return activeTargets.map(({ labels: { job }, health, lastError }) => ({
        job,
        health,
        lastError
      }))
    },
    async query(expression) {
      const { result } = (await ask(`query?query=${encodeURIComponent(expression)}`)) as QueryData
      return Object.fromEntries(
        result.map(({ metric, value: [, value] }) => {
          const { __name__: _name, instance: _instance, job: _job, ...labels } = metric
          return [JSON.stringify(labels), Number(value)]
        })
      )
    }
  }
}

/** What promtool has to say of a text in Prometheus' format, a line each, sorted. */
export async function promtoolComplaints(t: TestContext, text: string): Promise<string[]> {
  const run = await runPeer(t, {
    program: 'promtool',
    args: ['check', 'metrics'],
    input: text,
    // A complaint that is no error, and an error.
    exitCodes: [0, 1, 3]
  })
  return run.output.split('\n').filter(Boolean).toSorted()
}

interface ActiveTarget {
  readonly labels: { readonly job: string }
  readonly health: string
  readonly lastError: string
}

interface QueryData {
  readonly result: readonly {
    readonly metric: Readonly<Record<string, string>>
    readonly value: readonly [time: number, value: string]
  }[]
}

function configurationOf(jobs: readonly ScrapeJob[]): string {
  const scrapes = jobs.map(
    ({ name, port, path }) => `
  - job_name: ${name}
    metrics_path: ${path}
    static_configs:
      - targets: ['127.0.0.1:${port}']
`
  )
  return `
global:
  scrape_interval: 1s
  scrape_timeout: 1s
scrape_configs:${scrapes.join('')}`
}
