/** What happened in a simulation: the last lines for a person, a hash over all to compare two runs by. */
import { crc32 } from 'node:zlib'

const LINES_KEPT = 60

export class Trace {
  readonly #print: ((line: string) => void) | undefined
  readonly #last: string[] = []
  #hash = 0
  #count = 0

  /** @param print Gets every line. */
  constructor(print?: (line: string) => void) {
    this.#print = print
  }

  add(line: string): void {
    // Names of chunks have the process id, which differs when a seed is run again.
    const same = line.replaceAll(`${process.pid}-`, 'PID-')
    this.#hash = crc32(same, this.#hash)
    this.#count++
    this.#print?.(same)
    this.#last.push(same)
    if (this.#last.length > LINES_KEPT * 2) this.#last.splice(0, LINES_KEPT)
  }

  get last(): readonly string[] {
    return this.#last.slice(-LINES_KEPT)
  }

  /** The same for the same seed. */
  get hash(): string {
    return `${this.#count}-${(this.#hash >>> 0).toString(16)}`
  }
}
