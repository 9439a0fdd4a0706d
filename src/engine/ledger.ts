/**
 * Accounts for every event. For each input and each route (an input's events on their way to one output) at any moment
 *
 *     ingested + added + recovered = delivered + filtered + dropped + buffered
 *
 * An input's event is delivered when every output that it was routed to took it, and dropped when one of them, or
 * anything before, lost it. `added` is what filters and conditional routes made of others, `recovered` what the store
 * held at the start. `buffered` is not kept here but counted where the events are.
 */

export class Account {
  ingested = 0
  added = 0
  recovered = 0
  delivered = 0
  filtered = 0
  readonly #dropped = new Map<string, number>()

  drop(reason: string, events: number): void {
    if (events > 0) this.#dropped.set(reason, (this.#dropped.get(reason) ?? 0) + events)
  }

  /** Events by reason, in the order of their first loss. */
  get dropped(): ReadonlyMap<string, number> {
    return this.#dropped
  }
}

export interface LedgerRow {
  /** `input tail.0` or `route tail.0 > http.0`. */
  readonly name: string
  readonly input: string
  /** Undefined for the account of an input. */
  readonly output: string | undefined
  readonly account: Account
  readonly buffered: number
}

type Entry = Pick<LedgerRow, 'input' | 'output' | 'account'>

export class Ledger {
  readonly #inputs = new Map<string, Entry>()
  readonly #routes = new Map<string, Entry>()

  /** The account of an input, by its alias or name. */
  input(label: string): Account {
    return accountOf(this.#inputs, inputName(label), label, undefined)
  }

  /** The account of an input's events on their way to an output. */
  route(input: string, output: string): Account {
    return accountOf(this.#routes, routeName(input, output), input, output)
  }

  /** @param buffered Events by the name of their row, counted where they are. */
  rows(buffered: ReadonlyMap<string, number>): LedgerRow[] {
    return [...this.#inputs, ...this.#routes].map(([name, entry]) => ({
      name,
      ...entry,
      buffered: buffered.get(name) ?? 0
    }))
  }
}

export function inputName(label: string): string {
  return `input ${label}`
}

export function routeName(input: string, output: string): string {
  return `route ${input} > ${output}`
}

/** Events that the two sides differ by: anything but 0 is a bug. */
export function imbalance({ account, buffered }: LedgerRow): number {
  const { ingested, added, recovered, delivered, filtered } = account
  return ingested + added + recovered - delivered - filtered - droppedOf(account) - buffered
}

/** `input tail.0: 12 ingested + 0 added + 0 recovered = 9 delivered + 1 filtered + 2 dropped (no_retries 2) + 0 buffered` */
export function rowText(row: LedgerRow): string {
  const { name, account, buffered } = row
  const { ingested, added, recovered, delivered, filtered } = account
  const reasons = [...account.dropped].map(([reason, events]) => `${reason} ${events}`).join(', ')
  const difference = imbalance(row)
  return (
    `${name}: ${ingested} ingested + ${added} added + ${recovered} recovered = ` +
    `${delivered} delivered + ${filtered} filtered + ` +
    `${droppedOf(account)} dropped${reasons === '' ? '' : ` (${reasons})`} + ${buffered} buffered` +
    (difference === 0 ? '' : ` (BUG: differs by ${difference})`)
  )
}

function droppedOf(account: Account): number {
  let sum = 0
  for (const events of account.dropped.values()) sum += events
  return sum
}

function accountOf(
  entries: Map<string, Entry>,
  name: string,
  input: string,
  output: string | undefined
): Account {
  let entry = entries.get(name)
  if (entry === undefined) {
    entry = { input, output, account: new Account() }
    entries.set(name, entry)
  }
  return entry.account
}
