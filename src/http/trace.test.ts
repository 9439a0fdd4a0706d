import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { Logger } from '../base/log.ts'
import type { TapRequest } from '../engine/trace_taps.ts'
import { startPipeline, type TestPipeline } from '../../test/harness/pipeline.ts'
import { seededRandom } from '../../test/harness/random.ts'
import { until } from '../../test/harness/until.ts'
import { isFor } from './route.ts'
import { traceRoutes } from './trace.ts'

/** A request and what Fluent Bit answered; see the README there. */
interface Recorded {
  readonly method: string
  readonly path: string
  readonly sent: string | null
  readonly status: number
  readonly answer: string
  /** Error lines. */
  readonly log: readonly string[]
}

const FILE = join(import.meta.dirname, '../../test/data/trace/answers.json')
const RECORDED = JSON.parse(readFileSync(FILE, 'utf8')) as readonly Recorded[]

const CONFIGURATION = `
[SERVICE]
    flush 1
    enable_chunk_trace on
[INPUT]
    name dummy
    alias input_dummy
[OUTPUT]
    name null
    match *
`

class Api {
  readonly run: TestPipeline
  constructor(run: TestPipeline) {
    this.run = run
  }

  static async start(t: TestContext): Promise<Api> {
    const run = await startPipeline(CONFIGURATION)
    t.after(() => run.stop())
    return new Api(run)
  }

  async ask(method: string, url: string, sent: string | null): Promise<[number, string]> {
    const [path, query = ''] = url.split('?')
    const sink = { colour: false, write: (line: string) => void this.run.log.push(line) }
    const routes = traceRoutes(this.run.taps, new Logger({ sink, level: 'info' }))
    const route = routes.find(candidate => isFor(candidate, path))
    assert.ok(route !== undefined)
    const body = Buffer.from(sent ?? '')
    const peer = { address: '127.0.0.1', port: 1 }
    const reply = await route.handle({ method, path, query, headers: {}, peer, body })
    return [reply.status, Buffer.from(reply.body ?? '').toString()]
  }

  /** Error lines, without time and level. */
  errors(): string[] {
    const lines = this.run.log.filter(line => line.includes('[error] '))
    return lines.map(line => line.slice(line.indexOf('[error] ') + '[error] '.length).trimEnd())
  }
}

/** Answers that are other ones on purpose; see the head of trace.ts. */
const OTHER_ANSWERS: Readonly<Record<string, [number, string]>> = {
  '/api/v1/trace/dummy.0 {"output":"stdout"} x': [503, '{"status":"error"}'],
  '/api/v1/traces/ {"inputs":["dummy.0"],"output":"stdout"}': [
    200,
    '{"inputs":{"dummy.0":{"status":"ok"}},"result":{"status":"ok"}}'
  ],
  '/api/v1/traces/ {"inputs":["nope","input_dummy"]}': [
    200,
    '{"inputs":{"nope":{"status":"error","returncode":-1},"input_dummy":{"status":"ok"}},"result":{"status":"ok"}}'
  ]
}

/** Error lines where Fluent Bit has others, or none. */
const OTHER_LOGS: Readonly<Record<string, readonly string[]>> = {
  '/api/v1/trace/dummy.0 {"output":"stdout"} x': ['unable to parse json parameters'],
  '/api/v1/trace/dummy.0 {"output":"calyptia"}': [
    '[config] Cannot use output plugin "calyptia": there is no such output in this version',
    'could not create trace output',
    'error when enabling tracing'
  ],
  '/api/v1/traces/ {nope': ['unable to parse json parameters'],
  '/api/v1/traces/ {"inputs":["input_dummy"],"params":[]}': ['output params is not a maps']
}

