/** Reloads in the middle of failures; found by the simulation (test/simulation), and each made small. */
import assert from 'node:assert/strict'
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { text } from '../../src/config/options.ts'
import { imbalance, rowText } from '../../src/engine/ledger.ts'
import type { InputContext } from '../../src/plugin/context.ts'
import { defineInput, defineOutput, type Plugin } from '../../src/plugin/define.ts'
import { type Delivery, OK, partial, retry } from '../../src/plugin/delivery.ts'
import { decodeEvents } from '../../src/record/event.ts'
import { startPipeline, type TestPipeline } from '../harness/pipeline.ts'

const LIB = `
[INPUT]
    name lib
    tag  app
`

/** An output that answers as a test says, and notes what it took: `a 1 2`. */
class Targets {
  readonly taken: string[] = []
  /** By `setting`; OK unless given. */
  readonly answers: Record<string, (() => Delivery) | undefined> = {}

  readonly plugin: Plugin = defineOutput({
    name: 'target',
    summary: 'Answers as it is told',
    options: { setting: text({ default: '', doc: 'Which one it is' }) },
    create: ({ setting }) => ({
      start: () => {
        if (setting === 'broken') throw new Error('it is broken')
      },
      flush: chunk => {
        const answer = this.answers[setting]?.() ?? OK
        const bodies = [...decodeEvents(chunk.bytes)].map(({ body }) =>
          JSON.stringify(body instanceof Map ? body.get('n') : body)
        )
        this.taken.push(`${setting} ${answer.kind} ${bodies.join(' ')}`)
        return answer
      }
    })
  })

  fails(setting: string): void {
    this.answers[setting] = () => retry('asked to')
  }

  get delivered(): string[] {
    return this.taken.filter(call => !call.includes(' retry '))
  }
}

function target(setting: string, others = ''): string {
  return `
[OUTPUT]
    name        target
    match       *
    setting     ${setting}
    retry_limit no_limits
    ${others}
`
}

function assertBalanced(run: TestPipeline): void {
  const wrong = run.pipeline.ledgerRows().filter(row => imbalance(row) !== 0)
  assert.deepEqual(wrong.map(rowText), [])
}

async function turns(): Promise<void> {
  for (let turn = 0; turn < 5; turn++) await new Promise(resolve => setImmediate(resolve))
}

function newFolder(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'spillway-reload-'))
  t.after(() => rmSync(folder, { recursive: true }))
  return folder
}

test('the ledger balances when outputs without aliases change places', async () => {
  const targets = new Targets()
  targets.fails('a')
  const run = await startPipeline(LIB + target('a') + target('b'), { plugins: [targets.plugin] })
  run.push('app', { n: 1 })
  run.flush()
  await turns()
  await run.reload(LIB + target('b') + target('a'))
  assertBalanced(run)
  targets.answers['a'] = undefined
  run.clock.advance(60_000)
  await turns()
  assert.deepEqual(targets.delivered, ['b ok 1', 'a ok 1'])
  assertBalanced(run)
  await run.stop()
})

test('what waits for an output stays its own when all are made anew under other numbers', async () => {
  const targets = new Targets()
  targets.fails('a')
  const service = (flush: number): string => `[SERVICE]\n    flush ${flush}\n`
  const run = await startPipeline(service(1) + LIB + target('a') + target('b'), {
    plugins: [targets.plugin]
  })
  run.push('app', { n: 1 })
  run.flush()
  await turns()
  await run.reload(service(2) + LIB + target('b') + target('a'))
  targets.answers['a'] = undefined
  run.clock.advance(60_000)
  await turns()
  assert.deepEqual(targets.delivered, ['b ok 1', 'a ok 1'])
  await run.stop()
})

test('a refused configuration leaves no rows in the ledger', async () => {
  const run = await startPipeline(LIB + target('a'), { plugins: [new Targets().plugin] })
  const before = run.pipeline.ledgerRows().map(rowText)
  const fresh = LIB.replace('tag ', 'alias fresh\n    tag')
  await assert.rejects(run.reload(`${fresh}${target('a')}[OUTPUT]\n    name no_such\n`))
  assert.deepEqual(run.pipeline.ledgerRows().map(rowText), before)
  await run.stop()
})

test('what was taken of a chunk does not come again when the output loses its processors', async () => {
  const targets = new Targets()
  const answers = [
    partial({ retry: [1, 2], reason: 'some' }),
    partial({ retry: [1], reason: 'some' })
  ]
  targets.answers['a'] = () => answers.shift() ?? OK
  const config = (processors: string): string => `
service: { scheduler.base: 1, scheduler.cap: 2 }
pipeline:
  inputs: [ { name: lib, tag: app } ]
  outputs:
    - name: target
      match: '*'
      setting: a
      retry_limit: no_limits
${processors}`
  const processors = `      processors: { logs: [ { name: modify, add: a b } ] }\n`
  const run = await startPipeline(config(processors), { plugins: [targets.plugin], yaml: true })
  run.push('app', { n: 1 }, { n: 2 }, { n: 3 })
  run.flush()
  await run.reload(config(''))
  for (let second = 0; second < 10; second++) {
    await turns()
    assertBalanced(run)
    run.clock.advance(1000)
  }
  assert.deepEqual(targets.taken, ['a partial 1 2 3', 'a partial 2 3', 'a ok 3'])
  await run.stop()
})

