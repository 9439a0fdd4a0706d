/**
 * The keys of a map, remembered: records of one source have the same keys in the same order, so that a map need not
 * be searched for repeated keys when it has those of an earlier one.
 *
 * @hot bench/pipelines.ts
 */
import { ESCAPE, PLAIN } from './json_text.ts'
import { skip } from './msgpack_reader.ts'

/** Keys of maps that are remembered: records of one source have the same ones in the same order. */
export const LAYOUT_KEYS_MAX = 31

/** A key of a layout has at most 31 bytes and its header: what reading it by words may touch. */
export const KEY_WORDS_BYTES = 36

/** The keys of a map, as words of four bytes to compare and to write, and how often maps of their number had others. */
export class KeyLayout {
  /** The keys as MessagePack strings, padded to words; `masks` blanks out what follows a key in its last word. */
  readonly keys: Int32Array
  readonly masks: Int32Array
  /** Position after each key in `keys`, and its length in bytes. */
  readonly keyEnds: Int32Array
  readonly keyBytes: Int32Array
  /** `"key":` of each key, padded to words, and the position after it. */
  readonly json: Int32Array
  readonly jsonEnds: Int32Array
  #misses = 0

  /** @param names The keys without their headers; undefined makes a layout that no map has. */
  constructor(names: readonly Buffer[] | undefined) {
    const keys = (names ?? []).map(key => Buffer.concat([Buffer.of(0xa0 | key.length), key]))
    const json = (names ?? []).map(key => Buffer.from(`"${key.toString('latin1')}":`, 'latin1'))
    this.keys = wordsOf(keys)
    this.masks = wordsOf(keys.map(key => Buffer.alloc(key.length, 0xff)))
    this.keyEnds = wordEnds(keys)
    this.keyBytes = Int32Array.from(keys, key => key.length)
    this.json = wordsOf(json)
    this.jsonEnds = wordEnds(json)
  }

  /** True at the first miss, the second, the fourth and so on: maps that never repeat cost little. */
  isDueAgain(): boolean {
    const misses = ++this.#misses
    return (misses & (misses - 1)) === 0
  }
}

/** Texts one after the other, each padded with zeros to words of four bytes. */
function wordsOf(texts: readonly Buffer[]): Int32Array {
  const words: number[] = []
  for (const text of texts) {
    const padded = Buffer.alloc(Math.ceil(text.length / 4) * 4)
    text.copy(padded)
    for (let at = 0; at < padded.length; at += 4) words.push(padded.readInt32LE(at))
  }
  return Int32Array.from(words)
}

function wordEnds(texts: readonly Buffer[]): Int32Array {
  let end = 0
  return Int32Array.from(texts, text => (end += Math.ceil(text.length / 4)))
}

/** Remembers the keys of the map whose pairs start at `at`, if they are short, plain and all different. */
export function learnKeys(source: Buffer, at: number, count: number): KeyLayout {
  const names: Buffer[] = []
  for (let left = count; left > 0; left--) {
    const end = skip(source, at)
    const length = end - at - 1
    if (length > 31 || source[at] !== (0xa0 | length)) return new KeyLayout(undefined)
    const name = Buffer.from(source.subarray(at + 1, end))
    if (name.some(byte => ESCAPE[byte] !== PLAIN)) return new KeyLayout(undefined)
    names.push(name)
    at = skip(source, end)
  }
  const different = new Set(names.map(name => name.toString('latin1')))
  return new KeyLayout(different.size === count ? names : undefined)
}
