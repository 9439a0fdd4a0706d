/** What a user's output with a bug answers: no `Delivery`, or one that does not fit its chunk. */
import type { Dice } from './dice.ts'

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
  { kind: 'retry', reason: 'x', waitMs: Number.NaN },
  { kind: 'retry', reason: 'x', waitMs: Number.POSITIVE_INFINITY },
  { kind: 'partial' },
  { kind: 'partial', retry: 3, drop: [] },
  { kind: 'partial', retry: [], drop: [{ reason: 'x' }], reason: '' },
  { kind: 'partial', retry: [], drop: {}, reason: '' }
]

/** @param events Events of the chunk. */
export function wrongAnswer(dice: Dice, events: number): unknown {
  const answer = dice.chance(0.5)
    ? dice.pick(NO_DELIVERIES)
    : { kind: 'partial', reason: 'sim_wrong', ...dice.pick(misfits(events)) }
  return dice.chance(0.5) ? answer : Promise.resolve(answer)
}

/** Numbers of events that cannot be those of a chunk with so many. */
function misfits(events: number): readonly object[] {
  const last = events - 1
  return [
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
    { retry: [], drop: [{ events: [0] }] },
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
