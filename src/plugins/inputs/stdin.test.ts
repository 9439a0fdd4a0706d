import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { createWriteStream } from 'node:fs'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import {
  checkConfiguration,
  float,
  startPipeline,
  type TestPipeline
} from '../../../test/harness/pipeline.ts'
import { SystemRoot } from '../../../test/harness/system_root.ts'

const PARSERS = `
[PARSER]
    Name   line
    Format regex
    Regex  ^(?<message>.*)
[PARSER]
    Name   pair
    Format regex
    Regex  ^(?<k>[a-z]+)=(?<v>\\d+)$
[PARSER]
    Name   object
    Format json
[PARSER]
    Name        timed
    Format      regex
    Regex       ^(?<time>[^ ]+) (?<msg>.*)$
    Time_Key    time
    Time_Format %Y-%m-%dT%H:%M:%S
`

const NOW = [1700000000, 123000000] as const

const FILES = { files: { 'parsers.conf': PARSERS } }

function configuration(keys = ''): string {
  return `
[SERVICE]
    parsers_file parsers.conf
[INPUT]
    name  stdin
    tag   in
${keys}
[OUTPUT]
    name  collect
    match *
`
}

/** Runs to the end of an input that is all there at once. */
async function runToEnd(
  t: TestContext,
  content: string | Uint8Array,
  keys = ''
): Promise<TestPipeline> {
  const root = new SystemRoot(t, { 'dev/stdin': content })
  const run = await startPipeline(configuration(keys), { ...FILES, root: root.path })
  assert.equal(await run.stopped, 0)
  await run.remove()
  return run
}

/** Starts with a pipe as standard input, and gives the end to write to. */
async function startOnPipe(
  t: TestContext,
  keys = ''
): Promise<{ run: TestPipeline; write: (text: string) => Promise<void>; end: () => void }> {
  const root = new SystemRoot(t, { 'dev/null': '' })
  const pipe = join(root.path, 'dev/stdin')
  execFileSync('/bin/sh', ['-c', 'mkfifo "$0"', pipe])
  const run = await startPipeline(configuration(keys), { ...FILES, root: root.path })
  const writer = createWriteStream(pipe)
  await once(writer, 'open')
  const write = (text: string): Promise<void> =>
    new Promise((resolve, reject) => {
      writer.write(text, failure => (failure ? reject(failure) : resolve()))
    })
  return { run, write, end: () => void writer.end() }
}

/** What the plugin itself says, after the two lines that every input starts with. */
function ownLines(run: TestPipeline): readonly string[] {
  const prefix = '[input:stdin:stdin.0] '
  return run.log
    .filter(line => line.includes(prefix))
    .slice(2)
    .map(line => line.replace(prefix, ''))
}

function dropped(run: TestPipeline, reason: string): readonly [records: number, bytes: number] {
  const labels = { kind: 'input', name: 'stdin.0', reason }
  return [
    run.counter('spillway_dropped_records_total', labels),
    run.counter('spillway_dropped_bytes_total', labels)
  ]
}

const END = '[ warn] end of file (stdin closed by remote end)'

test('stdin takes maps and arrays with times, and stops the program at the end of its input', async t => {
  const text = `{"x":1.0,"y":-3,"z":18446744073709551615}[1700000000.5,{"a":1}]
 [1700000001, {"b":[1,null]}]
  [[1700000002,{"m":1}],{"c":{}}]`
  const run = await runToEnd(t, text)
  assert.deepEqual(run.taken, [
    {
      tag: 'in',
      events: [
        { time: NOW, metadata: {}, body: { x: float(1), y: -3, z: 18446744073709551615n } },
        { time: [1700000000, 500000000], metadata: {}, body: { a: 1 } },
        { time: [1700000001, 0], metadata: {}, body: { b: [1, null] } },
        { time: [1700000002, 0], metadata: { m: 1 }, body: { c: {} } }
      ]
    }
  ])
  assert.deepEqual(ownLines(run), [END])
})

