/** Nothing that the configuration keeps secret is in any answer, log line or message, however talkative the program is. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { resolve } from 'node:path'
import { test } from 'node:test'
import type { PluginKind } from '../../src/plugin/define.ts'
import { SHIPPED } from '../../src/plugins/all.ts'
import { askServer } from '../harness/monitoring.ts'
import { freePort, listens } from '../harness/peers.ts'
import { checkConfiguration } from '../harness/pipeline.ts'
import { folder, RunningProgram } from '../harness/process.ts'

/** In every secret. */
const SECRET = 'hUsH'

const LAUNCHER = resolve(import.meta.dirname, '../../bin/spillway')

/** Lines that give something away. */
function leaks(text: string): string[] {
  return text.split('\n').filter(line => line.includes(SECRET))
}

/** Keys that are no secrets themselves but often have one in them. */
const BEARERS: readonly string[] = ['header', 'proxy', 'oauth2.token_url']

/** Sections of one plugin, each with a secret in a key and something wrong. */
async function badSections(kind: PluginKind, name: string): Promise<string[]> {
  const plugin = await SHIPPED[kind][name]?.()
  const tables = [plugin?.options ?? {}, plugin?.network === undefined ? {} : NETWORK_SECRETS]
  const secrets = tables.flatMap(table =>
    Object.entries(table).flatMap(([key, { secret }]) =>
      secret || BEARERS.includes(key) ? [key] : []
    )
  )
  return secrets.flatMap(key => {
    const written = `${key} ${SECRET}1`
    const beginning = `[${kind.toUpperCase()}]\n    name ${name}\n    ${written}\n`
    return [
      beginning,
      `${beginning}    ${written}2\n`,
      `${beginning}    ${key}x ${SECRET}3\n`,
      `${beginning}    ${key} ${SECRET}4 ${SECRET}5 ${SECRET}6\n`,
      `${beginning}    ${key} "${SECRET}7\n`,
      `${beginning}    ${key} http://user:${SECRET}8@host:port/\n`,
      `${beginning}    ${key} ${SECRET}9\${NOTHING}\n`,
      `${beginning}   ${key} ${SECRET}10\n`
    ]
  })
}

/** Of all plugins with a network. */
const NETWORK_SECRETS = { 'tls.key_passwd': { secret: true } }

for (const kind of ['input', 'output'] as const) {
  test(`messages about secrets of an ${kind} do not show them`, async () => {
    let sections = 0
    for (const name of Object.keys(SHIPPED[kind])) {
      for (const section of await badSections(kind, name)) {
        sections++
        const { errors, warnings } = await checkConfiguration(section)
        assert.deepEqual(leaks([...errors, ...warnings].join('\n')), [], section)
      }
    }
    assert.ok(sections > 0)
  })
}

/** All that may have a secret, and all that may tell it. */
const CONFIGURATION = `
[SERVICE]
    flush        0.1
    grace        1
    log_level    trace
    http_server  on
    http_listen  127.0.0.1
    http_port    \${PORT}
    health_check on
    hot_reload   on
    enable_chunk_trace on
    scheduler.base 1
    scheduler.cap  2
[INPUT]
    name         dummy
    interval_sec 0
    interval_nsec 100000000
[INPUT]
    name         forward
    listen       127.0.0.1
    port         \${FORWARD_PORT}
    shared_key   \${SECRET_OF_ENVIRONMENT}
    security.users ann ${SECRET}-users
[INPUT]
    name         splunk
    listen       127.0.0.1
    port         \${SPLUNK_PORT}
    splunk_token ${SECRET}-splunk
[FILTER]
    name         grep
    match        *
    regex        message .
[OUTPUT]
    name         http
    match        *
    host         127.0.0.1
    port         \${SPLUNK_PORT}
    uri          /services/collector?token=${SECRET}-query
    http_user    ann
    http_passwd  ${SECRET}-http
    header       Authorization Bearer ${SECRET}-header
    header       X-Api-Key ${SECRET}-api
    retry_limit  1
    _debug.http.request_headers on
    _debug.http.response_headers on
[OUTPUT]
    name         http
    match        *
    host         127.0.0.1
    port         9
    proxy        http://ann:${SECRET}-proxy@127.0.0.1:9
    net.proxy_env_ignore on
[OUTPUT]
    name         http
    match        *
    host         127.0.0.1
    port         9
    oauth2.enable on
    oauth2.token_url http://127.0.0.1:\${SPLUNK_PORT}/token?key=${SECRET}-token
    oauth2.client_id spillway
    oauth2.client_secret ${SECRET}-oauth2
[OUTPUT]
    name         forward
    match        *
    host         127.0.0.1
    port         \${FORWARD_PORT}
    shared_key   ${SECRET}-other
    username     ann
    password     ${SECRET}-password
    net.proxy_env_ignore on
[OUTPUT]
    name         websocket
    match        *
    host         127.0.0.1
    port         \${SPLUNK_PORT}
    uri          /ws?token=${SECRET}-ws
    header       Authorization Bearer ${SECRET}-ws
`

