/**
 * Records what Fluent Bit's monitoring server answers, into the JSON files beside:
 *
 *     FLUENT_BIT=/path/to/fluent-bit node test/data/monitoring/record.ts [NAME]…
 *
 * HTTP/1.1 goes over a plain socket, so that the head of an answer is kept as it came; HTTP/2 through curl.
 */
import { execFileSync, spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createConnection, createServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'

const HERE = import.meta.dirname

interface Answer {
  readonly http: '1.1' | '2'
  readonly method: string
  readonly path: string
  /** Body of the request. */
  readonly sent?: string
  /** Undefined when the connection was closed without an answer, or nothing came. */
  readonly status?: number
  readonly headers?: readonly (readonly [name: string, value: string])[]
  readonly body?: string
}

const PATHS = [
  '/',
  '/api/v1/uptime',
  '/api/v1/metrics',
  '/api/v1/metrics/prometheus',
  '/api/v1/plugins',
  '/api/v1/storage',
  '/api/v1/health',
  '/api/v2/metrics',
  '/api/v2/metrics/prometheus',
  '/api/v2/health',
  '/api/v2/reload'
]
const WRONG_PATHS = [
  '//',
  '/api',
  '/api/v1',
  '/api/v1/',
  '/api/v2',
  '/api/v1/metrics/',
  '/api/v1/uptime/',
  '/api/v1/Uptime',
  '/api/v1/uptime%20',
  '/api/v1/uptime?pretty=1',
  '/api/v1/uptime?',
  '/api/v2/reload/',
  '/favicon.ico',
  '/../api/v1/uptime'
]
const METHODS = ['HEAD', 'POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS']
const BODY_CHARACTERS_KEPT = 400

/** Requests of the trace, in order: each changes what the next one finds. */
const TRACE: readonly (readonly [method: string, path: string, sent?: string])[] = [
  ['GET', '/api/v1/trace/'],
  ['GET', '/api/v1/trace'],
  ['GET', '/api/v1/trace/nobody'],
  ['DELETE', '/api/v1/trace/nobody'],
  ['DELETE', '/api/v1/trace/dummy.1'],
  ['GET', '/api/v1/trace/dummy.1'],
  ['GET', '/api/v1/trace/dummy.1'],
  ['DELETE', '/api/v1/trace/dummy.1'],
  ['PUT', '/api/v1/trace/dummy.1', '{}'],
  ['POST', '/api/v1/trace/dummy.1', ''],
  ['POST', '/api/v1/trace/dummy.1', '{'],
  ['POST', '/api/v1/trace/dummy.1', '[]'],
  ['POST', '/api/v1/trace/dummy.1', '"x"'],
  ['POST', '/api/v1/trace/dummy.1', '{"prefix":1}'],
  ['POST', '/api/v1/trace/dummy.1', '{"output":1}'],
  ['POST', '/api/v1/trace/dummy.1', '{"params":1}'],
  ['POST', '/api/v1/trace/dummy.1', '{"params":{"a":1}}'],
  ['POST', '/api/v1/trace/dummy.1', '{"limit":1}'],
  ['POST', '/api/v1/trace/dummy.1', '{"limit":{}}'],
  ['POST', '/api/v1/trace/dummy.1', '{"limit":{"seconds":"1"}}'],
  ['POST', '/api/v1/trace/dummy.1', '{"limit":{"hours":1}}'],
  ['DELETE', '/api/v1/trace/dummy.1'],
  [
    'POST',
    '/api/v1/trace/dummy.1',
    '{"prefix":"t.","output":"stdout","params":{"format":"json_lines"},"limit":{"count":1},"other":1}'
  ],
  ['DELETE', '/api/v1/trace/dummy.1'],
  ['POST', '/api/v1/traces', '{"inputs":["dummy.1"]}'],
  ['POST', '/api/v1/traces/', ''],
  ['POST', '/api/v1/traces/', '{'],
  ['POST', '/api/v1/traces/', '[]'],
  ['POST', '/api/v1/traces/', '{}'],
  ['POST', '/api/v1/traces/', '{"inputs":1}'],
  ['POST', '/api/v1/traces/', '{"inputs":[1]}'],
  ['POST', '/api/v1/traces/', '{"inputs":["nobody"]}'],
  ['POST', '/api/v1/traces/', '{"inputs":["dummy.1"]}'],
  ['DELETE', '/api/v1/traces/', '{"inputs":["dummy.1","nobody"]}'],
  ['PUT', '/api/v1/traces/', '{"inputs":["dummy.1"]}'],
  ['GET', '/api/v1/traces/', '{"inputs":["dummy.1"]}'],
  ['GET', '/api/v1/traces/'],
  // After this one Fluent Bit answers no more.
  ['POST', '/api/v1/trace/dummy.1', '{"output":"nothing_like_it"}']
]

/** Runs Fluent Bit with one of the configurations beside while `ask` does its questions. */
async function withFluentBit(
  configuration: string,
  ask: (port: number) => Promise<Answer[]>
): Promise<Answer[]> {
  const folder = mkdtempSync(join(tmpdir(), 'monitoring-'))
  const port = await freePort()
  writeFileSync(join(folder, 'app.log'), 'keep one\nkeep two\ndrop three\n')
  const program = spawn(
    process.env['FLUENT_BIT'] ?? 'fluent-bit',
    ['-c', join(HERE, `${configuration}.conf`)],
    { env: { ...process.env, PORT: String(port), FOLDER: folder }, stdio: 'ignore' }
  )
  const ended = new Promise(resolve => program.on('close', resolve))
  try {
    // The storage shows after five seconds, the failed retry after four.
    await delay(7_500)
    return await ask(port)
  } finally {
    // With a trace on it does not end on SIGTERM.
    program.kill('SIGKILL')
    await ended
    rmSync(folder, { recursive: true })
  }
}

async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  await new Promise(resolve => server.close(resolve))
  return port
}

