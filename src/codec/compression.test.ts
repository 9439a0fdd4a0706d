import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { test } from 'node:test'
import {
  constants,
  createZstdCompress,
  deflateRawSync,
  deflateSync,
  gzipSync,
  zstdCompressSync
} from 'node:zlib'
import fc from 'fast-check'
import { seededRandom } from '../../test/harness/random.ts'
import {
  compress,
  type Compression,
  CompressionError,
  detectCompression,
  expand
} from './compression.ts'
import { compressSnappy } from './snappy.ts'

const KINDS: readonly Compression[] = ['gzip', 'deflate', 'zstd', 'snappy']
const BYTES_MAX = 1_000_000

/**
 * Bodies that Fluent Bit 5.1.1 posted: `tail` with `read_from_head` of a file with the lines below, `http` with
 * `format json_lines`, `json_date_key false` and each `compress`, to a listener that kept them.
 */
const RECORDED: Readonly<Partial<Record<Compression, string>>> = {
  gzip:
    'H4sIAAAAAAAA/42RPWoDMRBG+5xC7AGy8z9S+pAL5AIpQjAkxGB3xnf3WsKFNVsM0z6Gj/cuy+//z/K2ILz2Kx/vn2' +
    'X9Oh7Ww/n777RCEZACy/Xl8kziTGIhgOINW4RphqXDqJVrpHmmWx9B7OqRljDE+nNGc4u4zjjpwJs2jbjNOFsfI64o' +
    'EQ/+pPXvqsKckGhDjDErJTRW7GMcyTHhEbfXj0g7SaNJGlGrI+xUDSpRNjHbnqZAO12DS7Rhh5pkXGIbZRGqZWTSlv' +
    'Y+B6vXjE3S8Z/MIaOT6pjPYpTRyTT0CClndLIN/Qqid503VuIsyawDAAA=',
  zstd:
    'KLUv/WCsAk0HAKJLHxpwS9IGHouJSoOuC6CAV9m9uWUmmZuk/3KHEMRR8DU3SrrLZCtK9JzZbeNh75LhNFvpNEPPs6' +
    'qfHro12byZUs+9on0iKytR/VlT/ZWRPZ/37axkrfuRk5DwLWfzyIxJSxxlSE2RKRYQChiMwlAgKMhAgAA5TAtAMUg4' +
    'KA0BNiBggxJpB4IDnoO8FhlwhFwYpciATeSKa8kWZzb/ujW0T4gT2lms68l2gtxsJoI9YIQpf+LWRYRrLSKMP21DBN' +
    'ctQpj7g2wbIsYTOWCEOX/gth0RUV0RWiZERK5aFkTAHha5ttijdswB',
  snappy:
    'rAcoeyJsb2ciOiIxMC4FAmQgR0VUIC9hcGkvaXRlbXMvMCA0MDQgMCJ9CjoqAAAxPioAJDEgMjAwIDc5MTlGLQAAMj' +
    '4tAAA0BS0QMTU4MzhGLgAAMz4uAAA5BYUQMjM3NTdGLgAAND4uAAQxNgVdEDMxNjc2Ri8AADU+LwAEMjUJLww5NTk1' +
    'Ri8AADY+LwAEMzYFjRA0NzUxNEYvAEJAAQQ0OQVeEDU1NDMzRi8AQkUBADYpGRA2MzM1MkYvAEJHAQQ4MQWNEDcxMj' +
    'cxRi8AQkgBCDEwMAWOIaVK0wFGSgEAMinVDDg3MTBK1gFCSwEIMTQ0BZAMOTUwMkrYAUJMAQQxNikeCDI5NI5MAQQx' +
    'OSnaDDEwODaOTQEIMjI1BY8MMTg3OI5OAQQyNQlgDDI2NzCOTwEEMjgJvwwzNDYyjk8BBDMyKR8MNDI1M45PATwzNj' +
    'EgMjAwIDUwNDU4In0K'
}

/** The body without `compress`; 940 bytes for 20 lines, 146,313 for 3,000. */
function recordedBody(lineCount: number): Buffer {
  let body = ''
  for (let line = 0; line < lineCount; line++) {
    const status = line % 3 === 0 ? 404 : 200
    body += `{"log":"10.0.0.${line % 7} GET /api/items/${(line * line) % 9973} ${status} ${(line * 7919) % 100_003}"}\n`
  }
  return Buffer.from(body)
}

