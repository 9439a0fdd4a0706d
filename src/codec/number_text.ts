/**
 * Numbers as C's printf writes them: Fluent Bit's JSON and text outputs use `%.16g`, `%.1f` and `%f`.
 * Source: Fluent Bit 5.1.1 src/flb_pack.c msgpack2json(), lib/msgpack-c/src/objectc.c.
 *
 * @hot bench/pipelines.ts
 */

/** Enough digits to tell a tie from its neighbours; the most that JavaScript gives. */
const EXACT_DIGITS = 100

/** Digits that `%.16g` keeps. */
const PRECISION = 16

/** Longest text of an integer: 20 digits of 2^64-1, or a sign and 19 digits. */
export const INTEGER_TEXT_BYTES = 20

/**
 * Writes a whole number as decimal digits at `at`, which must have room for `INTEGER_TEXT_BYTES`.
 *
 * @param value |value| <= 2^53.
 * @returns The position after the last digit.
 */
export function writeInteger(bytes: Buffer, at: number, value: number): number {
  if (value >= 0) return writeUnsigned(bytes, at, value)
  bytes[at] = 0x2d
  return writeUnsigned(bytes, at + 1, -value)
}

/** Writes `value` with leading zeros in exactly `width` bytes at `at`; returns the position after them. */
export function writePadded(bytes: Buffer, at: number, value: number, width: number): number {
  let rest = value
  for (let index = at + width - 1; index >= at; index--) {
    const next = Math.floor(rest / 10)
    bytes[index] = 0x30 + (rest - next * 10)
    rest = next
  }
  return at + width
}

function writeUnsigned(bytes: Buffer, at: number, value: number): number {
  if (value < 10) {
    bytes[at] = 0x30 + value
    return at + 1
  }
  if (value > 0x7fffffff) return writeLarge(bytes, at, value)
  // The integer path: `| 0` keeps the compiler from using doubles.
  const end = at + digitCount(value | 0)
  let rest = value | 0
  for (let index = end - 1; index >= at; index--) {
    const next = (rest / 10) | 0
    bytes[index] = 0x30 + (rest - next * 10)
    rest = next
  }
  return end
}

/** Splits a number beyond 31 bits so that each half is written in integer arithmetic. */
function writeLarge(bytes: Buffer, at: number, value: number): number {
  const upper = Math.floor(value / 1e9)
  const next = writeUnsigned(bytes, at, upper)
  return writePadded(bytes, next, value - upper * 1e9, 9)
}

function digitCount(value: number): number {
  if (value < 1e5) {
    if (value < 100) return 2
    if (value < 1e3) return 3
    return value < 1e4 ? 4 : 5
  }
  if (value < 1e7) return value < 1e6 ? 6 : 7
  if (value < 1e8) return 8
  return value < 1e9 ? 9 : 10
}

/** Room for the text of `writeG16`: a sign, `0.000`, 16 digits, a point. */
export const G16_TEXT_BYTES = 24

/** 10^0 to 10^22, the powers of ten that a double holds exactly. */
export const POWERS_OF_TEN = Float64Array.from({ length: 23 }, (_, exponent) =>
  Number(`1e${exponent}`)
)
/** The upper half of the bits of each, for exact products. */
const POWERS_UPPER = POWERS_OF_TEN.map(upperHalf)

/**
 * Writes `%.16g` at `at`, which must have room for `G16_TEXT_BYTES`.
 *
 * @param value Any double.
 * @returns The position after the text.
 */
export function writeG16(bytes: Buffer, at: number, value: number): number {
  const size = Math.abs(value)
  if (!(size >= 1e-4 && size < 1e15)) return at + bytes.latin1Write(formatG16(value), at)
  if (value < 0) bytes[at++] = 0x2d
  if (size >= 1073741824 && size < 1e10) return writeEpoch(bytes, at, size)
  let exponent = size < 1 ? -1 : 0
  if (exponent < 0) while (size * POWERS_OF_TEN[-exponent] < 1) exponent--
  else while (size >= POWERS_OF_TEN[exponent + 1]) exponent++
  return writeScaled(bytes, at, size, exponent)
}

