/** Groups of endpoints that an output sends to: `upstream` with a file or with `upstream_servers`. */
import assert from 'node:assert/strict'
import { createServer, type Server, type Socket } from 'node:net'
import { test, type TestContext } from 'node:test'
import { freePort } from '../harness/peers.ts'
import { checkConfiguration, startPipeline, type TestPipeline } from '../harness/pipeline.ts'

/** A sink of lines at a port, which may be stopped and started again. */
class Sink {
  readonly port: number
  text = ''
  readonly #sockets = new Set<Socket>()
  #server: Server | undefined

  constructor(port: number) {
    this.port = port
  }

  static async start(t: TestContext): Promise<Sink> {
    const sink = new Sink(await freePort())
    await sink.start()
    t.after(() => sink.stop())
    return sink
  }

  async start(): Promise<void> {
    this.#server = createServer(socket => {
      this.#sockets.add(socket)
      socket.on('error', () => undefined)
      socket.on('data', bytes => (this.text += bytes.toString()))
    })
    await new Promise<void>(resolve => this.#server?.listen(this.port, '127.0.0.1', resolve))
  }

  async stop(): Promise<void> {
    const server = this.#server
    this.#server = undefined
    for (const socket of this.#sockets) socket.destroy()
    this.#sockets.clear()
    if (server !== undefined) await new Promise<void>(resolve => server.close(() => resolve()))
  }

  /** The values of `n` that have come. */
  get numbers(): number[] {
    return [...this.text.matchAll(/"n":(\d+)/g)].map(([, n]) => Number(n))
  }
}

const CONFIGURATION = `
[SERVICE]
    flush        1
    scheduler.base 1
    scheduler.cap  2
[INPUT]
    name         lib
    tag          app
[OUTPUT]
    name         tcp
    match        *
    format       json_lines
    retry_limit  no_limits
    upstream     group.conf
`

function group(sinks: readonly Sink[], keys = ''): string {
  const nodes = sinks.map(
    ({ port }, index) => `[NODE]\n    name  node-${index}\n    host  127.0.0.1\n    port  ${port}\n`
  )
  return `[UPSTREAM]\n    name  group\n${keys}\n${nodes.join('\n')}`
}

/**
 * Sends events until a sink has one of them: what was written to a connection that is closed in this moment is lost, as
 * TCP alone cannot tell.
 */
async function sendUntil(run: TestPipeline, sink: Sink): Promise<void> {
  const before = sink.numbers.length
  await run.until(() => {
    run.push('app', { n: 1000 })
    run.clock.advance(1000)
    return sink.numbers.length > before
  })
}

/** Sends one event in a chunk of its own and waits until a sink has it. */
async function send(run: TestPipeline, n: number, sinks: readonly Sink[]): Promise<number> {
  run.push('app', { n })
  await run.until(() => {
    run.clock.advance(1000)
    return sinks.some(({ numbers }) => numbers.includes(n))
  })
  return sinks.findIndex(({ numbers }) => numbers.includes(n))
}

test('the nodes of a file take turns, one chunk each', async t => {
  const sinks = [await Sink.start(t), await Sink.start(t)]
  const run = await startPipeline(CONFIGURATION, { files: { 'group.conf': group(sinks) } })
  const order: number[] = []
  for (let n = 0; n < 4; n++) order.push(await send(run, n, sinks))
  assert.deepEqual(order, [0, 1, 0, 1])
  await run.stop()
})

test('a node that is down costs no event, and is used again after its restart without ours', async t => {
  const sinks = [await Sink.start(t), await Sink.start(t)] as const
  const keys = '    eject_after 1\n    eject_time 5s'
  const run = await startPipeline(CONFIGURATION, { files: { 'group.conf': group(sinks, keys) } })
  await send(run, 0, sinks)
  await sinks[1].stop()
  await sendUntil(run, sinks[0])
  for (let n = 1; n < 6; n++) assert.equal(await send(run, n, sinks), 0)
  await sinks[1].start()
  await sendUntil(run, sinks[1])
  await run.stop()
})

test('with failover the second node is for when the first is down', async t => {
  const sinks = [await Sink.start(t), await Sink.start(t)] as const
  const keys = '    mode failover\n    eject_after 1'
  const run = await startPipeline(CONFIGURATION, { files: { 'group.conf': group(sinks, keys) } })
  assert.equal(await send(run, 0, sinks), 0)
  assert.equal(await send(run, 1, sinks), 0)
  await sinks[0].stop()
  await sendUntil(run, sinks[1])
  assert.equal(await send(run, 2, sinks), 1)
  await sinks[0].start()
  await sendUntil(run, sinks[0])
  await run.stop()
})

test('upstream_servers of the configuration itself can be named', async t => {
  const sinks = [await Sink.start(t), await Sink.start(t)]
  const nodes = sinks.map(
    ({ port }, index) =>
      `      - name: node-${index}\n        host: 127.0.0.1\n        port: ${port}\n`
  )
  const run = await startPipeline(
    `
upstream_servers:
  - name: group
    nodes:
${nodes.join('')}
pipeline:
  inputs:
    - name: lib
      tag: app
  outputs:
    - name: tcp
      match: '*'
      format: json_lines
      upstream: group
`,
    { yaml: true }
  )
  assert.deepEqual([await send(run, 0, sinks), await send(run, 1, sinks)], [0, 1])
  await run.stop()
})

test('a group that cannot be used is an error at its place', async () => {
  const wrong = async (file: string): Promise<string[]> =>
    (await checkConfiguration(CONFIGURATION, { files: { 'group.conf': file } })).errors
  assert.match((await checkConfiguration(CONFIGURATION)).errors.join('\n'), /group\.conf/)
  assert.match((await wrong('[UPSTREAM]\n    name x\n')).join('\n'), /has no node/)
  assert.match(
    (
      await wrong(
        '[UPSTREAM]\n    name x\n    mode fastest\n[NODE]\n    name a\n    host b\n    port 1\n'
      )
    ).join('\n'),
    /group\.conf:3:\d+: Cannot set "mode" on upstream x: value must be one of round_robin, failover/
  )
})

test('NO_PROXY is asked for each node of a group', async t => {
  const sink = await Sink.start(t)
  const node = (name: string, host: string): string =>
    `[NODE]\n    name  ${name}\n    host  ${host}\n    port  ${sink.port}\n`
  const run = await startPipeline(CONFIGURATION, {
    files: {
      'group.conf': `[UPSTREAM]\n    name  group\n${node('proxied', 'localhost')}${node('direct', '127.0.0.1')}`
    },
    environment: { HTTP_PROXY: `http://127.0.0.1:${await freePort()}`, NO_PROXY: '127.0.0.1' }
  })
  for (let n = 0; n < 3; n++) await send(run, n, [sink])
  const refused = run.log.filter(line => line.includes('TCP connection failed: localhost:'))
  assert.ok(refused.length > 0, run.log.join('\n'))
  assert.deepEqual(
    run.log.filter(line => line.includes('TCP connection failed: 127.0.0.1:')),
    []
  )
  await run.stop()
})
