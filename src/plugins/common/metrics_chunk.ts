/** Chunks of metrics, as outputs take them. */
import { skip } from '../../codec/msgpack_reader.ts'
import { decodeContexts } from '../../metrics/cmetrics.ts'
import { CmetricsError } from '../../metrics/cmetrics_reader.ts'
import type { MetricsContext } from '../../metrics/model.ts'
import { plainText } from '../../metrics/plain_text.ts'
import type { ChunkView, OutputContext } from '../../plugin/context.ts'
import { type Delivery, OK, partial } from '../../plugin/delivery.ts'

export interface MetricsChunk {
  readonly contexts: readonly MetricsContext[]
  /** What becomes of the chunk, if the output takes all these contexts: the others are given up. */
  readonly answer: Delivery
}

/**
 * Reads the contexts of a chunk whose signal is `metrics`. One that cannot be read costs only itself.
 *
 * @see Fluent Bit 5.1.1 plugins/out_stdout/stdout.c print_metrics_text(), which passes over all that follow
 */
export function readMetricsChunk({ bytes }: ChunkView, { log }: OutputContext): MetricsChunk {
  const contexts: MetricsContext[] = []
  const unreadable: number[] = []
  for (let at = 0, number = 0; at < bytes.length; number++) {
    const end = skip(bytes, at)
    try {
      contexts.push(...decodeContexts(bytes.subarray(at, end)))
    } catch (cause) {
      if (!(cause instanceof CmetricsError)) throw cause
      if (unreadable.length === 0) log.error(`could not process metrics payload: ${cause.message}`)
      unreadable.push(number)
    }
    at = end
  }
  if (unreadable.length === 0) return { contexts, answer: OK }
  return { contexts, answer: partial({ drop: [{ reason: 'malformed', events: unreadable }] }) }
}

/** `<time> <name>{<labels>} = <value>` for each sample, as Fluent Bit prints them. */
export function metricsText(contexts: readonly MetricsContext[]): Buffer {
  const text = contexts.map(({ families, staticLabels, external }) =>
    plainText(families, { labels: staticLabels, external })
  )
  return Buffer.from(text.join(''))
}