async function askHttp1(
  port: number,
  method: string,
  path: string,
  sent?: string
): Promise<Answer> {
  const body = sent ?? (['POST', 'PUT', 'PATCH'].includes(method) ? '' : undefined)
  const length = body === undefined ? '' : `Content-Length: ${Buffer.byteLength(body)}\r\n`
  const text = await exchange(
    port,
    `${method} ${path} HTTP/1.1\r\nHost: localhost\r\n${length}\r\n${body ?? ''}`
  )
  return { http: '1.1', method, path, ...(sent === undefined ? {} : { sent }), ...parse(text) }
}

/** What comes back within a second, or until the length that the head gives. */
async function exchange(port: number, request: string): Promise<string> {
  const socket = createConnection({ port, host: '127.0.0.1' })
  socket.setEncoding('utf8')
  socket.write(request)
  let text = ''
  await new Promise<void>(resolve => {
    const limit = setTimeout(resolve, 1000)
    const end = (): void => {
      clearTimeout(limit)
      resolve()
    }
    socket.on('error', end)
    socket.on('close', end)
    socket.on('data', (piece: string) => {
      text += piece
      const [head, body] = split(text)
      const length = /content-length: (\d+)/i.exec(head)?.[1]
      if (body !== undefined && Buffer.byteLength(body) >= Number(length)) end()
    })
  })
  socket.destroy()
  return text
}

function askHttp2(port: number, method: string, path: string, sent?: string): Answer {
  const body = sent === undefined ? [] : ['--data-binary', sent, '--header', 'Content-Type:']
  const shown = ['--silent', '--include', '--path-as-is', '--max-time', '2']
  const url = `http://127.0.0.1:${port}${path}`
  const asked = ['--http2-prior-knowledge', '--request', method, ...body, url]
  const text = execFileSync('curl', [...shown, ...asked], { encoding: 'utf8' })
  return { http: '2', method, path, ...(sent === undefined ? {} : { sent }), ...parse(text) }
}

function split(text: string): [head: string, body: string | undefined] {
  const end = text.indexOf('\r\n\r\n')
  return end < 0 ? [text, undefined] : [text.slice(0, end), text.slice(end + 4)]
}

function parse(text: string): Pick<Answer, 'status' | 'headers' | 'body'> {
  const [head, body] = split(text)
  if (body === undefined) return {}
  const [first = '', ...lines] = head.split('\r\n')
  return {
    status: Number(first.split(' ')[1]),
    headers: lines.map(line => {
      const colon = line.indexOf(': ')
      return [line.slice(0, colon), line.slice(colon + 2)] as const
    }),
    body
  }
}

/** Answers to GET are kept whole, of others what is short. */
function shortened(answer: Answer): Answer {
  if (answer.method === 'GET' || (answer.body?.length ?? 0) <= BODY_CHARACTERS_KEPT) return answer
  return { ...answer, body: `${answer.body?.slice(0, BODY_CHARACTERS_KEPT)}…` }
}

async function askAll(port: number): Promise<Answer[]> {
  const answers: Answer[] = []
  for (const path of [...PATHS, ...WRONG_PATHS]) {
    answers.push(await askHttp1(port, 'GET', path), askHttp2(port, 'GET', path))
  }
  for (const method of METHODS) {
    for (const path of [...PATHS, '/nothing']) {
      // Whoever reloads starts all counters again: that is recorded last.
      if (path === '/api/v2/reload' && ['POST', 'PUT'].includes(method)) continue
      answers.push(await askHttp1(port, method, path))
    }
  }
  return answers.map(shortened)
}

async function askReload(port: number): Promise<Answer[]> {
  const answers = [await askHttp1(port, 'POST', '/api/v2/reload')]
  answers.push(await askHttp1(port, 'PUT', '/api/v2/reload'))
  await delay(4_000)
  answers.push(await askHttp1(port, 'GET', '/api/v2/reload'))
  answers.push(await askHttp1(port, 'GET', '/api/v1/uptime'))
  answers.push(askHttp2(port, 'POST', '/api/v2/reload', ''))
  await delay(4_000)
  answers.push(askHttp2(port, 'GET', '/api/v2/reload'))
  return answers
}

async function askTrace(port: number): Promise<Answer[]> {
  const answers: Answer[] = []
  for (const [method, path, sent] of TRACE) answers.push(await askHttp1(port, method, path, sent))
  return answers
}

const GETS = PATHS.filter(path => path !== '/')

async function askGets(port: number): Promise<Answer[]> {
  const answers: Answer[] = []
  for (const path of GETS) answers.push(await askHttp1(port, 'GET', path))
  return answers
}

async function record(
  name: string,
  configuration: string,
  ask: (port: number) => Promise<Answer[]>
): Promise<void> {
  const answers = await withFluentBit(configuration, ask)
  writeFileSync(join(HERE, `${name}.json`), `${JSON.stringify(answers, null, 1)}\n`)
  console.log(`${name}: ${answers.length} answers`)
}

const RECORDINGS: readonly Parameters<typeof record>[] = [
  ['full', 'full', askAll],
  [
    'bare',
    'bare',
    async port => [...(await askAll(port)), ...(await askReload(port)), ...(await askTrace(port))]
  ],
  ['failing', 'failing', askGets],
  ['aliases', 'aliases', askGets],
  ['reload', 'full', askReload],
  ['trace', 'full', askTrace]
]

const wanted = process.argv.slice(2)
for (const recording of RECORDINGS) {
  if (wanted.length === 0 || wanted.includes(recording[0])) await record(...recording)
}
