/** Chunk traces, against recordings of Fluent Bit (test/data/trace) and where Spillway differs from it. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { TRACE_BYTES_MAX } from '../../src/base/limits.ts'
import { type Decoded, decodeAll } from '../../src/codec/msgpack_reader.ts'
import type { Encodable } from '../../src/codec/msgpack_writer.ts'
import type { TapOutcome, TapRequest } from '../../src/engine/trace_taps.ts'
import { defineOutput } from '../../src/plugin/define.ts'
import { drop, OK, partial, retry } from '../../src/plugin/delivery.ts'
import { GROUP_END_SECONDS, GROUP_START_SECONDS } from '../../src/record/event.ts'
import {
  plain,
  type PipelineOptions,
  startPipeline,
  type TestPipeline
} from '../harness/pipeline.ts'

const DATA = join(import.meta.dirname, '../data/trace')

/** Body of a trace event. */
type Traced = Record<string, unknown>

type Chunks = readonly (readonly (readonly Encodable[])[])[]

const SENT = JSON.parse(readFileSync(join(DATA, 'sent.json'), 'utf8')) as Record<string, Chunks>

class Traces {
  readonly run: TestPipeline

  constructor(run: TestPipeline) {
    this.run = run
  }

  static async start(
    t: TestContext,
    configuration: string,
    options: PipelineOptions = {}
  ): Promise<Traces> {
    const run = await startPipeline(configuration, options)
    t.after(async () => {
      // A tap that cannot deliver is waited for, by the clock.
      const timer = setInterval(() => run.clock.advance(100), 1)
      await run.stop()
      clearInterval(timer)
    })
    return new Traces(run)
  }

  tap(input: string, request: Partial<TapRequest> = {}): Promise<TapOutcome> {
    return this.run.taps.start(input, { prefix: '', output: 'collect', properties: [], ...request })
  }

  /** Sends the open chunks out and waits until they are settled; then the tap's own flush. */
  async flush(): Promise<void> {
    const { run } = this
    run.clock.advance(2000)
    await run.until(() => run.pipeline.pendingTasks === 0)
    run.clock.advance(2000)
  }

  /** Trace events that have come so far. */
  get events(): Traced[] {
    return this.run.taken.flatMap(({ tag, events }) =>
      tag === 'trace' ? events.map(({ body }) => body as Traced) : []
    )
  }

  /** Taps whose pipelines have stopped. */
  get endedTaps(): number {
    return this.run.log.filter(line => line.includes('[ledger] input trace-emitter')).length
  }

  /** `TYPE ID INSTANCE` of each event. */
  get steps(): string[] {
    return this.events.map(event =>
      [event['type'], event['trace_id'], event['plugin_instance']].join(' ')
    )
  }
}

/** The pipeline of a recording, with the input that tests push into. */
function configurationOf(name: string): string {
  const text = readFileSync(join(DATA, `${name}.conf`), 'utf8')
  return text
    .replace(/ {4}name tcp\n/, '    name lib\n')
    .replace(/ {4}(format|listen|port) (json|.*PORT|127.*)\n/g, '')
}

/** What Fluent Bit wrote, each event on its own; see the README there. */
function recorded(name: string): Traced[] {
  const events = decodeAll(readFileSync(join(DATA, `${name}.msgpack`)))
  return events.flatMap(apart)
}

function apart(event: Decoded): Traced[] {
  assert.ok(Array.isArray(event))
  const [, body] = event
  assert.ok(body instanceof Map)
  const swallowed: Traced[] = []
  for (const [key, value] of body) {
    const isEvent = Array.isArray(value) && value.length === 2 && value[1] instanceof Map
    if (!isEvent || !(value[0] instanceof Object) || value[0] instanceof Map) continue
    swallowed.push(...apart(value))
    body.delete(key)
  }
  if (body.get('records') === 'start_time') {
    body.delete('records')
    for (const key of body.keys()) if (typeof key === 'number') body.delete(key)
    body.set('start_time', 0)
    body.set('end_time', 0)
  }
  return [plain(body) as Traced, ...swallowed]
}

/** Events without their times, and without records where Fluent Bit has none or others; answers in order of outputs. */
function comparable(events: readonly Traced[]): Traced[] {
  const masked = events.map(event => {
    const { type, records } = event
    const isOther = type === 1 || (Array.isArray(records) && records.length === 0)
    const kept = isOther ? { ...event, records: undefined } : event
    return JSON.parse(JSON.stringify(kept), maskTime) as Traced
  })
  const runs: Traced[][] = []
  for (const event of masked) {
    const last = runs.at(-1)
    if (event['type'] === 4 && last?.[0]['type'] === 4) last.push(event)
    else runs.push([event])
  }
  return runs.flatMap(run =>
    run.toSorted((a, b) => String(a['plugin_instance']).localeCompare(String(b['plugin_instance'])))
  )
}

