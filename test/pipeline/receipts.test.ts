/** When the source of events may forget them: what is promised to it, and that the promise holds over a crash. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Delivery, drop, OK, partial, retry } from '../../src/plugin/delivery.ts'
import { type Disk, systemDisk } from '../../src/storage/disk.ts'
import { SlowDisk } from '../harness/faulty_disk.ts'
import { Machine } from '../harness/machine.ts'
import type { TestPipeline } from '../harness/pipeline.ts'

/** A configuration with an input of this kind and one output. */
function configuration(plugin: string, ...input: readonly string[]): string {
  return `
[SERVICE]
    storage.path  STORE
[INPUT]
    name  ${plugin}
    tag   app
${input.map(line => `    ${line}\n`).join('')}
[OUTPUT]
    name         target
    match        *
    retry_limit  no_limits
`
}

const FILESYSTEM = 'storage.type filesystem'
const DELIVERED = 'acknowledge delivered'

for (const [plugin, input, moment] of [
  ['source', [], 'delivered'],
  ['source', ['storage.type memrb'], 'delivered'],
  ['source', [FILESYSTEM], 'stored'],
  ['source', [FILESYSTEM, 'acknowledge stored'], 'stored'],
  ['source', [FILESYSTEM, DELIVERED], 'delivered'],
  ['source', [DELIVERED], 'delivered'],
  ['sender', [], 'taken'],
  ['sender', [FILESYSTEM], 'stored'],
  ['sender', [DELIVERED], 'delivered'],
  ['sender', [FILESYSTEM, DELIVERED], 'delivered']
] as const) {
  const who = plugin === 'source' ? 'a position' : 'a sender'
  test(`${who} with ${input.join(', ') || 'no key'} is told once events are ${moment}`, async t => {
    const machine = new Machine(t)
    machine.answer = () => retry('refused')
    const slow = new SlowDisk()
    const text = configuration(plugin, ...input).replace('STORE', 'STORE\n    storage.sync full')
    const run = await machine.start(text, { disk: slow.disk })
    const receipt = machine.push('app', { n: 0 }, { n: 1 })
    assert.equal(receipt.due, moment === 'taken' ? 1 : 0, 'after the commit')
    while (slow.syncing > 0) slow.endSync()
    assert.equal(receipt.due, moment === 'delivered' ? 0 : 1, 'once the disk is done')
    await run.clock.advanceSlowly(5000, 1000)
    machine.answer = () => OK
    assert.equal(receipt.due, moment === 'delivered' ? 0 : 1, 'before the delivery')
    await run.clock.advanceSlowly(20_000, 1000)
    assert.equal(receipt.due, 1, 'after the delivery')
    await run.stop()
    assert.equal(receipt.due, 1, 'after the stop')
  })
}

test('what was acknowledged is delivered after a crash, and what was not is not claimed', async t => {
  for (const input of [[FILESYSTEM], [FILESYSTEM, DELIVERED], []]) {
    const machine = new Machine(t)
    machine.answer = () => retry('refused')
    const crashed = await machine.start(configuration('source', ...input))
    const receipts = [0, 1, 2].map(n => {
      const receipt = machine.push('app', { n })
      crashed.flush()
      return { n, receipt }
    })
    machine.answer = () => OK
    const run = await machine.start(configuration('source', ...input))
    await run.until(() => machine.files().length === 0)
    const taken = machine.taken().map(body => (body as { n: number }).n)
    for (const { n, receipt } of receipts) {
      if (receipt.due > 0) assert.ok(taken.includes(n), `${input.join(', ')}: ${n}`)
    }
    assert.equal(receipts[0].receipt.due, input.length === 1 ? 1 : 0)
    await run.stop()
  }
})

for (const [what, answer] of [
  ['taken', () => OK],
  ['given up', () => drop('too old')],
  ['partly taken and partly given up', () => partial({ drop: [{ reason: 'bad', events: [0] }] })]
] as readonly (readonly [string, () => Delivery])[]) {
  test(`a delivery that is ${what} settles its events`, async t => {
    const machine = new Machine(t)
    machine.answer = answer
    const run = await machine.start(configuration('source', DELIVERED))
    const receipt = machine.push('app', { n: 0 }, { n: 1 })
    run.flush()
    assert.equal(receipt.due, 1)
    await run.stop()
  })
}

test('events are settled when the last of their outputs has dealt with them', async t => {
  const machine = new Machine(t)
  machine.answer = ({ output }) => (output === 'target.0' ? OK : retry('refused'))
  const run = await machine.start(
    `${configuration('source', DELIVERED)}\n[OUTPUT]\n    name target\n    match *\n    retry_limit no_limits\n`
  )
  const receipt = machine.push('app', { n: 0 })
  run.flush()
  assert.equal(machine.taken('target.0').length, 1)
  assert.equal(receipt.due, 0)
  machine.answer = () => OK
  await run.clock.advanceSlowly(15_000, 1000)
  assert.equal(receipt.due, 1)
  await run.stop()
})