const ENDPOINTS = [
  '/',
  '/api/v1/uptime',
  '/api/v1/metrics',
  '/api/v1/metrics/prometheus',
  '/api/v1/plugins',
  '/api/v1/storage',
  '/api/v1/health',
  '/api/v1/trace/dummy.0',
  '/api/v1/traces/',
  '/api/v2/metrics',
  '/api/v2/metrics/prometheus',
  '/api/v2/health',
  '/api/v2/reload',
  '/api/v2/ledger'
]

test('a program that tells all it can tells no secret', async t => {
  const [port, forwardPort, splunkPort] = [await freePort(), await freePort(), await freePort()]
  const environment = {
    PORT: String(port),
    FORWARD_PORT: String(forwardPort),
    SPLUNK_PORT: String(splunkPort),
    SECRET_OF_ENVIRONMENT: `${SECRET}-environment`,
    HTTP_PROXY: `http://ann:${SECRET}-proxy@127.0.0.1:9`
  }
  const directory = folder(t, { 'fluent-bit.conf': CONFIGURATION })
  const args = ['-c', 'fluent-bit.conf', '-vv']
  for (const options of [
    ['check', '--config'],
    ['--dry-run', '-c']
  ]) {
    const { stdout, stderr } = spawnSync(LAUNCHER, [...options, 'fluent-bit.conf'], {
      cwd: directory,
      env: { ...process.env, ...environment },
      encoding: 'utf8'
    })
    assert.deepEqual(leaks(stdout + stderr), [], options[0])
  }

  const program = new RunningProgram(t, directory, args, environment)
  await program.until(() => [port, forwardPort, splunkPort].every(each => listens(each)))
  const answers: string[] = []
  const askAll = async (): Promise<void> => {
    for (const path of ENDPOINTS) {
      const { body, headers } = await askServer(port, path)
      answers.push(body, JSON.stringify(headers))
    }
  }
  await askAll()
  // Who sends a wrong token, and secrets where none belong.
  await askServer(splunkPort, `/services/collector?token=${SECRET}-wrong`, 'POST', '{"event":1}')
  await askServer(
    port,
    `/api/v1/trace/${SECRET}-input?token=${SECRET}-query`,
    'POST',
    '{"output":1}'
  )
  const errors = /"http\.0":\{"proc_records":\d+,"proc_bytes":\d+,"errors":[1-9]|"retries":[1-9]/
  let hasFailed = false
  const fail = async (): Promise<void> => {
    while (!hasFailed) hasFailed = errors.test((await askServer(port, '/api/v1/metrics')).body)
  }
  const failing = fail()
  await program.until(() => hasFailed)
  await failing
  await askAll()
  program.child.kill('SIGCONT')
  await program.until(() => program.stderr.includes('===== Counters ====='))
  program.child.kill('SIGHUP')
  await program.until(() => program.stderr.includes('caught signal (SIGHUP)'))
  program.child.kill('SIGTERM')
  const { code, stderr } = await program.ended
  assert.equal(code, 0)
  assert.deepEqual(leaks(answers.join('\n')), [])
  // What a stranger puts into a path is none of ours.
  const own = leaks(stderr).filter(line => !line.includes(`${SECRET}-input`))
  assert.deepEqual(own, [])
})
