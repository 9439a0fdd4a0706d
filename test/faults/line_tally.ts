/** Numbered lines, and the account of which were sent and which arrived. */
import { crc32 } from 'node:zlib'

/** Lines that are kept for a report; there may be many more. */
const SHOWN_MAX = 20

/** Words that every line is padded with: what JSON escapes, and characters of one to four bytes. */
const WORDS = [
  'request',
  '"quoted"',
  'back\\slash',
  'tab\there',
  'größe',
  '日本語',
  '🚰',
  '{"a":1}'
]

/** Lines of a file that follow each other. */
export interface MissingLines {
  readonly file: string
  readonly first: number
  readonly last: number
}

interface FileTally {
  sent: number
  /** All lines with a lower number have arrived. */
  arrivedBelow: number
  /** Lines that arrived while an earlier one was missing. */
  readonly arrivedLater: Set<number>
  /** Lines that were sent more than once. */
  readonly sentAgain: Set<number>
}

/** Who is told what was sent. */
export type SenderTally = Pick<
  LineTally,
  'next' | 'send' | 'sendAgain' | 'missingLength' | 'hasAllBelow'
>

/** Composes a line without its line feed: file, number, padding and a checksum of these. */
export function numberedLine(
  file: string,
  sequence: number,
  paddingLength: number,
  random: () => number
): string {
  let padding = ''
  while (padding.length < paddingLength) padding += WORDS[Math.floor(random() * WORDS.length)]
  const content = `${file} ${sequence} ${padding}`
  return `${content} ${crc32(content).toString(16)}`
}

/** File and number of a line; undefined when it is not as it was sent. */
function readLine(line: string): { file: string; sequence: number } | undefined {
  const end = line.lastIndexOf(' ')
  const content = line.slice(0, end)
  if (end < 0 || crc32(content).toString(16) !== line.slice(end + 1)) return undefined
  const [file, sequence] = content.split(' ', 2)
  return { file, sequence: Number(sequence) }
}

export class LineTally {
  readonly #files = new Map<string, FileTally>()
  /** Lines sent, each counted once. */
  sent = 0
  /** Lines that arrived, each counted once. */
  arrived = 0
  duplicates = 0
  /** The first lines that arrived twice: file and number. */
  readonly twice: string[] = []
  /** Lines that were sent more than once and arrived so. */
  repeats = 0
  /** Characters of lines that are sent and not there yet. */
  missingLength = 0
  /** What arrived and was never sent, the first of them. */
  readonly strange: string[] = []
  strangeCount = 0

  /** The number of the next line of a file. */
  next(file: string): number {
    return this.#file(file).sent
  }

  /** Counts lines that were written with their line feeds. */
  send(file: string, lines: readonly string[]): void {
    this.#file(file).sent += lines.length
    this.sent += lines.length
    for (const line of lines) this.missingLength += line.length
  }

  /** Notes lines that are sent once more, as nobody has acknowledged them: they may arrive twice. */
  sendAgain(file: string, first: number, count: number): void {
    const { sentAgain } = this.#file(file)
    for (let sequence = first; sequence < first + count; sequence++) sentAgain.add(sequence)
  }

  /** Counts a line that arrived. */
  arrive(line: string): void {
    const read = readLine(line)
    const file = read === undefined ? undefined : this.#files.get(read.file)
    if (read === undefined || file === undefined || !(read.sequence < file.sent)) {
      this.strangeCount++
      if (this.strange.length < SHOWN_MAX) this.strange.push(line)
      return
    }
    if (read.sequence < file.arrivedBelow || file.arrivedLater.has(read.sequence)) {
      if (file.sentAgain.has(read.sequence)) this.repeats++
      else if (this.duplicates++ < SHOWN_MAX) this.twice.push(`${read.file} ${read.sequence}`)
      return
    }
    this.arrived++
    this.missingLength -= line.length
    file.arrivedLater.add(read.sequence)
    while (file.arrivedLater.delete(file.arrivedBelow)) file.arrivedBelow++
  }

  /** True when all lines of a file with numbers below `end` have arrived. */
  hasAllBelow(file: string, end: number): boolean {
    return this.#file(file).arrivedBelow >= end
  }

  get isComplete(): boolean {
    return this.arrived === this.sent
  }

  /** Runs of lines that did not arrive, the first of them. */
  missing(): MissingLines[] {
    const found: MissingLines[] = []
    for (const [file, { sent, arrivedBelow, arrivedLater }] of this.#files) {
      for (let first = arrivedBelow; first < sent && found.length < SHOWN_MAX; first++) {
        if (arrivedLater.has(first)) continue
        let last = first
        while (last + 1 < sent && !arrivedLater.has(last + 1)) last++
        found.push({ file, first, last })
        first = last
      }
    }
    return found
  }

  #file(name: string): FileTally {
    let file = this.#files.get(name)
    if (file === undefined) {
      file = { sent: 0, arrivedBelow: 0, arrivedLater: new Set(), sentAgain: new Set() }
      this.#files.set(name, file)
    }
    return file
  }
}

/** The tallies of several destinations that all get the same lines. */
export class LineTallies implements SenderTally {
  readonly #tallies: readonly LineTally[]

  constructor(tallies: readonly LineTally[]) {
    this.#tallies = tallies
  }

  get missingLength(): number {
    return Math.max(...this.#tallies.map(({ missingLength }) => missingLength))
  }

  next(file: string): number {
    return this.#tallies[0].next(file)
  }

  send(file: string, lines: readonly string[]): void {
    for (const tally of this.#tallies) tally.send(file, lines)
  }

  sendAgain(file: string, first: number, count: number): void {
    for (const tally of this.#tallies) tally.sendAgain(file, first, count)
  }

  hasAllBelow(file: string, end: number): boolean {
    return this.#tallies.every(tally => tally.hasAllBelow(file, end))
  }
}
