import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { decode } from '../codec/msgpack_reader.ts'
import { type Encodable, Float, MsgpackWriter } from '../codec/msgpack_writer.ts'
import { eventBodyAt, writeEventHeader } from './event.ts'
import { constant, EventView, Key } from './event_view.ts'
import { KeyPattern } from './key_pattern.ts'

type Pairs = readonly (readonly [key: string, value: number])[]

/** An event with this body, which is `Encodable` or MessagePack. */
function eventOf(body: Encodable | Buffer): Buffer {
  const out = new MsgpackWriter(64)
  writeEventHeader(out, 1_700_000_000, 123_456_789)
  if (Buffer.isBuffer(body)) out.raw(body, 0, body.length)
  else out.value(body)
  return Buffer.from(out.written())
}

function load(event: Buffer): EventView {
  const view = new EventView()
  view.load(event, 0)
  return view
}

/** A view of `{a: 1, b: 2, c: 3}`. */
function abc(): EventView {
  return load(eventOf({ a: 1, b: 2, c: 3 }))
}

function encoded(view: EventView): Buffer {
  const out = new MsgpackWriter(16)
  view.encode(out)
  return Buffer.from(out.written())
}

/** The entries that the view encodes, in order. */
function pairs(view: EventView): unknown[] {
  const event = encoded(view)
  const body = decode(event, eventBodyAt(event, 0))
  return body instanceof Map ? [...body] : [body]
}

const A = new Key('a')
const B = new Key('b')
const NEW = constant('new')
const NINE = constant(9)

test('a loaded event tells its time, its place and its entries', () => {
  const first = eventOf({ a: 1 })
  const batch = Buffer.concat([first, eventOf({ b: 'x', c: null })])
  const view = new EventView()
  view.load(batch, 0)
  assert.deepEqual([view.start, view.end, view.size], [0, first.length, 1])
  view.load(batch, view.end)
  assert.deepEqual([view.start, view.end, view.size], [first.length, batch.length, 2])
  assert.deepEqual([view.seconds, view.nanoseconds], [1_700_000_000, 123_456_789])
  assert.deepEqual(
    [view.keyText(0), view.valueText(0), view.keyText(1), view.valueText(1)],
    ['b', 'x', 'c', undefined]
  )
  assert.deepEqual([view.valueType(0), view.valueType(1), view.value(1)], ['string', 'nil', null])
  assert.deepEqual([view.modified, view.bodyIsMap], [false, true])
})

test('an event that nothing changed is encoded byte for byte', () => {
  const bodies = [
    { a: 1, b: new Float(1), c: [null, true, -5, 2n ** 64n - 1n], d: { e: Buffer.from('x') } },
    Buffer.from('81a161ca3fc00000', 'hex'),
    Buffer.from('de0002d9016101dc00010202', 'hex'),
    Buffer.from('82a161a3ff6180a161c0', 'hex'),
    [1, 2],
    'text'
  ]
  for (const body of bodies) {
    const event = eventOf(body)
    assert.deepEqual(encoded(load(event)), event)
  }
})

test('an event that was changed and changed back keeps the bytes of every value', () => {
  // {"a": 32-bit 1.5, "a": not UTF-8, 5 (in three bytes): 1 (in nine), "s" (with a long header): bin}
  const body = Buffer.from(
    '84a161ca3fc00000a161a3ff6180cd0005cf0000000000000001d90173c40101',
    'hex'
  )
  const event = eventOf(body)
  const view = load(event)
  view.append(NEW, NINE)
  view.remove(view.size - 1)
  assert.equal(view.modified, true)
  assert.deepEqual(encoded(view), event)
})

test('a changed map gets the shortest header that holds its size', () => {
  for (const [before, after] of [
    [15, 16],
    [65_535, 65_536]
  ]) {
    const view = load(eventOf(new Map(Array.from({ length: before }, (_, index) => [index, 0]))))
    view.append(NEW, NINE)
    const event = encoded(view)
    const header = after === 16 ? [0xde, 0, 16] : [0xdf, 0, 1, 0, 0]
    assert.deepEqual([...event.subarray(13, 13 + header.length)], header)
    assert.equal(pairs(view).length, after)
  }
})

