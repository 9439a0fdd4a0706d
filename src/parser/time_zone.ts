/**
 * Offsets from UTC: fixed ones as `time_offset` writes them, and those of IANA zones.
 * Source: Fluent Bit 5.1.1 src/flb_parser.c flb_parser_tzone_offset(), tzif_tm2time(),
 * tzif_time2tm(); src/flb_strptime.c flb_known_timezones.
 * Differs: zones come from ICU, so they hold beyond the last transition of a zone file and need no
 * file.
 */

const NANOSECONDS = 1_000_000_000n

/** Seconds since the epoch that ICU knows; the offsets at both ends hold for ever. */
const SECONDS_MAX = 8_640_000_000_000

/** Reads `+hhmm`, `-hh:mm` or `Z` as seconds east of UTC; undefined when it is none of them. */
export function parseTimeOffset(text: string): number | undefined {
  if (text.startsWith('Z')) return 0
  const match = /^([+-])(\d\d)(?::(\d\d)$|(\d\d))/.exec(text)
  if (match === null) return undefined
  const hours = Number(match[2])
  const minutes = Number(match[3] ?? match[4])
  if (hours > 59 || minutes > 59) return undefined
  return (match[1] === '-' ? -1 : 1) * (hours * 3600 + minutes * 60)
}

/**
 * A period of a zone with one offset: from (inclusive) and until (exclusive) in seconds since the
 * epoch.
 */
interface Period {
  readonly from: number
  readonly until: number
  readonly offset: number
}

/** The offsets of one IANA zone; each period is asked for once. */
export class ZoneOffsets {
  readonly #zone: string
  readonly #periods: Period[] = []
  #last: Period

  private constructor(zone: string) {
    this.#zone = zone
    this.#last = this.#find(0)
  }

  /** Undefined when no zone has this name. */
  static of(zone: string): ZoneOffsets | undefined {
    if (!/^[A-Za-z]/.test(zone)) return undefined
    try {
      return new ZoneOffsets(zone)
    } catch {
      return undefined
    }
  }

  /** Seconds east of UTC at a time in seconds since the epoch. */
  offsetAt(seconds: number): number {
    if (seconds < this.#last.from || seconds >= this.#last.until) {
      this.#last =
        this.#periods.find(({ from, until }) => seconds >= from && seconds < until) ??
        this.#find(seconds)
    }
    return this.#last.offset
  }

  /**
   * Seconds since the epoch of a wall clock reading given as if it were UTC. A reading that occurs
   * twice means the first; one that is skipped takes the offset in force at that hour of UTC, as
   * Fluent Bit does.
   */
  toEpoch(wallSeconds: number): number {
    const early = this.offsetAt(wallSeconds - 86_400)
    const late = this.offsetAt(wallSeconds + 86_400)
    const first = wallSeconds - Math.max(early, late)
    if (wallSeconds - this.offsetAt(first) === first) return first
    const second = wallSeconds - Math.min(early, late)
    if (wallSeconds - this.offsetAt(second) === second) return second
    return wallSeconds - this.offsetAt(wallSeconds)
  }

  #find(seconds: number): Period {
    const held = Math.max(-SECONDS_MAX, Math.min(SECONDS_MAX, seconds))
    const at = Temporal.Instant.fromEpochMilliseconds(held * 1000).toZonedDateTimeISO(this.#zone)
    const next = at.getTimeZoneTransition('next')
    // A transition at the very second belongs to the period that it starts.
    const after = held === SECONDS_MAX ? at : at.add({ nanoseconds: 1 })
    const previous = after.getTimeZoneTransition('previous')
    const period = {
      from: previous === null ? -Infinity : Number(previous.epochNanoseconds / NANOSECONDS),
      until: next === null ? Infinity : Number(next.epochNanoseconds / NANOSECONDS),
      offset: at.offsetNanoseconds / 1e9
    }
    this.#periods.push(period)
    return period
  }
}

/**
 * Abbreviations that `%Z` knows, with their seconds east of UTC; compared without regard to case.
 */
export const ZONE_ABBREVIATIONS: readonly (readonly [name: string, offsetSeconds: number])[] = (
  [
    ['GMT', 0],
    ['UTC', 0],
    ['Z', 0],
    ['UT', 0],
    ['EST', -5],
    ['EDT', -4],
    ['CST', -6],
    ['CDT', -5],
    ['MST', -7],
    ['MDT', -6],
    ['PST', -8],
    ['PDT', -7],
    ['AKST', -9],
    ['AKDT', -8],
    ['HST', -10],
    ['HADT', -9],
    ['AST', -4],
    ['ADT', -3],
    ['NST', -3.5],
    ['NDT', -2.5],
    ['WET', 0],
    ['WEST', 1],
    ['CET', 1],
    ['CEST', 2],
    ['EET', 2],
    ['EEST', 3],
    ['MSK', 3],
    ['ART', -3],
    ['BRT', -3],
    ['BRST', -2],
    ['CLT', -4],
    ['CLST', -3],
    ['AEST', 10],
    ['AEDT', 11],
    ['ACST', 9.5],
    ['ACDT', 10.5],
    ['AWST', 8],
    ['NZST', 12],
    ['NZDT', 13],
    ['JST', 9],
    ['KST', 9],
    ['SGT', 8],
    ['IST', 5.5],
    ['GST', 4],
    ['ICT', 7],
    ['WIB', 7],
    ['WITA', 8],
    ['WIT', 9],
    ['MYT', 8],
    ['BDT', 6],
    ['NPT', 5.75],
    ['WAT', 1],
    ['CAT', 2],
    ['EAT', 3],
    ['SAST', 2],
    ['A', 1],
    ['B', 2],
    ['C', 3],
    ['D', 4],
    ['E', 5],
    ['F', 6],
    ['G', 7],
    ['H', 8],
    ['I', 9],
    ['K', 10],
    ['L', 11],
    ['M', 12],
    ['N', -1],
    ['O', -2],
    ['P', -3],
    ['Q', -4],
    ['R', -5],
    ['S', -6],
    ['T', -7],
    ['U', -8],
    ['V', -9],
    ['W', -10],
    ['X', -11],
    ['Y', -12]
  ] as const
).map(([name, hours]) => [name, hours * 3600] as const)
