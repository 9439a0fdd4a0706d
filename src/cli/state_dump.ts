/**
 * What SIGCONT prints: inputs, chunks and counters.
 * Source of the layout: Fluent Bit 5.1.1 src/flb_dump.c.
 */
import type { Pipeline } from '../engine/pipeline.ts'
import type { MetricsRegistry } from '../metrics/registry.ts'

export function stateDump(pipeline: Pipeline, metrics: MetricsRegistry, timestamp: string): string {
  const lines = [`[${timestamp}] Fluent Bit Dump`, '', '===== Input =====']
  for (const input of pipeline.inputs) {
    const { label, plugin, memBufLimit } = input.settings
    lines.push(
      `${label} (${plugin})`,
      '│',
      '├─ status',
      `│  └─ overlimit     : ${input.overLimit ? 'yes' : 'no'}`,
      `│     ├─ mem size   : ${humanSize(input.bufferedBytes)} (${input.bufferedBytes} bytes)`,
      `│     └─ mem limit  : ${humanSize(memBufLimit)} (${memBufLimit} bytes)`,
      ''
    )
  }
  lines.push('===== Storage Layer =====', `total chunks     : ${pipeline.pendingTasks}`, '')
  lines.push('===== Counters =====')
  for (const family of metrics.families()) {
    for (const { labels, counter } of family.series.values()) {
      const shown = Object.entries(labels).map(([name, value]) => `${name}="${value}"`)
      lines.push(`${family.name}{${shown.join(',')}} = ${counter.value}`)
    }
  }
  return `${lines.join('\n')}\n\n`
}

/** `512b`, `95.4M`: steps of 1024. */
function humanSize(bytes: number): string {
  const units = ['b', 'K', 'M', 'G', 'T']
  let value = bytes
  let unit = 0
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024
    unit++
  }
  return unit === 0 ? `${bytes}b` : `${value.toFixed(1)}${units[unit]}`
}
