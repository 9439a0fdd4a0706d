/** Metrics go from program to program: Fluent Bit's to us and ours to it, and Prometheus reads what the exporters show. */
import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import { sendDatagrams } from '../harness/datagrams.ts'
import { FluentBit, withFluentBit } from '../harness/fluent_bit.ts'
import { freePort, listens, needs, runPeer } from '../harness/peers.ts'
import { startPipeline, type TestPipeline } from '../harness/pipeline.ts'

const SERVICE = '[SERVICE]\n    flush 1\n'
const OWN_METRICS = '[INPUT]\n    name fluentbit_metrics\n    scrape_interval 2\n'
const STDOUT = '[OUTPUT]\n    name stdout\n    match *\n'

function statsd(port: number): string {
  return `[INPUT]\n    name    statsd\n    listen  127.0.0.1\n    port    ${port}\n    metrics on\n`
}

function forwardInput(port: number): string {
  return `[INPUT]\n    name   forward\n    listen 127.0.0.1\n    port   ${port}\n`
}

function forwardOutput(port: number): string {
  return `[OUTPUT]\n    name  forward\n    match *\n    host  127.0.0.1\n    port  ${port}\n`
}

function exporter(port: number, keys = ''): string {
  return `[OUTPUT]\n    name  prometheus_exporter\n    match *\n    host  127.0.0.1\n    port  ${port}\n${keys}`
}

async function start(t: TestContext, ...sections: readonly string[]): Promise<TestPipeline> {
  const run = await startPipeline([SERVICE, ...sections].join(''))
  t.after(() => run.stop())
  return run
}

/** What an exporter shows, once it is more than nothing. */
async function shown(run: TestPipeline, port: number): Promise<string> {
  let text = ''
  await eventually(async () => {
    const reply = await fetch(`http://127.0.0.1:${port}/metrics`)
    text = await reply.text()
    if (text === '') run.clock.advance(100)
    return text !== ''
  })
  return text
}

/** Waits for something in another program. */
async function eventually(condition: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = performance.now() + 15_000
  while (!(await condition())) {
    assert.ok(performance.now() < deadline, `still false: ${String(condition)}`)
    await new Promise(resolve => setImmediate(resolve))
  }
}

/** Waits while the time of the pipeline goes on. */
async function until(run: TestPipeline, condition: () => boolean): Promise<void> {
  await run.until(() => {
    run.clock.advance(100)
    return condition()
  }, 15_000)
}

test("Fluent Bit's own metrics are printed and shown as it does itself", withFluentBit, async t => {
  const [ours, theirs, oursShown, theirsShown] = [
    await freePort(),
    await freePort(),
    await freePort(),
    await freePort()
  ]
  const labels = '    add_label a b\n    add_timestamp on\n'
  const run = await start(t, forwardInput(ours), STDOUT, exporter(oursShown, labels))
  const other = new FluentBit(
    t,
    SERVICE + forwardInput(theirs) + STDOUT + exporter(theirsShown, labels)
  )
  await run.until(() => listens(theirs), 15_000)
  void new FluentBit(
    t,
    `${SERVICE}[INPUT]\n    name fluentbit_metrics\n    scrape_interval 2\n` +
      forwardOutput(ours) +
      forwardOutput(theirs)
  )
  await until(run, () => run.stdout !== '' && other.stdout !== '')
  const [first = ''] = run.stdout.split(/^(?=\S+ fluentbit_uptime)/m)
  assert.ok(first.includes(' fluentbit_output_proc_records_total{name="forward.0"} = 0\n'), first)
  assert.equal(other.stdout.slice(0, first.length), first)
  // More may have come to one of them.
  await eventually(async () => {
    run.clock.advance(100)
    return (await shown(run, oursShown)) === (await shown(run, theirsShown))
  })
  const text = await shown(run, oursShown)
  assert.match(
    text,
    /^fluentbit_input_records_total\{a="b",name="fluentbit_metrics.0"\} \d+ \d{13}$/m
  )
})

test('Fluent Bit prints and shows our own metrics as we do', withFluentBit, async t => {
  const [theirs, oursShown, theirsShown] = [await freePort(), await freePort(), await freePort()]
  const other = new FluentBit(t, SERVICE + forwardInput(theirs) + STDOUT + exporter(theirsShown))
  await eventually(() => listens(theirs) && listens(theirsShown))
  const run = await start(t, OWN_METRICS, STDOUT, exporter(oursShown), forwardOutput(theirs))
  run.clock.advance(2000)
  const delivered = { name: 'forward.2' }
  await run.until(() => run.counter('fluentbit_output_proc_records_total', delivered) === 1, 15_000)
  await run.until(() => other.stdout.length >= run.stdout.length, 15_000)
  assert.equal(other.stdout, run.stdout)
  assert.ok(run.stdout.includes('fluentbit_input_metrics_scrapes_total'))
  assert.equal(await shown(run, theirsShown), await shown(run, oursShown))
})

test('Fluent Bit makes the same metrics of statsd lines', withFluentBit, async t => {
  const [ours, theirs, way] = [await freePort(), await freePort(), await freePort()]
  const run = await start(t, statsd(ours), STDOUT)
  const received = await start(t, forwardInput(way), STDOUT)
  void new FluentBit(t, `[SERVICE]\n    flush 0.2\n${statsd(theirs)}${forwardOutput(way)}`)
  await run.until(() => listens(theirs, 'udp'), 15_000)
  const datagram = Buffer.from('a:1|c|#k:v\nb:2.5|g\nc:+3|s\nd:320|ms|@0.5|#x:y\ne:x|c')
  for (const port of [ours, theirs]) await sendDatagrams(port, [datagram])
  await until(run, () => run.stdout !== '')
  await until(received, () => received.stdout !== '')
  const withoutTimes = (text: string): string => text.replaceAll(/^\S+ /gm, '')
  assert.equal(withoutTimes(received.stdout), withoutTimes(run.stdout))
})

/** What promtool has to say of metrics. */
async function complaints(t: TestContext, text: string): Promise<string[]> {
  const peer = await runPeer(t, { program: 'promtool', args: ['check', 'metrics'], input: text })
  return peer.output.split('\n').filter(line => line !== '')
}

test(
  'promtool finds nothing in what the exporter shows of several inputs',
  needs('promtool'),
  async t => {
    const [first, second, port] = [await freePort(), await freePort(), await freePort()]
    const run = await start(t, statsd(first), statsd(second), exporter(port))
    const datagrams = ['hits_total:1|c|#path:a\nheat_celsius:21.5|g', 'hits_total:2|c|#path:a']
    for (const to of [first, second]) await sendDatagrams(to, datagrams.map(Buffer.from))
    const taken = (name: string): number => run.counter('fluentbit_input_records_total', { name })
    await run.until(() => taken('statsd.0') === 2 && taken('statsd.1') === 2)
    run.flush()
    assert.deepEqual(await complaints(t, await shown(run, port)), [])
  }
)