test('each commit has its receipt called once', async t => {
  const machine = new Machine(t)
  const run = await machine.start(configuration('source', FILESYSTEM, DELIVERED))
  const receipts = Array.from({ length: 5 }, (_, n) => machine.push('app', { n }))
  run.flush()
  assert.deepEqual(
    receipts.map(({ due }) => due),
    [1, 1, 1, 1, 1]
  )
  await run.stop()
})

for (const [what, rest] of [
  ['dropped by a filter', '[FILTER]\n    name grep\n    match *\n    exclude n x\n'],
  ['matched by no output', '']
] as const) {
  test(`events that are ${what} may be forgotten at once`, async t => {
    const machine = new Machine(t)
    const text = configuration('source', FILESYSTEM, DELIVERED) + rest
    await machine.start(rest === '' ? text.replace('match        *', 'match        none') : text)
    assert.equal(machine.push('app', { n: 'x' }).due, 1)
  })
}

test('a receipt that stands for dropped and kept events waits for the kept ones', async t => {
  const machine = new Machine(t)
  const run = await machine.start(
    `${configuration('source', DELIVERED)}[FILTER]\n    name grep\n    match *\n    exclude n x\n`
  )
  const receipt = machine.push('app', { n: 'x' }, { n: 'y' })
  assert.equal(receipt.due, 0)
  run.flush()
  assert.equal(receipt.due, 1)
  await run.stop()
})

test('a receipt waits for every conditional route that its events took', async t => {
  const machine = new Machine(t)
  machine.answer = ({ output }) => (output === 'archive' ? retry('refused') : OK)
  const run = await machine.start(
    `
pipeline:
  inputs:
    - name: source
      tag: app
      routes:
        logs:
          - name: errors
            condition: { rules: [ { field: $level, op: eq, value: error } ] }
            to: { outputs: [ alarm ] }
          - name: rest
            condition: { default: true }
            to: { outputs: [ archive ] }
  outputs:
    - { name: target, alias: alarm }
    - { name: target, alias: archive, retry_limit: no_limits }
`,
    { yaml: true }
  )
  const both = machine.push('app', { level: 'error' }, { level: 'info' })
  const alarm = machine.push('app', { level: 'error' })
  run.flush()
  assert.deepEqual([both.due, alarm.due], [0, 1])
  machine.answer = () => OK
  await run.clock.advanceSlowly(15_000, 1000)
  assert.deepEqual([both.due, alarm.due], [1, 1])
  await run.stop()
})

// --- emitted records

/** An input with a filter that sends all events on under the tag `new`. */
function emitting(input: string, emitter: string, keeps = 'false'): string {
  return `${configuration('source', input)}
[FILTER]
    name                  rewrite_tag
    match                 app
    rule                  $n .* new ${keeps}
    emitter_storage.type  ${emitter}
`
}

/** Answers only what has the tag. */
function takesOnly(machine: Machine, tag: string): void {
  machine.answer = arrival => (arrival.tag === tag ? OK : retry('refused'))
}

test('the receipt of what was emitted in memory waits for the delivery of the copy', async t => {
  for (const input of ['storage.type memory', FILESYSTEM]) {
    const machine = new Machine(t)
    machine.answer = () => retry('refused')
    const run = await machine.start(emitting(input, 'memory'))
    const receipt = machine.push('app', { n: 'x' })
    await run.clock.advanceSlowly(3000, 1000)
    assert.equal(receipt.due, 0, input)
    machine.answer = () => OK
    await run.clock.advanceSlowly(15_000, 1000)
    assert.equal(receipt.due, 1, input)
    assert.deepEqual(machine.taken(), [{ n: 'x' }])
    await run.stop()
  }
})

test('the receipt of what was emitted onto the disk is due once the copy is written', async t => {
  const machine = new Machine(t)
  machine.answer = () => retry('refused')
  const slow = new SlowDisk()
  const text = emitting(FILESYSTEM, 'filesystem').replace('STORE', 'STORE\n    storage.sync full')
  await machine.start(text, { disk: slow.disk })
  const receipt = machine.push('app', { n: 'x' })
  assert.equal(receipt.due, 0)
  while (slow.syncing > 0) slow.endSync()
  assert.equal(receipt.due, 1)
})

