/** Compares two runs of a case. */
import type { ParityCase, RunResult } from './case.ts'
import { DIFFERENCES, type MeantDifference } from './differences.ts'

/** How a program ends that refuses its configuration. */
const REFUSALS = ['exit 1', 'exit 255']

/** True when the program ended without doing anything: what it then logs follows another grammar here. */
export function isRefusal({ end, stdout, files }: RunResult): boolean {
  return REFUSALS.includes(end) && stdout === '' && files.size === 0
}

/** Names of the parts that differ: `stdout`, `log`, `end` or a file's path; empty when the runs are alike. */
export function differingParts(
  { name }: ParityCase,
  expected: RunResult,
  actual: RunResult
): string[] {
  const meant = DIFFERENCES.filter(({ cases }) => cases.test(name))
  const differ = (one: string, other: string): boolean =>
    without(one, meant) !== without(other, meant)
  const parts = ['stdout', 'log', 'end'].filter(part => {
    if (part === 'log' && isRefusal(expected)) return false
    return differ(partOf(expected, part), partOf(actual, part))
  })
  const paths = new Set([...expected.files.keys(), ...actual.files.keys()])
  return [
    ...parts,
    ...[...paths].filter(path => differ(partOf(expected, path), partOf(actual, path)))
  ]
}

/** The text of a part; a file that is missing reads so. */
export function partOf(result: RunResult, part: string): string {
  if (part === 'stdout' || part === 'log' || part === 'end') return result[part]
  return result.files.get(part) ?? '(no such file)'
}

/** Without the lines that are meant to differ. */
function without(text: string, meant: readonly MeantDifference[]): string {
  if (meant.length === 0) return text
  return text
    .split('\n')
    .filter(line => !meant.some(difference => difference.line.test(line)))
    .join('\n')
}

/** A part of both runs as lines that are only in one of them, for a person to read. */
export function describePart(expected: RunResult, actual: RunResult, part: string): string {
  const ours = partOf(actual, part).split('\n')
  const theirs = partOf(expected, part).split('\n')
  const lines: string[] = []
  for (let index = 0; index < Math.max(ours.length, theirs.length) && lines.length < 20; index++) {
    if (ours[index] === theirs[index]) continue
    const from = firstDifference(theirs[index] ?? '', ours[index] ?? '')
    if (index in theirs) lines.push(`  fluent-bit ${index + 1}: ${shown(theirs[index], from)}`)
    if (index in ours) lines.push(`  spillway   ${index + 1}: ${shown(ours[index], from)}`)
  }
  return lines.join('\n')
}

function firstDifference(one: string, other: string): number {
  let index = 0
  while (index < one.length && one[index] === other[index]) index++
  return index
}

/** Characters that are shown of a line, and of these before the first difference. */
const SHOWN_MAX = 300
const SHOWN_BEFORE = 100

/** The part of a line that differs; bytes that a terminal cannot show are written as escapes. */
function shown(line: string, from: number): string {
  const start = from < SHOWN_MAX - SHOWN_BEFORE ? 0 : from - SHOWN_BEFORE
  const end = start + SHOWN_MAX
  // oxlint-disable-next-line no-control-regex
  const escaped = line.slice(start, end).replace(/[\x00-\x08\x0b-\x1f\x7f-\xff]/g, byte => {
    return `\\x${byte.charCodeAt(0).toString(16).padStart(2, '0')}`
  })
  return `${start > 0 ? '…' : ''}${escaped}${end < line.length ? '…' : ''}`
}