for (const { method, path, sent, status, answer, log } of RECORDED) {
  test(`${method} ${path} ${sent ?? ''}`, async t => {
    const api = await Api.start(t)
    const request = `${path} ${sent ?? ''}`
    const other = method === 'POST' ? OTHER_ANSWERS[request] : undefined
    assert.deepEqual(await api.ask(method, path, sent), other ?? [status, answer])
    const lines = OTHER_LOGS[request] ?? log
    assert.deepEqual(
      api.errors(),
      lines.map(line => line.trimEnd())
    )
  })
}

test('a tap that is set over HTTP writes to its output until it is taken away', async t => {
  const api = await Api.start(t)
  const body =
    '{"prefix":"p.","output":"stdout","params":{"format":"json_lines"},"limit":{"count":9}}'
  assert.deepEqual(await api.ask('POST', '/api/v1/trace/input_dummy', body), [
    200,
    '{"status":"ok"}'
  ])
  api.run.clock.advance(3000)
  const [first] = api.run.stdout.split('\n')
  assert.match(first, /^\{"date":[\d.]+,"type":1,"trace_id":"p\.0","plugin_instance":"dummy\.0",/)
  await api.ask('DELETE', '/api/v1/trace/dummy.0', null)
  await until(() => api.run.pipeline.inputs[0].tap === undefined)
  const before = api.run.stdout
  api.run.clock.advance(3000)
  assert.equal(api.run.stdout.slice(before.length).includes('"trace_id":"p.9"'), false)
})

test('GET sets a tap with its own prefix, and several inputs can have one tap each', async t => {
  const api = await Api.start(t)
  await api.ask('GET', '/api/v1/trace/input_dummy', null)
  api.run.clock.advance(3000)
  assert.match(api.run.stdout, /"type"=>1, "trace_id"=>"trace\.0"/)
  await api.ask('POST', '/api/v1/traces/', '{"inputs":["input_dummy"],"prefix":"q."}')
  api.run.clock.advance(3000)
  assert.match(api.run.stdout, /"type"=>1, "trace_id"=>"q\.0"/)
  await api.ask('DELETE', '/api/v1/traces/', '{"inputs":["input_dummy"]}')
  await until(() => api.run.pipeline.inputs[0].tap === undefined)
})

for (const body of ['{"output":"nosuch"}', '{"output":"stdout","params":{"nosuch":"1"}}']) {
  test(`${body} is an error, where Fluent Bit does not answer`, async t => {
    const api = await Api.start(t)
    const answer = await api.ask('POST', '/api/v1/trace/dummy.0', body)
    assert.deepEqual(answer, [503, '{"status":"error"}'])
    assert.deepEqual(api.errors().slice(-2), [
      'could not create trace output',
      'error when enabling tracing'
    ])
  })
}

test("whatever a body holds, there is an answer of Fluent Bit's", async () => {
  const random = seededRandom(20_261_123)
  const asked: TapRequest[] = []
  const taps = {
    start: async (_: string, request: TapRequest) => {
      asked.push(request)
      return 'on' as const
    },
    stop: () => true
  }
  const routes = traceRoutes(
    taps,
    new Logger({ sink: { colour: false, write: () => {} }, level: 'off' })
  )
  const bodies = RECORDED.flatMap(({ sent }) => (sent === null ? [] : [Buffer.from(sent)]))
  const statuses = new Set<number>()
  for (let round = 0; round < 5000; round++) {
    const body = Buffer.from(bodies[Math.floor(random() * bodies.length)])
    for (let edits = Math.floor(random() * 4); edits > 0 && body.length > 0; edits--) {
      body[Math.floor(random() * body.length)] = Math.floor(random() * 256)
    }
    for (const { path, handle } of routes) {
      const head = { method: 'POST', path, query: '', headers: {} }
      const reply = await handle({ ...head, peer: { address: '', port: 0 }, body })
      statuses.add(reply.status)
    }
  }
  assert.deepEqual(statuses, new Set([200, 400, 503]))
  for (const { prefix, output, properties, limit } of asked) {
    assert.ok([prefix, output, ...properties.flat()].every(text => typeof text === 'string'))
    assert.ok(limit === undefined || limit.value >= 0)
  }
})
