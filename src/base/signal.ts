/** What a chunk holds; Fluent Bit 5.1.1 include/fluent-bit/flb_event.h has the same order. */
export const SIGNALS = ['logs', 'metrics', 'traces'] as const

/** Events, or encoded contexts of cmetrics and ctraces, which pass through as they are. */
export type Signal = (typeof SIGNALS)[number]