test('a body that is no map can be looked at and kept, whatever is done to it', () => {
  const event = eventOf([1, 2])
  const view = load(event)
  assert.deepEqual([view.bodyIsMap, view.size, view.find(A)], [false, 0, -1])
  view.set(A, 1)
  assert.deepEqual(encoded(view), event)
})

test('find gives the first entry from a position on whose key is the text', () => {
  const view = load(
    eventOf(Buffer.from('85a16101c4016102a1620301 04a16105'.replaceAll(' ', ''), 'hex'))
  )
  assert.deepEqual([view.find(A), view.find(A, 1), view.find(A, 5), view.find(B)], [0, 4, -1, 2])
  assert.equal(view.find(new Key('')), -1)
})

test('find knows a key by its text, not by the length of its header', () => {
  for (const header of ['a3', 'd903', 'da0003', 'db00000003']) {
    const key = Buffer.concat([
      Buffer.from(`82a17001${header}`, 'hex'),
      Buffer.from('log'),
      Buffer.from([7])
    ])
    const view = load(eventOf(key))
    assert.equal(view.find(new Key('log')), 1)
    assert.equal(view.get(new Key('log')), 7)
    assert.equal(view.keyText(1), 'log')
    view.append(NEW, NINE)
    assert.deepEqual(pairs(view), [
      ['p', 1],
      ['log', 7],
      ['new', 9]
    ])
  }
})

test('findMatching finds binary keys too, and keys that edits brought in', () => {
  const view = load(eventOf(Buffer.from('82a16101c4016202', 'hex')))
  const pattern = new KeyPattern('b')
  assert.deepEqual([view.findMatching(pattern), view.findMatching(pattern, 2)], [1, -1])
  view.rename(0, constant('bb'))
  assert.deepEqual(
    [view.findMatching(new KeyPattern('b', { prefix: true })), view.find(new Key('bb'))],
    [0, 0]
  )
  const start = view.scratch.length
  view.scratch.string('scratched')
  view.renameWithScratch(0, start)
  assert.deepEqual(
    [view.find(new Key('scratched')), view.findMatching(new KeyPattern('scratched'))],
    [0, 0]
  )
  assert.deepEqual(
    [view.keyMatches(1, pattern), view.keyMatchesAny(0, [pattern, new KeyPattern('x')])],
    [true, false]
  )
})

