import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { seededRandom } from '../../test/harness/random.ts'
import { RECORDED_METRICS, recordedMetrics } from '../../test/harness/metrics_recordings.ts'
import { type Encodable, Float, MsgpackWriter } from '../codec/msgpack_writer.ts'
import { decodeContexts, writeContext } from './cmetrics.ts'
import { CmetricsError } from './cmetrics_reader.ts'
import type { MetricsContext } from './model.ts'
import { readFluentBitChunk } from '../storage/fluent_bit_chunk.ts'

const DATA = join(import.meta.dirname, '../../test/data')

const TIME = 1_700_000_001_123_456_789n

function encoded(...contexts: readonly MetricsContext[]): Buffer {
  const writer = new MsgpackWriter()
  for (const context of contexts) writeContext(writer, context)
  return Buffer.from(writer.written())
}

function packed(value: Encodable): Buffer {
  const writer = new MsgpackWriter()
  writer.value(value)
  return Buffer.from(writer.written())
}

for (const name of RECORDED_METRICS) {
  test(`what Fluent Bit wrote comes back byte for byte: ${name}`, () => {
    const bytes = Buffer.from(recordedMetrics(name).bytes, 'hex')
    assert(encoded(...decodeContexts(bytes)).equals(bytes))
  })
}

test('a chunk of the real program and what its output forward sends come back byte for byte', () => {
  const file = readFileSync(join(DATA, 'fluent_bit_chunks/metrics.flb'))
  const read = readFluentBitChunk(file, { checksum: false })
  assert(read.ok)
  const { content } = read.chunk
  assert(encoded(...decodeContexts(content)).equals(content))
  const sent = readFileSync(join(DATA, 'forward/sent_by_fluent_bit.json'), 'utf8')
  const { received } = (JSON.parse(sent) as { metrics: { received: string } }).metrics
  // [tag, bin of 16 bits, options]
  const message = Buffer.from(received, 'hex')
  const start = 1 + 4 + 3
  const entry = message.subarray(start, start + message.readUInt16BE(start - 2))
  assert(encoded(...decodeContexts(entry)).equals(entry))
})

test('hashes that nobody gave are those of cmetrics', () => {
  for (const name of RECORDED_METRICS.filter(each => each !== 'opentelemetry')) {
    const bytes = Buffer.from(recordedMetrics(name).bytes, 'hex')
    const contexts = decodeContexts(bytes).map(context => ({
      ...context,
      families: context.families.map(family => ({
        ...family,
        // `made` has one sample with a hash that is not that of its labels.
        samples: family.samples.map(({ hash, ...sample }) =>
          hash === 12_345n ? { ...sample, hash } : sample
        )
      }))
    })) as MetricsContext[]
    assert(encoded(...contexts).equals(bytes), name)
  }
})

test('a context of Fluent Bit is decoded to families', () => {
  const bytes = Buffer.from(recordedMetrics('statsd').bytes, 'hex')
  const [{ families, ...others }] = decodeContexts(bytes)
  assert.deepEqual(others, { staticLabels: [], internal: new Map(), external: new Map() })
  assert.equal(families.length, 1)
  const [family] = families
  const [sample] = family.samples
  assert.deepEqual(family, {
    kind: 'counter',
    aggregation: 'cumulative',
    namespace: '',
    subsystem: '',
    name: 'hits',
    help: '-',
    unit: '',
    labels: [],
    samples: [{ labels: [], time: sample.time, value: 2 }]
  })
})

