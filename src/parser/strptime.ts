/**
 * Reads the fields of a time, step by step of a format, as Fluent Bit's own strptime does.
 * Source: Fluent Bit 5.1.1 src/flb_strptime.c.
 *
 * @hot bench/pipelines.ts
 */
import { daysBeforeMonth, daysSinceEpoch, SECONDS_PER_DAY, yearOfDay } from './calendar.ts'
import { TIME_STEP, type TimeStep } from './time_format.ts'
import { ZONE_ABBREVIATIONS } from './time_zone.ts'

const MONTHS = nameTable(
  'january february march april may june july august september october november december'
)
const WEEKDAYS = nameTable('sunday monday tuesday wednesday thursday friday saturday')
const HALF_DAYS = ['am', 'pm'].map(lowerBytes)
const ZONES = ZONE_ABBREVIATIONS.map(([name]) => lowerBytes(name))
/** What `%z` knows besides numbers, in the order that Fluent Bit tries. */
const ZONE_OFFSET_NAMES = ['est', 'cst', 'mst', 'pst', 'edt', 'cdt', 'mdt', 'pdt'].map(lowerBytes)

/** Beyond this a double is not exact; no event has such a time. */
const EPOCH_MAX = Number.MAX_SAFE_INTEGER

const FIELD_MONTH = 1
const FIELD_DAY = 2
const FIELD_DAY_OF_YEAR = 4
const FIELD_YEAR = 8

/** The text at hand and the fields of C's `struct tm`. */
export class Strptime {
  /** Counts from 0, unlike `tm_year`; 1900 until it is read. */
  year = 1900
  /** 0 to 11; 12 is the January after. */
  month = 0
  /** 0 until it is read. */
  day = 0
  hour = 0
  minute = 0
  /** 0 to 60. */
  second = 0
  /** Seconds east of UTC. */
  zoneSeconds = 0
  /** Position in the bytes of what is to be read next. */
  at = 0
  /** Position of a second that has two digits and stands in the text once; else negative. */
  secondAt = -1
  #bytes: Uint8Array = new Uint8Array(0)
  #end = 0
  #dayOfYear = 0
  /** Which of the `FIELD_` values the last run has read. */
  #fields = 0
  #century = -1
  #yearOfCentury = -1

  /** Takes the text of `bytes[start, end)` and forgets all fields. */
  begin(bytes: Uint8Array, start: number, end: number): void {
    this.#bytes = bytes
    this.#end = end
    this.at = start
    this.year = 1900
    this.month = 0
    this.day = 0
    this.hour = 0
    this.minute = 0
    this.second = 0
    this.secondAt = -1
    this.#dayOfYear = 0
  }

  /** Sets the date from days since the epoch. */
  setDate(days: number): void {
    this.year = yearOfDay(days)
    const dayOfYear = days - daysSinceEpoch(this.year, 0, 1)
    this.month = 0
    while (dayOfYear >= daysBeforeMonth(this.year, this.month + 1)) this.month++
    this.day = dayOfYear - daysBeforeMonth(this.year, this.month) + 1
    this.#dayOfYear = dayOfYear
  }

