import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { checkConfiguration } from '../../test/harness/pipeline.ts'
import { folder, runProgram } from '../../test/harness/process.ts'
import { text } from '../config/options.ts'
import { Catalog } from '../plugin/catalog.ts'
import { defineInput, defineOutput, type Plugin } from '../plugin/define.ts'
import { OK } from '../plugin/delivery.ts'
import { SHIPPED } from '../plugins/all.ts'
import { lossesOf, lossText } from './check.ts'

/** An input whose sender waits for an answer. */
const asked = defineInput({
  name: 'asked',
  summary: 'For tests',
  receipts: 'sender',
  options: {},
  create: () => ({ start: () => {} })
})

/** A server whose senders bring tags along. */
const listener = defineInput({
  name: 'listener',
  summary: 'For tests',
  network: 'server',
  receipts: 'sender',
  options: {},
  create: () => ({ start: () => {} })
})

/** An output that may not hear from its remote. */
const datagram = defineOutput({
  name: 'datagram',
  summary: 'For tests',
  options: { mode: text({ default: 'udp', doc: 'udp or tcp' }) },
  losses(values) {
    const message = 'nobody says whether a datagram arrived'
    const loss = { when: 'failure', key: 'mode', message, change: 'mode tcp' } as const
    return values.mode === 'tcp' ? [] : [loss]
  },
  create: () => ({ flush: () => OK })
})

const PLUGINS: readonly Plugin[] = [asked, listener, datagram]

/** What `check --loss` prints for a configuration without mistakes. */
async function losses(t: TestContext, configuration: string, file = 'a.conf'): Promise<string> {
  const yaml = file.endsWith('.yaml')
  const { errors } = await checkConfiguration(configuration, { plugins: PLUGINS, yaml })
  assert.deepEqual(errors, [])
  const catalog = new Catalog(SHIPPED)
  for (const plugin of PLUGINS) catalog.add(plugin)
  const workingDirectory = folder(t, { [file]: configuration })
  const source = { file, commandLine: undefined, workingDirectory, processEnvironment: {} }
  return lossText(await lossesOf(source, catalog))
}

/** Sections that lose nothing together. */
const SERVICE = `[SERVICE]
    storage.path           buffer
    storage.sync           full
    storage.keep.rejected  on
`
const TAIL = `[INPUT]
    name                 tail
    path                 a.log
    db                   a.db
    truncate_long_lines  on
`
const STDOUT = `[OUTPUT]
    name         stdout
    match        *
    retry_limit  no_limits
`

/** An input that cannot read again. */
const DUMMY = `[INPUT]
    name          dummy
    storage.type  filesystem
`

const NOTHING = 'nothing that this configuration is told to keep can be lost while its disks last\n'

