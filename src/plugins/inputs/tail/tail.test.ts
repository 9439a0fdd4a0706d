import assert from 'node:assert/strict'
import {
  appendFileSync,
  existsSync,
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
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { test, type TestContext } from 'node:test'
import { gzipSync } from 'node:zlib'
import {
  checkConfiguration,
  type PipelineOptions,
  startPipeline,
  type TestPipeline
} from '../../../../test/harness/pipeline.ts'

/** A folder for log files that is removed after the test. */
function folder(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), 'spillway-tail-'))
  t.after(() => rmSync(path, { recursive: true, force: true }))
  return path
}

/** Starts a pipeline with a tail input that has these keys; `DIR` in them is the folder. */
async function follow(
  directory: string,
  keys: string,
  options: PipelineOptions = {}
): Promise<TestPipeline> {
  const lines = keys
    .trim()
    .split('\n')
    .map(line => `    ${line.trim().replaceAll('DIR', directory)}`)
  return startPipeline(
    `[SERVICE]\n    parsers_file  parsers.conf\n[INPUT]\n    name  tail\n${lines.join('\n')}\n[OUTPUT]\n    name   collect\n    match  *\n`,
    { files: { 'parsers.conf': PARSERS }, ...options }
  )
}

const PARSERS = `
[PARSER]
    name         access
    format       regex
    regex        ^(?<host>[^ ]*) \\[(?<time>[^\\]]*)\\] (?<code>\\d+)$
    time_key     time
    time_format  %d/%b/%Y:%H:%M:%S %z
    types        code:integer
[PARSER]
    name         docker
    format       json
    time_key     time
    time_format  %Y-%m-%dT%H:%M:%S.%L
    time_keep    on
`

/** Waits until so many records have come out. */
async function wait(run: TestPipeline, count: number): Promise<void> {
  await run.until(() => {
    run.clock.advance(100)
    return run.bodies.length >= count
  })
}

/** Lets the reader look at its files several times. */
async function settle(run: TestPipeline): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await run.clock.advanceSlowly(200)
}

test('lines from the head, with path and offset before the line', async t => {
  const dir = folder(t)
  writeFileSync(join(dir, 'a.log'), 'one\n\ntwo é\r\nunfinished')
  const run = await follow(
    dir,
    `
    path            DIR/*.log
    tag             t
    read_from_head  on
    path_key        file
    offset_key      at
  `
  )
  await wait(run, 3)
  const file = join(dir, 'a.log')
  assert.deepEqual(run.bodies, [
    { file, at: 0, log: 'one' },
    { file, at: 4, log: '' },
    { file, at: 5, log: 'two é' }
  ])
  assert.deepEqual(
    run.taken[0].events.map(event => event.time),
    [
      [1_700_000_000, 123_000_000],
      [1_700_000_000, 123_000_001],
      [1_700_000_000, 123_000_002]
    ].map(([seconds, nanoseconds]) => [seconds, nanoseconds])
  )
  await run.stop()
})

test('with a parser, its keys come first, and a line that it refuses keeps its carriage return', async t => {
  const dir = folder(t)
  writeFileSync(
    join(dir, 'a.log'),
    '10.0.0.1 [10/Oct/2000:13:55:36 -0700] 200\r\nnot like this\r\n'
  )
  const run = await follow(
    dir,
    `
    path            DIR/a.log
    tag             t
    parser          access
    read_from_head  on
    path_key        file
    offset_key      at
  `
  )
  await wait(run, 2)
  const file = join(dir, 'a.log')
  assert.deepEqual(run.taken[0].events, [
    { time: [971_211_336, 0], metadata: {}, body: { host: '10.0.0.1', code: 200, file, at: 0 } },
    {
      time: [1_700_000_000, 123_000_001],
      metadata: {},
      body: { file, at: 43, log: 'not like this\r' }
    }
  ])
  await run.stop()
})

