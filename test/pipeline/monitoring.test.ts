/** What the monitoring server answers, beside what Fluent Bit answered with the same configurations. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import type { Reloads } from '../../src/http/reload.ts'
import { exact, jsonReply } from '../../src/http/route.ts'
import { freePort } from '../harness/peers.ts'
import { type Answer, askServer, type Monitored, startMonitored } from '../harness/monitoring.ts'
import { until } from '../harness/until.ts'

const RECORDED = join(import.meta.dirname, '../data/monitoring')

/** An entry of the recordings; see README.md beside them. */
interface RecordedAnswer {
  readonly http: '1.1' | '2'
  readonly method: string
  readonly path: string
  readonly status: number
  readonly headers: readonly (readonly [name: string, value: string])[]
  readonly body: string
}

/** What was recorded over HTTP/1.1; over HTTP/2 it is the same. */
function recorded(name: string): RecordedAnswer[] {
  const text = readFileSync(join(RECORDED, `${name}.json`), 'utf8')
  return (JSON.parse(text) as RecordedAnswer[]).filter(({ http }) => http === '1.1')
}

/** Runs a recorded configuration for as long as Fluent Bit had run. */
async function startRecorded(t: TestContext, name: string): Promise<Monitored> {
  const monitored = await startMonitored(t, readFileSync(join(RECORDED, `${name}.conf`), 'utf8'), {
    files: { 'app.log': 'keep one\nkeep two\ndrop three\n' }
  })
  await monitored.run.clock.advanceSlowly(8000, 50)
  return monitored
}

/** Headers that clients look at. */
const KEPT_HEADERS = ['server', 'content-type', 'allow']

function headOf({ status, headers }: RecordedAnswer | Answer): unknown {
  const named = new Map(Array.isArray(headers) ? headers : Object.entries(headers))
  return { status, headers: KEPT_HEADERS.map(name => [name, named.get(name)]) }
}

const METRICS_V2 = ['/api/v2/metrics', '/api/v2/metrics/prometheus']

/** Values that are not the same in both programs, or not to the millisecond. */
function comparable(path: string, body: string): unknown {
  if (path === '/api/v1/metrics/prometheus') {
    return body
      .replaceAll(/ \d{13}$/gm, ' TIME')
      .replaceAll(/^(\w+_bytes_total\S+) \d+/gm, '$1 BYTES')
      .replaceAll(/^(process_start_time_seconds|fluentbit_uptime) \d+$/gm, '$1 SECONDS')
  }
  if (!body.startsWith('{')) return body
  return JSON.parse(body, (key, value: unknown) => {
    // Plugins and build flags are others; Fluent Bit's events of tail are longer.
    if (key === 'plugins' || key === 'flags') return keysOf(value)
    if (key === 'bytes' || key.endsWith('_bytes')) return typeof value
    // How long a retry took; the emitter's limit does not bound chunks on disk.
    return key === 'uptime_sec' || key === 'uptime_hr' || key === 'mem_limit' ? typeof value : value
  })
}

function keysOf(value: unknown): unknown {
  return Array.isArray(value) ? 'array' : Object.keys(Object(value))
}

for (const name of ['full', 'bare', 'failing']) {
  test(`all paths and methods answer as Fluent Bit's: ${name}.conf`, async t => {
    const { ask } = await startRecorded(t, name)
    for (const wanted of recorded(name)) {
      const { method, path, body } = wanted
      if (path.startsWith('/api/v1/trace')) continue
      const answer = await ask(path, method)
      assert.deepEqual(headOf(answer), headOf(wanted), `${method} ${path}`)
      if (method === 'HEAD') assert.equal(answer.body, '')
      else if (method === 'GET' && !METRICS_V2.includes(path) && !isOverTime(name, path)) {
        assert.deepEqual(comparable(path, answer.body), comparable(path, body), path)
      }
    }
  })
}

/** Counts what goes on and on. */
function isOverTime(name: string, path: string): boolean {
  return name === 'failing' && !['/', '/api/v1/health', '/api/v2/reload'].includes(path)
}

