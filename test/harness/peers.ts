/**
 * Real programs that network tests talk to. `npm run peers` installs them.
 *
 *     test('rsyslog takes what out_syslog sends', needs('rsyslogd'), async t => {
 *       const port = await freePort()
 *       const peer = await startPeer(t, {
 *         program: 'rsyslogd',
 *         files: { 'rsyslog.conf': `… port="${port}" … file="FOLDER/messages"` },
 *         args: ['-n', '-f', 'FOLDER/rsyslog.conf', '-i', 'FOLDER/pid'],
 *         ready: () => listens(port)
 *       })
 *       …
 *       await peer.until(() => peer.read('messages').includes('hello'))
 *     })
 *
 * Files beside, under `peers/`, start the ones that have something to configure.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { createSocket } from 'node:dgram'
import {
  accessSync,
  constants,
  existsSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync
} from 'node:fs'
import { createServer } from 'node:net'
import { homedir, tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import type { TestContext } from 'node:test'

/** Where `npm run peers` puts what does not come from Debian. */
export const PEERS_CACHE =
  process.env['SPILLWAY_PEERS'] ?? join(homedir(), '.cache', 'spillway-peers')

/** Programs that tests ask for. */
export type PeerProgram =
  | 'collectd'
  | 'collector'
  | 'curl'
  | 'fluent-logger-python'
  | 'logger'
  | 'mosquitto_pub'
  | 'nats-server'
  | 'nginx'
  | 'openssl'
  | 'prometheus'
  | 'promtool'
  | 'rsyslogd'
  | 'syslog-ng'
  | 'tinyproxy'
  | 'toxiproxy-server'

const FOLDERS = [
  join(PEERS_CACHE, 'bin'),
  ...(process.env['PATH'] ?? '').split(delimiter),
  '/usr/sbin',
  '/sbin'
]

/** Path of a program; a test says before, with `needs`, that it uses it. */
export function peerPath(program: PeerProgram): string {
  const path = findPeer(program)
  if (path === undefined) throw new Error(`no program ${program}: does the test say needs()?`)
  return path
}

/** Peers run on Linux only. */
function findPeer(program: PeerProgram): string | undefined {
  if (process.platform !== 'linux') return undefined
  return FOLDERS.map(folder => join(folder, program)).find(isExecutable)
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}

/** For the options of a test: has it skipped, by name, where one of these is missing. */
export function needs(...programs: readonly PeerProgram[]): { readonly skip: string | false } {
  const missing = programs.filter(program => findPeer(program) === undefined)
  return { skip: missing.length > 0 && `needs peer ${missing.join(', ')}: run "npm run peers"` }
}

const triedPorts = new Set<number>()

/**
 * A port that nobody has bound, TCP or UDP. It lies below those that Linux gives to outgoing
 * connections, so that none of them takes it before the peer does.
 */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = 10_000 + Math.floor(Math.random() * 22_000)
    if (triedPorts.has(port)) continue
    triedPorts.add(port)
    if ((await tcpIsFree(port)) && (await udpIsFree(port))) return port
  }
}

async function tcpIsFree(port: number): Promise<boolean> {
  return new Promise(resolve => {
    const server = createServer()
    server.once('error', () => resolve(false))
    server.listen(port, '0.0.0.0', () => server.close(() => resolve(true)))
  })
}

async function udpIsFree(port: number): Promise<boolean> {
  return new Promise(resolve => {
    const socket = createSocket('udp4')
    socket.once('error', () => resolve(false))
    socket.bind(port, '0.0.0.0', () => socket.close(() => resolve(true)))
  })
}

/**
 * Whether a process listens on a TCP port, or has bound a UDP port. Asks the kernel and not the
 * port: a connection would be something that the peer logs or stores.
 */
export function listens(port: number, protocol: 'tcp' | 'udp' = 'tcp'): boolean {
  const state = protocol === 'tcp' ? '0A' : '07'
  const local = `:${port.toString(16).toUpperCase().padStart(4, '0')}`
  return [`/proc/net/${protocol}`, `/proc/net/${protocol}6`]
    .filter(path => existsSync(path))
    .flatMap(path => readFileSync(path, 'latin1').split('\n').slice(1))
    .map(line => line.trim().split(/\s+/))
    .some(([, address = '', , itsState]) => address.endsWith(local) && itsState === state)
}

export interface RunOptions {
  readonly program: PeerProgram
  /** `FOLDER` stands for the peer's folder, in arguments and in files. */
  readonly args: readonly string[]
  /** Written into the peer's folder before it starts, by their names. */
  readonly files?: Readonly<Record<string, string>>
  readonly environment?: Readonly<Record<string, string>>
  /** What it reads from standard input, which ends there. */
  readonly input?: string | Uint8Array
}

