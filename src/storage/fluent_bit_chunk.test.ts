import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { crc32 } from 'node:zlib'
import fc from 'fast-check'
import { type Decoded, decodeAll, NESTING_MAX, skip } from '../codec/msgpack_reader.ts'
import { Extension, Float } from '../codec/msgpack_writer.ts'
import {
  type FluentBitChunk,
  type FluentBitChunkResult,
  type FluentBitRoute,
  readFluentBitChunk,
  type SignalType,
  type WholeEvents,
  wholeEvents,
  writeFluentBitChunk
} from './fluent_bit_chunk.ts'

const RECORDED = join(import.meta.dirname, '../../test/data/fluent_bit_chunks')

function recorded(name: string): Buffer {
  return readFileSync(join(RECORDED, `${name}.flb`))
}

function readWhole(file: Buffer): FluentBitChunk {
  const result = readFluentBitChunk(file, { checksum: true })
  assert(result.ok, result.ok ? '' : result.reason)
  return result.chunk
}

/** What is wrong with a file, undefined when nothing is. */
function reasonOf(result: FluentBitChunkResult): string | undefined {
  return result.ok ? undefined : result.reason
}

/** A chunk without its content, which is its bytes up to `end`. */
interface Expected extends WholeEvents {
  readonly tag: string
  readonly signal?: SignalType
  readonly routes?: readonly FluentBitRoute[]
  readonly end: number
}

const logs = { events: 3, isCurrent: true }
const noLogs = { bytes: 0, events: 0, isCurrent: true }

const FILES: Readonly<Record<string, Expected>> = {
  logs_checksum: { tag: 'app.checksum', end: 211, bytes: 171, ...logs },
  logs_plain: { tag: 'app.plain', end: 184, bytes: 147, ...logs },
  logs_open: { tag: 'app.open', end: 240, bytes: 204, ...logs },
  logs_trimmed: { tag: 'app.trimmed', end: 4644, bytes: 4605, ...logs },
  rejected: { tag: '', end: 168, bytes: 144, ...logs },
  blobs: { tag: 'app.blobs', end: 98, bytes: 61, events: 1, isCurrent: true },
  metrics: { tag: 'app.metrics', signal: 'metrics', end: 1305, ...noLogs },
  traces: { tag: 'app.traces', signal: 'traces', end: 1374, ...noLogs },
  routes: {
    tag: 'errors',
    routes: [
      { id: 0, label: 'pager', isAlias: true, plugin: 'http' },
      { id: 1, label: 'http.1', isAlias: false, plugin: 'http' }
    ],
    end: 244,
    bytes: 174,
    ...logs
  }
}

for (const [name, { bytes, events, isCurrent, ...expected }] of Object.entries(FILES)) {
  test(`the recorded file ${name} is read`, () => {
    const { content, ...chunk } = readWhole(recorded(name))
    assert.deepEqual(chunk, { signal: 'logs', routes: [], hasBadRoutes: false, ...expected })
    assert.deepEqual(wholeEvents(content), { bytes, events, isCurrent })
  })
}

test('the content of a recorded file is its events', () => {
  const event = (nanoseconds: string): Decoded => [
    [
      new Extension(0, Buffer.from(`6553f100${nanoseconds}`, 'hex')),
      new Map<Decoded, Decoded>([['site', 'Oslo']])
    ],
    new Map<Decoded, Decoded>([
      ['message', 'with checksum'],
      ['n', new Float(1)]
    ])
  ]
  assert.deepEqual(decodeAll(readWhole(recorded('logs_checksum')).content), [
    event('000828f8'),
    event('0182bcb3'),
    event('077877a4')
  ])
})

test('the content of recorded metrics and traces is read to its end', () => {
  const keys = (name: string): Decoded[] =>
    decodeAll(readWhole(recorded(name)).content).flatMap(value =>
      value instanceof Map ? [...value.keys()] : [value]
    )
  assert.deepEqual(keys('metrics'), ['meta', 'metrics'])
  assert.deepEqual(keys('traces'), ['resourceSpans'])
})

