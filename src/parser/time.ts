/**
 * Reads times by a strptime format straight from bytes, without objects.
 * Source: Fluent Bit 5.1.1 src/flb_strptime.c, src/flb_parser.c flb_parser_time_lookup(),
 * flb_parser_tm2time_parser(); reference, section 6.2.
 * Differs: a lax reader (`time_strict off`) that cannot even read the year finds no time, where Fluent Bit gives
 * 31 December 1899; `%Z` knows only the table of abbreviations, not the names of the system's own zone; without a
 * year in the format, texts of 58 to 63 characters are read too.
 *
 * @hot bench/pipelines.ts
 */
import { daysBeforeMonth, daysSinceEpoch, SECONDS_PER_DAY, yearOfDay } from './calendar.ts'
import { readTimeFormat, TIME_STEP } from './time_format.ts'
import type { TimeFormat, TimeStep } from './time_format.ts'
import { ZONE_ABBREVIATIONS } from './time_zone.ts'
import type { ZoneOffsets } from './time_zone.ts'

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

const MONTHS = nameTable([
  'january', 'february', 'march', 'april', 'may', 'june', 'july', 'august', 'september', 'october', 'november',
  'december'
])
const WEEKDAYS = nameTable(['sunday', 'monday', 'tuesday', 'wednesday', 'thursday', 'friday', 'saturday'])
const HALF_DAYS = ['am', 'pm'].map(lowerBytes)
const ZONES = ZONE_ABBREVIATIONS.map(([name]) => lowerBytes(name))
/** What `%z` knows besides numbers, in the order that Fluent Bit tries. */
const ZONE_OFFSET_NAMES = ['est', 'cst', 'mst', 'pst', 'edt', 'cdt', 'mdt', 'pdt'].map(lowerBytes)

const POWERS_OF_TEN = [1, 10, 100, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9]

/** Longer texts are read in full each time. */
const CACHED_BYTES_MAX = 128

/** C's `gmtime` has no 32-bit year beyond this second. */
const EPOCH_MAX = 67_768_036_191_676_799

const FIELD_MONTH = 1
const FIELD_DAY = 2
const FIELD_DAY_OF_YEAR = 8
const FIELD_YEAR = 16

/** Builds a reader for a format. */
export function compileTimeFormat(format: string, options: TimeOptions = {}): TimeReader {
  return new TimeReader(format, options)
}

/**
 * Reads times of one format. Log lines come in order, so the reader remembers the last text: one that differs
 * from it only in the digits of the second and of the fraction needs no more than those digits.
 */
export class TimeReader {
  /** Seconds since the epoch of the last text that was read; 0 after a failure. */
  seconds = 0
  /** Nanoseconds of the second, 0 to 999,999,999. */
  nanoseconds = 0
  /** As the user wrote it. */
  readonly format: string
  /** Directives of the format that no text can match. */
  readonly unsupported: readonly string[]
  readonly #format: TimeFormat
  readonly #offsetSeconds: number
  readonly #usesSystemTimezone: boolean
  readonly #zone: ZoneOffsets | undefined
  readonly #isStrict: boolean
  readonly #now: () => number
  readonly #textBytes = new Uint8Array(CACHED_BYTES_MAX)

  // The text at hand.
  #bytes: Uint8Array = this.#textBytes
  #at = 0
  #end = 0

  // The fields of `struct tm`; month counts from 0.
  #year = 1900
  #month = 0
  #day = 0
  #hour = 0
  #minute = 0
  #second = 0
  #dayOfYear = 0
  #zoneSeconds = 0
  #fields = 0
  #century = -1
  #yearOfCentury = -1

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
    this.unsupported = this.#format.unsupported
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