/** Texts that hold more than events: what is kept, what is said, and what is counted as dropped, by reason. */
const MALFORMED: readonly {
  readonly title: string
  readonly text: string
  readonly bodies: readonly object[]
  readonly log?: readonly string[]
  readonly reason: string
  readonly counted: readonly [records: number, bytes: number]
}[] = [
  {
    title: 'a line that is not JSON',
    text: '{"a":1}\nbad line\n{"b":2}\n',
    bodies: [{ a: 1 }, { b: 2 }],
    reason: 'malformed',
    counted: [1, 9]
  },
  {
    title: 'the rest of a line and lines that do not start with an event',
    text: '{"a":1} bad {"c":3}\n "x"\n[1,{"b":2}]',
    bodies: [{ a: 1 }, { b: 2 }],
    reason: 'malformed',
    counted: [1, 17]
  },
  {
    title: 'everything when no line starts with an event',
    text: '{"a":1}bad {"b":2}',
    bodies: [{ a: 1 }],
    reason: 'malformed',
    counted: [1, 11]
  },
  {
    title: 'values that are no map and no array',
    text: '123 {"a":1} "x"',
    bodies: [{ a: 1 }],
    log: Array.from(
      { length: 2 },
      () => "[error] invalid record found, it's not a JSON map or array"
    ),
    reason: 'not_an_event',
    counted: [2, 6]
  },
  {
    title: 'arrays that are no events',
    text: '[][1][1,2][1,{},3]["x",{}][-1,{}][[1,2],{}][[1],{}][[1,{},3],{}][null,{}]{"a":1}',
    bodies: [{ a: 1 }],
    reason: 'not_an_event',
    counted: [10, 73]
  },
  {
    title: 'an event without its end',
    text: '{"a":1}{"b":',
    bodies: [{ a: 1 }],
    reason: 'incomplete',
    counted: [1, 5]
  }
]

for (const { title, text, bodies, log = [], reason, counted } of MALFORMED) {
  test(`stdin leaves out and counts ${title}`, async t => {
    const run = await runToEnd(t, text)
    assert.deepEqual(run.bodies, bodies)
    assert.deepEqual(ownLines(run), [...log, END])
    assert.deepEqual(dropped(run, reason), counted)
  })
}

test('stdin puts together events that come in parts, and sends each when it is whole', async t => {
  const { run, write, end } = await startOnPipe(t)
  const records = (): number => run.counter('fluentbit_input_records_total', { name: 'stdin.0' })
  await write('{"part":')
  await write('"one"} [17')
  await run.until(() => records() === 1)
  await write('00000009,{"n":1}]{')
  await run.until(() => records() === 2)
  end()
  assert.equal(await run.stopped, 0)
  assert.deepEqual(
    run.taken[0].events.map(({ time, body }) => [time, body]),
    [
      [NOW, { part: 'one' }],
      [[1700000009, 0], { n: 1 }]
    ]
  )
  assert.deepEqual(dropped(run, 'incomplete'), [1, 1])
  await run.remove()
})

test('stdin stops reading when the program stops, and says nothing of an end', async t => {
  const { run, write, end } = await startOnPipe(t)
  await write('{"a":1}')
  await run.until(() => run.counter('fluentbit_input_records_total', { name: 'stdin.0' }) === 1)
  assert.equal(await run.stop(), 0)
  await write('{"b":2}')
  end()
  assert.deepEqual(run.bodies, [{ a: 1 }])
  assert.deepEqual(ownLines(run), [])
})

/** Lines and what a parser makes of them. */
const PARSED: readonly [
  parser: string,
  text: string,
  bodies: readonly object[],
  unparsed: number
][] = [
  [
    'line',
    'one\n\ntwo\r\nthree',
    [{ message: 'one' }, {}, { message: 'two\r' }, { message: 'three' }],
    0
  ],
  [
    'pair',
    'a=1\nbad\nb=2\n',
    [
      { k: 'a', v: '1' },
      { k: 'b', v: '2' }
    ],
    1
  ],
  ['object', '{"a":1}\n{"b":2}\n\nx\n', [{ a: 1 }, { b: 2 }], 2]
]

for (const [parser, text, bodies, unparsed] of PARSED) {
  test(`stdin gives each line to parser ${parser}`, async t => {
    const run = await runToEnd(t, text, `    parser ${parser}`)
    assert.deepEqual(run.bodies, bodies)
    assert.equal(dropped(run, 'unparsed')[0], unparsed)
    assert.deepEqual(ownLines(run), [END])
  })
}

test('stdin takes the time that a parser found, and otherwise that of reading', async t => {
  const run = await runToEnd(t, '2024-01-02T03:04:05 a\nno b\n', '    parser timed')
  assert.deepEqual(run.taken[0].events, [
    { time: [1704164645, 0], metadata: {}, body: { msg: 'a' } },
    { time: NOW, metadata: {}, body: { msg: 'b' } }
  ])
})

test('stdin cuts no line at the end of a read', async t => {
  const lines = Array.from({ length: 30_000 }, (_, index) => String(index))
  const run = await runToEnd(t, lines.join('\n'), '    parser line')
  assert.deepEqual(
    run.bodies.map(body => (body as { message: string }).message),
    lines
  )
})

const LONG = 'x'.repeat(70_000)

