/** That `tail` loses no line of files that come, go and change while it cannot read, or while it does not run. */
import assert from 'node:assert/strict'
import {
  appendFileSync,
  mkdirSync,
  mkdtempSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  unlinkSync,
  utimesSync,
  writeFileSync
} from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { test, type TestContext } from 'node:test'
import {
  startPipeline,
  type TakenChunk,
  type TestPipeline
} from '../../../../test/harness/pipeline.ts'
import { OK, retry } from '../../../plugin/delivery.ts'

/** A folder for log files that is removed after the test, with the paths of files in it. */
function folder(t: TestContext): { dir: string; path: string; database: string } {
  const dir = mkdtempSync(join(tmpdir(), 'spillway-rotation-'))
  t.after(() => rmSync(dir, { recursive: true, force: true }))
  return { dir, path: join(dir, 'a.log'), database: join(dir, 'pos.db') }
}

/** An output that takes what it is told to. */
class Gate {
  /** Takes chunks whose events pass this. */
  passes: (chunk: TakenChunk) => boolean = () => true

  close(): void {
    this.passes = () => false
  }

  open(): void {
    this.passes = () => true
  }
}

/** Starts a pipeline with a tail input that has these keys, separated by commas; `DIR` in them is the folder. */
async function follow(dir: string, keys: string, gate = new Gate()): Promise<TestPipeline> {
  const lines = keys.split(', ').map(key => `    ${key.replaceAll('DIR', dir)}`)
  return startPipeline(
    `[SERVICE]\n    scheduler.cap  1\n    scheduler.base  1\n[INPUT]\n    name  tail\n    tag  t\n${lines.join('\n')}\n` +
      '[OUTPUT]\n    name   collect\n    match  *\n    retry_limit  no_limits\n',
    { answer: chunk => (gate.passes(chunk) ? OK : retry('closed')) }
  )
}

/** Starts a pipeline that took `first` of `a.log` and is paused until the gate opens. */
async function paused(t: TestContext, keys: string) {
  const files = folder(t)
  writeFileSync(files.path, 'first\n')
  const gate = new Gate()
  gate.close()
  const run = await follow(files.dir, `${keys}, read_from_head on, mem_buf_limit 10`, gate)
  await run.until(() => run.log.some(line => line.includes('paused (mem buf overlimit')))
  return { ...files, gate, run }
}

/** Lets time pass, and what was started come to its end. */
async function pass(run: TestPipeline, ms: number): Promise<void> {
  await run.clock.advanceSlowly(ms)
}

/** Waits until so many records have come out, and makes sure that no more do. */
async function lines(run: TestPipeline, count: number): Promise<unknown[]> {
  await run.until(() => {
    run.clock.advance(100)
    return run.bodies.length >= count
  })
  await pass(run, 5000)
  return run.bodies.map(body => (body as { log: string }).log)
}

/** What the database holds of each file, by its name without the folder. */
function stored(database: string): Record<string, unknown> {
  const rows = new DatabaseSync(database).prepare('SELECT name, offset FROM in_tail_files').all()
  return Object.fromEntries(rows.map(row => [basename(String(row['name'])), row['offset']]))
}

function dropped(run: TestPipeline, reason: string): { records: number; bytes: number } {
  const labels = { kind: 'input', name: 'tail.0', reason }
  return {
    records: run.counter('spillway_dropped_records_total', labels),
    bytes: run.counter('spillway_dropped_bytes_total', labels)
  }
}

test('paused: files that get the name and lose it again are all read afterwards', async t => {
  const { path, gate, run } = await paused(t, 'path DIR/a.log, rotate_wait 2')
  appendFileSync(path, 'of the first\n')
  renameSync(path, `${path}.1`)
  await pass(run, 300)
  writeFileSync(path, 'of the second\n')
  await pass(run, 300)
  renameSync(path, `${path}.2`)
  writeFileSync(path, 'of the third\n')
  await pass(run, 60_000)
  appendFileSync(`${path}.1`, 'late\n')
  await pass(run, 300)
  assert.equal(run.counter('fluentbit_input_records_total', { name: 'tail.0' }), 1)
  gate.open()
  assert.deepEqual(await lines(run, 5), [
    'first',
    'of the first',
    'late',
    'of the second',
    'of the third'
  ])
  await pass(run, 10_000)
  assert.equal(run.counter('fluentbit_input_files_closed_total', { name: 'tail.0' }), 2)
  await run.stop()
})

