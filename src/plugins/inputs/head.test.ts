import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { checkConfiguration, startPipeline } from '../../../test/harness/pipeline.ts'
import { SystemRoot } from '../../../test/harness/system_root.ts'

function configuration(file: string, keys = ''): string {
  return `
[INPUT]
    name  head
    tag   top
${file === '' ? '' : `    file  ${file}`}
${keys}
[OUTPUT]
    name  collect
    match *
`
}

const TEXT = 'first\nsecond line\n\nlast'
const LONG = `${'x'.repeat(600)}\nsecond\nthird\n`
const ZERO = 'ab\0cd\nsecond\n'

/** Bodies as Fluent Bit 5.1.1 printed them; FILE stands for the path. */
const TABLE: readonly [title: string, content: string, keys: string, body: object][] = [
  ['256 bytes', `${'0123456789'.repeat(30)}`, '', { head: '0123456789'.repeat(30).slice(0, 256) }],
  ['all of a short file', TEXT, '', { head: TEXT }],
  ['buf_size bytes', TEXT, '    buf_size 8', { head: 'first\nse' }],
  ['a NUL among bytes', ZERO, '', { head: ZERO }],
  [
    'lines under another key, with the path',
    TEXT,
    '    lines 2\n    add_path on\n    key k',
    { k: 'first\nsecond line\n', path: 'FILE' }
  ],
  ['510 bytes of a line as one line', LONG, '    lines 2', { head: `${'x'.repeat(600)}\n` }],
  ['lines up to a NUL', ZERO, '    lines 2', { head: 'absecond\n' }],
  [
    'a key for each line, the path first, and NULs for line ends',
    TEXT,
    '    lines 5\n    split_line on\n    add_path on\n    key k',
    {
      path: 'FILE',
      line0: 'first\0',
      line1: 'second line\0',
      line2: '\0',
      line3: 'las\0',
      line4: ''
    }
  ],
  [
    'pieces of lines that do not fit buf_size',
    TEXT,
    '    lines 3\n    split_line on\n    buf_size 4',
    { line0: 'fi\0', line1: 'st\0', line2: 'se\0' }
  ],
  [
    'split lines up to a NUL',
    ZERO,
    '    lines 2\n    split_line on',
    { line0: 'a\0', line1: 'second\0' }
  ],
  [
    'ten lines when split_line does not say how many',
    'a\n',
    '    split_line on',
    {
      line0: 'a\0',
      ...Object.fromEntries([1, 2, 3, 4, 5, 6, 7, 8, 9].map(index => [`line${index}`, '']))
    }
  ]
]

for (const [title, content, keys, body] of TABLE) {
  test(`head sends ${title}`, async t => {
    const root = new SystemRoot(t, { 'a.txt': content })
    const file = join(root.path, 'a.txt')
    const run = await startPipeline(configuration(file, keys))
    run.clock.advance(1000)
    const expected = Object.fromEntries(
      Object.entries(body).map(([key, value]) => [key, value === 'FILE' ? file : value])
    )
    assert.deepEqual(run.taken, [
      { tag: 'top', events: [{ time: [1700000001, 0], metadata: {}, body: expected }] }
    ])
    assert.deepEqual(Object.keys(run.bodies[0] as object), Object.keys(expected))
    await run.stop()
  })
}

test('head takes the first lines of a file that is longer than a read', async t => {
  const root = new SystemRoot(t, { 'a.txt': 'line\n'.repeat(100_000) })
  const keys = '    lines 20000'
  const run = await startPipeline(configuration(join(root.path, 'a.txt'), keys))
  run.clock.advance(1000)
  assert.deepEqual(run.bodies, [{ head: 'line\n'.repeat(20_000) }])
  await run.stop()
})

test('head keeps bytes that are not UTF-8', async t => {
  const root = new SystemRoot(t, { 'a.txt': Buffer.from([0x61, 0xff, 0x62]) })
  const run = await startPipeline(configuration(join(root.path, 'a.txt')))
  run.clock.advance(1000)
  assert.deepEqual(run.bodies, [{ head: 'a\ufffdb' }])
  assert.equal(run.counter('fluentbit_input_bytes_total', { name: 'head.0' }), 13 + 1 + 5 + 4)
  await run.stop()
})

const UNREADABLE: readonly [keys: string, bodies: readonly object[]][] = [
  ['', [{ head: '' }]],
  ['    lines 3', [{ head: '' }]],
  ['    split_line on', []]
]

for (const [keys, bodies] of UNREADABLE) {
  test(`head reports a file that is not there, and sends ${bodies.length} records:${keys}`, async () => {
    const run = await startPipeline(configuration('/nosuch/a.txt', keys))
    run.clock.advance(1000)
    assert.deepEqual(run.bodies, bodies)
    assert.deepEqual(run.log.slice(-1), [
      '[error] [input:head:head.0] Cannot read "/nosuch/a.txt": No such file or directory'
    ])
    await run.stop()
  })
}

test('head reads the file anew each time', async t => {
  const root = new SystemRoot(t, { 'a.txt': 'one' })
  const run = await startPipeline(configuration(join(root.path, 'a.txt'), '    interval_sec 2'))
  run.clock.advance(2000)
  root.write('a.txt', 'two')
  run.clock.advance(3000)
  assert.deepEqual(run.bodies, [{ head: 'one' }, { head: 'two' }])
  await run.stop()
})

test('head needs a file, and room to read it', async () => {
  const { errors } = await checkConfiguration(configuration(''))
  assert.deepEqual(errors, [
    'fluent-bit.conf:2:1: Cannot set "file" on input head: it is not set, it must name a file'
  ])
  const small = await checkConfiguration(configuration('/a', '    buf_size 1'))
  assert.deepEqual(small.errors, [
    'fluent-bit.conf:6:14: Cannot set "buf_size" on input head: value must be 2 or more: current value is 1'
  ])
})
