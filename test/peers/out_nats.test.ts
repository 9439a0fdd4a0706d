/** A NATS server takes what the output nats publishes. */
import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import { freePort, listens, needs, startPeer } from '../harness/peers.ts'
import { startNats } from '../harness/peers/nats.ts'
import { startPipeline, type TestPipeline } from '../harness/pipeline.ts'

async function start(t: TestContext, port: number): Promise<TestPipeline> {
  const run = await startPipeline(
    `[SERVICE]\n    flush 1\n[INPUT]\n    name lib\n    tag app.log\n[OUTPUT]\n    name nats\n    match *\n    port ${port}\n    retry_limit no_limits\n`
  )
  t.after(async () => run.stop())
  return run
}

function sent(run: TestPipeline): number {
  return run.counter('fluentbit_output_proc_records_total', { name: 'nats.0' })
}

test('a subscriber gets a chunk under its tag', needs('nats-server'), async t => {
  const server = await startNats(t)
  const run = await start(t, server.port)
  run.push('app.log', { message: 'ё', n: 1 }, { message: 'b' })
  run.flush()
  await run.until(() => sent(run) === 2)
  await server.peer.until(() => server.messages().length === 1)
  assert.deepEqual(server.messages(), [
    {
      subject: 'app.log',
      payload:
        '[[1700000000.123,{"tag":"app.log","message":"\\u0451","n":1}],' +
        '[1700000000.123,{"tag":"app.log","message":"b"}]]'
    }
  ])
})

test(
  'chunks that are longer than the server takes come in messages',
  needs('nats-server'),
  async t => {
    const server = await startNats(t)
    const run = await start(t, server.port)
    const bodies = Array.from({ length: 1500 }, (_, n) => ({ n, text: 'x'.repeat(1000) }))
    run.push('app.log', ...bodies)
    run.flush()
    await run.until(() => sent(run) === bodies.length)
    await server.peer.until(() => server.messages().length === 2)
    const events = server
      .messages()
      .flatMap(({ payload }) => JSON.parse(payload) as [number, { n: number }][])
    assert.deepEqual(
      events.map(([, { n }]) => n),
      bodies.map(({ n }) => n)
    )
  }
)

test(
  'a server that wants a password refuses, and the log says so',
  needs('nats-server'),
  async t => {
    const port = await freePort()
    await startPeer(t, {
      program: 'nats-server',
      args: ['--addr', '127.0.0.1', '--port', String(port), '--user', 'u', '--pass', 'p'],
      ready: () => listens(port)
    })
    const run = await start(t, port)
    run.push('app.log', { a: 1 })
    run.flush()
    await run.until(() => run.log.some(line => line.includes("-ERR 'Authorization Violation'")))
    assert.equal(sent(run), 0)
  }
)

test('a server that hangs and goes on loses nothing', needs('nats-server'), async t => {
  const server = await startNats(t)
  const run = await start(t, server.port)
  run.push('app.log', { n: 0 })
  run.flush()
  await run.until(() => sent(run) === 1)
  server.peer.signal('SIGSTOP')
  run.push('app.log', { n: 1 })
  run.flush()
  await run.until(() => {
    run.clock.advance(500)
    return run.log.some(line => line.includes('no progress for 10 seconds'))
  })
  assert.equal(sent(run), 1)
  server.peer.signal('SIGCONT')
  await run.until(() => {
    run.clock.advance(500)
    return sent(run) === 2
  })
  await server.peer.until(() => server.messages().some(({ payload }) => payload.includes('"n":1')))
})
