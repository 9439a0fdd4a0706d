/** Servers in several threads, as `workers` says. */
import assert from 'node:assert/strict'
import { readFileSync, readdirSync } from 'node:fs'
import { request } from 'node:http'
import { connect } from 'node:net'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { freePort } from '../harness/peers.ts'
import { startPipeline, type TestPipeline } from '../harness/pipeline.ts'

async function start(t: TestContext, input: string): Promise<TestPipeline> {
  const run = await startPipeline(`
[SERVICE]
    flush  1
[INPUT]
    tag     app
    listen  127.0.0.1
${input}
[OUTPUT]
    name    collect
    match   *
`)
  t.after(() => run.stop())
  return run
}

/** Names of this process's threads that belong to an instance. */
function threads(name: string): string[] {
  return readdirSync('/proc/self/task')
    .map(id => readFileSync(join('/proc/self/task', id, 'comm'), 'utf8').trim())
    .filter(thread => thread.startsWith(name))
    .toSorted()
}

test('tcp with workers listens in as many threads, and all that is sent comes', async t => {
  const port = await freePort()
  const run = await start(t, `    name tcp\n    port ${port}\n    format json\n    workers 3`)
  assert.deepEqual(threads('tcp.0'), ['tcp.0 #0', 'tcp.0 #1', 'tcp.0 #2'])
  const sockets = Array.from({ length: 30 }, () => connect(port, '127.0.0.1'))
  for (const [n, socket] of sockets.entries()) socket.end(`{"n":${n}}\n`)
  await run.until(() => {
    run.clock.advance(1000)
    return run.bodies.length === 30
  })
  const numbers = run.bodies.map(body => (body as { n: number }).n)
  assert.deepEqual(
    numbers.toSorted((a, b) => a - b),
    Array.from({ length: 30 }, (_, n) => n)
  )
})

for (const key of ['http_server.workers', 'workers']) {
  test(`http with ${key} answers from threads, once events are in a chunk`, async t => {
    const port = await freePort()
    const run = await start(t, `    name http\n    port ${port}\n    ${key} 2`)
    assert.deepEqual(threads('http.0'), ['http.0 #0', 'http.0 #1'])
    const statuses = await Promise.all(Array.from({ length: 20 }, (_, n) => post(port, { n })))
    assert.deepEqual(statuses, Array(20).fill(201))
    await run.until(() => {
      run.clock.advance(1000)
      return run.bodies.length === 20
    })
  })
}

test('one worker is no thread', async t => {
  await start(t, `    name tcp\n    port ${await freePort()}\n    workers 1`)
  assert.deepEqual(threads('tcp.0'), [])
})

function post(port: number, body: unknown): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    const headers = { 'content-type': 'application/json' }
    const outgoing = request({ port, host: '127.0.0.1', method: 'POST', path: '/app', headers })
    outgoing.once('response', response => {
      response.resume()
      resolve(response.statusCode)
    })
    outgoing.once('error', reject)
    outgoing.end(JSON.stringify(body))
  })
}
