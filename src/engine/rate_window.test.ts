import assert from 'node:assert/strict'
import { test } from 'node:test'
import { RateWindow } from './rate_window.ts'

const START = 1_700_000_000_000

test('a window starts with the first event and is followed by the next without a gap', () => {
  const window = new RateWindow(1000)
  window.add(START, 11, 110)
  assert.equal(window.leftMs(START), 1000)
  window.add(START + 999, 1, 10)
  assert.deepEqual([window.records, window.bytes], [12, 120])
  assert.equal(window.leftMs(START + 999), 1)
  // Two and a half windows later the current one is half over.
  window.add(START + 2500, 0, 0)
  assert.deepEqual([window.records, window.bytes], [0, 0])
  assert.equal(window.leftMs(START + 2500), 500)
})

test('a rate is that of the window before, per second, and 0 after a window without events', () => {
  const window = new RateWindow(5000)
  window.add(START, 50, 1000)
  assert.deepEqual([window.recordRate, window.byteRate], [0, 0])
  window.add(START + 5000, 0, 0)
  assert.deepEqual([window.recordRate, window.byteRate], [10, 200])
  window.add(START + 9999, 5, 5)
  assert.deepEqual([window.recordRate, window.byteRate], [10, 200])
  window.add(START + 15_000, 0, 0)
  assert.deepEqual([window.recordRate, window.byteRate], [0, 0])
})

test('a clock that goes back starts a new window, without a rate', () => {
  const window = new RateWindow(1000)
  window.add(START, 11, 0)
  window.add(START + 1000, 1, 0)
  window.add(START - 60_000, 1, 0)
  assert.deepEqual([window.records, window.recordRate], [1, 0])
  assert.equal(window.leftMs(START - 60_000), 1000)
})

test('the time that is left is at least a millisecond, also before the first event and after the window', () => {
  const window = new RateWindow(1000)
  assert.equal(window.leftMs(START), 1000)
  window.add(START, 1, 0)
  assert.equal(window.leftMs(START + 5000), 1)
})