function maskTime(key: string, value: unknown): unknown {
  return ['timestamp', 'start_time', 'end_time'].includes(key) ? 0 : value
}

/** Runs the pipeline of a recording with a tap; gives what the tap wrote. */
async function replay(t: TestContext, name: string, input: string): Promise<Traced[]> {
  const traces = await Traces.start(t, configurationOf(name))
  assert.equal(await traces.tap(input), 'on')
  for (const batches of SENT[name]) {
    for (const batch of batches) traces.run.push('app.log', ...batch)
    await traces.flush()
  }
  return JSON.parse(JSON.stringify(traces.events).replaceAll('lib.0', 'tcp.0')) as Traced[]
}

for (const name of ['filters', 'batches']) {
  test(`"${name}": a tap writes what Fluent Bit's wrote`, async t => {
    const events = await replay(t, name, 'lib.0')
    assert.deepEqual(comparable(events), comparable(recorded(name)))
  })
}

test('"dropped": so it does where filters drop, and what Fluent Bit lost is there', async t => {
  const events = await replay(t, 'dropped', 'lib.0')
  const lost = events.filter(event => event['trace_id'] === '1')
  const others = events.filter(event => event['trace_id'] !== '1')
  assert.deepEqual(comparable(others), comparable(recorded('dropped')))
  const five = { message: 'five', level: 'debug' }
  assert.deepEqual(
    lost.map(event => JSON.parse(JSON.stringify(event), maskTime)),
    [
      {
        type: 1,
        trace_id: '1',
        plugin_instance: 'tcp.0',
        records: [{ timestamp: 0, record: five }],
        start_time: 0,
        end_time: 0
      },
      {
        type: 2,
        start_time: 0,
        end_time: 0,
        trace_id: '1',
        plugin_instance: 'grep.0',
        records: []
      }
    ]
  )
})

const PLAIN = `
[SERVICE]
    flush 2
    enable_chunk_trace on
[INPUT]
    name lib
    tag app.log
    alias web
[OUTPUT]
    name null
    match app.*
`

test('events of type 1 have the records that came, types 1 and 3 the time of the last one', async t => {
  const traces = await Traces.start(t, PLAIN, { nowMs: 1_700_000_005_250 })
  await traces.tap('web', { prefix: 'trace.' })
  const event = (seconds: number, body: Encodable) => ({
    time: [seconds, 1] as const,
    metadata: {},
    body
  })
  traces.run.pushEvents('app.log', event(1_700_000_003, { n: 1 }), event(1_700_000_001, { n: 2 }))
  traces.run.pushEvents('app.log', event(1_700_000_004, { n: 3 }))
  await traces.flush()
  const record = (timestamp: number, n: number) => ({ timestamp, record: { n } })
  const head = { trace_id: 'trace.0', plugin_instance: 'lib.0', plugin_alias: 'web' }
  const [one, two, three] = [
    record(1_700_000_003, 1),
    record(1_700_000_001, 2),
    record(1_700_000_004, 3)
  ]
  const end_time = 1_700_000_005
  assert.deepEqual(traces.events, [
    { type: 1, ...head, records: [one, two], start_time: 1_700_000_001, end_time },
    { type: 3, ...head, records: [one, two], start_time: 1_700_000_001, end_time },
    { type: 1, ...head, records: [three], start_time: 1_700_000_004, end_time },
    { type: 3, ...head, records: [one, two, three], start_time: 1_700_000_004, end_time },
    {
      type: 4,
      trace_id: 'trace.0',
      plugin_instance: 'null.0',
      return: 1,
      start_time: 1_700_000_007,
      end_time: 1_700_000_007
    }
  ])
  assert.deepEqual(traces.run.taken[0].events[0].time, [1_700_000_005, 250_000_000])
})

