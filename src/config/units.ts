/**
 * Values as Fluent Bit reads them from text: booleans, sizes, times, numbers and lists.
 * Source: Fluent Bit 5.1.1 src/flb_utils.c, src/flb_slist.c; reference, section 2.3.
 */

/** A number as C's `atoi` and `atof` read it. */
export interface NumberReading {
  readonly value: number
  /** The text that C passes over in silence, such as `x` in `5x`; empty when all was read. */
  readonly ignored: string
}

const SPACE = ' '
const INTEGER = /^[ \t\n\v\f\r]*([+-]?\d+)/
const DOUBLE =
  /^[ \t\n\v\f\r]*([+-]?(?:0x(?:[0-9a-f]+\.?[0-9a-f]*|\.[0-9a-f]+)(?:p[+-]?\d+)?|(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?|inf(?:inity)?|nan))/i
const SIZE = /^([+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?)([kmg]b?)?$/i
const BINARY_SIZE = /^([+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?)[ \t]*([kmg](?:i?b)?)?$/i
const POWERS: Readonly<Record<string, number>> = { k: 1, m: 2, g: 3 }
const INT32_MAX = 2_147_483_647
const INT32_MIN = -2_147_483_648
const TIME_SECONDS: Readonly<Record<string, number>> = { d: 86_400, h: 3600, m: 60, s: 1 }

/** `true`, `on`, `yes` or `false`, `off`, `no` without regard to case; undefined for all else. */
export function parseBoolean(text: string): boolean | undefined {
  const word = text.toLowerCase()
  if (word === 'true' || word === 'on' || word === 'yes') return true
  if (word === 'false' || word === 'off' || word === 'no') return false
  return undefined
}

/**
 * Bytes: a number with K, KB, M, MB, G or GB in steps of 1000; `false` is 0. Undefined for anything
 * else, also for the few odd texts that Fluent Bit takes for a number (`5x3` as 5, `K` as 0).
 */
export function parseSize(text: string): number | undefined {
  return scaledSize(text, SIZE, 1000)
}

/** Bytes as `multiline_buffer_limit` reads them: also KiB, MiB, GiB, and all steps are 1024. */
export function parseBinarySize(text: string): number | undefined {
  return scaledSize(text, BINARY_SIZE, 1024)
}

function scaledSize(text: string, pattern: RegExp, step: number): number | undefined {
  if (text.toLowerCase() === 'false') return 0
  const match = pattern.exec(text)
  if (match === null || match[1].endsWith('.')) return undefined
  const unit = match[2]?.[0].toLowerCase() ?? ''
  const bytes = Math.trunc(Number(match[1]) * step ** (POWERS[unit] ?? 0))
  return Number.isSafeInteger(bytes) ? bytes : undefined
}

/** Seconds: a whole number with d, h, m or s behind it; anything between the two is ignored. */
export function parseTimeSeconds(text: string): NumberReading {
  const { value, ignored } = parseInteger(text)
  const factor = TIME_SECONDS[ignored.slice(-1).toLowerCase()]
  if (factor === undefined || ignored === text) return { value, ignored }
  return { value: value * factor, ignored: ignored.slice(0, -1).trimEnd() }
}

/**
 * A whole number as `atoi` reads it: 0 when the text does not start with one. A number that does
 * not fit 32 bits becomes the nearest that does, and the whole text counts as ignored.
 */
export function parseInteger(text: string): NumberReading {
  const match = INTEGER.exec(text)
  if (match === null) return { value: 0, ignored: text }
  const value = Number(match[1])
  const ignored = text.slice(match[0].length)
  if (value > INT32_MAX) return { value: INT32_MAX, ignored: text }
  if (value < INT32_MIN) return { value: INT32_MIN, ignored: text }
  return { value: value === 0 ? 0 : value, ignored }
}

/** A number with a fraction as `atof` reads it: 0 when the text does not start with one. */
export function parseDouble(text: string): NumberReading {
  const match = DOUBLE.exec(text)
  if (match === null) return { value: 0, ignored: text }
  return { value: doubleOf(match[1].toLowerCase()), ignored: text.slice(match[0].length) }
}

function doubleOf(word: string): number {
  const sign = word.startsWith('-') ? -1 : 1
  const digits = word.replace(/^[+-]/, '')
  if (digits.startsWith('inf')) return sign * Infinity
  if (digits.startsWith('0x')) return sign * hexadecimalOf(digits.slice(2))
  return sign * Number(digits)
}

/** `1.8p3` is 12: hexadecimal digits, scaled by a power of 2 written in decimal. */
function hexadecimalOf(text: string): number {
  const [digits, exponent = '0'] = text.split('p')
  const [whole, fraction = ''] = digits.split('.')
  const value = Number(`0x0${whole}`) + Number(`0x0${fraction}`) / 16 ** fraction.length
  return value * 2 ** Number(exponent)
}

/**
 * Words separated by spaces. A word in double quotes may hold spaces, and `\"` for a quote; a quote
 * that is never closed takes the rest. After `splitMax` words the rest of the text, quotes and all,
 * is one more word.
 */
export function splitSpaceList(text: string, splitMax?: number): string[] {
  const words: string[] = []
  let position = 0
  while (true) {
    position = skipSpaces(text, position)
    if (position === text.length) return words
    if (splitMax !== undefined && words.length >= splitMax) {
      words.push(text.slice(position))
      return words
    }
    const quoted = text[position] === '"'
    const start = quoted ? position + 1 : position
    const end = quoted ? closingQuote(text, start) : nextSpace(text, start)
    const word = text.slice(start, end)
    if (word !== '' || end < text.length) {
      words.push(quoted && end < text.length ? word.replaceAll('\\"', '"') : word)
    }
    position = Math.min(end + 1, text.length)
  }
}

function skipSpaces(text: string, start: number): number {
  let position = start
  while (position < text.length && text[position] === SPACE) position++
  return position
}

function nextSpace(text: string, start: number): number {
  const end = text.indexOf(SPACE, start)
  return end === -1 ? text.length : end
}

function closingQuote(text: string, start: number): number {
  let end = text.indexOf('"', start)
  while (end > 0 && text[end - 1] === '\\') end = text.indexOf('"', end + 1)
  return end === -1 ? text.length : end
}

/** Words separated by commas; spaces round a word and empty words fall away. */
export function splitCommaList(text: string): string[] {
  return text
    .split(',')
    .map(trimSpaces)
    .filter(word => word !== '')
}

function trimSpaces(text: string): string {
  return text.replace(/^ +| +$/g, '')
}