test('content is shared with the bytes of the file', () => {
  const file = recorded('logs_plain')
  const { content, end } = readWhole(file)
  file[end - 1] = 0x21
  assert.equal(content.at(-1), 0x21)
})

for (const name of ['logs_checksum', 'logs_trimmed', 'routes']) {
  test(`of ${name}, cut at any byte, the events before the cut are left`, () => {
    const file = recorded(name)
    const { content, end, ...metadata } = readWhole(file)
    const ends = [0]
    for (let at = 0; at < content.length; ends.push(at)) at = skip(content, at)
    const contentAt = end - content.length
    for (let length = 0; length <= file.length; length++) {
      const result = readFluentBitChunk(file.subarray(0, length), { checksum: true })
      if (length >= end) {
        assert(result.ok, `length ${length}`)
        continue
      }
      assert(!result.ok, `length ${length}`)
      assert.equal(result.reason, length === 0 ? 'empty' : 'truncated', `length ${length}`)
      if (length < contentAt) {
        assert.equal(result.rest, undefined, `length ${length}`)
        continue
      }
      const left = content.subarray(0, length - contentAt)
      assert.deepEqual(result.rest, { ...metadata, content: left, end: length })
      const events = ends.findLastIndex(bytes => bytes <= left.length)
      assert.deepEqual(wholeEvents(left), { bytes: ends[events], events, isCurrent: true })
    }
  })
}

for (const name of ['logs_checksum', 'logs_open', 'rejected', 'routes']) {
  test(`in ${name}, a flipped bit is found unless nothing depends on it`, () => {
    const file = recorded(name)
    const { end } = readWhole(file)
    for (let at = 0; at < file.length; at++) {
      const isPadding = (at >= 6 && at < 10) || (at >= 14 && at < 22) || at >= end
      for (let bit = 1; bit < 256; bit <<= 1) {
        file[at] ^= bit
        const { ok } = readFluentBitChunk(file, { checksum: true })
        assert.equal(ok, isPadding, `byte ${at}, bit ${bit}`)
        file[at] ^= bit
      }
    }
  })
}

test('a wrong checksum matters when checksums are on, and what there is can be had', () => {
  const file = recorded('logs_checksum')
  const chunk = readWhole(file)
  file[2] ^= 1
  assert.deepEqual(readFluentBitChunk(file, { checksum: true }), {
    ok: false,
    reason: 'bad_checksum',
    rest: chunk
  })
  assert.deepEqual(readFluentBitChunk(file, { checksum: false }), { ok: true, chunk })
})

test('a file that was written without a checksum is taken when checksums are on', () => {
  const file = recorded('logs_checksum')
  file.writeUInt32BE(0, 2)
  assert.equal(reasonOf(readFluentBitChunk(file, { checksum: true })), undefined)
})

test('a file that is no chunk is refused with the reason', () => {
  const zeros = (count: number): string => '00'.repeat(count)
  const files: readonly (readonly [string, string])[] = [
    ['', 'empty'],
    ['00', 'bad_header'],
    [zeros(4096), 'bad_header'],
    ['c101', 'bad_header'],
    [`c101${zeros(30)}`, 'bad_header'],
    ['53505759', 'bad_header'],
    ['c1', 'truncated'],
    [`c100${zeros(21)}`, 'truncated'],
    [`c100${zeros(20)}0001`, 'truncated'],
    [`c100${zeros(8)}00000001${zeros(8)}0004f177050001`, 'unknown_signal'],
    [`c100${zeros(8)}00000001${zeros(8)}0004f177ff0001`, 'unknown_signal']
  ]
  for (const [hex, reason] of files) {
    assert.deepEqual(
      readFluentBitChunk(Buffer.from(hex, 'hex'), { checksum: true }),
      { ok: false, reason, rest: undefined },
      hex
    )
  }
})

test('a chunk that was killed before its first event is empty', () => {
  const file = recorded('logs_checksum')
  file.fill(0, 40).writeUInt32BE(0, 10)
  assert.deepEqual(readFluentBitChunk(file, { checksum: true }), {
    ok: false,
    reason: 'empty',
    rest: {
      tag: 'app.checksum',
      signal: 'logs',
      routes: [],
      hasBadRoutes: false,
      content: Buffer.alloc(0),
      end: 40
    }
  })
  assert.equal(
    reasonOf(readFluentBitChunk(file.subarray(0, 40), { checksum: true })),
    'empty',
    'without padding'
  )
})

