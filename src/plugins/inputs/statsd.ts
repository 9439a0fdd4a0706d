/**
 * statsd: metrics that programs send as text over UDP, as records.
 * Source: Fluent Bit 5.1.1 plugins/in_statsd/statsd.c.
 *
 *     datagram = line *( LF line )
 *     line     = bucket ":" value "|" type [ *any "|@" sample-rate *any ]
 *     type     = "g" / "s" / "ms"; anything else is a counter
 *
 * As there, the record of a timer is that of a timer and of a set in one: `type`, `bucket` and `value` stand in it twice.
 *
 * Differs: a line that is no metric costs only itself, where Fluent Bit passes over the rest of its datagram, and the log
 * tells of the first one and then of every tenfold count; a NUL ends a line, where Fluent Bit passes over what follows;
 * datagrams without lines are no errors. `metrics on` is refused.
 */
import { MsgpackWriter } from '../../codec/msgpack_writer.ts'
import { POWERS_OF_TEN } from '../../codec/number_text.ts'
import { flag } from '../../config/options.ts'
import { parseDouble } from '../../config/units.ts'
import { defineInput } from '../../plugin/define.ts'
import { DATAGRAM_LOSS, datagramInput } from '../common/datagram_input.ts'
import { logText } from '../common/log_text.ts'
import { RefusedInput } from '../common/refused_input.ts'
import { beginEvent } from '../common/send_event.ts'

export const statsd = defineInput({
  name: 'statsd',
  summary: 'StatsD metrics over UDP, as records',
  upstream: 'plugins/in_statsd/statsd.c',
  network: 'server',
  tls: false,
  options: {
    metrics: flag({ default: 'off', doc: 'Take them as metrics; this version cannot' })
  },
  losses: () => [DATAGRAM_LOSS],
  create(values, context) {
    if (values.metrics) {
      const message = 'value must be off: this version makes records of statsd lines, not metrics'
      throw context.invalid('metrics', message)
    }
    const refused = new RefusedInput(context)
    const refuse: RefuseLine = (problem, bytes, start, end) => {
      const line = `failed to process line: '${logText(bytes, start, end)}'`
      refused.add('malformed', 1, end - start, problem, line)
    }
    return datagramInput(
      context,
      { port: 8125 },
      'start UDP server on',
      () => (bytes, timeMs, out) => writeStatsd(bytes, timeMs, out, refuse)
    )
  }
})

/** Gets the lines that are no metrics. */
type RefuseLine = (problem: string, bytes: Buffer, start: number, end: number) => void

const NUL = 0x00
const LINE_FEED = 0x0a
const PLUS = 0x2b
const MINUS = 0x2d
const POINT = 0x2e
const ZERO = 0x30
const COLON = 0x3a
const AT = 0x40
const LETTER_G = 0x67
const LETTER_M = 0x6d
const LETTER_S = 0x73
const BAR = 0x7c

/** Numbers of at most this many digits are exact in a double. */
const SAFE_DIGITS = 15

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
  let count = 0
  for (let start = 0; start < bytes.length;) {
    let end = start
    while (end < bytes.length && bytes[end] !== LINE_FEED && bytes[end] !== NUL) end++
    if (end > start) {
      const problem = writeLine(bytes, start, end, timeMs, out)
      if (problem === undefined) count++
      else refuse(problem, bytes, start, end)
    }
    start = end + 1
  }
  return count
}

/** Writes the event of a line, or says what is wrong with it and writes nothing. */
function writeLine(
  bytes: Buffer,
  start: number,
  end: number,
  timeMs: number,
  out: MsgpackWriter
): string | undefined {
  const colon = indexOf(bytes, COLON, start, end)
  if (colon === end) return 'no bucket name found'
  const valueAt = colon + 1
  const bar = indexOf(bytes, BAR, valueAt, end)
  if (bar === end) return 'no metric type found'
  const typeAt = bar + 1
  const type = typeAt < end ? bytes[typeAt] : NUL
  beginEvent(out, timeMs)
  if (type === LETTER_G) {
    writeNumber(GAUGE_HEAD, bytes, start, colon, bar, out)
    append(out, INCREMENTAL)
    out.integer(bytes[valueAt] === PLUS || bytes[valueAt] === MINUS ? 1 : 0)
  } else if (type === LETTER_S) {
    writeSet(SET_HEAD, bytes, start, colon, bar, out)
  } else {
    const isTimer = type === LETTER_M && typeAt + 1 < end && bytes[typeAt + 1] === LETTER_S
    writeNumber(isTimer ? TIMER_HEAD : COUNTER_HEAD, bytes, start, colon, bar, out)
    append(out, SAMPLE_RATE)
    out.double(sampleRate(bytes, typeAt, end))
    if (isTimer) writeSet(SET_PAIRS, bytes, start, colon, bar, out)
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

/** The number after the first `|@`; 1 when there is none, or it is 0. */
function sampleRate(bytes: Buffer, start: number, end: number): number {
  let at = start
  while (at + 2 < end && (bytes[at] !== BAR || bytes[at + 1] !== AT)) at++
  if (at + 2 >= end) return 1
  const rate = numberAt(bytes, at + 2, end)
  return rate === 0 ? 1 : rate
}

/** The number that a text starts with, as C's `strtod` reads it. */
function numberAt(bytes: Buffer, start: number, end: number): number {
  const isNegative = bytes[start] === MINUS
  let at = isNegative || bytes[start] === PLUS ? start + 1 : start
  let value = 0
  let digits = 0
  let pointAt = -1
  for (; at < end; at++) {
    const digit = bytes[at] - ZERO
    if (digit >= 0 && digit <= 9) {
      value = value * 10 + digit
      digits++
    } else if (bytes[at] === POINT && pointAt < 0) pointAt = digits
    else break
  }
  const isPlain = digits > 0 && digits <= SAFE_DIGITS && (at === end || bytes[at] === BAR)
  if (!isPlain) return parseDouble(bytes.latin1Slice(start, end)).value
  const size = pointAt < 0 ? value : value / POWERS_OF_TEN[digits - pointAt]
  return isNegative ? -size : size
}

/** The position of a byte in `bytes[start, end)`, or `end`. */
function indexOf(bytes: Buffer, byte: number, start: number, end: number): number {
  let at = start
  while (at < end && bytes[at] !== byte) at++
  return at
}
