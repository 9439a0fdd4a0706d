/** What a start does with chunks that an earlier run, or a Fluent Bit, left in `storage.path`. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { crc32 } from 'node:zlib'
import { type Delivery, OK, partial, retry } from '../../src/plugin/delivery.ts'
import { eventsBlock, settledBlock, startOfFile } from '../../src/storage/chunk_format.ts'
import { type Disk, systemDisk } from '../../src/storage/disk.ts'
import { systemFailure } from '../harness/faulty_disk.ts'
import { backlogRead, balanced, ledger, Machine } from '../harness/machine.ts'
import { encodeEvent } from '../harness/odd_events.ts'
import type { TestPipeline } from '../harness/pipeline.ts'
import { seededRandom } from '../harness/random.ts'

const RECORDED = join(import.meta.dirname, '../data/fluent_bit_chunks')

const ONE_OUTPUT = `
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

/** The first output in notes on disk: its name, and its own settings, of which it has none. */
const TARGET = `target.0#${crc32('').toString(16)}`

const TWO_OUTPUTS = `${ONE_OUTPUT}
[OUTPUT]
    name         target
    match        *
    retry_limit  no_limits
`

const bodies = (count: number): { n: number }[] => Array.from({ length: count }, (_, n) => ({ n }))

/** The file of a chunk, with an events block for each list of bodies. */
function chunkFile(tag: string, ...blocks: readonly (readonly { n: number }[])[]): Buffer {
  return Buffer.concat([
    ...startOfFile({ tag, input: 'source.0' }),
    ...blocks.flatMap(block =>
      eventsBlock(
        Buffer.concat(block.map(body => encodeEvent([1_700_000_000, 0], body))),
        block.length
      )
    )
  ])
}

const LIMITED = ONE_OUTPUT.replace('STORE\n', 'STORE\n    storage.backlog.mem_limit LIMIT\n')

/** Makes targets hang at chunks that begin with `{ n: 0 }`, until the returned function is called. */
function hangAtFirst(machine: Machine): () => void {
  const { promise, resolve } = Promise.withResolvers<Delivery>()
  machine.answer = ({ bodies: [body] }) => ((body as { n: number }).n === 0 ? promise : OK)
  return () => resolve(OK)
}

const CHUNK = '.spillway/chunks/source.0/7-1690000000.000000001.chunk'
const ASIDE = '.spillway/corrupt/source.0/7-1690000000.000000001.chunk'

/** Lines of the backlog, with `ID` for names of chunks. */
function lines(run: TestPipeline): string[] {
  return run.log
    .filter(line => /storage_backlog\.\d+\]|flush backlog/.test(line))
    .map(line => line.replaceAll(/\d+-\d+\.\d+(?=\.)/g, 'ID'))
}

// --- a crash

test('after a crash the chunks on disk are sent, oldest first, and their files go', async t => {
  const machine = new Machine(t)
  machine.answer = () => retry('refused')
  const crashed = await machine.start(ONE_OUTPUT)
  for (const body of bodies(3)) {
    machine.push('app', body)
    crashed.flush()
  }
  machine.push('app', { n: 3 })
  assert.equal(machine.chunkFiles().length, 4)
  machine.answer = () => OK
  const run = await machine.start(ONE_OUTPUT)
  await run.until(() => machine.taken().length === 4)
  assert.deepEqual(machine.taken(), bodies(4))
  assert.deepEqual(machine.files(), [])
  assert.deepEqual(lines(run), [
    '[ info] [input:storage_backlog:storage_backlog.1] initializing',
    "[ info] [input:storage_backlog:storage_backlog.1] storage_strategy='memory' (memory only)",
    '[ info] [input:storage_backlog:storage_backlog.1] queue memory limit: 95.4M',
    ...Array.from({ length: 4 }, (_, task) => [
      '[ info] [input:storage_backlog:storage_backlog.1] register source.0/ID.chunk',
      '[ info] [input:storage_backlog:storage_backlog.1] queueing source.0:ID.flb',
      `[ info] [engine] flush backlog chunk 'ID.flb' succeeded: task_id=${task}, input=storage_backlog.1 > output=target.0 (out_id=0)`
    ])
      .flat()
      .map(line => line.replace(/task_id=\d/, 'task_id=0'))
  ])
  assert.deepEqual(ledger(run), {
    'input source.0': '4 recovered = 4 delivered',
    'route source.0 > target.0': '4 recovered = 4 delivered'
  })
  await run.stop()
})

