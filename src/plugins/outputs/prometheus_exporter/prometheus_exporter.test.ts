import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import { sendDatagrams } from '../../../../test/harness/datagrams.ts'
import { EncodedInput } from '../../../../test/harness/odd_events.ts'
import { RECORDED_METRICS, recordedMetrics } from '../../../../test/harness/metrics_recordings.ts'
import { freePort } from '../../../../test/harness/peers.ts'
import {
  checkConfiguration,
  startPipeline,
  type TestPipeline
} from '../../../../test/harness/pipeline.ts'
import { MsgpackWriter } from '../../../codec/msgpack_writer.ts'
import { writeContext } from '../../../metrics/cmetrics.ts'

const TYPE = 'text/plain; version=0.0.4'

function output(port: number, keys = ''): string {
  return `
[OUTPUT]
    name  prometheus_exporter
    match *
    host  127.0.0.1
    port  ${port}
${keys}
`
}

class Exporter {
  readonly run: TestPipeline
  readonly port: number
  readonly #statsd: readonly number[]

  constructor(run: TestPipeline, port: number, statsd: readonly number[]) {
    this.run = run
    this.port = port
    this.#statsd = statsd
  }

  /** Starts the output behind two inputs statsd. */
  static async start(t: TestContext, keys = ''): Promise<Exporter> {
    const port = await freePort()
    const statsd = [await freePort(), await freePort()]
    const inputs = statsd.map(
      own => `
[INPUT]
    name    statsd
    listen  127.0.0.1
    port    ${own}
    metrics on
`
    )
    const text = `[SERVICE]\n    flush 1\n${inputs.join('')}${output(port, keys)}`
    const run = await startPipeline(text)
    t.after(() => run.stop())
    return new Exporter(run, port, statsd)
  }

