/** Says that texts fail without a line for each: the first failure and then every tenfold count. */

/** Where parsers write warnings and errors. */
export interface ParserLog {
  warn(message: string): void
  error(message: string): void
}

/** Counts failures of one kind. */
export class FailureCounter {
  count = 0
  #next = 1

  /** Counts one more; true when it should be logged. */
  add(): boolean {
    this.count++
    if (this.count < this.#next) return false
    this.#next *= 10
    return true
  }
}
