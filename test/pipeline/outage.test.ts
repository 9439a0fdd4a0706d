/** Outputs that are dead, hang, or are gone for an hour: nobody else waits, and nothing is lost. All in virtual time. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Delivery, OK, retry } from '../../src/plugin/delivery.ts'
import { balanced, ledger, Machine } from '../harness/machine.ts'
import { seededRandom } from '../harness/random.ts'

/** An input of this storage and two outputs, `dead` and `alive`, that retry for ever. */
function configuration(storage: string, service = ''): string {
  return `
[SERVICE]
    storage.path  STORE
${service}
[INPUT]
    name          source
    tag           app
    storage.type  ${storage}
[OUTPUT]
    name         target
    alias        dead
    match        *
    retry_limit  false
[OUTPUT]
    name         target
    alias        alive
    match        *
    retry_limit  false
`
}

const numbersOf = (all: readonly unknown[]): number[] => all.map(body => (body as { n: number }).n)
const upTo = (count: number): number[] => Array.from({ length: count }, (_, n) => n)
const sorted = (all: readonly unknown[]): number[] => numbersOf(all).toSorted((a, b) => a - b)

const NEVER = new Promise<Delivery>(() => undefined)

for (const storage of ['memory', 'filesystem', 'memrb']) {
  for (const [what, dead] of [
    ['refuses everything', () => retry('refused')],
    ['hangs', () => NEVER],
    [
      'throws',
      () => {
        throw new Error('a mistake')
      }
    ],
    ['asks for a day of patience', () => retry('busy', 86_400_000)]
  ] as readonly (readonly [string, () => unknown])[]) {
    test(`with storage.type ${storage}, an output that ${what} makes no other wait for a moment`, async t => {
      const machine = new Machine(t)
      const delays: number[] = []
      const pushed = new Map<number, number>()
      machine.answer = ({ output, bodies }) => {
        if (output === 'dead') return dead()
        for (const n of numbersOf(bodies)) delays.push(run.clock.now() - (pushed.get(n) ?? 0))
        return OK
      }
      const run = await machine.start(configuration(storage))
      for (let n = 0; n < 300; n++) {
        pushed.set(n, run.clock.now())
        machine.push('app', { n })
        await run.clock.advanceSlowly(1000, 500)
      }
      assert.deepEqual(numbersOf(machine.taken('alive')), upTo(300))
      // The flush of the next second sends them.
      assert.deepEqual([...new Set(delays)], [1000])
      assert.deepEqual(machine.taken('dead'), [])
      assert.deepEqual(machine.calls, [])
      balanced(run)
    })
  }
}

test('an output that hangs makes no other wait for the backlog', async t => {
  const machine = new Machine(t)
  machine.answer = () => retry('refused')
  const crashed = await machine.start(configuration('filesystem'))
  for (let n = 0; n < 50; n++) {
    machine.push('app', { n })
    crashed.flush()
  }
  machine.answer = ({ output }) => (output === 'dead' ? NEVER : OK)
  const run = await machine.start(configuration('filesystem'))
  await run.until(() => machine.taken('alive').length === 50)
  assert.equal(run.clock.now(), 1_700_000_002_000)
  assert.deepEqual(numbersOf(machine.taken('alive')), upTo(50))
})

const HOUR_MS = 3_600_000

