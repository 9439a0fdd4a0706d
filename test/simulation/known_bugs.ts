/**
 * Bugs of the program that are known and not repaired yet. What shows them is left out of the simulation, so that other
 * bugs are found, and comes back with `npm run simulate -- --known NAME`. An entry goes away with its bug.
 */
export const KNOWN_BUGS = {
  hidden_letters: 'a crash leaves a half-written dead letter under a hidden name for ever'
} as const

export type KnownBug = keyof typeof KNOWN_BUGS

/** The known bugs that are to be shown all the same. */
export type Shown = ReadonlySet<KnownBug>
