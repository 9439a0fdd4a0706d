/**
 * Whether outputs fail too often: errors and given-up retries of all outputs together within the last `hc_period` seconds,
 * looked at once a second. What was counted before the first look does not count.
 * Source: Fluent Bit 5.1.1 src/http_server/api/v1/health.c, api/v2/health.c, flb_hs.c flb_hs_push_health_metrics()
 */
import type { Clock, Timer } from '../base/clock.ts'
import type { ServiceSettings } from '../config/service.ts'
import type { MetricsRegistry } from '../metrics/registry.ts'
import { exact, jsonReply, type Route, textReply } from './route.ts'

const LOOK_MS = 1000

/** What all outputs have counted up to a moment. */
interface Failures {
  readonly errors: number
  readonly retriesFailed: number
}

const NO_FAILURES: Failures = { errors: 0, retriesFailed: 0 }

export class Health {
  readonly #service: ServiceSettings
  readonly #metrics: MetricsRegistry
  readonly #clock: Clock
  /** The last `hc_period` looks, at least one, oldest first. */
  readonly #looks: Failures[] = []
  #timer: Timer | undefined

  constructor(service: ServiceSettings, metrics: MetricsRegistry, clock: Clock) {
    this.#service = service
    this.#metrics = metrics
    this.#clock = clock
  }

  /** Begins to look, where `health_check` is on. */
  start(): void {
    if (!this.#service.health_check) return
    this.#timer ??= this.#clock.every(LOOK_MS, () => this.#look())
  }

  stop(): void {
    this.#timer?.cancel()
    this.#timer = undefined
  }

  routes(): Route[] {
    const v2 = exact('/api/v2/health', () => this.#answer())
    if (!this.#service.health_check) return [v2]
    const v1 = exact('/api/v1/health', () =>
      this.#isHealthy ? textReply(200, 'ok\n') : textReply(500, 'error\n')
    )
    return [v1, v2]
  }

  #answer(): ReturnType<typeof jsonReply> {
    const isHealthy = this.#isHealthy
    const { errors, retriesFailed } = this.#recent
    const service = this.#service
    return jsonReply(isHealthy ? 200 : 500, {
      status: isHealthy ? 'ok' : 'error',
      errors,
      retries_failed: retriesFailed,
      error_limit: service.hc_errors_count,
      retry_failure_limit: service.hc_retry_failure_count,
      period_limit: service.hc_period
    })
  }

  get #isHealthy(): boolean {
    if (this.#looks.length === 0) return true
    const { errors, retriesFailed } = this.#recent
    const { hc_errors_count: errorsMax, hc_retry_failure_count: failuresMax } = this.#service
    return errors <= errorsMax && retriesFailed <= failuresMax
  }

  /** What came between the oldest and the newest look. */
  get #recent(): Failures {
    const oldest = this.#looks[0] ?? NO_FAILURES
    const newest = this.#looks.at(-1) ?? NO_FAILURES
    return {
      errors: newest.errors - oldest.errors,
      retriesFailed: newest.retriesFailed - oldest.retriesFailed
    }
  }

  #look(): void {
    if (this.#looks.length >= Math.max(this.#service.hc_period, 1)) this.#looks.shift()
    this.#looks.push({
      errors: this.#metrics.sum('fluentbit_output_errors_total'),
      retriesFailed: this.#metrics.sum('fluentbit_output_retries_failed_total')
    })
  }
}
