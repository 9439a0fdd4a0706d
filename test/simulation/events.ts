/** Events of a simulation: each has a name in its body, by which it is known wherever it comes out. */
import { encodeEvent } from '../harness/odd_events.ts'
import { MsgpackWriter } from '../../src/codec/msgpack_writer.ts'
import { EVENT_HEADER_BYTES } from '../../src/record/event.ts'
import type { InputPlan, Level, Plan } from './plan.ts'

/** `s0:0000012`. */
const KEY_BYTES = 10

/** Where the key's text starts: behind the head, the map's byte, `id` and the text's byte. */
const KEY_AT = EVENT_HEADER_BYTES + 5

export interface SimEvent {
  readonly key: string
  /** Number of its input. */
  readonly source: number
  readonly tag: string
  readonly level: Level
  readonly bytes: Buffer
  /** Numbers of its commits, counted over the whole simulation. */
  readonly commits: number[]
  /** Configurations under which it was committed. */
  readonly plans: Plan[]
  /** Where it must come to: `OUTPUT TAG`, and whether a route chose the output. */
  required: ReadonlyMap<string, boolean> | undefined
  /** What is stored of it is synced. */
  isSynced: boolean
  /** Runs in which it was committed first and last. */
  firstLife: number | undefined
  lastLife: number | undefined
  /** Its last commit has returned. */
  isHandedOver: boolean
  /** The program may have lost it: it was only in the memory of a run that died, or not synced. */
  isAtRisk: boolean
}

export function newEvent(
  place: { readonly source: number; readonly tag: string },
  number: number,
  level: Level,
  textBytes: number
): SimEvent {
  const key = `s${place.source}:${String(number).padStart(KEY_BYTES - 3, '0')}`
  const body = { id: key, level, text: String(number % 10).repeat(textBytes) }
  return {
    key,
    source: place.source,
    tag: place.tag,
    level,
    bytes: encodeEvent([1_700_000_000 + number, number], body),
    commits: [],
    plans: [],
    required: undefined,
    isSynced: false,
    firstLife: undefined,
    lastLife: undefined,
    isHandedOver: false,
    isAtRisk: false
  }
}

/** The input of an event as it was when it brought it last. */
export function inputOf({ plans, source }: SimEvent): InputPlan | undefined {
  return plans.at(-1)?.inputs[source]
}

/** The key of the event that starts at a position; undefined when there is none of ours. */
export function keyAt(bytes: Buffer, at: number): string | undefined {
  const start = at + KEY_AT
  if (start + KEY_BYTES > bytes.length) return undefined
  return bytes.latin1Slice(start, start + KEY_BYTES)
}

/** The bytes of an event to whose body keys were added. */
export class Variants {
  readonly #bytes = new Map<string, Buffer>()

  of(event: SimEvent, added: readonly string[]): Buffer {
    if (added.length === 0) return event.bytes
    const name = `${event.key} ${added.join(' ')}`
    let bytes = this.#bytes.get(name)
    if (bytes === undefined) {
      bytes = withKeys(event.bytes, added)
      this.#bytes.set(name, bytes)
    }
    return bytes
  }
}

function withKeys(bytes: Buffer, added: readonly string[]): Buffer {
  const out = new MsgpackWriter(bytes.length + added.length * 16)
  out.raw(bytes, 0, bytes.length)
  for (const key of added) {
    out.value(key)
    out.value('yes')
  }
  const changed = Buffer.from(out.written())
  changed[EVENT_HEADER_BYTES] += added.length
  return changed
}
