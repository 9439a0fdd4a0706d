/** The monitoring server of a running program: curl over both versions of HTTP, a port that is taken, hostile clients. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { connect, createServer, type Socket } from 'node:net'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { askServer } from '../harness/monitoring.ts'
import { freePort, listens, needs, runPeer } from '../harness/peers.ts'
import { folder, RunningProgram, runProgram } from '../harness/process.ts'

const CONFIGURATION = `
[SERVICE]
    flush        0.1
    grace        1
[INPUT]
    name         dummy
    interval_sec 0
    interval_nsec 20000000
[OUTPUT]
    name         file
    match        *
    path         .
    file         out
`

interface Started {
  readonly program: RunningProgram
  readonly port: number
  /** Records that were delivered. */
  delivered(): Promise<number>
}

async function start(t: TestContext): Promise<Started> {
  const port = await freePort()
  const directory = folder(t, { 'fluent-bit.conf': CONFIGURATION })
  const server = ['-H', '-L', '127.0.0.1', '-P', String(port)]
  const program = new RunningProgram(t, directory, ['-c', 'fluent-bit.conf', ...server])
  await program.until(() => listens(port))
  return {
    program,
    port,
    async delivered() {
      const { body } = await askServer(port, '/api/v1/metrics')
      const { output } = JSON.parse(body) as {
        output: Record<string, Record<string, number> | undefined>
      }
      return output['file.0']?.['proc_records'] ?? 0
    }
  }
}

/** Asks again and again until the answer is yes; fails after a bound. */
async function untilAnswered(ask: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + 10_000
  while (!(await ask())) {
    if (performance.now() > deadline) throw new Error(`still false: ${String(ask)}`)
  }
}

/** More is delivered than before. */
async function goesOn({ delivered }: Started): Promise<void> {
  const before = await delivered()
  await untilAnswered(async () => (await delivered()) > before)
}

