/**
 * Fluent Bit's dialect of strptime formats as a list of steps.
 * Source: Fluent Bit 5.1.1 src/flb_strptime.c, src/flb_parser.c flb_parser_create_with_time_zone();
 * reference, section 6.2.
 */

/** One step: what to read, and the character of a literal. */
export interface TimeStep {
  readonly kind: TimeStepKind
  /** The character code of a `literal`, 0 for all others. */
  readonly code: number
}

/** Steps are numbers, so that reading a time is one switch over small integers. */
export const TIME_STEP = {
  /** Any white space, also none. */
  space: 0,
  literal: 1,
  weekdayName: 2,
  monthName: 3,
  century: 4,
  /** White space is passed over before the digits. */
  paddedDay: 5,
  day: 6,
  hour: 7,
  hour12: 8,
  dayOfYear: 9,
  minute: 10,
  month: 11,
  halfDay: 12,
  second: 13,
  epoch: 14,
  weekNumber: 15,
  weekday0: 16,
  weekday1: 17,
  isoYear2: 18,
  isoYear: 19,
  isoWeek: 20,
  year: 21,
  year2: 22,
  zoneName: 23,
  zoneOffset: 24,
  /**
   * What a composed directive such as `%D` ends with: two-digit years and days of the year take
   * effect.
   */
  settle: 25,
  /** The current year, for formats without one. */
  currentYear: 26,
  /** A directive that Fluent Bit does not have: nothing matches it. */
  unsupported: 27
} as const

export type TimeStepKind = (typeof TIME_STEP)[keyof typeof TIME_STEP]

export interface TimeFormat {
  /** Steps before `%L`, or all of them. */
  readonly steps: readonly TimeStep[]
  /** Steps after `%L`; undefined when the format has none. */
  readonly afterFraction: readonly TimeStep[] | undefined
  /** True when the year is in the text. */
  readonly hasYear: boolean
  /**
   * True when the text says its distance from UTC, so that configured zones and offsets do not
   * apply.
   */
  readonly hasZone: boolean
  /** Directives that match nothing, such as `%f`. */
  readonly unsupported: readonly string[]
}

const COMPOSED: Readonly<Record<string, string>> = {
  c: '%a %b %e %H:%M:%S %Y',
  D: '%m/%d/%y',
  F: '%Y-%m-%d',
  R: '%H:%M',
  r: '%I:%M:%S %p',
  T: '%H:%M:%S',
  X: '%H:%M:%S',
  x: '%m/%d/%y'
}

const ELEMENTARY: Readonly<Record<string, TimeStepKind>> = {
  n: TIME_STEP.space,
  t: TIME_STEP.space,
  a: TIME_STEP.weekdayName,
  A: TIME_STEP.weekdayName,
  b: TIME_STEP.monthName,
  B: TIME_STEP.monthName,
  h: TIME_STEP.monthName,
  C: TIME_STEP.century,
  e: TIME_STEP.paddedDay,
  d: TIME_STEP.day,
  k: TIME_STEP.hour,
  H: TIME_STEP.hour,
  l: TIME_STEP.hour12,
  I: TIME_STEP.hour12,
  j: TIME_STEP.dayOfYear,
  M: TIME_STEP.minute,
  m: TIME_STEP.month,
  p: TIME_STEP.halfDay,
  S: TIME_STEP.second,
  s: TIME_STEP.epoch,
  U: TIME_STEP.weekNumber,
  W: TIME_STEP.weekNumber,
  w: TIME_STEP.weekday0,
  u: TIME_STEP.weekday1,
  g: TIME_STEP.isoYear2,
  G: TIME_STEP.isoYear,
  V: TIME_STEP.isoWeek,
  Y: TIME_STEP.year,
  y: TIME_STEP.year2,
  Z: TIME_STEP.zoneName,
  z: TIME_STEP.zoneOffset
}

/** Directives that may stand behind `%E` and `%O`. */
const ALTERNATIVES: Readonly<Record<string, string>> = {
  E: 'cXxCYyGgVzZs',
  O: 'deHIMmSUWwuyGgVzZs'
}

const WHITE_SPACE = /[ \t\n\v\f\r]/

export function readTimeFormat(format: string): TimeFormat {
  const hasYear = /%[Yys]/.test(format)
  const unsupported: string[] = []
  const fraction = format.indexOf('%L')
  const steps: TimeStep[] = []
  if (!hasYear)
    steps.push({ kind: TIME_STEP.currentYear, code: 0 }, { kind: TIME_STEP.space, code: 0 })
  addSteps(fraction < 0 ? format : format.slice(0, fraction), steps, unsupported)
  let afterFraction: TimeStep[] | undefined
  if (fraction >= 0) {
    afterFraction = []
    addSteps(format.slice(fraction + 2), afterFraction, unsupported)
  }
  const hasZone = /%z|%Z|%SZ|%S\.%LZ/.test(format)
  return { steps, afterFraction, hasYear, hasZone, unsupported }
}

function addSteps(format: string, steps: TimeStep[], unsupported: string[]): void {
  for (const [token, modifier, letter] of format.matchAll(/%([EO]?)([^])|%|[^]/g)) {
    if (letter !== undefined) addDirective(modifier, letter, steps, unsupported)
    else if (WHITE_SPACE.test(token)) steps.push({ kind: TIME_STEP.space, code: 0 })
    else if (token === '%') addUnsupported(token, steps, unsupported)
    else for (const byte of Buffer.from(token)) steps.push({ kind: TIME_STEP.literal, code: byte })
  }
}

function addDirective(
  modifier: string,
  letter: string,
  steps: TimeStep[],
  unsupported: string[]
): void {
  const composed = COMPOSED[letter]
  const kind = ELEMENTARY[letter]
  if (modifier !== '' && !ALTERNATIVES[modifier].includes(letter)) {
    addUnsupported(`%${modifier}${letter}`, steps, unsupported)
  } else if (letter === '%') {
    steps.push({ kind: TIME_STEP.literal, code: 0x25 })
  } else if (composed !== undefined) {
    addSteps(composed, steps, unsupported)
    steps.push({ kind: TIME_STEP.settle, code: 0 })
  } else if (kind !== undefined) {
    steps.push({ kind, code: 0 })
  } else {
    addUnsupported(`%${letter}`, steps, unsupported)
  }
}

function addUnsupported(directive: string, steps: TimeStep[], unsupported: string[]): void {
  steps.push({ kind: TIME_STEP.unsupported, code: 0 })
  unsupported.push(directive)
}
