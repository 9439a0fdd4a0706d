/**
 * Reads times by a strptime format straight from bytes, without objects.
 * Source: Fluent Bit 5.1.1 src/flb_strptime.c, src/flb_parser.c flb_parser_time_lookup(),
 * flb_parser_tm2time_parser(); reference, section 6.2.
 * Differs: times before 1970 or after 2106, which events cannot have, count as none, where Fluent
 * Bit gives others, also to lax readers (`time_strict off`) that cannot read the year; `%Z` knows
 * only the table of abbreviations, not the names of the system's own zone; without a year in the
 * format, texts of 58 to 63 characters are read too.
 *
 * @hot bench/pipelines.ts
 */
import { daysSinceEpoch, SECONDS_PER_DAY } from './calendar.ts'
import { isDigit, Strptime } from './strptime.ts'
import { readTimeFormat, type TimeFormat } from './time_format.ts'
import type { ZoneOffsets } from './time_zone.ts'

/** The last second of an event: the two behind it, in 32 bits, are the marks of groups. */
const EVENT_SECONDS_MAX = 2 ** 32 - 3

/** Longer texts are read in full each time. */
const CACHED_BYTES_MAX = 128

export interface TimeOptions {
  /** Seconds east of UTC of texts that do not say it. */
  readonly offsetSeconds?: number
  /** Texts that do not say their zone are in the machine's. */
  readonly usesSystemTimezone?: boolean
  /** The zone of texts that do not say theirs. */
  readonly zone?: ZoneOffsets
  /** False takes what could be read before the first difference from the format. */
  readonly isStrict?: boolean
  /** Milliseconds since the epoch, for formats without a year or a date. */
  readonly now?: () => number
}

const POWERS_OF_TEN = [1, 10, 100, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9]

/** Builds a reader for a format. */
export function compileTimeFormat(format: string, options: TimeOptions = {}): TimeReader {
  return new TimeReader(format, options)
}

/**
 * Reads times of one format. Log lines come in order, so the reader remembers the last text: one
 * that differs from it only in the digits of the second and of the fraction needs no more than
 * those digits.
 */
export class TimeReader {
  /** Seconds since the epoch of the last text that was read; 0 when it has no time of an event. */
  seconds = 0
  /** Nanoseconds of the second, 0 to 999,999,999. */
  nanoseconds = 0
  /** As the user wrote it. */
  readonly format: string
  readonly #format: TimeFormat
  readonly #offsetSeconds: number
  readonly #usesSystemTimezone: boolean
  readonly #zone: ZoneOffsets | undefined
  readonly #isStrict: boolean
  readonly #now: () => number
  readonly #fields = new Strptime()

  // The last text: its bytes, its time without second and fraction, where these two stand in it.
  readonly #cached = new Uint8Array(CACHED_BYTES_MAX)
  #cachedLength = -1
  #cachedMinute = 0
  #secondAt = -1
  #fractionAt = -1
  #fractionEnd = -1

  constructor(format: string, options: TimeOptions) {
    this.format = format
    this.#format = readTimeFormat(format)
    this.#offsetSeconds = options.offsetSeconds ?? 0
    this.#usesSystemTimezone = options.usesSystemTimezone ?? false
    this.#zone = options.zone
    this.#isStrict = options.isStrict ?? true
    this.#now = options.now ?? Date.now
  }

