import assert from 'node:assert/strict'
import { test } from 'node:test'
import { RECORDED_METRICS, recordedMetrics } from '../../test/harness/metrics_recordings.ts'
import type { Decoded } from '../codec/msgpack_reader.ts'
import { decodeContexts } from './cmetrics.ts'
import { plainText } from './plain_text.ts'

for (const name of RECORDED_METRICS) {
  test(`the text is that of stdout: ${name}`, () => {
    const { bytes, text } = recordedMetrics(name)
    const [{ families, staticLabels, external }] = decodeContexts(Buffer.from(bytes, 'hex'))
    // `made` has exemplars.
    assert.equal(plainText(families, { labels: staticLabels, external }), text)
  })
}

const PARTS = { namespace: 'ns', subsystem: 'sub', help: '', unit: '', labels: ['n'] }
const time = 1_700_000_000_000_000_009n

test('labels that are not set are left out, and a summary may have no quantiles', () => {
  const text = plainText([
    { ...PARTS, name: 'level', kind: 'gauge', samples: [{ labels: [undefined], time, value: 3n }] },
    {
      ...PARTS,
      name: 'took',
      kind: 'summary',
      quantiles: [],
      samples: [{ labels: ['x'], time, values: [], sum: 1234567, count: 2 }]
    }
  ])
  assert.equal(
    text,
    '2023-11-14T22:13:20.000000009Z ns_sub_level = 3\n' +
      '2023-11-14T22:13:20.000000009Z ns_sub_took{n="x"} = { quantiles = { }, sum=1.23457e+06, count=2 }\n'
  )
})

test('metadata that is not as expected has no exemplars', () => {
  const sample = { labels: [], time, value: 1 }
  const family = { ...PARTS, name: 'level', kind: 'gauge' as const, samples: [sample] }
  const line = plainText([family])
  const wrapped =
    (...keys: readonly [string, ...string[]]) =>
    (inner: Decoded) =>
      keys.reduceRight<Decoded>((value, key) => new Map([[key, value]]), inner) as Map<
        Decoded,
        Decoded
      >
  const points = wrapped('otlp', 'metrics', 'gauge', 'ns_sub_level', 'datapoints')
  for (const inner of [null, 7, [], new Map(), new Map([[`0:${time}`, 'text']])]) {
    assert.equal(plainText([family], { external: points(inner) }), line)
  }
  const exemplars = points(
    new Map([[`0:${time}`, new Map([['exemplars', [1, new Map([['n', 2]])]]])]])
  )
  assert.equal(plainText([family], { external: exemplars }), `${line}  exemplars=[{n=2}]\n`)
})
