/**
 * C's `strftime` for times in UTC, in the C locale, with the conversions, flags and widths of glibc.
 * Source: the POSIX and glibc descriptions of strftime; Fluent Bit calls it on the result of gmtime_r().
 * Differs: `%s` is the time itself, while C takes the parts for local time; flags and widths of `%z` do not count its
 * sign as glibc does.
 */

const DAYS = ['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday']
const MONTHS = [
  'January',
  'February',
  'March',
  'April',
  'May',
  'June',
  'July',
  'August',
  'September',
  'October',
  'November',
  'December'
]

/** Conversions that stand for several others. */
const COMPOSED: Readonly<Record<string, string>> = {
  c: '%a %b %e %H:%M:%S %Y',
  D: '%m/%d/%y',
  F: '%Y-%m-%d',
  h: '%b',
  r: '%I:%M:%S %p',
  R: '%H:%M',
  T: '%H:%M:%S',
  x: '%m/%d/%y',
  X: '%H:%M:%S'
}

/** `%`, flags, width, modifier, conversion. */
const CONVERSION = /%([_\-0^#]*)(\d*)[EO]?([a-zA-Z%])/g

/** Conversions whose letters change with `#`: to upper case, or to lower case where they are upper case already. */
const SWAPPED = 'aAbBhpZ'

/** A piece of the result before flags and width: text, or a number with its usual width and padding. */
type Piece = string | { readonly value: number; readonly width: number; readonly pad: '0' | ' ' }

/**
 * Formats a time.
 *
 * @param format Conversions such as `%Y-%m-%d`; unknown ones are copied as they are.
 * @param seconds Since the epoch.
 */
export function strftime(format: string, seconds: number): string {
  const time = new Date(seconds * 1000)
  return format.replace(CONVERSION, (written, flags: string, width: string, letter: string) => {
    const composed = COMPOSED[letter]
    const piece = composed === undefined ? pieceOf(letter, time) : strftime(composed, seconds)
    return piece === undefined ? written : padded(piece, letter, flags, width)
  })
}

function padded(piece: Piece, letter: string, flags: string, width: string): string {
  const isText = typeof piece === 'string'
  const text = isText ? withCase(piece, letter, flags) : String(piece.value)
  const padding = flags.match(/[_\-0](?=[^_\-0]*$)/)?.[0]
  let pad = isText ? ' ' : piece.pad
  if (padding === '0') pad = '0'
  else if (padding !== undefined) pad = ' '
  const usual = isText || padding === '-' ? 0 : piece.width
  return text.padStart(width === '' ? usual : Number(width), pad)
}

function withCase(text: string, letter: string, flags: string): string {
  if (flags.includes('^')) return letter === 'P' ? text : text.toUpperCase()
  if (!flags.includes('#') || !SWAPPED.includes(letter)) return text
  return text === text.toUpperCase() ? text.toLowerCase() : text.toUpperCase()
}

function digits(value: number, width: number, pad: '0' | ' ' = '0'): Piece {
  return { value, width, pad }
}

function pieceOf(letter: string, time: Date): Piece | undefined {
  const year = time.getUTCFullYear()
  const hour = time.getUTCHours()
  const weekday = time.getUTCDay()
  switch (letter) {
    case '%':
      return '%'
    case 'n':
      return '\n'
    case 't':
      return '\t'
    case 'a':
      return DAYS[weekday].slice(0, 3)
    case 'A':
      return DAYS[weekday]
    case 'b':
      return MONTHS[time.getUTCMonth()].slice(0, 3)
    case 'B':
      return MONTHS[time.getUTCMonth()]
    case 'p':
      return hour < 12 ? 'AM' : 'PM'
    case 'P':
      return hour < 12 ? 'am' : 'pm'
    case 'Z':
      return 'GMT'
    case 'z':
      return '+0000'
    case 'C':
      return digits(Math.floor(year / 100), 2)
    case 'y':
      return digits(year % 100, 2)
    case 'Y':
      return digits(year, 0)
    case 'm':
      return digits(time.getUTCMonth() + 1, 2)
    case 'd':
      return digits(time.getUTCDate(), 2)
    case 'e':
      return digits(time.getUTCDate(), 2, ' ')
    case 'H':
      return digits(hour, 2)
    case 'I':
      return digits(hour % 12 || 12, 2)
    case 'k':
      return digits(hour, 2, ' ')
    case 'l':
      return digits(hour % 12 || 12, 2, ' ')
    case 'M':
      return digits(time.getUTCMinutes(), 2)
    case 'S':
      return digits(time.getUTCSeconds(), 2)
    case 's':
      return digits(Math.floor(time.getTime() / 1000), 0)
    case 'u':
      return digits(weekday || 7, 1)
    case 'w':
      return digits(weekday, 1)
    case 'j':
      return digits(dayOfYear(time) + 1, 3)
    case 'U':
      return digits(Math.floor((dayOfYear(time) + 7 - weekday) / 7), 2)
    case 'W':
      return digits(Math.floor((dayOfYear(time) + 7 - ((weekday + 6) % 7)) / 7), 2)
    case 'V':
      return digits(isoWeek(time).week, 2)
    case 'G':
      return digits(isoWeek(time).year, 0)
    case 'g':
      return digits(isoWeek(time).year % 100, 2)
    default:
      return undefined
  }
}

const DAY_MS = 86_400_000

/** Days since the first of January, 0 to 365. */
function dayOfYear(time: Date): number {
  return Math.floor((time.getTime() - Date.UTC(time.getUTCFullYear(), 0, 1)) / DAY_MS)
}

/** The ISO 8601 week: the one that holds the Thursday, and the year of that Thursday. */
function isoWeek(time: Date): { readonly week: number; readonly year: number } {
  const thursday = new Date(time.getTime() + (3 - ((time.getUTCDay() + 6) % 7)) * DAY_MS)
  return { week: Math.floor(dayOfYear(thursday) / 7) + 1, year: thursday.getUTCFullYear() }
}
