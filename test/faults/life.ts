/** A process of the program that is started, killed and started again, and the configuration that it gets. */
import { type ChildProcess, spawn } from 'node:child_process'
import { resolve } from 'node:path'

const LAUNCHER = resolve(import.meta.dirname, '../../bin/spillway')

/** Characters of the log that are kept of one life. */
const LOG_LENGTH_MAX = 200_000

/** One process, from its start to its end. */
export class Life {
  log = ''
  /** Exit code, or the signal that ended it. */
  readonly ended: Promise<number | NodeJS.Signals | null>
  readonly #child: ChildProcess

  constructor(folder: string, args: readonly string[], environment: Record<string, string>) {
    const child = spawn(LAUNCHER, args, {
      cwd: folder,
      env: { ...process.env, FLB_LOG_LEVEL: undefined, ...environment },
      stdio: ['ignore', 'ignore', 'pipe'],
      // In a group of its own: an interrupt from the terminal is not for the program.
      detached: true
    })
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.log = (this.log + text).slice(-LOG_LENGTH_MAX)
    })
    const {
      promise,
      resolve: end,
      reject
    } = Promise.withResolvers<number | NodeJS.Signals | null>()
    child.on('error', reject)
    child.on('close', (code, signal) => end(signal ?? code))
    this.#child = child
    this.ended = promise
  }

  /** The number of the process; 0 when it could not be started. */
  get pid(): number {
    return this.#child.pid ?? 0
  }

  get isRunning(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null
  }

  signal(signal: NodeJS.Signals): void {
    if (this.isRunning) this.#child.kill(signal)
  }
}

/** A section of a configuration, as a user writes it. */
export function section(
  name: string,
  properties: Readonly<Record<string, string | number>>
): string {
  const lines = Object.entries(properties).map(([key, value]) => `    ${key}  ${value}\n`)
  return `[${name}]\n${lines.join('')}`
}