/** Families of a Prometheus text: their help, type and names of labels. */
function families(text: string): Map<string, string> {
  const found = new Map<string, string>()
  const lines = text.split('\n')
  for (const [index, line] of lines.entries()) {
    const [, help] = /^# HELP (.*)/.exec(line) ?? []
    if (help === undefined) continue
    const name = help.split(' ', 1)[0] ?? ''
    const type = lines[index + 1]
    const labels = lines[index + 2].matchAll(/[{,](\w+)="/g)
    const shown = Array.from(labels, ([, label]) => label).filter(label => label !== 'le')
    found.set(name, `${help} | ${type} | ${shown.toSorted().join(',')}`)
  }
  return found
}

/** Families in the order in which Fluent Bit shows them. */
function inOrder(names: readonly string[], of: ReadonlySet<string>): string[] {
  return names.filter(name => of.has(name))
}

for (const name of ['full', 'bare', 'failing']) {
  test(`/api/v2/metrics has every series of Fluent Bit's, in its order: ${name}.conf`, async t => {
    const { ask } = await startRecorded(t, name)
    for (const path of METRICS_V2) {
      const wanted = recorded(name).find(
        ({ path: its, method }) => its === path && method === 'GET'
      )
      const { body } = await ask(path)
      if (path === '/api/v2/metrics') {
        const series = (text: string): Set<string> =>
          new Set(
            Array.from(text.matchAll(/^\S+Z (\w+(?:\{.*\})?) = /gm), ([, found]) =>
              found.replace(/hostname="[^"]*"/, 'hostname=""')
            )
          )
        assert.deepEqual([...series(wanted?.body ?? '').difference(series(body))], [])
        continue
      }
      assert.doesNotMatch(body, / \d{13}$/m)
      const theirs = families(wanted?.body ?? '')
      const ours = families(body)
      const both = new Set(theirs.keys())
      assert.deepEqual(
        inOrder([...ours.keys()], both).map(family => ours.get(family)),
        [...theirs.values()]
      )
    }
  })
}

test('names with quotes, backslashes and letters beyond ASCII', async t => {
  const { ask } = await startRecorded(t, 'aliases')
  const [json] = recorded('aliases').filter(({ path }) => path === '/api/v1/metrics')
  assert.equal((await ask('/api/v1/metrics')).body, json.body)
  const { body } = await ask('/api/v1/metrics/prometheus')
  assert.match(body, /^fluentbit_input_records_total\{name="the \\"input\\""\} 2 \d{13}$/m)
  assert.match(body, /^fluentbit_filter_records_total\{name="back\\\\slash"\} 2 \d{13}$/m)
  assert.match(body, /^fluentbit_output_proc_records_total\{name="naïve"\} 2 \d{13}$/m)
})

const DUMMY = `
[SERVICE]
    http_server on
    http_listen 127.0.0.1
    http_port \${PORT}
    KEYS
[INPUT]
    name lib
    tag a
[OUTPUT]
    name collect
    alias to the end
    match *
    answer drop
`

/** A pipeline whose output gives up all that it gets. */
function startDummy(t: TestContext, keys = '', options = {}): Promise<Monitored> {
  return startMonitored(t, DUMMY.replace('KEYS', keys.split(', ').join('\n    ')), options)
}

test('the uptime is told in days, hours, minutes and seconds', async t => {
  const { ask, run } = await startDummy(t, 'flush 86400')
  const uptime = async (): Promise<unknown> => JSON.parse((await ask('/api/v1/uptime')).body)
  assert.deepEqual(await uptime(), {
    uptime_sec: 0,
    uptime_hr: 'Fluent Bit has been running:  0 day, 0 hour, 0 minute and 0 second'
  })
  run.clock.advance(2 * 86_400_000 + 3_600_000 + 2 * 60_000 + 1000)
  assert.deepEqual(await uptime(), {
    uptime_sec: 176_521,
    uptime_hr: 'Fluent Bit has been running:  2 days, 1 hour, 2 minutes and 1 second'
  })
})

test('health counts errors since the first second, within its period', async t => {
  const { ask, run } = await startDummy(
    t,
    'flush 0.1, health_check on, hc_errors_count 1, hc_period 3'
  )
  const look = async (): Promise<unknown> => {
    const { status, body } = await ask('/api/v2/health')
    const { errors, status: word } = JSON.parse(body) as { errors: number; status: string }
    assert.equal((await ask('/api/v1/health')).status, status)
    return [status, word, errors]
  }
  const fail = async (): Promise<void> => {
    run.push('a', { a: 1 })
    run.clock.advance(200)
    await run.until(() => run.pipeline.pendingTasks === 0)
  }
  await fail()
  await fail()
  assert.deepEqual(await look(), [200, 'ok', 0])
  run.clock.advance(600)
  assert.deepEqual(await look(), [200, 'ok', 0])
  await fail()
  run.clock.advance(800)
  assert.deepEqual(await look(), [200, 'ok', 1])
  await fail()
  run.clock.advance(800)
  assert.deepEqual(await look(), [500, 'error', 2])
  run.clock.advance(1000)
  assert.deepEqual(await look(), [200, 'ok', 1])
  run.clock.advance(1000)
  assert.deepEqual(await look(), [200, 'ok', 0])
})

test('health counts retries that were given up', async t => {
  const keys = ['flush 0.1', 'health_check on', 'hc_retry_failure_count 1', 'scheduler.cap 2']
  const text = DUMMY.replace('KEYS', [...keys, 'scheduler.base 1'].join('\n    '))
  const { ask, run } = await startMonitored(
    t,
    text.replace('answer drop', 'answer retry\n    retry_limit 1')
  )
  run.clock.advance(1000)
  const seen: unknown[] = []
  for (let time = 0; time < 3; time++) {
    run.push('a', { a: 1 })
    await run.until(() => {
      run.clock.advance(1000)
      return run.counter('fluentbit_output_retries_failed_total', { name: 'to the end' }) > time
    })
    run.clock.advance(1000)
    const { status, body } = await ask('/api/v2/health')
    const { errors, retries_failed: failed } = JSON.parse(body) as Record<string, number>
    seen.push([status, errors, failed])
  }
  assert.deepEqual(seen, [
    [200, 0, 1],
    [500, 0, 2],
    [500, 0, 3]
  ])
})

test('bodies of requests and connections are bounded', async t => {
  const { ask, server } = await startDummy(t)
  const statusOf = async (length: number): Promise<number> =>
    (await ask('/', 'POST', 'x'.repeat(length))).status
  assert.deepEqual([await statusOf(1_048_576), await statusOf(1_048_577)], [200, 413])
  const sockets: Socket[] = []
  t.after(() => {
    for (const socket of sockets) socket.destroy()
  })
  for (let n = 0; n < 257; n++) {
    const socket = connect(server.port, '127.0.0.1')
    sockets.push(socket)
    socket.on('error', () => {})
    socket.resume()
    await once(socket, 'connect')
  }
  await until(() => sockets.at(-1)?.closed === true)
  assert.ok(sockets.filter(({ closed }) => !closed).length > 250)
})

test('emitters come after other inputs, and a new line in a name does not break a line', async t => {
  const text = `
service:
  http_server: on
  http_listen: 127.0.0.1
  http_port: \${PORT}
  storage.path: \${FOLDER}/store
pipeline:
  inputs:
    - {name: lib, tag: a, alias: "two\\nlines"}
  filters:
    - {name: rewrite_tag, match: a, rule: $a 1 b false}
  outputs:
    - {name: collect, match: '*'}
`
  const { ask } = await startMonitored(t, text, { yaml: true })
  const inputs = ['two\nlines', 'storage_backlog.1', 'emitter_for_rewrite_tag.0']
  const { input } = JSON.parse((await ask('/api/v1/metrics')).body) as { input: object }
  assert.deepEqual(Object.keys(input), inputs)
  const { input_chunks: chunks } = JSON.parse((await ask('/api/v1/storage')).body) as {
    input_chunks: Record<string, { status: { mem_limit: string } }>
  }
  assert.deepEqual(
    Object.entries(chunks).map(([name, { status }]) => [name, status.mem_limit]),
    inputs.map((name, index) => [name, ['0b', '0b', '9.5M'][index]])
  )
  const { body } = await ask('/api/v1/metrics/prometheus')
  assert.match(body, /^fluentbit_input_records_total\{name="two\\nlines"\} 0 \d{13}$/m)
})

test('/api/v2/reload answers what became of the request', async t => {
  const answers: ReturnType<Reloads['request']>[] = ['started', 'in_progress', 'not_enabled']
  const reloads: Reloads = { count: 3, request: () => answers.shift() ?? 'not_enabled' }
  const { ask } = await startDummy(t, '', { reloads })
  const reload = async (method: string): Promise<unknown> => {
    const { status, body } = await ask('/api/v2/reload', method)
    return [status, body]
  }
  assert.deepEqual(await reload('GET'), [200, '{"hot_reload_count":3}'])
  assert.deepEqual(await reload('POST'), [200, '{"reload":"done","status":0}'])
  assert.deepEqual(await reload('PUT'), [400, '{"reload":"in progress","status":-2}'])
  assert.deepEqual(await reload('POST'), [200, '{"reload":"not enabled","status":-1}'])
  assert.deepEqual(await reload('DELETE'), [405, ''])
  assert.deepEqual(answers, [])
  const { body } = await ask('/api/v2/metrics/prometheus')
  assert.match(body, /^fluentbit_hot_reloaded_times\{hostname="vm"\} 3$/m)
})

test('/api/v2/ledger has the accounts of inputs and routes', async t => {
  const { ask, run } = await startDummy(t)
  run.push('a', { a: 1 }, { a: 2 })
  const none = { ingested: 0, added: 0, recovered: 0, delivered: 0, filtered: 0 }
  const ledger = async (): Promise<unknown> => JSON.parse((await ask('/api/v2/ledger')).body)
  assert.deepEqual(await ledger(), {
    inputs: [{ input: 'lib.0', ...none, ingested: 2, dropped: {}, buffered: 2 }],
    routes: [
      { input: 'lib.0', output: 'to the end', ...none, ingested: 2, dropped: {}, buffered: 2 }
    ]
  })
  run.flush()
  await run.until(() => run.pipeline.pendingTasks === 0)
  const dropped = { 'asked to': 2 }
  assert.deepEqual(await ledger(), {
    inputs: [{ input: 'lib.0', ...none, ingested: 2, dropped, buffered: 0 }],
    routes: [{ input: 'lib.0', output: 'to the end', ...none, ingested: 2, dropped, buffered: 0 }]
  })
})

test('routes of the trace answer where it is on', async t => {
  const traceRoutes = [
    { ...exact('/api/v1/trace/', ({ path }) => jsonReply(200, path)), match: 'prefix' as const }
  ]
  const on = await startDummy(t, 'enable_chunk_trace on', { traceRoutes })
  assert.equal((await on.ask('/api/v1/trace/lib.0')).body, '"/api/v1/trace/lib.0"')
  assert.equal((await on.ask('/api/v1/trace')).status, 404)
  const off = await startDummy(t, '', { traceRoutes })
  assert.equal((await off.ask('/api/v1/trace/lib.0')).status, 404)
})

test('a reload changes routes, moves the server and stops it', async t => {
  const { ask, run, server, log } = await startDummy(t)
  const { service } = run
  assert.equal((await ask('/api/v1/health')).status, 404)
  const first = server.port
  await server.apply({ ...service, health_check: true, 'storage.metrics': false })
  assert.equal(server.port, first)
  assert.equal((await ask('/api/v1/health')).status, 200)
  assert.equal((await ask('/api/v1/storage')).status, 404)
  const second = await freePort()
  await server.apply({ ...service, http_port: String(second) })
  assert.equal((await askServer(second, '/')).status, 200)
  await assert.rejects(askServer(first, '/'), { code: 'ECONNREFUSED' })
  await server.apply({ ...service, http_port: String(second), http_listen: '0.0.0.0' })
  assert.equal((await askServer(second, '/')).status, 200)
  await server.apply({ ...service, http_server: false })
  await assert.rejects(askServer(second, '/'), { code: 'ECONNREFUSED' })
  await server.apply(service)
  assert.equal((await askServer(first, '/')).status, 200)
  assert.deepEqual(
    log.map(text => text.slice(text.indexOf('[http'))),
    [
      `[http_server] listen iface=127.0.0.1 tcp_port=${first}`,
      `[http_server] listen iface=127.0.0.1 tcp_port=${second}`,
      `[http_server] listen iface=0.0.0.0 tcp_port=${second}`,
      `[http_server] listen iface=127.0.0.1 tcp_port=${first}`
    ]
  )
})

test('a server that cannot move stays where it is', async t => {
  const { ask, run, server, log } = await startDummy(t)
  const other = await startDummy(t)
  const taken = { ...run.service, http_port: String(other.server.port), health_check: true }
  const message = `Cannot listen on 127.0.0.1:${other.server.port}: Address already in use`
  await assert.rejects(server.apply(taken), { message })
  const elsewhere = { ...run.service, http_listen: '192.0.2.1' }
  await assert.rejects(server.apply(elsewhere), /^Error: Cannot listen on 192\.0\.2\.1:/)
  assert.equal((await ask('/')).status, 200)
  assert.equal((await ask('/api/v1/health')).status, 404)
  await server.apply({ ...run.service, health_check: true })
  assert.equal((await ask('/api/v1/health')).status, 200)
  // At the start, and once more after the second attempt, which had to give up the port first.
  assert.equal(log.length, 2)
})