const cases: readonly [name: string, configuration: string, printed: string][] = [
  [
    'Nothing is lost where files are read again, deliveries go on and the rest is kept',
    `${SERVICE}${TAIL}${STDOUT}`,
    NOTHING
  ],
  [
    'The worst comes first, then the order of the file',
    `[INPUT]
    name  dummy
[INPUT]
    name  cpu
    tag   other
[OUTPUT]
    name   stdout
    match  dummy.*
`,
    `a.conf:5:11: input cpu.1: all records are dropped, as no output matches their tag "other"
change: match other on an output

a.conf:6:1: output stdout.0: records are dropped when their delivery fails after 1 retry, 6 to 11 seconds after the first failure, sooner at a stop
change: retry_limit no_limits, or storage.keep.rejected on with storage.path FOLDER in the service section

a.conf:6:1: service: records refused by an output (stdout.0) are dropped
change: storage.keep.rejected on with storage.path FOLDER in the service section

a.conf:1:1: service: records of dummy.0 that are not delivered 5 seconds after a stop began are lost
change: storage.path FOLDER in the service section

a.conf:1:1: input dummy.0: records wait in memory: a crash of the process loses those that are not delivered
change: storage.type filesystem with storage.path FOLDER in the service section

5 ways to lose data
`
  ],
  [
    'Records of an input without receipts die with the process',
    `${SERVICE}[INPUT]
    name  dummy
${STDOUT}`,
    `a.conf:5:1: input dummy.0: records wait in memory: a crash of the process loses those that are not delivered
change: storage.type filesystem

1 way to lose data
`
  ],
  [
    'The place is that of storage.type where it is written',
    `${SERVICE}[INPUT]
    name          dummy
    storage.type  memory
${STDOUT}`,
    `a.conf:7:19: input dummy.0: records wait in memory: a crash of the process loses those that are not delivered
change: storage.type filesystem

1 way to lose data
`
  ],
  [
    'A storage type can come from the service section, and its place too',
    `${SERVICE}    storage.inherit  on
    storage.type     memrb
[INPUT]
    name  dummy
${STDOUT}`,
    `a.conf:6:22: input dummy.0: records wait in memory: a crash of the process loses those that are not delivered
change: storage.type filesystem

1 way to lose data
`
  ],
  [
    'The storage type of the service section counts only when it is inherited',
    `${SERVICE}    storage.type  filesystem
[INPUT]
    name  dummy
${STDOUT}`,
    `a.conf:6:1: input dummy.0: records wait in memory: a crash of the process loses those that are not delivered
change: storage.type filesystem

1 way to lose data
`
  ],
  [
    'A sender is answered before its records are delivered',
    `${SERVICE}[INPUT]
    name  asked
${STDOUT}`,
    `a.conf:5:1: input asked.0: records are acknowledged and then wait in memory: a crash of the process loses those that are not delivered
change: acknowledge delivered, or storage.type filesystem

1 way to lose data
`
  ],
  [
    'A sender can be answered after the delivery',
    `${SERVICE}[INPUT]
    name         asked
    acknowledge  delivered
${STDOUT}`,
    NOTHING
  ],
  [
    'A sender whose records are on disk is answered when they are safe',
    `${SERVICE}[INPUT]
    name          asked
    storage.type  filesystem
${STDOUT}`,
    NOTHING
  ],
  [
    'Without storage.path a stop loses what is in memory, but not what is read again',
    `[SERVICE]
    grace  8
[INPUT]
    name  asked
[INPUT]
    name   dummy
    alias  made
${TAIL}[OUTPUT]
    name   null
    match  none
${STDOUT}`,
    `a.conf:16:1: service: records refused by an output (stdout.1) are dropped
change: storage.keep.rejected on with storage.path FOLDER in the service section

a.conf:2:12: service: records of asked.0 and made that are not delivered 8 seconds after a stop began are lost
change: storage.path FOLDER in the service section

a.conf:3:1: input asked.0: records are acknowledged and then wait in memory: a crash of the process loses those that are not delivered
change: acknowledge delivered, or storage.type filesystem with storage.path FOLDER in the service section

a.conf:5:1: input made: records wait in memory: a crash of the process loses those that are not delivered
change: storage.type filesystem with storage.path FOLDER in the service section

4 ways to lose data
`
  ],
  [
    'A stop that waits for ever loses nothing',
    `[SERVICE]
    grace  -1
[INPUT]
    name  dummy
${STDOUT}`,
    `a.conf:5:1: service: records refused by an output (stdout.0) are dropped
change: storage.keep.rejected on with storage.path FOLDER in the service section

a.conf:3:1: input dummy.0: records wait in memory: a crash of the process loses those that are not delivered
change: storage.type filesystem with storage.path FOLDER in the service section

2 ways to lose data
`
  ],
  [
    'tail says what it loses without a database, and that it passes long lines over',
    `${SERVICE}[INPUT]
    name  tail
    path  a.log
${STDOUT}`,
    `a.conf:5:1: input tail.0: lines longer than 32766 bytes are passed over
change: a larger buffer_max_size, or truncate_long_lines on, which keeps their beginning

a.conf:5:1: input tail.0: a restart goes on at the end of the files: lines that were written meanwhile, or read and not delivered, are lost
change: db FILE

2 ways to lose data
`
  ],
  [
    'tail without a database loses no lines when it begins again at the head',
    `${SERVICE}[INPUT]
    name             tail
    path             a.log
    read_from_head   on
    buffer_max_size  64k
${STDOUT}`,
    `a.conf:9:22: input tail.0: lines longer than 63998 bytes are passed over
change: a larger buffer_max_size, or truncate_long_lines on, which keeps their beginning

1 way to lose data
`
  ],
  [
    'Lines that are to be skipped are not lost',
    `${SERVICE}[INPUT]
    name             tail
    path             a.log
    db               a.db
    skip_long_lines  on
${STDOUT}`,
    NOTHING
  ],
  [
    'A ring in memory drops its oldest records',
    `${SERVICE}[INPUT]
    name           dummy
    storage.type   memrb
    mem_buf_limit  5M
${STDOUT}`,
    `a.conf:8:20: input dummy.0: the oldest records are dropped when mem_buf_limit 5M is reached
change: storage.type filesystem

a.conf:7:20: input dummy.0: records wait in memory: a crash of the process loses those that are not delivered
change: storage.type filesystem

2 ways to lose data
`
  ],
  [
    'An input without receipts may not be able to wait at its memory limit',
    `${SERVICE}[INPUT]
    name           dummy
    mem_buf_limit  5M
${STDOUT}`,
    `a.conf:7:20: input dummy.0: records that its source does not keep are lost while mem_buf_limit 5M holds it back
change: storage.type filesystem

a.conf:5:1: input dummy.0: records wait in memory: a crash of the process loses those that are not delivered
change: storage.type filesystem

2 ways to lose data
`
  ],
  [
    'An input that keeps a position waits at its memory limit',
    `${SERVICE}${TAIL}    mem_buf_limit  5M
${STDOUT}`,
    NOTHING
  ],
  [
    'Chunks on disk can fill it, wait for a place in memory, or meet the rate gate',
    `${SERVICE}${DUMMY}    rate_gate                          on
    rate_gate.max_records              10
    storage.pause_on_chunks_overlimit  on
${STDOUT}`,
    `a.conf:7:19: input dummy.0: records that its source does not keep are lost while the disk of storage.path is full
change: storage.total_limit_size SIZE on its outputs, which drops the oldest records instead

a.conf:8:40: input dummy.0: records that its source does not keep are lost while rate_gate holds it back
change: rate_gate off

a.conf:10:40: input dummy.0: records that its source does not keep are lost while storage.max_chunks_up 128 holds it back
change: storage.pause_on_chunks_overlimit off

3 ways to lose data
`
  ],
  [
    'storage.total_limit_size drops the oldest chunks on disk',
    `${SERVICE}${DUMMY}${STDOUT}    storage.total_limit_size  10m
`,
    `a.conf:12:31: output stdout.0: the oldest records that wait on disk are dropped when they hold 10m
change: storage.total_limit_size off

1 way to lose data
`
  ],
  [
    'storage.total_limit_size matters only to chunks on disk',
    `${SERVICE}${TAIL}${STDOUT}    storage.total_limit_size  10m
`,
    NOTHING
  ],
  [
    'storage.sync normal loses the last chunks with the machine',
    `[SERVICE]
    storage.path           buffer
    storage.keep.rejected  on
${TAIL}    storage.type  filesystem
${STDOUT}`,
    `a.conf:9:19: service: records of tail.0 are not forced to the disk: a crash of the machine loses the last of them
change: storage.sync full in the service section

1 way to lose data
`
  ],
  [
    'Damaged chunks can be told to be deleted',
    `${SERVICE}    storage.delete_irrecoverable_chunks  on
${TAIL}${STDOUT}`,
    `a.conf:5:42: service: what is damaged in the files of an earlier run is deleted, not set aside
change: storage.delete_irrecoverable_chunks off in the service section

1 way to lose data
`
  ],
  [
    'Each output gives up after its retries, in a time that the scheduler sets',
    `[SERVICE]
    storage.path  buffer
${TAIL}[OUTPUT]
    name   stdout
    match  *
[OUTPUT]
    name         file
    match        *
    retry_limit  12
[OUTPUT]
    name         counter
    match        *
    retry_limit  no_retries
[OUTPUT]
    name         stdout
    match        *
    retry_limit  100000
`,
    `a.conf:8:1: output stdout.0: records are dropped when their delivery fails after 1 retry, 6 to 11 seconds after the first failure, sooner at a stop
change: retry_limit no_limits, or storage.keep.rejected on in the service section

a.conf:8:1: service: records refused by an output (stdout.0, file.1, counter.2 and stdout.3) are dropped
change: storage.keep.rejected on in the service section

a.conf:14:18: output file.1: records are dropped when their delivery fails after 12 retries, 72 seconds to 3 hours after the first failure, sooner at a stop
change: retry_limit no_limits, or storage.keep.rejected on in the service section

a.conf:18:18: output counter.2: records are dropped when their delivery fails once
change: retry_limit no_limits, or storage.keep.rejected on in the service section

a.conf:22:18: output stdout.3: records are dropped when their delivery fails after 100000 retries, 7 to 2316 days after the first failure, sooner at a stop
change: retry_limit no_limits, or storage.keep.rejected on in the service section

5 ways to lose data
`
  ],
  [
    'Equal waits between retries take one time',
    `[SERVICE]
    storage.path    buffer
    scheduler.base  10
    scheduler.cap   10
${TAIL}[OUTPUT]
    name         stdout
    match        *
    retry_limit  3
`,
    `a.conf:10:1: service: records refused by an output (stdout.0) are dropped
change: storage.keep.rejected on in the service section

a.conf:13:18: output stdout.0: records are dropped when their delivery fails after 3 retries, 33 seconds after the first failure, sooner at a stop
change: retry_limit no_limits, or storage.keep.rejected on in the service section

2 ways to lose data
`
  ],
  [
    'Dead letters keep what is given up',
    `${SERVICE}${TAIL}[OUTPUT]
    name         stdout
    match        *
    retry_limit  1
`,
    NOTHING
  ],
  [
    'Dead letters need storage.path',
    `[SERVICE]
    storage.keep.rejected  on
${TAIL}${STDOUT}`,
    `a.conf:2:28: service: records refused by an output (stdout.0) are dropped, as storage.keep.rejected has no effect without storage.path
change: storage.path FOLDER in the service section

1 way to lose data
`
  ],
  [
    'Dead letters may have a limit',
    `${SERVICE}    storage.rejected.limit  5M
${TAIL}${STDOUT}`,
    `a.conf:5:29: service: records refused or given up by an output (stdout.0) are dropped while dead letters fill storage.rejected.limit
change: a larger storage.rejected.limit in the service section, or none

1 way to lose data
`
  ],
  [
    'What null throws away cannot be lost otherwise',
    `${SERVICE}${TAIL}[OUTPUT]
    name   null
    match  *
`,
    `a.conf:10:1: output null.0: all records are thrown away, as this output is for

1 way to lose data
`
  ],
  [
    'A plugin says what only it knows',
    `${SERVICE}${TAIL}[OUTPUT]
    name         datagram
    match        *
[OUTPUT]
    name         datagram
    match        *
    mode         tcp
`,
    `a.conf:10:1: output datagram.0: nobody says whether a datagram arrived
change: mode tcp

1 way to lose data
`
  ],
  [
    'Records that are not routable are dropped',
    `${SERVICE}${TAIL}    routable  off
${STDOUT}`,
    `a.conf:10:15: input tail.0: all records are dropped, as they are not routable
change: routable on

1 way to lose data
`
  ],
  [
    'Records whose tag no output matches are dropped',
    `${SERVICE}${TAIL}    tag  app
[OUTPUT]
    name         stdout
    match        web.*
    match_regex  ^web
`,
    `a.conf:10:10: input tail.0: all records are dropped, as no output matches their tag "app"
change: match app on an output

1 way to lose data
`
  ],
  [
    'An output that no records get to loses none',
    `${SERVICE}${TAIL}${STDOUT}[OUTPUT]
    name   stdout
    match  other
`,
    NOTHING
  ],
  [
    'The only output matches the only input without a match',
    `${SERVICE}${TAIL}[OUTPUT]
    name         stdout
`,
    NOTHING
  ],
  [
    'A tag that is made of paths is not judged',
    `${SERVICE}${TAIL}    tag  kube.*
[OUTPUT]
    name   stdout
    match  kube.var.*
`,
    NOTHING
  ],
  [
    'Tags that senders bring along are not judged',
    `${SERVICE}[INPUT]
    name          listener
    storage.type  filesystem
[OUTPUT]
    name   stdout
    match  web.*
[OUTPUT]
    name   stdout
    match  app.*
`,
    NOTHING
  ],
  [
    'A filter may give the records another tag',
    `${SERVICE}${TAIL}    tag  app
[FILTER]
    name                   rewrite_tag
    match_regex            ^a
    rule                   $log x web.x true
    emitter_mem_buf_limit  0
[OUTPUT]
    name   stdout
    match  web.*
[OUTPUT]
    name   stdout
    match  web.x
`,
    NOTHING
  ],
  [
    'A filter that is off, or for other tags, gives no other tag',
    `${SERVICE}${TAIL}    tag  app
[FILTER]
    name    rewrite_tag
    match   app
    rule    $log x web.x true
    active  false
[FILTER]
    name                   rewrite_tag
    match                  none
    rule                   $log x web.x true
    emitter_mem_buf_limit  0
[OUTPUT]
    name   stdout
    match  web.*
`,
    `a.conf:10:10: input tail.0: all records are dropped, as no output matches their tag "app"
change: match app on an output

1 way to lose data
`
  ],
  [
    'An emitter keeps records in memory, and refuses more than its limit',
    `${SERVICE}${DUMMY}[FILTER]
    name   rewrite_tag
    match  dummy.*
    rule   $log x web.x true
${STDOUT}    storage.total_limit_size  1G
`,
    `a.conf:8:1: filter rewrite_tag.0: records keep their old tag while those under new tags fill emitter_mem_buf_limit: they are lost where no output matches it
change: emitter_storage.type filesystem, or emitter_mem_buf_limit 0

a.conf:16:31: output stdout.0: the oldest records that wait on disk are dropped when they hold 1G
change: storage.total_limit_size off

a.conf:8:1: filter rewrite_tag.0: records under a new tag wait in memory: a crash of the process loses those that are not delivered
change: emitter_storage.type filesystem

3 ways to lose data
`
  ],
  [
    'An emitter on disk loses the last of it with the machine',
    `[SERVICE]
    storage.path           buffer
    storage.sync           normal
    storage.keep.rejected  on
${TAIL}[FILTER]
    name                   rewrite_tag
    match                  *
    rule                   $log x web.x true
    emitter_storage.type   filesystem
    emitter_mem_buf_limit  0
${STDOUT}`,
    `a.conf:3:28: service: records of rewrite_tag.0 are not forced to the disk: a crash of the machine loses the last of them
change: storage.sync full in the service section

1 way to lose data
`
  ]
]

