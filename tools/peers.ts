/**
 * Installs the real programs that network tests talk to; quick when all are there.
 *
 *     npm run peers
 *
 * Debian's packages go into the system, which needs root. All else goes into ~/.cache/spillway-peers,
 * or the folder that SPILLWAY_PEERS names, with what starts it in `bin`.
 */
import { execFileSync, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, globSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { PEERS_CACHE } from '../test/harness/peers.ts'

const SOURCES = resolve(import.meta.dirname, 'peers')
const BIN = join(PEERS_CACHE, 'bin')

/** With no recommendations, so that nothing comes along which the tests do not use. */
const DEBIAN_PACKAGES = [
  'bsdutils',
  'collectd-core',
  'curl',
  'libnginx-mod-stream',
  'mosquitto-clients',
  'nats-server',
  'nginx-light',
  'openssl',
  'prometheus',
  'python3-venv',
  'rsyslog',
  'rsyslog-gnutls',
  'tinyproxy',
  // syslog-ng-core conflicts with rsyslog: the package is unpacked aside, these are what it needs.
  'libglib2.0-0',
  'libivykis0',
  'libjson-c5',
  'libnet1',
  'libpcre3',
  'libwrap0'
]

/** Keeps packages from starting their services. */
const SERVICE_POLICY = '/usr/sbin/policy-rc.d'

mkdirSync(BIN, { recursive: true })
installPackages()
once('syslog-ng', [], unpackSyslogNg)
once('go', globSync(['go.mod', 'go.sum', 'collector/*.go'], { cwd: SOURCES }), buildGo)
once('python', ['requirements.txt'], installPython)

function installPackages(): void {
  const missing = DEBIAN_PACKAGES.filter(name => !isInstalled(name))
  if (missing.length === 0) return
  const hasPolicy = existsSync(SERVICE_POLICY)
  if (!hasPolicy) writeFileSync(SERVICE_POLICY, '#!/bin/sh\nexit 101\n', { mode: 0o755 })
  try {
    run('apt-get', ['update'])
    run('apt-get', ['install', '-y', '--no-install-recommends', ...missing])
  } finally {
    if (!hasPolicy) rmSync(SERVICE_POLICY)
  }
}

function isInstalled(name: string): boolean {
  const { stdout } = spawnSync('dpkg-query', ['--show', '--showformat=${Status}', name])
  return stdout.toString() === 'install ok installed'
}

function unpackSyslogNg(): void {
  const folder = join(PEERS_CACHE, 'syslog-ng')
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder)
  run('apt-get', ['update'])
  run('apt-get', ['download', 'syslog-ng-core'], folder)
  run('dpkg-deb', ['--extract', ...globSync('*.deb', { cwd: folder }), '.'], folder)
  const [modules] = globSync('usr/lib/syslog-ng/[0-9]*', { cwd: folder })
  writeStarter('syslog-ng', [
    `export LD_LIBRARY_PATH=${folder}/usr/lib/syslog-ng`,
    `exec ${folder}/usr/sbin/syslog-ng --module-path=${folder}/${modules} "$@"`
  ])
}

function buildGo(): void {
  const toxiproxy = 'github.com/Shopify/toxiproxy/v2/cmd/server'
  run('go', ['build', '-o', join(BIN, 'collector'), './collector'], SOURCES)
  run('go', ['build', '-o', join(BIN, 'toxiproxy-server'), toxiproxy], SOURCES)
}

function installPython(): void {
  const folder = join(PEERS_CACHE, 'python')
  run('/usr/bin/python3', ['-m', 'venv', '--clear', folder])
  run(join(folder, 'bin/pip'), ['install', '--quiet', '-r', join(SOURCES, 'requirements.txt')])
  writeStarter('fluent-logger-python', [`exec ${folder}/bin/python "$@"`])
}

function writeStarter(name: string, lines: readonly string[]): void {
  writeFileSync(join(BIN, name), ['#!/bin/sh', ...lines, ''].join('\n'), { mode: 0o755 })
}

/** Does a step of which the result is in the cache, unless it was done from the same sources. */
function once(name: string, sources: readonly string[], make: () => void): void {
  const hash = createHash('sha256')
  for (const source of sources.toSorted()) hash.update(readFileSync(join(SOURCES, source)))
  const key = hash.digest('hex')
  const mark = join(PEERS_CACHE, `${name}.done`)
  if (existsSync(mark) && readFileSync(mark, 'utf8') === key) return
  make()
  writeFileSync(mark, key)
}

function run(command: string, args: readonly string[], folder = process.cwd()): void {
  console.log(`peers: ${command} ${args.join(' ')}`)
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }
  execFileSync(command, args, { cwd: folder, env, stdio: 'inherit' })
}
