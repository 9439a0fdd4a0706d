import assert from 'node:assert/strict'
import { test } from 'node:test'
import type {
  HistogramSample,
  MetricFamily,
  MetricsContext,
  NumberFamily,
  StaticLabels
} from '../../../metrics/model.ts'
import { prometheusText } from '../../../metrics/prometheus_text.ts'
import { mergeContexts } from './exposition.ts'

type Row = readonly [labels: readonly (string | undefined)[], value: number, time?: bigint]

function gauge(name: string, labels: readonly string[], ...rows: readonly Row[]): NumberFamily {
  const samples = rows.map(([values, value, time = 1n]) => ({ labels: values, value, time }))
  const parts = { namespace: '', subsystem: '', name, help: 'Help.', unit: '', labels }
  return { ...parts, kind: 'gauge', samples }
}

function context(staticLabels: StaticLabels, ...families: MetricFamily[]): MetricsContext {
  return { families, staticLabels, internal: new Map(), external: new Map() }
}

function shown(contexts: readonly MetricsContext[], added: StaticLabels = []): string {
  return prometheusText(mergeContexts(contexts, added), { timestamps: false })
}

function page(...series: readonly string[]): string {
  return `# HELP x Help.\n# TYPE x gauge\n${series.map(line => `${line}\n`).join('')}`
}

test('labels of the context come first, then the added ones, then those of the sample', () => {
  const one = context([['a', '1']], gauge('x', ['c'], [['3'], 7]))
  assert.equal(shown([one], [['b', '2']]), page('x{a="1",b="2",c="3"} 7'))
})

test('a label that the sample has itself stays as it is', () => {
  const one = context([['a', '1']], gauge('x', ['a'], [['own'], 7], [[undefined], 8]))
  assert.equal(shown([one], [['a', 'added']]), page('x{a="own"} 7', 'x{a="added"} 8'))
})

test('families of several contexts become one, with the labels of all', () => {
  const contexts = [
    context([], gauge('x', ['a'], [['1'], 1])),
    context([], gauge('x', ['b', 'a'], [['2', '1'], 2], [[undefined, '1'], 3])),
    context([], gauge('x', [], [[], 4]))
  ]
  assert.equal(shown(contexts), page('x{a="1"} 3', 'x{a="1",b="2"} 2', 'x 4'))
})

test('of a series that is there twice the latest sample stays', () => {
  const contexts = [
    context([], gauge('x', ['a'], [['1'], 1, 5n], [['2'], 1, 5n], [['3'], 1, 5n])),
    context([], gauge('x', ['a'], [['1'], 2, 4n], [['2'], 2, 5n], [['3'], 2, 6n]))
  ]
  assert.equal(shown(contexts), page('x{a="1"} 1', 'x{a="2"} 2', 'x{a="3"} 2'))
})

test('an empty label is another one than none', () => {
  const one = context([], gauge('x', ['a'], [[''], 1], [[undefined], 2]))
  assert.equal(shown([one]), page('x{a=""} 1', 'x 2'))
})

test('histograms with other buckets are families of their own, and so are other kinds', () => {
  const histogram = (bounds: readonly number[], count: number): MetricFamily => {
    const buckets = [...bounds.map(() => 0), count]
    const sample: HistogramSample = { labels: [], time: 1n, buckets, sum: 0, count }
    const aggregation = 'cumulative' as const
    return { ...gauge('x', []), kind: 'histogram', aggregation, bounds, samples: [sample] }
  }
  const contexts = [
    context([], histogram([1], 1)),
    context([], histogram([1, 2], 2)),
    context([], histogram([1], 3)),
    context([], gauge('x', [], [[], 4]))
  ]
  const merged = mergeContexts(contexts, [])
  assert.deepEqual(
    merged.map(({ kind, samples }) => [kind, samples.length]),
    [
      ['histogram', 1],
      ['histogram', 1],
      ['gauge', 1]
    ]
  )
  assert.deepEqual(merged[0], histogram([1], 3))
})
