/** What is meant to differ from Fluent Bit in the cases, and why. */

export interface MeantDifference {
  /** Cases that it shows in. */
  readonly cases: RegExp
  /** Lines that are left out of the comparison, on both sides. */
  readonly line: RegExp
  readonly reason: string
}

export const DIFFERENCES: readonly MeantDifference[] = []

/** Golden configurations that one program is meant to accept and the other to refuse. */
export const VERDICTS: readonly { readonly cases: RegExp; readonly reason: string }[] = []
