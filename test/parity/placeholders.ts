/**
 * Puts placeholders where the output of a run depends on when and where it ran, so that two runs can be compared byte
 * by byte. Only times within the run become `now`: a time that came from a record stays as it is, and so does a wrong
 * one.
 */

/** When a run began and ended; milliseconds since the epoch. */
export interface RunWindow {
  readonly beginMs: number
  readonly endMs: number
}

/** Times may lie a little outside, by rounding. */
const TOLERANCE_MS = 1000

const EPOCH = /(?<![\d.])(\d{10})(\d{9}|\d{3})?(\.\d+)?(?!\d)/g
const CALENDAR = /(?<!\d)(\d{4})-(\d\d)-(\d\d)([T ])(\d\d:\d\d:\d\d)(\.\d+)?/g

/**
 * Text with `<now s>`, `<now ms>`, `<now 19>` (nanoseconds in one number), `<now ns>` (nine digits behind the point) or `<now .>`
 * for epoch times of the run, by their form, `<now T.6>` for
 * calendar times of the run in UTC (with the separator and the digits of the fraction), and `<today>` or `<year>` for
 * the date or year of the run before another time.
 */
export function withPlaceholders(text: string, window: RunWindow): string {
  const today = new Date(window.beginMs).toISOString().slice(0, 10)
  return text
    .replace(EPOCH, (whole: string, seconds: string, more?: string, fraction?: string) => {
      if (!isNow(Number(`${seconds}.${more ?? '0'}`) * 1000, window)) return whole
      if (more !== undefined) return more.length === 3 ? '<now ms>' : '<now 19>'
      if (fraction === undefined) return '<now s>'
      return fraction.length === 10 ? '<now ns>' : '<now .>'
    })
    .replace(CALENDAR, (whole: string, ...groups: (string | undefined)[]) => {
      const [year, month, day, separator, time, fraction] = groups
      const date = `${year}-${month}-${day}`
      if (isNow(Date.parse(`${date}T${time}Z`), window)) {
        return `<now ${separator}${fraction === undefined ? '' : `.${fraction.length - 1}`}>`
      }
      if (date === today) return `<today>${whole.slice(date.length)}`
      return year === today.slice(0, 4) ? `<year>${whole.slice(4)}` : whole
    })
}

function isNow(timeMs: number, { beginMs, endMs }: RunWindow): boolean {
  return timeMs >= beginMs - TOLERANCE_MS && timeMs <= endMs + TOLERANCE_MS
}

const LINE = /^\[[\d/]+ [\d:.]+\] \[ ?(warn|error)\] /
const SHUTDOWN = '[engine] service will shutdown'

/**
 * Warnings and errors of a log in the order of the alphabet, as instances log in an order of chance, without their times,
 * the folder of the run and places in C files.
 */
export function logWithPlaceholders(log: string, directory: string): string {
  return log
    .split('\n')
    .filter(line => LINE.test(line) && !line.includes(SHUTDOWN))
    .map(line =>
      line
        .replace(/^\[[^\]]+\] /, '')
        .replaceAll(directory, '<folder>')
        .replace(/\[[^ \]]*\/src\/(\S+):\d+ errno=/, '[<C file> errno=')
    )
    .toSorted()
    .map(line => `${line}\n`)
    .join('')
}