test('paused: a file that is found and deleted again is read afterwards', async t => {
  const { dir, gate, run } = await paused(t, 'path DIR/*.log, refresh_interval 5')
  writeFileSync(join(dir, 'b.log'), 'gone\n')
  await pass(run, 6000)
  unlinkSync(join(dir, 'b.log'))
  await pass(run, 60_000)
  gate.open()
  assert.deepEqual(await lines(run, 2), ['first', 'gone'])
  assert.equal(run.counter('fluentbit_input_files_closed_total', { name: 'tail.0' }), 1)
  await run.stop()
})

test('paused: a deleted file is read to its end, and so is the one that takes its name', async t => {
  const { path, gate, run } = await paused(t, 'path DIR/a.log')
  appendFileSync(path, 'more\n')
  await pass(run, 300)
  unlinkSync(path)
  await pass(run, 300)
  writeFileSync(path, 'next\n')
  await pass(run, 300)
  renameSync(path, `${path}.1`)
  await pass(run, 60_000)
  gate.open()
  assert.deepEqual(await lines(run, 3), ['first', 'more', 'next'])
  await run.stop()
})

test('paused: truncation is noticed though the file has grown again, and what was not read is counted', async t => {
  const { path, gate, run } = await paused(t, 'path DIR/a.log')
  appendFileSync(path, 'lost\nlost\n')
  await pass(run, 300)
  truncateSync(path)
  appendFileSync(path, 'new one\nnew\n')
  await pass(run, 300)
  gate.open()
  assert.deepEqual(await lines(run, 3), ['first', 'new one', 'new'])
  assert.deepEqual(dropped(run, 'truncated'), { records: 1, bytes: 10 })
  await run.stop()
})

test('paused: an old file is not left for its age before it is read', async t => {
  const { path, gate, run } = await paused(
    t,
    'path DIR/a.log, ignore_older 1h, ignore_active_older_files on'
  )
  appendFileSync(path, 'second\n')
  await pass(run, 300)
  utimesSync(path, 1_600_000_000, 1_600_000_000)
  await pass(run, 20_000)
  gate.open()
  assert.deepEqual(await lines(run, 2), ['first', 'second'])
  await pass(run, 10_000)
  assert.equal(run.counter('fluentbit_input_files_closed_total', { name: 'tail.0' }), 1)
  await run.stop()
})

/** Starts a pipeline that has read `a.log` to its end and is paused by `b.log`, which has a line of 100 bytes. */
async function pausedByAnother(files: ReturnType<typeof folder>, keys: string) {
  const gate = new Gate()
  gate.close()
  const other = join(files.dir, 'b.log')
  writeFileSync(other, '')
  const all = `path DIR/*.log, read_from_head on, mem_buf_limit 100, ${keys}`
  const run = await follow(files.dir, all, gate)
  await pass(run, 1000)
  appendFileSync(other, `${'b'.repeat(100)}\n`)
  await pass(run, 4000)
  assert.ok(run.log.some(line => line.includes('paused (mem buf overlimit')))
  return { gate, run }
}

test('paused: a quiet link that leads to one file after the other', async t => {
  const files = folder(t)
  const { dir, path } = files
  const targets = ['one', 'two', 'three'].map(name => join(dir, name))
  for (const target of targets) writeFileSync(target, `${basename(target)}\n`)
  symlinkSync(targets[0], path)
  const { gate, run } = await pausedByAnother(files, 'rotate_wait 100')
  for (const target of targets.slice(1)) {
    await pass(run, 4000)
    unlinkSync(path)
    symlinkSync(target, path)
  }
  await pass(run, 4000)
  appendFileSync(targets[0], 'more\n')
  await pass(run, 300)
  assert.equal(run.counter('fluentbit_input_records_total', { name: 'tail.0' }), 2)
  gate.open()
  const [first, second, ...rest] = await lines(run, 5)
  assert.deepEqual(new Set([first, second]), new Set(['one', 'b'.repeat(100)]))
  assert.deepEqual(rest, ['two', 'three', 'more'])
  await run.stop()
})

test('paused: a rotated file that was read to its end is closed', async t => {
  const files = folder(t)
  const { path } = files
  writeFileSync(path, 'one\n')
  const { run } = await pausedByAnother(files, 'rotate_wait 2')
  renameSync(path, `${path}.1`)
  await pass(run, 5000)
  assert.equal(run.counter('fluentbit_input_files_closed_total', { name: 'tail.0' }), 1)
  await run.stop()
})

