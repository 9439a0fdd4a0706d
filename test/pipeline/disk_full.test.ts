/** A disk that takes nothing for a while: inputs wait, nothing is corrupted, and work goes on once there is room. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { test, type TestContext } from 'node:test'
import { type Delivery, OK, partial, retry } from '../../src/plugin/delivery.ts'
import { readChunkFile } from '../../src/storage/chunk_format.ts'
import { type Disk, systemDisk } from '../../src/storage/disk.ts'
import { SmallDisk, systemFailure } from '../harness/faulty_disk.ts'
import { balanced, ledger, Machine, turns } from '../harness/machine.ts'
import type { TestPipeline } from '../harness/pipeline.ts'
import { seededRandom } from '../harness/random.ts'

const ONE_INPUT = `
[SERVICE]
    storage.path  STORE
[INPUT]
    name          source
    tag           app
    storage.type  filesystem
[OUTPUT]
    name         target
    match        *
    retry_limit  no_limits
`

const bodies = (...numbers: readonly number[]): { n: number }[] => numbers.map(n => ({ n }))
const sorted = (all: readonly unknown[]): number[] =>
  all.map(body => (body as { n: number }).n).toSorted((a, b) => a - b)

/** Fails when a chunk's file is not good to its end. */
function intact(machine: Machine): void {
  for (const path of machine.chunkFiles()) {
    const { problem, end } = readChunkFile(machine.read(path))
    assert.deepEqual(
      { path, problem, end },
      { path, problem: undefined, end: machine.read(path).length }
    )
  }
}