for (const [option, version] of [
  ['--http1.0', '1.1'],
  ['--http1.1', '1.1'],
  ['--http2-prior-knowledge', '2'],
  ['--http2', '1.1']
] as const) {
  test(`curl ${option} asks the monitoring server`, needs('curl'), async t => {
    const { program, port } = await start(t)
    const ask = async (path: string, ...options: readonly string[]): Promise<string> => {
      const shown = ['--silent', '--show-error', '--write-out', '\n%{http_code} %{http_version}']
      const url = `http://127.0.0.1:${port}${path}`
      return (await runPeer(t, { program: 'curl', args: [...shown, ...options, option, url] }))
        .stdout
    }
    assert.equal(await ask('/api/v2/reload'), `{"hot_reload_count":0}\n200 ${version}`)
    assert.match(await ask('/api/v1/uptime?x=1'), /^\{"uptime_sec":\d+,.*\n200 /)
    const refused = '{"reload":"not enabled","status":-1}'
    assert.equal(await ask('/api/v2/reload', '--data', 'x'), `${refused}\n200 ${version}`)
    assert.equal(await ask('/api/v2/reload', '--request', 'DELETE'), `\n405 ${version}`)
    assert.equal(await ask('/api/v1/uptime/'), `\n404 ${version}`)
    assert.match(await ask('/api/v1/uptime', '--head'), /^HTTP\/\S+ 200[^{]*\n200 /)
    assert.match(
      await ask('/api/v2/metrics/prometheus'),
      /^fluentbit_input_records_total\{name="dummy.0"\} \d+$/m
    )
    program.child.kill('SIGTERM')
    const { code, log } = await program.ended
    assert.equal(code, 0)
    assert.ok(log.includes(`[ info] [http_server] listen iface=127.0.0.1 tcp_port=${port}`))
  })
}

test('a port that is taken stops the start', async t => {
  const port = await freePort()
  const other = createServer().listen(port, '127.0.0.1')
  t.after(() => other.close())
  const directory = folder(t, { 'fluent-bit.conf': CONFIGURATION })
  const server = ['-H', '-L', '127.0.0.1', '-P', String(port)]
  const { code, log } = await runProgram(t, directory, ['-c', 'fluent-bit.conf', ...server])
  assert.equal(code, 255)
  assert.deepEqual(log.slice(-2), [
    `[error] [http_server] Cannot listen on 127.0.0.1:${port}: Address already in use`,
    '[error] [engine] could not start HTTP server'
  ])
})

for (const port of ['0', '65536', 'http']) {
  test(`a port "${port}" stops the start`, async t => {
    const directory = folder(t, { 'fluent-bit.conf': CONFIGURATION })
    const args = ['-c', 'fluent-bit.conf', '-H', '-P', port]
    const { code, log } = await runProgram(t, directory, args)
    assert.equal(code, 255)
    assert.match(log.join('\n'), /Cannot set "http_port" on the service section/)
  })
}

/** Where Fluent Bit sets a trace and calls it an error, or answers no more. */
const OTHERWISE: Readonly<Record<string, readonly [status: number, body: string]>> = {
  'POST /api/v1/traces/ {"inputs":["dummy.1"]}': [
    200,
    '{"inputs":{"dummy.1":{"status":"ok"}},"result":{"status":"ok"}}'
  ],
  'POST /api/v1/trace/dummy.1 {"output":"nothing_like_it"}': [503, '{"status":"error"}']
}

test('the control of traces answers as that of Fluent Bit', async t => {
  const recorded = join(import.meta.dirname, '../data/monitoring')
  const port = await freePort()
  const directory = folder(t, { 'app.log': 'keep one\n' })
  const environment = { PORT: String(port), FOLDER: directory }
  const configuration = join(recorded, 'full.conf')
  const program = new RunningProgram(t, directory, ['-c', configuration], environment)
  await program.until(() => listens(port))
  const answers = JSON.parse(readFileSync(join(recorded, 'trace.json'), 'utf8')) as {
    method: string
    path: string
    sent?: string
    status?: number
    body: string
  }[]
  for (const { method, path, sent, status, body } of answers) {
    const answer = await askServer(port, path, method, sent)
    const request = `${method} ${path} ${sent}`
    assert.deepEqual([answer.status, answer.body], OTHERWISE[request] ?? [status, body], request)
  }
})

/** What comes back for bytes, until the server closes. */
async function send(t: TestContext, port: number, bytes: string | Buffer): Promise<string> {
  const socket = connect(port, '127.0.0.1')
  t.after(() => socket.destroy())
  let text = ''
  socket.setEncoding('latin1').on('data', (piece: string) => (text += piece))
  const closed = new Promise<void>(resolve => socket.on('close', () => resolve()))
  socket.on('error', () => undefined)
  socket.write(bytes)
  await closed
  return text
}

test('what is no request, or is too large, is refused, and the pipeline goes on', async t => {
  const started = await start(t)
  const { port } = started
  const status = async (bytes: string | Buffer): Promise<string> =>
    (await send(t, port, bytes)).slice(0, 12)
  const head = 'POST /api/v1/trace/a HTTP/1.1\r\nHost: a\r\n'
  assert.equal(await status('no request\r\n\r\n'), 'HTTP/1.1 400')
  assert.equal(await status(Buffer.alloc(100_000, 0xff)), 'HTTP/1.1 400')
  assert.equal(await status(`GET /${'a'.repeat(70_000)} HTTP/1.1\r\n\r\n`), 'HTTP/1.1 431')
  assert.equal(await status(`${head}A: ${'a'.repeat(70_000)}\r\n\r\n`), 'HTTP/1.1 431')
  assert.equal(await status(`${head}Content-Length: 2000000\r\n\r\n`), 'HTTP/1.1 413')
  assert.equal(await status(`${head}${'A: b\r\n'.repeat(20_000)}\r\n`), 'HTTP/1.1 431')
  // The beginning of HTTP/2 and then something else.
  await send(t, port, `PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n${'x'.repeat(1000)}`)
  await goesOn(started)
})

test('who opens many connections gets so many and no more, and the pipeline goes on', async t => {
  const started = await start(t)
  const { port, program } = started
  const sockets: Socket[] = []
  const destroyAll = (): void => {
    for (const socket of sockets) socket.destroy()
  }
  t.after(destroyAll)
  let closed = 0
  let opened = 0
  for (let count = 0; count < 300; count++) {
    const socket = connect(port, '127.0.0.1')
    socket.on('error', () => undefined).on('close', () => closed++)
    socket.on('connect', () => opened++).write('GET / HTTP/1.1\r\nX: ')
    sockets.push(socket)
  }
  await program.until(() => opened === 300 && closed === 300 - 256)
  destroyAll()
  await program.until(() => closed === 300)
  // The server notices a little later.
  await untilAnswered(() =>
    askServer(port, '/').then(
      () => true,
      () => false
    )
  )
  await goesOn(started)
  const { body } = await askServer(port, '/api/v2/metrics/prometheus')
  assert.match(
    body,
    /^spillway_connections_refused_total\{kind="service",name="http_server",reason="too_many_connections"\} \d+$/m
  )
})