/** All kinds, and what is odd in each. */
const CONTEXT: MetricsContext = {
  internal: new Map([['producer', 'test']]),
  external: new Map([
    ['list', [1, 2.5, new Float(3), null, Buffer.from('ab'), new Map([['x', true]])]]
  ]),
  staticLabels: [['site', 'Oslo']],
  families: [
    {
      ...parts('requests', 'a', 'b'),
      kind: 'counter',
      aggregation: 'delta',
      samples: [
        { labels: [], time: 0n, value: -0 },
        { labels: ['x', undefined], time: TIME, value: 2n ** 63n - 1n, startTime: 0n, hash: 1n },
        { labels: ['y'], time: 2n ** 64n - 1n, value: 2n ** 64n - 1n, hash: 2n ** 64n - 1n },
        { labels: ['', 'é'], time: TIME, value: -(2n ** 63n), hash: 0n }
      ]
    },
    { ...parts('nothing'), kind: 'counter', aggregation: 'unspecified', samples: [] },
    { ...parts('level'), kind: 'gauge', samples: [{ labels: [], time: TIME, value: Infinity }] },
    { ...parts('anything'), kind: 'untyped', samples: [{ labels: [], time: TIME, value: 1e-300 }] },
    {
      ...parts('took', 'a'),
      kind: 'summary',
      quantiles: [0.5, 0.99],
      samples: [
        { labels: ['set'], time: TIME, hash: 3n, values: [-1.5, 0], sum: -0.25, count: 3 },
        { labels: ['not'], time: TIME, hash: 4n, values: [undefined, undefined], sum: 0, count: 0 }
      ]
    },
    {
      ...parts('sizes'),
      kind: 'histogram',
      bounds: [0.1, 1],
      aggregation: 'cumulative',
      samples: [{ labels: [], time: TIME, buckets: [1, 2, 3], sum: 1.5, count: 2 ** 53 - 1 }]
    },
    {
      ...parts('exponential'),
      kind: 'exp_histogram',
      aggregation: 'cumulative',
      samples: [
        {
          labels: [],
          time: TIME,
          scale: -3,
          zeroCount: 2,
          zeroThreshold: 0.001,
          positive: { offset: -2_147_483_648, counts: [1, 2] },
          negative: { offset: 7, counts: [] },
          sum: undefined,
          count: 5
        }
      ]
    }
  ]
}

function parts(name: string, ...labels: string[]) {
  return { namespace: 'ns', subsystem: '', name, help: 'Help', unit: 'By', labels }
}

test('what is encoded is decoded as it was, several contexts after each other', () => {
  const other = { ...CONTEXT, families: [], staticLabels: [] }
  assert.deepEqual(decodeContexts(encoded(CONTEXT, other, CONTEXT)), [CONTEXT, other, CONTEXT])
  assert.deepEqual(decodeContexts(Buffer.alloc(0)), [])
})

test('families are written by kind, as cmetrics keeps them', () => {
  const backwards = { ...CONTEXT, families: CONTEXT.families.toReversed() }
  assert.deepEqual(
    decodeContexts(encoded(backwards))[0].families.map(({ name }) => name),
    ['nothing', 'requests', 'level', 'anything', 'took', 'sizes', 'exponential']
  )
})

const OPTS = { name: 'x', desc: '' }

/** A context with one family. */
function withFamily(family: Encodable): Buffer {
  return packed({ metrics: [family] })
}

test('keys that are not known are skipped, and those that are not there have their defaults', () => {
  const meta = { later: [1, { a: 2 }], ver: 2, type: 2, opts: { ...OPTS, color: 'red' } }
  const values = [{ mood: 'fine' }, { labels: [null, 'b'], ['k'.repeat(40)]: 1 }]
  const context = { news: null, metrics: [{ extra: 1, meta, values }] }
  const sample = { buckets: [0], sum: 0, count: 0, time: 0n }
  assert.deepEqual(decodeContexts(packed(context)), [
    {
      staticLabels: [],
      internal: new Map(),
      external: new Map(),
      families: [
        {
          namespace: '',
          subsystem: '',
          name: 'x',
          help: '',
          unit: '',
          labels: [],
          kind: 'histogram',
          aggregation: 'unspecified',
          bounds: [],
          samples: [
            { ...sample, labels: [] },
            { ...sample, labels: [undefined, 'b'] }
          ]
        }
      ]
    }
  ])
})

