/**
 * stdin: JSON values, or lines for a parser, from the program's standard input. At its end the program stops.
 * Source: Fluent Bit 5.1.1 plugins/in_stdin/in_stdin.c.
 *
 *     without a parser: *( MAP | "[" TIME "," MAP "]" | "[[" TIME "," METADATA "]," MAP "]" ), white space between them
 *
 * Differs: text that is not JSON costs only itself, up to the next line that starts with a map or an array, where Fluent
 * Bit loses all that it has read with it; JSON is read strictly (no `{"a":1,}`). A parser gets whole lines, where Fluent
 * Bit gives it all that it has read, which cuts lines and stops `json` parsers at the second line. What is longer than
 * `buffer_size` is skipped with an error, where Fluent Bit stops. Standard input may be a file. `threaded` has no effect.
 */
import { createReadStream } from 'node:fs'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { size, text } from '../../config/options.ts'
import type { InputContext } from '../../plugin/context.ts'
import { defineInput } from '../../plugin/define.ts'
import { JsonRecords } from '../common/json_records.ts'
import { LineRecords } from '../common/line_records.ts'
import { PacedStream } from '../common/paced_stream.ts'

const BUFFER_BYTES_MIN = 16_000

export const stdin = defineInput({
  name: 'stdin',
  summary: 'Standard input',
  upstream: 'plugins/in_stdin/in_stdin.c',
  inMainThread: true,
  options: {
    parser: text({ doc: 'Parser of each line; without it the input is JSON' }),
    buffer_size: size({
      default: String(BUFFER_BYTES_MIN),
      doc: 'Longest JSON value or line, at least 16000 bytes'
    })
  },
  create(values, context) {
    const { buffer_size: bytesMax } = values
    if (bytesMax < BUFFER_BYTES_MIN) {
      const wanted = `value must be ${BUFFER_BYTES_MIN} or more: current value is ${bytesMax}`
      throw context.invalid('buffer_size', wanted)
    }
    const records = recordsFor(values.parser, bytesMax, context)
    let source: Readable | undefined
    let stream: PacedStream | undefined
    const ended = (): void => {
      records.end()
      context.log.warn('end of file (stdin closed by remote end)')
      context.stop()
    }
    const failed = (cause: Error): void => {
      records.end()
      context.log.error(`Cannot read standard input: ${cause.message}`)
      context.stop()
    }
    const stop = (): void => {
      stream?.detach()
      source?.off('end', ended).off('error', failed)
    }
    return {
      start(left) {
        if (Buffer.isBuffer(left)) records.take(left)
        source = openStandardInput(context.root)
        source.once('end', ended)
        source.once('error', failed)
        stream = new PacedStream(source, context, bytes => records.take(bytes))
      },
      pause: () => stream?.pause(),
      resume: () => stream?.resume(),
      stop,
      handOver() {
        stop()
        return records.rest
      }
    }
  }
})

function recordsFor(
  name: string | undefined,
  bytesMax: number,
  context: InputContext
): JsonRecords | LineRecords {
  if (name === undefined) return new JsonRecords(bytesMax, context)
  const parser = context.parser(name)
  if (parser === undefined) throw context.unknownParser('parser', name)
  return new LineRecords(parser, bytesMax, context)
}

/** Descriptor 0; a file of its name where a test has set a root. */
function openStandardInput(root: string): Readable {
  return root === '' ? process.stdin : createReadStream(join(root, '/dev/stdin'))
}
