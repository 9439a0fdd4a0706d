/** Who goes on with what another one has left at a reload, and what becomes of it when nobody does. */
import assert from 'node:assert/strict'
import {
  appendFileSync,
  mkdtempSync,
  readdirSync,
  readlinkSync,
  rmSync,
  writeFileSync
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { text } from '../../src/config/options.ts'
import type { EventSink } from '../../src/plugin/context.ts'
import { defineInput, defineOutput, type Plugin } from '../../src/plugin/define.ts'
import { type Delivery, OK, retry } from '../../src/plugin/delivery.ts'
import { startPipeline } from '../harness/pipeline.ts'

const LIB = '[INPUT]\n    name lib\n    tag app\n'
const COLLECT = '[OUTPUT]\n    name collect\n    match *\n'

function folder(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'spillway-followers-'))
  t.after(() => rmSync(directory, { recursive: true }))
  return directory
}

/** Files below a folder that this process has open. */
function openFiles(directory: string): string[] {
  return readdirSync('/proc/self/fd').flatMap(descriptor => {
    try {
      const target = readlinkSync(`/proc/self/fd/${descriptor}`)
      return target.startsWith(`${directory}/`) ? target.slice(directory.length + 1) : []
    } catch {
      // The one that the folder is read with.
      return []
    }
  })
}

function tail(directory: string, name: string, others = ''): string {
  return `[INPUT]\n    name tail\n    path ${directory}/${name}.log\n    tag ${name}\n    read_from_head on\n    ${others}\n`
}

async function turns(): Promise<void> {
  for (let turn = 0; turn < 5; turn++) await new Promise(resolve => setImmediate(resolve))
}

test('files of a tail that is gone are closed', async t => {
  const directory = folder(t)
  writeFileSync(join(directory, 'a.log'), 'one\n')
  const run = await startPipeline(LIB + tail(directory, 'a') + COLLECT)
  assert.deepEqual(openFiles(directory), ['a.log'])
  await run.reload(LIB + COLLECT)
  assert.deepEqual(openFiles(directory), [])
  await run.stop()
})

test('inputs that change and change places go on with their own files', async t => {
  const directory = folder(t)
  for (const name of ['a', 'b']) writeFileSync(join(directory, `${name}.log`), `${name} one\n`)
  const run = await startPipeline(tail(directory, 'a') + tail(directory, 'b') + COLLECT)
  await run.until(() => {
    run.flush()
    return run.bodies.length === 2
  })
  await run.reload(
    tail(directory, 'b', 'buffer_max_size 64k') +
      tail(directory, 'a', 'buffer_max_size 64k') +
      COLLECT
  )
  for (const name of ['a', 'b']) appendFileSync(join(directory, `${name}.log`), `${name} two\n`)
  await run.until(() => {
    run.clock.advance(1000)
    return run.bodies.length >= 4
  })
  assert.deepEqual(run.bodies.map(body => (body as { log: string }).log).toSorted(), [
    'a one',
    'a two',
    'b one',
    'b two'
  ])
  await run.stop()
})

const SETTING = { setting: text({ default: '', doc: 'Anything' }) }

/** An input that sends an event with a receipt when it is told to, and an output that is down until it is told not to be. */
class Position {
  /** What the input was told, and when its receipts were due. */
  readonly calls: string[] = []
  isUp = false
  emit: () => void = () => assert.fail('the input has not started')

  get plugins(): Plugin[] {
    const { calls } = this
    const source = defineInput({
      name: 'source',
      summary: 'Sends events with a receipt',
      receipts: 'position',
      options: SETTING,
      create: ({ setting }, context) => ({
        start: () => {
          calls.push(`start ${setting}`)
          this.emit = () => {
            const sink = context.sink('source')
            // [[0, {}], {"a": "x"}]
            sink.writer.raw(Buffer.from('9292cf00000000000000008081a161a178', 'hex'), 0, 17)
            sink.commit(1, () => calls.push('receipt'))
          }
        },
        pause: () => void calls.push('pause'),
        resume: () => void calls.push('resume'),
        stop: () => void calls.push(`stop ${setting}`)
      })
    })
    const target = defineOutput({
      name: 'target',
      summary: 'Answers as it is told to',
      options: SETTING,
      create: () => ({ flush: () => (this.isUp ? OK : retry('asked to')) })
    })
    return [source, target]
  }
}