/** Writes a time in seconds, 2^30 to 10^10: ten digits and six, which one division gives. */
function writeEpoch(bytes: Buffer, at: number, seconds: number): number {
  let whole = Math.floor(seconds)
  // A fraction of such a number is a multiple of 2^-22, so everything here is exact.
  const scaled = (seconds - whole) * 4194304 * 15625
  let micros = Math.floor(scaled / 65536)
  const rest = scaled - micros * 65536
  if (rest > 32768 || (rest === 32768 && micros % 2 === 1)) micros++
  if (micros === 1e6) {
    micros = 0
    whole++
  }
  const point = writeUnsigned(bytes, at, whole)
  if (micros === 0) return point
  bytes[point] = 0x2e
  return trimmed(bytes, writePadded(bytes, point + 1, micros, 6), point + 1)
}

/** Writes 16 digits of `size`, which is in [10^exponent, 10^(exponent + 1)); exponent is -4 to 14. */
function writeScaled(bytes: Buffer, at: number, size: number, exponent: number): number {
  const power = PRECISION - 1 - exponent
  const product = size * POWERS_OF_TEN[power]
  // What the multiplication rounded away, exactly (T. J. Dekker, 1971).
  const upper = upperHalf(size)
  const lower = size - upper
  const powerUpper = POWERS_UPPER[power]
  const powerLower = POWERS_OF_TEN[power] - powerUpper
  const lost =
    upper * powerUpper - product + upper * powerLower + lower * powerUpper + lower * powerLower
  const whole = Math.floor(product)
  let high = Math.floor(whole / 1e8)
  let low = whole - high * 1e8 + rounding(whole, product - whole, lost)
  if (low >= 1e8) {
    low -= 1e8
    high++
  } else if (low < 0) {
    low += 1e8
    high--
  }
  // It cannot reach the next power of ten: the last double below one is 1.1e-16 of it away, half a digit is 0.5e-16.
  return writeScaledDigits(bytes, at, high, low, exponent)
}

/** What to add to `whole` so that it is the integer next to whole + rest + lost; to the even one on a tie. */
function rounding(whole: number, rest: number, lost: number): number {
  if (rest > 0.5) return 1
  if (rest === 0.5) return lost > 0 || (lost === 0 && whole % 2 === 1) ? 1 : 0
  // Beyond 2^53 doubles are two apart, and what was lost may be up to 1.
  if (lost > 0.5) return 1
  return lost < -0.5 ? -1 : 0
}

/** The upper 26 bits of a double's fraction. */
function upperHalf(value: number): number {
  const shifted = value * 134217729
  return shifted - (shifted - value)
}

/** Writes eight and eight digits with the point where `exponent` puts it, without trailing zeros. */
function writeScaledDigits(
  bytes: Buffer,
  at: number,
  high: number,
  low: number,
  exponent: number
): number {
  if (exponent < 0) {
    bytes[at++] = 0x30
    bytes[at++] = 0x2e
    for (let zeros = -exponent - 1; zeros > 0; zeros--) bytes[at++] = 0x30
    writePadded(bytes, at, high, 8)
    return trimmed(bytes, writePadded(bytes, at + 8, low, 8), at)
  }
  writePadded(bytes, at, high, 8)
  writePadded(bytes, at + 8, low, 8)
  const point = at + exponent + 1
  bytes.copyWithin(point + 1, point, at + PRECISION)
  bytes[point] = 0x2e
  const end = trimmed(bytes, at + PRECISION + 1, point + 1)
  return end === point + 1 ? point : end
}

/** The position after the last byte that is not the digit 0, at least `start`. */
function trimmed(bytes: Buffer, end: number, start: number): number {
  while (end > start && bytes[end - 1] === 0x30) end--
  return end
}

/** `%.16g`: 16 significant digits without trailing zeros; `nan`, `inf` and `-inf` as glibc writes them. */
export function formatG16(value: number): string {
  return formatG(value, PRECISION)
}

/**
 * `%.<precision>g`: significant digits without trailing zeros; `nan`, `inf` and `-inf` as glibc writes them.
 *
 * @param precision 1 to 17.
 */
