/**
 * Lines of statsd.
 *
 *     datagram = line *( LF line )
 *     line     = bucket ":" value "|" type [ *any "|@" sample-rate *any ]
 *     type     = "g" / "s" / "ms"; anything else is a counter
 */
import { POWERS_OF_TEN } from '../../../codec/number_text.ts'
import { parseDouble } from '../../../config/units.ts'

/** Gets the lines that are no metrics. */
export type RefuseLine = (problem: string, bytes: Buffer, start: number, end: number) => void

/** Takes one line, or says what is wrong with it and takes nothing. */
export type TakeLine<T> = (
  bytes: Buffer,
  start: number,
  end: number,
  timeMs: number,
  target: T
) => string | undefined

/** What a line is about. */
export type LineType = 'counter' | 'gauge' | 'set' | 'timer'

const NUL = 0x00
const LINE_FEED = 0x0a
const PLUS = 0x2b
const MINUS = 0x2d
const POINT = 0x2e
const ZERO = 0x30
const AT = 0x40
const LETTER_G = 0x67
const LETTER_M = 0x6d
const LETTER_S = 0x73

export const COLON = 0x3a
export const BAR = 0x7c

export const NO_BUCKET = 'no bucket name found'
export const NO_TYPE = 'no metric type found'

/** Numbers of at most this many digits are exact in a double. */
const SAFE_DIGITS = 15

/** Goes through the lines of a datagram, empty ones left out, and says how many were taken. */
export function takeLines<T>(
  bytes: Buffer,
  timeMs: number,
  target: T,
  take: TakeLine<T>,
  refuse: RefuseLine
): number {
  let count = 0
  for (let start = 0; start < bytes.length;) {
    let end = start
    while (end < bytes.length && bytes[end] !== LINE_FEED && bytes[end] !== NUL) end++
    if (end > start) {
      const problem = take(bytes, start, end, timeMs, target)
      if (problem === undefined) count++
      else refuse(problem, bytes, start, end)
    }
    start = end + 1
  }
  return count
}

/** The type that stands at `at`, up to `end`. */
export function typeAt(bytes: Buffer, at: number, end: number): LineType {
  const letter = at < end ? bytes[at] : NUL
  if (letter === LETTER_G) return 'gauge'
  if (letter === LETTER_S) return 'set'
  const isTimer = letter === LETTER_M && at + 1 < end && bytes[at + 1] === LETTER_S
  return isTimer ? 'timer' : 'counter'
}

/** Whether the value at `at` has a sign, and so changes what was there. */
export function isIncremental(bytes: Buffer, at: number): boolean {
  return bytes[at] === PLUS || bytes[at] === MINUS
}

/** The number after the first `|@`; 1 when there is none, or it is 0. */
export function sampleRate(bytes: Buffer, start: number, end: number): number {
  let at = start
  while (at + 2 < end && (bytes[at] !== BAR || bytes[at + 1] !== AT)) at++
  if (at + 2 >= end) return 1
  const rate = numberAt(bytes, at + 2, end)
  return rate === 0 ? 1 : rate
}

/** The number that a text starts with, as C's `strtod` reads it. */
export function numberAt(bytes: Buffer, start: number, end: number): number {
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
export function indexOf(bytes: Buffer, byte: number, start: number, end: number): number {
  let at = start
  while (at < end && bytes[at] !== byte) at++
  return at
}
