/** The account that the program prints when it stops: a line for each input and each route. */

/** What became of the records of an input, or of those that it sent to one output. */
export interface LedgerLine {
  /** `input tail.0` or `route tail.0 > http.0`. */
  readonly name: string
  readonly ingested: number
  readonly added: number
  readonly recovered: number
  readonly delivered: number
  readonly filtered: number
  readonly dropped: number
  /** Why they were dropped, and how many of them. */
  readonly reasons: Readonly<Record<string, number>>
  readonly buffered: number
  /** As it was printed. */
  readonly text: string
}

const LINE =
  /^(?<name>(?:input|route) .+): (?<ingested>\d+) ingested \+ (?<added>\d+) added \+ (?<recovered>\d+) recovered = (?<delivered>\d+) delivered \+ (?<filtered>\d+) filtered \+ (?<dropped>\d+) dropped(?: \((?<reasons>[^)]*)\))? \+ (?<buffered>\d+) buffered\b/

/**
 * The ledger lines of a log.
 *
 * @throws {Error} When one of them has another form.
 */
export function readLedger(log: string): LedgerLine[] {
  return [...log.matchAll(/\[ledger\] (?<text>.*)$/gm)].map(([, text]) => {
    const groups = LINE.exec(text)?.groups
    if (groups === undefined) throw new Error(`Cannot read the ledger line "${text}"`)
    return {
      name: groups['name'],
      ingested: Number(groups['ingested']),
      added: Number(groups['added']),
      recovered: Number(groups['recovered']),
      delivered: Number(groups['delivered']),
      filtered: Number(groups['filtered']),
      dropped: Number(groups['dropped']),
      reasons: readReasons(groups['reasons']),
      buffered: Number(groups['buffered']),
      text
    }
  })
}

/** What is wrong with a line in itself, for each mistake a sentence. */
export function ledgerMistakes(line: LedgerLine): string[] {
  const { ingested, added, recovered, delivered, filtered, dropped, buffered } = line
  const mistakes: string[] = []
  const taken = ingested + added + recovered
  const ended = delivered + filtered + dropped + buffered
  if (taken !== ended) {
    mistakes.push(`the ledger does not balance, ${taken} is not ${ended}: ${line.text}`)
  }
  const reasoned = Object.values(line.reasons).reduce((sum, count) => sum + count, 0)
  if (reasoned !== dropped) {
    mistakes.push(`the reasons say ${reasoned} dropped, not ${dropped}: ${line.text}`)
  }
  return mistakes
}

/** `retries_exhausted 2, shutdown 1`. */
function readReasons(text = ''): Record<string, number> {
  const entries = text.matchAll(/(?<reason>\S+) (?<count>\d+)(?:, |$)/g)
  return Object.fromEntries([...entries].map(([, reason, count]) => [reason, Number(count)]))
}
