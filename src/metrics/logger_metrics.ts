/**
 * What is counted of the program's own log.
 * Source: Fluent Bit 5.1.1 src/flb_log.c flb_log_metrics_create(). Differs: lines are printed at once, so that none waits
 * in a queue or is dropped there.
 */
import { LOG_LEVELS, type Logger } from '../base/log.ts'
import type { Metrics } from './registry.ts'

export function registerLoggerMetrics(metrics: Metrics, { counts }: Pick<Logger, 'counts'>): void {
  const levels = LOG_LEVELS.filter(level => level !== 'off')
  for (const level of levels) {
    const labels = { message_type: level }
    const name = 'fluentbit_logger_logs_total'
    metrics.total(name, 'Total number of logs', labels, () => counts[level])
  }
  const queue = (what: string, help: string, read: () => number): void =>
    metrics.total(
      `fluentbit_logger_queue_${what}_total`,
      `Total number of logger queue ${help}`,
      {},
      read
    )
  const lines = (): number => levels.reduce((sum, level) => sum + counts[level], 0)
  queue('enqueued', 'enqueues', lines)
  queue('dropped', 'drops', () => 0)
  queue('drained', 'records drained', lines)
}
