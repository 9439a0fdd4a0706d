/**
 * null: throws events away, if wished after making JSON of them, to measure what that costs.
 * Source: Fluent Bit 5.1.1 plugins/out_null/null.c.
 * Differs: nothing known.
 */
import { JsonWriter } from '../../codec/json_writer.ts'
import type { ChunkView } from '../../plugin/context.ts'
import { defineOutput } from '../../plugin/define.ts'
import { type Delivery, OK } from '../../plugin/delivery.ts'
import {
  eventJsonOf,
  isMsgpackFormat,
  JSON_FORMAT_OPTIONS,
  jsonFormatOption,
  reportJsonDate,
  writeJsonPieces
} from '../common/json_format.ts'

export const nullOutput = defineOutput({
  name: 'null',
  summary: 'Throws away events',
  upstream: 'plugins/out_null/null.c',
  signals: ['logs', 'metrics'],
  options: JSON_FORMAT_OPTIONS,
  losses: () => [{ when: 'always', message: 'all records are thrown away, as this output is for' }],
  create(values, context) {
    const { log } = context
    const format = jsonFormatOption(values.format)
    const json = eventJsonOf(values, context)
    const out = new JsonWriter(context.json)
    return {
      start() {
        if (values.format !== undefined && format === undefined) reportFormat(values.format)
        reportJsonDate(values, log)
      },
      flush(chunk: ChunkView): Delivery {
        if (format !== undefined && chunk.signal === 'logs')
          writeJsonPieces(chunk.bytes, format, json, out, discard)
        log.debug(`discarding ${chunk.bytes.length} bytes`)
        return OK
      }
    }

    function reportFormat(written: string): void {
      if (/^otlp_json(?:_pretty)?$/i.test(written)) {
        log.error(`format '${written}' is not supported by out_null`)
      } else if (!isMsgpackFormat(written)) {
        log.error("unrecognized 'format' option. Using 'msgpack'")
      }
    }
  }
})

function discard(): void {
  // The JSON has been made, which is all that was asked for.
}
