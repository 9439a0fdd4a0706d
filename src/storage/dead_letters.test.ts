import assert from 'node:assert/strict'
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import fc from 'fast-check'
import { SlowDisk, SmallDisk, systemFailure } from '../../test/harness/faulty_disk.ts'
import { encodeEvent } from '../../test/harness/odd_events.ts'
import { DeadLetters, type DeadLetterOptions, type LetterNote } from './dead_letters.ts'
import { systemDisk } from './disk.ts'
import { readFluentBitChunk, writeFluentBitChunk } from './fluent_bit_chunk.ts'

const RECORDED = join(import.meta.dirname, '../../test/data/fluent_bit_chunks')

const NOTE: LetterNote = {
  tag: 'app.log',
  input: 'tail.0',
  output: 'http.0',
  reason: 'http_400',
  time: '2023-11-14T22:13:20.123Z',
  attempts: 1,
  events: 1
}

const ONE = encodeEvent([1_700_000_000, 5], [['n', 1]])
const TWO = encodeEvent([1_700_000_001, 6], [['n', 2]])

function folder(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), 'spillway-letters-'))
  t.after(() => rmSync(path, { recursive: true, force: true }))
  return join(path, 'rejected')
}

function lettersIn(path: string, options: Partial<DeadLetterOptions> = {}): DeadLetters {
  return new DeadLetters({ disk: systemDisk, folder: path, limit: undefined, ...options })
}

/** The time of `NOTE`, some milliseconds later. */
function later(ms: number): string {
  return new Date(Date.parse(NOTE.time) + ms).toISOString()
}

/** Everything in a folder, hidden or not. */
function filesOf(path: string): string[] {
  return existsSync(path) ? readdirSync(path).toSorted() : []
}

/** Bytes of the file of a letter with one event. */
const FILE_BYTES = 24 + 4 + 'app.log'.length + ONE.length + 9 + JSON.stringify(NOTE).length + 1

test('a letter is read as it was written', t => {
  const path = folder(t)
  const kept = lettersIn(path).keep({ ...NOTE, events: 2 }, Buffer.concat([ONE, TWO]))
  assert.deepEqual(kept, { kind: 'kept', bytes: ONE.length + TWO.length, nearLimit: undefined })
  const letters = lettersIn(path)
  assert.deepEqual(letters.names(), ['app.log_0_http.0_0x60a2418202079.flb'])
  assert.deepEqual(letters.read(letters.names()[0]), {
    name: 'app.log_0_http.0_0x60a2418202079.flb',
    note: { ...NOTE, events: 2 },
    content: Buffer.concat([ONE, TWO]),
    problem: undefined
  })
})

test('the file is a chunk of Fluent Bit, tag and checksum included', t => {
  const path = folder(t)
  lettersIn(path).keep(NOTE, ONE)
  const [name] = filesOf(path)
  const read = readFluentBitChunk(readFileSync(join(path, name)), { checksum: true })
  assert.deepEqual(read.ok && [read.chunk.tag, read.chunk.signal, read.chunk.content], [
    'app.log',
    'logs',
    ONE
  ])
})

for (const [tag, output, start] of [
  ['a/b\\c:d', 'my/out', 'a_b_c_d_0_my_out_0x'],
  ['.hidden', 'o', '_hidden_0_o_0x'],
  ['..', 'o', '_._0_o_0x'],
  ['two\nlines\0', 'o', 'two_lines__0_o_0x'],
  ['', 'o', '_0_o_0x'],
  ['x'.repeat(500), 'y'.repeat(500), `${'x'.repeat(127)}_0_${'y'.repeat(63)}_0x`]
] as const) {
  test(`a letter with tag ${JSON.stringify(tag.slice(0, 20))} has a name that is one visible line`, t => {
    const path = folder(t)
    lettersIn(path).keep({ ...NOTE, tag, output }, ONE)
    const letters = lettersIn(path)
    const [name] = letters.names()
    assert.equal(name.slice(0, start.length), start)
    assert.deepEqual(letters.read(name).note, { ...NOTE, tag, output })
  })
}