test('content goes to the end of the file when its length was not written', () => {
  const file = recorded('logs_checksum')
  const chunk = readWhole(file)
  file.writeUInt32BE(0, 10)
  assert.deepEqual(readWhole(file.subarray(0, chunk.end)), chunk)
  const padded = readFluentBitChunk(file, { checksum: false })
  assert(padded.ok)
  assert.equal(padded.chunk.end, 4096)
  assert.deepEqual(wholeEvents(padded.chunk.content), { bytes: 171, ...logs })
})

/** A file with any metadata, and one event as its content. */
function fileWith(metadata: Buffer): Buffer {
  const content = Buffer.from('92d700000000010000000080', 'hex')
  const header = Buffer.alloc(24)
  header.writeUInt16BE(0xc100, 0)
  header.writeUInt32BE(content.length, 10)
  header.writeUInt16BE(metadata.length, 22)
  return Buffer.concat([header, metadata, content])
}

function metadataOf(metadata: Buffer): Omit<FluentBitChunk, 'content' | 'end'> {
  const { content: _content, end: _end, ...rest } = readWhole(fileWith(metadata))
  return rest
}

test('metadata of Fluent Bit before 1.8.10 is the tag', () => {
  for (const tag of ['a', 'app', 'app.log', '\u{1f5c2}', 'x'.repeat(65535), '\xf1w']) {
    const expected = { tag, signal: 'logs', routes: [], hasBadRoutes: false }
    assert.deepEqual(metadataOf(Buffer.from(tag)), expected)
  }
})

test('each kind of content is named by its number, and a zero byte ends the tag', () => {
  const signals: readonly SignalType[] = ['logs', 'metrics', 'traces', 'blobs', 'profiles']
  for (const [type, signal] of signals.entries()) {
    const metadata = Buffer.from([0xf1, 0x77, type, 0, 0x61, 0x62, 0, 0x63])
    const expected = { tag: 'ab', signal, routes: [], hasBadRoutes: false }
    assert.deepEqual(metadataOf(metadata), expected)
  }
  assert.equal(metadataOf(Buffer.from([0xf1, 0x77, 0, 0])).tag, '')
})

/** Metadata with the tag `t` and routes of any flags and bytes. */
function routesMetadata(flags: number, routes: string, length = routes.length / 2): Buffer {
  const size = length.toString(16).padStart(4, '0')
  return Buffer.from(`f17700${flags.toString(16).padStart(2, '0')}7400${size}${routes}`, 'hex')
}

test('routes are read with what their version kept of each', () => {
  const route = { label: undefined, isAlias: false, plugin: undefined }
  const forms: readonly (readonly [number, string, FluentBitRoute[]])[] = [
    [0x1, '0000', []],
    // Without the flag for routes the others mean nothing.
    [0xe, '0001000a', []],
    [0x1, '0001000a', [{ ...route, id: 10 }]],
    [0x5, '0001000f4240', [{ ...route, id: 1_000_000 }]],
    [0x9, '00010001000268690001', [{ ...route, id: 1, plugin: 'hi' }]],
    [0x9, `000100018001${'61'.repeat(0x8001)}`, [{ ...route, id: 1, plugin: 'a'.repeat(0x8001) }]],
    // Without plugins each label may be an alias.
    [0x3, '00010001000161', [{ ...route, id: 1, label: 'a', isAlias: true }]],
    [0x3, '00010001800161', [{ ...route, id: 1, label: 'a', isAlias: true }]],
    [
      0xf,
      '0003000000010001000000000002' + '800100020000' + '616263' + '000000010003' + '647a7a7a',
      [
        { id: 1, label: 'a', isAlias: true, plugin: undefined },
        { id: 65536, label: 'bc', isAlias: false, plugin: 'd' },
        { id: 2, label: undefined, isAlias: false, plugin: 'zzz' }
      ]
    ]
  ]
  for (const [flags, hex, routes] of forms) {
    assert.deepEqual(
      metadataOf(routesMetadata(flags, hex)),
      { tag: 't', signal: 'logs', routes, hasBadRoutes: false },
      hex.slice(0, 80)
    )
  }
})