test('a busy file that is rotated every 150 ms', async t => {
  const { dir, path } = folder(t)
  writeFileSync(path, 'line 0\n')
  const run = await follow(dir, 'path DIR/a.log, read_from_head on')
  await pass(run, 1000)
  const expected = ['line 0']
  for (let number = 1; number <= 10; number++) {
    renameSync(path, `${path}.${number}`)
    writeFileSync(path, `line ${number}\n`)
    expected.push(`line ${number}`)
    await run.clock.advanceSlowly(150, 50)
  }
  assert.deepEqual(await lines(run, 11), expected)
  await run.stop()
})

test('a name is looked at for its next file also when the rotated file is closed', async t => {
  const { dir, path } = folder(t)
  writeFileSync(path, 'one\n')
  const run = await follow(dir, 'path DIR/a.log, read_from_head on, rotate_wait 1')
  await pass(run, 1000)
  renameSync(path, `${path}.1`)
  await pass(run, 5000)
  assert.equal(run.counter('fluentbit_input_files_closed_total', { name: 'tail.0' }), 1)
  writeFileSync(path, 'two\n')
  await pass(run, 200)
  renameSync(path, `${path}.2`)
  writeFileSync(path, 'three\n')
  assert.deepEqual(await lines(run, 3), ['one', 'two', 'three'])
  await run.stop()
})

test('a rotated file is read as long as it grows, and an unfinished last line is counted', async t => {
  const { dir, path } = folder(t)
  writeFileSync(path, 'one\n')
  const run = await follow(dir, 'path DIR/a.log, read_from_head on, rotate_wait 2, db DIR/pos.db')
  await pass(run, 1000)
  renameSync(path, `${path}.1`)
  await pass(run, 1500)
  appendFileSync(`${path}.1`, 'two\n')
  await pass(run, 1500)
  appendFileSync(`${path}.1`, 'three\nunfin')
  assert.deepEqual(await lines(run, 3), ['one', 'two', 'three'])
  assert.deepEqual(dropped(run, 'unfinished_line'), { records: 1, bytes: 5 })
  await run.stop()
})

test('an unfinished last line of a deleted file is counted', async t => {
  const { dir, path } = folder(t)
  writeFileSync(path, 'one\nunfin')
  const run = await follow(dir, 'path DIR/a.log, read_from_head on')
  await lines(run, 1)
  unlinkSync(path)
  await pass(run, 1000)
  assert.deepEqual(dropped(run, 'unfinished_line'), { records: 1, bytes: 5 })
  await run.stop()
})

for (const change of ['replaced', 'appended to'] as const) {
  test(`ignore_older: what is new is read of a path whose old file is ${change}`, async t => {
    const { dir, path } = folder(t)
    writeFileSync(path, 'old\n')
    utimesSync(path, 1_600_000_000, 1_600_000_000)
    const keys = 'path DIR/a.log, read_from_head on, ignore_older 1h, refresh_interval 1'
    const run = await follow(dir, keys)
    await pass(run, 2000)
    if (change === 'replaced') unlinkSync(path)
    appendFileSync(path, 'longer than the old one\n')
    assert.deepEqual(await lines(run, 1), ['longer than the old one'])
    await run.stop()
  })
}

test('a position is stored though its delivery ends long after rotate_wait', async t => {
  const { dir, path, database } = folder(t)
  writeFileSync(path, 'one\ntwo\n')
  const gate = new Gate()
  gate.close()
  const keys = 'path DIR/a.log*, read_from_head on, rotate_wait 1, db DIR/pos.db'
  const run = await follow(dir, keys, gate)
  await pass(run, 2000)
  renameSync(path, `${path}.1`)
  await pass(run, 10_000)
  gate.open()
  await lines(run, 2)
  assert.deepEqual(stored(database), { 'a.log.1': 8 })
  assert.equal(run.counter('fluentbit_input_files_closed_total', { name: 'tail.0' }) >= 1, true)
  await run.stop()
})