  /** Runs steps as one call of strptime does; false at the first difference. */
  run(steps: readonly TimeStep[]): boolean {
    this.#fields = 0
    this.#century = -1
    this.#yearOfCentury = -1
    this.zoneSeconds = 0
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
    if (kind === TIME_STEP.currentYear) return this.#markYear()
    // A NUL byte ends the text as it does in C.
    const byte = this.#peek()
    if (byte === 0) return false
    switch (kind) {
      case TIME_STEP.literal:
        this.at++
        return byte === step.code
      case TIME_STEP.weekdayName:
        return this.#name(WEEKDAYS) >= 0
      case TIME_STEP.monthName:
        return this.#setMonth(this.#name(MONTHS) >> 1)
      case TIME_STEP.century:
        this.#century = this.#number(0, 99)
        return this.#century >= 0
      case TIME_STEP.paddedDay:
        if (isSpace(byte)) this.at++
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
      // The century 19 counts as none, as in every BSD strptime.
      const hasCentury = this.#century >= 0 && this.#century !== 19
      const first = this.#yearOfCentury <= 68 ? 2000 : 1900
      this.year = this.#yearOfCentury + (hasCentury ? this.#century * 100 : first)
      this.#fields |= FIELD_YEAR
    }
    if ((this.#fields & FIELD_YEAR) === 0) return true
    const hasMonth = (this.#fields & FIELD_MONTH) !== 0
    const hasDay = (this.#fields & FIELD_DAY) !== 0
    if ((this.#fields & FIELD_DAY_OF_YEAR) === 0) {
      if (!hasMonth || !hasDay) return true
      this.#dayOfYear = daysBeforeMonth(this.year, this.month) + this.day - 1
      this.#fields |= FIELD_DAY_OF_YEAR
    }
    let days = this.#dayOfYear
    if (!hasMonth) {
      this.month = 0
      while (this.month < 12 && this.#dayOfYear >= daysBeforeMonth(this.year, this.month + 1)) {
        this.month++
      }
      days -= daysBeforeMonth(this.year, this.month)
    }
    if (!hasDay) this.day = days + 1
    return true
  }

  #markYear(): boolean {
    this.#fields |= FIELD_YEAR
    return true
  }

  #setYear(year: number): boolean {
    if (year < 0) return false
    this.#yearOfCentury = -1
    this.year = year
    this.#fields |= FIELD_YEAR
    return true
  }

  #setMonth(month: number): boolean {
    if (month < 0) return false
    this.month = month
    this.#fields |= FIELD_MONTH
    return true
  }

  #setDay(day: number): boolean {
    if (day < 0) return false
    this.day = day
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
    this.hour = hour
    return true
  }

  #setMinute(minute: number): boolean {
    if (minute < 0) return false
    this.minute = minute
    return true
  }

