/**
 * prometheus_exporter: shows metrics to Prometheus.
 * Source: Fluent Bit 5.1.1 plugins/out_prometheus_exporter/prom.c, prom_http.c.
 *
 *     /metrics   the last metrics of each input, empty before the first
 *     /          a greeting
 *
 * Any method will do. What an input sends takes the place of what it sent before, whatever the tags, so series that it does
 * not send any more are gone; those of an input that sends nothing any more stay. Memory is thus bounded by a chunk for
 * each input.
 *
 * Differs: Fluent Bit writes the metrics of one input after those of the other; here they are sorted into one set, in which
 * each name and series is there once (exposition.ts). All contexts of a chunk are shown, where there each is a chunk of its
 * own and the last one alone is. Answers lack the headers `server` and `x-http-engine`. `net.*` are those of clients, as
 * there, of which `net.io_timeout` and `net.keepalive` have an effect. `http_server.workers` is read and without effect, as there.
 */
import { flag, many, words } from '../../../config/options.ts'
import type { MetricsContext, StaticLabels } from '../../../metrics/model.ts'
import { prometheusText } from '../../../metrics/prometheus_text.ts'
import type { HttpReply } from '../../../net/http_server.ts'
import type { OutputContext } from '../../../plugin/context.ts'
import { defineOutput } from '../../../plugin/define.ts'
import { readMetricsChunk } from '../../common/metrics_chunk.ts'
import { mergeContexts } from './exposition.ts'

const ADDRESS = { host: '0.0.0.0', port: 2021 }

const CONTENT_TYPE = ['content-type', 'text/plain; version=0.0.4'] as const

const GREETING: HttpReply = { status: 200, body: 'Fluent Bit Prometheus Exporter\n' }
const NOT_FOUND: HttpReply = { status: 404 }

export const prometheusExporter = defineOutput({
  name: 'prometheus_exporter',
  summary: 'Prometheus Exporter: shows metrics to Prometheus',
  upstream: 'plugins/out_prometheus_exporter/prom.c',
  network: 'http_server',
  tls: false,
  signals: ['metrics'],
  options: {
    add_timestamp: flag({ default: 'false', doc: 'Show when each sample was collected' }),
    add_label: many(words(1, { doc: 'Name and value of a label for all metrics' }))
  },
  losses: () => [
    {
      when: 'running',
      message:
        'of each input the last chunk alone is shown: what comes between two scrapes is not seen'
    }
  ],
  create(values, context) {
    const { log } = context
    const added = values.add_label.map((label, index) => labelOf(label, index, context))
    const byInput = new Map<string, readonly MetricsContext[]>()
    /** What is shown; undefined when it has to be made anew. */
    let text: string | undefined = ''
    const show = (): string => {
      const families = mergeContexts([...byInput.values()].flat(), added)
      return prometheusText(families, { timestamps: values.add_timestamp })
    }
    const server = context.net.httpServer(ADDRESS, {
      handle({ path }) {
        if (path === '/') return GREETING
        if (path !== '/metrics') return NOT_FOUND
        text ??= show()
        return { status: 200, headers: [CONTENT_TYPE], body: text }
      }
    })
    return {
      async start() {
        await server.start()
        log.info(`listening iface=${server.host} tcp_port=${server.port}`)
      },
      flush(chunk) {
        const { contexts, answer } = readMetricsChunk(chunk, context)
        if (contexts.length > 0) {
          byInput.set(chunk.input, contexts)
          text = undefined
        }
        return answer
      },
      stop: () => server.stop()
    }
  }
})

function labelOf(
  label: readonly string[],
  index: number,
  context: OutputContext
): StaticLabels[number] {
  const [name, value] = label
  if (name === undefined || value === undefined) {
    const message = "it expects a key and a value, e.g: 'add_label version 1.8.0'"
    throw context.invalid('add_label', message, index)
  }
  return [name, value]
}