test('the tag decides when routes cannot be read', () => {
  const bad: readonly Buffer[] = [
    routesMetadata(0x1, '', 0),
    routesMetadata(0x1, '00', 1),
    routesMetadata(0x1, '0001000a', 5),
    routesMetadata(0x1, '0002000a'),
    routesMetadata(0x5, '0001000a'),
    routesMetadata(0x3, '0001000a'),
    routesMetadata(0x3, '0001000a00'),
    routesMetadata(0x3, '0001000a000261'),
    routesMetadata(0x9, '0001000a'),
    routesMetadata(0x9, '0001000a000161', 6),
    routesMetadata(0xb, '0001000a000161000262'),
    Buffer.from('f177000174', 'hex'),
    Buffer.from('f17700017400', 'hex'),
    Buffer.from('f1770001740000', 'hex')
  ]
  for (const metadata of bad) {
    const expected = { tag: 't', signal: 'logs', routes: [], hasBadRoutes: true }
    assert.deepEqual(metadataOf(metadata), expected, metadata.toString('hex'))
  }
})

test('routes cannot be read where no zero byte ends the tag', () => {
  // All of it is the tag, though it is well formed as routes: 516 bytes, 257 outputs, an id for each.
  const tag = `\x02\x04${'\x01'.repeat(516)}`
  const metadata = Buffer.concat([Buffer.from('f1770001', 'hex'), Buffer.from(tag)])
  const expected = { tag, signal: 'logs', routes: [], hasBadRoutes: true }
  assert.deepEqual(metadataOf(metadata), expected)
})

test('any metadata is read or refused', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 40 }), fc.boolean(), (bytes, isOld) => {
      const metadata = Buffer.from(bytes)
      if (!isOld) metadata.set([0xf1, 0x77].slice(0, metadata.length))
      const result = readFluentBitChunk(fileWith(metadata), { checksum: true })
      return result.ok || result.reason === 'unknown_signal'
    }),
    { numRuns: 5000 }
  )
})

test('what is written is byte for byte what Fluent Bit writes, without padding', () => {
  for (const name of ['logs_checksum', 'logs_trimmed', 'metrics', 'traces']) {
    const file = recorded(name)
    const chunk = readWhole(file)
    assert.deepEqual(writeFluentBitChunk(chunk), file.subarray(0, chunk.end))
  }
})

test('what is written can be read', () => {
  const signal = fc.constantFrom<SignalType>('logs', 'metrics', 'traces', 'blobs', 'profiles')
  const tag = fc.string({ unit: 'grapheme' }).filter(text => !text.includes('\0'))
  fc.assert(
    fc.property(tag, signal, fc.uint8Array({ minLength: 1 }), (text, kind, bytes) => {
      const parts = { tag: text, signal: kind, content: Buffer.from(bytes) }
      const file = writeFluentBitChunk(parts)
      assert.deepEqual(readWhole(file), {
        ...parts,
        routes: [],
        hasBadRoutes: false,
        end: file.length
      })
    })
  )
})

test('what is written has its checksum', () => {
  const file = writeFluentBitChunk({ tag: 'a', signal: 'logs', content: Buffer.from([1]) })
  assert.equal(file.readUInt32BE(2), crc32(Buffer.from('0005f17700006101', 'hex')))
})

test('a tag that does not fit into the metadata is cut', () => {
  const content = Buffer.from([0x92])
  const tags = [65530, 65531, 65532, 70000].map(length => {
    const file = writeFluentBitChunk({ tag: 'x'.repeat(length), signal: 'logs', content })
    return readWhole(file).tag.length
  })
  assert.deepEqual(tags, [65530, 65531, 65531, 65531])
})

const TIME = 'd70065000000000000ff'

