/** Runs bin/spillway in made-up installations, with a main file that tells how it was started. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import {
  chmodSync,
  chownSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { after, test } from 'node:test'

const LAUNCHER = join(import.meta.dirname, '../bin/spillway')
const folder = realpathSync(mkdtempSync(join(tmpdir(), 'spillway launcher ')))
after(() => rmSync(folder, { recursive: true, force: true }))

/** What the main file of an installation prints. */
interface Report {
  readonly main: string
  readonly words: string[]
  readonly flags: string[]
  readonly folder: string
  readonly cache: string | undefined
  readonly pid: number
}

const MAIN = `console.log(JSON.stringify({
  main: process.argv[1],
  words: process.argv.slice(2),
  flags: process.execArgv,
  folder: process.cwd(),
  cache: process.env.NODE_COMPILE_CACHE,
  pid: process.pid
}))
`

/** Puts files below the test's folder: text, or a link to a file; gives the place of the first. */
function install(files: Record<string, string | { link: string }>): string {
  const paths = Object.entries(files).map(([name, content]) => {
    const path = join(folder, name)
    mkdirSync(dirname(path), { recursive: true })
    if (typeof content === 'string') writeFileSync(path, content)
    else symlinkSync(content.link, path)
    if (/bin\/\w+$/.test(name) && typeof content === 'string') chmodSync(path, 0o755)
    return path
  })
  return paths[0]
}

/** A checkout with the launcher in place; gives the launcher. */
function checkout(name: string): string {
  const main = install({
    [`${name}/src/main.ts`]: MAIN,
    [`${name}/node_modules/node/bin/node`]: { link: process.execPath }
  })
  const launcher = join(dirname(main), '../bin/spillway')
  mkdirSync(dirname(launcher))
  copyFileSync(LAUNCHER, launcher)
  return launcher
}

interface Outcome {
  readonly code: number | null
  readonly pid: number | undefined
  readonly stdout: string
  readonly stderr: string
}

function start(
  program: string,
  words: readonly string[],
  options: { cwd?: string; env?: Record<string, string> } = {}
): Promise<Outcome> {
  // Nothing of the environment of the tests, but the folders of sh and readlink.
  const env = { PATH: '/usr/bin:/bin', ...options.env }
  const child = spawn(program, words, { cwd: options.cwd ?? folder, env })
  let stdout = ''
  let stderr = ''
  child.stdout.on('data', (bytes: Buffer) => (stdout += bytes.toString()))
  child.stderr.on('data', (bytes: Buffer) => (stderr += bytes.toString()))
  return new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('close', code => resolve({ code, pid: child.pid, stdout, stderr }))
  })
}

async function report(...call: Parameters<typeof start>): Promise<Report> {
  const { code, stdout, stderr } = await start(...call)
  assert.deepEqual([code, stderr], [0, ''])
  return JSON.parse(stdout) as Report
}

const FLAGS = ['--max-semi-space-size=4', '--disable-warning=ExperimentalWarning']

test('a checkout runs src/main.ts, with the words and the folder of the caller', async () => {
  const launcher = checkout('plain')
  const words = ['-c', 'a file.conf', '', '*', '$HOME', '-p', "a='b'"]
  const { code, pid, stdout } = await start(launcher, words, { cwd: tmpdir() })
  assert.equal(code, 0)
  assert.deepEqual(JSON.parse(stdout), {
    main: join(folder, 'plain/src/main.ts'),
    words,
    flags: FLAGS,
    folder: realpathSync(tmpdir()),
    // The launcher has become Node.js: signals sent to it arrive.
    pid
  })
})

test('the launcher is found through relative and absolute links', async () => {
  checkout('linked')
  const link = install({
    'links/third/spillway': { link: '../second' },
    'links/second': { link: join(folder, 'links/first') },
    'links/first': { link: '../linked/bin/spillway' }
  })
  const main = join(folder, 'linked/src/main.ts')
  assert.equal((await report(link, [])).main, main)
  assert.equal((await report('./second', [], { cwd: join(folder, 'links') })).main, main)
  const env = { PATH: `${dirname(link)}:/usr/bin:/bin` }
  assert.equal((await report('spillway', [], { env, cwd: '/' })).main, main)
})

test('a package runs dist/main.js on the Node.js installed beside it', async () => {
  install({
    'prefix/node_modules/spillway/dist/main.js': MAIN,
    'prefix/node_modules/spillway/package.json': '{"type":"module"}',
    'prefix/node_modules/node/bin/node': { link: process.execPath },
    'prefix/node_modules/.bin/spillway': { link: '../spillway/bin/spillway' }
  })
  const launcher = join(folder, 'prefix/node_modules/spillway/bin/spillway')
  mkdirSync(dirname(launcher))
  copyFileSync(LAUNCHER, launcher)
  const { main } = await report(join(folder, 'prefix/node_modules/.bin/spillway'), ['-V'])
  assert.equal(main, join(folder, 'prefix/node_modules/spillway/dist/main.js'))
})

test('without its own Node.js it takes the one on PATH, if that is recent enough', async () => {
  const launcher = checkout('bare')
  rmSync(join(folder, 'bare/node_modules'), { recursive: true })
  install({
    'old/bin/node': '#!/bin/sh\necho v20.20.2\n',
    'new/bin/node': { link: process.execPath }
  })
  const path = (name: string): Record<string, string> => ({
    PATH: `${join(folder, name, 'bin')}:/usr/bin:/bin`
  })
  assert.equal((await report(launcher, [], { env: path('new') })).folder, folder)
  const { code, stdout, stderr } = await start(launcher, [], { env: path('old') })
  assert.deepEqual(
    [code, stdout, stderr],
    [
      1,
      '',
      'spillway: Cannot find Node.js 26 or newer: "node" on PATH is v20.20.2; ' +
        'run "npm ci" in the checkout, or install Node.js 26\n'
    ]
  )
})

test('compiled code is kept in a folder of the user, made for the user alone', async () => {
  const launcher = checkout('cached')
  const at = (name: string): string => join(folder, 'caches', name)
  const cache = async (env: Record<string, string>): Promise<string | undefined> =>
    (await report(launcher, [], { env })).cache
  const XDG_CACHE_HOME = at('xdg')
  const HOME = at('home')
  assert.equal(
    await cache({ CACHE_DIRECTORY: `${at('systemd')}:/x`, HOME }),
    at('systemd/compiled')
  )
  assert.equal(await cache({ XDG_CACHE_HOME, HOME }), at('xdg/spillway/compiled'))
  assert.equal(await cache({ HOME }), at('home/.cache/spillway/compiled'))
  assert.equal(await cache({ NODE_COMPILE_CACHE: at('chosen'), HOME }), at('chosen'))
  assert.ok(existsSync(at('home/.cache/spillway/compiled')))
})

test(
  'a cache folder of another user is not used: its content would be run',
  {
    skip: process.getuid?.() === 0 ? false : 'only root can give a folder away'
  },
  async () => {
    const launcher = checkout('foreign')
    const cache = join(folder, 'foreign caches/compiled')
    mkdirSync(cache, { recursive: true })
    chownSync(cache, 65_534, 65_534)
    const env = { CACHE_DIRECTORY: dirname(cache) }
    assert.equal((await report(launcher, [], { env })).cache, undefined)
  }
)

test('it starts without a cache where no folder can be made', async () => {
  const launcher = checkout('uncached')
  install({ 'not a folder': '' })
  assert.equal((await report(launcher, [])).cache, undefined)
  const env = { HOME: join(folder, 'not a folder') }
  assert.equal((await report(launcher, [], { env })).cache, undefined)
})