test('without read_from_head only what is appended after the start is read', async t => {
  const dir = folder(t)
  writeFileSync(join(dir, 'a.log'), 'old\n')
  const run = await follow(dir, 'path DIR/a.log\ntag t')
  await settle(run)
  appendFileSync(join(dir, 'a.log'), 'new\n')
  await wait(run, 1)
  assert.deepEqual(run.bodies, [{ log: 'new' }])
  await run.stop()
})

test('a line is emitted when its end arrives, however it is cut', async t => {
  const dir = folder(t)
  writeFileSync(join(dir, 'a.log'), 'ab')
  const run = await follow(dir, 'path DIR/a.log\ntag t\nread_from_head on\noffset_key at')
  await settle(run)
  assert.deepEqual(run.bodies, [])
  appendFileSync(join(dir, 'a.log'), 'c\nde')
  await wait(run, 1)
  appendFileSync(join(dir, 'a.log'), 'f\n')
  await wait(run, 2)
  assert.deepEqual(run.bodies, [
    { at: 0, log: 'abc' },
    { at: 4, log: 'def' }
  ])
  await run.stop()
})

test('a quiet file is watched and read again when it grows', async t => {
  const dir = folder(t)
  writeFileSync(join(dir, 'a.log'), 'one\n')
  const run = await follow(dir, 'path DIR/a.log\ntag t\nread_from_head on')
  await wait(run, 1)
  await run.clock.advanceSlowly(5000)
  appendFileSync(join(dir, 'a.log'), 'two\n')
  await run.until(() => {
    run.clock.advance(1)
    return run.counter('fluentbit_input_records_total', { name: 'tail.0' }) === 2
  })
  run.flush()
  assert.deepEqual(run.bodies, [{ log: 'one' }, { log: 'two' }])
  await run.stop()
})

test('a file renamed away is read to its end, and the new file of its name from its beginning', async t => {
  const dir = folder(t)
  const path = join(dir, 'a.log')
  writeFileSync(path, 'one\n')
  const run = await follow(dir, 'path DIR/a.log\ntag t\nread_from_head on\nrotate_wait 2')
  await wait(run, 1)
  renameSync(path, `${path}.1`)
  appendFileSync(`${path}.1`, 'late\n')
  await settle(run)
  writeFileSync(path, 'two\n')
  await wait(run, 3)
  assert.deepEqual(run.bodies, [{ log: 'one' }, { log: 'late' }, { log: 'two' }])
  assert.ok(run.log.some(line => line.endsWith(`handle rotation(): ${path} => ${path}.1`)))
  assert.equal(run.counter('fluentbit_input_files_rotated_total', { name: 'tail.0' }), 1)
  await run.clock.advanceSlowly(6000)
  assert.equal(run.counter('fluentbit_input_files_closed_total', { name: 'tail.0' }), 1)
  await run.stop()
})

test('a file truncated in place is read again from its beginning', async t => {
  const dir = folder(t)
  const path = join(dir, 'a.log')
  writeFileSync(path, 'a long first line\n')
  const run = await follow(dir, 'path DIR/a.log\ntag t\nread_from_head on')
  await wait(run, 1)
  truncateSync(path)
  await settle(run)
  appendFileSync(path, 'again\n')
  await wait(run, 2)
  assert.deepEqual(run.bodies, [{ log: 'a long first line' }, { log: 'again' }])
  await run.stop()
})

test('a deleted file is closed, and one of the same name that comes later is found by the next look', async t => {
  const dir = folder(t)
  const path = join(dir, 'a.log')
  writeFileSync(path, 'one\n')
  const run = await follow(dir, 'path DIR/*.log\ntag t\nread_from_head on\nrefresh_interval 5')
  await wait(run, 1)
  unlinkSync(path)
  await settle(run)
  assert.equal(run.counter('fluentbit_input_files_closed_total', { name: 'tail.0' }), 1)
  writeFileSync(path, 'two\n')
  await run.clock.advanceSlowly(6000)
  await wait(run, 2)
  assert.deepEqual(run.bodies, [{ log: 'one' }, { log: 'two' }])
  await run.stop()
})