test('the receipt of events that stay and are emitted as well waits for both', async t => {
  const machine = new Machine(t)
  takesOnly(machine, 'app')
  const run = await machine.start(emitting('storage.type memory', 'memory', 'true'))
  const receipt = machine.push('app', { n: 'x' })
  await run.clock.advanceSlowly(3000, 1000)
  assert.deepEqual([machine.taken().length, receipt.due], [1, 0])
  machine.answer = () => OK
  await run.clock.advanceSlowly(15_000, 1000)
  assert.deepEqual([machine.taken().length, receipt.due], [2, 1])
  await run.stop()
})

test('acknowledge delivered waits for the delivery of what was emitted onto the disk', async t => {
  const machine = new Machine(t)
  machine.answer = () => retry('refused')
  const text = emitting(FILESYSTEM, 'filesystem').replace(
    'tag   app',
    `tag   app\n    ${DELIVERED}`
  )
  const run = await machine.start(text)
  const receipt = machine.push('app', { n: 'x' })
  await run.clock.advanceSlowly(3000, 1000)
  assert.equal(receipt.due, 0)
  machine.answer = () => OK
  await run.clock.advanceSlowly(15_000, 1000)
  assert.equal(receipt.due, 1)
  await run.stop()
})

test('emitter_storage.type filesystem: emitted records survive a crash, under their new tag', async t => {
  const machine = new Machine(t)
  machine.answer = () => retry('refused')
  await machine.start(emitting(FILESYSTEM, 'filesystem'))
  machine.push('app', { n: 'x' }, { n: 'y' })
  assert.deepEqual(
    machine.chunkFiles().map(path => path.split('/').at(-2)),
    ['emitter.2']
  )
  machine.answer = () => OK
  const run = await machine.start(emitting(FILESYSTEM, 'filesystem'))
  await run.until(() => machine.files().length === 0)
  assert.deepEqual(
    machine.arrivals.map(({ tag, bodies }) => [tag, bodies]),
    [['new', [{ n: 'x' }, { n: 'y' }]]]
  )
  await run.stop()
})

test('emitter_storage.type memory: a crash loses emitted records, and their source is not told to forget them', async t => {
  const machine = new Machine(t)
  machine.answer = () => retry('refused')
  const crashed = await machine.start(emitting(FILESYSTEM, 'memory'))
  const receipt = machine.push('app', { n: 'x' })
  crashed.flush()
  assert.deepEqual([machine.files(), receipt.due], [[], 0])
})

// --- inputs without receipts

test('acknowledge on an input that has nobody to tell is warned about', async t => {
  const machine = new Machine(t)
  const run = await machine.start(
    '[INPUT]\n    name lib\n    acknowledge delivered\n[OUTPUT]\n    name target\n    match *\n'
  )
  assert.deepEqual(
    run.diagnostics.list.map(({ message }) => message),
    ['Key "acknowledge" has no effect on input lib: it has nobody to tell']
  )
  await run.stop()
})

// --- the stop

/** Stops while the output refuses everything. */
async function stopRefusing(machine: Machine, run: TestPipeline): Promise<void> {
  machine.answer = () => retry('refused')
  await run.stop()
}

test('a position of events that a stop saves on disk is kept; of those that are lost it is not', async t => {
  for (const [text, due] of [
    [configuration('source'), 1],
    [configuration('source').replace('storage.path  STORE', ''), 0]
  ] as const) {
    const machine = new Machine(t)
    const run = await machine.start(text)
    machine.answer = () => retry('refused')
    const receipt = machine.push('app', { n: 0 })
    await stopRefusing(machine, run)
    assert.equal(receipt.due, due)
  }
})

test('storage.sync full: what a stop saves on disk is acknowledged once the medium has it, and not if that takes too long', async t => {
  const text = configuration('source').replace('STORE', 'STORE\n    storage.sync full')
  const quick: Disk = {
    ...systemDisk,
    sync: (_, done) => void setImmediate(done, null),
    syncFolder: (_, done) => void setImmediate(done, null)
  }
  for (const [disk, due] of [
    [quick, 1],
    [new SlowDisk().disk, 0]
  ] as const) {
    const machine = new Machine(t)
    const run = await machine.start(text, { disk })
    machine.answer = () => retry('refused')
    const receipt = machine.push('app', { n: 0 })
    await run.stop()
    assert.equal(machine.chunkFiles().length, 1)
    assert.equal(receipt.due, due)
  }
})

test('a sender that wants to hear of the delivery is not told of it at a stop that only saves its events', async t => {
  const machine = new Machine(t)
  const run = await machine.start(configuration('sender', FILESYSTEM, DELIVERED))
  machine.answer = () => retry('refused')
  const receipt = machine.push('app', { n: 0 })
  await stopRefusing(machine, run)
  assert.equal(receipt.due, 0)
})
