/** Where chunks are kept, as the keys `storage.*` say, and what that promises. */
import assert from 'node:assert/strict'
import { mkdirSync, readdirSync, readlinkSync, statSync, writeFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { test } from 'node:test'
import { CHUNK_BYTES } from '../../src/base/limits.ts'
import { OK, retry } from '../../src/plugin/delivery.ts'
import { eventsBlock, startOfFile } from '../../src/storage/chunk_format.ts'
import { SlowDisk, systemFailure } from '../harness/faulty_disk.ts'
import { balanced, Machine, settle } from '../harness/machine.ts'
import { encodeEvent } from '../harness/odd_events.ts'
import { checkConfiguration, type TestPipeline } from '../harness/pipeline.ts'
import { folder, RunningProgram, runProgram } from '../harness/process.ts'

/** A configuration with one input and one output; `SERVICE` and `INPUT` stand for more lines. */
function configuration(service: string, input: string, output = ''): string {
  return `
[SERVICE]
    flush         1
${indented(service)}
[INPUT]
    name          source
    tag           app
${indented(input)}
[OUTPUT]
    name          target
    match         *
    retry_limit   no_limits
${indented(output)}
`
}

function indented(lines: string): string {
  return lines
    .split('\n')
    .map(line => `    ${line.trim()}`)
    .join('\n')
}

const FILESYSTEM = configuration('storage.path STORE', 'storage.type filesystem')

const bodies = (count: number): { n: number }[] => Array.from({ length: count }, (_, n) => ({ n }))

/** What a chunk's file holds when each of these lists of bodies was one commit. */
function content(tag: string, ...commits: readonly (readonly { n: number }[])[]): Buffer {
  return Buffer.concat([
    ...startOfFile({ tag, input: 'source.0' }),
    ...commits.flatMap(commit =>
      eventsBlock(
        Buffer.concat(commit.map(body => encodeEvent([1_700_000_000, 0], body))),
        commit.length
      )
    )
  ])
}

function storageLines(run: TestPipeline): string[] {
  return run.log.filter(line => /\[storage\]|storage_strategy/.test(line))
}

// --- storage.type

for (const [type, strategy] of [
  ['memory', "'memory' (memory only)"],
  ['memrb', "'memrb' (memory ring buffer)"]
] as const) {
  test(`storage.type ${type} writes nothing to storage.path, and a crash loses what was not delivered`, async t => {
    const machine = new Machine(t)
    machine.answer = () => retry('refused')
    const text = configuration('storage.path STORE', `storage.type ${type}`)
    const crashed = await machine.start(text)
    machine.push('app', { n: 0 })
    crashed.flush()
    machine.push('app', { n: 1 })
    assert.deepEqual(machine.files(), [])
    assert.ok(
      storageLines(crashed).includes(`[ info] [input:source:source.0] storage_strategy=${strategy}`)
    )
    machine.answer = () => OK
    const run = await machine.start(text)
    await run.clock.advanceSlowly(10_000, 1000)
    assert.deepEqual(machine.taken(), [])
    await run.stop()
  })
}

test('storage.type filesystem has each commit on disk before it returns, and removes the file after the delivery', async t => {
  const machine = new Machine(t)
  const run = await machine.start(FILESYSTEM)
  assert.deepEqual(machine.files(), [])
  machine.push('app', { n: 0 })
  machine.push('app', { n: 1 }, { n: 2 })
  const [file, ...others] = machine.chunkFiles()
  assert.deepEqual(others, [])
  assert.match(file, /^\.spillway\/chunks\/source\.0\/\d+-1700000001\.000000000\.chunk$/)
  assert.deepEqual(machine.read(file), content('app', [{ n: 0 }], [{ n: 1 }, { n: 2 }]))
  assert.equal(statSync(join(machine.store, file)).mode & 0o777, 0o600)
  run.flush()
  assert.deepEqual(machine.files(), [])
  assert.deepEqual(machine.taken(), bodies(3))
  assert.ok(
    storageLines(run).includes(
      "[ info] [input:source:source.0] storage_strategy='filesystem' (memory + filesystem)"
    )
  )
  await run.stop()
})

test('events that filters drop, or that no output wants, are not written', async t => {
  const machine = new Machine(t)
  const run = await machine.start(
    FILESYSTEM.replace('match         *', 'match  app') +
      '[FILTER]\n    name grep\n    match *\n    exclude drop yes\n'
  )
  machine.push('app', { drop: 'yes' })
  machine.push('other', { n: 1 })
  assert.deepEqual(machine.files(), [])
  machine.push('app', { drop: 'yes' }, { n: 1 }, { drop: 'yes' })
  assert.deepEqual(machine.read(machine.chunkFiles()[0]), content('app', [{ n: 1 }]))
  await run.stop()
})

for (const [what, service, input, strategy, warning] of [
  [
    'is taken from the service',
    'storage.inherit on\nstorage.type filesystem',
    '',
    'filesystem',
    ''
  ],
  ['is taken in any case', 'storage.inherit on\nstorage.type FileSystem', '', 'filesystem', ''],
  ['may be memrb', 'storage.inherit on\nstorage.type memrb', '', 'memrb', ''],
  [
    'of the input itself counts',
    'storage.inherit on\nstorage.type filesystem',
    'storage.type memory',
    'memory',
    ''
  ],
  ['of the service counts with storage.inherit only', 'storage.type filesystem', '', 'memory', ''],
  [
    'is memory when the service has none',
    'storage.inherit on',
    '',
    'memory',
    'Memory is used for input source.0: storage.inherit is on and the service section has no storage.type'
  ],
  [
    'is memory when the service has one that does not exist',
    'storage.inherit on\nstorage.type floppy',
    '',
    'memory',
    'Memory is used for input source.0: storage.type "floppy" of the service section is none of memory, filesystem, memrb'
  ]
] as const) {
  test(`storage.inherit: the type ${what}`, async t => {
    const machine = new Machine(t)
    const run = await machine.start(configuration(`storage.path STORE\n${service}`, input))
    const line = storageLines(run).find(found => found.includes('source.0'))
    assert.match(line ?? '', new RegExp(`storage_strategy='${strategy}'`))
    assert.deepEqual(
      run.diagnostics.list.map(({ message }) => message),
      warning === '' ? [] : [warning]
    )
    machine.push('app', { n: 0 })
    assert.equal(machine.chunkFiles().length, strategy === 'filesystem' ? 1 : 0)
    await run.stop()
  })
}

test('storage.type of an input is one of three words', async () => {
  const { errors } = await checkConfiguration('[INPUT]\n    name lib\n    storage.type disk\n')
  assert.deepEqual(errors, [
    'fluent-bit.conf:3:18: Cannot set "storage.type" on input lib: value must be one of memory, filesystem, memrb: current value is "disk"'
  ])
})

// --- storage.path

test('storage.path is made at the first start, and the start says what storage is like', async t => {
  const machine = new Machine(t)
  machine.answer = () => retry('refused')
  const first = await machine.start(FILESYSTEM)
  assert.deepEqual(storageLines(first), [
    `[ info] [storage] created root path ${machine.store}`,
    '[ info] [storage] ver=0.1.0, type=memory+filesystem, sync=normal, checksum=off, max_chunks_up=128',
    '[ info] [storage] backlog input plugin: storage_backlog.1',
    "[ info] [input:source:source.0] storage_strategy='filesystem' (memory + filesystem)",
    "[ info] [input:storage_backlog:storage_backlog.1] storage_strategy='memory' (memory only)"
  ])
  const second = await machine.start(
    configuration(
      'storage.path STORE\nstorage.sync full\nstorage.checksum on\nstorage.max_chunks_up 7\nstorage.backlog.mem_limit 5M',
      'storage.type filesystem'
    )
  )
  assert.deepEqual(
    second.log.filter(line => /\[storage\]|queue memory/.test(line)),
    [
      '[ info] [storage] ver=0.1.0, type=memory+filesystem, sync=full, checksum=on, max_chunks_up=7',
      '[ info] [storage] backlog input plugin: storage_backlog.1',
      '[ info] [input:storage_backlog:storage_backlog.1] queue memory limit: 4.8M'
    ]
  )
})

test('without storage.path nothing is said of folders and a backlog', async t => {
  const machine = new Machine(t)
  const run = await machine.start(configuration('', ''))
  assert.deepEqual(storageLines(run), [
    '[ info] [storage] ver=0.1.0, type=memory, sync=normal, checksum=off, max_chunks_up=128',
    "[ info] [input:source:source.0] storage_strategy='memory' (memory only)"
  ])
  await run.stop()
})

test('a storage.path that cannot be made is an error of the start', async t => {
  const machine = new Machine(t)
  mkdirSync(dirname(machine.store), { recursive: true })
  writeFileSync(machine.store, 'a file')
  await assert.rejects(machine.start(FILESYSTEM), { code: 'ENOTDIR' })
})

const DUMMY = `
[SERVICE]
    flush         1
    log_level     info
    storage.path  buffers/of mine
[INPUT]
    name          dummy
    samples       3
    storage.type  filesystem
[OUTPUT]
    name          null
    match         *
`

test('a relative storage.path is below the working folder', async t => {
  const directory = folder(t, { 'fluent-bit.conf': DUMMY })
  const program = new RunningProgram(t, directory, ['-c', 'fluent-bit.conf'])
  await program.until(() => program.stderr.includes('[storage] backlog input plugin'))
  program.child.kill('SIGTERM')
  const { code, log } = await program.ended
  assert.equal(code, 0)
  assert.ok(log.includes('[ info] [storage] created root path buffers/of mine'))
  assert.deepEqual(readdirSync(join(directory, 'buffers/of mine')), ['.spillway'])
})

test('a program whose storage.path cannot be made ends with 255 and the reason', async t => {
  const directory = folder(t, { 'fluent-bit.conf': DUMMY, buffers: 'a file' })
  const { code, log } = await runProgram(t, directory, ['-c', 'fluent-bit.conf'])
  assert.equal(code, 255)
  const errors = log.filter(line => line.startsWith('[error]'))
  assert.equal(errors.length, 1)
  assert.match(errors[0], /\[engine\] start failed: ENOTDIR.*buffers\/of mine/)
})

// --- storage.sync

test('storage.sync normal acknowledges what is written and never waits for the medium', async t => {
  const machine = new Machine(t)
  const slow = new SlowDisk()
  const run = await machine.start(FILESYSTEM, { disk: slow.disk })
  assert.equal(machine.push('app', { n: 0 }).due, 1)
  run.flush()
  assert.deepEqual(
    slow.calls.filter(call => call.startsWith('sync')),
    []
  )
  await run.stop()
})

test('storage.sync full acknowledges events once file and folder are on the medium', async t => {
  const machine = new Machine(t)
  machine.answer = () => retry('refused')
  const slow = new SlowDisk()
  const text = configuration('storage.path STORE\nstorage.sync FULL', 'storage.type filesystem')
  const run = await machine.start(text, { disk: slow.disk })
  const first = machine.push('app', { n: 0 })
  const second = machine.push('app', { n: 1 })
  assert.deepEqual([first.due, second.due], [0, 0])
  // The file, and the five folders whose names lead to it.
  for (let wait = 0; wait < 6; wait++) {
    assert.deepEqual([first.due, second.due], [0, 0], `after ${wait} waits`)
    slow.endSync()
  }
  assert.deepEqual([first.due, second.due], [1, 0])
  slow.endSync()
  assert.deepEqual([first.due, second.due], [1, 1])
  const file = machine.chunkFiles()[0].split('/').at(-1)
  const above = basename(dirname(machine.store))
  assert.deepEqual(
    slow.calls.filter(call => /^(create|sync)/.test(call)),
    [
      `create ${file}`,
      `sync ${file}`,
      ...['source.0', 'chunks', '.spillway', 'store', above].map(name => `sync folder ${name}`),
      `sync ${file}`
    ]
  )
  // Of the next file only its own folder is new.
  const third = machine.push('other', { n: 2 })
  slow.endSync()
  slow.endSync()
  assert.equal(third.due, 1)
  run.flush()
  assert.ok(slow.calls.includes(`close ${file}`))
})

test('events that are delivered before the medium has them are acknowledged then, once', async t => {
  const machine = new Machine(t)
  const slow = new SlowDisk()
  const text = configuration('storage.path STORE\nstorage.sync full', 'storage.type filesystem')
  const run = await machine.start(text, { disk: slow.disk })
  const receipt = machine.push('app', { n: 0 })
  run.flush()
  assert.deepEqual(machine.taken(), [{ n: 0 }])
  assert.equal(receipt.due, 1)
  slow.endSync()
  slow.endSync()
  assert.equal(receipt.due, 1)
  await run.stop()
})

test('a medium that fails is reported and counted, and events are acknowledged when they are delivered', async t => {
  const machine = new Machine(t)
  machine.answer = () => retry('refused')
  const slow = new SlowDisk()
  const text = configuration('storage.path STORE\nstorage.sync full', 'storage.type filesystem')
  const run = await machine.start(text, { disk: slow.disk })
  const receipt = machine.push('app', { n: 0 })
  slow.endSync(systemFailure('EIO', -5, 'fdatasync'))
  assert.equal(run.counter('spillway_storage_sync_failures_total', {}), 1)
  assert.deepEqual(
    run.log.filter(line => line.startsWith('[error]')),
    [
      `[error] [storage] the medium did not take ${join(machine.store, machine.chunkFiles()[0])}: Input/output error; what is in it is acknowledged when it is delivered`
    ]
  )
  assert.equal(receipt.due, 0)
  machine.answer = () => OK
  await run.clock.advanceSlowly(15_000, 1000)
  assert.equal(receipt.due, 1)
  await run.stop()
})

// --- storage.max_chunks_up

test('storage.max_chunks_up: more chunks than that leave their bytes to the disk, and all are delivered intact', async t => {
  const machine = new Machine(t)
  machine.answer = () => retry('refused')
  const text = configuration(
    'storage.path STORE\nstorage.max_chunks_up 4',
    'storage.type filesystem'
  )
  const run = await machine.start(text)
  const load = 'x'.repeat(200_000)
  for (let n = 0; n < 30; n++) {
    machine.push('app', { n, load: `${load}${n}` })
    run.flush()
    const { filesystem, filesystemUp } = run.pipeline.storageStats()
    assert.equal(filesystem, n + 1)
    assert.ok(filesystemUp <= 5, `${filesystemUp} chunks are up`)
  }
  const inMemory = [...run.pipeline.tasks]
    .map(({ chunk }) => chunk.writer.bytes.length)
    .reduce((sum, bytes) => sum + bytes, 0)
  // A chunk of this size has the buffer of a full one.
  assert.ok(inMemory <= 5 * 1.25 * CHUNK_BYTES, `${inMemory} bytes are held`)
  machine.answer = () => OK
  await run.clock.advanceSlowly(3_000_000, 10_000)
  assert.deepEqual(
    machine
      .taken()
      .map(body => (body as { n: number; load: string }).load.slice(load.length))
      .toSorted((a, b) => Number(a) - Number(b)),
    bodies(30).map(({ n }) => String(n))
  )
  assert.deepEqual(machine.files(), [])
  balanced(run)
  await run.stop()
})

test('a chunk that an output works on stays in memory', async t => {
  const machine = new Machine(t)
  const { promise, resolve } = Promise.withResolvers<typeof OK>()
  machine.answer = ({ attempt, bodies: [body] }) =>
    (body as { n: number }).n === 1 ? promise : attempt === 1 ? retry('refused') : OK
  const text = configuration(
    'storage.path STORE\nstorage.max_chunks_up 1',
    'storage.type filesystem'
  )
  const run = await machine.start(text)
  for (const body of bodies(5)) {
    machine.push('app', body)
    run.flush()
  }
  const up = [...run.pipeline.tasks].map(({ chunk }) => chunk.isUp)
  assert.deepEqual(up, [true, true, false, false, false])
  resolve(OK)
  await run.clock.advanceSlowly(100_000, 1000)
  assert.deepEqual(
    machine.taken().toSorted((a, b) => (a as { n: number }).n - (b as { n: number }).n),
    bodies(5)
  )
  await run.stop()
})

test('mem_buf_limit with storage.type filesystem leaves chunks to the disk and does not pause', async t => {
  const machine = new Machine(t)
  machine.answer = () => retry('refused')
  const run = await machine.start(
    configuration('storage.path STORE', 'storage.type filesystem\nmem_buf_limit 100')
  )
  for (let n = 0; n < 10; n++) {
    machine.push('app', { n, load: 'x'.repeat(60) })
    run.flush()
  }
  assert.deepEqual(machine.calls, [])
  assert.equal(run.pipeline.storageStats().filesystem, 10)
  assert.ok(run.pipeline.storageStats().filesystemUp <= 2)
  machine.answer = () => OK
  await run.clock.advanceSlowly(3_000_000, 10_000)
  assert.equal(machine.taken().length, 10)
  await run.stop()
})

// --- storage.trim_files

for (const trim of ['off', 'on']) {
  test(`storage.trim_files ${trim}: a file is its content, without padding`, async t => {
    const machine = new Machine(t)
    machine.answer = () => retry('refused')
    const run = await machine.start(
      configuration(`storage.path STORE\nstorage.trim_files ${trim}`, 'storage.type filesystem')
    )
    machine.push('app', ...bodies(2))
    run.flush()
    assert.deepEqual(
      machine.chunkFiles().map(path => machine.read(path)),
      [content('app', bodies(2))]
    )
  })
}

// --- tags and names

const ODD_TAGS: readonly string[] = [
  'a/b/../c',
  '../../../etc/passwd',
  '/',
  '.',
  '..',
  'sp ace',
  'zero\0byte',
  'new\nline',
  'kube.var.log.containers.böse-Ünïcode-😀',
  '"quotes" and \\ \\n',
  `long${'x'.repeat(65_527)}`
]

test('tags of any characters and up to 65531 bytes survive a crash', async t => {
  const machine = new Machine(t)
  machine.answer = () => retry('refused')
  const crashed = await machine.start(FILESYSTEM)
  for (const tag of ODD_TAGS) machine.push(tag, { tag })
  crashed.flush()
  assert.equal(machine.chunkFiles().length, ODD_TAGS.length)
  assert.ok(machine.files().every(path => path.startsWith('.spillway/chunks/source.0/')))
  machine.answer = () => OK
  const seen = machine.arrivals.length
  const run = await machine.start(FILESYSTEM)
  await run.until(() => machine.files().length === 0)
  assert.deepEqual(
    machine.arrivals.slice(seen).map(({ tag, bodies: [body] }) => [tag, body]),
    ODD_TAGS.map(tag => [tag, { tag }])
  )
  await run.stop()
})

test('aliases of any characters survive a crash', async t => {
  const machine = new Machine(t)
  const text = `
service:
  storage.path: STORE
pipeline:
  inputs:
    - { name: source, tag: app, alias: "in/../ \\"ä\\" 1", storage.type: filesystem }
  outputs:
    - { name: target, match: '*', alias: "a/b: \\"x\\" ü", retry_limit: no_limits }
    - { name: target, match: '*', alias: "other > a", retry_limit: no_limits }
`
  machine.answer = ({ output }) => (output === 'other > a' ? OK : retry('refused'))
  const crashed = await machine.start(text, { yaml: true })
  machine.push('app', { n: 0 })
  crashed.flush()
  machine.answer = () => OK
  const run = await machine.start(text, { yaml: true })
  await run.until(() => machine.files().length === 0)
  assert.deepEqual(
    machine.arrivals.map(({ output, attempt }) => [output, attempt]),
    [
      ['a/b: "x" ü', 1],
      ['other > a', 1],
      ['a/b: "x" ü', 2]
    ]
  )
  await run.stop()
})

/** Files that this process has open below a folder. */
function openFiles(machine: Machine): number {
  return readdirSync('/proc/self/fd').filter(descriptor => {
    try {
      return readlinkSync(`/proc/self/fd/${descriptor}`).startsWith(machine.store)
    } catch {
      // The one of the listing itself is gone.
      return false
    }
  }).length
}

test('two hundred tags have files of their own, which are closed at the flush and gone after the delivery', async t => {
  const machine = new Machine(t)
  const run = await machine.start(FILESYSTEM)
  const tags = Array.from({ length: 200 }, (_, index) => `pod.${index}`)
  for (let round = 0; round < 3; round++) {
    machine.answer = ({ attempt }) => (attempt === 1 ? retry('refused') : OK)
    for (const tag of tags) machine.push(tag, { tag, round })
    assert.equal(machine.chunkFiles().length, 200)
    assert.equal(openFiles(machine), 200)
    run.flush()
    assert.equal(openFiles(machine), 0)
    assert.equal(machine.chunkFiles().length, 200)
    await run.clock.advanceSlowly(12_000, 1000)
    assert.deepEqual(machine.files(), [])
    assert.equal(openFiles(machine), 0)
  }
  assert.equal(machine.taken().length, 600)
  balanced(run)
  await run.stop()
})

test('after a crash two hundred files are read one by one, and none stays open', async t => {
  const machine = new Machine(t)
  machine.answer = () => retry('refused')
  const crashed = await machine.start(FILESYSTEM)
  for (let tag = 0; tag < 200; tag++) machine.push(`pod.${tag}`, { tag })
  crashed.flush()
  const run = await machine.start(FILESYSTEM)
  await run.until(() => run.pipeline.pendingTasks === 200)
  assert.equal(openFiles(machine), 0)
  machine.answer = () => OK
  await run.clock.advanceSlowly(12_000, 1000)
  assert.equal(machine.taken().length, 200)
  assert.deepEqual(machine.files(), [])
  await settle(run)
  await run.stop()
})

test('tags whose events are all filtered hold no place among the chunks that are up', async t => {
  const machine = new Machine(t)
  const run = await machine.start(
    `${configuration(
      'storage.path STORE\nstorage.max_chunks_up 2',
      'storage.type filesystem\nstorage.pause_on_chunks_overlimit on'
    )}[FILTER]\n    name grep\n    match *\n    exclude drop yes\n`
  )
  for (let tag = 0; tag < 5; tag++) machine.push(`pod.${tag}`, { drop: 'yes' })
  machine.push('app', { n: 1 })
  assert.deepEqual(machine.calls, [])
  await settle(run)
  assert.equal(machine.context().paused, false)
  await run.stop()
})
