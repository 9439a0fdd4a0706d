/**
 * What is counted of a processor beside what is counted of it as a filter.
 * Source: Fluent Bit 5.1.1 src/flb_processor.c processor_metrics_register(), processor_metrics_update().
 */
import type { Counter, Labels, Metrics } from '../metrics/registry.ts'
import type { ProcessorCounters } from './filter_chain.ts'

/** @param labels `scope`, `owner`, `processor`, `stage` and `signal`, in this order. */
export function processorCounters(metrics: Metrics, labels: Labels): ProcessorCounters {
  const counter = (what: string, help: string): Counter =>
    metrics.counter(`fluentbit_processor_${what}_total`, `Total number of ${help}`, labels)
  const counters = {
    invocations: counter('invocations', 'processor unit invocations.'),
    errors: counter('errors', 'processor unit errors.'),
    itemsIn: counter('items_in', 'items seen by processor units.'),
    itemsOut: counter('items_out', 'items produced by processor units.'),
    itemsDrop: counter('items_drop', 'items dropped by processor units.')
  }
  // Filters add nothing: what they emit comes from an input of its own.
  counter('items_add', 'items added by processor units.')
  return counters
}
