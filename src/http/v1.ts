/**
 * The first version of the API.
 * Source: Fluent Bit 5.1.1 src/http_server/api/v1. Differs: what is answered is as it is now, where Fluent Bit's figures are up
 * to a second old, and those of its storage not there in the first five seconds.
 */
import { humanSize } from '../base/human_size.ts'
import { FLUENT_BIT_VERSION } from '../base/version.ts'
import { chunkStats, type ChunkHolder, type StorageStats } from '../engine/chunk_stats.ts'
import { uptimeSeconds } from '../engine/program_metrics.ts'
import { headOf, instanceFigures, instanceFiguresText } from './instance_figures.ts'
import type { MonitoringWorld } from './monitoring_world.ts'
import { exact, jsonReply, prometheusReply, type Route } from './route.ts'

export function v1Routes(world: MonitoringWorld): Route[] {
  const { catalog, clock, metrics, pipeline, startSeconds } = world
  const figures = (): ReturnType<typeof instanceFigures> =>
    instanceFigures({ inputs: inputsOf(pipeline), ...pipeline.instances }, metrics)
  const uptime = (): number => uptimeSeconds(clock, startSeconds)
  return [
    exact('/api/v1/uptime', () => {
      const seconds = uptime()
      return jsonReply(200, { uptime_sec: seconds, uptime_hr: uptimeText(seconds) })
    }),
    exact('/api/v1/metrics/prometheus', () =>
      prometheusReply(
        instanceFiguresText(figures(), clock.now()) + programText(uptime(), startSeconds)
      )
    ),
    exact('/api/v1/metrics', () => jsonReply(200, figures())),
    exact('/api/v1/plugins', () => {
      const inputs = catalog.names('input')
      const filters = catalog.names('filter')
      const outputs = catalog.names('output')
      return jsonReply(200, { plugins: { inputs, filters, outputs } })
    })
  ]
}

/** For `storage.metrics`. */
export function storageRoute({ pipeline }: MonitoringWorld): Route {
  return exact('/api/v1/storage', () => {
    const inputs = inputsOf(pipeline).map(holder => [holder.label, holderView(holder)])
    return jsonReply(200, {
      storage_layer: { chunks: layerView(pipeline.storageStats()) },
      input_chunks: Object.fromEntries(inputs)
    })
  })
}

/** The backlog comes before emitters, as in Fluent Bit. */
function inputsOf({ chunkHolders }: MonitoringWorld['pipeline']): ChunkHolder[] {
  const isEmitter = ({ plugin }: ChunkHolder): boolean => plugin === 'emitter'
  return [...chunkHolders.filter(holder => !isEmitter(holder)), ...chunkHolders.filter(isEmitter)]
}

const DAY = 86_400
const HOUR = 3600
const MINUTE = 60

function uptimeText(uptime: number): string {
  const count = (value: number, unit: string): string => `${value} ${unit}${value > 1 ? 's' : ''}`
  const days = count(Math.trunc(uptime / DAY), 'day')
  const hours = count(Math.trunc((uptime % DAY) / HOUR), 'hour')
  const minutes = count(Math.trunc((uptime % HOUR) / MINUTE), 'minute')
  const seconds = count(uptime % MINUTE, 'second')
  return `Fluent Bit has been running:  ${days}, ${hours}, ${minutes} and ${seconds}`
}

/** What of the whole program follows the figures of instances; these have no times. */
function programText(uptime: number, startSeconds: number): string {
  const labels = `version="${FLUENT_BIT_VERSION}",edition="Community"`
  const start = 'process_start_time_seconds'
  const build = 'fluentbit_build_info'
  return (
    `${headOf('fluentbit_uptime', 'Number of seconds that Fluent Bit has been running.', 'counter')}` +
    `fluentbit_uptime ${uptime}\n` +
    `${headOf(start, 'Start time of the process since unix epoch in seconds.', 'gauge')}` +
    `${start} ${startSeconds}\n` +
    `${headOf(build, 'Build version information.', 'gauge')}` +
    `${build}{${labels}} 1\n`
  )
}

function layerView({ memory, filesystem, filesystemUp }: StorageStats): Record<string, number> {
  return {
    total_chunks: memory + filesystem,
    mem_chunks: memory,
    fs_chunks: filesystem,
    fs_chunks_up: filesystemUp,
    fs_chunks_down: filesystem - filesystemUp
  }
}

function holderView(holder: ChunkHolder): unknown {
  const { total, up, down, busy, busyBytes } = chunkStats(holder)
  return {
    status: {
      overlimit: holder.overLimit,
      mem_size: humanSize(holder.memoryBytes),
      mem_limit: humanSize(holder.memoryBytesMax)
    },
    chunks: { total, up, down, busy, busy_size: humanSize(busyBytes) }
  }
}
