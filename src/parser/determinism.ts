/**
 * What can be told about a pattern before it meets a text: whether a piece can match in more than
 * one way, where matches start.
 */
import { firstOf, isDisjoint, isNullable, union, type FirstSet } from './first_set.ts'
import type { Piece, RepeatPiece } from './pattern.ts'

/** True when there is at most one way to match the piece before `follow`. */
export function isDeterministic(piece: Piece, follow: FirstSet): boolean {
  switch (piece.kind) {
    case 'set':
    case 'assertion':
      return true
    case 'sequence':
      return isDeterministicSequence(piece.items, follow)
    case 'choice':
      return isDeterministicChoice(piece.options, follow)
    case 'group':
      return isDeterministic(piece.body, follow)
    default:
      return isDeterministicRepeat(piece, follow)
  }
}

function isDeterministicSequence(items: readonly Piece[], follow: FirstSet): boolean {
  let after = follow
  for (const item of items.toReversed()) {
    if (!isDeterministic(item, after)) return false
    after = isNullable(item) ? union(firstOf(item), after) : firstOf(item)
  }
  return true
}

function isDeterministicChoice(options: readonly Piece[], follow: FirstSet): boolean {
  const firsts = options.map(option =>
    isNullable(option) ? union(firstOf(option), follow) : firstOf(option)
  )
  return options.every(
    (option, index) =>
      isDeterministic(option, follow) &&
      firsts.slice(index + 1).every(other => isDisjoint(firsts[index], other))
  )
}

export function isDeterministicRepeat(piece: RepeatPiece, follow: FirstSet): boolean {
  const { body, min, max } = piece
  const first = firstOf(body)
  if (body.kind === 'set') return min === max || isDisjoint(first, follow)
  if (isNullable(body) || groupsIn(body).length > 0) return false
  return isDisjoint(first, follow) && isDeterministic(body, union(first, follow))
}

/** The place that every match of the pattern must start at. */
export function startOf(piece: Piece): 'text start' | 'line start' | 'anywhere' {
  if (piece.kind === 'assertion' && (piece.at === 'text start' || piece.at === 'line start')) {
    return piece.at
  }
  if (piece.kind === 'group') return startOf(piece.body)
  if (piece.kind === 'sequence' && piece.items.length > 0) return startOf(piece.items[0])
  if (piece.kind !== 'choice') return 'anywhere'
  const starts = piece.options.map(startOf)
  if (starts.includes('anywhere')) return 'anywhere'
  return starts.includes('line start') ? 'line start' : 'text start'
}

/** Numbers of the groups in a piece. */
export function groupsIn(piece: Piece): number[] {
  switch (piece.kind) {
    case 'sequence':
      return piece.items.flatMap(groupsIn)
    case 'choice':
      return piece.options.flatMap(groupsIn)
    case 'repeat':
      return groupsIn(piece.body)
    case 'group':
      return [piece.number, ...groupsIn(piece.body)]
    default:
      return []
  }
}