test('letters of one moment have names of their own, and an earlier run is not overwritten', t => {
  const path = folder(t)
  const first = lettersIn(path)
  first.keep({ ...NOTE, reason: 'a' }, ONE)
  first.keep({ ...NOTE, reason: 'b' }, ONE)
  // The clock was put back before this run.
  const second = lettersIn(path)
  second.keep({ ...NOTE, reason: 'c' }, ONE)
  second.keep({ ...NOTE, reason: 'd' }, ONE)
  assert.deepEqual(
    second.names().map(name => second.read(name).note.reason),
    ['a', 'b', 'c', 'd']
  )
})

test('of a letter that Fluent Bit wrote, its name says tag and output', t => {
  const path = folder(t)
  mkdirSync(path)
  const names = [
    'app_0_rest_0_http.0_0x7f6724058900.flb',
    'app.log_0_azure_blob.0_0x7f6724058900.flb',
    'whatever.flb'
  ]
  for (const name of names) copyFileSync(join(RECORDED, 'rejected.flb'), join(path, name))
  const letters = lettersIn(path)
  const unknown = { input: '', reason: '', time: '', attempts: 0, events: 3 }
  assert.deepEqual(
    letters.names().map(name => letters.read(name).note),
    [
      { ...unknown, tag: 'app.log', output: 'azure_blob.0' },
      { ...unknown, tag: 'app_0_rest', output: 'http.0' },
      { ...unknown, tag: '', output: '' }
    ]
  )
  assert.equal(letters.read(names[0]).content.length, 144)
})

const GOOD = writeFluentBitChunk({
  tag: 'app.log',
  signal: 'logs',
  content: Buffer.concat([ONE, TWO])
})

/** A file with one byte changed. */
function changed(file: Buffer, at: number): Buffer {
  const copy = Buffer.from(file)
  copy[at] ^= 0x01
  return copy
}

const BAD_FILES: readonly (readonly [
  what: string,
  file: Buffer,
  problem: string,
  events: number
])[] = [
  ['nothing', Buffer.alloc(0), 'there are no events in it', 0],
  ['a text', Buffer.from('hello\n'), 'it is no chunk file', 0],
  ['a file without its end', GOOD.subarray(0, -1), 'its end is missing', 1],
  ['a file that was changed', changed(GOOD, 2), 'its bytes have changed: the checksum is wrong', 2],
  [
    'something behind the events',
    writeFluentBitChunk({
      tag: 'app.log',
      signal: 'logs',
      content: Buffer.concat([ONE, Buffer.from('??')])
    }),
    'it holds what is no log event',
    1
  ],
  [
    'profiles',
    writeFluentBitChunk({ tag: 'app.log', signal: 'profiles', content: ONE }),
    'it holds what is no log event',
    0
  ]
]

test('a letter of metrics says so', t => {
  const path = folder(t)
  mkdirSync(path)
  const file = readFileSync(join(RECORDED, 'metrics.flb'))
  writeFileSync(join(path, 'app.metrics_0_http.0_0x1.flb'), file)
  const { note, content, problem } = lettersIn(path).read('app.metrics_0_http.0_0x1.flb')
  assert.deepEqual([note.signal, note.events, problem], ['metrics', 1, undefined])
  assert.ok(content.length > 1000 && file.includes(content))
})

for (const [what, file, problem, events] of BAD_FILES) {
  test(`${what} is a letter with a problem, and with the events that can be read`, t => {
    const path = folder(t)
    mkdirSync(path)
    writeFileSync(join(path, 'app.log_0_http.0_0x1.flb'), file)
    const letter = lettersIn(path).read('app.log_0_http.0_0x1.flb')
    assert.equal(letter.problem, problem)
    assert.equal(letter.note.events, events)
    assert.deepEqual(letter.content, Buffer.concat([ONE, TWO].slice(0, events)))
    assert.equal(letter.note.output, 'http.0')
  })
}

test('a letter that is not there or may not be read has the reason as its problem', t => {
  const path = folder(t)
  mkdirSync(join(path, 'b_0_o_0x1.flb'), { recursive: true })
  const letters = lettersIn(path)
  assert.equal(letters.read('a_0_o_0x1.flb').problem, 'No such file or directory')
  assert.equal(letters.read('b_0_o_0x1.flb').problem, 'Is a directory')
})

