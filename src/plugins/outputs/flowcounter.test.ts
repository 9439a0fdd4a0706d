import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startPipeline, type TestPipeline } from '../../../test/harness/pipeline.ts'
import type { OutputPlugin, Plugin } from '../../plugin/define.ts'
import { flowcounter } from './flowcounter.ts'

const START = 1_700_000_000

function start(properties: string, plugins: readonly Plugin[] = []): Promise<TestPipeline> {
  return startPipeline(
    `[SERVICE]\n    flush 1\n[INPUT]\n    name lib\n[OUTPUT]\n    name flowcounter\n    match *\n${properties}`,
    { nowMs: START * 1000, plugins }
  )
}

function pushAt(run: TestPipeline, ...seconds: number[]): void {
  for (const second of seconds) {
    run.pushEvents('app', { time: [second, 0], metadata: {}, body: { n: 1 } })
  }
}

/** Lines of `flowcounter` for (end of period, records, bytes). */
function lines(
  unit: string,
  seconds: number,
  ...periods: (readonly [number, number, number])[]
): string {
  return periods
    .map(
      ([until, records, bytes]) =>
        `[out_flowcounter] [${until}, {"counts":${records}, "bytes":${bytes}, ` +
        `"counts/${unit}":${Math.floor(records / seconds)}, "bytes/${unit}":${Math.floor(bytes / seconds)} }]\n`
    )
    .join('')
}

/** Bytes of one pushed event. */
const EVENT = 17

test('flowcounter prints a period when a record of a later one comes', async () => {
  const run = await start('    unit second\n')
  run.push('app', { n: 1 }, { n: 2 })
  run.flush()
  run.push('app', { n: 1 })
  run.flush()
  run.clock.advance(3000)
  run.push('app', { n: 1 })
  run.flush()
  await run.stop()
  assert.equal(
    run.stdout,
    lines(
      'second',
      1,
      [START, 0, 0],
      [START + 1, 2, 2 * EVENT],
      [START + 2, 1, EVENT],
      [START + 3, 0, 0],
      [START + 4, 0, 0]
    )
  )
})

test('flowcounter counts by the time of the records and skips those that are too old', async () => {
  const run = await start('    unit MINUTE\n    event_based on\n')
  pushAt(
    run,
    START - 60,
    START,
    START + 1,
    START - 61,
    START - 61,
    START + 61,
    START - 1,
    START + 200
  )
  run.flush()
  await run.stop()
  assert.equal(
    run.stdout,
    lines(
      'minute',
      60,
      [START, 2, 2 * EVENT],
      [START + 60, 1, EVENT],
      [START + 120, 1, EVENT],
      [START + 180, 0, 0]
    )
  )
  assert.deepEqual(
    run.log.filter(line => line.includes('[output:flowcounter')),
    ['[ warn] [output:flowcounter:flowcounter.0] out of range. Skip the record']
  )
})

test('flowcounter keeps as many periods open as fit into a flush interval', async () => {
  const slow: OutputPlugin = {
    ...flowcounter,
    create: (values, context) => flowcounter.create(values, { ...context, flushSeconds: 5 })
  }
  const run = await start('    unit second\n    event_based on\n', [slow])
  pushAt(run, START + 5, START, START + 2, START + 6)
  run.flush()
  await run.stop()
  assert.equal(run.stdout, lines('second', 1, [START, 1, EVENT]))
})

test('flowcounter knows hours and days, and takes minutes for any other word', async () => {
  const units = { hour: 3600, Day: 86_400, nope: 60 }
  for (const [unit, seconds] of Object.entries(units)) {
    const run = await start(`    unit ${unit}\n    event_based on\n`)
    pushAt(run, START, START + 1)
    run.flush()
    await run.stop()
    const name = unit === 'nope' ? 'minute' : unit.toLowerCase()
    assert.equal(run.stdout, lines(name, seconds, [START, 1, EVENT]), unit)
  }
})

test('flowcounter does not print for ever when a record is far ahead', async () => {
  const run = await start('    unit second\n    event_based on\n')
  pushAt(run, 4_000_000_000, 4_000_000_001, 4_000_000_003)
  run.flush()
  await run.stop()
  const printed = run.stdout.split('\n').filter(line => line !== '')
  assert.ok(printed.length < 10_010, `${printed.length} lines`)
  assert.equal(
    printed.slice(-3).join('\n'),
    lines(
      'second',
      1,
      [3_999_999_999, 0, 0],
      [4_000_000_000, 1, EVENT],
      [4_000_000_001, 1, EVENT]
    ).trim()
  )
})
