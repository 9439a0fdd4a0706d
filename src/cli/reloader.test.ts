import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { FakeClock } from '../../test/harness/fake_clock.ts'
import { Logger } from '../base/log.ts'
import { Reloader, type ReloaderWorld, type RunningConfiguration } from './reloader.ts'

/** A program whose configuration is always the same. */
class Program {
  readonly calls: string[] = []
  readonly clock = new FakeClock(0)
  isStopping = false
  /** Called while the configuration is read. */
  whileReading: () => void = () => {}
  change: () => void = () => this.calls.push('change')
  follow: () => void = () => {}
  readonly running = {
    sources: new Set<string>(),
    service: { hot_reload: true, 'hot_reload.timeout': 0 },
    document: {},
    world: { environment: {} }
  } as unknown as RunningConfiguration
  readonly reloader: Reloader

  constructor() {
    const change = { summary: 'nothing', discard: () => this.calls.push('discard') }
    const pipeline = {
      service: this.running.service,
      change: () => this.change()
    }
    Object.defineProperty(pipeline, 'isStopping', { get: () => this.isStopping })
    this.reloader = new Reloader({
      log: new Logger({ sink: { colour: false, write: () => {} }, level: 'off' }),
      clock: this.clock,
      pipeline,
      read: () => {
        this.calls.push('read')
        this.whileReading()
        return { ...this.running, change }
      },
      report: () => true,
      follow: () => this.follow(),
      done: () => this.calls.push('done'),
      abort: () => undefined
    } as unknown as ReloaderWorld)
  }
}

async function turns(): Promise<void> {
  for (let turn = 0; turn < 5; turn++) await new Promise(resolve => setImmediate(resolve))
}

test('what is asked for before the pipeline has started is done after it, once', async () => {
  const { reloader, running, calls } = new Program()
  assert.deepEqual([reloader.request(), reloader.request()], ['started', 'started'])
  await turns()
  assert.deepEqual(calls, [])
  reloader.start(running)
  await turns()
  assert.deepEqual(calls, ['read', 'change', 'done'])
  assert.equal(reloader.count, 1)
})

test('nothing changes any more in a program that was told to stop while it read', async () => {
  const program = new Program()
  const { reloader, running, calls } = program
  program.whileReading = () => (program.isStopping = true)
  reloader.start(running)
  reloader.request()
  await turns()
  assert.deepEqual(calls, ['read', 'discard'])
})

test('a file that changes while it is read is read once more', async t => {
  const folder = mkdtempSync(join(tmpdir(), 'spillway-reloader-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const file = join(folder, 'a.conf')
  writeFileSync(file, 'one')
  const program = new Program()
  const { reloader, running, calls, clock } = program
  ;(running.sources as Set<string>).add(file)
  Object.assign(running.service, { 'hot_reload.watch': true })
  reloader.start(running)
  program.whileReading = () => {
    if (calls.length > 1) return
    writeFileSync(file, 'another')
    clock.advance(1000)
    clock.advance(1000)
  }
  reloader.request()
  await turns()
  reloader.stop()
  assert.deepEqual(calls, ['read', 'change', 'done', 'read', 'change', 'done'])
})

test('a monitoring server that cannot go back does not end the program', async () => {
  const program = new Program()
  const { reloader, running, calls } = program
  program.change = () => {
    throw new Error('a port is taken')
  }
  program.follow = () => {
    calls.push('follow')
    if (calls.length > 2) throw new Error('its port is taken too')
  }
  reloader.start(running)
  reloader.request()
  await turns()
  assert.deepEqual(calls, ['read', 'follow', 'follow'])
  program.follow = () => undefined
  program.change = () => undefined
  assert.equal(reloader.request(), 'started')
  await turns()
  assert.equal(reloader.count, 1)
})
