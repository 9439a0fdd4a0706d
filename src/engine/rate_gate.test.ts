import assert from 'node:assert/strict'
import { test } from 'node:test'
import { RateGate, type RateGateSettings } from './rate_gate.ts'

const START = 1_700_000_000_000

function gate(settings: Partial<RateGateSettings> = {}): RateGate {
  return new RateGate({
    windowMs: 1000,
    maxBytes: 0,
    maxRecords: 0,
    usesPressure: false,
    resumeRatio: 0.8,
    ...settings
  })
}

test('the gate closes above the limit of records a second, not at it', () => {
  const records = gate({ maxRecords: 10 })
  records.add(START, 10, 0)
  assert.equal(records.isOver(0), false)
  records.add(START + 999, 1, 0)
  assert.equal(records.isOver(0), true)
})

test('the gate closes above the limit of bytes a second, whatever the records', () => {
  const bytes = gate({ maxBytes: 100, maxRecords: 1000 })
  bytes.add(START, 1, 100)
  assert.equal(bytes.isOver(0), false)
  bytes.add(START, 1, 1)
  assert.equal(bytes.isOver(0), true)
})

test('a limit is for each second of the window', () => {
  const wide = gate({ maxRecords: 10, windowMs: 5000 })
  wide.add(START, 50, 0)
  assert.equal(wide.isOver(0), false)
  wide.add(START + 4999, 1, 0)
  assert.equal(wide.isOver(0), true)
})

test('without limits the gate is always open', () => {
  const open = gate()
  open.add(START, 1e9, 1e12)
  assert.equal(open.isOver(100), false)
  assert.equal(open.isCalm(100), true)
})

test('the input goes on at the ratio of the limit, not above it', () => {
  const ratio = gate({ maxRecords: 10, resumeRatio: 0.5 })
  ratio.add(START, 5, 0)
  assert.equal(ratio.isCalm(0), true)
  ratio.add(START, 1, 0)
  assert.equal(ratio.isCalm(0), false)
  assert.equal(ratio.isOver(0), false)
})

test('with pressure the limit is divided by chunks under way and their retries, plus one', () => {
  const pressed = gate({ maxRecords: 12, usesPressure: true })
  pressed.add(START, 4, 0)
  assert.equal(pressed.isOver(2), false)
  assert.equal(pressed.isOver(3), true)
  assert.equal(pressed.isCalm(1), true)
  assert.equal(pressed.isCalm(2), false)
})

test('rate_gate.backpressure off leaves the limit alone', () => {
  const calm = gate({ maxRecords: 12, usesPressure: false })
  calm.add(START, 12, 0)
  assert.equal(calm.isOver(100), false)
})

test('a window starts with the first event and is followed by the next without a gap', () => {
  const windows = gate({ maxRecords: 10 })
  windows.add(START, 11, 0)
  assert.equal(windows.leftMs(START), 1000)
  windows.add(START + 999, 0, 0)
  assert.equal(windows.isOver(0), true)
  assert.equal(windows.leftMs(START + 999), 1)
  // Two and a half windows later the current one is half over.
  windows.add(START + 2500, 0, 0)
  assert.equal(windows.isCalm(0), true)
  assert.equal(windows.leftMs(START + 2500), 500)
})

test('a clock that goes back starts a new window', () => {
  const windows = gate({ maxRecords: 10 })
  windows.add(START, 11, 0)
  windows.add(START - 60_000, 1, 0)
  assert.equal(windows.isOver(0), false)
  assert.equal(windows.leftMs(START - 60_000), 1000)
})

test('the time that is left is at least a millisecond, also before the first event and after the window', () => {
  const windows = gate()
  assert.equal(windows.leftMs(START), 1000)
  windows.add(START, 1, 0)
  assert.equal(windows.leftMs(START + 5000), 1)
})