test('what was read before a truncation does not move the position of what is read after it', async t => {
  const { dir, path, database } = folder(t)
  writeFileSync(path, 'zero\n')
  const gate = new Gate()
  const keys = 'path DIR/a.log, read_from_head on, db DIR/pos.db'
  const run = await follow(dir, keys, gate)
  await lines(run, 1)
  gate.close()
  appendFileSync(path, 'before\n')
  await pass(run, 2000)
  assert.deepEqual(stored(database), { 'a.log': 5 })
  truncateSync(path)
  await pass(run, 200)
  assert.deepEqual(stored(database), { 'a.log': 0 })
  appendFileSync(path, 'x\n')
  await pass(run, 2000)
  gate.passes = chunk => JSON.stringify(chunk.events).includes('before')
  assert.deepEqual(await lines(run, 2), ['zero', 'before'])
  assert.deepEqual(stored(database), { 'a.log': 0 })
  await run.stop()
  const next = await follow(dir, keys)
  assert.deepEqual(await lines(next, 1), ['x'])
  await next.stop()
})

test('positions that settle during the stop are stored', async t => {
  const { dir, path, database } = folder(t)
  writeFileSync(path, 'one\n')
  const gate = new Gate()
  gate.close()
  const run = await follow(dir, 'path DIR/a.log, read_from_head on, db DIR/pos.db', gate)
  await pass(run, 2000)
  gate.open()
  await run.stop()
  assert.deepEqual(stored(database), { 'a.log': 4 })
})

test('chunks that are given up at the end of the stop neither move a position nor fail', async t => {
  const { dir, path, database } = folder(t)
  writeFileSync(path, 'one\n')
  const gate = new Gate()
  gate.close()
  const run = await follow(dir, 'path DIR/a.log, read_from_head on, db DIR/pos.db', gate)
  await pass(run, 2000)
  await run.stop()
  await new Promise(resolve => setImmediate(resolve))
  assert.deepEqual(stored(database), { 'a.log': 0 })
  assert.deepEqual(
    run.log.filter(line => line.includes('cannot store positions')),
    []
  )
})

test('a line that is too long and has no end yet is passed over from its start again', async t => {
  const { dir, path, database } = folder(t)
  writeFileSync(path, `one\n${'y'.repeat(300)}`)
  const keys =
    'path DIR/a.log, read_from_head on, db DIR/pos.db, buffer_chunk_size 100, buffer_max_size 200'
  const first = await follow(dir, keys)
  await lines(first, 1)
  await first.stop()
  assert.deepEqual(stored(database), { 'a.log': 4 })
  appendFileSync(path, `${'y'.repeat(10)}\ntwo\n`)
  const second = await follow(dir, keys)
  assert.deepEqual(await lines(second, 1), ['two'])
  await second.stop()
})

/** Delivers `one` of `a.log`, reads `two` without delivering it, and stops. */
async function firstRun(dir: string, keys: string): Promise<void> {
  const gate = new Gate()
  const path = join(dir, 'a.log')
  writeFileSync(path, '')
  const run = await follow(dir, keys, gate)
  appendFileSync(path, 'one\n')
  await lines(run, 1)
  gate.close()
  appendFileSync(path, 'two\n')
  await pass(run, 2000)
  await run.stop()
}

test('restart: a file that was renamed meanwhile is read to its end under its old path', async t => {
  const { dir, path, database } = folder(t)
  const keys = 'path DIR/a.log, db DIR/pos.db, path_key file, rotate_wait 2'
  await firstRun(dir, keys)
  appendFileSync(path, 'three\n')
  renameSync(path, `${path}.1`)
  writeFileSync(path, 'four\n')
  const run = await follow(dir, keys)
  await lines(run, 3)
  assert.deepEqual(run.bodies, [
    { file: path, log: 'four' },
    { file: path, log: 'two' },
    { file: path, log: 'three' }
  ])
  assert.equal(run.counter('fluentbit_input_files_closed_total', { name: 'tail.0' }), 1)
  assert.deepEqual(stored(database), { 'a.log.1': 14, 'a.log': 5 })
  await run.stop()
  const next = await follow(dir, keys)
  await pass(next, 5000)
  assert.deepEqual(next.bodies, [])
  assert.deepEqual(stored(database), { 'a.log': 5 })
  await next.stop()
})

test('restart: a file that was rotated and not delivered before the stop keeps its path', async t => {
  const { dir, path } = folder(t)
  const gate = new Gate()
  gate.close()
  const keys = 'path DIR/a.log, db DIR/pos.db, path_key file, read_from_head on'
  writeFileSync(path, 'one\n')
  const first = await follow(dir, keys, gate)
  await pass(first, 500)
  renameSync(path, `${path}.1`)
  await pass(first, 2000)
  await first.stop()
  renameSync(`${path}.1`, `${path}.2`)
  const second = await follow(dir, keys)
  await lines(second, 1)
  assert.deepEqual(second.bodies, [{ file: path, log: 'one' }])
  await second.stop()
})