test('after a crash only the output that had not got a chunk gets it', async t => {
  const machine = new Machine(t)
  machine.answer = ({ output }) => (output === 'target.0' ? OK : retry('refused'))
  const crashed = await machine.start(TWO_OUTPUTS)
  machine.push('app', ...bodies(2))
  crashed.flush()
  assert.deepEqual([machine.taken('target.0'), machine.taken('target.1')], [bodies(2), []])
  machine.answer = () => OK
  const run = await machine.start(TWO_OUTPUTS)
  await run.until(() => machine.taken('target.1').length > 0)
  assert.deepEqual([machine.taken('target.0'), machine.taken('target.1')], [bodies(2), bodies(2)])
  assert.deepEqual(ledger(run), {
    'input source.0': '2 recovered = 2 delivered',
    'route source.0 > target.1': '2 recovered = 2 delivered'
  })
  assert.deepEqual(machine.files(), [])
  await run.stop()
})

test('a crash between the last delivery and the removal of the file sends nothing again', async t => {
  const machine = new Machine(t)
  machine.write(
    CHUNK,
    Buffer.concat([chunkFile('app', bodies(2)), ...settledBlock({ output: TARGET })])
  )
  const run = await machine.start(ONE_OUTPUT)
  await run.until(() => machine.files().length === 0)
  assert.deepEqual(machine.arrivals, [])
  assert.deepEqual(ledger(run), {})
  await run.stop()
})

test('a crash while the backlog is sent loses nothing of it', async t => {
  const machine = new Machine(t)
  machine.answer = () => retry('refused')
  const first = await machine.start(TWO_OUTPUTS)
  for (const body of bodies(4)) {
    machine.push('app', body)
    first.flush()
  }
  machine.answer = ({ output, bodies: [body] }) =>
    output === 'target.1' && (body as { n: number }).n < 2 ? OK : retry('refused')
  const second = await machine.start(TWO_OUTPUTS)
  await backlogRead(second, 4)
  machine.answer = () => OK
  const third = await machine.start(TWO_OUTPUTS)
  await third.until(() => machine.files().length === 0)
  assert.deepEqual([machine.taken('target.0'), machine.taken('target.1')], [bodies(4), bodies(4)])
  await third.stop()
})

test('chunks of several runs of the same process have names of their own', async t => {
  const machine = new Machine(t)
  machine.answer = () => retry('refused')
  for (let run = 0; run < 3; run++) {
    // The clock stands still between runs, as after a reset of the machine.
    const started = await machine.start(ONE_OUTPUT, { nowMs: 1_700_000_000_000 })
    machine.push('app', { n: run })
    started.flush()
    await backlogRead(started, run)
  }
  assert.equal(machine.chunkFiles().length, 3)
})

test('new events do not wait for the backlog, nor does the backlog for them', async t => {
  const machine = new Machine(t)
  for (let file = 0; file < 20; file++) {
    const path = CHUNK.replace('000000001', String(file).padStart(9, '0'))
    machine.write(path, chunkFile('app', [{ n: file }]))
  }
  const run = await machine.start(ONE_OUTPUT)
  machine.push('app', { n: 99 })
  run.flush()
  assert.ok(machine.taken().length < 20)
  assert.ok(machine.taken().some(body => (body as { n: number }).n === 99))
  await run.until(() => machine.taken().length === 21)
  await run.stop()
})

// --- files that are damaged

