/**
 * What SIGCONT prints: inputs, chunks, the ledger and all figures.
 * Source of the layout of the first two: Fluent Bit 5.1.1 src/flb_dump.c.
 */
import { humanSize } from '../base/human_size.ts'
import { type ChunkHolder, chunkStats } from '../engine/chunk_stats.ts'
import { rowText } from '../engine/ledger.ts'
import type { Pipeline } from '../engine/pipeline.ts'
import type { MetricsRegistry } from '../metrics/registry.ts'

export function stateDump(pipeline: Pipeline, metrics: MetricsRegistry, timestamp: string): string {
  return [
    `[${timestamp}] Fluent Bit Dump`,
    '',
    '===== Input =====',
    ...pipeline.chunkHolders.flatMap(holderLines),
    '===== Storage Layer =====',
    ...storageLines(pipeline),
    '',
    '===== Ledger =====',
    ...pipeline.ledgerRows().map(rowText),
    '',
    '===== Counters =====',
    ...figureLines(metrics),
    '',
    ''
  ].join('\n')
}

function holderLines(holder: ChunkHolder): string[] {
  const { label, plugin, overLimit, memoryBytes, memoryBytesMax } = holder
  const { total, up, down, busy, busyBytes, running } = chunkStats(holder)
  const size = (bytes: number): string => `${humanSize(bytes)} (${bytes} bytes)`
  return [
    `${label} (${plugin})`,
    '│',
    '├─ status',
    `│  └─ overlimit     : ${overLimit ? 'yes' : 'no'}`,
    `│     ├─ mem size   : ${size(memoryBytes)}`,
    `│     └─ mem limit  : ${size(memoryBytesMax)}`,
    '│',
    '├─ tasks',
    `│  ├─ total tasks   : ${busy}`,
    `│  ├─ new           : ${busy - running}`,
    `│  ├─ running       : ${running}`,
    `│  └─ size          : ${size(busyBytes)}`,
    '│',
    '└─ chunks',
    `   └─ total chunks  : ${total}`,
    `      ├─ up chunks  : ${up}`,
    `      ├─ down chunks: ${down}`,
    `      └─ busy chunks: ${busy}`,
    `         ├─ size    : ${size(busyBytes)}`,
    '         └─ size err: 0',
    ''
  ]
}

function storageLines(pipeline: Pipeline): string[] {
  const { memory, filesystem, filesystemUp } = pipeline.storageStats()
  return [
    `total chunks     : ${memory + filesystem}`,
    `├─ mem chunks    : ${memory}`,
    `└─ fs chunks     : ${filesystem}`,
    `   ├─ up         : ${filesystemUp}`,
    `   └─ down       : ${filesystem - filesystemUp}`
  ]
}

function figureLines(metrics: MetricsRegistry): string[] {
  return [...metrics.families()].flatMap(({ name, type, series }) =>
    type === 'histogram'
      ? []
      : series.map(({ labels, figure }) => {
          const shown = Object.entries(labels).map(([key, value]) => `${key}="${value}"`)
          return `${name}{${shown.join(',')}} = ${figure.value}`
        })
  )
}
