/**
 * Sets of code points as sorted ranges, for rewriting character classes of regular expressions.
 * Only used while a configuration is loaded.
 */

/** Sorted, disjoint, not adjacent ranges, both ends included. */
export type CharSet = readonly (readonly [min: number, max: number])[]

const CODE_POINT_MAX = 0x10ffff

/** Sorts and merges ranges in any order. */
export function charSet(ranges: readonly (readonly [number, number])[]): CharSet {
  const merged: [number, number][] = []
  for (const [min, max] of ranges.toSorted((left, right) => left[0] - right[0])) {
    const last = merged.at(-1)
    if (last !== undefined && min <= last[1] + 1) last[1] = Math.max(last[1], max)
    else merged.push([min, max])
  }
  return merged
}

export function complement(set: CharSet): CharSet {
  const ranges: [number, number][] = []
  let next = 0
  for (const [min, max] of set) {
    if (min > next) ranges.push([next, min - 1])
    next = max + 1
  }
  if (next <= CODE_POINT_MAX) ranges.push([next, CODE_POINT_MAX])
  return ranges
}

export function intersection(left: CharSet, right: CharSet): CharSet {
  return complement(charSet([...complement(left), ...complement(right)]))
}

export function hasChar(set: CharSet, code: number): boolean {
  return set.some(([min, max]) => min <= code && code <= max)
}

/**
 * Adds the other case of every ASCII letter, and the ASCII letters that U+017F and U+212A fold to.
 */
export function foldAsciiCase(set: CharSet): CharSet {
  const ranges: [number, number][] = set.map(([min, max]) => [min, max])
  for (let upper = 0x41; upper <= 0x5a; upper++) {
    const lower = upper + 0x20
    if (hasChar(set, upper) || hasChar(set, lower)) ranges.push([upper, upper], [lower, lower])
  }
  if (hasChar(set, 0x17f)) ranges.push([0x53, 0x53], [0x73, 0x73])
  if (hasChar(set, 0x212a)) ranges.push([0x4b, 0x4b], [0x6b, 0x6b])
  return charSet(ranges)
}

/**
 * The set as JavaScript regular expression text without the `u` or `v` flag. Code points beyond
 * U+FFFF are left out: such texts are matched by another form of the pattern.
 */
export function charSetText(set: CharSet): string {
  if (set.length === 1 && set[0][0] === set[0][1] && set[0][0] <= 0xffff) return charText(set[0][0])
  const negative = complement(set)
  return set.length > negative.length || hasChar(set, 0xffff)
    ? `[^${rangesText(negative)}]`
    : `[${rangesText(set)}]`
}

/** One character as regular expression text, inside or outside a class. */
function charText(code: number): string {
  if (code > 0x7e || code < 0x20) return `\\u${code.toString(16).padStart(4, '0')}`
  const char = String.fromCharCode(code)
  return /[a-zA-Z0-9 _"'<>=:;,!@#%&~`]/.test(char) ? char : `\\${char}`
}

function rangesText(set: CharSet): string {
  let text = ''
  for (const [min, max] of set) {
    if (min > 0xffff) break
    const end = Math.min(max, 0xffff)
    text += charText(min)
    if (end > min) text += `${end > min + 1 ? '-' : ''}${charText(end)}`
  }
  return text
}
