/**
 * What SIGCONT prints: inputs, chunks and counters.
 * Source of the layout: Fluent Bit 5.1.1 src/flb_dump.c.
 */
import { humanSize } from '../base/human_size.ts'
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
      `│     ├─ mem size   : ${humanSize(input.memoryBytes)} (${input.memoryBytes} bytes)`,
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