export interface StartOptions extends RunOptions {
  /** Whether the peer does its work; asked again and again. */
  readonly ready: (peer: Peer) => boolean | Promise<boolean>
}

/** Starts a program in a folder of its own and waits until it is ready. The end of the test ends it. */
export async function startPeer(t: TestContext, options: StartOptions): Promise<Peer> {
  const peer = new Peer(t, options)
  await peer.until(() => options.ready(peer))
  return peer
}

/** Runs a program to its end, in a folder of its own; refuses an exit code other than 0, or those it may have. */
export async function runPeer(
  t: TestContext,
  options: RunOptions & { readonly exitCodes?: readonly number[] }
): Promise<Peer> {
  const { exitCodes = [0] } = options
  const peer = new Peer(t, options)
  const code = await peer.ended
  if (!exitCodes.some(allowed => allowed === code))
    throw new Error(`${options.program} ended with ${code}\n${peer.output}`)
  return peer
}

/** How long a peer has for what a test waits for, and for its end once it was asked to. */
const WAIT_LIMIT_MS = 10_000
const STOP_LIMIT_MS = 3000
const POLL_MS = 5

/** A program that runs, or has run, in a folder of its own. */
export class Peer {
  readonly folder = mkdtempSync(join(tmpdir(), 'spillway-peer-'))
  stdout = ''
  /** Standard output and standard error, as they came. */
  output = ''
  /** Exit code, or the name of the signal that ended it. */
  readonly ended: Promise<number | NodeJS.Signals>
  readonly #child: ChildProcess
  readonly #program: PeerProgram
  #running = true

  constructor(t: TestContext, { program, args, files = {}, environment, input = '' }: RunOptions) {
    const inFolder = (text: string): string => text.replaceAll('FOLDER', this.folder)
    for (const [name, content] of Object.entries(files)) {
      writeFileSync(join(this.folder, name), inFolder(content))
    }
    this.#program = program
    // The kernel ends the peer even if the test process is killed.
    this.#child = spawn(
      'setpriv',
      ['--pdeathsig', 'KILL', peerPath(program), ...args.map(inFolder)],
      {
        cwd: this.folder,
        env: { ...process.env, ...environment }
      }
    )
    this.ended = new Promise((resolve, reject) => {
      this.#child.on('error', reject)
      this.#child.on('close', (code, signal) => {
        this.#running = false
        resolve(signal ?? code ?? 0)
      })
    })
    t.after(async () => {
      this.signal('SIGKILL')
      await this.ended
      rmSync(this.folder, { recursive: true, force: true })
    })
    this.#child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      this.stdout += text
      this.output += text
    })
    this.#child.stderr?.setEncoding('utf8').on('data', (text: string) => (this.output += text))
    // One that ends without reading it closes the pipe; its exit code tells.
    this.#child.stdin?.on('error', () => undefined).end(input)
  }

  /** Content of a file in the peer's folder, empty until the peer makes it. */
  read(name: string): string {
    const path = join(this.folder, name)
    return existsSync(path) ? readFileSync(path, 'utf8') : ''
  }

  /** Whole lines of a file in the peer's folder. */
  lines(name: string): string[] {
    return this.read(name).split('\n').slice(0, -1)
  }

  /** Waits until a condition holds; fails after a bound, and when the peer has ended without it. */
  async until(condition: () => boolean | Promise<boolean>, limitMs = WAIT_LIMIT_MS): Promise<void> {
    const deadline = performance.now() + limitMs
    for (;;) {
      const late = performance.now() > deadline
      const over = !this.#running
      if (await condition()) return
      if (late || over) {
        const why = late ? `still false after ${limitMs} ms` : `${this.#program} has ended`
        throw new Error(`${why}: ${String(condition)}\n${this.output}`)
      }
      await new Promise(resolve => setTimeout(resolve, POLL_MS))
    }
  }

  /** Sends a signal: SIGSTOP and SIGCONT make a peer that hangs for a while. */
  signal(name: NodeJS.Signals): void {
    this.#child.kill(name)
  }

  /** Asks the peer to end, in the end with SIGKILL; what it wrote stays readable. */
  async stop(): Promise<number | NodeJS.Signals> {
    this.signal('SIGTERM')
    this.signal('SIGCONT')
    const limit = setTimeout(() => this.signal('SIGKILL'), STOP_LIMIT_MS)
    const end = await this.ended
    clearTimeout(limit)
    return end
  }
}
