/**
 * head: the begin of a file, read anew at an interval.
 * Source: Fluent Bit 5.1.1 plugins/in_head/in_head.c.
 * Differs: `file` must be given, where Fluent Bit runs on without one; a file that cannot be read (a folder) is reported
 * as an error, where Fluent Bit crashes. As there, a value of `split_line` mode ends with a NUL in place of its line end.
 */
import { closeSync, openSync, readSync } from 'node:fs'
import { systemError } from '../../base/system_error.ts'
import { flag, int, size, text } from '../../config/options.ts'
import type { InputContext } from '../../plugin/context.ts'
import { defineInput } from '../../plugin/define.ts'
import { INTERVAL_OPTIONS, intervalInput, readInterval } from '../common/interval.ts'
import { lineEnd, textEnd } from '../common/line_pieces.ts'
import { beginEvent } from '../common/send_event.ts'

/** Lines beyond this many bytes count as several, when lines are read as one text. */
const LINE_BYTES_MAX = 510

const SPLIT_LINES_DEFAULT = 10

const READ_BYTES = 65_536

const LINE_FEED = 0x0a

const EMPTY = Buffer.alloc(0)

export const head = defineInput({
  name: 'head',
  summary: 'Begin of a file',
  upstream: 'plugins/in_head/in_head.c',
  options: {
    file: text({ doc: 'File to read' }),
    key: text({ default: 'head', doc: 'Key of the text in the record' }),
    buf_size: size({
      default: '256',
      doc: 'Bytes to read; with split_line the longest line, less one'
    }),
    split_line: flag({
      default: 'false',
      doc: 'Send each line under a key of its own: line0, line1'
    }),
    lines: int({ default: '0', doc: 'Lines to read; 0 reads buf_size bytes' }),
    add_path: flag({ default: 'false', doc: 'Add the file name under the key path' }),
    ...INTERVAL_OPTIONS
  },
  create(values, context) {
    const { file, buf_size: bytes, split_line: splits, key, add_path: addsPath } = values
    if (file === undefined) throw context.invalid('file', 'it is not set, it must name a file')
    if (bytes < 2) {
      throw context.invalid('buf_size', `value must be 2 or more: current value is ${bytes}`)
    }
    const lines = splits && values.lines <= 0 ? SPLIT_LINES_DEFAULT : values.lines
    const path = addsPath ? file : undefined
    return intervalInput(context, readInterval(values), () => {
      if (splits) sendLines(context, file, path, lines, bytes)
      else sendText(context, file, path, key, lines > 0 ? lines : undefined, bytes)
    })
  }
})

/** One record with all of the text. */
function sendText(
  context: InputContext,
  file: string,
  path: string | undefined,
  key: string,
  lines: number | undefined,
  bytes: number
): void {
  const content =
    lines === undefined
      ? readBegin(context, file, bytes, Infinity)
      : joinLines(readBegin(context, file, lines * LINE_BYTES_MAX, lines), lines)
  const sink = context.sink(context.tag)
  const { writer } = sink
  beginEvent(writer, context.clock.now())
  writer.mapHeader(path === undefined ? 1 : 2)
  writer.string(key)
  writer.stringBytes(content ?? EMPTY, 0, content?.length ?? 0)
  if (path !== undefined) {
    writer.string('path')
    writer.string(path)
  }
  sink.commit(1)
}

/** One record with a key for each line; none when the file cannot be read. */
function sendLines(
  context: InputContext,
  file: string,
  path: string | undefined,
  lines: number,
  bytes: number
): void {
  const content = readBegin(context, file, lines * (bytes - 1), lines)
  if (content === undefined) return
  const sink = context.sink(context.tag)
  const { writer } = sink
  beginEvent(writer, context.clock.now())
  writer.mapHeader(path === undefined ? lines : lines + 1)
  if (path !== undefined) {
    writer.string('path')
    writer.string(path)
  }
  let at = 0
  for (let index = 0; index < lines; index++) {
    const end = endOfLine(content, at, bytes - 1)
    const line = content.subarray(at, textEnd(content, at, end))
    // Fluent Bit overwrites the last byte, line end or not, with the mark that ends texts in C, and sends that too.
    const value = Buffer.from(line)
    if (value.length > 0) value[value.length - 1] = 0
    writer.string(`line${index}`)
    writer.stringBytes(value, 0, value.length)
    at = end
  }
  sink.commit(1)
}

/** The first bytes of a file, at least as many lines of them if it has these; undefined when it cannot be read. */
function readBegin(
  { log }: InputContext,
  file: string,
  bytesMax: number,
  lines: number
): Buffer | undefined {
  try {
    return readBytes(file, bytesMax, lines)
  } catch (cause) {
    log.error(`Cannot read "${file}": ${systemError(cause).text}`)
    return undefined
  }
}

function readBytes(file: string, bytesMax: number, lines: number): Buffer {
  const descriptor = openSync(file, 'r')
  try {
    const parts: Buffer[] = []
    let linesLeft = lines
    let bytesLeft = bytesMax
    while (linesLeft > 0 && bytesLeft > 0) {
      const part = Buffer.allocUnsafe(Math.min(bytesLeft, READ_BYTES))
      const count = readSync(descriptor, part)
      if (count === 0) break
      parts.push(part.subarray(0, count))
      bytesLeft -= count
      linesLeft -= countLineFeeds(part, count)
    }
    return Buffer.concat(parts)
  } finally {
    closeSync(descriptor)
  }
}

function countLineFeeds(bytes: Buffer, end: number): number {
  let count = 0
  for (let at = 0; at < end; at++) if (bytes[at] === LINE_FEED) count++
  return count
}

/** The first lines as one text. What follows a NUL in a line is left out. */
function joinLines(content: Buffer | undefined, lines: number): Buffer | undefined {
  if (content === undefined) return undefined
  const parts: Buffer[] = []
  let at = 0
  for (let line = 0; line < lines && at < content.length; line++) {
    const end = endOfLine(content, at, LINE_BYTES_MAX)
    parts.push(content.subarray(at, textEnd(content, at, end)))
    at = end
  }
  return Buffer.concat(parts)
}

function endOfLine(content: Buffer, at: number, bytesMax: number): number {
  const end = lineEnd(content, at, content.length, bytesMax)
  return end < 0 ? content.length : end
}
