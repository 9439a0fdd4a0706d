/** What a user's output with a bug answers: no `Delivery`, or one that does not fit its chunk. */
import type { Dice } from './dice.ts'
import type { Shown } from './known_bugs.ts'

const NO_DELIVERIES: readonly unknown[] = [
  undefined,
  null,
  true,
  'ok',
  200,
  {},
  [],
  { kind: 'OK' },
  { kind: 'fine', reason: 'no such kind' },
  { kind: 'retry' },
  { kind: 'retry', reason: 'x', waitMs: -1_000 },
  { kind: 'partial' },
  { kind: 'partial', retry: 3, drop: [] },
  { kind: 'partial', retry: [], drop: [{ reason: 'x' }], reason: '' },
  { kind: 'partial', retry: [], drop: {}, reason: '' }
]

const BAD_WAITS: readonly unknown[] = [
  { kind: 'retry', reason: 'x', waitMs: Number.NaN },
  { kind: 'retry', reason: 'x', waitMs: Number.POSITIVE_INFINITY }
]

/** @param events Events of the chunk. */
export function wrongAnswer(dice: Dice, events: number, shown: Shown): unknown {
  if (shown.has('bad_waits') && dice.chance(0.1)) return dice.pick(BAD_WAITS)
  const answer = dice.chance(0.5)
    ? dice.pick(NO_DELIVERIES)
    : { kind: 'partial', reason: 'sim_wrong', ...dice.pick(misfits(events, shown)) }
  return dice.chance(0.5) ? answer : Promise.resolve(answer)
}

/** Numbers of events that cannot be those of a chunk with so many. */
function misfits(events: number, shown: Shown): readonly object[] {
  const last = events - 1
  const nameless = [{ retry: [], drop: [{ events: [0] }] }]
  return [
    ...(shown.has('nameless_drops') ? nameless : []),
    { retry: [events], drop: [] },
    { retry: [events + 100], drop: [] },
    { retry: [-1], drop: [] },
    { retry: [0.5], drop: [] },
    { retry: [Number.NaN], drop: [] },
    { retry: ['0'], drop: [] },
    { retry: [0, 0], drop: [] },
    { retry: [last, -1], drop: [] },
    { retry: [], drop: [{ reason: 'x', events: [events] }] },
    { retry: [0], drop: [{ reason: 'x', events: [0] }] },
    { retry: [], drop: [null] },
    {
      retry: [],
      drop: [
        { reason: 'x', events: [0] },
        { reason: 'y', events: [0] }
      ]
    }
  ]
}