/** One event each: hex, and whether it is as Fluent Bit writes it today. */
const EVENTS: readonly (readonly [string, boolean])[] = [
  [`9292${TIME}8080`, true],
  [`9292${TIME}df00000000df00000000`, true],
  [`9292${TIME}81a16101de0001a162c3`, true],
  // Start and end of a group.
  ['9292d700ffffffff0000000081a1610180', true],
  ['9292d700fffffffe000000008080', true],
  [`dc000292${TIME}8080`, false],
  [`92dd00000002${TIME}8080`, false],
  [`9292c70800${TIME.slice(4)}8080`, false],
  ['9292018080', false],
  ['9292cb3ff80000000000008080', false],
  [`92${TIME}80`, false],
  ['92ce6500000080', false],
  ['92cf000000006500000081a16101', false],
  ['92d3000000000000000180', false],
  ['92ca3fc0000080', false]
]

for (const [hex, isCurrent] of EVENTS) {
  test(`${hex} is a whole event, and less of it is none`, () => {
    const event = Buffer.from(hex, 'hex')
    const all = Buffer.concat([event, event, Buffer.alloc(9)])
    assert.deepEqual(wholeEvents(all), { bytes: 2 * event.length, events: 2, isCurrent })
    for (let end = 0; end < event.length; end++) {
      assert.deepEqual(wholeEvents(event.subarray(0, end)), noLogs)
    }
  })
}

test('one event of another form is enough', () => {
  const current = `9292${TIME}8080`
  const mixed = Buffer.from(`${current}92${TIME}80${current}`, 'hex')
  assert.deepEqual(wholeEvents(mixed), { bytes: 40, events: 3, isCurrent: false })
})

test('events end before what is none', () => {
  const others = [
    '00',
    '80',
    'c1',
    'c0',
    '90',
    `91${TIME}`,
    `93${TIME}8080`,
    `82${TIME}80`,
    `9282${TIME}8080`,
    `9291${TIME}80`,
    `9293${TIME}808080`,
    `9292${TIME}9080`,
    `9292${TIME}8090`,
    `9292${TIME}80c1`,
    `92${TIME}c0`,
    '92c080',
    '92a13180',
    '928080',
    '92ff80',
    '92d3ffffffffffffffff80',
    '92d70165000000000000ff80',
    '92d600ffffffff80',
    '92c707000102030405060780',
    '92c70801010203040506070880',
    'ddffffffff',
    'dfffffffff',
    '92ddffffffff',
    `92${TIME}dfffffffff`,
    `92${TIME}81a161${'91'.repeat(NESTING_MAX + 2)}01`
  ]
  const event = `9292${TIME}8080`
  const bytes = event.length / 2
  for (const hex of others) {
    const content = Buffer.from(`${event}${hex}${event}`, 'hex')
    assert.deepEqual(wholeEvents(content), { bytes, events: 1, isCurrent: true }, hex)
  }
})

test('any bytes are events up to some point, and the bytes up to there are the same events', () => {
  const part = fc.oneof(
    fc.uint8Array({ maxLength: 12 }),
    fc.constantFrom(...EVENTS.map(([hex]) => Buffer.from(hex, 'hex')))
  )
  fc.assert(
    fc.property(fc.array(part, { maxLength: 8 }), parts => {
      const content = Buffer.concat(parts)
      const whole = wholeEvents(content)
      const prefix = content.subarray(0, whole.bytes)
      assert.deepEqual(wholeEvents(prefix), whole)
      assert.equal(decodeAll(prefix).length, whole.events)
    }),
    { numRuns: 5000 }
  )
})

test('a damaged file is read without a checksum, whatever the damage', () => {
  const file = recorded('logs_checksum')
  const { end } = readWhole(file)
  for (let at = 0; at < end; at++) {
    const before = file[at]
    for (let byte = 0; byte < 256; byte++) {
      file[at] = byte
      const result = readFluentBitChunk(file, { checksum: false })
      const chunk = result.ok ? result.chunk : result.rest
      if (chunk === undefined) continue
      const { bytes, events } = wholeEvents(chunk.content)
      assert(bytes <= chunk.content.length && events <= bytes, `byte ${at}, value ${byte}`)
      assert(chunk.end <= file.length, `byte ${at}, value ${byte}`)
    }
    file[at] = before
  }
})