function withSample(type: number, sample: Encodable): Buffer {
  return withFamily({ meta: { ver: 2, type, opts: OPTS, quantiles: [] }, values: [sample] })
}

const REFUSED: readonly (readonly [Buffer, string])[] = [
  [packed(7), 'a context is of type integer: wanted map'],
  [Buffer.from('c1', 'hex'), 'it is not MessagePack'],
  [Buffer.from('82a4', 'hex'), 'it is cut off'],
  [Buffer.from('dfffffffff', 'hex'), 'it is cut off'],
  [packed({ metrics: {} }), 'metrics is of type map: wanted array'],
  [packed(new Map<Encodable, Encodable>([[1, 2]])), 'a key is of type integer: wanted string'],
  [packed({ meta: { external: [] } }), 'external is not a map'],
  [packed({ meta: { processing: { static_labels: [['a']] } } }), 'a static label is no pair'],
  [withFamily({}), 'a metric has no meta or no values'],
  [withFamily({ values: [] }), 'values come before their meta'],
  [withFamily({ meta: { ver: 3 } }), 'its version is unknown'],
  [withFamily({ meta: { type: 9, opts: OPTS } }), 'the type of a metric is unknown'],
  [withFamily({ meta: { type: 0 } }), 'a metric has no name'],
  [
    withFamily({ meta: { type: 0, opts: OPTS, aggregation_type: 3 } }),
    'the aggregation_type of a metric is unknown'
  ],
  [withSample(0, { value: 1 }), 'value is not a double'],
  [withSample(0, { ts: -1 }), 'ts is negative'],
  [withSample(0, { value_int64: 1.5 }), 'value_int64 is not an integer'],
  [withSample(0, { labels: [1] }), 'a label is of type integer: wanted string'],
  [withSample(2, { histogram: { buckets: [1, 2] } }), 'a histogram has not 1 buckets'],
  [withSample(2, { histogram: { buckets: [-1] } }), 'a bucket is negative'],
  [withSample(3, { summary: { quantiles: [1] } }), 'a summary has not 0 quantiles'],
  [withSample(5, { exp_histogram: { scale: 2 ** 31 } }), 'scale is out of range']
]

for (const [bytes, reason] of REFUSED) {
  test(`bytes are refused: ${reason} (${bytes.toString('hex').slice(0, 8)})`, () => {
    const good = encoded({ ...CONTEXT, families: [] })
    const message = `Cannot read metrics at byte ${good.length}: ${reason}`
    assert.throws(
      () => decodeContexts(Buffer.concat([good, bytes])),
      new CmetricsError(message, good.length)
    )
  })
}

test('metadata may nest as deep as it likes', () => {
  const deep = Buffer.concat([
    Buffer.from('81a46d65746181a865787465726e616c', 'hex'),
    Buffer.from('81a161'.repeat(100_000), 'hex'),
    Buffer.from('c0', 'hex')
  ])
  const [context] = decodeContexts(deep)
  assert.equal(context.external.size, 1)
  assert(encoded(context).length < 10_000)
})

test('damaged contexts are decoded or refused, whatever is in them', () => {
  const random = seededRandom(6)
  const whole = [
    encoded(CONTEXT),
    Buffer.from(recordedMetrics('opentelemetry').bytes, 'hex'),
    Buffer.from(recordedMetrics('event_type').bytes, 'hex')
  ]
  let refused = 0
  for (let round = 0; round < 6000; round++) {
    const bytes = Buffer.from(whole[round % whole.length])
    for (let left = 1 + random() * 3; left > 0; left--) {
      bytes[Math.floor(random() * bytes.length)] = Math.floor(random() * 256)
    }
    const end = random() < 0.2 ? Math.floor(random() * bytes.length) : bytes.length
    try {
      // What is taken can be written, and then read.
      decodeContexts(encoded(...decodeContexts(bytes.subarray(0, end))))
    } catch (error) {
      assert(error instanceof CmetricsError, String(error))
      refused++
    }
  }
  assert(refused > 500 && refused < 5800, `${refused} refused`)
})
