/**
 * fluentbit_metrics: the program's own metrics.
 * Source: Fluent Bit 5.1.1 plugins/in_fluentbit_metrics/metrics.c.
 * As there, and unlike its documentation: `scrape_on_start` scrapes once after five seconds, and only with a
 * `scrape_interval` of three seconds or more.
 * Differs: an interval below a second is refused, where Fluent Bit scrapes once (0) or never (below).
 */
import { flag, seconds } from '../../config/options.ts'
import { writeContext } from '../../metrics/cmetrics.ts'
import { defineInput } from '../../plugin/define.ts'
import { intervalInput } from '../common/interval.ts'

const START_SECONDS = 5

/** With this interval or a shorter one nobody waits for the first scrape. */
const SHORT_SECONDS = 2

const NOTHING: ReadonlyMap<string, string> = new Map()

export const fluentbitMetrics = defineInput({
  name: 'fluentbit_metrics',
  summary: 'Fluent Bit internal metrics',
  upstream: 'plugins/in_fluentbit_metrics/metrics.c',
  inMainThread: true,
  options: {
    scrape_interval: seconds({ default: '2', doc: 'Seconds between two scrapes' }),
    scrape_on_start: flag({
      default: 'false',
      doc: 'Scrape after five seconds too, if the interval is above two'
    })
  },
  create(values, context) {
    const { scrape_interval: interval, scrape_on_start: scrapesEarly } = values
    if (interval < 1) {
      const message = `value must be a second or more: current value is ${interval}`
      throw context.invalid('scrape_interval', message)
    }
    const scrapes = context.counter(
      'fluentbit_input_metrics_scrapes_total',
      'Number of total metrics scrapes'
    )
    const scrape = (): void => {
      scrapes.add(1)
      const sink = context.sink(context.tag, 'metrics')
      const families = context.program.metrics()
      writeContext(sink.writer, {
        families,
        staticLabels: [],
        internal: NOTHING,
        external: NOTHING
      })
      sink.commit(1)
    }
    const timed = [intervalInput(context, { seconds: interval, nanoseconds: 0 }, scrape)]
    if (scrapesEarly && interval > SHORT_SECONDS) {
      const early = intervalInput(context, { seconds: START_SECONDS, nanoseconds: 0 }, () => {
        early.stop()
        scrape()
      })
      timed.push(early)
    }
    return {
      start() {
        for (const each of timed) each.start()
      },
      stop() {
        for (const each of timed) each.stop()
      }
    }
  }
})