test('a file with several blocks, cut at any byte, gives the whole ones; the rest is set aside and the others are delivered', async t => {
  const blocks = [bodies(2), [{ n: 10 }, { n: 11 }], [{ n: 20 }]]
  const file = chunkFile('app', ...blocks)
  const ends = [1, 2, 3].map(count => chunkFile('app', ...blocks.slice(0, count)).length)
  const start = Buffer.concat(startOfFile({ tag: 'app', input: 'source.0' })).length
  const other = chunkFile('app', [{ n: 99 }])
  const otherPath = CHUNK.replace('000000001', '000000002')
  for (let length = 0; length <= file.length; length++) {
    const machine = new Machine(t)
    machine.write(CHUNK, file.subarray(0, length))
    machine.write(otherPath, other)
    const run = await machine.start(ONE_OUTPUT)
    await run.until(() => machine.taken().some(body => (body as { n: number }).n === 99))
    const whole = ends.filter(end => end <= length).length
    const what = `length ${length}`
    assert.deepEqual(machine.taken(), [...blocks.slice(0, whole).flat(), { n: 99 }], what)
    const kept = whole === 0 ? 0 : ends[whole - 1]
    const isBad = length > kept && length !== start
    assert.deepEqual(machine.files(), isBad ? [ASIDE, `${ASIDE}.json`] : [], what)
    const labels = { reason: 'torn_block' }
    assert.equal(run.counter('spillway_storage_bad_files_total', labels), isBad ? 1 : 0, what)
    assert.equal(
      run.counter('spillway_storage_bad_bytes_total', labels),
      isBad ? length - kept : 0,
      what
    )
    if (isBad) {
      assert.deepEqual(machine.read(ASIDE), file.subarray(kept, length), what)
      assert.deepEqual(
        JSON.parse(machine.read(`${ASIDE}.json`).toString()),
        { path: join(machine.store, CHUNK), reason: 'torn_block', bytes: length - kept },
        what
      )
      assert.ok(
        run.log.includes(
          `[error] [input:storage_backlog:storage_backlog.1] bad chunk file ${join(machine.store, CHUNK)}: torn_block, ${length - kept} bytes set aside as ${join(machine.store, ASIDE)}`
        ),
        what
      )
    }
    balanced(run)
    await run.stop()
  }
})

test('a file with random bits flipped gives whole good blocks and nothing else, and the start goes on', async t => {
  const blocks = [bodies(2), [{ n: 10 }, { n: 11 }], [{ n: 20 }]]
  const good = chunkFile('app', ...blocks)
  const ends = [1, 2, 3].map(count => chunkFile('app', ...blocks.slice(0, count)).length)
  const random = seededRandom(77)
  for (let flip = 0; flip < 200; flip++) {
    const machine = new Machine(t)
    const file = Buffer.from(good)
    for (let bits = 1 + Math.floor(random() * 3); bits > 0; bits--) {
      file[Math.floor(random() * file.length)] ^= 1 << Math.floor(random() * 8)
    }
    machine.write(CHUNK, file)
    machine.write(CHUNK.replace('000000001', '000000002'), chunkFile('app', [{ n: 99 }]))
    const run = await machine.start(ONE_OUTPUT)
    await run.until(() => machine.taken().some(body => (body as { n: number }).n === 99))
    const whole = ends.filter(end => file.subarray(0, end).equals(good.subarray(0, end))).length
    assert.deepEqual(machine.taken(), [...blocks.slice(0, whole).flat(), { n: 99 }], `flip ${flip}`)
    balanced(run)
    await run.stop()
  }
})

for (const [what, content, reason] of [
  ['zeros', Buffer.alloc(4096), 'bad_header'],
  ['garbage', Buffer.from('garbage'.repeat(100)), 'bad_header']
] as const) {
  test(`a file of ${what} is set aside and the start goes on`, async t => {
    const machine = new Machine(t)
    machine.write(CHUNK, content)
    machine.write(CHUNK.replace('000000001', '000000002'), chunkFile('app', bodies(1)))
    const run = await machine.start(ONE_OUTPUT)
    await run.until(() => machine.taken().length === 1)
    assert.deepEqual(machine.files(), [ASIDE, `${ASIDE}.json`])
    assert.deepEqual(machine.read(ASIDE), content)
    assert.equal(run.counter('spillway_storage_bad_bytes_total', { reason }), content.length)
    await run.stop()
  })
}

test('an empty file goes without a word, and a folder in the place of a file is left alone', async t => {
  const machine = new Machine(t)
  machine.write(CHUNK, '')
  const inner = `${CHUNK.replace('000000001', '000000000')}/file`
  machine.write(inner, '')
  machine.write(CHUNK.replace('000000001', '000000002'), chunkFile('app', bodies(1)))
  const run = await machine.start(ONE_OUTPUT)
  await run.until(() => machine.taken().length === 1)
  assert.deepEqual(machine.files(), [inner])
  assert.deepEqual(
    run.log.filter(line => /error|warn/.test(line)),
    []
  )
  await run.stop()
})

