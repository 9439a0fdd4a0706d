import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Logger, type LogLevel, type LogLine } from './log.ts'

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

test('followers get lines from where they want, as far back as they are kept, and none after they left', () => {
  const { log } = recorded('info')
  const child = log.child('[a] ')
  for (let n = 0; n < 300; n++) child.info(`${n}`)
  const { position } = log
  assert.equal(position, 300)
  child.warn('x')
  const taken: LogLine[] = []
  const leave = log.follow(line => void taken.push(line), position)
  const all: LogLine[] = []
  log.follow(line => void all.push(line), 0)
  const now: LogLine[] = []
  log.follow(line => void now.push(line))
  child.debug('not printed')
  log.error('y')
  leave()
  log.error('z')
  assert.deepEqual(
    taken.map(({ level, text }) => [level, text]),
    [
      ['warn', '[a] x'],
      ['error', 'y']
    ]
  )
  assert.deepEqual([all.length, all[0]?.text], [256 + 2, '[a] 45'])
  assert.deepEqual(
    now.map(({ text }) => text),
    ['y', 'z']
  )
})

test('a line from another thread is printed as it is, counted and followed', () => {
  const { log, lines, clock } = recorded('error')
  const taken: LogLine[] = []
  log.follow(line => void taken.push(line))
  const line = { level: 'info', text: '[b] there', timeMs: clock.ms - 1000 } as const
  log.child('[a] ').relay(line)
  assert.deepEqual(lines, ['[2026/08/21 06:03:46.005] [ info] [b] there\n'])
  assert.equal(log.counts.info, 1)
  assert.deepEqual(taken, [line])
})