test('answers of an output that gives up or tries again', async t => {
  const configuration = PLAIN.replace('name null', 'name collect\n    retry_limit 5')
  const answers = [
    retry('later'),
    partial({ retry: [0, 2], reason: 'later' }),
    partial({ drop: [{ reason: 'never', events: [0] }] }),
    OK,
    drop('never')
  ]
  const traces = await Traces.start(t, configuration, {
    answer: ({ tag }) => (tag === 'trace' ? OK : (answers.shift() ?? OK))
  })
  await traces.tap('web')
  for (const bodies of [[{ n: 1 }, { n: 2 }, { n: 3 }], [{ n: 4 }], [{ n: 5 }]]) {
    traces.run.push('app.log', ...bodies)
    await traces.run.clock.advanceSlowly(200_000, 1000)
  }
  const returns = traces.events.flatMap(event => ('return' in event ? [event['return']] : []))
  assert.deepEqual(returns, [2, 2, 0, 1, 0])
})

test('an emitter can be traced by the name of its filter, and the input beside it not', async t => {
  const configuration = `${PLAIN}
[FILTER]
    name rewrite_tag
    match app.*
    rule n ^1$ app.other false
    emitter_name other
`
  const traces = await Traces.start(t, configuration)
  await traces.tap('other')
  traces.run.push('app.log', { n: '1' }, { n: '2' })
  await traces.flush()
  assert.deepEqual(traces.steps, ['1 0 emitter.1', '3 0 emitter.1', '4 0 null.0'])
})

test('chunks that conditional routes make are followed each on its own', async t => {
  const configuration = JSON.stringify({
    service: { flush: 2, enable_chunk_trace: true },
    pipeline: {
      inputs: [
        {
          name: 'lib',
          tag: 'app.log',
          routes: {
            logs: [
              {
                name: 'errors',
                condition: { rules: [{ field: '$level', op: 'eq', value: 'error' }] },
                to: { outputs: ['bad'] }
              },
              { name: 'rest', condition: { default: true }, to: { outputs: ['good'] } }
            ]
          }
        }
      ],
      outputs: [
        { name: 'null', alias: 'bad' },
        { name: 'null', alias: 'good' }
      ]
    }
  })
  const traces = await Traces.start(t, configuration, { yaml: true })
  await traces.tap('lib.0')
  traces.run.push('app.log', { level: 'error' }, { level: 'info' })
  await traces.flush()
  assert.deepEqual(traces.steps.toSorted(), [
    '1 0 lib.0',
    '1 1 lib.0',
    '3 0 lib.0',
    '3 1 lib.0',
    '4 0 null.0',
    '4 1 null.1'
  ])
})

test('events that no output wants are followed up to there', async t => {
  const traces = await Traces.start(t, PLAIN.replace('match app.*', 'match nothing'))
  await traces.tap('web')
  for (const n of [1, 2]) traces.run.push('app.log', { n })
  await traces.flush()
  assert.deepEqual(traces.steps, ['1 0 lib.0', '3 0 lib.0', '1 1 lib.0', '3 1 lib.0'])
})

test('a tap with a count follows this many chunks to their end, then it is gone', async t => {
  const traces = await Traces.start(t, PLAIN)
  await traces.tap('web', { limit: { unit: 'count', value: 2 } })
  for (const n of [1, 2, 3]) {
    traces.run.push('app.log', { n })
    await traces.flush()
  }
  await traces.run.until(() => traces.endedTaps === 1)
  assert.deepEqual(traces.steps, [
    '1 0 lib.0',
    '3 0 lib.0',
    '4 0 null.0',
    '1 1 lib.0',
    '3 1 lib.0',
    '4 1 null.0'
  ])
})

test('a tap with seconds takes no chunk after them, whether there are events or not', async t => {
  const traces = await Traces.start(t, PLAIN)
  await traces.tap('web', { limit: { unit: 'seconds', value: 5 } })
  const first = traces.run.pipeline.inputs[0].tap
  assert.notEqual(first, undefined)
  traces.run.push('app.log', { n: 1 })
  traces.run.clock.advance(4900)
  assert.equal(traces.run.pipeline.inputs[0].tap, first)
  traces.run.clock.advance(200)
  assert.equal(traces.run.pipeline.inputs[0].tap, undefined)
  traces.run.push('app.log', { n: 2 })
  await traces.flush()
  assert.deepEqual(traces.steps, ['1 0 lib.0', '3 0 lib.0', '4 0 null.0'])
})

test('a tap that is taken away writes what it has, and no more', async t => {
  const traces = await Traces.start(t, PLAIN)
  await traces.tap('web')
  traces.run.push('app.log', { n: 1 })
  assert.equal(traces.run.taps.stop('web'), true)
  await traces.run.until(() => traces.events.length > 0)
  traces.run.push('app.log', { n: 2 })
  await traces.flush()
  assert.deepEqual(traces.steps, ['1 0 lib.0', '3 0 lib.0'])
  assert.equal(traces.run.taps.stop('web'), true)
  assert.equal(traces.run.taps.stop('nothing'), false)
})