test('a file that cannot be read is left as it is, and the others are delivered', async t => {
  const machine = new Machine(t)
  machine.write(CHUNK, chunkFile('app', bodies(2)))
  machine.write(CHUNK.replace('000000001', '000000002'), chunkFile('app', [{ n: 9 }]))
  const disk: Disk = {
    ...systemDisk,
    read: path => {
      if (path.endsWith(CHUNK)) throw systemFailure('EACCES', -13, 'open')
      return systemDisk.read(path)
    }
  }
  const run = await machine.start(ONE_OUTPUT, { disk })
  await run.until(() => machine.taken().length === 1)
  assert.deepEqual(machine.taken(), [{ n: 9 }])
  assert.ok(
    run.log.includes(
      `[error] [input:storage_backlog:storage_backlog.1] cannot read ${join(machine.store, CHUNK)}: Permission denied; it is left as it is`
    )
  )
  assert.equal(run.counter('spillway_storage_bad_files_total', { reason: 'unreadable' }), 1)
  assert.deepEqual(machine.files(), [CHUNK])
  await run.stop()
  const again = await machine.start(ONE_OUTPUT)
  await again.until(() => machine.taken().length === 3)
  await again.stop()
})

test('storage.delete_irrecoverable_chunks deletes what is bad', async t => {
  const machine = new Machine(t)
  machine.write(CHUNK, chunkFile('app', bodies(1), bodies(1)).subarray(0, -1))
  const run = await machine.start(
    ONE_OUTPUT.replace('STORE\n', 'STORE\n    storage.delete_irrecoverable_chunks on\n')
  )
  await run.until(() => machine.taken().length === 1)
  assert.deepEqual(machine.files(), [])
  const bad = run.log.find(line => line.includes('bad chunk file'))
  assert.match(bad ?? '', /: torn_block, \d+ bytes deleted$/)
  await run.stop()
})

test('a chunk that is bad when its turn comes is given up, counted, reported and set aside', async t => {
  const machine = new Machine(t)
  const goOn = hangAtFirst(machine)
  machine.write(CHUNK, chunkFile('app', bodies(2)))
  const later = CHUNK.replace('000000001', '000000002')
  machine.write(later, chunkFile('app', bodies(3)))
  const run = await machine.start(LIMITED.replace('LIMIT', '1'))
  await backlogRead(run, 2)
  const flipped = machine.read(later)
  flipped[flipped.length - 1] ^= 1
  machine.write(later, flipped)
  goOn()
  await run.until(() => run.pipeline.pendingTasks === 0)
  assert.deepEqual(machine.taken(), bodies(2))
  assert.deepEqual(ledger(run), {
    'input source.0': '5 recovered = 2 delivered + 3 dropped (chunk_unreadable 3)',
    'route source.0 > target.0': '5 recovered = 2 delivered + 3 dropped (chunk_unreadable 3)'
  })
  assert.ok(
    run.log.includes(
      "[error] [storage] cannot read chunk '7-1690000000.000000002.flb': bad_checksum"
    )
  )
  const aside = ASIDE.replace('000000001', '000000002')
  assert.ok(
    run.log.includes(
      `[error] [storage] chunk '7-1690000000.000000002.flb' is set aside as ${join(machine.store, aside)}`
    )
  )
  assert.deepEqual(machine.files(), [aside])
  assert.deepEqual(machine.read(aside), flipped)
  await run.stop()
})

test('a chunk whose file cannot be read for a while is sent later', async t => {
  const machine = new Machine(t)
  machine.write(CHUNK, chunkFile('app', bodies(2)))
  let reads = 0
  const disk: Disk = {
    ...systemDisk,
    read: path => {
      // The first time it is checked, the second time it is to be sent.
      if (path.endsWith(CHUNK) && ++reads === 2) throw systemFailure('EMFILE', -24, 'open')
      return systemDisk.read(path)
    }
  }
  const run = await machine.start(ONE_OUTPUT, { disk })
  await backlogRead(run, 1)
  assert.deepEqual(machine.taken(), [])
  await run.clock.advanceSlowly(20_000, 1000)
  assert.deepEqual(machine.taken(), bodies(2))
  assert.ok(
    run.log.includes(
      "[error] [storage] cannot read chunk '7-1690000000.000000001.flb': Too many open files"
    )
  )
  await run.stop()
})