/** [what is done, to a view of {a: 1, b: 2, c: 3}, the entries afterwards] */
const EDITS: readonly (readonly [string, (view: EventView) => void, Pairs])[] = [
  [
    'append',
    view => view.append(NEW, NINE),
    [
      ['a', 1],
      ['b', 2],
      ['c', 3],
      ['new', 9]
    ]
  ],
  [
    'remove the first',
    view => view.remove(0),
    [
      ['b', 2],
      ['c', 3]
    ]
  ],
  [
    'remove the last',
    view => view.remove(2),
    [
      ['a', 1],
      ['b', 2]
    ]
  ],
  ['truncate', view => view.truncate(1), [['a', 1]]],
  [
    'truncate to more than there is',
    view => view.truncate(4),
    [
      ['a', 1],
      ['b', 2],
      ['c', 3]
    ]
  ],
  [
    'rename',
    view => view.rename(1, NEW),
    [
      ['a', 1],
      ['new', 2],
      ['c', 3]
    ]
  ],
  [
    'replace',
    view => view.replace(1, NINE),
    [
      ['a', 1],
      ['b', 9],
      ['c', 3]
    ]
  ],
  [
    'set a key that exists',
    view => view.set(B, 8),
    [
      ['a', 1],
      ['b', 8],
      ['c', 3]
    ]
  ],
  [
    'set a new key',
    view => view.set(new Key('n'), 8),
    [
      ['a', 1],
      ['b', 2],
      ['c', 3],
      ['n', 8]
    ]
  ],
  [
    'copyTo behind',
    view => view.copyTo(0, 1, NEW),
    [
      ['a', 1],
      ['new', 1],
      ['b', 2],
      ['c', 3]
    ]
  ],
  [
    'copyTo in front',
    view => view.copyTo(2, 0, NEW),
    [
      ['new', 3],
      ['a', 1],
      ['b', 2],
      ['c', 3]
    ]
  ],
  [
    'copyTo the end',
    view => view.copyTo(0, 3, NEW),
    [
      ['a', 1],
      ['b', 2],
      ['c', 3],
      ['new', 1]
    ]
  ],
  [
    'move down',
    view => view.move(0, 2),
    [
      ['b', 2],
      ['c', 3],
      ['a', 1]
    ]
  ],
  [
    'move up',
    view => view.move(2, 0),
    [
      ['c', 3],
      ['a', 1],
      ['b', 2]
    ]
  ],
  [
    'move by one',
    view => view.move(1, 2),
    [
      ['a', 1],
      ['c', 3],
      ['b', 2]
    ]
  ],
  [
    'move nowhere',
    view => view.move(1, 1),
    [
      ['a', 1],
      ['b', 2],
      ['c', 3]
    ]
  ],
  [
    'removeMatching',
    view => view.removeMatching(new KeyPattern('b')),
    [
      ['a', 1],
      ['c', 3]
    ]
  ],
  [
    'retainMatching',
    view => view.retainMatching([new KeyPattern('c'), new KeyPattern('a')]),
    [
      ['a', 1],
      ['c', 3]
    ]
  ],
  ['retainMatching nothing', view => view.retainMatching([]), []]
]

for (const [what, edit, expected] of EDITS) {
  test(`${what} changes the entries and their order as it says`, () => {
    const view = abc()
    edit(view)
    assert.deepEqual(pairs(view), expected)
    assert.equal(view.size, expected.length)
    assert.equal(view.modified, !/nowhere|more than/.test(what))
  })
}

test('edits that change nothing leave an event unmodified', () => {
  const view = abc()
  view.removeMatching(new KeyPattern('x'))
  view.retainMatching([new KeyPattern('', { prefix: true })])
  assert.equal(view.takeMatching([new KeyPattern('x')], view.scratch), 0)
  assert.equal(view.modified, false)
})

test('takeMatching writes what it removes', () => {
  const view = abc()
  const out = new MsgpackWriter(16)
  assert.equal(view.takeMatching([new KeyPattern('c'), new KeyPattern('a')], out), 2)
  assert.deepEqual(out.written(), Buffer.from('a16101a16303', 'hex'))
  assert.deepEqual(pairs(view), [['b', 2]])
})

test('computed keys and values are taken from scratch', () => {
  const view = abc()
  let start = view.scratch.length
  view.scratch.string('value')
  view.replaceWithScratch(0, start)
  start = view.scratch.length
  view.scratch.integer(7)
  view.appendScratch(NEW, start)
  const keyStart = view.scratch.length
  view.scratch.string('k')
  const valueStart = view.scratch.length
  view.scratch.integer(8)
  view.appendScratchPair(keyStart, valueStart)
  assert.deepEqual(pairs(view), [
    ['a', 'value'],
    ['b', 2],
    ['c', 3],
    ['new', 7],
    ['k', 8]
  ])
})

test('scratch may grow while entries refer to it', () => {
  const view = abc()
  for (let index = 0; index < 100; index++) {
    const start = view.scratch.length
    view.scratch.string(`${index} ${'x'.repeat(100)}`)
    view.appendScratch(constant(`k${index}`), start)
  }
  const entries = pairs(view)
  assert.deepEqual(entries[3], ['k0', `0 ${'x'.repeat(100)}`])
  assert.deepEqual(entries[102], ['k99', `99 ${'x'.repeat(100)}`])
})