test('a note that is not what was written is passed over', t => {
  const path = folder(t)
  mkdirSync(path)
  const magic = Buffer.from('\0SPWYLTR1', 'latin1')
  const notes = [
    '',
    '{',
    'null',
    '[]',
    '{"tag":1}',
    `${JSON.stringify({ ...NOTE, attempts: 'x' })}\n`
  ]
  for (const note of notes) {
    writeFileSync(join(path, 'x.flb'), Buffer.concat([GOOD, magic, Buffer.from(note)]))
    const { note: read, problem } = lettersIn(path).read('x.flb')
    assert.deepEqual(
      [read, problem],
      [
        { tag: 'app.log', input: '', output: '', reason: '', time: '', attempts: 0, events: 2 },
        undefined
      ]
    )
  }
})

test('no bytes make reading throw', t => {
  const path = folder(t)
  mkdirSync(path)
  const letters = lettersIn(path)
  const end = fc.oneof(
    fc.uint8Array(),
    fc.uint8Array().map(bytes => [...changed(GOOD, 30), ...bytes])
  )
  fc.assert(
    fc.property(fc.integer({ min: 0, max: GOOD.length }), end, (length, bytes) => {
      const file = Buffer.concat([GOOD.subarray(0, length), Buffer.from(bytes)])
      writeFileSync(join(path, 'x.flb'), file)
      letters.read('x.flb')
    }),
    { numRuns: 500 }
  )
})

test('a disk that is full while a letter is written leaves no file', t => {
  const path = folder(t)
  const small = new SmallDisk()
  const letters = lettersIn(path, { disk: small.disk, limit: 10_000 })
  letters.keep({ ...NOTE, reason: 'before' }, ONE)
  const before = filesOf(path)
  for (const room of [0, 1, FILE_BYTES - 1]) {
    small.room = room
    assert.throws(() => letters.keep(NOTE, ONE), { code: 'ENOSPC' })
    assert.deepEqual(filesOf(path), before)
  }
  small.room = Number.POSITIVE_INFINITY
  letters.keep({ ...NOTE, reason: 'after' }, ONE)
  assert.deepEqual(
    letters.names().map(name => letters.read(name).note.reason),
    ['before', 'after']
  )
})

test('a disk that takes nothing and says nothing is a failure, not an endless loop', t => {
  const path = folder(t)
  const letters = lettersIn(path, { disk: { ...systemDisk, write: () => 0 } })
  assert.throws(() => letters.keep(NOTE, ONE), { message: 'the disk takes no more' })
  assert.deepEqual(filesOf(path), [])
})

test('a letter that cannot get its name leaves no file', t => {
  const path = folder(t)
  const rename = (): void => {
    throw systemFailure('EIO', -5, 'rename')
  }
  const letters = lettersIn(path, { disk: { ...systemDisk, rename } })
  assert.throws(() => letters.keep(NOTE, ONE), { code: 'EIO' })
  assert.deepEqual(filesOf(path), [])
})

test('what a crash left half written is no letter, and does not hinder the next', t => {
  const path = folder(t)
  mkdirSync(path)
  writeFileSync(join(path, '.app.log_0_http.0_0x60a2418202079.flb.new'), 'half')
  const letters = lettersIn(path)
  assert.deepEqual(letters.names(), [])
  letters.keep(NOTE, ONE)
  assert.deepEqual(filesOf(path), ['app.log_0_http.0_0x60a2418202079.flb'])
})

test('the limit is for the bytes of all files, those of earlier runs too', t => {
  const path = folder(t)
  const limit = FILE_BYTES * 2 + 10
  lettersIn(path, { limit }).keep(NOTE, ONE)
  const letters = lettersIn(path, { limit })
  assert.deepEqual(letters.keep(NOTE, ONE), {
    kind: 'kept',
    bytes: ONE.length,
    nearLimit: `DLQ content size is at ${FILE_BYTES * 2}/${limit} bytes (>=90% of limit)`
  })
  assert.deepEqual(letters.keep(NOTE, ONE), {
    kind: 'limit',
    message: `DLQ size limit exceeded (${FILE_BYTES * 2} + ${FILE_BYTES} > ${limit} bytes), rejected chunk copy skipped`
  })
  assert.deepEqual(lettersIn(path, { limit: FILE_BYTES }).keep(NOTE, ONE), {
    kind: 'limit',
    message: `DLQ size limit reached (${FILE_BYTES * 2}/${FILE_BYTES} bytes), rejected chunk copy skipped`
  })
  assert.equal(letters.names().length, 2)
})

