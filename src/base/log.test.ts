import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Logger, type LogLevel } from './log.ts'

/** A logger whose lines are kept. */
function recorded(
  level: LogLevel,
  options: { colour?: boolean } = {}
): { log: Logger; lines: string[]; clock: { ms: number } } {
  const lines: string[] = []
  const clock = { ms: new Date(2026, 7, 21, 6, 3, 47, 5).getTime() }
  const sink = { colour: options.colour ?? false, write: (text: string) => void lines.push(text) }
  return { log: new Logger({ sink, level, now: () => clock.ms }), lines, clock }
}

test('a line has local time with milliseconds and the level padded to five', () => {
  const { log, lines } = recorded('trace')
  for (const level of ['error', 'warn', 'info', 'debug', 'trace', 'help'] as const) log[level]('x')
  assert.deepEqual(
    lines,
    ['error', ' warn', ' info', 'debug', 'trace', ' help'].map(
      word => `[2026/08/21 06:03:47.005] [${word}] x\n`
    )
  )
  assert.deepEqual(log.counts, { error: 1, warn: 1, info: 1, debug: 1, trace: 1 })
})

test('lines above the level are not printed; off prints nothing, not even help', () => {
  const { log, lines } = recorded('warn')
  log.info('no')
  log.warn('yes')
  log.level = 'off'
  log.error('no')
  log.help('no')
  assert.equal(lines.length, 1)
})

test('a child prefixes its lines and follows its parent until it has a level of its own', () => {
  const { log, lines } = recorded('info')
  const follower = log.child('[a] ')
  const own = log.child('[b] ', 'debug')
  log.level = 'error'
  follower.info('no')
  own.debug('yes')
  assert.deepEqual(lines, ['[2026/08/21 06:03:47.005] [debug] [b] yes\n'])
})

test('similar lines are not repeated within the interval', () => {
  const { log, lines, clock } = recorded('info')
  const child = log.child('', undefined, 1000)
  child.info('retry in 5 seconds')
  child.info('retry in 6 seconds')
  child.info('other')
  clock.ms += 1000
  child.info('retry in 7 seconds')
  assert.deepEqual(
    lines.map(line => line.slice(34)),
    ['retry in 5 seconds\n', 'other\n', 'retry in 7 seconds\n']
  )
})