test('new files are found every refresh_interval and read from their beginning', async t => {
  const dir = folder(t)
  const run = await follow(dir, 'path DIR/*.log\ntag t\nrefresh_interval 10')
  writeFileSync(join(dir, 'b.log'), 'one\n')
  await run.clock.advanceSlowly(9000)
  assert.deepEqual(run.bodies, [])
  await run.clock.advanceSlowly(1100)
  await wait(run, 1)
  assert.deepEqual(run.bodies, [{ log: 'one' }])
  await run.stop()
})

test('a link that points elsewhere counts as rotation', async t => {
  const dir = folder(t)
  writeFileSync(join(dir, 'one'), 'one\n')
  writeFileSync(join(dir, 'two'), 'two\n')
  symlinkSync(join(dir, 'one'), join(dir, 'a.log'))
  const run = await follow(dir, 'path DIR/*.log\ntag t\nread_from_head on')
  await wait(run, 1)
  unlinkSync(join(dir, 'a.log'))
  symlinkSync(join(dir, 'two'), join(dir, 'a.log'))
  await wait(run, 2)
  assert.deepEqual(run.bodies, [{ log: 'one' }, { log: 'two' }])
  await run.stop()
})

for (const [keys, expected] of [
  ['tag app.*', 'app.DIR.sub.x.log'],
  ['tag *.end', 'DIR.sub.x.log.end'],
  ['tag_regex (?<pod>[a-z]+)\\.(?<ext>[a-z]+)$\ntag k.<pod>.<ext>.<none>', 'k.x.log._']
] as const) {
  test(`the tag of a file: ${keys.replace('\n', ', ')}`, async t => {
    const dir = folder(t)
    mkdirSync(join(dir, 'sub'))
    writeFileSync(join(dir, 'sub', 'x.log'), 'one\n')
    const run = await follow(dir, `path DIR/*/*.log\nread_from_head on\n${keys}`)
    await wait(run, 1)
    const dotted = dir.slice(1).replaceAll('/', '.')
    assert.deepEqual(
      run.taken.map(chunk => chunk.tag),
      [expected.replace('DIR', dotted)]
    )
    await run.stop()
  })
}

test('a file that tag_regex does not match is not read', async t => {
  const dir = folder(t)
  writeFileSync(join(dir, 'b.log'), 'one\n')
  const run = await follow(
    dir,
    'path DIR/b.log\nread_from_head on\ntag_regex (?<n>\\d+)\ntag k.<n>'.replace('\\d+', '\\d{9}x')
  )
  await settle(run)
  const path = join(dir, 'b.log')
  assert.deepEqual(
    run.log.filter(line => line.startsWith('[error]')),
    [
      `[error] [input:tail:tail.0] invalid tag_regex pattern for file ${path}`,
      `[error] [input:tail:tail.0] failed to compose tag for file: ${path}`
    ]
  )
  assert.deepEqual(run.bodies, [])
  await run.stop()
})

test('exclude_path leaves files out, stars standing for slashes too', async t => {
  const dir = folder(t)
  for (const name of ['a.log', 'b.log', 'c.log']) writeFileSync(join(dir, name), `${name}\n`)
  const run = await follow(
    dir,
    'path DIR/*.log\nexclude_path *a.log, DIR/[b]*\ntag t\nread_from_head on'
  )
  await wait(run, 1)
  assert.deepEqual(run.bodies, [{ log: 'c.log' }])
  await run.stop()
})

