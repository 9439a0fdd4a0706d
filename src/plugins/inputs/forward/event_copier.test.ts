import assert from 'node:assert/strict'
import { test } from 'node:test'
import { EVENT_TIME, packed } from '../../../../test/harness/forward.ts'
import { seededRandom } from '../../../../test/harness/random.ts'
import { skipChecked } from '../../../codec/msgpack_reader.ts'
import { type Encodable, Extension, Float, MsgpackWriter } from '../../../codec/msgpack_writer.ts'
import { decodeEvents } from '../../../record/event.ts'
import { EventCopier } from './event_copier.ts'

const HEAD = '9292d7006553f100075bcd15'

interface Copied {
  readonly hex: string
  readonly written: number
  readonly dropped: number
  readonly droppedBytes: number
}

function copy(source: Buffer, count?: number): Copied {
  const copier = new EventCopier()
  const out = new MsgpackWriter(16)
  copier.copy(source, 0, source.length, out, count)
  const { written, dropped, droppedBytes } = copier
  return { hex: out.written().toString('hex'), written, dropped, droppedBytes }
}

const BODY = { a: 1 }
const BODY_HEX = '81a16101'

/** What is copied: the event, and how it lies in the chunk. */
const FORMS: readonly (readonly [title: string, event: Buffer, hex: string])[] = [
  ['an EventTime', packed([EVENT_TIME, BODY]), `${HEAD}80${BODY_HEX}`],
  ['metadata', packed([[EVENT_TIME, { m: 1 }], BODY]), `${HEAD}81a16d01${BODY_HEX}`],
  ['empty metadata', packed([[EVENT_TIME, {}], BODY]), `${HEAD}80${BODY_HEX}`],
  ['an integer time', packed([1_700_000_000, BODY]), `9292d7006553f1000000000080${BODY_HEX}`],
  [
    'an integer time and metadata',
    packed([[1, { m: 1 }], BODY]),
    `9292d700000000010000000081a16d01${BODY_HEX}`
  ],
  ['a float time', packed([1.5, BODY]), `9292d700000000011dcd650080${BODY_HEX}`],
  ['a whole float', packed([new Float(2), BODY]), `9292d700000000020000000080${BODY_HEX}`],
  [
    'a time of 8 bits of length',
    Buffer.from(`92c708006553f100075bcd15${BODY_HEX}`, 'hex'),
    `${HEAD}80${BODY_HEX}`
  ],
  [
    'long array headers',
    Buffer.from(`dc0002dd00000002d7006553f100075bcd1580${BODY_HEX}`, 'hex'),
    `${HEAD}80${BODY_HEX}`
  ],
  ['an empty body', packed([EVENT_TIME, {}]), `${HEAD}8080`],
  [
    'the start of a group',
    Buffer.from('9292d700ffffffff0000000081a1670181a17201', 'hex'),
    '9292d700ffffffff0000000081a1670181a17201'
  ],
  [
    'the latest time',
    Buffer.from(`92d700fffffffd3b9ac9ff${BODY_HEX}`, 'hex'),
    `9292d700fffffffd3b9ac9ff80${BODY_HEX}`
  ]
]

for (const [title, event, hex] of FORMS) {
  test(`an event with ${title} is copied`, () => {
    assert.deepEqual(copy(event), { hex, written: 1, dropped: 0, droppedBytes: 0 })
  })
}