  #readSecond(): boolean {
    const at = this.at
    const second = this.#number(0, 60)
    if (second < 0) return false
    this.second = second
    // A second in one digit, or given twice, is not worth remembering.
    this.secondAt = this.at - at === 2 && this.secondAt === -1 ? at : -2
    return true
  }

  #halfDay(): boolean {
    const half = this.#name(HALF_DAYS)
    if (half < 0 || this.hour > 12) return false
    if (half === 0 && this.hour === 12) this.hour = 0
    if (half === 1 && this.hour < 12) this.hour += 12
    return true
  }

  #epoch(): boolean {
    if (!this.#peekIsDigit()) return false
    let value = 0
    while (this.#peekIsDigit()) {
      value = value * 10 + this.#bytes[this.at++] - 0x30
      if (value > EPOCH_MAX) return false
    }
    const days = Math.floor(value / SECONDS_PER_DAY)
    const secondOfDay = value - days * SECONDS_PER_DAY
    this.setDate(days)
    this.hour = Math.floor(secondOfDay / 3600)
    this.minute = Math.floor(secondOfDay / 60) % 60
    this.second = secondOfDay % 60
    this.zoneSeconds = 0
    this.#fields = FIELD_YEAR | FIELD_MONTH | FIELD_DAY | FIELD_DAY_OF_YEAR
    return true
  }

  #skipIsoYear(): boolean {
    do this.at++
    while (this.#peekIsDigit())
    return true
  }

  #skipSpace(): boolean {
    while (isSpace(this.#peek())) this.at++
    return true
  }

  /** `%Z`: an abbreviation that is not part of a longer word. */
  #zoneName(): boolean {
    for (let index = 0; index < ZONES.length; index++) {
      const name = ZONES[index]
      if (!this.#startsWith(name) || isAlphanumeric(this.#byteAt(this.at + name.length))) continue
      this.at += name.length
      this.zoneSeconds = ZONE_ABBREVIATIONS[index][1]
      return true
    }
    // Names that run on are still read when they begin like these two, in capitals.
    if (
      !this.#startsWithCapitals(0x47, 0x4d, 0x54) &&
      !this.#startsWithCapitals(0x55, 0x54, 0x43)
    ) {
      return false
    }
    this.at += 3
    this.zoneSeconds = 0
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
      if (this.#byteAt(this.at + 1) !== 0x54) return false
      return this.#utc(this.#byteAt(this.at + 2) === 0x43 ? 3 : 2)
    }
    const name = this.#name(ZONE_OFFSET_NAMES)
    if (name < 0) return false
    this.zoneSeconds = (name < 4 ? -5 - name : -name) * 3600
    return true
  }

  #utc(length: number): boolean {
    this.at += length
    this.zoneSeconds = 0
    return true
  }

  #numericOffset(isWest: boolean): boolean {
    this.at++
    const hours = this.#twoDigits()
    if (hours < 0) return false
    if (this.#peek() === 0x3a) this.at++
    let minutes = 0
    if (this.#peekIsDigit()) {
      minutes = this.#twoDigits()
      if (minutes < 0) return false
    }
    const seconds = hours * 3600 + minutes * 60
    this.zoneSeconds = isWest ? -seconds : seconds
    return true
  }

  #twoDigits(): number {
    const tens = this.#peek() - 0x30
    const ones = this.#byteAt(this.at + 1) - 0x30
    if (tens < 0 || tens > 9 || ones < 0 || ones > 9) return -1
    this.at += 2
    return tens * 10 + ones
  }

  /** The index of the first name that the text goes on with, or -1; passes over it. */
  #name(names: readonly Uint8Array[]): number {
    for (let index = 0; index < names.length; index++) {
      if (!this.#startsWith(names[index])) continue
      this.at += names[index].length
      return index
    }
    return -1
  }

  /** Compares without regard to case; names are in lower case. */
  #startsWith(name: Uint8Array): boolean {
    for (let index = 0; index < name.length; index++) {
      const byte = this.#byteAt(this.at + index)
      if ((byte >= 0x41 && byte <= 0x5a ? byte + 0x20 : byte) !== name[index]) return false
    }
    return true
  }

  #startsWithCapitals(first: number, second: number, third: number): boolean {
    return (
      this.#peek() === first &&
      this.#byteAt(this.at + 1) === second &&
      this.#byteAt(this.at + 2) === third
    )
  }

  /**
   * Reads no more digits than the limit can have; -1 when there is none or the value is out of
   * range.
   */
  #number(least: number, most: number): number {
    if (!this.#peekIsDigit()) return -1
    let value = 0
    let room = most
    do {
      value = value * 10 + this.#bytes[this.at++] - 0x30
      room = Math.floor(room / 10)
    } while (value * 10 <= most && room > 0 && this.#peekIsDigit())
    return value < least || value > most ? -1 : value
  }

  #peek(): number {
    return this.at < this.#end ? this.#bytes[this.at] : 0
  }

  #byteAt(at: number): number {
    return at < this.#end ? this.#bytes[at] : 0
  }

  #peekIsDigit(): boolean {
    return this.at < this.#end && isDigit(this.#bytes[this.at])
  }
}

/** True for the bytes of `0` to `9`. */
export function isDigit(byte: number): boolean {
  return byte >= 0x30 && byte <= 0x39
}

function isSpace(byte: number): boolean {
  return byte === 0x20 || (byte >= 0x09 && byte <= 0x0d)
}

function isAlphanumeric(byte: number): boolean {
  return isDigit(byte) || (byte >= 0x41 && byte <= 0x5a) || (byte >= 0x61 && byte <= 0x7a)
}

/**
 * Each full name before its abbreviation of three letters, so that an index halves to the number.
 */
function nameTable(names: string): readonly Uint8Array[] {
  return names.split(' ').flatMap(name => [lowerBytes(name), lowerBytes(name.slice(0, 3))])
}

function lowerBytes(name: string): Uint8Array {
  return Buffer.from(name.toLowerCase())
}