test('a file that has been delivered and cannot be removed does not end the reading of the backlog', async t => {
  const machine = new Machine(t)
  machine.write(
    CHUNK,
    Buffer.concat([chunkFile('app', bodies(2)), ...settledBlock({ output: TARGET })])
  )
  machine.write(CHUNK.replace('000000001', '000000002'), chunkFile('app', [{ n: 9 }]))
  const disk: Disk = {
    ...systemDisk,
    remove: path => {
      if (path.endsWith(CHUNK)) throw systemFailure('EROFS', -30, 'unlink')
      systemDisk.remove(path)
    }
  }
  const run = await machine.start(ONE_OUTPUT, { disk })
  await run.until(() => machine.taken().length === 1, 200)
  await run.stop()
})

test('a note about events that a crash kept from the disk counts for those that are there', async t => {
  const machine = new Machine(t)
  machine.write(
    CHUNK,
    Buffer.concat([
      chunkFile('app', bodies(3)),
      ...settledBlock({ output: TARGET, left: [1, 2, 7] })
    ])
  )
  const run = await machine.start(ONE_OUTPUT)
  await run.until(() => machine.files().length === 0)
  assert.deepEqual(machine.taken(), [{ n: 1 }, { n: 2 }])
  await run.stop()
})

// --- files of Fluent Bit

const FLUENT_BIT = `
[SERVICE]
    storage.path      STORE
    storage.checksum  CHECKSUM
[INPUT]
    name          source
    tag           app
    storage.type  filesystem
[OUTPUT]
    name         target
    match        app.*
    retry_limit  no_limits
[OUTPUT]
    name         target
    alias        pager
    retry_limit  no_limits
`

/** Puts recorded files into a folder of an input, by their names in the order given. */
function install(machine: Machine, ...names: readonly string[]): void {
  for (const [index, name] of names.entries()) {
    machine.write(`dummy.0/1-1600000000.${index}.flb`, readFileSync(join(RECORDED, `${name}.flb`)))
  }
}

test("Fluent Bit's files are delivered with their tags, and removed afterwards", async t => {
  const machine = new Machine(t)
  const names = ['logs_checksum', 'logs_plain', 'logs_open', 'logs_trimmed', 'blobs']
  install(machine, ...names)
  const run = await machine.start(FLUENT_BIT.replace('CHECKSUM', 'on'))
  await run.until(() => machine.arrivals.length === names.length)
  assert.deepEqual(
    machine.arrivals.map(({ output, tag, bodies: { length } }) => [output, tag, length]),
    [
      ['target.0', 'app.checksum', 3],
      ['target.0', 'app.plain', 3],
      ['target.0', 'app.open', 3],
      ['target.0', 'app.trimmed', 3],
      ['target.0', 'app.blobs', 1]
    ]
  )
  assert.deepEqual(machine.arrivals[0].bodies[0], {
    message: 'with checksum',
    n: (machine.arrivals[0].bodies[0] as { n: unknown }).n
  })
  assert.deepEqual(machine.files(), [])
  assert.deepEqual(ledger(run), {
    'input dummy.0': '13 recovered = 13 delivered',
    'route dummy.0 > target.0': '13 recovered = 13 delivered'
  })
  await run.stop()
})

test("routes that are in Fluent Bit's files decide, whatever the tag matches", async t => {
  const machine = new Machine(t)
  install(machine, 'routes')
  const run = await machine.start(FLUENT_BIT.replace('CHECKSUM', 'off'))
  await run.until(() => machine.arrivals.length === 1)
  assert.deepEqual(
    machine.arrivals.map(({ output, tag, bodies: { length } }) => [output, tag, length]),
    [['pager', 'errors', 3]]
  )
  assert.deepEqual(machine.files(), [])
  await run.stop()
})

test('metrics and traces that no output takes are left in their files, which the log says', async t => {
  const machine = new Machine(t)
  install(machine, 'metrics', 'traces', 'logs_plain')
  const run = await machine.start(FLUENT_BIT.replace('CHECKSUM', 'on'))
  await run.until(() => machine.arrivals.length === 1)
  assert.deepEqual(machine.files(), ['dummy.0/1-1600000000.0.flb', 'dummy.0/1-1600000000.1.flb'])
  assert.deepEqual(
    run.log.filter(line => line.includes('no matching route')),
    [0, 1].map(
      index =>
        `[ info] [input:storage_backlog:storage_backlog.1] no matching route for dummy.0/1-1600000000.${index}.flb, keeping it on disk`
    )
  )
  await run.stop()
})

