/**
 * flowcounter: prints how many records and bytes came in each second, minute, hour or day.
 * Source: Fluent Bit 5.1.1 plugins/out_flowcounter/out_flowcounter.c.
 * Differs: records that are too old are reported once a chunk, not one by one; a record whose time is far ahead prints
 * at most `EMPTY_PERIODS_MAX` lines for the time between, Fluent Bit one for each period, however many. What has not
 * been printed at the stop is lost, as there.
 */
import { skip } from '../../codec/msgpack_reader.ts'
import { flag, text } from '../../config/options.ts'
import type { ChunkView } from '../../plugin/context.ts'
import { defineOutput } from '../../plugin/define.ts'
import type { Delivery } from '../../plugin/delivery.ts'
import { eventBodyAt, eventSeconds, isGroupMark } from '../../record/event.ts'
import { Printer } from '../common/printer.ts'

/** Lines that one record may bring about. */
const EMPTY_PERIODS_MAX = 10_000

/** Seconds of each unit. */
const UNITS = { second: 1, minute: 60, hour: 3600, day: 86_400 } as const
type Unit = keyof typeof UNITS

export const flowcounter = defineOutput({
  name: 'flowcounter',
  summary: 'Prints records and bytes per unit of time',
  upstream: 'plugins/out_flowcounter/out_flowcounter.c',
  options: {
    unit: text({ doc: 'second, minute, hour or day; minute unless set' }),
    event_based: flag({
      default: 'false',
      doc: 'Count by the time of the records, not by the clock'
    })
  },
  create(values, context) {
    const { clock, log } = context
    const printer = new Printer(context)
    const unit = unitOf(values.unit)
    const slots = Math.floor(context.flushSeconds / UNITS[unit]) + 1
    let periods: Periods
    return {
      start() {
        log.debug(`unit is "${unit}"`)
        log.debug(`buffer size=${slots}`)
        periods = new Periods(unit, slots, wholeSeconds(clock.now()))
      },
      flush({ bytes }: ChunkView): Delivery {
        const now = wholeSeconds(clock.now())
        const lines: string[] = []
        let counted = 0
        let isReported = false
        for (let at = 0; at < bytes.length;) {
          const next = skip(bytes, eventBodyAt(bytes, at))
          if (!isGroupMark(bytes, at)) {
            const seconds = values.event_based ? eventSeconds(bytes, at) : now
            const isCounted = periods.count(seconds, next - counted, lines)
            if (!isCounted && !isReported) log.warn('out of range. Skip the record')
            isReported ||= !isCounted
            counted = next
          }
          at = next
        }
        return printer.print(Buffer.from(lines.join('')))
      }
    }
  }
})

function unitOf(written: string | undefined): Unit {
  const word = written?.toLowerCase()
  return word === 'second' || word === 'hour' || word === 'day' ? word : 'minute'
}

function wholeSeconds(nowMs: number): number {
  return Math.floor(nowMs / 1000)
}

interface Period {
  /** The last second that counts here. */
  until: number
  records: number
  bytes: number
}

/** A ring of periods; the oldest is printed when a record is younger than all of them. */
class Periods {
  readonly #unit: Unit
  readonly #seconds: number
  readonly #ring: Period[]
  #oldest = 0

  constructor(unit: Unit, size: number, startSeconds: number) {
    this.#unit = unit
    this.#seconds = UNITS[unit]
    this.#ring = Array.from({ length: size }, (_, index) => ({
      until: startSeconds + this.#seconds * index,
      records: 0,
      bytes: 0
    }))
  }

  /** Counts a record; `lines` takes what is to be printed. False when the record is too old. */
  count(seconds: number, bytes: number, lines: string[]): boolean {
    if (seconds < this.#ring[this.#oldest].until - this.#seconds) return false
    let period = this.#find(seconds)
    for (let printed = 0; period === undefined; printed++) {
      if (printed === EMPTY_PERIODS_MAX) this.#jump(seconds)
      lines.push(this.#close())
      period = this.#find(seconds)
    }
    period.records++
    period.bytes += bytes
    return true
  }

  #find(seconds: number): Period | undefined {
    for (let index = 0; index < this.#ring.length; index++) {
      const period = this.#ring[(this.#oldest + index) % this.#ring.length]
      const ahead = period.until - seconds
      if (ahead >= 0 && ahead <= this.#seconds) return period
    }
    return undefined
  }

  /** The line of the oldest period, which becomes the youngest. */
  #close(): string {
    const period = this.#ring[this.#oldest]
    const { until, records, bytes } = period
    period.records = 0
    period.bytes = 0
    period.until += this.#seconds * this.#ring.length
    this.#oldest = (this.#oldest + 1) % this.#ring.length
    const rates =
      `"counts/${this.#unit}":${Math.floor(records / this.#seconds)}, ` +
      `"bytes/${this.#unit}":${Math.floor(bytes / this.#seconds)}`
    return `[out_flowcounter] [${until}, {"counts":${records}, "bytes":${bytes}, ${rates} }]\n`
  }

  /** Moves all periods, which are empty by now, to just before `seconds`. */
  #jump(seconds: number): void {
    const { length } = this.#ring
    const youngest = this.#ring[(this.#oldest + length - 1) % length].until
    const steps = Math.floor((seconds - youngest) / this.#seconds) - 1
    if (steps > 0) for (const period of this.#ring) period.until += steps * this.#seconds
  }
}
