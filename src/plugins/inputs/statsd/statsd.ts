/**
 * statsd: metrics that programs send as text over UDP, as records or as metrics.
 * Source: Fluent Bit 5.1.1 plugins/in_statsd/statsd.c, lib/cmetrics/src/cmt_decode_statsd.c.
 *
 * As there, the record of a timer is that of a timer and of a set in one: `type`, `bucket` and `value` stand in it twice.
 *
 * Differs: a line that is no metric costs only itself, where Fluent Bit passes over the rest of its datagram (with
 * `metrics on` over all of it), and the log tells of the first one and then of every tenfold count; a NUL ends a line, where
 * Fluent Bit passes over what follows; datagrams without lines are no errors. For the labels of metrics see metrics.ts.
 */
import { flag } from '../../../config/options.ts'
import { defineInput } from '../../../plugin/define.ts'
import { DATAGRAM_LOSS, datagramInput } from '../../common/datagram_input.ts'
import { logText } from '../../common/log_text.ts'
import { RefusedInput } from '../../common/refused_input.ts'
import type { RefuseLine } from './line.ts'
import { writeStatsdMetrics } from './metrics.ts'
import { writeStatsd } from './records.ts'

export const statsd = defineInput({
  name: 'statsd',
  summary: 'StatsD metrics over UDP, as records or metrics',
  upstream: 'plugins/in_statsd/statsd.c',
  network: 'server',
  tls: false,
  options: {
    metrics: flag({ default: 'off', doc: 'Take them as metrics, not as records' })
  },
  losses: () => [DATAGRAM_LOSS],
  create(values, context) {
    const refused = new RefusedInput(context)
    const refuse: RefuseLine = (problem, bytes, start, end) => {
      const line = `failed to process line: '${logText(bytes, start, end)}'`
      refused.add('malformed', 1, end - start, problem, line)
    }
    const write = values.metrics ? writeStatsdMetrics : writeStatsd
    return datagramInput(
      context,
      { port: 8125, signal: values.metrics ? 'metrics' : 'logs' },
      'start UDP server on',
      () => (bytes, timeMs, out) => write(bytes, timeMs, out, refuse)
    )
  }
})
