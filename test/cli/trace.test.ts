/** Chunk traces that the command line asks for, in the program as a process. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { folder, RunningProgram } from '../harness/process.ts'

const PIPELINE = ['-f', '0.1', '-i', 'dummy', '-p', 'alias=made', '-p', 'interval_nsec=20000000']
const NULL = ['-o', 'null', '-m', '*']

test('-Z and the --trace options set a tap at the start; it ends with the program', async t => {
  const run = new RunningProgram(t, folder(t), [
    '-Z',
    ...PIPELINE,
    ...NULL,
    '--trace=input=made output=stdout',
    '--trace-output-property',
    'format=json_lines'
  ])
  await run.until(() => run.stdout.includes('"type":4'))
  run.child.kill('SIGTERM')
  const { code, stdout, log } = await run.ended
  assert.equal(code, 0)
  const events = stdout
    .trimEnd()
    .split('\n')
    .map(line => JSON.parse(line) as Record<string, unknown>)
  const [first] = events
  assert.deepEqual(
    { ...first, date: 0, start_time: 0, end_time: 0 },
    {
      date: 0,
      type: 1,
      trace_id: '0',
      plugin_instance: 'dummy.0',
      plugin_alias: 'made',
      records: [{ timestamp: first['start_time'], record: { message: 'dummy' } }],
      start_time: 0,
      end_time: 0
    }
  )
  // Whatever was begun has come to its end.
  const ids = (type: number): unknown[] =>
    events.filter(event => event['type'] === type).map(event => event['trace_id'])
  assert.deepEqual([...new Set(ids(4))], [...new Set(ids(1))])
  assert.equal(log.filter(line => line.includes('initializing')).length, 2)
  assert.deepEqual(
    log.filter(line => line.includes('no effect')),
    []
  )
})

test('without -Z a tap is not set, and an unknown input is an error that stops nothing', async t => {
  const without = new RunningProgram(t, folder(t), [...PIPELINE, ...NULL, '--trace-input', 'made'])
  await without.until(() => without.stderr.includes('[chunk trace]'))
  without.child.kill('SIGTERM')
  const line =
    '[ warn] [chunk trace] enable chunk tracing via the configuration or  command line to be able to activate tracing.'
  assert.ok((await without.ended).log.includes(line))

  const unknown = new RunningProgram(t, folder(t), [
    '-Z',
    ...PIPELINE,
    '-o',
    'stdout',
    '-m',
    '*',
    '--trace-input',
    'nope'
  ])
  await unknown.until(() => unknown.stdout.includes('message'))
  unknown.child.kill('SIGTERM')
  const { code, log } = await unknown.ended
  assert.equal(code, 0)
  assert.ok(log.includes('[error] unable to find input: [4]nope'))
})