for (const [before, after] of [
  [1, 4],
  [4, 1]
]) {
  test(`storage.max_chunks_up from ${before} to ${after} holds at once`, async t => {
    const folder = newFolder(t)
    const targets = new Targets()
    targets.fails('a')
    const config = (max: number): string => `
[SERVICE]
    storage.path          ${folder}
    storage.max_chunks_up ${max}
[INPUT]
    name                              lib
    tag                               app
    storage.type                      filesystem
    storage.pause_on_chunks_overlimit on
${target('a')}`
    const run = await startPipeline(config(before), { plugins: [targets.plugin] })
    for (let n = 0; n < 3; n++) {
      run.push('app', { n })
      run.flush()
      await turns()
    }
    await run.reload(config(after))
    const { up } = run.pipeline.storage
    assert.ok(up.count <= after, `${up.count} chunks are up`)
    if (after > before) assert.equal(run.pipeline.inputs[0].paused, false)
    targets.answers['a'] = undefined
    run.clock.advance(60_000)
    await turns()
    assert.deepEqual(targets.delivered.toSorted(), ['a ok 0', 'a ok 1', 'a ok 2'])
    await run.stop()
  })
}

test('storage.path cannot be taken away under an input that needs it', async t => {
  const folder = newFolder(t)
  const input = LIB.replace('tag ', 'storage.type filesystem\n    tag')
  const targets = new Targets()
  const run = await startPipeline(`[SERVICE]\n    storage.path ${folder}\n${input}${target('a')}`, {
    plugins: [targets.plugin]
  })
  await assert.rejects(run.reload(input + target('a')), /storage.path/)
  run.push('app', { n: 1 })
  run.flush()
  assert.deepEqual(targets.taken, ['a ok 1'])
  await run.stop()
})

test('back in an earlier storage.path, chunks that are on their way are not found again', async t => {
  const folder = newFolder(t)
  const targets = new Targets()
  targets.fails('a')
  const config = (path: string): string =>
    `[SERVICE]\n    storage.path ${folder}/${path}\n${LIB.replace('tag ', 'storage.type filesystem\n    tag')}${target('a')}`
  const run = await startPipeline(config('one'), { plugins: [targets.plugin] })
  run.push('app', { n: 1 })
  run.flush()
  await turns()
  await run.reload(config('two'))
  await run.reload(config('one'))
  await turns()
  targets.answers['a'] = undefined
  run.clock.advance(60_000)
  await turns()
  assert.deepEqual(targets.delivered, ['a ok 1'])
  assertBalanced(run)
  await run.stop()
})

test('an input that was started for nothing reads no more', async () => {
  const contexts = new Map<string, InputContext>()
  const reader = defineInput({
    name: 'reader',
    summary: 'Says when it may read',
    options: { setting: text({ default: '', doc: 'Which one it is' }) },
    create: ({ setting }, context) => ({
      start: () => {
        if (setting === 'broken') throw new Error('it is broken')
        contexts.set(setting, context)
      }
    })
  })
  const input = (setting: string): string => `[INPUT]\n    name reader\n    setting ${setting}\n`
  const run = await startPipeline(input('old') + target('a'), {
    plugins: [reader, new Targets().plugin]
  })
  await assert.rejects(run.reload(input('new') + input('broken') + target('a')), /it is broken/)
  assert.deepEqual(
    ['old', 'new'].map(setting => contexts.get(setting)?.paused),
    [false, true]
  )
  await run.stop()
})

test('timers of an input that does not start are gone', async () => {
  let ticks = 0
  const ticking = defineInput({
    name: 'ticking',
    summary: 'Fails late',
    options: {},
    create: (_, context) => ({
      start: () => {
        context.always(1000, () => ticks++)
        throw new Error('it is broken')
      }
    })
  })
  const run = await startPipeline(LIB + target('a'), { plugins: [ticking, new Targets().plugin] })
  await assert.rejects(
    run.reload(`${LIB}[INPUT]\n    name ticking\n${target('a')}`),
    /it is broken/
  )
  run.clock.advance(10_000)
  assert.equal(ticks, 0)
  await run.stop()
})

