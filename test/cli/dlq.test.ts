/** `spillway dlq` as users run it: letters of a real run, of a real Fluent Bit, and an agent beside it. */
import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import {
  copyFileSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync
} from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join, resolve } from 'node:path'
import { test, type TestContext } from 'node:test'
import { folder, runProgram, RunningProgram } from '../harness/process.ts'

const LAUNCHER = resolve(import.meta.dirname, '../../bin/spillway')
const RECORDED = join(import.meta.dirname, '../data/fluent_bit_chunks/rejected.flb')

/** A server that answers with a status, and keeps the bodies that it took. */
class Backend {
  status = 400
  /** Answers nothing while it is set. */
  isSilent = false
  requests = 0
  readonly taken: string[] = []
  readonly #server: Server

  private constructor(server: Server) {
    this.#server = server
  }

  static async start(t: TestContext): Promise<Backend> {
    const backend = new Backend(
      createServer((request, response) => {
        const pieces: Buffer[] = []
        request.on('data', (piece: Buffer) => pieces.push(piece))
        request.on('end', () => {
          backend.requests++
          if (backend.isSilent) return
          if (backend.status < 300) backend.taken.push(Buffer.concat(pieces).toString())
          response.writeHead(backend.status).end()
        })
      })
    )
    await new Promise<void>(done => backend.#server.listen(0, '127.0.0.1', done))
    t.after(() => {
      backend.#server.closeAllConnections()
      backend.#server.close()
    })
    return backend
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  /** Values of `log` of all records that were taken. */
  get lines(): string[] {
    return this.taken.flatMap(body => {
      const records = body.trim().split('\n')
      return records.map(record => (JSON.parse(record) as { log: string }).log)
    })
  }
}

function configuration({ port }: Backend, exits = true): string {
  return `
[SERVICE]
    flush                  0.1
    storage.path           store
    storage.keep.rejected  on
[INPUT]
    name            tail
    path            a.log
    tag             app.log
    read_from_head  on
    exit_on_eof     ${exits ? 'on' : 'off'}
[OUTPUT]
    name             http
    match            *
    alias            backend
    host             127.0.0.1
    port             ${port}
    format           json_lines
    json_date_key    false
    retry_limit      no_retries
    log_response_payload  off
`
}

/** A folder where a run has left a letter with three records. */
async function withLetter(
  t: TestContext,
  backend: Backend
): Promise<{ dir: string; name: string }> {
  const dir = folder(t, { 'a.log': 'one\ntwo\nthr\u00e9e\n', 'a.conf': configuration(backend) })
  const { code, stderr } = await runProgram(t, dir, ['-c', 'a.conf'])
  assert.equal(code, 0, stderr)
  const [name, ...others] = letters(dir)
  assert.deepEqual(others, [])
  return { dir, name }
}

function letters(dir: string): string[] {
  return readdirSync(join(dir, 'store/rejected'))
}

test('what a server refuses is listed, shown, and sent again when the server is mended', async t => {
  const backend = await Backend.start(t)
  const { dir, name } = await withLetter(t, backend)

  const list = await runProgram(t, dir, ['dlq', 'list', '-c', 'a.conf', '--json'])
  const facts = JSON.parse(list.stdout) as Record<string, unknown>
  assert.match(String(facts['time']), /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)
  assert.deepEqual(
    { ...facts, time: '' },
    {
      name,
      time: '',
      output: 'backend',
      reason: 'http_status_400',
      attempts: 1,
      records: 3,
      bytes: 69,
      tag: 'app.log',
      input: 'tail.0'
    }
  )
  const table = await runProgram(t, dir, ['dlq', 'list', '-c', 'a.conf'])
  assert.equal(table.stdout.split('\n').at(-2), '1 letter, 3 records, 69 bytes')

  const show = await runProgram(t, dir, ['dlq', 'show', '-c', 'a.conf', name])
  const [note, ...lines] = show.stdout.trimEnd().split('\n')
  assert.deepEqual(JSON.parse(note), { letter: facts })
  assert.deepEqual(
    lines.map(line => line.replace(/"date":[\d.]+/, '"date":0')),
    [
      '{"tag":"app.log","date":0,"log":"one"}',
      '{"tag":"app.log","date":0,"log":"two"}',
      '{"tag":"app.log","date":0,"log":"thr\\u00e9e"}'
    ]
  )

  const early = await runProgram(t, dir, ['dlq', 'replay', '-c', 'a.conf'])
  assert.deepEqual(
    [early.code, early.stdout],
    [1, `${name}: not delivered to backend: http_status_400\n1 letter: 0 delivered, 1 not\n`]
  )
  assert.deepEqual(letters(dir), [name])

  backend.status = 200
  const replay = await runProgram(t, dir, ['dlq', 'replay', '-c', 'a.conf'])
  assert.deepEqual(
    [replay.code, replay.stdout, replay.stderr],
    [0, `${name}: 3 records delivered to backend\n1 letter: 1 delivered\n`, '']
  )
  assert.deepEqual(backend.lines, ['one', 'two', 'thr\u00e9e'])
  assert.deepEqual(letters(dir), [])
  assert.deepEqual(
    [list.code, table.code, show.code, list.stderr + table.stderr + show.stderr],
    [0, 0, 0, '']
  )
})

test('letters are sent again while the agent runs, and what it keeps next is there for the next replay', async t => {
  const backend = await Backend.start(t)
  const dir = folder(t, { 'a.log': 'one\n', 'a.conf': configuration(backend, false) })
  const agent = new RunningProgram(t, dir, ['-c', 'a.conf'])
  await agent.until(() => agent.stderr.includes('quarantined rejected chunk'))
  backend.status = 200
  const replay = await runProgram(t, dir, ['dlq', 'replay', '-c', 'a.conf'])
  assert.equal(replay.code, 0, replay.stderr)
  backend.status = 400
  writeFileSync(join(dir, 'a.log'), 'one\ntwo\n')
  await agent.until(() => letters(dir).some(name => !name.startsWith('.')))
  agent.child.kill('SIGTERM')
  assert.equal((await agent.ended).code, 0)
  backend.status = 200
  assert.equal((await runProgram(t, dir, ['dlq', 'replay', '-c', 'a.conf'])).code, 0)
  assert.deepEqual(backend.lines, ['one', 'two'])
  assert.deepEqual(letters(dir), [])
})

test('a replay that is killed has lost nothing', async t => {
  const backend = await Backend.start(t)
  const { dir, name } = await withLetter(t, backend)
  const before = readFileSync(join(dir, 'store/rejected', name))
  backend.isSilent = true
  const { requests } = backend
  const run = new RunningProgram(t, dir, ['dlq', 'replay', '-c', 'a.conf'])
  await run.until(() => backend.requests > requests)
  run.child.kill('SIGKILL')
  assert.equal((await run.ended).code, 'SIGKILL')
  assert.deepEqual(letters(dir), [name])
  assert.deepEqual(readFileSync(join(dir, 'store/rejected', name)), before)
})

test('a server that never answers ends the replay after --timeout', async t => {
  const backend = await Backend.start(t)
  const { dir, name } = await withLetter(t, backend)
  backend.isSilent = true
  const { code, stdout } = await runProgram(t, dir, [
    'dlq',
    'replay',
    '-c',
    'a.conf',
    '--timeout',
    '0.3'
  ])
  assert.deepEqual(
    [code, stdout],
    [
      1,
      `${name}: not delivered to backend: it took nothing for 0.3 seconds\n1 letter: 0 delivered, 1 not\n`
    ]
  )
  assert.deepEqual(letters(dir), [name])
})

const OTHERS = `
[SERVICE]
    storage.path  store
[INPUT]
    name    tail
    path    *.log
    parser  given_by_R
[FILTER]
    name    grep
    match   *
    exclude message .
[OUTPUT]
    name           stdout
    match          *
    format         json_lines
    json_date_key  false
[OUTPUT]
    name   lines
    match  *
`

const LINES_PLUGIN = `
import { defineOutput, OK } from 'spillway'
export const lines = defineOutput({
  name: 'lines',
  summary: 'Tags and numbers of events',
  options: {},
  create: (_, context) => ({
    flush({ tag, events, input }) {
      context.stdout.write(Buffer.from(tag + ' ' + events + ' ' + input + '\\n'))
      return OK
    }
  })
})
`

/** A folder with a letter that Fluent Bit wrote. */
function withFluentBitLetter(t: TestContext, files: Readonly<Record<string, string>> = {}): string {
  const dir = folder(t, files)
  mkdirSync(join(dir, 'store/rejected'), { recursive: true })
  copyFileSync(RECORDED, join(dir, 'store/rejected', FLUENT_BIT_LETTER))
  return dir
}

const FLUENT_BIT_LETTER = 'app.rejected_0_http.0_0x7f6724058900.flb'

test("a letter of Fluent Bit's is listed, shown and sent, through no filter and without the parsers of -R", async t => {
  const dir = withFluentBitLetter(t, { 'a.conf': OTHERS, 'lines.ts': LINES_PLUGIN })
  const list = await runProgram(t, dir, ['dlq', 'list', '--path', 'store/rejected'])
  assert.equal(
    list.stdout,
    `\
NAME                                      TIME  OUTPUT  REASON  ATTEMPTS  RECORDS  BYTES  TAG           INPUT
${FLUENT_BIT_LETTER}  -     http.0  -              -        3    144  app.rejected  -
1 letter, 3 records, 144 bytes
`
  )
  // With mistakes in all that is not the service section.
  writeFileSync(join(dir, 'bad.conf'), `${OTHERS}[OUTPUT]\n    name  nope\n`)
  const show = await runProgram(t, dir, ['dlq', 'show', '-c', 'bad.conf', FLUENT_BIT_LETTER])
  assert.deepEqual([show.code, show.stderr, show.stdout.split('\n').length], [0, '', 5])
  const words = ['dlq', 'replay', '-c', 'a.conf', '-e', 'lines.ts', '--to']
  const lines = await runProgram(t, dir, [...words, 'lines.1'])
  assert.deepEqual(
    [lines.code, lines.stdout, lines.stderr],
    [
      0,
      `app.rejected 3 dead_letters\n${FLUENT_BIT_LETTER}: 3 records delivered to lines.1\n1 letter: 1 delivered\n`,
      ''
    ]
  )
})

test('a configuration with mistakes replays nothing', async t => {
  const dir = withFluentBitLetter(t, { 'bad.conf': `${OTHERS}[OUTPUT]\n    name  nope\n` })
  const { code, stdout, stderr } = await runProgram(t, dir, ['dlq', 'replay', '-c', 'bad.conf'])
  assert.deepEqual([code, stdout], [1, ''])
  assert.match(stderr, /^\[config\] bad\.conf:\d+:\d+: Cannot use output plugin "lines": .*$/m)
  assert.match(stderr, /^\[config\] bad\.conf:\d+:\d+: Cannot use output plugin "nope": .*$/m)
})

test('a letter that is not whole shows what can be read of it', async t => {
  const dir = withFluentBitLetter(t)
  const path = join(dir, 'store/rejected', FLUENT_BIT_LETTER)
  writeFileSync(path, readFileSync(path).subarray(0, 150))
  const { code, stdout, stderr } = await runProgram(t, dir, [
    'dlq',
    'show',
    '--path',
    'store/rejected',
    FLUENT_BIT_LETTER
  ])
  assert.equal(code, 1)
  assert.equal(stdout.match(/"message":"nobody takes it"/g)?.length, 2)
  assert.equal(stderr, `${FLUENT_BIT_LETTER}: its end is missing\n`)
})

for (const [words, code, message] of [
  [['list', '--path', 'nope'], 1, 'Cannot find dead letters: there is no folder "nope"\n'],
  [
    ['list', '-c', 'none.conf'],
    1,
    'Cannot find dead letters: none.conf has no storage.path, where they would be; --path FOLDER names another place\n'
  ],
  [
    ['show', '--path', 'store/rejected', 'nope.flb'],
    1,
    'Cannot find dead letter "nope.flb": store/rejected has none of this name\n'
  ],
  [
    ['replay', '-c', 'store.conf', 'nope.flb'],
    1,
    'Cannot find dead letter "nope.flb": store/rejected has none of this name\n'
  ],
  [
    ['replay', '-c', 'store.conf', '--to', 'stdut.0'],
    2,
    'Cannot replay to "stdut.0": there is no such output: outputs are stdout.0; "stdout.0" is near\n'
  ],
  [
    ['replay', '-c', 'store.conf', '-e', 'nope.ts'],
    1,
    /^\[config\] Cannot load plugin file "nope\.ts": .*\n$/s
  ],
  [
    ['replay'],
    2,
    'Cannot find dead letters: neither -c FILE nor --path FOLDER is given\nTry "spillway dlq --help"\n'
  ],
  [['list', '-c', 'nope.conf'], 1, /^\[config\] .*nope\.conf.*\n$/]
] as const) {
  test(`dlq ${words.join(' ')} ends with exit code ${code}`, async t => {
    const output = '[INPUT]\n    name  dummy\n[OUTPUT]\n    name  stdout\n    match  *\n'
    const dir = withFluentBitLetter(t, {
      'none.conf': output,
      'store.conf': `[SERVICE]\n    storage.path  store\n${output}`
    })
    const run = await runProgram(t, dir, ['dlq', ...words])
    assert.equal(run.code, code)
    if (typeof message === 'string') assert.equal(run.stderr, message)
    else assert.match(run.stderr, message)
  })
}

test('a reader that has seen enough ends show without a word', t => {
  const dir = withFluentBitLetter(t)
  const copies = Array.from({ length: 400 }, (_, index) => `app_0_http.0_0x${index + 1000}.flb`)
  for (const name of copies) copyFileSync(RECORDED, join(dir, 'store/rejected', name))
  const command = `'${LAUNCHER}' dlq show --path store/rejected store/rejected/*.flb | head -n 1 | wc -l; echo "\${PIPESTATUS[0]}"`
  const text = execFileSync('bash', ['-c', command], { cwd: dir, encoding: 'utf8', stdio: 'pipe' })
  assert.deepEqual(text.split('\n'), ['1', '0', ''])
})

test('letters are readable by their owner alone', async t => {
  const backend = await Backend.start(t)
  const { dir, name } = await withLetter(t, backend)
  assert.equal(statSync(join(dir, 'store/rejected', name)).mode & 0o777, 0o600)
})

const FLUENT_BIT = process.env['FLUENT_BIT']

test(
  'Fluent Bit delivers a letter that is moved to the folder of an input, checksum and all',
  { skip: FLUENT_BIT === undefined && 'FLUENT_BIT is not set' },
  async t => {
    const backend = await Backend.start(t)
    const { dir, name } = await withLetter(t, backend)
    mkdirSync(join(dir, 'other/tail.0'), { recursive: true })
    copyFileSync(join(dir, 'store/rejected', name), join(dir, 'other/tail.0/x.flb'))
    backend.status = 200
    writeFileSync(
      join(dir, 'other.conf'),
      configuration(backend, false)
        .replace('storage.path           store', 'storage.path  other\n    storage.checksum  on')
        .replace('a.log', 'nope.log\n    storage.type  filesystem')
    )
    const child = spawn(FLUENT_BIT ?? '', ['-c', 'other.conf'], { cwd: dir, stdio: 'ignore' })
    t.after(() => child.kill('SIGKILL'))
    const deadline = performance.now() + 20_000
    while (backend.taken.length === 0 && performance.now() < deadline) {
      await new Promise(done => setImmediate(done))
    }
    assert.deepEqual(backend.lines, ['one', 'two', 'thr\u00e9e'])
  }
)