/** The content, or the reason and the message. */
async function outcome(kind: Compression, bytes: Buffer, maxBytes = BYTES_MAX): Promise<string> {
  try {
    return (await expand(kind, bytes, maxBytes)).toString()
  } catch (error) {
    assert(error instanceof CompressionError, String(error))
    return `${error.reason}: ${error.message}`
  }
}

for (const [kind, body] of Object.entries(RECORDED) as [Compression, string][]) {
  test(`what Fluent Bit sent with ${kind} expands to what it sent without`, async () => {
    assert.deepEqual(await expand(kind, Buffer.from(body, 'base64'), BYTES_MAX), recordedBody(20))
  })
}

for (const kind of ['zstd', 'snappy'] as const) {
  test(`${kind} gives the bytes that Fluent Bit sent`, async () => {
    assert.equal((await compress(kind, recordedBody(20))).toString('base64'), RECORDED[kind])
  })
}

/** SHA-256 of what Fluent Bit sent of the 3,000 lines: more than one piece for Snappy, more than one block for zstd. */
const LARGE = {
  snappy: 'f0099603e27bcd8a26f7a08ea5349729f38c8ce64f760717331d41e9f9870824',
  zstd: '7683e919352aec569a17c438527f86b7f5759da03027c511ed0659b7b76b0553'
} as const

for (const kind of ['zstd', 'snappy'] as const) {
  test(`${kind} gives the bytes that Fluent Bit sent for a large body`, async () => {
    const bytes = await compress(kind, recordedBody(3000))
    assert.equal(createHash('sha256').update(bytes).digest('hex'), LARGE[kind])
  })
}

test('gzip and deflate are compressed with the default level', async () => {
  const body = recordedBody(3000)
  assert.deepEqual(await compress('gzip', body), gzipSync(body, { level: 6 }))
  assert.deepEqual(await compress('deflate', body), deflateSync(body, { level: 6 }))
})

for (const kind of KINDS) {
  test(`${kind} expands to what was compressed`, async () => {
    const contents = fc
      .tuple(fc.uint8Array({ maxLength: 500 }), fc.integer({ min: 1, max: 2000 }))
      .map(([piece, times]) => Buffer.concat(Array<Uint8Array>(times).fill(piece)))
    await fc.assert(
      fc.asyncProperty(contents, async content => {
        const bytes = await compress(kind, content)
        assert.deepEqual(await expand(kind, bytes, Math.max(content.length, 1)), content)
      }),
      { numRuns: 100 }
    )
  })

  test(`${kind} may expand to just the limit, and to no byte more`, async () => {
    const body = recordedBody(3000)
    const bytes = await compress(kind, body)
    assert.deepEqual(await expand(kind, bytes, body.length), body)
    assert.match(
      await outcome(kind, bytes, body.length - 1),
      /^too_large: Cannot expand \w+: more than 146312 bytes$/
    )
  })

  test(`${kind} that ends early is truncated, wherever it ends`, async () => {
    const bytes = await compress(kind, recordedBody(5))
    for (let end = 0; end < bytes.length; end++) {
      assert.match(await outcome(kind, bytes.subarray(0, end)), /^truncated: /, `at ${end}`)
    }
  })
}

const HELLO = Buffer.from('hello')
const WORLD = Buffer.from(' world')
const gzipHello = gzipSync(HELLO)
const zstdHello = zstdCompressSync(HELLO)
/** Zstandard's frame that readers skip; RFC 8878, 3.1.2. */
const SKIPPED = Buffer.from('502a4d1803000000ffffff', 'hex')
const JUNK = Buffer.from('junk')