test('no figures are left of filters that are gone', async () => {
  const run = await startPipeline(LIB + target('a'), { plugins: [new Targets().plugin] })
  const names = (): string[] =>
    [...run.metrics.families()].flatMap(({ name, series }) =>
      series.map(({ labels }) => `${name} ${JSON.stringify(labels)}`)
    )
  const before = names()
  const filters = `
[FILTER]
    name  modify
    match *
    add   a b
[FILTER]
    name  rewrite_tag
    match other
    rule  $n 1 again false
`
  await run.reload(LIB + filters + target('a'))
  await run.reload(LIB + target('a'))
  // What the ledger has counted stays.
  const left = names().filter(name => !before.includes(name) && !name.includes('ledger'))
  assert.deepEqual(left, [])
  await run.stop()
})

test('an output that listens ends before the one that follows it begins, and begins again without it', async () => {
  const calls: string[] = []
  const listener = defineOutput({
    name: 'listener',
    summary: 'Listens, says its plugin',
    network: 'server',
    options: { setting: text({ default: '', doc: 'Which one it is' }) },
    create: ({ setting }) => ({
      start: () => void calls.push(`start ${setting}`),
      flush: () => {
        calls.push(`flush ${setting}`)
        return OK
      },
      stop: () => void calls.push(`stop ${setting}`)
    })
  })
  const broken = defineInput({
    name: 'broken',
    summary: 'Does not start',
    options: {},
    create: () => ({
      start: () => {
        throw new Error('it is broken')
      }
    })
  })
  const output = (setting: string): string =>
    `[OUTPUT]\n    name listener\n    match *\n    setting ${setting}\n`
  const run = await startPipeline(LIB + output('one'), { plugins: [listener, broken] })
  await run.reload(LIB + output('two'))
  await turns()
  assert.deepEqual(calls.splice(0), ['start one', 'stop one', 'start two'])
  await assert.rejects(
    run.reload(`${LIB}[INPUT]\n    name broken\n${output('three')}`),
    /it is broken/
  )
  await turns()
  assert.deepEqual(calls.splice(0), ['stop two', 'start three', 'stop three', 'start two'])
  run.push('app', { n: 1 })
  run.flush()
  assert.deepEqual(calls, ['flush two'])
  await run.stop()
})

test('records of a filter that came with a reload are emitted', async () => {
  const filter = `[FILTER]\n    name rewrite_tag\n    match app\n    rule $n 1 again.$TAG false\n`
  const collect = '[OUTPUT]\n    name collect\n    match *\n'
  const run = await startPipeline(LIB + collect)
  await run.reload(LIB + filter + collect)
  run.push('app', { n: '1' })
  run.flush()
  assert.deepEqual(
    run.taken.map(({ tag }) => tag),
    ['again.app']
  )
  assertBalanced(run)
  await run.stop()
})

/** An output that takes one chunk at a time and answers when it is told to; `calls` has what came: `a 1`. */
function slowTarget(calls: string[]): { plugin: Plugin; answer: (delivery: Delivery) => void } {
  const open: ((delivery: Delivery) => void)[] = []
  const plugin = defineOutput({
    name: 'slow',
    summary: 'Answers when it is told to',
    options: { setting: text({ default: '', doc: 'Which one it is' }) },
    create: ({ setting }) => ({
      flush: chunk => {
        calls.push(`${setting} ${[...decodeEvents(chunk.bytes)].length}`)
        if (setting !== 'a') return OK
        return new Promise(resolve => void open.push(resolve))
      },
      stop: () => void calls.push(`stop ${setting}`)
    })
  })
  return { plugin, answer: delivery => open.shift()?.(delivery) }
}

function slow(setting: string): string {
  return `[OUTPUT]\n    name slow\n    match *\n    setting ${setting}\n`
}

test('what waits for its turn at an output goes to the one that follows, once', async () => {
  const calls: string[] = []
  const { plugin, answer } = slowTarget(calls)
  const run = await startPipeline(LIB + slow('a'), { plugins: [plugin] })
  run.push('app', { n: 1 })
  run.flush()
  run.push('app', { n: 1 }, { n: 2 })
  run.flush()
  await run.reload(LIB + slow('b'))
  answer(OK)
  await turns()
  assert.deepEqual(calls, ['a 1', 'b 2', 'stop a'])
  assertBalanced(run)
  await run.stop()
})

test('what fails late goes to the last of the outputs that followed', async () => {
  const calls: string[] = []
  const { plugin, answer } = slowTarget(calls)
  const run = await startPipeline(LIB + slow('a'), { plugins: [plugin] })
  run.push('app', { n: 1 })
  run.flush()
  await run.reload(LIB + slow('b'))
  await run.reload(LIB + slow('c'))
  await turns()
  answer(retry('asked to'))
  await turns()
  run.clock.advance(60_000)
  await turns()
  assert.deepEqual(calls, ['a 1', 'stop b', 'c 1', 'stop a'])
  await run.stop()
})