  /** Has one of the inputs take datagrams, all in one chunk. */
  async send(input: number, ...datagrams: readonly string[]): Promise<void> {
    const taken = (): number =>
      this.run.counter('fluentbit_input_records_total', { name: `statsd.${input}` })
    const wanted = taken() + datagrams.length
    await sendDatagrams(this.#statsd[input] ?? 0, datagrams.map(Buffer.from))
    await this.run.until(() => taken() === wanted)
    this.run.flush()
  }

  async get(path: string, init: RequestInit = {}): Promise<[number, string | null, string]> {
    const reply = await fetch(`http://127.0.0.1:${this.port}${path}`, init)
    return [reply.status, reply.headers.get('content-type'), await reply.text()]
  }

  async metrics(): Promise<string> {
    const [, , text] = await this.get('/metrics')
    return text
  }
}

function family(name: string, kind: string, ...series: readonly string[]): string {
  return `# HELP ${name} -\n# TYPE ${name} ${kind}\n${series.map(line => `${line}\n`).join('')}`
}

test('prometheus_exporter says where it listens', async t => {
  const { run, port } = await Exporter.start(t)
  const line = `[ info] [output:prometheus_exporter:prometheus_exporter.0] listening iface=127.0.0.1 tcp_port=${port}`
  assert.ok(run.log.includes(line), run.log.join('\n'))
})

test('prometheus_exporter answers as Fluent Bit does', async t => {
  const exporter = await Exporter.start(t)
  const greeting = 'Fluent Bit Prometheus Exporter\n'
  assert.deepEqual(await exporter.get('/'), [200, null, greeting])
  assert.deepEqual(await exporter.get('/?a=1', { method: 'POST', body: 'ab' }), [
    200,
    null,
    greeting
  ])
  assert.deepEqual(await exporter.get('/metrics'), [200, TYPE, ''])
  assert.deepEqual(await exporter.get('/metrics/'), [404, null, ''])
  assert.deepEqual(await exporter.get('/api/v1/metrics'), [404, null, ''])
  await exporter.send(0, 'a:1|c')
  assert.deepEqual(await exporter.get('/metrics?x=1'), [200, TYPE, family('a', 'counter', 'a 1')])
})

test('what an input sends takes the place of what it sent before, and stays until then', async t => {
  const exporter = await Exporter.start(t)
  await exporter.send(0, 'a:1|c')
  await exporter.send(1, 'b:2|g')
  const both = family('a', 'counter', 'a 1') + family('b', 'gauge', 'b 2')
  assert.equal(await exporter.metrics(), both)
  exporter.run.clock.advance(3_600_000)
  assert.equal(await exporter.metrics(), both)
  await exporter.send(0, 'c:3|c')
  assert.equal(
    await exporter.metrics(),
    family('c', 'counter', 'c 3') + family('b', 'gauge', 'b 2')
  )
})

test('all contexts of a chunk and of all inputs are shown as one, each name and series once', async t => {
  const exporter = await Exporter.start(t)
  await exporter.send(0, 'a:1|c|#k:v\nb:1|g', 'a:2|c|#k:w', 'a:3|c|#k:v')
  await exporter.send(1, 'a:4|c|#k:x')
  assert.equal(
    await exporter.metrics(),
    family('a', 'counter', 'a{k="v"} 3', 'a{k="w"} 2', 'a{k="x"} 4') + family('b', 'gauge', 'b 1')
  )
})

test('add_label and add_timestamp show labels and times', async t => {
  const keys = `    add_label color blue
    add_label x  a b  c"d
    add_timestamp on`
  const exporter = await Exporter.start(t, keys)
  await exporter.send(0, 'a:1|c|#own:1')
  const series = 'a{color="blue",x="a b  c\\"d",own="1"} 1 1700000000123'
  assert.equal(await exporter.metrics(), family('a', 'counter', series))
})

test('an add_label without a value is refused', async () => {
  const text = `[INPUT]\n    name dummy\n${output(2021, '    add_label a b\n    add_label one')}`
  const { errors } = await checkConfiguration(text)
  assert.deepEqual(errors, [
    'fluent-bit.conf:10:15: Cannot set "add_label" on output prometheus_exporter: it expects a key and a value, e.g: \'add_label version 1.8.0\''
  ])
})

test('a port that is taken is a failure of the start', async t => {
  const { port } = await Exporter.start(t)
  const text = `[INPUT]\n    name dummy\n${output(port)}`
  await assert.rejects(startPipeline(text), {
    message: `Cannot listen on 127.0.0.1:${port}: Address already in use`
  })
})

test('tls, which Fluent Bit refuses, is no key of it', async () => {
  const { errors } = await checkConfiguration(
    `[INPUT]\n    name dummy\n${output(2021, '    tls on')}`
  )
  assert.equal(errors.length, 1)
  assert.match(errors[0], /Cannot set "tls" on output prometheus_exporter/)
})

test("the keys workers are the server's and start no threads", async t => {
  const { run } = await Exporter.start(t, '    workers 3')
  assert.ok(!run.log.some(line => line.includes('worker #')))
})

// What was made by hand has a series twice, which is where we differ.
for (const name of RECORDED_METRICS.filter(each => each !== 'made')) {
  test(`prometheus_exporter shows what Fluent Bit shows: ${name}`, async t => {
    const { bytes, prometheus, prometheus_timestamps: timed } = recordedMetrics(name)
    for (const [keys, expected] of [
      ['', prometheus],
      ['    add_timestamp on', timed]
    ] as const) {
      const port = await freePort()
      const input = new EncodedInput()
      const run = await startPipeline(`[INPUT]\n    name encoded\n${output(port, keys)}`, {
        plugins: [input.plugin]
      })
      t.after(() => run.stop())
      input.pushAs('metrics', 'one', Buffer.from(bytes, 'hex'))
      run.clock.advance(1000)
      assert.equal(await new Exporter(run, port, []).metrics(), expected)
    }
  })
}

test('the tag does not matter: an input shows what it sent last', async t => {
  const port = await freePort()
  const input = new EncodedInput()
  const run = await startPipeline(`[INPUT]\n    name encoded\n${output(port)}`, {
    plugins: [input.plugin]
  })
  t.after(() => run.stop())
  const exporter = new Exporter(run, port, [])
  input.pushAs('metrics', 'one', contextOf('a'))
  run.clock.advance(1000)
  assert.equal(await exporter.metrics(), family('a', 'gauge', 'a 1'))
  input.pushAs('metrics', 'two', contextOf('b'))
  run.clock.advance(1000)
  assert.equal(await exporter.metrics(), family('b', 'gauge', 'b 1'))
})

test('contexts that cannot be read are counted and cost only themselves', async t => {
  const port = await freePort()
  const input = new EncodedInput()
  const run = await startPipeline(`[INPUT]\n    name encoded\n${output(port)}`, {
    plugins: [input.plugin]
  })
  t.after(() => run.stop())
  const bad = [{ metrics: 1 }, 'no map', { metrics: [{ values: [] }] }].map(value => {
    const writer = new MsgpackWriter(64)
    writer.value(value)
    return writer.written()
  })
  input.pushAs('metrics', 'one', ...bad, contextOf('a'), ...bad)
  run.clock.advance(1000)
  const labels = { kind: 'output', name: 'prometheus_exporter.0', reason: 'malformed' }
  await run.until(() => run.counter('spillway_dropped_records_total', labels) === 6)
  const processed = { name: 'prometheus_exporter.0' }
  assert.equal(run.counter('fluentbit_output_proc_records_total', processed), 1)
  const exporter = new Exporter(run, port, [])
  assert.equal(await exporter.metrics(), family('a', 'gauge', 'a 1'))
  // Nothing that can be read takes no place.
  input.pushAs('metrics', 'one', bad[0])
  run.clock.advance(1000)
  await run.until(() => run.counter('spillway_dropped_records_total', labels) === 7)
  assert.equal(await exporter.metrics(), family('a', 'gauge', 'a 1'))
  assert.deepEqual(
    [...new Set(run.log)].filter(line => line.includes('[error]')),
    [
      '[error] [output:prometheus_exporter:prometheus_exporter.0] could not process metrics payload: Cannot read metrics at byte 0: metrics is of type integer: wanted array'
    ]
  )
})

test('the keys http_server are those of the exporter', async t => {
  const exporter = await Exporter.start(t, '    http_server.buffer_max_size 1')
  const [status] = await exporter.get('/', { method: 'POST', body: 'ab' })
  assert.equal(status, 413)
})

/** A context with a gauge of the value 1. */
function contextOf(name: string): Buffer {
  const writer = new MsgpackWriter(64)
  const parts = { namespace: '', subsystem: '', name, help: '-', unit: '', labels: [] }
  const samples = [{ labels: [], value: 1, time: 1n }]
  const families = [{ ...parts, kind: 'gauge' as const, samples }]
  writeContext(writer, { families, staticLabels: [], internal: new Map(), external: new Map() })
  return writer.written()
}
