/**
 * Which outputs a tag goes to, worked out once per tag.
 * Source: Fluent Bit 5.1.1 src/flb_router.c; reference section 5.
 */

/** Something that a tag may match: a filter or an output. */
export interface Matcher {
  readonly matches: (tag: string) => boolean
}

/** Tags that are remembered, and the characters in them. */
const TAGS_MAX = 10_000
const LETTERS_MAX = 1_000_000

/** Remembers for each tag which of a list of instances match it. */
export class Router<T extends Matcher> {
  readonly #targets: readonly T[]
  readonly #byTag = new Map<string, readonly T[]>()
  /** Characters of the tags that are remembered. */
  #letters = 0

  constructor(targets: readonly T[]) {
    this.#targets = targets
  }

  /** All instances whose match covers `tag`, in the order of the configuration. */
  route(tag: string): readonly T[] {
    let found = this.#byTag.get(tag)
    if (found === undefined) {
      found = this.#targets.filter(target => target.matches(tag))
      // Tags can be made from record data: a forgotten one is only worked out again.
      if (this.#byTag.size >= TAGS_MAX || this.#letters >= LETTERS_MAX) {
        this.#byTag.clear()
        this.#letters = 0
      }
      this.#byTag.set(tag, found)
      this.#letters += tag.length
    }
    return found
  }
}
