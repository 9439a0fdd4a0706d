/** Another configuration for a pipeline that runs: what is the same goes on, nothing is lost, nothing comes twice. */
import assert from 'node:assert/strict'
import { appendFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { text } from '../../src/config/options.ts'
import { imbalance, rowText } from '../../src/engine/ledger.ts'
import { defineFilter, defineInput, defineOutput, type Plugin } from '../../src/plugin/define.ts'
import { type Delivery, OK, retry } from '../../src/plugin/delivery.ts'
import { decodeEvents } from '../../src/record/event.ts'
import { Key } from '../../src/record/event_view.ts'
import { freePort } from '../harness/peers.ts'
import { startPipeline, type TestPipeline } from '../harness/pipeline.ts'

/** What plugins of these tests did, in order: `start source a`, `stop target b`. */
type Calls = string[]

const SETTING = { setting: text({ default: '', doc: 'Anything' }) }

const MARK = new Key('mark')

/** An input that does nothing, an output that answers as its setting says, and a filter that adds its setting. */
function plugins(calls: Calls, answers: Record<string, () => Delivery> = {}): Plugin[] {
  return [
    defineInput({
      name: 'source',
      summary: 'Does nothing',
      options: SETTING,
      create: ({ setting }) => ({
        start: () => {
          if (setting === 'broken') throw new Error('it is broken')
          calls.push(`start source ${setting}`)
        },
        stop: () => void calls.push(`stop source ${setting}`)
      })
    }),
    defineFilter({
      name: 'mark',
      summary: 'Counts what it sees',
      options: SETTING,
      create: ({ setting }) => {
        let seen = 0
        return {
          start: () => void calls.push(`start mark ${setting}`),
          filter: event => {
            event.set(MARK, `${setting}${++seen}`)
            return true
          },
          stop: () => void calls.push(`stop mark ${setting}`)
        }
      }
    }),
    defineOutput({
      name: 'target',
      summary: 'Says what it gets',
      options: SETTING,
      create: ({ setting }) => ({
        start: () => {
          if (setting === 'broken') throw new Error('it is broken')
          calls.push(`start target ${setting}`)
        },
        flush: chunk => {
          const answer = answers[setting]?.() ?? OK
          const bodies = [...decodeEvents(chunk.bytes)].map(({ body }) =>
            body instanceof Map ? body.get('n') : body
          )
          calls.push(`${setting} ${answer.kind} ${bodies.map(String).join(' ')}`)
          return answer
        },
        stop: () => void calls.push(`stop target ${setting}`)
      })
    })
  ]
}

const LIB = `
[INPUT]
    name lib
    tag  app
`

const COLLECT = `
[OUTPUT]
    name  collect
    match *
`

function source(setting: string): string {
  return `
[INPUT]
    name    source
    tag     source
    setting ${setting}
`
}

function mark(setting: string): string {
  return `
[FILTER]
    name    mark
    match   *
    setting ${setting}
`
}

function target(setting: string, others = ''): string {
  return `
[OUTPUT]
    name    target
    match   *
    setting ${setting}
    ${others}
`
}

function tcpInput(port: number): string {
  return `
[INPUT]
    name   tcp
    listen 127.0.0.1
    port   ${port}
    tag    tcp
    format none
`
}

function assertBalanced(run: TestPipeline): void {
  const wrong = run.pipeline.ledgerRows().filter(row => imbalance(row) !== 0)
  assert.deepEqual(wrong.map(rowText), [])
}

async function turns(): Promise<void> {
  for (let turn = 0; turn < 5; turn++) await new Promise(resolve => setImmediate(resolve))
}

test('what is the same goes on: nothing is started or stopped again', async () => {
  const calls: Calls = []
  const configuration = LIB + source('a') + mark('m') + target('t')
  const run = await startPipeline(configuration, { plugins: plugins(calls) })
  run.push('app', { n: 1 })
  await run.reload(configuration)
  run.push('app', { n: 2 })
  await run.stop()
  assert.deepEqual(calls, [
    'start target t',
    'start mark m',
    'start source a',
    't ok 1',
    't ok 2',
    'stop source a',
    'stop mark m',
    'stop target t'
  ])
})

test('what is new starts, what is gone stops, and events go the new ways from then on', async () => {
  const calls: Calls = []
  const run = await startPipeline(LIB + source('a') + mark('m') + target('t'), {
    plugins: plugins(calls)
  })
  run.push('app', { n: 1 })
  calls.length = 0
  await run.reload(LIB + source('b') + mark('o') + target('t', 'alias x') + target('u'))
  await turns()
  assert.deepEqual(calls.toSorted(), [
    'start mark o',
    'start source b',
    'start target t',
    'start target u',
    'stop mark m',
    'stop source a',
    'stop target t',
    't ok 1'
  ])
  calls.length = 0
  run.push('app', { n: 2 })
  run.flush()
  assert.deepEqual(calls, ['t ok 2', 'u ok 2'])
  await run.stop()
  assertBalanced(run)
})

test('filters that stay keep what they know, in another order too', async () => {
  const calls: Calls = []
  const alias = (name: string, setting: string): string =>
    mark(setting).replace('match', `alias ${name}\n    match`)
  const run = await startPipeline(LIB + alias('one', 'a') + COLLECT, {
    plugins: plugins(calls)
  })
  run.push('app', { n: 1 })
  await run.reload(LIB + alias('two', 'b') + alias('one', 'a') + COLLECT)
  run.push('app', { n: 2 })
  run.flush()
  assert.deepEqual(run.bodies, [
    { n: 1, mark: 'a1' },
    { n: 2, mark: 'a2' }
  ])
  assert.deepEqual(calls, ['start mark a', 'start mark b'])
  await run.stop()
})

test('an output with other settings takes over what the old one could not deliver', async () => {
  const calls: Calls = []
  const run = await startPipeline(LIB + target('bad', 'retry_limit no_limits'), {
    plugins: plugins(calls, { bad: () => retry('asked to') })
  })
  run.push('app', { n: 1 })
  run.flush()
  await turns()
  calls.length = 0
  await run.reload(LIB + target('good', 'retry_limit no_limits'))
  await turns()
  assert.deepEqual(calls, ['start target good', 'good ok 1', 'stop target bad'])
  assert.equal(run.pipeline.pendingTasks, 0)
  await run.stop()
  assertBalanced(run)
})

for (const [what, next, taker] of [
  ['changed', target('b2') + target('c'), 'b2'],
  ['changed while another one is added behind it', target('b2') + target('c') + target('d'), 'b2'],
  ['gone, and another one has its number now', target('c2'), 'bad']
] as const) {
  test(`what waits for an output without alias, ${what}, goes to ${taker}`, async () => {
    const calls: Calls = []
    let isUp = false
    const run = await startPipeline(LIB + target('bad') + target('c'), {
      plugins: plugins(calls, { bad: () => (isUp ? OK : retry('asked to')) })
    })
    run.push('app', { n: 1 })
    run.flush()
    await run.reload(LIB + next)
    isUp = true
    run.clock.advance(20_000)
    await turns()
    assert.deepEqual(
      calls.filter(call => call.includes(' ok ')),
      ['c ok 1', `${taker} ok 1`]
    )
    await run.stop()
    assertBalanced(run)
  })
}

test('a delivery that is under way ends at the old output; if it fails, the new one has it', async () => {
  const calls: Calls = []
  const answers = [Promise.withResolvers<Delivery>(), Promise.withResolvers<Delivery>()]
  let flushes = 0
  const slow = defineOutput({
    name: 'slow',
    summary: 'Answers when it is told to',
    concurrency: 2,
    options: SETTING,
    create: ({ setting }) => ({
      flush: chunk => {
        calls.push(`${setting} ${chunk.events}`)
        return setting === 'old' ? answers[flushes++].promise : OK
      },
      stop: () => void calls.push(`stop ${setting}`)
    })
  })
  const config = (setting: string): string =>
    `${LIB}[OUTPUT]\n    name slow\n    match *\n    setting ${setting}\n`
  const run = await startPipeline(config('old'), { plugins: [slow] })
  run.push('app', { n: 1 })
  run.flush()
  run.push('app', { n: 2 }, { n: 3 })
  run.flush()
  await run.reload(config('new'))
  assert.deepEqual(calls, ['old 1', 'old 2'])
  answers[0].resolve(OK)
  answers[1].resolve(retry('asked to'))
  await turns()
  run.clock.advance(20_000)
  await turns()
  assert.deepEqual(calls.slice(2).toSorted(), ['new 2', 'stop old'])
  assert.equal(run.pipeline.pendingTasks, 0)
  await run.stop()
  assertBalanced(run)
})

test('an output that is gone still delivers what it has, then stops', async () => {
  const calls: Calls = []
  let isUp = false
  const run = await startPipeline(LIB + target('gone') + target('stays'), {
    plugins: plugins(calls, { gone: () => (isUp ? OK : retry('asked to')) })
  })
  run.push('app', { n: 1 })
  run.flush()
  await run.reload(LIB + target('stays'))
  calls.length = 0
  isUp = true
  run.clock.advance(20_000)
  await turns()
  assert.deepEqual(calls, ['gone ok 1', 'stop target gone'])
  await run.stop()
  assertBalanced(run)
})

test('a configuration with mistakes changes nothing and leaves no figures behind', async () => {
  const calls: Calls = []
  const run = await startPipeline(LIB + target('t'), { plugins: plugins(calls) })
  const before = [...run.metrics.families()].flatMap(({ series }) => series.length)
  calls.length = 0
  await assert.rejects(
    run.reload(
      `${LIB + target('u', 'alias fresh')}[FILTER]\n    name grep\n    match *\n    regex (\n`
    ),
    /configuration is refused/
  )
  const after = [...run.metrics.families()].flatMap(({ series }) => series.length)
  assert.deepEqual(after, before)
  run.push('app', { n: 1 })
  run.flush()
  assert.deepEqual(calls, ['t ok 1'])
  await run.stop()
})

test('when an output does not start, all is as before', async () => {
  const calls: Calls = []
  const run = await startPipeline(LIB + source('a') + target('t'), { plugins: plugins(calls) })
  calls.length = 0
  await assert.rejects(
    run.reload(LIB + source('b') + target('u') + target('broken')),
    /it is broken/
  )
  await turns()
  assert.deepEqual(calls, ['start target u', 'stop target u'])
  run.push('app', { n: 1 })
  run.flush()
  assert.deepEqual(calls.slice(2), ['t ok 1'])
  await run.stop()
})

test('when an input does not start, those that have been stopped are started again', async () => {
  const calls: Calls = []
  const run = await startPipeline(LIB + source('a') + target('t'), { plugins: plugins(calls) })
  calls.length = 0
  run.push('app', { n: 1 })
  await assert.rejects(
    run.reload(LIB + source('b') + source('broken') + target('u')),
    /it is broken/
  )
  await turns()
  assert.deepEqual(calls, [
    'start target u',
    'stop source a',
    't ok 1',
    'start source b',
    'stop source b',
    'start source a',
    'stop target u'
  ])
  run.push('app', { n: 2 })
  run.flush()
  assert.equal(calls.at(-1), 't ok 2')
  await run.stop()
  assertBalanced(run)
})

test('a listener that did not change stays open, with its connections', async t => {
  const port = await freePort()
  const tcp = tcpInput(port)
  const run = await startPipeline(`${tcp}${COLLECT}`)
  t.after(() => run.remove())
  const socket = connect(port, '127.0.0.1')
  let isClosed = false
  socket.on('close', () => (isClosed = true))
  await new Promise(resolve => socket.once('connect', resolve))
  socket.write('one\n')
  await run.until(() => {
    run.flush()
    return run.bodies.length === 1
  })
  await run.reload(
    `${tcp}${mark('m').replace('mark', 'modify').replace('setting m', 'add a b')}${COLLECT}`
  )
  socket.write('two\n')
  await run.until(() => {
    run.flush()
    return run.bodies.length === 2
  })
  assert.deepEqual(run.bodies, [{ log: 'one' }, { log: 'two', a: 'b' }])
  assert.equal(isClosed, false)
  socket.destroy()
  await run.stop()
})

test('a port that is taken fails the reload, and the old listener goes on', async t => {
  const [port, taken] = [await freePort(), await freePort()]
  const blocker = createServer().listen(taken, '127.0.0.1')
  t.after(() => blocker.close())
  await new Promise(resolve => blocker.once('listening', resolve))
  const config = (number: number): string => tcpInput(number) + COLLECT
  const run = await startPipeline(config(port))
  await assert.rejects(run.reload(config(taken)))
  const socket = connect(port, '127.0.0.1')
  await new Promise(resolve => socket.once('connect', resolve))
  socket.end('one\n')
  await run.until(() => {
    run.flush()
    return run.bodies.length === 1
  })
  await run.stop()
})

for (const db of ['', 'db FOLDER/positions.db']) {
  test(`a changed tail goes on where it was ${db === '' ? 'without' : 'with'} db`, async t => {
    const directory = mkdtempSync(join(tmpdir(), 'spillway-reload-'))
    t.after(() => rmSync(directory, { recursive: true }))
    const config = (others: string): string => `
[INPUT]
    name           tail
    path           ${directory}/*.log
    tag            app
    read_from_head on
    ${db.replace('FOLDER', directory)}
    ${others}
${COLLECT}`
    writeFileSync(join(directory, 'a.log'), 'one\ntwo\nthr')
    const run = await startPipeline(config(''), { directory })
    await run.until(() => run.counter('fluentbit_input_records_total', { name: 'tail.0' }) === 2)
    // Still on its way when the input changes.
    await run.reload(config('key text'))
    appendFileSync(join(directory, 'a.log'), 'ee\nfour\n')
    writeFileSync(join(directory, 'b.log'), 'new\n')
    await run.until(() => {
      run.clock.advance(1000)
      return run.bodies.length >= 5
    })
    assert.deepEqual(
      run.bodies.toSorted((a, b) => JSON.stringify(a).localeCompare(JSON.stringify(b))),
      [{ log: 'one' }, { log: 'two' }, { text: 'four' }, { text: 'new' }, { text: 'three' }]
    )
    await run.stop()
    assertBalanced(run)
  })
}

test('another storage.path holds what comes from then on; the old one what it has', async t => {
  const calls: Calls = []
  let isUp = false
  const directory = mkdtempSync(join(tmpdir(), 'spillway-reload-'))
  t.after(() => rmSync(directory, { recursive: true }))
  const config = (path: string): string => `
[SERVICE]
    storage.path ${directory}/${path}
[INPUT]
    name         lib
    tag          app
    storage.type filesystem
${target('t', 'retry_limit no_limits')}`
  const run = await startPipeline(config('one'), {
    plugins: plugins(calls, { t: () => (isUp ? OK : retry('asked to')) })
  })
  run.push('app', { n: 1 })
  run.flush()
  await run.reload(config('two'))
  run.push('app', { n: 2 })
  run.flush()
  assert.equal(run.pipeline.storageStats().filesystem, 2)
  isUp = true
  run.clock.advance(30_000)
  await turns()
  assert.deepEqual(
    calls.filter(call => call.includes(' ok ')),
    ['t ok 1', 't ok 2']
  )
  await run.stop()
  assertBalanced(run)
})
