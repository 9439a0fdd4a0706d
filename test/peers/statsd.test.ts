/** hot-shots sends to the input statsd. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { StatsD } from 'hot-shots'
import { freePort } from '../harness/peers.ts'
import { float, startPipeline } from '../harness/pipeline.ts'

for (const [title, options] of [
  ['one by one', {}],
  ['many to a datagram', { maxBufferSize: 1000 }]
] as const) {
  test(`hot-shots sends metrics to statsd, ${title}`, async t => {
    const port = await freePort()
    const run = await startPipeline(`
[INPUT]
    name   statsd
    listen 127.0.0.1
    port   ${port}
[OUTPUT]
    name  collect
    match *
`)
    t.after(() => run.stop())
    const client = new StatsD({ host: '127.0.0.1', port, ...options })
    client.increment('hits', 3, 0.999999)
    client.decrement('hits')
    client.gauge('temperature', 21.5)
    client.gaugeDelta('temperature', -2)
    client.set('users', 'ann')
    client.timing('wait', 320)
    await new Promise<void>(resolve => client.close(() => resolve()))
    await run.until(() => run.counter('fluentbit_input_records_total', { name: 'statsd.0' }) === 6)
    run.flush()
    assert.deepEqual(run.bodies, [
      { type: 'counter', bucket: 'hits', value: float(3), sample_rate: 0.999999 },
      { type: 'counter', bucket: 'hits', value: float(-1), sample_rate: float(1) },
      { type: 'gauge', bucket: 'temperature', value: 21.5, incremental: 0 },
      { type: 'gauge', bucket: 'temperature', value: float(-2), incremental: 1 },
      { type: 'set', bucket: 'users', value: 'ann' },
      { type: 'set', bucket: 'wait', value: '320', sample_rate: float(1) }
    ])
  })
}