test('maps are added entry by entry, at either end', () => {
  const map = new MsgpackWriter(16)
  map.value({ x: 1, y: { z: 2 } })
  const added = [
    ['x', 1],
    ['y', new Map([['z', 2]])]
  ]
  const views = [abc(), abc(), abc()]
  views[0].appendMap(map.bytes, 0)
  for (const view of views.slice(1)) view.scratch.value({ x: 1, y: { z: 2 } })
  views[1].appendScratchMap(0)
  views[2].prependScratchMap(0)
  const own = [
    ['a', 1],
    ['b', 2],
    ['c', 3]
  ]
  assert.deepEqual(pairs(views[0]), [...own, ...added])
  assert.deepEqual(pairs(views[1]), [...own, ...added])
  assert.deepEqual(pairs(views[2]), [...added, ...own])
  assert.equal(views[2].find(new Key('y')), 1)
})

test('appendInner adds the entries of a map that is a value, wherever that lies', () => {
  const view = load(eventOf({ m: { x: 1, y: { z: 2 } }, e: {} }))
  view.appendInner(0)
  view.appendInner(3)
  view.appendInner(1)
  view.remove(0)
  assert.deepEqual(pairs(view), [
    ['e', new Map()],
    ['x', 1],
    ['y', new Map([['z', 2]])],
    ['z', 2]
  ])
})

test('entries are written one by one, as keys, values or pairs', () => {
  const view = abc()
  view.replace(1, NINE)
  const out = new MsgpackWriter(16)
  view.writeEntry(0, out)
  view.writeEntry(1, out)
  view.writeKey(2, out)
  view.writeValue(2, out)
  assert.deepEqual(out.written(), Buffer.from('a16101a16209a16303', 'hex'))
})

test('time and metadata can be read and replaced', () => {
  const out = new MsgpackWriter(16)
  writeEventHeader(out, 5, 6)
  out.length--
  out.value({ m: 1 })
  out.value({ a: 1 })
  const view = load(out.written())
  assert.deepEqual(view.metadata(), new Map([['m', 1]]))
  view.setTime(4_294_967_293, 999_999_999)
  assert.deepEqual(
    [view.seconds, view.nanoseconds, view.modified],
    [4_294_967_293, 999_999_999, true]
  )
  const again = load(encoded(view))
  assert.deepEqual(
    [again.seconds, again.nanoseconds, again.metadata()],
    [4_294_967_293, 999_999_999, new Map([['m', 1]])]
  )
  view.setMetadata({ other: [2] })
  assert.deepEqual(view.metadata(), new Map([['other', [2]]]))
  assert.deepEqual(load(encoded(view)).metadata(), new Map([['other', [2]]]))
  view.setMetadata({})
  assert.deepEqual(load(encoded(view)).metadata(), new Map())
  assert.deepEqual(pairs(view), [['a', 1]])
})

test('encodeMetadata and encodeBody write their part of an event', () => {
  const view = abc()
  view.setMetadata({ m: 1 })
  view.remove(0)
  const out = new MsgpackWriter(16)
  view.encodeMetadata(out)
  view.encodeBody(out)
  assert.deepEqual(out.written(), Buffer.from('81a16d0182a16202a16303', 'hex'))
})

test('a view holds more than the 64 entries that it starts with', () => {
  const names = Array.from({ length: 100 }, (_, index) => `k${index}`)
  const view = load(eventOf(Object.fromEntries(names.map((name, index) => [name, index]))))
  assert.deepEqual([view.size, view.find(new Key('k99'))], [100, 99])
  for (let index = 0; index < 100; index++) view.append(constant(`n${index}`), NINE)
  view.move(199, 0)
  view.copyTo(0, 100, NEW)
  const entries = pairs(view) as [string, number][]
  const keys = entries.map(([key]) => key)
  assert.deepEqual(keys, [
    'n99',
    ...names.slice(0, 99),
    'new',
    'k99',
    ...Array.from({ length: 99 }, (_, index) => `n${index}`)
  ])
})