test('an input that keeps a position ends when emitters have delivered its events too', async () => {
  const position = new Position()
  const others = `
[FILTER]
    name  rewrite_tag
    match source
    rule  $a ^x again false
[OUTPUT]
    name        target
    match       *
    retry_limit no_limits
`
  const config = (setting: string): string =>
    `[SERVICE]\n    grace 60\n[INPUT]\n    name source\n    setting ${setting}\n    tag source\n${others}`
  const run = await startPipeline(config('a'), { plugins: position.plugins })
  position.emit()
  run.flush()
  await turns()
  const reloaded = run.reload(config('b'))
  await turns()
  assert.deepEqual(position.calls, ['start a', 'pause'])
  position.isUp = true
  await run.until(() => {
    run.clock.advance(1000)
    return position.calls.length === 5
  })
  await reloaded
  assert.deepEqual(position.calls, ['start a', 'pause', 'receipt', 'stop a', 'start b'])
  await run.stop()
})

test('an input that keeps a position stays as it is while its events cannot be delivered', async () => {
  const position = new Position()
  const config = (setting: string): string =>
    `[INPUT]\n    name source\n    setting ${setting}\n[OUTPUT]\n    name target\n    match *\n    retry_limit no_limits\n`
  const run = await startPipeline(config('a'), { plugins: position.plugins })
  position.emit()
  run.flush()
  await turns()
  let failure: unknown
  const reloaded = run.reload(config('b')).catch((error: unknown) => (failure = error))
  await run.until(() => {
    run.clock.advance(1000)
    return failure !== undefined
  })
  await reloaded
  assert.match(String(failure), /input source\.0 has events that no output has taken for 5 seconds/)
  assert.deepEqual(position.calls, ['start a', 'pause', 'resume'])
  position.isUp = true
  position.emit()
  await run.until(() => {
    run.clock.advance(1000)
    return run.pipeline.pendingTasks === 0
  })
  assert.deepEqual(position.calls.slice(3), ['receipt', 'receipt'])
  await run.reload(config('b'))
  assert.deepEqual(position.calls.slice(5), ['pause', 'stop a', 'start b'])
  await run.stop()
})

test('a stop does not wait for a reload that waits for events', async () => {
  const position = new Position()
  const config = (setting: string): string =>
    `[SERVICE]\n    grace -1\n[INPUT]\n    name source\n    setting ${setting}\n[OUTPUT]\n    name target\n    match *\n    retry_limit no_limits\n`
  const run = await startPipeline(config('a'), { plugins: position.plugins })
  position.emit()
  run.flush()
  await turns()
  const reloaded = run.reload(config('b')).catch(String)
  await turns()
  assert.deepEqual(position.calls, ['start a', 'pause'])
  const stopped = run.pipeline.stop()
  assert.match(String(await reloaded), /the program stops/)
  position.isUp = true
  await run.until(() => {
    run.clock.advance(1000)
    return position.calls.includes('stop a')
  })
  await stopped
  await run.remove()
})

/** An output whose first answer of each instance comes when it is told to. */
function slowOutput(calls: string[], answers: Record<string, Promise<Delivery>>): Plugin {
  return defineOutput({
    name: 'slow',
    summary: 'Answers when it is told to',
    options: SETTING,
    create: ({ setting }) => ({
      flush: async () => {
        calls.push(setting)
        const answer = answers[setting]
        delete answers[setting]
        return (await answer) ?? OK
      },
      stop: () => void calls.push(`stop ${setting}`)
    })
  })
}

