/**
 * The second version of the API; what it says of health and reloads is in files of their own.
 * Source: Fluent Bit 5.1.1 src/http_server/api/v2. `/api/v2/ledger` is Spillway's own.
 */
import type { LedgerRow } from '../engine/ledger.ts'
import type { MetricFamily } from '../metrics/model.ts'
import { plainText } from '../metrics/plain_text.ts'
import { prometheusText } from '../metrics/prometheus_text.ts'
import { snapshot } from '../metrics/snapshot.ts'
import type { MonitoringWorld } from './monitoring_world.ts'
import { exact, jsonReply, prometheusReply, type Route, textReply } from './route.ts'

export function v2Routes({ clock, metrics, pipeline }: MonitoringWorld): Route[] {
  const now = (): MetricFamily[] => snapshot(metrics, clock.now())
  return [
    exact('/api/v2/metrics/prometheus', () =>
      prometheusReply(prometheusText(now(), { timestamps: false }))
    ),
    exact('/api/v2/metrics', () => textReply(200, plainText(now()))),
    exact('/api/v2/ledger', () => {
      const rows = pipeline.ledgerRows()
      const inputs = rows.filter(({ output }) => output === undefined).map(rowView)
      const routes = rows.filter(({ output }) => output !== undefined).map(rowView)
      return jsonReply(200, { inputs, routes })
    })
  ]
}

/** Events, as the equation of `engine/ledger.ts` has them. */
function rowView({ input, output, account, buffered }: LedgerRow): unknown {
  const { ingested, added, recovered, delivered, filtered } = account
  const dropped = Object.fromEntries(account.dropped)
  return { input, output, ingested, added, recovered, delivered, filtered, dropped, buffered }
}
