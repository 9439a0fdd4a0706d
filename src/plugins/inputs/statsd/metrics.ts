/**
 * Lines of statsd as metrics: a family of one sample each, all of a datagram in one context.
 *
 *     line   = bucket ":" value "|" type [ *any "|@" sample-rate *any ] [ *any "|#" label *( "," label ) ]
 *     label  = name ":" value
 *
 * Counters are counters, gauges and timers gauges, sets untyped. A sample rate between 0 and 1 divides the value of each of
 * them; a value with a sign has the label `incremental="true"`. Labels reach to the end of the line, as there.
 * Source: Fluent Bit 5.1.1 lib/cmetrics/src/cmt_decode_statsd.c.
 *
 * Differs: Fluent Bit loses labels from the third on, or from the second beside `incremental`, and hangs on a label without
 * a colon, which is left out here, and on a line without `|`, which is refused. A label that comes twice has its last value.
 * Text that is not UTF-8 is replaced by U+FFFD.
 */
import type { MsgpackWriter } from '../../../codec/msgpack_writer.ts'
import { writeContext } from '../../../metrics/cmetrics.ts'
import type { NumberFamily } from '../../../metrics/model.ts'
import {
  BAR,
  COLON,
  indexOf,
  isIncremental,
  NO_BUCKET,
  NO_TYPE,
  numberAt,
  type RefuseLine,
  sampleRate,
  type TakeLine,
  takeLines,
  typeAt
} from './line.ts'

/** Of one line. */
const LABELS_MAX = 128

const NANOS_PER_MS = 1_000_000n

const NOTHING: ReadonlyMap<string, string> = new Map()

/** Writes the context of a datagram; 0 when there is no metric in it, else 1. */
export function writeStatsdMetrics(
  bytes: Buffer,
  timeMs: number,
  out: MsgpackWriter,
  refuse: RefuseLine
): number {
  const families: NumberFamily[] = []
  if (takeLines(bytes, timeMs, families, addFamily, refuse) === 0) return 0
  writeContext(out, { families, staticLabels: [], internal: NOTHING, external: NOTHING })
  return 1
}

const addFamily: TakeLine<NumberFamily[]> = (bytes, start, end, timeMs, families) => {
  const colon = indexOf(bytes, COLON, start, end)
  if (colon === start || colon === end) return NO_BUCKET
  const bar = indexOf(bytes, BAR, colon + 1, end)
  if (bar === end) return NO_TYPE
  const labels = new Map<string, string>()
  if (isIncremental(bytes, colon + 1)) labels.set('incremental', 'true')
  readLabels(bytes, bar + 1, end, labels)
  if (labels.size > LABELS_MAX) return 'too many labels'
  const rate = sampleRate(bytes, bar + 1, end)
  const value = numberAt(bytes, colon + 1, bar)
  const parts = {
    namespace: '',
    subsystem: '',
    name: bytes.toString('utf8', start, colon),
    help: '-',
    unit: '',
    labels: [...labels.keys()],
    samples: [
      {
        labels: [...labels.values()],
        time: BigInt(Math.floor(timeMs)) * NANOS_PER_MS,
        value: rate > 0 && rate < 1 ? value / rate : value
      }
    ]
  }
  const type = typeAt(bytes, bar + 1, end)
  if (type === 'counter') families.push({ kind: 'counter', aggregation: 'cumulative', ...parts })
  else families.push({ kind: type === 'set' ? 'untyped' : 'gauge', ...parts })
  return undefined
}

/** Reads the labels after the first `|#` from `start` on. */
function readLabels(bytes: Buffer, start: number, end: number, labels: Map<string, string>): void {
  const text = bytes.toString('utf8', start, end)
  const at = text.indexOf('|#')
  if (at < 0) return
  for (const label of text.slice(at + 2).split(',')) {
    const colon = label.indexOf(':')
    if (colon >= 0) labels.set(label.slice(0, colon), label.slice(colon + 1))
  }
}