test('a letter that just fits is kept', t => {
  const letters = lettersIn(folder(t), { limit: FILE_BYTES })
  assert.equal(letters.keep(NOTE, ONE).kind, 'kept')
})

test('room that another process has made is found a second later', t => {
  const path = folder(t)
  const letters = lettersIn(path, { limit: FILE_BYTES })
  letters.keep(NOTE, ONE)
  for (const name of letters.names()) lettersIn(path).remove(name)
  assert.equal(letters.keep({ ...NOTE, time: later(999) }, ONE).kind, 'limit')
  assert.equal(letters.keep({ ...NOTE, time: later(1000) }, ONE).kind, 'kept')
})

test('with a limit of 0 nothing is kept, in the words of Fluent Bit', t => {
  const path = folder(t)
  assert.deepEqual(lettersIn(path, { limit: 0 }).keep(NOTE, ONE), {
    kind: 'limit',
    message: "invalid DLQ size limit '0'"
  })
  assert.deepEqual(filesOf(path), [])
})

test('with storage.sync full a new letter is waited for in the background', t => {
  const slow = new SlowDisk()
  const failures: Error[] = []
  const letters = lettersIn(folder(t), {
    disk: slow.disk,
    notSynced: failure => failures.push(failure)
  })
  letters.keep(NOTE, ONE)
  const [name] = letters.names()
  slow.endSync()
  slow.endSync()
  assert.deepEqual(slow.calls, [
    `create .${name}.new`,
    `write .${name}.new ${FILE_BYTES}`,
    `close .${name}.new`,
    `open ${name}`,
    `sync ${name}`,
    `close ${name}`,
    'sync folder rejected'
  ])
  assert.deepEqual(failures, [])
  letters.keep(NOTE, ONE)
  const failure = systemFailure('EIO', -5, 'fdatasync')
  slow.endSync(failure)
  assert.deepEqual(failures, [failure])
})

test('a letter is cut to some of its events, and keeps its name and note', async t => {
  const path = folder(t)
  const letters = lettersIn(path)
  letters.keep({ ...NOTE, events: 2 }, Buffer.concat([ONE, TWO]))
  const [name] = letters.names()
  await letters.keepOnly(letters.read(name), TWO, 1)
  assert.deepEqual(filesOf(path), [name])
  assert.deepEqual(letters.read(name), { name, note: NOTE, content: TWO, problem: undefined })
})

test('a letter of Fluent Bit that is cut has its tag in the file from then on', async t => {
  const path = folder(t)
  mkdirSync(path)
  const name = 'app_0_http.0_0x1.flb'
  copyFileSync(join(RECORDED, 'rejected.flb'), join(path, name))
  const letters = lettersIn(path)
  const before = letters.read(name)
  await letters.keepOnly(before, before.content.subarray(0, 48), 1)
  assert.deepEqual(letters.read(name), {
    name,
    note: { ...before.note, events: 1 },
    content: before.content.subarray(0, 48),
    problem: undefined
  })
})

test('the rest of a letter is on the medium before it takes the place of the whole', async t => {
  const path = folder(t)
  const letters = lettersIn(path)
  letters.keep({ ...NOTE, events: 2 }, Buffer.concat([ONE, TWO]))
  const [name] = letters.names()
  const whole = letters.read(name)
  const slow = new SlowDisk()
  const cutting = lettersIn(path, { disk: slow.disk }).keepOnly(whole, TWO, 1)
  assert.deepEqual(filesOf(path), [`.${name}.new`, name])
  assert.deepEqual(letters.read(name), whole)
  slow.endSync(systemFailure('EIO', -5, 'fdatasync'))
  await assert.rejects(cutting, { code: 'EIO' })
  assert.deepEqual(filesOf(path), [name])
  assert.deepEqual(letters.read(name), whole)
})

test('a letter stays whole when there is no room for its rest', async t => {
  const path = folder(t)
  const small = new SmallDisk()
  const letters = lettersIn(path, { disk: small.disk })
  letters.keep({ ...NOTE, events: 2 }, Buffer.concat([ONE, TWO]))
  const [name] = letters.names()
  const whole = letters.read(name)
  small.room = 30
  await assert.rejects(letters.keepOnly(whole, TWO, 1), { code: 'ENOSPC' })
  assert.deepEqual(filesOf(path), [name])
  assert.deepEqual(letters.read(name), whole)
})
