import assert from 'node:assert/strict'
import { test } from 'node:test'
import { float, startPipeline } from '../../../test/harness/pipeline.ts'
import { SystemRoot } from '../../../test/harness/system_root.ts'

const STAT_BEFORE = `cpu  1000 100 500 9000 50 0 10 0 0 0
cpu0 600 50 300 4500 25 0 5 0 0 0
cpu1 400 50 200 4500 25 0 5 0 0 0
intr 12345 1 2 3
ctxt 99
`

const STAT_AFTER = `cpu  1050 107 533 9100 55 0 10 0 0 0
cpu0 640 57 310 4550 27 0 5 0 0 0
cpu1 410 50 223 4550 28 0 5 0 0 0
intr 12345 1 2 3
ctxt 99
`

/** What Fluent Bit 5.1.1 printed for the two files above, a second apart; it prints 28.5, as 16 digits are all it shows. */
const USAGE = {
  cpu_p: float(45),
  user_p: 28.499999999999996,
  system_p: 16.5,
  'cpu0.p_cpu': float(57),
  'cpu0.p_user': float(47),
  'cpu0.p_system': float(10),
  'cpu1.p_cpu': float(33),
  'cpu1.p_user': float(10),
  'cpu1.p_system': float(23)
}

const NO_USAGE = Object.fromEntries(Object.keys(USAGE).map(key => [key, float(0)]))

function configuration(keys = ''): string {
  return `
[INPUT]
    name  cpu
    tag   load
${keys}
[OUTPUT]
    name  collect
    match *
`
}

test('cpu sends the usage of all processors and of each since the last record, as doubles', async t => {
  const root = new SystemRoot(t, { 'proc/stat': STAT_BEFORE })
  const run = await startPipeline(configuration(), { root: root.path })
  root.write('proc/stat', STAT_AFTER)
  run.clock.advance(2000)
  assert.deepEqual(run.taken, [
    { tag: 'load', events: [{ time: [1700000001, 0], metadata: {}, body: USAGE }] },
    { tag: 'load', events: [{ time: [1700000002, 0], metadata: {}, body: NO_USAGE }] }
  ])
  assert.deepEqual(Object.keys(run.bodies[0] as object), Object.keys(USAGE))
  assert.equal(await run.stop(), 0)
})

test('cpu divides by the length of the interval, and rounds as Fluent Bit does', async t => {
  const root = new SystemRoot(t, {
    'proc/stat': 'cpu  0 0 0 1 1\ncpu0 0 0 0 1 1\ncpu1 0 0 0 1 1\n'
  })
  const keys = '    interval_sec  2\n    interval_nsec 500000000'
  const run = await startPipeline(configuration(keys), { root: root.path })
  root.write('proc/stat', 'cpu  109 0 0 1 1\ncpu0 109 0 0 1 1\ncpu1 0 0 0 1 1\n')
  run.clock.advance(3000)
  assert.deepEqual(run.bodies, [
    {
      ...NO_USAGE,
      cpu_p: 54.50000000000001 / 2.5,
      user_p: 54.50000000000001 / 2.5,
      'cpu0.p_cpu': 43.6,
      'cpu0.p_user': 43.6
    }
  ])
  await run.stop()
})

test('cpu goes on after it could not read, and shows 0 for a processor that was taken away', async t => {
  const root = new SystemRoot(t, { 'proc/stat': STAT_BEFORE })
  const run = await startPipeline(configuration(), { root: root.path })
  root.remove('proc/stat')
  run.clock.advance(1000)
  root.write('proc/stat', 'cpu  1010 100 500 1 1\ncpu0 610 50 300 1 1\nintr 1 2 3 4 5 6\n')
  run.clock.advance(1000)
  assert.deepEqual(run.log.slice(-1), [
    '[error] [input:cpu:cpu.0] error retrieving overall system CPU stats'
  ])
  assert.deepEqual(run.bodies, [
    {
      ...NO_USAGE,
      cpu_p: float(5),
      user_p: float(5),
      'cpu0.p_cpu': float(10),
      'cpu0.p_user': float(10)
    }
  ])
  await run.stop()
})

test('cpu with pid sends the usage of that process', async t => {
  const root = new SystemRoot(t, {
    'proc/stat': STAT_BEFORE,
    'proc/42/stat': '42 (my) prog) S 1 42 42 0 -1 4194560 100 0 0 0 700 300 0 0 20 0 1 0 5000\n'
  })
  const run = await startPipeline(configuration('    pid 42'), { root: root.path })
  root.write(
    'proc/42/stat',
    '42 (my) prog) S 1 42 42 0 -1 4194560 100 0 0 0 750 307 0 0 20 0 1 0 5000\n'
  )
  run.clock.advance(1000)
  // Fluent Bit 5.1.1 printed 28.5, 25.0 and 3.5 for the same file, with two processors and 16 digits.
  assert.deepEqual(run.bodies, [
    { cpu_p: 28.499999999999996, user_p: float(25), system_p: 3.5000000000000004 }
  ])
  root.remove('proc/42')
  run.clock.advance(1000)
  assert.deepEqual(run.log.slice(-2), [
    `[error] [input:cpu:cpu.0] error opening stats file ${root.path}/proc/42/stat`,
    '[error] [input:cpu:cpu.0] error retrieving PID CPU stats'
  ])
  assert.equal(run.bodies.length, 1)
  await run.stop()
})

test('cpu with pid 0, which never exists, starts and sends nothing', async t => {
  const root = new SystemRoot(t, { 'proc/stat': STAT_BEFORE })
  const run = await startPipeline(configuration('    pid 0'), { root: root.path })
  run.clock.advance(1000)
  assert.deepEqual(run.bodies, [])
  assert.deepEqual(run.log.slice(-1), ['[error] [input:cpu:cpu.0] error retrieving PID CPU stats'])
  await run.stop()
})

test('cpu does not start without /proc/stat, or without the process it was told of', async t => {
  const empty = new SystemRoot(t, { 'proc/stat': 'intr 1\n' })
  await assert.rejects(startPipeline(configuration(), { root: empty.path }), {
    message: `Cannot read "${empty.path}/proc/stat": it must hold processor times`
  })
  const root = new SystemRoot(t, { 'proc/stat': STAT_BEFORE })
  await assert.rejects(startPipeline(configuration('    pid 9'), { root: root.path }), {
    message: `Cannot read "${root.path}/proc/9/stat": process 9 must run when input cpu starts`
  })
})
