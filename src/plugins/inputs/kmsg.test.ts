import assert from 'node:assert/strict'
import { appendFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { startPipeline } from '../../../test/harness/pipeline.ts'
import { SystemRoot } from '../../../test/harness/system_root.ts'

/** The clock of the tests starts at 1700000000.123: the machine was started at 1699999000 by Fluent Bit's reckoning. */
const UPTIME = '1000.25 2000.50\n'

function configuration(keys = ''): string {
  return `
[INPUT]
    name  kmsg
    tag   kernel
${keys}
[OUTPUT]
    name  collect
    match *
`
}

test('kmsg sends each record of the kernel log, at the time of its making', async t => {
  // Fluent Bit 5.1.1 gave these bodies for these records, written to a pipe that stood for /dev/kmsg.
  const root = new SystemRoot(t, {
    'proc/uptime': UPTIME,
    'dev/kmsg': `6,339,5140900,-;NET: Registered protocol family 10
12,340,5690716123,-,caller=T1;udevd[80]: starting version 181
 SUBSYSTEM=acpi
 DEVICE=+acpi:PNP0A03:00
garbage
30,341,5690716124,c;continued
6,18446744073709551615,1999999,-;a;b \\xe2
`
  })
  const run = await startPipeline(configuration(), { root: root.path })
  run.flush()
  const events = [
    {
      time: [1699999005, 140900000],
      body: {
        priority: 6,
        sequence: 339,
        sec: 5,
        usec: 140900,
        msg: 'NET: Registered protocol family 10'
      }
    },
    {
      time: [1700004690, 716123000],
      body: {
        priority: 4,
        sequence: 340,
        sec: 5690,
        usec: 716123,
        msg: 'udevd[80]: starting version 181\n SUBSYSTEM=acpi\n DEVICE=+acpi:PNP0A03:00'
      }
    },
    {
      time: [1700004690, 716124000],
      body: { priority: 6, sequence: 341, sec: 5690, usec: 716124, msg: 'continued' }
    },
    {
      time: [1699999001, 999999000],
      body: { priority: 6, sequence: 18446744073709551615n, sec: 1, usec: 999999, msg: 'a;b \\xe2' }
    }
  ]
  assert.deepEqual(run.taken, [
    { tag: 'kernel', events: events.map(event => ({ ...event, metadata: {} })) }
  ])
  assert.deepEqual(Object.keys(run.bodies[0] as object), [
    'priority',
    'sequence',
    'sec',
    'usec',
    'msg'
  ])
  await run.stop()
})

for (const [level, priorities] of [
  [8, [0, 3, 7]],
  [3, [0, 3]],
  [0, [0]]
] as const) {
  test(`kmsg with prio_level ${level} sends priorities ${priorities.join(', ')} of 0, 3, 7`, async t => {
    const root = new SystemRoot(t, {
      'proc/uptime': UPTIME,
      'dev/kmsg': '0,1,1,-;a\n3,2,1,-;b\n7,3,1,-;c\n'
    })
    const run = await startPipeline(configuration(`    prio_level ${level}`), { root: root.path })
    run.flush()
    assert.deepEqual(
      run.bodies.map(body => (body as { priority: number }).priority),
      priorities
    )
    await run.stop()
  })
}

test('kmsg goes on with what the kernel logs later', async t => {
  const root = new SystemRoot(t, { 'proc/uptime': UPTIME, 'dev/kmsg': '6,1,1,-;first\n' })
  const run = await startPipeline(configuration(), { root: root.path })
  run.flush()
  appendFileSync(join(root.path, 'dev/kmsg'), '6,2,2,-;second\n')
  run.flush()
  assert.deepEqual(
    run.bodies.map(body => (body as { msg: string }).msg),
    ['first', 'second']
  )
  await run.stop()
})

test('kmsg does not read while it is held back', async t => {
  const records = Array.from({ length: 200 }, (_, index) => `6,${index},1,-;${'x'.repeat(100)}\n`)
  const root = new SystemRoot(t, { 'proc/uptime': UPTIME, 'dev/kmsg': records.join('') })
  const run = await startPipeline(configuration('    mem_buf_limit 1K'), { root: root.path })
  const before = run.counter('fluentbit_input_records_total', { name: 'kmsg.0' })
  assert.ok(before < 200, `${before} records at once`)
  run.clock.advance(10_000)
  assert.equal(run.bodies.length, 200)
  await run.stop()
})

test('kmsg does not start without the device or the time of the start', async t => {
  const root = new SystemRoot(t, { 'proc/uptime': UPTIME })
  await assert.rejects(startPipeline(configuration(), { root: root.path }), {
    message: `Cannot open "${root.path}/dev/kmsg": No such file or directory`
  })
  root.write('dev/kmsg', '')
  root.remove('proc/uptime')
  await assert.rejects(startPipeline(configuration(), { root: root.path }), {
    message: `Cannot read "${root.path}/proc/uptime": it must hold the time since the kernel started`
  })
})
