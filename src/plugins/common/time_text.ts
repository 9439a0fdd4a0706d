/**
 * Event times as C's `%f` prints them: seconds with six digits after the point.
 * Source: Fluent Bit 5.1.1 plugins/out_file/file.c and out_plot/plot.c, `fprintf("%f", flb_time_to_double())`.
 *
 * @hot bench/pipelines.ts
 */
import type { JsonWriter } from '../../codec/json_writer.ts'
import { formatF, writeInteger, writePadded } from '../../codec/number_text.ts'

/** Bytes of the longest text: ten digits, a point, six digits. */
const TEXT_BYTES = 24

/** From here on a double keeps so few bits for the fraction that `fraction * 1e6` is exact. */
const EXACT_SECONDS_MIN = 2 ** 14

/**
 * Writes the time as `%f` of a double. The double is what C rounds, so the digits may be one off those of the
 * nanoseconds.
 */
export function writeDecimalSeconds(out: JsonWriter, seconds: number, nanoseconds: number): void {
  const time = seconds + nanoseconds / 1e9
  if (time < EXACT_SECONDS_MIN) {
    out.ascii(formatF(time, 6))
    return
  }
  let whole = Math.floor(time)
  let micros = roundedToEven((time - whole) * 1e6)
  if (micros === 1e6) {
    whole++
    micros = 0
  }
  out.reserve(TEXT_BYTES)
  const at = writeInteger(out.bytes, out.length, whole)
  out.bytes[at] = 0x2e
  out.length = writePadded(out.bytes, at + 1, micros, 6)
}

function roundedToEven(value: number): number {
  const below = Math.floor(value)
  const rest = value - below
  if (rest < 0.5 || (rest === 0.5 && below % 2 === 0)) return below
  return below + 1
}