test('ignore_older leaves old files out until they change, then reads what was added', async t => {
  const dir = folder(t)
  const path = join(dir, 'a.log')
  writeFileSync(path, 'old\n')
  utimesSync(path, 1_600_000_000, 1_600_000_000)
  const run = await follow(
    dir,
    'path DIR/a.log\ntag t\nread_from_head on\nignore_older 1h\nrefresh_interval 1'
  )
  await run.clock.advanceSlowly(3000)
  appendFileSync(path, 'new\n')
  utimesSync(path, 1_700_000_004, 1_700_000_004)
  await run.clock.advanceSlowly(2000)
  await wait(run, 1)
  assert.deepEqual(run.bodies, [{ log: 'new' }])
  await run.stop()
})

test('exit_on_eof stops when all files are read', async t => {
  const dir = folder(t)
  writeFileSync(join(dir, 'a.log'), 'one\n')
  writeFileSync(join(dir, 'b.log'), 'two\n')
  const run = await follow(dir, 'path DIR/*.log\ntag t\nread_from_head on\nexit_on_eof on')
  assert.equal(await run.stopped, 0)
  assert.deepEqual(run.bodies, [{ log: 'one' }, { log: 'two' }])
  assert.equal(run.log.filter(line => line.endsWith('ended, stop')).length, 2)
  await run.remove()
})

test('skip_empty_lines leaves out empty lines and those of a carriage return alone', async t => {
  const dir = folder(t)
  writeFileSync(join(dir, 'a.log'), '\n\r\n  \nx\n\0\0y\n')
  const run = await follow(dir, 'path DIR/a.log\ntag t\nread_from_head on\nskip_empty_lines on')
  await wait(run, 3)
  assert.deepEqual(run.bodies, [{ log: '  ' }, { log: 'x' }, { log: '\0\0y' }])
  await run.stop()
})

test('zeros at the head of what is read are skipped', async t => {
  const dir = folder(t)
  writeFileSync(join(dir, 'a.log'), `${'\0'.repeat(1000)}x\n`)
  const run = await follow(dir, 'path DIR/a.log\ntag t\nread_from_head on')
  await wait(run, 1)
  assert.deepEqual(run.bodies, [{ log: 'x' }])
  await run.stop()
})

const LONG = 'y'.repeat(300)

for (const [keys, expected, level, message] of [
  [
    '',
    ['short', 'last'],
    'error',
    'requires a larger buffer size, lines are too long. Skipping line.'
  ],
  ['skip_long_lines on', ['short', 'last'], ' warn', 'have long lines. Skipping long lines.'],
  ['truncate_long_lines on', ['short', 'y'.repeat(199), 'last'], '', '']
] as const) {
  test(`a line longer than the buffer: ${keys === '' ? 'by default' : keys}`, async t => {
    const dir = folder(t)
    const path = join(dir, 'a.log')
    writeFileSync(path, `short\n${LONG}\nlast\n`)
    const run = await follow(
      dir,
      `path DIR/a.log\ntag t\nread_from_head on\nbuffer_chunk_size 100\nbuffer_max_size 200\n${keys}`
    )
    await wait(run, expected.length)
    assert.deepEqual(
      run.bodies,
      expected.map(log => ({ log }))
    )
    const wanted = level === '' ? [] : [`[${level}] [input:tail:tail.0] file=${path} ${message}`]
    assert.deepEqual(
      run.log.filter(line => line.includes('long')),
      wanted
    )
    const labels = { kind: 'input', name: 'tail.0', reason: 'line_too_long' }
    assert.equal(run.counter('spillway_dropped_records_total', labels), level === '' ? 0 : 1)
    await run.stop()
  })
}

test('the longest line that fits is two bytes shorter than the buffer', async t => {
  const dir = folder(t)
  writeFileSync(join(dir, 'a.log'), `${'a'.repeat(198)}\n${'b'.repeat(199)}\n`)
  const run = await follow(
    dir,
    'path DIR/a.log\ntag t\nread_from_head on\nbuffer_chunk_size 200\nbuffer_max_size 200'
  )
  await settle(run)
  assert.deepEqual(run.bodies, [{ log: 'a'.repeat(198) }])
  await run.stop()
})