test('a stop waits for outputs that are gone, and ends them', async () => {
  const calls: string[] = []
  const { plugin } = slowTarget(calls)
  const run = await startPipeline(LIB + slow('a') + target('b'), {
    plugins: [plugin, new Targets().plugin]
  })
  run.push('app', { n: 1 })
  run.flush()
  await run.reload(LIB + target('b'))
  assert.deepEqual(calls, ['a 1'])
  await run.stop()
  assert.deepEqual(calls, ['a 1', 'stop a'])
  assertBalanced(run)
})

test('a stop waits for the reload that is under way', async () => {
  const calls: string[] = []
  const started = Promise.withResolvers<void>()
  const late = defineOutput({
    name: 'late',
    summary: 'Starts when it is told to',
    options: {},
    create: () => ({
      start: async () => {
        calls.push('start')
        await started.promise
        calls.push('started')
      },
      flush: () => OK,
      stop: () => void calls.push('stop')
    })
  })
  const run = await startPipeline(LIB + target('a'), { plugins: [late, new Targets().plugin] })
  const reloaded = run.reload(`${LIB + target('a')}[OUTPUT]\n    name late\n    match *\n`)
  await turns()
  const stopped = run.stop()
  await turns()
  started.resolve()
  await Promise.all([reloaded, stopped])
  assert.deepEqual(calls, ['start', 'started', 'stop'])
})

test('another flush interval holds from then on', async () => {
  const targets = new Targets()
  const service = (flush: number): string => `[SERVICE]\n    flush ${flush}\n`
  const run = await startPipeline(service(100) + LIB + target('a'), { plugins: [targets.plugin] })
  await run.reload(service(1) + LIB + target('a'))
  run.push('app', { n: 1 })
  run.clock.advance(1000)
  await run.reload(service(100) + LIB + target('a'))
  run.push('app', { n: 2 })
  run.clock.advance(99_000)
  assert.deepEqual(targets.taken, ['a ok 1'])
  run.clock.advance(1000)
  assert.deepEqual(targets.taken, ['a ok 1', 'a ok 2'])
  await run.stop()
})

test('a storage.path that cannot be made changes nothing', async t => {
  const folder = newFolder(t)
  writeFileSync(join(folder, 'file'), '')
  const targets = new Targets()
  targets.fails('a')
  const config = (path: string): string =>
    `[SERVICE]\n    storage.path ${folder}/${path}\n${LIB.replace('tag ', 'storage.type filesystem\n    tag')}${target('a')}`
  const run = await startPipeline(config('one'), { plugins: [targets.plugin] })
  await assert.rejects(run.reload(config('file/two')), /ENOTDIR/)
  run.push('app', { n: 1 })
  run.flush()
  await turns()
  assert.equal(readdirSync(join(folder, 'one/.spillway/chunks/lib.0')).length, 1)
  await run.stop()
})

test('storage.total_limit_size counts what an output has taken over', async t => {
  const folder = newFolder(t)
  const targets = new Targets()
  targets.fails('a')
  targets.fails('b')
  const config = (setting: string): string =>
    `[SERVICE]\n    storage.path ${folder}\n${LIB.replace('tag ', 'storage.type filesystem\n    tag')}` +
    target(setting, 'storage.total_limit_size 2500')
  const run = await startPipeline(config('a'), { plugins: [targets.plugin] })
  const push = async (n: number): Promise<void> => {
    run.push('app', { n, text: 'x'.repeat(1000) })
    run.flush()
    await turns()
  }
  await push(1)
  await push(2)
  await run.reload(config('b'))
  await push(3)
  targets.answers['b'] = undefined
  run.clock.advance(60_000)
  await turns()
  assert.deepEqual(targets.delivered.toSorted(), ['b ok 2', 'b ok 3'])
  assertBalanced(run)
  await run.stop()
})

test('a buffer of the pool that no event came into is given back', async () => {
  const half = 'x'.repeat(1_000_000)
  const filter = (rule: string): string =>
    `[FILTER]\n    name grep\n    match *\n    exclude ${rule}\n`
  const targets = new Targets()
  const run = await startPipeline(LIB + filter('n ^2$') + target('a'), {
    plugins: [targets.plugin]
  })
  const { pool } = run.pipeline.storage
  let taken = 0
  const [take, give] = [pool.take.bind(pool), pool.give.bind(pool)]
  pool.take = () => {
    taken++
    return take()
  }
  pool.give = buffer => {
    taken--
    give(buffer)
  }
  run.push('app', { n: '1', half })
  run.flush()
  await turns()
  run.push('app', { n: '2', half })
  assert.equal(taken, 1)
  await run.reload(LIB + filter('n ^3$') + target('a'))
  assert.equal(taken, 0)
  await run.stop()
})