test('restart: of a file that no delivery ended of all is read, whatever its name', async t => {
  const { dir, path } = folder(t)
  const gate = new Gate()
  gate.close()
  const keys = 'path DIR/a.log*, db DIR/pos.db'
  const first = await follow(dir, keys, gate)
  writeFileSync(path, 'one\n')
  await pass(first, 62_000)
  await first.stop()
  renameSync(path, `${path}.1`)
  const second = await follow(dir, keys)
  assert.deepEqual(await lines(second, 1), ['one'])
  await second.stop()
})

test('restart: a file that has its name still and is not matched any more is not read', async t => {
  const { dir } = folder(t)
  mkdirSync(join(dir, 'sub'))
  await firstRun(join(dir, 'sub'), 'path DIR/a.log, db DIR/pos.db')
  renameSync(join(dir, 'sub', 'pos.db'), join(dir, 'pos.db'))
  const run = await follow(dir, 'path DIR/*.log, db DIR/pos.db')
  await pass(run, 3000)
  assert.deepEqual(run.bodies, [])
  await run.stop()
})

test('restart: a file behind a link that was rotated where it lies', async t => {
  const { dir, path } = folder(t)
  mkdirSync(join(dir, 'pod'))
  const target = join(dir, 'pod', '0.log')
  writeFileSync(target, '')
  symlinkSync(target, path)
  const keys = 'path DIR/a.log, db DIR/pos.db'
  await firstRun(dir, keys)
  renameSync(target, `${target}.20260101`)
  writeFileSync(target, 'three\n')
  const run = await follow(dir, keys)
  assert.deepEqual(await lines(run, 2), ['three', 'two'])
  await run.stop()
})

test('restart: what was truncated meanwhile is read from its beginning', async t => {
  const { dir, path } = folder(t)
  const keys = 'path DIR/a.log, db DIR/pos.db'
  await firstRun(dir, keys)
  truncateSync(path)
  appendFileSync(path, 'new content\n')
  const run = await follow(dir, keys)
  assert.deepEqual(await lines(run, 1), ['new content'])
  await run.stop()
})

test('restart: a file that was empty at the stop is read from its beginning', async t => {
  const { dir, path } = folder(t)
  const keys = 'path DIR/a.log, db DIR/pos.db'
  writeFileSync(path, '')
  const first = await follow(dir, keys)
  await pass(first, 500)
  await first.stop()
  appendFileSync(path, 'one\n')
  const second = await follow(dir, keys)
  assert.deepEqual(await lines(second, 1), ['one'])
  await second.stop()
})

for (const [what, keys, change] of [
  ['that is compressed and has no position', 'path DIR/a.log', 'unread to a.log.1.gz'],
  ['that has another name altogether and no position', 'path DIR/a.log', 'unread to b.txt'],
  ['whose content is another', 'path DIR/a.log', 'rewritten to a.log.1'],
  ['that was read to its end', 'path DIR/a.log', 'read to a.log.1'],
  ['that is excluded now', 'path DIR/a.log, exclude_path *a.log', 'partly to a.log.1'],
  ['that no path names any more', 'path DIR/b.log', 'partly to a.log.1'],
  ['that is too old', 'path DIR/a.log, ignore_older 1h', 'aged to a.log.1']
] as const) {
  test(`restart: not read is a renamed file ${what}`, async t => {
    const { dir, path, database } = folder(t)
    const [state, , name] = change.split(' ')
    const gate = new Gate()
    if (state === 'unread') gate.close()
    writeFileSync(path, 'one\n')
    const first = await follow(dir, 'path DIR/a.log, read_from_head on, db DIR/pos.db', gate)
    await pass(first, 3000)
    await first.stop()
    assert.deepEqual(stored(database), { 'a.log': state === 'unread' ? 0 : 4 })
    if (state === 'rewritten') truncateSync(path)
    if (state !== 'read') appendFileSync(path, 'twoo\nthree\n')
    if (state === 'aged') utimesSync(path, 1_600_000_000, 1_600_000_000)
    renameSync(path, join(dir, name))
    writeFileSync(join(dir, 'b.log'), '')
    writeFileSync(path, '')
    const second = await follow(dir, `${keys}, read_from_head on, db DIR/pos.db`)
    await pass(second, 3000)
    assert.deepEqual(second.bodies, [])
    const left = Object.keys(stored(database))
    assert.equal(left.includes(name), false)
    await second.stop()
  })
}
