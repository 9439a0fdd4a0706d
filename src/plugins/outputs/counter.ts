/**
 * counter: prints how many events each chunk has.
 * Source: Fluent Bit 5.1.1 plugins/out_counter/counter.c.
 * Differs: a chunk whose line nobody gets is counted as given up. (`total` is that of the chunk, not
 * since the start as the documentation says.)
 */
import { skip } from '../../codec/msgpack_reader.ts'
import type { ChunkView } from '../../plugin/context.ts'
import { defineOutput } from '../../plugin/define.ts'
import type { Delivery } from '../../plugin/delivery.ts'
import { eventBodyAt, isGroupMark } from '../../record/event.ts'
import { Printer } from '../common/printer.ts'

export const counter = defineOutput({
  name: 'counter',
  summary: 'Prints the number of records of each chunk',
  upstream: 'plugins/out_counter/counter.c',
  options: {},
  create(_, context) {
    const printer = new Printer(context)
    return {
      flush(chunk: ChunkView): Delivery {
        const { events, records } = countEvents(chunk.bytes)
        const seconds = (context.clock.now() / 1000).toFixed(6)
        const counts = `"serialized_events":${events},"log_records":${records},"total":${events}`
        return printer.print(Buffer.from(`{"ts":${seconds},${counts}}\n`))
      }
    }
  }
})

/** Events with and without the marks of groups. */
function countEvents(bytes: Buffer): { readonly events: number; readonly records: number } {
  let events = 0
  let marks = 0
  for (let at = 0; at < bytes.length; at = skip(bytes, eventBodyAt(bytes, at))) {
    events++
    if (isGroupMark(bytes, at)) marks++
  }
  return { events, records: events - marks }
}
