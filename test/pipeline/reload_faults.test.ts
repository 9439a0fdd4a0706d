/** Reloads in the middle of failures; found by the simulation (test/simulation), and each made small. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
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
