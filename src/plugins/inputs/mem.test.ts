import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startPipeline } from '../../../test/harness/pipeline.ts'
import { SystemRoot } from '../../../test/harness/system_root.ts'

const MEMINFO = `MemTotal:       24684084 kB
MemFree:        24147920 kB
MemAvailable:   24200000 kB
Buffers:            1000 kB
SwapCached:            0 kB
SwapTotal:       2097148 kB
SwapFree:        2000000 kB
`

const MEMORY = {
  'Mem.total': 24684084,
  'Mem.used': 536164,
  'Mem.free': 24147920,
  'Swap.total': 2097148,
  'Swap.used': 97148,
  'Swap.free': 2000000
}

function configuration(keys = ''): string {
  return `
[INPUT]
    name  mem
    tag   memory
${keys}
[OUTPUT]
    name  collect
    match *
`
}

test('mem sends memory and swap in kilobytes', async t => {
  const root = new SystemRoot(t, { 'proc/meminfo': MEMINFO })
  const run = await startPipeline(configuration(), { root: root.path })
  run.clock.advance(1000)
  assert.deepEqual(run.taken, [
    { tag: 'memory', events: [{ time: [1700000001, 0], metadata: {}, body: MEMORY }] }
  ])
  assert.deepEqual(Object.keys(run.bodies[0] as object), Object.keys(MEMORY))
  await run.stop()
})

const SIZES: readonly [kilobytes: number, bytes: number, text: string][] = [
  [0, 0, '0 b'],
  [1, 1024, '1.00K'],
  [20512, 21004288, '20.03M'],
  [5242880, 5368709120, '5.00G']
]

for (const [kilobytes, bytes, text] of SIZES) {
  test(`mem with pid adds the ${kilobytes} kB of a process as "${text}"`, async t => {
    const status = `Name:\tx\nVmHWM:\t  999999 kB\n${kilobytes === 0 ? '' : `VmRSS:\t${kilobytes} kB\n`}`
    const root = new SystemRoot(t, { 'proc/meminfo': MEMINFO, 'proc/42/status': status })
    const run = await startPipeline(configuration('    pid 42'), { root: root.path })
    run.clock.advance(1000)
    assert.deepEqual(run.bodies, [{ ...MEMORY, proc_bytes: bytes, proc_hr: text }])
    await run.stop()
  })
}

test('mem warns once of a process that it cannot find, and never looks for it again', async t => {
  const root = new SystemRoot(t, { 'proc/meminfo': MEMINFO })
  const run = await startPipeline(configuration('    pid 42'), { root: root.path })
  run.clock.advance(1000)
  root.write('proc/42/status', 'VmRSS: 1 kB\n')
  run.clock.advance(1000)
  assert.deepEqual(run.bodies, [MEMORY, MEMORY])
  assert.deepEqual(
    run.log.filter(line => line.includes('PID')),
    ['[ warn] [input:mem:mem.0] could not measure PID 42']
  )
  await run.stop()
})

test('mem adds interval_nsec to at least one second', async t => {
  const root = new SystemRoot(t, { 'proc/meminfo': MEMINFO })
  const keys = '    interval_sec 0\n    interval_nsec 500000000'
  const run = await startPipeline(configuration(keys), { root: root.path })
  run.clock.advance(4000)
  const times = run.taken.flatMap(chunk => chunk.events.map(event => event.time))
  assert.deepEqual(times, [
    [1700000001, 0],
    [1700000002, 500000000],
    [1700000004, 0]
  ])
  await run.stop()
})

test('mem reports that it cannot read, and sends nothing', async t => {
  const root = new SystemRoot(t, {})
  const run = await startPipeline(configuration(), { root: root.path })
  run.clock.advance(1000)
  assert.deepEqual(run.bodies, [])
  assert.deepEqual(run.log.slice(-1), [
    `[error] [input:mem:mem.0] Cannot read "${root.path}/proc/meminfo": it must hold the memory figures`
  ])
  await run.stop()
})
