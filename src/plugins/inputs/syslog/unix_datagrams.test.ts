import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { FakeClock } from '../../../../test/harness/fake_clock.ts'
import { Logger } from '../../../base/log.ts'
import { UnixDatagrams, type UnixDatagramSettings } from './unix_datagrams.ts'

/** Node has no such sender; python3 has. */
const PYTHON = {
  skip:
    spawnSync('python3', ['--version']).status !== 0 && 'needs peer python3: run "npm run peers"'
}

/** Sends datagrams, given in hex. */
const SENDER = `
import socket, sys
sender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
sender.connect(sys.argv[1])
for text in sys.stdin.read().split('\\n'): sender.send(bytes.fromhex(text))
`

interface Run {
  readonly path: string
  readonly taken: string[]
  readonly engine: { paused: boolean; room: PromiseWithResolvers<void> | undefined }
  readonly datagrams: UnixDatagrams
  readonly log: string[]
  send(texts: readonly string[]): void
  until(condition: () => boolean): Promise<void>
}

async function start(
  t: TestContext,
  keys: Partial<UnixDatagramSettings> = {},
  prepare?: (path: string) => void
): Promise<Run> {
  const folder = mkdtempSync(join(tmpdir(), 'spillway-datagrams-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  const path = join(folder, 'log')
  prepare?.(path)
  const taken: string[] = []
  const log: string[] = []
  const engine: Run['engine'] = { paused: false, room: undefined }
  const sink = { colour: false, write: (line: string) => void log.push(line) }
  const datagrams = new UnixDatagrams(
    { path, permissions: 0o600, bytesMax: 1000, ...keys },
    {
      log: new Logger({ sink, level: 'info' }),
      clock: new FakeClock(0),
      get paused() {
        return engine.paused
      },
      ready: () => engine.room?.promise
    },
    bytes => taken.push(bytes.toString())
  )
  await datagrams.start()
  t.after(() => datagrams.stop())
  return {
    path,
    taken,
    engine,
    datagrams,
    log,
    send(texts) {
      const input = texts.map(text => Buffer.from(text).toString('hex')).join('\n')
      execFileSync('python3', ['-c', SENDER, path], { input })
    },
    async until(condition) {
      const deadline = performance.now() + 5000
      while (!condition()) {
        assert.ok(performance.now() < deadline, `still false: ${String(condition)}`)
        await nextTurn()
      }
    }
  }
}

function openFiles(): number {
  return readdirSync('/proc/self/fd').length
}

test('each datagram is taken by itself, from a socket with its permissions', PYTHON, async t => {
  const run = await start(t)
  assert.equal(statSync(run.path).mode & 0o7777, 0o600)
  run.send(['a', 'bb\n', 'c'])
  await run.until(() => run.taken.length === 3)
  assert.deepEqual(run.taken, ['a', 'bb\n', 'c'])
})

test('a datagram that is too long comes with one byte more than allowed', PYTHON, async t => {
  const run = await start(t, { bytesMax: 5 })
  run.send(['12345', '123456789', '1'])
  await run.until(() => run.taken.length === 3)
  assert.deepEqual(run.taken, ['12345', '123456', '1'])
})

test('an empty datagram stops nothing, and costs no file', PYTHON, async t => {
  const run = await start(t)
  const before = openFiles()
  run.send(['a', '', '', 'b', '', 'c'])
  await run.until(() => run.taken.length === 3)
  assert.deepEqual(run.taken, ['a', 'b', 'c'])
  await run.until(() => openFiles() <= before)
  assert.deepEqual(run.log, [])
})

test('while it is held back, datagrams wait in the system', PYTHON, async t => {
  const run = await start(t)
  await nextTurn()
  run.datagrams.pause()
  run.send(['a', 'b'])
  for (let turn = 0; turn < 20; turn++) await nextTurn()
  assert.deepEqual(run.taken, [])
  run.datagrams.resume()
  await run.until(() => run.taken.length === 2)
})

test('a pause just after a resume lets no more than one datagram through', PYTHON, async t => {
  const run = await start(t)
  run.datagrams.pause()
  run.send(['a', 'b', 'c'])
  for (let turn = 0; turn < 20; turn++) await nextTurn()
  assert.ok(run.taken.length <= 1)
  run.datagrams.resume()
  await run.until(() => run.taken.length === 3)
  assert.deepEqual(run.taken, ['a', 'b', 'c'])
})

test('while deliveries have no room, datagrams wait in the system', PYTHON, async t => {
  const run = await start(t)
  const room = Promise.withResolvers<void>()
  run.engine.room = room
  run.send(['a', 'b', 'c'])
  await run.until(() => run.taken.length === 1)
  run.datagrams.resume()
  for (let turn = 0; turn < 20; turn++) await nextTurn()
  assert.deepEqual(run.taken, ['a'])
  run.engine.room = undefined
  room.resolve()
  await run.until(() => run.taken.length === 3)
  assert.deepEqual(run.taken, ['a', 'b', 'c'])
})

test('a socket that an earlier run left is replaced', PYTHON, async t => {
  const run = await start(t, {}, path => {
    execFileSync('python3', [
      '-c',
      'import socket,sys; socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).bind(sys.argv[1])',
      path
    ])
    assert.ok(existsSync(path))
  })
  run.send(['a'])
  await run.until(() => run.taken.length === 1)
})

test('at its stop nothing is left: no socket, no open file', async t => {
  const run = await start(t)
  const before = openFiles()
  const other = await start(t)
  assert.ok(openFiles() > before)
  other.datagrams.stop()
  await run.until(() => openFiles() === before)
  assert.equal(existsSync(other.path), false)
})

for (const [title, keys, message] of [
  ['a folder that is not there', { path: '/none/such/log' }, /No such file or directory$/],
  ['a path that is too long', { path: `/tmp/${'x'.repeat(103)}` }, /File name too long$/]
] as const) {
  test(`it does not start on ${title}, and says why`, async t => {
    const before = openFiles()
    await assert.rejects(start(t, keys), message)
    assert.equal(openFiles(), before)
  })
}

test('a file that is no socket stays as it is', async t => {
  await assert.rejects(
    start(t, {}, path => writeFileSync(path, 'mine')),
    /Cannot listen on \/.*: it exists and is not a unix socket$/
  )
})

test('a socket in use by a stream server is replaced, as Fluent Bit does', PYTHON, async t => {
  const server = createServer()
  t.after(() => server.close())
  const run = await start(t, {}, path => void server.listen(path))
  run.send(['a'])
  await run.until(() => run.taken.length === 1)
})

test('without koffi the error says what to install', async () => {
  const load = async (): Promise<never> => {
    await Promise.resolve()
    throw new Error("Cannot find package 'koffi'")
  }
  const settings = {
    path: '/tmp/log',
    permissions: 0o600,
    bytesMax: 10
  }
  const host = {
    log: new Logger({ sink: { colour: false, write: () => undefined }, level: 'off' }),
    clock: new FakeClock(0),
    paused: false,
    ready: () => undefined
  }
  const datagrams = new UnixDatagrams(settings, host, () => undefined, load)
  await assert.rejects(datagrams.start(), {
    message:
      'Cannot listen on /tmp/log: unix_udp needs the package koffi; install it with "npm install koffi"'
  })
  datagrams.stop()
})
