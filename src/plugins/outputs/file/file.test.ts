import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { event, FileRun, filesAfter } from '../../../../test/harness/file_run.ts'
import { encodeEvent, ODD_EVENTS } from '../../../../test/harness/odd_events.ts'
import { recordedMetrics } from '../../../../test/harness/metrics_recordings.ts'
import { checkConfiguration } from '../../../../test/harness/pipeline.ts'

const { bytes: METRICS_HEX, text: METRICS_TEXT } = recordedMetrics('event_type')
const METRICS = Buffer.from(METRICS_HEX, 'hex')

const TEST_FOLDER = join(import.meta.dirname, '../../../../test')

const OUT = '    path FOLDER\n    file out\n'

const FORMATS: Readonly<Record<string, string>> = {
  out_file: '',
  plain: '    format PLAIN\n',
  csv: '    format csv\n',
  ltsv: '    format ltsv\n',
  template: '    format template\n',
  names: '    format csv\n    csv_column_names on\n    delimiter tab\n',
  labels: '    format ltsv\n    delimiter Comma\n    label_delimiter SPACE\n',
  braces: '    format template\n    template {t}|{}|{message}|{{neg}|{a{neg}|{nope}|}x{unclosed\n'
}

for (const [name, properties] of Object.entries(FORMATS)) {
  test(`file writes odd events as Fluent Bit does: ${name}`, async () => {
    const files = await filesAfter(`${OUT}${properties}`, ODD_EVENTS)
    const recorded = join(TEST_FOLDER, 'parity/output_file', `${name}.txt`)
    assert.deepEqual(files['out'].split('\n'), readFileSync(recorded, 'latin1').split('\n'))
  })
}

test('format msgpack is the chunk as it is', async () => {
  const start = encodeEvent([0xffffffff, 0], {})
  const events = [start, ...ODD_EVENTS, encodeEvent([0xfffffffe, 0], {})]
  const files = await filesAfter(`${OUT}    format msgpack\n`, events)
  assert.equal(files['out'], Buffer.concat(events).toString('latin1'))
})

test('the marks of groups are no lines', async () => {
  const start = encodeEvent([0xffffffff, 0], { a: 1 })
  const end = encodeEvent([0xfffffffe, 0], {})
  const files = await filesAfter(`${OUT}    format plain\n`, [start, event({ n: 1 }), end])
  assert.equal(files['out'], '{"n":1}\n')
})

test('delimiters of other words leave those of the format in force', async () => {
  const lines: Readonly<Record<string, string>> = {
    'csv\n    delimiter ;': '1700000000.000000000,1,2\n',
    'csv\n    delimiter \\t': '1700000000.000000000\t1\t2\n',
    'ltsv\n    delimiter ;\n    label_delimiter =': '"time":1700000000.000000\t"a":1\t"b":2\n'
  }
  for (const [format, line] of Object.entries(lines)) {
    const files = await filesAfter(`${OUT}    format ${format}\n`, [event({ a: 1, b: 2 })])
    assert.equal(files['out'], line, format)
  }
})

test('csv names come with every flush, and an empty record takes them with it', async () => {
  const run = await FileRun.start(`${OUT}    format csv\n    csv_column_names on\n`)
  await run.send('app', event({}), event({ a: 1 }))
  await run.send('app', event({ a: 2 }), event({ a: 3 }))
  await run.send('app', event({ b: 4 }))
  const time = '1700000000.000000000'
  assert.deepEqual(await run.stop(), {
    out: `${time},1\ntimestamp,"a"\n${time},2\n${time},3\ntimestamp,"b"\n${time},4\n`
  })
})

test('json.escape_unicode of the service section holds for files too', async () => {
  const run = await FileRun.start(`${OUT}    format plain\n`, '    json.escape_unicode off\n')
  await run.send('app', event({ é: 'ё' }))
  const files = await run.stop()
  assert.equal(Buffer.from(files['out'], 'latin1').toString(), '{"é":"ё"}\n')
})

const TAGS: Readonly<Record<string, string>> = {
  app: 'app',
  'a/b:c\\d': 'a/b_c/d',
  '/../..//x y/.': '_/_/x_y/_',
  '///': '_',
  tägß: 't__g__',
  '-_.aZ9': '-_.aZ9'
}

for (const [tag, path] of Object.entries(TAGS)) {
  test(`without a file the tag "${tag}" gives "${path}"`, async () => {
    const properties = '    path FOLDER/in\n    mkdir on\n    format plain\n'
    assert.deepEqual(await filesAfter(properties, [event({ n: 1 })], tag), {
      [`in/${path}`]: '{"n":1}\n'
    })
  })
}

test('lines go to the end of what is there, and a file that others took away is made anew', async () => {
  const run = await FileRun.start(`${OUT}    format plain\n`)
  writeFileSync(join(run.folder, 'out'), 'old\n')
  await run.send('app', event({ n: 1 }))
  renameSync(join(run.folder, 'out'), join(run.folder, 'out.1'))
  await run.send('app', event({ n: 2 }))
  await run.send('app', event({ n: 3 }))
  assert.deepEqual(await run.stop(), { 'out.1': 'old\n{"n":1}\n', out: '{"n":2}\n{"n":3}\n' })
})

test('a chunk larger than a part, with an event larger than two, is whole', async () => {
  const texts = Array.from({ length: 30_000 }, (_, n) => `${n}`.padStart(20, 'y'))
  texts[9000] = 'x'.repeat(1_300_000)
  const run = await FileRun.start(`${OUT}    format plain\n`)
  await run.send('app', ...texts.map(text => event({ text })))
  await run.send('app', event({ n: 1 }))
  const files = await run.stop()
  const lines = texts.map(text => `{"text":"${text}"}\n`)
  assert.ok(files['out'] === `${lines.join('')}{"n":1}\n`)
})

