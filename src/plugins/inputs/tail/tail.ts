/**
 * tail: reads lines of files that match a pattern, and follows what is appended, through rotation and truncation.
 * Source: Fluent Bit 5.1.1 plugins/in_tail; docs pipeline/inputs/tail.
 * Differs:
 * - A line that is too long is reported, counted and passed over, and the file goes on; Fluent Bit stops reading the
 *   file unless skip_long_lines is on.
 * - A stored position moves when the lines before it were delivered or given up, not when they are read.
 * - Lines that no parser gave a time are one nanosecond apart within a block, not stamped one by one.
 * - A pause holds back reading only: names are looked at every 100 ms all the time, those that a rotation or deletion
 *   left too, and files stay open until they are read, delivered and not written to for rotate_wait. Fluent Bit looks
 *   at nothing while it is paused, and closes a rotated file after rotate_wait, read or not.
 * - With db, a file that was renamed while the program was down is found by its inode and read to its end, and a file
 *   that got the name of one that was followed is read from its beginning. Fluent Bit forgets the first, and without
 *   read_from_head skips the second.
 * - What a truncation takes before it was read, and a last line of a rotated or deleted file that has no end, is counted.
 * - buffer_chunk_size only bounds buffer_max_size from below: blocks have one size. static_batch_size and
 *   event_batch_size bound what is read before other work gets a turn, which happens after every block anyway.
 * - Multiline keys are refused in this version.
 */
import { messageOf } from '../../../base/error_message.ts'
import { defineInput, type Loss } from '../../../plugin/define.ts'
import type { InputContext } from '../../../plugin/context.ts'
import { compileOnigmo, type Matcher } from '../../../parser/onigmo.ts'
import { type EncodingSource, genericEncoding, unicodeEncoding } from './file_encoding.ts'
import { FileFollower } from './file_follower.ts'
import { TAIL_OPTIONS, type TailValues } from './options.ts'

/** Keys that need multiline parsing, with the value that leaves it off. */
const MULTILINE_KEYS = ['docker_mode', 'multiline', 'multiline.parser'] as const

export const tail = defineInput({
  name: 'tail',
  summary: 'Read lines of text files and follow what is appended',
  upstream: 'plugins/in_tail/tail.c',
  receipts: 'position',
  options: TAIL_OPTIONS,
  losses,
  create(values, context) {
    refuseMultiline(values, context)
    const paths = values.path ?? []
    if (paths.length === 0) {
      throw context.invalid('path', 'no input path was given: it must name at least one file')
    }
    if (values.buffer_chunk_size > values.buffer_max_size) {
      throw context.invalid(
        'buffer_max_size',
        `value must be at least buffer_chunk_size, ${values.buffer_chunk_size}: current value is ${values.buffer_max_size}`
      )
    }
    if (values.rotate_wait <= 0) {
      throw context.invalid(
        'rotate_wait',
        `value must be above 0: current value is ${values.rotate_wait}`
      )
    }
    return new FileFollower(
      {
        values,
        paths,
        refreshMs: refreshInterval(values, context),
        tagRegex: tagRegex(values, context),
        encoding: encoding(values, context)
      },
      context
    )
  }
})

/** Without a database reading from the head begins again at a restart, which loses nothing and sends all twice. */
function losses(values: TailValues): Loss[] {
  const found: Loss[] = []
  if (values.db === undefined && !values.read_from_head) {
    const message =
      'a restart goes on at the end of the files: lines that were written meanwhile, or read and not delivered, are lost'
    found.push({ when: 'stop', key: 'db', message, change: 'db FILE' })
  }
  if (!values.skip_long_lines && !values.truncate_long_lines) {
    const message = `lines longer than ${values.buffer_max_size - 2} bytes are passed over`
    const change =
      'a larger buffer_max_size, or truncate_long_lines on, which keeps their beginning'
    found.push({ when: 'running', key: 'buffer_max_size', message, change })
  }
  return found
}

function refuseMultiline(values: TailValues, context: InputContext): void {
  for (const key of MULTILINE_KEYS) {
    const value = values[key]
    if (Array.isArray(value) ? value.length > 0 : value === true) {
      throw context.invalid(key, 'this version has no multiline parsing')
    }
  }
}

/** `sec[.nsec]`: what follows the point counts nanoseconds, so that `0.5` is 5 of them, as in Fluent Bit. */
function refreshInterval(values: TailValues, context: InputContext): number {
  const text = values.refresh_interval
  const match = /^\s*(?<seconds>[+-]?\d+)[^.]*(?:\.\s*(?<nanoseconds>\d+))?/.exec(text)
  const seconds = Number(match?.groups?.['seconds'] ?? Number.NaN)
  const nanoseconds = Number(match?.groups?.['nanoseconds'] ?? 0)
  if (Number.isNaN(seconds) || seconds < 0 || seconds + nanoseconds <= 0) {
    throw context.invalid(
      'refresh_interval',
      `value must be a time above 0, sec[.nsec]: current value is "${text}"`
    )
  }
  if (seconds === 0 && nanoseconds <= 1_000_000) {
    context.log.warn(
      `very low refresh_interval (${seconds}.${nanoseconds} nanoseconds) might cause high CPU usage`
    )
  }
  return Math.max(1, seconds * 1000 + nanoseconds / 1e6)
}

function tagRegex(values: TailValues, context: InputContext): Matcher | undefined {
  const pattern = values.tag_regex
  if (pattern === undefined || pattern === '') return undefined
  try {
    return compileOnigmo(pattern)
  } catch (error) {
    throw context.invalid('tag_regex', messageOf(error))
  }
}

function encoding(values: TailValues, context: InputContext): EncodingSource | undefined {
  for (const [key, find] of [
    ['unicode.encoding', unicodeEncoding],
    ['generic.encoding', genericEncoding]
  ] as const) {
    const name = values[key]
    if (name === undefined || name === '') continue
    const found = find(name)
    if (found !== undefined) return found
    throw context.invalid(key, `there is no encoding "${name}"`)
  }
  return undefined
}