test('a tap replaces the one before, and counts from the start', async t => {
  const traces = await Traces.start(t, PLAIN)
  await traces.tap('web', { prefix: 'a.' })
  traces.run.push('app.log', { n: 1 })
  await traces.flush()
  await traces.tap('web', { prefix: 'b.' })
  traces.run.push('app.log', { n: 2 })
  await traces.flush()
  assert.deepEqual(
    traces.steps.filter(step => step.startsWith('1 ')),
    ['1 a.0 lib.0', '1 b.0 lib.0']
  )
  await traces.run.until(() => traces.endedTaps === 1)
})

test('the events of a stop are written before the program ends', async () => {
  const run = await startPipeline(PLAIN)
  const traces = new Traces(run)
  await traces.tap('web')
  run.push('app.log', { n: 1 })
  await run.stop()
  assert.deepEqual(traces.steps, ['1 0 lib.0', '3 0 lib.0', '4 0 null.0'])
})

test('the output has the properties that were asked for, and prints for the tap alone', async t => {
  const traces = await Traces.start(t, PLAIN, { nowMs: 1_700_000_000_000 })
  const properties = [
    ['Format', 'json_lines'],
    ['match', 'something.else']
  ] as const
  await traces.tap('web', { output: 'stdout', properties })
  traces.run.push('app.log', { n: 1 })
  await traces.flush()
  const [first] = traces.run.stdout.split('\n')
  assert.equal(
    first,
    '{"date":1700000000.0,"type":1,"trace_id":"0","plugin_instance":"lib.0","plugin_alias":"web","records":[{"timestamp":1700000000,"record":{"n":1}}],"start_time":1700000000,"end_time":1700000000}'
  )
})

const REFUSED: readonly [
  what: string,
  input: string,
  request: Partial<TapRequest>,
  log: RegExp[]
][] = [
  ['an unknown input', 'nope', {}, [/unable to find input: \[4\]nope$/]],
  [
    'an unknown output',
    'web',
    { output: 'nosuch' },
    [/Cannot use output plugin "nosuch"/, /could not create trace output$/]
  ],
  [
    'an unknown key',
    'web',
    { output: 'null', properties: [['nosuch', '1']] },
    [/nosuch/, /could not create trace output$/]
  ]
]

for (const [what, input, request, log] of REFUSED) {
  test(`${what} is refused, and a tap that there was goes on`, async t => {
    const traces = await Traces.start(t, PLAIN)
    await traces.tap('web')
    const before = traces.run.log.length
    const wanted = what === 'an unknown input' ? 'unknown input' : 'failed'
    assert.equal(await traces.tap(input, request), wanted)
    const lines = traces.run.log.slice(before)
    assert.equal(lines.length, log.length)
    for (const [index, line] of lines.entries()) assert.match(line, log[index])
    traces.run.push('app.log', { n: 1 })
    await traces.flush()
    assert.equal(traces.events.length, 3)
  })
}

test('without enable_chunk_trace there are no taps', async t => {
  const traces = await Traces.start(t, PLAIN.replace('enable_chunk_trace on', ''))
  assert.equal(await traces.tap('web'), 'failed')
  assert.deepEqual(traces.run.log.slice(-1), [
    '[ warn] [chunk trace] enable chunk tracing via the configuration or  command line to be able to activate tracing.'
  ])
})

test('nothing of a tap is counted with the instances of the user', async t => {
  const traces = await Traces.start(t, PLAIN)
  await traces.tap('web')
  traces.run.push('app.log', { n: 1 })
  await traces.flush()
  const families = [...traces.run.metrics.families()]
  const labels = families.flatMap(({ series }) => series.flatMap(one => Object.values(one.labels)))
  const own = ['trace-emitter', 'emitter.0', 'collect.0']
  assert.deepEqual(
    own.filter(label => labels.includes(label)),
    []
  )
  assert.deepEqual(
    traces.run.pipeline.ledgerRows().map(row => row.name),
    ['input web', 'route web > null.0']
  )
})

