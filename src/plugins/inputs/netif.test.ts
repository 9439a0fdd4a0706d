import assert from 'node:assert/strict'
import { test } from 'node:test'
import { checkConfiguration, startPipeline } from '../../../test/harness/pipeline.ts'
import { SystemRoot } from '../../../test/harness/system_root.ts'

const HEADINGS = `Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo:    3193      29    0    0    0     0          0         0     3193      29    0    0    0     0       0          0
`

const BEFORE = `${HEADINGS}  eth0:    1000      10    1    2    3     4          5         6     2000      20    7    8    9    10      11         12
  eth1:    5000      50    1    2    3     4          5         6     6000      60    7    8    9    10      11         12
`

const AFTER = `${HEADINGS}  eth0:    1500      13    2    2    3     4          5         6     2100      21    7    8    9    10      11         13
  eth1:    5050      51    1    2    3     4          5         6     6000      60    7    8    9    10      11         12
`

function configuration(keys: string): string {
  return `
[INPUT]
    name  netif
    tag   net
${keys}
[OUTPUT]
    name  collect
    match *
`
}

/** Growth between the two files, as Fluent Bit 5.1.1 printed it. */
const TABLE: readonly [keys: string, body: Record<string, number>][] = [
  [
    '    interface eth0',
    {
      'eth0.rx.bytes': 500,
      'eth0.rx.packets': 3,
      'eth0.rx.errors': 1,
      'eth0.tx.bytes': 100,
      'eth0.tx.packets': 1,
      'eth0.tx.errors': 0
    }
  ],
  [
    '    interface eth0\n    verbose on',
    {
      'eth0.rx.bytes': 500,
      'eth0.rx.packets': 3,
      'eth0.rx.errors': 1,
      'eth0.rx.drop': 0,
      'eth0.rx.fifo': 0,
      'eth0.rx.frame': 0,
      'eth0.rx.compressed': 0,
      'eth0.rx.multicast': 0,
      'eth0.tx.bytes': 100,
      'eth0.tx.packets': 1,
      'eth0.tx.errors': 0,
      'eth0.tx.drop': 0,
      'eth0.tx.fifo': 0,
      'eth0.tx.collisions': 0,
      'eth0.tx.carrier': 0,
      'eth0.tx.compressepd': 1
    }
  ],
  [
    '    interface eth',
    {
      'eth.rx.bytes': 50,
      'eth.rx.packets': 1,
      'eth.rx.errors': 0,
      'eth.tx.bytes': 0,
      'eth.tx.packets': 0,
      'eth.tx.errors': 0
    }
  ],
  [
    '    interface nosuch',
    {
      'nosuch.rx.bytes': 0,
      'nosuch.rx.packets': 0,
      'nosuch.rx.errors': 0,
      'nosuch.tx.bytes': 0,
      'nosuch.tx.packets': 0,
      'nosuch.tx.errors': 0
    }
  ]
]

for (const [keys, body] of TABLE) {
  test(`netif sends the traffic since the last look, from the second look on:${keys}`, async t => {
    const root = new SystemRoot(t, { 'proc/net/dev': BEFORE })
    const run = await startPipeline(configuration(keys), { root: root.path })
    run.clock.advance(1000)
    root.write('proc/net/dev', AFTER)
    run.clock.advance(1000)
    assert.deepEqual(run.taken, [
      { tag: 'net', events: [{ time: [1700000002, 0], metadata: {}, body }] }
    ])
    assert.deepEqual(Object.keys(run.bodies[0] as object), Object.keys(body))
    await run.stop()
  })
}

test('netif counts from 0 when a counter went back', async t => {
  const root = new SystemRoot(t, { 'proc/net/dev': AFTER })
  const run = await startPipeline(configuration('    interface eth0'), { root: root.path })
  run.clock.advance(1000)
  root.write('proc/net/dev', BEFORE)
  run.clock.advance(1000)
  assert.deepEqual(run.bodies, [
    {
      'eth0.rx.bytes': 1000,
      'eth0.rx.packets': 10,
      'eth0.rx.errors': 1,
      'eth0.tx.bytes': 2000,
      'eth0.tx.packets': 20,
      'eth0.tx.errors': 0
    }
  ])
  await run.stop()
})

test('netif with test_at_init starts only when there is such an interface', async t => {
  const root = new SystemRoot(t, { 'proc/net/dev': BEFORE })
  const keys = '    test_at_init on\n    interface'
  const run = await startPipeline(configuration(`${keys} eth0`), { root: root.path })
  const passed = '[ info] [input:netif:netif.0] eth0: init test passed'
  assert.deepEqual(
    run.log.filter(line => line === passed),
    [passed]
  )
  await run.stop()
  await assert.rejects(startPipeline(configuration(`${keys} eth9`), { root: root.path }), {
    message: `Cannot find network interface "eth9" in "${root.path}/proc/net/dev": test_at_init is on`
  })
})

test('netif reports that it cannot read the counters', async t => {
  const root = new SystemRoot(t, {})
  const run = await startPipeline(configuration('    interface eth0'), { root: root.path })
  run.clock.advance(1000)
  assert.deepEqual(run.log.slice(-1), ['[error] [input:netif:netif.0] cannot open /proc/net/dev'])
  await run.stop()
})

test('netif needs an interface', async () => {
  const { errors } = await checkConfiguration(configuration(''))
  assert.deepEqual(errors, [
    'fluent-bit.conf:2:1: Cannot set "interface" on input netif: it is not set, it must name a network interface'
  ])
})