const INPUTS: readonly (readonly [
  name: string,
  kind: Compression,
  bytes: readonly Buffer[],
  outcome: string
])[] = [
  ['two members', 'gzip', [gzipHello, gzipSync(WORLD)], 'hello world'],
  ['an empty member', 'gzip', [gzipSync(''), gzipHello], 'hello'],
  ['a member and zeros', 'gzip', [gzipHello, Buffer.alloc(9)], 'hello'],
  [
    'a member, a zero and a member',
    'gzip',
    [gzipHello, Buffer.alloc(1), gzipHello],
    'damaged: Cannot expand gzip: bytes behind its end'
  ],
  [
    'junk behind it',
    'gzip',
    [gzipHello, JUNK],
    'damaged: Cannot expand gzip: incorrect header check'
  ],
  [
    'a wrong checksum',
    'gzip',
    [flipped(gzipHello, -6)],
    'damaged: Cannot expand gzip: incorrect data check'
  ],
  [
    'a wrong length',
    'gzip',
    [flipped(gzipHello, -2)],
    'damaged: Cannot expand gzip: incorrect length check'
  ],
  ['no gzip at all', 'gzip', [HELLO], 'damaged: Cannot expand gzip: incorrect header check'],
  ["zlib's head", 'deflate', [deflateSync(HELLO)], 'hello'],
  ["zlib's head and a small window", 'deflate', [deflateSync(HELLO, { windowBits: 9 })], 'hello'],
  ['no head', 'deflate', [deflateRawSync(HELLO)], 'hello'],
  ['no head and no compression', 'deflate', [deflateRawSync(HELLO, { level: 0 })], 'hello'],
  [
    'a dictionary',
    'deflate',
    [deflateSync(HELLO, { dictionary: HELLO })],
    'damaged: Cannot expand deflate: Missing dictionary'
  ],
  [
    'junk behind it',
    'deflate',
    [deflateSync(HELLO), JUNK],
    'damaged: Cannot expand deflate: Trailing junk found after the end of the compressed stream'
  ],
  [
    'no head and junk behind it',
    'deflate',
    [deflateRawSync(HELLO), JUNK],
    'damaged: Cannot expand deflate: Trailing junk found after the end of the compressed stream'
  ],
  [
    'a wrong checksum',
    'deflate',
    [flipped(deflateSync(HELLO), -1)],
    'damaged: Cannot expand deflate: incorrect data check'
  ],
  [
    'no deflate at all',
    'deflate',
    [Buffer.from('ffff', 'hex')],
    'damaged: Cannot expand deflate: invalid block type'
  ],
  ['two frames', 'zstd', [zstdHello, zstdCompressSync(WORLD)], 'hello world'],
  [
    'frames to skip',
    'zstd',
    [SKIPPED, zstdHello, SKIPPED, SKIPPED, zstdCompressSync(WORLD)],
    'hello world'
  ],
  [
    'junk behind it',
    'zstd',
    [zstdHello, JUNK],
    'damaged: Cannot expand zstd: Trailing junk found after the end of the compressed stream'
  ],
  [
    'the start of a second frame',
    'zstd',
    [zstdHello, zstdHello.subarray(0, 3)],
    'damaged: Cannot expand zstd: Trailing junk found after the end of the compressed stream'
  ],
  [
    'half a second frame',
    'zstd',
    [zstdHello, zstdHello.subarray(0, 9)],
    'truncated: Cannot expand zstd: unexpected end of file'
  ],
  ['no zstd at all', 'zstd', [HELLO], 'damaged: Cannot expand zstd: Unknown frame descriptor'],
  ['a block', 'snappy', [compressSnappy(HELLO)], 'hello'],
  [
    'a stream',
    'snappy',
    [Buffer.from('ff060000734e61507059010800006810e6b661626364', 'hex')],
    'abcd'
  ],
  [
    'no Snappy at all',
    'snappy',
    [HELLO],
    'truncated: Cannot expand Snappy: the input ends within what its length announces'
  ]
]

function flipped(bytes: Buffer, at: number): Buffer {
  const changed = Buffer.from(bytes)
  changed[(at + bytes.length) % bytes.length] ^= 1
  return changed
}

for (const [name, kind, bytes, expected] of INPUTS) {
  test(`${kind} with ${name}`, async () => {
    assert.equal(await outcome(kind, Buffer.concat(bytes)), expected)
  })
}

test('members and frames together keep to the limit', async () => {
  assert.equal(await outcome('gzip', Buffer.concat([gzipHello, gzipHello]), 10), 'hellohello')
  assert.equal(await outcome('zstd', Buffer.concat([zstdHello, zstdHello]), 10), 'hellohello')
  assert.match(await outcome('gzip', Buffer.concat([gzipHello, gzipHello]), 9), /^too_large: /)
  assert.match(await outcome('zstd', Buffer.concat([zstdHello, zstdHello]), 9), /^too_large: /)
})

const ZEROS = Buffer.alloc(1_000_000)