for (const [name, configuration, printed] of cases) {
  test(name, async t => {
    assert.equal(await losses(t, configuration), printed)
  })
}

test('Conditional routes without a default drop what meets none of them', async t => {
  const routes = (condition: string): string => `
service:
  storage.path: buffer
  storage.keep.rejected: on
pipeline:
  inputs:
    - name: tail
      path: a.log
      db: a.db
      truncate_long_lines: on
      routes:
        logs:
          - name: errors
            condition:
              ${condition}
            to:
              outputs:
                - stdout
  outputs:
    - name: stdout
      retry_limit: no_limits
    - name: stdout
      alias: unused
`
  const rules = "rules: [{ field: '$level', op: eq, value: error }]"
  assert.equal(
    await losses(t, routes(rules), 'a.yaml'),
    `a.yaml:7:7: input tail.0: records that meet the condition of none of its routes are dropped
change: one more route, with default: true as its condition

1 way to lose data
`
  )
  assert.equal(await losses(t, routes('default: true'), 'a.yaml'), NOTHING)
})

test('Processors lose what they lose as filters', async t => {
  const configuration = `
service:
  storage.path: buffer
  storage.sync: full
  storage.keep.rejected: on
pipeline:
  inputs:
    - name: dummy
      tag: made
      storage.type: filesystem
      processors:
        logs:
          - name: rewrite_tag
            rule: $message x other false
            emitter_mem_buf_limit: 5M
  outputs:
    - name: stdout
      match: other
      storage.total_limit_size: 1G
`
  assert.equal(
    await losses(t, configuration, 'a.yaml'),
    `a.yaml:15:36: processor rewrite_tag.0: records keep their old tag while those under new tags fill emitter_mem_buf_limit: they are lost where no output matches it
change: emitter_storage.type filesystem, or emitter_mem_buf_limit 0

a.yaml:19:33: output stdout.0: the oldest records that wait on disk are dropped when they hold 1G
change: storage.total_limit_size off

a.yaml:13:13: processor rewrite_tag.0: records under a new tag wait in memory: a crash of the process loses those that are not delivered
change: emitter_storage.type filesystem

3 ways to lose data
`
  )
})

