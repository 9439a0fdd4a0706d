/**
 * Tags: matching them against `match`, and making them from file paths.
 * Source: Fluent Bit 5.1.1 src/flb_router.c router_match(), plugins/in_tail/tail_file.c tag_compose(); reference 5.
 */

/**
 * Compiles a `match` pattern. `*` stands for any characters, also none and dots; nothing else is special, and the
 * whole tag must match.
 */
export function compileMatch(pattern: string): (tag: string) => boolean {
  const pieces = pattern.split(/\*+/)
  if (pieces.length === 1) return tag => tag === pattern
  const first = pieces[0]
  const last = pieces[pieces.length - 1]
  const middle = pieces.slice(1, -1)
  if (middle.length > 0) return tag => matchesPieces(tag, first, middle, last)
  if (last === '') return first === '' ? () => true : tag => tag.startsWith(first)
  const lengthMin = first.length + last.length
  return tag => tag.length >= lengthMin && tag.startsWith(first) && tag.endsWith(last)
}

/** The earliest place for each middle piece leaves the most room for those after it. */
function matchesPieces(
  tag: string,
  first: string,
  middle: readonly string[],
  last: string
): boolean {
  if (!tag.startsWith(first)) return false
  let at = first.length
  for (const piece of middle) {
    const found = tag.indexOf(piece, at)
    if (found < 0) return false
    at = found + piece.length
  }
  return tag.length - last.length >= at && tag.endsWith(last)
}

/** Part `index` (from 0) of a tag split at its dots; the empty string when there is none. */
export function tagPart(tag: string, index: number): string {
  let start = 0
  for (let skipped = 0; skipped < index; skipped++) {
    const dot = tag.indexOf('.', start)
    if (dot < 0) return ''
    start = dot + 1
  }
  const end = tag.indexOf('.', start)
  return end < 0 ? tag.slice(start) : tag.slice(start, end)
}

/**
 * Replaces the first `*` of a tag by a file's path and cleans up the whole: separators become dots, one dot where
 * several meet, none from a leading separator or at the end, and no `*`.
 *
 * @param tag Holds a `*`; without one it is returned as it is.
 * @param path As matched: a relative path stays relative.
 *
 * @example
 * expandPathTag('kube.*', '/var/log/app/a.log') // 'kube.var.log.app.a.log'
 */
export function expandPathTag(tag: string, path: string): string {
  const star = tag.indexOf('*')
  if (star < 0) return tag
  let expanded = ''
  for (const character of tag.slice(0, star) + path + tag.slice(star + 1)) {
    if (character === '/' || character === '\\' || character === ':') {
      if (expanded !== '' && !expanded.endsWith('.')) expanded += '.'
    } else if (character === '.') {
      if (!expanded.endsWith('.')) expanded += '.'
    } else if (character !== '*') {
      expanded += character
    }
  }
  return expanded.endsWith('.') ? expanded.slice(0, -1) : expanded
}

/**
 * Replaces each `<name>` of a tag by what the group `name` of `tag_regex` matched in a file's path; a group that
 * matched nothing becomes `_`.
 *
 * @returns The tag, or undefined when a `<` has no `>` before the next `<`.
 */
export function expandGroupTag(
  tag: string,
  groups: Readonly<Record<string, string | undefined>>
): string | undefined {
  let expanded = ''
  let at = 0
  for (;;) {
    const open = tag.indexOf('<', at)
    if (open < 0) return expanded + tag.slice(at)
    const close = tag.indexOf('>', open)
    const next = tag.indexOf('<', open + 1)
    if (close < 0 || (next >= 0 && next < close)) return undefined
    const name = tag.slice(open + 1, close)
    const matched = Object.hasOwn(groups, name) ? groups[name] : undefined
    expanded += tag.slice(at, open) + (matched || '_')
    at = close + 1
  }
}
