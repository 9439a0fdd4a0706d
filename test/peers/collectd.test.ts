/** collectd sends to the input collectd, with the types that Debian has. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { freePort, needs } from '../harness/peers.ts'
import { startCollectd } from '../harness/peers/collectd.ts'
import { float, startPipeline } from '../harness/pipeline.ts'

test('collectd sends values to the input collectd', needs('collectd'), async t => {
  const port = await freePort()
  const run = await startPipeline(`
[INPUT]
    name   collectd
    listen 127.0.0.1
    port   ${port}
[OUTPUT]
    name  collect
    match *
`)
  t.after(() => run.stop())
  const collectd = await startCollectd(t, port)
  await collectd.put('edge/net-a/if_octets-eth0', '1700000000:5:6')
  await collectd.put('edge/sensors-b/temperature-cpu', '1700000001:21.5')
  await collectd.put('edge/load-c/load-all', '1700000002:0.5:1:U')
  // A value that collectd has not got round to when it flushes goes with the next flush.
  const came = (): unknown[] =>
    run.bodies.filter(body => (body as { host: string }).host === 'edge')
  for (let n = 0; came().length < 3 && n < 500; n++) {
    await collectd.put('other/a-b/gauge-c', `${1_700_000_000 + n}:1`)
    run.flush()
  }
  const head = { interval: float(10), host: 'edge' }
  assert.deepEqual(came(), [
    {
      ...head,
      type: 'if_octets',
      type_instance: 'eth0',
      time: float(1_700_000_000),
      plugin: 'net',
      plugin_instance: 'a',
      rx: 5,
      tx: 6
    },
    {
      ...head,
      type: 'temperature',
      type_instance: 'cpu',
      time: float(1_700_000_001),
      plugin: 'sensors',
      plugin_instance: 'b',
      value: 21.5
    },
    {
      ...head,
      type: 'load',
      type_instance: 'all',
      time: float(1_700_000_002),
      plugin: 'load',
      plugin_instance: 'c',
      shortterm: 0.5,
      midterm: float(1),
      longterm: Number.NaN
    }
  ])
})