test('a view that grew for one event is right for the next ones', () => {
  const large = eventOf(
    Object.fromEntries(Array.from({ length: 70 }, (_, index) => [`k${index}`, index]))
  )
  const batch = Buffer.concat([large, eventOf({ a: 1 })])
  const view = new EventView()
  view.load(batch, 0)
  view.load(batch, view.end)
  view.append(NEW, NINE)
  assert.deepEqual(pairs(view), [
    ['a', 1],
    ['new', 9]
  ])
})

test('loading an event forgets all edits of the one before', () => {
  const event = eventOf({ a: 1, b: 2 })
  const view = load(event)
  view.setTime(1, 2)
  view.setMetadata({ m: 1 })
  view.set(A, 'text')
  view.load(event, 0)
  assert.deepEqual([view.modified, view.scratch.length, view.seconds], [false, 0, 1_700_000_000])
  assert.deepEqual(encoded(view), event)
  view.append(NEW, NINE)
  assert.deepEqual(load(encoded(view)).metadata(), new Map())
})

/** An edit of a list of entries, for the view and for the model. */
const edits = fc.array(
  fc.tuple(
    fc.constantFrom(
      'append',
      'remove',
      'move',
      'copyTo',
      'rename',
      'replace',
      'scratch',
      'prepend',
      'removeMatching'
    ),
    fc.nat(30),
    fc.nat(30)
  ),
  { maxLength: 40 }
)

test('any row of edits does to a view what it does to a list', () => {
  fc.assert(
    fc.property(fc.nat(70), edits, (count, steps) => {
      const model = Array.from(
        { length: count },
        (_, index) => [`k${index % 7}`, index] as [string, number]
      )
      const view = load(eventOf(encodePairs(model)))
      for (const [kind, first, second] of steps) apply(kind, first, second, view, model)
      assert.equal(view.size, model.length)
      const out = new MsgpackWriter(16)
      view.encodeBody(out)
      assert.deepEqual(out.written(), encodePairs(model))
      for (const name of ['k0', 'k3', 'new']) {
        const expected = model.findIndex(([key]) => key === name)
        assert.equal(view.find(new Key(name)), expected)
        assert.equal(view.findMatching(new KeyPattern(name)), expected)
      }
    })
  )
})

function encodePairs(list: readonly [string, number][]): Buffer {
  const out = new MsgpackWriter(64)
  out.mapHeader(list.length)
  for (const [key, value] of list) {
    out.string(key)
    out.integer(value)
  }
  return Buffer.from(out.written())
}

function apply(
  kind: string,
  first: number,
  second: number,
  view: EventView,
  model: [string, number][]
): void {
  const index = first % Math.max(model.length, 1)
  const to = second % Math.max(model.length, 1)
  const { scratch } = view
  const start = scratch.length
  if (kind === 'append') {
    view.append(NEW, NINE)
    model.push(['new', 9])
  } else if (kind === 'prepend') {
    scratch.value({ k3: 1, p: 2 })
    view.prependScratchMap(start)
    model.unshift(['k3', 1], ['p', 2])
  } else if (kind === 'removeMatching') {
    view.removeMatching(new KeyPattern('k3'))
    model.splice(0, model.length, ...model.filter(([key]) => key !== 'k3'))
  } else if (model.length === 0) {
    assert.equal(view.size, 0)
  } else if (kind === 'remove') {
    view.remove(index)
    model.splice(index, 1)
  } else if (kind === 'move') {
    view.move(index, to)
    model.splice(to, 0, ...model.splice(index, 1))
  } else if (kind === 'copyTo') {
    view.copyTo(index, to, NEW)
    model.splice(to, 0, ['new', model[index][1]])
  } else if (kind === 'rename') {
    view.rename(index, NEW)
    model[index] = ['new', model[index][1]]
  } else if (kind === 'replace') {
    view.replace(index, NINE)
    model[index] = [model[index][0], 9]
  } else {
    scratch.integer(second)
    view.replaceWithScratch(index, start)
    model[index] = [model[index][0], second]
  }
}