test('a line that is too long and still growing is skipped to its end', async t => {
  const dir = folder(t)
  const path = join(dir, 'a.log')
  writeFileSync(path, LONG)
  const run = await follow(
    dir,
    'path DIR/a.log\ntag t\nread_from_head on\nskip_long_lines on\nbuffer_chunk_size 100\nbuffer_max_size 200\noffset_key at'
  )
  await settle(run)
  appendFileSync(path, `${LONG}\nnext\n`)
  await wait(run, 1)
  assert.deepEqual(run.bodies, [{ at: 601, log: 'next' }])
  assert.equal(run.counter('fluentbit_input_long_line_skipped_total', { name: 'tail.0' }), 1)
  await run.stop()
})

for (const [keys, bytes] of [
  ['unicode.encoding UTF-16LE', Buffer.from('\ufeffgrüße\r\nनमस्ते\n', 'utf16le')],
  ['unicode.encoding UTF-16BE', Buffer.from('\ufeffgrüße\r\nनमस्ते\n', 'utf16le').swap16()],
  ['unicode.encoding auto', Buffer.from('\ufeffgrüße\r\nनमस्ते\n', 'utf16le')]
] as const) {
  test(`${keys} becomes UTF-8`, async t => {
    const dir = folder(t)
    writeFileSync(join(dir, 'a.log'), bytes)
    const run = await follow(dir, `path DIR/a.log\ntag t\nread_from_head on\n${keys}`)
    await wait(run, 2)
    assert.deepEqual(run.bodies, [{ log: 'grüße' }, { log: 'नमस्ते' }])
    await run.stop()
  })
}

test('generic.encoding ShiftJIS becomes UTF-8', async t => {
  const dir = folder(t)
  writeFileSync(join(dir, 'a.log'), Buffer.from('93fa967b0a8365835883670a', 'hex'))
  const run = await follow(
    dir,
    'path DIR/a.log\ntag t\nread_from_head on\ngeneric.encoding ShiftJIS'
  )
  await wait(run, 2)
  assert.deepEqual(run.bodies, [{ log: '日本' }, { log: 'テスト' }])
  await run.stop()
})

test('a gzip file of several members is read as its content', async t => {
  const dir = folder(t)
  writeFileSync(join(dir, 'a.gz'), Buffer.concat([gzipSync('one\ntw'), gzipSync('o\nthree\n')]))
  const run = await follow(dir, 'path DIR/a.gz\ntag t\nread_from_head on\noffset_key at')
  await wait(run, 3)
  assert.deepEqual(run.bodies, [
    { at: 0, log: 'one' },
    { at: 4, log: 'two' },
    { at: 8, log: 'three' }
  ])
  await run.stop()
})

test('a position database lets the next start go on where delivery stopped', async t => {
  const dir = folder(t)
  const path = join(dir, 'a.log')
  writeFileSync(path, 'one\ntwo\npart')
  const keys = 'path DIR/a.log\ntag t\nread_from_head on\ndb DIR/pos.db'
  const first = await follow(dir, keys)
  await wait(first, 2)
  await first.stop()
  const rows = new DatabaseSync(join(dir, 'pos.db'))
    .prepare('SELECT name, offset, rotated, offset_marker_size FROM in_tail_files')
    .all()
  assert.deepEqual(
    rows.map(row => ({ ...row })),
    [{ name: path, offset: 8, rotated: 0, offset_marker_size: 8 }]
  )
  appendFileSync(path, 'ial\nthree\n')
  const second = await follow(dir, keys)
  await wait(second, 2)
  assert.deepEqual(second.bodies, [{ log: 'partial' }, { log: 'three' }])
  await second.stop()
})

test('a position stays before lines that were not delivered', async t => {
  const dir = folder(t)
  const path = join(dir, 'a.log')
  writeFileSync(path, 'one\ntwo\n')
  const run = await follow(dir, 'path DIR/a.log\ntag t\nread_from_head on\ndb DIR/pos.db', {
    answer: () => ({ kind: 'retry', reason: 'closed' })
  })
  await settle(run)
  const database = new DatabaseSync(join(dir, 'pos.db'))
  assert.equal(database.prepare('SELECT offset FROM in_tail_files').get()?.['offset'], 0)
  await run.stop()
})