const UNOPENABLE: readonly (readonly [what: string, properties: string, log: string[]])[] = [
  [
    'a missing folder',
    '    path FOLDER/missing\n    file out\n',
    ['[error] [errno=2] No such file or directory', '[error] error opening: FOLDER/missing/out']
  ],
  [
    'a file where a folder is wanted, even with mkdir',
    '    path FOLDER/taken\n    file out\n    mkdir on\n',
    ['[error] [errno=20] Not a directory', '[error] error opening: FOLDER/taken/out']
  ],
  [
    'a folder where a file is wanted',
    '    path FOLDER\n    file folder\n',
    ['[error] [errno=21] Is a directory', '[error] error opening: FOLDER/folder']
  ],
  [
    'a folder that cannot be made',
    '    path /proc/nope\n    file out\n    mkdir on\n',
    ['[error] [errno=2] No such file or directory', '[error] error opening: /proc/nope/out']
  ],
  [
    'a name that is too long',
    `    path FOLDER\n    file ${'n'.repeat(256)}\n`,
    ['[error] [errno=36] File name too long', `[error] error opening: FOLDER/${'n'.repeat(256)}`]
  ]
]

for (const [what, properties, log] of UNOPENABLE) {
  test(`${what}: the chunk is given up with a reason and the next one is tried again`, async () => {
    const run = await FileRun.start(properties)
    writeFileSync(join(run.folder, 'taken'), '')
    mkdirSync(join(run.folder, 'folder'))
    await run.send('app', event({ n: 1 }), event({ n: 2 }))
    await run.send('app', event({ n: 3 }))
    await run.stop()
    assert.deepEqual(run.log, [...log, ...log])
    assert.equal(run.dropped('cannot_open'), 3)
  })
}

test('a device without room: the chunk is sent again', async () => {
  const run = await FileRun.start('    path /dev\n    file full\n    retry_limit no_retries\n')
  await run.send('app', event({ n: 1 }))
  await run.stop()
  assert.deepEqual(run.log, [
    '[error] [errno=28] No space left on device',
    '[error] error writing: /dev/full'
  ])
  assert.equal(run.dropped('no_retries'), 1)
})

test('a file that reaches a limit of the system is as it was before the chunk', () => {
  // A limit on the size of files stands for a full disk: the kernel takes a part of the last write, then refuses.
  const folder = mkdtempSync(join(tmpdir(), 'spillway-limit-'))
  writeFileSync(join(folder, 'out'), 'before\n')
  const script = join(TEST_FOLDER, 'harness/full_disk.ts')
  const command = `trap '' XFSZ; ulimit -f 1024; exec "${process.execPath}" "${script}" "${folder}"`
  const report = execFileSync('sh', ['-c', command], { encoding: 'utf8' })
  const left = readFileSync(join(folder, 'out'), 'utf8')
  rmSync(folder, { recursive: true })
  assert.deepEqual(JSON.parse(report), {
    log: [
      '[error] [output:file:file.0] [errno=27] File too large',
      `[error] [output:file:file.0] error writing: ${folder}/out`
    ],
    dropped: 30_000
  })
  assert.equal(left, 'before\n')
})

const REFUSED: Readonly<Record<string, string>> = {
  'format nope': 'Cannot set "format" on output file: ',
  'on_missing_field ignore': 'Cannot set "on_missing_field" on output file: ',
  'on_limit_reached ignore': 'Cannot set "on_limit_reached" on output file: ',
  'max_dynamic_files -1': 'Cannot set "max_dynamic_files" on output file: value must be 0 or more',
  'on_missing_field fallback':
    'Cannot set "fallback_file" on output file: it is required for fallback actions',
  'file $a':
    'Cannot set "fallback_file" on output file: it is required when path or file is dynamic',
  'enable_strftime on, file %Y':
    'Cannot set "fallback_file" on output file: it is required when path or file is dynamic',
  'path $a/b, fallback_file x':
    'Cannot set "path" on output file: it must include a static prefix before record accessors',
  "file a$b['c, fallback_file x": 'Cannot set "file" on output file: Cannot read record accessor',
  'rotate on, rotate_max_size 0':
    'Cannot set "rotate_max_size" on output file: value must be greater than zero',
  'rotate on, rotate_max_files 0':
    'Cannot set "rotate_max_files" on output file: value must be 1 or more'
}

for (const [properties, message] of Object.entries(REFUSED)) {
  test(`refused at the start: ${properties}`, async () => {
    const lines = properties.split(', ').map(property => `    ${property}\n`)
    const { errors } = await checkConfiguration(
      `[INPUT]\n    name lib\n[OUTPUT]\n    name file\n    match *\n${lines.join('')}`
    )
    assert.equal(errors.length, 1)
    assert.ok(errors[0].includes(message), errors[0])
  })
}

for (const [properties, name] of [
  ['', 'some_tag'],
  ['    file out\n    format msgpack\n', 'out'],
  ['    format csv\n    csv_column_names on\n', 'some_tag'],
  [
    '    file out-$x\n    fallback_path FOLDER/deep\n    fallback_file rest\n    mkdir on\n',
    'deep/rest'
  ]
] as const) {
  test(`metrics are appended as text to ${name}: ${properties.trim().replaceAll(/\n +/g, ', ')}`, async () => {
    const run = await FileRun.start(`    path FOLDER\n${properties}`)
    await run.sendMetrics('some:tag', METRICS, METRICS)
    await run.sendMetrics('some:tag', Buffer.of(0xc0), METRICS)
    assert.deepEqual(await run.stop(), { [name]: METRICS_TEXT.repeat(3) })
    assert.equal(run.dropped('malformed'), 1)
  })
}
