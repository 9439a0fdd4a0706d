/**
 * Events that are hard to print: every MessagePack type, odd numbers, bytes that are not UTF-8, repeated keys. Tests of
 * outputs push them and compare with what Fluent Bit 5.1.1 printed for the same bytes, received by its input forward.
 */
import type { Signal } from '../../src/base/signal.ts'
import { type Encodable, MsgpackWriter } from '../../src/codec/msgpack_writer.ts'
import type { InputContext } from '../../src/plugin/context.ts'
import { defineInput, type Plugin } from '../../src/plugin/define.ts'
import { writeEventHeader } from '../../src/record/event.ts'

/** Part of an event that is encoded already. */
export class Encoded {
  readonly bytes: Buffer

  /** @param hex The MessagePack of one value. */
  constructor(hex: string) {
    this.bytes = Buffer.from(hex, 'hex')
  }
}

export type Pair = readonly [key: Encodable | Encoded, value: Encodable | Encoded]

/** A body: an object, or pairs where keys repeat or are no text. */
export type Body = readonly Pair[] | Readonly<Record<string, Encodable | Encoded>>

/** Encodes an event, repeated keys and all. */
export function encodeEvent(
  time: readonly [seconds: number, nanoseconds: number],
  body: Body,
  metadata?: Encodable
): Buffer {
  const pairs: readonly Pair[] = isPairs(body) ? body : Object.entries(body)
  const out = new MsgpackWriter()
  writeEventHeader(out, time[0], time[1])
  if (metadata !== undefined) {
    out.length--
    out.value(metadata)
  }
  out.mapHeader(pairs.length)
  for (const value of pairs.flat()) {
    if (value instanceof Encoded) out.raw(value.bytes, 0, value.bytes.length)
    else out.value(value)
  }
  return Buffer.from(out.written())
}

function isPairs(body: Body): body is readonly Pair[] {
  return Array.isArray(body)
}

/** The input `encoded`, which takes encoded events; for `PipelineOptions.plugins`. */
export class EncodedInput {
  #context: InputContext | undefined

  readonly plugin: Plugin = defineInput({
    name: 'encoded',
    summary: 'What a test has encoded',
    options: {},
    create: (_, context) => ({
      start: () => {
        this.#context = context
      }
    })
  })

  push(tag: string, ...events: readonly Buffer[]): void {
    this.pushAs('logs', tag, ...events)
  }

  pushAs(signal: Signal, tag: string, ...events: readonly Buffer[]): void {
    if (this.#context === undefined) throw new Error('the configuration has no input encoded')
    const sink = this.#context.sink(tag, signal)
    for (const event of events) {
      sink.writer.raw(event, 0, event.length)
      sink.commit(1)
    }
  }
}

const SECONDS = 1_700_000_000

const BODIES: readonly (readonly Pair[])[] = [
  [
    ['message', 'abc'],
    ['n', 1],
    ['neg', -5]
  ],
  [
    ['one', new Encoded('cb3ff0000000000000')],
    ['tenth', 0.1],
    ['1e20', new Encoded('cb4415af1d78b58c40')],
    ['-0', -0],
    ['float32', new Encoded('ca3fc00000')],
    ['third', 1 / 3],
    ['1e-7', 1e-7]
  ],
  [
    ['nan', Number.NaN],
    ['inf', Number.POSITIVE_INFINITY],
    ['-inf', Number.NEGATIVE_INFINITY]
  ],
  [
    ['u64', 2n ** 64n - 1n],
    ['i64', -(2n ** 63n)],
    ['odd', 2n ** 53n + 1n],
    ['i32', -(2 ** 31)]
  ],
  [
    ['nil', null],
    ['yes', true],
    ['no', false],
    ['map', { a: { b: ['', 2.5, {}], c: 10 } }],
    ['list', [1, 'x', [2, { k: 'v' }]]],
    ['none', []]
  ],
  [
    ['broken', new Encoded('a561fffe62c3')],
    ['control', '\u0000\u0001\t\n\r\b\f\u001f\u007f'],
    ['quotes', '"\\/'],
    ['wide', 'h\u00e9llo \u{1f600} \u0451']
  ],
  [
    ['k', 1],
    ['a', 'x'],
    ['k', 2]
  ],
  [],
  [
    ['bin', new Encoded('c4080022615c7f80ff0a')],
    ['ext', new Encoded('d60501226180')]
  ],
  [
    [1, 'int key'],
    [null, 'nil key'],
    [true, 'bool'],
    [[1], 'array key']
  ],
  [
    ['time', 'record time'],
    ['date', 'record date'],
    ['t', 'tee'],
    ['message', { a: 1 }],
    ['log', 'x']
  ]
]

/** One event of each kind, a second and 7 ns apart, then one with metadata. */
export const ODD_EVENTS: readonly Buffer[] = [
  ...BODIES.map((pairs, index) => encodeEvent([SECONDS + index, 123_456_789 + index * 7], pairs)),
  encodeEvent(
    [SECONDS + 100, 5],
    [
      ['message', 'abc'],
      ['n', 1]
    ],
    { m: 'x', n: 1 }
  )
]
