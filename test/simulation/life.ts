/**
 * One run of the program, from its start to its stop or its death. When it dies, nothing that the rest of its code still
 * does may be seen outside: everything that it touches asks here first.
 */

/** Thrown where a run dies. Code under test may catch it; the run is dead all the same. */
export class Crash extends Error {}

/** A crash of the process leaves what it wrote to the page cache; one of the machine only what was synced. */
export type Death = 'process' | 'power'

export class Life {
  /** Counted from 0 over a simulation. */
  readonly number: number
  isAlive = true
  /** True once an orderly stop has begun. */
  isStopping = false
  death: Death | undefined
  readonly #onDeath: () => void
  #fuse: { points: number; readonly death: Death } | undefined

  /** @param onDeath Called at the moment of death, before anything else of the run goes on. */
  constructor(number: number, onDeath: () => void) {
    this.number = number
    this.#onDeath = onDeath
  }

  /** Dies after so many more points: wherever the run is by then. */
  arm(points: number, death: Death): void {
    this.#fuse = { points, death }
  }

  disarm(): void {
    this.#fuse = undefined
  }

  /** A place where the run may die. */
  point(): void {
    if (this.isDue()) this.die()
  }

  /** True when the run is to die here and now, by the caller's hand. Throws when it is dead already. */
  isDue(): boolean {
    if (!this.isAlive) throw new Crash('dead')
    return this.#fuse !== undefined && --this.#fuse.points <= 0
  }

  die(death: Death = this.#fuse?.death ?? 'process'): never {
    this.end(death)
    throw new Crash('dies')
  }

  /** Dies between two steps. */
  end(death: Death): void {
    if (!this.isAlive) return
    this.isAlive = false
    this.death = death
    this.#onDeath()
  }
}