function storageLines(run: TestPipeline): string[] {
  return run.log
    .filter(line => /cannot write|is written|\[input\]/.test(line))
    .map(line => line.replace(/chunk '[^']+'/, "chunk 'ID'"))
}

test('with a full disk the input waits and so do receipts; once there is room both go on', async t => {
  const machine = new Machine(t)
  machine.answer = () => retry('refused')
  const small = new SmallDisk()
  const run = await machine.start(ONE_INPUT, { disk: small.disk })
  const before = machine.push('app', { n: 0 })
  small.room = 10
  const first = machine.push('app', { n: 1 })
  assert.deepEqual(machine.calls, ['pause app'])
  assert.equal(machine.context().paused, true)
  // From an input that had more in its hands.
  const second = machine.push('app', { n: 2 })
  assert.deepEqual([before.due, first.due, second.due], [1, 0, 0])
  intact(machine)
  await run.clock.advanceSlowly(5000, 500)
  assert.deepEqual([first.due, second.due], [0, 0])
  assert.deepEqual(machine.calls, ['pause app'])
  intact(machine)
  balanced(run)
  const refused = run.counter('spillway_storage_write_failures_total', {})
  assert.equal(refused, 1 + 5)
  small.room = Number.POSITIVE_INFINITY
  await run.clock.advanceSlowly(1000, 500)
  assert.deepEqual([first.due, second.due], [1, 1])
  assert.deepEqual(machine.calls, ['pause app', 'resume app'])
  intact(machine)
  assert.deepEqual(storageLines(run), [
    "[error] [storage] cannot write chunk 'ID' of source.0: No space left on device; it stays in memory and its input waits",
    '[ warn] [input] source.0 paused (storage cannot be written)',
    '[ info] [input] pausing source.0',
    "[ info] [storage] chunk 'ID' of source.0 is written",
    '[ info] [input] resume source.0',
    '[ info] [input] source.0 resume (storage is written)'
  ])
  machine.answer = () => OK
  await run.clock.advanceSlowly(60_000, 1000)
  assert.deepEqual(sorted(machine.taken()), [0, 1, 2])
  assert.deepEqual(machine.files(), [])
  await run.stop()
})

test('events that the disk does not take are delivered from memory, and that ends the wait', async t => {
  const machine = new Machine(t)
  const small = new SmallDisk()
  small.room = 0
  const run = await machine.start(ONE_INPUT, { disk: small.disk })
  const receipt = machine.push('app', ...bodies(0, 1))
  assert.deepEqual(machine.calls, ['pause app'])
  run.flush()
  assert.deepEqual(machine.taken(), bodies(0, 1))
  assert.equal(receipt.due, 1)
  assert.deepEqual(machine.calls, ['pause app', 'resume app'])
  assert.deepEqual(machine.files(), [])
  await run.stop()
})

test('only the inputs whose events the disk does not take wait', async t => {
  const machine = new Machine(t)
  machine.answer = () => retry('refused')
  const small = new SmallDisk()
  small.room = 0
  const run = await machine.start(
    `${ONE_INPUT}[INPUT]\n    name source\n    tag memory\n[INPUT]\n    name source\n    tag idle\n    storage.type filesystem\n`,
    { disk: small.disk }
  )
  machine.push('memory', { n: 0 })
  machine.push('app', { n: 1 })
  assert.deepEqual(machine.calls, ['pause app'])
  run.flush()
  assert.deepEqual(machine.calls, ['pause app'])
})

test('an input waits until the last of its chunks is written', async t => {
  const machine = new Machine(t)
  machine.answer = () => retry('refused')
  const small = new SmallDisk()
  small.room = 0
  const run = await machine.start(ONE_INPUT, { disk: small.disk })
  machine.push('one', { n: 0 })
  machine.push('two', { n: 1 })
  small.room = 150
  await run.clock.advanceSlowly(1000, 1000)
  assert.equal(machine.chunkFiles().length, 1)
  assert.deepEqual(machine.calls, ['pause app'])
  small.room = 150
  await run.clock.advanceSlowly(1000, 1000)
  assert.equal(machine.chunkFiles().length, 2)
  assert.deepEqual(machine.calls, ['pause app', 'resume app'])
})

test('a crash while the disk is full keeps what was acknowledged', async t => {
  const machine = new Machine(t)
  machine.answer = () => retry('refused')
  const small = new SmallDisk()
  const crashed = await machine.start(ONE_INPUT, { disk: small.disk })
  const kept = machine.push('app', ...bodies(0, 1))
  small.room = 7
  const waiting = machine.push('app', ...bodies(2, 3))
  crashed.flush()
  assert.deepEqual([kept.due, waiting.due], [1, 0])
  machine.answer = () => OK
  const run = await machine.start(ONE_INPUT)
  await run.until(() => machine.files().length === 0)
  assert.deepEqual(machine.taken(), bodies(0, 1))
  await run.stop()
})

test('a chunk that the disk has not taken whole stays in memory, whatever storage.max_chunks_up is', async t => {
  const machine = new Machine(t)
  machine.answer = () => retry('refused')
  const small = new SmallDisk()
  const run = await machine.start(
    ONE_INPUT.replace('STORE\n', 'STORE\n    storage.max_chunks_up 1\n'),
    {
      disk: small.disk
    }
  )
  machine.push('app', { n: 0 })
  small.room = 5
  machine.push('app', { n: 1 })
  run.flush()
  for (let n = 2; n < 5; n++) {
    machine.push('app', { n })
    run.flush()
  }
  assert.deepEqual(
    [...run.pipeline.tasks].map(({ chunk }) => chunk.isUp),
    [true, true, true, true]
  )
  small.room = Number.POSITIVE_INFINITY
  machine.answer = () => OK
  await run.clock.advanceSlowly(200_000, 1000)
  assert.deepEqual(sorted(machine.taken()), [0, 1, 2, 3, 4])
  assert.deepEqual(machine.files(), [])
  balanced(run)
  await run.stop()
})

test('what an output has taken while the disk is full is sent again after a crash, and nothing else', async t => {
  const machine = new Machine(t)
  const two = `${ONE_INPUT}[OUTPUT]\n    name target\n    match *\n    retry_limit no_limits\n`
  machine.answer = ({ output }) => (output === 'target.0' ? OK : retry('refused'))
  const small = new SmallDisk()
  const crashed = await machine.start(two, { disk: small.disk })
  machine.push('app', ...bodies(0, 1))
  small.room = 5
  crashed.flush()
  const line = crashed.log.find(text => text.includes('cannot write to chunk'))
  assert.match(line ?? '', /^\[error\] \[storage\] cannot write to chunk '[^']+': .*ENOSPC/s)
  intact(machine)
  machine.answer = () => OK
  const run = await machine.start(two)
  await run.until(() => machine.files().length === 0)
  assert.deepEqual(machine.taken('target.0'), [...bodies(0, 1), ...bodies(0, 1)])
  assert.deepEqual(machine.taken('target.1'), bodies(0, 1))
  await run.stop()
})

test('an output that takes a chunk before the disk does leaves a file that is good after a crash', async t => {
  const machine = new Machine(t)
  const two = `${ONE_INPUT}[OUTPUT]\n    name target\n    match *\n    retry_limit no_limits\n`
  machine.answer = ({ output }) => (output === 'target.0' ? OK : retry('refused'))
  const small = new SmallDisk()
  const crashed = await machine.start(two, { disk: small.disk })
  crashed.clock.advance(500)
  small.room = 0
  const receipt = machine.push('app', ...bodies(0, 1))
  small.room = Number.POSITIVE_INFINITY
  await crashed.clock.advanceSlowly(3000, 500)
  assert.equal(receipt.due, 1)
  machine.answer = () => OK
  const run = await machine.start(two)
  await run.until(() => machine.chunkFiles().length === 0)
  assert.deepEqual(machine.taken('target.1'), bodies(0, 1))
  await run.stop()
})

test('emitted records that the disk does not take make the input wait that they came from', async t => {
  const machine = new Machine(t)
  machine.answer = () => retry('refused')
  const small = new SmallDisk()
  small.room = 0
  await machine.start(
    `${ONE_INPUT.replace('filesystem', 'memory')}[FILTER]\n    name rewrite_tag\n    match app\n    rule $n .* new false\n    emitter_storage.type filesystem\n    emitter_mem_buf_limit 1K\n`,
    { disk: small.disk }
  )
  for (let n = 0; n < 100; n++) machine.push('app', { n: 'x'.repeat(100) })
  assert.deepEqual(machine.calls, ['pause app'])
})

for (const [code, errno, words] of [
  ['EDQUOT', -122, 'Disk quota exceeded'],
  ['EIO', -5, 'Input/output error'],
  ['EROFS', -30, 'Read-only file system'],
  ['EMFILE', -24, 'Too many open files']
] as const) {
  test(`files that cannot be made (${code}) are like a full disk`, async t => {
    const machine = new Machine(t)
    machine.answer = () => retry('refused')
    let isBroken = true
    const disk: Disk = {
      ...systemDisk,
      create: path => {
        if (isBroken) throw systemFailure(code, errno, 'open')
        return systemDisk.create(path)
      }
    }
    const run = await machine.start(ONE_INPUT, { disk })
    const receipt = machine.push('app', { n: 0 })
    assert.equal(receipt.due, 0)
    assert.deepEqual(machine.calls, ['pause app'])
    assert.match(storageLines(run)[0], new RegExp(`: ${words}; it stays in memory`))
    isBroken = false
    await run.clock.advanceSlowly(1000, 1000)
    assert.equal(receipt.due, 1)
    assert.deepEqual(machine.calls, ['pause app', 'resume app'])
    intact(machine)
  })
}

test('a file that cannot be removed is reported, and its events are not sent again before the next start', async t => {
  const machine = new Machine(t)
  const disk: Disk = {
    ...systemDisk,
    remove: () => {
      throw systemFailure('EIO', -5, 'unlink')
    }
  }
  const run = await machine.start(ONE_INPUT, { disk })
  const receipt = machine.push('app', { n: 0 })
  run.flush()
  assert.deepEqual(machine.taken(), bodies(0))
  assert.equal(receipt.due, 1)
  assert.ok(run.log.some(line => line.startsWith('[error] [storage] cannot remove chunk ')))
  assert.equal(machine.chunkFiles().length, 1)
  balanced(run)
  await run.stop()
})

for (const seed of [1, 2, 3, 4, 5, 6]) {
  test(`a disk whose room comes and goes, with crashes, keeps all that was acknowledged (seed ${seed})`, async t => {
    const random = seededRandom(seed)
    const machine = new Machine(t)
    const two = `${ONE_INPUT}[OUTPUT]\n    name target\n    match *\n    retry_limit no_limits\n`
    machine.answer = ({ bodies: seen }): Delivery => {
      const fate = random()
      if (fate < 0.3) return OK
      if (fate < 0.6) return retry('refused')
      const again = seen.map((_, index) => index).filter(() => random() < 0.5)
      return partial({ retry: again })
    }
    const acknowledged: number[] = []
    let next = 0
    for (let restart = 0; restart < 8; restart++) {
      const small = new SmallDisk()
      const run = await machine.start(two, { disk: small.disk })
      await turns(machine.chunkFiles().length + 5)
      const pushes: { due: () => number; numbers: number[] }[] = []
      for (let step = 0; step < 40; step++) {
        if (random() < 0.3) small.room = random() < 0.5 ? Number.POSITIVE_INFINITY : random() * 150
        if (random() < 0.5) {
          const numbers = Array.from({ length: 1 + Math.floor(random() * 3) }, () => next++)
          const receipt = machine.push('app', ...bodies(...numbers))
          pushes.push({ due: () => receipt.due, numbers })
        }
        await run.clock.advanceSlowly(random() * 2000, 500)
        balanced(run)
        for (const { due } of pushes) assert.ok(due() <= 1)
      }
      acknowledged.push(
        ...pushes.filter(({ due }) => due() === 1).flatMap(({ numbers }) => numbers)
      )
    }
    machine.answer = () => OK
    const last = await machine.start(two)
    await last.until(() => machine.chunkFiles().length === 0)
    await last.stop()
    assert.deepEqual(machine.files(), [])
    for (const output of ['target.0', 'target.1']) {
      const taken = new Set(sorted(machine.taken(output)))
      assert.deepEqual(
        acknowledged.filter(n => !taken.has(n)),
        [],
        output
      )
    }
  })
}

/** Runs a command with a path as `$1`; its complaints are in what is thrown. */
function shell(command: string, path: string): void {
  execFileSync('sh', ['-c', command, 'sh', path], { stdio: 'pipe' })
}

/** A file system of two megabytes in the place of `storage.path`; says why there is none. */
function mount(path: string): string | undefined {
  mkdirSync(path, { recursive: true })
  try {
    shell('mount -t tmpfs -o size=2m tmpfs "$1"', path)
    return undefined
  } catch (error) {
    return `a tmpfs cannot be mounted here: ${error instanceof Error ? error.message.trim() : ''}`
  }
}

async function onSmallFileSystem(
  t: TestContext,
  use: (machine: Machine) => Promise<void>
): Promise<void> {
  const machine = new Machine(t)
  const problem = mount(machine.store)
  if (problem !== undefined) {
    t.skip(problem)
    return
  }
  try {
    await use(machine)
  } finally {
    shell('umount -l "$1"', machine.store)
  }
}

test('a file system that is really full is filled to its end and emptied again, and every event comes through', async t => {
  await onSmallFileSystem(t, async machine => {
    machine.answer = () => retry('refused')
    const run = await machine.start(ONE_INPUT)
    const load = 'x'.repeat(50_000)
    const receipts = []
    // What an input does that heeds the pause.
    for (let n = 0; n < 100 && !machine.context().paused; n++) {
      receipts.push(machine.push('app', { n, load }))
      if (n % 5 === 4) run.flush()
    }
    assert.ok(receipts.length > 30 && receipts.length < 45, `${receipts.length} events`)
    assert.deepEqual(
      receipts.map(({ due }) => due),
      receipts.map((_, index) => (index === receipts.length - 1 ? 0 : 1))
    )
    assert.deepEqual(machine.calls, ['pause app'])
    intact(machine)
    machine.answer = () => OK
    await run.clock.advanceSlowly(60_000, 1000)
    assert.equal(receipts.at(-1)?.due, 1)
    assert.equal(machine.context().paused, false)
    assert.deepEqual(
      sorted(machine.taken()),
      receipts.map((_, n) => n)
    )
    assert.deepEqual(machine.files(), [])
    assert.deepEqual(
      ledger(run)['input source.0'],
      `${receipts.length} ingested = ${receipts.length} delivered`
    )
    await run.stop()
  })
})

test('a crash on a file system that is really full loses nothing that was acknowledged', async t => {
  await onSmallFileSystem(t, async machine => {
    machine.answer = () => retry('refused')
    const crashed = await machine.start(ONE_INPUT)
    const load = 'x'.repeat(30_000)
    const receipts = Array.from({ length: 100 }, (_, n) => {
      const receipt = machine.push('app', { n, load })
      if (n % 7 === 6) crashed.flush()
      return receipt
    })
    const kept = receipts.flatMap(({ due }, n) => (due === 1 ? [n] : []))
    assert.ok(kept.length > 50 && kept.length < 80, `${kept.length} events`)
    machine.answer = () => OK
    const run = await machine.start(ONE_INPUT)
    await run.until(() => machine.chunkFiles().length === 0)
    assert.deepEqual(sorted(machine.taken()), kept)
    await run.stop()
  })
})