test('a tap whose output does not keep up drops events and says so; the pipeline goes on', async t => {
  const configuration = PLAIN.replace('name null', 'name collect')
  const traces = await Traces.start(t, configuration, {
    answer: ({ tag }) => (tag === 'trace' ? retry('no') : OK)
  })
  await traces.tap('web', { properties: [['retry_limit', 'no_limits']] })
  const big = 'x'.repeat(1_000_000)
  const count = 3 * Math.ceil(TRACE_BYTES_MAX / big.length)
  for (let n = 0; n < count; n++) {
    traces.run.push('app.log', { big })
    traces.run.clock.advance(2000)
    await new Promise(resolve => setImmediate(resolve))
  }
  assert.equal(traces.run.bodies.length, count)
  const dropped = traces.run.counter('spillway_trace_dropped_records_total', { name: 'web' })
  const held = TRACE_BYTES_MAX / big.length
  // Of each chunk there are two events with its records and one without.
  assert.ok(dropped > 3 * count - 3 * held && dropped < 3 * count - held, `${dropped}`)
  traces.run.taps.stop('web')
  const line = `[ warn] [chunk trace] ${dropped} events of the trace of web were dropped`
  const { clock, log } = traces.run
  await traces.run.until(() => {
    clock.advance(100)
    return log.includes(line)
  })
})

test('a tap goes on through a reload that leaves its input, on the new ways of its events', async t => {
  const traces = await Traces.start(t, PLAIN)
  await traces.tap('web')
  traces.run.push('app.log', { n: 1 })
  await traces.flush()
  const filter = '[FILTER]\n    name modify\n    match app.*\n    add more yes\n'
  await traces.run.reload(`${PLAIN}${filter}[OUTPUT]\n    name null\n    match app.*\n`)
  traces.run.push('app.log', { n: 2 })
  await traces.flush()
  assert.deepEqual(traces.steps, [
    '1 0 lib.0',
    '3 0 lib.0',
    '4 0 null.0',
    '1 1 lib.0',
    '2 1 modify.0',
    '3 1 lib.0',
    '4 1 null.0',
    '4 1 null.1'
  ])
})

test('a tap ends with its input when a reload changes or removes it', async t => {
  const traces = await Traces.start(t, PLAIN)
  await traces.tap('web')
  await traces.run.reload(PLAIN.replace('alias web', 'alias web\n    mem_buf_limit 1M'))
  await traces.run.until(() => traces.endedTaps === 1)
  assert.equal(await traces.tap('web'), 'on')
  await traces.run.reload(PLAIN.replace('alias web', 'alias other'))
  await traces.run.until(() => traces.endedTaps === 2)
  assert.equal(await traces.tap('web'), 'unknown input')
})

test('the tap of an emitter ends when a reload takes the filter away', async t => {
  const filter = '[FILTER]\n    name rewrite_tag\n    match app.*\n    rule n ^1$ app.other false\n'
  const traces = await Traces.start(t, `${PLAIN}${filter}    emitter_name other\n`)
  assert.equal(await traces.tap('other'), 'on')
  await traces.run.reload(PLAIN)
  await traces.run.until(() => traces.endedTaps === 1)
})

test('marks of groups are no records, and metrics are not followed', async t => {
  const traces = await Traces.start(
    t,
    `${PLAIN}[INPUT]\n    name fluentbit_metrics\n    alias figures\n    scrape_on_start on\n    scrape_interval 1\n`
  )
  await traces.tap('web')
  await traces.tap('figures')
  const event = (seconds: number, body: Encodable) => ({
    time: [seconds, 0] as const,
    metadata: {},
    body
  })
  const group = [
    event(GROUP_START_SECONDS, { resource: {} }),
    event(GROUP_END_SECONDS, {})
  ] as const
  traces.run.pushEvents('app.log', group[0], event(1_700_000_000, { n: 1 }), group[1])
  await traces.flush()
  assert.deepEqual(traces.steps, ['1 0 lib.0', '3 0 lib.0', '4 0 null.0'])
  const record = { timestamp: 1_700_000_000, record: { n: 1 } }
  assert.deepEqual(
    traces.events.slice(0, 2).map(({ records }) => records),
    [[record], [record]]
  )
})

test('an input that a reload removes while its tap starts gets none', async t => {
  const begun = Promise.withResolvers<void>()
  const opened = Promise.withResolvers<void>()
  let stops = 0
  const slow = defineOutput({
    name: 'slow',
    summary: 'Starts when the test says so',
    options: {},
    create: () => ({
      start: () => {
        begun.resolve()
        return opened.promise
      },
      flush: () => OK,
      stop: () => void stops++
    })
  })
  const traces = await Traces.start(t, PLAIN, { plugins: [slow] })
  const outcome = traces.tap('web', { output: 'slow' })
  await begun.promise
  await traces.run.reload(PLAIN.replace('alias web', 'alias other'))
  opened.resolve()
  assert.equal(await outcome, 'failed')
  assert.equal(stops, 1)
})