/** Values that are no events. */
const BAD: readonly (readonly [title: string, value: Encodable])[] = [
  ['a number', 1],
  ['a map', BODY],
  ['an array of three', [EVENT_TIME, BODY, 1]],
  ['no map as its body', [EVENT_TIME, [1]]],
  ['no map as metadata', [[EVENT_TIME, 1], BODY]],
  ['a head of one', [[EVENT_TIME], BODY]],
  ['a text as time', ['1', BODY]],
  ['a negative time', [-1, BODY]],
  ['a time beyond 32 bits', [4_294_967_296, BODY]],
  ['the seconds of a group mark', [4_294_967_295, BODY]],
  ['an endless time', [Number.POSITIVE_INFINITY, BODY]],
  ['no number as time', [Number.NaN, BODY]],
  ['another extension', [new Extension(1, Buffer.alloc(8)), BODY]],
  ['a shorter extension', [new Extension(0, Buffer.alloc(4)), BODY]],
  ['a billion nanoseconds', [new Extension(0, Buffer.from('6553f1003b9aca00', 'hex')), BODY]],
  [
    'more nanoseconds than any time has',
    [new Extension(0, Buffer.from('6553f100ffffffff', 'hex')), BODY]
  ],
  [
    'a group mark with nanoseconds',
    [new Extension(0, Buffer.from('ffffffff00000001', 'hex')), BODY]
  ]
]

for (const [title, value] of BAD) {
  test(`an event that is or has ${title} is dropped alone`, () => {
    const good = packed([EVENT_TIME, BODY])
    const bad = packed(value)
    assert.deepEqual(copy(Buffer.concat([good, bad, good])), {
      hex: `${HEAD}80${BODY_HEX}`.repeat(2),
      written: 2,
      dropped: 1,
      droppedBytes: bad.length
    })
  })
}

test('bytes that are no MessagePack, or end early, cost the rest', () => {
  const good = packed([EVENT_TIME, BODY])
  const other = packed([[EVENT_TIME, { m: 1 }], BODY])
  const tooDeep = Buffer.concat([
    Buffer.from('92d7006553f100075bcd1581a161', 'hex'),
    Buffer.alloc(2000, 0x91),
    Buffer.from([1])
  ])
  const bad: Buffer[] = [
    Buffer.from([0xc1]),
    tooDeep,
    Buffer.from('92d7006553f100075bcd15dfffffffff', 'hex')
  ]
  for (let cut = 1; cut < good.length; cut++) bad.push(good.subarray(0, cut))
  for (let cut = 1; cut < other.length; cut++) bad.push(other.subarray(0, cut))
  for (const end of bad) {
    assert.deepEqual(copy(Buffer.concat([good, end])), {
      hex: `${HEAD}80${BODY_HEX}`,
      written: 1,
      dropped: 1,
      droppedBytes: end.length
    })
  }
})

test('no more events are copied than asked for', () => {
  const copier = new EventCopier()
  const event = packed([EVENT_TIME, BODY])
  const source = Buffer.concat([event, event, event])
  copier.copy(source, 0, source.length, new MsgpackWriter(), 2)
  assert.deepEqual([copier.written, copier.at], [2, event.length * 2])
})

test('long runs of either form are copied whole, one after the other', () => {
  const plain = packed([[EVENT_TIME, {}], { text: 'x'.repeat(200) }])
  const short = packed([EVENT_TIME, { text: 'y'.repeat(200) }])
  const source = Buffer.concat([plain, plain, short, plain, short, short, plain])
  const out = new MsgpackWriter(16)
  const copier = new EventCopier()
  copier.copy(source, 0, source.length, out)
  const texts = [...decodeEvents(out.written())].map(
    ({ body }) => (body as Map<string, string>).get('text')?.[0]
  )
  assert.equal(texts.join(''), 'xxyxyyx')
})

test('what is copied from any bytes is events of whole MessagePack', () => {
  const random = seededRandom(51)
  const seed = Buffer.concat(FORMS.map(([, event]) => event))
  for (let round = 0; round < 30_000; round++) {
    const source = Buffer.from(seed)
    for (let change = Math.floor(random() * 5); change >= 0; change--) {
      source[Math.floor(random() * source.length)] = Math.floor(random() * 256)
    }
    const { hex, written } = copy(source.subarray(Math.floor(random() * 20)))
    const bytes = Buffer.from(hex, 'hex')
    let count = 0
    for (let at = 0; at < bytes.length; count++) {
      at = skipChecked(bytes, at, bytes.length)
      assert.ok(at > 0, hex)
    }
    assert.equal(count, written)
    assert.equal([...decodeEvents(bytes)].length, written)
  }
})
