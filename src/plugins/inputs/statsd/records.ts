/** Lines of statsd as records. */
import { MsgpackWriter } from '../../../codec/msgpack_writer.ts'
import { beginEvent } from '../../common/send_event.ts'
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

const COUNTER_HEAD = head(4, 'counter')
const GAUGE_HEAD = head(4, 'gauge')
const SET_HEAD = head(3, 'set')
/** Of a map that the pairs of a set follow in. */
const TIMER_HEAD = head(7, 'timer')
const SET_PAIRS = SET_HEAD.subarray(1)
const VALUE = encoded(out => out.string('value'))
const SAMPLE_RATE = encoded(out => out.string('sample_rate'))
const INCREMENTAL = encoded(out => out.string('incremental'))

/** A record up to the value of its `bucket`. */
function head(pairs: number, type: string): Buffer {
  return encoded(out => {
    out.mapHeader(pairs)
    out.string('type')
    out.string(type)
    out.string('bucket')
  })
}

function encoded(write: (out: MsgpackWriter) => void): Buffer {
  const out = new MsgpackWriter(64)
  write(out)
  return out.written()
}

/** Writes the events of a datagram and says how many. */
export function writeStatsd(
  bytes: Buffer,
  timeMs: number,
  out: MsgpackWriter,
  refuse: RefuseLine
): number {
  return takeLines(bytes, timeMs, out, writeLine, refuse)
}

/** Writes the event of a line. */
const writeLine: TakeLine<MsgpackWriter> = (bytes, start, end, timeMs, out) => {
  const colon = indexOf(bytes, COLON, start, end)
  if (colon === end) return NO_BUCKET
  const bar = indexOf(bytes, BAR, colon + 1, end)
  if (bar === end) return NO_TYPE
  const type = typeAt(bytes, bar + 1, end)
  beginEvent(out, timeMs)
  if (type === 'gauge') {
    writeNumber(GAUGE_HEAD, bytes, start, colon, bar, out)
    append(out, INCREMENTAL)
    out.integer(isIncremental(bytes, colon + 1) ? 1 : 0)
  } else if (type === 'set') {
    writeSet(SET_HEAD, bytes, start, colon, bar, out)
  } else {
    writeNumber(type === 'timer' ? TIMER_HEAD : COUNTER_HEAD, bytes, start, colon, bar, out)
    append(out, SAMPLE_RATE)
    out.double(sampleRate(bytes, bar + 1, end))
    if (type === 'timer') writeSet(SET_PAIRS, bytes, start, colon, bar, out)
  }
  return undefined
}

function writeNumber(
  first: Buffer,
  bytes: Buffer,
  start: number,
  colon: number,
  bar: number,
  out: MsgpackWriter
): void {
  append(out, first)
  out.stringBytes(bytes, start, colon)
  append(out, VALUE)
  out.double(numberAt(bytes, colon + 1, bar))
}

function writeSet(
  first: Buffer,
  bytes: Buffer,
  start: number,
  colon: number,
  bar: number,
  out: MsgpackWriter
): void {
  append(out, first)
  out.stringBytes(bytes, start, colon)
  append(out, VALUE)
  out.stringBytes(bytes, colon + 1, bar)
}

function append(out: MsgpackWriter, constant: Buffer): void {
  out.raw(constant, 0, constant.length)
}
