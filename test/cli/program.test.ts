/** The program as a process: command line, exit codes, signals, streams. */
import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { folder, runProgram, RunningProgram } from '../harness/process.ts'

const TWO_RECORDS = `
[SERVICE]
    flush  0.1
[INPUT]
    name     tail
    path     a.log
    tag      t
    read_from_head  on
    exit_on_eof     on
[OUTPUT]
    name    file
    match   *
    file    out
    format  plain
`

test('a configuration runs to its end with exit code 0, banner and log on stderr', async t => {
  const dir = folder(t, { 'a.log': 'one\ntwo\n', 'fluent-bit.conf': TWO_RECORDS })
  const { code, stdout, stderr, log } = await runProgram(t, dir, ['-c', 'fluent-bit.conf'])
  assert.equal(code, 0, stderr)
  assert.equal(stdout, '')
  assert.equal(readFileSync(join(dir, 'out'), 'utf8'), '{"log":"one"}\n{"log":"two"}\n')
  assert.match(stderr, /^Spillway v\d+\.\d+\.\d+\n\* Compatible with Fluent Bit v5\.1\.1\n/)
  assert.match(
    stderr,
    /^\[\d{4}\/\d\d\/\d\d \d\d:\d\d:\d\d\.\d{3}\] \[ info\] \[fluent bit\] version=5\.1\.1, commit=\S+, pid=\d+$/m
  )
  assert.deepEqual(
    log.filter(line => /service has stopped|ledger/.test(line)),
    [
      '[ info] [engine] service has stopped (0 pending tasks)',
      '[ info] [ledger] input tail.0: 2 ingested + 0 added + 0 recovered = 2 delivered + 0 filtered + 0 dropped + 0 buffered',
      '[ info] [ledger] route tail.0 > file.0: 2 ingested + 0 added + 0 recovered = 2 delivered + 0 filtered + 0 dropped + 0 buffered'
    ]
  )
})

test('the command line alone makes a pipeline: options belong to the last instance', async t => {
  const { code, stdout, stderr } = await runProgram(t, folder(t), [
    '-q',
    '-f',
    '0.1',
    '-i',
    'dummy',
    '-p',
    'dummy={"n":1}',
    '-p',
    'samples=1',
    '-p',
    'flush_on_startup=on',
    '-t',
    'mine',
    '-o',
    'stdout',
    '-p',
    'format=json_lines',
    '-p',
    'json_date_key=false',
    '-m',
    'mi*',
    '-o',
    'exit',
    '-m',
    '*'
  ])
  assert.equal(code, 0, stderr)
  assert.equal(stdout, '{"n":1}\n')
})

test('--dry-run checks without starting, and says so without a time', async t => {
  const dir = folder(t, { 'fluent-bit.conf': TWO_RECORDS })
  const { code, stderr } = await runProgram(t, dir, ['--dry-run', '-q', '-c', 'fluent-bit.conf'])
  assert.equal(code, 0)
  assert.equal(stderr, 'configuration test is successful\n')
  assert.equal(existsSync(join(dir, 'out')), false)
})

test('all mistakes are reported in one run, with file, line, column and code', async t => {
  const dir = folder(t, {
    'fluent-bit.conf':
      '[INPUT]\n    name  dumy\n[INPUT]\n    name  dummy\n    rte  5\n[OUTPUT]\n    name  stdout\n    match *\n    nope x\n'
  })
  const { code, log } = await runProgram(t, dir, ['-c', 'fluent-bit.conf'])
  assert.equal(code, 1)
  assert.deepEqual(log, [
    '[error] [config] fluent-bit.conf:2:11: Cannot use input plugin "dumy": there is no such input in this version; "dummy" is near [CFG_UNKNOWN_PLUGIN]',
    '[error] [config] fluent-bit.conf:5:5: Cannot set "rte" on input dummy: known keys are samples, dummy, metadata, rate, interval_sec, interval_nsec, copies, start_time_sec, start_time_nsec, fixed_timestamp, flush_on_startup, test_hang_on_exit; "rate" is near [CFG_UNKNOWN_KEY]',
    '[error] [config] fluent-bit.conf:9:5: Cannot set "nope" on output stdout: known keys are format, json_date_format, json_date_key [CFG_UNKNOWN_KEY]',
    '[error] configuration file contains errors, aborting.'
  ])
})

