import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startPipeline } from '../../../test/harness/pipeline.ts'
import { SystemRoot } from '../../../test/harness/system_root.ts'

const BEFORE = `   8       0 sda 100 5 2000 40 50 6 1000 30 0 70 70 0 0 0 0
   8       1 sda1 90 5 1800 40 50 6 900 30 0 70 70 0 0 0 0
 253       0 vdb 10 0 80 1 2 0 16 1 0 2 2
`

const AFTER = `   8       0 sda 110 5 2200 40 60 6 1010 30 0 70 70 0 0 0 0
   8       1 sda1 95 5 1900 40 55 6 905 30 0 70 70 0 0 0 0
 253       0 vdb 11 0 88 1 3 0 24 1 0 2 2
`

function configuration(keys = ''): string {
  return `
[INPUT]
    name  disk
    tag   io
${keys}
[OUTPUT]
    name  collect
    match *
`
}

/** Bytes between the two files by dev_name, as Fluent Bit 5.1.1 printed them. */
const TABLE: readonly [keys: string, body: { read_size: number; write_size: number }][] = [
  ['', { read_size: 157696, write_size: 11776 }],
  ['    dev_name sda', { read_size: 153600, write_size: 7680 }],
  ['    dev_name zzz', { read_size: 0, write_size: 0 }]
]

for (const [keys, body] of TABLE) {
  test(`disk sends bytes since the last look, from the second look on:${keys}`, async t => {
    const root = new SystemRoot(t, { 'proc/diskstats': BEFORE })
    const run = await startPipeline(configuration(keys), { root: root.path })
    run.clock.advance(1000)
    root.write('proc/diskstats', AFTER)
    run.clock.advance(2000)
    assert.deepEqual(run.taken, [
      { tag: 'io', events: [{ time: [1700000002, 0], metadata: {}, body }] },
      {
        tag: 'io',
        events: [{ time: [1700000003, 0], metadata: {}, body: { read_size: 0, write_size: 0 } }]
      }
    ])
    assert.deepEqual(Object.keys(run.bodies[0] as object), ['read_size', 'write_size'])
    await run.stop()
  })
}

test('disk counts neither a new device nor one that is gone, and a counter that went back from 0', async t => {
  const root = new SystemRoot(t, { 'proc/diskstats': BEFORE })
  const run = await startPipeline(configuration(), { root: root.path })
  run.clock.advance(1000)
  root.write(
    'proc/diskstats',
    '   8  0 sda 1 5 3 40 50 6 1001 30 0 70 70\n   9  0 new 1 1 1000 1 1 1 1000 1\n'
  )
  run.clock.advance(1000)
  assert.deepEqual(run.bodies, [{ read_size: 3 * 512, write_size: 512 }])
  await run.stop()
})

test('disk does not start on a machine without disks', async t => {
  const root = new SystemRoot(t, { 'proc/diskstats': '' })
  await assert.rejects(startPipeline(configuration(), { root: root.path }), {
    message: `Cannot read "${root.path}/proc/diskstats": it must list at least one device`
  })
})