  /** Reads a text of one-byte characters. */
  readText(text: string): boolean {
    const { length } = text
    if (length > CACHED_BYTES_MAX) {
      const bytes = Buffer.from(text, 'latin1')
      return this.read(bytes, 0, bytes.length)
    }
    const bytes = this.#textBytes
    for (let index = 0; index < length; index++) bytes[index] = text.charCodeAt(index)
    return this.read(bytes, 0, length)
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
    this.#bytes = bytes
    this.#at = start
    this.#end = end
    this.#reset()
    const isRead = this.#run(this.#format.steps) && this.#readFraction()
    if (isRead && !this.#format.hasZone && this.#zone === undefined) {
      this.#zoneSeconds = this.#offsetSeconds
    }
    if (isRead || (!this.#isStrict && this.#year !== 1900)) {
      this.seconds = this.#toEpoch()
      if (isRead) this.#remember(start)
      return true
    }
    this.seconds = 0
    this.nanoseconds = 0
    return !this.#isStrict
  }

  #reset(): void {
    this.nanoseconds = 0
    this.#year = 1900
    this.#month = 0
    this.#day = 0
    this.#hour = 0
    this.#minute = 0
    this.#second = 0
    this.#dayOfYear = 0
    this.#cachedLength = -1
    this.#secondAt = -1
    this.#fractionAt = -1
  }

