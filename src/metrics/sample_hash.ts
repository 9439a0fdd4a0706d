/**
 * The number that cmetrics gives each sample of a family.
 * Source: Fluent Bit 5.1.1 lib/cmetrics/src/cmt_map.c map_metric_get_unlocked().
 */
import { xxh3 } from '../codec/xxh3.ts'
import type { SampleParts } from './model.ts'

/** What is hashed, as far as it is ASCII and fits: half of the time goes when no buffer is made for it. */
const SCRATCH = Buffer.alloc(1024)

/**
 * The hash that the sample came with, or that of its name and labels; zero where it has none.
 *
 * @param name The full name of the family.
 */
export function hashOf(name: string, { hash, labels }: SampleParts): bigint {
  if (hash !== undefined) return hash
  if (labels.length === 0) return 0n
  let length = copied(name, 0)
  for (const label of labels) length = copied(label ?? '_NULL_', length)
  if (length >= 0) return xxh3(SCRATCH.subarray(0, length))
  return xxh3(Buffer.from(name + labels.map(label => label ?? '_NULL_').join('')))
}

/** The position after the text in SCRATCH, or -1 where that does not take it. */
function copied(text: string, at: number): number {
  if (at < 0 || at + text.length > SCRATCH.length) return -1
  for (let index = 0; index < text.length; index++) {
    const code = text.charCodeAt(index)
    if (code > 0x7f) return -1
    SCRATCH[at++] = code
  }
  return at
}