test('check does what a dry run does', async t => {
  const directory = folder(t, { 'a.conf': DUMMY.replace('filesystem', 'memory') + STDOUT })
  const { code, stdout, stderr } = await runProgram(t, directory, ['check', '-q', '-c', 'a.conf'])
  assert.deepEqual(
    { code, stdout, stderr },
    { code: 0, stdout: '', stderr: 'configuration test is successful\n' }
  )
})

test('check ends with exit code 1 for a mistake, and says nothing of losses then', async t => {
  const directory = folder(t, { 'a.conf': '[INPUT]\n    name  dumy\n' })
  const { code, stdout, log } = await runProgram(t, directory, ['check', '--loss', '-c', 'a.conf'])
  assert.deepEqual(
    { code, stdout, log },
    {
      code: 1,
      stdout: '',
      log: [
        '[error] [config] a.conf:2:11: Cannot use input plugin "dumy": there is no such input in this version; "dummy" is near [CFG_UNKNOWN_PLUGIN]',
        '[error] configuration file contains errors, aborting.'
      ]
    }
  )
})

test('check --loss prints the losses on standard output, with exit code 0', async t => {
  const { code, stdout } = await runProgram(t, folder(t), [
    'check',
    '-i',
    'dummy',
    '--loss',
    '-o',
    'null'
  ])
  assert.equal(code, 0)
  assert.equal(
    stdout,
    `command line:1:26: output null.0: all records are thrown away, as this output is for

command line:1:10: service: records of dummy.0 that are not delivered 5 seconds after a stop began are lost
change: storage.path FOLDER in the service section

command line:1:10: input dummy.0: records wait in memory: a crash of the process loses those that are not delivered
change: storage.type filesystem with storage.path FOLDER in the service section

3 ways to lose data
`
  )
})