  #readFraction(): boolean {
    const { afterFraction } = this.#format
    if (afterFraction === undefined) return true
    const fractionAt = this.#at
    let value = 0
    let digits = 0
    while (digits < 9 && this.#peekIsDigit()) {
      value = value * 10 + this.#bytes[this.#at++] - 0x30
      digits++
    }
    if (digits === 0) return false
    this.nanoseconds = toNanoseconds(value, digits)
    this.#fractionAt = fractionAt
    this.#fractionEnd = this.#at
    return this.#run(afterFraction)
  }

  /** Keeps the text, if a next one may be read by its second and fraction alone. */
  #remember(start: number): void {
    const length = this.#end - start
    if (this.#secondAt < 0 || length > CACHED_BYTES_MAX) return
    if (this.#fractionAt >= 0 && this.#fractionAt < this.#secondAt) return
    for (let index = 0; index < length; index++) this.#cached[index] = this.#bytes[start + index]
    this.#cachedLength = length
    this.#cachedMinute = this.seconds - this.#second
    this.#secondAt -= start
    if (this.#fractionAt < 0) return
    this.#fractionAt -= start
    this.#fractionEnd -= start
  }

  #toEpoch(): number {
    const days = daysSinceEpoch(this.#year, this.#month, this.#day)
    const wall = days * SECONDS_PER_DAY + this.#hour * 3600 + this.#minute * 60 + this.#second
    if (this.#zone !== undefined && !this.#format.hasZone) return this.#zone.toEpoch(wall)
    return this.#usesSystemTimezone ? this.#systemEpoch() : wall - this.#zoneSeconds
  }

  #systemEpoch(): number {
    const date = new Date(2000, 0, 1, this.#hour, this.#minute, this.#second)
    date.setFullYear(this.#year, this.#month, this.#day)
    // A date change may move the clock by a daylight saving step; set it again on the right day.
    date.setHours(this.#hour, this.#minute, this.#second)
    return Math.floor(date.getTime() / 1000)
  }

  /** Runs steps as one call of strptime does; false at the first difference. */
  #run(steps: readonly TimeStep[]): boolean {
    this.#fields = 0
    this.#century = -1
    this.#yearOfCentury = -1
    this.#zoneSeconds = 0
    for (let index = 0; index < steps.length; index++) {
      if (!this.#step(steps[index])) return false
    }
    this.#settle()
    return true
  }

  #step(step: TimeStep): boolean {
    const { kind } = step
    if (kind === TIME_STEP.space) return this.#skipSpace()
    if (kind === TIME_STEP.settle) return this.#settle()
    if (kind === TIME_STEP.currentYear) return this.#setToday()
    // A NUL byte ends the text as it does in C.
    const byte = this.#peek()
    if (byte === 0) return false
    switch (kind) {
      case TIME_STEP.literal:
        this.#at++
        return byte === step.code
      case TIME_STEP.weekdayName:
        return this.#name(WEEKDAYS) >= 0
      case TIME_STEP.monthName:
        return this.#setMonth(this.#name(MONTHS) >> 1)
      case TIME_STEP.century:
        this.#century = this.#number(0, 99)
        return this.#century >= 0
      case TIME_STEP.paddedDay:
        if (isSpace(byte)) this.#at++
        return this.#setDay(this.#number(1, 31))
      case TIME_STEP.day:
        return this.#setDay(this.#number(1, 31))
      case TIME_STEP.hour:
        return this.#setHour(this.#number(0, 23))
      case TIME_STEP.hour12:
        return this.#setHour(this.#number(1, 12))
      case TIME_STEP.dayOfYear:
        return this.#setDayOfYear(this.#number(1, 366))
      case TIME_STEP.minute:
        return this.#setMinute(this.#number(0, 59))
      case TIME_STEP.month:
        return this.#setMonth(this.#number(1, 12) - 1)
      case TIME_STEP.halfDay:
        return this.#halfDay()
      case TIME_STEP.second:
        return this.#readSecond()
      case TIME_STEP.epoch:
        return this.#epoch()
      case TIME_STEP.weekNumber:
      case TIME_STEP.isoWeek:
        return this.#number(0, 53) >= 0
      case TIME_STEP.weekday0:
        return this.#number(0, 6) >= 0
      case TIME_STEP.weekday1:
        return this.#number(1, 7) >= 0
      case TIME_STEP.isoYear2:
        return this.#number(0, 99) >= 0
      case TIME_STEP.isoYear:
        return this.#skipIsoYear()
      case TIME_STEP.year:
        return this.#setYear(this.#number(0, 9999))
      case TIME_STEP.year2:
        this.#yearOfCentury = this.#number(0, 99)
        return this.#yearOfCentury >= 0
      case TIME_STEP.zoneName:
        return this.#zoneName()
      case TIME_STEP.zoneOffset:
        return this.#zoneOffset()
      default:
        return false
    }
  }

  /** Two-digit years take their century, a day of the year becomes month and day. */
  #settle(): boolean {
    if (this.#yearOfCentury >= 0) {
      const first = this.#yearOfCentury <= 68 ? 2000 : 1900
      this.#year = this.#yearOfCentury + (this.#century < 0 ? first : this.#century * 100)
      this.#fields |= FIELD_YEAR
    }
    if ((this.#fields & FIELD_YEAR) === 0) return true
    const hasMonth = (this.#fields & FIELD_MONTH) !== 0
    const hasDay = (this.#fields & FIELD_DAY) !== 0
    if ((this.#fields & FIELD_DAY_OF_YEAR) === 0) {
      if (!hasMonth || !hasDay) return true
      this.#dayOfYear = daysBeforeMonth(this.#year, this.#month) + this.#day - 1
      this.#fields |= FIELD_DAY_OF_YEAR
    }
    let days = this.#dayOfYear
    if (!hasMonth) {
      this.#month = 0
      while (this.#month < 12 && this.#dayOfYear >= daysBeforeMonth(this.#year, this.#month + 1)) {
        this.#month++
      }
      days -= daysBeforeMonth(this.#year, this.#month)
    }
    if (!hasDay) this.#day = days + 1
    return true
  }

  #setToday(): boolean {
    const nowMs = this.#now()
    if (this.#usesSystemTimezone && !(this.#zone !== undefined && !this.#format.hasZone)) {
      const today = new Date(nowMs)
      this.#year = today.getFullYear()
      this.#month = today.getMonth()
      this.#day = today.getDate()
    } else {
      const utc = Math.floor(nowMs / 1000)
      const isInZone = this.#zone !== undefined && !this.#format.hasZone
      this.#setDate(Math.floor((utc + (isInZone ? this.#zone.offsetAt(utc) : 0)) / SECONDS_PER_DAY))
    }
    this.#fields |= FIELD_YEAR
    return true
  }

  /** Sets the date from days since the epoch. */
  #setDate(days: number): void {
    this.#year = yearOfDay(days)
    const dayOfYear = days - daysSinceEpoch(this.#year, 0, 1)
    this.#month = 0
    while (dayOfYear >= daysBeforeMonth(this.#year, this.#month + 1)) this.#month++
    this.#day = dayOfYear - daysBeforeMonth(this.#year, this.#month) + 1
    this.#dayOfYear = dayOfYear
  }

  #setYear(year: number): boolean {
    if (year < 0) return false
    this.#yearOfCentury = -1
    this.#year = year
    this.#fields |= FIELD_YEAR
    return true
  }

  #setMonth(month: number): boolean {
    if (month < 0) return false
    this.#month = month
    this.#fields |= FIELD_MONTH
    return true
  }

  #setDay(day: number): boolean {
    if (day < 0) return false
    this.#day = day
    this.#fields |= FIELD_DAY
    return true
  }

  #setDayOfYear(day: number): boolean {
    if (day < 0) return false
    this.#dayOfYear = day - 1
    this.#fields |= FIELD_DAY_OF_YEAR
    return true
  }

  #setHour(hour: number): boolean {
    if (hour < 0) return false
    this.#hour = hour
    return true
  }

  #setMinute(minute: number): boolean {
    if (minute < 0) return false
    this.#minute = minute
    return true
  }

  #readSecond(): boolean {
    const at = this.#at
    const second = this.#number(0, 60)
    if (second < 0) return false
    this.#second = second
    // A second in one digit, or given twice, is not worth remembering.
    this.#secondAt = this.#at - at === 2 && this.#secondAt === -1 ? at : -2
    return true
  }

  #halfDay(): boolean {
    const half = this.#name(HALF_DAYS)
    if (half < 0 || this.#hour > 12) return false
    if (half === 0 && this.#hour === 12) this.#hour = 0
    if (half === 1 && this.#hour < 12) this.#hour += 12
    return true
  }

  #epoch(): boolean {
    if (!this.#peekIsDigit()) return false
    let value = 0
    while (this.#peekIsDigit()) {
      value = value * 10 + this.#bytes[this.#at++] - 0x30
      if (value > EPOCH_MAX) return false
    }
    const days = Math.floor(value / SECONDS_PER_DAY)
    const secondOfDay = value - days * SECONDS_PER_DAY
    this.#setDate(days)
    this.#hour = Math.floor(secondOfDay / 3600)
    this.#minute = Math.floor(secondOfDay / 60) % 60
    this.#second = secondOfDay % 60
    this.#zoneSeconds = 0
    this.#fields = FIELD_YEAR | FIELD_MONTH | FIELD_DAY | FIELD_DAY_OF_YEAR
    return true
  }

  #skipIsoYear(): boolean {
    do this.#at++
    while (this.#peekIsDigit())
    return true
  }

  #skipSpace(): boolean {
    while (isSpace(this.#peek())) this.#at++
    return true
  }

  /** `%Z`: an abbreviation that is not part of a longer word. */
  #zoneName(): boolean {
    for (let index = 0; index < ZONES.length; index++) {
      const name = ZONES[index]
      if (!this.#startsWith(name) || isAlphanumeric(this.#byteAt(this.#at + name.length))) continue
      this.#at += name.length
      this.#zoneSeconds = ZONE_ABBREVIATIONS[index][1]
      return true
    }
    // Names that run on are still read when they begin like these two, in capitals.
    if (!this.#startsWithCapitals(0x47, 0x4d, 0x54) && !this.#startsWithCapitals(0x55, 0x54, 0x43)) {
      return false
    }
    this.#at += 3
    this.#zoneSeconds = 0
    return true
  }

  /** `%z`: `Z`, `GMT`, `UT`, `UTC`, `+hhmm`, `+hh:mm`, `+hh`, or a North American abbreviation. */
  #zoneOffset(): boolean {
    this.#skipSpace()
    const byte = this.#peek()
    if (byte === 0x2b || byte === 0x2d) return this.#numericOffset(byte === 0x2d)
    if (byte === 0x5a) return this.#utc(1)
    if (byte === 0x47) return this.#startsWithCapitals(0x47, 0x4d, 0x54) && this.#utc(3)
    if (byte === 0x55) {
      if (this.#byteAt(this.#at + 1) !== 0x54) return false
      return this.#utc(this.#byteAt(this.#at + 2) === 0x43 ? 3 : 2)
    }
    const name = this.#name(ZONE_OFFSET_NAMES)
    if (name < 0) return false
    this.#zoneSeconds = (name < 4 ? -5 - name : -name) * 3600
    return true
  }

  #utc(length: number): boolean {
    this.#at += length
    this.#zoneSeconds = 0
    return true
  }

  #numericOffset(isWest: boolean): boolean {
    this.#at++
    const hours = this.#twoDigits()
    if (hours < 0) return false
    if (this.#peek() === 0x3a) this.#at++
    let minutes = 0
    if (this.#peekIsDigit()) {
      minutes = this.#twoDigits()
      if (minutes < 0) return false
    }
    const seconds = hours * 3600 + minutes * 60
    this.#zoneSeconds = isWest ? -seconds : seconds
    return true
  }

  #twoDigits(): number {
    const tens = this.#peek() - 0x30
    const ones = this.#byteAt(this.#at + 1) - 0x30
    if (tens < 0 || tens > 9 || ones < 0 || ones > 9) return -1
    this.#at += 2
    return tens * 10 + ones
  }

  /** The index of the first name that the text goes on with, or -1; passes over it. */
  #name(names: readonly Uint8Array[]): number {
    for (let index = 0; index < names.length; index++) {
      if (!this.#startsWith(names[index])) continue
      this.#at += names[index].length
      return index
    }
    return -1
  }

  /** Compares without regard to case; names are in lower case. */
  #startsWith(name: Uint8Array): boolean {
    for (let index = 0; index < name.length; index++) {
      const byte = this.#byteAt(this.#at + index)
      if ((byte >= 0x41 && byte <= 0x5a ? byte + 0x20 : byte) !== name[index]) return false
    }
    return true
  }

  #startsWithCapitals(first: number, second: number, third: number): boolean {
    return (
      this.#peek() === first &&
      this.#byteAt(this.#at + 1) === second &&
      this.#byteAt(this.#at + 2) === third
    )
  }

  /** Reads no more digits than the limit can have; -1 when there is none or the value is out of range. */
  #number(least: number, most: number): number {
    if (!this.#peekIsDigit()) return -1
    let value = 0
    let room = most
    do {
      value = value * 10 + this.#bytes[this.#at++] - 0x30
      room = Math.floor(room / 10)
    } while (value * 10 <= most && room > 0 && this.#peekIsDigit())
    return value < least || value > most ? -1 : value
  }

  #peek(): number {
    return this.#at < this.#end ? this.#bytes[this.#at] : 0
  }

  #byteAt(at: number): number {
    return at < this.#end ? this.#bytes[at] : 0
  }

  #peekIsDigit(): boolean {
    return this.#at < this.#end && isDigit(this.#bytes[this.#at])
  }
}

