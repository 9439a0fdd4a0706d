/** What `spillway dlq list` and `show` print. */
import { JsonWriter, type JsonWriterOptions } from '../codec/json_writer.ts'
import { skip } from '../codec/msgpack_reader.ts'
import { eventBodyAt, eventSeconds, GROUP_START_SECONDS, isGroupMark } from '../record/event.ts'
import { EventJson } from '../record/event_json.ts'
import type { DeadLetter, DeadLetters } from '../storage/dead_letters.ts'
import { type LetterRow, rowOf } from './dlq_survey.ts'

const HEADING = [
  'NAME',
  'TIME',
  'OUTPUT',
  'REASON',
  'ATTEMPTS',
  'RECORDS',
  'BYTES',
  'TAG',
  'INPUT'
] as const

/** Columns of numbers, which end at the same place. */
const NUMBERS: ReadonlySet<number> = new Set([4, 5, 6])

const GAP = '  '

/** Text is handed on when this much of it is ready. */
const PIECE_BYTES = 65_536

/** A table with a total. */
export function listText(rows: readonly LetterRow[], letters: DeadLetters): string {
  const total = `${totalOf(rows)}${limitText(letters)}\n`
  if (rows.length === 0) return total
  const table = [HEADING, ...rows.map(cellsOf)]
  const widths = HEADING.map((_, column) => Math.max(...table.map(cells => cells[column].length)))
  const lines = table.map(cells => {
    const padded = cells.map((cell, column) =>
      NUMBERS.has(column) ? cell.padStart(widths[column]) : cell.padEnd(widths[column])
    )
    return `${padded.join(GAP).trimEnd()}\n`
  })
  return `${lines.join('')}${total}`
}

/** An object a line. */
export function listJson(rows: readonly LetterRow[]): string {
  return rows.map(row => `${JSON.stringify(factsOf(row))}\n`).join('')
}

/**
 * Prints the note of a letter, and a line for each of its events: what the output stdout makes of it with `format
 * json_lines`, and before it the tag.
 *
 * @param take Gets the text in pieces, which it must not keep.
 */
export function showLetter(
  letter: DeadLetter,
  options: JsonWriterOptions,
  take: (piece: Buffer) => void
): void {
  const { content, note } = letter
  const json = new EventJson({ ...options, dateKey: 'date', dateFormat: 'double' })
  const out = new JsonWriter(options)
  take(Buffer.from(`${JSON.stringify({ letter: factsOf(rowOf(letter)) })}\n`))
  const start = tagStart(note.tag, options)
  let groupAt = -1
  for (let at = 0; at < content.length;) {
    if (isGroupMark(content, at)) {
      const bodyAt = eventBodyAt(content, at)
      groupAt = eventSeconds(content, at) === GROUP_START_SECONDS ? bodyAt : -1
      at = skip(content, bodyAt)
      continue
    }
    const lineAt = out.length
    at = json.event(content, at, out, groupAt)
    out.byte(0x0a)
    insert(out, lineAt, start)
    if (out.length >= PIECE_BYTES) {
      take(out.written())
      out.length = 0
    }
  }
  take(out.written())
}

/** `{"tag":"app",` */
function tagStart(tag: string, options: JsonWriterOptions): Buffer {
  const out = new JsonWriter(options)
  out.ascii('{"tag":')
  out.string(tag)
  out.byte(0x2c)
  return out.written()
}

/** Puts a start of a map in the place of the brace at a position. */
function insert(out: JsonWriter, at: number, start: Buffer): void {
  const end = out.length
  const added = start.length - 1
  out.reserve(added)
  out.bytes.copyWithin(at + start.length, at + 1, end)
  start.copy(out.bytes, at)
  out.length = end + added
}

function totalOf(rows: readonly LetterRow[]): string {
  const sum = (of: (row: LetterRow) => number): number =>
    rows.reduce((total, row) => total + of(row), 0)
  const bad = sum(row => (row.problem === undefined ? 0 : 1))
  return (
    `${plural(rows.length, 'letter')}, ${plural(
      sum(row => row.note.events),
      'record'
    )}, ${plural(
      sum(row => row.bytes),
      'byte'
    )}` + (bad === 0 ? '' : `, ${plural(bad, 'bad file')}`)
  )
}

function limitText({ limit, fileBytes }: DeadLetters): string {
  return limit === undefined ? '' : `; the files take ${fileBytes} of ${limit} bytes`
}

/** `1 letter`, `2 letters`. */
export function plural(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`
}

function cellsOf({ name, note, problem, bytes }: LetterRow): string[] {
  const { time, output, reason, attempts, events, tag, input } = note
  const why = problem === undefined ? reason : `bad file: ${problem}`
  const numbers = [attempts === 0 ? '' : `${attempts}`, `${events}`, `${bytes}`]
  return [name, time, output, why, ...numbers, tag, input].map(cell =>
    cell === '' ? '-' : oneLine(cell)
  )
}

/** A text without what would move the cursor of a terminal. */
function oneLine(text: string): string {
  return text.replaceAll(
    /\p{Cc}/gu,
    character => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`
  )
}

/** What is known of a letter, for programs. */
function factsOf({ name, note, problem, bytes }: LetterRow): Readonly<Record<string, unknown>> {
  const { time, output, reason, attempts, events, tag, input } = note
  const known = (text: string): string | null => (text === '' ? null : text)
  return {
    name,
    time: known(time),
    output: known(output),
    reason: known(reason),
    attempts: attempts === 0 ? null : attempts,
    records: events,
    bytes,
    tag: known(tag),
    input: known(input),
    ...(problem === undefined ? {} : { problem })
  }
}