for (const [what, text, args, expected] of [
  ['an unknown key', '[INPUT]\n    name  dummy\n    nope  1\n', [], 255],
  ['an unknown key in a dry run', '[INPUT]\n    name  dummy\n    nope  1\n', ['--dry-run'], 1],
  ['a bad generic value', '[INPUT]\n    name  dummy\n    mem_buf_limit  x\n', [], 1],
  ['a warning under --strict', '[SERVICE]\n    nope  1\n', ['--strict', '--dry-run'], 1],
  ['a warning without --strict', '[SERVICE]\n    nope  1\n', ['--dry-run'], 0],
  ['an unknown parser', '[INPUT]\n    name  stdin\n    parser  nope\n', [], 255],
  [
    'an unknown parser in a dry run',
    '[INPUT]\n    name  stdin\n    parser  nope\n',
    ['--dry-run'],
    0
  ],
  [
    'a plugin that cannot start',
    '[INPUT]\n    name  tail\n    path  x\n    db    no/such/folder/x.db\n',
    [],
    255
  ]
] as const) {
  test(`exit code ${expected} for ${what}`, async t => {
    const dir = folder(t, { 'fluent-bit.conf': text })
    const { code, stderr } = await runProgram(t, dir, ['-c', 'fluent-bit.conf', ...args])
    assert.equal(code, expected, stderr)
  })
}

test('a missing configuration file is an error', async t => {
  const { code, log } = await runProgram(t, folder(t), ['-c', 'nope.conf'])
  assert.equal(code, 1)
  assert.equal(log.at(-1), '[error] configuration file contains errors, aborting.')
})

for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  test(`${signal} delivers what is there and stops with exit code 0`, async t => {
    const dir = folder(t, {
      'a.log': 'one\n',
      'fluent-bit.conf': TWO_RECORDS.replace('exit_on_eof     on', '').replace('0.1', '60')
    })
    const run = new RunningProgram(t, dir, ['-c', 'fluent-bit.conf'])
    await run.until(() => run.stderr.includes('inotify_fs_add'))
    run.child.kill(signal)
    const { code, stderr } = await run.ended
    assert.equal(code, 0)
    assert.match(
      stderr,
      new RegExp(
        `^\\[\\d{4}/\\d\\d/\\d\\d \\d\\d:\\d\\d:\\d\\d\\] \\[engine\\] caught signal \\(${signal}\\)$`,
        'm'
      )
    )
    assert.equal(readFileSync(join(dir, 'out'), 'utf8'), '{"log":"one"}\n')
  })
}

test('SIGCONT prints the state and goes on', async t => {
  const dir = folder(t, {
    'a.log': 'one\n',
    'fluent-bit.conf': TWO_RECORDS.replace('exit_on_eof     on', '')
  })
  const run = new RunningProgram(t, dir, ['-c', 'fluent-bit.conf'])
  await run.until(() => run.stderr.includes('inotify_fs_add'))
  run.child.kill('SIGCONT')
  await run.until(() => run.stderr.includes('fluentbit_input_records_total{name="tail.0"} = 1'))
  assert.match(run.stderr, /Fluent Bit Dump\n\n===== Input =====\ntail\.0 \(tail\)\n/)
  run.child.kill('SIGTERM')
  assert.equal((await run.ended).code, 0)
})

test("a user's TypeScript plugins are loaded by -e and by plugins, and see the API as spillway", async t => {
  const dir = folder(t, {
    'shout.ts': `
import { defineFilter, defineOutput, Key, OK, text, decodeEvents } from 'spillway'
export const shout = defineFilter({
  name: 'shout',
  summary: 'Text in capitals',
  options: { key: text({ default: 'log', doc: 'Key of the text' }) },
  create(values) {
    const key = new Key(values.key)
    return {
      filter(event) {
        const value = event.get(key)
        if (typeof value === 'string') event.set(key, value.toUpperCase())
        return true
      }
    }
  }
})
`,
    'lines.ts': `
import { decodeEvents, defineOutput, OK } from 'spillway'
export const lines = defineOutput({
  name: 'lines',
  summary: 'Bodies as lines',
  options: {},
  create: (_, context) => ({
    flush(chunk) {
      for (const { body } of decodeEvents(chunk.bytes)) {
        context.stdout.write(Buffer.from(JSON.stringify(Object.fromEntries(body)) + '\\n'))
      }
      return OK
    }
  })
})
`,
    'a.log': 'one\n',
    'fluent-bit.yaml': `
plugins: [ lines.ts ]
service: { flush: 0.1 }
pipeline:
  inputs:
    - { name: tail, path: a.log, tag: t, read_from_head: on, exit_on_eof: on }
  filters:
    - { name: shout, match: '*' }
  outputs:
    - { name: lines, match: '*' }
`
  })
  const { code, stdout, stderr } = await runProgram(t, dir, [
    '-e',
    'shout.ts',
    '-c',
    'fluent-bit.yaml'
  ])
  assert.equal(code, 0, stderr)
  assert.equal(stdout, '{"log":"ONE"}\n')
})

