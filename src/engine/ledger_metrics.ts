/** The ledger as metrics: events of each input and each route, by what became of them. Worked out when someone looks. */
import type { Family, MetricsRegistry, Labels, Series, Figure } from '../metrics/registry.ts'
import type { LedgerRow } from './ledger.ts'

const KINDS = ['ingested', 'added', 'recovered', 'delivered', 'filtered'] as const

/** Families of inputs, and of routes. */
interface Families {
  readonly events: Series<Figure>[]
  readonly dropped: Series<Figure>[]
  readonly buffered: Series<Figure>[]
}

export function registerLedgerMetrics(
  metrics: MetricsRegistry,
  rows: () => readonly LedgerRow[]
): void {
  metrics.collect(() => {
    const inputs: Families = { events: [], dropped: [], buffered: [] }
    const routes: Families = { events: [], dropped: [], buffered: [] }
    for (const row of rows()) {
      const { input, output } = row
      if (output === undefined) addRow(inputs, { input }, row)
      else addRow(routes, { input, output }, row)
    }
    return [
      ...familiesOf('input', 'of an input', inputs),
      ...familiesOf('route', 'on their way from an input to an output', routes)
    ]
  })
}

function addRow(families: Families, labels: Labels, { account, buffered }: LedgerRow): void {
  for (const kind of KINDS) {
    families.events.push({ labels: { ...labels, kind }, figure: { value: account[kind] } })
  }
  for (const [reason, value] of account.dropped) {
    families.dropped.push({ labels: { ...labels, reason }, figure: { value } })
  }
  families.buffered.push({ labels, figure: { value: buffered } })
}

function familiesOf(what: string, whose: string, families: Families): Family[] {
  const name = `spillway_ledger_${what}`
  return [
    {
      name: `${name}_events_total`,
      help: `Events ${whose}: ingested, added and recovered are delivered, filtered, dropped or buffered.`,
      type: 'counter',
      series: families.events
    },
    {
      name: `${name}_dropped_events_total`,
      help: `Events ${whose} that were lost, by reason.`,
      type: 'counter',
      series: families.dropped
    },
    {
      name: `${name}_buffered_events`,
      help: `Events ${whose} that wait for their end.`,
      type: 'gauge',
      series: families.buffered
    }
  ]
}
