import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Logger } from '../base/log.ts'
import { Pauses } from './pauses.ts'

/** Pauses of an input `in.0`, and what it and the log were told. */
function started(): { pauses: Pauses; told: string[] } {
  const told: string[] = []
  const log = new Logger({
    sink: { colour: false, write: line => void told.push(line.replace(/^\[[^\]]*\] /, '').trim()) },
    level: 'info',
    now: () => 0
  })
  const pauses = new Pauses(log, 'in.0')
  pauses.input = {
    start: () => undefined,
    pause: () => void told.push('pause()'),
    resume: () => void told.push('resume()')
  }
  return { pauses, told }
}

test('an input pauses at the first reason and goes on when the last is gone', () => {
  const { pauses, told } = started()
  pauses.pause('memory', 'too much')
  pauses.pause('memory', 'too much')
  pauses.pause('disk', 'no room')
  pauses.resume('memory', 'less')
  assert.equal(pauses.isPaused, true)
  pauses.resume('rate', 'it was not that')
  pauses.resume('disk', 'room')
  assert.equal(pauses.isPaused, false)
  assert.deepEqual(told, [
    '[ warn] [input] in.0 paused (too much)',
    '[ info] [input] pausing in.0',
    'pause()',
    '[ warn] [input] in.0 paused (no room)',
    '[ info] [input] pausing in.0',
    'resume()',
    '[ info] [input] resume in.0',
    '[ info] [input] in.0 resume (room)'
  ])
})

test('once the engine stops nothing lets the input go on', () => {
  const { pauses, told } = started()
  pauses.pause('memory', 'too much')
  pauses.stop()
  pauses.resume('memory', 'less')
  assert.equal(pauses.isPaused, true)
  pauses.pause('disk', 'no room')
  assert.deepEqual(told, [
    '[ warn] [input] in.0 paused (too much)',
    '[ info] [input] pausing in.0',
    'pause()',
    '[ info] [input] pausing in.0',
    '[ warn] [input] in.0 paused (no room)'
  ])
})