test('a plugin file that cannot be loaded ends the start with exit code 1', async t => {
  const { code, log } = await runProgram(t, folder(t), ['-e', 'nope.ts', '-i', 'dummy'])
  assert.equal(code, 1)
  assert.match(log[0], /^\[error\] \[config\] Cannot load plugin file "nope.ts": /)
})

test('log_file takes the log, stderr keeps banner and signals', async t => {
  const dir = folder(t, { 'a.log': 'one\n', 'fluent-bit.conf': TWO_RECORDS })
  const { code, log } = await runProgram(t, dir, ['-c', 'fluent-bit.conf', '-l', 'log.txt'])
  assert.equal(code, 0)
  assert.deepEqual(log, [])
  assert.match(
    readFileSync(join(dir, 'log.txt'), 'utf8'),
    /service has stopped \(0 pending tasks\)/
  )
})

for (const [args, environment, level] of [
  [['-v'], {}, 'debug'],
  [[], { FLB_LOG_LEVEL: 'error' }, 'error'],
  [['-v'], { FLB_LOG_LEVEL: 'error' }, 'error'],
  [[], {}, 'info']
] as const) {
  test(`log level of ${JSON.stringify([args, environment])} is ${level}`, async t => {
    const dir = folder(t, { 'a.log': 'one\n', 'fluent-bit.conf': TWO_RECORDS })
    const { log } = await runProgram(t, dir, ['-c', 'fluent-bit.conf', ...args], environment)
    assert.equal(
      log.some(line => line.startsWith('[ info]')),
      level !== 'error'
    )
  })
}

test('-V prints the version, -h the help, -i NAME -h that of a plugin, -J the schema', async t => {
  const dir = folder(t)
  const version = await runProgram(t, dir, ['-V'])
  assert.match(version.stdout, /^Spillway v\d+\.\d+\.\d+\nCompatible with Fluent Bit v5\.1\.1\n$/)
  const help = await runProgram(t, dir, ['-h'])
  assert.match(help.stdout, /^Usage: .*\[OPTION\]\n/)
  assert.match(help.stdout, /^ {2}tail {20}/m)
  const tail = await runProgram(t, dir, ['-i', 'tail', '-h'])
  assert.match(tail.stdout, /^HELP\ntail input plugin\n/)
  const schema = JSON.parse((await runProgram(t, dir, ['-J'])).stdout) as Record<
    string,
    { version?: string }
  >
  assert.equal(schema['fluent-bit'].version, '5.1.1')
  assert.deepEqual([version.code, help.code, tail.code], [0, 0, 0])
})

test('an unknown option shows the help and ends with exit code 1', async t => {
  const { code, stderr, stdout } = await runProgram(t, folder(t), ['--foo'])
  assert.equal(code, 1)
  assert.match(stderr, /unrecognized option '--foo'/)
  assert.match(stdout, /^Usage: /)
})

test('-d runs in the background', async t => {
  const dir = folder(t, { 'a.log': 'one\n', 'fluent-bit.conf': TWO_RECORDS })
  const run = new RunningProgram(t, dir, ['-d', '-c', join(dir, 'fluent-bit.conf'), '-w', dir])
  const { code, log } = await run.ended
  assert.equal(code, 0)
  assert.match(log[0], /^\[ info\] switching to background mode \(PID=\d+\)$/)
  await run.until(
    () => existsSync(join(dir, 'out')) && readFileSync(join(dir, 'out'), 'utf8').endsWith('one"}\n')
  )
})