/** A second of two digits, 0 to 60, or -1. */
function secondOf(tens: number, ones: number): number {
  if (tens < 0 || tens > 6 || ones < 0 || ones > 9) return -1
  const second = tens * 10 + ones
  return second > 60 ? -1 : second
}

/** Cut, not rounded, from a binary fraction: .999999999 has the last digit that Fluent Bit gives it. */
function toNanoseconds(value: number, digits: number): number {
  return Math.trunc((value / POWERS_OF_TEN[digits]) * 1e9)
}

function isDigit(byte: number): boolean {
  return byte >= 0x30 && byte <= 0x39
}

function isSpace(byte: number): boolean {
  return byte === 0x20 || (byte >= 0x09 && byte <= 0x0d)
}

function isAlphanumeric(byte: number): boolean {
  return isDigit(byte) || (byte >= 0x41 && byte <= 0x5a) || (byte >= 0x61 && byte <= 0x7a)
}

/** Each full name before its abbreviation of three letters, so that an index halves to the number. */
function nameTable(names: readonly string[]): readonly Uint8Array[] {
  return names.flatMap(name => [lowerBytes(name), lowerBytes(name.slice(0, 3))])
}

function lowerBytes(name: string): Uint8Array {
  return Buffer.from(name.toLowerCase())
}
