import assert from 'node:assert/strict'
import { test } from 'node:test'
import { RateGate, type RateGateSettings } from './rate_gate.ts'
import { RateWindow } from './rate_window.ts'

const START = 1_700_000_000_000

function gate(
  settings: Partial<RateGateSettings> = {},
  windowMs = 1000
): { readonly gate: RateGate; readonly window: RateWindow } {
  const window = new RateWindow(windowMs)
  const usual = { maxBytes: 0, maxRecords: 0, usesPressure: false, resumeRatio: 0.8 }
  return { gate: new RateGate({ ...usual, ...settings }, window), window }
}

test('the gate closes above the limit of records a second, not at it', () => {
  const { gate: records, window } = gate({ maxRecords: 10 })
  window.add(START, 10, 0)
  assert.equal(records.isOver(0), false)
  window.add(START + 999, 1, 0)
  assert.equal(records.isOver(0), true)
})

test('the gate closes above the limit of bytes a second, whatever the records', () => {
  const { gate: bytes, window } = gate({ maxBytes: 100, maxRecords: 1000 })
  window.add(START, 1, 100)
  assert.equal(bytes.isOver(0), false)
  window.add(START, 1, 1)
  assert.equal(bytes.isOver(0), true)
})

test('a limit is for each second of the window', () => {
  const { gate: wide, window } = gate({ maxRecords: 10 }, 5000)
  window.add(START, 50, 0)
  assert.equal(wide.isOver(0), false)
  window.add(START + 4999, 1, 0)
  assert.equal(wide.isOver(0), true)
})

test('without limits the gate is always open', () => {
  const { gate: open, window } = gate()
  window.add(START, 1e9, 1e12)
  assert.equal(open.isOver(100), false)
  assert.equal(open.isCalm(100), true)
})

test('the input goes on at the ratio of the limit, not above it', () => {
  const { gate: ratio, window } = gate({ maxRecords: 10, resumeRatio: 0.5 })
  window.add(START, 5, 0)
  assert.equal(ratio.isCalm(0), true)
  window.add(START, 1, 0)
  assert.equal(ratio.isCalm(0), false)
  assert.equal(ratio.isOver(0), false)
})

test('with pressure the limit is divided by chunks under way and their retries, plus one', () => {
  const { gate: pressed, window } = gate({ maxRecords: 12, usesPressure: true })
  window.add(START, 4, 0)
  assert.equal(pressed.isOver(2), false)
  assert.equal(pressed.isOver(3), true)
  assert.equal(pressed.isCalm(1), true)
  assert.equal(pressed.isCalm(2), false)
})

test('rate_gate.backpressure off leaves the limit alone', () => {
  const { gate: calm, window } = gate({ maxRecords: 12, usesPressure: false })
  window.add(START, 12, 0)
  assert.equal(calm.isOver(100), false)
})
