/**
 * Bugs of the program that are known and not repaired yet. What shows them is left out of the simulation, so that other
 * bugs are found, and comes back with `npm run simulate -- --known NAME`. An entry goes away with its bug.
 */
export const KNOWN_BUGS = {
  failing_close: 'an error of a close ends the program, or leaves a chunk on its way for ever',
  hidden_letters: 'a crash leaves a half-written dead letter under a hidden name for ever',
  ring_after_stop:
    'events that an input hands over at its stop evict chunks of a memrb input that were given up at the stop: their receipts are called',
  two_readers: 'of two readers of an input that wait with ready() only the last is woken'
} as const

export type KnownBug = keyof typeof KNOWN_BUGS

/** The known bugs that are to be shown all the same. */
export type Shown = ReadonlySet<KnownBug>