test('check --loss --json prints them as JSON', async t => {
  const directory = folder(t, { 'a.conf': SERVICE + TAIL + '    routable  off\n' + STDOUT })
  const { stdout } = await runProgram(t, directory, ['check', '--loss', '--json', '-c', 'a.conf'])
  assert.deepEqual(JSON.parse(stdout), [
    {
      file: 'a.conf',
      line: 10,
      column: 15,
      when: 'always',
      subject: 'input tail.0',
      message: 'all records are dropped, as they are not routable',
      change: 'routable on'
    }
  ])
})

test('check --loss asks plugins of the command line and of the configuration too', async t => {
  const plugin = (name: string): string => `
import { defineOutput, OK } from 'spillway'
export const plugin = defineOutput({
  name: '${name}',
  summary: 'For tests',
  options: {},
  losses: () => [{ when: 'running', message: 'every second record of ${name} is lost' }],
  create: () => ({ flush: () => OK })
})
`
  const output = (name: string): string => `[OUTPUT]
    name         ${name}
    match        *
    retry_limit  no_limits
`
  const directory = folder(t, {
    'first.ts': plugin('first'),
    'below/second.ts': plugin('second'),
    'below/plugins.conf': '[PLUGINS]\n    path  second.ts\n',
    'below/a.conf': `${SERVICE}    plugins_file  plugins.conf\n${TAIL}${output('first')}${output('second')}`
  })
  const words = ['check', '--loss', '-e', 'first.ts', '-w', 'below', '-c', 'a.conf']
  const { stdout, stderr } = await runProgram(t, directory, words)
  assert.equal(
    stdout,
    `a.conf:11:1: output first.0: every second record of first is lost

a.conf:15:1: output second.1: every second record of second is lost

2 ways to lose data
`,
    stderr
  )
})
