import assert from 'node:assert/strict'
import { test } from 'node:test'
import { RECORDED_METRICS, recordedMetrics } from '../../test/harness/metrics_recordings.ts'
import { decodeContexts } from './cmetrics.ts'
import { prometheusText } from './prometheus_text.ts'

for (const name of RECORDED_METRICS) {
  test(`the text is that of prometheus_exporter: ${name}`, () => {
    const recorded = recordedMetrics(name)
    const [{ families, staticLabels }] = decodeContexts(Buffer.from(recorded.bytes, 'hex'))
    const labels = staticLabels
    assert.equal(prometheusText(families, { timestamps: false, labels }), recorded.prometheus)
    assert.equal(
      prometheusText(families, { timestamps: true, labels }),
      recorded.prometheus_timestamps
    )
  })
}

const PARTS = { namespace: 'a', subsystem: '', help: 'Help', unit: 's', labels: ['n'] }
const time = 1_700_000_000_999_999_999n

test('families come by kind, those without samples not at all', () => {
  const value = { labels: ['x'], time, value: 1 }
  const text = prometheusText(
    [
      { ...PARTS, name: 'odd', kind: 'untyped', samples: [value] },
      { ...PARTS, name: 'level', kind: 'gauge', samples: [value] },
      { ...PARTS, name: 'empty', kind: 'gauge', samples: [] },
      { ...PARTS, name: 'second', kind: 'counter', aggregation: 'cumulative', samples: [value] },
      { ...PARTS, name: 'first', kind: 'counter', aggregation: 'cumulative', samples: [value] }
    ],
    { timestamps: true, labels: [['site', 'a"b']] }
  )
  const labels = '{site="a\\"b",n="x"} 1 1700000000999'
  assert.equal(
    text,
    `# HELP a_second Help\n# TYPE a_second counter\na_second${labels}\n` +
      `# HELP a_first Help\n# TYPE a_first counter\na_first${labels}\n` +
      `# HELP a_level Help\n# TYPE a_level gauge\na_level${labels}\n` +
      `# HELP a_odd Help\n# TYPE a_odd untyped\na_odd${labels}\n`
  )
})

test('an exponential histogram whose bounds are no doubles shows its name only', () => {
  const side = { offset: 0, counts: [1] }
  const sample = { labels: [], time, zeroCount: 0, zeroThreshold: 0, sum: 1, count: 2 }
  const none = { offset: 0, counts: [] }
  const text = prometheusText(
    [
      {
        ...PARTS,
        name: 'sizes',
        kind: 'exp_histogram',
        aggregation: 'delta',
        samples: [
          { ...sample, scale: -11, positive: side, negative: none },
          { ...sample, scale: 60, positive: side, negative: none },
          { ...sample, scale: 0, positive: { offset: 1023, counts: [1] }, negative: none }
        ]
      }
    ],
    { timestamps: false }
  )
  assert.equal(text, '# HELP a_sizes Help\n# TYPE a_sizes histogram\n')
})
