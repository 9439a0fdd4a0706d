/** Two pipelines with a faulty network between them, made by toxiproxy: with acknowledgements nothing is lost. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { freePort, needs } from '../harness/peers.ts'
import { startToxiproxy, type Toxic } from '../harness/peers/toxiproxy.ts'
import { startPipeline } from '../harness/pipeline.ts'

const CHUNKS = 12

const TOXICS: readonly Toxic[] = [
  { type: 'latency', stream: 'downstream', attributes: { latency: 20, jitter: 10 } },
  { type: 'reset_peer', stream: 'upstream', attributes: { timeout: 0 } },
  { type: 'reset_peer', stream: 'downstream', attributes: { timeout: 5 } },
  { type: 'slow_close', stream: 'downstream', attributes: { delay: 50 } },
  {
    type: 'slicer',
    stream: 'upstream',
    attributes: { average_size: 7, size_variation: 3, delay: 10 }
  },
  { type: 'limit_data', stream: 'upstream', attributes: { bytes: 100 } }
]

for (const toxic of TOXICS) {
  test(
    `forward over a network with ${toxic.type} (${toxic.stream}) loses nothing`,
    needs('toxiproxy-server'),
    async t => {
      const port = await freePort()
      const receiver = await startPipeline(
        `[INPUT]\n    name forward\n    listen 127.0.0.1\n    port ${port}\n[OUTPUT]\n    name collect\n    match *\n`
      )
      t.after(() => receiver.stop())
      const proxy = await startToxiproxy(t, port)
      const sender = await startPipeline(`
[SERVICE]
    scheduler.base 1
    scheduler.cap  2
[INPUT]
    name lib
    tag  app
[OUTPUT]
    name                 forward
    match                *
    port                 ${proxy.port}
    require_ack_response on
    retry_limit          no_limits
`)
      t.after(() => sender.stop())
      const arrived = (): Set<unknown> =>
        new Set(receiver.bodies.map(body => (body as { n: number }).n))
      await proxy.add(toxic)
      for (let n = 0; n < CHUNKS; n++) {
        sender.push('app', { n, text: 'x'.repeat(100) })
        sender.flush()
        await new Promise(resolve => setImmediate(resolve))
      }
      await proxy.remove(toxic)
      await sender.until(() => {
        sender.clock.advance(1000)
        receiver.clock.advance(1000)
        return arrived().size === CHUNKS && sender.pipeline.pendingTasks === 0
      }, 10_000)
      assert.equal(arrived().size, CHUNKS)
    }
  )
}