function slow(setting: string): string {
  return `[OUTPUT]\n    name slow\n    match *\n    setting ${setting}\n    retry_limit no_limits\n`
}

test('what fails late goes to the last of those that have followed', async () => {
  const calls: string[] = []
  const { promise, resolve } = Promise.withResolvers<Delivery>()
  const run = await startPipeline(LIB + slow('a'), {
    plugins: [slowOutput(calls, { a: promise })]
  })
  run.push('app', { n: 1 })
  run.flush()
  await run.reload(LIB + slow('b'))
  await run.reload(LIB + slow('c'))
  await turns()
  resolve(retry('asked to'))
  await turns()
  run.clock.advance(20_000)
  await turns()
  assert.deepEqual(calls, ['a', 'stop b', 'c', 'stop a'])
  await run.stop()
})

test('what fails late is sent from where it is when those that have followed are gone', async () => {
  const calls: string[] = []
  const { promise, resolve } = Promise.withResolvers<Delivery>()
  const run = await startPipeline(LIB + slow('a'), {
    plugins: [slowOutput(calls, { a: promise })]
  })
  run.push('app', { n: 1 })
  run.flush()
  await run.reload(LIB + slow('b'))
  await run.reload(LIB + COLLECT)
  await turns()
  resolve(retry('asked to'))
  await turns()
  run.clock.advance(20_000)
  await turns()
  assert.deepEqual(calls, ['a', 'stop b', 'a', 'stop a'])
  assert.equal(run.pipeline.pendingTasks, 0)
  await run.stop()
})

test('service keys make anew only those that look at them', async () => {
  const calls: string[] = []
  const input = defineInput({
    name: 'source',
    summary: 'Does nothing',
    options: SETTING,
    create: () => ({ start: () => void calls.push('start'), stop: () => void calls.push('stop') })
  })
  const config = (service: string): string =>
    `[SERVICE]\n    ${service}\n[INPUT]\n    name source\n${slow('a')}`
  const run = await startPipeline(config('flush 1'), { plugins: [input, slowOutput(calls, {})] })
  await run.reload(config('flush 2'))
  await run.reload(config('json.escape_unicode off'))
  await turns()
  assert.deepEqual(calls, ['start', 'stop a', 'stop a'])
  await run.stop()
})

test('what no input can take over is settled first, and let go of', async () => {
  const calls: string[] = []
  let sink: EventSink | undefined
  let isUp = false
  const plugins = [
    defineInput({
      name: 'source',
      summary: 'Keeps a position, and hands it over unless it is told not to',
      receipts: 'position',
      options: SETTING,
      create: ({ setting }, context) => ({
        start: () => {
          calls.push(`start ${setting}`)
          sink = context.sink('app')
        },
        ...(setting === 'alone'
          ? {}
          : { handOver: () => ({ [Symbol.dispose]: () => void calls.push('let go') }) })
      })
    }),
    defineOutput({
      name: 'target',
      summary: 'Takes events when it is up',
      options: {},
      create: () => ({ flush: () => (isUp ? OK : retry('down')) })
    })
  ]
  const config = (setting: string): string =>
    `[SERVICE]\n    grace 60\n[INPUT]\n    name source\n    setting ${setting}\n[OUTPUT]\n    name target\n    match *\n    retry_limit no_limits\n`
  const run = await startPipeline(config('a'), { plugins })
  assert.ok(sink !== undefined)
  // [[0, {}], {"a": "x"}]
  sink.writer.raw(Buffer.from('9292cf00000000000000008081a161a178', 'hex'), 0, 17)
  sink.commit(1, () => calls.push('receipt'))
  run.flush()
  await turns()
  const reloaded = run.reload(config('alone'))
  await turns()
  isUp = true
  await run.until(() => {
    run.clock.advance(1000)
    return calls.length === 4
  })
  await reloaded
  assert.deepEqual(calls, ['start a', 'receipt', 'start alone', 'let go'])
  await run.stop()
})