  /** Reads the text of `bytes[start, end)`; false when it does not fit the format. */
  read(bytes: Uint8Array, start: number, end: number): boolean {
    if (this.#cachedLength >= 0 && this.#readLikeLast(bytes, start, end)) return true
    return this.#readAll(bytes, start, end)
  }

  #readLikeLast(bytes: Uint8Array, start: number, end: number): boolean {
    const cached = this.#cached
    const secondAt = this.#secondAt
    const length = end - start
    if (length < secondAt + 2) return false
    for (let index = 0; index < secondAt; index++) {
      if (bytes[start + index] !== cached[index]) return false
    }
    const second = secondOf(bytes[start + secondAt] - 0x30, bytes[start + secondAt + 1] - 0x30)
    if (second < 0) return false
    let index = secondAt + 2
    let from = index
    let nanoseconds = 0
    if (this.#fractionAt >= 0) {
      for (; index < this.#fractionAt; index++) {
        if (bytes[start + index] !== cached[index]) return false
      }
      let value = 0
      let digits = 0
      for (; digits < 9 && index < length && isDigit(bytes[start + index]); index++) {
        value = value * 10 + bytes[start + index] - 0x30
        digits++
      }
      if (digits === 0) return false
      nanoseconds = toNanoseconds(value, digits)
      from = this.#fractionEnd
    }
    if (length - index !== this.#cachedLength - from) return false
    for (; index < length; index++) {
      if (bytes[start + index] !== cached[from++]) return false
    }
    this.seconds = this.#cachedMinute + second
    this.nanoseconds = nanoseconds
    return true
  }

  #readAll(bytes: Uint8Array, start: number, end: number): boolean {
    const fields = this.#fields
    this.nanoseconds = 0
    this.#cachedLength = -1
    this.#fractionAt = -1
    fields.begin(bytes, start, end)
    if (!this.#format.hasYear) this.#setToday()
    const isRead = fields.run(this.#format.steps) && this.#readFraction(bytes, end)
    if (isRead && !this.#format.hasZone && this.#zone === undefined) {
      fields.zoneSeconds = this.#offsetSeconds
    }
    if (!isRead && this.#isStrict) {
      this.seconds = 0
      this.nanoseconds = 0
      return false
    }
    this.seconds = this.#toEpoch()
    if (this.seconds < 0 || this.seconds > EVENT_SECONDS_MAX) {
      this.seconds = 0
      this.nanoseconds = 0
    } else if (isRead) {
      this.#remember(bytes, start, end)
    }
    return true
  }

  #readFraction(bytes: Uint8Array, end: number): boolean {
    const { afterFraction } = this.#format
    if (afterFraction === undefined) return true
    const fields = this.#fields
    const fractionAt = fields.at
    let value = 0
    let digits = 0
    while (digits < 9 && fields.at < end && isDigit(bytes[fields.at])) {
      value = value * 10 + bytes[fields.at++] - 0x30
      digits++
    }
    if (digits === 0) return false
    this.nanoseconds = toNanoseconds(value, digits)
    this.#fractionAt = fractionAt
    this.#fractionEnd = fields.at
    return fields.run(afterFraction)
  }

  /** Keeps the text, if a next one may be read by its second and fraction alone. */
  #remember(bytes: Uint8Array, start: number, end: number): void {
    const length = end - start
    const { secondAt, second } = this.#fields
    const minute = this.seconds - second
    if (secondAt < 0 || length > CACHED_BYTES_MAX) return
    if (minute < 0 || minute + 60 > EVENT_SECONDS_MAX) return
    if (this.#fractionAt >= 0 && this.#fractionAt < secondAt) return
    for (let index = 0; index < length; index++) this.#cached[index] = bytes[start + index]
    this.#cachedLength = length
    this.#cachedMinute = minute
    this.#secondAt = secondAt - start
    if (this.#fractionAt < 0) return
    this.#fractionAt -= start
    this.#fractionEnd -= start
  }

  /** The date for formats without a year, of which the text may replace month and day. */
  #setToday(): void {
    const nowMs = this.#now()
    const seconds = Math.floor(nowMs / 1000)
    if (this.#usesZone()) {
      const offset = this.#zone?.offsetAt(seconds) ?? 0
      this.#fields.setDate(Math.floor((seconds + offset) / SECONDS_PER_DAY))
    } else if (this.#usesSystemTimezone) {
      const today = new Date(nowMs)
      const days = daysSinceEpoch(today.getFullYear(), today.getMonth(), today.getDate())
      this.#fields.setDate(days)
    } else {
      this.#fields.setDate(Math.floor(seconds / SECONDS_PER_DAY))
    }
  }

  #usesZone(): boolean {
    return this.#zone !== undefined && !this.#format.hasZone
  }

  #toEpoch(): number {
    const { year, month, day, hour, minute, second, zoneSeconds } = this.#fields
    const days = daysSinceEpoch(year, month, day)
    const wall = days * SECONDS_PER_DAY + hour * 3600 + minute * 60 + second
    if (this.#usesZone()) return this.#zone?.toEpoch(wall) ?? wall
    return this.#usesSystemTimezone ? this.#systemEpoch(wall) : wall - zoneSeconds
  }

  #systemEpoch(wall: number): number {
    const { year, month, day, hour, minute, second } = this.#fields
    const date = new Date(2000, 0, 1, hour, minute, second)
    date.setFullYear(year, month, day)
    // A date change may move the clock by a daylight saving step; set it again on the right day.
    date.setHours(hour, minute, second)
    const milliseconds = date.getTime()
    // Beyond the year 275,760 there is no Date.
    return Number.isNaN(milliseconds) ? wall : Math.floor(milliseconds / 1000)
  }
}

/** A second of two digits, 0 to 60, or -1. */
function secondOf(tens: number, ones: number): number {
  if (tens < 0 || tens > 6 || ones < 0 || ones > 9) return -1
  const second = tens * 10 + ones
  return second > 60 ? -1 : second
}

/** Cut, not rounded, from a binary fraction: the last digit comes out as in Fluent Bit. */
function toNanoseconds(value: number, digits: number): number {
  return Math.trunc((value / POWERS_OF_TEN[digits]) * 1e9)
}