test("dead letters of Fluent Bit's are not sent as a backlog", async t => {
  const machine = new Machine(t)
  machine.write('rejected/app_0_http.0_0x1.flb', readFileSync(join(RECORDED, 'rejected.flb')))
  install(machine, 'logs_plain')
  const run = await machine.start(FLUENT_BIT.replace('CHECKSUM', 'on'))
  await run.until(() => machine.arrivals.length === 1)
  assert.deepEqual(machine.files(), ['rejected/app_0_http.0_0x1.flb'])
  await run.stop()
})

for (const [checksum, expected] of [
  ['on', []],
  ['off', [['target.0', 'app.checksum', 3]]]
] as const) {
  test(`storage.checksum ${checksum}: a file of Fluent Bit's with a flipped bit is ${expected.length === 0 ? 'refused' : 'delivered'}`, async t => {
    const machine = new Machine(t)
    const file = readFileSync(join(RECORDED, 'logs_checksum.flb'))
    file[file.lastIndexOf('with checksum')] ^= 0x20
    machine.write('dummy.0/1-1600000000.0.flb', file)
    const run = await machine.start(FLUENT_BIT.replace('CHECKSUM', checksum))
    await run.until(() => !machine.files().includes('dummy.0/1-1600000000.0.flb'))
    assert.deepEqual(
      machine.arrivals.map(({ output, tag, bodies: { length } }) => [output, tag, length]),
      expected
    )
    await run.stop()
  })
}

// --- where chunks go, and where they do not

test('chunks that no output wants stay on disk, and are sent once one does', async t => {
  const machine = new Machine(t)
  machine.write(CHUNK, chunkFile('other', bodies(2)))
  const only = ONE_OUTPUT.replace('match        *', 'match        app')
  const run = await machine.start(only)
  await run.until(() => run.log.some(line => line.includes('no matching route')))
  assert.ok(
    run.log.includes(
      '[ info] [input:storage_backlog:storage_backlog.1] no matching route for source.0/7-1690000000.000000001.chunk, keeping it on disk'
    )
  )
  assert.deepEqual(ledger(run), { 'input source.0': '2 recovered = 2 buffered' })
  await run.stop()
  assert.deepEqual(machine.files(), [CHUNK])
  const again = await machine.start(ONE_OUTPUT)
  await again.until(() => machine.taken().length === 2)
  assert.deepEqual(machine.files(), [])
  await again.stop()
})

test('chunks of a conditional route go to the outputs of the route after a crash', async t => {
  const machine = new Machine(t)
  const routes = `
service:
  storage.path: STORE
pipeline:
  inputs:
    - name: source
      tag: app
      storage.type: filesystem
      routes:
        logs:
          - name: errors
            condition:
              rules:
                - { field: $level, op: eq, value: error }
            to: { outputs: [ alarm ] }
          - name: rest
            condition: { default: true }
            to: { outputs: [ archive ] }
  outputs:
    - { name: target, alias: alarm, retry_limit: no_limits }
    - { name: target, alias: archive, match: '*', retry_limit: no_limits }
`
  machine.answer = () => retry('refused')
  const crashed = await machine.start(routes, { yaml: true })
  machine.push('app', { level: 'error' }, { level: 'info' })
  crashed.flush()
  machine.answer = () => OK
  const run = await machine.start(routes, { yaml: true })
  await run.until(() => machine.files().length === 0)
  assert.deepEqual(
    machine.arrivals.slice(2).map(({ output, tag, bodies: all }) => [output, tag, all]),
    [
      ['alarm', 'errors', [{ level: 'error' }]],
      ['archive', 'rest', [{ level: 'info' }]]
    ]
  )
  await run.stop()
})

// --- limits

/** Five chunks of one event each; gives the bytes of one. */
function fiveChunks(machine: Machine): number {
  for (let file = 0; file < 5; file++) {
    machine.write(CHUNK.replace('000000001', `00000000${file}`), chunkFile('app', [{ n: file }]))
  }
  return encodeEvent([1, 0], { n: 0 }).length
}

