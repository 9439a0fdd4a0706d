/** Choices of a seed, in words that read like what they decide. */
import { seededRandom } from '../harness/random.ts'

export class Dice {
  /** Uniform in [0, 1). */
  readonly random: () => number

  /** @param seed Whole number; `stream` keeps choices of different subjects apart. */
  constructor(seed: number, stream: number) {
    // Neighbouring seeds must not give neighbouring sequences.
    this.random = seededRandom(Math.imul(seed, 0x9e3779b1) ^ Math.imul(stream + 1, 0x85ebca6b))
  }

  chance(probability: number): boolean {
    return probability > 0 && this.random() < probability
  }

  /** Whole number from `least` to `most`, both included. */
  int(least: number, most: number): number {
    return least + Math.floor(this.random() * (most - least + 1))
  }

  pick<T>(list: readonly T[]): T {
    return list[Math.floor(this.random() * list.length)]
  }

  /** One of the keys, as often as its weight says. */
  weighted<K extends string>(weights: Readonly<Partial<Record<K, number>>>): K {
    const entries = Object.entries(weights) as [K, number][]
    let left = this.random() * entries.reduce((sum, [, weight]) => sum + weight, 0)
    for (const [key, weight] of entries) {
      left -= weight
      if (left < 0) return key
    }
    return entries[entries.length - 1][0]
  }

  /** Some of a list, each with the same probability, in order. */
  some<T>(list: readonly T[], probability: number): T[] {
    return list.filter(() => this.chance(probability))
  }
}
