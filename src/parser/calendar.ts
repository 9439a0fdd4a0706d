/**
 * Days and dates of the proleptic Gregorian calendar in whole numbers, without Date objects.
 * Source: the algorithms days_from_civil and civil_from_days of Howard Hinnant, public domain.
 *
 * @hot bench/pipelines.ts
 */

export const SECONDS_PER_DAY = 86_400

/** Days of the year before each month, in a common year. */
const DAYS_BEFORE_MONTH = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334, 365]

export function isLeapYear(year: number): boolean {
  return year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0)
}

/** Days of the year before a month (0 to 12, 12 is the next year's January). */
export function daysBeforeMonth(year: number, month: number): number {
  return DAYS_BEFORE_MONTH[month] + (month > 1 && isLeapYear(year) ? 1 : 0)
}

/**
 * Days since 1970-01-01 of a date; `month` is 0 to 11, `day` counts from 1 and may be out of range.
 */
export function daysSinceEpoch(year: number, month: number, day: number): number {
  const before = year - 1
  const leapDays = Math.floor(before / 4) - Math.floor(before / 100) + Math.floor(before / 400)
  return before * 365 + leapDays - 719_162 + daysBeforeMonth(year, month) + day - 1
}

/** The year of a day since 1970-01-01. */
export function yearOfDay(days: number): number {
  const shifted = days + 719_468
  const era = Math.floor(shifted / 146_097)
  const dayOfEra = shifted - era * 146_097
  const yearOfEra = Math.floor(
    (dayOfEra -
      Math.floor(dayOfEra / 1460) +
      Math.floor(dayOfEra / 36_524) -
      Math.floor(dayOfEra / 146_096)) /
      365
  )
  const dayOfYear =
    dayOfEra - (365 * yearOfEra + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100))
  // The algorithm's years start in March.
  return yearOfEra + era * 400 + (dayOfYear >= 306 ? 1 : 0)
}