/** Messages about the limit, by what is too long. */
const TOO_LONG: readonly [
  title: string,
  keys: string,
  text: string,
  bodies: object[],
  message: string
][] = [
  [
    'a map over several reads',
    '',
    `{"a":1}\n{"long":"${LONG}${LONG}"}\n{"b":2}`,
    [{ a: 1 }, { b: 2 }],
    'Cannot take message: it is longer than buffer_size, which is 16000'
  ],
  [
    'a map that ends with its line where a read ends',
    '',
    `{"long":"${'x'.repeat(2 * 65_536 - 12)}"}\n{"b":2}`,
    [{ b: 2 }],
    'Cannot take message: it is longer than buffer_size, which is 16000'
  ],
  [
    'a map in one read',
    '    buffer_size 20K',
    `{"a":1}{"long":"${LONG.slice(0, 20_000)}"}{"b":2}`,
    [{ a: 1 }, { b: 2 }],
    'Cannot take message: it is longer than buffer_size, which is 20000'
  ],
  [
    'an array in one read',
    '',
    `{"a":1}[1,{"long":"${LONG.slice(0, 20_000)}"}]{"b":2}`,
    [{ a: 1 }, { b: 2 }],
    'Cannot take message: it is longer than buffer_size, which is 16000'
  ],
  [
    'a line over several reads',
    '    parser line',
    `a\n${LONG}${LONG}\nb`,
    [{ message: 'a' }, { message: 'b' }],
    'Cannot take line: it is longer than buffer_size, which is 16000'
  ],
  [
    'a line in one read',
    '    parser line',
    `a\n${LONG.slice(0, 16_001)}\nb`,
    [{ message: 'a' }, { message: 'b' }],
    'Cannot take line: it is longer than buffer_size, which is 16000'
  ]
]

for (const [title, keys, text, bodies, message] of TOO_LONG) {
  test(`stdin skips ${title} that is longer than buffer_size`, async t => {
    const run = await runToEnd(t, text, keys)
    assert.deepEqual(run.bodies, bodies)
    assert.deepEqual(ownLines(run), [`[error] ${message}`, END])
    assert.equal(dropped(run, 'too_long')[0], 1)
    assert.deepEqual(dropped(run, 'malformed'), [0, 0])
  })
}

test('stdin takes what is exactly as long as buffer_size', async t => {
  const long = 'x'.repeat(16_000)
  const lines = await runToEnd(t, `${long}\nb`, '    parser line')
  assert.deepEqual(lines.bodies, [{ message: long }, { message: 'b' }])
  const map = await runToEnd(t, `{"a":"${long.slice(8)}"}{"b":1}`)
  assert.deepEqual(map.bodies, [{ a: long.slice(8) }, { b: 1 }])
})

test('stdin does not read while it is held back, and loses nothing', async t => {
  const count = 100_000
  const lines = Array.from({ length: count }, (_, index) => `{"n":${index}}`)
  const root = new SystemRoot(t, { 'dev/stdin': lines.join('\n') })
  const keys = '    mem_buf_limit 100K'
  const run = await startPipeline(configuration(keys), { ...FILES, root: root.path })
  const records = (): number => run.counter('fluentbit_input_records_total', { name: 'stdin.0' })
  await run.until(() => run.log.includes('[ info] [input] pausing stdin.0'))
  const before = records()
  for (let turn = 0; turn < 100; turn++) await nextTurn()
  assert.equal(records(), before)
  await run.until(() => {
    run.clock.advance(1000)
    return run.bodies.length === count
  })
  assert.deepEqual(
    run.bodies,
    Array.from({ length: count }, (_, n) => ({ n }))
  )
  assert.equal(await run.stopped, 0)
  await run.remove()
})

test('stdin stops the program when its input cannot be read', async t => {
  const root = new SystemRoot(t, { 'dev/stdin/folder': '' })
  const run = await startPipeline(configuration(), { ...FILES, root: root.path })
  assert.equal(await run.stopped, 0)
  assert.deepEqual(ownLines(run), [
    '[error] Cannot read standard input: EISDIR: illegal operation on a directory, read'
  ])
  await run.remove()
})

test('stdin refuses a buffer below 16000 bytes and a parser that does not exist', async () => {
  const small = await checkConfiguration(configuration('    buffer_size 1k'), FILES)
  assert.deepEqual(small.errors, [
    'fluent-bit.conf:7:17: Cannot set "buffer_size" on input stdin: value must be 16000 or more: current value is 1000'
  ])
  const missing = await checkConfiguration(configuration('    parser nosuch'), FILES)
  assert.deepEqual(missing.errors, [
    'fluent-bit.conf:7:12: Cannot set "parser" on input stdin: there is no parser "nosuch": known parsers are line, pair, object, timed'
  ])
})