export function formatG(value: number, precision: number): string {
  if (!Number.isFinite(value)) return notFinite(value)
  if (value === 0) return Object.is(value, -0) ? '-0' : '0'
  const text = roundedToEven(value, precision)
  const mark = text.indexOf('e')
  const exponent = Number(text.slice(mark + 1))
  const negative = value < 0
  const digits = withoutTrailingZeros(text.slice(negative ? 1 : 0, mark).replace('.', ''))
  return (negative ? '-' : '') + placed(digits, exponent, precision)
}

/** `%.17g`, which tells all doubles apart. */
export function formatG17(value: number): string {
  // JavaScript writes whole numbers of up to 17 digits the same way, faster.
  return Number.isSafeInteger(value) && value !== 0 ? `${value}` : formatG(value, 17)
}

/**
 * `%.<digits>f`: a fixed number of digits after the point.
 *
 * @param digits 0 to 20.
 */
export function formatF(value: number, digits: number): string {
  if (!Number.isFinite(value)) return notFinite(value)
  if (Math.abs(value) >= 1e21) {
    const whole = BigInt(value).toString()
    return digits === 0 ? whole : `${whole}.${'0'.repeat(digits)}`
  }
  if (Object.is(value, -0)) return `-${(0).toFixed(digits)}`
  const text = value.toFixed(digits)
  const last = text.length - 1
  // JavaScript rounds a tie away from zero, C to the even digit.
  if ((text.charCodeAt(last) & 1) === 0 || !isTie(value, digits)) return text
  return text.slice(0, last) + String.fromCharCode(text.charCodeAt(last) - 1)
}

function notFinite(value: number): string {
  if (Number.isNaN(value)) return 'nan'
  return value > 0 ? 'inf' : '-inf'
}

/** `d.ddde±x`. JavaScript rounds a tie up, C to the even digit. */
function roundedToEven(value: number, precision: number): string {
  const text = value.toExponential(precision - 1)
  const mark = text.indexOf('e')
  if ((text.charCodeAt(mark - 1) & 1) === 0) return text
  // A tie ends in a 5 that only the last binary digit gives: m / 2^p, m odd, with p = precision - exponent.
  const exponent = Number(text.slice(mark + 1))
  if (exponent < precision && !Number.isInteger(value * 2 ** (precision - exponent))) return text
  // Only an exact tie has one more digit, a 5, and nothing after it.
  const exact = value.toExponential(EXACT_DIGITS)
  if (exact[exact.indexOf('.') + precision] !== '5') return text
  const tail = exact.slice(exact.indexOf('.') + precision + 1, exact.indexOf('e'))
  if (!/^0*$/.test(tail)) return text
  const even = String.fromCharCode(text.charCodeAt(mark - 1) - 1)
  return text.slice(0, mark - 1) + even + text.slice(mark)
}

function withoutTrailingZeros(digits: string): string {
  let end = digits.length
  while (end > 1 && digits.charCodeAt(end - 1) === 0x30) end--
  return digits.slice(0, end)
}

/** Puts the point, or the exponent of two or more digits, where `%g` has it. */
function placed(digits: string, exponent: number, precision: number): string {
  if (exponent < -4 || exponent >= precision) {
    const sign = exponent < 0 ? '-' : '+'
    const size = String(Math.abs(exponent)).padStart(2, '0')
    const mantissa = digits.length > 1 ? `${digits[0]}.${digits.slice(1)}` : digits
    return `${mantissa}e${sign}${size}`
  }
  if (exponent < 0) return `0.${'0'.repeat(-exponent - 1)}${digits}`
  if (digits.length <= exponent + 1) return digits.padEnd(exponent + 1, '0')
  return `${digits.slice(0, exponent + 1)}.${digits.slice(exponent + 1)}`
}

/** True when the digits after `digits` decimals are exactly a 5. */
function isTie(value: number, digits: number): boolean {
  const exact = value.toFixed(EXACT_DIGITS)
  return /^50*$/.test(exact.slice(exact.indexOf('.') + 1 + digits))
}