for (const [storage, service] of [
  ['memory', ''],
  ['filesystem', ''],
  ['filesystem', '    storage.max_chunks_up  8\n']
] as const) {
  test(`an outage of an hour loses nothing with retry_limit false and storage.type ${storage}${service.replace(/ +/g, ' ').trimEnd()}`, async t => {
    const machine = new Machine(t)
    machine.answer = ({ output }) => (output === 'dead' ? retry('refused') : OK)
    const run = await machine.start(configuration(storage, service), { random: seededRandom(3) })
    const start = run.clock.now()
    let n = 0
    for (; run.clock.now() - start < HOUR_MS; n++) {
      machine.push('app', { n })
      await run.clock.advanceSlowly(5000, 5000)
    }
    assert.equal(n, 720)
    assert.deepEqual(numbersOf(machine.taken('alive')), upTo(n))
    assert.deepEqual(machine.taken('dead'), [])
    assert.deepEqual(ledger(run)['route source.0 > dead'], `${n} ingested = ${n} buffered`)
    assert.equal(machine.chunkFiles().length, storage === 'memory' ? 0 : n)
    machine.answer = () => OK
    // The longest wait is scheduler.cap and a second.
    await run.clock.advanceSlowly(2_001_000, 1000)
    assert.deepEqual(sorted(machine.taken('dead')), upTo(n))
    assert.deepEqual(ledger(run), {
      'input source.0': `${n} ingested = ${n} delivered`,
      'route source.0 > dead': `${n} ingested = ${n} delivered`,
      'route source.0 > alive': `${n} ingested = ${n} delivered`
    })
    assert.deepEqual(machine.files(), [])
    await run.stop()
  })
}

test('a crash in the middle of an outage of an hour loses nothing that was on disk', async t => {
  const machine = new Machine(t)
  machine.answer = ({ output }) => (output === 'dead' ? retry('refused') : OK)
  let n = 0
  for (let restart = 0; restart < 6; restart++) {
    const run = await machine.start(configuration('filesystem'), { random: seededRandom(restart) })
    for (let step = 0; step < 60; step++, n++) {
      machine.push('app', { n })
      await run.clock.advanceSlowly(10_000, 10_000)
    }
    balanced(run)
  }
  machine.answer = () => OK
  const run = await machine.start(configuration('filesystem'))
  await run.until(() => machine.files().length === 0)
  assert.deepEqual(sorted(machine.taken('dead')), upTo(n))
  assert.deepEqual(sorted(machine.taken('alive')), upTo(n))
  await run.stop()
})

test('waits grow with each failure, within base and cap and a second, and start over with the next chunk', async t => {
  const machine = new Machine(t)
  const times: number[] = []
  machine.answer = ({ output }) => {
    if (output === 'dead') times.push(run.clock.now())
    return output === 'dead' ? retry('refused') : OK
  }
  const random = seededRandom(11)
  const run = await machine.start(
    configuration('memory', '    scheduler.base 3\n    scheduler.cap 50\n'),
    { random }
  )
  machine.push('app', { n: 0 })
  await run.clock.advanceSlowly(2_000_000, 1000)
  const waits = times.slice(1).map((time, index) => (time - times[index]) / 1000)
  assert.ok(waits.length > 40, `${waits.length} retries`)
  for (const [index, wait] of waits.entries()) {
    const most = Math.min(50, 3 * 2 ** (index + 1)) + 1
    assert.ok(Number.isInteger(wait) && wait >= 4 && wait <= most, `wait ${index + 1}: ${wait} s`)
  }
  assert.ok(new Set(waits).size > 10)
  const first = waits[0]
  times.length = 0
  machine.push('app', { n: 1 })
  run.flush()
  assert.ok(first <= 7)
  const line = run.log.findLast(text => text.includes('retry in')) ?? ''
  assert.ok(Number(/retry in (\d+)/.exec(line)?.[1]) <= 7, line)
})

test('thousands of chunks behind an output that hung are all sent once it answers', async t => {
  const machine = new Machine(t)
  const { promise, resolve } = Promise.withResolvers<Delivery>()
  machine.answer = ({ bodies }) => (numbersOf(bodies)[0] === 0 ? promise : OK)
  const run = await machine.start(
    configuration('memory').replaceAll('match        *', 'match        app*')
  )
  const count = 8000
  for (let n = 0; n < count; n++) machine.push(`app.${n}`, { n })
  run.flush()
  resolve(OK)
  await run.until(() => run.pipeline.pendingTasks === 0, 3000)
  assert.equal(machine.taken('alive').length, count)
  assert.equal(machine.taken('dead').length, count)
  await run.stop()
})
