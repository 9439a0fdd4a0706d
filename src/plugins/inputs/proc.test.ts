import assert from 'node:assert/strict'
import { test } from 'node:test'
import { checkConfiguration, startPipeline } from '../../../test/harness/pipeline.ts'
import { SystemRoot } from '../../../test/harness/system_root.ts'

const STATUS = `Name:	crond
State:	S (sleeping)
VmPeak:	    5576 kB
VmSize:	    5500 kB
VmLck:	       1 kB
VmPin:	       2 kB
VmHWM:	    4428 kB
VmRSS:	    4427 kB
RssAnon:	     500 kB
VmData:	    1444 kB
VmStk:	     132 kB
VmExe:	     772 kB
VmLib:	    1596 kB
VmPTE:	      52 kB
VmSwap:	       3 kB
`

const MEMORY = {
  'mem.VmPeak': 5576000,
  'mem.VmSize': 5500000,
  'mem.VmLck': 1000,
  'mem.VmHWM': 4428000,
  'mem.VmRSS': 4427000,
  'mem.VmData': 1444000,
  'mem.VmStk': 132000,
  'mem.VmExe': 772000,
  'mem.VmLib': 1596000,
  'mem.VmPTE': 52000,
  'mem.VmSwap': 3000
}

const NO_MEMORY = Object.fromEntries(Object.keys(MEMORY).map(key => [key, 0]))

/** Two processes of the program; Fluent Bit takes the first by the text of its id. */
const FILES = {
  'proc/7/cmdline': '',
  'proc/9/cmdline': '/usr/sbin/crond\0-f\0',
  'proc/42/cmdline': '/usr/sbin/crond\0-n\0',
  'proc/42/status': STATUS,
  'proc/42/fd/0': '',
  'proc/42/fd/1': '',
  'proc/42/fd/12': '',
  'proc/self/cmdline': 'spillway\0'
}

function configuration(keys: string): string {
  return `
[INPUT]
    name  proc
    tag   health
${keys}
[OUTPUT]
    name  collect
    match *
`
}

test('proc sends memory and open files of a running program', async t => {
  const root = new SystemRoot(t, FILES)
  const run = await startPipeline(configuration('    proc_name crond'), { root: root.path })
  run.clock.advance(1000)
  const body = { alive: true, proc_name: 'crond', pid: 42, ...MEMORY, fd: 3 }
  assert.deepEqual(run.taken, [
    { tag: 'health', events: [{ time: [1700000001, 0], metadata: {}, body }] }
  ])
  assert.deepEqual(Object.keys(run.bodies[0] as object), Object.keys(body))
  await run.stop()
})

const TABLE: readonly [title: string, keys: string, bodies: readonly object[]][] = [
  [
    'without mem and fd',
    'crond\n    mem off\n    fd off',
    [{ alive: true, proc_name: 'crond', pid: 42 }]
  ],
  ['while it runs, with alert', 'crond\n    alert on', []],
  [
    'for a program that does not run',
    'nosuch\n    alert on',
    [{ alive: false, proc_name: 'nosuch', pid: -1, ...NO_MEMORY, fd: 0 }]
  ],
  [
    'for a part of a name',
    'cron\n    alert on\n    mem off',
    [{ alive: false, proc_name: 'cron', pid: -1, fd: 0 }]
  ],
  [
    'for a path',
    '/usr/sbin/crond\n    mem off',
    [{ alive: false, proc_name: '/usr/sbin/crond', pid: -1, fd: 0 }]
  ]
]

for (const [title, keys, bodies] of TABLE) {
  test(`proc ${title} sends ${bodies.length} records`, async t => {
    const root = new SystemRoot(t, FILES)
    const run = await startPipeline(configuration(`    proc_name ${keys}`), { root: root.path })
    run.clock.advance(1000)
    assert.deepEqual(run.bodies, bodies)
    await run.stop()
  })
}

const NAMES: readonly [commandLine: string, name: string][] = [
  ['bash\0', 'bash'],
  ['/bin/dir//\0', 'dir'],
  ['nginx: worker process', 'nginx: worker process'],
  [`/${'x'.repeat(300)}\0`, 'x'.repeat(254)],
  ['\0', '.'],
  ['//\0', '/']
]

for (const [commandLine, name] of NAMES) {
  test(`proc takes the command line ${JSON.stringify(commandLine.slice(0, 30))} for "${name.slice(0, 30)}"`, async t => {
    const root = new SystemRoot(t, { 'proc/5/cmdline': commandLine })
    const keys = `    proc_name ${name}\n    mem off\n    fd off`
    const run = await startPipeline(configuration(keys), { root: root.path })
    run.clock.advance(1000)
    assert.deepEqual(run.bodies, [{ alive: true, proc_name: name, pid: 5 }])
    await run.stop()
  })
}

test('proc reports what it cannot read of a program, and sends 0 for it', async t => {
  const root = new SystemRoot(t, { 'proc/5/cmdline': 'x\0' })
  const run = await startPipeline(configuration('    proc_name x'), { root: root.path })
  run.clock.advance(1000)
  assert.deepEqual(run.bodies, [{ alive: true, proc_name: 'x', pid: 5, ...NO_MEMORY, fd: 0 }])
  assert.deepEqual(run.log.slice(-2), [
    `[error] [input:proc:proc.0] open error: ${root.path}/proc/5/status`,
    `[error] [input:proc:proc.0] opendir error ${root.path}/proc/5/fd`
  ])
  await run.stop()
})

test('proc needs a program name', async () => {
  const { errors } = await checkConfiguration(configuration(''))
  assert.deepEqual(errors, [
    'fluent-bit.conf:2:1: Cannot set "proc_name" on input proc: it is not set, it must name a program'
  ])
})
