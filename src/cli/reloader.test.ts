import assert from 'node:assert/strict'
import { test } from 'node:test'
import { FakeClock } from '../../test/harness/fake_clock.ts'
import { Logger } from '../base/log.ts'
import { Reloader, type ReloaderWorld, type RunningConfiguration } from './reloader.ts'

/** A program whose configuration is always the same. */
class Program {
  readonly calls: string[] = []
  isStopping = false
  /** Called while the configuration is read. */
  whileReading: () => void = () => {}
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
      change: () => void this.calls.push('change')
    }
    Object.defineProperty(pipeline, 'isStopping', { get: () => this.isStopping })
    this.reloader = new Reloader({
      log: new Logger({ sink: { colour: false, write: () => {} }, level: 'off' }),
      clock: new FakeClock(0),
      pipeline,
      read: () => {
        this.calls.push('read')
        this.whileReading()
        return { ...this.running, change }
      },
      report: () => true,
      follow: () => undefined,
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
