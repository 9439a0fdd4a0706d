/**
 * What is counted of the program as a whole.
 * Source: Fluent Bit 5.1.1 src/flb_metrics.c flb_metrics_fluentbit_add(). Differs: a reload does not start the time again.
 */
import type { Clock } from '../base/clock.ts'
import { FLUENT_BIT_VERSION } from '../base/version.ts'
import type { Metrics } from '../metrics/registry.ts'

/** Names of operating systems as Fluent Bit has them; others are `other`. */
const SYSTEMS: Readonly<Record<string, string>> = {
  linux: 'linux',
  darwin: 'macos',
  win32: 'win64',
  freebsd: 'freebsd'
}

export interface ProgramFacts {
  readonly clock: Clock
  readonly hostname: string
  /** When the program started, in seconds since the epoch. */
  readonly startSeconds: number
  /** How often the configuration was reloaded. */
  reloads(): number
}

export function registerProgramMetrics(
  metrics: Metrics,
  { clock, hostname, startSeconds, reloads }: ProgramFacts
): void {
  const labels = { hostname }
  metrics.total(
    'fluentbit_uptime',
    'Number of seconds that Fluent Bit has been running.',
    labels,
    () => uptimeSeconds(clock, startSeconds)
  )
  metrics.total(
    'fluentbit_hot_reloaded_times',
    'Collect the count of hot reloaded times.',
    labels,
    reloads
  )
  metrics.gauge(
    'fluentbit_process_start_time_seconds',
    'Start time of the process since unix epoch in seconds.',
    labels,
    () => startSeconds
  )
  const os = SYSTEMS[process.platform] ?? 'other'
  metrics.gauge(
    'fluentbit_build_info',
    'Build version information.',
    { hostname, version: FLUENT_BIT_VERSION, os },
    () => startSeconds
  )
}

/** Whole seconds since the start. */
export function uptimeSeconds(clock: Clock, startSeconds: number): number {
  return Math.max(Math.trunc(clock.now() / 1000) - startSeconds, 0)
}