test('a database position is not used for other content under the same inode', async t => {
  const dir = folder(t)
  const path = join(dir, 'a.log')
  writeFileSync(path, 'one\ntwo\n')
  const keys = 'path DIR/a.log\ntag t\nread_from_head on\ndb DIR/pos.db'
  const first = await follow(dir, keys)
  await wait(first, 2)
  await first.stop()
  truncateSync(path)
  appendFileSync(path, 'new content that is longer\n')
  const second = await follow(dir, keys)
  await wait(second, 1)
  assert.deepEqual(second.bodies, [{ log: 'new content that is longer' }])
  await second.stop()
})

test('a file that cannot be opened is reported and counted, and the others are read', async t => {
  const dir = folder(t)
  writeFileSync(join(dir, 'b.log'), 'one\n')
  mkdirSync(join(dir, 'c.log'))
  symlinkSync(join(dir, 'nowhere'), join(dir, 'd.log'))
  const run = await follow(dir, 'path DIR/*.log\ntag t\nread_from_head on')
  await wait(run, 1)
  assert.deepEqual(run.bodies, [{ log: 'one' }])
  await run.stop()
})

test('an unknown parser is reported and lines come unparsed', async t => {
  const dir = folder(t)
  writeFileSync(join(dir, 'a.log'), 'one\n')
  const run = await follow(dir, 'path DIR/a.log\ntag t\nread_from_head on\nparser nope')
  await wait(run, 1)
  assert.deepEqual(run.bodies, [{ log: 'one' }])
  assert.ok(run.log.includes("[error] [input:tail:tail.0] parser 'nope' is not registered"))
  await run.stop()
})

for (const [keys, message] of [
  [
    'tag t',
    'fluent-bit.conf:1:1: Cannot set "path" on input tail: no input path was given: it must name at least one file'
  ],
  [
    'path x\nbuffer_chunk_size 2M',
    'fluent-bit.conf:1:1: Cannot set "buffer_max_size" on input tail: value must be at least buffer_chunk_size, 2000000: current value is 32768'
  ],
  [
    'path x\nrotate_wait 0',
    'fluent-bit.conf:4:17: Cannot set "rotate_wait" on input tail: value must be above 0: current value is 0'
  ],
  [
    'path x\nrefresh_interval no',
    'fluent-bit.conf:4:22: Cannot set "refresh_interval" on input tail: value must be a time above 0, sec[.nsec]: current value is "no"'
  ],
  [
    'path x\nunicode.encoding klingon',
    'fluent-bit.conf:4:22: Cannot set "unicode.encoding" on input tail: there is no encoding "klingon"'
  ],
  [
    'path x\nmultiline.parser cri',
    'fluent-bit.conf:4:22: Cannot set "multiline.parser" on input tail: this version has no multiline parsing'
  ],
  [
    'path x\nwindows.path_encoding ansi',
    'fluent-bit.conf:4:5: Cannot set "windows.path_encoding" on input tail: it exists on Windows only'
  ]
] as const) {
  test(`refused: ${keys.replace('\n', ', ')}`, async () => {
    const lines = keys.split('\n').map(line => `    ${line}`)
    const { errors } = await checkConfiguration(`[INPUT]\n    name tail\n${lines.join('\n')}\n`)
    assert.deepEqual(errors, [message])
  })
}

test('the database cannot be opened: the start fails with the reason', async t => {
  const dir = folder(t)
  assert.equal(existsSync(join(dir, 'missing')), false)
  await assert.rejects(follow(dir, 'path DIR/a.log\ntag t\ndb DIR/missing/pos.db'), {
    message: /^could not open\/create database: /
  })
})