test('storage.backlog.mem_limit bounds the bytes that are on their way at once', async t => {
  const machine = new Machine(t)
  const bytes = fiveChunks(machine)
  const waiting: ((answer: Delivery) => void)[] = []
  machine.answer = () => new Promise<Delivery>(resolve => void waiting.push(resolve))
  const run = await machine.start(LIMITED.replace('LIMIT', String(2 * bytes)))
  await backlogRead(run, 5)
  for (let sent = 1; sent <= 5; sent++) {
    await run.until(() => waiting.length === sent)
    // One is with the output and one waits for its turn.
    assert.equal(run.pipeline.pendingTasks, sent < 5 ? 2 : 1)
    balanced(run)
    waiting[sent - 1](OK)
    await run.until(() => machine.taken().length === sent)
  }
  assert.deepEqual(machine.taken(), bodies(5))
  await run.stop()
})

for (const limit of ['1', '0']) {
  test(`with storage.backlog.mem_limit ${limit} chunks are sent one after the other`, async t => {
    const machine = new Machine(t)
    fiveChunks(machine)
    const goOn = hangAtFirst(machine)
    const run = await machine.start(LIMITED.replace('LIMIT', limit))
    await backlogRead(run, 5)
    assert.equal(run.pipeline.pendingTasks, 1)
    goOn()
    await run.until(() => machine.taken().length === 5)
    assert.deepEqual(machine.taken(), bodies(5))
    await run.stop()
  })
}

for (const [what, answer] of [
  ['refuses everything', () => retry('refused')],
  ['hangs', () => new Promise(() => undefined)]
] as readonly (readonly [string, () => unknown])[]) {
  test(`an output that ${what} does not hold up the backlog of another, whatever storage.backlog.mem_limit is`, async t => {
    const machine = new Machine(t)
    machine.write(CHUNK, chunkFile('dead', bodies(1)))
    machine.write(CHUNK.replace('000000001', '000000002'), chunkFile('alive', bodies(1)))
    machine.answer = ({ output }) => (output === 'alive' ? OK : answer())
    const run = await machine.start(`
[SERVICE]
    storage.path               STORE
    storage.backlog.mem_limit  1
[INPUT]
    name          source
    storage.type  filesystem
[OUTPUT]
    name         target
    alias        dead
    match        dead
    retry_limit  no_limits
[OUTPUT]
    name   target
    alias  alive
    match  alive
`)
    await backlogRead(run, 2)
    await run.clock.advanceSlowly(60_000, 1000)
    assert.deepEqual(machine.taken('alive'), bodies(1))
  })
}

test('thousands of chunks that wait for one are all sent once it is taken', async t => {
  const machine = new Machine(t)
  const count = 2000
  for (let file = 0; file < count; file++) {
    const path = CHUNK.replace('000000001', String(file).padStart(9, '0'))
    machine.write(path, chunkFile('app', [{ n: file }]))
  }
  const goOn = hangAtFirst(machine)
  const run = await machine.start(LIMITED.replace('LIMIT', '1'))
  await backlogRead(run, count)
  assert.equal(machine.taken().length, 0)
  goOn()
  await run.until(() => run.pipeline.pendingTasks === 0, 2000)
  assert.equal(machine.taken().length, count)
  await run.stop()
})

test('partly taken chunks of the backlog go on where they were', async t => {
  const machine = new Machine(t)
  machine.write(CHUNK, chunkFile('app', bodies(4)))
  machine.answer = () => partial({ retry: [1, 3] })
  const crashed = await machine.start(ONE_OUTPUT)
  await backlogRead(crashed, 1)
  assert.deepEqual(machine.taken(), [{ n: 0 }, { n: 2 }])
  machine.answer = () => OK
  const run = await machine.start(ONE_OUTPUT)
  await run.until(() => machine.files().length === 0)
  assert.deepEqual(machine.taken(), [{ n: 0 }, { n: 2 }, { n: 1 }, { n: 3 }])
  assert.deepEqual(ledger(run), {
    'input source.0': '4 recovered = 4 delivered',
    'route source.0 > target.0': '2 recovered = 2 delivered'
  })
  await run.stop()
})

test('after a crash a note does not count for an output that has got the name of another', async t => {
  const machine = new Machine(t)
  machine.write(
    CHUNK,
    Buffer.concat([chunkFile('app', bodies(2)), ...settledBlock({ output: TARGET })])
  )
  const run = await machine.start(`${ONE_OUTPUT}    port  1\n`)
  await run.until(() => machine.files().length === 0)
  assert.deepEqual(machine.arrivals.length, 1)
  await run.stop()
})
