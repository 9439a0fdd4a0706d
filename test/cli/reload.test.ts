/** Hot reload of the program as a process: what asks for it, what it says, and what follows the configuration. */
import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync, readlinkSync, rmSync, writeFileSync } from 'node:fs'
import { request } from 'node:http'
import { basename, join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { freePort } from '../harness/peers.ts'
import { folder, RunningProgram } from '../harness/process.ts'

/** A program that runs, and the folder of its configuration. */
class Agent {
  readonly folder: string
  readonly program: RunningProgram
  readonly #file: string

  constructor(
    t: TestContext,
    configuration: string,
    args: readonly string[] = [],
    files: Readonly<Record<string, string>> = {},
    file = 'a.conf'
  ) {
    this.#file = file
    // Before its folder is removed, which it writes to.
    t.after(async () => {
      this.program.child.kill('SIGKILL')
      await this.program.ended
    })
    this.folder = folder(t, { ...files, [file]: configuration })
    this.program = new RunningProgram(t, this.folder, ['-c', file, ...args])
  }

  write(text: string, name = this.#file): void {
    writeFileSync(join(this.folder, name), text)
  }

  /** Lines of the log that hold a text. */
  lines(text: string): string[] {
    return this.program.stderr.split('\n').filter(line => line.includes(text))
  }

  logged(text: string, times = 1): Promise<void> {
    return this.program.until(() => this.lines(text).length >= times)
  }

  async reload(times: number): Promise<void> {
    this.program.child.kill('SIGHUP')
    await this.logged('successful reload done', times)
  }

  read(name: string): string {
    const path = join(this.folder, name)
    return existsSync(path) ? readFileSync(path, 'utf8') : ''
  }
}

async function ask(
  port: number,
  path: string,
  method = 'GET'
): Promise<{ status: number; body: string }> {
  const { promise, resolve, reject } = Promise.withResolvers<{ status: number; body: string }>()
  const sent = request({ host: '127.0.0.1', port, path, method, agent: false }, answer => {
    let body = ''
    answer.setEncoding('utf8')
    answer.on('data', text => (body += text))
    answer.on('end', () => resolve({ status: answer.statusCode ?? 0, body }))
  })
  sent.on('error', reject)
  sent.end()
  return promise
}

function dummy(tag: string, service = '', outputs = fileOutput('out')): string {
  return `
[SERVICE]
    flush 0.1
    ${service}
[INPUT]
    name          dummy
    tag           ${tag}
    dummy         {"from":"${tag}"}
    interval_sec  0
    interval_nsec 20000000
${outputs}`
}

function fileOutput(name: string): string {
  return `
[OUTPUT]
    name   file
    match  *
    file   ${name}
    format plain
`
}

test('SIGHUP without hot_reload only says so', async t => {
  const agent = new Agent(t, dummy('one'))
  await agent.logged('Shutdown Grace Period')
  agent.program.child.kill('SIGHUP')
  await agent.logged('[ warn] [reload] hot reloading is not enabled')
  assert.equal(agent.lines('[engine] caught signal (SIGHUP)').length, 1)
})

test('SIGHUP with hot_reload reads the file again; -Y turns it on; a mistake changes nothing', async t => {
  const agent = new Agent(t, dummy('one'), ['-Y'])
  await agent.program.until(() => agent.read('out').includes('one'))
  agent.write(dummy('two'))
  await agent.reload(1)
  await agent.program.until(() => agent.read('out').includes('two'))
  agent.write(dummy('three').replace('interval_sec', 'interval_sac'))
  agent.program.child.kill('SIGHUP')
  await agent.logged('[error] [reload] reloaded config is invalid. Reloading is halted')
  assert.match(agent.lines('[config]')[0], /a\.conf:9:5: Cannot set "interval_sac" on input dummy/)
  const count = agent.read('out').length
  await agent.program.until(() => agent.read('out').length > count + 100)
  assert.ok(!agent.read('out').includes('three'))
  agent.program.child.kill('SIGTERM')
  await agent.program.ended
  // Not one more, not one less: the ledger has what the file has.
  const rows = agent.lines('[ledger] input')
  const lines = agent.read('out').trim().split('\n').length
  assert.equal(rows.length, 1)
  assert.match(rows[0], new RegExp(`: ${lines} ingested .* = ${lines} delivered`))
})

test('what the command line configures stays at a reload', async t => {
  const agent = new Agent(t, '[SERVICE]\n    flush 0.1\n    hot_reload on\n', [
    '-i',
    'dummy',
    '-p',
    'rate=50',
    '-o',
    'file',
    '-p',
    'file=out',
    '-m',
    '*'
  ])
  await agent.program.until(() => agent.read('out') !== '')
  await agent.reload(1)
  assert.equal(agent.lines('[reload] all instances are the same').length, 1)
  const { length } = agent.read('out')
  await agent.program.until(() => agent.read('out').length > length)
})

test('POST and PUT reload, GET counts, others are told what there is', async t => {
  const port = await freePort()
  const server = `http_server on\n    http_listen 127.0.0.1\n    http_port ${port}`
  const agent = new Agent(t, dummy('one', `${server}\n    hot_reload on`))
  await agent.logged('[http_server] listen')
  await agent.logged('Shutdown Grace Period')
  assert.deepEqual(await ask(port, '/api/v2/reload'), {
    status: 200,
    body: '{"hot_reload_count":0}'
  })
  assert.deepEqual(await ask(port, '/api/v2/reload', 'POST'), {
    status: 200,
    body: '{"reload":"done","status":0}'
  })
  await agent.logged('successful reload done')
  assert.equal((await ask(port, '/api/v2/reload', 'PUT')).status, 200)
  await agent.logged('successful reload done', 2)
  assert.equal((await ask(port, '/api/v2/reload', 'DELETE')).status, 405)
  assert.equal((await ask(port, '/api/v2/reload')).body, '{"hot_reload_count":2}')
  // Without the key any more, it cannot be turned on again.
  agent.write(dummy('one', server))
  await agent.reload(3)
  assert.deepEqual(await ask(port, '/api/v2/reload', 'POST'), {
    status: 200,
    body: '{"reload":"not enabled","status":-1}'
  })
})

test('the monitoring server follows: to another port, away, and back', async t => {
  const [one, two] = [await freePort(), await freePort()]
  const at = (port: number): string =>
    dummy(
      'one',
      `hot_reload on\n    http_server on\n    http_listen 127.0.0.1\n    http_port ${port}`
    )
  const agent = new Agent(t, at(one))
  await agent.logged('Shutdown Grace Period')
  agent.write(at(two))
  await agent.reload(1)
  assert.equal((await ask(two, '/api/v1/uptime')).status, 200)
  await assert.rejects(ask(one, '/api/v1/uptime'))
  agent.write(dummy('one', 'hot_reload on'))
  await agent.reload(2)
  await assert.rejects(ask(two, '/api/v1/uptime'))
  agent.write(at(one))
  await agent.reload(3)
  assert.equal((await ask(one, '/api/v1/uptime')).status, 200)
})

test('log level and log file follow', async t => {
  const agent = new Agent(t, dummy('one', 'hot_reload on'))
  await agent.logged('Shutdown Grace Period')
  agent.write(dummy('one', 'hot_reload on\n    log_file other.log'))
  agent.program.child.kill('SIGHUP')
  await agent.program.until(() => agent.read('other.log').includes('successful reload done'))
  agent.write(dummy('two', 'hot_reload on\n    log_level error\n    log_file other.log'))
  agent.program.child.kill('SIGHUP')
  await agent.program.until(() => agent.read('out').includes('two'))
  agent.write(dummy('two', 'hot_reload on\n    log_level info\n    log_file third.log'))
  agent.program.child.kill('SIGHUP')
  await agent.program.until(() => agent.read('third.log').includes('successful reload done'))
  assert.equal(agent.read('other.log').split('successful reload done').length, 2)
  const descriptors = `/proc/${agent.program.child.pid}/fd`
  const open = readdirSync(descriptors).map(name => basename(readlinkSync(join(descriptors, name))))
  assert.deepEqual(
    open.filter(name => name.endsWith('.log')),
    ['third.log']
  )
})

test('with hot_reload.watch a change of any file of the configuration is enough', async t => {
  const config =
    dummy('one', 'hot_reload.watch on\n    parsers_file p.conf') + '@INCLUDE more/*.conf\n'
  const agent = new Agent(t, config, [], { 'p.conf': '', 'more/a.conf': fileOutput('extra') })
  await agent.program.until(() => agent.read('extra') !== '')
  agent.write(fileOutput('extra2'), 'more/b.conf')
  await agent.program.until(() => agent.read('extra2') !== '')
  assert.equal(agent.lines('[reload] the configuration has changed').length, 1)
  agent.write('[PARSER]\n    name p\n    format json\n', 'p.conf')
  await agent.logged('successful reload done', 2)
})

test('a value of env that is read again makes those anew that use it, and nothing else is read', async t => {
  const agent = new Agent(
    t,
    `
env:
  - name: WHERE
    uri: file://where
    refresh_interval: 1
service:
  flush: 0.1
pipeline:
  inputs:
    - name: dummy
      rate: 50
  outputs:
    - name: file
      match: '*'
      file: \${WHERE}
`,
    [],
    { where: 'first\n' },
    'a.yaml'
  )
  await agent.program.until(() => agent.read('first') !== '')
  // Nobody has asked for what the file says now.
  agent.write('pipeline: {}\n')
  agent.write('second\n', 'where')
  await agent.program.until(() => agent.read('second') !== '')
  assert.deepEqual(
    agent.lines('[env]').map(line => line.slice(line.indexOf('[env]'))),
    ['[env] new value of WHERE']
  )
  await agent.logged('[reload] 1 output started, 1 output ended')
})

test('a plugin file that has changed is loaded again', async t => {
  const plugin = (text: string): string => `
import { defineFilter, Key } from 'spillway'
const KEY = new Key('by')
export const mark = defineFilter({
  name: 'mark', summary: 'Marks', options: {},
  create: () => ({ filter: event => (event.set(KEY, '${text}'), true) })
})
`
  const filter = '[FILTER]\n    name  mark\n    match *\n'
  const agent = new Agent(t, dummy('one', 'hot_reload on') + filter, ['-e', 'mark.ts'], {
    'mark.ts': plugin('first')
  })
  await agent.program.until(() => agent.read('out').includes('"by":"first"'))
  agent.write(plugin('second one'), 'mark.ts')
  await agent.reload(1)
  await agent.program.until(() => agent.read('out').includes('"by":"second one"'))
})

test('one reload at a time; one that takes longer than hot_reload.timeout ends the program loudly', async t => {
  const port = await freePort()
  const plugin = `
import { defineInput } from 'spillway'
let made = 0
export const slow = defineInput({
  name: 'slow', summary: 'Starts once', options: {},
  create: () => ({ start: () => (made++ === 0 ? undefined : new Promise(() => {})) })
})
`
  const slow = (alias: string): string => `[INPUT]\n    name  slow\n    alias ${alias}\n`
  const service = `hot_reload on
    hot_reload.timeout 2
    http_server on
    http_listen 127.0.0.1
    http_port ${port}`
  const agent = new Agent(t, dummy('one', service) + slow('a'), ['-e', 'slow.ts'], {
    'slow.ts': plugin
  })
  await agent.logged('Shutdown Grace Period')
  agent.write(dummy('one', service) + slow('b'))
  agent.program.child.kill('SIGHUP')
  await agent.logged('reloading instance')
  assert.deepEqual(await ask(port, '/api/v2/reload', 'POST'), {
    status: 400,
    body: '{"reload":"in progress","status":-2}'
  })
  await agent.logged('[error] [hot_reload_watchdog] Hot reload timeout exceeded (2 seconds)')
  const { code } = await agent.program.ended
  assert.equal(code, 'SIGABRT')
})

test('with hot_reload.watch a file that a refused configuration brought is watched too', async t => {
  const config = dummy('one', 'hot_reload.watch on')
  const agent = new Agent(t, config)
  await agent.program.until(() => agent.read('out') !== '')
  agent.write('[FILTER]\n    name nothing\n    match *\n', 'b.conf')
  agent.write(`${config}@INCLUDE b.conf\n`)
  await agent.logged('Reloading is halted')
  agent.write(fileOutput('mended'), 'b.conf')
  await agent.program.until(() => agent.read('mended') !== '')
})

test('a plugin file that could not be loaded is loaded once it is mended', async t => {
  const config = dummy('one', 'hot_reload on')
  const agent = new Agent(t, config)
  await agent.program.until(() => agent.read('out') !== '')
  agent.write('throw new Error("not yet")\n', 'drop.mjs')
  agent.write('[PLUGINS]\n    path drop.mjs\n', 'plugins.conf')
  agent.write(
    `${config.replace('hot_reload on', 'hot_reload on\n    plugins_file plugins.conf')}\n[FILTER]\n    name own\n    match *\n`
  )
  agent.program.child.kill('SIGHUP')
  await agent.logged('Cannot load plugin file "drop.mjs": not yet')
  await agent.logged('Reloading is halted')
  agent.write(
    `import { defineFilter } from 'spillway'
export const own = defineFilter({
  name: 'own', summary: 'Does nothing', options: {}, create: () => ({ filter: () => true })
})
`,
    'drop.mjs'
  )
  await agent.reload(1)
})

test('a file of env that is gone leaves its variable as it is when another one changes', async t => {
  const variable = (name: string): string =>
    `  - name: ${name}\n    uri: file://${name}\n    refresh_interval: 1\n    required: false\n`
  const output = (name: string): string =>
    `    - name: file\n      match: '*'\n      file: out_\${${name}}\n`
  const agent = new Agent(
    t,
    `env:\n${variable('A')}${variable('B')}service:\n  flush: 0.1\npipeline:\n  inputs:\n    - name: dummy\n      rate: 50\n  outputs:\n${output('A')}${output('B')}`,
    [],
    { A: 'a1', B: 'b1' },
    'a.yaml'
  )
  await agent.program.until(() => agent.read('out_b1') !== '')
  rmSync(join(agent.folder, 'B'))
  agent.write('a2', 'A')
  await agent.program.until(() => agent.read('out_a2') !== '')
  await agent.logged('[reload] 1 output started, 1 output ended')
  agent.write('b2', 'B')
  await agent.program.until(() => agent.read('out_b2') !== '')
})

test('standard input is read on by an input with other settings, half a value included', async t => {
  const config = (keys = ''): string =>
    `[SERVICE]\n    flush 0.1\n    hot_reload on\n[INPUT]\n    name stdin\n    alias in\n    tag in\n    ${keys}\n${fileOutput('out')}`
  const agent = new Agent(t, config())
  const { stdin } = agent.program.child
  assert.ok(stdin !== null)
  stdin.write('{"n":1}{"n":')
  await agent.program.until(() => agent.read('out') !== '')
  agent.write(config('buffer_size 32000'))
  await agent.reload(1)
  stdin.end('2}{"n":3}')
  const { log } = await agent.program.ended
  assert.equal(agent.read('out'), '{"n":1}\n{"n":2}\n{"n":3}\n')
  assert.equal(log.filter(line => line.includes('end of file')).length, 1)
})

test('a configuration file that is empty for a while ends nothing', async t => {
  const config = dummy('one', 'hot_reload on')
  const agent = new Agent(t, config)
  await agent.program.until(() => agent.read('out') !== '')
  agent.write('')
  agent.program.child.kill('SIGHUP')
  await agent.logged('Cannot go on with "a.conf": it is empty')
  await agent.logged('Reloading is halted')
  agent.write(config.replaceAll('one', 'two'))
  await agent.reload(1)
  await agent.program.until(() => agent.read('out').includes('"from":"two"'))
})