/** Each would expand to a gigabyte, or to what its kind allows within a few megabytes. */
const BOMBS: readonly (readonly [Compression, Buffer])[] = [
  ['gzip', Buffer.concat(Array<Buffer>(1000).fill(gzipSync(ZEROS)))],
  ['deflate', deflateSync(Buffer.alloc(64_000_000))],
  ['zstd', Buffer.concat(Array<Buffer>(1000).fill(zstdCompressSync(ZEROS)))],
  ['snappy', compressSnappy(Buffer.alloc(64_000_000))]
]

for (const [kind, bomb] of BOMBS) {
  test(`a bomb of ${kind} is refused before it takes much more than the limit`, async () => {
    const before = process.memoryUsage().arrayBuffers
    assert.match(await outcome(kind, bomb, 2_000_000), /^too_large: /)
    const taken = process.memoryUsage().arrayBuffers - before
    assert(taken < 4_000_000, `took ${taken} bytes`)
  })
}

/** A frame that does not say its size, so that the decoder must keep the whole window. */
async function frameWithWindow(windowLog: number): Promise<Buffer> {
  const stream = createZstdCompress({ params: { [constants.ZSTD_c_windowLog]: windowLog } })
  const pieces: Buffer[] = []
  stream.on('data', (piece: Buffer) => pieces.push(piece))
  stream.write('hel')
  const { promise, resolve } = Promise.withResolvers<void>()
  stream.flush(resolve)
  await promise
  stream.end('lo')
  await once(stream, 'end')
  return Buffer.concat(pieces)
}

test('a zstd frame may want a window of 8 MB, or of the limit', async () => {
  const [small, large, huge] = await Promise.all([23, 24, 28].map(frameWithWindow))
  const refused = 'too_large: Cannot expand zstd: Frame requires too much memory for decoding'
  assert.equal(await outcome('zstd', small, 1), 'too_large: Cannot expand zstd: more than 1 bytes')
  assert.equal(await outcome('zstd', small, 5), 'hello')
  assert.equal(await outcome('zstd', large, 1_000_000), refused)
  assert.equal(await outcome('zstd', large, 8_388_609), 'hello')
  assert.equal(await outcome('zstd', huge, 1_000_000_000), refused)
})

test('a limit of nothing is a mistake of the caller', async () => {
  await assert.rejects(expand('gzip', gzipHello, 0), { name: 'AssertionError' })
})

test('gzip and zstd are told by their first bytes', () => {
  const starts = [
    '1f8b',
    '1f8b08',
    '28b52ffd',
    '28b52ffd00',
    '1f',
    '1f8c',
    '28b52f',
    '28b52ffe',
    '28b52efd',
    ''
  ]
  assert.deepEqual(
    starts.map(start => detectCompression(Buffer.from(start, 'hex'))),
    ['gzip', 'gzip', 'zstd', 'zstd', ...Array<undefined>(6)]
  )
})

for (const kind of ['gzip', 'deflate', 'zstd'] as const) {
  test(`whatever is done to ${kind}, it expands within the limit or is refused`, async () => {
    const random = seededRandom(kind.length * 1009)
    const content = recordedBody(5)
    const bytes = await compress(kind, content)
    const limit = content.length * 2
    let refused = 0
    for (let round = 0; round < 1500; round++) {
      const changed = mutated(bytes, random)
      try {
        const expanded = await expand(kind, changed, limit)
        assert(expanded.length <= limit, `round ${round}: ${expanded.length} bytes`)
        if (kind === 'gzip') assert.deepEqual(expanded, content, `round ${round}`)
      } catch (error) {
        if (!(error instanceof CompressionError))
          throw new Error(`round ${round}`, { cause: error })
        refused++
      }
    }
    assert(refused > 1000, `refused ${refused}`)
  })
}

/** Some bytes changed, a run taken out or put in twice, or the end cut off. */
function mutated(bytes: Buffer, random: () => number): Buffer {
  const changed = Buffer.from(bytes)
  for (let count = random() * 3; count > 0; count--) {
    changed[Math.floor(random() * bytes.length)] = random() * 256
  }
  const start = Math.floor(random() * bytes.length)
  const end = start + Math.floor(random() * 20)
  const choice = random()
  if (choice < 0.2) return Buffer.concat([changed.subarray(0, start), changed.subarray(end)])
  if (choice < 0.4) return Buffer.concat([changed.subarray(0, end), changed.subarray(start)])
  if (choice < 0.5) return changed.subarray(0, start)
  return changed
}
