import assert from 'node:assert/strict'
import { test } from 'node:test'
import { MetricsRegistry } from './registry.ts'

function values(registry: MetricsRegistry): Record<string, number> {
  const found: Record<string, number> = {}
  for (const { name, series } of registry.families()) {
    for (const { labels, figure } of series) {
      const value = 'value' in figure ? figure.value : figure.count
      found[`${name} ${Object.values(labels).join(' ')}`] = value
    }
  }
  return found
}

test('a counter goes on with its value while one of those who have it stays, and is gone with the last', () => {
  const registry = new MetricsRegistry()
  const before = registry.scope()
  before.counter('c', 'help', { name: 'x' }).add(2)
  const after = registry.scope()
  const counter = after.counter('c', 'help', { name: 'x' })
  before.release()
  counter.add(3)
  assert.equal(after.counter('c', 'help', { name: 'x' }), counter)
  assert.deepEqual(values(registry), { 'c x': 5 })
  after.release()
  after.release()
  assert.deepEqual(values(registry), {})
  assert.equal(registry.seriesCount('c'), 0)
  registry.counter('c', 'help', { name: 'x' }).add(1)
  assert.deepEqual(values(registry), { 'c x': 1 })
})

test('of several gauges of a name and labels the newest counts that is still there', () => {
  const registry = new MetricsRegistry()
  const scopes = [1, 2, 3].map(value => {
    const scope = registry.scope()
    scope.gauge('g', 'help', {}, () => value)
    return scope
  })
  assert.deepEqual(values(registry), { 'g ': 3 })
  scopes[0]?.release()
  assert.deepEqual(values(registry), { 'g ': 3 })
  scopes[2]?.release()
  assert.deepEqual(values(registry), { 'g ': 2 })
  scopes[1]?.gauge('g', 'help', {}, () => 4)
  assert.deepEqual(values(registry), { 'g ': 4 })
  scopes[1]?.release()
  assert.deepEqual(values(registry), {})
})
