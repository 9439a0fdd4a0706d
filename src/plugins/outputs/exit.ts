/**
 * exit: stops the program after a number of chunks, records or seconds; for tests.
 * Source: Fluent Bit 5.1.1 plugins/out_exit/exit.c.
 * Differs: nothing known. (While `record_count` counts down, nothing else is looked at, and reaching zero takes effect
 * with the next chunk.)
 */
import { skip } from '../../codec/msgpack_reader.ts'
import { int } from '../../config/options.ts'
import type { ChunkView } from '../../plugin/context.ts'
import { defineOutput } from '../../plugin/define.ts'
import { type Delivery, OK } from '../../plugin/delivery.ts'
import { eventBodyAt, isGroupMark } from '../../record/event.ts'

/** The value of a limit that is not set. */
const NONE = -1

export const exit = defineOutput({
  name: 'exit',
  summary: 'Stops after a number of flushes, records or seconds',
  upstream: 'plugins/out_exit/exit.c',
  options: {
    flush_count: int({ default: '-1', doc: 'Chunks before the stop; -1 is no limit' }),
    record_count: int({ default: '-1', doc: 'Records before the stop; -1 is no limit' }),
    time_count: int({
      default: '-1',
      doc: 'Seconds before the stop, noticed when a chunk comes; -1 is no limit'
    })
  },
  create(values, context) {
    const { time_count: secondsMax } = values
    const isUnset = [values.flush_count, values.record_count, secondsMax].every(
      limit => limit === NONE
    )
    let flushesLeft = isUnset ? 1 : values.flush_count
    let recordsLeft = values.record_count
    let startMs = 0
    let isRunning = true
    return {
      start() {
        startMs = context.clock.now()
      },
      flush(chunk: ChunkView): Delivery {
        if (!isRunning) return OK
        if (flushesLeft > 0) flushesLeft--
        if (recordsLeft > 0) {
          recordsLeft = Math.max(0, recordsLeft - countRecords(chunk.bytes))
          return OK
        }
        const isLate =
          secondsMax > 0 && Math.floor(context.clock.now() - startMs) > secondsMax * 1000
        if (flushesLeft === 0 || recordsLeft === 0 || isLate) {
          isRunning = false
          context.stop()
        }
        return OK
      }
    }
  }
})

function countRecords(bytes: Buffer): number {
  let records = 0
  for (let at = 0; at < bytes.length; at = skip(bytes, eventBodyAt(bytes, at))) {
    if (!isGroupMark(bytes, at)) records++
  }
  return records
}
